"""Anchors: the heads of all chains, told to places that the database cannot rewrite.

One line of JSON, signed: {"moment", "epoch", "xid_next", "heads": {organization: [n,
hash]}, "key_id", "signature"}. It tells the chains that grew since the last line of the
same place; whoever holds a line can tell a chain that was rewritten up to it.
"""

from __future__ import annotations

import base64
import binascii
import json
import logging
import os
import socket
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from uuid import UUID

import orjson
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.utils import timezone
from django.utils.module_loading import import_string

from audit import keys
from audit.keys import SigningKey, TrustedKeys
from audit.models import Anchor
from audit.seals import INSTANCE, moment_text
from audit.sql import anchoring, verifying
from audit.verification import Damage, Oddity, Verdict
from mlops.errors import DomainError, Unavailable

logger = logging.getLogger(__name__)

SIGNED = b"mlops audit anchor\n"
SYSLOG_PRIORITY = 13 * 8 + 5  # log audit, notice
DATAGRAM_BYTES = 60_000
LOCAL = "/dev/log"


class Place(NamedTuple):
    """Where lines go, by an address of AUDIT_ANCHORS."""

    kind: str  # file | s3 | syslog
    address: str

    def __str__(self) -> str:
        return self.address


def places() -> list[Place]:
    return [place_of(address) for address in settings.AUDIT_ANCHORS]


def files() -> list[Path]:
    return [path_of(place) for place in places() if place.kind == "file"]


def place_of(address: str) -> Place:
    """Raises ImproperlyConfigured for what is no place."""
    kind, _, rest = address.partition(":")
    parts = urlsplit(rest)
    is_good = {
        "file": rest.startswith("/"),
        "s3": bool(parts.netloc),
        "syslog": rest == LOCAL or (parts.scheme == "udp" and bool(parts.hostname)),
    }
    if not is_good.get(kind):
        raise ImproperlyConfigured(
            f"AUDIT_ANCHORS={address!r}; use file:/path, s3://bucket/prefix,"
            " syslog:udp://host:port or syslog:/dev/log."
        )
    return Place(kind, address)


def path_of(place: Place) -> Path:
    return Path(place.address.removeprefix("file:"))


# Telling


class Told(NamedTuple):
    """What one place was told, or why it could not be."""

    place: str
    chains: int
    error: str = ""


def anchor_all(connection: BaseDatabaseWrapper) -> list[Told]:
    """Tell every place what is new; one that fails keeps none of the others from it."""
    return [_anchor(connection, place) for place in places()]


def _anchor(connection: BaseDatabaseWrapper, place: Place) -> Told:
    try:
        with transaction.atomic(using=connection.alias):
            return _anchor_at(connection, place)
    except (DomainError, OSError) as error:
        logger.error("audit anchor %s: %s", place, error)
        return Told(str(place), 0, str(error) or type(error).__name__)


def _anchor_at(connection: BaseDatabaseWrapper, place: Place) -> Told:
    """Told first and noted afterwards: a line may come twice, and is never missed."""
    anchoring.lock(connection, str(place))
    grown = anchoring.grown(connection, str(place))
    if not grown.heads:
        return Told(str(place), 0)
    moment = timezone.now()
    line = line_of(keys.signing_key(), moment, grown)
    TELLERS[place.kind](place, moment, line)
    Anchor.objects.using(connection.alias).create(
        place=str(place),
        anchored_at=moment,
        epoch=grown.epoch,
        xid_next=grown.xid_next,
        chains=len(grown.heads),
        line=line.decode(),
    )
    return Told(str(place), len(grown.heads))


def line_of(key: SigningKey, moment: datetime, grown: anchoring.Grown) -> bytes:
    said = {
        "moment": moment_text(moment),
        "epoch": grown.epoch,
        "xid_next": grown.xid_next,
        "heads": {
            str(organization or INSTANCE): [n, digest.hex()]
            for organization, n, digest in grown.heads
        },
        "key_id": key.public.id,
    }
    signature = key.sign(SIGNED + message_of(said))
    return orjson.dumps(said | {"signature": base64.b64encode(signature).decode()})


def message_of(said: dict[str, Any]) -> bytes:
    """Write what an anchor's signature covers: all of it but the signature."""
    covered = {name: value for name, value in said.items() if name != "signature"}
    return json.dumps(covered, sort_keys=True, separators=(",", ":")).encode()


def _tell_file(place: Place, moment: datetime, line: bytes) -> None:
    path = path_of(place)
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        # In one write, so that two writers cannot mix their lines.
        written = os.write(handle, line + b"\n")
        if written != len(line) + 1:
            raise OSError(f"{path} took only {written} bytes of a line.")
        os.fsync(handle)
    finally:
        os.close(handle)


def _tell_syslog(place: Place, moment: datetime, line: bytes) -> None:
    """Send it as RFC 5424 says, with the line as the message."""
    if len(line) > DATAGRAM_BYTES:
        raise Unavailable(
            f"The anchor has {len(line)} bytes, and syslog takes {DATAGRAM_BYTES};"
            " name a file or a bucket for it in AUDIT_ANCHORS, too."
        )
    stamp, host = moment_text(moment), socket.gethostname()
    head = f"<{SYSLOG_PRIORITY}>1 {stamp} {host} mlops {os.getpid()} anchor - "
    rest = place.address.removeprefix("syslog:")
    if rest == LOCAL:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as local:
            local.connect(LOCAL)
            local.send(head.encode() + line)
        return
    parts = urlsplit(rest)
    address = (str(parts.hostname), parts.port or 514)
    family = socket.getaddrinfo(*address, type=socket.SOCK_DGRAM)[0][0]
    with socket.socket(family, socket.SOCK_DGRAM) as remote:
        remote.sendto(head.encode() + line, address)


def _tell_bucket(place: Place, moment: datetime, line: bytes) -> None:
    import_string("audit.anchors_bucket.put")(place.address, moment, line)


# Comparing


Heads = dict[UUID | None, tuple[int, bytes]]


class BadLine(DomainError):
    """This is no line that a trusted key has signed."""

    code = "bad_anchor"


def compare(
    connection: BaseDatabaseWrapper, path: Path, trusted: TrustedKeys, verdict: Verdict
) -> int:
    """Note the chains that are not what the file says they were; return its lines.

    The newest line of a chain speaks for all before it: its links were verified.
    """
    newest: Heads = {}
    count = 0
    for heads in _lines(path, trusted, verdict):
        newest |= heads
        count += 1
    for organization, (n, digest) in newest.items():
        found = verifying.hash_at(connection, organization, n)
        if found != digest:
            reason = "seal_missing" if found is None else "resealed"
            detail = f"{path} tells of another seal {n}"
            verdict.add(Damage(organization, None, reason, n, detail))
    return count


def _lines(path: Path, trusted: TrustedKeys, verdict: Verdict) -> Iterator[Heads]:
    with path.open("rb") as file:
        for number, text in enumerate(file, 1):
            try:
                yield heads_of(text, trusted)
            except BadLine as bad:
                verdict.note(
                    Oddity("anchor", "critical", f"{path}:{number}", bad.message)
                )


def heads_of(text: bytes, trusted: TrustedKeys) -> Heads:
    """Raises BadLine."""
    try:
        said = orjson.loads(text)
        signature = base64.b64decode(said["signature"], validate=True)
        key = trusted.get(said["key_id"])
        heads = {
            None if name == INSTANCE else UUID(name): (n, bytes.fromhex(digest))
            for name, (n, digest) in said["heads"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        raise BadLine("It is no anchor.") from None
    if key is None or not key.signed(signature, SIGNED + message_of(said)):
        raise BadLine
    return heads


TELLERS = {"file": _tell_file, "s3": _tell_bucket, "syslog": _tell_syslog}
