"""How much of each language a run takes, and which documents are next.

    shares -> rates -> cursors -> documents_of_block
    of all    documents   documents    which ones
    tokens    a block     taken so far

Promises: all of it is a function of the settings, the sizes of the languages, the seed and how many
blocks a run has had: nothing is replayed to resume. A language goes through all of its documents
once before any comes again, each time in another order. Its order depends on its own label and
number of documents, so that adding a language doesn't change another's. `cursors` adds up exactly:
3 blocks and then 4 are 7, on every machine.
Does not promise: the exact shares in each block. Documents are taken whole: a language whose share
of a block is a tenth of a document is in every tenth block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines.config_errors import did_you_mean
from pipelines.errors import ConfigError

from . import draws
from .config import LanguageSampling

Integers = NDArray[np.int64]
Floats = NDArray[np.float64]

_FRACTION = 2.0**32
"""Rates are multiples of 1 / this, so that sums of them are exact. A run may take 2**31 documents
of a language."""


def shares(
    sampling: LanguageSampling, *, labels: Sequence[str], num_tokens: Integers, total_tokens: float
) -> Floats:
    """Return each language's share of the tokens of a run, shape (L,); they add up to 1.

    `unimax`: all the same, but none more than `max_repeat` times its text; what that leaves goes to
    the others (Chung et al. 2023, "UniMax", algorithm 1). `weights`: the same with weights.
    `temperature`: tokens to the power of `temperature` (Conneau et al. 2020, "XLM-R", section 3.1),
    without a cap. A run so long that all languages reach their caps repeats all equally often, more
    than `max_repeat` times.

    Args:
        sampling: the settings.
        labels: of the languages.
        num_tokens: of their training parts, shape (L,); the share of one without text is 0.
        total_tokens: length of the run.

    Raises:
        ConfigError: a weight is given for a language that isn't there.
    """
    size = num_tokens.astype(np.float64)
    assert bool(np.any(size > 0)), "there is no text"
    if sampling.by == "temperature":
        return _shared(np.where(size > 0, (size / size.max()) ** sampling.temperature, 0.0))
    weights = np.ones(len(labels))
    if sampling.by == "weights":
        weights = _weights(sampling.weights, labels)
    weights = np.where(size > 0, weights, 0.0)
    return _shared(_filled(weights, sampling.max_repeat * size, total_tokens))


def _shared(parts: Floats) -> Floats:
    found: Floats = parts / parts.sum()
    return found


def _weights(given: Mapping[str, float], labels: Sequence[str]) -> Floats:
    unknown = sorted(set(given) - set(labels))
    if unknown:
        hint = did_you_mean(unknown[0], list(labels))
        raise ConfigError(
            f"pretrain.sampling.weights: there are no tokens of {', '.join(unknown)}.\n"
            f"  {hint + ' ' if hint else ''}Leave out what is not among the {len(labels)} languages"
            " that are trained on."
        )
    return np.array([given.get(label, 1.0) for label in labels])


def _filled(weights: Floats, caps: Floats, total: float) -> Floats:
    """Return min(level x weights, caps), which add up to `total`, or the caps if these are less."""
    if caps[weights > 0].sum() <= total:
        return np.where(weights > 0, caps, 0.0)
    found = np.zeros(len(weights))
    rest, left = total, weights.sum()
    own = np.flatnonzero(weights > 0)
    for place in own[np.argsort(caps[own] / weights[own], kind="stable")].tolist():
        # Those that reach their caps come first; what they leave raises the level of the others.
        found[place] = min(rest * weights[place] / left, caps[place])
        rest, left = rest - found[place], left - weights[place]
    return found


def rates(
    shares: Floats, *, block_tokens: float, num_documents: Integers, num_tokens: Integers
) -> Floats:
    """Return the documents of each language in a block, on average, shape (L,).

    Args:
        shares: of the tokens, shape (L,).
        block_tokens: tokens of a block.
        num_documents: of the training parts, shape (L,).
        num_tokens: of the training parts, shape (L,).
    """
    found: Floats = shares * block_tokens * num_documents / np.maximum(num_tokens, 1)
    return np.floor(found * _FRACTION) / _FRACTION


def phases(labels: Sequence[str], *, seed: int) -> Floats:
    """Return where in its first document each language starts, in [0, 1), shape (L,).

    Without them, languages of which a block takes a tenth of a document are all absent from nine
    blocks, and then all there. With them each block has a tenth of them, from the first one on.
    """
    return np.array([draws.uniform(draws.key("phase", seed, label), 0) for label in labels])


def cursors(stages: Sequence[tuple[int, Floats]], *, phases: Floats | None = None) -> Integers:
    """Return how many documents of each language a history of blocks took, shape (L,).

    Args:
        stages: numbers of blocks, and the rates that they had, in any order.
        phases: added before rounding down; none when left out.
    """
    assert stages, "there is no stage"
    taken = np.zeros(len(stages[0][1]), np.int64)
    if phases is not None:
        taken += (phases * _FRACTION).astype(np.int64)
    for num_blocks, own in stages:
        assert num_blocks * float(own.max(initial=0)) < 2**31, "too many documents of a language"
        taken += num_blocks * np.floor(own * _FRACTION).astype(np.int64)
    return taken >> 32


def documents_of_block(
    *, before: Integers, after: Integers, num_documents: Integers, labels: Sequence[str], seed: int
) -> tuple[NDArray[np.int32], Integers, Integers]:
    """Return the documents that a block takes: (language, index, epoch), sorted by the first two.

    Each language is an endless row of epochs, each a permutation of all its documents; the block
    takes those from number `before` to number `after` - 1. A document may be in it several times,
    in several epochs.

    Args:
        before: documents taken before the block, shape (L,).
        after: documents taken with it, shape (L,).
        num_documents: of the training parts, shape (L,).
        labels: of the languages; they name the permutations.
        seed: of the permutations.

    Returns:
        Arrays of shape (documents,): numbers of languages as int32, numbers of documents in the
        training part and epochs as int64.
    """
    counts = np.where(num_documents > 0, after - before, 0)
    assert bool(np.all(counts >= 0)), "a block cannot give documents back"
    language = np.repeat(np.arange(len(labels)), counts)
    start = np.cumsum(counts) - counts
    number = np.arange(len(language)) + (before - start)[language]
    size = num_documents[language]
    epoch, place = number // size, number % size
    own = _keys(labels, counts, seed)[language]
    index = draws.permuted(place, size=size, keys=draws.bits(own, epoch))
    order = np.lexsort((epoch, index, language))
    return language[order].astype(np.int32), index[order], epoch[order]


def _keys(labels: Sequence[str], counts: Integers, seed: int) -> NDArray[np.uint64]:
    """Return the keys of the languages that have documents in a block; 0 for the others."""
    found = np.zeros(len(labels), np.uint64)
    for place in np.flatnonzero(counts).tolist():
        found[place] = draws.key("documents", seed, labels[place])
    return found


def examples_per_token(
    shares: Floats, num_documents: Integers, num_tokens: Integers, *, max_length: int
) -> float:
    """Return about how many training sequences a token of text gives: 1 / their mean length.

    A sequence is as long as it may be, `max_length` less [CLS] and [SEP], or as the documents of
    its language are on average. Documents that are a little longer give a short sequence besides.

    Args:
        shares: of the tokens, shape (L,).
        num_documents: of the training parts, shape (L,).
        num_tokens: of the training parts, shape (L,).
        max_length: tokens of the longest sequence.
    """
    mean = num_tokens / np.maximum(num_documents, 1)
    length: NDArray[Any] = np.minimum(max_length - 2, np.maximum(mean, 1))
    return float(np.sum(shares / length))
