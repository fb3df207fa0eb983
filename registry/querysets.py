"""Reads of the registry: chainable, lazy, scoped to the tenant by their base."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from django.db.models import Count, Sum

from tenants.querysets import TenantQuerySet

if TYPE_CHECKING:
    from tenants.context import Actor


class ProjectRowQuerySet(TenantQuerySet):
    """Rows below an experiment, run, model or package: the parent holds the project."""

    def in_projects_of(self, actor: Actor) -> Self:
        return self


class ExperimentQuerySet(TenantQuerySet):
    pass


class RunQuerySet(TenantQuerySet):
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
        """Add `file_count` and `total_bytes`."""
        return self.annotate(
            file_count=Count("files"), total_bytes=Sum("files__size_bytes", default=0)
        )
