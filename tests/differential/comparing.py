"""What differs between two answers, once ids and the time of day are taken out."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

from tests.differential.calls import Call
from tests.differential.sides import Answer, Side

DAY_MS = 24 * 3600 * 1000
# Made by the server: ids of runs and others, and the words of a run without a name.
MADE = re.compile(r"\b(m-|d-|dr-)?[0-9a-f]{32}\b")
RUN_NAME = re.compile(r"[a-z]+-[a-z]+-\d{1,4}")
# That of an evaluation dataset hashes the time, too.
DIGEST = re.compile(r"[0-9a-f]{8}")
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")
# Numbers that are no names by themselves: only where they stand for an experiment.
NUMBERED = re.compile(
    r"(mlflow-artifacts:/|\bexperiment |\bID |\bid[= ]|\bid: |^experiments/)'?(\d+)\b"
)
ABSENT = "<absent>"
# Fields of evaluation datasets that hold JSON as a text.
WRITTEN = ("records", "tags", "schema", "profile")
POINT = ("key", "timestamp", "step", "value")
IDENTITIES = ("run_id", "model_id", "experiment_id", "dataset_id", "path")


class Kind(IntEnum):
    """What a difference means to a client; the greatest of a call's counts."""

    FIELD = 1
    WORDS = 2
    REFUSAL = 3
    STRICTER = 4
    LOOSER = 5
    MEANING = 6


OF_REFUSALS = {
    (True, True): Kind.REFUSAL,
    (False, True): Kind.STRICTER,
    (True, False): Kind.LOOSER,
    (False, False): Kind.MEANING,
}


@dataclass(frozen=True, slots=True)
class Difference:
    """One place of an answer; `what` is status, type, error_code, message or body.

    `refused` says of MLflow's server and of ours whether it answered with an error.
    """

    call: Call
    what: str
    place: str
    reference: Any
    ours: Any
    refused: tuple[bool, bool] = (False, False)

    @property
    def kind(self) -> Kind:
        if ABSENT in (self.reference, self.ours) and not self.is_of_rows:
            return Kind.FIELD
        if self.what == "message":
            return Kind.WORDS
        return OF_REFUSALS[self.refused]

    @property
    def is_of_rows(self) -> bool:
        """Whether one side has found something where the other has nothing."""
        return any(type(each) is list and each for each in (self.reference, self.ours))

    def __str__(self) -> str:
        place = f" at {self.place}" if self.place else ""
        return (
            f"{self.call}\n    {self.what}{place}\n"
            f"      MLflow: {self.reference!r:.600}\n      ours:   {self.ours!r:.600}"
        )


def differences(
    call: Call, pair: tuple[Side, Side], answers: tuple[Answer, Answer]
) -> list[Difference]:
    """Compare what both sides answered to `call`.

    Where status, type or error code differ, all else follows from it, and the two
    answers stand in one difference.
    """
    reference, ours = (
        replace(answer, body=normal(answer.body, known_to(side.names)))
        for side, answer in zip(pair, answers, strict=True)
    )
    refused = reference.status >= 400, ours.status >= 400
    for what, left, right in (
        ("status", reference.status, ours.status),
        ("type", reference.content_type, ours.content_type),
        ("error_code", reference.error_code, ours.error_code),
    ):
        if left != right:
            return [Difference(call, what, "", str(reference), str(ours), refused)]
    return [
        Difference(
            call,
            "message" if place == "message" else "body",
            place,
            left,
            right,
            refused,
        )
        for place, left, right in unequal(reference.body, ours.body)
    ]


def known_to(names: Mapping[str, str]) -> dict[str, str]:
    """Return what each id of a side is called; the first of its names counts."""
    known: dict[str, str] = {}
    for name, text in names.items():
        known.setdefault(text, f"<{name}>")
    return known


def normal(value: Any, known: Mapping[str, str], field: str = "") -> Any:
    """Put names for ids and a word for the present time, however deep."""
    if isinstance(value, dict):
        return {
            key: in_order(key, normal(each, known, key)) for key, each in value.items()
        }
    if isinstance(value, list):
        return [normal(each, known, field) for each in value]
    if isinstance(value, str):
        return normal_text(value, known, field)
    if type(value) is int and abs(value - time.time() * 1000) < DAY_MS:
        return "<now>"
    return value


def in_order(field: str, value: Any) -> Any:
    """Sort what has no order of its own: labels, latest values, datasets of a run."""
    if field == "data" and isinstance(value, dict) and "metrics" in value:
        return {**value, "metrics": by_key(value["metrics"])}
    if field == "dataset_inputs" and isinstance(value, list):
        return sorted(value, key=str)
    return by_key(value) if field in ("tags", "params") else value


def by_key(items: Any) -> Any:
    if isinstance(items, list) and all(isinstance(each, dict) for each in items):
        return sorted(items, key=lambda each: [str(each.get(part)) for part in POINT])
    return items


def normal_text(text: str, known: Mapping[str, str], field: str) -> str:
    if field == "next_page_token":
        return "<token>"
    if field == "digest" and DIGEST.fullmatch(text):
        return "<digest>"
    if field in WRITTEN:
        with suppress(ValueError):
            return json.dumps(normal(json.loads(text), known), sort_keys=True)
    if field.endswith("Time") and text.isdigit():
        return str(normal(int(text), known))
    if field in ("experiment_id", "experimentId", "experiment_ids"):
        return known.get(text, text)
    if field in ("run_name", "runName", "name", "value") and RUN_NAME.fullmatch(text):
        return "<made-up name>"
    text = MADE.sub(lambda found: known.get(found[0], "<id>"), text)
    text = NUMBERED.sub(lambda found: found[1] + known.get(found[2], found[2]), text)
    return ADDRESS.sub("<server>", text)


def unequal(
    reference: Any, ours: Any, place: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Yield the places where the two differ."""
    if isinstance(reference, dict) and isinstance(ours, dict):
        for key in sorted(reference.keys() | ours.keys()):
            yield from unequal(
                reference.get(key, ABSENT), ours.get(key, ABSENT), below(place, key)
            )
    elif isinstance(reference, list) and isinstance(ours, list):
        if len(reference) != len(ours):
            yield place, reference, ours
            return
        if identities(reference) != identities(ours):
            yield place, identities(reference), identities(ours)
            return
        for index, pair in enumerate(zip(reference, ours, strict=True)):
            yield from unequal(*pair, below(place, str(index)))
    elif kind(reference) is not kind(ours) or reference != ours:
        yield place, reference, ours


def identities(items: list[Any]) -> list[str]:
    """Name the runs, models or experiments of a list, so that its order is one fact."""
    rows = (each.get("info", each) for each in items if isinstance(each, dict))
    return [
        next((row[key] for key in IDENTITIES if key in row), "")
        for row in rows
        if isinstance(row, dict)
    ]


def kind(value: Any) -> type:
    """Return the kind of a JSON value: it knows one of numbers, 1 and 1.0 alike."""
    return float if type(value) is int else type(value)


def below(place: str, step: str) -> str:
    return f"{place}.{step}" if place else step
