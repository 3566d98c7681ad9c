"""Arrow IPC, both the file and the stream format, told apart by their first bytes.

A local file is mapped into memory; each batch is fully validated before it is touched (of 200
random bit flips in an uncompressed file, 4 crashed a reader that did not). A batch that is corrupt
costs its own rows; a stream that breaks off loses its rest.
Origin: "<batch>.<row>", both from 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from .base import BATCH_DOCUMENTS
from .columns import CORRUPT, is_refusal, to_raw, wanted
from .streams import Damaged, random_access

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..config import Corpus
    from .base import Split, Tally

REASON = "corrupt_arrow"
FILE_MAGIC = b"ARROW1"


def part_sizes(source: pa.NativeFile, split: Split) -> list[int]:
    """Return about how many bytes each record batch has; a stream is one part.

    Raises:
        Damaged: the file's footer cannot be read.
    """
    if source.read(len(FILE_MAGIC)) != FILE_MAGIC:
        return [split.num_bytes]
    try:
        with pa.ipc.open_file(source) as reader:
            count = reader.num_record_batches
    except CORRUPT as error:
        if is_refusal(error):
            raise
        raise Damaged(REASON, str(error)) from error
    return [split.num_bytes // max(1, count)] * count


def read(split: Split, corpus: Corpus, tally: Tally) -> Iterator[pa.RecordBatch]:
    """Yield the RAW batches of a split.

    Raises:
        Damaged: the file cannot be opened, or its stream breaks off.
    """
    with random_access(split, corpus, mapped=True) as source:
        is_file = source.read(len(FILE_MAGIC)) == FILE_MAGIC
        source.seek(0)
        try:
            yield from (_file if is_file else _stream)(source, split, corpus, tally)
        except CORRUPT as error:
            if is_refusal(error):
                raise
            raise Damaged(REASON, str(error), num_bytes=split.num_bytes) from error
    tally.num_bytes += split.num_bytes


def _file(
    source: pa.NativeFile, split: Split, corpus: Corpus, tally: Tally
) -> Iterator[pa.RecordBatch]:
    with pa.ipc.open_file(source) as reader:
        num_batches = reader.num_record_batches
        columns = wanted(reader.schema.names, corpus)
        # Other columns are neither read nor checked.
        included = [reader.schema.get_field_index(name) for name in columns]
    options = pa.ipc.IpcReadOptions(included_fields=included)
    with pa.ipc.open_file(source, options=options) as reader:
        for number in range(split.start, num_batches if split.end < 0 else split.end):
            try:
                batch = reader.get_batch(number)
            except CORRUPT as error:
                if is_refusal(error):
                    raise
                # Its rows can't be told; the next batch has an address of its own.
                tally.quarantine(f"{split.name}#{number}", REASON, str(error))
                continue
            yield from _slices(batch, number, split, corpus, tally)


def _stream(
    source: pa.NativeFile, split: Split, corpus: Corpus, tally: Tally
) -> Iterator[pa.RecordBatch]:
    with pa.ipc.open_stream(source) as reader:
        for number, batch in enumerate(reader):
            yield from _slices(batch, number, split, corpus, tally)


def _slices(
    batch: pa.RecordBatch, number: int, split: Split, corpus: Corpus, tally: Tally
) -> Iterator[pa.RecordBatch]:
    for row in range(0, batch.num_rows, BATCH_DOCUMENTS):
        try:
            part = batch.slice(row, BATCH_DOCUMENTS)
            raws = list(
                to_raw(part, corpus, tally, name=split.name, first=row, prefix=f"{number}.")
            )
        except pa.ArrowException as error:
            count = min(BATCH_DOCUMENTS, batch.num_rows - row)
            origin = f"{split.name}#{number}.{row}"
            tally.quarantine(origin, REASON, str(error), count=count)
            continue
        yield from raws
