"""Sessions of a person and what opens them: ended, unlocked, reset by somebody else."""

from __future__ import annotations

from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.db import transaction
from django.db.models import F

from mlops.errors import InvalidInput, InvalidState
from tenants.context import record
from tenants.models import User


def person_named(username: str) -> User:
    """Raises InvalidInput when there is nobody of that user name."""
    person = User.objects.filter(username=username).first()
    if person is None:
        raise InvalidInput(f"username={username!r}: there is nobody of that name.")
    return person


@transaction.atomic
def end_sessions(person: User) -> int:
    """End all sessions of a person, at the next request of each; return how many."""
    User.objects.filter(pk=person.pk).update(session_epoch=F("session_epoch") + 1)
    sessions = UserSession.objects.filter(user_id=person.pk)
    keys = list(sessions.values_list("session_key", flat=True))
    ended, _ = Session.objects.filter(session_key__in=keys).delete()
    sessions.delete()
    record("user.sessions_ended", target=person, sessions=ended)
    return ended


@transaction.atomic
def unlock_sign_in(person: User) -> None:
    """Forget all bad sign-ins and codes of a person, from whatever address."""
    User.objects.filter(pk=person.pk).update(sign_in_epoch=F("sign_in_epoch") + 1)
    record("user.unlocked", target=person)


@transaction.atomic
def reset_second_factor(person: User) -> int:
    """Take away all second factors; return how many. The next sign-in needs none.

    Raises InvalidState when there is none.
    """
    factors = Authenticator.objects.filter(user_id=person.pk)
    kinds = sorted(factors.values_list("type", flat=True))
    if not kinds:
        raise InvalidState(f"{person.username} has no second factor.")
    factors.delete()
    record("user.second_factor_reset", target=person, kinds=kinds)
    end_sessions(person)
    return len(kinds)
