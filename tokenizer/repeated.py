"""Words that a text repeats, so that SentencePiece sees each of them once.

No piece crosses white space, so the ids of a text are the ids of its words one after the other:
what stands between white space, each with the space before it. Most words of a text were there
before. So the distinct words are put together to a shorter text, which is encoded instead, and
every word of the text gets the ids of its like.

Long words are not looked for: a line of Chinese or Thai comes once. The ids of the distinct words
are matched with their bytes, byte for byte, which shows where each word's ids begin; a text that
the normaliser changes does not match, and is for the caller to encode as a whole.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.jit import kernel
from pipelines.tokens import HASH_START, mix
from pipelines.unicode import Integer, buffers

SPACE, LINE_BREAK = 0x20, 0x0A
MAX_BYTES = 64
"""Of a word that is looked for; longer ones hardly ever come twice."""
TAG = np.uint64(0xFFFFFFFF00000000)  # of a slot: half of the hash; the rest is a word's number + 1
MULTIPLIER = np.uint64(0x100000001B3)  # FNV-1a, whose weak half `mix` repairs


class Words(NamedTuple):
    """The distinct words of documents, in the order of their first use."""

    text: NDArray[np.uint8]
    """The words, a space before each."""
    num_words: int
    numbers: NDArray[np.int32]
    """(words of the documents,) which of the distinct words each one is."""
    offsets: NDArray[np.int64]
    """(documents + 1,) where the words of each document begin."""


class Pieces(NamedTuple):
    """The bytes that pieces stand for: those of piece `i` are `data[starts[i]:starts[i + 1]]`."""

    data: NDArray[np.uint8]
    starts: NDArray[np.int64]


def distinct_words(text: pa.LargeStringArray) -> Words:
    """Return the distinct words of documents."""
    starts, data = buffers(text)
    num_bytes = int(starts[-1] - starts[0])
    # A word has white space or the end of its document behind it, its like a space before it.
    words = np.empty(num_bytes + len(text), np.uint8)
    numbers = np.empty(num_bytes // 2 + len(text), np.int32)
    offsets = np.zeros(len(text) + 1, np.int64)
    # At most half of it is used: a distinct word for 16 bytes of text, which most texts keep below.
    slots = np.zeros(1 << max(10, (num_bytes // 16).bit_length()), np.uint64)
    begins = np.empty(len(numbers) + 1, np.int64)
    num_words = _find_words(starts, data, slots, words, begins, numbers, offsets)
    return Words(words[: begins[num_words]], num_words, numbers[: offsets[-1]], offsets)


@kernel
def _find_words(
    starts: NDArray[np.int64],
    data: NDArray[np.uint8],
    slots: NDArray[np.uint64],
    words: NDArray[np.uint8],
    begins: NDArray[np.int64],
    numbers: NDArray[np.int32],
    offsets: NDArray[np.int64],
) -> Integer:
    """Fill `words`, `begins` (where each begins in it), `numbers` and `offsets`; count words."""
    mask = np.uint64(slots.shape[0] - 1)
    found: Integer = np.int64(0)
    num_words: Integer = np.int64(0)
    used: Integer = np.int64(0)
    known: Integer = np.int64(0)
    begins[0] = 0
    for document in range(starts.shape[0] - 1):
        position, stop = starts[document], starts[document + 1]
        while True:
            while position < stop and (data[position] == SPACE or data[position] == LINE_BREAK):
                position += 1
            if position == stop:
                break
            first = position
            value = HASH_START
            while position < stop and data[position] != SPACE and data[position] != LINE_BREAK:
                value = (value ^ np.uint64(data[position])) * MULTIPLIER
                position += 1
            number: Integer = np.int64(-1)
            if position - first <= MAX_BYTES:
                value = mix(value)
                tag = value & TAG
                slot = value & mask
                while slots[slot] != np.uint64(0):
                    entry = slots[slot]
                    if entry & TAG == tag:
                        candidate: Integer = np.int64(entry & ~TAG) - 1
                        at = begins[candidate] + 1
                        same = begins[candidate + 1] - at == position - first
                        index = first
                        while same and index < position:
                            same = words[at + index - first] == data[index]
                            index += 1
                        if same:
                            number = candidate
                            break
                    slot = (slot + np.uint64(1)) & mask
                if number < 0 and 2 * known < slots.shape[0]:
                    slots[slot] = tag | np.uint64(num_words + 1)
                    known += 1
            if number < 0:
                number = num_words
                words[used] = SPACE
                used += 1
                for index in range(first, position):
                    words[used] = data[index]
                    used += 1
                num_words += 1
                begins[num_words] = used
            numbers[found] = number
            found += 1
        offsets[document + 1] = found
    return num_words


def first_ids(words: Words, ids: NDArray[np.int32], pieces: Pieces) -> NDArray[np.int64] | None:
    """Return (distinct words + 1,) where each one's ids begin, or None where they do not match."""
    first = np.empty(words.num_words + 1, np.int64)
    return first if _match(words.text, ids, pieces, first) else None


@kernel
def _match(
    text: NDArray[np.uint8], ids: NDArray[np.int32], pieces: Pieces, first: NDArray[np.int64]
) -> bool:
    """Fill `first`; return whether the pieces are the text and none crosses a space."""
    position = word = 0
    for token in range(ids.shape[0]):
        start, end = pieces.starts[ids[token]], pieces.starts[ids[token] + 1]
        if start == end or position + end - start > text.shape[0]:
            return False
        if text[position] == SPACE:
            first[word] = token
            word += 1
        for index in range(start, end):
            byte = pieces.data[index]
            if byte != text[position] or (byte == SPACE and index > start):
                return False
            position += 1
    first[word] = ids.shape[0]
    return bool(position == text.shape[0] and word == first.shape[0] - 1)


def spread(
    words: Words, ids: NDArray[np.int32], first: NDArray[np.int64]
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the ids of all documents, and (documents + 1,) where each one's begin."""
    num_ids = np.diff(first)[words.numbers].sum()
    out = np.empty(num_ids, np.int32)
    offsets = np.zeros(len(words.offsets), np.int64)
    _spread(words.numbers, words.offsets, ids, first, out, offsets)
    return out, offsets


@kernel
def _spread(
    numbers: NDArray[np.int32],
    offsets: NDArray[np.int64],
    ids: NDArray[np.int32],
    first: NDArray[np.int64],
    out: NDArray[np.int32],
    out_offsets: NDArray[np.int64],
) -> None:
    written = 0
    for document in range(offsets.shape[0] - 1):
        for index in range(offsets[document], offsets[document + 1]):
            number = numbers[index]
            for token in range(first[number], first[number + 1]):
                out[written] = ids[token]
                written += 1
        out_offsets[document + 1] = written
