"""Unicode properties of code points, for kernels that walk over UTF-8 bytes.

`TABLES` is a named tuple of arrays that kernels take as an argument (numba would freeze a global
into the compiled code); `flags_of(tables, code_point)` gives the flags laid out in
`pipelines.bits`. Inside a kernel:

    code_point, width = decode(data, position)
    info = flags_of(tables, code_point)
    if info & LETTER:
        letters[script_of(info)] += 1

Promises: no index goes out of bounds, whatever the bytes; a malformed sequence reads as U+FFFD or
as some unassigned code point, and every step advances. The Unicode version is that of the `regex`
module that wrote `unicode.npz`, not Python's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from . import scripts
from .bits import BLOCK_BITS, FOLDS, SCRIPT_MASK, SCRIPT_SHIFT
from .jit import kernel

BLOCK_MASK = (1 << BLOCK_BITS) - 1
Integer = Any  # an integer of a kernel: numba's int64, Python's int when run without numba


class Tables(NamedTuple):
    """Two-stage tables over code points 0 to 0x1FFFFF."""

    info_index: NDArray[np.uint16]
    info: NDArray[np.int64]
    fold_index: NDArray[np.uint16]
    fold: NDArray[np.int32]


with np.load(Path(__file__).with_name("unicode.npz")) as _archive:
    SCRIPTS: tuple[str, ...] = tuple(_archive["scripts"].tolist())
    """ISO 15924 codes in the order of the script numbers."""
    SOURCE: str = _archive["source"].item()
    """The version of the `regex` module that the tables come from."""
    TABLES = Tables(*(_archive[name] for name in Tables._fields))

SCRIPT_NUMBERS = {name: number for number, name in enumerate(SCRIPTS)}
NUM_SCRIPTS = len(SCRIPTS)
COMMON, INHERITED, UNKNOWN = range(3)  # Zyyy, Zinh, Zzzz: in no script of their own
FIRST_SCRIPT = 3
LATIN = SCRIPT_NUMBERS["Latn"]

# Knowledge about scripts as arrays by script number, for the kernels.
IS_UNSPACED: NDArray[np.bool_] = np.array([name in scripts.UNSPACED for name in SCRIPTS])
HAS_TERMINALS: NDArray[np.bool_] = np.array([name not in scripts.NO_TERMINALS for name in SCRIPTS])
DENSITY: NDArray[np.float32] = np.array(
    [scripts.DENSITY.get(name, scripts.DEFAULT_DENSITY) for name in SCRIPTS], np.float32
)
# Graphemes per word where words have no spaces, 1 (a token is a word) elsewhere.
TOKENS_PER_WORD: NDArray[np.int64] = np.array(
    [
        scripts.GRAPHEMES_PER_WORD.get(name, scripts.DEFAULT_GRAPHEMES_PER_WORD)
        if name in scripts.UNSPACED
        else 1
        for name in SCRIPTS
    ]
)


def buffers(text: pa.LargeStringArray) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Return (offsets, data) of a large_string array without copying: shapes (n + 1,) and (bytes,).

    Document `i` is `data[offsets[i]:offsets[i + 1]]`. A slice keeps its parent's data and has
    offsets into it. Raises TypeError for another type and ValueError for nulls.
    """
    if not isinstance(text, pa.LargeStringArray):
        raise TypeError(f"expected a large_string array, not {getattr(text, 'type', type(text))}")
    if text.null_count:
        raise ValueError("expected documents, found nulls")
    if len(text) == 0:
        return np.zeros(1, np.int64), np.zeros(0, np.uint8)
    _, offsets, data = text.buffers()
    first = text.offset
    return (
        np.frombuffer(offsets, np.int64)[first : first + len(text) + 1],
        np.frombuffer(data, np.uint8) if data is not None else np.zeros(0, np.uint8),
    )


def flags(code_point: int) -> int:
    """Return the flags of a code point, outside a kernel."""
    return int(flags_of(TABLES, code_point))


@kernel
def flags_of(tables: Tables, code_point: Integer) -> Integer:
    """Return the flags of a code point, `pipelines.bits`."""
    block = np.int64(tables.info_index[code_point >> BLOCK_BITS])
    return tables.info[(block << BLOCK_BITS) | (code_point & BLOCK_MASK)]


@kernel
def script_of(info: Integer) -> Integer:
    """Return the script number in the flags of a code point."""
    return (info >> SCRIPT_SHIFT) & SCRIPT_MASK


@kernel
def fold_case(tables: Tables, code_point: Integer, info: Integer) -> Integer:
    """Return the code point with its case folded (simple folding: one code point for one)."""
    if info & FOLDS:
        block = np.int64(tables.fold_index[code_point >> BLOCK_BITS])
        return code_point + tables.fold[(block << BLOCK_BITS) | (code_point & BLOCK_MASK)]
    return code_point


@kernel
def decode(data: NDArray[np.uint8], position: Integer) -> tuple[Integer, Integer]:
    """Return (code point, bytes it takes) of the UTF-8 sequence that starts at `position`."""
    lead = np.int64(data[position])
    if lead < 0x80:
        return lead, 1
    left = data.shape[0] - position
    if lead < 0xE0:
        if lead >= 0xC0 and left >= 2:
            return ((lead & 0x1F) << 6) | (np.int64(data[position + 1]) & 0x3F), 2
    elif lead < 0xF0:
        if left >= 3:
            high = ((lead & 0x0F) << 12) | ((np.int64(data[position + 1]) & 0x3F) << 6)
            return high | (np.int64(data[position + 2]) & 0x3F), 3
    elif left >= 4:
        high = ((lead & 0x07) << 18) | ((np.int64(data[position + 1]) & 0x3F) << 12)
        middle = (np.int64(data[position + 2]) & 0x3F) << 6
        return high | middle | (np.int64(data[position + 3]) & 0x3F), 4
    return 0xFFFD, 1
