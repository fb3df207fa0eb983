"""When and from where each token was last used, written in batches.

A process keeps in memory which tokens it has seen and writes them together, each row
at most every five minutes (tenants_note_token_uses). So a request costs no statement,
and a process that is killed loses the uses of its last `TOKEN_USE_SECONDS`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from django.conf import settings
from django.http import HttpRequest

from mlops.addresses import client_address, prefix_of
from mlops.notebooks import Notebook
from tenants import sql
from tenants.authentication import Credential

# Beyond this many between two writes further tokens go unnoted.
MOST_TOKENS = 100_000


@dataclass(frozen=True, slots=True)
class Use:
    digest: bytes
    prefix: str
    at: float


def note(request: HttpRequest, credential: Credential) -> None:
    """Remember that a token was let in; the first use between two writes counts."""
    public_id, digest = credential.public_id, credential.digest
    if public_id is None or digest is None or public_id in notebook.uses:
        return
    if settings.TOKEN_USE_SECONDS <= 0 or len(notebook.uses) >= MOST_TOKENS:
        return
    prefix = prefix_of(client_address(request))
    notebook.add(public_id, Use(digest, prefix, time.monotonic()))


def flush() -> int:
    """Write what was noted and return how many rows it changed.

    What cannot be written is noted again, for the next time.
    """
    uses = notebook.take()
    if not uses:
        return 0
    now = time.monotonic()
    try:
        return sql.note_uses(
            list(uses),
            [use.digest for use in uses.values()],
            [use.prefix for use in uses.values()],
            [now - use.at for use in uses.values()],
        )
    except Exception:
        notebook.give_back(uses)
        raise


notebook: Notebook[str, Use] = Notebook(
    "tokens", flush, lambda: settings.TOKEN_USE_SECONDS
)
write = notebook.write
