from __future__ import annotations

import pytest
from django.db import DataError, OperationalError, connection, transaction

from mlops.db.retries import TRIES, retrying


def raising(sqlstate: str, *, times: int):
    """Return work that PostgreSQL itself ends so many times, and how often it ran."""
    tries: list[int] = []

    def work() -> str:
        tries.append(1)
        with transaction.atomic(), connection.cursor() as cursor:
            if len(tries) <= times:
                cursor.execute(
                    f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '{sqlstate}'; END $$"
                )
        return "done"

    return work, tries


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("sqlstate", ["40001", "40P01"])
def test_work_that_lost_runs_again(sqlstate):
    work, tries = raising(sqlstate, times=TRIES - 1)
    assert retrying(work) == "done"
    assert len(tries) == TRIES


@pytest.mark.django_db(transaction=True)
def test_work_that_always_loses_is_given_up():
    work, tries = raising("40001", times=99)
    with pytest.raises(OperationalError):
        retrying(work)
    assert len(tries) == TRIES


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "sqlstate,kind",
    [("57014", OperationalError), ("55P03", OperationalError), ("22001", DataError)],
)
def test_work_that_failed_otherwise_runs_once(sqlstate, kind):
    work, tries = raising(sqlstate, times=99)
    with pytest.raises(kind):
        retrying(work)
    assert len(tries) == 1


def test_inside_of_a_transaction_there_is_one_try(db):
    work, tries = raising("40001", times=1)
    with pytest.raises(OperationalError):
        retrying(work)
    assert len(tries) == 1
