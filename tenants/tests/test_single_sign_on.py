"""Signing in by OpenID Connect: by a provider that is honest, and one that lies."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from urllib.parse import parse_qs, urlsplit

import jwt
import oidc_provider_mock
import pytest
import requests
from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount
from cryptography.hazmat.primitives.asymmetric import rsa
from django.utils import timezone

from audit.models import AuditLog
from conftest import WebClient, client_of
from mlops.errors import Conflict, InvalidInput
from tenants.accounts.openid import uid_of
from tenants.context import Actor, tenant_transaction
from tenants.models import Membership, SingleSignOn, User
from tenants.services import single_sign_on
from tenants.tests.factories import (
    InvitationFactory,
    MembershipFactory,
    SingleSignOnFactory,
    UserFactory,
    make_api_token,
)
from tenants.tests.providers import CLIENT, lying, signed
from tenants.tests.superuser import shown, superuser

BEGIN = "/accounts/oidc/sso/login/"
CALLBACK = "/accounts/oidc/sso/login/callback/"
PASSWORD = "a long walk by the river"
SECRET = "client-secret-that-nobody-reads"


def stored(model):
    return model._base_manager


def configure(settings, issuer: str) -> None:
    settings.OIDC_ISSUER = issuer
    settings.OIDC_NAME = "Acme ID"
    settings.OIDC_CLIENT_ID = CLIENT
    settings.OIDC_CLIENT_SECRET = SECRET


# An honest provider, in a server of its own


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    with oidc_provider_mock.run_server_in_thread() as server:
        yield f"http://localhost:{server.server_port}"


@pytest.fixture
def sign_in(settings, provider, db):
    """Return a function that signs a browser in as a subject with these claims."""
    configure(settings, provider)

    def sign_in(client: WebClient, subject: str, *, begin: str = BEGIN, **claims):
        known = {"email_verified": True, **claims}
        requests.put(f"{provider}/users/{subject}", json=known, timeout=5)
        return client.get(answer_of(client.get(begin), subject))

    return sign_in


def answer_of(begun, subject: str) -> str:
    """Let the provider's form send the browser back; the address that it is sent to."""
    assert begun.status_code == 302, begun.content
    answer = requests.post(
        begun["Location"], data={"sub": subject}, allow_redirects=False, timeout=5
    )
    assert answer.status_code == 302, answer.text
    parts = urlsplit(answer.headers["Location"])
    assert parts.path == CALLBACK
    return f"{parts.path}?{parts.query}"


@pytest.fixture
def acme_domain(cast):
    return SingleSignOnFactory(organization=cast.acme, domains=["acme.example"])


def is_signed_in(client: WebClient) -> bool:
    return client.get("/accounts/").status_code == 200


def membership(user: User, organization):
    rows = stored(Membership).filter(user=user, organization=organization)
    return rows.filter(deleted_at=None).first()


def test_begin_asks_with_pkce_nonce_and_state(settings, provider, stranger):
    configure(settings, provider)
    asked = parse_qs(
        urlsplit(stranger.get(f"{BEGIN}?auth_params=nonce%3Dx")["Location"]).query
    )
    assert asked["response_type"] == ["code"]
    assert asked["code_challenge_method"] == ["S256"]
    assert len(asked["code_challenge"][0]) == 43
    assert len(asked["nonce"][0]) == 43
    assert len(asked["state"][0]) >= 16
    assert asked["redirect_uri"] == [f"{settings.BASE_URL}{CALLBACK}"]
    assert SECRET not in stranger.get(BEGIN)["Location"]


def test_somebody_of_a_verified_domain_becomes_a_member_without_projects(
    sign_in, stranger, cast, acme_domain
):
    answer = sign_in(
        stranger,
        "dana-1",
        email="Dana@acme.example",
        preferred_username="dana",
        given_name="Dana",
    )
    assert answer.status_code == 302, shown(answer)
    assert answer["Location"] == "/accounts/"
    assert "Acme" in shown(stranger.get("/accounts/"))
    dana = User.objects.get(username="dana")
    assert dana.email == "dana@acme.example"
    assert not dana.has_usable_password()
    assert EmailAddress.objects.get(user=dana).verified
    assert membership(dana, cast.acme).role == "member"
    page = stranger.get("/accounts/organizations/acme/")
    assert "no project yet" in shown(page)
    assert stranger.get("/accounts/organizations/umbrella/").status_code == 404
    account = SocialAccount.objects.get(user=dana)
    assert account.uid == uid_of(account.extra_data["iss"], "dana-1")


def test_signing_in_again_leads_to_the_same_person(sign_in, cast, acme_domain):
    sign_in(WebClient(), "dana-1", email="dana@acme.example")
    client = WebClient()
    # Whatever became of the address: issuer and subject say who it is.
    assert sign_in(client, "dana-1", email="d.moved@acme.example").status_code == 302
    assert is_signed_in(client)
    assert User.objects.filter(email__endswith="@acme.example").count() == 1


def test_who_has_neither_invitation_nor_organization_gets_nothing(
    sign_in, stranger, cast, acme_domain
):
    before = User.objects.count()
    answer = sign_in(stranger, "eve-1", email="eve@elsewhere.example")
    assert answer.status_code == 403
    assert "No organization here knows eve@elsewhere.example" in shown(answer)
    assert not is_signed_in(stranger)
    assert User.objects.count() == before
    assert not SocialAccount.objects.exists()


def test_an_unverified_address_gets_nothing(sign_in, stranger, cast, acme_domain):
    for claims in ({"email_verified": False}, {"email_verified": None}):
        answer = sign_in(stranger, "dana-1", email="dana@acme.example", **claims)
        assert answer.status_code == 403
        assert "has not verified your e-mail" in shown(answer)
    assert not is_signed_in(stranger)
    assert not SocialAccount.objects.exists()


def test_an_invited_address_joins_by_signing_in(sign_in, stranger, cast):
    roles = {str(cast.fraud.pk): "editor"}
    row = InvitationFactory(
        organization=cast.acme, email="guest@elsewhere.example", project_roles=roles
    )
    assert sign_in(stranger, "g", email="guest@elsewhere.example").status_code == 302
    guest = User.objects.get(email="guest@elsewhere.example")
    assert membership(guest, cast.acme).role == "member"
    assert stored(type(row)).get().accepted_by == guest.pk
    assert "Fraud" in shown(stranger.get("/accounts/organizations/acme/"))


def test_an_address_alone_links_to_no_account(sign_in, stranger, cast):
    """No domain is verified: whoever has Alice's address there is not Alice here."""
    answer = sign_in(stranger, "imposter", email=cast.alice.email)
    assert answer.status_code == 403
    assert not is_signed_in(stranger)
    assert not SocialAccount.objects.exists()


def test_a_verified_domain_links_an_account_once(sign_in, cast, acme_domain):
    dana = UserFactory(username="dana", email="dana@acme.example")
    first, second = WebClient(), WebClient()
    assert sign_in(first, "dana-1", email="dana@acme.example").status_code == 302
    assert SocialAccount.objects.get().user == dana
    # The same address with another subject is somebody else.
    answer = sign_in(second, "dana-2", email="dana@acme.example")
    assert answer.status_code == 403
    assert not is_signed_in(second)
    assert SocialAccount.objects.count() == 1


POWERFUL = [{"is_staff": True}, {"is_superuser": True}]


@pytest.mark.parametrize("powers", POWERFUL)
def test_no_address_leads_to_the_account_of_an_operator(
    sign_in, stranger, cast, acme_domain, powers
):
    UserFactory(username="root", email="root@acme.example", **powers)
    assert sign_in(stranger, "r", email="root@acme.example").status_code == 403
    assert not is_signed_in(stranger)


def test_an_address_that_was_only_claimed_is_not_linked(
    sign_in, stranger, cast, acme_domain
):
    squatter = UserFactory(username="squatter", email="dana@acme.example")
    EmailAddress.objects.create(user=squatter, email=squatter.email, primary=True)
    assert sign_in(stranger, "dana-1", email="dana@acme.example").status_code == 403
    assert not SocialAccount.objects.exists()


def test_a_signed_in_person_connects_the_provider(sign_in, cast):
    client = WebClient()
    client.force_login(cast.bob)
    answer = sign_in(client, "b", begin=f"{BEGIN}?process=connect", email="b@x.example")
    assert answer.status_code == 302
    assert SocialAccount.objects.get().user == cast.bob
    fresh = WebClient()
    assert sign_in(fresh, "b", email="b@x.example").status_code == 302
    assert fresh.get("/accounts/organizations/acme/").status_code == 200


def test_a_stranger_connects_nothing(sign_in, stranger, cast):
    assert stranger.get(f"{BEGIN}?process=connect").status_code == 403
    assert stranger.get(f"{BEGIN}?process=redirect").status_code == 403


# Groups


def test_groups_give_roles_at_each_sign_in_and_never_an_owners(
    sign_in, cast, acme_domain
):
    roles = {"chiefs": "admin", "everybody": "member"}
    stored(type(acme_domain)).update(group_roles=roles)
    steps = [
        (["everybody", "chiefs"], "admin"),
        (["everybody"], "member"),
        (["chiefs"], "admin"),
        ([], "member"),
    ]
    for groups, expected in steps:
        client = WebClient()
        sign_in(client, "dana-1", email="dana@acme.example", groups=groups)
        dana = User.objects.get(email="dana@acme.example")
        assert membership(dana, cast.acme).role == expected, groups
        assert is_signed_in(client), "a new role must not end the session it came with"
    stored(Membership).filter(user=dana).update(role="owner")
    sign_in(WebClient(), "dana-1", email="dana@acme.example", groups=[])
    assert membership(dana, cast.acme).role == "owner"


def test_groups_say_nothing_about_people_of_other_domains(
    sign_in, stranger, cast, acme_domain
):
    """Else an owner could promote whomever the provider knows."""
    stored(type(acme_domain)).update(group_roles={"chiefs": "admin"})
    InvitationFactory(organization=cast.acme, email="guest@elsewhere.example")
    sign_in(stranger, "g", email="guest@elsewhere.example", groups=["chiefs"])
    guest = User.objects.get(email="guest@elsewhere.example")
    assert membership(guest, cast.acme).role == "member"


def test_who_was_removed_does_not_come_back_by_signing_in(sign_in, cast, acme_domain):
    sign_in(WebClient(), "dana-1", email="dana@acme.example")
    dana = User.objects.get(email="dana@acme.example")
    stored(Membership).filter(user=dana).update(deleted_at=timezone.now())
    client = WebClient()
    assert sign_in(client, "dana-1", email="dana@acme.example").status_code == 302
    assert membership(dana, cast.acme) is None
    assert client.get("/accounts/organizations/acme/").status_code == 404


def test_a_disabled_person_stays_outside(sign_in, stranger, cast, acme_domain):
    sign_in(WebClient(), "dana-1", email="dana@acme.example")
    User.objects.filter(email="dana@acme.example").update(is_active=False)
    sign_in(stranger, "dana-1", email="dana@acme.example")
    assert not is_signed_in(stranger)


# Passwords closed


def enter(client: WebClient, login: str):
    return client.post("/accounts/login/", {"login": login, "password": PASSWORD})


def test_sso_only_closes_passwords_but_the_owners(cast, acme_domain, settings):
    stored(type(acme_domain)).update(sso_only=True)
    people = {}
    for name, role in [("olga", "owner"), ("dana", "member"), ("gus", "member")]:
        domain = "guest.example" if name == "gus" else "acme.example"
        people[name] = UserFactory(username=name, email=f"{name}@{domain}")
        people[name].set_password(PASSWORD)
        people[name].save()
        MembershipFactory(organization=cast.acme, user=people[name], role=role)
    dana = WebClient()
    answer = enter(dana, "dana")
    assert answer.status_code == 403
    assert "single sign-on only" in shown(answer)
    assert not is_signed_in(dana)
    for name in ("olga", "gus"):
        client = WebClient()
        assert enter(client, name).status_code == 302, name
        assert is_signed_in(client)
    entries = stored(AuditLog).filter(action="user.broke_glass")
    assert [e.actor_id for e in entries] == [people["olga"].pk]
    assert entries[0].organization_id == cast.acme.pk


# A provider that lies


@pytest.fixture
def liar(settings, db):
    with lying() as liar:
        configure(settings, liar.issuer)
        yield liar


def begun(client: WebClient) -> dict[str, str]:
    query = parse_qs(urlsplit(client.get(BEGIN)["Location"]).query)
    return {name: values[0] for name, values in query.items()}


def come_back(client: WebClient, liar, asked: dict[str, str], **lies):
    honest = {"sub": "dana-1", "nonce": asked["nonce"], "email_verified": True}
    liar.claims = {**honest, "email": "dana@acme.example", **lies}
    liar.userinfo = liar.userinfo or {"sub": "dana-1"}
    return client.get(CALLBACK, {"state": asked["state"], "code": "c"})


def test_the_liar_is_believed_when_it_does_not_lie(liar, stranger, acme_domain):
    assert come_back(stranger, liar, begun(stranger)).status_code == 302
    assert is_signed_in(stranger)


def without_signature(claims):
    return jwt.encode(claims, None, algorithm="none")


def by_client_secret(claims):
    return jwt.encode(claims, SECRET.ljust(32, "x"), algorithm="HS256")


strange_key = rsa.generate_private_key(65537, 2048)
LIES = [
    ("nonce of another sign-in", {"nonce": "x" * 43}, None, "another sign-in"),
    ("no nonce", {"nonce": None}, None, "another sign-in"),
    ("alg none", {}, without_signature, "none"),
    ("shared secret", {}, by_client_secret, "HS256"),
    ("another key", {}, partial(signed, strange_key), "Signature"),
    ("another audience", {"aud": "other"}, None, "Audience"),
    ("another party", {"aud": [CLIENT, "b"], "azp": "b"}, None, "another client"),
    ("another issuer", {"iss": "https://evil.example"}, None, "issuer"),
    ("expired", {"exp": 1}, None, "expired"),
    ("no subject", {"sub": None}, None, "sub"),
    ("no token", {}, lambda claims: "", "ID token"),
]


@pytest.mark.parametrize(
    "_case,claims,sign,told", LIES, ids=[case for case, *_ in LIES]
)
def test_a_lie_signs_nobody_in(liar, stranger, acme_domain, _case, claims, sign, told):
    liar.sign = sign
    answer = come_back(stranger, liar, begun(stranger), **claims)
    assert answer.status_code == 403
    assert told in shown(answer)
    assert not is_signed_in(stranger)
    assert not SocialAccount.objects.exists()


def test_two_subjects_in_one_answer_sign_nobody_in(liar, stranger, acme_domain):
    liar.userinfo = {"sub": "somebody-else", "email": "dana@acme.example"}
    assert come_back(stranger, liar, begun(stranger)).status_code == 403
    assert not is_signed_in(stranger)


def test_an_answer_counts_once_and_for_its_own_browser(liar, acme_domain):
    first, second = WebClient(), WebClient()
    asked = begun(first)
    # Somebody else's browser, as when an attacker sends the link of their own sign-in.
    assert come_back(second, liar, asked).status_code == 403
    assert "/token" not in liar.asked
    assert come_back(first, liar, asked).status_code == 302
    first.post("/accounts/logout/")
    assert come_back(first, liar, asked).status_code == 403
    assert not is_signed_in(first)


UNASKED = [
    ("no state", {"code": "c", "state": None}),
    ("invented state", {"code": "c", "state": "invented"}),
    ("another issuer", {"code": "c", "iss": "https://evil.example"}),
    ("cancelled", {"error": "access_denied"}),
    ("nothing", {}),
]


@pytest.mark.parametrize("_case,answer", UNASKED, ids=[case for case, _ in UNASKED])
def test_an_answer_that_fits_no_question_is_refused(liar, stranger, _case, answer):
    query = {"state": begun(stranger)["state"], **answer}
    given = {name: value for name, value in query.items() if value}
    assert stranger.get(CALLBACK, given).status_code == 403
    assert "/token" not in liar.asked


def test_a_code_used_twice_is_refused_by_the_provider(
    sign_in, settings, provider, stranger, acme_domain
):
    back = answer_of(stranger.get(BEGIN), "dana-9")
    code = parse_qs(urlsplit(back).query)["code"][0]
    stranger.get(back)
    other = WebClient()
    state = begun(other)["state"]
    assert other.get(CALLBACK, {"code": code, "state": state}).status_code == 403
    assert not is_signed_in(other)


def test_a_provider_that_calls_itself_otherwise_is_not_asked(liar, stranger, settings):
    settings.OIDC_ISSUER = liar.issuer + "/"
    answer = stranger.get(BEGIN)
    assert answer.status_code == 503
    assert "calls itself" in shown(answer)


def test_a_provider_that_is_away_is_said(settings, stranger, db):
    configure(settings, "http://127.0.0.1:1")
    assert stranger.get(BEGIN).status_code == 503


def test_without_a_provider_there_is_no_such_page(stranger, db):
    for address in (BEGIN, CALLBACK, "/accounts/oidc/other/login/"):
        assert stranger.get(address).status_code == 404
    assert "Acme ID" not in shown(stranger.get("/accounts/login/"))


def test_the_sign_in_page_offers_the_provider(liar, stranger):
    page = shown(stranger.get("/accounts/login/"))
    assert "Acme ID" in page
    assert BEGIN in page
    assert SECRET not in page


def test_another_site_cannot_begin_a_sign_in_unseen(liar, stranger):
    answer = stranger.get(BEGIN, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 200
    assert "Another site has sent you here" in shown(answer)
    assert not liar.asked


# Settings of an organization


INVALID = [
    ({"domains": ["acme"]}, InvalidInput, "domains='acme'"),
    ({"domains": ["*.example"]}, InvalidInput, "domains="),
    ({"group_roles": {"x": "owner"}}, InvalidInput, "group_roles.x='owner'"),
    ({"group_roles": ["x"]}, InvalidInput, "group_roles"),
    ({"sso_only": True}, Conflict, "sso_only=true"),
]


@pytest.mark.parametrize("changes,error,told", INVALID)
def test_settings_that_make_no_sense_are_refused(cast, changes, error, told):
    actor = Actor(kind="command", label="test", organization_id=cast.acme.pk)
    with tenant_transaction(actor):
        row = single_sign_on.single_sign_on_of(cast.acme)
        with pytest.raises(error) as raised:
            single_sign_on.change_single_sign_on(row, **changes)
    assert told in str(raised.value)


# Over REST, and in the admin


SETTINGS = "/api/v1/organizations/acme/single-sign-on/"
JSON = {"content_type": "application/json"}


def test_an_owner_reads_and_changes_the_settings(alice, acme_domain, settings):
    configure(settings, "https://id.example")
    changes = {"group_roles": {"chiefs": "admin"}, "sso_only": True}
    answer = alice.patch(SETTINGS, changes, **JSON)
    assert answer.status_code == 200, answer.content
    read = alice.get(SETTINGS).json()
    assert read["provider"] == "Acme ID"
    assert read["domains"] == ["acme.example"]
    assert {name: read[name] for name in changes} == changes
    # I6: of the client's secret there is no trace in what anybody reads.
    assert SECRET not in str(read)
    entries = str(list(stored(AuditLog).values("before", "after")))
    assert "chiefs" in entries
    assert SECRET not in entries


NOT_OWNERS = ["admin", "member"]


@pytest.mark.parametrize("role", NOT_OWNERS)
def test_single_sign_on_is_the_owners_affair(cast, acme_domain, role):
    person = UserFactory()
    MembershipFactory(organization=cast.acme, user=person, role=role)
    client = client_of(make_api_token(person, cast.acme).text)
    assert client.get(SETTINGS).status_code == 403
    assert client.patch(SETTINGS, {"sso_only": True}, **JSON).status_code == 403
    assert not stored(type(acme_domain)).get().sso_only


REFUSED = [
    ({"group_roles": {"x": "owner"}}, 400, "owner"),
    ({"group_roles": {"": "admin"}}, 400, "group"),
    ({"group_roles": []}, 400, "group_roles"),
    ({"client_secret": "x"}, 400, "client_secret"),
    ({"sso_only": True}, 409, "sso_only=true"),
]


@pytest.mark.parametrize("changes,status,told", REFUSED)
def test_a_change_is_refused(alice, cast, changes, status, told):
    answer = alice.patch(SETTINGS, changes, **JSON)
    assert answer.status_code == status
    assert told in answer.json()["error"]["message"]
    assert not stored(SingleSignOn).exists()


def test_an_owner_verifies_no_domain(alice, cast, acme_domain):
    alice.patch(SETTINGS, {"domains": ["umbrella.example"]}, **JSON)
    assert stored(SingleSignOn).get().domains == ["acme.example"]


def test_an_operator_verifies_a_domain_in_the_admin(cast):
    root = superuser()
    new = {
        "in_organization": str(cast.acme.pk),
        "domains": "Acme.Example, acme.org",
        "group_roles": "{}",
    }
    answer = root.post("/admin/tenants/singlesignon/add/", new)
    assert answer.status_code == 302, shown(answer)
    row = stored(SingleSignOn).get()
    assert row.domains == ["acme.example", "acme.org"]
    assert "acme.example" in shown(root.listed("tenants_singlesignon"))
    change = {"domains": "nonsense", "group_roles": "{}"}
    refused = root.post(f"/admin/tenants/singlesignon/{row.pk}/change/", change)
    assert "nonsense" in shown(refused)
    assert stored(SingleSignOn).get().domains == ["acme.example", "acme.org"]
