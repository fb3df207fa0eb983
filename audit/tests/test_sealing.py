from __future__ import annotations

import json
import logging
from contextlib import closing

import psycopg
import pytest
from django.core.management import ManagementUtility, call_command
from django.db import connection
from psycopg.rows import scalar_row

from audit import keys, sealing
from audit.models import Seal
from audit.seals import NO_END, NO_HASH, SLOT_BYTES
from audit.sql import sealing as sql
from audit.tests.sealed import (
    WRITE,
    ids_of,
    seal,
    seals_of,
    superuser,
    verify,
    write,
)
from audit.tests.test_append_only import signed_in_as
from audit.tests.trail import run
from mlops.db.uuid7 import uuid7
from tests.settings import SUPERUSER_URL, TEST_DATABASE

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("sealing_key"),
]
ACME, UMBRELLA = uuid7(), uuid7()


@pytest.fixture
def another():
    """A second session, whose transaction ends when the test says so."""
    with closing(psycopg.connect(SUPERUSER_URL, dbname=TEST_DATABASE)) as session:
        yield session
        session.rollback()


def test_every_chain_gets_its_own_seal():
    write(ACME, 3)
    write(None, 2)
    write(UMBRELLA)
    done = seal()
    assert (done.entries, done.seals) == (6, 3)
    (first,) = seals_of(ACME)
    assert (first.n, first.count, bytes(first.prev_hash)) == (1, 3, NO_HASH)
    assert [first.first_id, first.last_id] == ids_of(ACME)[::2]
    write(ACME)
    assert seal().seals == 1
    first, second = seals_of(ACME)
    assert bytes(second.prev_hash) == bytes(first.hash)
    assert second.xid_from == first.xid_to


def test_nothing_is_sealed_when_nothing_was_written():
    assert seal() == sealing.Round()
    assert not Seal._base_manager.exists()


def test_slow_transaction_is_sealed_when_it_commits(another):
    """Its entry is older than the newest sealed one: a seal up to the newest would have
    passed it by for ever.
    """
    another.execute(WRITE, [ACME, 1])
    write(ACME, 2)
    quick = set(ids_of(ACME))
    assert sealing.seal_all(connection).entries == 0
    another.commit()
    (slow,) = set(ids_of(ACME)) - quick
    assert slow < max(quick)
    assert seal().entries == 3
    assert verify().damaged == []


def test_entries_behind_a_slow_transaction_wait_while_earlier_ones_are_sealed(another):
    write(ACME, 2)
    seal()
    another.execute(WRITE, [UMBRELLA, 1])
    write(ACME)
    assert sealing.seal_all(connection).entries == 0
    assert verify().unsealed == 1
    another.commit()
    assert seal().entries == 2


@pytest.mark.parametrize("role", ["app_rw", "app_owner", "postgres"])
def test_sealer_sees_what_runs_as_another_role(role, another):
    """It belongs to no role that may read others' statistics."""
    another.execute(f"SET SESSION AUTHORIZATION {role}")
    xid = another.execute("SELECT pg_current_xact_id()::text::bigint").fetchone()[0]
    write(ACME)
    with signed_in_as("app_maint"):
        assert sql.outlook(connection).xmin == xid


def test_transaction_of_another_database_keeps_nothing_back():
    with closing(psycopg.connect(SUPERUSER_URL, dbname="postgres")) as elsewhere:
        elsewhere.execute("SELECT pg_current_xact_id()")
        write(ACME)
        assert seal().entries == 1


def test_backlog_is_sealed_in_rounds_and_a_large_transaction_at_once():
    for _ in range(6):
        write(ACME, 2)
    write(ACME, 9)
    assert seal(most=4).entries == 21
    counts = [each.count for each in seals_of(ACME)]
    assert counts == [4, 4, 4, 9]
    assert verify().damaged == []


def test_one_sealer_works_at_a_time(another):
    write(ACME)
    key = sql.advisory_key(sql.LOCK)
    another.execute("SELECT pg_advisory_xact_lock(%s)", [key])
    assert sealing.seal_all(connection) == sealing.Round()
    another.rollback()
    assert seal().entries == 1


def test_unattributed_entries_are_counted_and_told(caplog):
    run(WRITE, ACME, 2)
    write(ACME)
    with caplog.at_level(logging.ERROR, "audit.sealing"):
        seal()
    assert [each.unattributed for each in seals_of(ACME)] == [2]
    assert f"2 entries of {ACME} that name no actor" in caplog.text


def test_transaction_at_work_beyond_the_newest_ended_one_is_not_back_dated(
    another, settings
):
    """Its number is above all that have ended, and yet it began before the seal."""
    settings.AUDIT_CLOCK_SECONDS = 0
    write(ACME)
    another.execute(WRITE, [UMBRELLA, 1])
    seal()
    another.commit()
    seal()
    verdict = verify()
    assert (verdict.entries, verdict.oddities, verdict.damaged) == (2, [], [])


def test_sealing_again_changes_no_seal():
    write(ACME, 2)
    seal()
    before = list(Seal._base_manager.values_list())
    assert seal() == sealing.Round()
    assert list(Seal._base_manager.values_list()) == before


# What the sealer refuses


def test_sealer_refuses_another_cluster(capsys):
    write(ACME)
    seal()
    write(ACME)
    with superuser():
        run("UPDATE audit_seals SET cluster = 7")
        with pytest.raises(sealing.Unsealable, match="seal_audit --checkpoint"):
            sealing.seal_all(connection)
        with pytest.raises(SystemExit) as end:
            call_command("verify_audit", "--json")
        assert end.value.code == 2  # the seal itself was altered for this test
        said = json.loads(capsys.readouterr().out)
        assert "cluster" in [odd["check"] for odd in said["others"]]


def test_sealer_refuses_a_server_that_is_behind():
    write(ACME)
    seal()
    with superuser():
        run("UPDATE audit_seals SET xid_to = %s", NO_END - 1)
        with pytest.raises(sealing.Unsealable, match="everything below"):
            sealing.seal_all(connection)


def test_sealer_refuses_to_go_on_after_an_unknown_key(sealing_key, settings):
    write(ACME)
    seal()
    sealing_key.unlink()
    settings.AUDIT_PUBLIC_KEYS_FILE.unlink()
    write(ACME)
    with pytest.raises(sealing.Unsealable, match="AUDIT_PUBLIC_KEYS"):
        sealing.seal_all(connection)


def test_sealing_goes_on_with_a_rotated_key():
    write(ACME)
    seal()
    old, new = keys.rotate()
    write(ACME)
    seal()
    assert [each.key_id for each in seals_of(ACME)] == [old.id, new.id]
    assert verify().damaged == []


# After a restore into another cluster


def checkpointed() -> sealing.Round:
    return sealing.checkpoint(connection)


def test_checkpoint_seals_what_was_left_and_begins_an_epoch():
    write(ACME, 2)
    seal()
    write(ACME, 3)
    write(UMBRELLA)
    done = checkpointed()
    assert (done.entries, done.seals) == (4, 3)
    closing_seal = seals_of(ACME)[-1]
    assert (closing_seal.epoch, closing_seal.xid_to) == (1, NO_END)
    (opening,) = seals_of(None)
    assert (opening.epoch, opening.count) == (2, 0)
    write(ACME)
    write(None)
    assert seal().entries == 2
    assert [each.epoch for each in seals_of(ACME)] == [1, 1, 2]
    verdict = verify()
    assert (verdict.damaged, verdict.unsealed, verdict.entries) == ([], 0, 8)


def test_checkpoint_takes_what_the_new_cluster_wrote_before_it():
    """Its transactions begin anew: their numbers are below what is sealed."""
    write(ACME, 2)
    seal()
    write(ACME, 1)
    run("SET session_replication_role = replica")
    run("UPDATE audit_logs SET transaction_id = 3 WHERE id = %s", ids_of(ACME)[-1])
    run("RESET session_replication_role")
    assert [damage.reason for damage in verify().damaged] == ["inserted"]
    assert checkpointed().entries == 1
    write(ACME)
    seal()
    assert verify().damaged == []


def test_checkpoint_needs_a_seal_and_asks_first(capsys):
    with pytest.raises(SystemExit) as end:
        call_command_line("seal_audit", "--checkpoint", "--json")
    assert end.value.code == 64
    with pytest.raises(SystemExit) as end:
        call_command_line("seal_audit", "--checkpoint", "--yes", "--json")
    assert end.value.code == 3
    assert "Nothing was ever sealed" in capsys.readouterr().out


def call_command_line(name: str, *words: str) -> None:
    """As from a shell, with its exit codes."""
    ManagementUtility(["manage.py", name, *words]).execute()


# The command


def test_command_seals_and_says_how_much(capsys):
    write(ACME, 5)
    call_command("seal_audit", "--dry-run")
    assert "Would seal entries of the last" in capsys.readouterr().out
    call_command("seal_audit", "--json", "--batch", "3")
    said = json.loads(capsys.readouterr().out)
    assert (said["entries"], said["seals"], said["unattributed"]) == (5, 1, 0)
    call_command("seal_audit", "--dry-run")
    assert "Nothing waits" in capsys.readouterr().out


def test_command_warns_of_unattributed_changes(capsys):
    run(WRITE, ACME, 2)
    with pytest.raises(SystemExit) as end:
        call_command("seal_audit", "--json")
    assert end.value.code == 1
    said = json.loads(capsys.readouterr().out)
    assert said["unattributed"] == 2
    assert said["findings"][0]["check"] == "unattributed"


def test_command_refuses_a_batch_of_nothing():
    with pytest.raises(SystemExit) as end:
        call_command_line("seal_audit", "--batch", "0")
    assert end.value.code == 64


def test_seal_keeps_half_of_each_leaf():
    write(ACME, 3)
    seal()
    (only,) = seals_of(ACME)
    leaves = bytes(only.leaves)
    told = [leaves[i : i + 16] for i in range(0, len(leaves), SLOT_BYTES)]
    assert told == [each.bytes for each in ids_of(ACME)]
    with psycopg.connect(
        SUPERUSER_URL, dbname=TEST_DATABASE, row_factory=scalar_row
    ) as session:
        halves = session.execute(
            "SELECT substr(audit_leaf(l), 1, 16) FROM audit_logs l ORDER BY id"
        ).fetchall()
    assert [leaves[i + 16 : i + 32] for i in range(0, len(leaves), 32)] == halves
