"""Scores of several systems on the same examples, by language, with intervals and differences.

A system has predictions of one tuning or several, which differ by their seed. Its score is the mean
over them. A resample draws the test examples, the same ones for every system, and then the tunings
of each system, so that an interval covers both: other examples, and other luck (Efron, Tibshirani
1993, chapter 8: a bootstrap of two levels).

Promises: the same predictions and seed give the same figures; differences are paired.
Does not promise: an interval that is wide enough with two or three tunings: so few show less
variance than there is. `deviation` tells it apart.

Shapes: n examples, k sums, B resamples, S tunings.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .. import draws
from ..tasks import metrics
from ..tasks.counts import Counts
from ..tasks.intervals import Array, limits, sums
from . import results

Predictions = Sequence[Sequence[Any]]
"""Of a system: for each tuning, for each example a target, a list of tags or an answer."""


def rows_of(
    task: str,
    gold: pa.Table,
    systems: Mapping[str, Predictions],
    *,
    trained_on: Mapping[str, Collection[str]],
    scheme: str | None = None,
    seed: int = 0,
) -> dict[str, dict[str, Any]]:
    """Return the rows of results.json: for each language, each system's score and differences.

    Args:
        task: classify, tag or answer.
        gold: the test examples, at least one.
        systems: by name, predictions of all examples.
        trained_on: the languages that the model's own systems were tuned on; their random ones
            were tuned on the same.
        scheme: of tags.
        seed: of the resamples.
    """
    counts = {
        name: [metrics.counts_of(task, gold, one, scheme=scheme) for one in tunings]
        for name, tunings in systems.items()
    }
    labels = np.array(gold["label"].to_pylist(), dtype=object)
    return {
        label: _row(
            {own: counts[name] for own, name in systems_of(label, counts, trained_on).items()},
            np.flatnonzero(labels == label),
            label=label,
            seed=seed,
        )
        for label in sorted(map(str, set(labels.tolist())))
    }


def systems_of(
    label: str, systems: Collection[str], trained_on: Mapping[str, Collection[str]]
) -> dict[str, str]:
    """Return for a language which system's predictions are what of it, in the order of `SYSTEMS`.

    A language that the in-language tuning had no examples of is one that it does zero-shot; where
    another tuning was made for zero-shot, that one counts.
    """
    found: dict[str, str] = {}
    for first, second in (("in_language", "zero_shot"), ("random", "random_zero_shot")):
        if first in systems:
            found[first if label in trained_on["in_language"] else second] = first
        if second in systems and label not in trained_on["zero_shot"]:
            found[second] = second
    found |= {name: name for name in ("majority", "words") if name in systems}
    return {name: found[name] for name in results.SYSTEMS if name in found}


def _row(
    counts: Mapping[str, Sequence[Counts]], at: NDArray[np.int64], *, label: str, seed: int
) -> dict[str, Any]:
    """Return a language's scores by every system, and how much better the model's own are."""
    parts = {name: [one.take(at) for one in tunings] for name, tunings in counts.items()}
    flat = [part for tunings in parts.values() for part in tunings]
    borders = np.cumsum([part.values.shape[1] for part in flat])[:-1]
    drawn = sums(np.concatenate([part.values for part in flat], axis=1), seed=seed, stream=label)
    each = iter(np.split(drawn, borders, axis=1))
    resampled = {
        name: _over_tunings(
            np.stack([part.main(next(each)) for part in tunings]),
            seed=seed,
            stream=f"{label} {name}",
        )
        for name, tunings in parts.items()
    }
    row: dict[str, Any] = {"num": len(at)}
    for name, tunings in parts.items():
        row[name] = _score(tunings, resampled[name])
    row["difference"] = {}
    for baseline in parts:
        if baseline in results.OWN:
            continue
        own = results.compared_with(row, baseline)
        if own is not None:
            gap = row[own]["mean"] - row[baseline]["mean"]
            low, high = limits(resampled[own] - resampled[baseline])
            row["difference"][baseline] = [gap, low, high]
    return row


def _over_tunings(found: Array, *, seed: int, stream: str) -> Array:
    """Return (B,): the mean over tunings drawn anew, from the scores (S, B) of each."""
    num, resamples = found.shape
    if num == 1:
        only: Array = found[0]
        return only
    random = draws.generator("tunings", seed, stream)
    chosen = random.integers(0, num, (num, resamples))
    mean: Array = np.take_along_axis(found, chosen, axis=0).mean(axis=0)
    return mean


def _score(tunings: Sequence[Counts], resampled: Array) -> dict[str, Any]:
    """Return the Score of a system on a language: see `results`."""
    every = [one.scores for one in tunings]
    main = next(iter(tunings[0].statistics))
    values = [scores[main] for scores in every]
    low, high = limits(resampled)
    return {
        "mean": fmean(values),
        "low": low,
        "high": high,
        "deviation": stdev(values) if len(values) > 1 else None,
        "metrics": {name: fmean(scores[name] for scores in every) for name in every[0]},
    }
