from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
from django.core.management.base import CommandParser

from audit.archive_files import lines_of, opened
from audit.archives import ENTRIES
from audit.lines import COLUMNS, SIDES
from audit.querysets import ANY
from mlops.cli import MaintenanceCommand, Report, UsageError

# What can be compared with a word; both sides are objects.
NAMES = tuple(name for name in COLUMNS if name not in SIDES)


class Command(MaintenanceCommand):
    help = "Print the entries of an archived month of the audit trail as JSON lines."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument(
            "archive", help="its location in AUDIT_ARCHIVE, or a file entries.jsonl.gz"
        )
        parser.add_argument("--from", dest="since", help="from this moment on (ISO)")
        parser.add_argument("--to", dest="until", help="before this moment (ISO)")
        parser.add_argument(
            "--filter",
            action="append",
            default=[],
            metavar="COLUMN=VALUE",
            help="only entries that hold it; action=registry.run.* takes all of them;"
            " repeatable",
        )

    def work(self, **options: Any) -> Report:
        wanted = dict(map(wanted_of, options["filter"]))
        since, until = (moment_of(options[name]) for name in ("since", "until"))
        read = found = 0
        for line in self._lines(options["archive"]):
            read += 1
            entry = orjson.loads(line)
            if fits(entry, wanted) and is_between(entry, since, until):
                found += 1
                if not options["json"]:
                    self.stdout.write(line.decode(), ending="")
        return Report(own={"read": read, "found": found})

    def _lines(self, archive: str) -> Iterator[bytes]:
        path = Path(archive)
        if path.is_file():
            with path.open("rb") as file:
                yield from lines_of(file)
            return
        try:
            file = opened(archive, ENTRIES)
        except OSError as error:
            raise UsageError(f"{archive}: {error}") from None
        with file:
            yield from lines_of(file)


def wanted_of(word: str) -> tuple[str, str]:
    name, is_pair, value = word.partition("=")
    if not is_pair or name not in NAMES:
        raise UsageError(
            f"--filter {word!r}: write COLUMN=VALUE; there are {', '.join(NAMES)}."
        )
    return name, value


def moment_of(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"{text!r} is no moment; write 2026-11-30.") from None
    return moment.astimezone() if moment.tzinfo is None else moment


def fits(entry: dict[str, Any], wanted: dict[str, str]) -> bool:
    return all(is_like(entry[name], value) for name, value in wanted.items())


def is_like(found: Any, value: str) -> bool:
    if value.endswith(ANY):
        return str(found).startswith(value.removesuffix("*"))
    return value == ("" if found is None else str(found))


def is_between(
    entry: dict[str, Any], since: datetime | None, until: datetime | None
) -> bool:
    created = datetime.fromisoformat(entry["created_at"])
    return (since is None or created >= since) and (until is None or created < until)
