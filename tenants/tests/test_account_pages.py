"""What people see who have signed in: their organizations, projects, tokens."""

from __future__ import annotations

import re
from uuid import uuid4

import pytest

from conftest import WebClient, client_of
from tenants.models import ApiToken, Invitation, Membership
from tenants.tests.factories import (
    InvitationFactory,
    MembershipFactory,
    ProjectFactory,
    ProjectMemberFactory,
    UserFactory,
    make_api_token,
)
from tenants.tests.superuser import shown

HOME = "/accounts/"
ACME = "/accounts/organizations/acme/"
SAME_SITE = {"Origin": "http://testserver"}
BROWSER = {"Accept": "text/html", **SAME_SITE}


def stored(model):
    return model._base_manager


def browser(user=None) -> WebClient:
    client = WebClient(headers=BROWSER)
    if user is not None:
        client.force_login(user)
    return client


def test_a_stranger_is_sent_to_sign_in(db):
    for address in (HOME, ACME):
        answer = browser().get(address)
        assert answer.status_code == 302
        assert answer["Location"] == f"/accounts/login/?next={address}"


def test_home_lists_the_organizations_of_the_person_only(cast):
    page = shown(browser(cast.bob).get(HOME))
    assert ACME in page
    assert "member" in page
    assert "umbrella" not in page.lower()
    nobody = shown(browser(UserFactory()).get(HOME))
    assert "You belong to no organization yet" in nobody


def test_organization_shows_projects_with_roles_and_how_to_reach_them(cast, settings):
    page = shown(browser(cast.bob).get(ACME))
    uri = f"export MLFLOW_TRACKING_URI={settings.BASE_URL}/mlflow/acme/fraud"
    assert uri in page
    assert "viewer" in page
    assert "churn" not in page
    owner = shown(browser(cast.alice).get(ACME))
    assert "churn" in owner
    assert owner.count("maintainer") == 2


def test_organization_of_others_is_not_found(cast):
    client = browser(cast.bob)
    theirs = client.get("/accounts/organizations/umbrella/")
    nobodys = client.get("/accounts/organizations/never-existed/")
    assert theirs.status_code == nobodys.status_code == 404
    assert mask(theirs) == mask(nobodys)


def mask(answer) -> str:
    return re.sub(r'(value|nonce)="[^"]*"', "", shown(answer))


def test_a_token_is_sent_to_rest(cast):
    token = make_api_token(cast.alice, cast.acme)
    answer = client_of(token.text).get(ACME)
    assert answer.status_code == 403
    assert "/api/v1/" in answer.json()["error"]["message"]


def test_organization_costs_the_same_for_1_and_20(cast, django_assert_max_num_queries):
    client = browser(cast.alice)
    client.get(ACME)
    with django_assert_max_num_queries(20) as few:
        client.get(ACME)
    projects = ProjectFactory.create_batch(19, organization=cast.acme)
    for project in projects:
        make_api_token(cast.alice, cast.acme, project)
        MembershipFactory(organization=cast.acme)
        InvitationFactory(organization=cast.acme)
    with django_assert_max_num_queries(len(few)):
        page = shown(client.get(ACME))
    assert projects[-1].slug in page


# Tokens


def issue(client, **asked):
    words = {"name": "laptop", "rights": "everything", "days": "30", **asked}
    return client.post(f"{ACME}tokens/", words)


def text_in(answer) -> str:
    (token,) = set(re.findall(r"mlp_u_\w+", shown(answer)))
    return token


def test_a_token_is_issued_shown_once_and_works(cast):
    client = browser(cast.bob)
    answer = issue(client, projects=["fraud"])
    assert answer.status_code == 200
    text = text_in(answer)
    row = stored(ApiToken).get(name="laptop")
    assert row.user == cast.bob
    assert row.project_ids == [cast.fraud.pk]
    assert text not in shown(client.get(ACME))
    assert row.public_id in shown(client.get(ACME))
    runs = "/api/v1/organizations/acme/projects/fraud/runs/"
    assert client_of(text).get(runs).status_code == 200


def test_a_token_that_may_only_read_does_no_more(cast):
    text = text_in(issue(browser(cast.alice), rights="reading"))
    projects = "/api/v1/organizations/acme/projects/"
    body = {"slug": "new", "name": "New"}
    assert client_of(text).get(projects).status_code == 200
    posted = client_of(text).post(projects, body, content_type="application/json")
    assert posted.status_code == 403


WRONG = [
    ({"name": ""}, "required"),
    ({"days": "0"}, "greater than or equal to 1"),
    ({"days": "366"}, "less than or equal to 365"),
    ({"projects": ["churn"]}, "not one of the available choices"),
    ({"rights": "root"}, "not one of the available choices"),
]


@pytest.mark.parametrize("asked,told", WRONG)
def test_a_wrong_form_says_what_is_wrong(cast, asked, told):
    answer = issue(browser(cast.bob), **asked)
    assert answer.status_code == 400
    assert told in shown(answer)
    assert not stored(ApiToken).exists()


def test_one_rotates_and_revokes_ones_own_tokens(cast):
    client = browser(cast.bob)
    old = text_in(issue(client))
    row = stored(ApiToken).get()
    new = text_in(client.post(f"{ACME}tokens/{row.pk}/rotate/"))
    acme = "/api/v1/organizations/acme/"
    assert client_of(old).get(acme).status_code == 401
    assert client_of(new).get(acme).status_code == 200
    assert client.post(f"{ACME}tokens/{row.pk}/revoke/").status_code == 302
    assert client_of(new).get(acme).status_code == 401


def test_tokens_of_others_are_not_found(cast):
    """An owner revokes them by REST; here are one's own."""
    make_api_token(cast.bob, cast.acme)
    make_api_token(cast.mallory, cast.umbrella)
    client = browser(cast.alice)
    keys = [*stored(ApiToken).values_list("pk", flat=True), uuid4()]
    for key in keys:
        for action in ("rotate", "revoke"):
            answer = client.post(f"{ACME}tokens/{key}/{action}/")
            assert answer.status_code == 404
    assert not stored(ApiToken).exclude(revoked_at=None).exists()


def test_a_form_of_another_site_writes_nothing(cast):
    forged = [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": None},
    ]
    for headers in forged:
        client = browser(cast.alice)
        client.defaults.pop("HTTP_ORIGIN")
        sent = {name: value for name, value in headers.items() if value}
        answer = client.post(
            f"{ACME}tokens/",
            {"name": "x", "rights": "everything", "days": "1"},
            headers=sent,
        )
        assert answer.status_code == 403, headers
    strict = WebClient(headers=BROWSER, enforce_csrf_checks=True)
    strict.force_login(cast.alice)
    assert issue(strict).status_code == 403
    assert not stored(ApiToken).exists()


# Members


def test_owners_invite_and_take_back(cast):
    client = browser(cast.alice)
    answer = client.post(
        f"{ACME}invitations/", {"email": "carol@example.org", "role": "admin"}
    )
    assert answer.status_code == 200
    assert "/accounts/invitations/" in shown(answer)
    row = stored(Invitation).get()
    assert (row.role, row.invited_by) == ("admin", cast.alice.pk)
    assert "carol@example.org" in shown(client.get(ACME))
    assert client.post(f"{ACME}invitations/{row.pk}/revoke/").status_code == 302
    assert "carol@example.org no longer works" in shown(client.get(ACME))
    assert "carol@example.org" not in shown(client.get(ACME))


def test_members_see_no_addresses_and_invite_nobody(cast):
    InvitationFactory(organization=cast.acme, email="carol@example.org")
    client = browser(cast.bob)
    page = shown(client.get(ACME))
    assert "carol@example.org" not in page
    assert "alice@example.org" not in page
    asked = {"email": "dave@example.org", "role": "member"}
    assert client.post(f"{ACME}invitations/", asked).status_code == 403
    row = stored(Invitation).get()
    assert client.post(f"{ACME}invitations/{row.pk}/revoke/").status_code == 403


def test_leaving_ends_roles_tokens_and_nothing_elsewhere(cast):
    MembershipFactory(organization=cast.umbrella, user=cast.bob)
    token = make_api_token(cast.bob, cast.acme)
    client = browser(cast.bob)
    assert client.post(f"{ACME}leave/")["Location"] == HOME
    assert client_of(token.text).get("/api/v1/organizations/acme/").status_code == 401
    assert "You have left acme." in shown(client.get(HOME))
    page = shown(client.get(HOME)).lower()
    assert "acme" not in page
    assert "umbrella" in page


def test_the_last_owner_cannot_leave(cast):
    answer = browser(cast.alice).post(f"{ACME}leave/")
    assert answer.status_code == 409
    assert "needs an owner" in shown(answer)
    assert stored(Membership).get(user=cast.alice).deleted_at is None


def test_markup_in_names_is_text(cast):
    stored(type(cast.acme)).filter(pk=cast.acme.pk).update(name="<script>x</script>")
    stored(type(cast.fraud)).update(name="<img src=x onerror=y>")
    for address in (HOME, ACME):
        page = shown(browser(cast.alice).get(address))
        assert "<script>x" not in page
        assert "<img src=x" not in page
        assert "&lt;script&gt;" in page


def test_a_maintainer_of_one_project_sees_the_role(cast):
    person = UserFactory()
    MembershipFactory(organization=cast.acme, user=person)
    ProjectMemberFactory(project=cast.churn, user=person, role="maintainer")
    page = shown(browser(person).get(ACME))
    assert "maintainer" in page
    assert "/mlflow/acme/churn/" in page
    assert "/mlflow/acme/fraud/" not in page
