"""Put sequences together so that little of what a network computes is padding.

A step takes `batch_size` sequences. They are drawn so that those of a step have like lengths: the
shuffled examples are sorted within pools of `POOL` batches, and the batches shuffled again. Where a
step holds more tokens than the device takes at once, or lengths that are far apart, it is done in
parts; the gradient is the sum of theirs, so that a part's size changes the speed and nothing else.

Promises: an epoch has each sequence once; the order is a function of the seed and the epoch.
Does not promise: that the lengths of a step are mixed as those of the data. Shorter pools mix them
more, and pad more. Of what is computed, with steps of 32, is padding:

    pool, in steps        topics, 20 languages   parts of speech, Wolof   names, Chinese
    random, to the longest               50 %                     60 %             59 %
    5                                    20 %                     29 %             27 %
    20                                    7 %                     11 %             10 %
    50                                    3 %                      5 %              5 %

Shapes: S sequences, F pieces of all, B sequences of a part, L pieces of its longest.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..draws import generator
from .features import Features, padded, spans

POOL = 50
"""Batches whose sequences are sorted by length together."""


@dataclass(frozen=True)
class Part:
    """What goes through the network at once, as arrays that torch takes."""

    numbers: NDArray[np.int64]
    """(B,): which sequences."""
    ids_BL: NDArray[np.int64]
    mask_BL: NDArray[np.bool_] | None
    """True where there is a piece; None where nothing is padding."""
    types_BL: NDArray[np.int64] | None
    places: NDArray[np.int64]
    """Where the pieces of these sequences are among all pieces (F), in the order of the mask."""


def epoch(
    lengths: NDArray[np.int64], *, batch_size: int, seed: int, number: int
) -> Iterator[NDArray[np.int64]]:
    """Yield the sequences of each step of an epoch, longest first within a step.

    Args:
        lengths: (S,), pieces of each sequence.
        batch_size: sequences of a step; the last one of a pool may have fewer.
        seed: of the run.
        number: which epoch, from 0.
    """
    draw = generator("tune", "order", seed, number)
    order = draw.permutation(len(lengths))
    batches: list[NDArray[np.int64]] = []
    for start in range(0, len(order), POOL * batch_size):
        pool = order[start : start + POOL * batch_size]
        pool = pool[np.argsort(-lengths[pool], kind="stable")]
        batches += [pool[at : at + batch_size] for at in range(0, len(pool), batch_size)]
    for place in draw.permutation(len(batches)).tolist():
        yield batches[place]


def parts(
    chosen: NDArray[np.int64], lengths: NDArray[np.int64], *, tokens: int
) -> Iterator[NDArray[np.int64]]:
    """Divide sequences, longest first, into parts that hold `tokens` with their padding.

    A sequence longer than that is a part by itself.
    """
    own = lengths[chosen]
    assert bool(np.all(own[:-1] >= own[1:])), "the longest come first"
    start = 0
    while start < len(chosen):
        num = max(1, tokens // int(own[start]))
        yield chosen[start : start + num]
        start += num


def divided(
    chosen: NDArray[np.int64], lengths: NDArray[np.int64], *, tokens: int, overhead: int
) -> Iterator[NDArray[np.int64]]:
    """Divide a step, longest sequences first, into the parts that take the least time together.

    Args:
        chosen: sequences, the longest first.
        lengths: (S,), pieces of each sequence.
        tokens: padded tokens of a part at the most; a longer sequence is a part by itself.
        overhead: padded tokens that take as long as beginning a part.
    """
    own = lengths[chosen].tolist()
    cost, begins = [0], [0]  # of the best division of the first sequences; where its last part is
    for end in range(1, len(own) + 1):
        best, begin = cost[end - 1] + own[end - 1] + overhead, end - 1
        for start in range(end - 2, -1, -1):
            size = own[start] * (end - start)
            if size > tokens:
                break
            if cost[start] + size + overhead < best:
                best, begin = cost[start] + size + overhead, start
        cost.append(best)
        begins.append(begin)
    ends, end = [], len(own)
    while end:
        ends.append(end)
        end = begins[end]
    for end in reversed(ends):
        yield chosen[begins[end] : end]


def ordered(lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return all sequences, the longest first."""
    return np.argsort(-lengths, kind="stable")


def part(features: Features, numbers: NDArray[np.int64], *, pad: int) -> Part:
    """Return the padded arrays of some sequences."""
    lengths = features.lengths[numbers]
    places = spans(features.offsets, numbers)
    mask = np.arange(int(lengths.max())) < lengths[:, None]
    ids = padded(features.ids[places].astype(np.int64), lengths, fill=pad)
    types = features.types
    return Part(
        numbers,
        ids,
        None if bool(mask.all()) else mask,
        None if types is None else padded(types[places].astype(np.int64), lengths, fill=0),
        places,
    )


def wanted(features: Features, one: Part, task: str) -> NDArray[Any]:
    """Return the targets of a part: classify (B,), tag (B x L,) with padding, answer (B, 2)."""
    if task != "tag":
        return features.targets[one.numbers]
    from .features import IGNORED

    lengths = features.lengths[one.numbers]
    return padded(features.targets[one.places], lengths, fill=IGNORED).reshape(-1)
