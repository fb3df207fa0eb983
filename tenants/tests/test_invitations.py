"""Invitations: who may ask whom, what a link is worth, and what it is not."""

from __future__ import annotations

import re
from datetime import timedelta
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from allauth.account.models import EmailAddress
from django.core.management import call_command
from django.utils import timezone

from audit.models import AuditLog
from conftest import WebClient, client_of
from mlops.cli import UsageError
from mlops.redaction import masked
from tenants.models import Invitation, Membership, Organization, ProjectMember, User
from tenants.services.invitations import UNUSABLE
from tenants.tests.factories import (
    InvitationFactory,
    MembershipFactory,
    ProjectMemberFactory,
    UserFactory,
    make_api_token,
)
from tenants.tests.superuser import shown, superuser
from tenants.tests.test_commands import run

INVITATIONS = "/api/v1/organizations/acme/invitations/"
JSON = {"content_type": "application/json"}
CAROL = "carol@example.org"
PASSWORD = "a long walk by the river"
NEW_PERSON = {"username": "carol", "password": PASSWORD, "again": PASSWORD}


def stored(model):
    return model._base_manager


def path_of(link: str) -> str:
    return urlsplit(link).path


@pytest.fixture
def post(django_capture_on_commit_callbacks):
    """Return a function that posts JSON and lets happen what follows the commit."""

    def post(client, address, body=None, **more):
        with django_capture_on_commit_callbacks(execute=True):
            return client.post(address, body or {}, **{**JSON, **more})

    return post


@pytest.fixture
def links(alice, post, mailoutbox):
    """Return a function that invites somebody: (path shown, path mailed)."""

    def invite(email=CAROL, **body):
        answer = post(alice, INVITATIONS, {"email": email, **body})
        assert answer.status_code == 201, answer.content
        mailed = re.search(r"https?://\S+", mailed_text(mailoutbox, email)).group()
        return path_of(answer.json()["link"]), path_of(mailed)

    return invite


def mailed_text(outbox, address: str) -> str:
    body = next(mail.body for mail in reversed(outbox) if mail.to == [address])
    return body.partition("accept.")[2]


def signed_in(user: User) -> WebClient:
    client = WebClient()
    client.force_login(user)
    return client


def joined(user: User, organization: Organization) -> bool:
    rows = stored(Membership).filter(user=user, organization=organization)
    return rows.filter(deleted_at=None).exists()


# Inviting


def test_invite_mails_one_link_and_shows_another(alice, post, mailoutbox):
    answer = post(alice, INVITATIONS, {"email": "Carol@Example.org"})
    assert answer.status_code == 201
    made = answer.json()
    assert (made["email"], made["role"], made["state"]) == (CAROL, "member", "pending")
    (mail,) = mailoutbox
    assert mail.to == [CAROL]
    assert "Acme" in mail.subject
    assert "/accounts/invitations/" in made["link"]
    assert made["link"] not in mail.body
    # Neither secret is stored, nor shown again.
    secret = made["link"].rstrip("/").rpartition("/")[2]
    row = stored(Invitation).get()
    assert secret.encode() not in bytes(row.shown_digest)
    assert secret not in alice.get(INVITATIONS).content.decode()
    assert secret not in alice.get(f"{INVITATIONS}{row.pk}/").content.decode()


def test_list_shows_invitations_by_state(alice, cast):
    now = timezone.now()
    InvitationFactory(organization=cast.acme, email="a@example.org")
    InvitationFactory(organization=cast.acme, email="b@example.org", revoked_at=now)
    InvitationFactory(organization=cast.acme, email="c@example.org", accepted_at=now)
    InvitationFactory(
        organization=cast.acme,
        email="d@example.org",
        sent_at=now - timedelta(days=8),
    )
    states = {
        row["state"]: row["email"][0]
        for row in alice.get(INVITATIONS).json()["results"]
    }
    assert states == {"pending": "a", "revoked": "b", "accepted": "c", "expired": "d"}
    for state, letter in states.items():
        (found,) = alice.get(INVITATIONS, {"state": state}).json()["results"]
        assert found["email"][0] == letter


def test_list_costs_the_same_for_1_and_20(alice, cast, django_assert_max_num_queries):
    roles = {str(cast.fraud.pk): "editor"}
    InvitationFactory(organization=cast.acme, project_roles=roles)
    with django_assert_max_num_queries(12) as one:
        alice.get(INVITATIONS)
    InvitationFactory.create_batch(19, organization=cast.acme, project_roles=roles)
    with django_assert_max_num_queries(len(one)):
        found = alice.get(INVITATIONS).json()["results"]
    assert len(found) == 20
    assert found[0]["projects"] == [{"project": "fraud", "role": "editor"}]


REFUSED = [
    ("no address", {"email": "carol"}, 400, "email"),
    ("line break", {"email": "a@example.org\nBcc: b@example.org"}, 400, "email"),
    ("unknown role", {"email": CAROL, "role": "king"}, 400, "role"),
    ("misspelt field", {"email": CAROL, "rolle": "admin"}, 400, "rolle"),
    (
        "unknown project",
        {"email": CAROL, "projects": [{"project": "moon", "role": "viewer"}]},
        404,
        "moon",
    ),
    (
        "project twice",
        {"email": CAROL, "projects": [{"project": "fraud", "role": "viewer"}] * 2},
        400,
        "projects",
    ),
    ("member", {"email": "bob@example.org"}, 409, "bob@example.org"),
]


@pytest.mark.parametrize(
    "_case,body,status,named", REFUSED, ids=[case for case, *_ in REFUSED]
)
def test_invite_is_refused(alice, post, mailoutbox, _case, body, status, named):
    answer = post(alice, INVITATIONS, body)
    assert answer.status_code == status
    assert named in answer.json()["error"]["message"]
    assert not mailoutbox
    assert not stored(Invitation).exists()


def test_invite_again_is_refused_until_the_first_has_expired(alice, post, cast):
    assert post(alice, INVITATIONS, {"email": CAROL}).status_code == 201
    answer = post(alice, INVITATIONS, {"email": CAROL.upper()})
    assert answer.status_code == 409
    assert CAROL in answer.json()["error"]["message"]
    past = timezone.now() - timedelta(days=9)
    stored(Invitation).update(sent_at=past, expires_at=past + timedelta(days=7))
    assert post(alice, INVITATIONS, {"email": CAROL}).status_code == 201
    assert stored(Invitation).filter(revoked_at=None).count() == 1


@pytest.mark.parametrize("action", ["invite", "resend", "revoke"])
def test_an_admin_reaches_no_higher_than_admin(cast, post, action):
    """D15: an invitation above one's own role."""
    admin = UserFactory()
    MembershipFactory(organization=cast.acme, user=admin, role="admin")
    client = client_of(make_api_token(admin, cast.acme).text)
    if action == "invite":
        answer = post(client, INVITATIONS, {"email": CAROL, "role": "owner"})
    else:
        past = timezone.now() - timedelta(hours=1)
        row = InvitationFactory(organization=cast.acme, role="owner", sent_at=past)
        address = f"{INVITATIONS}{row.pk}/"
        answer = (
            post(client, address + "resend/")
            if action == "resend"
            else client.delete(address)
        )
    assert answer.status_code == 403
    assert "owner" in answer.json()["error"]["message"]
    assert not stored(Invitation).exclude(revoked_at=None).exists()


@pytest.mark.parametrize("role", ["maintainer", "editor", "viewer"])
def test_a_plain_member_may_not_invite(cast, post, role):
    person = UserFactory()
    MembershipFactory(organization=cast.acme, user=person)
    ProjectMemberFactory(project=cast.fraud, user=person, role=role)
    client = client_of(make_api_token(person, cast.acme).text)
    assert post(client, INVITATIONS, {"email": CAROL}).status_code == 403
    assert client.get(INVITATIONS).status_code == 403


def test_a_maintainer_adds_members_of_the_organization_to_the_project(cast, post):
    """The table of roles: project members up to maintainer."""
    maintainer, colleague = UserFactory(), UserFactory()
    for person in (maintainer, colleague):
        MembershipFactory(organization=cast.acme, user=person)
    ProjectMemberFactory(project=cast.fraud, user=maintainer, role="maintainer")
    client = client_of(make_api_token(maintainer, cast.acme).text)
    members = "/api/v1/organizations/acme/projects/fraud/members/"
    body = {"user": colleague.username, "role": "maintainer"}
    assert post(client, members, body).status_code == 201
    elsewhere = members.replace("fraud", "churn")
    assert post(client, elsewhere, body).status_code == 404
    stranger = {"user": cast.mallory.username, "role": "viewer"}
    assert post(client, members, stranger).status_code == 404


def test_resend_ends_the_links_before_and_waits_a_minute(
    alice, post, links, mailoutbox, stranger
):
    before = links()
    address = f"{INVITATIONS}{stored(Invitation).get().pk}/resend/"
    assert post(alice, address).status_code == 429
    past = timezone.now() - timedelta(minutes=2)
    stored(Invitation).update(sent_at=past)
    answer = post(alice, address)
    assert answer.status_code == 200
    assert len(mailoutbox) == 2
    for path in before:
        assert stranger.get(path).status_code == 404
    assert stranger.get(path_of(answer.json()["link"])).status_code == 200


def test_no_log_holds_the_secret_of_a_link(links):
    for path in links():
        secret = path.strip("/").rpartition("/")[2]
        assert len(secret) >= 43
        quoted = secret.replace("_", "%5F")
        hidden = masked(f"GET {path} {quoted} of https://mlops.example{path}")
        assert secret[4:] not in hidden
        assert quoted[6:] not in hidden
        assert "/accounts/invitations/mli_…" in hidden


# Accepting


def test_a_look_at_the_link_uses_nothing_up(links, stranger):
    for path in links():
        for _ in range(2):
            answer = stranger.get(path)
            assert answer.status_code == 200
            assert answer["Referrer-Policy"] == "no-referrer"
    assert stored(Invitation).get().accepted_at is None


def test_a_new_person_joins_with_roles_and_is_signed_in(links, stranger, cast):
    _, mailed = links(projects=[{"project": "fraud", "role": "editor"}])
    answer = stranger.post(mailed, NEW_PERSON)
    assert answer.status_code == 302
    assert answer["Location"] == "/accounts/organizations/acme/"
    carol = User.objects.get(username="carol")
    assert carol.email == CAROL
    assert carol.check_password(PASSWORD)
    assert EmailAddress.objects.get(user=carol).verified
    assert joined(carol, cast.acme)
    role = stored(ProjectMember).get(user=carol, project=cast.fraud).role
    assert role == "editor"
    assert not stored(ProjectMember).filter(user=carol, project=cast.churn).exists()
    assert shown(stranger.get("/accounts/organizations/acme/")).count("Fraud") >= 1


def test_joining_is_in_the_trail_in_the_name_of_who_joined(links, stranger, cast):
    _, mailed = links()
    stranger.post(mailed, NEW_PERSON)
    carol = User.objects.get(username="carol")
    entries = stored(AuditLog).filter(organization_id=cast.acme.pk, actor_id=carol.pk)
    actions = set(entries.values_list("action", flat=True))
    assert {"tenants.membership.created", "tenants.invitation.updated"} <= actions
    text = " ".join(str(each) for each in stored(AuditLog).values())
    row = stored(Invitation).get()
    for digest in (row.shown_digest, row.mailed_digest):
        assert bytes(digest).hex() not in text
    assert CAROL not in text


def test_the_inviter_hears_who_joined(
    links, stranger, mailoutbox, django_capture_on_commit_callbacks
):
    _, mailed = links()
    with django_capture_on_commit_callbacks(execute=True):
        stranger.post(mailed, NEW_PERSON)
    notice = mailoutbox[-1]
    assert notice.to == ["alice@example.org"]
    assert "carol" in notice.subject
    assert CAROL in notice.body


def test_a_link_handed_on_by_the_inviter_proves_no_address(links, stranger, cast):
    """Else an inviter could take up an account under somebody else's address."""
    handed_on, _ = links("ceo@example.com")
    assert stranger.post(handed_on, NEW_PERSON).status_code == 302
    carol = User.objects.get(username="carol")
    assert joined(carol, cast.acme)
    assert carol.email == ""
    assert not EmailAddress.objects.filter(user=carol).exists()


WEAK = [
    ("short", {"password": "short", "again": "short"}, "at least 12"),
    ("common", {"password": "password1234", "again": "password1234"}, "too common"),
    ("differ", {"again": "something else"}, "differ"),
    ("name taken", {"username": "bob"}, "bob"),
    ("no name", {"username": "a b"}, "valid username"),
]


@pytest.mark.parametrize("_case,change,told", WEAK, ids=[case for case, *_ in WEAK])
def test_a_new_person_is_told_what_is_wrong(links, stranger, _case, change, told):
    _, mailed = links()
    answer = stranger.post(mailed, {**NEW_PERSON, **change})
    assert answer.status_code == 400
    assert told in shown(answer)
    assert PASSWORD not in shown(answer)
    assert not User.objects.filter(username="carol").exists()
    assert stranger.get(mailed).status_code == 200


def test_a_signed_in_person_joins_with_one_click(links, cast):
    carol = UserFactory(username="carol", email=CAROL)
    _, mailed = links()
    client = signed_in(carol)
    assert "Join Acme" in shown(client.get(mailed))
    assert not joined(carol, cast.acme)
    assert client.post(mailed)["Location"] == "/accounts/organizations/acme/"
    assert joined(carol, cast.acme)


def test_a_forwarded_link_lets_no_other_person_in(links, cast):
    _, mailed = links()
    client = signed_in(cast.mallory)
    for answer in (client.get(mailed), client.post(mailed)):
        assert answer.status_code == 403
        assert "mallory@example.org" in shown(answer)
    assert not joined(cast.mallory, cast.acme)
    assert stored(Invitation).get().accepted_at is None


def test_an_address_that_was_only_claimed_opens_nothing(links, cast):
    """Mallory writes Carol's address into her account, and does not read it."""
    User.objects.filter(pk=cast.mallory.pk).update(email=CAROL)
    EmailAddress.objects.create(user=cast.mallory, email=CAROL, primary=True)
    EmailAddress.objects.create(
        user=cast.mallory, email="mallory@example.org", verified=True
    )
    handed_on, _ = links()
    client = signed_in(cast.mallory)
    assert client.post(handed_on).status_code == 403
    assert not joined(cast.mallory, cast.acme)


def test_a_claimed_address_is_not_added_by_a_members_route(alice, cast, post):
    User.objects.filter(pk=cast.mallory.pk).update(email="ceo@example.com")
    EmailAddress.objects.create(
        user=cast.mallory, email="ceo@example.com", primary=True
    )
    members = "/api/v1/organizations/acme/members/"
    body = {"user": "ceo@example.com", "role": "admin"}
    assert post(alice, members, body).status_code == 202  # an invitation
    assert not joined(cast.mallory, cast.acme)


def test_who_has_an_account_is_asked_to_sign_in(links, stranger):
    UserFactory(username="carol", email=CAROL)
    _, mailed = links()
    assert "Sign in with it to join" in shown(stranger.get(mailed))
    answer = stranger.post(mailed, {**NEW_PERSON, "username": "carol2"})
    assert answer.status_code == 400
    assert not User.objects.filter(username="carol2").exists()


def test_joining_twice_keeps_the_role_that_one_has(links, cast):
    carol = UserFactory(username="carol", email=CAROL)
    _, mailed = links()
    MembershipFactory(organization=cast.acme, user=carol, role="admin")
    assert signed_in(carol).post(mailed).status_code == 302
    (membership,) = stored(Membership).filter(user=carol)
    assert membership.role == "admin"


# C10: reused, expired, revoked, of a deleted organization, cross-site


def spoil_used(mailed, cast):
    WebClient().post(mailed, NEW_PERSON)


def spoil_expired(mailed, cast):
    past = timezone.now() - timedelta(days=8)
    stored(Invitation).update(sent_at=past, expires_at=past + timedelta(days=7))


def spoil_revoked(mailed, cast):
    address = f"{INVITATIONS}{stored(Invitation).get().pk}/"
    client = client_of(make_api_token(cast.alice, cast.acme).text)
    assert client.delete(address).status_code == 204


def spoil_deleted(mailed, cast):
    stored(Organization).filter(slug="acme").update(deleted_at=timezone.now())


def spoil_inviter_left(mailed, cast):
    rows = stored(Membership).filter(user=cast.alice)
    rows.update(deleted_at=timezone.now())


def spoil_inviter_inactive(mailed, cast):
    User.objects.filter(pk=cast.alice.pk).update(is_active=False)


SPOILT = [
    spoil_used,
    spoil_expired,
    spoil_revoked,
    spoil_deleted,
    spoil_inviter_left,
    spoil_inviter_inactive,
]
TOKENS_OF_FORMS = re.compile(r'(nonce|value)="[^"]*"')


def without_forms(answer) -> str:
    return TOKENS_OF_FORMS.sub("", shown(answer))


@pytest.mark.parametrize("spoil", SPOILT)
def test_a_spoilt_link_answers_like_one_that_never_existed(links, cast, spoil):
    """C10."""
    paths = links()
    spoil(paths[1], cast)
    members = stored(Membership).count()
    invented = f"/accounts/invitations/{uuid4().hex}/"
    for client in (WebClient(), signed_in(UserFactory(email="dave@example.org"))):
        expected = without_forms(client.get(invented))
        assert UNUSABLE in expected
        for path in paths:
            dave = {**NEW_PERSON, "username": "dave"}
            for answer in (client.get(path), client.post(path, dave)):
                assert answer.status_code == 404
                assert without_forms(answer) == expected
    assert stored(Membership).count() == members
    assert not User.objects.filter(username="dave").exists()


def test_a_form_of_another_site_joins_nobody(links, cast):
    """C10."""
    carol = UserFactory(username="carol", email=CAROL)
    _, mailed = links()
    client = WebClient(enforce_csrf_checks=True)
    assert client.post(mailed, NEW_PERSON).status_code == 403
    client.force_login(carol)
    assert client.post(mailed).status_code == 403
    assert not joined(carol, cast.acme)
    assert stored(Invitation).get().accepted_at is None


def test_signing_up_without_an_invitation_is_closed(stranger, db):
    """C10."""
    for method in (stranger.get, stranger.post):
        assert method("/accounts/signup/", NEW_PERSON).status_code == 403
    assert not User.objects.filter(username="carol").exists()


def test_of_two_who_open_the_link_only_the_first_joins(links, cast):
    _, mailed = links()
    first, second = WebClient(), WebClient()
    assert first.post(mailed, NEW_PERSON).status_code == 302
    other = {**NEW_PERSON, "username": "carol2"}
    assert second.post(mailed, other).status_code == 404
    assert stored(Membership).filter(organization=cast.acme).count() == 3


# The command and the admin


def test_invite_prints_a_link_that_works(cast, stranger):
    made = run(
        "invite",
        *("--organization", "acme", "--email", CAROL, "--role", "owner"),
        *("--project", "fraud=viewer"),
    )
    assert made["organization"] == "acme"
    assert made["role"] == "owner"
    assert made["projects"] == {"fraud": "viewer"}
    assert stranger.post(path_of(made["link"]), NEW_PERSON).status_code == 302
    assert joined(User.objects.get(username="carol"), cast.acme)


def test_invite_changes_nothing_when_dry(cast, capsys):
    call_command("invite", "--organization=acme", f"--email={CAROL}", "--dry-run")
    assert f"Would invite {CAROL} into acme." in capsys.readouterr().out
    assert not stored(Invitation).exists()


COMMANDS = [
    (["--organization=moon", f"--email={CAROL}"], "organization='moon'"),
    (["--organization=acme", "--email=carol"], "email='carol'"),
    (["--organization=acme", f"--email={CAROL}", "--project=fraud"], "SLUG=ROLE"),
    (["--organization=acme", f"--email={CAROL}", "--project=fraud=king"], "king"),
    (["--organization=acme", f"--email={CAROL}", "--project=moon=editor"], "moon"),
]


@pytest.mark.parametrize("words,told", COMMANDS)
def test_invite_says_what_is_wrong(cast, words, told):
    with pytest.raises(UsageError, match=re.escape(told)):
        run("invite", *words)


def test_staff_invite_in_the_admin_and_see_the_link_once(cast, stranger):
    root = superuser()
    new = {"in_organization": str(cast.acme.pk), "email": CAROL, "role": "member"}
    answer = root.post("/admin/tenants/invitation/add/", new)
    assert answer.status_code == 200, answer
    link = re.search(r"https?://[^\s<]+/accounts/invitations/[^\s<]+", shown(answer))
    row = stored(Invitation).get()
    assert row.invited_by is None
    assert link.group() not in shown(root.opened(row))
    assert CAROL in shown(root.listed("tenants_invitation"))
    assert stranger.get(path_of(link.group())).status_code == 200
    root.act("revoke_rows", row, confirmed="1")
    assert stranger.get(path_of(link.group())).status_code == 404
