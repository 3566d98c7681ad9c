"""Gather documents, one by one, into record batches of bounded size.

The formats whose records come singly (everything but Parquet, Arrow and Hugging Face datasets)
yield `Document`s; this makes RAW batches of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

from ..records import RAW
from .base import BATCH_BYTES, BATCH_DOCUMENTS
from .streams import Damaged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..config import Corpus


class Document(NamedTuple):
    """One document as a source gives it; the fields of RAW, and its size for batching."""

    origin: str
    num_bytes: int
    text: str | None = None
    html: bytes | None = None
    charset: str | None = None
    url: str | None = None
    declared: str | None = None
    license: str | None = None


def max_record_bytes(corpus: Corpus) -> int:
    """Return the size above which a record of this corpus is quarantined."""
    return int(corpus.max_record_mb * (1 << 20))


def gather(documents: Iterable[Document], corpus: Corpus) -> Iterator[pa.RecordBatch]:
    """Yield the documents as RAW batches.

    Raises:
        Damaged: as the documents do, but only after those before it were yielded.
    """
    held: list[Document] = []
    num_bytes = 0
    try:
        for document in documents:
            held.append(document)
            num_bytes += document.num_bytes
            if num_bytes >= BATCH_BYTES or len(held) >= BATCH_DOCUMENTS:
                yield _batch(held, corpus)
                held.clear()
                num_bytes = 0
    except Damaged:
        if held:
            yield _batch(held, corpus)
        raise
    if held:
        yield _batch(held, corpus)


def _batch(documents: list[Document], corpus: Corpus) -> pa.RecordBatch:
    origins, _, *columns, licenses = zip(*documents, strict=True)
    text, html, charset, url, declared = columns
    values = [
        text,
        html,
        charset,
        origins,
        url,
        declared,
        [license or corpus.license for license in licenses],
    ]
    arrays = [pa.array(column, type=field.type) for column, field in zip(values, RAW, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, schema=RAW)
