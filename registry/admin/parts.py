"""What the admins of the registry share: counted packages, lists of runs and files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Count, Exists, OuterRef, Prefetch, QuerySet, Subquery, Sum
from django.http import HttpRequest
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from registry.admin.previews import HOLDS_PICKLE, PICKLE, pickle_badge
from registry.models import (
    Deployment,
    DeploymentStatus,
    ModelVersion,
    Package,
    PackageFile,
    Run,
    Stage,
)
from registry.relations import strict_relations
from tenants.admin_panels import (
    NOTHING,
    Panel,
    badge,
    code,
    lasting,
    link,
    link_to,
    list_url,
    muted,
    size,
    stack,
    when,
)

SHOWN = 200
# Of a package; the list behind the panel has them all.
FILES_SHOWN = 50
FIRST_FILES = 3
RUN_TONES = {
    "Finished": "success",
    "Running": "info",
    "Failed": "danger",
    "Killed": "warning",
    "Scheduled": "",
}
STAGE_TONES = {"Production": "success", "Staging": "warning"}


class StrictList:
    """A list whose rows have packages, which are read with the page or not at all."""

    def changelist_view(
        self: Any, request: HttpRequest, extra_context: Any = None
    ) -> Any:
        """The page is made right here, so that a package read alone is noticed."""
        with strict_relations():
            response = super().changelist_view(request, extra_context)  # type: ignore[misc]
            is_page = isinstance(response, TemplateResponse)
            return response.render() if is_page else response

    def relations_of(self, rows: Sequence[Any]) -> list[Any]:
        return [Prefetch("package", with_files(Package.objects.all()))]


def with_files(packages: QuerySet) -> QuerySet:
    """Add `file_count`, `total_bytes`, `first_files` and `has_pickle` of each package.

    Sub-queries that name the organization: without it no index leads to the files.
    """
    files = PackageFile.objects.filter(
        organization_id=OuterRef("organization_id"), package_id=OuterRef("pk")
    )
    together = files.order_by().values("package_id")
    return packages.annotate(
        file_count=Subquery(together.annotate(n=Count("pk")).values("n")),
        total_bytes=Subquery(together.annotate(n=Sum("size_bytes")).values("n")),
        first_files=ArraySubquery(files.order_by("path").values("path")[:FIRST_FILES]),
        has_pickle=Exists(files.filter(HOLDS_PICKLE)),
    )


def content(package: Any) -> SafeString | str:
    """Count, bytes and first paths of a package that `with_files` read."""
    if package is None:
        return NOTHING
    count = package.file_count or 0
    if not count:
        return link_to(package, muted("empty"))
    paths = ", ".join(package.first_files)
    text = f"{count:,} file{'s' * (count != 1)} · {size(package.total_bytes)}"
    more = ", …" if count > len(package.first_files) else ""
    cell = stack(link_to(package, text), paths + more)
    return format_html("{} {}", cell, PICKLE) if package.has_pickle else cell


def files_panel(package: Package | None, *, holder: str = "run") -> Panel:
    if package is None:
        return Panel("Package", empty=f"This {holder} has no package.", wide=True)
    files = PackageFile.objects.filter(
        organization_id=package.organization_id, package_id=package.pk
    )
    return Panel(
        f"Files of {package.name}",
        ("Path", "Size", "SHA-256", "", ""),
        [file_line(file) for file in files.order_by("path")[:FILES_SHOWN]],
        link=list_url("registry_packagefile", package=package.pk),
        wide=True,
    )


def file_line(file: PackageFile) -> list[Any]:
    return [
        link_to(file, text(file.path)),
        size(file.size_bytes),
        code(file.sha256),
        pickle_badge(file.path),
        link(
            reverse("admin:registry_packagefile_download", args=[file.pk]), "Download"
        ),
    ]


def params_panel(params: QuerySet) -> Panel:
    rows = params.order_by("key")[:SHOWN]
    return Panel("Params", ("Param", "Value"), [[p.key, text(p.value)] for p in rows])


def versions_panel(versions: QuerySet, title: str) -> Panel:
    rows = versions.select_related("registered_model").order_by("-id")[:20]
    return Panel(
        title,
        ("Version", "Stage", "Status", "Created"),
        [version_line(version) for version in rows],
    )


def stage_badge(version: ModelVersion) -> str:
    if version.stage == Stage.NONE:
        return NOTHING
    return badge(version.get_stage_display(), STAGE_TONES.get(version.stage, ""))


def version_name(version: ModelVersion | None) -> str:
    if version is None:
        return NOTHING
    return link_to(version, f"{version.registered_model.name} v{version.version}")


DEPLOYMENT_TONES = {
    DeploymentStatus.ACTIVE: "success",
    DeploymentStatus.PENDING: "info",
    DeploymentStatus.FAILED: "danger",
    DeploymentStatus.RETIRED: "",
}


def deployment_badge(row: Deployment) -> str:
    tone = DEPLOYMENT_TONES[DeploymentStatus(row.status)]
    return badge(row.get_status_display(), tone)


def version_line(version: ModelVersion) -> list[Any]:
    return [
        version_name(version),
        stage_badge(version),
        version.get_status_display(),
        when(version.created_at),
    ]


def run_badge(run: Run) -> str:
    status = run.get_status_display()
    return badge(status, RUN_TONES[status])


def run_line(run: Run) -> list[Any]:
    return [
        stack(link_to(run), f"candidate {run.iid}"),
        run_badge(run),
        when(run.started_at),
        duration(run),
    ]


def duration(run: Run) -> str:
    if not run.end_time_ms or not run.start_time_ms:
        return NOTHING
    return lasting(max(run.end_time_ms - run.start_time_ms, 0) / 1000)


def text(value: str, longest: int = 400) -> SafeString | str:
    if not value:
        return NOTHING
    short = value if len(value) <= longest else value[:longest] + "…"
    return format_html('<span class="mp-break">{}</span>', short)


def tags_panel(tags: QuerySet, *, title: str = "Tags") -> Panel:
    rows = tags.order_by("key")[:SHOWN]
    return Panel(title, ("Key", "Value"), [[t.key, text(t.value)] for t in rows])


def listed(name: str, address: str, **filters: Any) -> SafeString:
    return link(list_url(address, **filters), name)
