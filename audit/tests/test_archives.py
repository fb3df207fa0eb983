"""Months that go: archived, verified, detached, dropped, and still accounted for."""

from __future__ import annotations

import gzip
import io
import json
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from django.core.files.storage import storages
from django.core.management import CommandError, call_command
from django.db import connection

from audit import archiving
from audit.archives import Damaged, Month, archived_ranges, problems_of, why_held
from audit.jobs import archive_due_months
from audit.lines import COLUMNS
from audit.models import Archive, AuditLog
from audit.partitions import POLICIES
from audit.sealing import seal_all
from audit.sql.archives import has_unsealed, records
from audit.tests.trail import entries, only_entry, run
from mlops.db import partitions
from mlops.db.uuid7 import floor
from mlops.errors import Conflict
from tenants.models import Organization
from tenants.tests.superuser import shown, superuser
from tests.settings import SUPERUSER_URL, TEST_DATABASE

pytestmark = pytest.mark.django_db(transaction=True)

OLD = Month(datetime(2024, 5, 1, tzinfo=UTC))
(POLICY,) = POLICIES
COUNT = 25

INSERT = """
INSERT INTO audit_logs (
    id, organization_id, created_at, transaction_id, actor_kind, actor_label,
    token_public_id, request_id, address, route, action, outcome, object_type,
    object_id, object_label, after, reason, db_role, application_name, backend_pid)
SELECT uuid7_at(moment), organization, moment, pg_current_xact_id()::text::bigint,
       'command', 'old', '', '', '', '', 'tenants.project.updated', 'ok', 'projects',
       organization, 'Old', '{"number": 1.10, "text": "é"}', '', 'app_rw', '', 1
FROM generate_series(1, %(count)s) AS n,
     LATERAL (SELECT %(start)s::timestamptz + n * interval '1 hour' AS moment) AS at
"""


@pytest.fixture(autouse=True)
def kept_here(settings, tmp_path: Path) -> Path:
    """Keep archives and keys of this test in a folder of its own."""
    folder = tmp_path / "archive"
    store = {
        "BACKEND": "django.core.files.storage.FileSystemStorage",
        "OPTIONS": {"location": str(folder), "file_permissions_mode": 0o600},
    }
    settings.STORAGES = {**settings.STORAGES, "audit_archive": store}
    settings.AUDIT_KEY_FILE = tmp_path / "signing_key"
    settings.AUDIT_PUBLIC_KEYS_FILE = tmp_path / "public_keys"
    return folder


@pytest.fixture
def old_month(cast) -> Iterator[Month]:
    """A month of 2024 with entries of two organizations and of none."""
    step = partitions._create(POLICY, OLD.start)
    partitions.apply(connection, [step])
    for owner in (cast.acme.pk, cast.umbrella.pk, None):
        fill(owner)
    try:
        yield OLD
    finally:
        as_superuser(f"DROP TABLE IF EXISTS {OLD.partition}")


def fill(owner: Any, count: int = COUNT) -> None:
    as_superuser(
        INSERT.replace("organization,", "%(owner)s::uuid,"),
        {"owner": owner, "count": count, "start": OLD.start},
    )


def seal() -> None:
    """Seal all of it: other databases' transactions may hold the horizon back."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        seal_all(connection)
        if not has_unsealed(connection, UUID(int=0), floor(datetime.now(UTC))):
            return
        time.sleep(0.1)
    raise TimeoutError("a transaction somewhere in the cluster stays open")


def as_superuser(statement: str, parameters: Any = None) -> None:
    with psycopg.connect(SUPERUSER_URL, dbname=TEST_DATABASE) as superuser:
        superuser.execute("SET session_replication_role = replica")
        superuser.execute(statement, parameters)


def commanded(*words: str, code: int = 0) -> dict[str, Any]:
    out, ended = io.StringIO(), 0
    try:
        call_command(*words, "--json", stdout=out)
    except SystemExit as end:
        ended = int(end.code or 0)
    assert ended == code, out.getvalue()
    return json.loads(out.getvalue())


def archived(*, code: int = 0) -> dict[str, Any]:
    return commanded("archive_audit", "--month", str(OLD), code=code)["months"][0]


def unpacked(location: str, name: str) -> list[dict[str, Any]]:
    with storages["audit_archive"].open(f"{location}/{name}") as file:
        return [json.loads(line) for line in gzip.decompress(file.read()).splitlines()]


def retired(action: str, days: int = 0) -> list[partitions.Step]:
    now = datetime.now(UTC) + timedelta(days=days)
    steps = partitions.plan(connection, POLICY, now)
    return partitions.apply(connection, [s for s in steps if s.action == action])


def test_a_month_is_written_recorded_and_told_of(old_month, cast, kept_here):
    seal()
    told = archived()
    assert (told["state"], told["entries"]) == ("archived", 3 * COUNT)
    lines = unpacked(told["location"], "entries.jsonl.gz")
    stored = AuditLog._base_manager.filter(id__lt=OLD.end_id).order_by("id")
    assert [line["id"] for line in lines] == [str(entry.pk) for entry in stored]
    assert tuple(lines[0]) == COLUMNS
    entry = only_entry(action="audit.archived")
    assert (entry.actor_kind, entry.actor_label) == ("command", "archive_audit")
    assert entry.after["sha256"] == told["sha256"]
    files = [path for path in kept_here.rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_an_archive_holds_the_seals_over_its_entries(old_month, cast):
    seal()
    location = archived()["location"]
    seals = unpacked(location, "seals.jsonl.gz")
    assert {seal["organization_id"] for seal in seals} == {
        str(cast.acme.pk),
        str(cast.umbrella.pk),
        None,
    }
    manifest = json.loads(
        storages["audit_archive"].open(f"{location}/manifest.json").read()
    )
    assert manifest["entries"] == 3 * COUNT
    assert manifest["organizations"][str(cast.acme.pk)] == COUNT


def test_a_month_that_is_archived_is_not_archived_again(old_month):
    seal()
    first = archived()
    again = archived()
    assert (again["state"], again["sha256"]) == ("archived before", first["sha256"])
    assert len(records(connection)) == 1


def test_a_month_waits_until_it_is_sealed(old_month):
    told = archived(code=1)
    assert told["state"] == "not archived"
    assert "seal_audit" in told["reason"]
    assert records(connection) == []


def test_a_month_that_is_not_over_waits(cast):
    seal()
    now = datetime.now(UTC)
    with pytest.raises(Conflict, match="not over"):
        archiving.archive(connection, Month(partitions.month_start(now)), now)


DAMAGES = {
    "altered": "UPDATE {partition} SET reason = 'x' WHERE id = (SELECT min(id) FROM x)",
    "deleted": "DELETE FROM {partition} WHERE id = (SELECT min(id) FROM x)",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_month_is_not_archived_as_if_it_were_whole(old_month, damage):
    seal()
    statement = DAMAGES[damage].format(partition=OLD.partition)
    ids = f"(SELECT id::text AS id FROM {OLD.partition}) AS x"
    as_superuser(
        statement.replace("FROM x", f"FROM {ids}").replace("id = (", "id::text = (")
    )
    told = archived(code=2)
    assert damage in told["reason"]
    assert records(connection) == []


def test_a_dry_run_writes_nothing(old_month, kept_here):
    seal()
    told = commanded("archive_audit", "--dry-run")
    assert [(m["month"], m["state"]) for m in told["months"]] == [
        (str(OLD), "would be archived")
    ]
    assert not kept_here.exists()


@pytest.mark.parametrize("month", ["2019-01", "yesterday"])
def test_a_month_that_is_not_there_is_a_usage_error(old_month, month):
    with pytest.raises(Exception, match="month"):
        call_command("archive_audit", "--month", month)


def test_the_job_archives_what_is_due(old_month):
    seal()
    archive_due_months(0)
    archive_due_months(0)
    assert [record.month for record in records(connection)] == [OLD.start.date()]


def test_verifying_finds_what_was_spoilt(old_month, kept_here):
    seal()
    location = archived()["location"]
    assert commanded("archive_audit", "--verify")["months"][0]["state"] == "whole"
    for name in ("entries.jsonl.gz", "seals.jsonl.gz", "manifest.json"):
        path = kept_here / location / name
        whole = path.read_bytes()
        path.write_bytes(whole[:-9] + bytes([whole[-9] ^ 1]) + whole[-8:])
        told = commanded("archive_audit", "--verify", code=2)
        assert told["months"][0]["state"] == "damaged", name
        path.unlink()
        assert commanded("archive_audit", "--verify", code=2)["findings"]
        path.write_bytes(whole)
    assert commanded("archive_audit", "--verify")["status"] == "ok"


def test_a_record_that_was_altered_is_not_believed(old_month):
    seal()
    archived()
    assert archived_ranges(connection) == [(OLD.first_id, OLD.end_id)]
    (made,) = records(connection)
    for change in ({"entries": 1}, {"sha256": "0" * 64}, {"location": "elsewhere"}):
        assert problems_of(made._replace(**change)) == [
            "its record bears no signature of a trusted key"
        ]
    as_superuser("UPDATE audit_archives SET entries = entries - 1")
    assert archived_ranges(connection) == []
    assert "not archived" in why_held(connection, OLD)


def test_archives_stand_in_the_admin(old_month):
    seal()
    told = archived()
    root = superuser()
    assert str(OLD) in shown(root.listed("audit_archive"))
    page = shown(root.opened(Archive._base_manager.get()))
    assert told["sha256"] in page
    assert ">signed<" in "".join(page.split())
    as_superuser("UPDATE audit_archives SET location = 'elsewhere'")
    page = shown(root.opened(Archive._base_manager.get()))
    assert "not signed by a trusted key" in page


def printed(*words: str) -> list[dict[str, Any]]:
    out = io.StringIO()
    call_command("read_audit_archive", *words, stdout=out)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def test_an_archive_can_be_read(old_month, cast, kept_here):
    seal()
    location = archived()["location"]
    assert len(printed(location)) == 3 * COUNT
    assert len(printed(str(kept_here / location / "entries.jsonl.gz"))) == 3 * COUNT
    of_acme = ["--filter", f"organization_id={cast.acme.pk}"]
    assert len(printed(location, *of_acme)) == COUNT
    assert len(printed(location, *of_acme, "--filter", "action=tenants.*")) == COUNT
    assert printed(location, *of_acme, "--filter", "outcome=denied") == []
    assert len(printed(location, "--filter", "organization_id=")) == COUNT
    first_ten = OLD.start + timedelta(hours=10, minutes=30)
    assert len(printed(location, *of_acme, "--to", first_ten.isoformat())) == 10
    assert len(printed(location, *of_acme, "--from", first_ten.isoformat())) == 15
    told = commanded("read_audit_archive", location, *of_acme)
    assert (told["read"], told["found"]) == (3 * COUNT, COUNT)


@pytest.mark.parametrize("words", [["nowhere"], ["x", "--filter", "before=1"]])
def test_an_archive_that_is_not_there_is_a_usage_error(kept_here, words):
    with pytest.raises(CommandError) as refusal:
        call_command("read_audit_archive", *words)
    assert refusal.value.returncode == 64


# Letting go


def test_a_month_goes_only_when_it_is_archived(old_month):
    assert "not archived" in why_held(connection, OLD)
    seal()
    assert "not archived" in why_held(connection, OLD)
    assert [step.state for step in retired("detach")] == ["held"]
    archived()
    assert why_held(connection, OLD) == ""


def test_a_legal_hold_keeps_the_months_that_hold_entries_of_it(old_month, cast):
    seal()
    archived()
    other = Organization(slug="young", name="Young", legal_hold=True)
    other.save()
    assert why_held(connection, OLD) == ""
    Organization._base_manager.filter(pk=cast.acme.pk).update(legal_hold=True)
    assert why_held(connection, OLD) == "legal hold of acme; lift it first"
    assert [step.state for step in retired("detach")] == ["held"]


def test_a_hold_also_keeps_a_month_that_is_detached_already(old_month, cast):
    seal()
    archived()
    assert [step.state for step in retired("detach")] == ["done"]
    early = OLD.start - timedelta(days=1)
    Organization._base_manager.filter(pk=cast.acme.pk).update(
        legal_hold=True, created_at=early
    )
    assert [step.state for step in retired("drop", days=8)] == ["held"]
    Organization._base_manager.filter(pk=cast.acme.pk).update(legal_hold=False)
    assert [step.state for step in retired("drop", days=8)] == ["done"]


def test_a_dropped_month_leaves_an_entry_and_no_damage(old_month, cast, kept_here):
    seal()
    told = archived()
    assert [step.state for step in retired("detach")] == ["done"]
    assert [step.state for step in retired("drop", days=8)] == ["done"]
    assert entries(id__lt=OLD.end_id) == []
    entry = only_entry(action="audit.month_dropped")
    assert (entry.actor_kind, entry.actor_label) == ("command", "partitions")
    assert entry.after["partition"] == OLD.partition
    assert told["sha256"] in entry.after["archive"]
    assert commanded("verify_audit")["damaged"] == []
    as_superuser("DELETE FROM audit_archives")
    assert commanded("verify_audit", code=2)["damaged"]


def test_nobody_adds_or_changes_a_record_past_the_function(old_month):
    seal()
    archived()
    for role in ("app_rw", "app_maint", "app_owner", "app_ro"):
        for statement in (
            "UPDATE audit_archives SET entries = 0",
            "DELETE FROM audit_archives",
            "TRUNCATE audit_archives",
            "INSERT INTO audit_archives SELECT * FROM audit_archives",
        ):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                as_role(role, statement)
    for statement in (
        "UPDATE audit_archives SET entries = 0",
        "TRUNCATE audit_archives",
    ):
        with pytest.raises(psycopg.errors.IntegrityConstraintViolation):
            as_role("audit_owner", statement)


def as_role(role: str, statement: str) -> None:
    with psycopg.connect(SUPERUSER_URL, dbname=TEST_DATABASE) as session:
        session.execute(f"SET ROLE {role}")
        session.execute(statement)
        session.rollback()


def test_an_archive_that_cannot_be_read_back_is_not_recorded(old_month, monkeypatch):
    seal()
    monkeypatch.setattr("audit.archiving.differences", lambda made: ["it differs"])
    with pytest.raises(Damaged, match="could not be read back"):
        archiving.archive(connection, OLD, datetime.now(UTC))
    assert run("SELECT count(*) FROM audit_archives") == [(0,)]
