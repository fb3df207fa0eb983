"""What a broken unique key means, in the words of whoever claimed the name.

PostgreSQL leaves the values out of its message where row-level security binds, so the
one who claims says what; the fields alone stand in the model's constraints.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from django.apps import apps
from django.db import IntegrityError, models

from mlops.errors import AlreadyExists

UNIQUE_VIOLATION = "23505"
# Part of nearly every key, and nothing that the caller chose.
OWNERS = frozenset({"organization", "organization_id", "project", "project_id"})


@contextmanager
def claiming(noun: str, **values: object) -> Iterator[None]:
    """Turn a broken unique key inside into AlreadyExists that names the values."""
    try:
        yield
    except IntegrityError as error:
        if not is_broken(error):
            raise
        claimed = " and ".join(f"{name} {value!r}" for name, value in values.items())
        message = f"{noun.capitalize()} with {claimed} already exists; choose another."
        raise AlreadyExists(message) from error


def is_broken(error: IntegrityError) -> bool:
    """Tell a broken unique key from other broken rules."""
    return getattr(error.__cause__, "sqlstate", "") == UNIQUE_VIOLATION


def fields_of(error: IntegrityError) -> str:
    """Return the fields of the unique key, as "name and environment", or nothing."""
    diagnosis = getattr(error.__cause__, "diag", None)
    name = getattr(diagnosis, "constraint_name", None)
    return _fields().get(name or "", "") if is_broken(error) else ""


@cache
def _fields() -> dict[str, str]:
    return {
        constraint.name: " and ".join(f for f in constraint.fields if f not in OWNERS)
        for model in apps.get_models()
        for constraint in model._meta.constraints
        if isinstance(constraint, models.UniqueConstraint)
    }
