from __future__ import annotations

import pytest

from audit.admin.changes import cells_of, line_diff
from audit.differences import ABSENT, Change, changes, in_words, summary_of
from audit.models import AuditLog

SECRET = {"redacted": True, "sha256_8": "0a1b2c3d"}
PERSONAL = {"redacted": True}
LONG = {"shortened": True, "size_bytes": 5000, "sha256": "ab" * 32}

CASES = [
    ("equal", {"a": 1}, {"a": 1}, []),
    ("scalar", {"a": 1}, {"a": 2}, [("a", 1, 2)]),
    ("true is not one", {"a": 1}, {"a": True}, [("a", 1, True)]),
    ("null is a value", {"a": None}, {}, [("a", None, ABSENT)]),
    ("added", {}, {"a": "x"}, [("a", ABSENT, "x")]),
    (
        "nested",
        {"m": {"team": {"lead": "ann", "size": 3}, "kept": [1]}},
        {"m": {"team": {"lead": "bob", "size": 3}, "kept": [1]}},
        [("m.team.lead", "ann", "bob")],
    ),
    (
        "list",
        {"l": [1, {"k": "v"}]},
        {"l": [1, {"k": "w"}, 3]},
        [("l[1].k", "v", "w"), ("l[2]", ABSENT, 3)],
    ),
    ("another kind", {"a": {"b": 1}}, {"a": [1]}, [("a", {"b": 1}, [1])]),
    ("secret", {"d": SECRET}, {"d": PERSONAL}, [("d", SECRET, PERSONAL)]),
    ("sorted", {"b": 1, "a": 1}, {}, [("a", 1, ABSENT), ("b", 1, ABSENT)]),
]


@pytest.mark.parametrize("_case, was, now, expected", CASES)
def test_changes_name_each_value_that_differs(_case, was, now, expected):
    assert list(changes(was, now)) == [Change(*each) for each in expected]


@pytest.mark.parametrize(
    "value, words",
    [
        (SECRET, "a secret, not kept (its digest begins with 0a1b2c3d)"),
        (PERSONAL, "personal, not kept"),
        (LONG, "a long text of 5,000 bytes, not kept (SHA-256 abababab…)"),
        ("", '""'),
        (None, "null"),
        ({"é": [1, True]}, '{"é": [1, true]}'),
        (ABSENT, ""),
    ],
)
def test_a_value_is_told_in_words(value, words):
    assert in_words(value) == words


def entry(action: str, before=None, after=None) -> AuditLog:
    return AuditLog(action=action, before=before, after=after)


SUMMARIES = [
    (
        entry("registry.run.created", after={"name": "a", "iid": 1}),
        "Created with 2 values",
    ),
    (
        entry("tenants.project.updated", {"name": "A"}, {"name": "B"}),
        "Changed name: A → B",
    ),
    (
        entry("a.b.updated", {"a": 1, "b": 1, "c": 1, "d": 1, "e": 1}, {}),
        "Changed a: no longer 1; b: no longer 1; c: no longer 1; and 2 more",
    ),
    (
        entry("a.b.soft_deleted", {"deleted_at": None}, {"deleted_at": "2026"}),
        "Deleted",
    ),
    (
        entry("a.b.restored", {"delete_batch": 1, "name": "A"}, {"name": "B"}),
        "Restored; name: A → B",
    ),
    (
        entry("registry.run.deleted", before={"name": "a"}),
        "Deleted for good with 1 val",
    ),
    (
        entry("registry.metric.created", after={"count": 1000, "names": ["loss"]}),
        "1000 × registry.metric created: loss",
    ),
    (
        entry("audit.exported", after={"rows": 3, "format": "csv"}),
        "Audit exported: rows 3, format csv",
    ),
    (entry("support_grant.used"), "Support grant used"),
]


@pytest.mark.parametrize("told, words", SUMMARIES)
def test_an_entry_is_told_in_one_line(told, words):
    assert summary_of(told).startswith(words)


def test_a_long_text_is_compared_line_by_line():
    was = "\n".join(f"line {number}" for number in range(50))
    now = was.replace("line 20\n", "<b>line twenty</b>\n")
    shown = line_diff(was, now)
    assert 'mp-was">-line 20<' in shown
    assert 'mp-is">+&lt;b&gt;line twenty' in shown
    assert "line 40" not in shown
    assert "<b>" not in shown


def test_a_text_without_end_is_shown_in_part():
    shown = line_diff("\n".join("ab" * 500), "\n".join("cd" * 500))
    assert "more lines" in shown
    assert shown.count("<div") < 250


def test_one_long_side_alone_is_shown_as_it_is():
    name, was, now = cells_of(Change("a", ABSENT, "x\n" * 5000))
    assert "a" in name
    assert was == "–"
    assert len(now) < 2200
