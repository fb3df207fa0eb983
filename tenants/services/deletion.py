"""Soft deletion: the mark that goes on a row, and what belongs to one deletion."""

from __future__ import annotations

from datetime import datetime
from typing import Any, TypedDict
from uuid import UUID

from django.db import models
from django.utils import timezone

from mlops.db.uuid7 import uuid7
from mlops.errors import InvalidState
from tenants.context import acting
from tenants.permissions import demand_maintainer


class Mark(TypedDict):
    deleted_at: datetime | None
    deleted_by: UUID | None
    delete_batch: UUID | None


FIELDS = ("deleted_at", "deleted_by", "delete_batch")
UNMARKED = Mark(deleted_at=None, deleted_by=None, delete_batch=None)


def new_mark() -> Mark:
    """Make the mark of one deletion; all rows that go along carry its batch."""
    return Mark(deleted_at=timezone.now(), deleted_by=acting().id, delete_batch=uuid7())


def put(row: Any, mark: Mark) -> None:
    for name in FIELDS:
        setattr(row, name, mark[name])  # type: ignore[literal-required]
    row.save(update_fields=[*FIELDS, "updated_at"])


def put_on_all(rows: models.QuerySet, mark: Mark) -> int:
    return rows.update(**mark, updated_at=timezone.now())


def delete_own(row: Any) -> None:
    """Mark a row that its maker may delete, too; deleting it twice changes nothing.

    Raises Forbidden when the actor neither made it nor maintains the project.
    """
    demand_maintainer(acting(), _doing("Deleting", row), made_by=row.created_by)
    if row.deleted_at is None:
        put(row, new_mark())


def restore_own(row: Any) -> None:
    """Raises Forbidden like the deletion."""
    demand_maintainer(acting(), _doing("Restoring", row), made_by=row.created_by)
    if row.deleted_at is not None:
        put(row, UNMARKED)


def _doing(verb: str, row: Any) -> str:
    return f"{verb} somebody else's {row._meta.verbose_name}"


def refuse_deleted(row: Any) -> None:
    """Raises InvalidState when the row is deleted: it must be restored first."""
    if row.deleted_at is not None:
        noun = row._meta.verbose_name
        raise InvalidState(f"This {noun} is deleted; restore it first.")
