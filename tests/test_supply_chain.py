"""What is installed is what was read: pinned, hashed, and not more than needed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LOCKS = (
    "requirements",
    "requirements-dev",
    "examples/requirements",
    "tests/programs/mlflow3",
    "tests/programs/mlflow2",
)
PIN = re.compile(r"^([a-z0-9-]+)==\S+ (?:; .* )?\\$")
DIRECT = re.compile(r"^([A-Za-z0-9-]+)(?:\[[a-z,]+\])?==(\S+)$", re.MULTILINE)
MOST_DIRECT = 25


def blocks(lock: str) -> list[str]:
    """The text of each pinned package, with the hashes below it."""
    text = (ROOT / f"{lock}.txt").read_text()
    return re.split(r"\n(?=[a-z])", text.strip())


def chosen(lock: str) -> dict[str, str]:
    text = (ROOT / f"{lock}.in").read_text()
    return {name.lower(): version for name, version in DIRECT.findall(text)}


@pytest.mark.parametrize("lock", LOCKS)
def test_every_package_is_pinned_with_its_hashes(lock):
    for block in blocks(lock):
        first, *rest = block.splitlines()
        assert PIN.match(first), first
        assert rest[0].strip().startswith("--hash=sha256:"), first


@pytest.mark.parametrize("lock", LOCKS)
def test_the_lock_holds_what_was_chosen(lock):
    pinned = {block.split(" ", 1)[0] for block in blocks(lock)}
    wanted = {f"{name}=={version}" for name, version in chosen(lock).items()}
    assert wanted <= pinned, "run `make lock`"


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_place_to_install_from(lock):
    text = (ROOT / f"{lock}.txt").read_text()
    assert "://" not in text
    assert "--index" not in text
    assert "--find-links" not in text


def test_what_runs_needs_few_packages_of_our_own_choice():
    assert 0 < len(chosen("requirements")) <= MOST_DIRECT


def test_development_runs_what_production_runs():
    running = {b.split(" ", 1)[0] for b in blocks("requirements")}
    developing = {b.split(" ", 1)[0] for b in blocks("requirements-dev")}
    assert running <= developing, "run `make lock`"
