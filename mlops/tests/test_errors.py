from __future__ import annotations

import re

import pytest

from mlops import errors
from mlops.errors import DomainError, InvalidInput, NotFound


def family() -> list[type[DomainError]]:
    return [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type)
        and issubclass(kind, DomainError)
        and kind is not DomainError
    ]


def test_message_is_the_one_given():
    error = InvalidInput("step=-1 is negative; steps start at 0.")
    assert error.message == str(error) == "step=-1 is negative; steps start at 0."


def test_message_is_the_first_line_of_the_docstring_by_default():
    assert str(NotFound()) == "Not found."


def test_message_of_a_subclass_is_its_own():
    class QuotaUsedUp(DomainError):
        """The quota is used up.

        This line is for programmers.
        """

    assert QuotaUsedUp().message == "The quota is used up."


def test_every_error_is_caught_as_a_domain_error():
    with pytest.raises(DomainError):
        raise NotFound


@pytest.mark.parametrize("kind", family(), ids=lambda kind: kind.__name__)
def test_every_error_can_be_told_to_a_client(kind):
    assert 400 <= kind.status < 600
    assert re.fullmatch(r"[a-z_]+", kind.code)
    assert kind.code != DomainError.code
    assert kind().message.endswith(".")


def test_every_code_belongs_to_one_error():
    codes = [kind.code for kind in family()]
    assert sorted(codes) == sorted(set(codes))


@pytest.mark.parametrize(
    "name,status",
    [
        ("InvalidInput", 400),
        ("InvalidState", 400),
        ("Unauthenticated", 401),
        ("Forbidden", 403),
        ("NotFound", 404),
        ("AlreadyExists", 409),
        ("Conflict", 409),
        ("TooLarge", 413),
        ("TooManyRequests", 429),
        ("Unavailable", 503),
    ],
)
def test_status_is_promised(name, status):
    assert getattr(errors, name).status == status
