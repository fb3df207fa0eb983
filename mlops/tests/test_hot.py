from __future__ import annotations

import orjson
import pytest
from django.db import DataError, OperationalError, connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlops.db import hot
from mlops.db.retries import sqlstate_of


def test_a_statement_answers_with_bytes_as_they_stand(db):
    assert hot.fetch("SELECT %(a)s || 'ü'", {"a": "x"}) == "xü".encode()
    assert hot.fetch("SELECT NULL::text", {}) == b""


def test_a_statement_is_prepared_once(db):
    for number in range(3):
        hot.fetch("SELECT 'prepared ' || %(a)s", {"a": str(number)})
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*), sum(generic_plans + custom_plans)"
            " FROM pg_prepared_statements WHERE statement LIKE %s",
            ["SELECT 'prepared %"],
        )
        assert cursor.fetchone() == (1, 3)


def test_a_failed_statement_leaves_the_transaction_around_it_alone(db):
    with transaction.atomic():
        with pytest.raises(DataError):
            hot.fetch("SELECT (1 / 0)::text", {})
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
            assert cursor.fetchone() == (1,)


def test_a_statement_that_lost_is_tried_again(transactional_db):
    with connection.cursor() as cursor:
        cursor.execute("CREATE SEQUENCE tries")
        cursor.execute(
            "CREATE FUNCTION second_time() RETURNS text LANGUAGE plpgsql AS $$ BEGIN"
            " IF nextval('tries') < 2 THEN RAISE serialization_failure; END IF;"
            " RETURN 'done'; END $$"
        )
    try:
        assert hot.fetch("SELECT second_time()", {}) == b"done"
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION second_time(); DROP SEQUENCE tries")


def test_a_statement_that_always_loses_is_given_up(transactional_db):
    with connection.cursor() as cursor:
        cursor.execute(
            "CREATE FUNCTION never() RETURNS text LANGUAGE plpgsql AS $$ BEGIN"
            " RAISE serialization_failure; END $$"
        )
    try:
        with pytest.raises(OperationalError) as failure:
            hot.fetch("SELECT never()", {})
        assert sqlstate_of(failure.value) == "40001"
    finally:
        with connection.cursor() as cursor:
            cursor.execute("DROP FUNCTION never()")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
@given(
    integers=st.lists(st.integers(-(2**63), 2**63 - 1)),
    floats=st.lists(st.floats()),
    texts=st.lists(
        st.text(st.characters(exclude_categories=["Cs"])).map(
            lambda text: text.replace("\x00", "")
        )
    ),
    ids=st.lists(st.uuids()),
    flags=st.lists(st.booleans()),
)
def test_columns_arrive_as_they_were_packed(db, integers, floats, texts, ids, flags):
    answer = hot.fetch(
        "SELECT json_build_array(%(a)b, (SELECT array_agg(x::text) FROM unnest(%(b)b)"
        " AS x), %(c)b, %(d)b, %(e)b)::text",
        {
            "a": hot.Bigints(integers),
            "b": hot.Floats(floats),
            "c": hot.Texts(texts),
            "d": hot.Uuids([each.hex for each in ids]),
            "e": hot.Booleans(flags),
        },
    )
    found = orjson.loads(answer)
    assert found[0] == integers
    assert [float(each) for each in found[1] or []] == pytest.approx(
        floats, nan_ok=True, rel=0, abs=0
    )
    assert found[2:] == [texts, [str(each) for each in ids], flags]
