"""How the admin shows what an entry changed: key by key, and long texts by lines."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import unified_diff
from typing import Any

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from audit.differences import ABSENT, Change, changes_of, in_words, is_withheld
from audit.models import AuditLog
from tenants.admin_panels import NOTHING, Panel, code, muted

LONGEST = 2000
# From so many letters on, or over several lines, a text is compared line by line.
LONG_TEXT = 200
MOST_LINES = 200
MOST_CHANGES = 500
WHOLE = "This entry records an occurrence; no row changed."


def changes_panel(entry: AuditLog) -> Panel:
    """What differs, value by value; of a creation or deletion all that was there."""
    found = changes_of(entry)
    is_cut = len(found) > MOST_CHANGES
    return Panel(
        "Changes",
        ("Value", "Before", "After"),
        [cells_of(change) for change in found[:MOST_CHANGES]],
        wide=True,
        empty=WHOLE,
        note=f"the first {MOST_CHANGES} of {len(found)}" if is_cut else "",
    )


def cells_of(change: Change) -> list[Any]:
    name = code(change.path)
    if is_long(change.was) and is_long(change.now):
        return [name, muted("by lines:"), line_diff(change.was, change.now)]
    return [name, side(change.was, "was"), side(change.now, "is")]


def is_long(value: Any) -> bool:
    return isinstance(value, str) and ("\n" in value or len(value) > LONG_TEXT)


def side(value: Any, css: str) -> SafeString | str:
    if value is ABSENT:
        return NOTHING
    words = in_words(value)
    if is_withheld(value):
        return muted(words)
    short = words if len(words) <= LONGEST else words[:LONGEST] + "…"
    return format_html('<span class="mp-diff mp-{}">{}</span>', css, short)


def line_diff(was: str, now: str) -> SafeString:
    lines = list(_lines(was, now))
    shown = lines[:MOST_LINES]
    if len(lines) > MOST_LINES:
        shown.append(("mp-muted", f"… and {len(lines) - MOST_LINES} more lines"))
    return format_html_join("\n", '<div class="mp-diff {}">{}</div>', shown)


def _lines(was: str, now: str) -> Iterator[tuple[str, str]]:
    marks = {"-": "mp-was", "+": "mp-is", "@": "mp-muted"}
    told = unified_diff(was.splitlines(), now.splitlines(), n=2, lineterm="")
    for line in list(told)[2:]:
        yield marks.get(line[0], ""), line
