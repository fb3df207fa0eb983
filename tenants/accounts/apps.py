from __future__ import annotations

from allauth.account.apps import AccountConfig


class SignInConfig(AccountConfig):
    """allauth's accounts, whose middleware stands in mlops.browsers.Accounts.

    Its own `ready` insists on the middleware by name, which would cost requests with
    a token as well.
    """

    def ready(self) -> None:
        import allauth.account.checks  # noqa: F401

        import tenants.accounts.occurrences  # noqa: F401
