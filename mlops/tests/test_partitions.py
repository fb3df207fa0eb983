from __future__ import annotations

import io
import json
import threading
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connections

from mlops.db import locks, partitions
from mlops.db.locks import Ladder
from mlops.db.partition_problems import covered_until, days_ahead, verify
from mlops.db.partitions import Policy, apply, month_start, partitions_of, plan
from mlops.db.uuid7 import fact_id, floor, milliseconds
from mlops.errors import Unavailable

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
QUICK = Ladder(first_ms=20, last_ms=20, tries=2)
POLICY = Policy("readings", keep_months=14)


@pytest.fixture
def session(django_db_setup, django_db_blocker):
    """A connection outside any transaction, as the owner of tables."""
    with django_db_blocker.unblock():
        session = connections["default"]
        execute(session, "SET SESSION AUTHORIZATION app_owner")
        yield session
        session.close()


@pytest.fixture
def owner(session):
    """The same, beside a partitioned table `readings` that has no partition yet."""
    execute(
        session,
        "CREATE TABLE readings (id uuid PRIMARY KEY, sensor text NOT NULL,"
        " value float8 DEFAULT 1 CHECK (value > 0)) PARTITION BY RANGE (id)",
    )
    execute(session, "CREATE INDEX readings_sensor ON readings (sensor, value)")
    execute(session, "GRANT SELECT, INSERT ON readings TO app_rw")
    yield session
    execute(session, "RESET SESSION AUTHORIZATION")
    tables = "SELECT relname FROM pg_class WHERE relname ~ '^readings' AND relkind IN"
    execute(session, "DROP TABLE readings")
    for (name,) in execute(session, f"{tables} ('r', 'p')"):
        execute(session, f"DROP TABLE {name}")


@pytest.fixture
def other(owner):
    """Somebody else, in a session of his own."""
    other = connections.create_connection("default")
    yield other
    other.close()


def execute(session, statement, parameters=None):
    with session.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.fetchall() if cursor.description else None


def insert(session, moment, table="readings"):
    key = fact_id(milliseconds(moment), moment.isoformat())
    execute(session, f"INSERT INTO {table} (id, sensor) VALUES (%s, 'a')", [key])


def make(owner, policy=POLICY, now=NOW):
    outcomes = apply(owner, plan(owner, policy, now))
    assert [step.error for step in outcomes] == [""] * len(outcomes)


def names(steps, action="create"):
    return [step.partition for step in steps if step.action == action]


def attached(owner):
    return [part.name for part in partitions_of(owner, POLICY) if part.attached]


def kinds(owner, policy=POLICY, now=NOW):
    return [
        (each.kind, each.severity, each.partition)
        for each in verify(owner, policy, now)
    ]


# Months


@pytest.mark.parametrize(
    "moment,months,expected",
    [
        (datetime(2026, 11, 21, 12, tzinfo=UTC), 0, "2026-11-01"),
        (datetime(2026, 11, 21, tzinfo=UTC), 2, "2027-01-01"),
        (datetime(2026, 1, 31, tzinfo=UTC), -1, "2025-12-01"),
        (datetime(2026, 12, 31, 23, 59, tzinfo=UTC), 14, "2028-02-01"),
        (datetime.fromisoformat("2026-12-01T01:00:00+05:00"), 0, "2026-11-01"),
    ],
)
def test_month_start_is_a_first_day_in_utc(moment, months, expected):
    start = month_start(moment, months)
    assert start == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "wrong,message",
    [
        ({"table": "read;ings"}, "no plain name"),
        ({"table": "r" * 56}, "no plain name"),
        ({"owner": "Audit Owner"}, "no plain name"),
        ({"ahead_months": 0}, "ahead_months=0"),
        ({"keep_months": 0}, "keep_months=0 is less than behind_months=1"),
    ],
)
def test_policy_refuses_nonsense(wrong, message):
    with pytest.raises(ValueError, match=message):
        Policy(**{"table": "readings", **wrong})


# Planning and making


def test_plan_covers_the_month_before_this_one_and_four_ahead(owner):
    assert names(plan(owner, POLICY, NOW)) == [
        "readings_2026_10",
        "readings_2026_11",
        "readings_2026_12",
        "readings_2027_01",
        "readings_2027_02",
        "readings_2027_03",
    ]


def test_plan_changes_nothing(owner):
    plan(owner, POLICY, NOW)
    assert partitions_of(owner, POLICY) == []


def test_plan_is_empty_after_it_was_applied(owner):
    make(owner)
    assert plan(owner, POLICY, NOW) == []


@pytest.mark.parametrize("day", ["2026-01-31", "2026-10-31", "2027-11-30"])
def test_days_ahead_are_never_below_90_after_a_run(owner, day):
    now = datetime.fromisoformat(day).replace(hour=23, tzinfo=UTC)
    make(owner, now=now)
    assert days_ahead(partitions_of(owner, POLICY), now) >= 90


def test_apply_leaves_nothing_for_verify_to_say(owner):
    make(owner)
    assert verify(owner, POLICY, NOW) == []


def test_partitions_have_the_parents_indexes_checks_and_defaults(owner):
    make(owner)
    insert(owner, NOW)
    assert execute(owner, "SELECT tableoid::regclass::text, value FROM readings") == [
        ("readings_2026_11", 1.0)
    ]
    with pytest.raises(IntegrityError, match="check constraint"):
        execute(owner, "UPDATE readings SET value = -1")
    indexes = execute(
        owner,
        "SELECT count(*) FROM pg_index WHERE indisvalid"
        " AND indrelid = 'readings_2026_11'::regclass",
    )
    assert indexes == [(2,)]


def test_partitions_keep_no_check_of_their_bounds(owner):
    make(owner)
    checks = "SELECT count(*) FROM pg_constraint WHERE conname LIKE 'readings%%_bounds'"
    assert execute(owner, checks) == [(0,)]


def test_rows_land_in_the_month_of_their_id_to_the_millisecond(owner):
    make(owner)
    start = datetime(2026, 12, 1, tzinfo=UTC)
    insert(owner, start)
    insert(owner, start - timedelta(milliseconds=1))
    assert execute(owner, "SELECT count(*) FROM readings_2026_11") == [(1,)]
    assert execute(owner, "SELECT count(*) FROM readings_2026_12") == [(1,)]


def test_a_row_without_a_partition_is_refused(owner):
    make(owner)
    with pytest.raises(IntegrityError, match="no partition"):
        insert(owner, datetime(2025, 1, 1, tzinfo=UTC))


def test_nothing_is_granted_on_a_partition(owner):
    make(owner)
    with pytest.raises(Exception, match="permission denied"):
        execute(owner, "SET ROLE app_rw; SELECT * FROM readings_2026_11")
    execute(owner, "RESET ROLE; SET SESSION AUTHORIZATION app_owner")
    assert kinds(owner) == []


def test_partitions_belong_to_the_owner_of_the_policy(owner):
    execute(owner, "RESET SESSION AUTHORIZATION")
    execute(owner, "ALTER TABLE readings OWNER TO audit_owner")
    execute(owner, "SET SESSION AUTHORIZATION app_owner")
    policy = replace(POLICY, owner="audit_owner")
    make(owner, policy)
    assert {part.owner for part in partitions_of(owner, policy)} == {"audit_owner"}
    assert verify(owner, policy, NOW) == []


def test_apply_closes_a_gap(owner):
    make(owner)
    execute(owner, "DROP TABLE readings_2026_12")
    assert names(plan(owner, POLICY, NOW)) == ["readings_2026_12"]
    make(owner)
    assert verify(owner, POLICY, NOW) == []


def test_plan_closes_gaps_back_to_the_oldest_month_that_is_kept(owner):
    make(owner, now=datetime(2025, 6, 1, tzinfo=UTC))
    for month in ("2025_08", "2025_09"):
        execute(owner, f"DROP TABLE readings_{month}")
    planned = names(plan(owner, POLICY, NOW))
    assert planned[:2] == ["readings_2025_09", "readings_2025_11"]


def test_plan_makes_no_month_that_another_partition_covers_in_part(owner):
    start, end = datetime(2026, 12, 10, tzinfo=UTC), datetime(2027, 1, 5, tzinfo=UTC)
    execute(
        owner,
        "CREATE TABLE readings_by_hand PARTITION OF readings"
        f" FOR VALUES FROM ('{floor(start)}') TO ('{floor(end)}')",
    )
    planned = names(plan(owner, POLICY, NOW))
    assert "readings_2026_12" not in planned
    assert "readings_2027_01" not in planned
    assert planned[-1] == "readings_2027_03"


def test_plan_leaves_a_table_alone_that_has_the_name_of_a_month(owner):
    execute(owner, "CREATE TABLE readings_2026_12 (precious text)")
    assert "readings_2026_12" not in names(plan(owner, POLICY, NOW))


# Beside others


def test_apply_waits_for_no_writer_and_lets_writers_write(owner, other):
    make(owner)
    execute(other, "BEGIN")
    insert(other, NOW)
    make(owner, now=NOW + timedelta(days=90))
    insert(other, NOW + timedelta(seconds=1))
    execute(other, "COMMIT")
    assert execute(owner, "SELECT count(*) FROM readings") == [(2,)]


def test_a_writer_never_waits_a_second_while_months_are_made_and_let_go(owner, other):
    make(owner)
    march = datetime(2027, 3, 1, tzinfo=UTC)
    waits = []
    done = threading.Event()

    def write():
        while not done.wait(0.02):
            began = time.monotonic()
            insert(other, march + timedelta(milliseconds=len(waits)))
            waits.append(time.monotonic() - began)

    other.inc_thread_sharing()
    writer = threading.Thread(target=write)
    writer.start()
    made = apply(owner, plan(owner, replace(POLICY, ahead_months=28), NOW))
    later = month_start(NOW, 16)
    gone = retire(owner, "detach", now=later)
    done.set()
    writer.join()
    assert [step.state for step in made] == ["done"] * 24
    assert [step.state for step in gone] == ["done"] * 3
    assert len(waits) >= 3
    assert max(waits) < 1
    assert execute(owner, "SELECT count(*) FROM readings") == [(len(waits),)]


def test_a_step_that_meets_a_lock_fails_and_leaves_nothing(owner, other):
    execute(other, "BEGIN")
    execute(other, "LOCK TABLE readings IN SHARE UPDATE EXCLUSIVE MODE")
    outcomes = apply(owner, plan(owner, POLICY, NOW)[:2], ladder=QUICK)
    assert [step.state for step in outcomes] == ["failed", "failed"]
    assert "not free in 2 tries" in outcomes[0].error
    assert partitions_of(owner, POLICY) == []
    execute(other, "ROLLBACK")
    make(owner)


def test_a_step_that_fails_does_not_keep_the_next_from_its_try(owner):
    steps = plan(owner, POLICY, NOW)
    execute(owner, "CREATE TABLE readings_2026_10 (made_since text)")
    outcomes = apply(owner, steps)
    assert [step.state for step in outcomes] == ["failed"] + ["done"] * 5
    assert "already exists" in outcomes[0].error


def test_apply_is_refused_while_somebody_migrates(owner, other):
    key = locks.advisory_key(locks.SCHEMA)
    execute(other, "SELECT pg_advisory_lock(%s)", [key])
    with pytest.raises(Unavailable, match="'schema'"):
        apply(owner, plan(owner, POLICY, NOW), wait_s=0)


def test_apply_reports_each_step_as_it_is_done(owner):
    told = []
    outcomes = apply(owner, plan(owner, POLICY, NOW), report=told.append)
    assert told == outcomes
    assert {step.state for step in told} == {"done"}


# Retiring

SOON = datetime(2028, 2, 1, tzinfo=UTC)  # October and November 2026 are over then


def retire(owner, action, policy=POLICY, now=SOON, **options):
    steps = [step for step in plan(owner, policy, now) if step.action == action]
    return apply(owner, steps, **options)


def test_months_are_detached_when_their_time_to_be_kept_is_over(owner):
    make(owner)
    insert(owner, datetime(2026, 11, 5, tzinfo=UTC))
    steps = plan(owner, POLICY, SOON)
    assert names(steps, "detach") == ["readings_2026_10", "readings_2026_11"]
    assert names(steps, "drop") == []
    assert {step.state for step in retire(owner, "detach")} == {"done"}
    assert attached(owner)[0] == "readings_2026_12"
    assert execute(owner, "SELECT count(*) FROM readings_2026_11") == [(1,)]


def test_months_are_kept_to_the_last_moment_of_their_time(owner):
    make(owner)
    before = SOON - timedelta(milliseconds=1)
    assert names(plan(owner, POLICY, before), "detach") == ["readings_2026_10"]


def test_a_detached_month_keeps_a_check_so_that_it_may_come_back(owner):
    make(owner)
    retire(owner, "detach")
    ((check,),) = execute(
        owner,
        "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'c'"
        " AND conrelid = 'readings_2026_10'::regclass AND conname LIKE '%%id_check'",
    )
    lower, upper = POLICY.bounds_of(datetime(2026, 10, 1, tzinfo=UTC))
    assert str(lower) in check
    assert str(upper) in check


def test_a_detached_month_is_dropped_seven_days_later(owner):
    make(owner)
    retire(owner, "detach")
    early = SOON + timedelta(days=7, seconds=-1)
    assert names(plan(owner, POLICY, early), "drop") == []
    late = SOON + timedelta(days=7)
    dropped = retire(owner, "drop", now=late)
    assert names(dropped, "drop") == ["readings_2026_10", "readings_2026_11"]
    assert {step.state for step in dropped} == {"done"}
    assert "readings_2026_10" not in [p.name for p in partitions_of(owner, POLICY)]


@pytest.mark.parametrize("mark", ["", "mine", "mlops: monthly partition of others"])
def test_a_month_without_our_mark_is_neither_detached_nor_dropped(owner, mark):
    make(owner)
    execute(owner, f"COMMENT ON TABLE readings_2026_10 IS '{mark}'")
    assert names(plan(owner, POLICY, SOON), "detach") == ["readings_2026_11"]
    execute(owner, "ALTER TABLE readings DETACH PARTITION readings_2026_10")
    far = SOON + timedelta(days=1000)
    assert "readings_2026_10" not in names(plan(owner, POLICY, far), "drop")


def test_a_month_that_is_held_stays_and_says_why(owner):
    make(owner)
    asked = []

    def held(connection, start, end):
        asked.append((start, end))
        return "legal hold" if start.month == 10 else ""

    outcomes = retire(owner, "detach", replace(POLICY, held=held))
    assert [(step.state, step.error) for step in outcomes] == [
        ("held", "legal hold"),
        ("done", ""),
    ]
    assert attached(owner)[0] == "readings_2026_10"
    october, november = (datetime(2026, month, 1, tzinfo=UTC) for month in (10, 11))
    assert asked[0] == (october, november)


def test_detaching_that_a_reader_stopped_half_way_is_finished_later(owner, other):
    make(owner)
    execute(other, "BEGIN")
    execute(other, "SELECT count(*) FROM readings")
    (first, _) = retire(owner, "detach", ladder=QUICK)
    assert first.state == "failed"
    assert ("pending_detach", "warning", "readings_2026_10") in kinds(owner)
    execute(other, "ROLLBACK")
    again = retire(owner, "detach")
    assert again[0].statements[1].endswith("FINALIZE")
    assert {step.state for step in again} == {"done"}
    assert attached(owner)[0] == "readings_2026_12"


def test_a_month_attached_again_since_the_plan_is_not_dropped(owner):
    make(owner)
    retire(owner, "detach")
    steps = plan(owner, POLICY, SOON + timedelta(days=8))
    lower, upper = POLICY.bounds_of(datetime(2026, 10, 1, tzinfo=UTC))
    execute(
        owner,
        "ALTER TABLE readings ATTACH PARTITION readings_2026_10"
        f" FOR VALUES FROM ('{lower}') TO ('{upper}')",
    )
    outcomes = apply(owner, [step for step in steps if step.action == "drop"])
    assert [step.state for step in outcomes] == ["failed", "done"]
    assert "no longer a detached partition" in outcomes[0].error
    assert "readings_2026_10" in attached(owner)


# Verifying


def test_verify_finds_a_gap(owner):
    make(owner)
    execute(owner, "DROP TABLE readings_2027_02")
    assert kinds(owner) == [
        ("gap", "critical", "readings_2027_03"),
        ("days_ahead", "warning", "readings"),
    ]


@pytest.mark.parametrize(
    "days_later,expected",
    [(40, []), (41, ["warning"]), (99, ["warning"]), (100, ["critical"])],
)
def test_verify_warns_90_days_ahead_and_is_critical_at_31(owner, days_later, expected):
    make(owner)
    now = NOW + timedelta(days=days_later)
    found = [each for each in verify(owner, POLICY, now) if each.kind == "days_ahead"]
    assert [each.severity for each in found] == expected


def test_days_ahead_are_none_when_today_has_no_partition(owner):
    make(owner)
    found = partitions_of(owner, POLICY)
    assert covered_until(found, NOW + timedelta(days=365)) is None
    assert days_ahead(found, NOW + timedelta(days=365)) == 0
    assert days_ahead(found, NOW) == 130


def test_verify_finds_a_default_partition(owner):
    make(owner)
    execute(owner, "CREATE TABLE readings_rest PARTITION OF readings DEFAULT")
    assert kinds(owner) == [("default", "critical", "readings_rest")]


def test_verify_finds_a_partition_that_is_no_month(owner):
    make(owner)
    lower, upper = UUID(int=0), floor(datetime(2000, 1, 1, tzinfo=UTC))
    execute(
        owner,
        "CREATE TABLE readings_old PARTITION OF readings"
        f" FOR VALUES FROM ('{lower}') TO ('{upper}')",
    )
    assert ("overlap", "critical", "readings_old") in kinds(owner)


def test_verify_finds_an_index_that_a_partition_lacks(owner):
    make(owner)
    execute(owner, "CREATE INDEX readings_value ON ONLY readings (value)")
    found = verify(owner, POLICY, NOW)
    assert {each.kind for each in found} == {"missing_index"}
    assert [each.partition for each in found] == attached(owner)
    assert "readings_value" in found[0].detail


@pytest.mark.parametrize(
    "grant,detail",
    [
        ("SELECT ON readings_2026_11 TO app_rw", "app_rw holds SELECT"),
        ("SELECT (id), INSERT (id) ON readings_2026_11 TO PUBLIC", "PUBLIC holds INS"),
    ],
)
def test_verify_finds_a_grant_on_a_partition(owner, grant, detail):
    make(owner)
    execute(owner, f"GRANT {grant}")
    (found,) = verify(owner, POLICY, NOW)
    assert (found.kind, found.severity) == ("grant", "critical")
    assert found.detail.startswith(detail)


def test_verify_finds_a_grant_on_a_detached_month(owner):
    make(owner)
    retire(owner, "detach")
    execute(owner, "GRANT SELECT ON readings_2026_10 TO app_rw")
    assert ("grant", "critical", "readings_2026_10") in kinds(owner, now=SOON)


def test_verify_finds_a_partition_of_another_owner(owner):
    make(owner)
    execute(owner, "RESET SESSION AUTHORIZATION")
    execute(owner, "ALTER TABLE readings_2026_11 OWNER TO audit_owner")
    assert kinds(owner) == [("owner", "warning", "readings_2026_11")]


def test_verify_finds_a_table_that_took_the_name_of_a_month(owner):
    execute(owner, "CREATE TABLE readings_2026_12 (precious text)")
    make(owner)
    assert ("name_taken", "critical", "readings_2026_12") in kinds(owner)


@pytest.mark.parametrize(
    "key,detail",
    [("", "by nothing"), (" PARTITION BY HASH (id)", "by HASH (id)")],
)
def test_verify_finds_a_table_that_is_not_partitioned_by_id(session, key, detail):
    execute(session, f"CREATE TABLE plain (id uuid){key}")
    (found,) = verify(session, Policy("plain"), NOW)
    execute(session, "DROP TABLE plain")
    assert (found.kind, found.severity) == ("not_partitioned", "critical")
    assert detail in found.detail


def test_verify_tells_a_missing_table_from_a_wrong_one(session):
    (found,) = verify(session, Policy("absent"), NOW)
    assert found.kind == "missing_table"


# What the apps ask for, and the command


def test_policies_are_those_of_the_apps():
    stated = {policy.table: policy for policy in partitions.policies()}
    assert stated["model_monitoring"].owner == "app_owner"
    assert stated["audit_logs"].owner == "audit_owner"
    assert {policy.keep_months for policy in stated.values()} == {14}


def test_no_month_of_the_trail_goes_by_itself(db):
    (policy,) = (p for p in partitions.policies() if p.table == "audit_logs")
    assert "not archived" in policy.held(None, NOW, NOW)


def test_what_a_drop_leaves_behind_is_done_in_its_transaction(owner):
    make(owner)
    execute(owner, "CREATE TABLE gone (partition text)")
    leaves = replace(POLICY, dropping=("INSERT INTO gone VALUES ('{partition}')",))
    retire(owner, "detach", leaves)
    broken = replace(POLICY, dropping=(*leaves.dropping, "SELECT 1 / 0"))
    late = SOON + timedelta(days=8)
    assert {step.state for step in retire(owner, "drop", broken, now=late)} == {
        "failed"
    }
    assert {step.state for step in retire(owner, "drop", leaves, now=late)} == {"done"}
    with owner.cursor() as cursor:
        cursor.execute("SELECT partition FROM gone ORDER BY 1")
        assert cursor.fetchall() == [("readings_2026_10",), ("readings_2026_11",)]


def run(*arguments, code=0):
    """Run the command, in the transaction of the test, and read its one object."""
    out = io.StringIO()
    ended = 0
    try:
        words = [*arguments, "--json", "--database", "default"]
        call_command("partitions", *words, stdout=out)
    except SystemExit as end:
        ended = end.code
    assert ended == code
    return json.loads(out.getvalue())


@pytest.mark.django_db
def test_command_finds_nothing_wrong_with_a_migrated_database():
    answer = run("verify")
    assert answer["status"] == "ok"
    assert answer["findings"] == answer["not_checked"] == []
    assert {each["table"] for each in answer["tables"]} == {
        "model_monitoring",
        "audit_logs",
    }
    for each in answer["tables"]:
        assert each["partitions"] == 6
        assert each["days_ahead"] >= 90
        assert each["steps"] == each["problems"] == []


@pytest.mark.django_db
def test_command_makes_more_months_when_asked():
    asked = ("--table", "model_monitoring", "--ahead", "6")
    (planned,) = run("plan", *asked)["tables"]
    assert [step["state"] for step in planned["steps"]] == ["planned", "planned"]
    (made,) = run("apply", *asked)["tables"]
    assert [step["state"] for step in made["steps"]] == ["done", "done"]
    assert set(made["steps"][0]) >= {
        "action",
        "partition",
        "from",
        "to",
        "sql",
        "lock",
        "state",
        "took_ms",
    }
    assert made["partitions"] == 8
    assert run("plan", *asked)["tables"][0]["steps"] == []


@pytest.mark.django_db
def test_command_makes_nothing_on_a_dry_run():
    asked = ("--table", "audit_logs", "--ahead", "6", "--dry-run")
    (table,) = run("apply", *asked)["tables"]
    assert [step["state"] for step in table["steps"]] == ["planned", "planned"]
    assert table["partitions"] == 6


@pytest.mark.django_db
def test_command_exits_2_when_a_month_is_missing():
    now = datetime.now(UTC)
    gone = f"model_monitoring_{month_start(now, 2):%Y_%m}"
    execute(connections["default"], f"DROP TABLE {gone}")
    answer = run("verify", "--table", "model_monitoring", code=2)
    assert answer["status"] == "critical"
    (table,) = answer["tables"]
    assert table["problems"][0]["kind"] == "gap"
    assert set(table["problems"][0]) == {"kind", "partition", "detail"}
    assert answer["findings"][0]["check"] == "gap"


@pytest.mark.django_db
def test_command_exits_1_when_a_month_should_have_gone():
    old = month_start(datetime.now(UTC), -1)
    now = datetime.now(UTC)
    keep = ("--table", "model_monitoring", "--keep", "1")
    assert run("status", *keep)["status"] == "ok"
    policy = Policy("model_monitoring")
    first = Policy("model_monitoring", behind_months=3)
    apply(connections["default"], plan(connections["default"], first, now))
    answer = run("status", *keep, code=1)
    assert [each["check"] for each in answer["findings"]] == ["retirement_due"] * 2
    assert answer["findings"][-1]["object"] == policy.name_of(month_start(old, -1))


@pytest.mark.django_db
@pytest.mark.parametrize("only", ["detach", "drop"])
def test_command_retires_nothing_unless_it_is_told_yes(only):
    connection, now = connections["default"], datetime.now(UTC)
    apply(
        connection, plan(connection, Policy("model_monitoring", behind_months=3), now)
    )
    if only == "drop":
        name = f"model_monitoring_{month_start(now, -3):%Y_%m}"
        mark = Policy("model_monitoring").mark
        execute(connection, f"ALTER TABLE model_monitoring DETACH PARTITION {name}")
        execute(
            connection,
            f"COMMENT ON TABLE {name} IS '{mark}; detached 2001-01-01T00:00:00+00:00'",
        )
    with pytest.raises(CommandError, match="Add --yes") as refusal:
        call_command(
            "partitions",
            "apply",
            "--only",
            only,
            "--table",
            "model_monitoring",
            "--keep",
            "1",
            "--json",
            "--database",
            "default",
        )
    assert refusal.value.returncode == 64


@pytest.mark.django_db
def test_command_detaches_and_drops_nothing_when_it_is_told_to_make():
    connection, now = connections["default"], datetime.now(UTC)
    apply(
        connection, plan(connection, Policy("model_monitoring", behind_months=3), now)
    )
    (table,) = run("apply", "--table", "model_monitoring", "--keep", "1")["tables"]
    assert table["partitions"] == 8


@pytest.mark.django_db
@pytest.mark.parametrize(
    "arguments,message",
    [
        (["plan", "--table", "nonsense"], "--table nonsense has no policy"),
        (["plan", "--ahead", "0"], "ahead_months=0"),
    ],
)
def test_command_exits_64_when_asked_for_nonsense(arguments, message):
    with pytest.raises(CommandError, match=message) as refusal:
        call_command("partitions", *arguments, "--database", "default")
    assert refusal.value.returncode == 64


@pytest.mark.django_db
def test_command_tells_people_what_it_would_do():
    out = io.StringIO()
    words = ["--table", "model_monitoring", "--ahead", "5", "--database", "default"]
    call_command("partitions", "plan", *words, stdout=out)
    first, second = out.getvalue().splitlines()
    assert first.startswith("model_monitoring: 6 partitions, ")
    assert second.startswith("  Would create model_monitoring_")
