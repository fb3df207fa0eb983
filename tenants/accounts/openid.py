"""Signing in by OpenID Connect, on top of allauth: PKCE, nonce and state, each checked.

The provider is asked before a transaction opens: it may take its time to answer.
"""

from __future__ import annotations

import base64
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any
from urllib.parse import quote, urlencode

import jwt
from allauth.account.models import EmailAddress
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.helpers import complete_social_login
from allauth.socialaccount.internal import statekit
from allauth.socialaccount.models import SocialApp
from allauth.socialaccount.providers.oauth2.utils import generate_code_challenge
from allauth.socialaccount.providers.openid_connect.provider import (
    OpenIDConnectProvider,
)
from django.conf import settings
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_safe

from mlops import egress
from mlops.errors import DomainError, Forbidden, NotFound, Unavailable
from mlops.reach import Reach
from tenants.accounts.pages import refusal, serve

# No "none", and nothing whose key both sides would have to know.
ALGORITHMS = frozenset(
    f"{family}{size}" for family in ("RS", "PS", "ES") for size in (256, 384, 512)
) | {"EdDSA"}
LEEWAY_SECONDS = 60
DISCOVERY = "/.well-known/openid-configuration"
DISCOVERY_SECONDS = 300
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
PROCESSES = ("login", "connect")
AGAIN = "Start again from the sign-in page."

View = Callable[..., HttpResponseBase]


@dataclass(frozen=True, slots=True)
class Discovered:
    """What the provider says of itself, and until when we take its word."""

    document: dict[str, Any]
    until: float


_discovered: dict[str, Discovered] = {}


def ask(method: str, url: str, **request: Any) -> egress.Answer:
    """Send to the operator's own provider, on any port."""
    reach = Reach(opened=settings.OIDC_NETWORKS, ports=None)
    return egress.send(method, url, reach=reach, **request)


def discover(issuer: str) -> dict[str, Any]:
    """Raises Unavailable, also for a document of another issuer."""
    known = _discovered.get(issuer)
    if known is not None and time.monotonic() < known.until:
        return known.document
    document = ask("GET", issuer.rstrip("/") + DISCOVERY).json()
    if document.get("issuer") != issuer:
        raise Unavailable(
            f"OIDC_ISSUER={issuer!r} calls itself {document.get('issuer')!r}."
        )
    _discovered[issuer] = Discovered(document, time.monotonic() + DISCOVERY_SECONDS)
    return document


class IdentityProvider(OpenIDConnectProvider):
    """Links by issuer and subject; what a visitor adds to the address is ignored."""

    @property
    def issuer(self) -> str:
        return str(self.app.settings["server_url"])

    def redirect(
        self,
        request: HttpRequest,
        process: str,
        next_url: str | None = None,
        data: Any = None,
        **_: Any,
    ) -> HttpResponse:
        document = discover(self.issuer)
        challenge = generate_code_challenge()
        verifier, nonce = challenge.pop("code_verifier"), secrets.token_urlsafe(32)
        state = self.stash_redirect_state(
            request, process, next_url, pkce_code_verifier=verifier, nonce=nonce
        )
        asked = {
            "response_type": "code",
            "client_id": self.app.client_id,
            "redirect_uri": callback_url(self),
            "scope": " ".join(settings.OIDC_SCOPES),
            "state": state,
            "nonce": nonce,
            **challenge,
        }
        address = str(document["authorization_endpoint"])
        separator = "&" if "?" in address else "?"
        return redirect(f"{address}{separator}{urlencode(asked)}")

    def extract_uid(self, claims: dict[str, Any]) -> str:
        return uid_of(claims["iss"], claims["sub"])

    def extract_extra_data(self, claims: dict[str, Any]) -> dict[str, Any]:
        # What else is known of a person stands in their account, once.
        return {"iss": claims["iss"], "sub": claims["sub"]}

    def extract_common_fields(self, claims: dict[str, Any]) -> dict[str, Any]:
        return {}

    def extract_email_addresses(self, claims: dict[str, Any]) -> list[EmailAddress]:
        return []


def uid_of(issuer: str, subject: str) -> str:
    """Digest both: a subject is its issuer's, and one of another may look the same."""
    words = f"{len(issuer)}:{issuer}{subject}".encode()
    return hmac.digest(b"openid", words, "sha256").hex()


def callback_url(provider: IdentityProvider) -> str:
    name = provider.app.provider_id
    return settings.BASE_URL + reverse("openid_connect_callback", args=[name])


def sign_in_page(view: View) -> View:
    """Like account_page, but the view opens its transaction itself."""

    @wraps(view)
    def page(request: HttpRequest, provider_id: str) -> HttpResponseBase:
        try:
            return view(request, provider_of(request, provider_id))
        except DomainError as error:
            return refusal(request, error)

    page.account_page = True  # type: ignore[attr-defined]
    return page


def provider_of(request: HttpRequest, name: str) -> IdentityProvider:
    try:
        provider: IdentityProvider = get_adapter().get_provider(request, name)
    except SocialApp.DoesNotExist:
        raise NotFound("No such identity provider.") from None
    return provider


@sign_in_page
@require_safe
def begin(request: HttpRequest, provider: IdentityProvider) -> HttpResponseBase:
    """Send the browser to the provider, unless another site had the idea."""
    if request.META.get("HTTP_SEC_FETCH_SITE") == "cross-site":
        context = {"provider": provider, "address": request.get_full_path()}
        return render(request, "accounts/single_sign_on.html", context)
    asked = provider.get_redirect_from_request_kwargs(request)
    process = asked["process"]
    if process not in PROCESSES:
        raise Forbidden(f"process={process[:20]!r}: use {' or '.join(PROCESSES)}.")
    if process == "connect" and not request.user.is_authenticated:
        raise Forbidden("Sign in first, then connect the provider to your account.")
    return provider.redirect(request, process, asked.get("next_url"))


@sign_in_page
@require_safe
def callback(request: HttpRequest, provider: IdentityProvider) -> HttpResponseBase:
    """Take the code that the provider has sent the browser back with."""
    state = statekit.unstash_state(
        request, provider_id=provider.sub_id, state_id=request.GET.get("state", "")
    )
    if state is None:
        raise Forbidden(f"This answer belongs to no sign-in that began here. {AGAIN}")
    if request.GET.get("iss", provider.issuer) != provider.issuer:
        raise Forbidden(f"Another provider has answered than was asked. {AGAIN}")
    code = request.GET.get("code", "")
    if "error" in request.GET or not code:
        said = request.GET.get("error", "no code")[:80]
        raise Forbidden(f"{provider.name} has not signed you in: {said}. {AGAIN}")
    claims = exchange(provider, code, state)
    return serve(complete, request, provider, claims, state)


def complete(
    request: HttpRequest,
    provider: IdentityProvider,
    claims: dict[str, Any],
    state: dict[str, Any],
) -> HttpResponseBase:
    login = provider.sociallogin_from_response(request, claims)
    login.state = {key: state[key] for key in ("process", "next") if key in state}
    login.claims = claims
    answer: HttpResponseBase = complete_social_login(request, login)
    return answer


# What the provider vouches for


def exchange(
    provider: IdentityProvider, code: str, state: dict[str, Any]
) -> dict[str, Any]:
    """Turn the code into claims that are proved to be for us and for this sign-in."""
    document = discover(provider.issuer)
    tokens = fetch_tokens(provider, document, code, state["pkce_code_verifier"])
    claims = verified(provider, document, str(tokens.get("id_token", "")))
    if not hmac.compare_digest(str(claims.get("nonce", "")), state["nonce"]):
        raise Forbidden(f"The ID token belongs to another sign-in. {AGAIN}")
    if endpoint := document.get("userinfo_endpoint"):
        bearer = {"Authorization": f"Bearer {tokens.get('access_token', '')}"}
        more = ask("GET", str(endpoint), headers=bearer).json()
        if more.get("sub") != claims["sub"]:
            raise Forbidden(f"The provider speaks of two different people. {AGAIN}")
        claims = {**more, **claims}
    return claims


def fetch_tokens(
    provider: IdentityProvider, document: dict[str, Any], code: str, verifier: str
) -> dict[str, Any]:
    app = provider.app
    form = {
        "grant_type": "authorization_code",
        "code": code,
        "redirect_uri": callback_url(provider),
        "code_verifier": verifier,
        "client_id": app.client_id,
    }
    headers = dict(FORM)
    known = document.get("token_endpoint_auth_methods_supported")
    if "client_secret_basic" in (known or ["client_secret_basic"]):
        headers["Authorization"] = basic(app.client_id, app.secret)
    else:
        form["client_secret"] = app.secret
    body = urlencode(form).encode()
    endpoint = str(document["token_endpoint"])
    answer = ask("POST", endpoint, headers=headers, body=body)
    if 400 <= answer.status < 500:
        raise Forbidden(f"{provider.name} does not accept this answer of its. {AGAIN}")
    return answer.json()


def basic(name: str, secret: str) -> str:
    """RFC 6749 wants both quoted as in a form before they are joined."""
    pair = f"{quote(name, safe='')}:{quote(secret, safe='')}"
    return "Basic " + base64.b64encode(pair.encode()).decode()


def verified(
    provider: IdentityProvider, document: dict[str, Any], id_token: str
) -> dict[str, Any]:
    """Return the claims of an ID token. Raises Forbidden unless it is signed by the
    provider, for us, and still good."""
    try:
        header = jwt.get_unverified_header(id_token)
        algorithm = header.get("alg")
        if algorithm not in ALGORITHMS:
            raise jwt.InvalidAlgorithmError(f"alg={algorithm!r}")
        keys = ask("GET", str(document["jwks_uri"])).json()
        claims: dict[str, Any] = jwt.decode(
            id_token,
            key=key_of(keys, header.get("kid")),
            algorithms=[algorithm],
            audience=provider.app.client_id,
            issuer=provider.issuer,
            leeway=LEEWAY_SECONDS,
            options={"require": ["iss", "sub", "aud", "exp", "iat"]},
        )
    except jwt.PyJWTError as error:
        raise Forbidden(f"The ID token is not good: {error}. {AGAIN}") from error
    if claims.get("azp", provider.app.client_id) != provider.app.client_id:
        raise Forbidden(f"The ID token is for another client. {AGAIN}")
    return claims


def key_of(keys: dict[str, Any], kid: str | None) -> jwt.PyJWK:
    """Raises PyJWKSetError when there is no such key."""
    found = [key for key in keys.get("keys", []) if kid in (None, key.get("kid"))]
    if len(found) != 1:
        raise jwt.PyJWKSetError(f"the provider publishes no key {kid!r}")
    return jwt.PyJWK(found[0])
