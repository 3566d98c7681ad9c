"""Repair text that was UTF-8 and was read as something else: "Ã©" back to "é", "РџСЂ" to "Пр".

ftfy decides and repairs, with nothing but its encoding fixes. It costs 0.1 ms for each kilobyte, so
a scan at 500 MB/s goes before it: only text with a character that stands for a UTF-8 lead byte,
followed by as many that stand for continuation bytes, in one of eight encodings, is given to it,
line by line.

Does not promise: that all mojibake is found. ftfy leaves alone what may have been meant.
"""

from __future__ import annotations

import ftfy
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .jit import kernel
from .unicode import Integer, buffers, decode

# In the last three the lead bytes of common letters are themselves common letters (C3 is a Greek
# capital), so that one sequence says little: two in a row are asked for.
_ENCODINGS = ("cp1252", "latin-1", "cp1250", "cp1254", "mac_roman", "cp437", "cp1251", "cp1253")
_NEED_TWO = 0b11000000
_NUM_CODE_POINTS = 0x2600  # all that a byte can stand for, but for a few private ones


def _tables() -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """Return for each code point the encodings (bits) in which it is a lead of 2, 3, or follows."""
    two, three, follows = (np.zeros(_NUM_CODE_POINTS, np.uint8) for _ in range(3))
    for number, encoding in enumerate(_ENCODINGS):
        for first, last, table in ((0xC2, 0xDF, two), (0xE0, 0xEF, three), (0x80, 0xBF, follows)):
            for byte in range(first, last + 1):
                character = bytes([byte]).decode(encoding, "ignore")
                if character and ord(character) < _NUM_CODE_POINTS:
                    table[ord(character)] |= 1 << number
    return two, three, follows


_TWO, _THREE, _FOLLOWS = _tables()


def suspects(text: pa.LargeStringArray) -> NDArray[np.bool_]:
    """Return which documents may hold mojibake."""
    offsets, data = buffers(text)
    found = np.zeros(len(text), np.bool_)
    _suspects(offsets, data, _TWO, _THREE, _FOLLOWS, found)
    return found


def repair(text: str) -> str:
    """Return the text with the encoding of each suspect line repaired."""
    lines = text.split("\n")
    for row in np.flatnonzero(suspects(pa.array(lines, pa.large_string()))).tolist():
        lines[row] = ftfy.fix_encoding(lines[row])
    return "\n".join(lines)


@kernel
def _suspects(
    offsets: NDArray[np.int64],
    data: NDArray[np.uint8],
    two: NDArray[np.uint8],
    three: NDArray[np.uint8],
    follows: NDArray[np.uint8],
    found: NDArray[np.bool_],
) -> None:
    """Set `found` for each document with a sequence that may be mojibake."""
    limit = two.shape[0]
    lead_two: Integer  # bits of the encodings in which a sequence is possible so far
    lead_three: Integer
    lead_three_one: Integer
    before: Integer
    for document in range(offsets.shape[0] - 1):
        position, end = offsets[document], offsets[document + 1]
        lead_two = lead_three = lead_three_one = before = 0
        while position < end:
            if data[position] < 0x80:
                position += 1
                lead_two = lead_three = lead_three_one = before = 0
                continue
            code_point, width = decode(data, position)
            position += width
            if code_point >= limit:
                lead_two = lead_three = lead_three_one = before = 0
                continue
            following = np.int64(follows[code_point])
            hit = (lead_two | lead_three_one) & following
            if hit:
                if hit & ~_NEED_TWO or hit & before:
                    found[document] = True
                    break
                before = hit
            elif not lead_two | lead_three:
                before = 0
            lead_three_one = lead_three & following
            lead_two = np.int64(two[code_point])
            lead_three = np.int64(three[code_point])
