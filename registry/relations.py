"""The virtual foreign key: a run's package is the one named `ml_candidate_<iid>`.

The rule stands here once, as a relation for Django's prefetch protocol and as SQL for
reports: same project, that name, the contract version, live packages only.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Any, TypeAlias

from django.apps import apps
from django.db.models import CharField, F, OuterRef, Q, Value
from django.db.models.functions import Cast, Concat, Replace

if TYPE_CHECKING:
    from registry.models import LoggedModel, Package, Run
    from registry.querysets import PackageQuerySet

    Owner: TypeAlias = Run | LoggedModel

PREFIX = "ml_candidate_"
# What a logged model's package is called, before its id: the same rule, another name.
MODEL_PREFIX = "ml_model_"
VERSION = "-"

PackageKey = tuple[Any, Any, str]


@dataclass(slots=True)
class Allowance:
    """How many packages may still be read one by one."""

    reads: int


_allowance: ContextVar[Allowance | None] = ContextVar("allowance", default=None)


class NotPrefetched(RuntimeError):
    """A list read the package of one row; prefetch it for all of them."""


@contextmanager
def strict_relations(*, spare: int = 0) -> Iterator[None]:
    """Inside, a package that was not prefetched raises instead of costing a query.

    For code that shows many rows: there, one query per row is a fault of the code.
    `spare` reads are let through, for code that also looks at single rows.
    """
    token = _allowance.set(Allowance(spare))
    try:
        yield
    finally:
        _allowance.reset(token)


def all_packages() -> PackageQuerySet:
    """With the deleted ones: that they do not count is said in `live()` alone."""
    manager = apps.get_model("registry", "Package").objects
    packages: PackageQuerySet = manager.with_deleted()
    return packages


def name_of(row: Owner) -> str:
    return row.package_name


def key_of_run(run: Owner) -> PackageKey:
    return run.organization_id, run.project_id, name_of(run)


def key_of_package(package: Package) -> PackageKey:
    return package.organization_id, package.project_id, package.name


class CandidatePackage:
    """Descriptor of `Run.package`; speaks the protocol of prefetch_related.

    Reading it costs one query unless it was prefetched; None when the run has no
    package. `prefetch_related("package__files")` takes 3 queries for any page. Raises
    NotPrefetched instead of querying inside `strict_relations()`.
    """

    name = "package"
    # Prefetching asks for these of a forward relation.
    is_relation = True

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, run: Owner | None, owner: type | None = None) -> Any:
        if run is None:
            return self
        if not self.is_cached(run):
            run._state.fields_cache[self.name] = self._find(run)
        return run._state.fields_cache[self.name]

    def __set__(self, run: Owner, package: Package | None) -> None:
        run._state.fields_cache[self.name] = package

    def is_cached(self, run: Owner) -> bool:
        return self.name in run._state.fields_cache

    def get_prefetch_querysets(
        self, instances: Sequence[Owner], querysets: Any = None
    ) -> tuple[
        PackageQuerySet,
        Callable[[Package], PackageKey],
        Callable[[Owner], PackageKey],
        bool,
        str,
        bool,
    ]:
        packages = packages_of(instances, querysets[0] if querysets else None)
        return packages, key_of_package, key_of_run, True, self.name, False

    def _find(self, run: Owner) -> Package | None:
        allowance = _allowance.get()
        if allowance is not None:
            allowance.reads -= 1
        if allowance is not None and allowance.reads < 0:
            raise NotPrefetched(
                f'The package of run {run.pk} was read alone; add prefetch_related("'
                f'{self.name}") to the query set of the list.'
            )
        return packages_of([run]).first()


def packages_of(
    runs: Sequence[Owner], packages: PackageQuerySet | None = None
) -> PackageQuerySet:
    """Narrow `packages` to those of the runs: live and of the contract version."""
    packages = all_packages() if packages is None else packages
    packages = packages.using(runs[0]._state.db).live()
    return packages.filter(matching(runs), version=VERSION)


def matching(runs: Sequence[Owner]) -> Q:
    """Project and names in pairs: two independent lists would mix the projects."""
    names: dict[tuple[Any, Any], list[str]] = defaultdict(list)
    for run in runs:
        names[run.organization_id, run.project_id].append(name_of(run))
    groups = (
        Q(organization_id=organization, project_id=project, name__in=found)
        for (organization, project), found in names.items()
    )
    return reduce(or_, groups)


def packages_of_outer_run() -> PackageQuerySet:
    """Packages of the run in the outer query, for Exists and Subquery."""
    return (
        all_packages()
        .live()
        .filter(
            version=VERSION,
            organization_id=OuterRef("organization_id"),
            project_id=OuterRef("project_id"),
            name=Concat(Value(PREFIX), Cast(OuterRef("iid"), CharField())),
        )
    )


def packages_of_outer_model() -> PackageQuerySet:
    """Packages of the logged model in the outer query, deleted ones as well."""
    key = Replace(Cast(OuterRef("pk"), CharField()), Value("-"), Value(""))
    return all_packages().filter(
        organization_id=OuterRef("organization_id"),
        project_id=OuterRef("project_id"),
        name=Concat(Value(MODEL_PREFIX), key),
    )


def package_name_of_run() -> Concat:
    """The name as an expression over runs, for annotations."""
    return Concat(Value(PREFIX), Cast(F("iid"), CharField()))
