from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from django.core.management.base import CommandParser
from django.db import connections

from mlops.cli import Finding, MaintenanceCommand, NotChecked, Report, UsageError
from mlops.db import partitions
from mlops.db.partition_problems import Problem, days_ahead, verify
from mlops.db.partitions import Partition, Policy, Step

PAST = {"create": "created", "detach": "detached", "drop": "dropped"}


class Command(MaintenanceCommand):
    help = "Keep the monthly partitions ahead; retire old months by --only detach|drop."
    database = "owner"
    alone = True

    def add_options(self, parser: CommandParser) -> None:
        parser.add_argument("action", choices=["plan", "apply", "status", "verify"])
        parser.add_argument(
            "--table", action="append", help="this table only; may be repeated"
        )
        parser.add_argument(
            "--only",
            choices=partitions.ACTIONS,
            help="steps of this kind only; apply creates unless told otherwise",
        )
        parser.add_argument("--ahead", type=int, help="months to make ahead")
        parser.add_argument("--keep", type=int, help="months to keep")
        parser.add_argument(
            "--drop-after", type=int, help="days a detached month stays before its drop"
        )

    def work(self, **options: Any) -> Report:
        report = Report(own={"tables": []})
        for policy in self._policies(options):
            self._table(policy, report, options)
        return report

    def _policies(self, options: dict[str, Any]) -> list[Policy]:
        stated = {policy.table: policy for policy in partitions.policies()}
        asked = options["table"] or list(stated)
        if unknown := sorted(set(asked) - set(stated)):
            raise UsageError(
                f"--table {unknown[0]} has no policy; choose from {', '.join(stated)}."
            )
        changes: dict[str, Any] = {
            "ahead_months": options["ahead"],
            "keep_months": options["keep"],
        }
        if options["drop_after"] is not None:
            changes["drop_after"] = timedelta(days=options["drop_after"])
        given = {name: value for name, value in changes.items() if value is not None}
        try:
            return [replace(stated[table], **given) for table in asked]
        except ValueError as error:
            raise UsageError(str(error)) from error

    def _table(self, policy: Policy, report: Report, options: dict[str, Any]) -> None:
        connection = connections[options["database"]]
        now = datetime.now(UTC)
        steps = self._selected(partitions.plan(connection, policy, now), options)
        if options["action"] == "apply" and self._may_apply(steps, options):
            steps = partitions.apply(connection, steps, report=self._tell_step)
        problems = verify(connection, policy, now)
        found = partitions.partitions_of(connection, policy)
        report.own["tables"].append(_as_json(policy, found, now, steps, problems))
        report.lines += _as_lines(policy, found, now, steps, options["action"])
        action = "plan" if options["dry_run"] else options["action"]
        _judge(policy, steps, problems, report, action)

    def _selected(self, steps: Iterable[Step], options: dict[str, Any]) -> list[Step]:
        only = options["only"]
        if only is None and options["action"] == "apply":
            only = partitions.CREATE
        return [step for step in steps if only in {None, step.action}]

    def _may_apply(self, steps: list[Step], options: dict[str, Any]) -> bool:
        """Creating a month is harmless; taking one away asks, or needs --yes."""
        if options["only"] in {None, partitions.CREATE}:
            return not options["dry_run"]
        names = [step.partition for step in steps if step.state == "planned"]
        return bool(names) and self.confirm(f"{options['only']} {', '.join(names)}?")

    def _tell_step(self, step: Step) -> None:
        self.progress(_line_of(step))


def _judge(
    policy: Policy,
    steps: Iterable[Step],
    problems: Iterable[Problem],
    report: Report,
    action: str,
) -> None:
    """Turn what is wrong, and what should have been done and is not, into findings."""
    for problem in problems:
        if problem.kind == "missing_table":
            report.not_checked.append(NotChecked(policy.table, problem.detail))
        else:
            report.findings.append(_finding(problem))
    for step in steps:
        if step.state == "failed" or (step.state == "planned" and action == "apply"):
            report.findings.append(
                Finding(
                    "step_left_undone",
                    "warning",
                    step.partition,
                    step.error or step.state,
                    advice=f"Run manage.py partitions apply --only {step.action}.",
                )
            )
        elif step.state == "planned" and step.action != partitions.CREATE:
            if action != "plan":
                report.findings.append(_overdue(step))


def _finding(problem: Problem) -> Finding:
    return Finding(
        problem.kind,
        problem.severity,
        problem.partition,
        problem.detail,
        problem.threshold,
        problem.advice,
    )


def _overdue(step: Step) -> Finding:
    return Finding(
        "retirement_due",
        "warning",
        step.partition,
        f"its time to {step.action} has come",
        advice=f"Run manage.py partitions apply --only {step.action} --yes.",
    )


def _as_json(
    policy: Policy,
    found: list[Partition],
    now: datetime,
    steps: Iterable[Step],
    problems: Iterable[Problem],
) -> dict[str, Any]:
    months = _months(policy, found)
    return {
        "table": policy.table,
        "partitions": len(months),
        "oldest": months[0] if months else None,
        "newest": months[-1] if months else None,
        "days_ahead": days_ahead(found, now),
        "steps": [
            {
                "action": step.action,
                "partition": step.partition,
                "from": step.start,
                "to": step.end,
                "sql": ";\n".join(step.statements),
                "lock": step.lock,
                "state": step.state,
                "took_ms": step.took_ms,
                "error": step.error,
            }
            for step in steps
        ],
        "problems": [
            {"kind": each.kind, "partition": each.partition, "detail": each.detail}
            for each in problems
        ],
    }


def _months(policy: Policy, found: Iterable[Partition]) -> list[str]:
    attached = [policy.month_of(part.name) for part in found if part.attached]
    return [f"{start:%Y-%m}" for start in attached if start]


def _as_lines(
    policy: Policy,
    found: list[Partition],
    now: datetime,
    steps: Iterable[Step],
    action: str,
) -> list[str]:
    months = _months(policy, found)
    span = f", {months[0]} to {months[-1]}" if months else ""
    days = days_ahead(found, now)
    lines = [f"{policy.table}: {len(months)} partitions{span}, {days} days ahead"]
    if action == "status":
        lines += [_line_of_partition(partition) for partition in found]
    if action in {"plan", "apply"}:
        lines += [_line_of(step) for step in steps]
    return lines


def _line_of_partition(part: Partition) -> str:
    state = "attached" if part.attached else f"detached {part.detached_at or 'by hand'}"
    size_mb = part.size_bytes / 1e6
    return f"  {part.name}: about {part.rows} rows, {size_mb:.1f} MB, {state}"


def _line_of(step: Step) -> str:
    if step.state == "done":
        return f"  {PAST[step.action]} {step.partition} in {step.took_ms} ms"
    if step.state == "planned":
        return f"  Would {step.action} {step.partition}, taking {step.lock}"
    return f"  {step.state}: {step.action} {step.partition}: {step.error}"
