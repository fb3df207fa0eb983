"""Soft deletion: the mark that goes on a row, and what belongs to one deletion."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, TypedDict
from uuid import UUID

from django.db import models
from django.utils import timezone

from mlops.db.uuid7 import uuid7
from mlops.errors import Conflict, InvalidState
from tenants.context import acting
from tenants.models import Organization
from tenants.permissions import demand_maintainer


class Mark(TypedDict):
    deleted_at: datetime | None
    deleted_by: UUID | None
    delete_batch: UUID | None
    purge_after: datetime | None


FIELDS = ("deleted_at", "deleted_by", "delete_batch", "purge_after")
UNMARKED = Mark(deleted_at=None, deleted_by=None, delete_batch=None, purge_after=None)


def new_mark(row: Any) -> Mark:
    """Make the mark of a deletion of `row`; all that goes along carries its batch.

    Costs a query: how long the organization keeps what was deleted. A retention that
    changes later changes nothing for what is deleted already.
    """
    now = timezone.now()
    return Mark(
        deleted_at=now,
        deleted_by=acting().id,
        delete_batch=uuid7(),
        purge_after=now + retention_of(row),
    )


def retention_of(row: Any) -> timedelta:
    key = row.pk if isinstance(row, Organization) else row.organization_id
    rows = Organization.objects.with_deleted().filter(pk=key)
    return timedelta(days=rows.values_list("retention_days", flat=True).get())


def put(row: Any, mark: Mark) -> None:
    for name in FIELDS:
        setattr(row, name, mark[name])  # type: ignore[literal-required]
    row.save(update_fields=[*FIELDS, "updated_at"])


def put_on_all(rows: models.QuerySet, mark: Mark) -> int:
    return rows.update(**mark, updated_at=timezone.now())


def restore(row: Any) -> None:
    """Take the mark away. Raises Conflict when the purge has begun with the row."""
    refuse_purged(row)
    put(row, UNMARKED)


def restore_all(rows: models.QuerySet) -> int:
    """Take the marks away. Raises Conflict when the purge has begun with one."""
    gone = rows.filter(purge_after__lte=models.F("deleted_at")).order_by("pk").first()
    if gone is not None:
        refuse_purged(gone)
    return put_on_all(rows, UNMARKED)


def refuse_purged(row: Any) -> None:
    noun = row._meta.verbose_name
    if getattr(row, "purged_at", None):
        raise Conflict(f"This {noun} was purged; what it held is gone.")
    if row.is_being_purged:
        raise Conflict(f"The {noun} {row.pk} is being purged; it cannot be restored.")


def refuse_orphan(parent: Any) -> None:
    """Raises Conflict below a deleted parent, which has to be restored first."""
    if parent is not None and parent.deleted_at is not None:
        noun = parent._meta.verbose_name
        raise Conflict(
            f"The {noun} {parent.pk} that this belongs to is deleted; restore that"
            " first, or both with ?cascade=up."
        )


def free_name(name: str, siblings: models.QuerySet, *, longest: int) -> str:
    """Suggest a name that none of the siblings has."""
    base = f"{name[: longest - 12]}-restored"
    taken = set(
        siblings.filter(name__startswith=base).values_list("name", flat=True)[:1000]
    )
    tries = (base if not n else f"{base}-{n + 1}" for n in range(len(taken) + 1))
    return next(each for each in tries if each not in taken)


def delete_own(row: Any) -> None:
    """Mark a row that its maker may delete, too; deleting it twice changes nothing.

    Raises Forbidden when the actor neither made it nor maintains the project.
    """
    demand_maintainer(acting(), _doing("Deleting", row), made_by=row.created_by)
    if row.deleted_at is None:
        put(row, new_mark(row))


def restore_own(row: Any) -> None:
    """Raises Forbidden like the deletion."""
    demand_maintainer(acting(), _doing("Restoring", row), made_by=row.created_by)
    if row.deleted_at is not None:
        restore(row)


def _doing(verb: str, row: Any) -> str:
    return f"{verb} somebody else's {row._meta.verbose_name}"


def refuse_deleted(row: Any) -> None:
    """Raises InvalidState when the row is deleted: it must be restored first."""
    if row.deleted_at is not None:
        noun = row._meta.verbose_name
        raise InvalidState(f"This {noun} is deleted; restore it first.")
