"""Sealing and verifying in tests, and what a superuser could do to the trail."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from django.db import connection, transaction

from audit import keys, sealing
from audit.models import Seal
from audit.sql.verifying import Period, snapshot
from audit.tests.trail import run
from audit.verification import Verdict, Verification

WRITE = """
SELECT audit_append(%s, NULL, 'registry.run.updated', 'ok', 'experiment_runs',
                    gen_random_uuid(), 'run ' || g,
                    jsonb_build_object('status', 'running', 'value', 1.10),
                    jsonb_build_object('status', 'finished', 'value', g, 'né', null))
FROM generate_series(1, %s) AS g
"""
IDS = (
    "SELECT id FROM audit_logs WHERE organization_id IS NOT DISTINCT FROM %s ORDER BY 1"
)


def write(organization: UUID | None, count: int = 1) -> None:
    """Commit one transaction with so many entries."""
    with transaction.atomic():
        run("SELECT set_config('app.actor', 'user:' || gen_random_uuid(), true)")
        run(WRITE, organization, count)


def ids_of(organization: UUID | None) -> list[UUID]:
    return [row[0] for row in run(IDS, organization)]


def seal(*, most: int = sealing.MOST) -> sealing.Round:
    """Seal all that is committed."""
    total = sealing.seal_all(connection, most=most)
    assert not sealing.lag(connection)
    return total


def verify(
    *, fast: bool = False, period: Period | None = None, gone: Any = ()
) -> Verdict:
    with snapshot(connection):
        verification = Verification(
            connection, keys.trusted_keys(), fast=fast, period=period, gone=gone
        )
        return verification.run()


def found(verdict: Verdict) -> list[tuple[str, UUID | None]]:
    return [(damage.reason, damage.entry) for damage in verdict.damaged]


def seals_of(organization: UUID | None) -> list[Seal]:
    rows = Seal._base_manager.using("default").filter(organization_id=organization)
    return list(rows.order_by("n"))


class Undone(Exception):
    """Takes a superuser's work back."""


@contextmanager
def superuser() -> Iterator[None]:
    """Do what nobody else can, past all triggers; it is taken back at the end."""
    try:
        with transaction.atomic():
            run("SET LOCAL session_replication_role = replica")
            yield
            raise Undone
    except Undone:
        pass
