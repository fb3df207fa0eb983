"""Bodies of any size in constant memory, and what a browser may do with a download."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    StreamingHttpResponse,
)
from django.utils.cache import get_conditional_response
from django.utils.http import content_disposition_header

from mlops.api.parsing import content_length
from mlops.errors import InvalidInput, TooLarge

DIGEST = re.compile(r"sha-256=:([A-Za-z0-9+/]{43}=):")
SHA256 = re.compile(r"[0-9a-fA-F]{64}")
RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")

TEXT = "text/plain; charset=utf-8"
OTHER = "application/octet-stream"
# The whole list: a type is never guessed from the content, nor asked of the system.
TYPES = dict.fromkeys(
    "cf cfg cnf conf css csv err geojson hocon ini ipynb js json log md mlmodel"
    " mlproject prop properties py py3 rst sh sql toml tsv txt xml yaml yml".split(),
    TEXT,
) | {
    "bmp": "image/bmp",
    "gif": "image/gif",
    "htm": "text/html; charset=utf-8",
    "html": "text/html; charset=utf-8",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "mp3": "audio/mpeg",
    "mp4": "video/mp4",
    "ogg": "audio/ogg",
    "pdf": "application/pdf",
    "png": "image/png",
    "svg": "image/svg+xml",
    "wav": "audio/wav",
    "webm": "video/webm",
    "webp": "image/webp",
}
# What somebody uploaded never runs in our origin, whatever it says it is.
HARMLESS = {
    "Accept-Ranges": "bytes",
    "Cache-Control": "private, no-cache",
    "Content-Security-Policy": "sandbox; default-src 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Vary": "Authorization, Cookie",
    "X-Content-Type-Options": "nosniff",
}


class Source(Protocol):
    """Anything that is read piece by piece: a request's body, an open file."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Upload:
    """A body that has not been read yet, and what its sender says of it."""

    source: Source
    size_bytes: int | None = None
    sha256: str | None = None


@dataclass(frozen=True, slots=True)
class Body:
    """A body whose sender may go away."""

    source: Source

    def read(self, size: int, /) -> bytes:
        try:
            return self.source.read(size)
        except OSError:
            raise InvalidInput("The body broke off.") from None


class EmptyBody(Body):
    """A body that may only be empty.

    Without a length the server (granian 2.8) reports that a body broke off in the same
    way as that it ended, so half a file could pass for a whole one.
    """

    def read(self, size: int, /) -> bytes:
        if super().read(size):
            raise InvalidInput(
                "Send Content-Length, or Content-Digest with the SHA-256 of the body: "
                "an upload that breaks off must not pass for a whole one."
            )
        return b""


def upload_of(
    request: HttpRequest, *, max_bytes: int, sha256: str | None = None
) -> Upload:
    """Raises TooLarge or InvalidInput by the headers alone; reads nothing.

    `sha256` is what the address says of the body, if it does.
    """
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise InvalidInput("Send the bytes as they are, without Content-Encoding.")
    sha256 = the_one_of(sha256, digest_of(request), checksum_of(request))
    if "chunked" in request.headers.get("Transfer-Encoding", "").lower():
        # Django takes a body without a length for an empty one.
        source = request.environ["wsgi.input"]  # type: ignore[attr-defined]
        return Upload(Body(source) if sha256 else EmptyBody(source), sha256=sha256)
    size_bytes = content_length(request.META)
    if size_bytes > max_bytes:
        raise TooLarge(f"A file may have at most {max_bytes} bytes.")
    return Upload(Body(request), size_bytes, sha256)


def digest_of(request: HttpRequest) -> str | None:
    """Read the SHA-256 of a Content-Digest header (RFC 9530), as hexadecimal."""
    found = DIGEST.search(request.headers.get("Content-Digest", ""))
    return base64.b64decode(found[1]).hex() if found else None


def checksum_of(request: HttpRequest) -> str | None:
    """Read the SHA-256 of X-Checksum-Sha256, as package clients send it."""
    return checked_sha256("X-Checksum-Sha256", request.headers.get("X-Checksum-Sha256"))


def checked_sha256(name: str, text: str | None) -> str | None:
    if text is None:
        return None
    if not SHA256.fullmatch(text):
        raise InvalidInput(
            f"{name}={text[:70]!r}: send the SHA-256 of the body as 64 hexadecimal"
            " digits."
        )
    return text.lower()


def the_one_of(*digests: str | None) -> str | None:
    """Raises InvalidInput when a body is said to have two different digests."""
    said = {digest for digest in digests if digest}
    if len(said) > 1:
        raise InvalidInput("The request says two different digests of its body.")
    return next(iter(said), None)


@dataclass(frozen=True, slots=True)
class Download:
    """What is to be sent; `read(start, length)` is asked when the bytes are wanted."""

    name: str
    size_bytes: int
    sha256: str
    read: Callable[[int, int], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class Span:
    """The part of a file that is sent."""

    start: int
    length: int
    is_partial: bool = True


def download_response(request: HttpRequest, download: Download) -> HttpResponseBase:
    """Answer GET and HEAD with the whole, one range of it, 304, 412 or 416."""
    etag = f'"{download.sha256}"'
    if answer := get_conditional_response(request, etag=etag):
        return _with_headers(answer, download)
    asked = request.headers.get("Range", "")
    if request.headers.get("If-Range", etag) != etag:
        asked = ""
    span = span_of(asked, download.size_bytes)
    if span is None:
        return _unsatisfiable(download)
    response = _body(request, download, span)
    response["Content-Length"] = str(span.length)
    if span.is_partial:
        response.status_code = 206
        last = span.start + span.length - 1
        response["Content-Range"] = f"bytes {span.start}-{last}/{download.size_bytes}"
    return _with_headers(response, download)


def span_of(asked: str, size_bytes: int) -> Span | None:
    """Return the part that a Range header asks for, None if there is no such part.

    Several ranges, other units and nonsense count as not asked: then it is the whole.
    """
    found = RANGE.fullmatch(asked)
    if not found or found[1] == found[2] == "":
        return Span(0, size_bytes, is_partial=False)
    last = size_bytes - 1
    if not found[1]:
        start = max(size_bytes - int(found[2]), 0)
    else:
        start = int(found[1])
        if found[2] and int(found[2]) < start:
            return Span(0, size_bytes, is_partial=False)
        last = min(last, int(found[2] or last))
    return Span(start, last - start + 1) if start <= last else None


def _unsatisfiable(download: Download) -> HttpResponse:
    response = HttpResponse(status=416)
    response["Content-Range"] = f"bytes */{download.size_bytes}"
    return response


def _body(request: HttpRequest, download: Download, span: Span) -> HttpResponseBase:
    if request.method == "HEAD":
        return HttpResponse()
    return StreamingHttpResponse(download.read(span.start, span.length))


def _with_headers(response: HttpResponseBase, download: Download) -> HttpResponseBase:
    for name, value in HARMLESS.items():
        response[name] = value
    response["ETag"] = f'"{download.sha256}"'
    response["Repr-Digest"] = digest_header(download.sha256)
    response["Content-Type"] = type_of(download.name)
    disposition = content_disposition_header(True, download.name)
    response["Content-Disposition"] = disposition or "attachment"
    return response


def digest_header(sha256: str) -> str:
    """Write the digest as RFC 9530 has it, of the whole whatever part is sent."""
    return f"sha-256=:{base64.b64encode(bytes.fromhex(sha256)).decode()}:"


def type_of(name: str) -> str:
    """Look the type up by the ending, or by the whole name of "MLmodel"."""
    ending = name.rpartition(".")[2].lower()
    return TYPES.get(ending, OTHER)
