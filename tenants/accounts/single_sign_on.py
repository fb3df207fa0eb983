"""What allauth asks when somebody comes from the identity provider."""

from __future__ import annotations

from typing import Any, NoReturn

from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialAccount, SocialApp
from django.conf import settings
from django.http import HttpRequest

from mlops.errors import Forbidden
from tenants.services import single_sign_on
from tenants.services.single_sign_on import Arrival

PROVIDER = "sso"


class SingleSignOnAdapter(DefaultSocialAccountAdapter):
    def list_apps(
        self, request: HttpRequest, provider: Any = None, client_id: Any = None
    ) -> list[SocialApp]:
        """The one provider of the settings; none is kept in the database."""
        if not settings.OIDC_ISSUER or provider not in (None, PROVIDER):
            return []
        return [
            SocialApp(
                provider="openid_connect",
                provider_id=PROVIDER,
                name=settings.OIDC_NAME,
                client_id=settings.OIDC_CLIENT_ID,
                secret=settings.OIDC_CLIENT_SECRET,
                settings={"server_url": settings.OIDC_ISSUER},
            )
        ]

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        """Nobody fills in a form: `pre_social_login` lets in who may come."""
        return False

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        """Find or make the person. Raises Forbidden for who has nothing here."""
        arrival = arrival_of(sociallogin.claims)
        if sociallogin.state.get("process") == "connect":
            return
        if not sociallogin.is_existing:
            taken = SocialAccount.objects.filter(provider=PROVIDER).values("user_id")
            person = single_sign_on.welcome(arrival, linked=taken)
            sociallogin.connect(request, person)
        single_sign_on.settle(sociallogin.user, arrival)

    def get_requests_session(self) -> NoReturn:
        """Whatever leaves, leaves by mlops.egress."""
        raise Forbidden("This way of signing in is closed.")


def arrival_of(claims: dict[str, Any]) -> Arrival:
    groups = claims.get(settings.OIDC_GROUPS_CLAIM)
    return Arrival(
        email=str(claims.get("email") or "").strip().lower(),
        # Some providers send the word instead of the value.
        is_verified=claims.get("email_verified") in (True, "true"),
        username=str(claims.get("preferred_username") or ""),
        first_name=str(claims.get("given_name") or ""),
        last_name=str(claims.get("family_name") or ""),
        groups=frozenset(map(str, groups)) if isinstance(groups, list) else frozenset(),
    )
