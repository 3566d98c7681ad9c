"""The pretraining report's pictures as inline SVG: the training, the languages, one language.

No library, and only numbers and escaped names go in. The large ones are drawn twice, for wide and
for narrow screens, since text in a scaled drawing can't be read on a phone. Points that a screen
can't tell apart are left out, spikes never: a picture costs the same for a run of any length.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import dropwhile

from markupsafe import Markup, escape

from .axes import Points, apart, bounds, log_values, quantile, round_values, short, thinned

WIDE, NARROW = 980, 340
_TOP, _BOTTOM = 22, 24  # px: a panel's title above it; the axis below the last one
_DIM = 30  # languages; more of them are drawn as bands


@dataclass(frozen=True)
class Panel:
    """One measure of the training over its tokens."""

    title: str
    said: str
    """Its value now, in words."""
    raw: Points
    smooth: Points
    height: int = 46
    low: float | None = 0.0
    """Where the axis begins; None at the lowest value."""
    least: float = 0.0
    """How far it reaches at least."""
    limit: float | None = None
    """A value that is drawn as a line."""
    settles: bool = False
    """Whether the axis ends where the first fiftieth of the run did: what was above it is left."""
    write: Callable[[float], str] = "{:g}".format


@dataclass
class _Drawing:
    """Collects the elements of a picture."""

    width: int
    kind: str
    title: str
    parts: list[str] = field(default_factory=list)

    def path(self, kind: str, d: str, *, title: str = "") -> None:
        inner = f"<title>{escape(title)}</title></path>" if title else "</path>"
        self.parts.append(f'<path class="{kind}" d="{d}">{inner}' if title
                          else f'<path class="{kind}" d="{d}"/>')  # fmt: skip

    def text(self, x: float, y: float, said: str, *, kind: str = "", anchor: str = "start") -> None:
        name = f' class="{kind}"' if kind else ""
        self.parts.append(
            f'<text{name} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(said)}</text>'
        )

    def done(self, height: float) -> Markup:
        size = "wide" if self.width == WIDE else "narrow" if self.width == NARROW else "both"
        head = (
            f'<svg class="plot {self.kind} {size}" viewBox="0 0 {self.width} {height:.0f}" '
            f'role="img" aria-label="{escape(self.title)}">'
        )
        return Markup(head + "".join(self.parts) + "</svg>")  # numbers and escaped names


def _line(points: Iterable[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}".replace(".0", "") for x, y in points)


def training(
    panels: Sequence[Panel],
    *,
    width: int,
    stages: Sequence[tuple[float, str]] = (),
    marks: Sequence[tuple[float, str]] = (),
) -> Markup:
    """Draw measures of the training one below the other, over the same tokens.

    Args:
        panels: what is drawn; the first one is the picture, the others are strips.
        width: of the drawing, in pixels.
        stages: where a stage begins, in tokens, and what holds from there on.
        marks: where something happened, in tokens, and what.
    """
    drawing = _Drawing(width, "training", "The training over its tokens")
    left, right = (54, 12) if width == WIDE else (44, 8)
    span = max((point[0] for panel in panels for point in panel.raw), default=0) or 1.0

    def across(x: float) -> float:
        return left + (width - left - right) * x / span

    top = 14.0 if stages else 0.0
    for number, panel in enumerate(panels):
        top += _TOP if number == 0 else _TOP + 12
        _panel(drawing, panel, across, top=top, right=width - right, main=number == 0)
        for x, said in marks if number == 0 else ():
            y = top + panel.height
            at = across(x)
            drawing.path("mark", f"M{at:.1f} {y - 9:.0f}l5 9h-10z", title=said)
        top += panel.height
    for x, said in stages:
        at = across(x)
        if x > 0:
            drawing.path("border", f"M{at:.1f} 16V{top:.0f}")
        drawing.text(at + (3 if width == WIDE else 1), 12, said, kind="soft")
    for value in round_values(0, span, most=8 if width == WIDE else 4):
        anchor = "end" if across(value) > width - 30 else "middle"
        drawing.text(across(value), top + 17, short(value), kind="soft", anchor=anchor)
    return drawing.done(top + _BOTTOM)


def _panel(
    drawing: _Drawing,
    panel: Panel,
    across: Callable[[float], float],
    *,
    top: float,
    right: float,
    main: bool,
) -> None:
    values = [y for _, y in panel.raw] or [0.0]
    high = max(values)
    if panel.settles and len(panel.smooth) > 50:
        high = panel.smooth[len(panel.smooth) // 50][1]
        high = max([y for _, y in panel.smooth[len(panel.smooth) // 50 :]] + [high])
    low = panel.low if panel.low is not None else min(values)
    high = max(high, panel.least, low + 1e-12)
    if panel.low is None:
        air = 0.05 * (high - low)
        low, high = low - air, high + air

    def up(y: float) -> float:
        return top + panel.height * (high - min(max(y, low), high)) / (high - low)

    left = across(0)
    drawing.text(left, top - 7, panel.title, kind="name")
    drawing.text(right, top - 7, panel.said, kind="said", anchor="end")
    drawing.path("frame", f"M{left:.1f} {top:.0f}V{top + panel.height:.0f}H{right:.0f}")
    ticks = round_values(low, high, most=5) if main else [high, low] if panel.low else [high]
    for value in ticks:
        y = up(value)
        if main:
            drawing.path("tick", f"M{left:.1f} {y:.1f}H{right:.0f}")
        drawing.text(left - 5, y + 4, panel.write(value), kind="soft", anchor="end")
    if panel.limit is not None and low < panel.limit < high:
        drawing.path("limit", f"M{left:.1f} {up(panel.limit):.1f}H{right:.0f}")
    room = int(right - left) // 2
    for kind, every in (("raw", panel.raw), ("line", panel.smooth)):
        points = list(dropwhile(lambda point: point[1] > high, every)) if panel.settles else every
        if len(points) == 1:
            x, y = points[0]
            drawing.parts.append(
                f'<circle class="dot" cx="{across(x):.1f}" cy="{up(y):.1f}" r="3"/>'
            )
        elif points:
            drawing.path(kind, _line((across(x), up(y)) for x, y in thinned(points, room)))


def languages(
    curves: Mapping[str, Points], *, names: Mapping[str, str], width: int, named: int
) -> Markup:
    """Draw bits per byte of all languages over the tokens; the worst have their names.

    Args:
        curves: (tokens, bits per byte) by label, those with most bits at the end first.
        names: of the labels.
        width: of the drawing, in pixels.
        named: so many of the first are named.
    """
    drawing = _Drawing(width, "languages", "Bits per byte of the languages over the tokens")
    left, right = (40, 190) if width == WIDE else (32, 106)
    height, top = (330.0, 24.0) if width == WIDE else (280.0, 24.0)
    xs = sorted({x for points in curves.values() for x, _ in points})
    low, high = bounds(curves.values())
    first, last = (xs[0], xs[-1]) if len(xs) > 1 else (0.0, xs[0] or 1.0)

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - first) / (last - first)
        rise = math.log(high / y) / math.log(high / low)
        return left + (width - left - right) * across, top + height * rise

    edge = width - right
    drawing.text(0, 12, "bits per byte", kind="name")
    for value in log_values(low, high, most=7):
        _, y = place(first, value)
        drawing.path("tick", f"M{left} {y:.1f}H{edge}")
        drawing.text(left - 5, y + 4, f"{value:g}", kind="soft", anchor="end")
    for value in round_values(first, last, most=7 if width == WIDE else 3):
        x, y = place(value, low)
        drawing.text(x, y + 17, short(value), kind="soft", anchor="middle")
    spread = {x: sorted(y for points in curves.values() for at, y in points if at == x) for x in xs}
    if len(curves) > _DIM:
        for kind, share in (("band", 0.1), ("band", 0.25)):
            over = [place(x, quantile(spread[x], 1 - share)) for x in xs]
            under = [place(x, quantile(spread[x], share)) for x in xs]
            drawing.path(kind, _line([*over, *reversed(under)]) + "Z")
    else:
        rest = list(curves.values())[named:]
        if rest:
            drawing.path("others", "".join(_line(place(*point) for point in own) for own in rest))
    said: list[tuple[float, str, str]] = []
    if len(curves) > named:
        middle = [(x, quantile(spread[x], 0.5)) for x in xs]
        drawing.path("median", _line(place(*point) for point in middle))
        said.append((place(*middle[-1])[1], f"median {middle[-1][1]:.2f}", "soft"))
    for number, (label, points) in enumerate(list(curves.items())[:named]):
        kind = "worst" if number == 0 and len(curves) > 1 else "high"
        drawing.path(kind, _line(place(*point) for point in points))
        now = points[-1][1]
        drawing.parts.append(
            f'<circle class="{kind}" cx="{edge}" cy="{place(last, now)[1]:.1f}" r="3"/>'
        )
        room = 21 if width == WIDE else 9
        name = names[label]
        name = name if len(name) <= room else name[: room - 1].rstrip() + "\N{HORIZONTAL ELLIPSIS}"
        said.append((place(last, now)[1], f"{name} {now:.2f}", ""))
    said.sort()
    ys = apart([y for y, _, _ in said], gap=15, low=top + 4, high=top + height)
    for (spot, text, kind), y in zip(said, ys, strict=True):
        drawing.path("lead", f"M{edge + 4} {spot:.1f}L{edge + 12} {y:.1f}")
        drawing.text(edge + 15, y + 4, text, kind=kind)
    return drawing.done(top + height + _BOTTOM)


def small(points: Points, *, median: Points, scale: tuple[float, float], name: str) -> Markup:
    """Draw one language's bits per byte beside the median language's, on a scale that others share.

    Args:
        points: (tokens, bits per byte) of the language.
        median: the same of the median language.
        scale: lowest and highest value of the logarithmic axis.
        name: of the language.
    """
    drawing = _Drawing(300, "small", f"Bits per byte of {name} over the tokens")
    left, edge, top, height = 30, 292, 6.0, 84.0
    low, high = scale
    xs = [x for x, _ in (*points, *median)]
    first, last = min(xs), max(max(xs), min(xs) + 1)

    def place(x: float, y: float) -> tuple[float, float]:
        rise = math.log(high / min(max(y, low), high)) / math.log(high / low)
        return left + (edge - left) * (x - first) / (last - first), top + height * rise

    for value in log_values(low, high, most=4):
        y = place(first, value)[1]
        drawing.path("tick", f"M{left} {y:.1f}H{edge}")
        drawing.text(left - 5, y + 4, f"{value:g}", kind="soft", anchor="end")
    drawing.text(left, top + height + 16, short(first), kind="soft")
    drawing.text(edge, top + height + 16, short(last), kind="soft", anchor="end")
    if len(median) > 1:
        drawing.path("median", _line(place(*point) for point in thinned(median, 40)))
    shown = thinned(points, 40)
    if len(shown) > 1:
        drawing.path("line", _line(place(*point) for point in shown))
    for x, y in shown if len(shown) <= 24 else shown[-1:]:
        spot = place(x, y)
        drawing.parts.append(f'<circle class="dot" cx="{spot[0]:.1f}" cy="{spot[1]:.1f}" r="2.5"/>')
    return drawing.done(top + height + 20)


def spark(points: Points, *, kind: str) -> Markup:
    """Draw the shape of one language's curve, on a scale of its own: a cell of the table.

    Args:
        points: (tokens, bits per byte).
        kind: the trend, which colours it.
    """
    if len(points) < 2:
        return Markup("")
    points = thinned(points, 12)
    logs = [math.log(y) for _, y in points]
    first, last = points[0][0], points[-1][0]
    span = max(max(logs) - min(logs), 0.01)  # noise of less than a percent is drawn flat
    spots = [
        (1 + 70 * (x - first) / max(last - first, 1), 2 + 14 * (max(logs) - y) / span)
        for (x, _), y in zip(points, logs, strict=True)
    ]
    return Markup(
        f'<svg class="spark {escape(kind)}" viewBox="0 0 76 18" aria-hidden="true">'
        f'<path d="{_line(spots)}"/><circle cx="{spots[-1][0]:.1f}" cy="{spots[-1][1]:.1f}" r="2"/>'
        "</svg>"
    )
