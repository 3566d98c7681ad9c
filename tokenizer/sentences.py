"""Find where sentences end: UAX #29 in one pass, in the bytes of the normalised text.

Rules SB3 to SB11 with Extend and Format skipped, over the Sentence_Break property of the Unicode
tables. An own kernel because others are slower than encoding itself (17 MB/s on one core): ICU's
breaker 12.6 MB/s through icu4py, uniseg 0.03 MB/s; this one is measured in `benchmarks/encode.py`.

    brackets    An opening bracket (Ps) right after a terminal starts the next sentence: 。「 in
                Chinese and Japanese, .„ in German. UAX #29 puts any Close to the sentence before.
    terminals   Marks that end a verse or a sentence and that Unicode 17 leaves out count as STerm:
                the Tibetan shads, Khmer koomuut, Georgian paragraph separator, Hebrew sof pasuq.
                The Armenian marks do not (they stand inside a word), nor does the ellipsis.
    joiner      Without white space there is no border after a ZERO WIDTH JOINER: "‼" and a picture
                joined to it are one emoji.

Line breaks end a sentence, as in UAX #29; where a script has no terminals, only they do. A sentence
without anything visible is none.

Positions are those of the text as the tokenizer sees it: each run of white space, line breaks
included, is one byte, none at the ends; U+2581 is white space. An end is the position after the
last visible byte of its sentence, so in the pieces of the text it is the border before the next "▁"
or, where no white space follows, before the next piece.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.bits import (
    BLOCK_BITS,
    CLOSER,
    PUNCTUATION,
    SB_ATERM,
    SB_CLOSE,
    SB_CR,
    SB_EXTEND,
    SB_FORMAT,
    SB_LF,
    SB_LOWER,
    SB_MASK,
    SB_NUMERIC,
    SB_OLETTER,
    SB_OTHER,
    SB_SCONTINUE,
    SB_SEP,
    SB_SHIFT,
    SB_SP,
    SB_STERM,
    SB_UPPER,
)
from pipelines.jit import kernel
from pipelines.unicode import BLOCK_MASK, TABLES, Integer, buffers, decode

TERMINALS = (
    "\u0f0d\u0f0e\u0f0f\u0f10\u0f11\u0f14"  # Tibetan shad and its forms
    "\u17da"  # Khmer koomuut
    "\u10fb"  # Georgian paragraph separator
    "\u05c3"  # Hebrew sof pasuq
)
"""What ends a sentence here beyond Unicode's STerm; a part of `scripts.EXTRA_TERMINALS`."""

JOINS = 16  # beside the Sentence_Break number: no border after it without white space

SPACE = 0x20

# What was seen since the last terminal.
TEXT, TERM, CLOSED, SPACED, AHEAD = range(5)
"""No terminal; a terminal; its closers; their spaces; looking ahead for a small letter (SB8)."""


def _kinds() -> NDArray[np.uint8]:
    """Return what the kernel needs of each code point, laid out like `TABLES.info`."""
    info = TABLES.info
    kinds = ((info >> SB_SHIFT) & SB_MASK).astype(np.uint8)
    opens = (kinds == SB_CLOSE) & (info & PUNCTUATION != 0) & (info & CLOSER == 0)
    kinds[opens] = SB_OTHER
    for code_points, kind in ((TERMINALS, SB_STERM), ("\u2581", SB_SP)):
        for code_point in map(ord, code_points):
            kinds[_place(code_point)] = kind
    kinds[_place(0x200D)] |= JOINS
    return kinds


def _place(code_point: int) -> int:
    block = int(TABLES.info_index[code_point >> BLOCK_BITS])
    return (block << BLOCK_BITS) | (code_point & BLOCK_MASK)


def _is_plain(kinds: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return for each code point of three bytes or less whether a sentence goes on over it."""
    blocks = TABLES.info_index[: 0x10000 >> BLOCK_BITS].astype(np.int64)
    places = (blocks[:, None] << BLOCK_BITS) | np.arange(1 << BLOCK_BITS)
    stops = [SB_CR, SB_LF, SB_SEP, SB_SP, SB_ATERM, SB_STERM]
    return (~np.isin(kinds[places].reshape(-1) & SB_MASK, stops)).astype(np.uint8)


KINDS = _kinds()
IS_PLAIN = _is_plain(KINDS)


def sentence_ends(text: pa.LargeStringArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (ends, offsets): where the sentences of each document end.

    The ends of document `i` are `ends[offsets[i]:offsets[i + 1]]`: ascending, in bytes of the
    normalised text, the last one its length. A document of white space alone has none.

    Raises:
        TypeError, ValueError: another type than large_string, or nulls.
    """
    starts, data = buffers(text)
    # A sentence takes a visible byte, and a border or the end of the text after it.
    ends = np.empty(int(starts[-1] - starts[0] + len(text)), np.int64)
    offsets = np.zeros(len(starts), np.int64)
    _find_ends(starts, data, TABLES.info_index, KINDS, IS_PLAIN, ends, offsets)
    return ends[: offsets[-1]], offsets


@kernel
def _find_ends(
    starts: NDArray[np.int64],
    data: NDArray[np.uint8],
    index: NDArray[np.uint16],
    kinds: NDArray[np.uint8],
    is_plain: NDArray[np.uint8],
    ends: NDArray[np.int64],
    offsets: NDArray[np.int64],
) -> None:
    found = np.int64(0)
    for document in range(starts.shape[0] - 1):
        start, stop = starts[document], starts[document + 1]
        position = start
        size: Integer = 0  # of the normalised text, to the end of the last visible code point
        last_end: Integer = 0
        candidate: Integer = 0  # the end that a small letter would undo
        is_spaced = False  # white space since
        joins = False  # the last code point, outside TEXT, is a joiner
        state = TEXT
        is_full_stop = False  # the terminal is an ATerm
        letter_before = False  # one with case stands right before it
        while position < stop:
            if state == TEXT:
                first = position
                position = _skip_plain(data, position, stop, is_plain)
                if position > first:
                    size += is_spaced and size > 0
                    is_spaced = data[position - 1] == SPACE
                    size += position - first - is_spaced
                    continue
            code_point, width = decode(data, position)
            block = np.int64(index[code_point >> BLOCK_BITS])
            joined = kinds[(block << BLOCK_BITS) | (code_point & BLOCK_MASK)]
            kind = np.int64(joined & SB_MASK)
            at = position
            position += width

            if SB_CR <= kind <= SB_SEP:  # SB4, SB11: CR, LF, Sep are 1, 2, 3
                if state == AHEAD and candidate > last_end:
                    ends[found] = candidate
                    found += 1
                    last_end = candidate
                if size > last_end:
                    ends[found] = size
                    found += 1
                    last_end = size
                state = TEXT
                is_spaced = True
                continue
            if kind == SB_SP:
                is_spaced = True
                if state in (TERM, CLOSED):
                    state = SPACED
                continue

            # A visible code point: where the sentence would end, if it ended before this one.
            end = size
            breaks_here = is_spaced or not joins
            size += width + (is_spaced and size > 0)
            is_spaced = False
            joins = joined >= JOINS
            if kind in (SB_EXTEND, SB_FORMAT):  # SB5
                continue
            is_terminal = kind in (SB_ATERM, SB_STERM)
            ends_here = False
            if state == TEXT:
                pass
            elif state == AHEAD:
                if kind == SB_LOWER:  # SB8
                    state = TEXT
                elif is_terminal or kind in (SB_UPPER, SB_OLETTER):
                    ends_here = True
                    end = candidate
            elif is_terminal or kind == SB_SCONTINUE:  # SB8a
                state = TEXT
            elif kind == SB_CLOSE and state != SPACED:  # SB9
                state = CLOSED
            elif not is_full_stop:  # SB11
                ends_here = True
            elif kind == SB_LOWER or (  # SB8
                state == TERM
                and (kind == SB_NUMERIC or (kind == SB_UPPER and letter_before))  # SB6, SB7
            ):
                state = TEXT
            elif kind in (SB_UPPER, SB_OLETTER):  # SB11
                ends_here = True
            else:
                candidate = end if breaks_here else last_end
                state = AHEAD
            if ends_here:
                if end > last_end and (breaks_here or state == AHEAD):
                    ends[found] = end
                    found += 1
                    last_end = end
                state = TEXT
            if is_terminal:
                state = TERM
                is_full_stop = kind == SB_ATERM
                letter_before = is_full_stop and _follows_case(data, start, at, index, kinds)
        if state == AHEAD and candidate > last_end:
            ends[found] = candidate
            found += 1
            last_end = candidate
        if size > last_end:
            ends[found] = size
            found += 1
        offsets[document + 1] = found


@kernel
def _skip_plain(
    data: NDArray[np.uint8], position: Integer, stop: Integer, is_plain: NDArray[np.uint8]
) -> Integer:
    """Return where the first code point is that is not plain: most of the text goes by here.

    Plain is what neither ends a sentence nor is white space, and a single U+0020 after it.
    """
    first = position
    while position < stop:
        lead = np.int64(data[position])
        if lead < 0x80:
            if not is_plain[lead] and (
                lead != SPACE or position == first or data[position - 1] == SPACE
            ):
                break
            position += 1
        elif lead < 0xE0:
            if lead < 0xC0 or position + 1 >= stop:
                break
            if not is_plain[((lead & 0x1F) << 6) | (np.int64(data[position + 1]) & 0x3F)]:
                break
            position += 2
        else:
            if lead >= 0xF0 or position + 2 >= stop:
                break
            high = ((lead & 0x0F) << 12) | ((np.int64(data[position + 1]) & 0x3F) << 6)
            if not is_plain[high | (np.int64(data[position + 2]) & 0x3F)]:
                break
            position += 3
    return position


@kernel
def _follows_case(
    data: NDArray[np.uint8],
    start: Integer,
    position: Integer,
    index: NDArray[np.uint16],
    kinds: NDArray[np.uint8],
) -> bool:
    """Return whether an upper or lower case letter stands before `position`, for SB7."""
    while position > start:
        position -= 1
        while position > start and data[position] & 0xC0 == 0x80:
            position -= 1
        code_point, _ = decode(data, position)
        block = np.int64(index[code_point >> BLOCK_BITS])
        kind = kinds[(block << BLOCK_BITS) | (code_point & BLOCK_MASK)] & SB_MASK
        if kind not in (SB_EXTEND, SB_FORMAT):
            return kind in (SB_UPPER, SB_LOWER)
    return False
