"""Filters with mistakes, sent as clients send them: an answer or a 400 that says where,
whatever it is."""

from __future__ import annotations

import re
from random import Random

import orjson
import pytest

from registry.tests.factories import RunFactory
from registry.tests.search.generated import Known, Maker
from registry.tests.search.mangled import mangled

EVERYDAY = 300
SOAK = 10_000
POSITION = re.compile(r"\(at position (\d+)( of order_by clause \d+)?\)$")


def send_mangled(fraud, count, seed):
    """Send that many filters that are refused, and all that are not on the way."""
    known = Known(("a" * 32,), ("mlflow-artifacts:/0/a/artifacts",))
    refused = number = 0
    while refused < count:
        number += 1
        maker = Maker(seed + number, known)
        meant = maker.clauses() or [maker.clause()]
        text = mangled(maker.written_filter(meant), maker.chance)
        refused += is_refused(fraud, text)
        assert number < 3 * count + 100
    return number - refused


def is_refused(fraud, text):
    response = fraud.post("runs/search", experiment_ids=["0"], filter=text)
    if response.status_code == 200:
        return False
    assert response.status_code == 400, (text, response.content)
    body = orjson.loads(response.content)
    assert body["error_code"] == "INVALID_PARAMETER_VALUE"
    if "\x00" not in text:
        found = POSITION.search(body["message"])
        assert found, (text, body)
        assert 1 <= int(found[1]) <= len(text) + 1
    return True


def test_a_filter_with_mistakes_is_answered_or_refused_with_the_place(fraud, cast):
    RunFactory(experiment__project=cast.fraud)
    answered = send_mangled(fraud, EVERYDAY, 0)
    # Some mistakes make other filters, which are run.
    assert answered > 0


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_ten_thousand_filters_with_mistakes_are_refused_with_the_place(fraud, cast):
    RunFactory(experiment__project=cast.fraud)
    assert send_mangled(fraud, SOAK, 1_000_000) > 0


@pytest.mark.parametrize("path", ["experiments/search", "logged-models/search"])
def test_other_searches_refuse_mistakes_with_the_place_too(fraud, path):
    chance = Random(17)
    required = {"experiment_ids": ["0"], "max_results": 10}
    for _ in range(50):
        text = mangled("name = 'a' AND tags.`b c` LIKE '%d'", chance)
        response = fraud.post(path, filter=text, **required)
        assert response.status_code in (200, 400), text
        if response.status_code == 400:
            assert POSITION.search(response.json()["message"]), text


@pytest.mark.parametrize("path", ["registered-models/search", "model-versions/search"])
def test_searches_of_the_registry_refuse_mistakes_with_the_place(fraud, path):
    chance = Random(18)
    for _ in range(50):
        text = mangled("name = 'a' AND tags.`b c` LIKE '%d'", chance)
        response = fraud.get(path, filter=text)
        assert response.status_code in (200, 400), text
        if response.status_code == 400:
            assert POSITION.search(response.json()["message"]), text
