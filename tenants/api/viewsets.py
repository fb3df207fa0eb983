from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import Prefetch, Q
from drf_spectacular.helpers import forced_singular_serializer
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from mlops.api.pagination import read_limit
from mlops.errors import Forbidden, NotFound
from mlops.telemetry import line_of
from tenants import sql
from tenants.accounts.recent import demand_recent_sign_in
from tenants.api.base import (
    ChangeMixin,
    ProjectViewSet,
    ReadMixin,
    RestoreMixin,
    TenantViewSet,
    changes_of,
)
from tenants.api.filters import (
    MemberFilterSet,
    ProjectFilterSet,
    ProjectMemberFilterSet,
    ServiceAccountFilterSet,
    SupportGrantFilterSet,
    TokenFilterSet,
)
from tenants.api.serializers import (
    ApproveGrantSerializer,
    ConfirmSerializer,
    InvitedSerializer,
    IssueTokenSerializer,
    MemberSerializer,
    NewTokenSerializer,
    OrganizationListSerializer,
    OrganizationSerializer,
    ProjectMemberSerializer,
    ProjectSerializer,
    RevokeTokenSerializer,
    RotateTokenSerializer,
    ServiceAccountSerializer,
    SupportGrantSerializer,
    TokenSerializer,
)
from tenants.context import Actor, tenant_transaction
from tenants.models import (
    ApiToken,
    Membership,
    Organization,
    Project,
    ProjectMember,
    ServiceAccount,
    SupportGrant,
    User,
)
from tenants.permissions import SIGNED_IN, Permission
from tenants.services import (
    members,
    organizations,
    projects,
    service_accounts,
    support,
    tokens,
)


class OrganizationViewSet(
    ReadMixin, ChangeMixin, mixins.DestroyModelMixin, TenantViewSet
):
    """The organization of a token, or those of a person who signed in."""

    queryset = Organization.objects.all()
    serializer_class = OrganizationSerializer
    pagination_class = None
    lookup_field = "slug"
    lookup_url_kwarg = "organization"
    parameters = {"list": frozenset({"limit"})}
    needs = {
        "list": SIGNED_IN,
        "retrieve": Permission.ORGANIZATION_READ,
        "partial_update": Permission.ORGANIZATION_WRITE,
        "destroy": Permission.ORGANIZATION_ADMIN,
        "restore": SIGNED_IN,
    }

    @extend_schema(
        responses={200: forced_singular_serializer(OrganizationListSerializer)}
    )
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """All of them, whatever the limit: a person belongs to few, a token to one."""
        read_limit(request.query_params.get("limit"))
        page = {"results": organizations_of(self.actor), "next": None}
        return Response(OrganizationListSerializer(page).data)

    def perform_update(self, serializer: Any) -> None:
        organizations.update_organization(serializer.instance, **changes_of(serializer))

    def perform_destroy(self, organization: Organization) -> None:
        """A token says which one it means; a person shows that it is still them."""
        if self.actor.token:
            organizations.confirm_deletion(
                organization, self.asked(ConfirmSerializer)["confirm"]
            )
        else:
            person = User(pk=self.actor.id)
            doing = "Deleting an organization"
            demand_recent_sign_in(self.request._request, person, doing)
        organizations.delete_organization(organization)

    @extend_schema(request=None)
    def restore(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Only an owner who signed in: the organization's tokens do not work now."""
        owner = self.actor
        key = sql.deleted_organization(owner.id, kwargs["organization"])
        if key is None:
            raise NotFound("No such organization.")
        request_line = line_of(request._request)
        with tenant_transaction(owner, key, request_line=request_line):
            organization = Organization.objects.with_deleted().fetch(pk=key)
            organizations.restore_organization(organization)
        return Response(self.get_serializer(organization).data)


def organizations_of(actor: Actor) -> list[dict[str, Any]]:
    """A token's own organization; for a session all that the person belongs to."""
    names = ("id", "slug", "name", "role")
    if actor.organization_id is None:
        rows = sql.memberships(actor.id) if actor.id else []
        return [dict(zip(names, row, strict=True)) for row in rows]
    own = Organization.objects.fetch(pk=actor.organization_id)
    role = ", ".join(sorted(actor.roles))
    return [dict(zip(names, (own.pk, own.slug, own.name, role), strict=True))]


class ProjectsViewSet(
    ReadMixin, mixins.CreateModelMixin, ChangeMixin, RestoreMixin, TenantViewSet
):
    queryset = Project.objects.with_deleted()
    serializer_class = ProjectSerializer
    filterset_class = ProjectFilterSet
    lookup_field = "slug"
    lookup_value_converter = "slug"
    needs = {
        "list": Permission.ORGANIZATION_READ,
        "retrieve": Permission.ORGANIZATION_READ,
        "create": Permission.PROJECTS_WRITE,
        "partial_update": Permission.PROJECTS_WRITE,
        "destroy": Permission.PROJECTS_WRITE,
        "restore": Permission.PROJECTS_WRITE,
    }

    def perform_create(self, serializer: Any) -> None:
        serializer.instance = projects.create_project(
            self.organization, **changes_of(serializer)
        )

    def perform_update(self, serializer: Any) -> None:
        projects.update_project(serializer.instance, **changes_of(serializer))

    def perform_destroy(self, project: Project) -> None:
        projects.delete_project(project)

    def perform_restore(self, project: Project) -> None:
        projects.restore_project(project)


class MemberViewSet(
    ReadMixin,
    mixins.CreateModelMixin,
    ChangeMixin,
    mixins.DestroyModelMixin,
    TenantViewSet,
):
    queryset = Membership.objects.with_deleted().select_related("user")
    serializer_class = MemberSerializer
    filterset_class = MemberFilterSet
    needs = {
        "list": Permission.MEMBERS_READ,
        "retrieve": Permission.MEMBERS_READ,
        "create": Permission.MEMBERS_WRITE,
        "partial_update": Permission.MEMBERS_WRITE,
        "destroy": Permission.MEMBERS_WRITE,
    }

    @extend_schema(
        responses={
            201: MemberSerializer,
            202: InvitedSerializer,
        }
    )
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Add a former member by user name or e-mail (201); anybody else's e-mail
        address is sent an invitation (202), whether they have an account or not."""
        asked = self.asked(MemberSerializer)
        joined = members.join_or_invite(
            self.organization, login=asked["user"]["username"], role=asked["role"]
        )
        if isinstance(joined, Membership):
            shown: Any = self.get_serializer(joined)
            return Response(shown.data, status=status.HTTP_201_CREATED)
        shown = InvitedSerializer(joined)
        return Response(shown.data, status=status.HTTP_202_ACCEPTED)

    def perform_update(self, serializer: Any) -> None:
        if role := changes_of(serializer).get("role"):
            members.change_role(serializer.instance, role=role)

    def perform_destroy(self, membership: Membership) -> None:
        members.remove_member(membership)


class ProjectMemberViewSet(
    ReadMixin,
    mixins.CreateModelMixin,
    ChangeMixin,
    mixins.DestroyModelMixin,
    ProjectViewSet,
):
    queryset = ProjectMember.objects.with_deleted().select_related(
        "user", "service_account"
    )
    serializer_class = ProjectMemberSerializer
    filterset_class = ProjectMemberFilterSet
    needs = {
        "list": Permission.MEMBERS_READ,
        "retrieve": Permission.MEMBERS_READ,
        "create": Permission.PROJECT_ADMIN,
        "partial_update": Permission.PROJECT_ADMIN,
        "destroy": Permission.PROJECT_ADMIN,
    }

    def perform_create(self, serializer: Any) -> None:
        asked = changes_of(serializer)
        login, account = asked.get("user"), asked.get("service_account")
        serializer.instance = members.add_project_member(
            self.project,
            role=asked["role"],
            user=members.find_member(login) if login else None,
            service_account=find_service_account(account) if account else None,
        )

    def perform_update(self, serializer: Any) -> None:
        if role := changes_of(serializer).get("role"):
            members.change_project_role(serializer.instance, role=role)

    def perform_destroy(self, member: ProjectMember) -> None:
        members.remove_project_member(member)


class ServiceAccountViewSet(
    ReadMixin,
    mixins.CreateModelMixin,
    ChangeMixin,
    mixins.DestroyModelMixin,
    TenantViewSet,
):
    """Actors without a way to sign in. Maintainers make them for their projects."""

    queryset = ServiceAccount.objects.with_deleted()
    serializer_class = ServiceAccountSerializer
    filterset_class = ServiceAccountFilterSet
    needs = {
        "list": Permission.MEMBERS_READ,
        "retrieve": Permission.MEMBERS_READ,
        "create": Permission.TOKENS_WRITE,
        "partial_update": Permission.TOKENS_WRITE,
        "destroy": Permission.TOKENS_WRITE,
    }

    def perform_create(self, serializer: Any) -> None:
        asked = changes_of(serializer)
        roles = {
            held["project"]["slug"]: held["role"]
            for held in asked.pop("live_roles", [])
        }
        named = {project.slug: project for project in self.projects(roles)}
        made = service_accounts.create_service_account(
            self.organization,
            roles={named[slug]: role for slug, role in roles.items()},
            **asked,
        )
        serializer.instance = self.get_queryset().fetch(pk=made.pk)

    def within_reach(self, rows: Any) -> Any:
        return super().within_reach(rows).prefetch_related(roles_seen_by(self.actor))

    def projects(self, slugs: Iterable[str]) -> list[Project]:
        return find_projects(self.actor, slugs)

    def perform_update(self, serializer: Any) -> None:
        asked = changes_of(serializer)
        asked.pop("live_roles", None)
        service_accounts.update_service_account(serializer.instance, **asked)

    def perform_destroy(self, account: ServiceAccount) -> None:
        service_accounts.delete_service_account(account)


def roles_seen_by(actor: Actor) -> Prefetch:
    """Roles in projects that the actor may see; of others not even the slug shows."""
    roles = ProjectMember.objects.select_related("project")
    seen = roles.filter(project__in=Project.objects.visible_to(actor))
    return Prefetch("projectmember_set", seen, to_attr="live_roles")


class SupportGrantViewSet(ReadMixin, TenantViewSet):
    """Staff of the platform that asked to enter; nobody enters but by one of these."""

    queryset = SupportGrant.objects.select_related("staff")
    serializer_class = SupportGrantSerializer
    filterset_class = SupportGrantFilterSet
    needs = {
        "list": Permission.ORGANIZATION_WRITE,
        "retrieve": Permission.ORGANIZATION_WRITE,
        "approve": Permission.ORGANIZATION_ADMIN,
        "revoke": Permission.ORGANIZATION_WRITE,
    }

    @extend_schema(request=ApproveGrantSerializer, responses=SupportGrantSerializer)
    @action(detail=True, methods=["post"])
    def approve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Let the staff in from now on, for what was asked or less; owners only."""
        grant = self.get_object()
        support.approve_grant(grant, **self.asked(ApproveGrantSerializer))
        return Response(self.get_serializer(grant).data)

    @extend_schema(request=None, responses=SupportGrantSerializer)
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """End it, or decline it; their next page is refused."""
        grant = self.get_object()
        support.revoke_grant(grant)
        return Response(self.get_serializer(grant).data)


class TokenViewSet(ReadMixin, TenantViewSet):
    """Tokens without their secrets: one's own, and all of them for admins."""

    shows_secrets = True
    queryset = ApiToken.objects.select_related("user", "service_account")
    serializer_class = TokenSerializer
    filterset_class = TokenFilterSet
    needs = {
        "list": Permission.TOKENS_READ,
        "retrieve": Permission.TOKENS_READ,
        "create": Permission.TOKENS_WRITE,
        "rotate": Permission.TOKENS_WRITE,
        "rotate_self": Permission.TOKEN_ROTATE_SELF,
        "revoke": Permission.TOKENS_WRITE,
        "destroy": Permission.TOKENS_WRITE,
    }

    @extend_schema(request=IssueTokenSerializer, responses={201: NewTokenSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Issue a token. Its text is in this answer and nowhere else."""
        asked = self.asked(IssueTokenSerializer)
        account = asked.pop("service_account", None)
        token, text = tokens.issue_token(
            self.organization,
            find_service_account(account) if account else self._myself(),
            projects=find_projects(self.actor, asked.pop("projects")),
            **asked,
        )
        return self._shown_once(token, text, status.HTTP_201_CREATED)

    @extend_schema(request=RotateTokenSerializer, responses=NewTokenSerializer)
    @action(detail=True, methods=["post"])
    def rotate(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        token = self.get_object()
        asked = self.asked(RotateTokenSerializer)
        token, text = tokens.rotate_token(token, **asked)
        return self._shown_once(token, text, status.HTTP_200_OK)

    @extend_schema(request=RotateTokenSerializer, responses=NewTokenSerializer)
    @action(detail=False, methods=["post"], url_path="self/rotate")
    def rotate_self(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Rotate the token of this request, which need not know its own id."""
        token, text = tokens.rotate_own_token(**self.asked(RotateTokenSerializer))
        return self._shown_once(token, text, status.HTTP_200_OK)

    @extend_schema(request=RevokeTokenSerializer, responses=TokenSerializer)
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        token = self.get_object()
        tokens.revoke_token(token, **self.asked(RevokeTokenSerializer))
        return Response(self.get_serializer(token).data)

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        tokens.revoke_token(self.get_object())
        return Response(status=status.HTTP_204_NO_CONTENT)

    def _myself(self) -> User:
        user = User.objects.filter(Q(pk=self.actor.id)).first()
        if user is None:
            raise Forbidden("Name the service account that the token is for.")
        return user

    def _shown_once(self, token: ApiToken, text: str, code: int) -> Response:
        token.token = text  # type: ignore[attr-defined]
        return Response(NewTokenSerializer(token).data, status=code)


def find_service_account(name: str) -> ServiceAccount:
    account: ServiceAccount = ServiceAccount.objects.fetch(name=name)
    return account


def find_projects(actor: Actor, slugs: Iterable[str]) -> list[Project]:
    """Raises NotFound unless the actor may see all of them."""
    wanted = set(slugs)
    if not wanted:
        return []
    seen = Project.objects.visible_to(actor).filter(slug__in=wanted)
    if missing := wanted - {project.slug for project in seen}:
        raise NotFound(f"No such project: {', '.join(sorted(missing))}.")
    return list(seen)
