"""Base of all commands: the same options, one JSON object, exit codes for machines.

class Command(MaintenanceCommand):
    help = "…"

    def add_options(self, parser): …
    def work(self, **options) -> Report: …
"""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from typing import Any, NoReturn

import orjson
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connections

from mlops.db.locks import advisory_lock

FINE, WARNING, CRITICAL, CANNOT_CHECK, USAGE = 0, 1, 2, 3, 64
SEVERITIES = {"ok": FINE, "warning": WARNING, "critical": CRITICAL}


class UsageError(CommandError):
    """What was asked for makes no sense; nothing was done."""

    def __init__(self, message: str) -> None:
        super().__init__(message, returncode=USAGE)


class Unsafe(CommandError):
    """Going on would be worse than stopping."""

    def __init__(self, message: str) -> None:
        super().__init__(message, returncode=CRITICAL)


@dataclass(frozen=True, slots=True)
class Finding:
    check: str
    severity: str
    object: str
    value: Any = None
    threshold: Any = None
    advice: str = ""

    def __str__(self) -> str:
        measured = f" = {self.value}" if self.value is not None else ""
        advice = f". {self.advice}" if self.advice else ""
        return f"{self.severity}: {self.check}: {self.object}{measured}{advice}"


@dataclass(frozen=True, slots=True)
class NotChecked:
    check: str
    reason: str

    def __str__(self) -> str:
        return f"not checked: {self.check}: {self.reason}"


@dataclass(slots=True)
class Report:
    """What a command has to say: `own` keys beside the common ones, `lines` for people.

    `fixed` leaves the common keys out, for objects whose form is promised as a whole.
    """

    own: dict[str, Any] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    not_checked: list[NotChecked] = field(default_factory=list)
    fixed: bool = False

    @property
    def status(self) -> str:
        found = {finding.severity for finding in self.findings}
        return next(
            (worst for worst in ("critical", "warning") if worst in found), "ok"
        )

    @property
    def exit_code(self) -> int:
        """The worst wins: critical, warning, could not check, fine."""
        code = SEVERITIES[self.status]
        return CANNOT_CHECK if code == FINE and self.not_checked else code

    def as_json(self) -> dict[str, Any]:
        if self.fixed:
            return self.own
        common = {
            "status": self.status,
            "findings": [asdict(finding) for finding in self.findings],
            "not_checked": [asdict(missing) for missing in self.not_checked],
        }
        return common | self.own

    def as_text(self) -> list[str]:
        return [*self.lines, *map(str, self.findings), *map(str, self.not_checked)]


class MaintenanceCommand(BaseCommand):
    """Subclasses say what to do in `work`; how it is asked for and told stands here.

    `database` is the default of the option --database, which exists if it is set.
    `alone` refuses a second one at the same time, by a lock in that database.
    `work` may look at `self.stopping`, which SIGTERM and SIGINT set after
    `heed_signals()`, to finish its batch and leave.
    """

    # Checks look at the database, and this may be the doctor it needs.
    requires_system_checks: tuple[str, ...] = ()
    database = ""
    alone = False
    stopping = False

    def add_options(self, parser: CommandParser) -> None:
        pass

    def work(self, **options: Any) -> Report:
        raise NotImplementedError

    def add_arguments(self, parser: CommandParser) -> None:
        flags = {
            "--json": "print one JSON object",
            "--dry-run": "say what would happen and do nothing",
            "--yes": "do not ask",
            "--quiet": "print nothing but warnings and errors",
        }
        for flag, meaning in flags.items():
            parser.add_argument(flag, action="store_true", help=meaning)
        if self.database:
            parser.add_argument(
                "--database",
                default=self.database,
                choices=list(settings.DATABASES),
                help=f"alias of the connection; default {self.database}",
            )
        self.add_options(parser)

    def handle(self, *args: Any, **options: Any) -> None:
        self.options = options
        with self._alone():
            report = self.work(**options)
        self._tell(report)
        if report.exit_code:
            raise SystemExit(report.exit_code)

    def progress(self, message: str) -> None:
        """Tell people at a terminal what goes on; files and pipes stay clean."""
        if self.stderr.isatty() and not self.options["quiet"]:
            self.stderr.write(message, lambda text: text)

    def refuse_hidden_secrets(self) -> None:
        """Raises UsageError where a secret that is shown once would go to a log."""
        if not self.options["json"] and not self.stdout.isatty():
            raise UsageError("This tells secrets: run it at a terminal, or add --json.")

    def confirm(self, question: str) -> bool:
        """Ask before destruction. True with --yes, False with --dry-run.

        Raises UsageError when there is nobody to ask.
        """
        if self.options["yes"] or self.options["dry_run"]:
            return not self.options["dry_run"]
        if self.options["json"] or not sys.stdin.isatty():
            raise UsageError(f"{question} Add --yes, or --dry-run to see the plan.")
        self.stderr.write(f"{question} [y/N] ", lambda text: text, ending="")
        return sys.stdin.readline().strip().lower() in {"y", "yes"}

    def heed_signals(self) -> None:
        def stop(number: int, frame: object) -> None:
            self.stopping = True

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        name = type(self).__module__.rpartition(".")[2]
        lock = (
            advisory_lock(connections[self.options["database"]], f"command:{name}")
            if self.alone
            else nullcontext()
        )
        with lock:
            yield

    def _tell(self, report: Report) -> None:
        if self.options["json"]:
            self.stdout.write(orjson.dumps(report.as_json(), default=str).decode())
        elif not self.options["quiet"]:
            for line in report.as_text():
                self.stdout.write(line)
        elif report.exit_code:
            for finding in (*report.findings, *report.not_checked):
                self.stderr.write(str(finding))

    # Django ends with 1 on any exception and with 2 on a wrong option.

    def run_from_argv(self, argv: list[str]) -> None:
        self._called_from_command_line = True
        try:
            self.create_parser(argv[0], argv[1]).parse_args(argv[2:])
        except SystemExit as end:
            sys.exit(USAGE if end.code else FINE)
        try:
            super().run_from_argv(argv)
        except CommandError as error:  # with --traceback Django hands it on
            sys.exit(error.returncode)

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            return super().execute(*args, **options)
        except (UsageError, Unsafe):
            raise
        except Exception as error:
            self._give_up(error, options)

    def _give_up(self, error: Exception, options: dict[str, Any]) -> NoReturn:
        if options["traceback"]:
            traceback.print_exc()
        reason = str(error).strip() or type(error).__name__
        if options["json"]:
            missing = {
                "check": type(self).__module__.rpartition(".")[2],
                "reason": reason,
            }
            failure = {"status": "unknown", "findings": [], "not_checked": [missing]}
            self.stdout.write(orjson.dumps(failure).decode())
        raise CommandError(reason, returncode=CANNOT_CHECK) from error
