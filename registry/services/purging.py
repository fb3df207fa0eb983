"""The purge: what was deleted long enough ago goes for good, children first.

A deletion says until when its rows may be restored (`purge_after`); after that each
step takes up to so many rows in a transaction of its own. What is left to do is found
anew each time, so a purge may be stopped or killed anywhere. A row whose children did
not all fit into one step is marked as being purged: it cannot be restored any more.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from uuid import UUID

from django.apps import apps
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, IntegrityError, connections, models
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from mlops.db.locks import advisory_lock
from mlops.errors import InvalidInput
from registry import relations
from registry.models import (
    Blob,
    Deployment,
    Experiment,
    LoggedModel,
    LoggedModelMetric,
    ModelVersion,
    Package,
    PackageFile,
    RegisteredModel,
    Run,
)
from registry.services.cleanup import release_blobs
from registry.services.scopes import Bound, Scope
from registry.sql import purging as sql
from tenants.context import bound_alias, record
from tenants.models import Organization, Project, SoftDeleted, Tombstone

logger = logging.getLogger(__name__)

BATCH = 1000
# Of a table, from so many rows on: beyond this share its purge comes too seldom.
MOST_DELETED, SMALLEST = 0.3, 1000
# How long nobody else gets the address of what was purged.
RESERVED = timedelta(days=365)
# The trail outlives what it tells of.
KEPT_APPS = frozenset({"audit"})
# What these refer to stays as long as they do.
HOLDING = frozenset(
    {
        ("ModelVersion", "run"),
        ("ModelVersion", "logged_model"),
        ("ModelVersion", "package"),
        ("Deployment", "model_version"),
    }
)
# A surviving model keeps what a purged run has logged of it, and the run's id as text;
# bytes go by their own sweep.
OUTLIVING = frozenset(
    {
        ("LoggedModelMetric", "run"),
        ("LoggedModel", "source_run"),
        ("Blob", "organization"),
    }
)


# The order of things


@cache
def roots() -> tuple[type[SoftDeleted], ...]:
    """All that can be deleted and restored, what others refer to after those."""
    left = [m for m in apps.get_models() if issubclass(m, SoftDeleted)]
    order: list[type[SoftDeleted]] = []
    while left:
        free = next(m for m in left if not _referring(m) & {*left} - {m})
        left.remove(free)
        order.append(free)
    return tuple(order)


def _referring(model: type[models.Model]) -> set[type[models.Model]]:
    return {each.model for each in fields_below(model)}


@cache
def fields_below(model: type[models.Model]) -> tuple[models.ForeignKey, ...]:
    """The foreign keys to the model, of whatever app."""
    found = (relation.field for relation in model._meta.related_objects)
    return tuple(
        each
        for each in found
        if isinstance(each, models.ForeignKey)
        and each.model._meta.app_label not in KEPT_APPS
        and not each.model._meta.auto_created
    )


def noun_of(model: type[models.Model]) -> str:
    return str(model._meta.verbose_name)


def _name(each: models.ForeignKey) -> tuple[str, str]:
    return each.model.__name__, each.name


def using() -> str:
    return bound_alias() or DEFAULT_DB_ALIAS


# What may go


@dataclass(frozen=True, slots=True)
class Asked:
    """What a purge is about; without anything all that may no longer be restored."""

    now: datetime
    # Deleted before this moment, whatever was promised at the deletion.
    before: datetime | None = None
    # Ids of runs and of experiments: these alone, at once.
    runs: tuple[UUID, ...] = ()
    experiments: tuple[UUID, ...] = ()

    @property
    def names_rows(self) -> bool:
        return bool(self.runs or self.experiments)

    def condition(self, model: type[SoftDeleted]) -> Q:
        if self.names_rows:
            named = self.runs if model is Run else ()
            chosen = Q(pk__in=self.experiments if model is Experiment else named)
            return chosen & Q(deleted_at__lt=self.before or self.now)
        if self.before is not None and not issubclass(model, Tombstone):
            return Q(deleted_at__lt=self.before)
        if self.before is not None:
            # What is a tombstone already keeps its time.
            return Q(purged_at=None, deleted_at__lt=self.before) | Q(
                purged_at__isnull=False, purge_after__lte=self.now
            )
        return Q(purge_after__lte=self.now)


def due(model: type[SoftDeleted], scope: Scope, asked: Asked) -> QuerySet:
    rows = model._default_manager.with_deleted()  # type: ignore[attr-defined]
    rows = rows.filter(asked.condition(model), deleted_at__isnull=False)
    if model is Organization:
        own = rows.filter(pk=scope.organization)
        return own if scope.project is None else own.none()
    rows = rows.filter(organization_id=scope.organization)
    if scope.project is None:
        return rows
    return _in_project(rows, scope.project)


def _in_project(rows: QuerySet, project: UUID) -> QuerySet:
    if rows.model is Project:
        return rows.filter(pk=project)
    names = {each.name for each in rows.model._meta.concrete_fields}
    return rows.filter(project_id=project) if "project" in names else rows.none()


def held(model: type[SoftDeleted]) -> Q:
    """What something refers to that stays: a model version, or a deployment."""
    versions = ModelVersion.objects.with_deleted()
    deployments = Deployment.objects.with_deleted()
    if model is Run:
        return Q(Exists(versions.filter(run=OuterRef("pk")))) | _packed(model)
    if model is LoggedModel:
        return Q(Exists(versions.filter(logged_model=OuterRef("pk")))) | _packed(model)
    if model is Experiment:
        of_runs = versions.filter(run__experiment=OuterRef("pk"))
        of_models = versions.filter(logged_model__experiment=OuterRef("pk"))
        return Q(Exists(of_runs)) | Q(Exists(of_models))
    if model is Package:
        return Q(Exists(versions.filter(package=OuterRef("pk"))))
    if model is ModelVersion:
        return Q(Exists(deployments.filter(model_version=OuterRef("pk"))))
    if model is RegisteredModel:
        path = "model_version__registered_model"
        return Q(Exists(deployments.filter(**{path: OuterRef("pk")})))
    return Q(pk__in=[])


def _packed(model: type[SoftDeleted]) -> Q:
    """A version refers to the package whose name says that it is this one's."""
    if model is Run:
        packages = relations.packages_of_outer_run()
    else:
        packages = relations.packages_of_outer_model()
    used = ModelVersion.objects.with_deleted().filter(package=OuterRef("pk"))
    return Q(Exists(packages.filter(Exists(used))))


# One step


@dataclass(slots=True)
class Step:
    """What one transaction removes: at most `room` rows, children first."""

    organization: UUID
    room: int
    is_whole: bool = False
    gone: dict[str, list[Any]] = field(default_factory=dict)

    def clear(self, model: type[models.Model], keys: Sequence[UUID]) -> bool:
        """Remove the rows and all below them; False when there was not room enough."""
        if not self.clear_below(model, keys):
            return False
        some = keys[: self.room]
        if some:
            self._remove(model, some)
        return len(some) == len(keys)

    def clear_below(self, model: type[models.Model], keys: Sequence[UUID]) -> bool:
        if model in (Run, LoggedModel) and not self._clear_packages(model, keys):
            return False
        for each in fields_below(model):
            if not self._is_skipped(each) and not self._clear_children(each, keys):
                return False
        if model is Run:
            sql.forget_runs(using(), self.organization, keys)
        return True

    def _is_skipped(self, each: models.ForeignKey) -> bool:
        name = _name(each)
        if each.model in (Blob, LoggedModelMetric) and name in OUTLIVING:
            return True
        return not self.is_whole and name in HOLDING | OUTLIVING

    def _clear_children(self, each: models.ForeignKey, keys: Sequence[UUID]) -> bool:
        while self.room > 0:
            found = sql.below(using(), each, self.organization, keys, self.room)
            if not found:
                return True
            if not self.clear(each.model, found):
                return False
        return not sql.below(using(), each, self.organization, keys, 1)

    def _clear_packages(self, model: type[models.Model], keys: Sequence[UUID]) -> bool:
        owners: list[Any] = list(model._base_manager.filter(pk__in=keys))
        named = relations.matching(owners)
        packages = Package.objects.with_deleted().filter(named)
        found = list(packages.values_list("pk", flat=True)[: self.room + 1])
        return self.clear(Package, found)

    def _remove(self, model: type[models.Model], keys: Sequence[UUID]) -> None:
        if model is PackageFile:
            release_blobs(keys)
        purged = sql.purge(using(), model, self.organization, keys)
        table = model._meta.db_table
        self.gone.setdefault(table, []).append(purged)
        self.room -= len(keys)

    @property
    def rows(self) -> Counter[str]:
        return Counter(
            {
                table: sum(each.rows for each in all_)
                for table, all_ in self.gone.items()
            }
        )

    def leave_word(self, model: type[SoftDeleted], keys: Sequence[UUID]) -> None:
        """One entry for all of it; rows that are captured have one each beside it."""
        if not self.gone:
            return
        digests = {t: [each.sha256 for each in parts] for t, parts in self.gone.items()}
        record(
            "batch.purged",
            target=named(model, keys[0]) if len(keys) == 1 else None,
            of=model._meta.db_table,
            ids=[str(key) for key in keys],
            rows=dict(self.rows),
            sha256=digests,
        )


def named(model: type[models.Model], key: UUID) -> models.Model:
    """Stand for a row that is gone."""
    return model(**{model._meta.pk.name: key})


# All of it


@dataclass(slots=True)
class Tally:
    """What went, or would go; `held` is what something refers to that stays."""

    purged: Counter[str] = field(default_factory=Counter)
    held: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)
    planned: int = 0
    on_hold: list[str] = field(default_factory=list)


def plan(scope: Scope, tally: Tally, asked: Asked, bound: Bound) -> None:
    """Count what purge() would remove, and change nothing."""
    if scope.is_on_hold(bound):
        tally.on_hold.append(scope.slug)
        return
    for model in roots():
        with bound():
            rows = due(model, scope, asked)
            kept = rows.filter(held(model)).count()
            going = rows.exclude(held(model))
            tally.held[noun_of(model)] += kept
            tally.purged[noun_of(model)] += going.count()
            if not issubclass(model, Tombstone):
                _count_below(model, going, tally.rows)


def _count_below(
    model: type[models.Model], rows: QuerySet, counts: Counter[str]
) -> None:
    counts[model._meta.db_table] += rows.count()
    for each in fields_below(model):
        if _name(each) in HOLDING | OUTLIVING:
            continue
        children = each.model._base_manager.filter(
            **{f"{each.name}__in": rows.order_by().values("pk")}
        )
        if children.exists():
            _count_below(each.model, children, counts)


def purge(
    scope: Scope, tally: Tally, asked: Asked, bound: Bound, *, batch: int = BATCH
) -> Iterator[None]:
    """Remove it, and yield after every step: who wants to stop does so between two."""
    if scope.is_on_hold(bound):
        tally.on_hold.append(scope.slug)
        return
    with bound():
        tally.planned += plan_undated(scope)
    for model in roots():
        yield from _purge_all(model, scope, tally, asked, bound, batch)


def plan_undated(scope: Scope) -> int:
    """Date what was deleted by other hands than our services."""
    return sum(sql.plan(using(), model, scope.organization) for model in roots())


def _purge_all(
    model: type[SoftDeleted],
    scope: Scope,
    tally: Tally,
    asked: Asked,
    bound: Bound,
    batch: int,
) -> Iterator[None]:
    one_by_one = issubclass(model, Tombstone)
    passed_over: list[UUID] = []
    while True:
        rows = due(model, scope, asked).exclude(pk__in=passed_over)
        try:
            with bound():
                keys = _claim(model, rows, 1 if one_by_one else batch)
                done = _step(model, keys, scope, tally, asked.now, batch) if keys else 0
        except IntegrityError:
            # Somebody has begun to refer to one of them since they were chosen.
            logger.warning("%s are referred to; left for the next purge", keys)
            passed_over += keys
            continue
        if not keys:
            break
        if done is None:
            passed_over += keys
            continue
        tally.purged[noun_of(model)] += done
        yield
    with bound():
        tally.held[noun_of(model)] += (
            due(model, scope, asked).filter(held(model)).count()
        )


def _claim(model: type[SoftDeleted], rows: QuerySet, count: int) -> list[UUID]:
    """Lock the next rows; who refers to one waits, who restores one does, too."""
    chosen = rows.exclude(held(model)).order_by("purge_after", "pk")
    keys = list(chosen.values_list("pk", flat=True)[:count])
    locked = model._base_manager.select_for_update(skip_locked=True).filter(
        pk__in=keys, deleted_at__isnull=False
    )
    keys = list(locked.order_by("pk").values_list("pk", flat=True))
    free = model._base_manager.filter(pk__in=keys).exclude(held(model))
    return list(free.order_by("pk").values_list("pk", flat=True))


def _step(
    model: type[SoftDeleted],
    keys: list[UUID],
    scope: Scope,
    tally: Tally,
    now: datetime,
    batch: int,
) -> int | None:
    """Return how many of the rows are gone; None where nothing could go."""
    step = Step(scope.organization, batch, is_whole=issubclass(model, Tombstone))
    if issubclass(model, Tombstone):
        is_done = _bury(model, keys[0], step, now)
    else:
        is_done = step.clear(model, keys)
    step.leave_word(model, keys)
    tally.rows += step.rows
    if is_done:
        return len(keys)
    left = model._base_manager.filter(pk__in=keys)
    count = left.update(purge_after=F("deleted_at"))
    return len(keys) - count if step.gone else None


def _bury(model: type[SoftDeleted], key: UUID, step: Step, now: datetime) -> bool:
    """Empty it but for its address, which is kept for a year; then it goes as well."""
    row: Any = model._base_manager.get(pk=key)
    if row.purged_at is not None:
        return step.clear(model, [key])
    if not step.clear_below(model, [key]) or _has_bytes(row):
        return False
    row.name, row.metadata = row.slug, {}
    row.purged_at, row.purge_after = now, now + RESERVED
    emptied = ["name", "metadata", "purged_at", "purge_after", "updated_at"]
    if isinstance(row, Project):
        row.description = ""
        emptied.append("description")
    row.save(update_fields=emptied)
    return True


def _has_bytes(row: Any) -> bool:
    """Those of an organization go by the sweep, a day after the last file."""
    if not isinstance(row, Organization):
        return False
    return Blob.objects.filter(organization=row).exists()


def now_due(now: datetime) -> set[UUID]:
    """Organizations in which something may go; all of them must be bound."""
    found: set[UUID] = set()
    for model in roots():
        rows = model._default_manager.with_deleted()  # type: ignore[attr-defined]
        rows = rows.filter(deleted_at__isnull=False, purge_after__lte=now).order_by()
        owner = "pk" if model is Organization else "organization_id"
        found |= set(rows.values_list(owner, flat=True).distinct())
    return found


def alone(scope: Scope) -> AbstractContextManager[None]:
    """One purge of an organization at a time. Raises Unavailable beside another."""
    return advisory_lock(
        connections[settings.ADMIN_ALIAS], f"purge:{scope.organization}"
    )


def experiments_of(scope: Scope, numbers: Sequence[int]) -> tuple[UUID, ...]:
    """Raises InvalidInput for a number that is none of a deleted experiment."""
    rows = scope.narrow(Experiment.objects.with_deleted())
    rows = rows.filter(iid__in=numbers, deleted_at__isnull=False)
    found = dict(rows.values_list("iid", "pk"))
    for number in numbers:
        if number not in found:
            raise InvalidInput(f"experiment {number}: no deleted one has the number.")
    return tuple(found.values())


def deleted_shares(alias: str) -> list[tuple[str, float]]:
    """Tables of which more is deleted than is good for those who read the rest."""
    tables = [model._meta.db_table for model in roots()]
    shares = sql.deleted_shares(alias, tables, smallest=SMALLEST)
    return [(table, share) for table, share in shares if share > MOST_DELETED]
