"""The cheap stages after measuring, each a function of one work unit that commits itself.

judge    a measured shard     -> which rules each document fails; the keys of those that pass
join     a partition of keys  -> edges between documents with an equal key
publish  rows of one label    -> a shard of kept, or of removed documents
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from . import dedupe, judge, progress, records, store
from .config import CorpusSettings
from .units import MEASURED, ROWS_A_BATCH, configured

BATCH_ROWS = 1_000  # of a published shard
BATCH_BYTES = 8 << 20
EXAMPLES = 3  # removed documents shown for each reason
EXAMPLE_CHARS = 400
THRESHOLDS = "thresholds.json"

REASONS: tuple[str, ...] = (*judge.REASONS, *dedupe.REASONS)
"""All reasons a document can be removed for; artefacts hold indexes into it."""


def is_listed(folder: store.Folder, name: str) -> bool:
    """Tell whether the journal has an entry of that name."""
    return folder.exists(f"{name}.json")


def is_done(folder: store.Folder, name: str) -> dict[str, Any] | None:
    """Return a unit's journal entry if it is there and its files are intact."""
    if not is_listed(folder, name):
        return None
    entry: dict[str, Any] = folder.read_json(f"{name}.json")
    files = [store.Written(**written) for written in entry["files"]]
    return entry if all(folder.check(written) is None for written in files) else None


def read_measured(work: str, shard: str) -> Iterator[pa.RecordBatch]:
    """Yield a measured shard's record batches, memory-mapped where the storage is local."""
    folder = store.Folder(work) / MEASURED
    with folder.open_arrow(f"{shard}.arrow") as file:
        reader = pa.ipc.open_file(file)
        for index in range(reader.num_record_batches):
            yield reader.get_batch(index)


@lru_cache(maxsize=4)
def _thresholds(folder: str) -> judge.Thresholds:
    return judge.thresholds_from_json(store.Folder(folder).read_json(THRESHOLDS))


def settings_of(context: Mapping[str, Any]) -> CorpusSettings:
    """Return the settings a worker was sent."""
    return configured(store.canonical_json(context["config"])).corpus


def judge_shard(unit: Mapping[str, Any], context: Mapping[str, Any]) -> None:
    """Judge the documents of a measured shard, and spill the keys of those that pass."""
    folder = store.Folder(context["judged"])
    if is_done(folder, unit["name"]):
        return
    settings = settings_of(context)
    labels = list(unit["labels"])
    limits = judge.limits_of(_thresholds(context["judged"]), labels)
    rows_of = [unit["labels"][label][2] for label in labels]
    label_rows = np.repeat(np.arange(len(labels)), rows_of)
    failed, keys = [], []
    row = 0
    for batch in read_measured(context["work"], unit["name"]):
        mask = judge.failed_rules(batch, label_rows[row : row + batch.num_rows], limits)
        failed.append(mask)
        keys.append(
            dedupe.keys_of(
                batch,
                mask == 0,
                first_document=unit["first_document"] + row,
                settings=settings.dedupe,
            )
        )
        row += batch.num_rows
    num = context["num_partitions"]
    ordered, bounds = dedupe.partitioned(np.concatenate(keys), num)
    progress.reporter(context.get("progress"))(row, row, finished=True)
    files = [
        folder.write_bytes(f"{unit['name']}.failed", np.concatenate(failed).tobytes()),
        folder.write_bytes(f"{unit['name']}.keys", ordered.tobytes()),
    ]
    folder.write_json(
        f"{unit['name']}.json",
        {"files": [asdict(written) for written in files], "bounds": bounds.tolist()},
    )


def failed_of(judged: str, shard: str) -> npt.NDArray[np.uint64]:
    """Return the failed rules of a shard's documents, as `judge_shard` left them."""
    return np.frombuffer(store.Folder(judged).read_bytes(f"{shard}.failed"), np.uint64)


def read_verdicts(verdicts: store.Folder, shard: str) -> pa.Table:
    """Return the verdicts on a measured shard's documents, in the order of its rows.

    Columns: `reason` (index into REASONS, -1 kept), `num_copies`, `failed` (bits of judge.RULES),
    `kept` (the id of the copy that was kept instead, else null).
    """
    with verdicts.open_arrow(f"{shard}.arrow") as file:
        return pa.ipc.open_file(file).read_all()


def join_partition(unit: Mapping[str, Any], context: Mapping[str, Any]) -> None:
    """Join one partition of the keys of all shards."""
    folder = store.Folder(context["joined"])
    if is_done(folder, unit["name"]):
        return
    judged = store.Folder(context["judged"])
    slices = (
        judged.read_range(f"{shard}.keys", offset=offset, num_bytes=num_bytes)
        for shard, offset, num_bytes in unit["slices"]
    )
    edges = dedupe.join(slices)
    written = folder.write_bytes(f"{unit['name']}.edges", edges.tobytes())
    folder.write_json(f"{unit['name']}.json", {"files": [asdict(written)]})
    progress.reporter(context.get("progress"))(0, unit["num_bytes"], finished=True)


def publish_parts(unit: Mapping[str, Any], context: Mapping[str, Any]) -> None:
    """Write shards of the corpus, or of what was removed, from rows of measured shards."""
    journal = store.Folder(context["published"])
    target = store.Folder(context["out"])
    done = journal.read_json(f"{unit['name']}.json") if is_listed(journal, unit["name"]) else None
    if done and all(target.check(store.Written(**part["file"])) is None for part in done["parts"]):
        return
    inputs = _Inputs(context["work"], context["verdicts"])
    entries = []
    report = progress.reporter(context.get("progress"))
    num_documents = num_bytes = 0
    for description in unit["parts"]:
        part = _Part(description, context, inputs)
        committed: list[store.Written] = []
        with target.writing(description["name"], committed=committed) as file:
            with pa.ipc.new_stream(file, part.schema) as writer:
                for batch in part.batches():
                    writer.write_batch(batch)
        entries.append(
            {
                "file": {**asdict(committed[0]), "num_rows": part.num_rows},
                "text_bytes": part.text_bytes,
                "counts": part.counts,
                "examples": part.examples,
            }
        )
        num_documents += part.num_rows
        num_bytes += part.text_bytes
        report(num_documents, num_bytes)
    report(num_documents, num_bytes, finished=True)
    journal.write_json(f"{unit['name']}.json", {"parts": entries})


class _Inputs:
    """The measured shards and verdicts that a unit reads, each opened once.

    A label's rows lie in many shards and a shard has many labels' rows: with 500 labels, opening
    them anew for each took a quarter of the stage.
    """

    def __init__(self, work: str, verdicts: str) -> None:
        self._measured = store.Folder(work) / MEASURED
        self._verdicts = store.Folder(verdicts)
        self._open: dict[str, tuple[pa.ipc.RecordBatchFileReader, pa.Table]] = {}

    def rows(
        self, shard: str, first_batch: int, label_start: int, start: int, end: int
    ) -> pa.Table:
        """Return rows of one label of a measured shard, with the columns of their verdicts.

        Args:
            shard: the shard's name.
            first_batch: the first record batch of the label.
            label_start: the shard's row that this batch starts at.
            start: the first row wanted.
            end: the row after the last one.
        """
        if shard not in self._open:
            reader = pa.ipc.open_file(self._measured.open_arrow(f"{shard}.arrow"))
            self._open[shard] = reader, read_verdicts(self._verdicts, shard)
        reader, verdicts = self._open[shard]
        first = (start - label_start) // ROWS_A_BATCH
        last = (end - 1 - label_start) // ROWS_A_BATCH
        batches = [reader.get_batch(first_batch + i) for i in range(first, last + 1)]
        skip = start - label_start - first * ROWS_A_BATCH
        table = pa.Table.from_batches(batches).slice(skip, end - start)
        verdict = verdicts.slice(start, end - start)
        for name in verdict.column_names:
            table = table.append_column(name, verdict.column(name))
        return table


class _Part:
    """The documents of one published shard, in the order of the input."""

    def __init__(
        self, unit: Mapping[str, Any], context: Mapping[str, Any], inputs: _Inputs
    ) -> None:
        self._unit, self._context, self._inputs = unit, context, inputs
        self._removed = unit["kind"] == "removed"
        self.schema = records.REMOVED if self._removed else records.CORPUS
        self.num_rows = self.text_bytes = 0
        self.counts: dict[str, dict[str, list[int]]] = {}  # corpus -> reason -> documents, bytes
        self.examples: dict[str, list[dict[str, Any]]] = {}
        self._licenses = pa.array(context["licenses"], pa.string())

    def _tables(self) -> Iterator[pa.Table]:
        """Yield the chosen rows of each measured shard that has some."""
        for place in self._unit["ranges"]:
            table = self._inputs.rows(*place)
            removed = table.column("reason").to_numpy() >= 0
            rows = np.flatnonzero(removed if self._removed else ~removed)
            if len(rows):
                yield table.take(pa.array(rows))

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield batches whose borders depend on the documents alone."""
        waiting: list[pa.Table] = []
        for table in self._tables():
            waiting.append(self._typed(table))
            joined = pa.concat_tables(waiting).combine_chunks()
            cuts = _cuts(pc.binary_length(joined.column("text")).to_numpy())
            # The last batch may go on in the next table.
            for start, end in zip([0, *cuts[:-2]], cuts[:-1], strict=True) if cuts[1:] else ():
                yield from joined.slice(start, end - start).to_batches()
            waiting = [joined.slice(cuts[-2] if cuts[1:] else 0)]
        for table in waiting:
            yield from table.combine_chunks().to_batches()

    def _typed(self, table: pa.Table) -> pa.Table:
        label = self._unit["label"]
        sizes = pc.binary_length(table.column("text")).to_numpy()
        self.num_rows += table.num_rows
        self.text_bytes += int(sizes.sum())
        corpora = table.column("corpus").cast(pa.string())
        reasons = table.column("reason").to_numpy()
        self._count(corpora.to_pylist(), reasons, sizes)
        columns: dict[str, pa.Array | pa.ChunkedArray] = {
            name: table.column(name)
            for name in self.schema.names
            if name not in ("reason", "detail")
        }
        zeros = pa.array(np.zeros(table.num_rows, np.int32))
        columns["label"] = pa.DictionaryArray.from_arrays(zeros, pa.array([label]))
        names = pa.array(self._context["corpora"], pa.string())
        columns["corpus"] = pa.DictionaryArray.from_arrays(
            pc.index_in(corpora, names).combine_chunks(), names
        )
        licenses = pc.index_in(table.column("license").cast(pa.string()), self._licenses)
        columns["license"] = pa.DictionaryArray.from_arrays(
            licenses.combine_chunks(), self._licenses
        )
        if self._removed:
            details = self._details(table, reasons)
            columns["reason"] = pa.DictionaryArray.from_arrays(
                pa.array(reasons.astype(np.int32)), pa.array(REASONS)
            )
            columns["detail"] = pa.array(details, pa.string())
            self._show(table, reasons, details)
        arrays = [columns[field.name] for field in self.schema]
        return pa.Table.from_arrays(arrays, schema=self.schema)

    def _count(
        self, corpora: list[str], reasons: npt.NDArray[np.int16], sizes: npt.NDArray[np.int64]
    ) -> None:
        names = np.array(corpora)
        for corpus in sorted(set(corpora)):
            rows = names == corpus
            own = self.counts.setdefault(corpus, {})
            for reason in np.unique(reasons[rows]).tolist():
                chosen = rows & (reasons == reason)
                count = own.setdefault(REASONS[reason] if reason >= 0 else "kept", [0, 0])
                count[0] += int(chosen.sum())
                count[1] += int(sizes[chosen].sum())

    def _details(self, table: pa.Table, reasons: npt.NDArray[np.int16]) -> list[str]:
        """Say why each document was removed: all failed rules, or the copy that is kept."""
        labels = [self._unit["label"]] * table.num_rows
        thresholds = _thresholds(self._context["judged"])
        failed = table.column("failed").to_numpy()
        details = judge.describe_failures(table, failed, labels, thresholds)
        kept = table.column("kept").to_pylist()
        duplicate = reasons >= len(judge.REASONS)
        return [
            f"kept {kept[row]}" if duplicate[row] else detail for row, detail in enumerate(details)
        ]

    def _show(self, table: pa.Table, reasons: npt.NDArray[np.int16], details: list[str]) -> None:
        for reason in np.unique(reasons).tolist():
            shown = self.examples.setdefault(REASONS[reason], [])
            for row in np.flatnonzero(reasons == reason)[: EXAMPLES - len(shown)].tolist():
                text = table.column("text")[row].as_py()
                shown.append(
                    {
                        "id": table.column("id")[row].as_py(),
                        "origin": table.column("origin")[row].as_py(),
                        "text": text[:EXAMPLE_CHARS],
                        "num_chars": len(text),
                        "detail": details[row],
                    }
                )


def _cuts(sizes: npt.NDArray[np.int64]) -> list[int]:
    """Return where batches end: at BATCH_ROWS rows or past BATCH_BYTES of text."""
    ends = np.cumsum(sizes)
    cuts: list[int] = []
    start = 0
    while start < len(sizes):
        before = ends[start - 1] if start else 0
        full = int(np.searchsorted(ends, before + BATCH_BYTES)) + 1
        start = min(full, start + BATCH_ROWS, len(sizes))
        cuts.append(start)
    return cuts
