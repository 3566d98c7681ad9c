"""Small pictures as inline SVG: a distribution against the threshold that cuts it.

No library: a histogram is one path of a few hundred bytes, so that a report can hold thousands.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from . import wording

NUM_BINS = 64  # of the histograms in the facts
_BINS_PER_OCTAVE = 2  # of lengths
_WIDTH, _HEIGHT = 4, 60  # of a bin, and of the picture, in units of the drawing
_LEAST = 2  # a bin with one document is still seen

Bins = Sequence[Sequence[int]]
"""[[bin, documents], ...], ascending."""


def position(value: float, *, is_length: bool) -> float:
    """Return where a value lies on the axis, in bins."""
    scaled = math.log2(max(value, 1.0)) * _BINS_PER_OCTAVE if is_length else value * NUM_BINS
    return min(max(scaled, 0.0), float(NUM_BINS))


def edge(index: float, *, is_length: bool) -> str:
    """Return the value at a bin's lower edge."""
    value = 2 ** (index / _BINS_PER_OCTAVE) if is_length else index / NUM_BINS
    return wording.count(value) if is_length else f"{value:.2g}"


def extent(pictures: Iterable[Bins], limits: Iterable[float], *, is_length: bool) -> list[int]:
    """Return the first and the last edge that all pictures of one statistic share, in bins."""
    used = [pair[0] for bins in pictures for pair in bins]
    marks = [position(limit, is_length=is_length) for limit in limits]
    low = min([*used, *(math.floor(mark) for mark in marks)], default=0)
    high = max([*(index + 1 for index in used), *(math.ceil(mark) for mark in marks)], default=1)
    # Shares start at 0: a bar at the left edge would else look like one at nothing.
    high = min(max(high + 1, low + 4), NUM_BINS)
    return [low, high] if is_length else [0, NUM_BINS if high > NUM_BINS * 0.9 else high]


def histogram(
    bins: Bins, *, axis: Sequence[int], limit: float | None, rule: Mapping[str, Any]
) -> Markup:
    """Draw a histogram; what the rule removes is a second path, the threshold a dashed line.

    Heights are square roots of the counts, so that a tail of a hundredth is still seen.
    """
    first, last = axis
    is_length = bool(rule["is_length"])
    mark = None if limit is None else position(limit, is_length=is_length)
    highest = max((pair[1] for pair in bins), default=1)
    kept: list[str] = []
    cut: list[str] = []
    for index, documents in bins:
        if not first <= index < last:
            continue
        height = max(_LEAST, round(_HEIGHT * math.sqrt(documents / highest)))
        x = (index - first) * _WIDTH
        bar = f"M{x} {_HEIGHT}v-{height}h{_WIDTH}v{height}"
        middle = index + 0.5
        fails = mark is not None and (middle < mark if rule["is_min"] else middle > mark)
        (cut if fails else kept).append(bar)
    width = (last - first) * _WIDTH
    parts = [
        f'<svg class="hist" viewBox="0 0 {width} {_HEIGHT}" preserveAspectRatio="none"'
        ' aria-hidden="true">'
    ]
    if kept:
        parts.append(f'<path d="{"".join(kept)}"/>')
    if cut:
        parts.append(f'<path class="cut" d="{"".join(cut)}"/>')
    if mark is not None and first <= mark <= last:
        at = f"{(mark - first) * _WIDTH:.1f}".removesuffix(".0")
        parts.append(f'<path class="limit" d="M{at} 0V{_HEIGHT}"/>')
    parts.append("</svg>")
    return Markup("".join(parts))  # numbers only


def pooled(pictures: Iterable[Bins]) -> list[list[int]]:
    """Return the sum of histograms."""
    total: dict[int, int] = {}
    for bins in pictures:
        for index, documents in bins:
            total[index] = total.get(index, 0) + documents
    return [[index, total[index]] for index in sorted(total)]
