"""Asking the hot functions, and reading what they answer: JSON, or a word why not.

Single numbers travel as text: psycopg picks a type by the size of an integer, and each
mix of types would be one more statement to prepare.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import orjson

from mlops.db import hot
from mlops.db.uuid7 import uuid7
from mlops.errors import DomainError
from registry import refusals
from registry.refusals import ParamsChanged
from tenants.authentication import refusal
from tenants.callers import Caller
from tenants.sql import FROM_CALLER

PARAMS_CHANGED = "params_changed "
FULL = re.compile(r"(run_params|run_tags)_full (\d+) (\d+)")
RUN_ID = re.compile(r"[0-9a-f]{32}")


def admitted(call: str) -> str:
    """Write the statement that admits its caller and, if it may, makes the call."""
    return (
        f"SELECT CASE WHEN caller.verdict = 'ok' THEN {call} ELSE caller.verdict END"
        f"{FROM_CALLER}"
    )


def ask(
    statement: str,
    caller: Caller,
    parameters: Mapping[str, Any],
    *,
    run_id: str = "",
    experiment: object = "",
) -> bytes:
    """Return the JSON object. Raises what the word means instead."""
    answer = hot.fetch(statement, {**caller.parameters, **parameters})
    return read(answer, caller, run_id=run_id, experiment=experiment)


def read(
    answer: bytes, caller: Caller, *, run_id: str = "", experiment: object = ""
) -> bytes:
    """Return the JSON object. Raises what the word means instead."""
    if answer.startswith(b"{"):
        return answer
    raise _meaning(answer.decode(), caller, run_id, experiment)


def ask_page(
    statement: str, caller: Caller, parameters: Mapping[str, Any], *, run_id: str = ""
) -> tuple[bytes, list[str]]:
    """Return the JSON object and, if more follows, the place where the page ended."""
    answer = hot.fetch(statement, {**caller.parameters, **parameters})
    place, line_end, body = answer.partition(b"\n")
    if line_end:
        return body, place.decode().split()
    raise _meaning(answer.decode(), caller, run_id, "")


def run_key(run_id: str) -> str | None:
    """Return an id to look up; what is no id is not found, like any other."""
    return run_id if RUN_ID.fullmatch(run_id) else None


def columns_of(noun: str, texts: Mapping[str, str]) -> dict[str, hot.Column]:
    """Write texts by key as three columns, ordered by key: rows are locked in it."""
    keys = sorted(texts)
    return {
        f"{noun}_ids": hot.Uuids([uuid7().hex for _ in keys]),
        f"{noun}_keys": hot.Texts(keys),
        f"{noun}_values": hot.Texts([texts[key] for key in keys]),
    }


def _meaning(word: str, caller: Caller, run_id: str, experiment: object) -> DomainError:
    match word:
        case "no_run":
            return refusals.no_run(run_id)
        case "run_deleted":
            return refusals.deleted_run(run_id)
        case "no_experiment":
            return refusals.no_experiment(experiment)
        case "experiment_deleted":
            return refusals.deleted_experiment(experiment)
        case "foreign_token":
            return refusals.invalid_page_token()
    if word.startswith(PARAMS_CHANGED):
        return ParamsChanged(run_id, orjson.loads(word.removeprefix(PARAMS_CHANGED)))
    if full := FULL.fullmatch(word):
        holds, more = int(full[2]), int(full[3])
        return refusals.no_room(full[1], f"Run {run_id}", holds=holds, more=more)
    return refusal(word, caller.permission)
