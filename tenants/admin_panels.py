"""What the admin shows beside Django's lists and forms: columns, panels, tiles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db import models
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from tenants.models import Organization

NOTHING = "–"
UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
STEPS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))


@dataclass(frozen=True, slots=True)
class Panel:
    """A titled table or piece of HTML, below a form or on the overview."""

    title: str
    columns: Sequence[str] = ()
    rows: Sequence[Sequence[Any]] = ()
    html: SafeString | str = ""
    link: str = ""
    empty: str = "Nothing here yet."
    wide: bool = False
    note: str = ""
    # On the overview: the lower, the further up.
    rank: int = 0


@dataclass(frozen=True, slots=True)
class Tile:
    """A number that leads to its list."""

    title: str
    value: str
    link: str
    icon: str
    hint: str = ""
    tone: str = ""


@dataclass(frozen=True, slots=True)
class Overview:
    """What one app adds to the first page."""

    tiles: Sequence[Tile] = field(default_factory=tuple)
    panels: Sequence[Panel] = field(default_factory=tuple)


# Addresses


def owner_of(row: models.Model) -> UUID | None:
    """The organization that the row belongs to; users belong to none."""
    return row.pk if isinstance(row, Organization) else vars(row).get("organization_id")


def change_url(row: models.Model) -> str:
    return reverse(
        f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk]
    )


def list_url(model: str, **filters: Any) -> str:
    """The list of the model, filtered: list_url("registry_run", status__exact=…)."""
    address = reverse(f"admin:{model}_changelist")
    return f"{address}?{urlencode(filters)}" if filters else address


def timeline_url(**asked: Any) -> str:
    """The history of an object, by its object_type and object_id, or of an actor."""
    return f"{reverse('admin:audit_auditlog_timeline')}?{urlencode(asked)}"


def link_to(row: models.Model | None, text: Any = "") -> SafeString | str:
    if row is None:
        return NOTHING
    return format_html(
        '<a class="mp-link" href="{}">{}</a>', change_url(row), text or row
    )


def link(address: str, text: Any) -> SafeString:
    return format_html('<a class="mp-link" href="{}">{}</a>', address, text)


# Values


def when(moment: datetime | None) -> SafeString | str:
    """How long ago or ahead, with the moment itself in UTC under the pointer."""
    if moment is None:
        return NOTHING
    return format_html(
        '<time class="mp-when" datetime="{}" title="{} UTC">{}</time>',
        moment.isoformat(),
        f"{moment:%Y-%m-%d %H:%M:%S}",
        distance(moment),
    )


def distance(moment: datetime) -> str:
    seconds = (timezone.now() - moment).total_seconds()
    if abs(seconds) > 60 * 86_400:
        return f"{moment:%Y-%m-%d}"
    if abs(seconds) < 5:
        return "now"
    for unit, length in STEPS:
        if abs(seconds) >= length:
            count = abs(seconds) // length
            return (
                f"{count:.0f} {unit} ago" if seconds > 0 else f"in {count:.0f} {unit}"
            )
    return "now"


def lasting(seconds: float) -> SafeString:
    return format_html('<span class="mp-number">{}</span>', span(seconds))


def span(seconds: float) -> str:
    """The largest unit that fits, with the next below it: 2 h 5 min."""
    for i, (unit, size) in enumerate(STEPS):
        if seconds >= size:
            count, rest = divmod(seconds, size)
            if i + 1 < len(STEPS) and count < 10 and rest >= STEPS[i + 1][1]:
                below, lower = STEPS[i + 1]
                return f"{count:.0f} {unit} {rest // lower:.0f} {below}"
            return f"{count:.0f} {unit}"
    return f"{seconds * 1000:.0f} ms"


def size(amount: float | None) -> str:
    if amount is None:
        return NOTHING
    for unit in UNITS[:-1]:
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} {UNITS[-1]}"


def number(value: float | None) -> str:
    """Six significant digits, as a person compares metrics."""
    return NOTHING if value is None else f"{value:,.6g}"


def code(text: Any) -> SafeString | str:
    return format_html('<code class="mp-code">{}</code>', text) if text else NOTHING


def short_id(key: UUID | None) -> SafeString | str:
    """The random end of a UUIDv7; its beginning is only the time."""
    if key is None:
        return NOTHING
    return format_html(
        '<code class="mp-code" title="{0}">…{1}</code>', key, key.hex[-8:]
    )


def muted(text: Any) -> SafeString:
    return format_html('<span class="mp-muted">{}</span>', text)


@lru_cache(maxsize=500)
def badge(text: str, tone: str = "") -> SafeString | str:
    """Unfold's label; few words make up all of a list, so each is rendered once."""
    if not text:
        return NOTHING
    return SafeString(
        render_to_string("unfold/helpers/label.html", {"text": text, "type": tone})
    )


def badges(words: Iterable[str], tone: str = "") -> SafeString | str:
    return format_html_join(" ", "{}", ((badge(w, tone),) for w in words)) or NOTHING


def stack(first: Any, second: Any) -> SafeString:
    """Two lines in one cell: what it is, and what it belongs to."""
    return format_html(
        '<span class="mp-stack"><span>{}</span><span class="mp-muted">{}</span></span>',
        first,
        second,
    )


def links(title: str, lists: dict[str, str], **filters: Any) -> Panel:
    """Ways to lists, each filtered alike: {"Runs": "registry_run"}."""
    ways = ((list_url(model, **filters), name) for name, model in lists.items())
    html = format_html_join("", '<a class="mp-way" href="{}">{}</a>', ways)
    return Panel(title, html=format_html('<nav class="mp-ways">{}</nav>', html))
