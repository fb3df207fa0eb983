from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import call_command
from django.db import connection

from audit import anchors, keys
from audit.models import AuditLog
from audit.proofs import Damaged, NotAnchored, NotSealed, links_to_anchor, prove
from audit.tests.sealed import ids_of, seal, superuser, write
from audit.tests.test_sealing import call_command_line
from audit.tests.trail import run
from conftest import client_of
from mlops.db.uuid7 import uuid7
from tenants.tests.factories import (
    MembershipFactory,
    OrganizationFactory,
    ProjectFactory,
    UserFactory,
    make_api_token,
)

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("sealing_key"),
]
ACME = uuid7()
SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "verify_audit_entry.py"


def entry_of(key) -> AuditLog:
    return AuditLog._base_manager.using("default").get(pk=key)


def checked(path: Path, proof: dict, *words: str) -> subprocess.CompletedProcess[str]:
    """What somebody outside sees, who has the script and the files."""
    (path / "proof.json").write_text(json.dumps(proof))
    return subprocess.run(
        [sys.executable, str(SCRIPT), str(path / "proof.json"), *words],
        capture_output=True,
        text=True,
        cwd=path,
        env={},
        check=False,
    )


@pytest.fixture
def proof(capsys) -> dict:
    """Of the third of five entries, by the command."""
    write(ACME, 5)
    seal()
    call_command("prove_audit_entry", str(ids_of(ACME)[2]), "--json")
    return json.loads(capsys.readouterr().out)


def test_script_believes_a_proof(proof, tmp_path):
    key = keys.signing_key().public.text
    done = checked(tmp_path, proof, "--key", key)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("PROVED: sealed at 20")
    assert f"id: {ids_of(ACME)[2]}" in done.stdout


def test_every_entry_of_a_seal_can_be_proved(tmp_path):
    for count in (1, 2, 3, 4, 6, 7):
        write(ACME, count)
        seal()
        for key in ids_of(ACME)[-count:]:
            last = prove(connection, entry_of(key))
        assert checked(tmp_path, last).returncode == 0


def other(pairs: list, name: str, text: str | None) -> list:
    return [[each, text if each == name else value] for each, value in pairs]


SPOILT = [
    ("another reason", lambda p: p | {"entry": other(p["entry"], "reason", "x")}),
    ("null for empty", lambda p: p | {"entry": other(p["entry"], "reason", None)}),
    ("another path", lambda p: p | {"path": p["path"][:-1]}),
    ("another root", lambda p: p | {"seal": other(p["seal"], "root", "00" * 32)}),
    ("another time", lambda p: p | {"seal": other(p["seal"], "sealed_at", "2020")}),
    ("another hash", lambda p: p | {"hash": "00" * 32}),
    ("another signature", lambda p: p | {"signature": "A" * 86 + "=="}),
    ("no key", lambda p: p | {"public_key": None}),
    ("another form", lambda p: p | {"form": "mlops audit entry 2"}),
]


def test_script_refuses_a_spoilt_proof(proof, tmp_path):
    for case, spoil in SPOILT:
        done = checked(tmp_path, spoil(proof))
        assert (case, done.returncode) == (case, 1)
        assert done.stderr.startswith("NOT PROVED: "), case


def test_script_refuses_another_key_than_the_pinned_one(proof, tmp_path):
    pinned = keys.SigningKey(bytes(32)).public.text
    done = checked(tmp_path, proof, "--key", pinned)
    assert "the key has not signed the seal" in done.stderr


def test_script_follows_the_seals_to_an_anchor(settings, tmp_path, capsys):
    away = tmp_path / "anchors.jsonl"
    settings.AUDIT_ANCHORS = [f"file:{away}"]
    for _ in range(3):
        write(ACME, 2)
        seal()
    key = str(ids_of(ACME)[0])
    proof = prove(connection, entry_of(key))
    with pytest.raises(NotAnchored):
        links_to_anchor(connection, proof)
    anchors.anchor_all(connection)
    call_command("prove_audit_entry", key, "--json", "--anchored")
    proof = json.loads(capsys.readouterr().out)
    assert len(proof["links"]) == 2
    assert checked(tmp_path, proof, "--anchor", str(away)).returncode == 0

    alone = {**proof, "links": []}
    done = checked(tmp_path, alone, "--anchor", str(away))
    assert "no line of the anchor names the seal" in done.stderr
    forged = [other(proof["links"][0], "root", "00" * 32), proof["links"][1]]
    done = checked(tmp_path, proof | {"links": forged}, "--anchor", str(away))
    assert "do not follow one another" in done.stderr


def test_entry_that_waits_to_be_sealed_is_not_proved_yet():
    write(ACME, 1)
    with pytest.raises(NotSealed):
        prove(connection, entry_of(ids_of(ACME)[0]))
    seal()
    write(ACME, 1)
    with pytest.raises(NotSealed):
        prove(connection, entry_of(ids_of(ACME)[1]))


def test_nothing_is_proved_of_a_damaged_seal():
    write(ACME, 3)
    seal()
    first, second, third = ids_of(ACME)
    with superuser():
        run("UPDATE audit_logs SET reason = 'x' WHERE id = %s", second)
        for key in (first, second):
            with pytest.raises(Damaged):
                prove(connection, entry_of(key))
        run("DELETE FROM audit_logs WHERE id = %s", second)
        with pytest.raises(Damaged, match="archived"):
            prove(connection, entry_of(third))


def test_command_says_what_it_cannot_prove():
    for text, expected in (("no id", 64), (str(uuid7()), 3)):
        with pytest.raises(SystemExit) as end:
            call_command_line("prove_audit_entry", text, "--json")
        assert end.value.code == expected


# REST


def asked(client, key, organization="acme"):
    return client.get(f"/api/v1/organizations/{organization}/audit-logs/{key}/proof/")


def test_proof_by_rest_is_believed_and_mallory_gets_none(tmp_path):
    acme = OrganizationFactory(slug="acme")
    ProjectFactory(organization=acme, slug="fraud")
    alice, mallory = UserFactory(username="alice"), UserFactory(username="mallory")
    MembershipFactory(organization=acme, user=alice, role="owner")
    umbrella = OrganizationFactory(slug="umbrella")
    MembershipFactory(organization=umbrella, user=mallory, role="owner")
    owner = client_of(make_api_token(alice, acme).text)
    key = ids_of(acme.pk)[1]
    assert asked(owner, key).status_code == 409
    assert asked(owner, key).json()["error"]["code"] == "not_sealed"
    seal()
    answer = asked(owner, key)
    assert answer.status_code == 200
    assert checked(tmp_path, answer.json()).returncode == 0
    stranger = client_of(make_api_token(mallory, umbrella).text)
    assert asked(stranger, key, "umbrella").status_code == 404
    assert asked(stranger, key).status_code == 404
