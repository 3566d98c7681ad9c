"""Read a fastText model file (.bin, .ftz), believing nothing in it before it is checked.

The layout is fastText's own, little-endian: magic, version, the arguments of training, the
dictionary (words, then labels), the index of pruned n-grams, and the input and the output matrix,
each of them dense or product-quantised. A weight is where the file says it is: dense matrices are
views into the content, so that workers which map the same file share its pages.

Promises: every size is compared with the file's length, and every index with the matrix it points
into, before it is used; a file that doesn't add up is a DataError.
Does not promise: that the weights are numbers. Whoever sums them up has to look.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .errors import DataError
from .jit import kernel

MAGIC = 793712314
VERSIONS = (11, 12)
SUPERVISED = 3
HIERARCHICAL, NEGATIVE_SAMPLING, SOFTMAX, ONE_VS_ALL = 1, 2, 3, 4
NUM_CENTROIDS = 256
LABEL_PREFIX = "__label__"
# Beyond these the reader gives up, and fastText's own library may try.
MAX_NGRAM = 255  # characters
MAX_PRUNED_BUCKETS = 1 << 28
_LEAST_ENTRY = 10  # bytes: NUL, count, type
_TOO_MANY = 1e15  # fastText's "infinite" count, with which it builds its tree of labels


class UnsupportedModel(Exception):
    """The file may be right, but has something that this reader doesn't know."""


@dataclass(frozen=True)
class Dictionary:
    """The words and labels, whose bytes lie in one array."""

    content: NDArray[np.uint8]
    starts: NDArray[np.int64]
    """(entries,) where each word or label starts in `content`; it ends before a NUL."""
    lengths: NDArray[np.int64]
    """(entries,) in bytes."""
    num_words: int
    """The first entries are the words, the others the labels."""
    label_counts: NDArray[np.int64]
    """(labels,) how often each was seen in training."""

    @property
    def num_labels(self) -> int:
        """How many labels there are."""
        return len(self.label_counts)

    def labels(self) -> tuple[str, ...]:
        """Return the labels without `__label__`. Raises UnicodeDecodeError."""
        places = zip(
            self.starts[self.num_words :].tolist(),
            self.lengths[self.num_words :].tolist(),
            strict=True,
        )
        names = (self.content[at : at + length].tobytes().decode() for at, length in places)
        return tuple(name.removeprefix(LABEL_PREFIX) for name in names)


@dataclass(frozen=True)
class Quantised:
    """A product-quantised matrix: row i is the norm of i times the centroids that its codes name.

    The centroids of column block m, `width` columns wide (the last may be narrower), start at
    `256 * width * m`.
    """

    codes: NDArray[np.uint8]
    """(rows, column blocks)"""
    centroids: NDArray[np.float32]
    """(256 * columns,)"""
    width: int
    norm_codes: NDArray[np.uint8]
    """(rows,) or (0,) where all norms are 1."""
    norms: NDArray[np.float32]
    """(256,)"""
    shape: tuple[int, int]

    def row_norms(self) -> NDArray[np.float32]:
        """Return the (rows,) norms."""
        if not len(self.norm_codes):
            return np.ones(self.shape[0], np.float32)
        return self.norms[self.norm_codes]

    def directions(self) -> NDArray[np.float32]:
        """Return the (rows, columns) matrix without its norms."""
        dense = np.empty(self.shape, np.float32)
        for block in range(self.codes.shape[1]):
            first = block * self.width
            width = min(self.width, self.shape[1] - first)
            start = NUM_CENTROIDS * first
            centroids = self.centroids[start : start + NUM_CENTROIDS * width].reshape(-1, width)
            dense[:, first : first + width] = centroids[self.codes[:, block]]
        return dense


@dataclass(frozen=True)
class ModelFile:
    """What a supervised model consists of."""

    loss: int
    least_ngram: int
    """Characters of the shortest n-gram of a word."""
    longest_ngram: int
    """Characters of the longest; 0: words have no n-grams."""
    word_ngrams: int
    """Words in the longest n-gram of words; 1 or less: none."""
    num_buckets: int
    """How many rows of the input the hashes of n-grams are spread over."""
    labels: tuple[str, ...]
    """Without `__label__`."""
    dictionary: Dictionary
    pruned: NDArray[np.int32] | None
    """(kept, 2) bucket, row after those of the words; None where all are kept."""
    input: NDArray[np.float32] | Quantised
    """(words + buckets, dimension)"""
    output: NDArray[np.float32] | Quantised
    """(labels, dimension)"""


def read_labels(content: NDArray[np.uint8], *, path: Path) -> tuple[str, ...]:
    """Return the labels of a model that `read_model` doesn't support, without `__label__`."""
    reader = _Reader(content, path)
    _read_arguments(reader)
    return _labels(reader, _read_dictionary(reader)[0])


def read_model(content: NDArray[np.uint8], *, path: Path) -> ModelFile:
    """Take a model file apart.

    Args:
        content: (bytes,) the whole file.
        path: what to call it in errors.

    Raises:
        DataError: it is not a supervised fastText model, or is damaged.
        UnsupportedModel: a version other than 11 and 12, n-grams of more than 255 characters, or
            a pruned model with more than 2^28 buckets.
    """
    reader = _Reader(content, path)
    version, dim, word_ngrams, loss, num_buckets, least, longest = _read_arguments(reader)
    if version not in VERSIONS:
        raise UnsupportedModel(f"version {version} of the format")
    reader.require(dim > 0 and num_buckets >= 0 and least >= 0 and longest >= 0, "arguments")
    reader.require(HIERARCHICAL <= loss <= ONE_VS_ALL, "arguments")
    if version == VERSIONS[0]:
        longest = 0  # models of that version have no n-grams of characters
    if longest > MAX_NGRAM:
        raise UnsupportedModel(f"n-grams of {longest} characters")
    has_ngrams = longest > 0 or word_ngrams > 1
    reader.require(num_buckets > 0 or not has_ngrams, "arguments")
    dictionary, num_pruned = _read_dictionary(reader)
    labels = _labels(reader, dictionary)
    if num_pruned > 0 and num_buckets > MAX_PRUNED_BUCKETS:
        raise UnsupportedModel(f"a pruned model with {num_buckets:,} buckets")
    num_rows = dictionary.num_words
    pruned = None
    if num_pruned >= 0:
        pruned = reader.take(np.int32, 2 * num_pruned).reshape(-1, 2)
        if num_pruned:
            reader.require(int(pruned.min()) >= 0, "index of n-grams")
            num_rows += int(pruned[:, 1].max()) + 1
    elif has_ngrams:
        num_rows += num_buckets
    quantised = reader.flag()
    reader.require(quantised or pruned is None, "index of n-grams")  # as fastText does
    inputs = _read_matrix(reader, dim, quantised=quantised)
    reader.require(inputs.shape[0] >= num_rows, "input matrix")
    outputs = _read_matrix(reader, dim, quantised=reader.flag() and quantised)
    reader.require(outputs.shape[0] == dictionary.num_labels, "output matrix")
    reader.require(reader.position == len(content), "end")
    return ModelFile(
        loss, least, longest, word_ngrams, num_buckets, labels, dictionary, pruned, inputs, outputs
    )


def _read_arguments(reader: _Reader) -> tuple[int, int, int, int, int, int, int]:
    """Return version, dimension, word n-grams, loss, buckets, least and longest n-gram."""
    magic, version = reader.integer(), reader.integer()
    (dim, _, _, _, _, word_ngrams, loss, model, buckets, least, longest, _) = reader.take(
        np.int32, 12
    ).tolist()
    reader.take(np.float64, 1)
    if magic != MAGIC or model != SUPERVISED:
        raise DataError(f"{reader.path} is not a supervised fastText model.")
    return version, dim, word_ngrams, loss, buckets, least, longest


def _labels(reader: _Reader, dictionary: Dictionary) -> tuple[str, ...]:
    try:
        return dictionary.labels()
    except UnicodeDecodeError as error:
        raise reader.damaged("dictionary") from error


class _Reader:
    """Takes values off the content, never more than there are."""

    def __init__(self, content: NDArray[np.uint8], path: Path) -> None:
        self.content, self.path, self.position = content, path, 0

    @property
    def left(self) -> int:
        return len(self.content) - self.position

    def require(self, fact: bool, part: str) -> None:  # noqa: FBT001
        if not fact:
            raise self.damaged(part)

    def damaged(self, part: str) -> DataError:
        return DataError(f"{self.path} is not a fastText model: its {part} is damaged.")

    def take(self, kind: type[np.generic], count: int) -> NDArray[Any]:
        """Return a view of the next values, wherever they lie."""
        num_bytes = np.dtype(kind).itemsize * count
        self.require(0 <= num_bytes <= self.left, "length")
        taken = self.content[self.position : self.position + num_bytes]
        self.position += num_bytes
        return taken.view(np.dtype(kind).newbyteorder("<"))

    def integer(self, kind: type[np.generic] = np.int32) -> int:
        return int(self.take(kind, 1)[0])

    def flag(self) -> bool:
        value = self.integer(np.uint8)
        self.require(value <= 1, "matrix")
        return value == 1


def _read_dictionary(reader: _Reader) -> tuple[Dictionary, int]:
    """Return the dictionary, and the size of the index of n-grams (-1: there is none)."""
    num_entries, num_words, num_labels = (reader.integer() for _ in range(3))
    reader.integer(np.int64)  # tokens seen in training
    num_pruned = reader.integer(np.int64)
    reader.require(
        num_words >= 0
        and num_labels > 0
        and num_entries == num_words + num_labels
        and num_entries <= reader.left // _LEAST_ENTRY
        and num_pruned >= -1,
        "dictionary",
    )
    starts, counts = np.empty(num_entries, np.int64), np.empty(num_entries, np.int64)
    lengths = np.empty(num_entries, np.int64)
    rest = reader.content[reader.position :]
    end = _scan(rest, num_words, starts, lengths, counts)
    reader.require(end >= 0, "dictionary")
    reader.position += end
    label_counts = counts[num_words:]
    reader.require(
        int(label_counts.min()) >= 0 and int(label_counts.max()) < _TOO_MANY, "dictionary"
    )
    # A copy, so as not to hold the whole file for the sake of its words.
    return Dictionary(rest[:end].copy(), starts, lengths, num_words, label_counts), num_pruned


@kernel
def _scan(
    content: NDArray[np.uint8],
    num_words: int,
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> int:
    """Find the entries of the dictionary; return where it ends, or -1 if it is damaged."""
    position = 0
    for entry in range(starts.shape[0]):
        start = position
        while position < content.shape[0] and content[position] != 0:
            position += 1
        if position + _LEAST_ENTRY > content.shape[0]:
            return -1
        count = np.int64(0)
        for i in range(8):
            count |= np.int64(content[position + 1 + i]) << (8 * i)
        is_label = content[position + 9]
        if is_label != (1 if entry >= num_words else 0):
            return -1
        starts[entry], lengths[entry], counts[entry] = start, position - start, count
        position += _LEAST_ENTRY
    return position


def _read_matrix(reader: _Reader, dim: int, *, quantised: bool) -> NDArray[np.float32] | Quantised:
    has_norms = reader.flag() if quantised else False
    rows, columns = reader.integer(np.int64), reader.integer(np.int64)
    reader.require(columns == dim and 0 <= rows <= reader.left, "matrix")
    if not quantised:
        return reader.take(np.float32, rows * dim).reshape(rows, dim)
    num_codes = reader.integer()
    codes = reader.take(np.uint8, num_codes)
    centroids, width, blocks = _read_centroids(reader, dim)
    reader.require(num_codes == rows * blocks, "matrix")
    norm_codes, norms = np.zeros(0, np.uint8), np.zeros(0, np.float32)
    if has_norms:
        norm_codes = reader.take(np.uint8, rows)
        norms, _, _ = _read_centroids(reader, 1)
    return Quantised(
        codes.reshape(rows, blocks),
        centroids,
        width,
        norm_codes,
        norms,
        (rows, dim),
    )


def _read_centroids(reader: _Reader, dim: int) -> tuple[NDArray[np.float32], int, int]:
    """Return the centroids, the columns of a block, and the number of blocks."""
    columns, blocks, width, last = (reader.integer() for _ in range(4))
    reader.require(
        columns == dim
        and width > 0
        and blocks == -(-dim // width)
        and last == dim - (blocks - 1) * width,
        "matrix",
    )
    # A copy, aligned: kernels know one layout only.
    return reader.take(np.float32, NUM_CENTROIDS * dim).copy(), width, blocks
