from __future__ import annotations

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.core.validators import (
    MaxValueValidator,
    MinValueValidator,
    RegexValidator,
)
from django.db import models
from django.db.models import Q

from mlops.db.uuid7 import uuid7
from tenants.models.base import SoftDeleted, TenantModel, Tombstone, purge_index
from tenants.querysets import (
    LiveMemberManager,
    LiveRowManager,
    OrganizationRowManager,
    ProjectManager,
    RowManager,
)

SLUG_PATTERN = r"^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$"
valid_slug = RegexValidator(
    SLUG_PATTERN,
    "Use 1 to 63 lower-case letters, digits and hyphens, "
    "with a letter or digit at both ends.",
)
ALIVE = Q(deleted_at__isnull=True)


class OrganizationRole(models.TextChoices):
    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"


class ProjectRole(models.TextChoices):
    MAINTAINER = "maintainer"
    EDITOR = "editor"
    VIEWER = "viewer"


class Feature(models.TextChoices):
    """What a project can switch off; permissions begin with these words."""

    TRACKING = "tracking", "experiments, runs and artifacts"
    REGISTRY = "registry", "models, versions and deployments"
    MONITORING = "monitoring", "points, reports and alerts"


class DefaultRole(models.TextChoices):
    """What a plain member of the organization may do in a project."""

    NONE = "none"
    VIEWER = "viewer"
    EDITOR = "editor"


class DuplicateFiles(models.TextChoices):
    """What becomes of an upload to a path where other bytes stand already."""

    ALLOW = "allow", "replace the file"
    DENY = "deny", "refuse the upload"


def storage_limit(of: str) -> models.BigIntegerField:
    return models.BigIntegerField(
        null=True,
        blank=True,
        help_text=f"The most {of} that its packages may hold; empty: as the"
        " installation has it.",
    )


# How many days what was deleted may be restored.
RETENTION_DAYS, SHORTEST_RETENTION, LONGEST_RETENTION = 30, 7, 365


class Organization(SoftDeleted, Tombstone):
    """The tenant: the root of everything that a caller may see."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.CharField(max_length=63, validators=[valid_slug])
    name = models.CharField(max_length=200)
    storage_limit_bytes = storage_limit("bytes")
    storage_limit_files = storage_limit("files")
    retention_days = models.PositiveSmallIntegerField(
        default=RETENTION_DAYS,
        validators=[
            MinValueValidator(SHORTEST_RETENTION),
            MaxValueValidator(LONGEST_RETENTION),
        ],
        help_text="How many days what was deleted may be restored"
        f" ({SHORTEST_RETENTION} to {LONGEST_RETENTION}).",
    )
    legal_hold = models.BooleanField(
        default=False, help_text="Nothing of it is purged or leaves the audit trail."
    )
    legal_hold_reason = models.CharField(max_length=500, blank=True)
    audit_data_events = models.BooleanField(
        default=False,
        help_text="One entry for each batch of metrics, params, run tags and points.",
    )
    metadata = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    objects = OrganizationRowManager()

    class Meta:
        db_table = "organizations"
        ordering = ["slug"]
        indexes = [
            # Read by the purge.
            purge_index("organizations"),
        ]
        constraints = [
            # Not partial: the address of a deleted organization is not handed out.
            models.UniqueConstraint(fields=["slug"], name="organizations_slug"),
            models.CheckConstraint(
                condition=Q(slug__regex=SLUG_PATTERN), name="organizations_slug_shape"
            ),
            models.CheckConstraint(
                condition=Q(storage_limit_bytes__gte=0) & Q(storage_limit_files__gte=0),
                name="organizations_storage_limits",
            ),
            models.CheckConstraint(
                condition=Q(retention_days__gte=SHORTEST_RETENTION)
                & Q(retention_days__lte=LONGEST_RETENTION),
                name="organizations_retention_days",
            ),
        ]

    def __str__(self) -> str:
        return self.slug


class Membership(TenantModel, SoftDeleted):
    """A person's role in an organization."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.RESTRICT, db_index=False)
    role = models.CharField(
        max_length=8, choices=OrganizationRole, default=OrganizationRole.MEMBER
    )

    objects = LiveMemberManager()

    class Meta:
        db_table = "organization_memberships"
        ordering = ["-id"]
        indexes = [
            # Read by the member list and by the check of one member.
            models.Index(
                fields=["organization", "user"],
                name="idx_organization_memberships_org_user",
                condition=ALIVE,
            ),
            # Read by the member list, newest first.
            models.Index(
                fields=["organization", "-id"],
                name="organization_memberships_newest",
                condition=ALIVE,
            ),
            # Read by the purge.
            purge_index("organization_memberships"),
        ]
        constraints = [
            # Read at sign-in: a user's organizations. One live membership per pair.
            models.UniqueConstraint(
                fields=["user", "organization"],
                name="idx_organization_memberships_of_user",
                condition=ALIVE,
                include=["role"],
            ),
            models.CheckConstraint(
                condition=Q(role__in=OrganizationRole.values),
                name="organization_memberships_role",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} ({self.role})"


class Project(TenantModel, SoftDeleted, Tombstone):
    """A workspace, owner of all experiments, models and deployments below it."""

    slug = models.CharField(max_length=63, validators=[valid_slug])
    name = models.CharField(max_length=200)
    description = models.TextField(blank=True)
    default_role = models.CharField(
        max_length=8,
        choices=DefaultRole,
        default=DefaultRole.NONE,
        help_text="What members of the organization may do without being added.",
    )
    switched_off = ArrayField(
        models.CharField(max_length=10, choices=Feature),
        default=list,
        db_default=[],
        blank=True,
        help_text="Features whose every address answers 404, whoever asks.",
    )
    protected_aliases = ArrayField(
        models.CharField(max_length=255),
        default=list,
        db_default=[],
        blank=True,
        size=50,
        help_text="Aliases that only move by the right to promote, as Production does.",
    )
    viewers_download = models.BooleanField(
        default=True,
        db_default=True,
        help_text="Viewers may list and download artifacts.",
    )
    duplicate_files = models.CharField(
        max_length=5,
        choices=DuplicateFiles,
        default=DuplicateFiles.ALLOW,
        db_default=DuplicateFiles.ALLOW,
        help_text="What becomes of an upload to a path of a package where other bytes"
        " stand; MLflow's clients always replace.",
    )
    storage_limit_bytes = storage_limit("bytes")
    storage_limit_files = storage_limit("files")
    metadata = models.JSONField(default=dict, blank=True)

    objects = ProjectManager()

    class Meta:
        db_table = "projects"
        ordering = ["-id"]
        indexes = [
            # Read by the purge.
            purge_index("projects"),
        ]
        constraints = [
            # Read by every request that names its project; kept by deleted projects,
            # so that an old address never shows another project's content.
            models.UniqueConstraint(
                fields=["organization", "slug"], name="projects_slug"
            ),
            models.CheckConstraint(
                condition=Q(slug__regex=SLUG_PATTERN), name="projects_slug_shape"
            ),
            models.CheckConstraint(
                condition=Q(default_role__in=DefaultRole.values),
                name="projects_default_role",
            ),
            models.CheckConstraint(
                condition=Q(switched_off__contained_by=Feature.values),
                name="projects_switched_off",
            ),
            models.CheckConstraint(
                condition=Q(duplicate_files__in=DuplicateFiles.values),
                name="projects_duplicate_files",
            ),
            models.CheckConstraint(
                condition=Q(storage_limit_bytes__gte=0) & Q(storage_limit_files__gte=0),
                name="projects_storage_limits",
            ),
        ]

    def __str__(self) -> str:
        return self.slug


class ProjectMember(TenantModel, SoftDeleted):
    """A person's or service account's role in a project."""

    project = models.ForeignKey(
        Project, models.RESTRICT, db_constraint=False, db_index=False
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.RESTRICT, null=True, blank=True, db_index=False
    )
    service_account = models.ForeignKey(
        "tenants.ServiceAccount",
        models.RESTRICT,
        null=True,
        blank=True,
        db_constraint=False,
        db_index=False,
    )
    role = models.CharField(
        max_length=10, choices=ProjectRole, default=ProjectRole.VIEWER
    )

    objects = LiveRowManager()

    class Meta:
        db_table = "project_members"
        ordering = ["-id"]
        indexes = [
            # Read by the access check of one person and by a project's member list;
            # whole, for the foreign key. The organization spares the policy the heap.
            models.Index(
                fields=["project", "user", "organization"],
                name="idx_project_members_project_user",
            ),
            # Read by the purge.
            purge_index("project_members"),
        ]
        constraints = [
            # Read by "projects I may see". One live role per person and project.
            models.UniqueConstraint(
                fields=["organization", "user", "project"],
                name="idx_project_members_of_user",
                condition=ALIVE,
                include=["role"],
            ),
            # Read by the access check of a service account's token.
            models.UniqueConstraint(
                fields=["organization", "service_account", "project"],
                name="idx_project_members_of_service_account",
                condition=ALIVE & Q(service_account__isnull=False),
                include=["role"],
            ),
            models.CheckConstraint(
                condition=Q(user__isnull=True) ^ Q(service_account__isnull=True),
                name="project_members_one_holder",
            ),
            models.CheckConstraint(
                condition=Q(role__in=ProjectRole.values), name="project_members_role"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user_id or self.service_account_id} ({self.role})"


class ProjectCounter(TenantModel):
    """The next number of a kind in a project: experiments and runs count apart.

    A row of its own, so that numbering a run neither locks nor rewrites the project.
    """

    project = models.ForeignKey(
        Project, models.RESTRICT, db_constraint=False, db_index=False
    )
    kind = models.CharField(max_length=16)
    next_value = models.BigIntegerField(default=1)

    objects = RowManager()

    class Meta:
        db_table = "project_counters"
        constraints = [
            # Claimed by each create of an experiment or a run.
            models.UniqueConstraint(
                fields=["organization", "project", "kind"], name="project_counters_kind"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind}: {self.next_value}"
