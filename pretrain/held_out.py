"""Choose what of a language is kept out of training, to judge by.

A language with enough documents keeps those with the smallest hashes of id and seed out; one with
fewer keeps the last sentences of each document out.

Promises: whether a document is held out depends on the ids of its language and on the seed, not on
the order of the documents or on how they lie in shards. Memory: what is held out.
Does not promise: that held-out text says nothing that training text says. Near copies were removed
when the corpus was built, across all of its documents.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from . import draws
from .config import HeldOut
from .part import Batch

HeldBy = Literal["documents", "ends", "none"]

END_PERCENT = 85
"""The sentences that start at or after so much of a document's tokens are its end."""

_HASHED = 1 << 16  # ids at once: bounds the memory of those of mixed lengths


@dataclass(frozen=True, slots=True)
class Choice:
    """What of a language is held out; rows count its documents over all of its shards."""

    by: HeldBy
    num_documents: int
    """Of the training part."""
    num_tokens: int
    """Of the training part."""
    held_tokens: int
    empty: NDArray[np.int64]
    """Rows of documents without tokens, which belong to no part; ascending."""
    held: NDArray[np.int64]
    """By "documents": rows of held-out documents; by "ends": of those that were split; ascending.
    """
    split_tokens: NDArray[np.int64]
    """By "ends": tokens of each split document that training keeps; else empty."""
    split_sentences: NDArray[np.int64]
    """By "ends": sentences of each split document that training keeps; else empty."""


class Chooser:
    """Chooses for one language, batch by batch."""

    def __init__(self, settings: HeldOut, *, num_rows: int, key: int) -> None:
        """Begin a language.

        Args:
            settings: how much is held out.
            num_rows: documents of the language, empty ones counted.
            key: of the hashes, from the seed.
        """
        self._settings, self._key = settings, key
        # Empty documents make them fewer: so many candidates are enough.
        self._most = _num_held(settings, num_rows) if num_rows >= settings.min_documents else 0
        self._num_documents = self._num_tokens = self._row = 0
        self._empty: list[NDArray[np.int64]] = []
        self._candidates = np.zeros((0, 2), np.int64)  # row, tokens
        self._hashes = np.zeros(0, np.uint64)
        self._splits: list[NDArray[np.int64]] = []  # row, tokens of training, its sentences, of all

    def add(self, batch: Batch) -> None:
        """Take in the next batch of documents."""
        lengths = np.diff(batch.offsets)
        rows = np.flatnonzero(lengths)
        if len(rows) < len(lengths):
            self._empty.append(np.flatnonzero(lengths == 0) + self._row)
        self._num_tokens += int(batch.offsets[-1]) - int(batch.offsets[0])
        self._num_documents += len(rows)
        if self._most:
            self._consider(batch.ids, rows, lengths)
        if self._num_documents < self._settings.min_documents:
            self._split(rows, lengths, batch)
        self._row += len(lengths)

    def _consider(
        self, ids: pa.StringArray, rows: NDArray[np.int64], lengths: NDArray[np.int32]
    ) -> None:
        """Keep the documents with the smallest hashes so far."""
        hashes = id_hashes(ids, key=self._key)[rows]
        if len(rows) > self._most:
            best = np.argpartition(hashes, self._most - 1)[: self._most]
            hashes, rows = hashes[best], rows[best]
        found = np.stack([rows + self._row, lengths[rows].astype(np.int64)], axis=1)
        self._hashes = np.concatenate([self._hashes, hashes])
        self._candidates = np.concatenate([self._candidates, found])
        best = np.lexsort((self._candidates[:, 0], self._hashes))[: self._most]
        self._hashes, self._candidates = self._hashes[best], self._candidates[best]

    def _split(self, rows: NDArray[np.int64], lengths: NDArray[np.int32], batch: Batch) -> None:
        """Find where the end of each document begins; there are few documents."""
        for row in rows.tolist():
            first, last = batch.end_offsets[row : row + 2].tolist()
            own, length = batch.ends[first:last], int(lengths[row])
            # The first sentence that starts late enough is after the first end that lies there.
            after = int(np.searchsorted(own, -(-length * END_PERCENT // 100)))
            if after < len(own) - 1:
                split = [self._row + row, int(own[after]), after + 1, length]
                self._splits.append(np.array(split, np.int64))

    def choice(self) -> Choice:
        """Return what was chosen, once all batches were given."""
        empty = np.concatenate(self._empty) if self._empty else np.zeros(0, np.int64)
        none = np.zeros(0, np.int64)
        if self._num_documents >= self._settings.min_documents:
            kept = self._candidates[: _num_held(self._settings, self._num_documents)]
            held_tokens = int(kept[:, 1].sum())
            return Choice(
                "documents",
                self._num_documents - len(kept),
                self._num_tokens - held_tokens,
                held_tokens,
                empty,
                np.sort(kept[:, 0]),
                none,
                none,
            )
        splits = np.stack(self._splits) if self._splits else np.zeros((0, 4), np.int64)
        held_tokens = int((splits[:, 3] - splits[:, 1]).sum())
        return Choice(
            "ends" if len(splits) else "none",
            self._num_documents,
            self._num_tokens - held_tokens,
            held_tokens,
            empty,
            splits[:, 0],
            splits[:, 1],
            splits[:, 2],
        )


def _num_held(settings: HeldOut, num_documents: int) -> int:
    return min(max(1, round(settings.share * num_documents)), settings.max_documents)


def id_hashes(ids: pa.StringArray, *, key: int) -> NDArray[np.uint64]:
    """Return 64 bits for each id that depend on its bytes and the key only.

    The ids of one length are hashed together, eight bytes at a time, from Arrow's own buffers.
    """
    if len(ids) > _HASHED:
        parts = [ids.slice(start, _HASHED) for start in range(0, len(ids), _HASHED)]
        return np.concatenate([id_hashes(part, key=key) for part in parts])
    _, offset_buffer, data_buffer = ids.buffers()
    offsets = np.frombuffer(offset_buffer, np.int32, len(ids) + 1, ids.offset * 4).astype(np.int64)
    data = np.frombuffer(data_buffer or b"", np.uint8)
    lengths = np.diff(offsets)
    found = np.empty(len(ids), np.uint64)
    for length in np.unique(lengths).tolist():
        rows = np.flatnonzero(lengths == length)
        padded = np.zeros((len(rows), -(-length // 8) * 8), np.uint8)
        if len(rows) == len(ids):
            padded[:, :length] = data[offsets[0] : offsets[-1]].reshape(len(ids), length)
        else:
            padded[:, :length] = data[offsets[rows][:, None] + np.arange(length)]
        words = list(padded.view("<u8").astype(np.uint64).T) if length else []
        found[rows] = draws.bits(key, length, *words)
    return found
