from __future__ import annotations

import os
import time

import pytest
from django.contrib.staticfiles import finders

from mlops.staticfiles import collect_if_changed


@pytest.fixture
def sources(settings, tmp_path):
    """Static files of one folder only."""
    folder = tmp_path / "sources"
    folder.mkdir()
    (folder / "page.css").write_text("a {}")
    settings.STATICFILES_DIRS = [folder]
    settings.STATICFILES_FINDERS = [
        "django.contrib.staticfiles.finders.FileSystemFinder"
    ]
    settings.STATIC_ROOT = tmp_path / "static"
    finders.get_finder.cache_clear()
    yield folder
    finders.get_finder.cache_clear()


def test_files_are_collected_once(sources, settings):
    assert collect_if_changed()
    assert (settings.STATIC_ROOT / "page.css").read_text() == "a {}"
    assert not collect_if_changed()


@pytest.mark.parametrize("name", ["page.css", "new.css"])
def test_files_are_collected_again_when_one_changes(sources, settings, name):
    collect_if_changed()
    (sources / name).write_text("b { }")
    later = time.time() + 5  # Django compares whole seconds
    os.utime(sources / name, (later, later))
    assert collect_if_changed()
    assert (settings.STATIC_ROOT / name).read_text() == "b { }"


def test_files_are_collected_again_when_one_is_gone(sources):
    (sources / "old.css").write_text("")
    collect_if_changed()
    (sources / "old.css").unlink()
    assert collect_if_changed()
