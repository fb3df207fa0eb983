"""Running the registry's maintenance commands as an operator does."""

from __future__ import annotations

import io
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from django.core.files.storage import storages
from django.core.management import call_command
from django.db import connection
from django.db.models import Model

from registry.models import Blob
from registry.storage import blob_name, put_blob

DAY = 24 * 3600


@dataclass(frozen=True)
class Outcome:
    code: int
    told: dict[str, Any]

    def kinds(self) -> list[str]:
        return sorted(found["kind"] for found in self.told["findings"])


@contextmanager
def maintenance_role() -> Iterator[None]:
    """Be the role of commands and jobs: past row-level security, by its grants."""
    with connection.cursor() as cursor:
        cursor.execute("SET ROLE app_maint")
    try:
        yield
    finally:
        with connection.cursor() as cursor:
            cursor.execute("RESET ROLE")


def run(name: str, *words: str) -> Outcome:
    out = io.StringIO()
    code = 0
    with maintenance_role():
        try:
            call_command(name, *words, "--json", stdout=out)
        except SystemExit as end:
            code = int(end.code or 0)
    return Outcome(code, json.loads(out.getvalue()))


def store(organization: UUID, content: bytes, *, age_s: float = 2 * DAY) -> Blob:
    """Put bytes and their row, both of them stored so long ago."""
    kept = put_blob(organization, io.BytesIO(content), max_bytes=10_000)
    make_old(path_of(organization, kept.sha256), age_s)
    blob = Blob(
        organization_id=organization, sha256=kept.sha256, size_bytes=kept.size_bytes
    )
    blob.save(force_insert=True)
    backdate(Blob, blob.pk, age_s)
    return blob


def blob_folder() -> Path:
    return Path(storages["blobs"].path("."))


def path_of(organization: UUID, sha256: str) -> Path:
    return Path(storages["blobs"].path(blob_name(organization, sha256)))


def make_old(path: Path, age_s: float) -> None:
    moment = time.time() - age_s
    os.utime(path, (moment, moment))


def backdate(model: type[Model], pk: UUID, age_s: float) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE {model._meta.db_table}"
            " SET created_at = now() - %s * interval '1 s' WHERE id = %s",
            [age_s, pk],
        )
