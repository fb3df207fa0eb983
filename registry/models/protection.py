from __future__ import annotations

from django.db import models
from django.db.models import Q

from registry.models.packages import PackageType
from registry.querysets import ProtectionRuleManager
from tenants.models import Project, TenantModel


class PackageRole(models.TextChoices):
    """Who may, at the least; owners and admins are those of the organization."""

    MAINTAINER = "maintainer"
    ADMIN = "admin"
    OWNER = "owner"


class PackageProtectionRule(TenantModel):
    """Whose packages only some may push to or delete, by a pattern of their names."""

    project = models.ForeignKey(
        Project, models.RESTRICT, db_constraint=False, db_index=False
    )
    name_pattern = models.CharField(
        max_length=255, help_text="A name in which * stands for any text."
    )
    package_type = models.CharField(
        max_length=9,
        choices=PackageType,
        blank=True,
        default="",
        help_text="Empty: packages of every type.",
    )
    push_role = models.CharField(
        max_length=10,
        choices=PackageRole,
        blank=True,
        default="",
        help_text="Who may upload, at the least; empty: as without the rule.",
    )
    delete_role = models.CharField(
        max_length=10,
        choices=PackageRole,
        blank=True,
        default="",
        help_text="Who may delete, at the least; empty: as without the rule.",
    )
    created_by = models.UUIDField(null=True, editable=False)

    objects = ProtectionRuleManager()

    class Meta:
        db_table = "package_protection_rules"
        verbose_name = "protection rule"
        ordering = ["-id"]
        constraints = [
            # Read by each upload and deletion: the rules of the project.
            models.UniqueConstraint(
                fields=["organization", "project", "name_pattern", "package_type"],
                name="package_protection_rules_pattern",
            ),
            models.CheckConstraint(
                condition=~Q(push_role="", delete_role=""),
                name="package_protection_rules_protect",
                violation_error_message="Name at least one role, to push or to delete.",
            ),
            models.CheckConstraint(
                condition=Q(push_role__in=["", *PackageRole.values])
                & Q(delete_role__in=["", *PackageRole.values]),
                name="package_protection_rules_roles",
            ),
            models.CheckConstraint(
                condition=Q(package_type__in=["", *PackageType.values]),
                name="package_protection_rules_type",
            ),
        ]

    def __str__(self) -> str:
        return self.name_pattern
