"""Whatever two organizations do, in whatever order, neither sees anything of the other.

A state machine over the endpoints that write; after each step both look everywhere.
"""

from __future__ import annotations

import json
import logging
import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import pytest
from django.db import transaction
from django.test import Client
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)

from conftest import Cast
from tenants.tests.factories import make_api_token
from tests.access.world import running_as

SIDES = ("acme", "umbrella")
MARKS = {"acme": "aaaqz", "umbrella": "bbbqz"}
COLLECTIONS = (
    "experiments",
    "runs",
    "models",
    "model-versions",
    "packages",
    "deployments",
    "alert-rules",
    "members",
)
side = st.sampled_from(SIDES)
# Whose things the other one's request is about: mostly one's own, often the other's.
about = st.sampled_from(("own", "own", "other"))


class TwoOrganizations(RuleBasedStateMachine):
    """Each side keeps what its own requests have made, by kind."""

    cast: Cast
    tokens: dict[str, str]

    def __init__(self) -> None:
        super().__init__()
        self.made: dict[str, dict[str, list[str]]] = {
            name: defaultdict(list) for name in SIDES
        }
        self.client = Client()
        self.steps = 0
        # All of an example is taken back at its end.
        self.atomic = transaction.atomic()
        self.atomic.__enter__()
        self.role = running_as("app_rw")
        self.role.__enter__()

    def teardown(self) -> None:
        self.role.__exit__(None, None, None)
        transaction.set_rollback(True)
        self.atomic.__exit__(None, None, None)

    # Asking

    def ask(self, who: str, method: str, address: str, body: Any = None) -> Any:
        headers = {"authorization": f"Bearer {self.tokens[who]}"}
        content = json.dumps(body).encode() if body is not None else b""
        kind = "application/json"
        with transaction.atomic():
            response: Any = self.client.generic(
                method, address, content, kind, headers=headers
            )
        assert response.status_code < 500, (address, response.content)
        return response

    def hot(self, who: str, endpoint: str, **body: Any) -> Any:
        address = f"/mlflow/{who}/fraud/api/2.0/mlflow/{endpoint}"
        return self.ask(who, "POST", address, body)

    def rest(self, who: str, method: str, path: str, **body: Any) -> Any:
        address = f"/api/v1/organizations/{who}/projects/fraud/{path}"
        return self.ask(who, method, address, body)

    def pick(self, who: str, whose: str, kind: str) -> str:
        """The last thing of the kind that was made by oneself, or by the other."""
        owner = who if whose == "own" else next(s for s in SIDES if s != who)
        found = self.made[owner][kind]
        return found[-1] if found else uuid4().hex

    def keep(self, who: str, whose: str, kind: str, response: Any, *path: str) -> None:
        """Note what was made; with the other's things nothing can be."""
        if response.status_code not in (200, 201):
            return
        assert whose == "own", f"{who} made a {kind} of what is not its own"
        value: Any = json.loads(response.content)
        for name in path:
            value = value[name]
        self.made[who][kind].append(str(value))

    def text(self, who: str, noun: str) -> str:
        self.steps += 1
        return f"{MARKS[who]}-{noun}-{self.steps}"

    # MLflow

    @rule(who=side)
    def create_experiment(self, who: str) -> None:
        given = self.hot(who, "experiments/create", name=self.text(who, "trees"))
        self.keep(who, "own", "number", given, "experiment_id")

    @rule(who=side, whose=about)
    def create_run(self, who: str, whose: str) -> None:
        number = self.pick(who, whose, "number")
        # Numbers are counted in each project: the other's may be one's own as well.
        if number in self.made[who]["number"] or whose == "own":
            whose = "own"
        tags = [{"key": self.text(who, "key"), "value": self.text(who, "tag")}]
        given = self.hot(who, "runs/create", experiment_id=number, tags=tags)
        self.keep(who, whose, "run", given, "run", "info", "run_id")

    @rule(who=side, whose=about)
    def log(self, who: str, whose: str) -> None:
        run = self.pick(who, whose, "run")
        pair = {"key": self.text(who, "key"), "value": self.text(who, "value")}
        metric = {"key": self.text(who, "loss"), "value": 1.0, "timestamp": 1}
        given = self.hot(
            who,
            "runs/log-batch",
            run_id=run,
            params=[pair],
            tags=[pair],
            metrics=[metric],
        )
        self.keep(who, whose, "logged", given)

    @rule(who=side, whose=about)
    def rename(self, who: str, whose: str) -> None:
        run, name = self.pick(who, whose, "run"), self.text(who, "night")
        given = self.hot(who, "runs/update", run_id=run, run_name=name)
        self.keep(who, whose, "renamed", given)

    @rule(who=side, whose=about, verb=st.sampled_from(("delete", "restore")))
    def delete_or_restore_run(self, who: str, whose: str, verb: str) -> None:
        given = self.hot(who, f"runs/{verb}", run_id=self.pick(who, whose, "run"))
        self.keep(who, whose, verb, given)

    @rule(who=side, whose=about)
    def upload(self, who: str, whose: str) -> None:
        query = {"run_id": self.pick(who, whose, "run"), "path": self.text(who, "file")}
        address = f"/mlflow/{who}/fraud/ajax-api/2.0/mlflow/upload-artifact"
        given = self.ask(who, "POST", f"{address}?{urlencode(query)}", "bytes")
        self.keep(who, whose, "file", given)

    # REST

    @rule(who=side)
    def create_model(self, who: str) -> None:
        name, about_it = self.text(who, "scorer"), self.text(who, "about")
        given = self.rest(who, "POST", "models/", name=name, description=about_it)
        self.keep(who, "own", "model", given, "id")

    @rule(who=side, model=about, run=about)
    def create_version(self, who: str, model: str, run: str) -> None:
        given = self.rest(
            who,
            "POST",
            "model-versions/",
            model=self.pick(who, model, "model"),
            run=self.pick(who, run, "run"),
            description=self.text(who, "about"),
        )
        whose = "own" if model == run == "own" else "other"
        self.keep(who, whose, "version", given, "id")

    @rule(who=side, whose=about)
    def set_alias(self, who: str, whose: str) -> None:
        path = f"models/{self.pick(who, whose, 'model')}/set-alias/"
        name = self.text(who, "alias")
        given = self.rest(who, "POST", path, name=name, version=1)
        self.keep(who, whose, "alias", given)

    @rule(who=side, whose=about)
    def deploy(self, who: str, whose: str) -> None:
        version, name = self.pick(who, whose, "version"), self.text(who, "live")
        given = self.rest(who, "POST", "deployments/", name=name, model_version=version)
        self.keep(who, whose, "deployment", given, "id")

    @rule(who=side, whose=about)
    def watch(self, who: str, whose: str) -> None:
        deployment = self.pick(who, whose, "deployment")
        given = self.rest(
            who,
            "POST",
            "alert-rules/",
            name=self.text(who, "slow"),
            deployment=deployment,
            metric_name=self.text(who, "latency"),
            threshold=1.0,
        )
        self.keep(who, whose, "rule", given, "id")

    @rule(
        who=side,
        whose=about,
        kind=st.sampled_from(("model", "version", "deployment", "rule")),
        verb=st.sampled_from(("PATCH", "DELETE", "POST")),
    )
    def change(self, who: str, whose: str, kind: str, verb: str) -> None:
        """Change, delete or restore."""
        collection = OF_KIND[kind]
        path = f"{collection}/{self.pick(who, whose, kind)}/"
        body = {CHANGES[kind]: self.text(who, "changed")} if verb == "PATCH" else {}
        given = self.rest(who, verb, path + "restore/" * (verb == "POST"), **body)
        if whose == "other":
            assert given.status_code == 404, (verb, path)

    # Looking

    @invariant()
    def nobody_sees_anything_of_the_other(self) -> None:
        for who in SIDES:
            other = next(name for name in SIDES if name != who)
            pattern = self.secrets_of(other)
            for address, body in self.views_of(who, other):
                response = self.ask(who, "POST" if body else "GET", address, body)
                shown = response.getvalue().decode()
                found = pattern.search(said_by_nobody(shown, address))
                assert not found, f"{who} sees {found} at {address}"

    def secrets_of(self, other: str) -> re.Pattern[str]:
        kinds = ("run", "model", "version", "deployment", "rule")
        keys = [key for kind in kinds for key in self.made[other][kind]]
        return re.compile("|".join([MARKS[other], *map(re.escape, keys)]))

    def views_of(self, who: str, other: str) -> Iterator[tuple[str, Any]]:
        """All lists, and all that the other has made, by its id."""
        rest = f"/api/v1/organizations/{who}/projects/fraud/"
        hot = f"/mlflow/{who}/fraud/api/2.0/mlflow/"
        yield from ((f"{rest}{name}/", None) for name in COLLECTIONS)
        yield f"/api/v1/organizations/{who}/audit-logs/?limit=200", None
        yield f"{hot}experiments/search?max_results=100&view_type=ALL", None
        numbers = [str(number) for number in range(6)]
        yield f"{hot}runs/search", {"experiment_ids": numbers, "run_view_type": "ALL"}
        for run in self.made[other]["run"][-1:]:
            yield f"{hot}runs/get?run_id={run}", None
            yield f"{hot}artifacts/list?run_id={run}", None
        for kind, collection in OF_KIND.items():
            for key in self.made[other][kind][-1:]:
                yield f"{rest}{collection}/{key}/", None


OF_KIND = {
    "model": "models",
    "version": "model-versions",
    "deployment": "deployments",
    "rule": "alert-rules",
}
CHANGES = {
    "model": "description",
    "version": "description",
    "deployment": "environment",
    "rule": "name",
}


def said_by_nobody(shown: str, address: str) -> str:
    """Take the ids out that the request itself has said."""
    for key in re.findall(r"[0-9a-f-]{32,36}", address):
        shown = shown.replace(key, "*")
    return shown


def run_machine(
    cast: Cast, *, examples: int, steps: int, shrinking: bool = True
) -> None:
    people = {"acme": cast.alice, "umbrella": cast.mallory}
    places = {"acme": cast.acme, "umbrella": cast.umbrella}
    TwoOrganizations.tokens = {
        name: make_api_token(people[name], places[name]).text for name in SIDES
    }
    run_state_machine_as_test(
        TwoOrganizations,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            derandomize=examples < 20,
            suppress_health_check=list(HealthCheck),
            phases=list(Phase) if shrinking else [Phase.generate],
        ),
    )


@pytest.fixture(autouse=True)
def no_log_of_refusals() -> Iterator[None]:
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def test_two_organizations_see_nothing_of_each_other(cast):
    run_machine(cast, examples=3, steps=8)


@pytest.mark.soak
@pytest.mark.timeout(6 * 3600)
def test_two_organizations_see_nothing_of_each_other_in_10_000_steps(cast):
    run_machine(cast, examples=200, steps=50)


def test_the_machine_finds_what_it_looks_for(cast, monkeypatch):
    """With umbrella's mark taken for acme's own, the first experiment is a finding."""
    monkeypatch.setitem(MARKS, "umbrella", MARKS["acme"])
    with pytest.raises(AssertionError, match="sees"):
        run_machine(cast, examples=3, steps=8, shrinking=False)
