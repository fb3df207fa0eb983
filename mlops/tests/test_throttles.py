from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from django.db import ProgrammingError, connection, transaction
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from conftest import web_role
from mlops import throttles
from mlops.db import throttling
from mlops.env import Rate
from mlops.errors import TooManyRequests
from mlops.upkeep import forget_full_throttles

START = datetime(2030, 1, 1, tzinfo=UTC)
TAKE_AT = "SELECT granted, wait_seconds FROM throttle_take(%s, %s, %s, %s, %s, %s)"


@pytest.fixture
def knocks(settings, db):
    """Three at once, then one in ten minutes."""
    settings.THROTTLES = {"knock": Rate(1 / 600, 3)}
    throttles._refused.clear()
    yield
    throttles._refused.clear()


def take_at(key: bytes, rate: Rate, cost: int, seconds: float, owed: int = 0):
    moment = START + timedelta(seconds=seconds)
    with connection.cursor() as cursor:
        cursor.execute(TAKE_AT, [key, cost, *rate, owed, moment])
        return cursor.fetchone()


def test_what_is_beyond_the_rate_is_refused_and_told_when_to_come_back(knocks):
    for _ in range(3):
        throttles.take("knock", "a")
    with pytest.raises(TooManyRequests) as refused:
        throttles.take("knock", "a")
    assert refused.value.retry_after == 600
    assert refused.value.message == "Too many requests (knock); wait 600 s."
    throttles.take("knock", "b")


def test_a_refusal_is_remembered_without_a_statement(knocks, django_assert_num_queries):
    for _ in range(3):
        throttles.take("knock", "a")
    for statements in (1, 0, 0):
        with django_assert_num_queries(statements), pytest.raises(TooManyRequests):
            throttles.take("knock", "a")


def test_a_look_takes_nothing_and_says_what_a_take_would(knocks):
    for _ in range(3):
        throttles.check("knock", "a")
        throttles.take("knock", "a")
    with pytest.raises(TooManyRequests):
        throttles.check("knock", "a")
    throttles.check("knock", "b")


def test_what_is_forgotten_may_start_anew(knocks):
    for _ in range(3):
        throttles.take("knock", "a")
    with pytest.raises(TooManyRequests):
        throttles.take("knock", "a")
    assert throttles.forget("knock", "a") is True
    assert throttles.forget("knock", "a") is False
    throttles.take("knock", "a")


def test_the_memory_of_refusals_is_bounded(knocks, monkeypatch):
    monkeypatch.setattr(throttles, "MOST_REMEMBERED", 5)
    for number in range(50):
        throttles.remember(bytes([number]), 60)
    assert len(throttles._refused) <= 5


def test_keys_and_kinds_do_not_meet_and_tell_nothing(knocks):
    names = {throttles.bucket(kind, key) for kind in "ab" for key in ("x", "y")}
    assert len(names) == 4
    assert all(len(name) == 16 and b"x" not in name for name in names)


@pytest.mark.parametrize("wait,expected", [(0, 1), (0.2, 1), (1, 1), (1.01, 2)])
def test_clients_wait_for_whole_seconds(wait, expected):
    assert TooManyRequests(retry_after=wait).retry_after == expected


def test_the_web_role_may_take_and_neither_read_nor_write(db):
    with web_role(), connection.cursor() as cursor:
        throttling.take(b"x", 1, 1.0, 1.0)
        for statement in (
            "SELECT * FROM throttles",
            "DELETE FROM throttles",
            "SELECT throttle_sweep()",
        ):
            with pytest.raises(ProgrammingError), transaction.atomic():
                cursor.execute(statement)


def test_full_buckets_are_swept_and_others_stay(db):
    throttling.take(b"soon full", 1, 1e6, 1.0)
    throttling.take(b"long not", 1, 0.001, 1.0)
    forget_full_throttles(timestamp=0)
    assert throttling.forget(b"soon full") is False
    assert throttling.forget(b"long not") is True


# The rate, on a clock of our own


class Bucket:
    """The same promise, said in other words: a level that drains."""

    def __init__(self, rate: Rate) -> None:
        self.rate, self.level, self.at = rate, 0.0, 0.0

    def take(self, cost: int, at: float, owed: int) -> int:
        drained = max(0.0, self.level - (at - self.at) * self.rate.per_second)
        self.level = min(drained + owed, 2 * self.rate.burst)
        self.at = at
        granted = max(0, min(cost, math.floor(self.rate.burst - self.level + 0.01)))
        self.level += granted
        return granted


STEPS = st.lists(
    st.tuples(
        # Quarters of seconds and rates by powers of two are exact in both arithmetics.
        st.integers(0, 40).map(lambda quarters: quarters / 4),
        st.integers(1, 30),
        st.sampled_from([0, 0, 0, 1, 7]),
    ),
    min_size=1,
    max_size=25,
)
RATES = st.builds(Rate, st.sampled_from([0.25, 1.0, 4.0, 64.0]), st.integers(1, 40))


@hypothesis_settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(rate=RATES, steps=STEPS, number=st.integers(0, 2**60))
def test_the_database_grants_what_a_leaking_bucket_would(db, rate, steps, number):
    key, now, model, total = number.to_bytes(16, "big"), 0.0, Bucket(rate), 0
    throttling.forget(key)
    for pause, cost, owed in steps:
        now += pause
        granted, wait = take_at(key, rate, cost, now, owed)
        assert granted == model.take(cost, now, owed)
        total += granted
        assert total <= rate.burst + now * rate.per_second + 0.02
        assert (wait > 0) == (granted == 0)
        if granted == 0:
            # Coming back then, and no earlier, is worth it.
            assert wait == pytest.approx(
                (model.level - rate.burst + 1) / rate.per_second, abs=1e-3
            )


def test_a_clock_that_was_set_back_locks_nobody_out_for_long(db):
    rate = Rate(1.0, 10)
    take_at(b"k", rate, 10, 86_400)
    granted, wait = take_at(b"k", rate, 1, 0)
    assert granted == 0
    assert wait <= 11
