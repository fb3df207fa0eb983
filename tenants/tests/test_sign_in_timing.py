"""C12: how long a sign-in takes must not tell who is known."""

from __future__ import annotations

import gc
import statistics
import time

import pytest
from django.contrib.auth.hashers import make_password

from conftest import WebClient
from mlops import settings as installation
from tenants.accounts import lockout
from tenants.models import User
from tenants.tests.browser import sign_in

PAIRS = 200
# Every attempt its own person and address, so that no limit answers in their place.
KINDS = ("known", "unknown")


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.django_db
def test_unknown_people_take_as_long_as_known_ones(settings):
    settings.PASSWORD_HASHERS = installation.PASSWORD_HASHERS
    stored = make_password("one for all of them")
    User.objects.bulk_create(
        User(username=f"known{n}", email=f"known{n}@x.org", password=stored)
        for n in range(PAIRS)
    )
    taken: dict[str, list[float]] = {kind: [] for kind in KINDS}
    gc.disable()
    try:
        for n in range(PAIRS):
            for kind in KINDS if n % 2 else reversed(KINDS):
                address = f"10.{n}.{kind == 'known':d}.1"
                taken[kind].append(seconds(f"{kind}{n}", address=address))
    finally:
        gc.enable()
    known, unknown = (statistics.median(taken[kind]) for kind in KINDS)
    print(f"known {known * 1e3:.2f} ms, unknown {unknown * 1e3:.2f} ms")
    assert abs(known / unknown - 1) < 0.05


def seconds(login: str, *, address: str) -> float:
    browser = WebClient(REMOTE_ADDR=address)
    start = time.process_time()
    answer = sign_in(browser, login, "wrong as can be")
    spent = time.process_time() - start
    assert answer.status_code == 200, lockout.ADDRESS
    return spent
