"""allauth's forms, with our limits on what they let one guess."""

from __future__ import annotations

from typing import Any

from allauth.account.forms import ChangePasswordForm, LoginForm
from allauth.core import context
from allauth.mfa.adapter import get_adapter
from allauth.mfa.base.forms import AuthenticateForm, ReauthenticateForm
from allauth.mfa.models import Authenticator
from django import forms
from django.core.exceptions import ValidationError

from mlops.telemetry import line_of
from tenants.accounts import lockout
from tenants.services.tokens import end_own_tokens

PASSWORD_CHANGED = "the password was changed"


class SignInForm(LoginForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        login = self.fields["login"]
        login.label = "User name or e-mail"
        login.widget.attrs.update(
            {"autocomplete": "username", "autofocus": True, "placeholder": ""}
        )


class PasswordForm(ChangePasswordForm):
    end_tokens = forms.BooleanField(
        label="Revoke my API tokens as well",
        required=False,
        help_text="In every organization, at once. Choose this if somebody else may"
        " have known the password: they may have made a token.",
    )

    def clean_oldpassword(self) -> str:
        """The present password can be guessed here as well as where one signs in."""
        attempt = lockout.begin(context.request, self.user.get_username())
        try:
            old: str = super().clean_oldpassword()
        except ValidationError:
            attempt.failed()
            raise
        attempt.succeeded()
        return old

    def save(self) -> None:
        super().save()
        if self.cleaned_data["end_tokens"]:
            request_line = line_of(context.request)
            end_own_tokens(
                self.user, reason=PASSWORD_CHANGED, request_line=request_line
            )


class LimitedCodes:
    """Mixed in before a form that takes codes of authenticator apps and recovery."""

    user: Any
    authenticator: Authenticator

    def clean_code(self) -> str:
        lockout.begin_code(self.user)
        code: str = super().clean_code()  # type: ignore[misc]
        is_totp = self.authenticator.type == Authenticator.Type.TOTP
        if is_totp and not lockout.use_code(self.user, code):
            raise get_adapter().validation_error("incorrect_code")
        lockout.forget_codes(self.user)
        return code


class SecondFactorForm(LimitedCodes, AuthenticateForm):
    pass


class SecondFactorAgainForm(LimitedCodes, ReauthenticateForm):
    pass
