"""Reads of the registry: chainable, lazy, scoped to the tenant by their base."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Self

from django.apps import apps
from django.db.models import (
    BigIntegerField,
    Count,
    OuterRef,
    Subquery,
    Sum,
)
from django.db.models.functions import Cast, Coalesce

from registry import relations
from tenants.querysets import LiveManager, TenantManager, TenantQuerySet

if TYPE_CHECKING:
    from tenants.context import Actor


class ProjectRowQuerySet(TenantQuerySet):
    """Rows below an experiment, run, model or package: the parent holds the project."""

    def in_projects_of(self, actor: Actor) -> Self:
        return self


class ExperimentQuerySet(TenantQuerySet):
    pass


class RunQuerySet(TenantQuerySet):
    def with_package_id(self) -> Self:
        """Add `package_id`, None where a run has no package, in the same statement."""
        packages = relations.packages_of_outer_run().values("pk")
        return self.annotate(package_id=Subquery(packages[:1]))


class LoggedModelQuerySet(TenantQuerySet):
    pass


class EvaluationDatasetQuerySet(TenantQuerySet):
    pass


class ModelQuerySet(TenantQuerySet):
    pass


class ModelVersionQuerySet(TenantQuerySet):
    def in_stage(self, stage: str) -> Self:
        return self.filter(stage=stage)


class DeploymentQuerySet(TenantQuerySet):
    pass


class PackageQuerySet(TenantQuerySet):
    # What a reader may get; an upload under way or a package being purged is not.
    READABLE = ("default", "hidden", "deprecated")

    def live(self) -> Self:
        """Packages that a relation or a download may answer with."""
        return self.filter(deleted_at__isnull=True, status__in=self.READABLE)

    def with_totals(self) -> Self:
        """Add `file_count` and `total_bytes`: sub-queries, for the page's rows only."""
        files = apps.get_model("registry", "PackageFile").objects
        mine = files.filter(
            organization_id=OuterRef("organization_id"), package_id=OuterRef("pk")
        )
        together = mine.order_by().values("package_id")
        count = together.annotate(count=Count("pk")).values("count")
        total = together.annotate(total=Sum("size_bytes")).values("total")
        return self.annotate(
            file_count=Coalesce(Subquery(count), 0),
            # A sum of numbers is a decimal to the database.
            total_bytes=Cast(Coalesce(Subquery(total), Decimal(0)), BigIntegerField()),
        )


class ProtectionRuleQuerySet(TenantQuerySet):
    pass


class RetentionRuleQuerySet(TenantQuerySet):
    pass


class StorageUsageQuerySet(TenantQuerySet):
    pass


ProjectRowManager = TenantManager.from_queryset(ProjectRowQuerySet)
ExperimentManager = LiveManager.from_queryset(ExperimentQuerySet)
RunManager = LiveManager.from_queryset(RunQuerySet)
LoggedModelManager = LiveManager.from_queryset(LoggedModelQuerySet)
EvaluationDatasetManager = LiveManager.from_queryset(EvaluationDatasetQuerySet)
ModelManager = LiveManager.from_queryset(ModelQuerySet)
ModelVersionManager = LiveManager.from_queryset(ModelVersionQuerySet)
DeploymentManager = LiveManager.from_queryset(DeploymentQuerySet)
PackageManager = LiveManager.from_queryset(PackageQuerySet)
ProtectionRuleManager = TenantManager.from_queryset(ProtectionRuleQuerySet)
RetentionRuleManager = TenantManager.from_queryset(RetentionRuleQuerySet)
StorageUsageManager = TenantManager.from_queryset(StorageUsageQuerySet)
