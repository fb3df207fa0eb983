"""UUIDs whose order is time (RFC 9562, version 7): random for rows, derived for facts.

    48 bits milliseconds | 4 bits version | 12 bits | 2 bits variant | 62 bits

Of the 74 free bits a row's id spends 12 on the fraction of its millisecond and 62 on
chance. A fact's id fills them with a hash of what makes the fact itself, so the same
fact always gets the same id.
"""

from __future__ import annotations

import os
import struct
import threading
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import Any
from uuid import UUID, SafeUUID

Key = str | bytes | int | float | UUID | None

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
LATEST_MS = (1 << 48) - 1
LATEST = datetime.max.replace(tzinfo=UTC)

VERSION_AND_VARIANT = 0x7 << 76 | 0b10 << 62
FREE = (1 << 80) - 1 ^ (0xF << 76 | 0b11 << 62)
CHANCE = (1 << 62) - 1
DIGEST_BYTES = 10

_lock = threading.Lock()
_last_tick = 0


def uuid7() -> UUID:
    """Make the id of a new row; each call in a process gets a greater one.

    Ids of different processes are ordered by the clock, to about a quarter microsecond.
    """
    tick = _next_tick()
    chance = int.from_bytes(os.urandom(8), "big") & CHANCE
    head = tick >> 12 << 80 | (tick & 0xFFF) << 64
    return _uuid(head | VERSION_AND_VARIANT | chance)


def fact_id(moment_ms: int, *natural_key: Key) -> UUID:
    """Derive a fact's id from its own time and everything that tells it from others.

    Never raises on a hostile time: one outside 48 bits counts as the nearest inside,
    so put the unchanged time into `natural_key` where two times must stay two facts.
    An equal number of another type (1 and 1.0) is another key.
    """
    digest = blake2b(encode(*natural_key), digest_size=DIGEST_BYTES).digest()
    return _uuid(_stamp(moment_ms, digest))


def fact_ids(parent: UUID, facts: Iterable[tuple[str, int, int, float]]) -> list[str]:
    """Derive the ids of (name, moment_ms, step, value) facts of one parent, as 32 hex.

    Each is fact_id(moment_ms, parent, name, moment_ms, step, float(value)), at a
    quarter of its cost: parent and name are hashed once and no object is made per id.
    """
    of_parent = blake2b(encode(parent), digest_size=DIGEST_BYTES)
    series: dict[str, Callable[[], Any]] = {}
    parts = []
    for name, moment_ms, step, value in facts:
        begin = series.get(name)
        if begin is None:
            of_name = of_parent.copy()
            of_name.update(encode(name))
            begin = series[name] = of_name.copy
        fact = begin()
        fact.update(_encode_measurement(moment_ms, step, value))
        parts.append(_clamp(moment_ms).to_bytes(6, "big"))
        parts.append(fact.digest())
    return _stamp_all(b"".join(parts))


def floor(moment: datetime) -> UUID:
    """Return the bound at or above which every id of `moment` and later lies."""
    return _uuid(_clamp(milliseconds(moment)) << 80)


def uuid7_time(key: UUID) -> datetime:
    """Read back the time, to the millisecond; past year 9999 it is the last moment."""
    moment_ms = key.int >> 80
    try:
        return EPOCH + moment_ms * MILLISECOND
    except OverflowError:
        return LATEST


def milliseconds(moment: datetime) -> int:
    """Count whole milliseconds since 1970, rounding down, without floating point."""
    if moment.tzinfo is None:
        raise ValueError(f"moment={moment!r} has no time zone; add one, such as UTC.")
    return (moment - EPOCH) // MILLISECOND


def encode(*natural_key: Key) -> bytes:
    """Write a key so that no two keys share bytes: each part by type, then length.

    Frozen: a changed recipe would store every retried fact a second time.
    """
    return b"".join([_encoder_of(type(part))(part) for part in natural_key])


_INTEGER = struct.Struct(">cq").pack
_FLOAT = struct.Struct(">cd").pack
_MEASUREMENT = struct.Struct(">cqcqcd").pack
_NAN = b"f\x7f\xf8\x00\x00\x00\x00\x00\x00"


def _encode_text(part: str) -> bytes:
    raw = part.encode("utf-8", "surrogatepass")
    return b"s" + len(raw).to_bytes(4, "big") + raw


def _encode_bytes(part: bytes) -> bytes:
    return b"b" + len(part).to_bytes(4, "big") + part


def _encode_integer(part: int) -> bytes:
    try:
        return _INTEGER(b"i", part)
    except struct.error:
        raw = part.to_bytes(part.bit_length() // 8 + 1, "big", signed=True)
        return b"I" + len(raw).to_bytes(4, "big") + raw


def _encode_float(part: float) -> bytes:
    return _FLOAT(b"f", part) if part == part else _NAN


def _encode_uuid(part: UUID) -> bytes:
    return b"u" + part.bytes


def _encode_none(_part: None) -> bytes:
    return b"n"


def _encode_measurement(moment_ms: int, step: int, value: float) -> bytes:
    """Write what encode(moment_ms, step, value) writes, in one call where it can."""
    try:
        if value == value:
            return _MEASUREMENT(b"i", moment_ms, b"i", step, b"f", value)
    except struct.error:
        pass
    return (
        _encode_integer(moment_ms) + _encode_integer(step) + _encode_float(float(value))
    )


_ENCODERS: dict[type, Callable[..., bytes]] = {
    str: _encode_text,
    bytes: _encode_bytes,
    int: _encode_integer,
    float: _encode_float,
    UUID: _encode_uuid,
    type(None): _encode_none,
}


def _encoder_of(kind: type) -> Callable[..., bytes]:
    """Look up an exact type, or else (an enumeration, say) the type it derives from."""
    encoder = _ENCODERS.get(kind)
    if encoder is not None:
        return encoder
    for base in kind.__mro__:
        if base in _ENCODERS:
            return _ENCODERS[base]
    raise TypeError(
        f"A natural key cannot hold {kind.__name__}; "
        "use text, bytes, a number, a UUID or None."
    )


def _stamp(moment_ms: int, digest: bytes) -> int:
    free = int.from_bytes(digest, "big") & FREE
    return _clamp(moment_ms) << 80 | VERSION_AND_VARIANT | free


def _stamp_all(raw: bytes) -> list[str]:
    """Set version and variant of many ids laid end to end, as one large number."""
    count = len(raw) // 16
    free = int.from_bytes((b"\xff" * 6 + FREE.to_bytes(10, "big")) * count, "big")
    bits = int.from_bytes(VERSION_AND_VARIANT.to_bytes(16, "big") * count, "big")
    ids = (int.from_bytes(raw, "big") & free | bits).to_bytes(len(raw), "big").hex()
    return [ids[start : start + 32] for start in range(0, len(ids), 32)]


def _clamp(moment_ms: int) -> int:
    if 0 <= moment_ms <= LATEST_MS:
        return moment_ms
    return 0 if moment_ms < 0 else LATEST_MS


def _next_tick() -> int:
    """Return the time in 1/4096 milliseconds, or one more than the last time given."""
    global _last_tick  # noqa: PLW0603 - the process's one clock, under its lock
    moment_ms, rest_ns = divmod(time.time_ns(), 1_000_000)
    now = moment_ms << 12 | (rest_ns << 12) // 1_000_000
    with _lock:
        _last_tick = tick = now if now > _last_tick else _last_tick + 1
    return tick


def _uuid(value: int) -> UUID:
    """Build a UUID without the constructor's checks, which cost more than the hash."""
    made = object.__new__(UUID)
    object.__setattr__(made, "int", value)
    object.__setattr__(made, "is_safe", SafeUUID.unknown)
    return made


def _renew_lock() -> None:
    """Give a forked child a free lock: a thread that held it does not exist there."""
    global _lock  # noqa: PLW0603 - replaced before the child runs anything
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_lock)
