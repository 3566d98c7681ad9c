"""Cut the input into units of work, and measure one: read, extract, clean, identify, measure.

A unit is about 16 MB of one corpus's files, whole small files together or a part of a large one.
Its key is the hash of all that its result depends on, so a unit whose journal entry lists intact
shards is never measured again, whatever else changed in the configuration.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from . import judge, languages, progress, records, sources, store
from .config import Config, Corpus, CorpusSettings
from .errors import DataError
from .sources.base import BATCH_BYTES, BATCH_DOCUMENTS, Split, Tally

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

CODE_VERSION = 1
"""Raise it when a step changes what it measures: all units are measured again."""

# Once decompressed, by the usual ratio: a second of work, so that a corpus of a hundred megabytes
# keeps every core busy and a killed build loses little. A unit costs three small files; pipelines
# are started for several at a time.
UNIT_BYTES = 16 << 20
EXPANSION = {"gz": 4, "bz2": 5, "zst": 5, "parquet": 3}
SHARD_BYTES = 64 << 20  # of text; a unit that holds more writes several measured shards
ROWS_A_BATCH = 4096
MEASURED = "measured"


@dataclass(frozen=True, slots=True)
class Unit:
    """Splits of one corpus that one worker measures in one go."""

    corpus: str
    splits: tuple[Split, ...]
    key: str

    @property
    def name(self) -> str:
        """The stem of the unit's files."""
        return f"{self.corpus}-{self.key[:20]}"

    @property
    def num_bytes(self) -> int:
        """Bytes on disk that the unit reads."""
        return sum(split.num_bytes for split in self.splits)

    @property
    def weight(self) -> int:
        """Bytes it has, roughly, once decompressed."""
        return sum(map(_weight, self.splits))


def plan(config: Config, *, base: Path) -> list[Unit]:
    """Find the input of all corpora and cut it into units, in the order documents will have.

    Args:
        config: the configuration.
        base: the folder that relative paths start at.

    Raises:
        DataError: a pattern matches nothing.
    """
    units = []
    for corpus in config.corpora:
        shared = _shared_key(corpus, config.corpus)
        for splits in _grouped(sources.discover(corpus, base=base, split_bytes=UNIT_BYTES)):
            facts = [{**asdict(split), "url": None} for split in splits]
            key = store.fingerprint([shared, facts])
            units.append(Unit(corpus.name, tuple(splits), key))
    return units


def _shared_key(corpus: Corpus, settings: CorpusSettings) -> str:
    """Hash what every unit of a corpus depends on besides its files."""
    source = corpus.model_dump(mode="json", exclude={"files"})
    dedupe = settings.dedupe
    return store.fingerprint(
        {
            "code": CODE_VERSION,
            "schema": records.SCHEMA_VERSION,
            "corpus": source,
            "identify": settings.identify.model_dump(mode="json", exclude={"model"})
            | {"model": settings.identify.sha256 or settings.identify.model},
            "pii": settings.pii.model_dump(mode="json"),
            "minhash": [
                dedupe.bands,
                dedupe.rows,
                dedupe.shingle_words,
                dedupe.shingle_graphemes,
            ],
        }
    )


def _weight(split: Split) -> int:
    return split.num_bytes * EXPANSION.get(split.compression or split.format, 1)


def _grouped(splits: Iterable[Split]) -> Iterator[list[Split]]:
    """Put small files together; where a group ends depends on names, so that new files join late.

    One file in sixteen ends its group, by the hash of its name: a file added anywhere changes the
    groups up to the next such border only, and the others are not measured again.
    """
    group: list[Split] = []
    size = 0
    for split in splits:
        if group and size + _weight(split) > UNIT_BYTES:
            yield group
            group, size = [], 0
        group.append(split)
        size += _weight(split)
        if size > UNIT_BYTES // 8 and xxhash.xxh3_64_intdigest(split.name.encode()) % 16 == 0:
            yield group
            group, size = [], 0
    if group:
        yield group


def journal_entry(folder: store.Folder, unit: Unit) -> dict[str, Any] | None:
    """Return a unit's journal entry if it is there and lists shards of the right size."""
    name = f"{unit.name}.json"
    if not folder.exists(name):
        return None
    entry: dict[str, Any] = folder.read_json(name)
    return entry


def is_measured(folder: store.Folder, unit: Unit) -> bool:
    """Tell whether a unit is finished: its journal entry is there and all its shards are intact."""
    entry = journal_entry(folder, unit)
    if entry is None:
        return False
    files = [store.Written(**written) for written in entry["files"]]
    return all(folder.check(written) is None for written in files)


def measure_unit(description: Mapping[str, Any], context: Mapping[str, Any]) -> None:
    """Measure one unit and commit it to the journal; do nothing if it is there already.

    Raises:
        DataError: with `on_error: fail`, at the first record that cannot be read.
    """
    splits = tuple(Split(**split) for split in description["splits"])
    unit = Unit(description["corpus"], splits, description["key"])
    folder = store.Folder(context["work"]) / MEASURED
    report = progress.reporter(context.get("progress"))
    if is_measured(folder, unit):
        report(0, unit.num_bytes, finished=True)
        return
    config = configured(store.canonical_json(context["config"]))
    corpus = next(corpus for corpus in config.corpora if corpus.name == unit.corpus)
    tally = Tally()
    writer = _Writer(folder, unit.name, num_bands=config.corpus.dedupe.bands)
    for raw in _coalesced(sources.read(split, corpus, tally) for split in unit.splits):
        batch = measured_batch(raw, corpus, config.corpus, tally)
        _fail_if_asked(config.corpus, tally)
        if batch.num_rows:
            writer.add(batch)
        report(tally.num_documents, tally.num_bytes)
    _fail_if_asked(config.corpus, tally)
    writer.flush()
    report(tally.num_documents, tally.num_bytes, finished=True)
    folder.write_json(
        f"{unit.name}.json",
        {
            "corpus": unit.corpus,
            "key": unit.key,
            "files": [asdict(written) for written in writer.committed],
            "shards": writer.shards,
            "num_documents": tally.num_documents,
            "num_bytes": tally.num_bytes,
            "skipped": dict(tally.skipped),
            "quarantined": dict(tally.quarantined),
            "examples": [asdict(example) for example in tally.examples],
        },
    )


def _coalesced(readers: Iterable[Iterator[pa.RecordBatch]]) -> Iterator[pa.RecordBatch]:
    """Yield the batches of all splits, small ones together: a text file is a batch of one."""
    waiting: list[pa.RecordBatch] = []
    num_rows = num_bytes = 0
    for batch in itertools.chain.from_iterable(readers):
        if waiting and num_rows + batch.num_rows > BATCH_DOCUMENTS:
            yield pa.concat_batches(waiting)
            waiting, num_rows, num_bytes = [], 0, 0
        waiting.append(batch)
        num_rows += batch.num_rows
        num_bytes += batch.nbytes
        if num_bytes >= BATCH_BYTES:
            yield pa.concat_batches(waiting)
            waiting, num_rows, num_bytes = [], 0, 0
    if waiting:
        yield pa.concat_batches(waiting)


def _fail_if_asked(settings: CorpusSettings, tally: Tally) -> None:
    if tally.quarantined:
        fail_if_asked(settings, asdict(tally.examples[0]))


def fail_if_asked(settings: CorpusSettings, example: Mapping[str, Any]) -> None:
    """With `on_error: fail`, end the build at a quarantined record.

    Raises:
        DataError: naming the record.
    """
    if settings.on_error == "fail":
        raise DataError(
            f"{example['origin']}: {example['reason']}: {example['detail']}\n"
            "  Repair the file, or set `corpus.on_error: quarantine` to count such records and"
            " go on."
        )


@lru_cache(maxsize=2)
def configured(text: str) -> Config:
    """Return the configuration a worker was sent, parsed once a process."""
    return Config.model_validate_json(text)


@lru_cache(maxsize=1)
def _model(name: str, sha256: str | None) -> Any:  # noqa: ANN401
    from .identify import load_model

    return load_model(name, sha256=sha256)


def measured_batch(
    raw: pa.RecordBatch, corpus: Corpus, settings: CorpusSettings, tally: Tally
) -> pa.RecordBatch:
    """Take a batch through all steps: repair before judgement, every result kept.

    Returns:
        A batch of records.measured, its dictionary columns still plain strings.
    """
    from . import clean, extract, identify, pii, signatures
    from .measure import dominant_scripts, measure

    batch = extract.extract(raw, tally)
    source_text = batch.column("text")
    text, repairs = clean.clean(source_text)
    text, masked = pii.mask(
        text, emails=settings.pii.emails, ips=settings.pii.ips, phones=settings.pii.phones
    )
    profile = measure(text)
    declared = _declared(batch.column("declared"), corpus)
    label, score, evidence = identify.identify(
        text,
        declared,
        profile.letters_by_script,
        model=_model(settings.identify.model, settings.identify.sha256),
        policy=corpus.declared,
        document_bytes=settings.identify.document_bytes,
        num_lines=settings.identify.num_lines,
    )
    dedupe = settings.dedupe
    bands = signatures.signatures(
        text,
        scripts=dominant_scripts(profile.letters_by_script),
        bands=dedupe.bands,
        rows=dedupe.rows,
        shingle_words=dedupe.shingle_words,
        shingle_graphemes=dedupe.shingle_graphemes,
    )
    license_ = pc.fill_null(batch.column("license"), corpus.license)
    columns = {
        "id": _ids(source_text, batch.column("origin"), corpus.name),
        "text": text,
        "label": label.cast(pa.string()),
        "label_score": score,
        "corpus": pa.repeat(corpus.name, len(text)),
        "url": batch.column("url"),
        "license": license_,
        "origin": batch.column("origin"),
        "stats": profile.stats,
        "evidence": evidence,
        "repairs": pa.StructArray.from_arrays(
            [
                repairs.mojibake,
                repairs.controls,
                repairs.marks,
                *(pa.array(masked[:, kind], pa.int32()) for kind in range(3)),
            ],
            fields=list(records.REPAIRS),
        ),
        "text_hash": signatures.text_hashes(text),
        "url_hash": signatures.url_hashes(batch.column("url")),
        "bands": bands,
    }
    return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))


def _declared(column: pa.StringArray, corpus: Corpus) -> pa.StringArray:
    """Return each document's declared label in koine's form: the record's, else the corpus's."""
    encoded = column.dictionary_encode()
    known = [languages.parse_label(value) for value in encoded.dictionary.to_pylist()]
    parsed = pa.array(known, pa.string()).take(encoded.indices)
    return parsed if corpus.label is None else pc.fill_null(parsed, corpus.label)


def _ids(text: pa.LargeStringArray, origin: pa.StringArray, corpus: str) -> pa.StringArray:
    """Return ids whose first half is a hash of the source text and whose second of its place.

    Two copies of a text share the first sixteen digits and differ in the last eight.
    """
    offsets = np.frombuffer(text.buffers()[1], np.int64)[text.offset : text.offset + len(text) + 1]
    data = memoryview(text.buffers()[2] or b"")
    prefix = corpus.encode() + b"\0"
    ids = []
    for row, place in enumerate(origin.to_pylist()):
        body = xxhash.xxh3_64_intdigest(data[offsets[row] : offsets[row + 1]])
        ids.append(f"{body:016x}-{xxhash.xxh32_intdigest(prefix + place.encode()):08x}")
    return pa.array(ids, pa.string())


class _Writer:
    """Collects batches and writes measured shards, each grouped by label."""

    def __init__(self, folder: store.Folder, name: str, *, num_bands: int) -> None:
        self._folder, self._name = folder, name
        self._schema = records.measured(num_bands=num_bands)
        self._batches: list[pa.RecordBatch] = []
        self._num_bytes = 0
        self.committed: list[store.Written] = []
        self.shards: list[dict[str, Any]] = []

    def add(self, batch: pa.RecordBatch) -> None:
        self._batches.append(batch)
        self._num_bytes += batch.column("text").nbytes
        if self._num_bytes >= SHARD_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the shard, its labels one after the other, and its histograms."""
        if not self._batches:
            return
        table = pa.Table.from_batches(self._batches)
        self._batches, self._num_bytes = [], 0
        labels = table.column("label").combine_chunks()
        names = sorted(set(pc.unique(labels).to_pylist()))
        index = pc.index_in(labels, pa.array(names)).to_numpy(zero_copy_only=False).astype(np.int64)
        order = np.argsort(index, kind="stable")
        table = _typed(table.take(order).combine_chunks(), self._schema)
        counts = np.bincount(index, minlength=len(names))
        sizes = pc.binary_length(table.column("text")).to_numpy()
        stem = f"{self._name}-{len(self.shards):03d}"
        ranges: dict[str, list[int]] = {}  # label -> first batch, batches, rows, bytes of text
        with self._folder.writing(f"{stem}.arrow", committed=self.committed) as file:
            with pa.ipc.new_file(file, self._schema) as writer:
                start = num_batches = 0
                for name, count in zip(names, counts.tolist(), strict=True):
                    part = table.slice(start, count).to_batches(max_chunksize=ROWS_A_BATCH)
                    for batch in part:
                        writer.write_batch(batch)
                    size = int(sizes[start : start + count].sum())
                    ranges[name] = [num_batches, len(part), count, size]
                    num_batches += len(part)
                    start += count
        counted = judge.histograms(table, index[order])
        with self._folder.writing(f"{stem}.histograms", committed=self.committed) as file:
            with pa.ipc.new_stream(file, counted.schema) as writer:
                writer.write_table(counted)
        licenses = table.column("license").combine_chunks().dictionary.to_pylist()
        self.shards.append(
            {
                "name": stem,
                "num_documents": table.num_rows,
                "labels": ranges,
                "licenses": sorted(name for name in licenses if name is not None),
            }
        )


def _typed(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Cast to the measured schema, dictionary-encoding what it wants encoded."""
    columns = []
    for field in schema:
        column = table.column(field.name).combine_chunks()
        if pa.types.is_dictionary(field.type) and not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        columns.append(column if column.type == field.type else column.cast(field.type))
    return pa.Table.from_arrays(columns, schema=schema)
