"""Cleaning up in three steps, each of which may be stopped or killed anywhere.

Rules mark packages, which may be restored for some days; then their files and rows go;
then the bytes that no row refers to any more. Every step takes a few rows at a time, in
a transaction of its own, and finds by itself what is left to do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial, reduce
from operator import or_
from typing import Any, TypeVar
from uuid import UUID

from django.db.models import F, Q, QuerySet
from django.db.models.functions import Coalesce
from django.utils import timezone

from registry.models import (
    Blob,
    ModelVersion,
    Package,
    PackageFile,
    PackageStatus,
    RetentionEffect,
    RetentionRule,
)
from registry.services.retention import doomed_by, matched_by
from registry.services.scopes import Bound, Scope
from registry.storage.inventory import remove_blob, settle_interrupted
from tenants.services.deletion import new_mark

BATCH = 200
FILES = 1000
WINDOW = 5000
# How long a package waits that nobody deleted, and how long bytes wait for their row.
GRACE = timedelta(days=7)
BLOB_GRACE = timedelta(hours=24)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Cutoffs:
    """What was deleted, or stored, before these moments may go for good.

    Without a moment packages go when they can no longer be restored.
    """

    now: datetime
    packages: datetime | None
    blobs: datetime

    @classmethod
    def at(
        cls,
        now: datetime,
        *,
        grace: timedelta | None = None,
        blob_grace: timedelta = BLOB_GRACE,
    ) -> Cutoffs:
        packages = None if grace is None else now - grace
        return cls(now, packages, now - blob_grace)

    def over(self) -> Q:
        """Of packages with `since`, the moment that they were marked."""
        if self.packages is not None:
            return Q(since__lt=self.packages)
        undated = Q(purge_after=None, since__lt=self.now - GRACE)
        return undated | Q(purge_after__lte=self.now)


class BytesStillYoung(Exception):
    """An upload has stored the same bytes anew; the row of the blob stays."""


# 1: rules mark


def rules_of(project: UUID | None) -> list[RetentionRule]:
    rules = RetentionRule.objects.filter(
        is_enabled=True, effect=RetentionEffect.DELETE, project__deleted_at=None
    )
    rules = rules.filter(project_id=project) if project else rules
    return list(rules.select_related("project").order_by("pk"))


def mark(rule: RetentionRule) -> int:
    """Mark the next packages that the rule lets go; 0 when there are no more."""
    keys = list(doomed_by(rule).order_by("pk").values_list("pk", flat=True)[:BATCH])
    # Whoever registers a version of one meanwhile holds its row.
    locked = Package.objects.select_for_update(skip_locked=True).filter(pk__in=keys)
    held = [package.pk for package in locked.only("pk")]
    doomed = doomed_by(rule).filter(pk__in=held).values_list("pk", flat=True)
    return Package.objects.filter(pk__in=list(doomed)).update(
        **new_mark(rule),
        former_status=F("status"),
        status=PackageStatus.PENDING_DESTRUCTION,
        updated_at=timezone.now(),
    )


# 2: what is marked goes


def destructible(project: UUID | None, cutoffs: Cutoffs) -> QuerySet[Package]:
    since = Coalesce("deleted_at", "updated_at")
    versions = ModelVersion.objects.with_deleted().filter(package__isnull=False)
    packages = (
        Package.objects.with_deleted()
        .filter(status=PackageStatus.PENDING_DESTRUCTION)
        .alias(since=since)
        .filter(cutoffs.over())
        .exclude(pk__in=versions.values("package_id"))
        .exclude(kept(cutoffs.packages or cutoffs.now))
    )
    return packages.filter(project_id=project) if project else packages


def kept(now: datetime) -> Q:
    """What a rule keeps does not go, whoever has deleted it."""
    keeping = RetentionRule.objects.filter(is_enabled=True, effect=RetentionEffect.KEEP)
    held = [matched_by(rule, now, deleted=True).values("pk") for rule in keeping]
    return reduce(or_, (Q(pk__in=keys) for keys in held), Q(pk__in=[]))


def destroy(project: UUID | None, cutoffs: Cutoffs) -> int | None:
    """Remove some files of one package, or its last ones and its row.

    Returns how many rows of packages went; None when nothing is left to do.
    """
    packages = destructible(project, cutoffs).order_by("pk")
    key = packages.values_list("pk", flat=True).first()
    if key is None:
        return None
    package = (
        Package.objects.with_deleted()
        .select_for_update()
        .filter(pk=key, status=PackageStatus.PENDING_DESTRUCTION)
        .first()
    )
    if package is None:  # restored just now
        return 0
    files = PackageFile.objects.filter(
        organization_id=package.organization_id, package=package
    )
    some = list(files.values_list("pk", flat=True)[:FILES])
    release_blobs(some)
    PackageFile.objects.filter(pk__in=some).delete()
    if len(some) == FILES:
        return 0
    Package.objects.with_deleted().filter(pk=package.pk).delete()
    return 1


def release_blobs(files: Sequence[UUID]) -> None:
    """Let their bytes wait anew: a backup that is restored today finds them there."""
    held = PackageFile.objects.filter(pk__in=files).values("blob_id")
    Blob.objects.filter(pk__in=held).update(released_at=timezone.now())


# 3: bytes that nothing refers to


def unreferenced(
    after: UUID | None, before: datetime
) -> tuple[list[UUID], UUID | None]:
    """Look at the next blobs; return those without files, and where to go on."""
    young = Q(created_at__gte=before) | Q(released_at__gte=before)
    blobs = Blob.objects.exclude(young).order_by("pk")
    if after is not None:
        blobs = blobs.filter(pk__gt=after)
    window = list(blobs.values_list("pk", flat=True)[:WINDOW])
    files = PackageFile.objects.filter(blob__in=window)
    used = set(files.values_list("blob_id", flat=True).distinct())
    end = window[-1] if len(window) == WINDOW else None
    return [key for key in window if key not in used], end


def sweep_blob(key: UUID, before: datetime) -> int | None:
    """Remove a blob that no file refers to, and return its size.

    The row goes first, so that whatever refers to it refuses; it is locked until the
    bytes are gone, and an upload of the same bytes waits for it. Raises BytesStillYoung
    when such an upload came before, so that the caller's transaction ends unchanged.
    """
    blob = Blob.objects.select_for_update(skip_locked=True).filter(pk=key).first()
    if blob is None or (blob.released_at and blob.released_at >= before):
        return None
    if PackageFile.objects.filter(blob_id=key).exists():
        return None
    Blob.objects.filter(pk=key).delete()
    if not remove_blob(blob.organization_id, blob.sha256, before=before):
        raise BytesStillYoung
    return blob.size_bytes


def sweep(bound: Bound, before: datetime) -> Iterator[int]:
    """Yield the size of each blob that went."""
    settle_interrupted(before=before)
    after: UUID | None = None
    while True:
        with bound():
            keys, after = unreferenced(after, before)
        for key in keys:
            try:
                with bound():
                    size = sweep_blob(key, before)
            except BytesStillYoung:
                continue
            if size is not None:
                yield size
        if after is None:
            return


# All of it


@dataclass(slots=True)
class Tally:
    """What was done, or would be."""

    marked: int = 0
    destroyed: int = 0
    blobs: int = 0
    size_bytes: int = 0
    rules: list[dict[str, Any]] = field(default_factory=list)

    def note(self, rule: RetentionRule, organization: str, count: int) -> None:
        self.marked += count
        self.rules.append(
            {
                "organization": organization,
                "project": rule.project.slug,
                "rule": rule.name,
                "packages": count,
            }
        )


def plan(scope: Scope, tally: Tally, cutoffs: Cutoffs, bound: Bound) -> None:
    """Count what clean_up() would do, and change nothing."""
    if scope.is_on_hold(bound):
        return
    with bound():
        for rule in rules_of(scope.project):
            tally.note(rule, scope.slug, doomed_by(rule).count())
        tally.destroyed += destructible(scope.project, cutoffs).count()
    if scope.project:
        return
    after: UUID | None = None
    while True:
        with bound():
            keys, after = unreferenced(after, cutoffs.blobs)
            sizes = Blob.objects.filter(pk__in=keys).values_list(
                "size_bytes", flat=True
            )
            tally.size_bytes += sum(sizes)
        tally.blobs += len(keys)
        if after is None:
            return


def clean_up(
    scope: Scope, tally: Tally, cutoffs: Cutoffs, bound: Bound
) -> Iterator[None]:
    """Do it, and yield after every step: who wants to stop does so between two.

    Bytes are shared by all projects of an organization: for one alone they stay. So
    does everything while the organization is on legal hold.
    """
    if scope.is_on_hold(bound):
        return
    with bound():
        rules = rules_of(scope.project)
    for rule in rules:
        count = 0
        while marked := within(bound, partial(mark, rule)):
            count += marked
            yield
        tally.note(rule, scope.slug, count)
    step = partial(destroy, scope.project, cutoffs)
    while (destroyed := within(bound, step)) is not None:
        tally.destroyed += destroyed
        yield
    if scope.project:
        return
    for size in sweep(bound, cutoffs.blobs):
        tally.blobs += 1
        tally.size_bytes += size
        yield


def within(bound: Bound, step: Callable[[], Result]) -> Result:
    with bound():
        return step()
