"""Text for a student to learn from: sequences of all languages, of each about as many.

What each language has is filled up like water (UniMax, Chung et al. 2023): all give the same number
of pieces; one that has less gives its text up to `MAX_REPEAT` times, and what it leaves goes to the
others.

Promises: text is tokenised once; the same arguments give the same sequences.
Does not promise: whole documents: a sequence is a stretch of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import DataError

from ..draws import generator
from ..models import Model
from ..ragged import starts_of
from ..tasks.features import IGNORED, Features, spans
from . import proof
from .texts import Texts
from .watcher import Watcher

MAX_REPEAT = 4
BYTES_PER_PIECE = 3.5
"""To know before reading which languages have little; what was read counts afterwards."""
SHORTEST = 8
"""Pieces of a sequence at the least, special ones counted: shorter rests are left out."""


@dataclass(frozen=True)
class Material:
    """Sequences to learn from."""

    features: Features
    pieces: dict[str, int]
    """By label, in one time through all sequences, repeated ones counted."""


def material(
    teacher: Model,
    texts: Texts,
    labels: Sequence[str],
    *,
    tokens: int,
    length: int,
    seed: int,
    watcher: Watcher,
) -> Material:
    """Return sequences of so many pieces, or of all there are.

    Args:
        teacher: whose tokenizer is taken.
        texts: where the text is.
        labels: of which languages.
        tokens: of all languages together.
        length: pieces of a sequence at the most, special ones counted.
        seed: of which sequences of a small language are repeated.
        watcher: is told how it goes.

    Raises:
        DataError: there is no text.
    """
    available = np.array([texts.sizes[label] / BYTES_PER_PIECE for label in labels])
    level = _level(available * MAX_REPEAT, tokens)
    sequences: list[NDArray[np.int32]] = []
    rows: list[NDArray[np.int64]] = []
    for number, label in enumerate(labels):
        watcher.update(number, len(labels), f"{label}: reading")
        own = _sequences(teacher, texts, label, limit=level, length=length)
        first, num = len(sequences), len(own)
        sequences += own
        total = sum(map(len, own))
        if not total:
            continue
        times = min(float(MAX_REPEAT), max(1.0, level / total))
        drawn = generator("distil", "repeat", seed, label).random(num) < times % 1
        rows.append(first + np.repeat(np.arange(num), int(times) + drawn))
    if not rows:
        raise DataError(
            f"{texts.name}: has no text to learn from.\n  Name a corpus with text in --corpus."
        )
    lengths = np.array([len(one) for one in sequences], dtype=np.int64)
    flat, offsets = np.concatenate(sequences), starts_of(lengths)
    chosen = np.concatenate(rows)
    places = spans(offsets, chosen)
    features = Features(
        ids=flat[places],
        offsets=starts_of(lengths[chosen]),
        rows=np.arange(len(chosen), dtype=np.int64),
        targets=np.full(len(chosen), IGNORED, np.int64),
        types=np.zeros(len(places), np.int8) if teacher.takes_types else None,
    )
    found = [label for label in labels if texts.sizes[label]]
    sums = [int(lengths[one].sum()) for one in rows]
    return Material(features, dict(zip(found, sums, strict=False)))


def _sequences(
    teacher: Model, texts: Texts, label: str, *, limit: float, length: int
) -> list[NDArray[np.int32]]:
    """Return sequences of a language, until there are `limit` pieces."""
    found: list[NDArray[np.int32]] = []
    taken = 0
    for batch in proof.batches(texts, label, max_bytes=None):
        for one in proof.encode(teacher.tokenizer, batch):
            if taken >= limit:
                return found
            for begin in range(0, len(one), length - 2):
                part = one[begin : begin + length - 2]
                if len(part) + 2 < SHORTEST:
                    continue
                own = np.concatenate([[teacher.cls], part, [teacher.sep]]).astype(np.int32)
                found.append(own)
                taken += len(own)
    return found


def _level(available: NDArray[np.float64], total: float) -> float:
    """Return the pieces that each language gives, those that have less give what they have."""
    rest, left = float(total), len(available)
    for own in np.sort(available).tolist():
        if own * left >= rest:
            return rest / left
        rest, left = rest - own, left - 1
    return float(available.max(initial=1.0))
