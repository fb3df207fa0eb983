"""Stores to which clients send, and from which they fetch, past this server."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.core.files import File
from django.core.files.storage import storages

from mlops.errors import NotFound, TooLarge
from mlops.streams import Source
from registry.storage.blobs import StoredBlob, blob_name

if TYPE_CHECKING:
    from registry.storage.bucket import BlobBucket, StagedPart

READ_BYTES = 1024**2


def bucket() -> BlobBucket | None:
    """Return the store if it is a bucket; to import its class would cost memory."""
    store: Any = storages["blobs"]
    return store if hasattr(store, "sweep_staged") else None


def direct_store() -> BlobBucket | None:
    """Return the store if it signs URLs for clients."""
    store = bucket()
    return store if store and store.presigns else None


def join_direct(
    store: BlobBucket,
    organization: UUID,
    upload: UUID,
    reference: str,
    check: Callable[[Mapping[int, StagedPart]], None],
    *,
    max_bytes: int,
) -> StoredBlob:
    """Join what clients have sent, read it once for its digest, and make a blob of it.

    `check` looks at what has arrived. Asked again after it was broken off, it goes on.
    """
    try:
        arrived = store.parts(upload, reference)
    except FileNotFoundError:
        pass  # joined already, or gone: then there is nothing to open
    else:
        check(arrived)
        refuse_large(sum(part.size_bytes for part in arrived.values()), max_bytes)
        store.join(upload, reference, arrived)
    blob = digest_of(open_joined(store, upload), max_bytes)
    store.adopt(upload, blob_name(organization, blob.sha256))
    return blob


def open_joined(store: BlobBucket, upload: UUID) -> File:
    try:
        return store.open_joined(upload)
    except FileNotFoundError:
        raise NotFound(f"No such upload: {upload.hex}") from None


def digest_of(file: File, max_bytes: int) -> StoredBlob:
    with file:
        refuse_large(file.size, max_bytes)
        return StoredBlob(hexdigest_of(file), file.size)


def hexdigest_of(source: Source) -> str:
    digest = hashlib.sha256()
    while chunk := source.read(READ_BYTES):
        digest.update(chunk)
    return digest.hexdigest()


def refuse_large(size_bytes: int, max_bytes: int) -> None:
    if size_bytes > max_bytes:
        raise TooLarge(f"A file may have at most {max_bytes} bytes.")
