"""The order in which a language's documents come, epoch after epoch, and what a block takes of it.

Promises: a function of the label, the number of documents, the seed and the epoch. Each epoch has
every token of the training part once; what a block takes are whole sections of it. Memory: the
documents of a language are looked at a chunk at a time, and of the chunks before only their sizes
stay, so that a language of a billion documents takes some megabytes.
Does not promise: to find a place in a large language at once. The first block after resuming adds
up the lengths of its documents up to there: about 5 million documents a second.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import draws
from .part import Languages, Part, Sentences
from .ragged import starts_of, take

Integers = NDArray[np.int64]

CHUNK = 4096
"""Documents that are looked at together."""
LENGTHS = 4
"""A section has so many times the tokens of the longest sequence: long enough that what its last
sequence lacks is little, short enough that shares are kept in short runs."""

_ENDLESS = 1 << 40  # more than a document holds


@dataclass(frozen=True, slots=True)
class Spans:
    """What a block takes: rows are spans of documents, sorted by language, document and epoch."""

    language: NDArray[np.int32]
    index: Integers
    """Number of the document in the training part of its language."""
    epoch: Integers
    """How often the document came before."""
    first: Integers
    """About where the span begins in the document, in tokens: see `sentences_of`."""
    last: Integers
    """About where it ends; or further, for the end of the document."""

    @classmethod
    def whole(cls, language: Languages, index: Integers, epoch: Integers | None = None) -> Spans:
        """Return documents from their first token to their last."""
        none = np.zeros(len(index), np.int64)
        last = np.full(len(index), _ENDLESS)
        return cls(language.astype(np.int32), index, none if epoch is None else epoch, none, last)


class _Epoch:
    """The documents of a language in the order of an epoch."""

    def __init__(self, part: Part, language: int, *, key: int, epoch: int) -> None:
        self._part, self._language = part, language
        self._num = int(part.num_documents[language])
        self._key = int(draws.bits(key, epoch))
        self._starts = [0]
        """Tokens before each chunk that was looked at, and after the last of them."""
        self._held: tuple[int, Integers, Integers] | None = None

    def span(self, first: int, last: int) -> tuple[Integers, Integers, Integers]:
        """Return the documents that have some of these tokens: (index, start, length)."""
        found = []
        number = self._at(first)
        while True:
            index, starts = self._chunk(number)
            low = max(0, int(np.searchsorted(starts, first, side="right")) - 1)
            high = int(np.searchsorted(starts, last, side="left"))
            high = min(high, len(index))
            if low < high:
                own = starts[low : high + 1]
                found.append((index[low:high], own[:-1], np.diff(own)))
            number += 1
            if last <= starts[-1] or number * CHUNK >= self._num:
                break
        if len(found) == 1:
            return found[0]
        index_, start, length = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return index_, start, length

    def _at(self, token: int) -> int:
        """Return the chunk that a token is in."""
        while self._starts[-1] <= token:
            self._chunk(len(self._starts) - 1)
        return bisect_right(self._starts, token) - 1

    def _chunk(self, number: int) -> tuple[Integers, Integers]:
        """Return the documents of a chunk, and where they begin in the epoch and the last ends."""
        if self._held is None or self._held[0] != number:
            place = np.arange(number * CHUNK, min((number + 1) * CHUNK, self._num))
            index = draws.permuted(place, size=self._num, keys=self._key)
            lengths = self._part.lengths(np.full(len(index), self._language), index)
            starts = starts_of(lengths) + self._starts[number]
            if len(self._starts) == number + 1:
                self._starts.append(int(starts[-1]))
            self._held = number, index, starts
        return self._held[1], self._held[2]


class Orders:
    """The orders of all languages."""

    def __init__(self, part: Part, *, labels: Sequence[str], section: int, seed: int) -> None:
        """Name them.

        Args:
            part: the training part.
            labels: of its languages; they name the orders.
            section: tokens that a document may have before it is cut into sections.
            seed: of the orders.
        """
        self._part, self._section = part, section
        self._keys = [draws.key("documents", seed, label) for label in labels]
        self._epochs: list[dict[int, _Epoch]] = [{} for _ in labels]

    def of_block(self, before: Integers, after: Integers) -> Spans:
        """Return what a block takes: the sections that begin from `before` on, before `after`.

        Args:
            before: tokens of each language taken before the block, shape (L,).
            after: tokens taken with it, shape (L,).
        """
        assert bool(np.all(after >= before)), "a block cannot give tokens back"
        rows = []
        sizes = self._part.num_tokens
        for language in np.flatnonzero((after > before) & (sizes > 0)).tolist():
            size, at, end = int(sizes[language]), int(before[language]), int(after[language])
            while at < end:
                epoch, first = divmod(at, size)
                last = min(size, first + end - at)
                index, start, length = self._epoch(language, epoch).span(first, last)
                one = np.empty((7, len(index)), np.int64)
                one[:3] = np.broadcast_arrays(language, index, epoch)
                one[3:] = np.broadcast_arrays(start, length, first, last)
                rows.append(one)
                at += last - first
        if not rows:
            none = np.zeros(0, np.int64)
            return Spans(none.astype(np.int32), none, none, none, none)
        language_, index, epoch_, start, length, first_, last_ = np.concatenate(rows, axis=1)
        num = -(-length // self._section)
        begin = np.maximum(-((start - first_) * num // length), 0)
        end_ = np.minimum(-((start - last_) * num // length), num)
        there = np.flatnonzero(begin < end_)
        order = there[np.lexsort((epoch_[there], index[there], language_[there]))]
        length, num = length[order], num[order]
        return Spans(
            language=language_[order].astype(np.int32),
            index=index[order],
            epoch=epoch_[order],
            first=begin[order] * length // num,
            last=end_[order] * length // num,
        )

    def _epoch(self, language: int, epoch: int) -> _Epoch:
        own = self._epochs[language]
        if epoch not in own:
            for old in sorted(own)[:-1]:  # the one before may still be asked for
                del own[old]
            own[epoch] = _Epoch(self._part, language, key=self._keys[language], epoch=epoch)
        return own[epoch]


def sentences_of(part: Part, spans: Spans) -> tuple[Spans, Sentences]:
    """Return the sentences of spans, and the spans that have any.

    A span has the sentences that end after the first sentence end at or after `first`, up to the
    first one at or after `last`: spans that meet share no sentence and leave none out.
    """
    found = part.sentences(spans.language, spans.index)
    counts = np.diff(found.offsets)
    ends, offsets = found.ends, found.offsets[:-1]
    above = np.arange(len(counts)) * (int(ends.max(initial=0)) + 1)
    raised = ends + np.repeat(above, counts)
    at_first = np.searchsorted(raised, spans.first + above)
    last = np.minimum(spans.last, ends[found.offsets[1:] - 1])
    at_last = np.searchsorted(raised, last + above)
    is_cut = spans.first > 0
    low = np.where(is_cut, at_first + 1, offsets)
    starts = np.where(is_cut, ends[np.minimum(at_first, len(ends) - 1)], found.starts)
    num = at_last + 1 - low
    kept = np.flatnonzero(num > 0)
    if len(kept) == len(num) and num.sum() == len(ends):
        return spans, found
    rest = Spans(*(getattr(spans, name)[kept] for name in Spans.__slots__))
    taken = take(ends, low[kept], num[kept])
    return rest, Sentences(starts[kept], taken, starts_of(num[kept]))
