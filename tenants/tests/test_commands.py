from __future__ import annotations

import io
import json

import pytest
from django.core.management import call_command
from django.utils import timezone

from audit.models import AuditLog
from conftest import client_of
from mlops.cli import Unsafe, UsageError
from tenants.models import (
    ApiToken,
    Membership,
    Organization,
    Project,
    ServiceAccount,
    User,
)
from tenants.permissions import Permission
from tenants.tests.factories import make_api_token

API = "/api/v1/organizations/"


def run(name, *words, **options):
    out = io.StringIO()
    call_command(name, *words, "--json", stdout=out, **options)
    return json.loads(out.getvalue())


def stored(model):
    return model._base_manager


# create_tenant


def test_create_tenant_makes_a_place_where_its_token_works(db, settings):
    settings.BASE_URL = "http://127.0.0.1:9"
    made = run("create_tenant", "--organization", "globex", "--project", "forecast")
    assert set(made) == {"organization", "project", "url", "token"}
    assert made["url"] == "http://127.0.0.1:9"
    client = client_of(made["token"])
    project = f"{API}globex/projects/forecast/"
    assert client.get(project + "experiments/").status_code == 200
    body = {"name": "scorer"}
    written = client.post(project + "models/", body, content_type="application/json")
    assert written.status_code == 201


def test_create_tenant_invents_names_when_none_are_given(db):
    first, second = run("create_tenant"), run("create_tenant")
    assert first["organization"] != second["organization"]
    assert Organization._meta.get_field("slug").clean(first["organization"], None)


def test_create_tenant_is_safe_to_run_twice(db):
    words = ("create_tenant", "--organization", "globex", "--project", "forecast")
    first, second = run(*words), run(*words)
    assert first["token"] != second["token"]
    for made in (first, second):
        assert client_of(made["token"]).get(f"{API}globex/").status_code == 200
    assert stored(Organization).filter(slug="globex").count() == 1
    assert stored(Project).filter(slug="forecast").count() == 1
    assert stored(ServiceAccount).count() == 1


def test_create_tenant_binds_the_token_to_the_one_project(cast):
    made = run("create_tenant", "--organization", "acme", "--project", "fraud")
    client = client_of(made["token"])
    assert client.get(f"{API}acme/projects/fraud/runs/").status_code == 200
    for elsewhere in ("acme/projects/churn", "umbrella/projects/fraud"):
        assert client.get(f"{API}{elsewhere}/runs/").status_code == 404


def test_create_tenant_does_not_revive_what_was_deleted(cast):
    stored(Project).filter(pk=cast.churn.pk).update(deleted_at=timezone.now())
    with pytest.raises(UsageError, match="Project 'churn' is deleted"):
        run("create_tenant", "--organization", "acme", "--project", "churn")


@pytest.mark.parametrize("slug", ["Acme", "a_b", "-", "a" * 64])
def test_create_tenant_refuses_a_slug_that_is_no_address(db, slug):
    with pytest.raises(UsageError, match="slug"):
        run("create_tenant", "--organization", slug)
    assert not stored(Organization).exists()


def test_create_tenant_plans_without_doing(db):
    out = io.StringIO()
    call_command("create_tenant", "--organization", "x", "--dry-run", stdout=out)
    assert "Would issue a token for x/" in out.getvalue()
    assert not stored(Organization).exists()


@pytest.mark.parametrize(
    "words",
    [
        ("create_tenant",),
        ("first_run",),
        ("issue_token", "--organization", "acme", "--user", "bob"),
    ],
)
def test_no_secret_goes_where_nobody_is(cast, words):
    out = io.StringIO()
    with pytest.raises(UsageError, match="add --json"):
        call_command(*words, stdout=out)
    assert out.getvalue() == ""
    assert not stored(ApiToken).exists()


# revoke_token


def token_of(cast, name: str = "ci"):
    token = make_api_token(cast.bob, cast.acme, name=name)
    assert client_of(token.text).get(f"{API}acme/").status_code == 200
    return token


@pytest.mark.parametrize("form", ["{id}", "mlp_u_{id}", "mlp_u_{id}…a1b2"])
def test_revoke_token_by_public_id_as_lists_show_it(cast, form):
    token = token_of(cast)
    words = ("revoke_token", "--public-id", form.format(id=token.public_id))
    told = run(*words, "--yes", "--reason", "left on a laptop")
    assert (told["status"], told["already_revoked"]) == ("ok", False)
    assert (told["organization"], told["name"]) == ("acme", "ci")
    assert told["reason"] == "left on a laptop"
    assert client_of(token.text).get(f"{API}acme/").status_code == 401
    (entry,) = AuditLog._base_manager.filter(action="tenants.api_token.updated")
    assert (entry.actor_kind, entry.actor_label) == ("command", "revoke_token")
    assert entry.reason == "left on a laptop"
    again = run(*words, "--yes")
    assert again["already_revoked"] is True
    assert again["revoked_at"] == told["revoked_at"]


def test_revoke_token_by_name_in_an_organization(cast):
    token = token_of(cast)
    words = ("revoke_token", "--name", "ci", "--organization", "acme")
    assert run(*words, "--dry-run")["revoked_at"] is None
    assert client_of(token.text).get(f"{API}acme/").status_code == 200
    assert run(*words, "--yes")["public_id"] == token.public_id
    assert client_of(token.text).get(f"{API}acme/").status_code == 401


@pytest.mark.parametrize(
    "words,named",
    [
        (["--name", "ci"], "add --organization"),
        (["--name", "ci", "--organization", "umbrella"], "no such token"),
        (["--name", "twin", "--organization", "acme"], "held by several"),
        (["--name", "ci", "--organization", "nowhere"], "nowhere"),
        (["--public-id", "000000000000"], "no such token"),
        (["--name", "ci", "--organization", "acme"], "Add --yes"),
    ],
)
def test_revoke_token_says_what_is_wrong_and_revokes_nothing(cast, words, named):
    token_of(cast)
    for _ in range(2):
        token_of(cast, "twin")
    with pytest.raises(UsageError, match=named):
        run("revoke_token", *words)
    assert not stored(ApiToken).exclude(revoked_at=None).exists()


def test_revoke_token_tells_people_a_sentence(cast):
    token_of(cast)
    out = io.StringIO()
    call_command(
        "revoke_token", "--name=ci", "--organization=acme", "--dry-run", stdout=out
    )
    assert out.getvalue().startswith("Would revoke ci (mlp_u_")


# issue_token


def test_issue_token_for_a_member(cast):
    made = run(
        *("issue_token", "--organization", "acme", "--user", "bob"),
        *("--name", "laptop", "--days", "7", "--permission", "tracking:read"),
    )
    row = stored(ApiToken).get(public_id=made["public_id"])
    assert (row.user, row.name, row.permissions) == (
        cast.bob,
        "laptop",
        ["tracking:read"],
    )
    client = client_of(made["token"])
    assert client.get(f"{API}acme/projects/fraud/runs/").status_code == 200
    assert client.get(f"{API}acme/projects/fraud/models/").status_code == 403


def test_issue_token_for_the_tools_of_a_project(cast):
    made = run("issue_token", "--organization", "acme", "--project", "fraud")
    row = stored(ApiToken).get(public_id=made["public_id"])
    assert row.service_account.name == "client-fraud"
    assert row.project_ids == [cast.fraud.pk]
    named = run(
        *("issue_token", "--organization", "acme"),
        *("--service-account", "client-fraud", "--project", "fraud"),
    )
    assert named["projects"] == ["fraud"]


@pytest.mark.parametrize(
    "words,named",
    [
        (["--organization", "nobody", "--user", "bob"], "organization='nobody'"),
        (["--organization", "acme", "--user", "mallory"], "--user=mallory"),
        (["--organization", "acme", "--service-account", "x"], "--service-account=x"),
        (["--organization", "acme"], "Name the holder"),
        (["--organization", "acme", "--user", "bob", "--days", "0"], "days=0"),
        (["--organization", "acme", "--user", "bob", "--days", "999"], "days=999"),
        (["--organization", "acme", "--user", "bob", "--permission", "all"], "all"),
        (["--organization", "acme", "--project", "x"], "project='x'"),
    ],
)
def test_issue_token_says_what_is_wrong(cast, words, named):
    with pytest.raises(UsageError) as refusal:
        run("issue_token", *words)
    assert named in str(refusal.value)
    assert refusal.value.returncode == 64
    assert not stored(ApiToken).exists()


# permissions


def test_permissions_prints_the_whole_table():
    table = run("permissions")["permissions"]
    assert {row["permission"] for row in table} == set(Permission.values)
    promote = next(row for row in table if row["permission"] == "registry:promote")
    assert promote == {
        "permission": "registry:promote",
        "of": "project",
        "roles": ["maintainer"],
        "opt_in": True,
        "for": "move protected aliases and stages",
    }
    out = io.StringIO()
    call_command("permissions", stdout=out)
    assert "registry:promote" in out.getvalue()


# first_run


def test_first_run_makes_an_admin_who_owns_a_demo(db, settings):
    settings.BASE_URL = "http://127.0.0.1:9"
    made = run("first_run")
    assert set(made) == {
        "admin_username",
        "admin_password",
        "organization",
        "projects",
        "tracking_uri",
        "token",
        "created",
    }
    assert made["created"] is True
    assert (made["organization"], made["projects"]) == ("demo", ["demo", "sandbox"])
    assert made["tracking_uri"] == "http://127.0.0.1:9"
    admin = User.objects.get(username=made["admin_username"])
    assert admin.is_superuser
    assert admin.is_staff
    assert len(made["admin_password"]) >= 20
    assert admin.check_password(made["admin_password"])
    assert stored(Membership).get(user=admin).role == "owner"
    client = client_of(made["token"])
    assert client.get(f"{API}demo/projects/demo/runs/").status_code == 200
    assert client.get(f"{API}demo/projects/sandbox/runs/").status_code == 404


def test_first_run_takes_the_password_that_it_is_given(db, settings):
    settings.ADMIN_PASSWORD = "plum-orbit-kettle"
    assert run("first_run")["admin_password"] == "plum-orbit-kettle"
    assert User.objects.get(username="admin").check_password("plum-orbit-kettle")


@pytest.mark.parametrize(
    "password", ["", "short-one", "password1234", "AdminAdminAdmin", "administrator"]
)
def test_first_run_refuses_a_password_that_one_guesses(db, settings, password):
    settings.ADMIN_PASSWORD = password
    with pytest.raises(Unsafe, match="ADMIN_PASSWORD") as refused:
        run("first_run")
    assert refused.value.returncode == 2
    assert not User.objects.exists()
    assert not password or password not in str(refused.value)


def test_first_run_makes_nothing_when_it_is_not_the_first(db):
    run("first_run")
    tokens = stored(ApiToken).count()
    again = run("first_run")
    assert again["created"] is False
    assert [again[k] for k in ("admin_username", "admin_password", "token")] == [
        None,
        None,
        None,
    ]
    assert stored(ApiToken).count() == tokens
