"""Which tenants a command or a job of the registry works on, one after another."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from mlops.errors import InvalidInput
from tenants.context import Actor, acting_as
from tenants.models import Organization, Project
from tenants.unscoped import every_organization

Bound = Callable[[], AbstractContextManager[Any]]


@dataclass(frozen=True, slots=True)
class Scope:
    """One organization, or one project of it."""

    organization: UUID
    slug: str
    project: UUID | None = None

    def narrow(self, rows: Any) -> Any:
        return rows.in_project(self.project) if self.project else rows

    def is_on_hold(self, bound: Bound) -> bool:
        """Whether the organization is on legal hold: nothing of it goes then."""
        with bound():
            rows = Organization.objects.with_deleted()
            return rows.filter(pk=self.organization, legal_hold=True).exists()

    def bound_as(self, name: str, *, reason: str) -> Bound:
        """Return what opens a transaction bound to the organization."""

        def bound() -> AbstractContextManager[Any]:
            return acting_as(name, organization=self.organization, reason=reason)

        return bound


def scopes(
    name: str, *, organization: str | None = None, project: str | None = None
) -> list[Scope]:
    """All organizations, or what the slugs name; raises InvalidInput for none.

    Deleted organizations keep their packages until the purge, so they count.
    """
    kind, _, label = name.partition(":")
    actor = Actor(kind=kind, label=label)
    with every_organization(actor, reason="finding what to work on"):
        if organization is None:
            rows = (
                Organization.objects.with_deleted()
                .order_by("slug")
                .values_list("pk", "slug")
            )
            return [Scope(key, slug) for key, slug in rows]
        row = _find(Organization, "organization", organization)
        if project is None:
            return [Scope(row.pk, row.slug)]
        found = _find(Project, "project", project, organization=row)
        return [Scope(row.pk, row.slug, found.pk)]


def _find(model: Any, option: str, slug: str, **within: Any) -> Any:
    row = model.objects.with_deleted().filter(slug=slug, **within).first()
    if row is None:
        raise InvalidInput(f"{option}={slug!r}: there is none of that name.")
    return row
