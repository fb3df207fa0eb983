"""Maintenance is killed at any moment, again and again; in the end nothing is torn."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from django.db import connection

from registry.models import Blob, Package, PackageFile
from registry.tests.factories import (
    PackageFactory,
    PackageFileFactory,
    RetentionRuleFactory,
)
from registry.tests.maintenance.commands import (
    DAY,
    backdate,
    blob_folder,
    path_of,
    store,
)
from tenants.models import Project
from tenants.tests.factories import OrganizationFactory, ProjectFactory

PACKAGES, FILES = 30, 3
# Runs the command against this test's database and store, as another process.
COMMAND = """
import sys
from tests import settings
database, folder, *words = sys.argv[1:]
settings.DATABASES["default"]["NAME"] = database
settings.STORAGES["blobs"]["OPTIONS"]["location"] = folder
import django
django.setup()
from django.core.management import call_command
from registry.services import cleanup
cleanup.BATCH, cleanup.FILES = 3, 2
print("ready", flush=True)
call_command(*words)
"""


@pytest.fixture
def place(transactional_db) -> Project:
    organization = OrganizationFactory(slug=f"killed-{time.monotonic_ns()}")
    project = ProjectFactory(organization=organization)
    for number in range(PACKAGES):
        package = PackageFactory(project=project)
        for file in range(FILES):
            content = f"{number} {file}".encode()
            blob = store(organization.pk, content)
            PackageFileFactory(package=package, path=str(file), blob=blob)
        # Half of them are old enough to go.
        backdate(Package, package.pk, (40 if number % 2 else 1) * DAY)
    RetentionRuleFactory(project=project, older_than_days=30)
    return project


def start(*words: str) -> subprocess.Popen[bytes]:
    folder = str(blob_folder())
    name = connection.settings_dict["NAME"]
    process = subprocess.Popen(
        [sys.executable, "-c", COMMAND, name, folder, *words],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def rounds(*words: str, most: int) -> int:
    """Kill it later each time, unless it comes to its end before; count the deaths."""
    for death in range(most):
        process = start(*words)
        time.sleep(random.uniform(0.02, 0.1) * (death + 1))
        process.send_signal(signal.SIGKILL)
        _, said = process.communicate()
        if process.returncode == 0:
            return death
        assert process.returncode == -signal.SIGKILL, said
        assert_whole()
    return most


def finish(*words: str) -> None:
    process = start(*words)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said


def assert_whole() -> None:
    """Every file that a row names has its bytes, in whatever state all else is."""
    for file in PackageFile._base_manager.all():
        assert path_of(file.organization_id, file.sha256).exists()


@pytest.mark.parametrize(
    "most", [1, pytest.param(20, marks=[pytest.mark.soak, pytest.mark.timeout(900)])]
)
def test_a_cleanup_that_is_killed_goes_on_where_it_was(place, most):
    words = ("cleanup_packages", "--yes", "--grace-days", "0")
    assert rounds(*words, most=most) > 0
    finish(*words)  # marks what is left to mark
    finish(*words)  # and destroys it: without a grace, but not at the same moment
    Blob._base_manager.update(released_at=None)  # bytes wait for a day
    finish(*words)
    assert_whole()
    mine: dict[str, Any] = {"organization": place.organization}
    assert Package._base_manager.filter(**mine).count() == PACKAGES / 2
    assert PackageFile._base_manager.filter(**mine).count() == FILES * PACKAGES / 2
    assert Blob._base_manager.filter(**mine).count() == FILES * PACKAGES / 2
    folder: Path = blob_folder()
    stored = list(folder.glob(f"{place.organization_id}/*/*"))
    assert len(stored) == FILES * PACKAGES / 2
    assert list((blob_folder() / "drafts").iterdir()) == []
