from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, closing
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management.base import CommandParser

from audit.exports import Export
from audit.lines import FORMATS
from audit.models import AuditLog
from audit.selections import Selection
from mlops.cli import MaintenanceCommand, Report, UsageError
from mlops.errors import InvalidInput
from tenants.context import Actor, acting_as
from tenants.models import Organization
from tenants.unscoped import every_organization

NAME = "command:export_audit"
REASON = "export by an operator"
ACTOR = Actor(kind="command", label="export_audit")
# The trail of the instance: what belongs to no organization.
NONE = "none"


class Command(MaintenanceCommand):
    help = "Write the audit trail of an organization as JSON lines or CSV."

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--organization", required=True, help="its slug; none: the instance's trail"
        )
        parser.add_argument("--from", dest="since", help="from this moment on (ISO)")
        parser.add_argument("--to", dest="until", help="before this moment (ISO)")
        parser.add_argument("--format", choices=list(FORMATS), default="jsonl")
        parser.add_argument(
            "--filter",
            action="append",
            default=[],
            metavar="NAME=VALUE",
            help=f"one of {', '.join(sorted(Selection.base_filters))}; repeatable",
        )
        parser.add_argument("--output", required=True, help="a file, or - for stdout")

    def work(self, **options: Any) -> Report:
        self._refuse_output(options)
        export, owner, target = self._prepared(options)
        where = f"the trail of {options['organization']} to {options['output']}"
        if options["dry_run"]:
            return Report(own={"rows": 0}, lines=[f"Would export {where}."])
        try:
            export.start(using=settings.ADMIN_ALIAS, owner=owner, target=target)
        except InvalidInput as error:
            raise UsageError(error.message) from None
        with closing(export):
            if options["output"] == "-":
                self._print(export)
                return Report()
            write(Path(options["output"]), export)
        own = {"rows": export.count, "output": options["output"]}
        return Report(own=own, lines=[f"Exported {where}: {export.count} entries."])

    def _refuse_output(self, options: dict[str, Any]) -> None:
        path = options["output"]
        if path == "-" and options["json"]:
            raise UsageError("--output - and --json both print to stdout; choose one.")
        if path != "-" and Path(path).exists() and not options["yes"]:
            raise UsageError(f"--output {path} is there already; add --yes to replace.")

    def _prepared(
        self, options: dict[str, Any]
    ) -> tuple[Export, str, Organization | None]:
        values = filters_of(options["filter"])
        for name in ("since", "until"):
            if options[name]:
                values[name] = options[name]
        if options["organization"] == NONE:
            export = Export(of_instance, values, options["format"], of_nobody)
            return export, NONE, None
        organization = organization_of(options["organization"])
        within = in_organization(organization.pk)
        export = Export(within, values, options["format"])
        return export, str(organization.pk), organization

    def _print(self, pieces: Iterable[bytes]) -> None:
        for piece in pieces:
            self.stdout.write(piece.decode(), ending="")


def filters_of(words: list[str]) -> dict[str, str]:
    found = {}
    for word in words:
        name, is_pair, value = word.partition("=")
        if not is_pair or name not in Selection.base_filters or not value:
            names = ", ".join(sorted(Selection.base_filters))
            raise UsageError(f"--filter {word!r}: write NAME=VALUE; there are {names}.")
        found[name] = value
    return found


def in_organization(key: UUID) -> Callable[[], AbstractContextManager[Any]]:
    return partial(acting_as, NAME, organization=key, reason=REASON)


def of_instance() -> AbstractContextManager[Any]:
    return every_organization(ACTOR, reason=REASON)


def of_nobody() -> Any:
    return AuditLog.objects.filter(organization_id=None)


def organization_of(slug: str) -> Organization:
    """Find it by its slug, also one that is deleted: its trail stays."""
    with of_instance():
        found = Organization.objects.with_deleted().filter(slug=slug).first()
    if found is None:
        raise UsageError(f"--organization {slug}: there is none of that name.")
    return found


def write(path: Path, export: Export) -> None:
    """Write beside it first, so that the file is whole or not there."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            for piece in export:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except BaseException:
        draft.unlink(missing_ok=True)
        raise
