"""A person who is erased leaves ids, and a trail that never held more."""

from __future__ import annotations

import io
import json
import os
import stat

import pytest
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from allauth.socialaccount.models import SocialAccount
from django.core.management import call_command
from django.db import connection

from audit.tests.sealed import seal, verify
from conftest import client_of
from mlops.cli import UsageError
from registry.models import EvaluationDataset, Run, RunTag
from registry.tests.factories import EvaluationDatasetFactory, ExperimentFactory
from registry.tests.maintenance.commands import maintenance_role
from tenants.management.commands.erase_person import ACTOR
from tenants.models import ApiToken, Erasure, Invitation, Membership, User
from tenants.services import erasure
from tenants.tests.factories import (
    InvitationFactory,
    MembershipFactory,
    ProjectMemberFactory,
    UserFactory,
    make_api_token,
)
from tenants.unscoped import every_organization

NAME, ADDRESS = "theodora.quux", "theodora@quux.example"
LAST = "Quuxington"
PASSWORD = "correct horse battery staple"
MLFLOW = "/api/2.0/mlflow"


@pytest.fixture(autouse=True)
def log_file(settings, tmp_path):
    settings.ERASURES_FILE = str(tmp_path / "erasures.jsonl")
    return tmp_path / "erasures.jsonl"


@pytest.fixture
def theodora(cast) -> User:
    person = UserFactory(
        username=NAME, email=ADDRESS, first_name="Theodora", last_name=LAST
    )
    MembershipFactory(organization=cast.acme, user=person)
    ProjectMemberFactory(project=cast.fraud, user=person, role="editor")
    EmailAddress.objects.create(user=person, email=ADDRESS, verified=True, primary=True)
    Authenticator.objects.create(user=person, type="totp", data={"secret": "s"})
    SocialAccount.objects.create(
        user=person, provider="acme", uid="f7c1", extra_data={"email": ADDRESS}
    )
    InvitationFactory(organization=cast.umbrella, email=ADDRESS.title())
    return person


def erase(*words: str, name: str = NAME):
    out = io.StringIO()
    with maintenance_role():
        named = (name,) if name else ()
        call_command(
            "erase_person", *named, "--reason", "asked by mail", *words, stdout=out
        )
    return out.getvalue()


def erase_json(*words: str, name: str = NAME):
    return json.loads(erase("--yes", "--json", *words, name=name))


def live(person: User, cast) -> None:
    """Do what a person does: log, fail, be refused, be shown."""
    token = make_api_token(person, cast.acme, cast.fraud, name="laptop")
    client = client_of(token.text)
    number = ExperimentFactory(project=cast.fraud).iid
    json_body = "application/json"
    made = client.post(
        f"{MLFLOW}/runs/create",
        {
            "experiment_id": str(number),
            "user_id": NAME,
            "tags": [{"key": "mlflow.user", "value": NAME}],
        },
        content_type=json_body,
    )
    assert made.status_code == 200, made.content
    run = made.json()["run"]["info"]["run_id"]
    client.post(
        f"{MLFLOW}/runs/update",
        {"run_id": run, "status": "FINISHED"},
        content_type=json_body,
    )
    client.get(f"{MLFLOW}/runs/get?run_id={run}")
    client.delete("/api/v1/organizations/acme/")
    client.post(f"{MLFLOW}/experiments/delete", {"experiment_id": str(number)})
    User.objects.filter(pk=person.pk).update(last_name="Quuxington-Smith")
    EvaluationDatasetFactory(
        project=cast.fraud, created_by=person.pk, creator_name=NAME, updater_name=NAME
    )


def sign_in(person: User) -> None:
    """Badly by name and by address, then well."""
    person.set_password(PASSWORD)
    person.save()
    for login, word in ((NAME, "wrong"), (ADDRESS, "wrong"), (NAME, PASSWORD)):
        client_of().post("/accounts/login/", {"login": login, "password": word})


def every_entry() -> list[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_jsonb(entry)::text FROM audit_logs AS entry")
        return [row[0] for row in cursor.fetchall()]


def test_nothing_of_a_person_is_left_but_the_id(cast, theodora, log_file):
    live(theodora, cast)
    told = erase_json()
    (counts,) = told["people"]
    assert told["applied"]
    assert counts["id"] == str(theodora.pk)
    assert counts["memberships"] == counts["tokens"] == counts["invitations"] == 1
    assert counts["texts"] == 4
    person = User.objects.get(pk=theodora.pk)
    assert person.username == f"erased-{theodora.pk.hex[-8:]}"
    assert person.email == person.first_name == person.last_name == ""
    assert not person.is_active
    assert not person.has_usable_password()
    for model in (EmailAddress, Authenticator, SocialAccount):
        assert not model.objects.filter(user=person).exists()
    assert not Membership._base_manager.filter(user=person, deleted_at=None).exists()
    assert not ApiToken._base_manager.filter(user=person, revoked_at=None).exists()
    assert Erasure.objects.get(user_id=person.pk).finished_at is not None


def test_no_table_holds_the_name_or_the_address_any_more(cast, theodora):
    live(theodora, cast)
    erase_json()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT relname FROM pg_class WHERE relkind = 'r'"
            " AND relnamespace = 'public'::regnamespace"
        )
        tables = [row[0] for row in cursor.fetchall()]
        for table in tables:
            cursor.execute(f'SELECT to_jsonb(t)::text FROM "{table}" AS t')
            rows = " ".join(row[0] for row in cursor.fetchall()).lower()
            for word in (NAME, ADDRESS, LAST.lower()):
                assert word not in rows, (table, word)


def test_no_entry_of_a_life_holds_the_name_or_the_address(cast, theodora):
    live(theodora, cast)
    sign_in(theodora)
    erase_json()
    entries = every_entry()
    assert any(str(theodora.pk) in entry for entry in entries)
    for entry in entries:
        for word in (NAME, ADDRESS, "quuxington"):
            assert word not in entry.lower(), entry


@pytest.fixture
def sealing(transactional_db, settings, tmp_path):
    """Let this test seal with a key of its own, and anchor nowhere."""
    settings.AUDIT_KEY_FILE = tmp_path / "secrets" / "audit_signing_key"
    settings.AUDIT_PUBLIC_KEYS_FILE = tmp_path / "secrets" / "audit_public_keys"
    settings.AUDIT_PUBLIC_KEYS = settings.AUDIT_ANCHORS = []


def test_the_seals_of_the_trail_hold_after_an_erasure(sealing, cast, theodora):
    live(theodora, cast)
    seal()
    before = verify()
    erase_json()
    after = verify()
    assert after.unsealed > 0
    seal()
    last = verify()
    assert before.damaged == after.damaged == last.damaged == []
    assert last.entries > before.entries
    assert last.unsealed == 0


def test_runs_are_read_with_the_invented_name(cast, theodora, alice_in_fraud):
    live(theodora, cast)
    run = Run._base_manager.get(created_by=theodora.pk)
    address = f"{MLFLOW}/runs/get?run_id={run.pk.hex}"
    assert NAME in alice_in_fraud.get(address).content.decode()
    erase_json()
    answer = alice_in_fraud.get(address)
    assert answer.status_code == 200
    assert NAME not in answer.content.decode()
    assert answer.json()["run"]["info"]["user_id"] == erasure.invented_name(theodora.pk)
    tag = RunTag._base_manager.get(run=run, key="mlflow.user")
    assert tag.value == erasure.invented_name(theodora.pk)
    dataset = EvaluationDataset._base_manager.get()
    assert dataset.creator_name == dataset.updater_name == tag.value


def test_what_others_wrote_of_themselves_stays(cast, theodora):
    other = EvaluationDatasetFactory(
        project=cast.fraud, created_by=cast.alice.pk, creator_name="alice"
    )
    erase_json()
    other.refresh_from_db()
    assert other.creator_name == "alice"
    cast.alice.refresh_from_db()
    assert cast.alice.username == "alice"


def test_the_last_owner_is_refused_by_the_name_of_the_organization(cast):
    with pytest.raises(UsageError, match="last owner of organization 'acme'"):
        erase("--yes", name="alice")
    cast.alice.refresh_from_db()
    assert cast.alice.username == "alice"
    Membership._base_manager.filter(user=cast.bob).update(role="owner")
    erase("--yes", name="alice")


def test_a_dry_run_tells_what_would_go_and_changes_nothing(cast, theodora):
    live(theodora, cast)
    told = erase_json("--dry-run")
    assert not told["applied"]
    (planned,) = told["people"]
    assert User.objects.filter(username=NAME).exists()
    (done,) = erase_json()["people"]
    assert {noun: done[noun] for noun in planned} == planned


def test_erasing_twice_says_that_there_is_nobody(cast, theodora):
    erase_json()
    with pytest.raises(UsageError, match="nobody of that name"):
        erase("--yes")


def test_what_was_stopped_half_way_goes_on(cast, theodora):
    live(theodora, cast)
    with maintenance_role(), erasing():
        erasure.erase_account(theodora)
    invented = erasure.invented_name(theodora.pk)
    (counts,) = erase_json(name=invented)["people"]
    assert counts["texts"] == 4


def erasing():
    return every_organization(ACTOR, reason="a test")


def test_the_log_holds_ids_and_is_for_the_operator_alone(cast, theodora, log_file):
    erase_json()
    (line,) = log_file.read_text().splitlines()
    assert json.loads(line)["user"] == str(theodora.pk)
    assert NAME not in line
    assert stat.S_IMODE(os.stat(log_file).st_mode) == 0o600


def test_after_a_restored_backup_the_log_erases_again(cast, theodora, log_file):
    live(theodora, cast)
    erase_json()
    # What the backup brings back.
    User.objects.filter(pk=theodora.pk).update(username=NAME, email=ADDRESS)
    Run._base_manager.filter(created_by=theodora.pk).update(user_name=NAME)
    told = erase_json("--replay", str(log_file), name="")
    assert [each["id"] for each in told["people"]] == [str(theodora.pk)]
    assert not User.objects.filter(email=ADDRESS).exists()
    assert not Run._base_manager.filter(user_name=NAME).exists()
    assert erase_json("--replay", str(log_file), name="")["people"] == []


@pytest.mark.parametrize(
    "words,name,told",
    [
        ((), "", "Name a person"),
        (("--replay", "erasures.jsonl"), NAME, "one of them"),
        (("--replay", "/nowhere/at-all"), "", "no file"),
        ((), "nobody", "nobody of that name"),
        (("--reason", " "), NAME, "--reason"),
    ],
)
def test_options_that_make_no_sense_are_refused(cast, theodora, words, name, told):
    with pytest.raises(UsageError, match=told):
        erase("--yes", *words, name=name)


def test_a_line_that_is_no_entry_is_named(cast, theodora, log_file):
    log_file.write_text('{"user": "x"}\n')
    with pytest.raises(UsageError, match="line 1"):
        erase("--yes", "--replay", str(log_file), name="")


def test_invitations_to_the_address_end_and_forget_it(cast, theodora):
    erase_json()
    invitation = Invitation._base_manager.get()
    assert invitation.revoked_at is not None
    assert ADDRESS not in invitation.email.lower()
