"""The only HTTP calls that leave this process: short, small, straight to one address.

https, or plain http to this very machine where the profile is local. No redirects, no
proxies from the environment, nothing unpacked. A name is looked up once, and the
connection goes to an address of that answer: every one of them, and in the end the
peer itself, is checked before a byte is sent, so a name whose next answer is another
leads nowhere new.
"""

from __future__ import annotations

import logging
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from ipaddress import ip_address
from queue import Empty, SimpleQueue
from threading import Thread, Timer
from urllib.parse import SplitResult, urlsplit

import orjson
from django.conf import settings

from mlops.errors import InvalidInput, Unavailable
from mlops.reach import PUBLIC, Address, Reach, checked_host

logger = logging.getLogger(__name__)

SECONDS = 10
LOOK_UP_SECONDS = 5
MOST_BYTES = 64 * 1024
OK = 200
PORTS = {"https": 443, "http": 80}

# Returns the addresses that a name leads to, or raises OSError.
Resolve = Callable[[str], Iterable[str]]


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


@dataclass(frozen=True, slots=True)
class Target:
    """A URL that passed the checks of its text; `address` where it names one."""

    parts: SplitResult
    host: str
    port: int
    address: Address | None

    @property
    def origin(self) -> str:
        return f"{self.parts.scheme}://{self.parts.netloc}"

    @property
    def path(self) -> str:
        query = f"?{self.parts.query}" if self.parts.query else ""
        return (self.parts.path or "/") + query


def checked_url(url: str, reach: Reach = PUBLIC) -> Target:
    """Raises InvalidInput for an address that nothing is sent to; looks nothing up.

    For whoever saves a URL. What a name leads to is seen when something is sent.
    """
    # urlsplit passes over tabs and line ends, and browsers read a backslash as a slash.
    if not url.isascii() or not url.isprintable() or set(url) & set(' \\"<>^`{|}'):
        raise InvalidInput(f"url={url[:200]!r}: use printable ASCII without blanks.")
    try:
        parts = urlsplit(url)
        port = parts.port if parts.port is not None else PORTS.get(parts.scheme, 0)
    except ValueError:
        raise InvalidInput(f"url={url[:200]!r} is no URL.") from None
    if parts.scheme not in PORTS or not parts.hostname:
        raise InvalidInput(f"url={url[:200]!r}: use https://<host>/….")
    if parts.username is not None or parts.password is not None or "#" in url:
        raise InvalidInput(f"url={url[:200]!r}: no user name, password or fragment.")
    try:
        address = checked_host(parts.hostname, reach)
    except InvalidInput as error:
        raise InvalidInput(f"url={url[:200]!r}: {error.message}") from None
    if parts.scheme == "http" and not _may_be_plain(address):
        raise InvalidInput(f"url={url[:200]!r}: use https://<host>/….")
    if not reach.allows_port(port):
        raise InvalidInput(f"url={url[:200]!r}: nothing is sent to port {port}.")
    return Target(parts, parts.hostname, port, address)


def _may_be_plain(address: Address | None) -> bool:
    return not settings.PRODUCTION and address is not None and address.is_loopback


def addresses_of(host: str) -> list[str]:
    """Ask the system; each address once, in its order of preference."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def send(
    method: str,
    url: str,
    *,
    headers: Mapping[str, str] | None = None,
    body: bytes = b"",
    seconds: float = SECONDS,
    reach: Reach = PUBLIC,
    resolve: Resolve = addresses_of,
) -> Answer:
    """Raises InvalidInput for a bad address, Unavailable for whatever goes wrong.

    Looking up the name is not counted in `seconds`; it may take LOOK_UP_SECONDS.
    """
    target = checked_url(url, reach)
    try:
        addresses = _looked_up(target, reach, resolve)
        with _ending(seconds) as end:
            connection = _connect(target, addresses, reach, end)
            connection.request(method, target.path, body or None, dict(headers or {}))
            response = connection.getresponse()
            read = response.read(MOST_BYTES + 1)
    except (OSError, HTTPException) as error:
        raise Unavailable(
            f"{target.origin} cannot be reached: {_reason(error)}."
        ) from error
    if end.is_over:
        raise Unavailable(f"{target.origin} took more than {seconds} seconds.")
    if len(read) > MOST_BYTES:
        raise Unavailable(
            f"{target.origin} answered with more than {MOST_BYTES} bytes."
        )
    return Answer(response.status, read, target.origin)


def _looked_up(target: Target, reach: Reach, resolve: Resolve) -> list[Address]:
    """Raises InvalidInput when any of the addresses is out of reach."""
    if target.address is not None:
        return [target.address]
    found = [ip_address(each) for each in _in_time(resolve, target)]
    for address in found:
        _demand(address, reach, target)
    return found


def _in_time(resolve: Resolve, target: Target) -> list[str]:
    """The system's look-up has no time limit of its own."""
    answers: SimpleQueue[list[str] | OSError] = SimpleQueue()

    def ask() -> None:
        try:
            answers.put(list(resolve(target.host)))
        except OSError as error:
            answers.put(error)

    Thread(target=ask, daemon=True).start()
    try:
        answer = answers.get(timeout=LOOK_UP_SECONDS)
    except Empty:
        raise TimeoutError("its name could not be looked up in time") from None
    if isinstance(answer, OSError):
        raise answer
    return answer


def _demand(address: Address, reach: Reach, target: Target) -> None:
    """The caller is not told the address: it would show what only we can look up."""
    if not reach.allows(address):
        logger.warning("%s leads to %s: nothing is sent", target.origin, address)
        raise InvalidInput(
            f"{target.origin} leads to an address that nothing is sent to."
        )


class _End:
    """Cuts the line when the time is over: a socket's own time-out begins anew with
    each byte that drips."""

    def __init__(self, seconds: float) -> None:
        self.at = time.monotonic() + seconds
        self.socket: socket.socket | None = None
        self.is_over = False

    @property
    def left(self) -> float:
        return max(self.at - time.monotonic(), 0.001)

    def cut(self) -> None:
        self.is_over = True
        if self.socket is not None:
            with suppress(OSError):
                self.socket.shutdown(socket.SHUT_RDWR)


@contextmanager
def _ending(seconds: float) -> Iterator[_End]:
    end = _End(seconds)
    timer = Timer(seconds, end.cut)
    timer.daemon = True
    timer.start()
    try:
        yield end
    finally:
        timer.cancel()
        if end.socket is not None:
            end.socket.close()


def _connect(
    target: Target, addresses: list[Address], reach: Reach, end: _End
) -> HTTPConnection:
    end.socket = _dial(addresses, target.port, end)
    _demand(ip_address(end.socket.getpeername()[0]), reach, target)
    connection = HTTPConnection(target.host, target.port)
    if target.parts.scheme == "https":
        context = ssl.create_default_context()
        end.socket = context.wrap_socket(
            end.socket, server_hostname=target.host, do_handshake_on_connect=False
        )
        end.socket.do_handshake()
        connection.default_port = PORTS["https"]  # else it stands in the Host header
    connection.sock = end.socket
    return connection


def _dial(addresses: list[Address], port: int, end: _End) -> socket.socket:
    failure = OSError("its name leads nowhere")
    for address in addresses:
        try:
            return socket.create_connection((str(address), port), timeout=end.left)
        except OSError as error:
            failure = error
    raise failure


def _reason(error: Exception) -> str:
    return type(error).__name__ if isinstance(error, HTTPException) else str(error)
