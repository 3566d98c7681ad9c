"""Judge measured documents: every rule, its value and its threshold, for every document.

Measuring is dear and done once; judging is comparisons on the measured columns. A rule compares one
statistic with a threshold that may differ by language. A statistic that is null does not apply and
never fails. All failed rules of a document are kept, as bits in the order of RULES; the first of
them is its `reason`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from .config import CorpusSettings, Rules

EMPTY = "empty"
"""The reason of documents without any text, under any rules."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A limit on one statistic: `name` is its key in `rules:`, and the reason it gives."""

    name: str
    column: str
    is_min: bool
    sane: tuple[float, float]
    """What an automatic threshold may be."""
    is_length: bool = False
    """The statistic has no upper bound; its histogram is logarithmic."""
    in_evidence: bool = False


def _rules() -> tuple[Rule, ...]:
    rules = []
    for name, field in Rules.model_fields.items():
        side, _, column = name.partition("_")
        if column == "word_graphemes":
            column = "max_word_graphemes"
        in_evidence = column in ("label_score", "disagreement", "label_script_share")
        is_length = column in _LENGTHS
        default = field.default
        if name in _SANE:
            sane = _SANE[name]
        elif default is None:
            sane = (0.0, np.inf)
        elif side == "max":
            # Wide enough for any language's own habits, never so wide that the rule is off.
            sane = (default * 0.5, default * 2 if is_length else min(default * 2, 0.95))
        else:
            sane = (default * 0.25, default * 1.2)
        rules.append(Rule(name, column, side == "min", sane, is_length, in_evidence))
    return tuple(rules)


_LENGTHS = {"content_chars", "mean_word_graphemes", "max_word_graphemes"}
# What a document must be is a choice about training data, not a property of its language: `auto`
# leaves these as they are set.
_CHOICES = {"min_content_chars", "max_content_chars", "max_word_graphemes"}
_SANE = {
    # Polysynthetic languages average 16 graphemes a word (Greenlandic), isolating ones below 3.
    "max_mean_word_graphemes": (12.0, 40.0),
    "min_mean_word_graphemes": (1.0, 3.0),
    "min_label_score": (0.2, 0.9),
    "max_disagreement": (0.4, 0.9),
}

RULES: tuple[Rule, ...] = _rules()
assert len(RULES) <= 62  # they share a uint64 with EMPTY_BIT
EMPTY_BIT = np.uint64(1 << 62)

NUM_BINS = 256
_BINS_PER_OCTAVE = 8  # lengths: bin k holds [2^(k/8), 2^((k+1)/8)); 256 bins reach 2^32


@dataclass(frozen=True, slots=True)
class Threshold:
    """One rule's limit for one label, and where it comes from."""

    value: float | None
    source: str
    """`rules`, `rules_by_label` or `auto`."""
    num_documents: int = 0
    """Documents an automatic threshold rests on."""
    interval: tuple[float, float] | None = None
    """95 % interval of an automatic threshold."""


Thresholds = dict[str, dict[str, Threshold]]
"""By label, then by rule."""


def column_values(batch: pa.RecordBatch | pa.Table, rule: Rule) -> npt.NDArray[np.float32]:
    """Return a rule's statistic of measured documents as float32, NaN where it does not apply."""
    if rule.column == "label_score":
        array = _flat(batch.column("label_score"))
        decided = _field(_flat(batch.column("evidence")), "decided_by")
        array = pc.if_else(pc.equal(pc.cast(decided, pa.string()), "model"), array, None)
    elif rule.in_evidence:
        array = _field(_flat(batch.column("evidence")), rule.column)
    else:
        array = _field(_flat(batch.column("stats")), rule.column)
    values = pc.cast(array, pa.float32())
    filled: npt.NDArray[np.float32] = pc.fill_null(values, np.nan).to_numpy(zero_copy_only=False)
    return filled


def failed_rules(
    batch: pa.RecordBatch | pa.Table, labels: npt.NDArray[np.int64], limits: npt.NDArray[np.float64]
) -> npt.NDArray[np.uint64]:
    """Return the failed rules of measured documents, one bit a rule.

    Args:
        batch: n measured documents.
        labels: (n,) row of `limits` that each document's label has.
        limits: (number of labels, number of rules) thresholds, NaN where a rule is off.
    """
    failed = np.zeros(batch.num_rows, np.uint64)
    for bit, rule in enumerate(RULES):
        values = column_values(batch, rule)
        # Compared as float32, the precision of the statistics: 0.3 must not exceed 0.3.
        limit = limits[labels, bit].astype(np.float32)
        with np.errstate(invalid="ignore"):  # a NaN on either side never fails
            hit = values < limit if rule.is_min else values > limit
        failed |= hit.astype(np.uint64) << np.uint64(bit)
    lengths = pc.binary_length(_flat(batch.column("text"))).to_numpy(zero_copy_only=False)
    failed[lengths == 0] |= EMPTY_BIT
    return failed


def reason_names(failed: npt.NDArray[np.uint64]) -> npt.NDArray[np.int64]:
    """Return the index of each document's reason in REASONS, -1 where nothing failed."""
    reasons = np.full(len(failed), -1, np.int64)
    for bit in range(len(RULES) - 1, -1, -1):
        reasons[(failed >> np.uint64(bit)) & np.uint64(1) == 1] = bit
    reasons[(failed & EMPTY_BIT) != 0] = len(RULES)
    return reasons


REASONS: tuple[str, ...] = (*(rule.name for rule in RULES), EMPTY)


def describe_failures(
    batch: pa.RecordBatch | pa.Table,
    failed: npt.NDArray[np.uint64],
    labels: list[str],
    thresholds: Thresholds,
) -> list[str]:
    """Return, for removed documents, every failed rule with its value and threshold."""
    details: list[list[str]] = [
        ["no text is left after cleaning"] if mask & EMPTY_BIT else [] for mask in failed
    ]
    for bit, rule in enumerate(RULES):
        rows = np.flatnonzero((failed >> np.uint64(bit)) & np.uint64(1))
        if len(rows) == 0:
            continue
        values = column_values(batch, rule)
        sign = "<" if rule.is_min else ">"
        for row in rows:
            limit = thresholds[labels[row]][rule.name].value
            details[row].append(f"{rule.column} {values[row]:.4g} {sign} {limit:.4g}")
    return ["; ".join(parts) for parts in details]


def histogram(values: npt.NDArray[np.float32], *, is_length: bool) -> npt.NDArray[np.int64]:
    """Return the bin of each value, -1 where it is NaN.

    Shares have NUM_BINS equal bins over [0, 1], lengths eight bins an octave from 1.
    """
    known = ~np.isnan(values)
    bins = np.full(len(values), -1, np.int64)
    chosen = values[known].astype(np.float64)
    octaves = np.log2(np.maximum(chosen, 1.0))
    scaled = octaves * _BINS_PER_OCTAVE if is_length else chosen * NUM_BINS
    bins[known] = np.clip(scaled, 0, NUM_BINS - 1).astype(np.int64)
    return bins


def bin_edge(index: npt.NDArray[np.float64] | float, *, is_length: bool) -> float:
    """Return the value at the lower edge of a bin; fractions lie within it."""
    return float(2 ** (np.asarray(index) / _BINS_PER_OCTAVE) if is_length else index / NUM_BINS)


def histograms(batch: pa.Table, labels: npt.NDArray[np.int64]) -> pa.Table:
    """Count the values of every rule's statistic by label: a sparse table of counts."""
    parts = []
    for bit, rule in enumerate(RULES):
        bins = histogram(column_values(batch, rule), is_length=rule.is_length)
        known = bins >= 0
        keys = labels[known] * NUM_BINS + bins[known]
        counts = np.bincount(keys, minlength=0)
        used = np.flatnonzero(counts)
        parts.append(
            pa.table(
                {
                    "label": (used // NUM_BINS).astype(np.int32),
                    "rule": np.full(len(used), bit, np.int16),
                    "bin": (used % NUM_BINS).astype(np.int16),
                    "count": counts[used].astype(np.int64),
                }
            )
        )
    return pa.concat_tables(parts)


Histograms = dict[str, npt.NDArray[np.int64]]
"""By label: (number of rules, NUM_BINS) counts."""


def add_histograms(total: Histograms, part: pa.Table, labels: list[str]) -> None:
    """Add the counts of one measured shard."""
    label, rule, bins, count = (
        part.column(name).to_numpy() for name in ("label", "rule", "bin", "count")
    )
    for index in np.unique(label):
        rows = label == index
        array = total.setdefault(labels[index], np.zeros((len(RULES), NUM_BINS), np.int64))
        np.add.at(array, (rule[rows], bins[rows]), count[rows])


def decide_thresholds(
    settings: CorpusSettings, labels: Iterable[str], counted: Histograms
) -> Thresholds:
    """Return every label's threshold for every rule.

    With `thresholds: fixed` they are those of `rules`; with `auto` a rule that is on is fitted to
    the label's own documents (see `_fitted`). `rules_by_label` wins over both.
    """
    is_auto = settings.thresholds == "auto"
    priors = _script_priors(settings.rules, counted) if is_auto else {}
    thresholds: Thresholds = {}
    for label in sorted(labels):
        own = settings.rules_by_label.get(label, {})
        row = thresholds[label] = {}
        for bit, rule in enumerate(RULES):
            fixed: float | None = getattr(settings.rules, rule.name)
            if rule.name in own:
                row[rule.name] = Threshold(own[rule.name], "rules_by_label")
            elif not is_auto or fixed is None or label not in counted or rule.name in _CHOICES:
                row[rule.name] = Threshold(fixed, "rules")
            else:
                prior = priors[_script(label)][bit]
                row[rule.name] = _fitted(counted[label][bit], rule, prior)
    return thresholds


def limits_of(thresholds: Thresholds, labels: list[str]) -> npt.NDArray[np.float64]:
    """Return thresholds as (number of labels, number of rules), NaN where a rule is off."""
    limits = np.full((len(labels), len(RULES)), np.nan)
    for row, label in enumerate(labels):
        for bit, rule in enumerate(RULES):
            value = thresholds[label][rule.name].value
            if value is not None:
                limits[row, bit] = value
    return limits


# Automatic thresholds. A language's own fence is shrunk towards its script's by n/(n+k), the
# empirical-Bayes weight of a mean of n observations against a prior worth k of them.
PRIOR_DOCUMENTS = 200
PRIOR_LABELS = 3
FENCE = 4.0


def _fence(counts: npt.NDArray[np.float64], rule: Rule, shift: float = 0.0) -> float:
    """Return the outer fence: the median plus FENCE times its distance to the outer quartile.

    Quartiles, because the tail is just what a rule is there to cut: a corpus with a quarter of
    junk leaves them where they were. `shift` moves all ranks by that many standard errors.
    """
    total = counts.sum()

    def quantile(q: float) -> float:
        q = float(np.clip(q + shift * np.sqrt(q * (1 - q) / total), 0, 1))
        cumulated = np.cumsum(counts) / total
        index = int(np.searchsorted(cumulated, q))
        index = min(index, NUM_BINS - 1)
        before = cumulated[index - 1] if index else 0.0
        inside = (q - before) / max(cumulated[index] - before, 1e-12)
        return bin_edge(index + inside, is_length=rule.is_length)

    middle = quantile(0.5)
    outer = quantile(0.25 if rule.is_min else 0.75)
    return middle + FENCE * (outer - middle)


def _fitted(counts: npt.NDArray[np.int64], rule: Rule, prior: float) -> Threshold:
    num = int(counts.sum())
    if num == 0:
        value = float(np.clip(prior, *rule.sane))
        return Threshold(value, "auto", 0, (rule.sane[0], rule.sane[1]))
    weight = num / (num + PRIOR_DOCUMENTS)

    def shrunk(shift: float) -> float:
        own = _fence(counts.astype(np.float64), rule, shift)
        return float(np.clip(weight * own + (1 - weight) * prior, *rule.sane))

    low, high = sorted((shrunk(-1.96), shrunk(1.96)))
    return Threshold(shrunk(0.0), "auto", num, (low, high))


def _script_priors(rules: Rules, counted: Histograms) -> dict[str, list[float]]:
    """Return each script's fence for each rule, shrunk towards `rules` and never stricter.

    Languages weigh alike in it, however many documents they have.
    """
    scripts: dict[str, list[str]] = {}
    for label in sorted(counted):
        scripts.setdefault(_script(label), []).append(label)
    priors: dict[str, list[float]] = {}
    for script, members in scripts.items():
        row = []
        for bit, rule in enumerate(RULES):
            fixed = getattr(rules, rule.name)
            pooled = np.zeros(NUM_BINS)
            num_members = 0
            for label in members:
                counts = counted[label][bit]
                if counts.sum():
                    pooled += counts / counts.sum()
                    num_members += 1
            if fixed is None or num_members == 0:
                row.append(float("nan") if fixed is None else fixed)
                continue
            weight = num_members / (num_members + PRIOR_LABELS)
            prior = weight * _fence(pooled, rule) + (1 - weight) * fixed
            # A script may loosen what a small language is held to, but not tighten it: with its
            # web pages as a yardstick, Latin script lost the picture books of its small languages.
            row.append(min(prior, fixed) if rule.is_min else max(prior, fixed))
        priors[script] = row
    return priors


def _script(label: str) -> str:
    return label.partition("_")[2]


def thresholds_to_json(thresholds: Thresholds) -> Mapping[str, object]:
    """Return thresholds as plain values, off rules left out."""
    return {
        label: {
            name: {
                "value": t.value,
                "source": t.source,
                **({"num_documents": t.num_documents} if t.source == "auto" else {}),
                **({"interval": list(t.interval)} if t.interval else {}),
            }
            for name, t in row.items()
            if t.value is not None
        }
        for label, row in thresholds.items()
    }


def thresholds_from_json(value: Mapping[str, Mapping[str, Mapping[str, object]]]) -> Thresholds:
    """Return what `thresholds_to_json` wrote; rules that are not there are off."""
    off = Threshold(None, "rules")
    thresholds: Thresholds = {}
    for label, row in value.items():
        thresholds[label] = {rule.name: off for rule in RULES}
        for name, entry in row.items():
            limit = entry["value"]
            assert isinstance(limit, (int, float))
            thresholds[label][name] = Threshold(float(limit), str(entry["source"]))
    return thresholds


def _flat(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _field(column: pa.StructArray, name: str) -> pa.Array:
    return pc.struct_field(column, name)
