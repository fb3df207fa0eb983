"""What a process remembers for a while, to write it to the database in one go.

So what is only worth knowing about costs no request a statement; a process that is
killed loses what it has not written yet.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from multiprocessing.util import Finalize
from typing import Generic, TypeVar

from django.db import connection

logger = logging.getLogger(__name__)

# Runs before the finalizers of connection pools and threads.
EXIT_PRIORITY = 100

Key = TypeVar("Key")
Note = TypeVar("Note")


class Notebook(Generic[Key, Note]):
    """What this process has seen since it wrote the last time, by key.

    `flush` takes the notes and writes them; it is called every `seconds()` by a thread
    that the first note starts, and once more when the process ends.
    """

    def __init__(
        self, name: str, flush: Callable[[], object], seconds: Callable[[], float]
    ) -> None:
        self.name = name
        self.flush = flush
        self.seconds = seconds
        self.begin_anew()
        os.register_at_fork(after_in_child=self.begin_anew)

    def begin_anew(self) -> None:
        """Forget all: a child process leaves the notes of its parent to the parent."""
        self.uses: dict[Key, Note] = {}
        self.writer: threading.Thread | None = None
        self.lock = threading.Lock()

    def add(self, key: Key, note: Note) -> None:
        with self.lock:
            self.uses[key] = note
            # With the first note, and not before: a thread does not survive a fork.
            if self.writer is None:
                self.start_writing()

    def start_writing(self) -> None:
        self.writer = threading.Thread(
            target=self.write_for_ever, name=self.name, daemon=True
        )
        self.writer.start()
        # Not atexit: a worker process made by multiprocessing does not run that.
        Finalize(None, self.write, exitpriority=EXIT_PRIORITY)

    def take(self) -> dict[Key, Note]:
        with self.lock:
            taken, self.uses = self.uses, {}
        return taken

    def give_back(self, notes: dict[Key, Note]) -> None:
        """Note again what could not be written, for the next time."""
        with self.lock:
            self.uses = notes | self.uses

    def write_for_ever(self) -> None:
        while True:
            time.sleep(self.seconds())
            self.write()

    def write(self) -> None:
        """Write, and survive whatever is wrong with the database meanwhile."""
        try:
            self.flush()
        except Exception:
            logger.warning(
                "Uses of %s could not be written yet.", self.name, exc_info=True
            )
        finally:
            connection.close()
