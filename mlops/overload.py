"""What stands before Django: only as many requests at once as can be worked on.

The server gives each connection a thread, so one that waits costs little. Here it waits
for its own body first, then in a short line for a slot; whoever cannot have one soon is
told so by 429 before any work. Transfers, whose time is their sender's, take no slot.
"""

from __future__ import annotations

import io
import logging
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

from django.conf import settings
from django.utils.module_loading import import_string

from mlops.errors import DomainError, InvalidInput, TooManyRequests

logger = logging.getLogger(__name__)

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]
# How the error looks to whoever asked: status line, headers, body.
Refusal = Callable[[Environ, DomainError], tuple[str, list[tuple[str, str]], bytes]]

HEALTH = "/health/"
# A body this small comes with its head; of larger ones only so many are held at once.
SMALL_BYTES = 64 * 1024
# What no route of ours reads in one piece is left for Django to refuse.
MOST_BYTES = 16 * 1024**2
BUSY = "The server is busy: send the request again after a second."
QUIET_SECONDS = 10
# Waiting costs a transfer nothing but a thread; being refused, all that was sent.
TURN_SECONDS = 10


class Slots:
    """So many at once; those who come later wait in line, in order and not for long."""

    def __init__(self, count: int, *, line: int = 0, patience: float = 0) -> None:
        self.free = count
        self.patience = patience
        self._longest = line
        self._line: deque[threading.Lock] = deque()
        self._lock = threading.Lock()

    def take(self) -> bool:
        """False when the line is full, or has not moved up within `patience`."""
        with self._lock:
            if self.free > 0:
                self.free -= 1
                return True
            if len(self._line) >= self._longest:
                return False
            turn = threading.Lock()
            turn.acquire()
            self._line.append(turn)
        return turn.acquire(timeout=self.patience) or not self._leaves(turn)

    def _leaves(self, turn: threading.Lock) -> bool:
        """False when the slot was handed over at the last moment."""
        with self._lock:
            if turn in self._line:
                self._line.remove(turn)
                return True
        return False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Raises TooManyRequests when none can be had."""
        if not self.take():
            raise TooManyRequests(BUSY)
        try:
            yield
        finally:
            self.give_back()

    def give_back(self) -> None:
        """Hand the slot to the first in line, so that nobody overtakes."""
        with self._lock:
            if self._line:
                self._line.popleft().release()
            else:
                self.free += 1


class Room:
    """So many bytes at once."""

    def __init__(self, size: int) -> None:
        self.free = size
        self._lock = threading.Lock()

    def take(self, size: int) -> bool:
        with self._lock:
            if size > self.free:
                return False
            self.free -= size
            return True

    def give_back(self, size: int) -> None:
        with self._lock:
            self.free += size


class Source(Protocol):
    def read(self, size: int = -1, /) -> bytes: ...


@dataclass
class Work:
    """Since when each thread has been at work, and not waiting for its client."""

    since: dict[int, float] = field(default_factory=dict)

    def begin(self) -> None:
        self.since[threading.get_ident()] = time.monotonic()

    def end(self) -> None:
        self.since.pop(threading.get_ident(), None)


class Incoming(io.RawIOBase):
    """A body whose reader is not at work while it waits for the sender."""

    def __init__(self, source: Source, work: Work) -> None:
        self._source = source
        self._work = work

    def read(self, size: int | None = -1) -> bytes:
        self._work.end()
        try:
            if size is None or size < 0:
                # The server's own read takes no -1 (granian 2.8).
                return self._source.read()
            return self._source.read(size)
        finally:
            self._work.begin()


class Outgoing:
    """The pieces of an answer; when they are out or given up, `done` is called once."""

    def __init__(
        self, answer: Iterable[bytes], work: Work, done: Callable[[], None]
    ) -> None:
        self._answer = answer
        self._pieces = iter(answer)
        self._work = work
        self._done: Callable[[], None] | None = done

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        self._work.begin()
        try:
            return next(self._pieces)
        finally:
            self._work.end()

    def close(self) -> None:
        done, self._done = self._done, None
        if done is None:
            return
        try:
            getattr(self._answer, "close", nothing)()
        finally:
            done()


def nothing() -> None:
    """What is done when there is nothing to do."""


@dataclass
class Gate:
    """Serve as the WSGI application in front of `application`.

    `transfers` matches the paths whose bodies and answers are of any size.
    """

    application: Application
    refusal: Refusal
    transfers: re.Pattern[str]
    slots: Slots
    transfer_slots: Slots
    room: Room
    work: Work = field(default_factory=Work)
    _refused: int = field(default=0, init=False)
    _quiet_until: float = field(default=0, init=False)

    def __call__(
        self, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path.startswith(HEALTH):
            return whole(self.application(environ, start_response))
        try:
            if self.transfers.search(path):
                return self._transfer(environ, start_response)
            return self._serve(environ, start_response)
        except TooManyRequests as error:
            self._tell()
            return self._refuse(environ, start_response, error)
        except InvalidInput as error:
            return self._refuse(environ, start_response, error)

    def _serve(
        self, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        held = self._receive(environ)
        try:
            if not self.slots.take():
                raise TooManyRequests(BUSY)
            try:
                return self._answer(environ, start_response)
            finally:
                self.slots.give_back()
        finally:
            if held:
                self.room.give_back(held)

    def _receive(self, environ: Environ) -> int:
        """Read the body while no slot is held; return the bytes of room it takes."""
        length = length_of(environ)
        if not 0 < length <= MOST_BYTES:
            return 0
        held = length if length > SMALL_BYTES else 0
        if held and not self.room.take(held):
            raise TooManyRequests(BUSY)
        try:
            body = environ["wsgi.input"].read(length)
            if len(body) < length:
                raise InvalidInput("The request body did not arrive in full.")
        except BaseException:
            self.room.give_back(held)
            raise
        environ["wsgi.input"] = io.BytesIO(body)
        return held

    def _answer(
        self, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        self.work.begin()
        try:
            answer = self.application(environ, start_response)
            if getattr(answer, "streaming", False):
                return Outgoing(answer, self.work, nothing)
            return whole(answer)
        finally:
            self.work.end()

    def _transfer(
        self, environ: Environ, start_response: StartResponse
    ) -> Iterable[bytes]:
        if not self.transfer_slots.take():
            raise TooManyRequests(BUSY)
        give_back = self.transfer_slots.give_back
        environ["wsgi.input"] = Incoming(environ["wsgi.input"], self.work)
        self.work.begin()
        try:
            answer = self.application(environ, start_response)
            if getattr(answer, "streaming", False):
                outgoing = Outgoing(answer, self.work, give_back)
                give_back = nothing
                return outgoing
            return whole(answer)
        finally:
            self.work.end()
            give_back()

    def _refuse(
        self, environ: Environ, start_response: StartResponse, error: DomainError
    ) -> list[bytes]:
        status, headers, body = self.refusal(environ, error)
        start_response(status, headers)
        return [body]

    def _tell(self) -> None:
        """Log how many were refused, seldom; a race loses no more than a count."""
        self._refused += 1
        now = time.monotonic()
        if now > self._quiet_until:
            self._quiet_until = now + QUIET_SECONDS
            refused, self._refused = self._refused, 0
            logger.warning("Overloaded: %s requests refused with 429.", refused)


def gate_before(application: Application) -> Gate:
    """Make the gate of a web process as the settings say."""
    limits = settings.OVERLOAD
    return Gate(
        application,
        refusal=import_string(settings.EARLY_REFUSAL),
        transfers=re.compile(settings.TRANSFERS),
        slots=Slots(
            limits["slots"],
            line=limits["line"],
            patience=limits["patience_ms"] / 1000,
        ),
        transfer_slots=Slots(limits["transfers"]),
        room=Room(limits["body_bytes"]),
    )


def transfer_turns() -> Slots:
    """Make the slots in which transfers use the database, beside those of requests."""
    limits = settings.OVERLOAD
    left = settings.POOL["max_size"] - limits["slots"] - 1  # one for health
    return Slots(max(left, 1), line=limits["transfers"], patience=TURN_SECONDS)


def whole(answer: Iterable[bytes]) -> list[bytes]:
    """Take all of an answer, and close it: a list needs its thread no longer."""
    try:
        return [b"".join(answer)]
    finally:
        getattr(answer, "close", nothing)()


def length_of(environ: Environ) -> int:
    """What is no number is left for Django to refuse."""
    try:
        return int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return 0
