from __future__ import annotations

import base64
from datetime import timedelta

import pytest
from django.contrib.auth.hashers import check_password, get_hashers, make_password
from django.utils import timezone

from conftest import WebClient, client_of
from mlops.errors import Unauthenticated
from tenants.authentication import (
    TOKEN_LENGTH,
    checksum,
    digest_of,
    make_token,
    read_header,
    read_token,
)
from tenants.models import ApiToken, Membership, ServiceAccount, User
from tenants.tests.factories import (
    ProjectMemberFactory,
    ServiceAccountFactory,
    make_api_token,
)

ACME = "/api/v1/organizations/acme/"


def basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


def ask(header: str):
    return WebClient(headers={"authorization": header}).get(ACME)


# Shapes


def test_a_token_reads_back_as_it_was_made():
    token = make_token("u")
    assert len(token.text) == TOKEN_LENGTH
    credential = read_token(token.text)
    assert credential.public_id == token.public_id
    assert credential.digest == token.digest == digest_of(token.text)


def test_a_rotated_token_keeps_its_public_id():
    old = make_token("s")
    new = make_token("s", old.public_id)
    assert new.public_id == old.public_id
    assert new.digest != old.digest


@pytest.mark.parametrize("position", [0, 5, 10, 19, 40, TOKEN_LENGTH - 1])
def test_one_wrong_character_is_told_without_the_database(position):
    text = make_token("u").text
    wrong = "x" if text[position] != "x" else "y"
    with pytest.raises(Unauthenticated):
        read_token(text[:position] + wrong + text[position + 1 :])


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Token abc",
        "Bearer abc",
        "Basic abc",
        "Basic !!!",
        basic("user:password"),
        basic("user"),
        basic(""),
        "Basic " + base64.b64encode(b"\xff\xfe:x").decode(),
        "Bearer " + "x" * 9000,
        "Bearer mlp_u_" + "é" * 62,
        "Bearer eyJhbGciOiJub25lIn0.e30.",
    ],
)
def test_a_header_that_holds_no_token_is_refused(header):
    with pytest.raises(Unauthenticated):
        read_header(header)


def test_the_checksum_is_six_digits_of_base_62():
    assert checksum("") == "000000"
    assert len(checksum("mlp_u_" + "x" * 60)) == 6


# Requests


@pytest.mark.parametrize("form", ["Bearer {}", "bearer {}", "BEARER {}", "Bearer  {} "])
def test_bearer_is_read_in_any_case(cast, form):
    assert ask(form.format(make_api_token(cast.bob, cast.acme).text)).status_code == 200


@pytest.mark.parametrize(
    "form,expected",
    [
        ("token:{}", 200),
        ("bob:{}", 200),
        ("{}:", 200),
        ("alice:{}", 401),
        ("Bob:{}", 401),
        (":{}", 401),
        ("{}", 200),
    ],
)
def test_basic_names_nobody_or_the_real_holder(cast, form, expected):
    token = make_api_token(cast.bob, cast.acme).text
    assert ask(basic(form.format(token))).status_code == expected


def test_a_password_is_never_tried(cast, monkeypatch):
    cast.bob.password = make_password("correct horse", hasher="default")
    cast.bob.save()
    hashed: list[str] = []
    for hasher in get_hashers():
        monkeypatch.setattr(type(hasher), "encode", lambda *_: hashed.append("encode"))
        monkeypatch.setattr(type(hasher), "verify", lambda *_: hashed.append("verify"))
    response = ask(basic("bob:correct horse"))
    assert response.status_code == 401
    assert "Send an API token" in response.json()["error"]["message"]
    assert response["X-Query-Count"] == "1"  # the failure counts against the address
    assert hashed == []
    check_password("correct horse", cast.bob.password)
    assert hashed == ["verify"]  # a hash would have been seen


def test_every_dead_token_is_refused_in_the_same_words(cast):
    robot = ServiceAccountFactory(organization=cast.acme)
    now = timezone.now()
    dead = {
        "expired": make_api_token(cast.bob, cast.acme),
        "revoked": make_api_token(cast.bob, cast.acme, revoked_at=now),
        "of nobody's organization": make_api_token(cast.mallory, cast.acme),
        "of a deleted account": make_api_token(robot, cast.acme),
        "never made": make_token("u"),
    }
    ServiceAccount._base_manager.filter(pk=robot.pk).update(deleted_at=now)
    ApiToken._base_manager.filter(public_id=dead["expired"].public_id).update(
        created_at=now - timedelta(days=9), expires_at=now - timedelta(days=1)
    )
    answers = {name: ask(f"Bearer {token.text}") for name, token in dead.items()}
    assert {name: a.status_code for name, a in answers.items()} == dict.fromkeys(
        dead, 401
    )
    assert len({answer.content for answer in answers.values()}) == 1
    assert all("WWW-Authenticate" in answer for answer in answers.values())


def test_a_token_dies_with_its_person_from_the_next_request(cast):
    token = make_api_token(cast.bob, cast.acme).text
    assert ask(f"Bearer {token}").status_code == 200
    User.objects.filter(pk=cast.bob.pk).update(is_active=False)
    assert ask(f"Bearer {token}").status_code == 401


def test_a_token_dies_with_the_membership(cast):
    token = make_api_token(cast.bob, cast.acme).text
    Membership._base_manager.filter(user=cast.bob).update(deleted_at=timezone.now())
    assert ask(f"Bearer {token}").status_code == 401


def test_a_token_in_the_query_string_is_none(cast):
    token = make_api_token(cast.bob, cast.acme).text
    for name in ("access_token", "token"):
        assert WebClient().get(f"{ACME}?{name}={token}").status_code == 401


def test_a_bad_token_is_not_saved_by_a_good_session(stranger, cast):
    stranger.force_login(cast.alice)
    headers = {"authorization": "Bearer nonsense"}
    assert stranger.get(ACME, headers=headers).status_code == 401


def test_a_service_account_has_no_name_of_a_person(cast):
    robot = ServiceAccountFactory(organization=cast.acme, name="robot")
    ProjectMemberFactory(project=cast.fraud, user=None, service_account=robot)
    token = make_api_token(robot, cast.acme, cast.fraud).text
    assert ask(basic(f"robot:{token}")).status_code == 200
    assert ask(basic(f"alice:{token}")).status_code == 401
    address = f"{ACME}projects/fraud/runs/"
    assert client_of(token).get(address).status_code == 200
