"""How sure a score is: percentile intervals by resampling the examples it was measured on.

A score is a function of sums over examples (words right, chunks found, ...), so a resample is a
vector of how often each example was drawn, and a thousand of them are one product of matrices
(Efron, Tibshirani 1993, chapter 13). Two systems are compared on the same resamples.

Promises: the same counts and seed give the same interval; the statistic sees all resamples at once.
Does not promise: an interval for another draw of training data or another seed of the tuning, or
for examples that hang together (questions on one paragraph): there the truth is wider.

Shapes: n examples, k sums, B resamples.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .. import draws

Array = NDArray[np.float64]
Statistic = Callable[[Array], Array]
"""From the sums (B, k) to the score of each resample (B,)."""
LEVEL = 0.95
"""How often the interval holds the score of the population."""
NUM = 1000
_AT_ONCE = 1 << 22
"""Draws that are held at once: 32 MB of indices."""


def sums(counts: Array, *, num: int = NUM, seed: int, stream: str = "") -> Array:
    """Return (B, k): the sums of `num` resamples of as many examples as there are.

    Args:
        counts: (n, k), n at least 1: what each example adds to each sum.
        num: resamples.
        seed: of the draws.
        stream: another one gives draws that are independent of the first's.
    """
    size = len(counts)
    random = draws.generator("bootstrap", seed, stream)
    found = np.empty((num, counts.shape[1]))
    step = max(1, _AT_ONCE // size)
    for begin in range(0, num, step):
        rows = min(step, num - begin)
        drawn = random.integers(0, size, (rows, size))
        drawn += (np.arange(rows) * size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=rows * size).reshape(rows, size)
        found[begin : begin + rows] = times.astype(np.float64) @ counts
    return found


def limits(scores: Array) -> tuple[float, float]:
    """Return the borders of the middle `LEVEL` of the scores (B,) of resamples."""
    low, high = np.quantile(scores, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def bootstrap(
    counts: Array, statistic: Statistic, *, num: int = NUM, seed: int
) -> tuple[float, float]:
    """Return the 95 % percentile interval of a score.

    Args:
        counts: (n, k), n at least 1: what each example adds to each sum.
        statistic: the score, from sums.
        num: resamples.
        seed: of the draws.
    """
    return limits(statistic(sums(counts, num=num, seed=seed)))


def paired(
    first: Array, second: Array, statistic: Statistic, *, num: int = NUM, seed: int
) -> tuple[float, float, float]:
    """Return by how much the first system is better, and the interval of that difference.

    Args:
        first: (n, k): what each example adds to each sum, for the first system.
        second: the same examples in the same order, for the second.
        statistic: the score, from sums.
        num: resamples.
        seed: of the draws.
    """
    assert first.shape == second.shape, "the systems were judged on different examples"
    both = np.concatenate([first, second], axis=1)
    width = first.shape[1]

    def difference(found: Array) -> Array:
        return statistic(found[:, :width]) - statistic(found[:, width:])

    low, high = limits(difference(sums(both, num=num, seed=seed)))
    return float(difference(both.sum(axis=0)[None])[0]), low, high
