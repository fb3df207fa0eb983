from __future__ import annotations

from typing import Any

from allauth.account.auth_backends import AuthenticationBackend
from django.db.models import Q
from django.http import HttpRequest

from tenants.models import User

# Names that differ only in case may all exist; more than this nobody registers.
MOST_NAMESAKES = 5


class PasswordBackend(AuthenticationBackend):
    """Sign in by user name or e-mail, with one password hash whoever it is.

    allauth's own looks a person up by each word in turn and hashes for each it finds:
    the time of an answer would tell which e-mails are known.
    """

    def authenticate(
        self, request: HttpRequest | None, **credentials: Any
    ) -> User | None:
        password = credentials.get("password")
        login = credentials.get("username") or credentials.get("email")
        if not password or not login:
            return None
        person = find_person(login)
        if person is None:
            User().set_password(password)
            return None
        is_right = person.check_password(password)
        return person if is_right and self.user_can_authenticate(person) else None


def find_person(login: str) -> User | None:
    """Find by user name, else by a user name that differs in case, else by e-mail."""
    alike = Q(username__iexact=login) | Q(email__iexact=login)
    found = list(User.objects.filter(alike).order_by("id")[:MOST_NAMESAKES])
    namesakes = [each for each in found if each.username.lower() == login.lower()]
    exact = [each for each in namesakes if each.username == login]
    if exact or namesakes:
        return (exact or namesakes)[0] if exact or len(namesakes) == 1 else None
    return found[0] if found else None
