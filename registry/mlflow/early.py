"""What is said before Django has the request: in MLflow's words where MLflow asks."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import orjson

from mlops.api.exceptions import REST, body_of, headers_of
from mlops.errors import DomainError
from registry.mlflow.errors import code_of

# Parts of the paths at which the protocol is mounted; see mlops/urls.py.
PROTOCOL = ("api/2.0/", "api/3.0/", "get-artifact", "graphql")


def refuse_early(
    environ: dict[str, Any], error: DomainError
) -> tuple[str, list[tuple[str, str]], bytes]:
    """Return status line, headers and body for a WSGI server."""
    path = environ["PATH_INFO"]
    status = error.status
    kind = "application/json"
    if path.startswith(REST):
        body = orjson.dumps(body_of(error))
    elif any(part in path for part in PROTOCOL):
        code, status = code_of(error)
        body = orjson.dumps({"error_code": code, "message": error.message})
    else:
        kind, body = "text/plain; charset=utf-8", error.message.encode()
    headers = {
        "Content-Type": kind,
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
        **headers_of(error),
    }
    return f"{status} {HTTPStatus(status).phrase}", list(headers.items()), body
