"""Whatever a superuser does to sealed entries or to seals, verification finds."""

from __future__ import annotations

from random import Random

import pytest

from audit.tests.sealed import found, seal, superuser, verify, write
from audit.tests.tampering import OTHER, OTHER_OF_A_SEAL, TAMPERINGS, a_seal
from audit.tests.trail import run
from mlops.db.uuid7 import uuid7

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("sealing_key"),
]
ACME, UMBRELLA = uuid7(), uuid7()
CHAINS = [ACME, UMBRELLA, None]
ROUNDS = 4


@pytest.fixture
def trail():
    """Three chains of four seals, and some entries that are to be sealed yet."""
    for _ in range(ROUNDS):
        for organization in CHAINS:
            write(organization, 5)
        seal()
    write(ACME, 3)


@pytest.mark.parametrize(
    "cases", [60, pytest.param(500, marks=pytest.mark.soak)], ids=str
)
def test_every_tampering_is_found(trail, cases):
    assert verify().damaged == []
    missed = []
    for seed in range(cases):
        random = Random(seed)
        tamper = TAMPERINGS[seed % len(TAMPERINGS)]
        with superuser():
            tamper(random, CHAINS)
            if not verify(fast=seed % 2 == 1).damaged:
                missed.append((seed, tamper.__name__))
    assert missed == []
    assert verify().damaged == []


def test_altered_column_is_named_by_its_entry(trail):
    ((entry,),) = run(
        "SELECT id FROM audit_logs WHERE organization_id = %s"
        " ORDER BY id OFFSET 7 LIMIT 1",
        ACME,
    )
    for column, value in OTHER.items():
        is_gone = column in ("id", "organization_id")
        for fast in (False, True):
            with superuser():
                run(f"UPDATE audit_logs SET {column} = {value} WHERE id = %s", entry)
                named = found(verify(fast=fast))
            assert ("deleted" if is_gone else "altered", entry) in named, column


def test_altered_seal_is_found(trail):
    chosen = a_seal(Random(7), [ACME])
    for column, value in OTHER_OF_A_SEAL.items():
        with superuser():
            run(f"UPDATE audit_seals SET {column} = {value} WHERE id = %s", chosen.pk)
            reasons = {damage.reason for damage in verify().damaged}
        assert reasons & {"seal_altered", "seal_missing", "resealed"}, column
