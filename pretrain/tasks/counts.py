"""Tables of counts: what each example adds to the sums that scores are functions of.

A table has a row for each example, so that a score of any of them, again and again (`intervals`),
is a sum over rows and a formula.

Promises: chunks are conlleval's; a score of one table is that of scikit-learn, seqeval, or the
scripts of SQuAD and MLQA, to the last digit.
Does not promise: that tags of another scheme than BIO give chunks: it is an AssertionError.

Shapes: n examples, k sums, B resamples, T targets.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import squad_metric
from .intervals import Array, Statistic
from .squad_metric import Normaliser


@dataclass(frozen=True)
class Counts:
    """What each example adds to the sums that the scores are functions of."""

    values: Array
    """(n, k)."""
    statistics: Mapping[str, Statistic]
    """The metrics, the main one first. NaN where nothing is there to be judged."""

    def take(self, rows: NDArray[np.int64]) -> Counts:
        """Return the counts of some examples."""
        return Counts(self.values[rows], self.statistics)

    @property
    def scores(self) -> dict[str, float]:
        """Return every metric that has something to judge."""
        total = np.array([math.fsum(column) for column in self.values.T])[None]
        found = {name: float(of(total)[0]) for name, of in self.statistics.items()}
        return {name: score for name, score in found.items() if not math.isnan(score)}

    @property
    def main(self) -> Statistic:
        """Return the main metric."""
        return next(iter(self.statistics.values()))


def of_targets(gold: Sequence[str], predicted: Sequence[str], also: Sequence[str] = ()) -> Counts:
    """Return the counts of single targets; `also` names targets to have room for."""
    return _targets(gold, predicted, np.arange(len(gold)), len(gold), also=also, main="macro_f1")


def of_tags(
    gold: Sequence[Sequence[str]],
    predicted: Sequence[Sequence[str]],
    *,
    scheme: str | None,
    also: Sequence[Sequence[str]] = (),
) -> Counts:
    """Return the counts of sentences: of chunks by BIO, of words without a scheme."""
    lengths = np.array([len(tags) for tags in gold])
    assert [len(tags) for tags in predicted] == lengths.tolist(), "a word has no tag"
    if scheme is not None:
        return _chunks(gold, predicted)
    sentences = np.repeat(np.arange(len(gold)), lengths)
    one, other, third = ([*chain.from_iterable(tags)] for tags in (gold, predicted, also))
    return _targets(one, other, sentences, len(gold), also=third, main="accuracy")


def _targets(
    gold: Sequence[str],
    predicted: Sequence[str],
    rows: NDArray[np.int64],
    num: int,
    *,
    also: Iterable[str],
    main: str,
) -> Counts:
    """Return how often each target is right, predicted and gold, by example: k = 3 T."""
    assert len(gold) == len(predicted), "an example has no prediction"
    assert num, "there is nothing to judge"
    names = sorted({*gold, *predicted, *also})
    number = {name: i for i, name in enumerate(names)}
    size = len(names)
    expected = np.fromiter(map(number.__getitem__, gold), np.int64, len(gold))
    found = np.fromiter(map(number.__getitem__, predicted), np.int64, len(gold))
    right = expected == found
    values = [
        np.bincount(rows[keep] * size + codes[keep], minlength=num * size).reshape(num, size)
        for codes, keep in ((expected, right), (found, slice(None)), (expected, slice(None)))
    ]
    both = {"macro_f1": _macro_f1, "accuracy": _accuracy}
    statistics = {main: both[main]} | both
    return Counts(np.concatenate(values, axis=1).astype(np.float64), statistics)


def _macro_f1(found: Array) -> Array:
    right, predicted, gold = np.split(found, 3, axis=1)
    either = predicted + gold
    seen = either.any(axis=0)  # what no resample has would change the order of the summing
    right, either = right[:, seen], either[:, seen]
    f1 = np.divide(2 * right, either, out=np.zeros_like(either), where=either > 0)
    score: Array = f1.sum(axis=1) / (either > 0).sum(axis=1)
    return score


def _accuracy(found: Array) -> Array:
    right, _, gold = np.split(found, 3, axis=1)
    score: Array = right.sum(axis=1) / gold.sum(axis=1)
    return score


def _chunks(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> Counts:
    """Return chunks that are right, predicted and gold, by sentence."""
    begins, ends, kinds, rows = _spans(gold)
    other_begins, other_ends, other_kinds, other_rows = _spans(predicted)
    _, one, other = np.intersect1d(begins, other_begins, assume_unique=True, return_indices=True)
    right = (ends[one] == other_ends[other]) & (kinds[one] == other_kinds[other])
    columns = (rows[one][right], other_rows, rows)
    values = np.stack([np.bincount(at, minlength=len(gold)) for at in columns], axis=1)
    statistics = {"f1": _chunk_f1, "precision": _precision, "recall": _recall}
    return Counts(values.astype(np.float64), statistics)


def _spans(
    sentences: Sequence[Sequence[str]],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[Any], NDArray[np.int64]]:
    """Return where chunks begin and end in the text of all sentences, their type and sentence.

    By the rules of conlleval: an I- after O, or after another type, begins a chunk.
    """
    flat = ["O", *chain.from_iterable((*tags, "O") for tags in sentences)]
    names = sorted(set(flat))
    assert all(name[:1] in ("B", "I", "O") for name in names), "tags are not BIO"
    number = {name: i for i, name in enumerate(names)}
    codes = np.fromiter(map(number.__getitem__, flat), np.int64, len(flat))
    prefixes = np.array([name[0] for name in names])[codes]
    kinds = np.array([name.partition("-")[2] for name in names], dtype=object)[codes]
    inside, begin = prefixes != "O", prefixes == "B"
    new = begin[1:] | ~inside[:-1] | (kinds[1:] != kinds[:-1])  # if this word is in a chunk
    begins = np.flatnonzero(inside[1:] & new) + 1
    ends = np.flatnonzero(inside[:-1] & (new | ~inside[1:])) + 1
    starts = np.cumsum([1, *(len(tags) + 1 for tags in sentences)])
    return begins, ends, kinds[begins], np.searchsorted(starts, begins, side="right") - 1


def _precision(found: Array) -> Array:
    return np.divide(found[:, 0], found[:, 1], out=np.zeros(len(found)), where=found[:, 1] > 0)


def _recall(found: Array) -> Array:
    return np.divide(found[:, 0], found[:, 2], out=np.zeros(len(found)), where=found[:, 2] > 0)


def _chunk_f1(found: Array) -> Array:
    precision, recall = _precision(found), _recall(found)
    both = precision + recall
    return np.divide(2 * precision * recall, both, out=np.zeros(len(found)), where=both > 0)


def of_answers(
    gold: Sequence[Sequence[str]],
    predicted: Sequence[str],
    labels: Sequence[str],
    *,
    normaliser: Normaliser,
) -> Counts:
    """Return F1 and exact match of each question: as asked for, then as SQuAD's script.

    The sums: questions with and without an answer; for either way, F1 of those with and without,
    exact match of those with and without.
    """
    assert len(gold) == len(predicted) == len(labels), "a question has no prediction"
    assert len(gold), "there is nothing to judge"
    second = not all(gold)
    ways = [normaliser] if normaliser == "squad" else [normaliser, "squad"]
    values = np.zeros((len(gold), 4 * len(ways) + 2))
    for i, (answers, said, label) in enumerate(zip(gold, predicted, labels, strict=True)):
        none = 0 if answers else 1
        values[i, none] = 1
        for j, way in enumerate(ways):
            exact, f1 = squad_metric.exact_and_f1(
                answers, said, words=squad_metric.words_of(label, way), second=second
            )
            values[i, [4 * j + 2 + none, 4 * j + 4 + none]] = f1, exact
    statistics = {}
    for j, prefix in enumerate(["", "squad_"][: len(ways)]):
        statistics[f"{prefix}f1"] = _mean_of(4 * j + 2, [0, 1])
        statistics[f"{prefix}exact_match"] = _mean_of(4 * j + 4, [0, 1])
    if second:
        statistics["has_answer_f1"] = _mean_of(2, [0])
        statistics["has_answer_exact_match"] = _mean_of(4, [0])
        statistics["no_answer_f1"] = _mean_of(2, [1])
    return Counts(values, statistics)


def _mean_of(first: int, which: list[int]) -> Statistic:
    """Return the mean of a metric over questions with (0) and without (1) an answer."""

    def mean(found: Array) -> Array:
        total, num = (found[:, [at + one for one in which]].sum(axis=1) for at in (first, 0))
        score: Array = np.divide(total, num, out=np.full(len(found), np.nan), where=num > 0)
        return score

    return mean
