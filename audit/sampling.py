"""Whether rows are what their entries say of them, for objects picked at random."""

from __future__ import annotations

from uuid import UUID

from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper

from audit import folding
from audit.models import AuditLog
from audit.sql import verifying
from audit.verification import Damage, Verdict


def compare(connection: BaseDatabaseWrapper, count: int, verdict: Verdict) -> int:
    """Compare about so many objects; return how many there were.

    What capture began to tell of later than its object was made cannot be folded, nor
    what lost its first entries to the archive: there is no first word to begin with.
    """
    if not count:
        return 0
    tables = {model._meta.db_table: model for model in folding.captured_rows()}
    picked = verifying.sample(connection, sorted(tables), count)
    for table, key, organization in picked:
        entries = list(
            AuditLog._base_manager.using(connection.alias).filter(
                organization_id=organization, object_type=table, object_id=key
            )
        )
        if fault := _fault_of(connection, tables[table], key, entries):
            verdict.add(Damage(organization, entries[-1].pk, "other_row", None, fault))
    return len(picked)


def _fault_of(
    connection: BaseDatabaseWrapper,
    model: type[models.Model],
    key: UUID,
    entries: list[AuditLog],
) -> str:
    told = sorted(filter(folding.tells_of_row, entries), key=folding.moment)
    if not told or not told[0].action.endswith(".created"):
        return ""
    try:
        state = folding.fold(told)
    except folding.Contradiction as contradiction:
        return contradiction.message
    if _went_elsewhere(state, told[0]):
        return ""
    row = folding.present_rows(connection, model, [key]).get(str(key))
    differences = folding.differences(state, row)
    return f"{model._meta.db_table} {key}: {differences[0]}" if differences else ""


def _went_elsewhere(state: folding.State | None, first: AuditLog) -> bool:
    """What became another organization's is told on in a trail without a first word."""
    owner = (first.after or {}).get("organization_id")
    return state is not None and state.get("organization_id") != owner
