"""Runs amid rows that try to pass for their packages."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.db import connection

from registry import relations
from registry.models import Package, PackageFile, Run
from registry.tests.factories import (
    BlobFactory,
    ExperimentFactory,
    RunFactory,
)
from tenants.models import Project

SIZES = [1, 20, 200, 1000]
READABLE = ["default", "hidden", "deprecated"]
UNREADABLE = ["processing", "error", "pending_destruction"]
WHOLE = "package__files"


@dataclass
class Packages:
    """Rows to be stored at once, in the order in which they were asked for."""

    packages: list[Package] = field(default_factory=list)
    files: list[PackageFile] = field(default_factory=list)
    blobs: dict[UUID, Any] = field(default_factory=dict)
    impostors: set[tuple[UUID, str]] = field(default_factory=set)

    def add(
        self, project: Project, name: str, version: str = "-", *, files: int = 2, **more
    ) -> Package:
        organization = project.organization_id
        package = Package(
            organization_id=organization,
            project=project,
            name=name,
            version=version,
            **more,
        )
        self.packages.append(package)
        if organization not in self.blobs:
            self.blobs[organization] = BlobFactory(organization_id=organization)
        for number in range(files):
            file = PackageFile(
                organization_id=organization,
                package=package,
                path=f"{package.pk.hex}/{number}",
                size_bytes=3,
                sha256=self.blobs[organization].sha256,
                blob=self.blobs[organization],
            )
            self.files.append(file)
        return package

    def store(self) -> None:
        with without_triggers():
            Package._base_manager.bulk_create(self.packages)
            PackageFile._base_manager.bulk_create(self.files)


@contextmanager
def without_triggers() -> Iterator[None]:
    """Store many rows fast: they are known to be consistent, and not to be audited."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        yield
        cursor.execute("SET LOCAL session_replication_role = origin")


@dataclass
class Page:
    """Runs, and the package that each of them must be given."""

    runs: list[Run]
    right: dict[UUID, UUID | None]

    def query(self, *prefetch: str) -> list[Run]:
        rows = Run.objects.filter(pk__in=[run.pk for run in self.runs]).order_by("id")
        return list(rows.prefetch_related(*prefetch))

    def faults(self, runs: list[Run]) -> list[str]:
        assert [run.pk for run in runs] == [run.pk for run in self.runs]
        return [fault for run in runs for fault in self._faults_of(run)]

    def _faults_of(self, run: Run) -> Iterator[str]:
        right = self.right[run.pk]
        found = run.package.pk if run.package else None
        if found != right:
            yield f"run {run.iid} of {run.project_id} was given {found}"
        for file in run.package.files.all() if run.package else ():
            if right is None or not file.path.startswith(right.hex):
                yield f"run {run.iid} was given the file {file.path}"


def add_impostors(stored: Packages, run: Run, elsewhere: list[Project]) -> None:
    name = relations.name_of(run)
    for project in elsewhere:
        if (project.pk, name) not in stored.impostors:
            stored.impostors.add((project.pk, name))
            stored.add(project, name)
    for version in ("2", "candidate_7", "1.0"):
        stored.add(run.project, name, version)
    stored.add(run.project, name, status="pending_destruction")
    stored.add(run.project, name, deleted_at=datetime.now(UTC))


def add_right(stored: Packages, run: Run, number: int) -> UUID | None:
    """Every fifth run has none, and one in five one that nobody may read yet."""
    match number % 5:
        case 1:
            return None
        case 2:
            stored.add(run.project, relations.name_of(run), status="processing")
            return None
        case 3:
            return stored.add(run.project, relations.name_of(run), status="hidden").pk
    return stored.add(run.project, relations.name_of(run)).pk


def make_page(count: int, projects: list[Project], elsewhere: list[Project]) -> Page:
    """Store runs spread over `projects`, with impostors before and after the right."""
    experiments = [ExperimentFactory(project=project) for project in projects]
    runs = [
        RunFactory.build(experiment=experiment, iid=number // len(projects) + 1)
        for number, experiment in zip(range(count), itertools.cycle(experiments))
    ]
    Run._base_manager.bulk_create(runs)
    stored, right = Packages(), {}
    for number, run in enumerate(runs):
        if number % 2:
            add_impostors(stored, run, elsewhere)
        right[run.pk] = add_right(stored, run, number)
        if number % 2 == 0:
            add_impostors(stored, run, elsewhere)
    stored.store()
    return Page(sorted(runs, key=lambda run: run.pk), right)


def fresh(run):
    return Run.objects.get(pk=run.pk)


def prefetched(run):
    return Run.objects.prefetch_related("package").get(pk=run.pk)
