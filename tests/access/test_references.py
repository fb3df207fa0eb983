"""Ids and names of others in any place of a request.

Cases D2, D5 to D8, D14, D22, D23, I2, I8 and I9.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest
from django.db import transaction

from registry import models as registry
from tenants import models as tenants
from tests.access.answers import Answer, Masked, answer
from tests.access.asks import (
    JSON,
    WRITING,
    Ask,
    Way,
    ask_of,
    texts_of,
    ways,
)
from tests.access.matrix import Matrix
from tests.access.test_matrix import first_of_each_line
from tests.access.world import Holding, running_as
from tests.mounts import Mount, mounts

REST = "/api/v1/organizations/acme/"
IN_FRAUD = f"{REST}projects/fraud/"


@pytest.fixture(autouse=True)
def no_log_of_refusals() -> Iterator[None]:
    logger = logging.getLogger("django.request")
    logger.disabled = True
    yield
    logger.disabled = False


def ask_as(matrix: Matrix, role: str, ask: Ask, credential: str = "wide") -> Answer:
    with running_as("app_rw"):
        return answer(matrix.clients[role], ask, matrix.world.people[role], credential)


def masked(matrix: Matrix, role: str, ask: Ask, credential: str = "wide") -> Masked:
    return ask_as(matrix, role, ask, credential).masked(ask.said)


# D23: one foreign reference among one's own


def bodies(matrix: Matrix, way: Way) -> dict[str, dict[str, Any]]:
    """The same request about one's own, about umbrella's and about nobody's."""
    found = {}
    for name in ("own", "foreign", "random"):
        ask = ask_of(way, matrix.targets[name])
        found[name] = json.loads(ask.body) if ask.kind == JSON and ask.body else {}
    return found


def mixed(matrix: Matrix, way: Way, field: str, target: str) -> Ask:
    """One's own request, in which one field speaks of somebody else's."""
    given = bodies(matrix, way)
    body = {**given["own"], field: given[target][field]}
    own = ask_of(way, matrix.targets["own"])
    said = (*own.said, *texts_of(body), str(getattr(matrix.world, target).number))
    return replace(own, body=json.dumps(body).encode(), said=said)


def writing_ways() -> list[Way]:
    found = first_of_each_line(ways(every=False))
    inside = [w for w in found if not (w.route.is_admin or w.route.is_public)]
    wide = [w for w in inside if w.credential == "wide" and w.mount != "workspace"]
    return [way for way in wide if way.method in WRITING]


def test_a_foreign_reference_in_any_field_answers_like_one_to_nothing(matrix):
    asked = 0
    for way in writing_ways():
        given = bodies(matrix, way)
        for field in given["own"]:
            names = (way.line[0], field)
            if given["own"][field] == given["foreign"][field]:
                continue
            theirs, nobodys = (
                masked(matrix, "owner", mixed(matrix, way, field, target))
                for target in ("foreign", "random")
            )
            asked += 1
            assert theirs.comparable == nobodys.comparable, names
            assert not theirs.gives_away(matrix.secrets), names
    assert asked > 60


# D22, D14: what exists elsewhere is in nobody's way


def creating_ways() -> list[Way]:
    return [
        way
        for way in writing_ways()
        if way.method == "POST" and way.route.actions.get("post") == "create"
    ]


def test_an_id_that_the_client_makes_up_is_not_the_rows(matrix):
    for way in creating_ways():
        own = ask_of(way, matrix.targets["own"])
        model = way.route.view_set.queryset.model
        for holding in (matrix.world.foreign, matrix.world.random):
            key = str(holding.key(model))
            body = {**json.loads(own.body), "id": key, "organization": key}
            given = ask_as(
                matrix, "owner", replace(own, body=json.dumps(body).encode())
            )
            assert given.status in (201, 400), way
            if given.status == 201:
                assert json.loads(given.body)["id"] != key, way


# Fields that are unique, and what umbrella's row says there.
TAKEN_BY_OTHERS = {
    "experiments": ("name", "trees"),
    "models": ("name", "scorer"),
    "deployments": ("name", "live"),
    "alert-rules": ("name", "slow"),
}


def test_a_name_that_others_use_is_free(matrix):
    for collection in TAKEN_BY_OTHERS:
        check_names(matrix, collection)


def check_names(matrix: Matrix, collection: str) -> None:
    field, noun = TAKEN_BY_OTHERS[collection]
    way = way_to(f"projects/<project>/{collection}/")
    own = ask_of(way, matrix.targets["own"])
    # One name may be used in several environments.
    body = {k: v for k, v in json.loads(own.body).items() if k != "environment"}
    expected = {"foreign": 201, "other": 201, "own": 409}
    for target, status in expected.items():
        body[field] = getattr(matrix.world, target).text(noun)
        ask = replace(own, body=json.dumps(body).encode())
        assert ask_as(matrix, "owner", ask).status == status, target


def test_a_project_and_a_robot_may_be_called_like_those_of_others(matrix):
    theirs = matrix.world.foreign
    project = {"slug": theirs.project, "name": "ours"}
    robot = {"name": theirs.person("robot")}
    for address, body in (("projects/", project), ("service-accounts/", robot)):
        ask = Ask("POST", REST + address, json.dumps(body).encode())
        assert ask_as(matrix, "owner", ask).status == 201, address


def way_to(end: str) -> Way:
    (found,) = (way for way in creating_ways() if way.line[0].endswith(end))
    return found


def rename(mount: Mount, experiment: int, name: str) -> Ask:
    body = {"experiment_id": str(experiment), "new_name": name}
    return mlflow(mount, "POST", "experiments/update", body)


def mlflow(mount: Mount, method: str, endpoint: str, given: dict[str, Any]) -> Ask:
    address = mount.url(endpoint)
    said = tuple(texts_of(given))
    if method == "GET":
        query = urlencode(given, doseq=True)
        return Ask(method, f"{address}?{query}", headers=mount.headers, said=said)
    body = json.dumps(given).encode()
    return Ask(method, address, body, headers=mount.headers, said=said)


def credential_at(mount: Mount) -> str:
    return "bound" if mount.name.startswith("token") else "wide"


def test_an_experiment_may_be_renamed_to_what_others_use_but_not_twice(matrix):
    world = matrix.world
    for mount in mounts():
        for holding, status in (
            (world.foreign, 200),
            (world.other, 200),
            (world.deleted, 400),
        ):
            ask = rename(mount, world.own.number, holding.text("trees"))
            given = ask_as(matrix, "editor", ask, credential_at(mount))
            assert given.status == status, (mount, holding.mark)
        assert json.loads(given.body)["error_code"] == "RESOURCE_ALREADY_EXISTS"


# D6: numbers of experiments, mixed


def searches(world: Any) -> list[tuple[list[str], bool]]:
    """Lists of experiments, and whether one's own run is found by them."""
    own, theirs = str(world.own.number), str(world.foreign.number)
    other = str(world.other.number)
    return [
        ([own, theirs], True),
        ([theirs, own, own, other], True),
        ([theirs], False),
        ([other, theirs], False),
        ([], False),
    ]


def test_a_search_finds_ones_own_among_foreign_experiments(matrix):
    for mount in mounts():
        for numbers, found in searches(matrix.world):
            ask = mlflow(mount, "POST", "runs/search", {"experiment_ids": numbers})
            given = ask_as(matrix, "viewer", ask, credential_at(mount))
            assert given.status == 200, given.body
            runs = [
                run["info"]["run_id"] for run in json.loads(given.body).get("runs", [])
            ]
            assert runs == ([matrix.world.own.run] if found else []), (mount, numbers)


def test_a_search_of_too_many_experiments_is_refused_like_any_other(matrix):
    world = matrix.world
    for mount in mounts():
        for first in (world.own.number, world.foreign.number, world.random.number):
            numbers = [str(first), *map(str, range(10_000_000, 10_010_000))]
            ask = mlflow(mount, "POST", "runs/search", {"experiment_ids": numbers})
            given = ask_as(matrix, "viewer", ask, credential_at(mount))
            assert given.status == 400, mount
            assert b"search at most 10000 at once" in given.body


# D7: filters of lists that name what is foreign


def filters_of(way: Way) -> list[str]:
    filterset = getattr(way.route.view_set, "filterset_class", None)
    return sorted(filterset.base_filters) if filterset else []


def values_of(name: str, held: Holding) -> list[str]:
    """What a filter may say of the holding: what its rows have in such a column."""
    noun = name.partition("__")[0].removesuffix("_name")
    rows = held.rows.values()
    columns = (name, f"{noun}_id")
    found = {str(getattr(row, each, "")) for row in rows for each in columns}
    found |= {str(row.pk) for row in rows if type(row).__name__.lower() == noun}
    found |= {held.person("user"), held.text("scorer"), held.person("robot")}
    return sorted(each for each in found if is_telling(each, held))


def is_telling(value: str, held: Holding) -> bool:
    return held.mark[:3] in value or value in {str(r.pk) for r in held.rows.values()}


def listing_ways() -> list[Way]:
    found = first_of_each_line(ways(every=False))
    lists = [way for way in found if way.route.actions.get("get") == "list"]
    return [w for w in lists if w.method == "GET" and w.credential == "wide"]


def test_no_filter_of_a_list_finds_what_is_foreign(matrix):
    asked = 0
    for way in listing_ways():
        own = ask_of(way, matrix.targets["own"])
        for name in filters_of(way):
            nobodys = masked(matrix, "owner", filtered(own, name, str(UUID(int=7))))
            for value in values_of(name, matrix.world.foreign):
                theirs = masked(matrix, "owner", filtered(own, name, value))
                assert not theirs.gives_away(matrix.secrets), (way, name, value)
                if theirs.status == nobodys.status == 200:
                    assert theirs.comparable == nobodys.comparable, (way, name, value)
                asked += 1
    assert asked > 150


def filtered(ask: Ask, name: str, value: str) -> Ask:
    address = f"{ask.address}?{urlencode({name: value})}"
    return replace(ask, address=address, said=(*ask.said, value))


# D8: pages of others


def test_a_page_token_opens_no_page_of_another_project(matrix, world):
    for mount in mounts():
        token = page_token(matrix, mount, world.own)
        for name in ("churn", "moonb"):
            elsewhere = mounts("acme", name)
            (there,) = (m for m in elsewhere if m.name == mount.name)
            if there.name.startswith("token"):
                continue
            ask = search(there, world.other, token)
            given = ask_as(matrix, "owner", ask)
            assert given.status == (400 if name == "churn" else 404), there
            assert world.own.mark.encode() not in given.body


def page_token(matrix: Matrix, mount: Mount, held: Holding) -> str:
    for number in (1, 2):
        run = held.rows[registry.Run]
        run.pk, run.iid = UUID(int=run.pk.int + number), run.iid + number
        with transaction.atomic():
            if not registry.Run._base_manager.filter(iid=run.iid).exists():
                run.save(force_insert=True)
    credential = credential_at(mount)
    given = ask_as(matrix, "owner", search(mount, held, ""), credential)
    return str(json.loads(given.body)["next_page_token"])


def search(mount: Mount, held: Holding, token: str) -> Ask:
    given = {
        "experiment_ids": [str(held.number)],
        "max_results": 1,
        "page_token": token,
    }
    return mlflow(mount, "POST", "runs/search", given)


# D2, D5: families of endpoints that MLflow has and that are not served

ABSENT = (
    ("GET", "api/2.0/mlflow/traces/{run}/info"),
    ("GET", "api/3.0/mlflow/traces/{run}"),
    ("PATCH", "api/2.0/mlflow/traces/{run}/tags"),
    ("GET", "ajax-api/3.0/mlflow/scorers/list?experiment_id={number}"),
    ("POST", "api/2.0/mlflow/webhooks/{run}/test"),
    ("GET", "ajax-api/2.0/mlflow/get-trace-artifact?request_id={run}"),
    # Of artifacts there is one version only.
    ("POST", "api/3.0/mlflow-artifacts/mpu/create/{number}/{run}/artifacts/a"),
    ("GET", "ajax-api/3.0/mlflow-artifacts/presigned/{number}/{run}/artifacts/a"),
)
# Where no project is named, a token of several is told to name one.
PLACED = (("/", "bound"), ("/mlflow/acme/fraud/", "wide"))


def test_what_is_not_served_says_the_same_of_everything(matrix):
    for (method, address), (before, credential) in product(ABSENT, PLACED):
        answers = set()
        for name in ("own", "other", "foreign", "random"):
            held = getattr(matrix.world, name)
            names = {"run": held.run, "number": str(held.number)}
            said = tuple(names.values())
            ask = Ask(method, before + address.format(**names), said=said)
            answers.add(masked(matrix, "owner", ask, credential).comparable)
        assert {status for status, *_ in answers} == {404}, answers
        assert len(answers) == 1


# I2: a private project's run through another project's address


def test_a_run_is_found_by_no_number_or_id_through_another_project(matrix):
    world = matrix.world
    number, key = world.own.rows[registry.Run].iid, world.own.key(registry.Run)
    elsewhere = f"{REST}projects/churn/runs/"
    found = ask_as(matrix, "owner", Ask("GET", f"{IN_FRAUD}runs/{key}/"))
    assert found.status == 200
    by_key = ask_as(matrix, "owner", Ask("GET", f"{elsewhere}{key}/"))
    assert by_key.status == 404
    by_number = ask_as(matrix, "owner", Ask("GET", f"{elsewhere}?iid={number}"))
    assert json.loads(by_number.body)["results"] == []
    for mount in mounts(project="churn"):
        if not mount.name.startswith("token"):
            ask = mlflow(mount, "GET", "runs/get", {"run_id": key.hex})
            assert ask_as(matrix, "owner", ask).status == 404, mount


# I8: nobody is of all organizations in the product's own interfaces


def test_a_superuser_is_a_stranger_outside_of_the_admin(world, matrix):
    user = world.people["staff"].user
    assert user is not None
    tenants.User._base_manager.filter(pk=user.pk).update(is_superuser=True)
    with running_as("app_rw"):
        matrix.run(first_of_each_line(rows_only()), ["staff"], about_rows)
    assert not matrix.found.problems, str(matrix.found)
    for line, cells in matrix.found.letters.items():
        assert "+" not in cells.values(), line


def about_rows(way: Way, role: str, target: str) -> bool:
    return target in {"own", "at foreign"}


def rows_only() -> list[Way]:
    """All that is about rows of an organization, by session."""
    named = [w for w in ways(every=False) if "organization" in w.route.parameters]
    return [
        way for way in named if way.credential == "session" and not way.route.is_public
    ]


# I9: each surface has its lines


def test_all_surfaces_are_asked_about():
    keys = {way.line[0].split("/")[0] for way in ways(every=False)}
    assert keys >= {"api", "admin", "mlflow", "mlflow-artifacts", "health"}
