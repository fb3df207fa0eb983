"""What a request may show of itself, asked under every mount and on REST.

The cases C2 to C7, C14, D16 and D17 of the design: who fails is told the same in the
same bytes, whatever was wrong, and a token does what its holder may do, or less.
"""

from __future__ import annotations

import base64
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth import hashers
from django.utils import timezone

from audit.models import AuditLog
from conftest import Cast, WebClient
from tenants.authentication import NewToken, make_token
from tenants.models import ApiToken, Membership, ProjectMember, User
from tenants.tests.factories import (
    ProjectMemberFactory,
    ServiceAccountFactory,
    make_api_token,
)
from tests.mounts import Mount, mounts

JSON = "application/json"
REST = Mount("REST", "/api/v1/organizations/acme/projects/fraud")
everywhere: Any = pytest.mark.parametrize("mount", [*mounts(), REST], ids=str)


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def ask(mount: Mount, header: str | None, **extra: str) -> Any:
    """Read: of MLflow by the hot way in and by the ordinary one, which must agree."""
    client = WebClient(headers={**mount.headers, **extra})
    if header is not None:
        client.defaults["HTTP_AUTHORIZATION"] = header
    if mount is REST:
        return client.get(mount.url("experiments/"))
    body = {"experiment_ids": ["0"]}
    hot = client.post(mount.url("runs/search"), body, JSON)
    ordinary = client.get(mount.url("experiments/search?max_results=1"))
    assert hot.status_code == ordinary.status_code
    if hot.status_code >= 400:
        assert hot.content == ordinary.content
    return ordinary


def write(mount: Mount, token: NewToken, name: str) -> Any:
    client = WebClient(
        headers={**mount.headers, "authorization": f"Bearer {token.text}"}
    )
    if mount is REST:
        return client.post(mount.url("experiments/"), {"name": name}, JSON)
    return client.post(mount.url("experiments/create"), {"name": name}, JSON)


# C2


def dead_tokens(cast: Cast) -> dict[str, str]:
    now = timezone.now()
    left, former = User(username="left", is_active=False), User(username="former")
    for person in (left, former):
        person.save()
    Membership(organization=cast.acme, user=left, role="owner").save()
    robot = ServiceAccountFactory(organization=cast.acme)
    expired = make_api_token(cast.alice, cast.acme, cast.fraud)
    ApiToken._base_manager.filter(public_id=expired.public_id).update(
        created_at=now - timedelta(days=9), expires_at=now - timedelta(seconds=1)
    )
    good = make_api_token(cast.alice, cast.acme, cast.fraud)
    dead = {
        "of another installation": make_token("u").text,
        "expired": expired.text,
        "revoked": make_api_token(cast.alice, cast.acme, revoked_at=now).text,
        "of a person who is locked out": make_api_token(left, cast.acme).text,
        "of a person who has left": make_api_token(former, cast.acme).text,
        "of a deleted account": make_api_token(robot, cast.acme).text,
        "with a wrong checksum": good.text[:-6] + "000000",
        "guessed at a public id": make_token("u", good.public_id).text,
        "cut short": good.text[:-1],
        "of another kind": good.text.replace("mlp_u_", "mlp_s_"),
    }
    robot.deleted_at = now
    robot.save()
    return dead


@everywhere
def test_every_dead_credential_has_the_same_answer(cast, mount):
    dead = dead_tokens(cast)
    answers = {why: ask(mount, f"Bearer {text}") for why, text in dead.items()}
    answers["none at all"] = ask(mount, None)
    answers["nonsense"] = ask(mount, "Bearer x")
    statuses = {why: answer.status_code for why, answer in answers.items()}
    assert set(statuses.values()) == {401}, statuses
    assert len({answer.content for answer in answers.values()}) == 1
    assert {a["WWW-Authenticate"] for a in answers.values()} == {'Basic realm="mlops"'}


# C3


@everywhere
def test_a_password_is_told_to_be_a_token_without_a_hash(cast, mount, monkeypatch):
    cast.alice.set_password("correct horse battery")
    cast.alice.save()
    hashed: list[str] = []
    for hasher in hashers.get_hashers():
        monkeypatch.setattr(type(hasher), "encode", lambda *_: hashed.append("encode"))
        monkeypatch.setattr(type(hasher), "verify", lambda *_: hashed.append("verify"))
    answer = ask(mount, basic("alice:correct horse battery"))
    assert answer.status_code == 401
    assert b"Send an API token" in answer.content
    assert hashed == []


# C4, C5


@everywhere
def test_a_token_is_the_same_actor_in_every_form(cast, mount):
    text = make_api_token(cast.alice, cast.acme, cast.fraud).text
    forms = {
        "Bearer {}": f"Bearer {text}",
        "bearer {}": f"bearer {text}",
        "token:{}": basic(f"token:{text}"),
        "alice:{}": basic(f"alice:{text}"),
        "{}:": basic(f"{text}:"),
    }
    for form, header in forms.items():
        assert ask(mount, header).status_code == 200, form
        client = WebClient(headers={**mount.headers, "authorization": header})
        path = "experiments/" if mount is REST else "experiments/create"
        made = client.post(mount.url(path), {"name": f"by {form}"}, JSON)
        assert made.status_code in (200, 201), made.content
    entries = AuditLog._base_manager.filter(
        action="registry.experiment.created", token_public_id=text[6:18]
    )
    actors = {(entry.actor_kind, entry.actor_id) for entry in entries}
    assert len(entries) == len(forms)
    assert actors == {("user", cast.alice.pk)}


@everywhere
def test_basic_with_another_name_is_refused(cast, mount):
    text = make_api_token(cast.alice, cast.acme, cast.fraud).text
    for name in ("bob", "Alice", "alice ", "acme", "tokens", ""):
        assert ask(mount, basic(f"{name}:{text}")).status_code == 401, name


# C6, C7, C14


@everywhere
def test_a_strange_header_is_refused(cast, mount):
    text = make_api_token(cast.alice, cast.acme, cast.fraud).text
    strange = [
        f"Bearer {text}, Bearer {text}",
        f"Bearer {text},{basic('token:' + text)}",
        f"Bearer {text} {text}",
        f"Bearer {text}" + " " * 9000,
        "Bearer " + "x" * 9000,
        f"Bearer {text[:-1]}é",
        "Bearer ｍlp_u_" + text[6:],
        f"Token {text}",
        f"Negotiate {text}",
        text,
        f"Bearer\t{text}",
        "Basic " + "=" * 80,
        # A JSON Web Token that says that nobody signed it.
        "Bearer eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiJhbGljZSJ9.",
    ]
    for header in strange:
        answer = ask(mount, header)
        assert answer.status_code == 401, header
        assert answer.content == ask(mount, None).content, header


@everywhere
def test_a_token_in_the_address_lets_nobody_in(cast, mount):
    text = make_api_token(cast.alice, cast.acme, cast.fraud).text
    client = WebClient(headers=mount.headers)
    path = "experiments/" if mount is REST else "experiments/search"
    for name in ("access_token", "token", "api_key", "Authorization"):
        address = mount.url(f"{path}?{name}={text}")
        assert client.get(address).status_code == 401


# D16, D17


@everywhere
def test_a_token_of_one_project_finds_no_other(cast, mount):
    text = make_api_token(cast.alice, cast.acme, cast.churn).text
    answer = ask(mount, f"Bearer {text}")
    if mount.name.startswith("token"):  # here the token itself says which project
        assert answer.status_code == 200
        return
    unknown = Mount(
        "",
        mount.prefix.replace("fraud", "never"),
        {
            name: value.replace("fraud", "never")
            for name, value in mount.headers.items()
        },
    )
    asked = "experiments/" if mount is REST else "experiments/search?max_results=1"
    never = WebClient(
        headers={**unknown.headers, "authorization": f"Bearer {text}"}
    ).get(unknown.url(asked))
    assert answer.status_code == never.status_code == 404
    assert answer.content == never.content


@everywhere
def test_a_token_that_reads_does_not_write_and_hears_what_it_lacks(cast, mount):
    for rights in (("tracking:read",), ("registry:read", "registry:write")):
        token = make_api_token(cast.alice, cast.acme, cast.fraud, permissions=rights)
        answer = write(mount, token, "mine")
        assert answer.status_code == 403
        assert b"This token lacks the permission tracking:write" in answer.content
    assert ask(mount, f"Bearer {token.text}").status_code == 403


@pytest.mark.parametrize("mount", mounts(), ids=str)
def test_a_token_of_the_registry_logs_no_metrics(cast, mount):
    token = make_api_token(
        cast.alice, cast.acme, cast.fraud, permissions=("registry:write",)
    )
    client = WebClient(
        headers={**mount.headers, "authorization": f"Bearer {token.text}"}
    )
    point = {"run_id": "0" * 32, "key": "auc", "value": 1, "timestamp": 1}
    answer = client.post(mount.url("runs/log-metric"), point, JSON)
    assert answer.status_code == 403
    assert b"tracking:write" in answer.content


@everywhere
def test_rights_shrink_with_those_of_the_holder(cast, mount):
    membership = ProjectMember._base_manager.filter(project=cast.fraud, user=cast.bob)
    membership.update(role="editor")
    token = make_api_token(cast.bob, cast.acme, cast.fraud)
    assert write(mount, token, "first").status_code in (200, 201)
    membership.update(role="viewer")
    assert write(mount, token, "second").status_code == 403
    assert ask(mount, f"Bearer {token.text}").status_code == 200
    membership.update(deleted_at=timezone.now())
    assert ask(mount, f"Bearer {token.text}").status_code == 404
    Membership._base_manager.filter(user=cast.bob).update(deleted_at=timezone.now())
    assert ask(mount, f"Bearer {token.text}").status_code == 401


@everywhere
def test_a_service_account_shrinks_with_its_roles(cast, mount):
    robot = ServiceAccountFactory(organization=cast.acme)
    held = ProjectMemberFactory(
        project=cast.fraud, user=None, service_account=robot, role="editor"
    )
    token = make_api_token(robot, cast.acme, cast.fraud)
    assert write(mount, token, "first").status_code in (200, 201)
    ProjectMember._base_manager.filter(pk=held.pk).update(role="viewer")
    assert write(mount, token, "second").status_code == 403
