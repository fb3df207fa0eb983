"""What an answer to a fuzzed request must be, whatever the request was."""

from __future__ import annotations

import json
import os
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from mlops import errors

# Another seed makes another run: FUZZ_SEED=7 pytest tests/fuzz
SEED = int(os.environ.get("FUZZ_SEED", "20260101"))
# How many requests each long test makes, if not as many as it says itself.
CALLS = os.environ.get("FUZZ_CALLS")
SHOWN = 20
# What says nothing about the request at hand.
EMPTY_WORDS = {errors.InvalidInput().message, errors.Conflict().message, ""}
HAS_NO_BODY = {204, 304}


def calls(usual: int) -> int:
    return int(CALLS) if CALLS else usual


@dataclass
class Findings:
    """Counts what was asked, and keeps what was wrong once per kind."""

    # By endpoint and status.
    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    wrong: dict[str, str] = field(default_factory=dict)

    @property
    def asked(self) -> int:
        return self.answers.total()

    @property
    def statuses(self) -> Counter[int]:
        found: Counter[int] = Counter()
        for (_, status), count in self.answers.items():
            found[status] += count
        return found

    @property
    def never_accepted(self) -> list[str]:
        """Name the endpoints of which each request was refused."""
        accepted = {where for where, status in self.answers if status < 300}
        return sorted({where for where, _ in self.answers} - accepted)

    def add(self, kind: str, request: str, answer: str) -> None:
        self.wrong.setdefault(kind, f"{kind}\n  {request}\n  {answer}")

    def judge(self, where: str, request: str, response: Any, problems: Any) -> None:
        """Keep what `problems`, an iterable of texts, says about the response."""
        self.answers[where, response.status_code] += 1
        for problem in problems:
            answer = f"{response.status_code} {content_of(response)[:400]!r}"
            self.add(f"{where}: {problem}", request, answer)

    def check(self) -> None:
        """Fail with all that was found; a seed makes the same run again."""
        print(self.table())
        print(self.summary())
        found = "\n".join(list(self.wrong.values())[:SHOWN])
        assert not self.wrong, f"{len(self.wrong)} findings; {self.summary()}\n{found}"

    def summary(self) -> str:
        statuses = self.statuses
        by_status = " ".join(f"{each}: {statuses[each]}" for each in sorted(statuses))
        accepted = sum(n for status, n in statuses.items() if status < 300)
        failed = sum(n for status, n in statuses.items() if status >= 500)
        return (
            f"FUZZ_SEED={SEED}: {self.asked} requests, {accepted} accepted,"
            f" {failed} answered 5xx; {by_status}"
        )

    def table(self) -> str:
        """Write a line for each endpoint: its answers by status."""
        lines = {
            where: " ".join(
                f"{status}: {self.answers[where, status]}"
                for status in sorted(self.statuses)
                if self.answers[where, status]
            )
            for where, _ in sorted(self.answers)
        }
        return "\n".join(f"{where}  {line}" for where, line in lines.items())


def content_of(response: Any) -> bytes:
    content: bytes = response.getvalue()
    return content


def failures(response: Any) -> Iterator[str]:
    """Yield the place of a server error: a 5xx is a bug of ours, always."""
    if response.status_code < 500:
        return
    raised = getattr(response, "exc_info", None)
    if not raised:
        yield f"{response.status_code} without an exception"
        return
    frames = traceback.extract_tb(raised[2])
    last = frames[-1]
    yield f"{raised[0].__name__}: {raised[1]!s:.200} at {last.filename}:{last.lineno}"


def ill_formed(response: Any, message_of: Any) -> Iterator[str]:
    """Yield what an error lacks: JSON, the skin's form, words that say something."""
    if response.status_code < 400:
        return
    if response.status_code == 416:
        # A range of a file that ends before it: the header says how long the file is.
        if not response.headers.get("Content-Range", "").startswith("bytes */"):
            yield "416 without a length"
        return
    if not response.headers.get("Content-Type", "").startswith("application/json"):
        yield f"error as {response.headers.get('Content-Type')}"
        return
    try:
        message = message_of(json.loads(content_of(response)))
    except (KeyError, TypeError, ValueError) as error:
        yield f"error in another form: {error!r}"
        return
    if message in EMPTY_WORDS:
        yield f"error that says nothing: {message!r}"


def message_of_rest(body: Any) -> str:
    assert_only(body, {"error"})
    assert_only(body["error"], {"code", "message", "fields"})
    assert body["error"]["code"], "no code"
    return str(body["error"]["message"])


def message_of_mlflow(body: Any) -> str:
    assert_only(body, {"error_code", "message"})
    assert body["error_code"], "no code"
    return str(body["message"])


def assert_only(body: dict[str, Any], names: Iterable[str]) -> None:
    if extra := set(body) - set(names):
        raise ValueError(f"unexpected members {sorted(extra)}")
