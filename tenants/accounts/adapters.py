"""What allauth asks of us: who may sign up, where one goes, how mail leaves."""

from __future__ import annotations

from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context
from allauth.mfa.adapter import DefaultMFAAdapter
from django.conf import settings
from django.contrib.auth import authenticate
from django.db import transaction
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from mlops.addresses import client_address
from mlops.encryption import decrypt, encrypt
from tenants.accounts import lockout
from tenants.services.single_sign_on import refuse_password

PURPOSE = "second factor"
# One sentence, whichever of the two was wrong and whatever was typed.
MISMATCH = "This user name or e-mail and this password do not belong together."
# Where the server does not say who its peer is, as behind a socket file.
NOWHERE = "0.0.0.0"


class AccountAdapter(DefaultAccountAdapter):
    error_messages = {
        **DefaultAccountAdapter.error_messages,
        "email_password_mismatch": MISMATCH,
        "username_password_mismatch": MISMATCH,
    }

    def authenticate(self, request: HttpRequest, **credentials: Any) -> Any:
        """Raises TooManyRequests while locked, even for the right password."""
        login = credentials.get("username") or credentials.get("email") or ""
        attempt = lockout.begin(request, login)
        person = authenticate(request, **credentials)
        if person is None:
            attempt.failed()
        else:
            attempt.succeeded()
        return person

    def get_client_ip(self, request: HttpRequest) -> str:
        return client_address(request) or NOWHERE

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Nobody signs up: people come by invitation, or are made by an operator."""
        return False

    def is_safe_url(self, url: str) -> bool:
        """Only a path of this very host: other allowed hosts may be others'."""
        hosts = {context.request.get_host()}
        return url.startswith("/") and url_has_allowed_host_and_scheme(url, hosts)

    def pre_login(self, request: HttpRequest, user: Any, **about: Any) -> Any:
        """Raises Forbidden for a password where only the provider lets people in."""
        if "sociallogin" not in (about["signal_kwargs"] or {}):
            refuse_password(user)
        return super().pre_login(request, user, **about)

    def get_login_redirect_url(self, request: HttpRequest) -> str:
        return reverse("admin:index" if request.user.is_staff else "home")

    def login(self, request: HttpRequest, user: Any) -> None:
        # What signing in itself changed, such as a role, must not end this session.
        user.refresh_from_db(fields=["session_epoch"])
        super().login(request, user)

    def format_email_subject(self, subject: str) -> str:
        return f"[MLOps platform] {subject}"

    def send_mail(self, template_prefix: str, email: str, context: dict) -> None:
        """Send once the transaction is over: it must not wait for a mail server.

        A failure is logged and costs the page nothing.
        """
        everywhere = {"request": self.request, "email": email, **context}
        everywhere["current_site"] = {"name": "MLOps platform", "domain": HOST}
        message = self.render_mail(template_prefix, email, everywhere)
        transaction.on_commit(message.send, robust=True)

    def get_reset_password_from_key_url(self, key: str) -> str:
        return on_this_site(super().get_reset_password_from_key_url(key))

    def get_email_confirmation_url(
        self, request: HttpRequest, emailconfirmation: Any
    ) -> str:
        url = super().get_email_confirmation_url(request, emailconfirmation)
        return on_this_site(url)


HOST = settings.BASE_URL.partition("://")[2]


def on_this_site(url: str) -> str:
    """Put our own address before a link in a mail, whatever host the request named."""
    path = url.partition("://")[2].partition("/")[2]
    return f"{settings.BASE_URL}/{path}"


class SecondFactorAdapter(DefaultMFAAdapter):
    """Secrets of the second factor rest encrypted; a database dump opens no door."""

    def encrypt(self, text: str) -> str:
        return encrypt(text, purpose=PURPOSE)

    def decrypt(self, encrypted_text: str) -> str:
        return decrypt(encrypted_text, purpose=PURPOSE)

    def get_totp_issuer(self) -> str:
        return f"MLOps platform ({HOST})"
