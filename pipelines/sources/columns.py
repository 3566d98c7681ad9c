"""Turn a batch with columns of any kind into RAW batches, column-wise.

Shared by Parquet, Arrow and Hugging Face datasets. Nothing in a batch is trusted: one flipped bit
in an Arrow file can put an offset outside its buffer, which only a full validation notices.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..records import RAW
from .base import BATCH_BYTES, BATCH_DOCUMENTS
from .documents import max_record_bytes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..config import Corpus
    from .base import Tally

TEXT_TYPES = ("string", "large_string", "string_view", "binary", "large_binary", "binary_view")

# What pyarrow says to damaged data: ArrowException is its own, OSError comes from its codecs.
CORRUPT = (pa.ArrowException, OSError, UnicodeDecodeError)


def is_refusal(error: Exception) -> bool:
    """Return whether an error is the system's (it has a number), not a finding about the data."""
    return isinstance(error, OSError) and error.errno is not None


def wanted(names: list[str], corpus: Corpus) -> list[str]:
    """Return the columns of `names` that the corpus needs."""
    fields = corpus.fields
    needed = {fields.text, fields.url, fields.label, fields.license}
    return [name for name in names if name in needed]


def to_raw(
    batch: pa.RecordBatch, corpus: Corpus, tally: Tally, *, name: str, first: int, prefix: str = ""
) -> Iterator[pa.RecordBatch]:
    """Yield RAW batches of the rows of a batch; rows without readable text are quarantined.

    `first` is the number of the batch's first row, `prefix` stands before it in the origins.

    Raises:
        pa.ArrowInvalid: the batch's buffers are not what its schema says.
    """
    fields = corpus.fields
    num_rows = batch.num_rows
    if not num_rows:
        return
    all_rows = f"{name}#{prefix}{first}"
    if fields.text not in batch.schema.names:
        detail = f"no column {fields.text!r} in {num_rows:,} rows from here on"
        tally.quarantine(all_rows, "missing_field", detail, count=num_rows)
        return
    column = batch[fields.text]
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if str(kind) not in TEXT_TYPES:
        tally.quarantine(
            all_rows, "wrong_type", f"{fields.text!r} is a column of {kind}", count=num_rows
        )
        return
    # Everything that can find the batch corrupt comes before the first row is counted.
    text, not_utf8 = _strings(column)
    url, declared, license_ = (
        _optional(batch, field) for field in (fields.url, fields.label, fields.license)
    )
    missing = column.is_null().to_numpy(zero_copy_only=False)
    lengths = _lengths(text)
    too_large = lengths > max_record_bytes(corpus)

    def origin(row: int) -> str:
        return f"{name}#{prefix}{first + row}"

    if missing.any():
        count = int(missing.sum())
        tally.quarantine(
            origin(int(missing.argmax())),
            "missing_field",
            f"no value in {count:,} rows from here on",
            count=count,
        )
    for row, detail in not_utf8.items():
        tally.quarantine(origin(row), "invalid_utf8", detail)
    for row in np.flatnonzero(too_large).tolist():
        size = int(lengths[row])
        tally.quarantine(origin(row), "record_too_large", f"{size:,} bytes", num_bytes=size)
    numbers = pa.array(np.arange(first, first + num_rows)).cast(pa.string())
    raw = pa.RecordBatch.from_arrays(
        [
            text,
            pa.nulls(num_rows, pa.large_binary()),
            pa.nulls(num_rows, pa.string()),
            pc.binary_join_element_wise(f"{name}#{prefix}", numbers, ""),
            url,
            declared,
            pc.coalesce(license_, pa.scalar(corpus.license, pa.string())),
        ],
        schema=RAW,
    )
    good = ~(missing | too_large)
    good[list(not_utf8)] = False
    if not good.all():
        raw, lengths = raw.filter(pa.array(good)), lengths[good]
    yield from _cut(raw, lengths)


def _strings(column: pa.Array) -> tuple[pa.LargeStringArray, dict[int, str]]:
    """Return the column as valid strings, and why which rows are not UTF-8 (null there).

    Raises:
        pa.ArrowInvalid: its buffers are not what its type says.
    """
    if str(column.type) not in ("string", "large_string", "binary", "large_binary"):
        column.validate(full=True)
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
    # A string column may claim to be UTF-8 without being it; only a cast from binary looks.
    values = column.cast(pa.large_binary())
    values.validate(full=True)
    try:
        return values.cast(pa.large_string()), {}
    except pa.ArrowInvalid:
        rows = values.to_pylist()
    bad: dict[int, str] = {}
    for row, value in enumerate(rows):
        try:
            if value is not None:
                value.decode()
        except UnicodeDecodeError as error:
            bad[row] = str(error)
            rows[row] = None
    return pa.array(rows, pa.large_binary()).cast(pa.large_string()), bad


def _lengths(text: pa.LargeStringArray) -> np.ndarray:
    lengths = pc.fill_null(pc.binary_length(text), 0)
    return np.asarray(lengths)


def _optional(batch: pa.RecordBatch, name: str | None) -> pa.Array:
    """Return a column as strings, nulls where it is absent or cannot be one."""
    if name is None or name not in batch.schema.names:
        return pa.nulls(batch.num_rows, pa.string())
    column = batch[name]
    try:
        if str(column.type) not in TEXT_TYPES:
            column.validate(full=True)
            column = column.cast(pa.string())
        return _strings(column)[0].cast(pa.string())
    except (pa.ArrowNotImplementedError, pa.ArrowTypeError):
        return pa.nulls(batch.num_rows, pa.string())


def _cut(raw: pa.RecordBatch, lengths: np.ndarray) -> Iterator[pa.RecordBatch]:
    """Yield slices of at most BATCH_DOCUMENTS rows and about BATCH_BYTES of text."""
    totals = np.concatenate([[0], np.cumsum(lengths)])
    start = 0
    while start < raw.num_rows:
        end = int(np.searchsorted(totals, totals[start] + BATCH_BYTES, side="right")) - 1
        end = min(max(end, start + 1), start + BATCH_DOCUMENTS, raw.num_rows)
        yield raw.slice(start, end - start)
        start = end
