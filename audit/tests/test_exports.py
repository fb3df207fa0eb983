from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import call_command

from audit.exports import Export
from audit.lines import COLUMNS
from audit.tests.trail import entries, only_entry, run
from conftest import client_of, web_role
from mlops.db.locks import lock_beside_pool
from registry.tests.factories import ExperimentFactory
from tenants.context import Actor, TenantContextMissing, tenant_transaction
from tenants.models import ApiToken, ProjectMember
from tenants.services.projects import update_project
from tenants.tests.factories import make_api_token

ACME = "/api/v1/organizations/acme/"
EXPORT = f"{ACME}audit-logs/export/"
FRAUD = f"{ACME}projects/fraud/"


def exported(client, query: str = "", address: str = EXPORT) -> bytes:
    response = client.get(f"{address}?{query}")
    assert response.status_code == 200, response.getvalue()
    with web_role():
        return response.getvalue()


def lines(client, query: str = "", address: str = EXPORT) -> list[dict]:
    return [json.loads(line) for line in exported(client, query, address).splitlines()]


def described(cast, description: str) -> None:
    actor = Actor(kind="user", id=cast.alice.pk, organization_id=cast.acme.pk)
    with tenant_transaction(actor):
        update_project(cast.fraud, description=description)


def test_an_export_holds_every_entry_oldest_first(alice, cast):
    # By id, as within one millisecond moments and ids may differ in order.
    before = sorted(str(entry.pk) for entry in entries(organization_id=cast.acme.pk))
    assert [line["id"] for line in lines(alice)] == before
    assert len(before) > 5


def test_a_line_holds_all_columns_and_both_sides_as_they_were_kept(alice, cast):
    described(cast, "two\nlines")
    line = lines(alice, "action=tenants.project.updated")[-1]
    assert tuple(line) == COLUMNS
    entry = only_entry(id=line["id"])
    assert (line["before"], line["after"]) == (entry.before, entry.after)
    assert line["created_at"] == f"{entry.created_at:%Y-%m-%dT%H:%M:%S.%f}Z"


@pytest.mark.parametrize("number", ["1.10", "1" + "0" * 400, "12345678901234567890.5"])
def test_numbers_keep_their_digits(alice, cast, number):
    text = f'{{"exact": {number}}}'
    run("UPDATE projects SET metadata = %s::jsonb WHERE id = %s", text, cast.fraud.pk)
    assert f'"exact": {number}'.encode() in exported(alice)


def test_entries_that_come_while_it_runs_are_not_waited_for(alice, cast, monkeypatch):
    monkeypatch.setattr("audit.exports.PAGE", 2)
    response = alice.get(EXPORT)
    pieces = iter(response.streaming_content)
    next(pieces)
    described(cast, "meanwhile")
    rest = b"".join(pieces)
    assert b"meanwhile" not in rest
    assert b"meanwhile" in exported(alice)


@pytest.mark.parametrize("page", [1, 3, 1000])
@pytest.mark.parametrize("step", [1, 2, 10_000])
@pytest.mark.parametrize(
    "query", ["", "outcome=ok", "action=tenants.*&outcome=ok", "actor_kind=system"]
)
def test_pages_leave_out_and_repeat_nothing(
    alice, cast, monkeypatch, page, step, query
):
    for name in "abc":
        described(cast, name)
    # An export is itself in the trail.
    whole = f"{query}&until={datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    expected = [line["id"] for line in lines(alice, whole)]
    monkeypatch.setattr("audit.exports.PAGE", page)
    monkeypatch.setattr("audit.exports.STEP", step)
    assert [line["id"] for line in lines(alice, whole)] == expected
    assert expected == sorted(expected)


def test_csv_has_a_head_and_the_same_entries(alice, cast):
    until = f"until={datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"
    text = exported(alice, f"format=csv&{until}").decode()
    head, *rows = csv.reader(io.StringIO(text))
    assert tuple(head) == COLUMNS
    found = lines(alice, until)
    assert [row[0] for row in rows] == [line["id"] for line in found]
    for row, line in zip(rows, found, strict=True):
        side = row[COLUMNS.index("after")]
        assert (json.loads(side) if side else None) == line["after"]


FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1+1", "＋1"]


@pytest.mark.parametrize("text", FORMULAS)
def test_csv_never_begins_a_cell_as_a_formula(alice, cast, text):
    actor = Actor(kind="user", id=cast.alice.pk, organization_id=cast.acme.pk)
    with tenant_transaction(actor, reason=text):
        update_project(cast.fraud, name=f"{text} x")
    table = exported(alice, "format=csv").decode()
    rows = list(csv.DictReader(io.StringIO(table, newline="")))
    (row,) = [each for each in rows if each["reason"].endswith(text)]
    assert row["reason"] == f"'{text}"
    assert row["object_label"] == f"'{text} x"
    for cell in row.values():
        assert not cell.startswith(tuple("=+-@\t\r\n＝＋－＠"))


def test_an_export_is_recorded_at_its_begin_and_at_its_end(alice, cast):
    count = len(lines(alice, "outcome=ok"))
    begun = only_entry(action="audit.export_started")
    ended = only_entry(action="audit.exported")
    for entry in (begun, ended):
        assert entry.organization_id == cast.acme.pk
        assert (entry.object_type, entry.object_id) == ("organizations", cast.acme.pk)
        assert entry.actor_id == cast.alice.pk
    assert begun.after == {"format": "jsonl", "filters": {"outcome": "ok"}}
    assert ended.after == {"format": "jsonl", "rows": count}


def test_an_export_that_breaks_off_is_recorded_as_failed(alice, cast, monkeypatch):
    monkeypatch.setattr("audit.exports.PAGE", 1)
    response = alice.get(EXPORT)
    next(iter(response.streaming_content))
    for close in response._resource_closers:
        close()
    ended = only_entry(action="audit.exported")
    assert (ended.outcome, ended.after["rows"]) == ("failed", 1)
    assert lines(alice)


def test_a_second_export_of_the_organization_has_to_wait(alice, cast):
    with lock_beside_pool("default", f"audit-export:{cast.acme.pk}"):
        response = alice.get(EXPORT)
        assert response.status_code == 409
        assert "wait until it has ended" in response.json()["error"]["message"]
        assert entries(action="audit.export_started") == []
    assert lines(alice)


def test_exports_of_two_organizations_run_side_by_side(alice, mallory, cast):
    with lock_beside_pool("default", f"audit-export:{cast.acme.pk}"):
        assert lines(mallory, address=EXPORT.replace("acme", "umbrella"))


def test_a_refused_export_keeps_nobody_waiting(alice):
    assert alice.get(f"{EXPORT}?outcome=fine").status_code == 400
    assert lines(alice)


def test_a_token_that_is_revoked_meanwhile_gets_no_further_page(
    cast, alice, monkeypatch
):
    monkeypatch.setattr("audit.exports.PAGE", 1)
    response = alice.get(EXPORT)
    pieces = iter(response.streaming_content)
    next(pieces)
    ApiToken._base_manager.update(revoked_at=datetime.now(UTC))
    with pytest.raises(Exception, match="Authentication failed"):
        list(pieces)


@pytest.mark.parametrize(
    "query, said",
    [
        ("format=xml", "format='xml'"),
        ("format=", "format=''"),
        ("action=", "action=''"),
        ("object_type=models", "object_type='models'"),
        ("format=csv&format=csv", "given twice"),
        ("cursor=x", "'cursor'"),
        ("limit=5", "'limit'"),
    ],
)
def test_a_bad_question_is_refused_by_name(alice, query, said):
    response = alice.get(f"{EXPORT}?{query}")
    assert response.status_code == 400
    assert said in response.json()["error"]["message"]


def test_head_costs_no_export(alice, cast):
    response = alice.head(f"{EXPORT}?format=csv")
    assert response.status_code == 200
    assert response["Content-Type"] == "text/csv; charset=utf-8"
    assert "audit-logs-acme.csv" in response["Content-Disposition"]
    assert entries(action="audit.export_started") == []


def test_a_maintainer_exports_what_is_of_the_project(bob, cast, monkeypatch):
    ProjectMember._base_manager.filter(user=cast.bob).update(role="maintainer")
    ExperimentFactory(project=cast.fraud)
    ExperimentFactory(project=cast.churn)
    monkeypatch.setattr("audit.exports.STEP", 3)
    assert bob.get(EXPORT).status_code == 403
    found = lines(bob, address=f"{FRAUD}audit-logs/export/")
    assert found
    assert {line["project_id"] for line in found} == {str(cast.fraud.pk)}
    assert only_entry(action="audit.exported").object_id == cast.fraud.pk


def test_an_export_shows_nothing_of_another_organization(alice, mallory, cast):
    assert {line["organization_id"] for line in lines(alice)} == {str(cast.acme.pk)}
    response = mallory.get(EXPORT)
    assert response.status_code == 404
    reader = make_api_token(cast.bob, cast.acme)
    assert client_of(reader.text).get(EXPORT).status_code == 403


# The command


def commanded(tmp_path, *words: str, name: str = "out") -> tuple[dict, str]:
    out, path = io.StringIO(), tmp_path / name
    where = ["--organization", "acme", "--output", str(path), "--json"]
    call_command("export_audit", *where, *words, stdout=out)
    return json.loads(out.getvalue()), path.read_text()


def test_the_command_writes_what_rest_sends(alice, cast, tmp_path):
    told, text = commanded(tmp_path)
    assert told["rows"] == len(text.splitlines()) > 5
    entry = only_entry(action="audit.exported")
    assert (entry.actor_kind, entry.actor_label) == ("command", "export_audit")
    assert entry.organization_id == cast.acme.pk
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o600


def test_the_command_takes_bounds_and_filters(cast, tmp_path):
    described(cast, "x")
    since = (datetime.now(UTC) - timedelta(days=1)).isoformat()
    told, _ = commanded(
        tmp_path, "--from", since, "--filter", "action=tenants.project.updated"
    )
    assert told["rows"] == 1
    told, text = commanded(tmp_path, "--to", since, "--format", "csv", name="empty")
    assert (told["rows"], text.count("\n")) == (0, 1)


def test_the_command_replaces_a_file_only_when_told_to(cast, tmp_path):
    commanded(tmp_path)
    with pytest.raises(Exception, match="is there already"):
        commanded(tmp_path)
    assert commanded(tmp_path, "--yes")[0]["rows"]


def test_the_command_writes_to_standard_output(cast):
    out = io.StringIO()
    call_command("export_audit", "--organization", "acme", "--output", "-", stdout=out)
    assert all(json.loads(line) for line in out.getvalue().splitlines())


def test_a_dry_run_writes_and_records_nothing(cast, tmp_path):
    out, path = io.StringIO(), tmp_path / "out"
    where = ["--organization", "acme", "--output", str(path), "--dry-run"]
    call_command("export_audit", *where, stdout=out)
    assert "Would export" in out.getvalue()
    assert not path.exists()
    assert entries(action="audit.export_started") == []


def test_the_command_exports_what_is_of_no_organization(cast, tmp_path):
    out, path = io.StringIO(), tmp_path / "out"
    where = ["--organization", "none", "--output", str(path), "--json"]
    call_command("export_audit", *where, stdout=out)
    found = [json.loads(line) for line in path.read_text().splitlines()]
    assert found
    assert {line["organization_id"] for line in found} == {None}
    assert only_entry(action="audit.exported").organization_id is None


def test_an_export_that_cannot_begin_keeps_nobody_waiting(cast):
    export = Export(lambda: tenant_transaction(Actor(kind="job")), {}, "csv")
    with pytest.raises(TenantContextMissing):
        export.start(using="default", owner=str(cast.acme.pk), target=None)
    with lock_beside_pool("default", f"audit-export:{cast.acme.pk}"):
        pass
