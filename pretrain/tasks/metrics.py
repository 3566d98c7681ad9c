"""How good predictions are, language by language, and how sure that is.

    classify   accuracy, macro-F1 over the targets that are gold or predicted (as scikit-learn)
    tag        BIO: F1, precision, recall of chunks (as conlleval and seqeval's default); plain tags
               (parts of speech): accuracy and macro-F1 of words
    answer     F1, exact match (`squad_metric`); with unanswerable questions as SQuAD 2.0

Every score is a function of sums over examples, so the scores and their intervals (`intervals`)
come from one table of counts.

Promises: the numbers of the scripts that other papers used, to the last digit (tests hold them
against stored ones); scores are in 0..1; the order of the examples changes no score.
Does not promise: that macro-F1 of two languages is over the same targets: each counts those that
it has, or that were predicted for it.

Shapes: n examples, k sums, B resamples, T targets.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .counts import Counts, of_answers, of_tags, of_targets
from .intervals import Array, limits, sums
from .squad_metric import Normaliser

MAIN = {"classify": "macro_f1", "tag": "f1", "answer": "f1"}
"""The metric by which models are chosen and compared; of plain tags it is `PLAIN`."""
PLAIN = "accuracy"
ALL, MEAN, WORST = "all", "mean", "worst"
"""Rows of `scored` beside the languages: all examples together, mean and worst of languages."""
Row = dict[str, Any]
Scores = dict[str, float]


def main_of(task: str, *, scheme: str | None = None) -> str:
    """Return the main metric of a task; of tagging it depends on the scheme."""
    return PLAIN if task == "tag" and scheme is None else MAIN[task]


def classify_scores(gold: Sequence[str], predicted: Sequence[str]) -> Scores:
    """Return `macro_f1`, over the targets that are gold or predicted, and `accuracy`.

    Args:
        gold: the right target of each example, at least one.
        predicted: what was said, of the same length.
    """
    return of_targets(gold, predicted).scores


def tag_scores(
    gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], *, scheme: str | None
) -> Scores:
    """Return the scores of tagged sentences.

    Args:
        gold: right tags of each sentence, at least one.
        predicted: as many tags for each.
        scheme: `BIO`: `f1`, `precision`, `recall` of chunks, 0 where there are none; None:
            `accuracy` and `macro_f1` of words.
    """
    return of_tags(gold, predicted, scheme=scheme).scores


def answer_scores(
    gold: Sequence[Sequence[str]],
    predicted: Sequence[str],
    labels: Sequence[str],
    *,
    normaliser: Normaliser = "mlqa",
) -> Scores:
    """Return `f1` and `exact_match` of answers.

    Where some question has no answer it is by the rules of SQuAD 2.0, and there are
    `has_answer_f1`, `has_answer_exact_match` and `no_answer_f1`, too.

    Args:
        gold: right answers of each question, at least one question; none = it has no answer.
        predicted: what was said, "" = that there is no answer.
        labels: language of each question.
        normaliser: what counts as the same, see `squad_metric`.
    """
    return of_answers(gold, predicted, labels, normaliser=normaliser).scores


def counts_of(
    task: str,
    gold: pa.Table,
    predictions: Sequence[Any],
    *,
    scheme: str | None = None,
    normaliser: Normaliser = "mlqa",
    also: Sequence[Any] = (),
) -> Counts:
    """Return the counts of a task's examples.

    Args:
        task: classify, tag or answer.
        gold: a table of task data, at least one row.
        predictions: for each row: a target, a list of tags, or an answer ("" for none).
        scheme: of tags.
        normaliser: of answers.
        also: predictions of another system, whose targets the sums are to have room for.
    """
    if task == "classify":
        return of_targets(_column(gold, "target"), predictions, also)
    if task == "tag":
        return of_tags(gold["tags"].to_pylist(), predictions, scheme=scheme, also=also)
    answers = [[one["text"] for one in row] for row in gold["answers"].to_pylist()]
    return of_answers(answers, predictions, _column(gold, "label"), normaliser=normaliser)


def scored(
    task: str,
    gold: pa.Table,
    predictions: Sequence[Any],
    *,
    scheme: str | None = None,
    seed: int = 0,
    normaliser: Normaliser = "mlqa",
) -> dict[str, Row]:
    """Return scores by language, the worst first, then of all, their mean and the worst.

    Args:
        task: classify, tag or answer.
        gold: a table of task data, at least one row.
        predictions: for each row: a target, a list of tags, or an answer ("" for none).
        scheme: of tags.
        seed: of the resamples.
        normaliser: of answers.

    Returns:
        For each label `num` (examples), all metrics, `low` and `high` of the main one (95 %);
        `all`: the same of all examples together; `mean`: each metric's mean over languages, `num`
        of them, low and high; `worst`: the row of the worst language, with its `label`.
    """
    counts = counts_of(task, gold, predictions, scheme=scheme, normaliser=normaliser)
    main = next(iter(counts.statistics))
    rows: dict[str, Row] = {}
    drawn = []
    for label, at in _by_label(gold).items():
        part = counts.take(at)
        resampled = part.main(sums(part.values, seed=seed, stream=label))
        drawn.append(resampled)
        rows[label] = _row(len(at), part.scores, resampled)
    by_score = sorted(rows, key=lambda label: (rows[label][main], label))
    found = {label: rows[label] for label in by_score}
    whole = counts.main(sums(counts.values, seed=seed, stream=ALL))
    means = {
        name: math.fsum(values) / len(values)
        for name in counts.statistics
        if (values := [row[name] for row in rows.values() if name in row])
    }
    return found | {
        ALL: _row(gold.num_rows, counts.scores, whole),
        MEAN: _row(len(rows), means, np.mean(drawn, axis=0)),
        WORST: {"label": by_score[0]} | rows[by_score[0]],
    }


def compared(
    task: str,
    gold: pa.Table,
    first: Sequence[Any],
    second: Sequence[Any],
    *,
    scheme: str | None = None,
    seed: int = 0,
    normaliser: Normaliser = "mlqa",
) -> dict[str, tuple[float, float, float]]:
    """Return by how much the first system is better, by language, and the 95 % interval.

    Both are judged on the same resamples of the examples (a paired bootstrap).

    Args:
        task: classify, tag or answer.
        gold: a table of task data, at least one row.
        first: predictions of the one.
        second: predictions of the other.
        scheme: of tags.
        seed: of the resamples.
        normaliser: of answers.

    Returns:
        (difference of the main metric, low, high) for each label, for `all` and for `mean`.
    """
    one = counts_of(task, gold, first, scheme=scheme, normaliser=normaliser, also=second)
    other = counts_of(task, gold, second, scheme=scheme, normaliser=normaliser, also=first)
    width, of = one.values.shape[1], one.main
    both = np.concatenate([one.values, other.values], axis=1)

    def difference(found: Array) -> Array:
        return of(found[:, :width]) - of(found[:, width:])

    found: dict[str, tuple[float, float, float]] = {}
    means, drawn = [], []
    for label, at in _by_label(gold).items():
        resampled = difference(sums(both[at], seed=seed, stream=label))
        means.append(float(difference(both[at].sum(axis=0)[None])[0]))
        drawn.append(resampled)
        found[label] = (means[-1], *limits(resampled))
    whole = difference(sums(both, seed=seed, stream=ALL))
    found[ALL] = (float(difference(both.sum(axis=0)[None])[0]), *limits(whole))
    found[MEAN] = (math.fsum(means) / len(means), *limits(np.mean(drawn, axis=0)))
    return found


def _row(num: int, scores: Mapping[str, float], resampled: Array) -> Row:
    low, high = limits(resampled)
    return {"num": num, **scores, "low": low, "high": high}


def _column(gold: pa.Table, name: str) -> list[str]:
    found: list[str] = gold[name].to_pylist()
    return found


def _by_label(gold: pa.Table) -> dict[str, NDArray[np.int64]]:
    """Return the numbers of the rows of each label, labels sorted."""
    found = defaultdict(list)
    for row, label in enumerate(_column(gold, "label")):
        found[label].append(row)
    return {label: np.array(found[label], np.int64) for label in sorted(found)}
