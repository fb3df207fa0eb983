"""Schemathesis on the description of REST: what it allows, and what it forbids.

Each generated request is sent once per role. In process: the database is real, the
network is not there. A failure prints FUZZ_SEED, which makes the same run again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from random import Random
from typing import Any

import pytest
import requests
import schemathesis
from django.db import transaction
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode, Response

from monitoring.models import AlertRule
from registry import models as registry
from tests.fuzz.verdicts import (
    SEED,
    Findings,
    calls,
    content_of,
    failures,
    ill_formed,
    message_of_rest,
)
from tests.fuzz.world import World, make_world, models_by_path

# Shared out among roles and operations, rounded down.
EVERYDAY, SOAK = 2_000, 103_000
SITE = "http://testserver"
PLACE = {"organization": "acme", "project": "fraud"}
# Members of a body or a query that hold the id of another row.
REFERENCES = {
    "experiment": registry.Experiment,
    "model": registry.RegisteredModel,
    "run": registry.Run,
    "model_version": registry.ModelVersion,
    "deployment": registry.Deployment,
    "rule": AlertRule,
}
# After these the caller may be out, so that nothing more would be learnt.
FAREWELLS = ("DELETE", "revoke", "rotate", "restore")


@pytest.fixture
def world(cast) -> Iterator[World]:
    logging.disable(logging.ERROR)  # each refusal would be a line
    yield make_world(cast)
    logging.disable(logging.NOTSET)


@dataclass
class Fuzzer:
    """Sends what schemathesis makes of one description, as every role."""

    world: World
    operations: list[Any]
    findings: Findings
    random: Random

    @classmethod
    def of(cls, world: World) -> Fuzzer:
        found = world.callers["owner"].get(
            "/api/v1/schema/", headers={"accept": "application/json"}
        )
        schema = schemathesis.openapi.from_dict(json.loads(found.content))
        found_all: Any = schema.get_all_operations()
        operations = [each.ok() for each in found_all]
        return cls(world, operations, Findings(), Random(SEED))

    def run(self, requests_in_all: int) -> None:
        kinds = len(self.operations) * len(GenerationMode) * len(self.world.callers)
        each = max(1, requests_in_all // kinds)
        for number, operation in enumerate(self.operations):
            for mode in GenerationMode:
                self.run_operation(operation, mode, each, SEED + number)

    def run_operation(
        self, operation: Any, mode: GenerationMode, count: int, first: int
    ) -> None:
        @seed(first)
        @settings(
            max_examples=count,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(self.cases_of(operation, mode))
        def ask(case: Any) -> None:
            self.ask_as_everybody(operation, case)

        with undone():
            ask()

    def cases_of(self, operation: Any, mode: GenerationMode) -> Any:
        """Make requests to rows of acme, of umbrella, and to whatever is generated."""
        places = {parameter.name for parameter in operation.path_parameters}
        fixed = {name: slug for name, slug in PLACE.items() if name in places}
        model = models_by_path().get(operation.path)
        keys: list[dict[str, str]] = [{}]
        if model is not None and (lacking := places - set(PLACE)):
            (name,) = lacking
            keys += [{name: self.world.own[model]}] * 3
            keys += [{name: self.world.foreign[model]}]
        elif "project" in places and model is not None:
            keys += [{"project": "moonbase"}]
        if places >= set(self.world.file):
            keys += [self.world.file] * 3
        strategies = [
            operation.as_strategy(mode, path_parameters=fixed | key) for key in keys
        ]
        return st.one_of(strategies)

    def ask_as_everybody(self, operation: Any, case: Any) -> None:
        request = self.request_of(case)
        if request is None:
            return
        stays = not any(word in f"{case.method}{case.path}" for word in FAREWELLS)
        for role, client in self.world.callers.items():
            with undone(unless=stays and role == "owner"):
                response = sent(client, request, own_headers(request))
                self.judge(operation, role, request, response)
                if request.method == "POST" and self.random.random() < 0.1:
                    self.repeat(operation, role, request)

    def repeat(
        self, operation: Any, role: str, request: requests.PreparedRequest
    ) -> None:
        """Ask twice under one key: the second answer must be the first one's."""
        key = f"again-{self.random.getrandbits(64)}"
        headers = own_headers(request) | {"Idempotency-Key": key}
        client = self.world.callers[role]
        first, second = (sent(client, request, headers) for _ in range(2))
        for response in (first, second):
            self.judge(operation, role, request, response)
        if first.status_code < 400 and not is_repeated(first, second):
            asked = f"{role}: {request.method} {request.url} with {key}"
            self.findings.add(
                f"{operation.label}: answered otherwise when sent again",
                asked,
                f"{first.status_code} {content_of(first)[:300]!r}\n"
                f"{second.status_code} {content_of(second)[:300]!r}",
            )

    def request_of(self, case: Any) -> requests.PreparedRequest | None:
        made = case.as_transport_kwargs(base_url=SITE)
        self.refer(made.get("json"))
        self.refer(made.get("params"))
        wanted = ("method", "url", "params", "headers", "json", "data", "files")
        try:
            return requests.Request(
                **{name: made[name] for name in wanted if name in made}
            ).prepare()
        except (ValueError, requests.RequestException):
            return None  # no client could send it

    def refer(self, named: Any) -> None:
        """Let a generated reference lead to a row of acme's, or of umbrella's."""
        if not isinstance(named, dict):
            return
        for name in set(named) & set(REFERENCES):
            chosen = self.random.choice((None, self.world.own, self.world.foreign))
            if chosen is not None and isinstance(named[name], str):
                named[name] = chosen[REFERENCES[name]]

    def judge(
        self,
        operation: Any,
        role: str,
        request: requests.PreparedRequest,
        response: Any,
    ) -> None:
        asked = f"{role}: {request.method} {request.url} {request.body!r:.600}"
        problems = [*failures(response), *ill_formed(response, message_of_rest)]
        if not problems:
            problems += self.against_description(operation, request, response)
        problems += [
            f"shows {mark!r} of umbrella's"
            for mark in self.world.shown(content_of(response))
            if mark not in echo_of(request)
        ]
        self.findings.judge(operation.label, asked, response, problems)

    def against_description(
        self, operation: Any, request: requests.PreparedRequest, response: Any
    ) -> list[str]:
        headers = {name.lower(): [value] for name, value in response.headers.items()}
        answer = Response(
            response.status_code, headers, content_of(response), request, 0.0, False
        )
        try:
            operation.validate_response(answer)
        except BaseExceptionGroup as group:
            return [str(error).replace("\n", " ")[:600] for error in group.exceptions]
        except schemathesis.checks.Failure as error:
            return [str(error).replace("\n", " ")[:600]]
        return []


def sent(client: Any, request: requests.PreparedRequest, headers: Any) -> Any:
    return client.generic(
        request.method or "",
        request.path_url,
        body_of(request),
        str(request.headers.get("Content-Type", "")),
        headers=headers,
    )


def is_repeated(first: Any, second: Any) -> bool:
    """A secret is shown once; who asks again hears that, and not that it is done."""
    if second.status_code == 409:
        return b"showed a secret" in content_of(second)
    answers = [(each.status_code, content_of(each)) for each in (first, second)]
    return answers[0] == answers[1]


def body_of(request: requests.PreparedRequest) -> bytes:
    body: Any = request.body or b""
    return body.encode() if isinstance(body, str) else bytes(body)


def own_headers(request: requests.PreparedRequest) -> dict[str, Any]:
    ours = {"content-length", "content-type", "authorization", "cookie"}
    return {
        name: value
        for name, value in request.headers.items()
        if name.lower() not in ours
    }


def echo_of(request: requests.PreparedRequest) -> bytes:
    """Return what the caller said itself, which an answer may repeat."""
    return (request.url or "").encode() + body_of(request)


@contextmanager
def undone(*, unless: bool = False) -> Iterator[None]:
    with transaction.atomic():
        yield
        if not unless:
            transaction.set_rollback(True)


def test_rest_answers_whatever_is_generated(world):
    fuzzer = Fuzzer.of(world)
    fuzzer.run(EVERYDAY)
    fuzzer.findings.check()


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_rest_answers_a_hundred_thousand_generated_requests(world):
    fuzzer = Fuzzer.of(world)
    count = calls(SOAK)
    fuzzer.run(count)
    fuzzer.findings.check()
    # Of few calls, what is no multiple of the operations is left out.
    least = 0.97 if count == SOAK else 0.6
    assert fuzzer.findings.asked >= least * count  # 100 000, if nobody says otherwise
    print("Never accepted:", fuzzer.findings.never_accepted)
