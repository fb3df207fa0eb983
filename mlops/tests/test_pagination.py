from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

import pytest

from conftest import client_of
from mlops.api.pagination import open_cursor, read_limit, seal_cursor
from mlops.errors import InvalidInput
from registry.tests.factories import PackageFactory, PackageFileFactory, RunFactory
from tenants.tests.factories import make_api_token

RUNS = "/api/v1/organizations/acme/projects/fraud/runs/"


def pages(client, address):
    """Follow `next` to the end."""
    while address:
        page = client.get(address).json()
        yield page["results"]
        address = page["next"]


def ids(rows):
    return [row["id"] for row in rows]


def cursor_of(client, address):
    link = client.get(address).json()["next"]
    return parse_qs(urlsplit(link).query)["cursor"][0]


# Limits


@pytest.mark.parametrize("text,expected", [(None, 30), ("1", 1), ("200", 200)])
def test_a_limit_is_read(text, expected):
    assert read_limit(text) == expected


@pytest.mark.parametrize(
    "text",
    ["", "0", "-1", "201", "1e2", "1.0", " 5", "5 ", "٣", "x", "9" * 5000, "0001"],
)
def test_a_limit_that_is_none_is_refused(text):
    with pytest.raises(InvalidInput, match="1 to 200"):
        read_limit(text)


# Cursors


def test_a_cursor_opens_what_it_was_sealed_for():
    for value in ("1", "models/ä b.txt", "", "x" * 1000):
        assert open_cursor(seal_cursor(value, "list"), "list") == value


@pytest.mark.parametrize(
    "cursor", ["", "x", "é", "====", "AAAA", "A" * 27, "A" * 5000, "\x00", "../.."]
)
def test_a_cursor_that_nobody_sealed_is_refused(cursor):
    with pytest.raises(InvalidInput, match="does not belong to this list"):
        open_cursor(cursor, "list")


def test_a_cursor_opens_no_other_list():
    with pytest.raises(InvalidInput):
        open_cursor(seal_cursor("1", "list"), "another list")


def test_every_changed_character_breaks_a_cursor():
    cursor = seal_cursor("0197", "list")
    for position, character in enumerate(cursor):
        other = "A" if character != "A" else "B"
        changed = cursor[:position] + other + cursor[position + 1 :]
        try:
            # The last character holds bits that mean nothing.
            assert open_cursor(changed, "list") == "0197"
            assert position == len(cursor) - 1
        except InvalidInput:
            pass


def test_a_cursor_survives_a_new_secret_key_while_the_old_one_is_known(settings):
    cursor = seal_cursor("1", "list")
    settings.SECRET_KEY_FALLBACKS = [settings.SECRET_KEY]
    settings.SECRET_KEY = "another"
    assert open_cursor(cursor, "list") == "1"
    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(InvalidInput):
        open_cursor(cursor, "list")


# Pages


def test_pages_show_every_row_once_newest_first(alice, make_runs):
    runs = make_runs(7)
    found = [key for rows in pages(alice, RUNS + "?limit=3") for key in ids(rows)]
    assert found == [str(run.pk) for run in reversed(runs)]


@pytest.mark.parametrize("rows,limit", [(3, 3), (6, 3), (0, 3), (1, 200)])
def test_the_last_page_says_so(alice, make_runs, rows, limit):
    make_runs(rows)
    sizes = [len(page) for page in pages(alice, f"{RUNS}?limit={limit}")]
    rest = [rows % limit] if rows % limit else []
    assert sizes == ([limit] * (rows // limit) + rest or [0])


def test_a_row_that_comes_meanwhile_moves_no_page(alice, make_runs):
    runs = make_runs(4)
    first = alice.get(RUNS + "?limit=2").json()
    make_runs(3)
    second = alice.get(first["next"]).json()
    assert ids(second["results"]) == [str(runs[1].pk), str(runs[0].pk)]


def test_a_page_costs_the_same_however_deep(alice, make_runs):
    make_runs(30, files=1)
    address, costs = RUNS + "?limit=5", set()
    while address:
        response = alice.get(address)
        costs.add(response["X-Query-Count"])
        address = response.json()["next"]
    assert len(costs) == 1


def test_thirty_rows_come_when_no_limit_is_said(alice, make_runs):
    make_runs(31)
    assert [len(page) for page in pages(alice, RUNS)] == [30, 1]


def test_the_size_of_a_page_may_change_on_the_way(alice, make_runs):
    make_runs(5)
    cursor = cursor_of(alice, RUNS + "?limit=1")
    page = alice.get(f"{RUNS}?limit=200&cursor={cursor}").json()
    assert len(page["results"]) == 4


def test_files_are_paged_by_a_field_that_is_no_id(alice, cast):
    package = PackageFactory(project=cast.fraud)
    names = ["b", "a", "ä", "a b", "a/b", "Z", "%"]
    for name in names:
        PackageFileFactory(package=package, path=name)
    address = RUNS.replace("runs", f"packages/{package.pk}") + "?limit=2"
    found = []
    while address:
        files = alice.get(address).json()["files"]
        found += [file["path"] for file in files["results"]]
        address = files["next"]
    assert sorted(found) == sorted(names)
    assert len(found) == len(names)


# Whose cursor it is


def test_a_cursor_is_bound_to_its_filters(alice, make_runs):
    make_runs(3)
    cursor = cursor_of(alice, RUNS + "?limit=1&status=RUNNING")
    for query in ("", "&status=FAILED", "&status=RUNNING&name=x"):
        response = alice.get(f"{RUNS}?cursor={cursor}{query}")
        assert response.status_code == 400, query
    same = alice.get(f"{RUNS}?status=RUNNING&limit=1&cursor={cursor}")
    assert same.status_code == 200


def test_a_cursor_is_bound_to_organization_project_and_list(
    alice, mallory, make_runs, cast
):
    make_runs(2)
    RunFactory.create_batch(2, experiment__project=cast.umbrella_fraud)
    cursor = cursor_of(alice, RUNS + "?limit=1")
    for client, address in (
        (mallory, RUNS.replace("acme", "umbrella")),
        (alice, RUNS.replace("fraud", "churn")),
        (alice, RUNS.replace("runs", "experiments")),
    ):
        response = client.get(f"{address}?cursor={cursor}")
        assert response.status_code == 400
        assert "does not belong" in response.json()["error"]["message"]


def test_a_cursor_tells_nothing_but_the_row_it_follows(alice, make_runs):
    make_runs(2)
    cursor = cursor_of(alice, RUNS + "?limit=1")
    again = cursor_of(alice, RUNS + "?limit=1")
    assert cursor == again
    assert "acme" not in cursor


def test_another_reader_of_the_same_list_may_go_on(alice, make_runs, cast):
    """It is the list that counts; what a viewer may not see is not in the list."""
    make_runs(3)
    bob = client_of(make_api_token(cast.bob, cast.acme).text)
    cursor = cursor_of(alice, RUNS + "?limit=1")
    assert json.loads(bob.get(f"{RUNS}?cursor={cursor}").content)["next"] is None
