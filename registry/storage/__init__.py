"""Where bytes live: the paths that clients may name, and blobs by their digest.

A client's text never becomes a path of the store: it becomes an `ArtifactKey`, which
is a column of a row, and the row points at a blob, whose name is its SHA-256. Blobs
lie in `storages["blobs"]`: a folder of this machine, a bucket, or whatever is set.
"""

from __future__ import annotations

from registry.storage.blobs import (
    CHUNK_BYTES,
    BlobStream,
    DamagedBlob,
    StoredBlob,
    blob_name,
    has_blob,
    open_blob,
    put_blob,
)
from registry.storage.drafts import sweep_drafts
from registry.storage.folder import BlobFolder
from registry.storage.keys import ArtifactKey

# The bucket (registry.storage.bucket) is imported where it is set: it needs boto3.
__all__ = [
    "CHUNK_BYTES",
    "ArtifactKey",
    "BlobFolder",
    "BlobStream",
    "DamagedBlob",
    "StoredBlob",
    "blob_name",
    "has_blob",
    "open_blob",
    "put_blob",
    "sweep_drafts",
]
