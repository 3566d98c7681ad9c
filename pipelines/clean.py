"""Repair and normalise text: the one normaliser of koine, before anything is judged.

In this order: mojibake (`pipelines.mojibake`); line breaks of all kinds become U+000A; invisible
characters that carry no meaning go; every other white space, and U+2581, which SentencePiece uses
for a space, becomes one U+0020, none at either end of a line; three or more line breaks become
two; runs of more than 30 combining marks are cut, before NFC, which is quadratic in them; NFC.

    kept        ZWNJ and ZWJ (Persian, Indic and emoji spelling), variation selectors, emoji tag
                sequences, private use, U+FFFD (what was lost there can't be told, and gluing
                the rest together makes words that never were)
    kept where  ZERO WIDTH SPACE between letters of Thai, Khmer, Lao, Burmese and other scripts
                without spaces, where it is a word boundary
    removed     controls, U+FEFF, U+00AD, U+2060, U+FFFC, bidirectional controls, interlinear
                annotation, noncharacters, tag characters without a flag, any other ZERO WIDTH SPACE

Promises: idempotent; linear time; never longer than before but for NFC; letters, quotes,
ligatures, widths and digits stay as they are. The Unicode version of NFC is Python's.
"""

from __future__ import annotations

import unicodedata
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from . import mojibake
from .bits import COMBINING, CONTROL, LETTER, MARK, NFC_MAYBE, NFC_NO, NONCHARACTER, SPACE
from .jit import kernel
from .unicode import SCRIPTS, TABLES, Tables, buffers, decode, flags_of, script_of

MAX_MARKS = 30  # the stream-safe limit of UAX #15; no orthography comes near it
MAX_TAGS = 8  # RGI flags have six at most
MAX_ROUNDS = 4  # what normalising takes away can bring mojibake to light, so it is looked for again

# Scripts in which ZERO WIDTH SPACE parts words.
_WORD_BOUNDARY_SCRIPTS = {
    "Khmr", "Thai", "Laoo", "Mymr", "Tibt", "Java", "Bali", "Sund", "Lana", "Tale", "Talu", "Tavt",
    "Cham", "Batk", "Bugi", "Ahom", "Kawi",
}  # fmt: skip
_HAS_WORD_BOUNDARY: NDArray[np.bool_] = np.array([s in _WORD_BOUNDARY_SCRIPTS for s in SCRIPTS])

# Removed beside controls (Cc) and noncharacters.
_REMOVED = [
    *(0x00AD, 0x061C, 0x200E, 0x200F, 0x2060, 0xFEFF, 0xFFFC),
    *range(0x202A, 0x202F),
    *range(0x2066, 0x2070),
    *range(0xFFF9, 0xFFFC),
]
_IS_REMOVED: NDArray[np.bool_] = np.isin(np.arange(0x10000), _REMOVED)


class Repairs(NamedTuple):
    """What was changed in each document."""

    mojibake: pa.BooleanArray
    controls: pa.Int32Array
    """Code points removed."""
    marks: pa.Int32Array
    """Combining marks cut from over-long runs."""


def clean(text: pa.LargeStringArray) -> tuple[pa.LargeStringArray, Repairs]:
    """Return the clean documents, and what was repaired in each.

    Raises:
        TypeError, ValueError: another type than large_string, or nulls.
    """
    repaired = np.zeros(len(text), np.bool_)
    removed = np.zeros((len(text), 2), np.int32)
    text = _repair_mojibake(text, np.arange(len(text)), repaired)
    text = _normalise(text, np.arange(len(text)), removed)
    for _ in range(MAX_ROUNDS):
        rows = np.flatnonzero(mojibake.suspects(text))
        some = text.take(pa.array(rows))
        again = _repair_mojibake(some, rows, repaired)
        if again.equals(some):
            break
        again = _normalise(again, rows, removed)
        text = replace_rows(text, dict(zip(rows.tolist(), again.to_pylist(), strict=True)))
    return text, Repairs(
        pa.array(repaired), pa.array(removed[:, 0]), pa.array(np.ascontiguousarray(removed[:, 1]))
    )


def _repair_mojibake(
    text: pa.LargeStringArray, rows: NDArray[np.int64], repaired: NDArray[np.bool_]
) -> pa.LargeStringArray:
    changed = {}
    for row in np.flatnonzero(mojibake.suspects(text)).tolist():
        before = text[row].as_py()
        after = mojibake.repair(before)
        # Never what Arrow can't hold: bytes that spell a surrogate stay as they are.
        if after != before and not any("\ud800" <= character <= "\udfff" for character in after):
            changed[row] = after
            repaired[rows[row]] = True
    return replace_rows(text, changed)


def _normalise(
    text: pa.LargeStringArray, rows: NDArray[np.int64], removed: NDArray[np.int32]
) -> pa.LargeStringArray:
    """Return the text through the kernel and NFC, and again where NFC made more marks."""
    text, counts, uncertain = _run_kernel(text)
    removed[rows] += counts
    changed = {}
    for row in np.flatnonzero(uncertain).tolist():
        document = text[row].as_py()
        if not unicodedata.is_normalized("NFC", document):
            changed[row] = unicodedata.normalize("NFC", document)
    if not changed:
        return text
    # U+0344 is two marks in NFC: a run of thirty can grow once, and is cut again.
    composed, counts, _ = _run_kernel(pa.array(list(changed.values()), pa.large_string()))
    removed[rows[list(changed)]] += counts
    return replace_rows(text, dict(zip(changed, composed.to_pylist(), strict=True)))


def _run_kernel(
    text: pa.LargeStringArray,
) -> tuple[pa.LargeStringArray, NDArray[np.int32], NDArray[np.bool_]]:
    """Return (text, counts of controls and marks removed, which may not be in NFC)."""
    offsets, data = buffers(text)
    out = np.empty(offsets[-1] - offsets[0], np.uint8)
    out_offsets = np.zeros(len(offsets), np.int64)
    counts = np.zeros((len(text), 2), np.int32)
    uncertain = np.zeros(len(text), np.bool_)
    _normalise_kernel(
        offsets, data, TABLES, _IS_REMOVED, _HAS_WORD_BOUNDARY, out, out_offsets, counts, uncertain
    )
    return _array(out_offsets, out[: out_offsets[-1]]), counts, uncertain


def _array(offsets: NDArray[np.int64], data: NDArray[np.uint8] | bytes) -> pa.LargeStringArray:
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(data)]
    return pa.LargeStringArray.from_buffers(len(offsets) - 1, *buffers[1:])


def replace_rows(text: pa.LargeStringArray, changed: dict[int, str]) -> pa.LargeStringArray:
    """Return the text with some documents replaced."""
    if not changed:
        return text
    offsets, data = buffers(text)
    view = memoryview(data)  # type: ignore[arg-type]
    pieces: list[bytes | memoryview] = []
    lengths = np.diff(offsets, prepend=0)
    lengths[0] = 0
    done = 0
    for row in sorted(changed):
        piece = changed[row].encode("utf-8")
        pieces += [view[offsets[done] : offsets[row]], piece]
        lengths[row + 1] = len(piece)
        done = row + 1
    pieces.append(view[offsets[done] : offsets[-1]])
    return _array(np.cumsum(lengths), b"".join(pieces))


@kernel
def _normalise_kernel(
    offsets: NDArray[np.int64],
    data: NDArray[np.uint8],
    tables: Tables,
    is_removed: NDArray[np.bool_],
    has_word_boundary: NDArray[np.bool_],
    out: NDArray[np.uint8],
    out_offsets: NDArray[np.int64],
    counts: NDArray[np.int32],
    uncertain: NDArray[np.bool_],
) -> None:
    """Write the normalised text to `out`, with its offsets, counts and doubts about NFC."""
    written = 0
    for document in range(offsets.shape[0] - 1):
        start, end = written, offsets[document + 1]
        position = offsets[document]
        num_breaks = num_marks = num_removed = num_cut = num_tags = 0
        space = boundary = combining = after_flag = doubtful = False
        word_before = False  # the last code point written can stand before a ZERO WIDTH SPACE
        while position < end:
            lead = data[position]
            if 0x20 < lead < 0x7F:  # the fast way: visible ASCII
                if num_breaks or space or boundary:
                    if num_breaks and written > start:
                        out[written] = 10
                        written += 1
                        if num_breaks > 1:
                            out[written] = 10
                            written += 1
                    elif space and written > start:
                        out[written] = 32
                        written += 1
                    num_removed += boundary
                    num_breaks = 0
                    space = boundary = False
                out[written] = lead
                written += 1
                position += 1
                num_marks = 0
                combining = word_before = after_flag = False
                continue
            code_point, width = decode(data, position)
            position += width
            if (
                code_point == 10
                or code_point == 13
                or 11 <= code_point <= 12
                or (code_point == 0x85 or code_point == 0x2028 or code_point == 0x2029)
            ):
                if code_point == 13 and position < end and data[position] == 10:
                    position += 1
                num_breaks += 1
                num_removed += boundary
                boundary = False
                continue
            info = flags_of(tables, code_point)
            if info & SPACE or code_point == 0x2581:
                space = True
                num_removed += boundary
                boundary = False
                continue
            if (
                info & (CONTROL | NONCHARACTER)
                or (code_point < 0x10000 and is_removed[code_point])
                or code_point >= 0x110000
            ):
                num_removed += 1
                continue
            if code_point == 0x200B:  # ZERO WIDTH SPACE
                if word_before and not boundary and not space and not num_breaks:
                    boundary = True
                else:
                    num_removed += 1
                continue
            if 0xE0000 <= code_point <= 0xE007F:
                if not after_flag or space or num_breaks or num_tags == MAX_TAGS:
                    num_removed += 1
                    continue
                num_tags += 1
            else:
                after_flag = code_point == 0x1F3F4  # WAVING BLACK FLAG
                num_tags = 0
            if info & MARK:
                if num_marks == MAX_MARKS and not space and not num_breaks:
                    num_cut += 1
                    continue
                num_marks = 1 if space or num_breaks else num_marks + 1
            else:
                num_marks = 0
            word = info & (LETTER | MARK) != 0 and has_word_boundary[script_of(info)]
            if num_breaks:
                if written > start:
                    out[written] = 10
                    written += 1
                    if num_breaks > 1:
                        out[written] = 10
                        written += 1
            elif space:
                if written > start:
                    out[written] = 32
                    written += 1
            elif boundary:
                if word:
                    out[written] = 0xE2
                    out[written + 1] = 0x80
                    out[written + 2] = 0x8B
                    written += 3
                else:
                    num_removed += 1
            num_breaks = 0
            space = boundary = False
            if info & (NFC_NO | NFC_MAYBE) or (combining and info & COMBINING):
                doubtful = True
            combining = info & COMBINING != 0
            word_before = bool(word)
            for byte in range(position - width, position):
                out[written] = data[byte]
                written += 1
        counts[document, 0] = num_removed + boundary
        counts[document, 1] = num_cut
        uncertain[document] = doubtful
        out_offsets[document + 1] = written
