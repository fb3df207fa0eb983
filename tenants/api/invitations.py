"""Invitations over REST: send, list, send again, revoke. Links are shown once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import django_filters
from django.db.models import Q, QuerySet
from django.utils import timezone
from django_filters.rest_framework import FilterSet
from drf_spectacular.utils import extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from tenants.api.base import ReadMixin, TenantViewSet
from tenants.api.fields import RowSerializer, StrictSerializer
from tenants.api.viewsets import find_projects
from tenants.models import (
    Invitation,
    InvitationState,
    OrganizationRole,
    Project,
    ProjectRole,
)
from tenants.permissions import Permission
from tenants.services import invitations

MOST_PROJECTS = 100


class InvitationFilterSet(FilterSet):
    email = django_filters.CharFilter(lookup_expr="iexact")
    state = django_filters.ChoiceFilter(
        choices=InvitationState.choices, method="in_state"
    )

    class Meta:
        model = Invitation
        fields = ["role"]

    def in_state(self, rows: QuerySet, name: str, state: str) -> QuerySet:
        now = timezone.now()
        pending = Q(accepted_at=None, revoked_at=None)
        return rows.filter(
            {
                InvitationState.ACCEPTED: Q(accepted_at__isnull=False),
                InvitationState.REVOKED: Q(revoked_at__isnull=False),
                InvitationState.EXPIRED: pending & Q(expires_at__lte=now),
                InvitationState.PENDING: pending & Q(expires_at__gt=now),
            }[InvitationState(state)]
        )


class InvitedRoleSerializer(StrictSerializer):
    """A role in a project, which is named by its slug."""

    project = serializers.SlugField(max_length=63)
    role = serializers.ChoiceField(ProjectRole.choices)


class InvitationSerializer(RowSerializer):
    """An invitation without its links."""

    state = serializers.ChoiceField(InvitationState.choices, read_only=True)
    projects = InvitedRoleSerializer(source="named_roles", many=True, read_only=True)

    class Meta:
        model = Invitation
        fields = [
            "id",
            "email",
            "role",
            "projects",
            "state",
            "invited_by",
            "sent_at",
            "expires_at",
            "accepted_at",
            "accepted_by",
            "revoked_at",
            "created_at",
        ]
        read_only_fields = fields


class NewInvitationSerializer(InvitationSerializer):
    """The one answer that shows a link."""

    link = serializers.CharField(read_only=True)

    class Meta(InvitationSerializer.Meta):
        fields = [*InvitationSerializer.Meta.fields, "link"]
        read_only_fields = fields


class InviteSerializer(StrictSerializer):
    email = serializers.EmailField(max_length=254)
    role = serializers.ChoiceField(
        OrganizationRole.choices, default=OrganizationRole.MEMBER
    )
    projects = InvitedRoleSerializer(many=True, required=False)

    def validate_projects(self, asked: list[dict[str, str]]) -> list[dict[str, str]]:
        slugs = [each["project"] for each in asked]
        if len(slugs) > MOST_PROJECTS:
            raise serializers.ValidationError(f"Name at most {MOST_PROJECTS}.")
        if len(set(slugs)) < len(slugs):
            raise serializers.ValidationError("Name each project once.")
        return asked


class InvitationViewSet(ReadMixin, mixins.DestroyModelMixin, TenantViewSet):
    """People who were asked to join, and have not or have."""

    shows_secrets = True
    queryset = Invitation.objects.all()
    serializer_class = InvitationSerializer
    filterset_class = InvitationFilterSet
    needs = {
        "list": Permission.MEMBERS_WRITE,
        "retrieve": Permission.MEMBERS_WRITE,
        "create": Permission.MEMBERS_WRITE,
        "resend": Permission.MEMBERS_WRITE,
        "destroy": Permission.MEMBERS_WRITE,
    }

    @extend_schema(request=InviteSerializer, responses={201: NewInvitationSerializer})
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Mail a link; another one for you to hand on is in this answer only."""
        asked = self.asked(InviteSerializer)
        roles = {each["project"]: each["role"] for each in asked.pop("projects", [])}
        projects = find_projects(self.actor, roles)
        invitation, link = invitations.invite(
            self.organization,
            project_roles={project: roles[project.slug] for project in projects},
            **asked,
        )
        return self._shown_once(invitation, link, status.HTTP_201_CREATED)

    @extend_schema(request=None, responses=NewInvitationSerializer)
    @action(detail=True, methods=["post"])
    def resend(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Mail a new link for another seven days; those before stop working."""
        invitation, link = invitations.resend_invitation(self.get_object())
        return self._shown_once(invitation, link, status.HTTP_200_OK)

    def perform_destroy(self, invitation: Invitation) -> None:
        invitations.revoke_invitation(invitation)

    def get_object(self) -> Invitation:
        invitation: Invitation = super().get_object()
        name_projects([invitation])
        return invitation

    def paginate_queryset(self, queryset: Any) -> Any:
        page: Any = super().paginate_queryset(queryset)
        name_projects(page or [])
        return page

    def _shown_once(self, invitation: Invitation, link: str, code: int) -> Response:
        name_projects([invitation])
        invitation.link = link  # type: ignore[attr-defined]
        return Response(NewInvitationSerializer(invitation).data, status=code)


def name_projects(rows: Sequence[Any]) -> None:
    """Give each its roles with the slugs of projects; one query for all of them."""
    wanted = {key for row in rows for key in row.project_roles}
    found = Project.objects.filter(pk__in=wanted)
    slugs = {str(project.pk): project.slug for project in found} if wanted else {}
    for row in rows:
        row.named_roles = [
            {"project": slugs[key], "role": role}
            for key, role in row.project_roles.items()
            if key in slugs
        ]
