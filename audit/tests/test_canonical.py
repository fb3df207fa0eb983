from __future__ import annotations

import json

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.canonical import FIELDS, canonical_json, canonical_moment, framed, leaf_of
from audit.models import AuditLog
from audit.sql.verifying import Period, entries
from audit.tests.trail import run
from tenants.tests.factories import OrganizationFactory

# What jsonb can hold: all of Unicode but NUL and lone surrogates.
TEXTS = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]))
NUMBERS = st.one_of(
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["1.10", "0.000", "-0", "-0.0", "1e400", "1.5e-30", "12e3", "100"]),
)


def number_text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def documents() -> st.SearchStrategy[str]:
    """Texts of JSON documents, which keep how a number was written."""
    scalars = st.one_of(
        st.sampled_from(["null", "true", "false"]),
        NUMBERS.map(number_text),
        TEXTS.map(json.dumps),
    )
    return st.recursive(
        scalars,
        lambda inner: st.one_of(
            st.lists(inner, max_size=4).map(lambda parts: f"[{','.join(parts)}]"),
            st.dictionaries(TEXTS, inner, max_size=5).map(
                lambda pairs: (
                    "{"
                    + ",".join(f"{json.dumps(k)}:{v}" for k, v in pairs.items())
                    + "}"
                )
            ),
        ),
        max_leaves=12,
    )


def stored(text: str) -> bytes:
    """The text that PostgreSQL has for a document."""
    ((written,),) = run("SELECT (%s::jsonb)::text", text)
    return written.encode()


@pytest.mark.django_db
@settings(
    max_examples=300,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(documents())
def test_json_is_written_as_the_database_writes_it(text):
    written = stored(text)
    assert canonical_json(written) == written
    assert canonical_json(text_without_blanks(written)) == written


def text_without_blanks(written: bytes) -> bytes:
    """The same document in the spelling of another server, with its keys reversed."""

    def reversed_keys(pairs):
        return dict(reversed(pairs))

    found = json.loads(
        written, object_pairs_hook=reversed_keys, parse_float=Digits, parse_int=Digits
    )
    return spelled(found).encode()


class Digits(str):
    pass


def spelled(value: object) -> str:
    if isinstance(value, Digits):
        return str(value)
    if isinstance(value, dict):
        pairs = (f"{json.dumps(k)}:{spelled(v)}" for k, v in value.items())
        return "{" + ",".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(spelled, value)) + "]"
    return json.dumps(value)


@pytest.mark.parametrize("depth", [10, 3000])
def test_json_is_written_however_deep_it_is(depth):
    inner = b'{"b": [1.10, "\\u0007\xc3\xbc"], "a": "x"}'
    text = b'{"k": [' * depth + inner + b"]}" * depth
    expected = b'{"k": [' * depth
    expected += b'{"a": "x", "b": [1.10, "\\u0007\xc3\xbc"]}' + b"]}" * depth
    assert canonical_json(text) == expected


MOMENTS = [
    (b"2026-11-22 13:44:57.123456+00", b"2026-11-22T13:44:57.123456Z"),
    (b"2026-11-22 13:44:57.12+00", b"2026-11-22T13:44:57.120000Z"),
    (b"2026-11-22 13:44:57+00", b"2026-11-22T13:44:57.000000Z"),
    (b"infinity", b"infinity"),
]


@pytest.mark.parametrize("text,expected", MOMENTS)
def test_moment_is_written_with_all_its_digits(text, expected):
    assert canonical_moment(text) == expected


def test_null_is_not_the_empty_text():
    assert framed([None, b"a"]) != framed([b"", b"a"])
    assert framed([b"ab", b""]) != framed([b"a", b"b"])


def test_every_column_is_sealed():
    assert [field.column for field in AuditLog._meta.concrete_fields] == list(FIELDS)


@pytest.mark.django_db
@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    texts=st.lists(TEXTS.map(lambda text: text[:40]), min_size=3, max_size=3),
    before=st.none() | documents(),
    after=st.none() | documents(),
    micros=st.integers(0, 999_999),
)
def test_leaf_is_what_the_database_computes(texts, before, after, micros):
    organization = OrganizationFactory()
    run(
        "INSERT INTO audit_logs SELECT (jsonb_populate_record(l, jsonb_build_object("
        " 'id', uuid7_at(now()), 'actor_label', %s::text, 'route', %s::text,"
        " 'reason', %s::text, 'created_at',"
        " date_trunc('second', now()) + %s * interval '1 microsecond',"
        " 'before', %s::jsonb, 'after', %s::jsonb))).* FROM audit_logs l LIMIT 1",
        *texts,
        micros,
        before,
        after,
    )
    run("SELECT set_config('timezone', 'UTC', true)")
    own = [leaf_of(row) for row in rows(organization.pk, fast=False)]
    theirs = [row[1] for row in rows(organization.pk, fast=True)]
    assert own == theirs
    assert len(own) >= 1


def rows(organization, *, fast):
    return list(entries(connection, organization, Period(), fast=fast))
