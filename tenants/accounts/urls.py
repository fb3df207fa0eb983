"""allauth's pages, each behind our gate, and what we add to them or close."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from allauth import urls as allauth_urls
from django.urls import URLPattern, URLResolver, include, path

from tenants.accounts import home, invitations, openid, organizations, views
from tenants.accounts.pages import account_page

Entry = URLPattern | URLResolver
END_SESSION = "account_end_session"


def gated(entries: Iterable[Entry]) -> Iterator[Entry]:
    for entry in entries:
        if isinstance(entry, URLPattern):
            page = account_page(entry.callback)
            yield URLPattern(entry.pattern, page, entry.default_args, entry.name)
        else:
            inner = list(gated(entry.url_patterns))
            yield URLResolver(
                entry.pattern,
                inner,
                entry.default_kwargs,
                entry.app_name,
                entry.namespace,
            )


# Pages of allauth's that ours replace, and addresses that it had long ago.
REPLACED = ("oidc/", "social/")


def is_replaced(entry: Entry) -> bool:
    return str(entry.pattern).startswith(REPLACED)


of_organization = [
    path("", organizations.show, name="organization-page"),
    path("leave/", organizations.leave, name="leave-organization"),
    path("invitations/", organizations.invite, name="invite"),
    path(
        "invitations/<str:invitation>/revoke/",
        organizations.revoke_invitation,
        name="revoke-invitation",
    ),
    path("tokens/", organizations.issue_token, name="issue-own-token"),
    path(
        "tokens/<str:token>/rotate/",
        organizations.rotate_token,
        name="rotate-own-token",
    ),
    path(
        "tokens/<str:token>/revoke/",
        organizations.revoke_token,
        name="revoke-own-token",
    ),
]

urlpatterns: list[Entry] = [
    path("", account_page(home.home), name="home"),
    path("organizations/<slug:organization>/", include(of_organization)),
    path(
        "invitations/<str:secret>/",
        account_page(invitations.invitation),
        name="invitation",
    ),
    # Before allauth's page of the same address: the first that matches answers.
    path("signup/", account_page(views.sign_up)),
    path("sessions/<int:pk>/end/", account_page(views.end_session), name=END_SESSION),
    path("oidc/<str:provider_id>/login/", openid.begin, name="openid_connect_login"),
    path(
        "oidc/<str:provider_id>/login/callback/",
        openid.callback,
        name="openid_connect_callback",
    ),
    *gated(entry for entry in allauth_urls.urlpatterns if not is_replaced(entry)),
]
