"""Small line charts as plain SVG: no script, both themes, readable without a mouse."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise

from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from tenants.admin_panels import number

WIDTH, HEIGHT = 300, 84
LEFT, RIGHT, TOP, BOTTOM = 4, 296, 8, 66

Point = tuple[int, float]


def figures(curves: dict[str, list[Point]]) -> SafeString:
    drawn = [(figure(name, points),) for name, points in curves.items()]
    return format_html(
        '<div class="mp-curves">{}</div>', format_html_join("", "{}", drawn)
    )


def figure(name: str, points: Sequence[Point]) -> SafeString:
    """Draw one curve with its name, last value, range of values and of steps."""
    finite = [(step, value) for step, value in points if math.isfinite(value)]
    return format_html(
        '<figure class="mp-curve"><figcaption><b title="{0}">{0}</b>'
        '<span class="mp-number">{1}</span></figcaption>{2}</figure>',
        name,
        number(points[-1][1]) if points else "",
        drawing(name, finite) if finite else "No finite values.",
    )


def drawing(name: str, points: Sequence[Point]) -> SafeString:
    values = [value for _, value in points]
    low, high = min(values), max(values)
    dots = [on_paper(point, points[0][0], points[-1][0], low, high) for point in points]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in dots)
    return format_html(
        '<svg viewBox="0 0 {} {}" role="img" aria-label="{}">'
        '<line class="mp-rule" x1="0" x2="300" y1="{}" y2="{}"/>'
        '<polygon class="mp-area" points="{} {} {}"/>'
        '<polyline class="mp-line" points="{}"/>'
        '<circle cx="{}" cy="{}" r="2.5"/>'
        '<text x="{}" y="80">step {}</text>'
        '<text x="150" y="80" text-anchor="middle">{} to {}</text>'
        '<text x="{}" y="80" text-anchor="end">{}</text></svg>',
        WIDTH,
        HEIGHT,
        f"{name}: {number(values[0])} to {number(values[-1])}",
        BOTTOM,
        BOTTOM,
        f"{dots[0][0]:.1f},{BOTTOM}",
        line,
        f"{dots[-1][0]:.1f},{BOTTOM}",
        line,
        f"{dots[-1][0]:.1f}",
        f"{dots[-1][1]:.1f}",
        LEFT,
        points[0][0],
        number(low),
        number(high),
        RIGHT,
        points[-1][0],
    )


def on_paper(
    point: Point, first: int, last: int, low: float, high: float
) -> tuple[float, float]:
    """Scale by fractions of the range, which cannot overflow as differences can."""
    across = fraction(point[0], first, last)
    up = fraction(point[1], low, high)
    return LEFT + (RIGHT - LEFT) * across, BOTTOM - (BOTTOM - TOP) * up


def fraction(value: float, low: float, high: float) -> float:
    if low == high:
        return 0.5
    return (value / 2 - low / 2) / (high / 2 - low / 2)


def shares(parts: Sequence[tuple[str, int, str]]) -> SafeString:
    """One bar of (name, count, tone), with its legend."""
    total = sum(count for _, count, _ in parts) or 1
    present = [part for part in parts if part[1]]
    widths = [100 * count / total for _, count, _ in present]
    starts = accumulate(widths, initial=0.0)
    bar = format_html_join(
        "",
        # Drawn, because our content security policy lets no element carry a style.
        '<rect class="mp-{}" x="{}" width="{}" height="1"/>',
        (
            (tone or "plain", f"{start:.2f}", f"{width:.2f}")
            for (_, _, tone), start, width in zip(present, starts, widths, strict=False)
        ),
    )
    legend = format_html_join(
        "",
        '<span class="mp-{}"><b>{} {}</b></span>',
        ((tone or "plain", count, name) for name, count, tone in present),
    )
    return format_html(
        '<svg class="mp-shares" viewBox="0 0 100 1" preserveAspectRatio="none"'
        ' aria-hidden="true">{}</svg><div class="mp-legend">{}</div>',
        bar,
        legend,
    )


def is_curve(points: Sequence[Point]) -> bool:
    """Two steps make a line; one value is in the table of metrics already."""
    return any(one != other for (one, _), (other, _) in pairwise(points))
