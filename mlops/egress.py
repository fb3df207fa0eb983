"""The only HTTP calls that leave this process: short, small, straight to one address.

https, or plain http to this very machine where the profile is local. No redirects, no
proxies from the environment, nothing unpacked.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from threading import Timer
from urllib.parse import SplitResult, urlsplit

import orjson
from django.conf import settings

from mlops.errors import InvalidInput, Unavailable

SECONDS = 10
MOST_BYTES = 64 * 1024
LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})
OK = 200


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    body: bytes
    origin: str

    def json(self) -> dict[str, object]:
        """Raises Unavailable unless it is 200 and a JSON object."""
        if self.status != OK:
            raise Unavailable(f"{self.origin} answered {self.status} instead of 200.")
        try:
            read = orjson.loads(self.body)
        except orjson.JSONDecodeError:
            raise Unavailable(f"{self.origin} did not answer in JSON.") from None
        if not isinstance(read, dict):
            raise Unavailable(f"{self.origin} did not answer with an object.")
        return read


def checked_url(url: str) -> SplitResult:
    """Raises InvalidInput for an address that nothing is sent to."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    plain = parts.scheme == "http" and host in LOOPBACK and not settings.PRODUCTION
    if not host or not (parts.scheme == "https" or plain):
        raise InvalidInput(f"url={url[:200]!r}: use https://<host>/….")
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise InvalidInput(f"url={url[:200]!r}: no user name, password or fragment.")
    return parts


def send(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    seconds: float = SECONDS,
) -> Answer:
    """Raises InvalidInput for a bad address, Unavailable for whatever goes wrong.

    Looking up the name is not counted in `seconds`.
    """
    parts = checked_url(url)
    origin = f"{parts.scheme}://{parts.netloc}"
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection = _connection(parts, seconds)
    try:
        with _ending(connection, seconds) as ended:
            connection.connect()
            ended.socket = connection.sock
            connection.request(method, target, body or None, dict(headers or {}))
            response = connection.getresponse()
            read = response.read(MOST_BYTES + 1)
    except (OSError, HTTPException) as error:
        raise Unavailable(f"{origin} cannot be reached: {_reason(error)}.") from error
    if ended.is_over:
        raise Unavailable(f"{origin} took more than {seconds} seconds.")
    if len(read) > MOST_BYTES:
        raise Unavailable(f"{origin} answered with more than {MOST_BYTES} bytes.")
    return Answer(response.status, read, origin)


def _connection(parts: SplitResult, seconds: float) -> HTTPConnection:
    host = parts.hostname or ""
    if parts.scheme == "http":
        return HTTPConnection(host, parts.port, timeout=seconds)
    context = ssl.create_default_context()
    return HTTPSConnection(host, parts.port, timeout=seconds, context=context)


class _End:
    """Cuts the line when the time is over: a socket's own time-out begins anew with
    each byte that drips."""

    def __init__(self, connection: HTTPConnection) -> None:
        self.connection = connection
        # The connection forgets it once the answer has begun.
        self.socket: socket.socket | None = None
        self.is_over = False

    def cut(self) -> None:
        self.is_over = True
        open_socket = self.socket or self.connection.sock
        if open_socket is not None:
            with suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)


@contextmanager
def _ending(connection: HTTPConnection, seconds: float) -> Iterator[_End]:
    end = _End(connection)
    timer = Timer(seconds, end.cut)
    timer.daemon = True
    timer.start()
    try:
        yield end
    finally:
        timer.cancel()
        connection.close()


def _reason(error: Exception) -> str:
    return type(error).__name__ if isinstance(error, HTTPException) else str(error)
