"""Files of an archive: gzipped lines with their digests, wherever AUDIT_ARCHIVE is."""

from __future__ import annotations

import gzip
import hashlib
import io
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO

import orjson
from django.core.files import File
from django.core.files.base import ContentFile
from django.core.files.storage import storages

STORE = "audit_archive"
CHUNK_BYTES = 1024 * 1024
MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True)
class Packed:
    """One file as the manifest tells it: packed, and what is in it."""

    name: str
    lines: int
    size_bytes: int
    sha256: str
    lines_sha256: str


class Digesting(io.RawIOBase):
    """A file that knows the digest of what was written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.size_bytes = 0

    def writable(self) -> bool:
        return True

    def write(self, piece: Any) -> int:
        self._file.write(piece)
        self.digest.update(piece)
        self.size_bytes += len(piece)
        return len(piece)


def pack(path: Path, pieces: Iterable[bytes]) -> Packed:
    """Write whole lines, packed; equal lines make equal files."""
    lines, plain = 0, hashlib.sha256()
    with path.open("wb") as file:
        out = Digesting(file)
        with gzip.GzipFile("", "wb", fileobj=out, mtime=0) as packer:
            for piece in pieces:
                packer.write(piece)
                plain.update(piece)
                lines += piece.count(b"\n")
    digest = out.digest.hexdigest()
    return Packed(path.name, lines, out.size_bytes, digest, plain.hexdigest())


def put(folder: str, path: Path) -> None:
    with path.open("rb") as file:
        _save(f"{folder}/{path.name}", File(file))


def put_manifest(folder: str, manifest: dict[str, Any]) -> str:
    """Store it and return its digest."""
    body = orjson.dumps(manifest, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
    _save(f"{folder}/{MANIFEST}", ContentFile(body))
    return hashlib.sha256(body).hexdigest()


def _save(name: str, content: Any) -> None:
    stored = storages[STORE].save(name, content)
    if stored != name:
        raise FileExistsError(f"{name} is there already; the new one is {stored}.")


def read_manifest(folder: str) -> tuple[dict[str, Any], str]:
    with storages[STORE].open(f"{folder}/{MANIFEST}") as file:
        body = file.read()
    return orjson.loads(body), hashlib.sha256(body).hexdigest()


def read_again(folder: str, name: str) -> Packed:
    """Read a stored file from its first byte to its last, and unpack it."""
    with storages[STORE].open(f"{folder}/{name}") as file:
        packed = Reading(file)
        lines, plain = 0, hashlib.sha256()
        with gzip.GzipFile(fileobj=packed, mode="rb") as unpacker:
            while piece := unpacker.read(CHUNK_BYTES):
                plain.update(piece)
                lines += piece.count(b"\n")
        packed.exhaust()
    return Packed(
        name, lines, packed.size_bytes, packed.digest.hexdigest(), plain.hexdigest()
    )


class Reading(io.RawIOBase):
    """A file that knows the digest of what was read of it."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.size_bytes = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        piece: bytes = self._file.read(size)
        self.digest.update(piece)
        self.size_bytes += len(piece)
        return piece

    def exhaust(self) -> None:
        while self.read(CHUNK_BYTES):
            pass


def opened(folder: str, name: str) -> Any:
    return storages[STORE].open(f"{folder}/{name}")


def lines_of(file: BinaryIO) -> Iterator[bytes]:
    """Unpack a file line by line."""
    with gzip.GzipFile(fileobj=file, mode="rb") as unpacker:
        yield from unpacker


def as_told(packed: Packed) -> dict[str, Any]:
    return asdict(packed)
