from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from audit import anchors
from audit.partitions import POLICIES
from audit.sql.verifying import Period
from audit.tests.sealed import found, ids_of, seal, seals_of, superuser, verify, write
from audit.tests.test_sealing import call_command_line
from audit.tests.trail import run
from mlops.db.partitions import month_start
from mlops.db.uuid7 import floor, uuid7, uuid7_time
from tenants.tests.factories import (
    MembershipFactory,
    OrganizationFactory,
    ProjectFactory,
    UserFactory,
)

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("sealing_key"),
]
ACME, UMBRELLA = uuid7(), uuid7()

INSERT = """
INSERT INTO audit_logs SELECT (jsonb_populate_record(l, jsonb_build_object(
    'id', uuid7_at(%(moment)s), 'created_at', %(moment)s::timestamptz,
    'transaction_id', %(xid)s::text))).*
FROM audit_logs l WHERE organization_id = %(organization)s LIMIT 1 RETURNING id
"""


def insert(moment: datetime, xid: str):
    with connection.cursor() as cursor:
        values: Any = {"moment": moment, "xid": xid, "organization": ACME}
        cursor.execute(INSERT, values)
        return cursor.fetchone()[0]


def oddities(verdict) -> list[str]:
    return [odd.check for odd in verdict.oddities]


def test_untouched_trail_is_fine():
    for organization in (ACME, UMBRELLA, None):
        write(organization, 3)
    seal()
    write(ACME, 2)
    for fast in (False, True):
        verdict = verify(fast=fast)
        assert (verdict.entries, verdict.seals, verdict.unsealed) == (11, 3, 2)
        assert (verdict.damaged, verdict.oddities) == ([], [])


def test_first_damage_of_each_seal_is_named():
    write(ACME, 4)
    seal()
    write(ACME, 4)
    seal()
    ids = ids_of(ACME)
    with superuser():
        run("DELETE FROM audit_logs WHERE id = %s", ids[1])
        run("UPDATE audit_logs SET reason = 'x' WHERE id = %s", ids[2])
        run("UPDATE audit_logs SET reason = 'x' WHERE id = %s", ids[6])
        verdict = verify()
    assert found(verdict) == [("deleted", ids[1]), ("altered", ids[6])]
    assert [damage.seal for damage in verdict.damaged] == [1, 2]
    assert {damage.organization for damage in verdict.damaged} == {ACME}


def test_inserted_entry_is_named():
    write(ACME, 2)
    seal()
    with superuser():
        entry = insert(datetime.now(UTC), "3")
        assert found(verify()) == [("inserted", entry)]


def test_entry_of_a_transaction_that_is_to_come_was_inserted():
    write(ACME, 2)
    seal()
    with superuser():
        entry = insert(datetime.now(UTC), str(2**60))
        assert found(verify()) == [("inserted", entry)]


def test_last_seals_cut_off_are_missed():
    for _ in range(3):
        write(ACME, 2)
        write(UMBRELLA, 2)
        seal()
    with superuser():
        run("DELETE FROM audit_seals WHERE organization_id = %s AND n > 1", ACME)
        verdict = verify()
    assert found(verdict) == [("unsealed", entry) for entry in ids_of(ACME)[2:]]


def test_missing_seal_is_named_and_so_are_its_entries():
    for _ in range(3):
        write(ACME, 1)
        seal()
    with superuser():
        run("DELETE FROM audit_seals WHERE n = 2")
        assert found(verify()) == [
            ("seal_missing", ids_of(ACME)[2]),
            ("inserted", ids_of(ACME)[1]),
        ]


def test_back_dated_entry_that_was_sealed_is_odd():
    """Whoever inserts it before it is sealed can give it any moment; the number of its
    transaction tells that it came later.
    """
    write(ACME, 2)
    seal()
    moment = datetime.now(UTC) - timedelta(minutes=10)
    entry = insert(moment, run("SELECT pg_current_xact_id()::text")[0][0])
    write(ACME)
    assert seal().entries == 2
    verdict = verify()
    assert verdict.damaged == []
    assert [(odd.check, odd.object) for odd in verdict.oddities] == [
        ("clock", str(entry))
    ]


def test_clock_that_went_back_within_the_tolerance_is_not_odd(settings):
    write(ACME, 2)
    seal()
    moment = datetime.now(UTC) - timedelta(seconds=20)
    xid = run("SELECT pg_current_xact_id()::text")[0][0]
    insert(moment, xid)
    settings.AUDIT_CLOCK_SECONDS = 120
    assert verify().oddities == []
    settings.AUDIT_CLOCK_SECONDS = 2
    assert oddities(verify()) == ["clock"]


def test_month_that_was_archived_may_be_gone():
    write(ACME, 3)
    seal()
    write(ACME, 1)
    seal()
    first, *_, last = ids_of(ACME)
    with superuser():
        run("DELETE FROM audit_logs WHERE id < %s", last)
        assert found(verify()) == [("deleted", first)]
        assert verify(gone=[(first, last)]).damaged == []
        run("UPDATE audit_seals SET root = sha256(root) WHERE n = 1")
        assert found(verify(gone=[(first, last)])) == [("seal_altered", first)]


def test_range_looks_at_its_entries_only():
    for _ in range(3):
        write(ACME, 3)
        seal()
    ids = ids_of(ACME)
    middle = Period(ids[4], ids[7])
    verdict = verify(period=middle)
    assert (verdict.entries, verdict.seals, verdict.damaged) == (3, 2, [])
    with superuser():
        run("DELETE FROM audit_logs WHERE id = ANY(%s)", [ids[0], ids[8]])
        assert verify(period=middle).damaged == []
        run("DELETE FROM audit_logs WHERE id = %s", ids[5])
        assert found(verify(period=middle)) == [("deleted", ids[5])]


def test_entries_that_wait_too_long_are_late():
    write(ACME, 1)
    seal()
    assert oddities(verify()) == []
    xid = run("SELECT pg_current_xact_id()::text")[0][0]
    insert(datetime.now(UTC) - timedelta(seconds=90), xid)
    assert "late" in oddities(verify())


# The command


def verified(capsys, *words: str) -> tuple[dict, int]:
    capsys.readouterr()
    code = 0
    try:
        call_command("verify_audit", "--json", *words)
    except SystemExit as end:
        code = int(end.code or 0)
    return json.loads(capsys.readouterr().out), code


def test_command_says_that_all_is_fine(capsys):
    write(ACME, 2)
    write(None, 1)
    seal()
    said, code = verified(capsys)
    assert code == 0
    assert (said["entries"], said["seals"], said["unsealed"]) == (3, 2, 0)
    assert (said["damaged"], said["others"]) == ([], [])


def test_command_names_the_damage(capsys):
    organization = OrganizationFactory(slug="acme")
    write(organization.pk, 3)
    seal()
    entry = ids_of(organization.pk)[1]
    with superuser():
        run("UPDATE audit_logs SET reason = 'x' WHERE id = %s", entry)
        for words in ([], ["--fast"], ["--organization", "acme"]):
            said, code = verified(capsys, *words)
            assert code == 2, said
            assert [
                (each["organization"], each["entry"], each["reason"])
                for each in said["damaged"]
            ] == [(str(organization.pk), str(entry), "altered")]
        said, code = verified(capsys, "--organization", "instance")
        assert code == 0
        tomorrow = f"{datetime.now(UTC) + timedelta(days=1):%Y-%m-%d}"
        assert verified(capsys, "--from", tomorrow)[1] == 0
        assert verified(capsys, "--to", tomorrow)[1] == 2


def test_command_finds_a_disabled_trigger(capsys):
    write(ACME)
    seal()
    with superuser():
        run("ALTER TABLE experiment_runs DISABLE TRIGGER audit_capture")
        said, code = verified(capsys)
    assert code == 2
    assert [each["check"] for each in said["others"]] == ["catalog"]


def test_command_finds_a_gap_between_months(capsys):
    write(ACME)
    seal()
    month = POLICIES[0].name_of(month_start(datetime.now(UTC), 2))
    with superuser():
        run(f"DROP TABLE {month}")
        said, code = verified(capsys)
    assert code == 2
    assert [each["check"] for each in said["others"]] == ["months"]


WRONG = [
    (["--from", "yesterday"], 64),
    (["--from", "2026-12-01", "--to", "2026-11-01"], 64),
    (["--organization", "nobody"], 3),
    (["--anchor", "/nowhere/anchors.jsonl"], 3),
    (["--nonsense"], 64),
]


def test_command_says_what_it_cannot_do():
    for words, expected in WRONG:
        with pytest.raises(SystemExit) as end:
            call_command_line("verify_audit", "--json", *words)
        assert (words, end.value.code) == (words, expected)


def test_sample_finds_a_row_that_its_entries_do_not_tell(capsys):
    project = ProjectFactory(organization=OrganizationFactory())
    seal()
    said, code = verified(capsys, "--sample", "50")
    assert said["sampled"] == 3
    assert said["damaged"] == []
    with superuser():
        run("UPDATE projects SET name = 'behind its back' WHERE id = %s", project.pk)
        said, code = verified(capsys, "--sample", "50")
    assert code == 2
    assert [each["reason"] for each in said["damaged"]] == ["other_row"]
    assert "name" in said["damaged"][0]["detail"]


def test_sample_passes_over_what_became_another_organizations(capsys):
    user = UserFactory()
    one, other = OrganizationFactory(), OrganizationFactory()
    row = MembershipFactory(organization=one, user=user)
    run(
        "UPDATE organization_memberships SET organization_id = %s WHERE id = %s",
        other.pk,
        row.pk,
    )
    run("UPDATE organization_memberships SET role = 'admin' WHERE id = %s", row.pk)
    seal()
    said, code = verified(capsys, "--sample", "50")
    assert (said["damaged"], code) == ([], 0)


# Anchors


@pytest.fixture
def anchored(settings, tmp_path) -> Path:
    settings.AUDIT_ANCHORS = [f"file:{tmp_path / 'away' / 'anchors.jsonl'}"]
    return tmp_path / "away" / "anchors.jsonl"


def test_anchors_tell_what_grew(anchored):
    write(ACME, 2)
    write(None)
    seal()
    (told,) = anchors.anchor_all(connection)
    assert (told.chains, told.error) == (2, "")
    assert anchors.anchor_all(connection)[0].chains == 0
    write(ACME)
    seal()
    anchors.anchor_all(connection)
    first, second = map(json.loads, anchored.read_text().splitlines())
    assert first["heads"].keys() == {str(ACME), "instance"}
    newest = seals_of(ACME)[-1]
    assert second["heads"] == {str(ACME): [2, bytes(newest.hash).hex()]}


def test_anchor_finds_all_chains_cut_back_alike(anchored, capsys):
    """What no seal can tell, since the newest of all are gone."""
    write(ACME, 2)
    seal()
    write(ACME, 2)
    seal()
    anchors.anchor_all(connection)
    with superuser():
        run("UPDATE audit_logs SET reason = 'x' WHERE id = %s", ids_of(ACME)[3])
        run("DELETE FROM audit_seals WHERE n = 2")
        assert verify().damaged == []
        said, code = verified(capsys)
    assert code == 2
    assert [each["reason"] for each in said["damaged"]] == ["seal_missing"]
    assert said["anchors"] == 1


def test_anchor_finds_a_chain_that_was_sealed_anew_by_the_key_itself(anchored, capsys):
    write(ACME, 2)
    seal()
    anchors.anchor_all(connection)
    with superuser():
        run("DELETE FROM audit_seals")
        run("UPDATE audit_logs SET reason = 'x'")
        run("SET LOCAL session_replication_role = origin")
        run("SELECT audit_append(NULL, NULL, 'a.b.c', 'ok', '', NULL, '', NULL, NULL)")
    run("SET session_replication_role = replica")
    run("DELETE FROM audit_seals")
    run("UPDATE audit_logs SET reason = 'x'")
    run("RESET session_replication_role")
    seal()
    assert verify().damaged == []
    said, code = verified(capsys)
    assert (code, [each["reason"] for each in said["damaged"]]) == (2, ["resealed"])


SPOILT = [
    ("another head", lambda line: line.replace("[1,", "[2,")),
    ("another moment", lambda line: line.replace('"moment":"2', '"moment":"3')),
    ("another key", lambda line: line.replace('"key_id":"', '"key_id":"0')),
    ("no JSON", lambda line: line[:-5]),
    ("another form", lambda line: "[1, 2]"),
]


def test_spoilt_anchor_is_named_by_its_line(anchored, capsys):
    write(ACME)
    seal()
    anchors.anchor_all(connection)
    line = anchored.read_text()
    for case, spoil in SPOILT:
        anchored.write_text(spoil(line))
        said, code = verified(capsys, "--anchor", str(anchored))
        assert (case, code) == (case, 2)
        assert [each["object"] for each in said["others"]] == [f"{anchored}:1"], case


def test_command_anchors_and_tells_what_failed(settings, anchored, capsys, tmp_path):
    write(ACME)
    seal()
    (tmp_path / "no folder").write_text("")
    settings.AUDIT_ANCHORS.append(f"file:{tmp_path}/no folder/anchors.jsonl")
    call_command("anchor_audit", "--dry-run")
    assert capsys.readouterr().out.count("Would tell") == 2
    with pytest.raises(SystemExit) as end:
        call_command("anchor_audit", "--json")
    said = json.loads(capsys.readouterr().out)
    assert end.value.code == 2
    assert [each["chains"] for each in said["anchors"]] == [1, 0]
    assert len(anchored.read_text().splitlines()) == 1


def test_moment_of_an_entry_bounds_its_id():
    write(ACME)
    (entry,) = ids_of(ACME)
    assert floor(uuid7_time(entry)) <= entry
