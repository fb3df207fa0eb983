"""The key that signs seals and anchors, and those whose signatures are believed.

The private key is for who seals: workers and commands. Nobody else needs it, the web
process least of all: the public halves stand in a file of their own.
"""

from __future__ import annotations

import base64
import binascii
import os
import secrets
from collections.abc import Iterator
from functools import cached_property
from hashlib import sha256
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import (
    Ed25519PrivateKey,
    Ed25519PublicKey,
)
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from django.conf import settings

from mlops import env
from mlops.errors import DomainError

KEY_BYTES = 32
NAME = "AUDIT_SIGNING_KEY"


class BadKey(DomainError):
    """A key of the audit trail is not 32 bytes in base64."""

    code = "bad_audit_key"
    status = 500


class PublicKey:
    """A key that tells whether the holder of its private half signed something."""

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self._key = Ed25519PublicKey.from_public_bytes(raw)

    @cached_property
    def id(self) -> str:
        return sha256(self.raw).hexdigest()[:16]

    @property
    def text(self) -> str:
        return base64.b64encode(self.raw).decode()

    def signed(self, signature: bytes, message: bytes) -> bool:
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


class SigningKey:
    def __init__(self, raw: bytes) -> None:
        self._key = Ed25519PrivateKey.from_private_bytes(raw)

    @cached_property
    def public(self) -> PublicKey:
        raw = self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        return PublicKey(raw)

    @property
    def text(self) -> str:
        raw = self._key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
        return base64.b64encode(raw).decode()

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)


TrustedKeys = dict[str, PublicKey]


def signing_key() -> SigningKey:
    """Read the key; the first call of an installation makes it, and tells its public
    half to the file of those that are trusted.
    """
    path = settings.AUDIT_KEY_FILE
    text = env.secret(NAME, kept_in=path, make=new_key_text)
    key = SigningKey(_decoded(text, NAME))
    if key.public.id not in trusted_keys():
        trust(key.public)
    return key


def new_key_text() -> str:
    return base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()


def trusted_keys() -> TrustedKeys:
    """Read those of AUDIT_PUBLIC_KEYS and of the file, and the public half of a key
    that the environment gives, by their ids.
    """
    keys = [PublicKey(_decoded(text, "AUDIT_PUBLIC_KEYS")) for text in _public_texts()]
    if text := env.given_secret(NAME):
        keys.append(SigningKey(_decoded(text, NAME)).public)
    return {key.id: key for key in keys}


def trust(key: PublicKey) -> None:
    """Add a public key to the file of those that are trusted."""
    path = settings.AUDIT_PUBLIC_KEYS_FILE
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    with os.fdopen(handle, "w") as file:
        file.write(f"{key.text}\n")
        file.flush()
        os.fsync(file.fileno())


def rotate() -> tuple[PublicKey, PublicKey]:
    """Replace the key by a new one; return the old one's public half and the new one's.

    Raises BadKey where the environment gives the key: then its giver must change it.
    """
    if env.given_secret(NAME):
        raise BadKey(
            f"{NAME} is given by the environment: put a new key there, and the public"
            " half of the old one into AUDIT_PUBLIC_KEYS."
        )
    old = signing_key()
    new = SigningKey(_decoded(new_key_text(), NAME))
    # Trusted before it signs: a seal must never be ahead of what can verify it.
    trust(new.public)
    env.replace_secret(settings.AUDIT_KEY_FILE, new.text)
    return old.public, new.public


def _public_texts() -> Iterator[str]:
    yield from settings.AUDIT_PUBLIC_KEYS
    yield from _lines(settings.AUDIT_PUBLIC_KEYS_FILE)


def _lines(path: Path) -> list[str]:
    """Read one key a line; what stands behind a # is for people."""
    if not path.exists():
        return []
    lines = [line.partition("#")[0].strip() for line in path.read_text().splitlines()]
    return [line for line in lines if line]


def _decoded(text: str, name: str) -> bytes:
    try:
        raw = base64.b64decode(text, validate=True)
    except binascii.Error:
        raw = b""
    if len(raw) != KEY_BYTES:
        raise BadKey(f"{name} holds a key that is not {KEY_BYTES} bytes in base64.")
    return raw
