from __future__ import annotations

import io
import json
from types import SimpleNamespace

import orjson
import pytest
from django.test import RequestFactory
from hypothesis import given
from hypothesis import strategies as st
from rest_framework.request import Request

from mlops.api.parsing import (
    MAX_BODY_BYTES,
    MAX_DEPTH,
    LengthRequired,
    StrictJSONParser,
    UnsupportedContent,
    parse_json,
    read_body,
    read_query,
    refuse_nul_in,
)
from mlops.errors import InvalidInput, TooLarge

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"))
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=30,
)

HOSTILE = [
    ("nothing", b"", "zero-length"),
    ("NUL in a text", rb'{"name": "a\u0000b"}', "NUL"),
    ("NUL in a key", rb'{"a\u0000b": 1}', "NUL"),
    ("NUL deep inside", rb'{"a": [{"b": ["\u0000"]}]}', "NUL"),
    ("a raw NUL", b'{"name": "a\x00b"}', "not valid JSON"),
    ("a lone surrogate", rb'{"name": "\ud800"}', "not valid JSON"),
    ("a lone low surrogate", rb'{"name": "\udc00"}', "not valid JSON"),
    ("an infinite number", b'{"a": 1e400}', "not valid JSON"),
    ("a negative infinite number", b'{"a": -1e400}', "not valid JSON"),
    ("5,000 digits", b'{"a": ' + b"1" * 5000 + b"}", "not valid JSON"),
    ("NaN", b'{"a": NaN}', "not valid JSON"),
    ("Infinity", b'{"a": Infinity}', "not valid JSON"),
    ("-Infinity", b'{"a": -Infinity}', "not valid JSON"),
    ("100,000 brackets", b"[" * 100_000, "not valid JSON"),
    ("900 levels", b'{"a": ' + b"[" * 900 + b"]" * 900 + b"}", "deeper than 32"),
    ("900 objects", b'{"a":' * 900 + b"1" + b"}" * 900, "deeper than 32"),
    ("a key twice", b'{"a": 1, "a": 2}', "'a' appears twice"),
    ("a key twice, deep", b'{"b": [{"a": 1, "a": 1}]}', "'a' appears twice"),
    ("a key twice, spelled apart", rb'{"a": 1, "\u0061": 2}', "'a' appears twice"),
    ("a key twice, its value gone", b'{"a": {"b": ":"}, "a": 1}', "'a' appears twice"),
    ("a key twice, a colon", rb'{"a": 1, "a": 2, "u": "\u003a"}', "'a' appears twice"),
    ("a key twice beside colons", b'{"a": "x:y", "a": "z"}', "'a' appears twice"),
    ("an empty key twice", b'{"": 1, "": 2}', "'' appears twice"),
    ("a key twice, one deep", b'{"a":' + b"[" * 900 + b"]" * 900 + b',"a":1}', "tw|JS"),
    ("bad UTF-8", b'{"a": "\xff"}', "not valid JSON"),
    ("UTF-16", '{"a": "é"}'.encode("utf-16"), "not valid JSON"),
    ("a byte order mark", b"\xef\xbb\xbf{}", "not valid JSON"),
    ("a trailing comma", b'{"a": 1,}', "not valid JSON"),
    ("single quotes", b"{'a': 1}", "not valid JSON"),
    ("two values", b"{} {}", "not valid JSON"),
    ("a comment", b"/* */ {}", "not valid JSON"),
]


@pytest.mark.parametrize(
    "_case,body,message", HOSTILE, ids=[case for case, _, _ in HOSTILE]
)
def test_a_hostile_body_is_refused(_case, body, message):
    with pytest.raises(InvalidInput, match=message):
        parse_json(body)


CLEAN = [
    b"{}",
    b"[]",
    b"null",
    b'"text"',
    b"1.5",
    rb'{"a": "\\u0000"}',
    rb'{"a": "\\\\u0000 \\\\\\u0041"}',
    rb'{"a": "\ud83d\ude00"}',
    '{"å:ß": "日本:語", "b": ":"}'.encode(),
    b'{"a": ":", "b": {"c": "::", "d": [":", {"e": ":"}]}}',
    rb'{"a": "\":", "b": "\\\":"}',
    rb'{"a": "\u003a", "b": 1}',
    b'{"a" : 1 , "b"\n:\t2}',
    b'[{"a": 1}, {"a": 1}]',
    b'{"a": {"a": {"a": 1}}}',
    b'{"a": 18446744073709551616}',
    b"[" * MAX_DEPTH + b"]" * MAX_DEPTH,
]


@pytest.mark.parametrize("body", CLEAN)
def test_a_clean_body_is_read_as_it_stands(body):
    assert parse_json(body) == json.loads(body)


def test_one_level_more_than_allowed_is_refused():
    with pytest.raises(InvalidInput, match="deeper"):
        parse_json(b"[" * (MAX_DEPTH + 1) + b"]" * (MAX_DEPTH + 1))


@given(values)
def test_whatever_can_be_written_can_be_read(value):
    assert parse_json(json.dumps(value).encode()) == value
    assert parse_json(orjson.dumps(value)) == value


@given(texts, values, values)
def test_a_repeated_key_is_found_wherever_it_stands(key, first, second):
    written = orjson.dumps(key).decode()
    twice = (
        f"{{{written}: {orjson.dumps(first).decode()},"
        f" {written}: {orjson.dumps(second).decode()}}}"
    )
    with pytest.raises(InvalidInput, match="twice"):
        parse_json(f'[{{"other": [{twice}]}}]'.encode())


def test_many_keys_are_read_at_once():
    body = orjson.dumps({f"key:{i}": i for i in range(100_000)})
    assert len(parse_json(body)) == 100_000


def test_a_text_from_elsewhere_is_checked_for_nul():
    refuse_nul_in("fine")
    with pytest.raises(InvalidInput, match="NUL"):
        refuse_nul_in("a\x00b")


# Reading the body


def request_with(body: bytes, **headers):
    return RequestFactory().post(
        "/", data=body, content_type="application/json", **headers
    )


def test_a_body_is_read_up_to_its_limit():
    assert read_body(request_with(b"x" * 10), 10) == b"x" * 10


def test_a_body_over_its_limit_is_refused_before_it_is_read():
    request = request_with(b"x" * 11)
    with pytest.raises(TooLarge, match="11 bytes; send at most 10"):
        read_body(request, 10)
    assert not hasattr(request, "_body")


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "GZIP"])
def test_a_packed_body_is_refused(encoding):
    request = request_with(b"x", HTTP_CONTENT_ENCODING=encoding)
    with pytest.raises(UnsupportedContent, match=encoding) as refusal:
        read_body(request, 10)
    assert refusal.value.status == 415


def test_a_length_that_is_no_number_is_refused():
    request = request_with(b"x")
    request.META["CONTENT_LENGTH"] = "many"
    with pytest.raises(InvalidInput, match="Content-Length"):
        read_body(request, 10)


# DRF's door


def test_the_parser_of_rest_reads_json():
    assert StrictJSONParser().parse(io.BytesIO(b'{"a": [1]}')) == {"a": [1]}


def test_the_parser_of_rest_refuses_a_repeated_key():
    with pytest.raises(InvalidInput, match="twice"):
        StrictJSONParser().parse(io.BytesIO(b'{"a": 1, "a": 1}'))


def test_the_parser_of_rest_refuses_a_large_body():
    with pytest.raises(TooLarge, match=str(MAX_BODY_BYTES)):
        StrictJSONParser().parse(io.BytesIO(b'"' + b"x" * MAX_BODY_BYTES + b'"'))


def test_a_view_may_allow_a_larger_body():
    view = SimpleNamespace(max_body_bytes=3 * MAX_BODY_BYTES)
    body = b'"' + b"x" * MAX_BODY_BYTES + b'"'
    assert StrictJSONParser().parse(io.BytesIO(body), None, {"view": view})


def test_the_parser_of_rest_refuses_a_packed_body():
    request = request_with(b"{}", HTTP_CONTENT_ENCODING="gzip")
    with pytest.raises(UnsupportedContent):
        StrictJSONParser().parse(request, None, {"request": Request(request)})


def test_the_parser_of_rest_finds_the_body_again():
    """A transaction that lost against another one runs again, its reading included."""
    request = request_with(b'{"a": 1}')
    for _try in range(2):
        context = {"request": Request(request)}
        assert StrictJSONParser().parse(request, None, context) == {"a": 1}


@pytest.mark.parametrize("length", ["many", "-1", "1_0", "１", "1" * 19, "0x1", "1.0"])
def test_a_length_that_is_no_number_is_refused_whoever_asks(length):
    request = request_with(b"{}")
    request.META["CONTENT_LENGTH"] = length
    with pytest.raises(InvalidInput, match="Content-Length"):
        read_body(request, 10)


def test_a_body_in_pieces_is_refused_as_it_would_be_read_as_none():
    request = request_with(b"{}", HTTP_TRANSFER_ENCODING="chunked")
    with pytest.raises(LengthRequired) as refusal:
        read_body(request, 10)
    assert refusal.value.status == 411


# The query


def query_of(query: str):
    return RequestFactory().get("/", QUERY_STRING=query)


@pytest.mark.parametrize(
    "query,expected",
    [
        ("", {}),
        ("a=1&a=2", {"a": ["1", "2"]}),
        ("a=%C3%A9+b", {"a": ["é b"]}),
        ("a=%zz&b=%", {"a": ["%zz"], "b": ["%"]}),
        ("é=ü".encode().decode("latin-1"), {"é": ["ü"]}),
        ("a=%EF%BF%BD", {"a": ["\ufffd"]}),
    ],
)
def test_a_query_is_read_as_django_reads_it(query, expected):
    assert dict(read_query(query_of(query)).lists()) == expected


@pytest.mark.parametrize(
    "query,message",
    [
        ("a=%00", "NUL"),
        ("%00=a", "NUL"),
        ("a=%ff", "UTF-8"),
        ("a=\xff", "UTF-8"),
        ("a=%c0%ae", "UTF-8"),
        ("a=%ed%a0%80", "UTF-8"),
        ("a=%C3", "UTF-8"),
        ("&".join(f"a{n}=1" for n in range(1001)), "at most 1000 parameters"),
        ("&".join("a=1" for n in range(100_000)), "at most 1000 parameters"),
    ],
)
def test_a_hostile_query_is_refused(query, message):
    with pytest.raises(InvalidInput, match=message):
        read_query(query_of(query))
