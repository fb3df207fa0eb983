"""One writer of bench.audit, with the application's own code on the real database.

Started by `manage.py shell`, so that settings are loaded. Reads a line of JSON for each
slice from its input ({"work", "seconds", "interval"}) and answers with milliseconds per
change.
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from collections.abc import Callable

from django.db import connection, transaction

from bench.hot_paths import START_MS
from registry.models import ModelVersion, Run
from registry.services.versions import update_version
from registry.sql import batch
from tenants.authentication import admit, read_token
from tenants.callers import Caller
from tenants.context import Actor, tenant_transaction
from tenants.sql import BIND

POINTS = 1000
NAMES = 10
UPDATE = "UPDATE model_versions SET description = %s, updated_at = now() WHERE id = %s"

numbers = itertools.count(time.time_ns() // 1000)


class Writer:
    """Changes its own model version, or logs to its own run, again and again."""

    def __init__(self, token: str, number: int) -> None:
        self.credential = read_token(token)
        with transaction.atomic():
            self.actor: Actor = admit(self.credential, "registry:write")
        with tenant_transaction(self.actor):
            versions = ModelVersion.objects.order_by("version")
            self.version = versions.select_related("organization")[number]
            self.run = Run.objects.order_by("iid")[number].pk.hex

    def service(self) -> None:
        with tenant_transaction(self.actor, reason="bench"):
            update_version(self.version, description=f"change {next(numbers)}")

    def plain_sql(self) -> None:
        organization = str(self.actor.organization_id)
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(BIND, [organization, str(self.actor), "", "bench"])
            cursor.execute(UPDATE, [f"change {next(numbers)}", self.version.pk])

    def log_batch(self) -> None:
        first = next(numbers)
        points: list[batch.Point] = [
            (f"m{n % NAMES}", START_MS + first, first + n // NAMES, n * 0.5)
            for n in range(POINTS)
        ]
        caller = Caller(self.credential, "tracking:write")
        batch.log_batch(caller, self.run, points=points)


def took_ms(
    change: Callable[[], None], seconds: float, interval: float = 0
) -> list[float]:
    """Change again and again, but not before each interval is over."""
    found = []
    begun = time.perf_counter()
    while (before := time.perf_counter()) < begun + seconds:
        change()
        found.append((time.perf_counter() - before) * 1000)
        time.sleep(max(0, begun + interval * len(found) - time.perf_counter()))
    return found


def main() -> None:
    writer = Writer(os.environ["BENCH_TOKEN"], int(os.environ["BENCH_WRITER"]))
    print("ready", flush=True)
    for line in sys.stdin:
        slice_ = json.loads(line)
        change = getattr(writer, slice_["work"])
        took = took_ms(change, slice_["seconds"], slice_["interval"])
        print(json.dumps([round(each, 3) for each in took]), flush=True)
