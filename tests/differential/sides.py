"""The two servers: a call goes to one of them, and comes back as a plain answer."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from tests.differential.calls import Call

SECONDS = 60


@dataclass(frozen=True, slots=True)
class Answer:
    """`body` is what JSON says, or the bytes where it is none."""

    status: int
    content_type: str
    body: Any

    @property
    def error_code(self) -> str:
        return self.body.get("error_code", "") if isinstance(self.body, dict) else ""

    def __str__(self) -> str:
        """Say it in a line: the status, and the error or the beginning of the body."""
        if self.error_code:
            return f"{self.status} {self.error_code} {self.body['message']}"
        return f"{self.status} {self.content_type} {self.body!r:.300}"


class Dropped(Exception):
    """A server ended a connection before its answer was whole."""

    def __init__(self, side: Side, call: Call, reason: Exception) -> None:
        super().__init__(f"{side.address} dropped {call}: {reason!r}")
        self.side = side


@dataclass
class Side:
    """One server, and what it has answered for each name so far."""

    address: str
    headers: Mapping[str, str] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def send(self, call: Call) -> Answer:
        """Send it with the names of this side, and learn those that it keeps."""
        answer = self._exchange(call.with_names(self.names))
        for name, place in call.kept:
            found = at(answer.body, place)
            if found is None:
                raise LookupError(f"{call}: no {place} in {answer}")
            self.names[name] = str(found)
        return answer

    def _exchange(self, call: Call) -> Answer:
        # A connection for each call: servers end those that were idle for seconds.
        parts = urlsplit(self.address)
        connection = http.client.HTTPConnection(
            parts.hostname or "", parts.port, timeout=SECONDS
        )
        body, headers = written(call), dict(self.headers)
        if body is not None and call.content_type:
            headers["Content-Type"] = call.content_type
        try:
            with closing(connection):
                connection.request(call.method, target(call), body, headers)
                return read(connection.getresponse())
        except (http.client.HTTPException, OSError) as reason:
            raise Dropped(self, call, reason) from reason


def target(call: Call) -> str:
    path = quote(call.path, safe="/%:@!$&'()*+,;=~")
    return f"{path}?{urlencode(call.query)}" if call.query else path


def written(call: Call) -> bytes | None:
    if call.body is None or isinstance(call.body, bytes):
        return call.body
    # NaN is left to the server to refuse: MLflow's client writes it as text.
    return json.dumps(call.body).encode()


def read(response: http.client.HTTPResponse) -> Answer:
    content = response.read()
    kind = response.headers.get_content_type()
    body: Any = content
    if kind == "application/json" and content:
        body = json.loads(content)
    return Answer(response.status, kind, body)


def at(body: Any, place: str) -> Any:
    """Return what stands at `runs.0.info.run_id`, or None."""
    for step in place.split("."):
        if isinstance(body, list) and step.isdigit() and int(step) < len(body):
            body = body[int(step)]
        elif isinstance(body, dict):
            body = body.get(step)
        else:
            return None
    return body
