"""HTML files: one page a file, its bytes as they are; `extract` decodes them and finds the text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .documents import Document, gather
from .text import whole

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from ..config import Corpus
    from .base import Split, Tally


def read(split: Split, corpus: Corpus, tally: Tally) -> Iterator[pa.RecordBatch]:
    """Yield the RAW batches of a split."""
    return gather(_page(split, corpus, tally), corpus)


def _page(split: Split, corpus: Corpus, tally: Tally) -> Iterator[Document]:
    html = whole(split, corpus, tally)
    yield Document(split.name, len(html), html=html)
