"""Run a script as it is and write down every HTTP exchange it has.

    python -m tests.e2e.recorder journal.jsonl examples/train.py

Below the mlflow client, in `requests`: what is recorded is what went over the wire.
"""

from __future__ import annotations

import hashlib
import json
import runpy
import sys
from typing import Any

import requests

_send = requests.Session.send


def main() -> None:
    journal, script = sys.argv[1:]
    with open(journal, "w") as file:

        def record(
            session: requests.Session, request: requests.PreparedRequest, **options: Any
        ) -> requests.Response:
            body = bytes_of(request.body)
            response = _send(session, request, **options)
            is_json = response.headers.get("Content-Type", "").startswith(
                "application/json"
            )
            line = {
                "method": request.method,
                "path": request.path_url,
                "text": body.decode() if body[:1] == b"{" else "",
                "sha256": hashlib.sha256(body).hexdigest(),
                "status": response.status_code,
                "reply": response.json() if is_json and response.content else {},
            }
            file.write(json.dumps(line) + "\n")
            return response

        requests.Session.send = record  # type: ignore[method-assign, assignment]
        sys.argv = [script]
        runpy.run_path(script, run_name="__main__")


def bytes_of(body: Any) -> bytes:
    """Read a body that is text, bytes, nothing or an open file, which is wound back."""
    if hasattr(body, "read"):
        content = body.read()
        body.seek(0)
        return content
    return body.encode() if isinstance(body, str) else body or b""


if __name__ == "__main__":
    main()
