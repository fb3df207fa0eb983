from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from allauth.account.models import EmailAddress
from django.utils import timezone

from conftest import client_of
from tenants.models import (
    ApiToken,
    Membership,
    Organization,
    Project,
    ProjectMember,
    User,
)
from tenants.tests.factories import (
    MembershipFactory,
    ProjectMemberFactory,
    ServiceAccountFactory,
    UserFactory,
    make_api_token,
)
from tests.routes import routes

API = "/api/v1/organizations/"
ACME = f"{API}acme/"
FRAUD = f"{ACME}projects/fraud/"
JSON = {"content_type": "application/json"}
PLACE = re.compile(r"<[^>]*>|\{[^}]*\}")  # a parameter of an address
PAST = datetime(2020, 1, 1, tzinfo=UTC)


def stored(model):
    return model._base_manager


def error_of(response):
    return response.json()["error"]["message"]


# Organizations


def test_list_shows_the_organization_when_asked_by_token(alice, cast):
    (found,) = alice.get(API).json()["results"]
    assert found == {
        "id": str(cast.acme.pk),
        "slug": "acme",
        "name": "Acme",
        "role": "owner",
    }


def test_list_shows_all_memberships_when_asked_by_session(stranger, cast):
    MembershipFactory(organization=cast.umbrella, user=cast.bob, role="admin")
    stranger.force_login(cast.bob)
    found = stranger.get(API).json()["results"]
    assert [(o["slug"], o["role"]) for o in found] == [
        ("acme", "member"),
        ("umbrella", "admin"),
    ]


def test_update_changes_the_name_but_not_the_slug(alice, cast):
    response = alice.patch(ACME, {"name": "Acme Ltd", "slug": "other"}, **JSON)
    assert response.status_code == 200
    assert response.json()["name"] == "Acme Ltd"
    assert stored(Organization).get(pk=cast.acme.pk).slug == "acme"


def test_an_owner_says_how_long_deleted_rows_stay_and_what_the_trail_keeps(alice, cast):
    wish = {"retention_days": 90, "audit_data_events": True}
    response = alice.patch(ACME, wish, **JSON)
    assert response.status_code == 200, response.content
    assert response.json() | wish == response.json()


@pytest.mark.parametrize("days", [6, 366, -1, "x"])
def test_retention_is_refused_out_of_its_bounds(alice, days):
    response = alice.patch(ACME, {"retention_days": days}, **JSON)
    assert response.status_code == 400
    assert "retention_days" in error_of(response)


def test_a_legal_hold_is_not_for_an_owner_to_lift(alice, cast):
    hold = {"legal_hold": True, "legal_hold_reason": "case 7"}
    Organization._base_manager.filter(pk=cast.acme.pk).update(**hold)
    response = alice.patch(ACME, {"legal_hold": False, "name": "Acme Ltd"}, **JSON)
    assert response.json() | hold == response.json()


def test_update_is_forbidden_for_a_member(bob):
    response = bob.patch(ACME, {"name": "Mine"}, **JSON)
    assert response.status_code == 403
    assert "organization:write" in error_of(response)


def test_delete_ends_all_tokens_until_the_owner_restores(alice, stranger, cast):
    assert alice.delete(ACME, {"confirm": "acme"}, **JSON).status_code == 204
    assert alice.get(ACME).status_code == 401
    stranger.force_login(cast.alice)
    assert stranger.get(ACME).status_code == 404
    csrf = sign_in(stranger, cast.alice)
    response = stranger.post(ACME + "restore/", **csrf)
    assert response.status_code == 200, response.content
    assert alice.get(ACME).status_code == 200


def sign_in(client, user):
    """Sign in and return what a page of this site sends along with a write."""
    client.force_login(user)
    client.cookies["csrftoken"] = token = "a" * 32
    return {"headers": {"X-CSRFToken": token, "Origin": "http://testserver"}}


def test_restore_is_for_owners_only(stranger, cast):
    MembershipFactory(organization=cast.acme, user=UserFactory(), role="admin")
    cast.acme.deleted_at = timezone.now()
    cast.acme.save()
    for user in (cast.bob, cast.mallory):
        response = stranger.post(ACME + "restore/", **sign_in(stranger, user))
        assert response.status_code == 404


# Projects


def test_create_makes_a_project_with_its_default_experiment(alice):
    made = alice.post(ACME + "projects/", {"slug": "credit"}, **JSON)
    assert made.status_code == 201
    assert made.json()["name"] == "credit"
    listed = alice.get(ACME + "projects/credit/experiments/").json()["results"]
    assert [(e["iid"], e["name"]) for e in listed] == [(0, "Default")]


@pytest.mark.parametrize(
    "slug", ["", "Fraud", "a_b", "-a", "a-", "a" * 64, "a/b", "ä", " a", "a\n", 5.5, []]
)
def test_create_refuses_a_slug_that_is_no_address(alice, slug):
    response = alice.post(ACME + "projects/", {"slug": slug}, **JSON)
    assert response.status_code == 400
    assert "slug" in response.json()["error"]["fields"]


def test_create_names_field_and_value_when_the_slug_is_taken(alice):
    response = alice.post(ACME + "projects/", {"slug": "fraud"}, **JSON)
    assert response.status_code == 409
    assert error_of(response) == (
        "Project with slug 'fraud' already exists; choose another."
    )


def test_a_deleted_project_is_out_of_reach_until_restored(alice, alice_in_fraud):
    assert alice.delete(FRAUD).status_code == 204
    assert alice.get(FRAUD + "runs/").status_code == 404
    assert alice_in_fraud.get(FRAUD + "runs/").status_code == 404
    assert "fraud" not in slugs(alice.get(ACME + "projects/"))
    assert slugs(alice.get(ACME + "projects/?deleted=true")) == ["fraud"]
    taken = alice.post(ACME + "projects/", {"slug": "fraud"}, **JSON)
    assert taken.status_code == 409
    assert alice.post(FRAUD + "restore/").status_code == 200
    assert alice_in_fraud.get(FRAUD + "runs/").status_code == 200


def slugs(response):
    return [project["slug"] for project in response.json()["results"]]


def test_a_deleted_project_is_not_changed(alice):
    alice.delete(FRAUD)
    response = alice.patch(FRAUD, {"name": "x"}, **JSON)
    assert response.status_code == 400
    assert error_of(response) == "This project is deleted; restore it first."


@pytest.mark.parametrize(
    "who,seen",
    [("alice", ["churn", "fraud"]), ("bob", ["fraud"]), ("alice_in_fraud", ["fraud"])],
)
def test_list_shows_the_projects_that_the_actor_may_see(request, who, seen):
    client = request.getfixturevalue(who)
    assert sorted(slugs(client.get(ACME + "projects/"))) == seen


def test_list_shows_a_project_that_is_open_to_members(bob, cast):
    cast.churn.default_role = "viewer"
    cast.churn.save()
    assert slugs(bob.get(ACME + "projects/")) == ["churn", "fraud"]


def test_list_shows_a_service_account_its_projects_only(cast):
    robot = ServiceAccountFactory(organization=cast.acme)
    ProjectMemberFactory(project=cast.churn, user=None, service_account=robot)
    cast.fraud.default_role = "viewer"
    cast.fraud.save()
    client = client_of(make_api_token(robot, cast.acme).text)
    assert slugs(client.get(ACME + "projects/")) == ["churn"]


# Members


@pytest.mark.parametrize("login", ["carol", "CAROL@example.org"])
def test_create_brings_a_former_member_back(alice, cast, login):
    carol = UserFactory(username="carol", email="carol@example.org")
    former = {"organization": cast.acme, "user": carol}
    MembershipFactory(**former, deleted_at=timezone.now())
    made = alice.post(ACME + "members/", {"user": login, "role": "member"}, **JSON)
    assert made.status_code == 201, made.content
    assert (made.json()["user"], made.json()["role"]) == ("carol", "member")
    again = alice.post(ACME + "members/", {"user": "carol", "role": "member"}, **JSON)
    assert again.status_code == 409
    assert error_of(again) == "Member with user 'carol' already exists; choose another."


def masked(response, *texts: str) -> tuple[int, bytes]:
    content = re.sub(UUIDS_AND_TIMES, b"?", response.content)
    for text in texts:
        content = content.replace(text.encode(), b"WHO")
    return response.status_code, content


UUIDS_AND_TIMES = rb"[0-9a-f-]{36}|20[0-9]{2}-[0-9T:.-]+Z"


def test_create_does_not_tell_which_user_names_exist(alice, cast):
    """Mallory has an account on this installation, nobody-here has none."""
    answers = {
        masked(
            alice.post(ACME + "members/", {"user": who, "role": "member"}, **JSON), who
        )
        for who in (cast.mallory.username, "nobody-here")
    }
    ((status, content),) = answers
    assert status == 404
    assert b"invite a person" in content


def test_create_invites_an_address_whether_it_has_an_account_or_not(
    alice, cast, mailoutbox, django_capture_on_commit_callbacks
):
    UserFactory(username="carol", email="carol@example.org")
    asked = ["carol@example.org", "dave@example.org"]
    with django_capture_on_commit_callbacks(execute=True):
        answers = {
            masked(
                alice.post(ACME + "members/", {"user": who, "role": "member"}, **JSON),
                who,
            )
            for who in asked
        }
    ((status, content),) = answers
    assert status == 202
    assert b'"email":"WHO"' in content
    assert [mail.to for mail in mailoutbox] == [[who] for who in asked]
    assert not stored(Membership).filter(user__username="carol").exists()
    body = {"user": "carol@example.org", "role": "member"}
    assert alice.post(ACME + "members/", body, **JSON).status_code == 409


def test_an_address_that_a_former_member_only_claims_is_invited(alice, cast):
    carol = UserFactory(username="carol", email="")
    former = {"organization": cast.acme, "user": carol}
    MembershipFactory(**former, deleted_at=timezone.now())
    User.objects.filter(pk=carol.pk).update(email="ceo@example.org")
    EmailAddress.objects.create(user=carol, email="ceo@example.org", verified=False)
    body = {"user": "ceo@example.org", "role": "admin"}
    assert alice.post(ACME + "members/", body, **JSON).status_code == 202
    assert not stored(Membership).filter(user=carol, deleted_at=None).exists()


def test_a_former_member_without_an_active_account_is_not_brought_back(alice, cast):
    gone = UserFactory(username="gone", is_active=False)
    former = {"organization": cast.acme, "user": gone}
    MembershipFactory(**former, deleted_at=timezone.now())
    body = {"user": "gone", "role": "member"}
    assert alice.post(ACME + "members/", body, **JSON).status_code == 404


def test_nobody_grants_above_their_own_role(cast):
    carol, dora = UserFactory(), UserFactory()
    MembershipFactory(organization=cast.acme, user=carol, role="admin")
    admin = client_of(make_api_token(carol, cast.acme).text)
    body = {"user": dora.email or "dora@example.org", "role": "owner"}
    refused = admin.post(ACME + "members/", body, **JSON)
    assert refused.status_code == 403
    assert "role='owner'" in error_of(refused)
    allowed = admin.post(ACME + "members/", {**body, "role": "admin"}, **JSON)
    assert allowed.status_code == 202
    owner = membership(cast.acme, cast.alice)
    assert admin.patch(owner, {"role": "member"}, **JSON).status_code == 403
    assert admin.delete(owner).status_code == 403


def membership(organization, user):
    row = stored(Membership).get(organization=organization, user=user, deleted_at=None)
    return f"{API}{organization.slug}/members/{row.pk}/"


def test_the_last_owner_stays(alice, cast):
    own = membership(cast.acme, cast.alice)
    for response in (alice.patch(own, {"role": "member"}, **JSON), alice.delete(own)):
        assert response.status_code == 409
        assert "needs an owner" in error_of(response)
    MembershipFactory(organization=cast.acme, user=UserFactory(), role="owner")
    assert alice.delete(own).status_code == 204
    assert alice.get(ACME).status_code == 401


def test_an_owner_who_may_not_sign_in_does_not_count_as_the_last(alice, cast):
    gone = UserFactory(is_active=False)
    MembershipFactory(organization=cast.acme, user=gone, role="owner")
    assert alice.delete(membership(cast.acme, cast.alice)).status_code == 409


def test_a_removed_member_loses_tokens_and_projects_for_good(alice, bob, cast):
    assert bob.get(FRAUD + "runs/").status_code == 200
    assert alice.delete(membership(cast.acme, cast.bob)).status_code == 204
    assert bob.get(FRAUD + "runs/").status_code == 401
    alice.post(ACME + "members/", {"user": "bob", "role": "member"}, **JSON)
    assert bob.get(FRAUD + "runs/").status_code == 401
    fresh = client_of(make_api_token(cast.bob, cast.acme).text)
    assert fresh.get(FRAUD + "runs/").status_code == 404


def test_a_changed_role_counts_from_the_next_request(alice, bob, cast):
    assert bob.get(ACME + "audit-logs/").status_code == 403
    alice.patch(membership(cast.acme, cast.bob), {"role": "admin"}, **JSON)
    assert bob.get(ACME + "audit-logs/").status_code == 200


# Members of a project


def test_a_maintainer_gives_roles_in_the_project(alice, cast):
    carol = UserFactory(username="carol")
    MembershipFactory(organization=cast.acme, user=carol)
    body = {"user": "carol", "role": "maintainer"}
    assert alice.post(FRAUD + "members/", body, **JSON).status_code == 201
    maintainer = client_of(make_api_token(carol, cast.acme).text)
    ServiceAccountFactory(organization=cast.acme, name="robot")
    given = {"service_account": "robot", "role": "editor"}
    made = maintainer.post(FRAUD + "members/", given, **JSON)
    assert made.status_code == 201
    assert (made.json()["user"], made.json()["service_account"]) == (None, "robot")
    row = f"{FRAUD}members/{made.json()['id']}/"
    assert maintainer.patch(row, {"role": "viewer"}, **JSON).json()["role"] == "viewer"
    assert maintainer.delete(row).status_code == 204
    assert maintainer.post(FRAUD + "members/", given, **JSON).status_code == 201


def test_a_viewer_gives_no_roles(bob):
    body = {"user": "alice", "role": "viewer"}
    assert bob.post(FRAUD + "members/", body, **JSON).status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        {"role": "viewer"},
        {"role": "viewer", "user": "bob", "service_account": "x"},
        {"role": "owner", "user": "bob"},
        {"user": "bob"},
    ],
)
def test_create_refuses_a_role_without_one_holder(alice, body):
    assert alice.post(FRAUD + "members/", body, **JSON).status_code == 400


@pytest.mark.parametrize("name", ["mallory", "nobody"])
def test_an_outsider_is_called_by_no_name(alice, name):
    body = {"user": name, "role": "viewer"}
    response = alice.post(FRAUD + "members/", body, **JSON)
    assert response.status_code == 404
    assert error_of(response) == f"No member has the user name or e-mail {name!r}."


# Service accounts


def test_a_maintainer_makes_a_service_account_for_own_projects(bob, cast):
    body = {"name": "robot", "roles": [{"project": "fraud", "role": "editor"}]}
    refused = bob.post(ACME + "service-accounts/", body, **JSON)
    assert refused.status_code == 403
    stored(ProjectMember).filter(user=cast.bob).update(role="maintainer")
    made = bob.post(ACME + "service-accounts/", body, **JSON)
    assert made.status_code == 201, made.content
    assert made.json()["roles"] == [{"project": "fraud", "role": "editor"}]
    nowhere = bob.post(ACME + "service-accounts/", {"name": "wild"}, **JSON)
    assert nowhere.status_code == 403


def test_a_service_account_cannot_be_given_an_unseen_project(bob, cast):
    body = {"name": "robot", "roles": [{"project": "churn", "role": "viewer"}]}
    unseen = bob.post(ACME + "service-accounts/", body, **JSON)
    body["roles"][0]["project"] = "never-existed"
    unknown = bob.post(ACME + "service-accounts/", body, **JSON)
    assert unseen.status_code == unknown.status_code == 404
    assert error_of(unseen) == "No such project: churn."


def test_deleting_a_service_account_ends_its_tokens(alice, cast):
    robot = ServiceAccountFactory(organization=cast.acme)
    ProjectMemberFactory(project=cast.fraud, user=None, service_account=robot)
    client = client_of(make_api_token(robot, cast.acme, cast.fraud).text)
    assert client.get(FRAUD + "runs/").status_code == 200
    assert alice.delete(f"{ACME}service-accounts/{robot.pk}/").status_code == 204
    assert client.get(FRAUD + "runs/").status_code == 401
    assert stored(ApiToken).get(service_account=robot).revoked_at is not None


# Tokens


def test_create_shows_the_secret_once(bob):
    made = bob.post(ACME + "tokens/", {"name": "laptop"}, **JSON)
    assert made.status_code == 201
    token = made.json()["token"]
    assert token.startswith(made.json()["prefix"])
    assert token.endswith(made.json()["last_four"])
    assert client_of(token).get(FRAUD).status_code == 200
    shown = bob.get(f"{ACME}tokens/{made.json()['id']}/")
    for response in (shown, bob.get(ACME + "tokens/")):
        assert token[20:60].encode() not in response.content
        assert b'"token"' not in response.content


def test_create_binds_the_token_as_asked(alice, cast):
    body = {
        "name": "ci",
        "projects": ["fraud"],
        "permissions": ["tracking:read"],
        "days": 2,
    }
    made = alice.post(ACME + "tokens/", body, **JSON).json()
    assert made["project_ids"] == [str(cast.fraud.pk)]
    assert made["permissions"] == ["tracking:read"]
    row = stored(ApiToken).get(pk=made["id"])
    assert timedelta(days=1) < row.expires_at - timezone.now() <= timedelta(days=2)
    client = client_of(made["token"])
    assert client.get(FRAUD + "runs/").status_code == 200
    assert client.get(FRAUD + "models/").status_code == 403
    assert client.get(ACME + "projects/churn/runs/").status_code == 404


@pytest.mark.parametrize(
    "change,named",
    [
        ({"days": 0}, "days"),
        ({"days": 366}, "days"),
        ({"permissions": []}, "permissions"),
        ({"permissions": ["everything"]}, "everything"),
        ({"name": ""}, "name"),
        ({"name": "a\u0007"}, "name"),
        ({"digest": "x"}, "digest"),
        ({"user": "alice"}, "user"),
        ({"organization": "umbrella"}, "organization"),
    ],
)
def test_create_refuses_what_no_token_can_be(alice, change, named):
    response = alice.post(ACME + "tokens/", {"name": "x", **change}, **JSON)
    assert response.status_code == 400
    assert named in error_of(response)


def test_a_token_hands_on_no_more_than_it_has(cast):
    narrow = make_api_token(
        cast.alice,
        cast.acme,
        cast.fraud,
        permissions=("tokens:write", "tracking:read"),
    )
    client = client_of(narrow.text)
    asked = {"name": "x", "projects": ["fraud"], "permissions": ["tracking:read"]}
    assert client.post(ACME + "tokens/", asked, **JSON).status_code == 201
    for more in (
        {"permissions": ["*"]},
        {"permissions": ["tracking:write"]},
        {"projects": []},
        {"projects": ["churn"]},
        {"projects": ["fraud", "churn"]},
    ):
        response = client.post(ACME + "tokens/", {**asked, **more}, **JSON)
        assert response.status_code in {403, 404}, more


def test_a_token_cannot_make_itself_another_by_rotation(cast):
    wide = make_api_token(cast.alice, cast.acme)
    narrow = make_api_token(
        cast.alice, cast.acme, permissions=("tokens:write", "tokens:read")
    )
    row = stored(ApiToken).get(public_id=wide.public_id)
    response = client_of(narrow.text).post(f"{ACME}tokens/{row.pk}/rotate/", {}, **JSON)
    assert response.status_code == 403


def test_an_admin_cannot_rotate_the_token_of_another_person(alice, cast):
    theirs = make_api_token(cast.bob, cast.acme)
    row = stored(ApiToken).get(public_id=theirs.public_id)
    assert alice.post(f"{ACME}tokens/{row.pk}/rotate/", **JSON).status_code == 403
    assert alice.post(f"{ACME}tokens/{row.pk}/revoke/", **JSON).status_code == 200
    assert client_of(theirs.text).get(ACME).status_code == 401


def test_rotation_lets_the_old_secret_work_for_the_overlap(alice, cast):
    old = alice.post(ACME + "tokens/", {"name": "x"}, **JSON).json()
    address = f"{ACME}tokens/{old['id']}/rotate/"
    new = alice.post(address, {"overlap_hours": 1}, **JSON).json()
    assert new["prefix"] == old["prefix"]
    assert new["token"] != old["token"]
    for token in (old["token"], new["token"]):
        assert client_of(token).get(ACME).status_code == 200
    stored(ApiToken).filter(pk=old["id"]).update(previous_valid_until=PAST)
    assert client_of(old["token"]).get(ACME).status_code == 401
    assert client_of(new["token"]).get(ACME).status_code == 200


def test_rotation_ends_the_old_secret_at_once_when_no_overlap_is_asked_for(alice):
    old = alice.post(ACME + "tokens/", {"name": "x"}, **JSON).json()
    alice.post(f"{ACME}tokens/{old['id']}/rotate/", {}, **JSON)
    assert client_of(old["token"]).get(ACME).status_code == 401
    too_long = {"overlap_hours": 25}
    refused = alice.post(f"{ACME}tokens/{old['id']}/rotate/", too_long, **JSON)
    assert refused.status_code == 400


def test_a_service_account_rotates_its_own_token_and_issues_none(cast):
    robot = ServiceAccountFactory(organization=cast.acme)
    ProjectMemberFactory(
        project=cast.fraud, user=None, service_account=robot, role="maintainer"
    )
    token = make_api_token(robot, cast.acme, cast.fraud)
    client = client_of(token.text)
    row = stored(ApiToken).get(public_id=token.public_id)
    assert client.post(ACME + "tokens/", {"name": "x"}, **JSON).status_code == 403
    rotated = client.post(f"{ACME}tokens/{row.pk}/rotate/", {}, **JSON)
    assert rotated.status_code == 200
    assert client_of(rotated.json()["token"]).get(FRAUD).status_code == 200


SELF = ACME + "tokens/self/rotate/"


def test_a_token_rotates_itself_by_the_permission_for_it(cast):
    robot = ServiceAccountFactory(organization=cast.acme)
    ProjectMemberFactory(project=cast.fraud, user=None, service_account=robot)
    rights = ("tracking:read", "token:rotate-self")
    old = make_api_token(robot, cast.acme, cast.fraud, permissions=rights).text
    answer = client_of(old).post(SELF, {"overlap_hours": 2, "days": 7}, **JSON)
    assert answer.status_code == 200
    new = answer.json()
    assert new["permissions"] == list(rights)
    for text in (old, new["token"]):
        assert client_of(text).get(FRAUD + "runs/").status_code == 200
    # It lends nothing else: neither this token by its id, nor another one.
    by_id = f"{ACME}tokens/{new['id']}/rotate/"
    refused = client_of(new["token"]).post(by_id, {}, **JSON)
    assert refused.status_code == 403
    assert "tokens:write" in refused.json()["error"]["message"]


def test_a_token_without_the_permission_does_not_rotate_itself(cast):
    token = make_api_token(cast.alice, cast.acme, permissions=("tracking:read",))
    refused = client_of(token.text).post(SELF, {}, **JSON)
    assert refused.status_code == 403
    assert "token:rotate-self" in refused.json()["error"]["message"]


def test_a_session_has_no_secret_to_rotate(stranger, cast):
    stranger.force_login(cast.alice)
    check = stranger.post(SELF, {}, headers={"origin": "http://testserver"}, **JSON)
    assert check.status_code == 403


def test_tokens_end_by_the_clock_of_the_database(alice, monkeypatch):
    """A web machine whose clock is two hours ahead lends none of them."""
    ahead = datetime.now(UTC) + timedelta(hours=2)
    monkeypatch.setattr(timezone, "now", lambda: ahead)
    made = alice.post(ACME + "tokens/", {"name": "x", "days": 1}, **JSON)
    monkeypatch.undo()
    ends = datetime.fromisoformat(made.json()["expires_at"])
    assert ends - datetime.now(UTC) < timedelta(days=1, minutes=1)


def test_a_maintainer_issues_tokens_for_own_projects_only(bob, cast):
    stored(ProjectMember).filter(user=cast.bob).update(role="maintainer")
    ServiceAccountFactory(organization=cast.acme, name="robot")
    body = {"name": "ci", "service_account": "robot"}
    assert bob.post(ACME + "tokens/", body, **JSON).status_code == 403
    body["projects"] = ["fraud"]
    made = bob.post(ACME + "tokens/", body, **JSON)
    assert made.status_code == 201
    assert made.json()["id"] in {t["id"] for t in rows_of(bob, ACME + "tokens/")}


def rows_of(client, address):
    return client.get(address).json()["results"]


def test_a_person_sees_own_tokens_and_an_admin_sees_all(alice, bob, cast):
    assert {t["user"] for t in rows_of(bob, ACME + "tokens/")} == {"bob"}
    assert {t["user"] for t in rows_of(alice, ACME + "tokens/")} == {"alice", "bob"}


def test_revoking_works_from_the_next_request_and_twice(alice):
    made = alice.post(ACME + "tokens/", {"name": "x"}, **JSON).json()
    address = f"{ACME}tokens/{made['id']}/"
    first = alice.post(address + "revoke/", {"reason": "leaked"}, **JSON).json()
    assert first["revoked_reason"] == "leaked"
    assert client_of(made["token"]).get(ACME).status_code == 401
    again = alice.post(address + "revoke/", {"reason": "other"}, **JSON).json()
    assert again["revoked_at"] == first["revoked_at"]
    assert alice.delete(address).status_code == 204
    assert made["id"] not in {
        t["id"] for t in rows_of(alice, ACME + "tokens/?revoked=false")
    }


# What holds for every route


@pytest.mark.parametrize(
    "query,named",
    [
        ("colour=red", "colour='red'"),
        ("slug=", "slug=''"),
        ("slug=a&slug=b", "slug is given twice"),
        ("deleted=perhaps", "deleted='perhaps'"),
        ("limit=0", "limit='0'"),
        ("cursor=x", "cursor='x'"),
        ("format=xml", "format='xml'"),
    ],
)
def test_a_query_that_means_nothing_is_refused_by_name(alice, query, named):
    response = alice.get(f"{ACME}projects/?{query}")
    assert response.status_code == 400
    assert named in error_of(response)


def test_an_unknown_parameter_is_refused_on_a_detail_page_too(alice):
    response = alice.get(FRAUD + "?deleted=true")
    assert response.status_code == 400
    assert "there are: none" in error_of(response)


@pytest.mark.parametrize(
    "body",
    [
        b"null",
        b"[]",
        b'"text"',
        b"5",
        b"{",
        b"\xff\xfe",
        b'{"slug": "a\\u0000b"}',
        b'{"slug": "\\ud800"}',
        b'{"slug": ' + b"[" * 100_000,
        b'{"slug": {"a": {}}}',
        b'{"slug": 1e400}',
        b'{"slug": "a", "metadata": 1e400}',
        b'{"slug": "a", "metadata": {"x": NaN}}',
        b'{"slug": "a", "slug": "b"}',
        b'{"slug": "a", "metadata": {"a\\u0000": 1}}',
        b'{"slug": "a", "metadata": []}',
        b'{"slug": "a", "metadata": {"a": "' + b"x" * 70_000 + b'"}}',
        b'{"slug": "a", "name": ["x"]}',
        b'{"slug": "a", "default_role": "owner"}',
        b'{"slug": "a", "name": "' + b"x" * 201 + b'"}',
        b'{"slug": "a", "organization_id": "x"}',
    ],
    ids=lambda body: body[:24].decode(errors="replace"),
)
def test_a_hostile_body_is_refused_and_stores_nothing(alice, body):
    before = stored(Project).count()
    response = alice.generic("POST", ACME + "projects/", body, "application/json")
    assert response.status_code == 400
    assert json.loads(response.content)["error"]["code"] == "invalid_input"
    assert stored(Project).count() == before


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]
)
def test_a_form_is_no_request(alice, kind):
    response = alice.generic("POST", ACME + "projects/", b'{"slug": "a"}', kind)
    assert response.status_code == 415


def test_a_changed_owner_in_the_body_changes_nothing(alice, cast):
    for field in ("organization_id", "organization", "project_id"):
        body = {field: str(cast.umbrella.pk)}
        assert alice.patch(FRAUD, body, **JSON).status_code == 400
    echoed = {"id": str(uuid4()), "created_at": "2020-01-01T00:00:00Z", "name": "F"}
    changed = alice.patch(FRAUD, echoed, **JSON)
    assert changed.status_code == 200
    assert changed.json()["id"] == str(cast.fraud.pk)


def test_head_and_options_tell_no_more_than_get(alice, mallory):
    assert alice.head(FRAUD).status_code == 200
    assert alice.options(FRAUD).status_code == 200
    assert mallory.head(FRAUD).status_code == 404
    assert mallory.options(FRAUD).status_code == 404


def test_a_method_that_is_not_there_is_told_to_those_who_may_enter(alice, mallory):
    response = alice.put(FRAUD, {}, **JSON)
    assert response.status_code == 405
    assert "PATCH" in response["Allow"]
    assert mallory.put(FRAUD, {}, **JSON).status_code == 404


def test_a_method_is_not_overridden(alice):
    overridden = {"X-HTTP-Method-Override": "DELETE"}
    assert alice.post(FRAUD, {}, headers=overridden, **JSON).status_code == 405
    assert alice.get(FRAUD + "?_method=DELETE").status_code == 400


def test_an_address_that_is_none_answers_in_json(alice):
    response = alice.get("/api/v1/nothing/")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "not_found"


def test_the_description_names_every_route(alice):
    text = alice.get("/api/v1/schema/", headers={"Accept": "application/json"})
    described = {PLACE.sub("{}", path) for path in text.json()["paths"]}
    here = [str(route) for route in routes() if str(route).startswith("/api/v1/")]
    undescribed = {path for path in here if PLACE.sub("{}", path) not in described}
    assert undescribed == {"/api/v1/schema/", "/api/v1/docs/"}
    assert len(here) > 50


def test_the_description_says_how_to_sign_in(alice):
    assert "scheme: bearer" in alice.get("/api/v1/schema/").content.decode()


def test_the_pages_of_the_description_ask_for_nothing_outside(alice):
    page = alice.get("/api/v1/docs/").content.decode()
    script = alice.get("/api/v1/docs/?script=").content.decode()
    assert "/static/drf_spectacular_sidecar/" in page
    assert "https://" not in page + script


def test_the_pages_send_a_browser_to_sign_in(stranger):
    response = stranger.get("/api/v1/docs/", headers={"Accept": "text/html"})
    assert response.status_code == 302
    assert response["Location"] == "/accounts/login/?next=/api/v1/docs/"


@pytest.mark.parametrize("accept", ["application/json", "*/*", "text/html", "x/y"])
def test_an_answer_is_json_whatever_is_accepted(alice, accept):
    response = alice.get(FRAUD, headers={"Accept": accept})
    assert response.status_code == 200
    assert response["Content-Type"] == "application/json"


@pytest.mark.parametrize("accept", ["application/json", "x/y"])
def test_the_pages_fail_for_nobody(alice, accept):
    for address in ("/api/v1/docs/", "/api/v1/schema/"):
        response = alice.get(address, headers={"Accept": accept})
        assert response.status_code in {200, 406}
