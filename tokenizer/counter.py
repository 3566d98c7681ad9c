"""Count the units of documents, and set aside the lines that are held out.

One kernel finds some thousand units (`tokenizer.segments`), another counts them in a hash table
with open addresses: a slot holds half of the hash and the unit's number, and the bytes are
compared. The table and the arena of bytes belong to numpy; the kernel stops where one is full, and
goes on with the same unit when Python has made room.

A line is held out if a hash of its bytes says so, whatever its label, document or place: copies of
a line are all counted or all held out. Of the held-out lines those with the smallest hashes are
kept, each once, so that the choice depends on the set of lines alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.jit import kernel
from pipelines.tokens import HASH_START
from pipelines.unicode import Integer, buffers

from .merging import UNITS, sorted_distinct
from .segments import MAX_CODE_POINTS, RULES, SPACE_SIGN, Rules, cut, hash_bytes, next_unit

HELD = pa.schema(
    [
        pa.field("hash", pa.uint64(), nullable=False),
        pa.field("text", pa.large_string(), nullable=False),
    ]
)
MAX_HELD_LINE_BYTES = 1 << 16  # a longer line is always counted: one of them would be all there is
BATCH_UNITS = 1 << 12  # found before they are counted
BATCH_LINES = 1 << 10  # held out before Python takes them
AHEAD = 64  # units whose memory is asked for at once: a third faster where they are many
NEWLINE = 0x0A
PREFIX = tuple(SPACE_SIGN.encode())
AFTER_SPACE = np.uint64(0x13198A2E03707344)  # the hash of a unit with "▁" starts here; digits of pi
LINE = np.uint64(0xA4093822299F31D0)  # ... of a line
TAG = np.uint64(0xFFFFFFFF00000000)  # of a slot: half of the hash; the rest is a unit's number + 1
NUMBER_PART = np.uint64(0xFFFFFFFF)
ALL_HASHES = (1 << 64) - 1
START, COUNT = range(2)

# The kernels' state between calls.
(
    DOCUMENT, POSITION, LINE_END, UNIT_END, SPACED, HELD_LINES, HELD_BYTES,
    FOUND_UNITS, FOUND_LINES, TALLIED, NUM_UNITS, STATE_SIZE,
) = range(12)  # fmt: skip


class Found(NamedTuple):
    """What one call finds: up to B units and L lines to hold out."""

    units_B3: NDArray[np.int64]
    """Start, end, and the bytes of "▁" before it: three or none."""
    hashes_B: NDArray[np.uint64]
    entries_B: NDArray[np.uint64]
    """Scratch."""
    lines_L2: NDArray[np.int64]
    """Start and end."""
    line_hashes_L: NDArray[np.uint64]


class Memory(NamedTuple):
    """The table: S slots (a power of two), room for N units and for A bytes of theirs."""

    slots_S: NDArray[np.uint64]
    units_N2: NDArray[np.int64]
    """START of each unit in the arena and its COUNT, side by side in the processor's cache; the
    start of the first that is not there ends the last one."""
    arena_A: NDArray[np.uint8]


@kernel
def _find(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    thresholds: NDArray[np.uint64],
    rules: Rules,
    found: Found,
    state: NDArray[np.int64],
) -> bool:
    """Find the units of the documents from `state` on; return whether there is more to find.

    `thresholds`: lines whose hash is below the first are held out, and recorded if it is not above
    the second.
    """
    document, position, line_end = state[DOCUMENT], state[POSITION], state[LINE_END]
    stop, spaced = state[UNIT_END], state[SPACED] != 0
    num_found = num_lines = 0
    is_full = False
    while document < offsets.shape[0] - 1 and not is_full:
        if position >= line_end:
            end = offsets[document + 1]
            while position < end and data[position] == NEWLINE:
                position += 1
            if position >= end:
                document += 1
                continue
            line_end = position
            while line_end < end and data[line_end] != NEWLINE:
                line_end += 1
            stop, spaced = position, True
            if thresholds[0] and line_end - position <= MAX_HELD_LINE_BYTES:
                value = hash_bytes(data, position, line_end, LINE)
                if value < thresholds[0]:
                    if value <= thresholds[1]:
                        if num_lines == found.line_hashes_L.shape[0]:
                            line_end = position  # the line is looked at again
                            is_full = True
                            break
                        found.lines_L2[num_lines, 0] = position
                        found.lines_L2[num_lines, 1] = line_end
                        found.line_hashes_L[num_lines] = value
                        num_lines += 1
                    state[HELD_LINES] += 1
                    state[HELD_BYTES] += line_end - position
                    position = line_end
                    continue
        while position < line_end:
            if position == stop:
                position, stop, space = next_unit(data, position, line_end, rules)
                spaced = spaced or space
            if num_found == found.hashes_B.shape[0]:
                is_full = True
                break
            part = stop
            if stop - position > MAX_CODE_POINTS:  # bytes: there may be as many code points
                part = cut(data, position, stop, rules.tables)
            if part > position:
                value = hash_bytes(data, position, part, AFTER_SPACE if spaced else HASH_START)
                found.hashes_B[num_found] = value
                found.units_B3[num_found, 0] = position
                found.units_B3[num_found, 1] = part
                found.units_B3[num_found, 2] = len(PREFIX) if spaced else 0
                num_found += 1
            position = part
            spaced = False
    state[DOCUMENT], state[POSITION], state[LINE_END] = document, position, line_end
    state[UNIT_END], state[SPACED] = stop, spaced
    state[FOUND_UNITS], state[FOUND_LINES], state[TALLIED] = num_found, num_lines, 0
    return is_full


@kernel
def _tally(data: NDArray[np.uint8], found: Found, memory: Memory, state: NDArray[np.int64]) -> bool:
    """Count the units that were found; return False where the memory is full."""
    slots, units, arena = memory.slots_S, memory.units_N2, memory.arena_A
    mask = np.uint64(slots.shape[0] - 1)
    num_units = state[NUM_UNITS]
    used = units[num_units, START]
    num_found = state[FOUND_UNITS]
    ahead = state[TALLIED]
    for index in range(state[TALLIED], num_found):
        if index == ahead:
            # Ask for the memory of several units at once, instead of waiting for each.
            ahead = min(index + AHEAD, num_found)
            for other in range(index, ahead):
                found.entries_B[other] = slots[found.hashes_B[other] & mask] & NUMBER_PART
            for other in range(index, ahead):
                if found.entries_B[other]:
                    asked = np.int64(found.entries_B[other]) - 1
                    found.entries_B[other] = np.uint64(arena[units[asked, START]])
        start, end, prefix = found.units_B3[index]
        length = end - start
        if used + length + prefix > arena.shape[0] or num_units + 2 > units.shape[0]:
            state[TALLIED], state[NUM_UNITS] = index, num_units
            return False
        tag = found.hashes_B[index] & TAG
        slot = found.hashes_B[index] & mask
        number: Integer = np.int64(-1)
        while number < 0:
            entry = slots[slot]
            if entry == np.uint64(0):
                slots[slot] = tag | np.uint64(num_units + 1)
                number = num_units
                for byte in range(prefix):
                    arena[used + byte] = PREFIX[byte]
                used += prefix
                for byte in range(start, end):
                    arena[used] = data[byte]
                    used += 1
                units[number, COUNT] = 0
                num_units += 1
                units[num_units, START] = used
            elif entry & TAG == tag:
                candidate: Integer = np.int64(entry & NUMBER_PART) - 1
                first = units[candidate, START]
                same = units[candidate + 1, START] - first == length + prefix
                if prefix and same:  # only "▁" can be it: no unit has white space inside
                    same = arena[first] == PREFIX[0] and arena[first + 1] == PREFIX[1]
                    same = same and arena[first + 2] == PREFIX[2]
                first += prefix - start
                at = start
                while same and at < end:
                    same = arena[first + at] == data[at]
                    at += 1
                if same:
                    number = candidate
            slot = (slot + np.uint64(1)) & mask
        units[number, COUNT] += 1
    state[TALLIED], state[NUM_UNITS] = num_found, num_units
    return True


@kernel
def _rehash(memory: Memory, num_units: Integer) -> None:
    """Fill the empty slots from the units."""
    mask = np.uint64(memory.slots_S.shape[0] - 1)
    for index in range(num_units):
        start, end = memory.units_N2[index, START], memory.units_N2[index + 1, START]
        spaced = end - start > len(PREFIX)
        for byte in range(len(PREFIX)):
            spaced = spaced and memory.arena_A[start + byte] == PREFIX[byte]
        seed = AFTER_SPACE if spaced else HASH_START
        value = hash_bytes(memory.arena_A, start + len(PREFIX) if spaced else start, end, seed)
        slot = value & mask
        while memory.slots_S[slot] != np.uint64(0):
            slot = (slot + np.uint64(1)) & mask
        memory.slots_S[slot] = (value & TAG) | np.uint64(index + 1)


class Counter:
    """Counts the units of documents; see the module.

    `held_out` is the share of the lines to hold out, 0 to 1; `held_out_bytes` how much of them is
    kept: the list ends with the line that reaches it. Memory: `num_bytes`, and as much again when
    the table grows or the units are sorted.
    """

    def __init__(self, *, held_out: float = 0.0, held_out_bytes: int = 0) -> None:
        self._held_out_bytes = held_out_bytes
        threshold = min(int(held_out * 2**64), ALL_HASHES)
        recorded = ALL_HASHES if held_out_bytes else 0
        self._thresholds = np.array([threshold, recorded], np.uint64)
        self._state = np.zeros(STATE_SIZE, np.int64)
        self._found = Found(
            np.empty((BATCH_UNITS, 3), np.int64),
            np.empty(BATCH_UNITS, np.uint64),
            np.empty(BATCH_UNITS, np.uint64),
            np.empty((BATCH_LINES, 2), np.int64),
            np.empty(BATCH_LINES, np.uint64),
        )
        self._held = HELD.empty_table()
        self._lines: list[bytes] = []
        self._hashes: list[int] = []
        self._memory = Memory(
            np.zeros(1 << 17, np.uint64),
            np.zeros((1 << 16, 2), np.int64),
            np.empty(1 << 20, np.uint8),
        )

    def add(self, text: pa.LargeStringArray) -> None:
        """Count the units of documents, valid UTF-8 without nulls; may be a slice."""
        offsets, data = buffers(text)
        state = self._state
        state[[DOCUMENT, POSITION, LINE_END, UNIT_END]] = 0, *[offsets[0]] * 3
        more = True
        while more:
            more = _find(data, offsets, self._thresholds, RULES, self._found, state)
            while not _tally(data, self._found, self._memory, state):
                self._grow()
            self._take_held(data)

    def _grow(self) -> None:
        """Make room for the next unit, and for as much again as there was."""
        slots, units, arena = self._memory
        start, end, prefix = self._found.units_B3[self._state[TALLIED]].tolist()
        needed = int(units[self.num_units, START]) + end - start + prefix
        if needed > len(arena):
            arena = _enlarged(arena, max(2 * len(arena), needed))
        if self.num_units + 2 > len(units):
            units = _enlarged(units, 2 * len(units))
            slots = np.zeros(2 * len(units), np.uint64)
        is_larger = slots is not self._memory.slots_S
        self._memory = Memory(slots, units, arena)
        if is_larger:
            _rehash(self._memory, self.num_units)

    def _take_held(self, data: NDArray[np.uint8]) -> None:
        """Take over the lines that were set aside."""
        num_lines = int(self._state[FOUND_LINES])
        borders = self._found.lines_L2[:num_lines].tolist()
        self._lines += [data[start:end].tobytes() for start, end in borders]
        self._hashes += self._found.line_hashes_L[:num_lines].tolist()
        if len(self._lines) >= BATCH_LINES:
            self._choose_lines()

    def _choose_lines(self) -> None:
        """Keep what must be kept of the lines that were held out, and raise the bar for others."""
        new = pa.table(
            [pa.array(self._hashes, pa.uint64()), pa.array(self._lines, pa.large_binary())],
            names=HELD.names,
        ).cast(HELD)
        self._held = smallest_lines([self._held, new], num_bytes=self._held_out_bytes)
        self._lines, self._hashes = [], []
        num_bytes = pc.sum(pc.binary_length(self._held["text"])).as_py() or 0
        if self._held.num_rows and num_bytes >= self._held_out_bytes:
            self._thresholds[1] = self._held["hash"][-1].as_py()

    @property
    def num_units(self) -> int:
        """How many different units there are."""
        return int(self._state[NUM_UNITS])

    @property
    def num_bytes(self) -> int:
        """How much memory the units take."""
        return sum(array.nbytes for array in self._memory)

    @property
    def held_lines(self) -> int:
        """How many lines were held out, kept or not, copies included."""
        return int(self._state[HELD_LINES])

    @property
    def held_bytes(self) -> int:
        """How many bytes those lines have."""
        return int(self._state[HELD_BYTES])

    def result(self) -> pa.Table:
        """Return the units and their counts, `merging.UNITS`, sorted by the units' bytes."""
        num_units = self.num_units
        starts = np.ascontiguousarray(self._memory.units_N2[: num_units + 1, START])
        arena = self._memory.arena_A[: starts[num_units]]
        units = pa.LargeStringArray.from_buffers(
            num_units, pa.py_buffer(starts), pa.py_buffer(arena)
        )
        counts = pa.array(np.ascontiguousarray(self._memory.units_N2[:num_units, COUNT]))
        return sorted_distinct(pa.Table.from_arrays([units, counts], schema=UNITS))

    def held(self) -> pa.Table:
        """Return the held-out lines that are kept, HELD, sorted by their hashes."""
        self._choose_lines()
        return self._held

    def clear(self) -> None:
        """Forget the units, and give their memory back."""
        fresh = Counter()
        self._memory = fresh._memory
        self._state[NUM_UNITS] = 0


def _enlarged(array: NDArray, size: int) -> NDArray:  # type: ignore[type-arg]
    larger = np.empty((size, *array.shape[1:]), array.dtype)
    larger[: len(array)] = array
    return larger


def smallest_lines(tables: list[pa.Table], *, num_bytes: int) -> pa.Table:
    """Return the lines with the smallest hashes, each once, sorted; HELD.

    Lines are taken while those before them have fewer than `num_bytes` bytes: what is left of a
    part is then always enough to choose from the whole.
    """
    table = pa.concat_tables(tables).sort_by([("hash", "ascending"), ("text", "ascending")])
    table = table.combine_chunks()
    if table.num_rows == 0:
        return table
    lines = table["text"].combine_chunks()
    hashes = table["hash"].to_numpy()
    new = np.ones(len(hashes), np.bool_)
    new[1:] = hashes[1:] != hashes[:-1]
    for row in np.flatnonzero(~new).tolist():
        new[row] = lines[row] != lines[row - 1]
    table = table.filter(pa.array(new))
    lengths = pc.binary_length(table["text"]).to_numpy()
    before = np.cumsum(lengths) - lengths
    return table.slice(0, int(np.searchsorted(before, num_bytes))).combine_chunks()
