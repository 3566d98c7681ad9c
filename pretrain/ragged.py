"""Gather spans of a flat array into one flat array, which is most of what planning a block does.

Promises: `take` gives the spans one after the other, whatever their order and overlap. Its
memory beside the result is some megabytes, not a multiple of it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

LONG = 192
"""Mean length from which on copying slices one by one beats one index per element: 400 against
360 million elements a second at 200, 1,500 against 680 at 1,000, 150 against 320 at 64."""

CHUNK = 1 << 17
"""Elements that are indexed at once: their indices stay in the processor's cache."""


def starts_of(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return where pieces of these lengths begin, laid out one after the other, and where all end.

    Args:
        lengths: shape (n,).

    Returns:
        int64, shape (n + 1,).
    """
    starts = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    return starts


def take(
    values: NDArray[Any],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    *,
    out: NDArray[Any] | None = None,
) -> NDArray[Any]:
    """Return values[starts[i] : starts[i] + lengths[i]] for each i, one after the other.

    Args:
        values: flat.
        starts: shape (n,). Spans lie inside `values`; it is not checked.
        lengths: shape (n,), 0 or more.
        out: receives them, of the type of `values` and of length sum(lengths).
    """
    if len(starts) == 1:
        span = values[starts[0] : starts[0] + lengths[0]]
        if out is None:
            return span.copy()
        out[:] = span
        return out
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    if out is None:
        out = np.empty(total, values.dtype)
    assert len(out) == total, "`out` is not as long as the spans together"
    if total >= LONG * len(starts):
        at = 0
        for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
            out[at : at + length] = values[start : start + length]
            at += length
        return out
    shift = starts - ends + lengths
    first = at = 0
    while at < total:
        # At least one span; those that begin within the next CHUNK elements.
        last = max(first + 1, int(np.searchsorted(ends, at + CHUNK, side="right")))
        end = int(ends[last - 1])
        index = np.repeat(shift[first:last], lengths[first:last])
        index += np.arange(at, end)
        np.take(values, index, out=out[at:end], mode="clip")  # another mode would buffer `out`
        first, at = last, end
    return out
