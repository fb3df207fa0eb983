"""Check that an audit entry was sealed as a proof says, without the platform.

    pip install cryptography
    python verify_audit_entry.py proof.json [--key BASE64] [--anchor anchors.jsonl]

--key is the public key as you got it from somebody you trust; without it the key in the
proof is believed. --anchor is a file of lines that the platform told somebody earlier:
one of them must name the seal, or one to which the proof leads (prove_audit_entry
--anchored).
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sys
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

SEAL = b"mlops audit seal 1\n"


def sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def framed(pairs: list) -> bytes:
    """Each text as UTF-8 behind its length in four bytes; null has the length -1."""
    texts = [None if text is None else text.encode() for _, text in pairs]
    return b"".join(
        b"\xff" * 4 if text is None else len(text).to_bytes(4, "big") + text
        for text in texts
    )


def demand(truth: bool, what: str) -> None:
    if not truth:
        sys.exit(f"NOT PROVED: {what}")


def signed(key: bytes, signature: str, message: bytes) -> bool:
    try:
        public = Ed25519PublicKey.from_public_bytes(key)
        public.verify(base64.b64decode(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True


def check_proof(proof: dict, key: bytes) -> None:
    node = sha256(b"\x00\x01" + framed(proof["entry"]))
    for side, sibling in proof["path"]:
        other = bytes.fromhex(sibling)
        left, right = (other, node) if side == "left" else (node, other)
        node = sha256(b"\x01" + left + right)
    seal = dict(proof["seal"])
    demand(node.hex() == seal["root"], "the entry is not what the seal's root covers")
    digest = sha256(SEAL + framed(proof["seal"]))
    demand(digest.hex() == proof["hash"], "the seal is not what its hash covers")
    message = b"mlops audit seal\n" + digest
    demand(signed(key, proof["signature"], message), "the key has not signed the seal")


def check_anchor(proof: dict, key: bytes, path: str) -> None:
    chain = dict(proof["seal"])["organization"] or "instance"
    told = {}
    for text in Path(path).read_text().splitlines():
        line = json.loads(text)
        signature = line.pop("signature")
        message = json.dumps(line, sort_keys=True, separators=(",", ":")).encode()
        good = signed(key, signature, b"mlops audit anchor\n" + message)
        demand(good, "the key has not signed a line of the anchor")
        if chain in line["heads"]:
            n, digest = line["heads"][chain]
            told[str(n)] = digest
    seal, digest = dict(proof["seal"]), proof["hash"]
    for pairs in proof.get("links", []):
        demand(
            dict(pairs)["prev_hash"] == digest, "the seals do not follow one another"
        )
        seal, digest = dict(pairs), sha256(SEAL + framed(pairs)).hex()
    demand(seal["n"] in told, "no line of the anchor names the seal, nor what follows")
    demand(told[seal["n"]] == digest, "the anchor tells of another seal")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("proof")
    parser.add_argument("--key")
    parser.add_argument("--anchor")
    asked = parser.parse_args()
    proof = json.loads(Path(asked.proof).read_text())
    demand(proof.get("form") == "mlops audit entry 1", "this is no proof of an entry")
    key = base64.b64decode(asked.key or proof["public_key"] or "")
    check_proof(proof, key)
    if asked.anchor:
        check_anchor(proof, key, asked.anchor)
    seal = dict(proof["seal"])
    print(f"PROVED: sealed at {seal['sealed_at']} as part of seal {seal['n']}")
    for name, text in proof["entry"]:
        print(f"  {name}: {'-' if text is None else text}")


if __name__ == "__main__":
    main()
