"""What somebody with all rights over the database could try, drawn at random."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from hashlib import sha256
from random import Random
from uuid import UUID

from audit.canonical import VERSION
from audit.keys import SigningKey
from audit.merkle import Tree
from audit.models import Seal
from audit.seals import SIGNED, SealValues, hash_of
from audit.tests.sealed import seals_of
from audit.tests.trail import run

Tampering = Callable[[Random, list[UUID | None]], None]

# A new value for each column, which it has not now.
OTHER = {
    "id": "uuid7_at(created_at + interval '1 ms')",
    "organization_id": "gen_random_uuid()",
    "project_id": "gen_random_uuid()",
    "created_at": "created_at + interval '1 microsecond'",
    "transaction_id": "transaction_id - 1",
    "actor_kind": "actor_kind || 'x'",
    "actor_id": "NULL",
    "actor_label": "actor_label || 'x'",
    "token_public_id": "token_public_id || 'x'",
    "request_id": "request_id || 'x'",
    "address": "address || '1'",
    "route": "route || 'x'",
    "action": "action || 'x'",
    "outcome": "'denied'",
    "object_type": "object_type || 'x'",
    "object_id": "NULL",
    "object_label": "object_label || ' '",
    "before": "before || '{\"value\": 1.100}'",
    "after": "after - 'né'",
    "reason": "'x'",
    "db_role": "db_role || 'x'",
    "application_name": "application_name || 'x'",
    "backend_pid": "backend_pid + 1",
}
OTHER_OF_A_SEAL = {
    "organization_id": "gen_random_uuid()",
    "n": "n + 1000",
    "version": "version + 1",
    "cluster": "cluster + 1",
    "epoch": "epoch + 1",
    "epoch_from": "gen_random_uuid()",
    "xid_from": "xid_from + 1",
    "xid_to": "xid_to + 1",
    "xid_next": "xid_next + 1",
    "first_id": "gen_random_uuid()",
    "last_id": "gen_random_uuid()",
    "unattributed": "unattributed + 1",
    "root": "sha256(root)",
    "leaves": "leaves || leaves, count = 2 * count",
    "prev_hash": "sha256(prev_hash)",
    "hash": "sha256(hash)",
    "sealed_at": "sealed_at - interval '1 hour'",
    "signature": "sha256(signature) || sha256(hash)",
    "key_id": "reverse(key_id)",
}
COPY = """
INSERT INTO audit_logs SELECT (jsonb_populate_record(l, jsonb_build_object(
    'id', uuid7_at(created_at), 'reason', 'never happened'))).*
FROM audit_logs l WHERE id = %s
"""
SWAP = """
UPDATE audit_logs AS a SET {columns} FROM audit_logs AS b
WHERE (a.id, b.id) IN ((%s, %s), (%s, %s))
"""


def of_a_chain(random: Random, chains: list[UUID | None], count: int = 1) -> list[UUID]:
    """Draw sealed entries of one chain."""
    return random.sample(sealed_ids(random.choice(chains)), count)


def sealed_ids(organization: UUID | None) -> list[UUID]:
    listed = [bytes(seal.leaves) for seal in seals_of(organization)]
    return [
        UUID(bytes=each[i : i + 16]) for each in listed for i in range(0, len(each), 32)
    ]


def a_seal(random: Random, chains: list[UUID | None]) -> Seal:
    return random.choice(seals_of(random.choice(chains)))


def alter(random: Random, chains: list[UUID | None]) -> None:
    column = random.choice(sorted(OTHER))
    (entry,) = of_a_chain(random, chains)
    run(f"UPDATE audit_logs SET {column} = {OTHER[column]} WHERE id = %s", entry)


def delete(random: Random, chains: list[UUID | None]) -> None:
    entries = of_a_chain(random, chains, random.randint(1, 3))
    run("DELETE FROM audit_logs WHERE id = ANY(%s)", entries)


def insert(random: Random, chains: list[UUID | None]) -> None:
    run(COPY, *of_a_chain(random, chains))


def swap(random: Random, chains: list[UUID | None]) -> None:
    """Let two entries change places: each says all that the other said."""
    one, other = of_a_chain(random, chains, 2)
    columns = ", ".join(f"{name} = b.{name}" for name in OTHER if name != "id")
    run(SWAP.format(columns=columns), one, other, other, one)


def exchange_ids(random: Random, chains: list[UUID | None]) -> None:
    one, other = of_a_chain(random, chains, 2)
    aside = UUID(int=one.int ^ 1)
    for before, after in ((one, aside), (other, one), (aside, other)):
        run("UPDATE audit_logs SET id = %s WHERE id = %s", after, before)


def back_date(random: Random, chains: list[UUID | None]) -> None:
    (entry,) = of_a_chain(random, chains)
    moved = timedelta(milliseconds=random.randint(1, 60_000))
    run(
        "UPDATE audit_logs SET created_at = created_at - %s,"
        " id = uuid7_at(created_at - %s) WHERE id = %s",
        moved,
        moved,
        entry,
    )


def move_behind_the_horizon(random: Random, chains: list[UUID | None]) -> None:
    """Make an entry look as if it were to be sealed yet."""
    (entry,) = of_a_chain(random, chains)
    run("UPDATE audit_logs SET transaction_id = 2^62::bigint WHERE id = %s", entry)


def write_past_the_trigger(random: Random, chains: list[UUID | None]) -> None:
    (entry,) = of_a_chain(random, chains)
    run("SET LOCAL session_replication_role = origin")
    ((month,),) = run("SELECT tableoid::regclass FROM audit_logs WHERE id = %s", entry)
    for table in ("audit_logs", month):
        run(f"ALTER TABLE {table} DISABLE TRIGGER audit_append_only")
    run("UPDATE audit_logs SET reason = 'as it should be' WHERE id = %s", entry)
    for table in ("audit_logs", month):
        run(f"ALTER TABLE {table} ENABLE TRIGGER audit_append_only")


def drop_month(random: Random, chains: list[UUID | None]) -> None:
    (entry,) = of_a_chain(random, chains)
    ((month,),) = run("SELECT tableoid::regclass FROM audit_logs WHERE id = %s", entry)
    run(f"DROP TABLE {month}")


def alter_seal(random: Random, chains: list[UUID | None]) -> None:
    column = random.choice(sorted(OTHER_OF_A_SEAL))
    value = OTHER_OF_A_SEAL[column]
    seal = a_seal(random, chains)
    run(f"UPDATE audit_seals SET {column} = {value} WHERE id = %s", seal.pk)


def delete_seals(random: Random, chains: list[UUID | None]) -> None:
    """Of one chain: one of them, the last ones, or all."""
    seals = seals_of(random.choice(chains))
    start = random.randrange(len(seals))
    cut = seals[start : start + random.choice([1, len(seals)])]
    # With all chains cut back alike nobody could tell, but for the anchors.
    run("DELETE FROM audit_seals WHERE id = ANY(%s)", [seal.pk for seal in cut])


def exchange_seals(random: Random, chains: list[UUID | None]) -> None:
    one, other = random.sample(seals_of(random.choice(chains)), 2)
    for n, key in ((-1, one.pk), (one.n, other.pk), (other.n, one.pk)):
        run("UPDATE audit_seals SET n = %s WHERE id = %s", n, key)


def forge(random: Random, chains: list[UUID | None]) -> None:
    """Alter an entry and make its seal, and all after it, fit: with another key."""
    organization = random.choice(chains)
    seals = seals_of(organization)
    start = random.randrange(len(seals))
    entry = random.choice(
        [each for each in sealed_ids(organization) if covers(seals[start], each)]
    )
    run("UPDATE audit_logs SET reason = 'as it should be' WHERE id = %s", entry)
    key, prev_hash = SigningKey(random.randbytes(32)), bytes(seals[start].prev_hash)
    # Or it leaves the signatures as they are, for want of a key.
    signs = random.random() < 0.7
    names = random.choice([key.public.id, seals[start].key_id])
    for seal in seals[start:]:
        prev_hash = reseal(seal, prev_hash, key if signs else None, names)


def covers(seal: Seal, entry: UUID) -> bool:
    leaves = bytes(seal.leaves)
    return entry.bytes in [leaves[i : i + 16] for i in range(0, len(leaves), 32)]


def reseal(seal: Seal, prev_hash: bytes, key: SigningKey | None, name: str) -> bytes:
    leaves = bytes(seal.leaves)
    ids = [UUID(bytes=leaves[i : i + 16]) for i in range(0, len(leaves), 32)]
    rows = run(
        "SELECT id, audit_leaf(l) FROM audit_logs l WHERE id = ANY(%s) ORDER BY id", ids
    )
    tree = Tree(bytes(leaf) for _, leaf in rows)
    leaves = b"".join(row[0].bytes + bytes(row[1])[:16] for row in rows)
    values = SealValues(
        organization=seal.organization_id,
        n=seal.n,
        version=VERSION,
        cluster=seal.cluster,
        epoch=seal.epoch,
        epoch_from=seal.epoch_from,
        xid_from=seal.xid_from,
        xid_to=seal.xid_to,
        xid_next=seal.xid_next,
        first_id=seal.first_id,
        last_id=seal.last_id,
        entries=seal.count,
        unattributed=seal.unattributed,
        root=tree.root(),
        leaves_sha256=sha256(leaves).digest(),
        prev_hash=prev_hash,
        sealed_at=seal.sealed_at,
    )
    digest = hash_of(values)
    signature = key.sign(SIGNED + digest) if key else bytes(seal.signature)
    run(
        "UPDATE audit_seals SET root = %s, leaves = %s, prev_hash = %s, hash = %s,"
        " signature = %s, key_id = %s WHERE id = %s",
        tree.root(),
        leaves,
        prev_hash,
        digest,
        signature,
        name if key else seal.key_id,
        seal.pk,
    )
    return digest


TAMPERINGS: list[Tampering] = [
    alter,
    alter,
    alter,
    delete,
    insert,
    swap,
    exchange_ids,
    back_date,
    move_behind_the_horizon,
    write_past_the_trigger,
    drop_month,
    alter_seal,
    alter_seal,
    delete_seals,
    exchange_seals,
    forge,
    forge,
]
