"""Numbers for pictures: round ticks, fewer points, smooth curves. No drawing."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import accumulate, groupby

Points = Sequence[tuple[float, float]]

_LOG_TICKS = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8)


def short(number: float) -> str:
    """Return a number with a unit of thousands, for an axis: 312 M."""
    for unit, size in (("T", 1e12), ("B", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(number) >= 0.9995 * size:
            return f"{number / size:.3g}\N{NO-BREAK SPACE}{unit}"
    return f"{number:.3g}"


def round_values(low: float, high: float, *, most: int) -> list[float]:
    """Return round numbers within a range, `most` of them at the most."""
    if not high > low:
        return [low]
    raw = (high - low) / most
    unit = 10 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [round(step * k, 12) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def log_values(low: float, high: float, *, most: int) -> list[float]:
    """Return round numbers within a range whose ratios look alike, `most` at the most."""
    every = [
        round(tick * 10.0**power, 10)
        for power in range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        for tick in _LOG_TICKS
        if low <= tick * 10.0**power <= high
    ]
    if len(every) < 2:
        return round_values(low, high, most=most)
    stride = -(-len(every) // most)
    return every[::stride]


def thinned(points: Points, num: int) -> Points:
    """Return the lowest and the highest point of each of `num` equal parts, in order."""
    if len(points) <= 2 * num:
        return points
    found: list[tuple[float, float]] = []
    for part in range(num):
        own = points[part * len(points) // num : (part + 1) * len(points) // num]
        low = min(own, key=lambda point: point[1])
        high = max(own, key=lambda point: point[1])
        found += sorted({low, high})
    return found


def smoothed(values: Sequence[float | None], groups: Sequence[int]) -> list[float | None]:
    """Return each value's mean with its neighbours of the same group, a fiftieth of all.

    The change from one group (a stage) to the next stays as sharp as it was.
    """
    half = len(values) // 100
    sums = list(accumulate((value or 0.0 for value in values), initial=0.0))
    known = list(accumulate((value is not None for value in values), initial=0))
    found: list[float | None] = []
    for group, places in groupby(range(len(values)), key=lambda place: groups[place]):
        del group
        own = list(places)
        for place in own:
            start, end = max(place - half, own[0]), min(place + half, own[-1]) + 1
            num = known[end] - known[start]
            is_known = values[place] is not None
            found.append((sums[end] - sums[start]) / num if num and is_known else None)
    return found


def bounds(curves: Iterable[Points]) -> tuple[float, float]:
    """Return the lowest and highest value of curves, with some air, for a logarithmic axis."""
    values = [y for points in curves for _, y in points]
    low, high = min(values), max(values)
    air = max((high / low) ** 0.04, 1.02)
    return low / air, high * air


def apart(places: Sequence[float], *, gap: float, low: float, high: float) -> list[float]:
    """Return sorted places moved as far as it takes for `gap` between them, within a range."""
    found: list[float] = []
    for place in places:
        found.append(max(place, low, found[-1] + gap if found else low))
    limit = high
    for number in range(len(found) - 1, -1, -1):
        found[number] = min(found[number], limit)
        limit = found[number] - gap
    return found


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the value that a share of sorted ones lies below, between two of them if need be."""
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    over = ordered[min(below + 1, len(ordered) - 1)]
    return ordered[below] + (over - ordered[below]) * (place - below)


def middle(curves: Iterable[Points]) -> Points:
    """Return the median of curves at each of their places."""
    by_place: dict[float, list[float]] = {}
    for points in curves:
        for x, y in points:
            by_place.setdefault(x, []).append(y)
    return [(x, quantile(sorted(by_place[x]), 0.5)) for x in sorted(by_place)]
