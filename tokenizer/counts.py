"""Count the units of a corpus, label by label: two phases of work units that commit themselves.

count   shards of one label      -> its units with their counts; the lines that are held out
merge   all that were counted    -> the most frequent units of the label; its held-out lines

Each result is three files in a folder, `NAME.units.arrow` (`merging.UNITS`), `NAME.held.arrow`
(`counter.HELD`) and `NAME.json`, the journal entry, which comes last. Units that were counted are
sorted by their bytes; those of a label by their counts.

Promises: what a label gets depends on the set of its documents alone, not on their order or on the
shards and units that they lie in; a unit that is run again, or after a kill, leaves the same bytes;
one whose input and settings are as they were, and whose files are whole, is not done again; memory
is bounded by a batch of documents, COUNTER_BYTES, MERGED_PARTS batches and `max_units`.
Does not promise: a held-out line in every label. A label of ten lines has none as often as not.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines import progress, stages, store
from pipelines.errors import DataError
from pipelines.jit import kernel
from pipelines.unicode import TABLES, Integer, Tables, buffers, decode, flags_of

from .counter import HELD, Counter, smallest_lines
from .merging import BATCH_ROWS, UNITS, Part, merged, most_frequent
from .segments import is_space

VERSION = 1  # of what is counted; raise it with any change of the units or of the files
UNIT_BYTES = 16_000_000  # of shards in a work unit
COUNTER_BYTES = 256 << 20  # memory of units that are counted before they go to disk
MERGED_PARTS = 128  # merged at a time: open files, and a batch in memory of each
SUMS = ("documents", "bytes", "content_chars", "graphemes", "held_lines", "held_bytes")
"""What an entry says of the documents; content_chars is exact to a tenth."""


def plan_counts(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the work units of `count_unit`: the shards of one label up to UNIT_BYTES each.

    Args:
        manifest: of the corpus; shards are named LABEL/....arrow.
    """
    units: list[dict[str, Any]] = []
    for file in sorted(manifest["files"], key=lambda file: str(file["name"])):
        label, _, name = file["name"].partition("/")
        if not name.endswith(".arrow"):
            continue
        before = units[-1] if units and units[-1]["label"] == label else None
        if before is None or before["num_bytes"] + file["num_bytes"] > UNIT_BYTES:
            number = 0 if before is None else int(before["name"].rpartition("-")[2]) + 1
            new = {"name": f"{label}-{number:05d}", "label": label, "files": [], "num_bytes": 0}
            units.append(new)
        units[-1]["files"].append({key: file[key] for key in ("name", "num_bytes", "sha256")})
        units[-1]["num_bytes"] += file["num_bytes"]
    return units


def count_unit(unit: Mapping[str, Any], context: Mapping[str, Any]) -> None:
    """Count the units of some shards of one label.

    Args:
        unit: `name`, `label`, `files` (entries of the corpus manifest), `num_bytes` and `held_out`
            (share of the label's lines).
        context: `corpus` and `counts` (URLs), `held_out_bytes` (how much of the held-out lines is
            kept for a label), `progress`.

    Raises:
        DataError: a shard is missing or not what the manifest says.
    """
    folder, corpus = store.Folder(context["counts"]), store.Folder(context["corpus"])
    settings = [unit["held_out"], context["held_out_bytes"]]
    inputs = store.fingerprint([VERSION, *settings, [dict(file) for file in unit["files"]]])
    report = progress.reporter(context.get("progress"))
    if entry := _finished(folder, unit["name"], inputs):
        report(entry["documents"], unit["num_bytes"], finished=True)
        return
    counter = Counter(held_out=settings[0], held_out_bytes=settings[1])
    sums: dict[str, int] = dict.fromkeys(SUMS, 0)
    runs: list[str] = []
    for batch in _documents(corpus, unit["files"]):
        counter.add(batch.column("text"))
        _add_up(sums, batch)
        report(sums["documents"], sums["bytes"])
        if counter.num_bytes > COUNTER_BYTES:
            runs.append(f"{unit['name']}.run-{len(runs):05d}.arrow")
            _write(folder, runs[-1], UNITS, [counter.result()])
            counter.clear()
    sums["held_lines"], sums["held_bytes"] = counter.held_lines, counter.held_bytes
    name = f"{unit['name']}.units.arrow"
    with contextlib.ExitStack() as stack:
        parts = [stack.enter_context(_opened(folder, run)) for run in runs]
        last = counter.result()
        counter.clear()
        tables = merged([*parts, _part_of(last)]) if parts else iter([last])
        files = [_write(folder, name, UNITS, tables)]
    for run in runs:
        folder.remove(run)
    files.append(_write(folder, f"{unit['name']}.held.arrow", HELD, [counter.held()]))
    _finish(folder, unit["name"], inputs, files, sums)
    report(sums["documents"], unit["num_bytes"], finished=True)


def merge_label(unit: Mapping[str, Any], context: Mapping[str, Any]) -> None:
    """Merge what `count_unit` left for one label.

    Args:
        unit: `name` (the label), `parts` (names of the count units) and `num_bytes`.
        context: `counts` and `merged` (URLs), `max_units` (how many different units a label
            keeps), `held_out_bytes`, `progress`.

    Raises:
        DataError: a part was not counted.
    """
    counts, folder = store.Folder(context["counts"]), store.Folder(context["merged"])
    entries = [counts.read_json(f"{part}.json") for part in unit["parts"]]
    settings = [context["max_units"], context["held_out_bytes"]]
    inputs = store.fingerprint([VERSION, *settings, [entry["inputs"] for entry in entries]])
    report = progress.reporter(context.get("progress"))
    if entry := _finished(folder, unit["name"], inputs):
        report(entry["documents"], unit["num_bytes"], finished=True)
        return
    runs: list[str] = []
    places = [(counts, f"{part}.units.arrow") for part in unit["parts"]]
    while len(places) > MERGED_PARTS:
        some, places = places[:MERGED_PARTS], places[MERGED_PARTS:]
        runs.append(f"{unit['name']}.run-{len(runs):05d}.arrow")
        with contextlib.ExitStack() as stack:
            parts = [stack.enter_context(_opened(*place)) for place in some]
            _write(folder, runs[-1], UNITS, merged(parts))
        places.append((folder, runs[-1]))
    with contextlib.ExitStack() as stack:
        parts = [stack.enter_context(_opened(*place)) for place in places]
        kept, num_units, mass = most_frequent(merged(parts), settings[0])
    held = [_read(counts, f"{part}.held.arrow") for part in unit["parts"]]
    lines = smallest_lines([HELD.empty_table(), *held], num_bytes=settings[1])
    files = [
        _write(folder, f"{unit['name']}.units.arrow", UNITS, [kept]),
        _write(folder, f"{unit['name']}.held.arrow", HELD, [lines]),
    ]
    for run in runs:
        folder.remove(run)
    facts = {name: sum(entry[name] for entry in entries) for name in SUMS}
    facts["content_chars"] = sum(round(entry["content_chars"] * 10) for entry in entries)
    unit_mass = int(kept["count"].to_numpy().sum())
    facts |= {
        "units": kept.num_rows,
        "unit_mass": unit_mass,
        "dropped_units": num_units - kept.num_rows,
        "dropped_mass": mass - unit_mass,
    }
    _finish(folder, unit["name"], inputs, files, facts)
    report(facts["documents"], unit["num_bytes"], finished=True)


def read_units(folder: store.Folder, label: str) -> pa.Table:
    """Return a label's units and counts, the most frequent first; columns `unit`, `count`."""
    return _read(folder, f"{label}.units.arrow")


def read_held_out(folder: store.Folder, label: str) -> pa.Table:
    """Return a label's held-out lines in the order of their hashes; columns `hash`, `text`."""
    return _read(folder, f"{label}.held.arrow")


def characters(table: pa.Table) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (code points in their order, how often each occurs) of units, "▁" left out.

    Args:
        table: units with their counts, which weigh.
    """
    totals = np.zeros(0x200000, np.int64)  # what four bytes can spell
    for batch in table.to_batches():
        offsets, data = buffers(batch.column("unit"))
        _count_characters(data, offsets, batch.column("count").to_numpy(), TABLES, totals)
    code_points = np.flatnonzero(totals)
    return code_points, totals[code_points]


@kernel
def _count_characters(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    counts: NDArray[np.int64],
    tables: Tables,
    totals: NDArray[np.int64],
) -> None:
    for row in range(counts.shape[0]):
        position: Integer = offsets[row]
        while position < offsets[row + 1]:
            code_point, width = decode(data, position)
            if not is_space(code_point, flags_of(tables, code_point)):
                totals[code_point] += counts[row]
            position += width


def _documents(
    corpus: store.Folder, files: Sequence[Mapping[str, Any]]
) -> Iterator[pa.RecordBatch]:
    """Yield the record batches of shards, after checking each against the manifest's entry."""
    for file in files:
        problem = corpus.check(store.Written(file["name"], file["num_bytes"], file["sha256"]))
        if problem:
            raise DataError(
                f"{corpus.path(file['name'])}: {problem}.\n  Build the corpus again: "
                "`koine corpus build` makes what is missing."
            )
        with corpus.open_arrow(file["name"]) as opened, pa.ipc.open_stream(opened) as reader:
            yield from reader


def _add_up(sums: dict[str, int], batch: pa.RecordBatch) -> None:
    """Add a batch's documents to the sums; content in tenths, so that order can't matter."""
    stats = batch.column("stats")
    content = pc.struct_field(stats, "content_chars").fill_null(0).to_numpy(zero_copy_only=False)
    sums["documents"] += batch.num_rows
    sums["bytes"] += pc.sum(pc.binary_length(batch.column("text"))).as_py() or 0
    sums["content_chars"] += int(np.rint(content.astype(np.float64) * 10).astype(np.int64).sum())
    sums["graphemes"] += pc.sum(pc.struct_field(stats, "num_graphemes")).as_py() or 0


def _finished(folder: store.Folder, name: str, inputs: str) -> dict[str, Any] | None:
    """Return a unit's journal entry if it is of these inputs and its files are whole."""
    entry = stages.is_done(folder, name)
    return entry if entry and entry.get("inputs") == inputs else None


def _finish(
    folder: store.Folder,
    name: str,
    inputs: str,
    files: list[store.Written],
    facts: Mapping[str, int],
) -> None:
    """Write a unit's journal entry, which commits it."""
    content = {"content_chars": facts["content_chars"] / 10}
    listed = [asdict(written) for written in files]
    folder.write_json(f"{name}.json", {**facts, **content, "inputs": inputs, "files": listed})


def _write(
    folder: store.Folder, name: str, schema: pa.Schema, tables: Iterable[pa.Table]
) -> store.Written:
    """Write tables as one Arrow file, in batches whose borders depend on the rows alone."""
    committed: list[store.Written] = []
    with folder.writing(name, committed=committed) as file:
        with pa.ipc.new_file(file, schema) as writer:
            rest = schema.empty_table()
            for table in tables:
                rest = pa.concat_tables([rest, table]).combine_chunks()
                whole = rest.num_rows - rest.num_rows % BATCH_ROWS
                writer.write_table(rest.slice(0, whole), max_chunksize=BATCH_ROWS)
                rest = rest.slice(whole)
            writer.write_table(rest, max_chunksize=BATCH_ROWS)
    return committed[0]


def _read(folder: store.Folder, name: str) -> pa.Table:
    with folder.open_arrow(name) as file:
        return pa.ipc.open_file(file).read_all()


@contextlib.contextmanager
def _opened(folder: store.Folder, name: str) -> Iterator[Part]:
    """Open sorted units to be merged."""
    with folder.open_arrow(name) as file:
        reader = pa.ipc.open_file(file)
        yield Part(reader.num_record_batches, reader.get_batch)


def _part_of(table: pa.Table) -> Part:
    batches = table.to_batches(max_chunksize=BATCH_ROWS)
    return Part(len(batches), batches.__getitem__)
