"""What a piece of the vocabulary may never cross: text cut into units, the words of the training.

White space (and U+2581) ends a unit and is no part of one; the first unit after it, or of a line,
is written with "▁" (U+2581) before it. Between spaces:

    letters     a run of letters of one script. Chinese, kana and Bopomofo count as one; letters of
                no script of their own (ʻ ʼ ー ـ) join whatever is there; the Tibetan tsheg is one.
                One sign between two letters stays inside: apostrophes, Catalan and Hebrew signs
                (`scripts.MIDWORD`, but no hyphen), so that oʻzbek, l'été and п'ять are words.
    numbers     each digit and each other number by itself, in every script
    emoji       each by itself, with its modifiers, joined pictures and flags
    the rest    a run of one and the same code point

Marks and invisible signs (Extend and Format of UAX #29: ZWNJ, ZWJ, variation selectors) never part
from what stands before them, whatever it is, and never begin a run of letters. ZERO WIDTH SPACE
ends a unit and is the last of it. Of a unit beyond 512 code points, each 512 are cut off, at the
next border of grapheme clusters; nothing is dropped.

Promises: the units, "▁" read as white space, give back the text; where a sentence can end without
white space, a unit ends; the units of a line depend on that line alone; linear time.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.bits import (
    DIGIT,
    GCB_EXTEND,
    GCB_MASK,
    GCB_REGIONAL,
    GCB_SHIFT,
    LETTER,
    MIDWORD,
    NUMBER,
    PICTOGRAPHIC,
    SB_EXTEND,
    SB_FORMAT,
    SB_MASK,
    SB_SHIFT,
    SPACE,
    TERMINAL,
)
from pipelines.graphemes import CLUSTER_START, cluster_step
from pipelines.jit import kernel
from pipelines.tokens import HASH_MULTIPLIER, is_ascii_letter, mix
from pipelines.unicode import (
    FIRST_SCRIPT,
    LATIN,
    NUM_SCRIPTS,
    SCRIPT_NUMBERS,
    TABLES,
    Integer,
    Tables,
    buffers,
    decode,
    flags_of,
    script_of,
)

SPACE_SIGN = "▁"
MAX_CODE_POINTS = 512  # of a unit; a word of German law has 80, a Thai clause 200
LOWER_BLOCK = 0x2581  # SPACE_SIGN; clean text has none
SPACE_BYTE, ZERO_WIDTH_SPACE, ZERO_WIDTH_JOINER = 0x20, 0x200B, 0x200D
TSHEG, TSHEG_BSTAR = 0x0F0B, 0x0F0C
HYPHEN, ARMENIAN_HYPHEN, MAQAF = 0x2D, 0x058A, 0x05BE
TODO_HYPHEN, UNICODE_HYPHEN, FIRM_HYPHEN = 0x1806, 0x2010, 0x2011


def _groups() -> NDArray[np.int64]:
    """Return the script that each script counts as, 0 for those that join any other."""
    groups = np.arange(NUM_SCRIPTS)
    groups[:FIRST_SCRIPT] = 0
    groups[[SCRIPT_NUMBERS[name] for name in ("Hira", "Kana", "Bopo")]] = SCRIPT_NUMBERS["Hani"]
    return groups


class Rules(NamedTuple):
    """The tables that the kernels below take."""

    tables: Tables
    groups: NDArray[np.int64]
    """By script number: the script that it counts as, 0 for those that join any other."""


RULES = Rules(TABLES, _groups())


@kernel
def clings(info: Integer) -> bool:
    """Tell whether a code point never parts from the one before: marks, invisible signs."""
    return bool(SB_EXTEND <= ((info >> SB_SHIFT) & SB_MASK) <= SB_FORMAT)


@kernel
def is_space(code_point: Integer, info: Integer) -> bool:
    """Tell whether a code point is white space, or the sign that stands for it."""
    return bool(info & SPACE) or code_point == LOWER_BLOCK


@kernel
def is_picture(info: Integer) -> bool:
    """Tell whether a code point can be an emoji; "‼" ends sentences and is punctuation."""
    return bool((info & (PICTOGRAPHIC | TERMINAL | LETTER)) == PICTOGRAPHIC)


@kernel
def next_unit(
    data: NDArray[np.uint8], position: Integer, end: Integer, rules: Rules
) -> tuple[Integer, Integer, bool]:
    """Return (start, end, was there white space before it?) of the unit from `position` on.

    `position` is at the border of a unit or in white space; start = end where no unit is left.
    Long units are not cut, see `cut`.
    """
    tables = rules.tables
    spaced = False
    code_point, width, info = 0, 0, 0
    while position < end:
        if data[position] == SPACE_BYTE:
            spaced = True
            position += 1
            continue
        if is_ascii_letter(data[position]):
            stop = letters_end(data, position, end, rules)
            return position, clinging_end(data, stop, end, rules), spaced
        code_point, width = decode(data, position)
        info = flags_of(tables, code_point)
        if not is_space(code_point, info):
            break
        spaced = True
        position += width
    if position >= end:
        return end, end, spaced
    stop = position + width
    if clings(info) or info & (DIGIT | NUMBER):
        pass
    elif info & LETTER or code_point in (TSHEG, TSHEG_BSTAR):
        stop = letters_end(data, position, end, rules)
    elif is_picture(info):
        stop = picture_end(data, stop, end, rules)
    elif (info >> GCB_SHIFT) & GCB_MASK == GCB_REGIONAL:
        if stop < end:
            code_point, width = decode(data, stop)
            if (flags_of(tables, code_point) >> GCB_SHIFT) & GCB_MASK == GCB_REGIONAL:
                stop += width
    else:
        same = True
        while same and stop + width <= end:
            for byte in range(width):
                same &= data[stop + byte] == data[position + byte]
            if same:
                stop += width
    return position, clinging_end(data, stop, end, rules), spaced


@kernel
def letters_end(data: NDArray[np.uint8], position: Integer, end: Integer, rules: Rules) -> Integer:
    """Return where the run of letters ends whose first letter is at `position`."""
    tables = rules.tables
    script: Integer = 0
    while position < end:
        if is_ascii_letter(data[position]):
            if script != LATIN:
                if script:
                    return position
                script = LATIN
            position += 1
            continue
        code_point, width = decode(data, position)
        info = flags_of(tables, code_point)
        if clings(info):
            if code_point == ZERO_WIDTH_SPACE:
                return position
        elif info & LETTER or code_point in (TSHEG, TSHEG_BSTAR):
            own = rules.groups[script_of(info)]
            if own != script and own:
                if script:
                    return position
                script = own
        elif info & MIDWORD and position + width < end and not is_hyphen(code_point):
            after, _ = decode(data, position + width)
            info = flags_of(tables, after)
            own = rules.groups[script_of(info)]
            if clings(info) or not info & LETTER or (own and script and own != script):
                return position
        else:
            return position
        position += width
    return position


@kernel
def is_hyphen(code_point: Integer) -> bool:
    """Tell whether one of `scripts.MIDWORD` is a hyphen: it parts two words."""
    return (
        code_point in (HYPHEN, UNICODE_HYPHEN, FIRM_HYPHEN)
        or code_point in (ARMENIAN_HYPHEN, MAQAF, TODO_HYPHEN)
    )  # fmt: skip


@kernel
def picture_end(data: NDArray[np.uint8], position: Integer, end: Integer, rules: Rules) -> Integer:
    """Return where an emoji ends whose first picture ends at `position`."""
    joined = False
    while position < end and data[position] >= 0x80:
        code_point, width = decode(data, position)
        info = flags_of(rules.tables, code_point)
        if is_picture(info):
            if not joined:
                return position
        elif not clings(info) and (info >> GCB_SHIFT) & GCB_MASK != GCB_EXTEND:
            return position
        if code_point == ZERO_WIDTH_SPACE:
            return position
        joined = code_point == ZERO_WIDTH_JOINER
        position += width
    return position


@kernel
def clinging_end(data: NDArray[np.uint8], position: Integer, end: Integer, rules: Rules) -> Integer:
    """Return where that ends which clings to the code point before `position`."""
    while position < end and data[position] >= 0x80:
        code_point, width = decode(data, position)
        if not clings(flags_of(rules.tables, code_point)):
            return position
        position += width
    return position


@kernel
def cut(data: NDArray[np.uint8], start: Integer, end: Integer, tables: Tables) -> Integer:
    """Return where the first part of a unit ends: `end`, unless it is too long.

    At the first border of grapheme clusters from MAX_CODE_POINTS on, and at twice as many without.
    """
    num_code_points = 0
    state = CLUSTER_START
    position = start
    while position < end:
        code_point, width = decode(data, position)
        is_border, state = cluster_step(state, flags_of(tables, code_point))
        if num_code_points >= MAX_CODE_POINTS and (
            is_border or num_code_points >= 2 * MAX_CODE_POINTS
        ):
            return position
        num_code_points += 1
        position += width
    return end


@kernel
def hash_bytes(
    data: NDArray[np.uint8], start: Integer, end: Integer, value: np.uint64
) -> np.uint64:
    """Return a hash of data[start:end] that begins with `value`; eight bytes a step."""
    position = start
    while position + 8 <= end:
        word = np.uint64(0)
        for byte in range(8):
            word |= np.uint64(data[position + byte]) << np.uint64(8 * byte)
        value = (((value << np.uint64(5)) | (value >> np.uint64(59))) ^ word) * HASH_MULTIPLIER
        position += 8
    word = np.uint64(end - start) << np.uint64(56)
    shift = np.uint64(0)
    while position < end:
        word |= np.uint64(data[position]) << shift
        shift += np.uint64(8)
        position += 1
    return mix((((value << np.uint64(5)) | (value >> np.uint64(59))) ^ word) * HASH_MULTIPLIER)


@kernel
def _list_units(
    data: NDArray[np.uint8],
    start: Integer,
    end: Integer,
    rules: Rules,
    units: NDArray[np.int64],
) -> Integer:
    """Write (start, end, has white space before it) of each unit of a document to `units`."""
    found = 0
    position = start
    after_space = True
    while position < end:
        begin, stop, spaced = next_unit(data, position, end, rules)
        after_space = after_space or spaced
        while begin < stop:
            units[found, 0] = begin
            begin = cut(data, begin, stop, rules.tables)
            units[found, 1] = begin
            units[found, 2] = after_space
            found += 1
            after_space = False
        position = stop
    return found


def units_of(text: str) -> list[str]:
    """Return the units of a text in their order, as the counting kernel finds them.

    >>> units_of("L'été 2024, oʻzbek!")
    ["▁L'été", '▁2', '0', '2', '4', ',', '▁oʻzbek', '!']
    """
    offsets, data = buffers(pa.array([text], pa.large_string()))
    units = np.empty((len(data), 3), np.int64)
    for start, end in pairwise(offsets.tolist()):
        units = units[: _list_units(data, start, end, RULES, units)]
    return [
        (SPACE_SIGN if spaced else "") + data[start:end].tobytes().decode()
        for start, end, spaced in units.tolist()
    ]
