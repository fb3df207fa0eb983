"""Reads of tenant rows. Every query set here knows its organization by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self
from uuid import UUID

from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import models
from django.db.models import BooleanField, F, Func, Q

from mlops.errors import NotFound
from tenants import context

if TYPE_CHECKING:
    from django.db.backends.base.base import BaseDatabaseWrapper
    from django.db.models.sql.compiler import SQLCompiler

    from tenants.context import Actor


# Roles that rule over every project of their organization.
RULERS = frozenset({"owner", "admin"})


class BelongsToTenant(Func):
    """`organization_id = <the bound organization>`, asked when the query is compiled.

    So a query set may be declared at import time, and running it without a bound
    organization raises TenantContextMissing instead of returning somebody's rows.
    """

    output_field = BooleanField()
    conditional = True

    def as_sql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, *_: Any, **__: Any
    ) -> tuple[str, Any]:
        organization = context.bound_organization()
        column, params = compiler.compile(self.source_expressions[0])
        if isinstance(organization, context.Every):
            return "TRUE", []
        return f"{column} = %s", [*params, organization]


class TenantQuerySet(models.QuerySet):
    """Base of all query sets over rows that carry an organization."""

    def visible_to(self, actor: Actor) -> Self:
        """Rows of the projects that the actor may see."""
        return self.in_projects_of(actor)

    def in_projects_of(self, actor: Actor) -> Self:
        if actor.project_id is None:
            return self
        return self.filter(project_id=actor.project_id)

    def in_project(self, project_id: UUID) -> Self:
        return self.filter(project_id=project_id)

    def fetch(self, **lookup: Any) -> Any:
        """Return the one row, or raise NotFound in the same words for every reason."""
        try:
            return self.get(**lookup)
        except (ObjectDoesNotExist, ValidationError, ValueError, TypeError):
            name = self.model._meta.verbose_name
            raise NotFound(f"No such {name}.") from None


class TenantManager(models.Manager):
    """The default manager of tenant rows: scoped, or an error, never everything."""

    tenant_column = "organization_id"

    def get_queryset(self) -> Any:
        return super().get_queryset().filter(BelongsToTenant(F(self.tenant_column)))


class LiveManager(TenantManager):
    """The default manager of what may be deleted and restored: it hides the deleted.

    `Model.objects.with_deleted()` and `parent.children.with_deleted()` show them; the
    base manager, by which a foreign key finds its row, hides nothing.
    """

    def get_queryset(self) -> Any:
        return self._of_tenant().filter(deleted_at__isnull=True)

    def with_deleted(self) -> Any:
        rows = self._of_tenant()
        # What `parent.children` is adds its parent here.
        narrow = getattr(self, "_apply_rel_filters", None)
        return narrow(rows) if narrow else rows

    def _of_tenant(self) -> Any:
        return super().get_queryset()


class OrganizationQuerySet(TenantQuerySet):
    """The organization is its own tenant: its column is `id`."""

    def in_projects_of(self, actor: Actor) -> Self:
        return self


class OrganizationManager(LiveManager):
    tenant_column = "id"


class ProjectQuerySet(TenantQuerySet):
    def in_projects_of(self, actor: Actor) -> Self:
        """Projects the actor may see: bound by its token, then by its roles."""
        projects = self.filter(pk__in=actor.project_ids) if actor.project_ids else self
        if actor.roles & RULERS:
            return projects
        if actor.kind == "service":
            return projects.filter(Q(pk__in=self._held_by(service_account=actor.id)))
        return projects.filter(
            ~Q(default_role="none")
            | Q(pk__in=self._held_by(user=actor.id))
            | Q(pk__in=self._ruled_by(actor.id))
        )

    def _held_by(self, **holder: UUID | None) -> models.QuerySet:
        held = {f"projectmember__{kind}_id": key for kind, key in holder.items()}
        everywhere = self.model._base_manager.order_by()
        return everywhere.filter(projectmember__deleted_at=None, **held).values("pk")

    def _ruled_by(self, user_id: UUID | None) -> models.QuerySet:
        """Projects of an owner or admin, whose bound token lends only the project."""
        everywhere = self.model._base_manager.order_by()
        return everywhere.filter(
            organization__membership__user_id=user_id,
            organization__membership__role__in=RULERS,
            organization__membership__deleted_at=None,
        ).values("pk")


class MemberQuerySet(TenantQuerySet):
    def in_projects_of(self, actor: Actor) -> Self:
        return self


class TokenQuerySet(TenantQuerySet):
    def in_projects_of(self, actor: Actor) -> Self:
        """Owners and admins see all tokens of the organization, others their own.

        Their own are those that they hold or have issued.
        """
        if actor.roles & RULERS:
            return self
        holder = Q(user_id=actor.id) | Q(service_account_id=actor.id)
        return self.filter(holder | Q(created_by=actor.id))

    def usable(self) -> Self:
        return self.filter(revoked_at__isnull=True)


class InvitationQuerySet(MemberQuerySet):
    def pending(self) -> Self:
        """Neither accepted nor revoked; it may have expired."""
        return self.filter(accepted_at__isnull=True, revoked_at__isnull=True)


RowManager = TenantManager.from_queryset(TenantQuerySet)
LiveRowManager = LiveManager.from_queryset(TenantQuerySet)
OrganizationRowManager = OrganizationManager.from_queryset(OrganizationQuerySet)
ProjectManager = LiveManager.from_queryset(ProjectQuerySet)
MemberManager = TenantManager.from_queryset(MemberQuerySet)
LiveMemberManager = LiveManager.from_queryset(MemberQuerySet)
TokenManager = TenantManager.from_queryset(TokenQuerySet)
InvitationManager = TenantManager.from_queryset(InvitationQuerySet)
