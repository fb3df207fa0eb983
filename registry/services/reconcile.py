"""What does not fit together: packages and those they belong to, rows and bytes.

It only looks. Each check goes through its rows in batches, by a key, so that a survey
may be stopped anywhere; registry.services.repairs puts right what it finds.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Count, Exists, OuterRef, Q, QuerySet

from registry import relations
from registry.models import (
    Blob,
    LoggedModel,
    ModelVersion,
    Package,
    PackageFile,
    PackageStatus,
    PackageType,
    Run,
    RunTag,
)
from registry.services.runs import MODELS_TAG
from registry.services.scopes import Bound, Scope
from registry.storage import blob_name
from registry.storage.inventory import is_young, modified_at, read_shelf, shelves_of

BATCH = 1000
GREATEST_NUMBER = 2**63 - 1
# Addresses that say: the files are among the run's own.
OF_RUN = Q(source__startswith="runs:/") | Q(source__startswith="mlflow-artifacts:")
CANDIDATE = re.compile(r"ml_candidate_(0|[1-9][0-9]*)", re.ASCII)
LOGGED_MODEL = re.compile(r"ml_model_[0-9a-f]{32}")


class Kind(StrEnum):
    RUN_WITHOUT_PACKAGE = "run_without_package"
    MODEL_WITHOUT_PACKAGE = "model_without_package"
    PACKAGE_WITHOUT_RUN = "package_without_run"
    PACKAGE_WITHOUT_MODEL = "package_without_model"
    FOREIGN_NAME = "foreign_name"
    MALFORMED_NAME = "malformed_name"
    DUPLICATE = "duplicate"
    ROW_WITHOUT_BLOB = "row_without_blob"
    BLOB_WITHOUT_ROW = "blob_without_row"


@dataclass(frozen=True, slots=True)
class Discrepancy:
    """One thing that does not fit; `row` or `name` says where to put it right."""

    kind: Kind
    organization: UUID
    detail: str
    package: str = ""
    run: str = ""
    row: UUID | None = None
    name: str = ""


@dataclass(frozen=True, slots=True)
class Batch:
    """What one step has looked at; `after` is where the next one begins."""

    checked: int
    found: list[Discrepancy] = field(default_factory=list)
    after: Any = None


class Check(NamedTuple):
    step: Callable[[Scope, Any, datetime], Batch]
    # Bytes lie per organization: a project alone cannot be asked about them.
    of_projects: bool = True


def batches(scope: Scope, *, before: datetime, bound: Bound) -> Iterator[Batch]:
    """Look at everything; each step runs inside `bound()`, which opens a transaction.

    Bytes that were stored after `before` may belong to an upload under way.
    """
    for check in CHECKS:
        if scope.project and not check.of_projects:
            continue
        after = None
        while True:
            with bound():
                batch = check.step(scope, after, before)
            yield batch
            if batch.after is None:
                break
            after = batch.after


def page(rows: QuerySet, after: UUID | None) -> tuple[list[Any], UUID | None]:
    """Return the next rows by id, and where they end unless they are the last."""
    rows = rows.order_by("pk")
    if after is not None:
        rows = rows.filter(pk__gt=after)
    found = list(rows[:BATCH])
    return found, found[-1].pk if len(found) == BATCH else None


# Packages whose name says whose they are


def current() -> QuerySet:
    """Packages that hold their name: all but those that are to be destroyed."""
    packages: QuerySet = Package.objects.exclude(
        status=PackageStatus.PENDING_DESTRUCTION
    )
    return packages


def check_names(scope: Scope, after: UUID | None, before: datetime) -> Batch:
    reserved = Q(name__istartswith=relations.PREFIX) | Q(
        name__istartswith=relations.MODEL_PREFIX
    )
    packages = scope.narrow(current().filter(reserved).select_related("project"))
    rows, end = page(packages, after)
    owners = owners_of(rows)
    judged = (judge_name(scope, row, owners) for row in rows)
    return Batch(len(rows), [found for found in judged if found], end)


def owners_of(packages: Sequence[Package]) -> set[tuple[UUID, str]]:
    """Project and package name of those runs and logged models that there are.

    Deleted ones count: they may be restored.
    """
    numbers: dict[UUID, list[int]] = defaultdict(list)
    models: list[UUID] = []
    for package in packages:
        name = package.name
        if CANDIDATE.fullmatch(name) and number_of(name) <= GREATEST_NUMBER:
            numbers[package.project_id].append(number_of(name))
        elif LOGGED_MODEL.fullmatch(name):
            models.append(UUID(name.removeprefix(relations.MODEL_PREFIX)))
    found: list[Run | LoggedModel] = [
        *LoggedModel.objects.with_deleted().filter(pk__in=models).only("project_id")
    ]
    for project, iids in numbers.items():
        runs = Run.objects.with_deleted().filter(project_id=project, iid__in=iids)
        found += runs.only("project_id", "iid")
    return {(owner.project_id, owner.package_name) for owner in found}


def number_of(name: str) -> int:
    return int(name.removeprefix(relations.PREFIX))


def judge_name(
    scope: Scope, package: Package, owners: set[tuple[UUID, str]]
) -> Discrepancy | None:
    of_run = package.name.lower().startswith(relations.PREFIX)
    shape, kind = (
        (CANDIDATE, PackageType.CANDIDATE)
        if of_run
        else (LOGGED_MODEL, PackageType.MODEL)
    )
    owned = (package.project_id, package.name) in owners
    if not shape.fullmatch(package.name):
        return found_in(scope, Kind.MALFORMED_NAME, package, "no number, no id")
    if package.version != relations.VERSION:
        said = f"version {package.version!r} under a name that has only '-'"
        return found_in(scope, Kind.FOREIGN_NAME, package, said)
    if package.type != kind:
        said = f"type {package.type} under a name of type {kind}"
        return found_in(scope, Kind.FOREIGN_NAME, package, said)
    if owned:
        return None
    missing = Kind.PACKAGE_WITHOUT_RUN if of_run else Kind.PACKAGE_WITHOUT_MODEL
    return found_in(scope, missing, package, "its project has none of that name")


def found_in(scope: Scope, kind: Kind, package: Package, said: str) -> Discrepancy:
    where = f"{scope.slug}/{package.project.slug}"
    return Discrepancy(
        kind,
        scope.organization,
        f"{where}: package {package.pk}: {said}",
        package=package.name,
        row=package.pk,
    )


# Several packages under one name: the index on live names lets none in, an import that
# went without it may have


def check_duplicates(scope: Scope, after: None, before: datetime) -> Batch:
    names = scope.narrow(current()).order_by().values("project", "name", "version")
    twins = names.annotate(together=Count("pk")).filter(together__gt=1)
    found: list[Discrepancy] = []
    for twin in twins:
        found += judge_twins(scope, twin)
    return Batch(0, found)


def judge_twins(scope: Scope, twin: dict[str, Any]) -> list[Discrepancy]:
    named = {name: twin[name] for name in ("project", "name", "version")}
    rows = current().filter(**named).select_related("project")
    kept, *others = sorted(rows.annotate(file_count=Count("files")), key=worth)
    return [
        found_in(scope, Kind.DUPLICATE, row, f"{kept.pk} holds the name as well")
        for row in others
    ]


def worth(package: Any) -> tuple[Any, ...]:
    """First what a model version refers to, then what has most files, then the oldest.

    Packages that nobody may read come last.
    """
    readable = package.status in Package.objects.all().READABLE
    referred = ModelVersion.objects.with_deleted().filter(package=package).exists()
    return not readable, not referred, -package.file_count, package.pk


# Runs and logged models that say they have files, and have no package


def check_runs(scope: Scope, after: UUID | None, before: datetime) -> Batch:
    rows, end = page(scope.narrow(Run.objects.all()).only("pk"), after)
    versions = ModelVersion.objects.filter(OF_RUN, run=OuterRef("pk"))
    tags = RunTag.objects.filter(run=OuterRef("pk"), key=MODELS_TAG)
    said = Exists(versions) | Exists(tags.exclude(value__in=("", "[]")))
    bare = Run.objects.filter(
        ~Exists(relations.packages_of_outer_run()),
        said,
        pk__in=[row.pk for row in rows],
    )
    found = [lost_by_run(scope, run) for run in bare.select_related("project")]
    return Batch(len(rows), [each for each in found if each], end)


def lost_by_run(scope: Scope, run: Run) -> Discrepancy | None:
    """None while a package of the name is there that nobody may read yet."""
    return lost_by(scope, Kind.RUN_WITHOUT_PACKAGE, run, run.pk.hex)


def check_models(scope: Scope, after: UUID | None, before: datetime) -> Batch:
    live = scope.narrow(LoggedModel.objects.all()).select_related("project")
    rows, end = page(live, after)
    versions = ModelVersion.objects.filter(logged_model__in=rows)
    asked = set(versions.values_list("logged_model_id", flat=True))
    models = [row for row in rows if row.pk in asked]
    packages = relations.packages_of(models) if models else Package.objects.none()
    held = set(packages.values_list("name", flat=True))
    found = [
        lost_by(scope, Kind.MODEL_WITHOUT_PACKAGE, model, model.pk.hex)
        for model in models
        if model.package_name not in held
    ]
    return Batch(len(rows), [each for each in found if each], end)


def lost_by(scope: Scope, kind: Kind, owner: Any, key: str) -> Discrepancy | None:
    taken = current().filter(
        project=owner.project_id, name=owner.package_name, version=relations.VERSION
    )
    if taken.exists():
        return None
    where = f"{scope.slug}/{owner.project.slug}"
    return Discrepancy(
        kind,
        scope.organization,
        f"{where}: a version or tag says that files were logged, and there are none",
        package=owner.package_name,
        run=key if kind == Kind.RUN_WITHOUT_PACKAGE else "",
        row=owner.pk,
    )


# Rows and bytes


def check_bytes(scope: Scope, after: str | None, before: datetime) -> Batch:
    """Compare rows and bytes whose digests begin with the same two digits.

    Rows are read first: what is stored meanwhile is no row without bytes.
    """
    prefix = after or next_prefix(scope, "")
    if prefix is None:
        return Batch(0)
    rows = rows_of(prefix)
    shelf = read_shelf(scope.organization, prefix)
    lost = [
        lost_bytes(scope, row, sha256)
        for sha256, row in sorted(rows.items())
        if sha256 not in shelf.digests and is_still_lost(scope, sha256)
    ]
    names = [blob_name(scope.organization, d) for d in shelf.digests - rows.keys()]
    strays = [
        Discrepancy(
            Kind.BLOB_WITHOUT_ROW,
            scope.organization,
            f"{scope.slug}: bytes that no row names: {name}",
            name=name,
        )
        for name in sorted([*names, *shelf.strays])
        if is_still_stray(name, before)
    ]
    looked_at = len(rows.keys() | shelf.digests)
    return Batch(looked_at, [*lost, *strays], next_prefix(scope, prefix))


def next_prefix(scope: Scope, beyond: str) -> str | None:
    """The next two digits with which any row or any bytes begin."""
    following = Blob.objects.filter(sha256__gt=f"{beyond}g" if beyond else "")
    first = following.order_by("sha256").values_list("sha256", flat=True).first()
    shelves = [each for each in shelves_of(scope.organization) if each > beyond]
    return min([*shelves[:1], *([first[:2]] if first else [])], default=None)


def rows_of(prefix: str) -> dict[str, UUID]:
    blobs = Blob.objects.filter(sha256__gte=prefix, sha256__lt=f"{prefix}g")
    return dict(blobs.values_list("sha256", "pk"))


def is_still_lost(scope: Scope, sha256: str) -> bool:
    return modified_at(blob_name(scope.organization, sha256)) is None


def is_still_stray(name: str, before: datetime) -> bool:
    """Neither taken away by a sweep meanwhile, nor of an upload under way."""
    return modified_at(name) is not None and not is_young(name, before)


def lost_bytes(scope: Scope, row: UUID, sha256: str) -> Discrepancy:
    files = PackageFile.objects.filter(blob=row).select_related("package")
    first = files.order_by("pk").first()
    where = f", the first {first.package.name}/{first.path}" if first else ""
    return Discrepancy(
        Kind.ROW_WITHOUT_BLOB,
        scope.organization,
        f"{scope.slug}: no bytes for {sha256}; {files.count()} files{where}",
        package=first.package.name if first else "",
        row=row,
        name=sha256,
    )


CHECKS = (
    Check(check_names),
    Check(check_duplicates),
    Check(check_runs),
    Check(check_models),
    Check(check_bytes, of_projects=False),
)


def counted(found: Sequence[Discrepancy]) -> dict[str, int]:
    return dict(Counter(str(each.kind) for each in found))
