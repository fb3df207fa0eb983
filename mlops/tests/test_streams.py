from __future__ import annotations

import base64
import hashlib
import io

import pytest
from django.test import RequestFactory

from mlops.errors import InvalidInput, TooLarge
from mlops.streams import (
    OTHER,
    TEXT,
    Download,
    Span,
    digest_header,
    download_response,
    span_of,
    type_of,
    upload_of,
)

CONTENT = bytes(range(256)) * 4
SHA256 = hashlib.sha256(CONTENT).hexdigest()
ETAG = f'"{SHA256}"'


# Uploads


def uploaded(content: bytes = CONTENT, **environ):
    request = RequestFactory().generic("PUT", "/", content, **environ)
    return upload_of(request, max_bytes=2000)


def chunked(content: bytes, **environ):
    given = {"wsgi.input": io.BytesIO(content), "HTTP_TRANSFER_ENCODING": "chunked"}
    return uploaded(b"", CONTENT_LENGTH="", **{**given, **environ})


def digest(content: bytes) -> str:
    encoded = base64.b64encode(hashlib.sha256(content).digest()).decode()
    return f"sha-512=:{'A' * 86}==:, sha-256=:{encoded}:"


def test_a_body_with_a_length_is_read_piece_by_piece():
    upload = uploaded()
    assert (upload.size_bytes, upload.sha256) == (len(CONTENT), None)
    assert upload.source.read(1000) + upload.source.read(1000) == CONTENT
    assert upload.source.read(1000) == b""


def test_an_announced_digest_is_read():
    assert uploaded(HTTP_CONTENT_DIGEST=digest(CONTENT)).sha256 == SHA256
    assert uploaded(HTTP_CONTENT_DIGEST="md5=:AAAA:").sha256 is None


def test_an_announced_body_that_is_too_large_is_not_read():
    with pytest.raises(TooLarge, match="at most 2000 bytes"):
        uploaded(b"x" * 2001)


def test_a_body_without_a_length_may_be_empty():
    upload = chunked(b"")
    assert upload.size_bytes is None
    assert upload.source.read(10) == b""


def test_a_body_without_a_length_needs_a_digest():
    with pytest.raises(InvalidInput, match="Send Content-Length, or Content-Digest"):
        chunked(CONTENT).source.read(10)
    upload = chunked(CONTENT, HTTP_CONTENT_DIGEST=digest(CONTENT))
    assert upload.sha256 == SHA256
    assert upload.source.read(2000) == CONTENT


def test_a_body_that_breaks_off_is_the_sender_s_fault():
    class Broken(io.BytesIO):
        def read(self, *args):
            raise ConnectionResetError

    for upload in (
        uploaded(**{"wsgi.input": Broken()}),
        chunked(b"", **{"wsgi.input": Broken()}),
    ):
        with pytest.raises(InvalidInput, match="broke off"):
            upload.source.read(10)


def test_an_encoded_body_is_refused():
    with pytest.raises(InvalidInput, match="Content-Encoding"):
        uploaded(HTTP_CONTENT_ENCODING="gzip")


# Downloads


def download(method: str = "GET", name: str = "model.bin", **headers):
    request = RequestFactory().generic(method, "/", headers=headers)

    def read(start: int, length: int):
        yield CONTENT[start : start + length]

    return download_response(request, Download(name, len(CONTENT), SHA256, read))


def test_a_download_is_whole_and_harmless():
    response = download()
    assert response.streaming
    assert b"".join(response) == CONTENT
    assert response.headers == {
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Disposition": 'attachment; filename="model.bin"',
        "Content-Length": str(len(CONTENT)),
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Content-Type": "application/octet-stream",
        "Cross-Origin-Resource-Policy": "same-origin",
        "ETag": ETAG,
        "Repr-Digest": digest_header(SHA256),
        "Vary": "Authorization, Cookie",
        "X-Content-Type-Options": "nosniff",
    }


def test_head_says_the_same_and_sends_nothing():
    head, get = download("HEAD"), download("GET")
    assert head.headers == get.headers
    assert head.content == b""


SPANS = [
    ("", (0, 1000, False)),
    ("bytes=0-0", (0, 1, True)),
    ("bytes=0-999", (0, 1000, True)),
    ("bytes=0-", (0, 1000, True)),
    ("bytes=10-19", (10, 10, True)),
    ("bytes=990-2000", (990, 10, True)),
    ("bytes=999-", (999, 1, True)),
    ("bytes=-1", (999, 1, True)),
    ("bytes=-2000", (0, 1000, True)),
    ("bytes=1000-", None),
    ("bytes=1000-1001", None),
    ("bytes=-0", None),
    # Not asked for, or not in a way that we serve: the whole.
    ("bytes=-", (0, 1000, False)),
    ("bytes=5-4", (0, 1000, False)),
    ("bytes=0-1,5-6", (0, 1000, False)),
    ("bytes=0-0 ", (0, 1000, False)),
    ("bytes= 0-0", (0, 1000, False)),
    ("bytes=+1-2", (0, 1000, False)),
    ("bytes=１-２", (0, 1000, False)),
    ("bytes=1-" + "9" * 30, (0, 1000, False)),
    ("items=0-1", (0, 1000, False)),
    ("nonsense", (0, 1000, False)),
]


@pytest.mark.parametrize("asked,expected", SPANS)
def test_a_range_is_read(asked, expected):
    span = span_of(asked, 1000)
    assert span == (Span(*expected) if expected else None)


@pytest.mark.parametrize("asked", ["bytes=0-", "bytes=0-0", "bytes=-1"])
def test_nothing_of_an_empty_file_lies_in_a_range(asked):
    assert span_of(asked, 0) is None


def test_a_part_is_sent_as_a_part():
    response = download(range="bytes=10-19")
    assert response.status_code == 206
    assert b"".join(response) == CONTENT[10:20]
    assert response["Content-Length"] == "10"
    assert response["Content-Range"] == f"bytes 10-19/{len(CONTENT)}"


def test_a_part_beyond_the_end_is_refused():
    response = download(range="bytes=5000-")
    assert (response.status_code, response.content) == (416, b"")
    assert response["Content-Range"] == f"bytes */{len(CONTENT)}"


def test_a_part_of_another_state_of_the_file_becomes_the_whole():
    assert download(range="bytes=0-9", **{"if-range": ETAG}).status_code == 206
    assert download(range="bytes=0-9", **{"if-range": '"old"'}).status_code == 200


def test_what_the_receiver_has_is_not_sent_again():
    response = download(**{"if-none-match": ETAG})
    assert (response.status_code, response.content) == (304, b"")
    assert response["ETag"] == ETAG
    assert download(**{"if-none-match": '"other"'}).status_code == 200
    assert download(**{"if-match": '"other"'}).status_code == 412


@pytest.mark.parametrize(
    "name,expected",
    [
        ("a.json", TEXT),
        ("a.py", TEXT),
        ("a.JS", TEXT),
        ("conda.yaml", TEXT),
        ("MLmodel", TEXT),
        ("MLproject", TEXT),
        ("a.xml", TEXT),
        ("a.html", "text/html; charset=utf-8"),
        ("a.svg", "image/svg+xml"),
        ("a.PNG", "image/png"),
        ("a.pdf", "application/pdf"),
        ("a.xhtml", OTHER),
        ("a.html.gz", OTHER),
        ("a.pkl", OTHER),
        ("a.swf", OTHER),
        ("noending", OTHER),
        ("html ", OTHER),
        ("a.", OTHER),
    ],
)
def test_the_type_comes_from_a_fixed_list(name, expected):
    assert type_of(name) == expected


@pytest.mark.parametrize(
    "name,expected",
    [
        ("a b.txt", 'attachment; filename="a b.txt"'),
        ('say "hi".txt', 'attachment; filename="say \\"hi\\".txt"'),
        (";filename=evil.html", 'attachment; filename=";filename=evil.html"'),
        ("naïve.txt", "attachment; filename*=utf-8''na%C3%AFve.txt"),
        ("😀.png", "attachment; filename*=utf-8''%F0%9F%98%80.png"),
        ("\u202egnp.exe", "attachment; filename*=utf-8''%E2%80%AEgnp.exe"),
        ("a\r\nX: y", "attachment; filename*=utf-8''a%0D%0AX%3A%20y"),
    ],
)
def test_a_name_never_leaves_its_header(name, expected):
    assert download(name=name)["Content-Disposition"] == expected
