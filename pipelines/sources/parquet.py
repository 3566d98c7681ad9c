"""Parquet, by row groups; only the needed columns are read.

Promises: memory is bounded by the text of a few hundred rows however large a row group is; a row
group that cannot be decoded costs its own rows, and the next one is read.
Origin: the row's number in the file, from 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from .base import BATCH_BYTES, BATCH_DOCUMENTS
from .columns import CORRUPT, is_refusal, to_raw, wanted
from .streams import Damaged, random_access

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..config import Corpus
    from .base import Split, Tally

REASON = "corrupt_parquet"


def open_parquet(source: pa.NativeFile) -> pq.ParquetFile:
    """Return the Parquet file in `source`; column chunks are read by and by, not whole."""
    return pq.ParquetFile(source, buffer_size=1 << 20, page_checksum_verification=True)


def part_sizes(source: pa.NativeFile) -> list[int]:
    """Return the compressed bytes of each row group, for cutting the file.

    Raises:
        Damaged: the file's metadata cannot be read.
    """
    try:
        with open_parquet(source) as file:
            groups = [file.metadata.row_group(index) for index in range(file.num_row_groups)]
            return [
                sum(group.column(index).total_compressed_size for index in range(group.num_columns))
                for group in groups
            ]
    except CORRUPT as error:
        if is_refusal(error):
            raise
        raise Damaged(REASON, str(error)) from error


def read(split: Split, corpus: Corpus, tally: Tally) -> Iterator[pa.RecordBatch]:
    """Yield the RAW batches of a split.

    Raises:
        Damaged: no row group of the file can be found.
    """
    with random_access(split, corpus) as source:
        try:
            file = open_parquet(source)
        except CORRUPT as error:
            if is_refusal(error):
                raise
            raise Damaged(REASON, str(error), num_bytes=split.num_bytes) from error
        with file:
            sizes = [
                file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)
            ]
            groups = range(split.start, len(sizes) if split.end < 0 else split.end)
            for group in groups:
                first = sum(sizes[:group])
                yield from _row_group(file, group, split, corpus, tally, first=first)
    tally.num_bytes += split.num_bytes


def _row_group(
    file: pq.ParquetFile, group: int, split: Split, corpus: Corpus, tally: Tally, *, first: int
) -> Iterator[pa.RecordBatch]:
    num_rows = file.metadata.row_group(group).num_rows
    columns = wanted(file.schema_arrow.names, corpus)
    if corpus.fields.text not in columns:
        detail = f"no column {corpus.fields.text!r} in the {num_rows:,} rows of row group {group}"
        if num_rows:
            tally.quarantine(f"{split.name}#{first}", "missing_field", detail, count=num_rows)
        return
    batches = file.iter_batches(
        batch_size=_batch_rows(file, group, corpus),
        row_groups=[group],
        columns=columns,
        use_threads=False,
    )
    row = 0
    while row < num_rows:
        try:
            batch = next(batches, None)
            if batch is None:
                raise pa.ArrowInvalid("rows are missing")
            raws = list(to_raw(batch, corpus, tally, name=split.name, first=first + row))
        except CORRUPT as error:
            if is_refusal(error):
                raise
            detail = f"row group {group}: {error}"
            origin = f"{split.name}#{first + row}"
            tally.quarantine(origin, REASON, detail, count=num_rows - row)
            return
        row += batch.num_rows
        yield from raws


def _batch_rows(file: pq.ParquetFile, group: int, corpus: Corpus) -> int:
    """Return how many rows make about BATCH_BYTES of text."""
    metadata = file.metadata.row_group(group)
    for index in range(metadata.num_columns):
        column = metadata.column(index)
        if column.path_in_schema == corpus.fields.text:
            mean_bytes = column.total_uncompressed_size // max(1, metadata.num_rows)
            return int(min(BATCH_DOCUMENTS, max(1, BATCH_BYTES // max(1, mean_bytes))))
    return BATCH_DOCUMENTS
