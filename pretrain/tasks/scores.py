"""Scores of several seeds as one, and the one that decides while a network is fitted.

Promises: languages count the same, however many examples they have; the worst comes first.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from . import encode, metrics
from .data import TaskData

Scores = dict[str, dict[str, Any]]


def aggregated(rows: Sequence[Mapping[str, Mapping[str, Any]]], metric: str) -> Scores:
    """Return the scores of several seeds as one, the worst language first.

    Args:
        rows: `metrics.scored` of each seed.
        metric: the main one.
    """
    if not rows or not rows[0]:
        return {}
    found: Scores = {}
    for label in rows[0]:
        if label == metrics.WORST:
            continue
        own = [row[label] for row in rows]
        names = [name for name in own[0] if name != "num" and all(name in row for row in own)]
        values = [float(row[metric]) for row in own]
        found[label] = {
            "num": own[0]["num"],
            **{name: math.fsum(float(row[name]) for row in own) / len(own) for name in names},
            "mean": math.fsum(values) / len(values),
            "deviation": statistics.stdev(values) if len(values) > 1 else None,
        }
    ends = (metrics.ALL, metrics.MEAN)
    labels = sorted(found.keys() - set(ends), key=lambda label: (found[label]["mean"], label))
    worst = {metrics.WORST: {"label": labels[0], **found[labels[0]]}}
    return {label: found[label] for label in (*labels, *ends)} | worst


def mean_score(data: TaskData, predictions: Sequence[Any], *, metric: str) -> float:
    """Return the mean over languages of a metric on the development split, 0 where it has none."""
    counts = metrics.counts_of(data.task, data.dev, predictions, scheme=data.scheme)
    coded = encode.codes(data.dev["label"])
    numbers = coded.indices.to_numpy(zero_copy_only=False)
    values = [
        counts.take((numbers == number).nonzero()[0]).scores.get(metric, 0.0)
        for number in range(len(coded.dictionary))
    ]
    return math.fsum(values) / len(values)


def worst_first(scores: Scores) -> Scores:
    """Return scores in their order, which JSON with sorted keys has lost."""
    ends = [name for name in (metrics.ALL, metrics.MEAN, metrics.WORST) if name in scores]
    labels = sorted(scores.keys() - set(ends), key=lambda label: (scores[label]["mean"], label))
    return {label: scores[label] for label in (*labels, *ends)}
