"""Proof that one entry was sealed as it is: for somebody who sees nothing else of us.

It holds the entry's columns as they are hashed, the way from its leaf to the root, and
the signed seal with that root; docs/verify_audit_entry.py checks it.
"""

from __future__ import annotations

import base64
import json
from typing import Any
from uuid import UUID

from django.db.backends.base.base import BaseDatabaseWrapper

from audit import keys
from audit.canonical import FIELDS, leaf_of, texts_of
from audit.merkle import follow, path_of
from audit.models import Anchor, AuditLog
from audit.seals import ID_BYTES, INSTANCE, PREFIX_BYTES, SLOT_BYTES, SealValues
from audit.seals import texts_of as texts_of_seal
from audit.sql import verifying
from audit.sql.verifying import Link
from mlops.errors import Conflict, InvalidState

FORM = "mlops audit entry 1"
# Proving one of them reads the others of its seal.
MOST = 50_000


class NotSealed(Conflict):
    """The entry is in no seal yet; it will be within seconds, so try again."""

    code = "not_sealed"


class NotAnchored(Conflict):
    """No anchor is as late as the seal yet; run manage.py anchor_audit."""

    code = "not_anchored"


class Damaged(InvalidState):
    """What was sealed is not what is there, so nothing can be proved."""

    code = "damaged"


def prove(
    connection: BaseDatabaseWrapper, entry: AuditLog, *, most: int | None = MOST
) -> dict[str, Any]:
    """Return the proof. Raises NotSealed, Damaged, and Conflict where the seal covers
    more than `most` entries.
    """
    organization = entry.organization_id
    link, listed = _seal_of(connection, entry)
    if most and link.values.entries > most:
        raise Conflict(
            f"The seal covers {link.values.entries} entries: ask the operator to run"
            f" manage.py prove_audit_entry {entry.pk}."
        )
    ids = [
        UUID(bytes=listed[start : start + ID_BYTES])
        for start in range(0, len(listed), SLOT_BYTES)
    ]
    leaves = _leaves(connection, organization, ids, listed)
    row = verifying.row_of(connection, organization, entry.pk)
    leaf, path = leaf_of(row), path_of(ids.index(entry.pk), leaves)
    if follow(leaf, path) != link.values.root:
        raise Damaged
    return {
        "form": FORM,
        "entry": _pairs(FIELDS, texts_of(row)),
        "leaf": leaf.hex(),
        "path": [[step.side, step.hash.hex()] for step in path],
        "seal": _pairs(SealValues._fields, texts_of_seal(link.values)),
        "hash": link.hash.hex(),
        **_signature(link),
    }


def _seal_of(connection: BaseDatabaseWrapper, entry: AuditLog) -> tuple[Link, bytes]:
    organization, xid = entry.organization_id, entry.transaction_id
    if verifying.is_pending(connection, organization, entry.pk, xid):
        raise NotSealed
    found = verifying.seal_of(connection, organization, entry.pk)
    if found is None:
        raise Damaged("No seal lists the entry, and all of its time are made.")
    return found


def _leaves(
    connection: BaseDatabaseWrapper,
    organization: UUID | None,
    ids: list[UUID],
    listed: bytes,
) -> list[bytes]:
    found = verifying.leaves_of(connection, organization, ids)
    if len(found) < len(ids):
        raise Damaged(
            "Other entries of the same seal are gone: where their month was archived,"
            " verify the archive instead."
        )
    told = b"".join(key.bytes + leaf[:PREFIX_BYTES] for key, leaf in found)
    if told != listed:
        raise Damaged
    return [leaf for _, leaf in found]


def _pairs(
    names: tuple[str, ...], texts: list[bytes | None]
) -> list[tuple[str, str | None]]:
    """Names and texts in the order in which they are hashed."""
    return [
        (name, None if text is None else text.decode())
        for name, text in zip(names, texts, strict=True)
    ]


def links_to_anchor(
    connection: BaseDatabaseWrapper, proof: dict[str, Any]
) -> list[list[tuple[str, str | None]]]:
    """Return the seals that lead from a proof's to the next one that was anchored.

    Raises NotAnchored while there is none.
    """
    seal = dict(proof["seal"])
    told = (
        Anchor.objects.using(connection.alias)
        .filter(epoch=seal["epoch"], xid_next__gte=seal["xid_next"])
        .order_by("pk")
        .first()
    )
    chain = seal["organization"] or INSTANCE
    heads = json.loads(told.line)["heads"] if told else {}
    if chain not in heads:
        raise NotAnchored
    organization = UUID(seal["organization"]) if seal["organization"] else None
    first, (last, _) = int(seal["n"]) + 1, heads[chain]
    return [
        _pairs(SealValues._fields, texts_of_seal(link.values))
        for link in verifying.links(connection, organization, first, last)
    ]


def _signature(link: Link) -> dict[str, str | None]:
    key = keys.trusted_keys().get(link.key_id)
    return {
        "signature": base64.b64encode(link.signature).decode(),
        "key_id": link.key_id,
        "public_key": key.text if key else None,
    }
