"""A part of the token shards, training or held out: sentences and tokens of many documents at once.

Promises: a request takes numpy calls for each shard that it touches and none for each document, but
for one copy of each long span; tokens are copied once, from the mapped file into the answer. A span
never leaves the part of its document: that is an assertion, since the next tokens in the file are
another document's or held out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from tokenizer.tokens import Tokens

from . import ragged

Integers = NDArray[np.int64]
Languages = NDArray[np.int32] | NDArray[np.int64]
PartName = Literal["train", "held_out"]

_ENDLESS = 1 << 40  # more than an Arrow list holds


@dataclass(frozen=True, slots=True)
class Batch:
    """The columns of a record batch, where they are mapped.

    Document `i` is `tokens[offsets[i]:offsets[i + 1]]`, and so with `ends`; as Arrow's, offsets
    need not begin at 0.
    """

    ids: pa.StringArray
    tokens: Tokens
    offsets: NDArray[np.int32]
    ends: NDArray[np.int32]
    end_offsets: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the documents of all languages lie: rows, counted through batches and languages."""

    batch: Callable[[int], Batch]
    first_rows: Integers
    """Of the batches, and where the last one ends: shape (batches + 1,)."""
    skipped: Integers
    """Rows that are not for training: empty or held out; ascending."""
    held: Integers
    """Rows of which the held-out part has the whole document or its end; ascending."""
    split_rows: Integers
    """Rows of which training has the beginning and the held-out part the end; ascending."""
    split_tokens: Integers
    """Tokens in the beginnings of `split_rows`."""
    split_sentences: Integers
    """Sentences in the beginnings of `split_rows`."""


@dataclass(frozen=True, slots=True)
class Sentences:
    """Where the sentences of requested documents end, in tokens of the document."""

    starts: Integers
    """Where the part's first sentence begins, shape (n,): 0, but for ends that are held out."""
    ends: Integers
    """Ascending in each document, shape (sentences,)."""
    offsets: Integers
    """Those of request `i` are `ends[offsets[i]:offsets[i + 1]]`, shape (n + 1,)."""


class Part:
    """The documents of a part, by language and number. Made by `Shards.view`."""

    def __init__(
        self,
        layout: Layout,
        name: PartName,
        *,
        labels: tuple[str, ...],
        dtype: np.dtype[Any],
        num_documents: Integers,
        num_tokens: Integers,
    ) -> None:
        """View a part of open shards; what is given is kept as the attributes of these names."""
        self.name, self.labels, self.dtype = name, labels, dtype
        self.num_documents, self.num_tokens = num_documents, num_tokens
        self._layout, self._is_held = layout, name == "held_out"
        self._first = ragged.starts_of(num_documents)
        self._shift = layout.skipped - np.arange(len(layout.skipped))  # documents before each

    def sentences(self, language: Languages, index: Integers) -> Sentences:
        """Return where the sentences of documents end.

        Args:
            language: numbers of languages, shape (n,).
            index: numbers of their documents in this part, shape (n,).
        """
        rows, back = self._rows(language, index)
        first, last = self._sentence_ranges(rows)
        starts, _ = self._split(rows, self._layout.split_tokens)
        lengths = last - first
        offsets = ragged.starts_of(lengths)
        flat = np.empty(offsets[-1], np.int32)
        for batch, at, _ in self._by_batch(rows):
            out = flat[offsets[at.start] : offsets[at.stop]]
            ragged.take(batch.ends, first[at], lengths[at], out=out)
        if back is not None:
            flat = ragged.take(flat, offsets[:-1][back], lengths[back])
            offsets, starts = ragged.starts_of(lengths[back]), starts[back]
        return Sentences(starts, flat.astype(np.int64), offsets)

    def lengths(self, language: Languages, index: Integers) -> Integers:
        """Return the tokens of documents, of what this part has of them.

        Args:
            language: numbers of languages, shape (n,).
            index: numbers of their documents in this part, shape (n,).
        """
        rows, back = self._rows(language, index)
        found = np.empty(len(rows), np.int64)
        for batch, at, local in self._by_batch(rows):
            found[at] = batch.offsets[local + 1] - batch.offsets[local]
        begins, limits = self._split(rows, self._layout.split_tokens)
        found = np.minimum(found, limits) - begins
        return found if back is None else found[back]

    def tokens(
        self, language: Languages, index: Integers, start: Integers, length: Integers
    ) -> Tokens:
        """Return spans of documents, one after the other, in the order of the request.

        Args:
            language: numbers of languages, shape (n,).
            index: numbers of their documents in this part, shape (n,).
            start: first token of each span, counted in the document, shape (n,).
            length: tokens of each span, shape (n,). It ends inside the document's part.
        """
        rows, back = self._rows(language, index)
        if back is not None:
            order = np.argsort(back)
            start, length = start[order], length[order]
        begins, limits = self._split(rows, self._layout.split_tokens)
        assert bool(np.all((start >= begins) & (length >= 0))), "a span begins outside its part"
        offsets = ragged.starts_of(length)
        flat = np.empty(offsets[-1], self.dtype)
        for batch, at, local in self._by_batch(rows):
            origin = batch.offsets[local]
            first = origin + start[at]
            limit = np.minimum(origin + limits[at], batch.offsets[local + 1])
            assert bool(np.all(first + length[at] <= limit)), "a span ends outside its part"
            out = flat[offsets[at.start] : offsets[at.stop]]
            ragged.take(batch.tokens, first, length[at], out=out)
        return flat if back is None else ragged.take(flat, offsets[:-1][back], length[back])

    def draw_spans(
        self, language: Languages, index: Integers, *, u: NDArray[np.float64], target: Integers
    ) -> tuple[Integers, Integers]:
        """Return spans of whole sentences, each from a drawn sentence on: (start, length).

        They go on until they have `target` tokens, or to the end of the document's part: how BERT
        takes the second half of a pair from another document.

        Args:
            language: numbers of languages, shape (n,).
            index: numbers of their documents in this part, shape (n,).
            u: in [0, 1): the span begins with sentence floor(u x number of sentences).
            target: tokens, 1 or more, shape (n,).

        Returns:
            int64 arrays of shape (n,); starts are counted in the document.
        """
        rows, back = self._rows(language, index)
        if back is not None:
            order = np.argsort(back)
            u, target = u[order], target[order]
        first, last = self._sentence_ranges(rows)
        begins, _ = self._split(rows, self._layout.split_tokens)
        drawn = first + (u * (last - first)).astype(np.int64)
        # A sentence has a token at least, so that no more than `target` are needed; and before
        # them the end of the sentence before, which is where the span starts.
        before = (drawn > first).astype(np.int64)
        count = before + np.minimum(last - drawn, target)
        offsets = ragged.starts_of(count)
        flat = np.empty(offsets[-1], np.int32)
        for batch, at, _ in self._by_batch(rows):
            out = flat[offsets[at.start] : offsets[at.stop]]
            ragged.take(batch.ends, drawn[at] - before[at], count[at], out=out)
        start = np.where(before, flat[offsets[:-1]], begins)
        # With each request's ends above those of the one before, one search finds all.
        above = np.arange(len(rows)) * (int(flat.max(initial=0)) + int(target.max(initial=0)) + 1)
        end = np.searchsorted(flat + np.repeat(above, count), start + target + above)
        length = flat[np.minimum(end, offsets[1:] - 1)] - start
        return (start, length) if back is None else (start[back], length[back])

    def ids(self, language: Languages, index: Integers) -> list[str]:
        """Return the ids of documents, as the corpus has them."""
        rows, back = self._rows(language, index)
        found: list[str] = []
        for batch, _, local in self._by_batch(rows):
            found += batch.ids.take(pa.array(local)).to_pylist()
        return found if back is None else [found[place] for place in back.tolist()]

    def _rows(self, language: Languages, index: Integers) -> tuple[Integers, Integers | None]:
        """Return the documents' rows, ascending, and each request's place there; None: its own."""
        is_here = (index >= 0) & (index < self.num_documents[language])
        assert bool(np.all(is_here)), "a document is not in this part"
        number = self._first[language] + index
        back = None
        if bool(np.any(number[1:] < number[:-1])):
            order = np.argsort(number, kind="stable")
            number, back = number[order], np.empty_like(order)
            back[order] = np.arange(len(order))
        if self._is_held:
            return self._layout.held[number], back
        return number + np.searchsorted(self._shift, number, side="right"), back

    def _by_batch(self, rows: Integers) -> Iterator[tuple[Batch, slice, Integers]]:
        """Yield each batch that has some of the rows, which of them, and their rows in it."""
        if not len(rows):
            return
        first_rows = self._layout.first_rows
        numbers = np.searchsorted(first_rows, rows, side="right") - 1
        borders = np.flatnonzero(np.diff(numbers)) + 1
        local = rows - first_rows[numbers]
        for first, last in pairwise([0, *borders.tolist(), len(rows)]):
            at = slice(first, last)
            yield self._layout.batch(int(numbers[first])), at, local[at]

    def _sentence_ranges(self, rows: Integers) -> tuple[Integers, Integers]:
        """Return the places in `ends` from which and up to which a document's sentences are."""
        first, last = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
        for batch, at, local in self._by_batch(rows):
            first[at], last[at] = batch.end_offsets[local], batch.end_offsets[local + 1]
        begins, limits = self._split(rows, self._layout.split_sentences)
        return first + begins, np.minimum(last, first + limits)

    def _split(self, rows: Integers, at: Integers) -> tuple[Integers, Integers]:
        """Return where this part of each document begins, and where it ends at the latest.

        Args:
            rows: of the documents.
            at: the places where `split_rows` are split.
        """
        begins = np.zeros(len(rows), np.int64)
        limits = np.full(len(rows), _ENDLESS)
        split_rows = self._layout.split_rows
        if len(split_rows):
            place = np.minimum(np.searchsorted(split_rows, rows), len(split_rows) - 1)
            is_split = split_rows[place] == rows
            (begins if self._is_held else limits)[is_split] = at[place[is_split]]
        return begins, limits
