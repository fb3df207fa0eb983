"""When packages were last downloaded, written in batches.

A process keeps in memory which packages it has sent files of, and writes them together
(mlops.notebooks): per organization one statement, which leaves packages alone whose
last download was noted just before.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from mlops.notebooks import Notebook
from registry.models import Package
from tenants.context import Actor, tenant_transaction

# Beyond this many between two writes further packages go unnoted.
MOST_PACKAGES = 100_000
# As exact as anybody asks for, and no row of a busy package is written all the time.
GRAIN = timedelta(minutes=5)

Downloaded = tuple[UUID, UUID]  # organization and package


def note_download(organization: UUID, package: UUID) -> None:
    """Remember that a file of the package was asked for."""
    key = (organization, package)
    if settings.DOWNLOAD_NOTE_SECONDS <= 0 or key in notebook.uses:
        return
    if len(notebook.uses) < MOST_PACKAGES:
        notebook.add(key, timezone.now())


def flush() -> int:
    """Write what was noted and return how many rows it changed."""
    notes = notebook.take()
    by_organization: dict[UUID, dict[Downloaded, datetime]] = {}
    for key, moment in notes.items():
        by_organization.setdefault(key[0], {})[key] = moment
    written = 0
    try:
        for organization in [*by_organization]:
            written += write_downloads(organization, by_organization[organization])
            del by_organization[organization]
    except Exception:
        for left in by_organization.values():
            notebook.give_back(left)
        raise
    return written


def write_downloads(organization: UUID, notes: dict[Downloaded, datetime]) -> int:
    """The last moment stands for all of the batch: they are a minute apart at most."""
    moment = max(notes.values())
    job = Actor(kind="job", label="downloads", organization_id=organization)
    long_ago = Q(last_downloaded_at=None) | Q(last_downloaded_at__lt=moment - GRAIN)
    with tenant_transaction(job):
        packages = Package.objects.filter(pk__in=[package for _, package in notes])
        return packages.filter(long_ago).update(last_downloaded_at=moment)


notebook: Notebook[Downloaded, datetime] = Notebook(
    "downloads", flush, lambda: settings.DOWNLOAD_NOTE_SECONDS
)
