"""What an entry changed, value by value, and in the words of people."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from audit.models import AuditLog

# What one side does not hold; null is a value like any other.
ABSENT = object()
SHOWN_CHANGES = 3
SHOWN_LETTERS = 60
VERBS = {
    "created": "Created",
    "updated": "Changed",
    "soft_deleted": "Deleted",
    "restored": "Restored",
    "deleted": "Deleted for good",
}
MARKS = ("delete", "purge_after")
# What they changed beside the marks of a deletion is worth a word.
MARKED = {VERBS["soft_deleted"], VERBS["restored"]}


@dataclass(frozen=True, slots=True)
class Change:
    """One value that differs; `path` leads to it through nested objects and lists."""

    path: str
    was: Any
    now: Any


def changes_of(entry: AuditLog) -> list[Change]:
    return list(changes(entry.before or {}, entry.after or {}))


def changes(was: dict[str, Any], now: dict[str, Any]) -> Iterator[Change]:
    for name in sorted({*was, *now}):
        yield from _between(name, was.get(name, ABSENT), now.get(name, ABSENT))


def _between(path: str, was: Any, now: Any) -> Iterator[Change]:
    if was is not ABSENT and now is not ABSENT and _same(was, now):
        return
    nested = isinstance(was, dict) and isinstance(now, dict)
    if nested and not (is_withheld(was) or is_withheld(now)):
        for name in sorted({*was, *now}):
            inner = was.get(name, ABSENT), now.get(name, ABSENT)
            yield from _between(f"{path}.{name}", *inner)
    elif isinstance(was, list) and isinstance(now, list):
        for place in range(max(len(was), len(now))):
            pair = [side[place] if place < len(side) else ABSENT for side in (was, now)]
            yield from _between(f"{path}[{place}]", *pair)
    else:
        yield Change(path, was, now)


def _same(was: Any, now: Any) -> bool:
    """Tell 1 from true, which are equal to Python."""
    return was == now and isinstance(was, bool) == isinstance(now, bool)


# Values


def is_withheld(value: Any) -> bool:
    """Tell whether the trail keeps a mark in the place of the value."""
    return isinstance(value, dict) and (
        value.get("redacted") is True or value.get("shortened") is True
    )


def in_words(value: Any) -> str:
    """Write a value for people: what is withheld is said to be."""
    if value is ABSENT:
        return ""
    if is_withheld(value):
        return _withheld(value)
    if isinstance(value, str):
        return value or '""'
    return json.dumps(value, ensure_ascii=False)


def _withheld(value: dict[str, Any]) -> str:
    if value.get("shortened"):
        size, digest = value.get("size_bytes", 0), str(value.get("sha256", ""))[:8]
        return f"a long text of {size:,} bytes, not kept (SHA-256 {digest}…)"
    if "sha256_8" in value:
        digest = value["sha256_8"]
        return f"a secret, not kept (its digest begins with {digest})"
    return "personal, not kept"


# Entries


def summary_of(entry: AuditLog) -> str:
    """Say in one line what happened."""
    verb = VERBS.get(entry.action.rpartition(".")[2])
    if entry.before is None and entry.after and "count" in entry.after:
        return _batch(entry.after, entry.action)
    if verb is None or entry.action.count(".") < 2:
        return _occurrence(entry)
    found = changes_of(entry)
    if entry.before is None or entry.after is None:
        return f"{verb} with {len(entry.after or entry.before or {})} values"
    if verb in MARKED:
        found = [change for change in found if not change.path.startswith(MARKS)]
        verb = f"{verb};" if found else verb
    words = f"{verb} {'; '.join(map(_line, found[:SHOWN_CHANGES]))}{_more(found)}"
    return words.strip()


def _line(change: Change) -> str:
    was, now = _short(change.was), _short(change.now)
    if change.was is ABSENT:
        return f"{change.path}: now {now}"
    if change.now is ABSENT:
        return f"{change.path}: no longer {was}"
    return f"{change.path}: {was} → {now}"


def _more(found: list[Change]) -> str:
    rest = len(found) - SHOWN_CHANGES
    return f"; and {rest} more" if rest > 0 else ""


def _short(value: Any) -> str:
    words = " ".join(in_words(value).split())
    return words if len(words) <= SHOWN_LETTERS else words[:SHOWN_LETTERS] + "…"


def _batch(summary: dict[str, Any], action: str) -> str:
    noun, _, verb = action.rpartition(".")
    names = ", ".join(map(str, summary.get("names", [])[:SHOWN_CHANGES]))
    return f"{summary['count']} × {noun} {verb}" + (f": {names}" if names else "")


def _occurrence(entry: AuditLog) -> str:
    """What is no change of a row tells of itself."""
    noun, _, verb = entry.action.partition(".")
    told = ", ".join(
        f"{name} {_short(value)}" for name, value in (entry.after or {}).items()
    )
    words = f"{noun} {verb}".replace("_", " ").capitalize()
    return f"{words}: {told}" if told else words
