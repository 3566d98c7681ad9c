"""Cut from each document what the language model is shown, without a Python object per piece.

A piece is one line: line feeds and NULs in it become spaces (fastText ends a text at the one and
a word at the other), and the halves of characters at its borders are left out. Pieces lie one
after the other in a buffer, as `language_model.Model.predict_bytes` takes them.

Promises: the pieces of a document depend on nothing but its bytes. Does not promise anything about
bytes that are not UTF-8, but to copy them.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .jit import kernel
from .unicode import Integer

LINE_FEED, SPACE = 10, 32


class Pieces(NamedTuple):
    """Pieces of lines, in the order of the documents."""

    data: NDArray[np.uint8]
    offsets: NDArray[np.int64]
    """(pieces + 1,)"""
    documents: NDArray[np.int64]
    """(pieces,) the document that each is from."""
    num_bytes: NDArray[np.int64]
    """(pieces,) its bytes, half characters included."""


def samples(
    offsets: NDArray[np.int64], data: NDArray[np.uint8], *, size: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return each document in one line: all, or beginning, middle and end, `size` bytes in all.

    Args:
        offsets: (n + 1,) of the documents.
        data: (bytes,) UTF-8.
        size: bytes of a sample; two more separate its pieces.

    Returns:
        (bytes,) and (n + 1,) offsets.
    """
    lengths = np.diff(offsets)
    room = np.where(lengths <= size, lengths, 3 * (size // 3) + 2).sum(dtype=np.int64)
    out, out_offsets = np.empty(int(room), np.uint8), np.zeros(len(offsets), np.int64)
    _copy_samples(offsets, data, size, out, out_offsets)
    return out[: out_offsets[-1]], out_offsets


def line_pieces(
    offsets: NDArray[np.int64],
    data: NDArray[np.uint8],
    *,
    count: int,
    size: int,
    least: int,
) -> Pieces:
    """Return the text around evenly spread positions of each document.

    Args:
        offsets: (n + 1,) of the documents.
        data: (bytes,) UTF-8.
        count: positions in a document, fewer in one of less than `count * size` bytes.
        size: bytes of a piece at most, each within its line.
        least: bytes of a piece at least; shorter ones are left out.
    """
    room = (len(offsets) - 1) * max(count, 0)
    out = np.empty(min(room * size, int(offsets[-1] - offsets[0])), np.uint8)
    places = np.zeros(room + 1, np.int64), np.empty(room, np.int64), np.empty(room, np.int64)
    found = _copy_lines(offsets, data, count, size, least, out, *places)
    ends, documents, num_bytes = places
    return Pieces(out[: ends[found]], ends[: found + 1], documents[:found], num_bytes[:found])


@kernel
def _copy_samples(
    offsets: NDArray[np.int64],
    data: NDArray[np.uint8],
    size: Integer,
    out: NDArray[np.uint8],
    out_offsets: NDArray[np.int64],
) -> None:
    third = size // 3
    at = 0
    for document in range(offsets.shape[0] - 1):
        start, end = offsets[document], offsets[document + 1]
        if end - start <= size:
            at = _copy_line(data, start, end, out, at)
        else:
            middle = (start + end - third) // 2
            at = _copy_line(data, start, start + third, out, at)
            out[at] = SPACE
            at = _copy_line(data, middle, middle + third, out, at + 1)
            out[at] = SPACE
            at = _copy_line(data, end - third, end, out, at + 1)
        out_offsets[document + 1] = at


@kernel
def _copy_lines(
    offsets: NDArray[np.int64],
    data: NDArray[np.uint8],
    count: Integer,
    size: Integer,
    least: Integer,
    out: NDArray[np.uint8],
    ends: NDArray[np.int64],
    documents: NDArray[np.int64],
    num_bytes: NDArray[np.int64],
) -> Integer:
    at = found = 0
    for document in range(offsets.shape[0] - 1):
        start, length = offsets[document], offsets[document + 1] - offsets[document]
        num_positions = min(count, max(1, length // size))
        covered = start
        for i in range(num_positions):
            position = start + (2 * i + 1) * length // (2 * num_positions)
            low = max(covered, position - size, start)
            high = min(position + size, start + length)
            first, last = position, position
            while first > low and data[first - 1] != LINE_FEED:
                first -= 1
            while last < high and data[last] != LINE_FEED:
                last += 1
            if last - first > size:  # its middle, or what of it is around the position
                first += min(max(position - first - size // 2, 0), last - first - size)
                last = first + size
            if last - first >= least:
                at = _copy_line(data, first, last, out, at)
                documents[found], num_bytes[found] = document, last - first
                found += 1
                ends[found] = at
                covered = last
    return found


@kernel
def _copy_line(
    data: NDArray[np.uint8], start: Integer, end: Integer, out: NDArray[np.uint8], at: Integer
) -> Integer:
    """Append `data[start:end]`, less the halves of characters at its borders."""
    while start < end and (data[start] & 0xC0) == 0x80:
        start += 1
    lead = end - 1
    while lead > start and end - lead < 4 and (data[lead] & 0xC0) == 0x80:
        lead -= 1
    if start < end:
        first = data[lead]
        width = 1 + (first >= 0xC0) + (first >= 0xE0) + (first >= 0xF0)
        if lead + width > end:
            end = lead
    for i in range(start, end):
        byte = data[i]
        out[at] = SPACE if byte == LINE_FEED or byte == 0 else byte
        at += 1
    return at
