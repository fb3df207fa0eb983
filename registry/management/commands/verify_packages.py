from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from mlops.cli import Finding, MaintenanceCommand, Report, UsageError
from registry.management.scopes import add_scope_options, scopes_of
from registry.services import verification
from registry.services.scopes import Scope
from registry.services.verification import Reading

NAME = "command:verify_packages"
DIGEST = re.compile(r"[0-9a-f]{1,64}")


class Command(MaintenanceCommand):
    help = "Read the bytes of packages again and compare their digests."
    database = settings.ADMIN_ALIAS

    def add_options(self, parser: CommandParser) -> None:
        add_scope_options(parser)
        parser.add_argument(
            "--sample", type=int, help="read only so many of each organization's blobs"
        )
        parser.add_argument(
            "--after", default="", help="go on behind this digest, where one stopped"
        )

    def work(self, **options: Any) -> Report:
        self._refuse(options)
        self.heed_signals()
        self.report = Report(
            own={"checked": 0, "bytes": 0, "damaged": [], "stopped_after": None}
        )
        for scope in scopes_of(NAME, options):
            for reading in self._readings(scope):
                self._note(scope, reading)
                if self.stopping:
                    self._stop_after(reading)
                    return self.report
        self.report.lines.append(
            f"{self.report.own['checked']} blobs read,"
            f" {len(self.report.own['damaged'])} damaged."
        )
        return self.report

    def _refuse(self, options: dict[str, Any]) -> None:
        if options["sample"] is not None and options["sample"] < 1:
            raise UsageError(f"--sample={options['sample']}: use 1 or more.")
        if not options["after"]:
            return
        if not options["organization"] or options["sample"]:
            raise UsageError("--after needs --organization, and no --sample.")
        if not DIGEST.fullmatch(options["after"]):
            raise UsageError(f"--after={options['after']!r} is no digest.")

    def _readings(self, scope: Scope) -> Iterator[Reading]:
        sample = self.options["sample"]
        if sample is None:
            yield from self._from(scope, self.options["after"], None)
            return
        place, read = verification.random_place(), 0
        for reading in self._from(scope, place, sample):
            read += 1
            yield reading
        # Round the end of all digests, up to where it began.
        for reading in self._from(scope, "", sample - read) if read < sample else ():
            if reading.sha256 > place:
                return
            yield reading

    def _from(self, scope: Scope, after: str, limit: int | None) -> Iterator[Reading]:
        bound = scope.bound_as(NAME, reason="verifying packages")
        left = limit
        while left is None or left > 0:
            wanted = min(verification.BATCH, left or verification.BATCH)
            with bound():
                blobs = verification.next_blobs(scope, after, wanted)
            for blob in blobs:
                yield verification.read(blob)
            if len(blobs) < wanted:
                return
            after = blobs[-1].sha256
            left = None if left is None else left - len(blobs)

    def _note(self, scope: Scope, reading: Reading) -> None:
        own = self.report.own
        own["checked"] += 1
        own["bytes"] += reading.size_bytes
        self.progress(f"{scope.slug}: {own['checked']} blobs, at {reading.sha256[:8]}")
        if not reading.reason:
            return
        with scope.bound_as(NAME, reason="verifying packages")():
            if not verification.is_still_wrong(reading):
                return
            files = list(verification.files_of(reading))
        own["damaged"].append(
            {
                "organization": scope.slug,
                "sha256": reading.sha256,
                "reason": reading.reason,
                "files": files,
            }
        )
        self.report.findings.append(
            Finding(
                "damaged_blob",
                "critical",
                f"{scope.slug}: {reading.sha256}",
                reading.reason,
                advice="Upload the file again, or bring the bytes back from a backup.",
            )
        )

    def _stop_after(self, reading: Reading) -> None:
        self.report.own["stopped_after"] = reading.sha256
        advice = f"Go on with --organization … --after {reading.sha256}."
        self.report.findings.append(Finding("stopped", "warning", NAME, advice=advice))
