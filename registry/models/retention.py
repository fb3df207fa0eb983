from __future__ import annotations

from django.db import models
from django.db.models import Q

from registry.models.packages import PackageStatus, PackageType
from registry.querysets import RetentionRuleManager
from tenants.models import Project, TenantModel

# What a rule may go for: not what is still arriving, nor what goes anyway.
RULED = ("default", "hidden", "deprecated", "error")
RULED_STATUSES = [
    (status.value, status.label) for status in PackageStatus if status.value in RULED
]


class RetentionEffect(models.TextChoices):
    DELETE = "delete", "delete"
    KEEP = "keep", "keep"


class RetentionCounting(models.TextChoices):
    """Among which packages the newest are counted."""

    ALL = "all", "all that the rule matches"
    NAME = "name", "versions of one name"


class RetentionRule(TenantModel):
    """Which packages of a project go by themselves, or stay whatever other rules say.

    All that is set must hold for a package: its name, type, status and tag, that it is
    older than so many days, and that it is not among the newest so many. A rule that
    keeps has no such bound.
    """

    project = models.ForeignKey(
        Project, models.RESTRICT, db_constraint=False, db_index=False
    )
    name = models.CharField(max_length=200)
    effect = models.CharField(
        max_length=6, choices=RetentionEffect, default=RetentionEffect.DELETE
    )
    is_enabled = models.BooleanField(default=True)
    name_pattern = models.CharField(
        max_length=255,
        default="*",
        help_text="Name of the packages, in which * stands for any text.",
    )
    package_type = models.CharField(
        max_length=9,
        choices=PackageType,
        blank=True,
        default="",
        help_text="Empty: packages of every type.",
    )
    package_status = models.CharField(
        max_length=19,
        choices=RULED_STATUSES,
        blank=True,
        default="",
        help_text="Empty: whatever can be read, and uploads that failed.",
    )
    tag_key = models.CharField(
        max_length=250,
        blank=True,
        default="",
        help_text="A tag of the run or logged model, or a key of the metadata.",
    )
    tag_value = models.CharField(
        max_length=5000, blank=True, default="", help_text="Empty: any value."
    )
    older_than_days = models.PositiveIntegerField(null=True, blank=True)
    keep_newest = models.PositiveIntegerField(
        null=True, blank=True, help_text="Spare the newest so many."
    )
    counting = models.CharField(
        max_length=4,
        choices=RetentionCounting,
        default=RetentionCounting.ALL,
        help_text="Among which packages the newest are counted.",
    )
    created_by = models.UUIDField(null=True, editable=False)

    objects = RetentionRuleManager()

    class Meta:
        db_table = "retention_rules"
        ordering = ["-id"]
        constraints = [
            # Read by the sweep: the rules of a project.
            models.UniqueConstraint(
                fields=["organization", "project", "name"], name="retention_rules_name"
            ),
            models.CheckConstraint(
                condition=Q(effect="keep", older_than_days=None, keep_newest=None)
                | Q(effect="delete", older_than_days__isnull=False)
                | Q(effect="delete", keep_newest__isnull=False),
                name="retention_rules_bound",
            ),
            models.CheckConstraint(
                condition=Q(effect__in=RetentionEffect.values),
                name="retention_rules_effect",
            ),
            models.CheckConstraint(
                condition=Q(counting__in=RetentionCounting.values),
                name="retention_rules_counting",
            ),
            models.CheckConstraint(
                condition=Q(package_type__in=["", *PackageType.values]),
                name="retention_rules_type",
            ),
            models.CheckConstraint(
                condition=Q(package_status__in=["", *RULED]),
                name="retention_rules_status",
            ),
            models.CheckConstraint(
                condition=Q(tag_value="") | ~Q(tag_key=""), name="retention_rules_tag"
            ),
        ]

    def __str__(self) -> str:
        return self.name
