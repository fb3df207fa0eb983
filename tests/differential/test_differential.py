"""MLflow's own server and ours are asked the same, and must answer alike.

    make differential

Every difference that is wanted stands in allowed.py with its reason.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from random import SystemRandom

import pytest

from tests.differential.allowed import ALLOWED
from tests.differential.corpus import SCENES
from tests.differential.generated import unlike_scenes
from tests.differential.playing import Result, play, play_while_alike
from tests.differential.servers import both_servers
from tests.differential.sides import Side

pytestmark = [pytest.mark.differential, pytest.mark.timeout(3600)]

FIXED_CALLS = 300
GENERATED_CALLS = int(os.environ.get("DIFFERENTIAL_CALLS", "2000"))
SHOWN = 20
# MLflow's own server may drop some connections before a run says nothing any more.
DROPPED = 5

Pair = tuple[Side, Side]


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    with both_servers() as pair:
        for side in pair:
            side.names["here"] = "corpus"
        yield pair


@pytest.fixture(scope="module")
def of_corpus(pair: Pair) -> Result:
    result = Result()
    for scene in SCENES:
        play(scene, pair, result)
    write_details("corpus", result)
    return result


@pytest.fixture(scope="module")
def of_generated(pair: Pair, of_corpus: Result) -> Result:
    """After the corpus, whose experiments do not show in any of these scenes."""
    result = Result()
    chosen = int(os.environ.get("DIFFERENTIAL_SEED", SystemRandom().randrange(2**32)))
    print(f"\nDIFFERENTIAL_SEED={chosen} makes the same calls again")

    for scene in unlike_scenes(chosen):
        play_while_alike(scene, pair, result)
        if len(result.distinct) >= GENERATED_CALLS or len(result.dropped) > DROPPED:
            break
    write_details("generated", result)
    return result


def write_details(name: str, result: Result) -> None:
    """Write every listed difference to a folder, for who reviews the list."""
    if folder := os.environ.get("DIFFERENTIAL_DETAILS"):
        Path(folder, f"{name}.txt").write_text(result.details())


def report(title: str, result: Result) -> str:
    lines = [f"{title}: {result.summary()}"]
    lines += [f"  {each.name}: {what}" for each, what in result.unlisted[:SHOWN]]
    lines += [f"  {each.name}: {what}" for each, what in result.dropped]
    return "\n".join(lines)


def test_the_corpus_is_answered_alike(of_corpus: Result) -> None:
    print("\n" + report("Fixed corpus", of_corpus))
    assert len(of_corpus.distinct) >= FIXED_CALLS
    assert not of_corpus.unlisted, report("Fixed corpus", of_corpus)


def test_generated_calls_are_answered_alike(of_generated: Result) -> None:
    print("\n" + report("Generated", of_generated))
    assert len(of_generated.dropped) <= DROPPED, report("Generated", of_generated)
    assert len(of_generated.distinct) >= GENERATED_CALLS
    assert not of_generated.unlisted, report("Generated", of_generated)


def test_no_entry_of_the_list_is_idle(of_corpus: Result) -> None:
    """The corpus, the same each time, must need each entry of the list."""
    needed = {entry for entry, _ in of_corpus.listed}
    assert not [entry.reason for entry in ALLOWED if entry not in needed]
