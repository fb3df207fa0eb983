"""Text that rests encrypted in the database, by keys derived from SECRET_KEY.

A key of its own per purpose; SECRET_KEY_FALLBACKS still decrypt, so that a key can be
changed without losing what it protects.
"""

from __future__ import annotations

import base64
import hashlib
import hmac

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings

from mlops.errors import InvalidState


class Undecryptable(InvalidState):
    """A secret was encrypted with another SECRET_KEY; SECRET_KEY_FALLBACKS needs it."""


def encrypt(text: str, *, purpose: str) -> str:
    return _keys(purpose).encrypt(text.encode()).decode()


def decrypt(text: str, *, purpose: str) -> str:
    """Raises Undecryptable."""
    try:
        return _keys(purpose).decrypt(text.encode()).decode()
    except InvalidToken:
        raise Undecryptable from None


def _keys(purpose: str) -> MultiFernet:
    secrets = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    return MultiFernet([Fernet(_derived(secret, purpose)) for secret in secrets])


def _derived(secret: str, purpose: str) -> bytes:
    # SECRET_KEY is random and long, so one keyed hash is derivation enough.
    words = f"mlops.encryption:{purpose}".encode()
    return base64.urlsafe_b64encode(hmac.digest(secret.encode(), words, hashlib.sha256))
