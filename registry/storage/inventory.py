"""What the store of blobs holds, name by name, and how something leaves it.

An upload puts its bytes in the store before a row points at them, also where the same
bytes lie there already, which makes them young again. So only old bytes may go, and
whoever takes them holds the row of the blob, or a row in its place: an upload of the
same bytes waits for that row before it relies on what lies there.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

from django.core.files.storage import storages

from registry.storage import BlobFolder, blob_name

PREFIX = re.compile(r"[0-9a-f]{2}")
REST_OF_DIGEST = re.compile(r"[0-9a-f]{62}")
# A blob on its way out, beside the drafts; a killed sweep leaves it for the next one.
LEAVING = re.compile(r"([0-9a-f]{32})-([0-9a-f]{64})\.leaving")


@dataclass(frozen=True, slots=True)
class Shelf:
    """Digests of one organization that begin alike, and names that are no digests."""

    digests: frozenset[str]
    strays: tuple[str, ...] = ()


def shelves_of(organization: UUID) -> list[str]:
    """The first two digits of all digests that lie there."""
    folders, _ = listed(str(organization))
    return sorted(name for name in folders if PREFIX.fullmatch(name))


def listed(folder: str) -> tuple[list[str], list[str]]:
    """Folders and files; none where the folder itself is missing."""
    try:
        folders, files = storages["blobs"].listdir(folder)
    except FileNotFoundError:
        return [], []
    return folders, files


def read_shelf(organization: UUID, prefix: str) -> Shelf:
    folder = f"{organization}/{prefix}"
    _, names = listed(folder)
    whole = [name for name in names if REST_OF_DIGEST.fullmatch(name)]
    strays = sorted(set(names) - set(whole))
    return Shelf(
        frozenset(prefix + name for name in whole),
        tuple(f"{folder}/{name}" for name in strays),
    )


def modified_at(name: str) -> datetime | None:
    """None when nothing of that name is there."""
    store = storages["blobs"]
    try:
        if not store.exists(name):
            return None
        moment: datetime = store.get_modified_time(name)
        return moment
    except FileNotFoundError:
        return None


def is_young(name: str, before: datetime) -> bool:
    moment = modified_at(name)
    return moment is not None and moment >= before


def remove_blob(organization: UUID, sha256: str, *, before: datetime) -> bool:
    """Remove bytes last stored before `before`; False when they are younger.

    The caller holds the row of the blob. Bytes that are gone already count as removed.
    """
    store, name = storages["blobs"], blob_name(organization, sha256)
    if is_young(name, before):
        return False
    if isinstance(store, BlobFolder):
        return _remove_file(store, organization, sha256, before)
    store.delete(name)
    return True


def _remove_file(
    store: BlobFolder, organization: UUID, sha256: str, before: datetime
) -> bool:
    """An upload may store the bytes anew between a look and a removal.

    So the file steps aside first, which nothing can come between; a young one steps
    back, and leaves whatever has been put in its place.
    """
    path = Path(store.path(blob_name(organization, sha256)))
    aside = store.drafts / f"{organization.hex}-{sha256}.leaving"
    try:
        os.replace(path, aside)
    except FileNotFoundError:
        return True
    return _settle(path, aside, before)


def _settle(path: Path, aside: Path, before: datetime) -> bool:
    young = datetime.fromtimestamp(aside.stat().st_mtime, UTC) >= before
    if young:
        with suppress(FileExistsError):
            os.link(aside, path)
    aside.unlink(missing_ok=True)
    return not young


def settle_interrupted(*, before: datetime) -> int:
    """Finish what a killed process began: old files go, young ones return."""
    store = storages["blobs"]
    settled = 0
    for aside in sorted(_leaving(store)):
        found = LEAVING.fullmatch(aside.name)
        if found:
            name = blob_name(UUID(found[1]), found[2])
            _settle(Path(store.path(name)), aside, before)
            settled += 1
    return settled


def _leaving(store: object) -> Iterator[Path]:
    if isinstance(store, BlobFolder):
        yield from store.drafts.glob("*.leaving")


def remove_stray(name: str, *, before: datetime) -> bool:
    """Remove what bears no blob's name, so that no upload can mean it."""
    if is_young(name, before):
        return False
    storages["blobs"].delete(name)
    return True
