from __future__ import annotations

import os
import pickle
import signal
import struct
import threading
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from itertools import pairwise
from uuid import RFC_4122, UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops.db import uuid7 as module
from mlops.db.uuid7 import (
    LATEST,
    LATEST_MS,
    encode,
    fact_id,
    fact_ids,
    floor,
    milliseconds,
    uuid7,
    uuid7_time,
)

RUN = UUID("0190b6a4-5c00-7abc-8def-0123456789ab")
NOON = datetime(2026, 11, 21, 12, 0, 0, 123_456, tzinfo=UTC)

parts = (
    st.text()
    | st.binary()
    | st.integers()
    | st.floats()
    | st.uuids()
    | st.none()
    | st.sampled_from([0, 1, "1", b"1", 1.0, "", b"", 0.0, -0.0])
)
keys = st.lists(parts, max_size=4)
facts = st.lists(
    st.tuples(
        st.sampled_from(["loss", "accuracy", ""]) | st.text(),
        st.integers(min_value=-(2**70), max_value=2**70),
        st.integers(min_value=-(2**70), max_value=2**70),
        st.floats(),
    )
)


def test_uuid7_has_version_variant_and_the_present_time():
    before = milliseconds(datetime.now(UTC))
    made = uuid7()
    after = milliseconds(datetime.now(UTC))
    assert (made.version, made.variant) == (7, RFC_4122)
    assert before <= made.int >> 80 <= after


def test_uuid7_rises_with_every_call():
    made = [uuid7() for _ in range(20_000)]
    assert all(before < after for before, after in pairwise(made))


def test_uuid7_rises_when_the_clock_is_set_back(monkeypatch):
    before = uuid7()
    monkeypatch.setattr(module.time, "time_ns", lambda: 1_000_000_000)
    assert before < uuid7() < uuid7()


def test_uuid7_is_unique_among_threads():
    made: list[list[UUID]] = [[] for _ in range(4)]

    def make(mine: list[UUID]) -> None:
        mine.extend(uuid7() for _ in range(5_000))

    threads = [threading.Thread(target=make, args=[mine]) for mine in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({each for mine in made for each in mine}) == 20_000
    assert all(mine == sorted(mine) for mine in made)


def test_uuid7_works_in_a_child_forked_while_the_lock_was_held():
    reader, writer = os.pipe()
    with module._lock:
        child = os.fork()
        if child == 0:
            signal.alarm(10)
            os.write(writer, uuid7().bytes)
            os._exit(0)
    _, status = os.waitpid(child, 0)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        told = UUID(bytes=pipe.read())
    assert status == 0
    assert told != uuid7()


def test_ids_behave_like_any_other_uuid():
    made = uuid7()
    same = UUID(int=made.int)
    assert made == same
    assert hash(made) == hash(same)
    assert repr(made) == repr(same)
    assert made.is_safe == same.is_safe
    assert pickle.loads(pickle.dumps(made)) == made


VECTORS = [
    (
        "a metric",
        (1_700_000_000_123, RUN, "loss", 1_700_000_000_123, 7, 0.25),
        "018bcfe5-687b-7909-bdaa-7f593d406d29",
    ),
    (
        "not a number",
        (1_700_000_000_123, RUN, "loss", 1_700_000_000_123, 7, float("nan")),
        "018bcfe5-687b-79b1-ac53-e2f69d4ab1a8",
    ),
    (
        "a point",
        (1_700_000_000_123, RUN, "psi", "", 1_700_000_000_123_456, None),
        "018bcfe5-687b-7ce8-909e-bd1d74f969bf",
    ),
    ("no key", (0,), "00000000-0000-7fa1-98fc-fd719046d762"),
    (
        "bytes and a large number",
        (LATEST_MS, b"\x00\xff", -(2**80)),
        "ffffffff-ffff-7d75-8b2d-79d150bfa0fc",
    ),
]


@pytest.mark.parametrize("_case,arguments,expected", VECTORS)
def test_fact_id_keeps_its_recipe(_case, arguments, expected):
    assert str(fact_id(*arguments)) == expected


def test_fact_id_has_version_variant_and_the_time_of_the_fact():
    made = fact_id(milliseconds(NOON), RUN, "loss")
    assert (made.version, made.variant) == (7, RFC_4122)
    assert uuid7_time(made) == NOON.replace(microsecond=123_000)


@pytest.mark.parametrize(
    "one,other",
    [
        (("ab", "c"), ("a", "bc")),
        (("a",), ("a", "")),
        (("a",), (b"a",)),
        ((1,), (1.0,)),
        ((1,), ("1",)),
        ((2**63 - 1,), (2**63,)),
        ((None,), ("",)),
        ((None,), ()),
        ((0.0,), (-0.0,)),
        ((float("inf"),), (float("-inf"),)),
        ((RUN,), (RUN.bytes,)),
        ((RUN,), (str(RUN),)),
        (("\ud800",), ("\udfff",)),
    ],
)
def test_fact_id_differs_when_any_part_of_the_key_does(one, other):
    assert fact_id(5, *one) != fact_id(5, *other)


def test_fact_id_is_one_for_every_kind_of_nan():
    quiet, negative, loaded = (
        struct.unpack(">d", bytes.fromhex(bits))[0]
        for bits in ("7ff8000000000000", "fff8000000000000", "7ff8000000000001")
    )
    assert fact_id(5, quiet) == fact_id(5, negative) == fact_id(5, loaded)


def test_fact_id_takes_members_of_an_enumeration_as_their_text():
    stage = StrEnum("Stage", {"PRODUCTION": "production"})
    assert fact_id(5, stage.PRODUCTION) == fact_id(5, "production")


def test_fact_id_refuses_what_it_cannot_encode():
    with pytest.raises(TypeError, match="cannot hold datetime"):
        fact_id(5, NOON)


@pytest.mark.parametrize(
    "moment_ms,kept",
    [(-1, 0), (-(10**30), 0), (2**48 - 1, LATEST_MS), (2**48, LATEST_MS)],
)
def test_fact_id_takes_the_nearest_time_when_it_is_out_of_range(moment_ms, kept):
    made = fact_id(moment_ms, moment_ms)
    assert made.int >> 80 == kept
    assert (made.version, made.variant) == (7, RFC_4122)


def test_hostile_times_stay_different_facts_when_the_key_holds_them():
    assert fact_id(2**63, 2**63) != fact_id(2**64, 2**64)


@given(keys, keys)
def test_encode_gives_two_keys_the_same_bytes_only_when_they_are_one(one, other):
    assert (encode(*one) == encode(*other)) == (plain(one) == plain(other))


def plain(key):
    """Spell out type and value, with every NaN as one; repr tells 0.0 from -0.0."""
    return [(type(part), repr(part)) for part in key]


@given(st.uuids(), facts)
def test_fact_ids_are_those_of_fact_id(parent, some):
    expected = [
        fact_id(moment_ms, parent, name, moment_ms, step, value).hex
        for name, moment_ms, step, value in some
    ]
    assert fact_ids(parent, some) == expected


def test_fact_ids_take_whole_numbers_as_the_floats_they_are_stored_as():
    assert fact_ids(RUN, [("loss", 5, 0, 1)]) == fact_ids(RUN, [("loss", 5, 0, 1.0)])


@given(
    st.datetimes(
        min_value=datetime(1970, 1, 1), timezones=st.just(UTC), allow_imaginary=False
    )
)
def test_floor_is_the_least_of_its_millisecond(moment):
    bound = floor(moment)
    begin = moment.replace(microsecond=moment.microsecond // 1000 * 1000)
    assert uuid7_time(bound) == begin
    assert bound <= fact_id(milliseconds(moment), "anything")
    assert (
        fact_id(milliseconds(moment) - 1, "anything") < bound or begin == module.EPOCH
    )


def test_floor_is_nothing_but_the_time():
    assert str(floor(NOON)) == "01a1fdfa-467b-0000-0000-000000000000"


def test_floor_reads_other_time_zones():
    elsewhere = NOON.astimezone(timezone(timedelta(hours=5, minutes=45)))
    assert floor(elsewhere) == floor(NOON)


def test_floor_of_a_moment_before_1970_is_the_least_of_all():
    assert floor(datetime(1969, 12, 31, tzinfo=UTC)) == UUID(int=0)


def test_milliseconds_refuse_a_moment_without_time_zone():
    with pytest.raises(ValueError, match="has no time zone"):
        milliseconds(datetime(2026, 11, 21))


def test_uuid7_time_ends_with_the_calendar():
    assert uuid7_time(fact_id(LATEST_MS)) == LATEST
