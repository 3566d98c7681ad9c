"""How much of each language a run takes, and which text is next.

    shares -> rates -> cursors -> Orders.of_block
    of all    tokens   tokens     spans of
    tokens    a block  so far     documents

A language is an endless row of epochs, each all of its documents in another order; a cursor is a
place in it, counted in tokens. Documents longer than a section are cut into equal sections, and a
block takes the sections that begin between its cursors: whole documents where they are short, some
sections of those that are long.

Promises: all of it is a function of the settings, the sizes of the languages, the seed and how many
blocks a run has had: nothing is replayed to resume. A language goes through all of its text once
before any comes again. Its order depends on its own label and number of documents, so that adding
a language doesn't change another's. `cursors` adds up exactly: 3 blocks and then 4 are 7, on every
machine. After any number of blocks a language has had its share to within a section.
Does not promise: the exact shares in each block; a language whose share of a block is a tenth of a
section is in every tenth block.
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

_FRACTION = 2.0**16
"""Rates are multiples of 1 / this, so that sums of them are exact. A run may take 2**46 tokens of a
language."""


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


def rates(shares: Floats, *, block_tokens: float) -> Floats:
    """Return the tokens of each language in a block, on average, shape (L,).

    Args:
        shares: of the tokens, shape (L,).
        block_tokens: tokens of a block.
    """
    return np.floor(shares * block_tokens * _FRACTION) / _FRACTION


def delays(
    labels: Sequence[str], *, num_documents: Integers, num_tokens: Integers, section: int, seed: int
) -> Floats:
    """Return how many tokens later than its share says each language begins, shape (L,).

    Sections are taken whole, when a block reaches their beginning, and so half a section too early
    on average. The delay, anything up to a section, makes up for it; and languages of which a block
    takes a tenth of a section come in different blocks, not all in the first one.

    Args:
        labels: of the languages.
        num_documents: of the training parts, shape (L,).
        num_tokens: of the training parts, shape (L,).
        section: most tokens of a section.
        seed: of the run.
    """
    phase = np.array([draws.uniform(draws.key("phase", seed, label), 0) for label in labels])
    found: Floats = phase * np.minimum(num_tokens / np.maximum(num_documents, 1), section)
    return found


def cursors(stages: Sequence[tuple[int, Floats]], *, delays: Floats | None = None) -> Integers:
    """Return how many tokens of each language a history of blocks took, shape (L,).

    Args:
        stages: numbers of blocks, and the rates that they had, in any order.
        delays: what is taken off; none when left out.
    """
    assert stages, "there is no stage"
    taken = np.zeros(len(stages[0][1]), np.int64)
    if delays is not None:
        taken -= (delays * _FRACTION).astype(np.int64)
    for num_blocks, own in stages:
        assert num_blocks * float(own.max(initial=0)) < 2**46, "too many tokens of a language"
        taken += num_blocks * np.floor(own * _FRACTION).astype(np.int64)
    # Rounded up, so that a language begins as soon as its cursor passes its first token.
    return -(-np.maximum(taken, 0) >> 16)


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
