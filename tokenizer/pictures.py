"""The vocabulary report's pictures as inline SVG: every language's premium, and the trade-off.

No library, and only numbers and escaped names go in. A picture of dots is drawn twice, for wide and
for narrow screens, since text in a scaled drawing can't be read on a phone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup, escape

from pipelines import languages

WIDE, NARROW = 980, 340
_TICKS = (0.25, 0.35, 0.5, 0.7, 1, 1.4, 2, 3, 4, 6, 8, 12, 16, 24, 32, 64)
_MARGIN, _AXIS, _ROW, _CHAR = (
    14,
    26,
    15,
    6.6,
)  # px: sides, room of the axis, a name's line, a letter
NAMED = 6
HIGH = 1.5
"""A premium that is drawn in the colour of a warning."""


def scale_of(values: Sequence[float]) -> tuple[float, float]:
    """Return the lowest and highest premium of an axis that holds all of these."""
    low = min([*values, 0.85])
    high = max([*values, 1.5])
    return low / 1.03, high * 1.03


def dots(rows: Mapping[str, float], *, scale: tuple[float, float], width: int) -> Markup:
    """Draw each language as a dot on a logarithmic axis of premiums; the worst have their names.

    Args:
        rows: premium by label.
        scale: lowest and highest value of the axis.
        width: of the drawing, in pixels.
    """
    num = len(rows)
    radius = (5.5 if num <= 60 else 4.0 if num <= 250 else 3.0) * (1 if width > 500 else 0.75)
    step = 2 * radius + 0.6
    span = math.log(scale[1] / scale[0])

    def place(value: float) -> float:
        return _MARGIN + (width - 2 * _MARGIN) * math.log(value / scale[0]) / span

    ordered = sorted(rows.items(), key=lambda item: (item[1], item[0]))
    columns = {label: round(place(value) / step) for label, value in ordered}
    heights: dict[str, int] = {}
    tallest: dict[int, int] = {}
    for label, _ in ordered:
        heights[label] = tallest.get(columns[label], 0)
        tallest[columns[label]] = heights[label] + 1
    named = [label for label, _ in ordered[: -NAMED - 1 : -1]]
    lines = _lines_of_names([(label, columns[label] * step) for label in named])
    top = _ROW * (max(lines.values()) + 1) + 4
    rise = min(step, 190 / max(tallest.values()))  # a high heap is pressed together
    base = top + rise * max(tallest.values()) + radius
    parts = [
        f'<svg class="dots {"wide" if width > 500 else "narrow"}" viewBox="0 0 {width} '
        f'{base + _AXIS:.0f}" role="img" aria-label="Premium of each language">'
    ]
    for tick in _TICKS:
        if scale[0] <= tick <= scale[1]:
            kind = "one" if tick == 1 else "tick"
            parts.append(f'<path class="{kind}" d="M{place(tick):.1f} {top:.0f}V{base:.0f}"/>')
            y = f"{base + 16:.0f}"
            parts.append(f'<text class="axis" x="{place(tick):.1f}" y="{y}">{tick:g}</text>')
    for label in named:
        x, line = columns[label] * step, _ROW * (lines[label] + 1) - 3
        anchor, at = _anchor(label, x)
        end = base - 2 * radius - rise * heights[label]
        text = escape(f"{languages.name_of(label)} {rows[label]:.2f}")
        parts.append(f'<path class="lead" d="M{x:.1f} {line + 3}V{end:.1f}"/>')
        parts.append(f'<text x="{at:.1f}" y="{line}" text-anchor="{anchor}">{text}</text>')
    for label, value in ordered:
        kind = "worst" if label == named[0] else "high" if value >= HIGH else "dot"
        title = escape(f"{languages.name_of(label)} ({label}) {value:.2f}")
        x, spot = columns[label] * step, base - radius - rise * heights[label]
        parts.append(
            f'<circle class="{kind}" cx="{x:.1f}" cy="{spot:.1f}" r="{radius:g}">'
            f"<title>{title}</title></circle>"
        )
    parts.append("</svg>")
    return Markup("".join(parts))  # numbers and escaped names


def _room(label: str) -> float:
    return _CHAR * (len(languages.name_of(label)) + 5)


def _anchor(label: str, x: float) -> tuple[str, float]:
    """Return on which side of its lead a name stands, and where: the left one, if there is room."""
    return ("end", x - 3) if x > _room(label) else ("start", x + 3)


def _lines_of_names(named: Sequence[tuple[str, float]]) -> dict[str, int]:
    """Return the line, from the top, in which each name stands; leads and names never cross.

    Args:
        named: (label, x), from right to left. Each name is left of its own lead, and the leads of
            those above it are right of it.
    """
    line, free = 0, math.inf
    lines = {}
    for label, x in named:
        if x > free:
            line += 1
        lines[label] = line
        free = x - _room(label) - 8
    return lines


def whisker(row: Mapping[str, Any], *, scale: tuple[float, float]) -> Markup:
    """Draw one premium with its interval on the axis, 1 as a line: a cell of the table."""
    span = math.log(scale[1] / scale[0])

    def place(value: float) -> float:
        return round(100 * min(max(math.log(value / scale[0]) / span, 0.0), 1.0), 1)

    one, at = place(1.0), place(row["premium"])
    interval = ""
    if row["premium_low"] is not None:
        interval = (
            f'<path class="ci" d="M{place(row["premium_low"])} 6H{place(row["premium_high"])}"/>'
        )
    kind = "high" if row["premium"] >= HIGH else "dot"
    return Markup(
        '<svg class="whisker" viewBox="0 0 100 12" preserveAspectRatio="none" aria-hidden="true">'
        f'<path class="one" d="M{one} 0V12"/><path class="{kind}" d="M{one} 6H{at}"/>'
        f"{interval}</svg>"
    )


def curve(points: Sequence[Mapping[str, Any]]) -> Markup:
    """Draw the trade-off: mean tokens of each round, in percent of the first, against the worst.

    Args:
        points: rounds in order, each with round, mean_tokens, worst, chosen.
    """
    width, height, left, bottom, top = 420.0, 270.0, 40.0, 46.0, 16.0
    first = points[0]["mean_tokens"]
    xs = [100 * (point["mean_tokens"] / first - 1) for point in points]
    ys = [point["worst"] for point in points]
    x_low, x_high = _padded(xs, least=0.5)
    y_low, y_high = _padded(ys, least=0.1)

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            left + (width - left - 16) * (x - x_low) / (x_high - x_low),
            top + (height - bottom - top) * (y_high - y) / (y_high - y_low),
        )

    parts = [
        f'<svg class="curve" viewBox="0 0 {width:g} {height:g}" role="img" '
        'aria-label="Mean tokens against the worst premium, round by round">',
        f'<path class="frame" d="M{left:g} {top:g}V{height - bottom:g}H{width - 16:g}"/>',
    ]
    for value in _round_values(x_low, x_high):
        x, y = at(value, y_low)
        label = f"{value:+g} %" if value else "0 %"
        parts.append(f'<text class="axis" x="{x:.1f}" y="{height - bottom + 16:g}">{label}</text>')
    for value in _round_values(y_low, y_high):
        x, y = at(x_low, value)
        parts.append(f'<path class="tick" d="M{left:g} {y:.1f}H{width - 16:g}"/>')
        parts.append(f'<text class="side" x="{left - 6:g}" y="{y + 4:.1f}">{value:g}</text>')
    parts.append(
        f'<text class="axis" x="{(left + width) / 2:.0f}" y="{height - 8:g}">'
        "mean tokens, against the first round</text>"
    )
    spots = [at(x, y) for x, y in zip(xs, ys, strict=True)]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in spots)
    parts.append(f'<path class="line" d="M{path}"/>')
    for point, (x, y) in zip(points, spots, strict=True):
        chosen = bool(point["chosen"])
        kind, radius = ("chosen", 8) if chosen else ("dot", 4.5)
        name = escape(f"{point['round']}{', chosen' if chosen else ''}")
        parts.append(f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="{radius}"/>')
        anchor, dx = ("end", -11) if x > width * 0.75 else ("start", 11)
        parts.append(f'<text x="{x + dx:.1f}" y="{y - 6:.1f}" text-anchor="{anchor}">{name}</text>')
    parts.append("</svg>")
    return Markup("".join(parts))


def _padded(values: Sequence[float], *, least: float) -> tuple[float, float]:
    """Return the range of values with air around it."""
    low, high = min(values), max(values)
    air = max((high - low) * 0.12, least / 2)
    return low - air, high + air


def _round_values(low: float, high: float) -> list[float]:
    """Return three to six round numbers within a range."""
    raw = (high - low) / 6
    unit = 10 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= raw)
    first = math.ceil(low / step)
    return [round(step * k, 10) for k in range(first, math.floor(high / step) + 1)]
