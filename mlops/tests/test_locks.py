from __future__ import annotations

import threading

import pytest
from django.db import OperationalError, ProgrammingError, connections, transaction

from mlops.db.locks import (
    LADDER,
    Ladder,
    advisory_key,
    advisory_lock,
    climb,
    lock_beside_pool,
    run_in_transaction,
    run_outside_transaction,
)
from mlops.errors import Unavailable

QUICK = Ladder(first_ms=20, last_ms=20, tries=3)


@pytest.fixture
def session(django_db_setup, django_db_blocker):
    """The test's own connection, outside any transaction, as the owner of tables."""
    with django_db_blocker.unblock():
        session = connections["default"]
        execute(session, "SET SESSION AUTHORIZATION app_owner")
        execute(session, "CREATE TABLE shelf (book int)")
        yield session
        execute(session, "DROP TABLE shelf")
        session.close()


@pytest.fixture
def other(session):
    """Somebody else, in a session of his own."""
    other = connections.create_connection("default")
    other.inc_thread_sharing()
    yield other
    other.close()


def execute(session, statement, parameters=None):
    with session.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else None


def take(other, lock="ACCESS EXCLUSIVE"):
    execute(other, "BEGIN")
    execute(other, f"LOCK TABLE shelf IN {lock} MODE")


def role_and_timeout(session):
    return execute(
        session, "SELECT current_user, current_setting('lock_timeout'), current_role"
    )


def test_ladder_rises_from_100_to_1000_milliseconds_in_20_tries():
    timeouts = LADDER.timeouts_ms()
    assert len(timeouts) == 20
    assert (timeouts[0], timeouts[-1]) == (100, 1000)
    assert timeouts == sorted(timeouts)


def test_ladder_of_one_try_is_its_first_step():
    assert Ladder(first_ms=50, last_ms=900, tries=1).timeouts_ms() == [50]


def test_climb_returns_what_the_attempt_returns():
    assert climb(lambda timeout_ms: timeout_ms) == 100


def test_run_in_transaction_tries_again_until_the_lock_is_free(session, other):
    take(other)
    release = threading.Timer(0.15, lambda: execute(other, "ROLLBACK"))
    release.start()
    run_in_transaction(
        session,
        ["INSERT INTO shelf VALUES (1)"],
        ladder=Ladder(first_ms=20, last_ms=100, tries=20),
    )
    release.join()
    assert execute(session, "SELECT book FROM shelf") == [(1,)]


def test_run_in_transaction_leaves_nothing_when_the_lock_stays_taken(session, other):
    take(other, "SHARE UPDATE EXCLUSIVE")
    statements = ["INSERT INTO shelf VALUES (1)", "ALTER TABLE shelf ADD page int"]
    with pytest.raises(Unavailable, match="3 tries of up to 20 ms"):
        run_in_transaction(session, statements, ladder=QUICK)
    execute(other, "ROLLBACK")
    assert execute(session, "SELECT count(*) FROM shelf") == [(0,)]


def test_climb_gives_up_at_once_when_the_fault_is_no_lock(session):
    calls = []

    def attempt(timeout_ms):
        calls.append(timeout_ms)
        execute(session, "SELECT nothing FROM shelf")

    with pytest.raises(ProgrammingError):
        climb(attempt)
    assert calls == [100]


def test_run_in_transaction_works_as_the_role_and_sets_it_back(session):
    before = role_and_timeout(session)
    run_in_transaction(
        session,
        ["CREATE TABLE shelf_of_audit (who text DEFAULT current_user)"],
        role="audit_owner",
    )
    owner = execute(
        session, "SELECT tableowner FROM pg_tables WHERE tablename = 'shelf_of_audit'"
    )
    run_in_transaction(session, ["DROP TABLE shelf_of_audit"], role="audit_owner")
    assert owner == [("audit_owner",)]
    assert role_and_timeout(session) == before


def test_run_in_transaction_sets_back_inside_a_transaction_too(session):
    with transaction.atomic():
        before = role_and_timeout(session)
        run_in_transaction(session, ["SELECT 1"], role="audit_owner")
        assert role_and_timeout(session) == before


def test_run_outside_transaction_asks_anew_what_to_run(session, other):
    take(other)
    asked = []

    def statement():
        asked.append("asked")
        if len(asked) == 3:
            execute(other, "ROLLBACK")
        return f"INSERT INTO shelf VALUES ({len(asked)})"

    run_outside_transaction(session, statement, ladder=QUICK)
    assert execute(session, "SELECT book FROM shelf") == [(3,)]


@pytest.mark.parametrize("statement", ["VACUUM shelf", "SELECT nothing"])
def test_run_outside_transaction_sets_back_however_it_ends(session, statement):
    before = role_and_timeout(session)
    try:
        run_outside_transaction(session, lambda: statement, role="audit_owner")
    except ProgrammingError:
        assert statement == "SELECT nothing"
    assert role_and_timeout(session) == before


def is_free(other, name):
    ((is_free,),) = execute(
        other, "SELECT pg_try_advisory_lock(%s)", [advisory_key(name)]
    )
    if is_free:
        execute(other, "SELECT pg_advisory_unlock(%s)", [advisory_key(name)])
    return is_free


def test_advisory_lock_is_held_in_the_block_only(session, other):
    with advisory_lock(session, "shelf"):
        assert not is_free(other, "shelf")
        assert is_free(other, "cellar")
    assert is_free(other, "shelf")


def test_advisory_lock_is_given_back_after_an_error(session, other):
    with pytest.raises(RuntimeError), advisory_lock(session, "shelf"):
        raise RuntimeError
    assert is_free(other, "shelf")


def test_advisory_lock_is_given_back_when_the_transaction_has_failed(session, other):
    with (
        pytest.raises(ProgrammingError),
        advisory_lock(session, "shelf"),
        transaction.atomic(),
    ):
        execute(session, "SELECT nothing")
    assert is_free(other, "shelf")


def test_advisory_lock_is_refused_by_name_while_another_holds_it(session, other):
    key = advisory_key("shelf")
    execute(other, "SELECT pg_advisory_lock(%s)", [key])
    with pytest.raises(Unavailable, match="holds the lock 'shelf'"):  # noqa: SIM117
        with advisory_lock(session, "shelf"):
            pytest.fail("both hold it")


def test_a_lock_beside_the_pool_outlives_transactions_of_others(session, other):
    with lock_beside_pool("default", "shelf"):
        assert not is_free(other, "shelf")
        execute(session, "SELECT 1")
        session.close()
        assert not is_free(other, "shelf")
        with pytest.raises(Unavailable):
            lock_beside_pool("default", "shelf").__enter__()
    assert is_free(other, "shelf")


def test_advisory_lock_waits_as_long_as_it_is_told(session, other):
    key = advisory_key("shelf")
    execute(other, "SELECT pg_advisory_lock(%s)", [key])
    release = threading.Timer(
        0.2, lambda: execute(other, "SELECT pg_advisory_unlock(%s)", [key])
    )
    release.start()
    with advisory_lock(session, "shelf", wait_s=10):
        release.join()
        assert not is_free(other, "shelf")


def test_advisory_lock_goes_with_a_session_that_is_cut_off(session, other):
    ((pid,),) = execute(session, "SELECT pg_backend_pid()")

    def be_cut_off():
        execute(other, "SELECT pg_terminate_backend(%s, 5000)", [pid])
        execute(session, "SELECT 1")

    with pytest.raises(OperationalError), advisory_lock(session, "shelf"):
        be_cut_off()
    execute(session, "SET SESSION AUTHORIZATION app_owner")
    assert is_free(other, "shelf")


def test_advisory_keys_differ_by_name_and_never_change():
    assert advisory_key("schema") == -337_305_399_360_149_175
    assert advisory_key("schema") != advisory_key("command:partitions")
