"""When and from where each token was last used, written in batches.

A process keeps in memory which tokens it has seen and writes them together, each row
at most every five minutes (tenants_note_token_uses). So a request costs no statement,
and a process that is killed loses the uses of its last `TOKEN_USE_SECONDS`.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from dataclasses import dataclass
from multiprocessing.util import Finalize

from django.conf import settings
from django.db import connection
from django.http import HttpRequest

from mlops.addresses import client_address, prefix_of
from tenants import sql
from tenants.authentication import Credential

logger = logging.getLogger(__name__)

# Beyond this many between two writes further tokens go unnoted.
MOST_TOKENS = 100_000
# Runs before the finalizers of connection pools and threads.
EXIT_PRIORITY = 100


@dataclass(frozen=True, slots=True)
class Use:
    digest: bytes
    prefix: str
    at: float


class Notebook:
    """What this process has seen since it wrote the last time."""

    def __init__(self) -> None:
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget all: a child process leaves the uses of its parent to the parent."""
        self.uses: dict[str, Use] = {}
        self.writer: threading.Thread | None = None
        self.lock = threading.Lock()

    def add(self, public_id: str, use: Use) -> None:
        with self.lock:
            self.uses[public_id] = use
            # With the first use, and not before: a thread does not survive a fork.
            if self.writer is None:
                self.start_writing()

    def start_writing(self) -> None:
        self.writer = threading.Thread(target=write_for_ever, name="usage", daemon=True)
        self.writer.start()
        # Not atexit: a worker process made by multiprocessing does not run that.
        Finalize(None, write, exitpriority=EXIT_PRIORITY)

    def take(self) -> dict[str, Use]:
        with self.lock:
            taken, self.uses = self.uses, {}
        return taken

    def give_back(self, uses: dict[str, Use]) -> None:
        with self.lock:
            self.uses = uses | self.uses


notebook = Notebook()
os.register_at_fork(after_in_child=notebook.begin_anew)


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


def write_for_ever() -> None:
    while True:
        time.sleep(settings.TOKEN_USE_SECONDS)
        write()


def write() -> None:
    """Write, and survive whatever is wrong with the database meanwhile."""
    try:
        flush()
    except Exception:
        logger.warning("Uses of tokens could not be written yet.", exc_info=True)
    finally:
        connection.close()
