"""Extended grapheme clusters (UAX #29 of Unicode 18, as `regex` has it), code point by code point.

`cluster_step` is the state machine that the other kernels carry along. Its state is 0 after an
ordinary character, and `CLUSTER_START` before the first; a step whose state and `CLUSTER_BITS` are
both 0 need not be taken: it is a boundary and the state stays 0.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from .bits import (
    GCB_CONTROL,
    GCB_CR,
    GCB_EXTEND,
    GCB_L,
    GCB_LF,
    GCB_LV,
    GCB_LVT,
    GCB_MASK,
    GCB_PREPEND,
    GCB_REGIONAL,
    GCB_SHIFT,
    GCB_SPACING,
    GCB_T,
    GCB_V,
    GCB_ZWJ,
    INCB_CONSONANT,
    INCB_EXTEND,
    INCB_LINKER,
    INCB_MASK,
    INCB_SHIFT,
    PICTOGRAPHIC,
)
from .jit import kernel
from .unicode import TABLES, Integer, Tables, buffers, decode, flags_of

CLUSTER_START = GCB_CONTROL  # GB1: as after a control, there is a boundary
# Any break class, a pictograph, or an Indic extender or linker (odd numbers; consonants are even).
CLUSTER_BITS = PICTOGRAPHIC | (GCB_MASK << GCB_SHIFT) | (1 << INCB_SHIFT)

# The state: the break class of the last code point, and how far three sequences have come.
ODD_REGIONAL = 1 << 4  # an odd number of regional indicators
PICTURE = 1 << 5  # a pictograph and its extenders
PICTURE_JOINED = 1 << 6  # ... and a ZWJ
LINKED = 1 << 7  # an Indic linker (virama) and its marks


@kernel
def cluster_step(state: Integer, info: Integer) -> tuple[bool, Integer]:
    """Return (does a cluster start at this code point?, the state after it)."""
    last = state & GCB_MASK
    this = (info >> GCB_SHIFT) & GCB_MASK
    conjunct = (info >> INCB_SHIFT) & INCB_MASK
    starts = True
    if GCB_CR <= last <= GCB_CONTROL:  # GB3, GB4 (CR, LF, Control are 1, 2, 3)
        starts = not (last == GCB_CR and this == GCB_LF)
    elif GCB_CR <= this <= GCB_CONTROL:  # GB5
        starts = True
    elif this in (GCB_EXTEND, GCB_ZWJ, GCB_SPACING) or last == GCB_PREPEND:
        starts = False  # GB9, GB9a, GB9b
    elif last == GCB_L:  # GB6
        starts = this not in (GCB_L, GCB_V, GCB_LV, GCB_LVT)
    elif last in (GCB_LV, GCB_V):  # GB7
        starts = this not in (GCB_V, GCB_T)
    elif last in (GCB_LVT, GCB_T):  # GB8
        starts = this != GCB_T
    elif (
        (conjunct == INCB_CONSONANT and state & LINKED)  # GB9c
        or (info & PICTOGRAPHIC and state & PICTURE_JOINED)  # GB11
        or (this == GCB_REGIONAL and state & ODD_REGIONAL)  # GB12, GB13
    ):
        starts = False

    after = this
    if this == GCB_REGIONAL and not state & ODD_REGIONAL:
        after |= ODD_REGIONAL
    if info & PICTOGRAPHIC or (state & PICTURE and this == GCB_EXTEND):
        after |= PICTURE
    elif state & PICTURE and this == GCB_ZWJ:
        after |= PICTURE_JOINED
    if conjunct == INCB_LINKER or (conjunct == INCB_EXTEND and state & LINKED):
        after |= LINKED
    return starts, after


def cluster_starts(text: pa.LargeStringArray) -> list[NDArray[np.int64]]:
    """Return for each document the byte offsets, from its start, at which its clusters begin."""
    offsets, data = buffers(text)
    found = []
    for start, end in pairwise(offsets.tolist()):
        starts = np.empty(end - start, np.int64)
        found.append(starts[: _find_starts(data, start, end, TABLES, starts)])
    return found


@kernel
def _find_starts(
    data: NDArray[np.uint8],
    start: Integer,
    end: Integer,
    tables: Tables,
    starts: NDArray[np.int64],
) -> Integer:
    found = 0
    state = CLUSTER_START
    position = start
    while position < end:
        code_point, width = decode(data, position)
        is_start, state = cluster_step(state, flags_of(tables, code_point))
        if is_start:
            starts[found] = position - start
            found += 1
        position += width
    return found
