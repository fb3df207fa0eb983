from __future__ import annotations

import io
import json
import os
import signal

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from mlops.cli import Finding, MaintenanceCommand, NotChecked, Report, UsageError
from mlops.db.locks import advisory_key
from mlops.errors import NotFound

WARNING = Finding("age", "warning", "table t", 9, 5, "Run it.")
CRITICAL = Finding("age", "critical", "table u", 99, 50)
MISSING = NotChecked("size", "no extension")


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Probe(MaintenanceCommand):
    """Does what `answer` does."""

    answer = staticmethod(lambda command: Report())

    def add_options(self, parser):
        parser.add_argument("--count", type=int, default=1)

    def work(self, **options):
        return self.answer(self)


def run(answer, *words, stderr=None):
    """Run a command as the shell does; return its exit code, stdout and stderr."""
    stdout, stderr = io.StringIO(), stderr or io.StringIO()
    command = Probe(stdout=stdout, stderr=stderr)
    command.answer = answer
    try:
        command.run_from_argv(["manage.py", "probe", *words])
        code = 0
    except SystemExit as end:
        code = end.code
    return code, stdout.getvalue(), stderr.getvalue()


@pytest.mark.parametrize(
    "report, code, status",
    [
        (Report(), 0, "ok"),
        (Report(findings=[WARNING]), 1, "warning"),
        (Report(findings=[WARNING, CRITICAL]), 2, "critical"),
        (Report(not_checked=[MISSING]), 3, "ok"),
        (Report(findings=[WARNING], not_checked=[MISSING]), 1, "warning"),
    ],
)
def test_exit_code_is_the_worst(report, code, status):
    ended, out, _ = run(lambda command: report, "--json")
    assert (ended, json.loads(out)["status"]) == (code, status)


def test_json_is_one_object_with_common_and_own_keys():
    report = Report(own={"tables": [1]}, lines=["for people"], findings=[WARNING])
    _, out, err = run(lambda command: report, "--json")
    assert json.loads(out) == {
        "status": "warning",
        "findings": [
            {
                "check": "age",
                "severity": "warning",
                "object": "table t",
                "value": 9,
                "threshold": 5,
                "advice": "Run it.",
            }
        ],
        "not_checked": [],
        "tables": [1],
    }
    assert err == ""


def test_json_of_a_fixed_object_has_no_common_keys():
    report = Report(own={"rows": 3}, fixed=True)
    assert json.loads(run(lambda command: report, "--json")[1]) == {"rows": 3}


def test_text_is_lines_then_findings():
    report = Report(lines=["Seen: 3"], findings=[WARNING], not_checked=[MISSING])
    assert run(lambda command: report)[1].splitlines() == [
        "Seen: 3",
        "warning: age: table t = 9. Run it.",
        "not checked: size: no extension",
    ]


def test_quiet_prints_only_what_is_wrong():
    assert run(lambda command: Report(lines=["Seen"]), "--quiet") == (0, "", "")
    code, out, err = run(
        lambda command: Report(lines=["Seen"], findings=[WARNING]), "--quiet"
    )
    assert (code, out) == (1, "")
    assert "table t" in err


@pytest.mark.parametrize("words", [["--nonsense"], ["--count", "many"], ["extra"]])
def test_wrong_options_exit_64(words, capsys):
    assert run(lambda command: Report(), *words)[0] == 64
    assert "error" in capsys.readouterr().err


def test_help_exits_0(capsys):
    assert run(lambda command: Report(), "--help")[0] == 0
    assert "--dry-run" in capsys.readouterr().out


def test_usage_error_exits_64():
    def refuse(command):
        raise UsageError("--count 0 is too few.")

    code, out, err = run(refuse)
    assert (code, out) == (64, "")
    assert "--count 0 is too few." in err


@pytest.mark.parametrize(
    "error",
    [
        NotFound("No such table."),
        ValueError("No such table."),
        CommandError("No such table."),
    ],
)
@pytest.mark.parametrize("trace", [[], ["--traceback"]])
def test_any_other_error_exits_3(error, trace, capsys):
    def fail(command):
        raise error

    code, out, err = run(fail, *trace)
    assert (code, out) == (3, "")
    assert "No such table." in err + capsys.readouterr().err


def test_error_with_json_is_an_object_too():
    def fail(command):
        raise NotFound("No such table.")

    code, out, _ = run(fail, "--json")
    assert code == 3
    assert json.loads(out)["status"] == "unknown"
    assert json.loads(out)["not_checked"][0]["reason"] == "No such table."


def test_progress_is_for_terminals_only():
    def work(command):
        command.progress("half")
        return Report()

    assert run(work)[2] == ""
    assert run(work, stderr=Terminal())[2] == "half\n"
    assert run(work, "--quiet", stderr=Terminal())[2] == ""


@pytest.mark.parametrize(
    "words, typed, expected",
    [
        (["--yes"], "", (0, "True\n")),
        (["--dry-run", "--yes"], "", (0, "False\n")),
        ([], "y\n", (0, "True\n")),
        ([], "\n", (0, "False\n")),
        (["--json"], "y\n", (64, "")),
    ],
)
def test_confirm_asks_unless_told(words, typed, expected, monkeypatch):
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    answer = run(
        lambda command: Report(lines=[str(command.confirm("Drop t?"))]), *words
    )
    assert answer[:2] == expected


def test_confirm_without_anybody_to_ask_exits_64(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    code, _, err = run(lambda command: Report(lines=[str(command.confirm("Drop t?"))]))
    assert code == 64
    assert "Add --yes" in err


def test_signals_ask_a_command_to_finish():
    before = {n: signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)}

    def work(command):
        command.heed_signals()
        os.kill(os.getpid(), signal.SIGTERM)
        return Report(lines=[str(command.stopping)])

    try:
        assert run(work)[:2] == (0, "True\n")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Lonely(Probe):
    database = "default"
    alone = True


def test_a_second_one_is_refused_while_one_runs(db):
    alone = connection.get_connection_params()
    with psycopg.connect(**{**alone, "cursor_factory": psycopg.Cursor}) as other:
        key = advisory_key("command:test_cli")
        other.execute("SELECT pg_advisory_lock(%s)", [key])
        with pytest.raises(CommandError, match="Another process holds") as refusal:
            call_command(Lonely())
        assert refusal.value.returncode == 3
        other.execute("SELECT pg_advisory_unlock(%s)", [key])
        assert call_command(Lonely()) is None
