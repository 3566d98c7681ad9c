"""Encode a unit of work: some corpus shards, each to a token shard of the same name.

Runs in a worker, which keeps the vocabulary loaded from unit to unit. A unit commits itself: the
token shards first, then its journal entry, which lists them with what was counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines import progress, stages, store
from pipelines.errors import DataError

from . import encoder, tokens

BATCH_BYTES = 256 << 20  # of text in a record batch of tokens; a shard of the default size is one
THREADS = 2  # one encodes while the other waits for the disk: a tiny shard is mostly that
EXAMPLES = 3  # ids of quarantined documents kept of each shard

SUMS = ("documents", "tokens", "sentences", "bytes", "byte_tokens", "moved_ends")
LONGEST = ("longest_document", "longest_sentence")


def encode_unit(unit: Mapping[str, Any], context: Mapping[str, Any]) -> None:
    """Encode the shards of a unit, but for those that an earlier run left intact.

    Args:
        unit: `name`; `shards`, each with the `name`, `num_bytes`, `sha256` and `num_rows` of a
            corpus shard, the `key` of its tokens and what is `known` of them (a journal entry).
        context: URLs of `corpus`, `tokens`, `vocab` and `journal`; `model`, the vocabulary's file
            as its manifest lists it; `vocab_hash`.

    Raises:
        DataError: a corpus shard or the vocabulary is not what its manifest says.
    """
    journal = store.Folder(context["journal"])
    target = store.Folder(context["tokens"])
    report = progress.reporter(context.get("progress"))
    encoder.load(context["vocab"], store.Written(**context["model"]))

    def entry_of(shard: Mapping[str, Any]) -> dict[str, Any]:
        known: dict[str, Any] | None = shard["known"]
        if known is not None and target.check(store.Written(**known["file"])) is None:
            return known
        return _encode_shard(shard, context)

    entries = []
    num_documents = num_bytes = 0
    with ThreadPoolExecutor(THREADS) as pool:
        for shard, entry in zip(unit["shards"], pool.map(entry_of, unit["shards"]), strict=True):
            entries.append(entry)
            num_documents += shard["num_rows"]
            num_bytes += shard["num_bytes"]
            report(num_documents, num_bytes)
    listed = stages.is_listed(journal, unit["name"])
    if not listed or read_entries(journal, unit["name"]) != entries:
        journal.write_json(f"{unit['name']}.json", {"shards": entries})
    report(num_documents, num_bytes, finished=True)


def read_entries(journal: store.Folder, name: str) -> list[dict[str, Any]]:
    """Return the entries of a unit's shards, in their order."""
    entries: list[dict[str, Any]] = journal.read_json(f"{name}.json")["shards"]
    return entries


def _encode_shard(shard: Mapping[str, Any], context: Mapping[str, Any]) -> dict[str, Any]:
    """Encode one shard of the corpus; return its journal entry."""
    corpus = store.Folder(context["corpus"])
    name: str = shard["name"]
    problem = corpus.check(store.Written(name, shard["num_bytes"], shard["sha256"]))
    if problem:
        raise DataError(
            f"{corpus.path(name)}: {problem}.\n"
            "  It was changed since the corpus was built; run `koine corpus build` again."
        )
    model = encoder.load(context["vocab"], store.Written(**context["model"]))
    schema = tokens.schema(
        num_pieces=len(model.piece_bytes),
        label=name.partition("/")[0],
        vocab_hash=context["vocab_hash"],
    )
    tally = _Tally()
    waiting: list[_Part] = []
    waiting_bytes = 0
    committed: list[store.Written] = []
    with (
        corpus.open_arrow(name) as source,
        store.Folder(context["tokens"]).writing(name, committed=committed) as file,
        pa.ipc.new_stream(file, schema) as writer,
    ):
        for documents in pa.ipc.open_stream(source):
            batch = encoder.encode_batch(documents.column("text"), encoder=model)
            ids, num_bytes = tally.add(documents, batch)
            waiting.append((ids, batch))
            waiting_bytes += num_bytes
            if waiting_bytes >= BATCH_BYTES:
                writer.write_batch(_joined(waiting, schema))
                waiting, waiting_bytes = [], 0
        if any(len(ids) for ids, _ in waiting):
            writer.write_batch(_joined(waiting, schema))
    return {
        "key": shard["key"],
        "name": name,
        "file": {**asdict(committed[0]), "num_rows": tally.counts["documents"]},
        "counts": tally.counts,
        "quarantined": dict(sorted(tally.quarantined.items())),
        "examples": tally.examples,
    }


_Part = tuple[pa.Array, encoder.Batch]  # the ids of encoded documents, and what they became


class _Tally:
    """Adds up what became of the documents of a shard."""

    def __init__(self) -> None:
        self.counts = dict.fromkeys((*SUMS, *LONGEST), 0)
        self.quarantined: Counter[str] = Counter()
        self.examples: list[str] = []

    def add(self, documents: pa.RecordBatch, batch: encoder.Batch) -> tuple[pa.Array, int]:
        """Count a batch; return the ids of its encoded documents, and the bytes of their text."""
        ids = documents.column("id")
        sizes: NDArray[np.int64] = pc.binary_length(documents.column("text")).to_numpy()
        for row in np.flatnonzero(batch.outcomes != encoder.ENCODED).tolist():
            self.quarantined[encoder.REASONS[int(batch.outcomes[row])]] += 1
            if len(self.examples) < EXAMPLES:
                self.examples.append(ids[row].as_py())
        if len(batch.offsets) - 1 < len(ids):
            kept = batch.outcomes == encoder.ENCODED
            ids, sizes = ids.filter(pa.array(kept)), sizes[kept]
        num_bytes = int(sizes.sum())
        self.counts["bytes"] += num_bytes
        for key, value in batch.counts.items():
            own = self.counts[key]
            self.counts[key] = max(own, value) if key in LONGEST else own + value
        return ids, num_bytes


def _joined(waiting: list[_Part], schema: pa.Schema) -> pa.RecordBatch:
    """Return all that waits as one record batch."""
    batches = [batch for _, batch in waiting]
    columns = [
        pa.concat_arrays([ids for ids, _ in waiting]),
        _lists([(batch.tokens, batch.offsets) for batch in batches], schema.field(1).type),
        _lists([(batch.ends, batch.end_offsets) for batch in batches], schema.field(2).type),
    ]
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _lists(parts: list[tuple[NDArray[Any], NDArray[np.int32]]], kind: pa.ListType) -> pa.ListArray:
    """Return lists, given as values and offsets, one part after the other."""
    offsets = [np.zeros(1, np.int32)]
    for _, own in parts:
        offsets.append(own[1:] + offsets[-1][-1])
    values = np.concatenate([values for values, _ in parts])
    return pa.ListArray.from_arrays(pa.array(np.concatenate(offsets)), pa.array(values), type=kind)
