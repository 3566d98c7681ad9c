"""Put sorted counts of units together: sort, merge many, choose the most frequent.

Units are sorted by their bytes (which is by code points). Merging reads parts side by side, range
by range of the alphabet, so that memory holds some record batches of each part and no part whole.

Promises: what comes out depends on the units and counts alone, not on how they lay in parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.jit import kernel
from pipelines.tokens import HASH_START
from pipelines.unicode import buffers

from .segments import hash_bytes

UNITS = pa.schema(
    [
        pa.field("unit", pa.large_string(), nullable=False),
        pa.field("count", pa.int64(), nullable=False),
    ]
)
BATCH_ROWS = 1 << 13
RANGE_ROWS = 1 << 20  # merged at a time, and up to a batch more of each part


@kernel
def _hash_units(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    rows: NDArray[np.int64],
    hashes: NDArray[np.uint64],
) -> None:
    for index in range(rows.shape[0]):
        row = rows[index]
        hashes[index] = hash_bytes(data, offsets[row], offsets[row + 1], HASH_START)


def sorted_distinct(table: pa.Table) -> pa.Table:
    """Return units (UNITS) sorted by their bytes, each once, its counts added up."""
    table = table.combine_chunks()
    if table.num_rows == 0:
        return table
    # Stable merging: half as dear where the rows are sorted runs, and a fifth of a hash table.
    order = pc.sort_indices(table["unit"])
    units = table["unit"].chunk(0).take(order)
    counts = table["count"].to_numpy()[order.to_numpy()]
    differs = np.ones(len(units), np.bool_)
    differs[1:] = pc.not_equal(units[1:], units[:-1]).to_numpy(zero_copy_only=False)
    if not differs.all():
        units = units.filter(pa.array(differs))
        counts = np.add.reduceat(counts, np.flatnonzero(differs))
    return pa.Table.from_arrays([units, pa.array(counts)], schema=UNITS)


class Part:
    """Sorted units in record batches, read from the first to the last."""

    def __init__(self, num_batches: int, get_batch: Callable[[int], pa.RecordBatch]) -> None:
        """Take the number of batches, and what returns one of them."""
        self._num_batches, self._get = num_batches, get_batch
        self._batch = self._row = 0

    def borders(self) -> Iterator[tuple[str, int]]:
        """Yield the first unit of each batch, and its number of rows."""
        for number in range(self._num_batches):
            batch = self._get(number)
            if batch.num_rows:
                yield batch.column(0)[0].as_py(), batch.num_rows

    def until(self, border: str | None) -> Iterator[pa.RecordBatch]:
        """Yield the rows that were not yet read and come before `border`; all for None."""
        while self._batch < self._num_batches:
            batch = self._get(self._batch)
            end = batch.num_rows if border is None else _first_from(batch.column(0), border)
            if end > self._row:
                yield batch.slice(self._row, end - self._row)
                self._row = end
            if end < batch.num_rows:
                return
            self._batch, self._row = self._batch + 1, 0


def _first_from(units: pa.LargeStringArray, border: str) -> int:
    """Return the first row whose unit is not below `border`."""
    low, high = 0, len(units)
    while low < high:
        middle = (low + high) // 2
        if units[middle].as_py() < border:
            low = middle + 1
        else:
            high = middle
    return low


def merged(parts: Sequence[Part], *, range_rows: int = RANGE_ROWS) -> Iterator[pa.Table]:
    """Yield the units of all parts in their order, each once, in tables of some `range_rows`."""
    first_units = sorted(border for part in parts for border in part.borders())
    borders: list[str | None] = []
    waiting = 0
    for unit, num_rows in first_units:
        if waiting >= range_rows and (not borders or borders[-1] != unit):
            borders.append(unit)
            waiting = 0
        waiting += num_rows
    for border in [*borders, None]:
        batches = [batch for part in parts for batch in part.until(border)]
        if batches:
            yield sorted_distinct(pa.Table.from_batches(batches, schema=UNITS))


def most_frequent(tables: Iterator[pa.Table], max_units: int) -> tuple[pa.Table, int, int]:
    """Return (the most frequent units, how many there were, the sum of all counts).

    Takes sorted tables, each unit in one of them; of equally frequent units those with the
    smallest hashes stay. The result is sorted by count, the highest first, then by bytes.
    """
    kept: list[pa.Table] = []
    num_kept = num_units = mass = 0
    for table in tables:
        num_units += table.num_rows
        mass += int(table["count"].to_numpy().sum())
        kept.append(table)
        num_kept += table.num_rows
        if num_kept > max_units + 2 * RANGE_ROWS:
            kept = [_pruned(pa.concat_tables(kept), max_units)]
            num_kept = kept[0].num_rows
    if not kept:
        return UNITS.empty_table(), 0, 0
    table = _pruned(pa.concat_tables(kept), max_units)
    order = np.argsort(-table["count"].to_numpy(), kind="stable")
    return table.take(pa.array(order)).combine_chunks(), num_units, mass


def _pruned(table: pa.Table, max_units: int) -> pa.Table:
    """Return the `max_units` most frequent rows in the same order."""
    table = table.combine_chunks()
    if table.num_rows <= max_units:
        return table
    counts = table["count"].to_numpy()
    least = np.partition(counts, len(counts) - max_units)[len(counts) - max_units]
    keep = counts > least
    ties = np.flatnonzero(counts == least)
    hashes = np.empty(len(ties), np.uint64)
    offsets, data = buffers(table["unit"].chunk(0))
    _hash_units(data, offsets, ties, hashes)
    room = max_units - int(keep.sum())
    keep[ties[np.argsort(hashes, kind="stable")[:room]]] = True
    return table.filter(pa.array(keep)).combine_chunks()
