"""Read raw corpora of every format as record batches of one schema, `records.RAW`.

    splits = discover(corpus, base=folder_of_the_config)
    for split in splits:
        for batch in read(split, corpus, tally):
            ...

Promises: every record is in a batch, or counted in the tally as quarantined or skipped; no damage
of the data raises, and what lies before it is delivered; memory is bounded by a record's limit.
Does not promise: to go on after a failure of the machine (permissions, a dead disk or network),
which raises `EnvironmentProblem`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from .base import BATCH_BYTES, BATCH_DOCUMENTS, Quarantined, Split, Tally
from .discover import discover
from .streams import Damaged

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from ..config import Corpus

__all__ = ["BATCH_BYTES", "BATCH_DOCUMENTS", "Quarantined", "Split", "Tally", "discover", "read"]


def read(split: Split, corpus: Corpus, tally: Tally) -> Iterator[pa.RecordBatch]:
    """Yield RAW batches of at most BATCH_DOCUMENTS rows and about BATCH_BYTES of text.

    The tally is complete when the iterator is exhausted.

    Raises:
        DataError: the file has gone since it was discovered.
        EnvironmentProblem: the machine, the store or the hub refuses to read it.
    """
    # A reader is imported when it is needed: mediawiki and datasets are slow to load.
    module = importlib.import_module(
        f".{'warc' if split.format == 'wet' else split.format}", __name__
    )
    before = tally.num_bytes
    try:
        for batch in module.read(split, corpus, tally):
            tally.num_documents += batch.num_rows
            yield batch
    except Damaged as damage:
        num_bytes = damage.num_bytes or max(0, split.num_bytes - (tally.num_bytes - before))
        tally.quarantine(split.name, damage.reason, damage.detail, num_bytes=num_bytes)
