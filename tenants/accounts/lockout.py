"""Locks against guessing passwords and codes.

Counted in the database (mlops.throttles), so all workers know of a bad sign-in at once.
Not allauth's own limits: those live in Django's cache, which is one per process here.
Nor `throttles.take`, which remembers a refusal in its process: a lock must open for
everybody the moment that somebody unlocks it.
"""

from __future__ import annotations

from dataclasses import dataclass

from django.http import HttpRequest

from mlops import throttles
from mlops.addresses import client_address, origin_of, prefix_of
from mlops.db import throttling
from mlops.errors import TooManyRequests
from tenants.accounts.backends import find_person
from tenants.accounts.occurrences import enter
from tenants.models import User

# Kinds of settings.THROTTLES.
PERSON, ADDRESS = "sign_in", "sign_in_address"
CODE, USED_CODE = "second_factor", "used_code"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a password: taken from the person's bucket, given back if right."""

    request: HttpRequest
    person: User | None
    key: str

    def succeeded(self) -> None:
        throttles.forget(PERSON, self.key)

    def failed(self) -> None:
        take(ADDRESS, origin_of(self.request))
        where = prefix_of(client_address(self.request))
        enter("user.sign_in_failed", self.request, target=self.person, address=where)
        if wait_of(PERSON, self.key) > 0:
            enter("user.locked_out", self.request, target=self.person, address=where)


def begin(request: HttpRequest, login: str) -> Attempt:
    """Raises TooManyRequests while the person or the address is locked."""
    refuse_while_locked(ADDRESS, origin_of(request))
    person = find_person(login)
    key = key_of(person, login, origin_of(request))
    if wait := take(PERSON, key):
        raise locked(wait)
    return Attempt(request, person, key)


def key_of(person: User | None, login: str, origin: str) -> str:
    """By person and address, so that nobody locks another out from elsewhere."""
    who = f"{person.pk}:{person.sign_in_epoch}" if person else login.lower()
    return f"{who} {origin}"


def begin_code(person: User) -> None:
    """Raises TooManyRequests once too many codes were tried.

    By person alone: who tries codes has the password already, wherever they are.
    """
    if wait := take(CODE, key_of(person, "", "")):
        raise locked(wait)


def forget_codes(person: User) -> None:
    throttles.forget(CODE, key_of(person, "", ""))


def use_code(person: User, code: str) -> bool:
    """Tell whether a code is used for the first time."""
    plain = "".join(filter(str.isalnum, code)).upper()
    return not take(USED_CODE, f"{person.pk} {plain}")


def take(kind: str, key: str) -> float:
    """Take one, or return the seconds to wait."""
    rate = throttles.rate_of(kind)
    name = throttles.bucket(kind, key)
    granted, wait = throttling.take(name, 1, rate.per_second, rate.burst)
    return 0 if granted else max(wait, 1)


def wait_of(kind: str, key: str) -> float:
    rate = throttles.rate_of(kind)
    name = throttles.bucket(kind, key)
    return throttling.wait(name, rate.per_second, rate.burst)


def refuse_while_locked(kind: str, key: str) -> None:
    if wait := wait_of(kind, key):
        raise locked(wait)


def locked(wait: float) -> TooManyRequests:
    error = TooManyRequests(retry_after=wait)
    minutes = -(-error.retry_after // 60)
    error.message = f"Too many attempts. Try again in {minutes} min."
    return error
