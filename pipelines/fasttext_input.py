"""From the bytes of a text to its vector, as fastText computes it.

A text is the bytes up to its first line feed, and ends as if one followed. Its vector is the mean
of the rows of its words, of the n-grams of their characters and of the n-grams of words, found and
summed in the order of fastText's own C++, so it is the same to the last bit.

Rows are gathered first and then summed, so that the memory has them ready side by side. Of a
pruned model two million n-grams are asked for and forty thousand kept: a bit for each, with the
number of bits before it, says which and where.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .fasttext_format import MAX_NGRAM, NUM_CENTROIDS, ModelFile, Quantised
from .fasttext_words import (
    END,
    FNV_OFFSET,
    LABEL,
    LOW,
    WordTable,
    continues,
    equals,
    find,
    hash_byte,
    hash_character,
    hash_of,
    is_space,
    starts_with,
    word_table,
)
from .jit import kernel
from .unicode import Integer

MAX_UNPACKED_BYTES = 256_000_000
ROOM_FOR_ROWS = 4096 + 2 * MAX_NGRAM  # gathered before they are summed
WORD_NGRAM_FACTOR = np.uint64(116049371)
LESS, GREATER = ord("<"), ord(">")  # stand before and after a word when its n-grams are taken
# numba's 64-bit arithmetic stays in uint64 only among uint64.
U32, LOW_U64 = np.uint64(32), np.uint64(LOW)
NONE, ALL, PRUNED = range(3)


class Input(NamedTuple):
    """The dictionary and the input layer, as the kernels take them."""

    table: WordTable
    num_words: int
    end_entry: int
    """The entry of `</s>`; -1 if there is none."""
    least_ngram: int
    longest_ngram: int
    word_ngrams: int
    kept: int
    """NONE, ALL or PRUNED: which n-grams have rows."""
    num_buckets: np.uint64
    magic: np.uint64
    """2^64 / num_buckets, rounded up: division by multiplication."""
    bits: NDArray[np.uint32]
    """(buckets / 32, 2) which of 32 buckets are kept, and how many are before them."""
    bucket_rows: NDArray[np.int32]
    """(kept,) the row of each kept bucket, after those of the words."""
    dense: NDArray[np.float32]
    """(rows, dimension), or (0, dimension) where the rows stay quantised."""
    codes: NDArray[np.uint8]
    centroids: NDArray[np.float32]
    width: int
    norm_codes: NDArray[np.uint8]
    norms: NDArray[np.float32]


def input_layer(model: ModelFile) -> Input:
    """Lay the dictionary and the input of a model out for the kernels."""
    dictionary, matrix = model.dictionary, model.input
    table = word_table(dictionary)
    end_entry = int(find(table, END, 0, len(END), hash_of(END)))
    has_ngrams = model.longest_ngram > 0 or model.word_ngrams > 1
    kept = ALL if has_ngrams else NONE
    bits, bucket_rows = np.zeros((0, 2), np.uint32), np.zeros(0, np.int32)
    if has_ngrams and model.pruned is not None:
        kept = PRUNED if len(model.pruned) else NONE
        if kept == PRUNED:
            bits, bucket_rows = _index_of_kept(model.pruned, model.num_buckets)
    codes, norm_codes = np.zeros((0, 1), np.uint8), np.zeros(0, np.uint8)
    centroids, norms, width = np.zeros(0, np.float32), np.zeros(0, np.float32), 1
    if not isinstance(matrix, Quantised):
        dense = matrix
    elif 4 * matrix.shape[0] * matrix.shape[1] < MAX_UNPACKED_BYTES:
        dense = matrix.directions()
        with np.errstate(all="ignore"):  # what is no number shows in the scores
            dense *= matrix.row_norms()[:, None]
    else:
        dense = np.zeros((0, matrix.shape[1]), np.float32)
        codes, centroids, width = matrix.codes, matrix.centroids, matrix.width
        norm_codes, norms = matrix.norm_codes, matrix.norms
    views = (dense.view(), centroids.view(), norms.view())
    bytes_views = (codes.view(), norm_codes.view())
    for array in (*views, *bytes_views):
        array.setflags(write=False)  # as a mapped file is: one type for both
    dense, centroids, norms = views
    codes, norm_codes = bytes_views
    return Input(
        table,
        dictionary.num_words,
        end_entry,
        model.least_ngram,
        model.longest_ngram,
        model.word_ngrams,
        kept,
        np.uint64(max(model.num_buckets, 1)),
        np.uint64(((1 << 64) - 1) // max(model.num_buckets, 1) + 1 & ((1 << 64) - 1)),
        bits,
        bucket_rows,
        dense,
        codes,
        centroids,
        width,
        norm_codes,
        norms,
    )


def _index_of_kept(
    pruned: NDArray[np.int32], num_buckets: int
) -> tuple[NDArray[np.uint32], NDArray[np.int32]]:
    """Return the bits of the kept buckets with their ranks, and the rows by rank."""
    # Of a bucket that is named twice the last counts, as in fastText's map.
    buckets, last = np.unique(pruned[::-1, 0], return_index=True)
    rows = pruned[::-1, 1][last]
    inside = buckets < num_buckets
    buckets, rows = buckets[inside], np.ascontiguousarray(rows[inside], np.int32)
    bits = np.zeros((num_buckets // 32 + 1, 2), np.uint32)
    np.bitwise_or.at(bits[:, 0], buckets >> 5, np.uint32(1) << (buckets & 31).astype(np.uint32))
    counts = np.bincount(buckets >> 5, minlength=len(bits))
    bits[1:, 1] = np.cumsum(counts)[:-1]
    return bits, rows


@kernel
def text_vector(
    layer: Input,
    data: NDArray[np.uint8],
    start: Integer,
    end: Integer,
    rows: NDArray[np.int64],
    hashes: NDArray[np.int64],
    vector: NDArray[np.float32],
) -> bool:
    """Compute the vector of the text `data[start:end]`; False if nothing in it has a row.

    Args:
        layer: from `input_layer`.
        data: (bytes,) UTF-8.
        start: of the text.
        end: of the text.
        rows: (ROOM_FOR_ROWS,) working memory.
        hashes: (words + 1,) of the same, if the model has n-grams of words.
        vector: (dimension,) the result.
    """
    vector[:] = np.float32(0.0)
    total = size = num_hashes = 0
    position = start
    while position < end and data[position] != 10:
        if is_space(data[position]):
            position += 1
            continue
        word = position
        value = np.int64(FNV_OFFSET)
        while position < end and not is_space(data[position]):
            value = hash_byte(value, data[position])
            position += 1
        if equals(data, word, position, END):
            break
        entry = find(layer.table, data, word, position, value)
        if entry >= layer.num_words or (entry < 0 and starts_with(data, word, position, LABEL)):
            continue  # a label is no word
        if layer.word_ngrams > 1:
            hashes[num_hashes] = value
            num_hashes += 1
        if entry >= 0:
            rows[size] = entry
            size += 1
        if layer.longest_ngram > 0 and layer.kept != NONE:
            size, total = _add_ngrams(layer, data, word, position, rows, size, total, vector)
        if size >= ROOM_FOR_ROWS - MAX_NGRAM - 1:
            size, total = _flush(layer, rows, size, total, vector)
    if layer.end_entry < layer.num_words:
        if layer.end_entry >= 0:
            rows[size] = layer.end_entry
            size += 1
        if layer.word_ngrams > 1:
            hashes[num_hashes] = hash_of(END)
            num_hashes += 1
    for i in range(num_hashes):
        mixed = _signed(hashes[i])
        for j in range(i + 1, min(num_hashes, i + layer.word_ngrams)):
            mixed = mixed * WORD_NGRAM_FACTOR + _signed(hashes[j])
            size = _add_bucket(layer, np.int64(mixed % layer.num_buckets), rows, size)
            if size == ROOM_FOR_ROWS:
                size, total = _flush(layer, rows, size, total, vector)
    _, total = _flush(layer, rows, size, total, vector)
    if total == 0:
        return False
    share = np.float32(1.0 / total)
    for j in range(vector.shape[0]):
        vector[j] *= share
    return True


@kernel
def _add_ngrams(
    layer: Input,
    data: NDArray[np.uint8],
    start: Integer,
    end: Integer,
    rows: NDArray[np.int64],
    size: Integer,
    total: Integer,
    vector: NDArray[np.float32],
) -> tuple[Integer, Integer]:
    """Gather the n-grams of `<word>`; return the numbers of rows that wait and that are summed."""
    least, longest = layer.least_ngram, layer.longest_ngram
    for first in range(start - 1, end):  # start - 1 is the "<"
        value = np.int64(FNV_OFFSET)
        at = first
        if first < start:
            value = hash_byte(value, LESS)
            at += 1
            while at < end and continues(data[at]):
                value = hash_byte(value, data[at])
                at += 1
        elif continues(data[first]):
            continue
        else:
            value, at = hash_character(value, data, at, end)
            if least <= 1:
                size = _add_bucket(layer, _remainder(layer, value), rows, size)
        for length in range(2, longest + 1):
            if at < end:
                value, at = hash_character(value, data, at, end)
            elif at == end:
                value = hash_byte(value, GREATER)
                at += 1
            else:
                break
            if length >= least:
                size = _add_bucket(layer, _remainder(layer, value), rows, size)
        if size >= ROOM_FOR_ROWS - MAX_NGRAM - 1:
            size, total = _flush(layer, rows, size, total, vector)
    return size, total


@kernel
def _signed(value: Integer) -> Integer:
    """Return a 32-bit hash as the 64-bit number that a signed one becomes."""
    return np.uint64(value - ((value >> 31) << 32))


@kernel
def _remainder(layer: Input, value: Integer) -> Integer:
    """Return a 32-bit hash modulo the number of buckets (Lemire, Kaser and Kurz 2019)."""
    low = np.uint64(value) * layer.magic
    buckets = layer.num_buckets
    return np.int64(((low >> U32) * buckets + (((low & LOW_U64) * buckets) >> U32)) >> U32)


@kernel
def _add_bucket(layer: Input, bucket: Integer, rows: NDArray[np.int64], size: Integer) -> Integer:
    """Gather the row of a bucket, if it has one; return how many rows wait."""
    if layer.kept == ALL:
        rows[size] = layer.num_words + bucket
        return size + 1
    if layer.kept == PRUNED:
        bits = np.int64(layer.bits[bucket >> 5, 0])
        if (bits >> (bucket & 31)) & 1:
            before = _count_bits(bits & ((1 << (bucket & 31)) - 1))
            rank = np.int64(layer.bits[bucket >> 5, 1]) + before
            rows[size] = layer.num_words + layer.bucket_rows[rank]
            return size + 1
    return size


@kernel
def _count_bits(bits: Integer) -> Integer:
    bits = bits - ((bits >> 1) & 0x55555555)
    bits = (bits & 0x33333333) + ((bits >> 2) & 0x33333333)
    bits = (bits + (bits >> 4)) & 0x0F0F0F0F
    return ((bits * 0x01010101) & LOW) >> 24


@kernel
def _flush(
    layer: Input,
    rows: NDArray[np.int64],
    size: Integer,
    total: Integer,
    vector: NDArray[np.float32],
) -> tuple[Integer, Integer]:
    """Sum the rows that wait; return 0, for none wait any more, and how many were summed."""
    if layer.codes.shape[0]:
        _add_quantised(layer, rows, size, vector)
    else:
        _add_dense(layer.dense, rows, size, vector)
    return 0, total + size


@kernel
def _add_dense(
    dense: NDArray[np.float32], rows: NDArray[np.int64], size: Integer, vector: NDArray[np.float32]
) -> None:
    i = 0
    # Eight rows at once, as arrays of their own, compile to vectors without reloading the sums and
    # are fetched together: 4 to 9 times as fast as row by row. The order is fastText's.
    while i + 8 <= size:
        a, b, c, d = dense[rows[i]], dense[rows[i + 1]], dense[rows[i + 2]], dense[rows[i + 3]]
        e, f, g, h = dense[rows[i + 4]], dense[rows[i + 5]], dense[rows[i + 6]], dense[rows[i + 7]]
        for j in range(vector.shape[0]):
            total = vector[j] + a[j]
            total = total + b[j]
            total = total + c[j]
            total = total + d[j]
            total = total + e[j]
            total = total + f[j]
            total = total + g[j]
            vector[j] = total + h[j]
        i += 8
    while i < size:
        a = dense[rows[i]]
        for j in range(vector.shape[0]):
            vector[j] += a[j]
        i += 1


@kernel
def _add_quantised(
    layer: Input, rows: NDArray[np.int64], size: Integer, vector: NDArray[np.float32]
) -> None:
    dim, width = vector.shape[0], layer.width
    for i in range(size):
        row = rows[i]
        norm = np.float32(1.0)
        if layer.norm_codes.shape[0]:
            norm = layer.norms[layer.norm_codes[row]]
        for block in range(layer.codes.shape[1]):
            first = block * width
            columns = min(width, dim - first)
            start = NUM_CENTROIDS * first + np.int64(layer.codes[row, block]) * columns
            for j in range(columns):
                vector[first + j] += norm * layer.centroids[start + j]
