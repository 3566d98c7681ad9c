"""Encoding: koine against SentencePiece alone and against tokenizers through datasets.map.

All have the same clean documents and the same vocabulary (32,768 pieces, trained here once). koine
reads corpus shards, checks their hashes, encodes, finds the ends of sentences, and writes hashed
token shards with a journal. SentencePiece alone encodes bytes that are in memory already and throws
the ids away: the floor. datasets.map is how users of Hugging Face's libraries do it; it writes ids
and no sentences.

koine's documents are in shards by language, and once more in a single shard: a shard costs a folder
and two writes that wait for the disk, whatever its size.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import statistics
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import common
import inputs
import pyarrow as pa
import sentencepiece

from pipelines import engines, store
from pipelines.clean import clean
from pipelines.unicode import buffers
from tokenizer import encode, encode_unit, encoder, export
from tokenizer.segments import units_of
from tokenizer.sentences import sentence_ends

SIZE = 32_768
MOST_UNITS = 300_000
BATCH = 1_000
HERE = common.BUILD / "encode"


def prepare(given: Any) -> tuple[Path, Path]:
    """Lay out two builds of the same documents: by language, and in one shard."""
    found = inputs.documents(given.documents, given.data)
    by_label, single = HERE / f"by-label-{given.documents}", HERE / f"single-{given.documents}"
    rows = [json.loads(line) for path in found.files for line in path.open(encoding="utf-8")]
    cleaned, _ = clean(pa.array([row["text"] for row in rows], pa.large_string()))
    texts = [
        (row["id"], row["label"] or "und_Zyyy", text)
        for row, text in zip(rows, cleaned.to_pylist(), strict=True)
        if text
    ]
    for folder in (by_label, single):
        if not (folder / "corpus" / store.MANIFEST).is_file():
            labels: dict[str, list[tuple[str, str, str]]] = {}
            for row in texts:
                labels.setdefault(row[1] if folder == by_label else "und_Zyyy", []).append(row)
            write_corpus(store.Folder(folder) / "corpus", labels)
        if not (folder / "vocab" / store.MANIFEST).is_file():
            write_vocabulary(store.Folder(folder) / "vocab", model_of([text for *_, text in texts]))
    return by_label, single


def write_corpus(folder: store.Folder, labels: dict[str, list[tuple[str, str, str]]]) -> None:
    """Write the columns of a corpus that encoding reads."""
    schema = pa.schema([("id", pa.string()), ("text", pa.large_string())])
    files = []
    for label, rows in sorted(labels.items()):
        table = pa.table([[row[0] for row in rows], [row[2] for row in rows]], schema=schema)
        committed: list[store.Written] = []
        with folder.writing(f"{label}/part-00000.arrow", committed=committed) as file:
            with pa.ipc.new_stream(file, schema) as writer:
                writer.write_table(table, max_chunksize=BATCH)
        files.append(store.Written(**{**asdict(committed[0]), "num_rows": len(rows)}))
    store.write_manifest(folder, artefact="corpus", fingerprint="", counts={}, files=files)


def model_of(texts: list[str]) -> bytes:
    """Return a Unigram model of the texts, from the cache if there is one."""
    path = HERE / f"spm-{SIZE}.model"
    if path.is_file():
        return path.read_bytes()
    units: Counter[str] = Counter()
    for text in texts[::4]:
        for line in text[:20_000].split("\n"):
            units.update(units_of(line))
    characters: Counter[str] = Counter()
    for unit, count in units.items():
        for character in unit:
            characters[character] += count
    required = [c for c, _ in characters.most_common(SIZE // 4) if c != "▁"]
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([f"{u}\t{n}" for u, n in units.most_common(MOST_UNITS)]),
        model_writer=model,
        input_format="tsv",
        vocab_size=SIZE,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        byte_fallback=True,
        split_by_unicode_script=False,
        character_coverage=0.98,
        required_chars="".join(required),
        num_threads=1,
        minloglevel=2,
        **dict(zip(("pad_id", "unk_id", "bos_id", "eos_id"), range(4), strict=True)),
        **dict(
            zip(
                ("pad_piece", "unk_piece", "bos_piece", "eos_piece"),
                export.SPECIAL[:4],
                strict=True,
            )
        ),
        control_symbols=[export.SPECIAL[4]],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model.getvalue())
    return model.getvalue()


def write_vocabulary(folder: store.Folder, model: bytes) -> None:
    """Write the folder `vocab` of a build."""
    folder.create()
    written = export.export(model, folder, meta={})
    vocab_hash = export.vocab_hash(folder.read_bytes(export.MODEL))
    facts: dict[str, Any] = {"counts": {}, "files": written, "vocab_hash": vocab_hash}
    store.write_manifest(folder, artefact="vocab", fingerprint="", **facts)


def units_in_process(build: Path) -> float:
    """Return the seconds of all units of work, one after the other, without an engine."""
    out = store.Folder(build)
    for name in ("tokens", "work"):
        shutil.rmtree(build / name, ignore_errors=True)
    plan = encode._plan(out)  # reads and hashes the vocabulary: once a run, timed by `whole`
    context = {
        "work": (out / "work").url,
        "journal": (out / "work" / "tokens").url,
        "corpus": (out / "corpus").url,
        "tokens": (out / "tokens").url,
        "vocab": (out / "vocab").url,
        "model": asdict(plan.model),
        "vocab_hash": plan.vocab_hash,
    }
    start = time.perf_counter()
    for unit in encode._units(plan.shards, {}):
        encode_unit.encode_unit(unit, context)
    return time.perf_counter() - start


def whole(build: Path) -> float:
    """Return the seconds of `encode` with a process for each core, their start included."""
    for name in ("tokens", "work"):
        shutil.rmtree(build / name, ignore_errors=True)
    engine = engines.Local(len(common.all_cores()))
    start = time.perf_counter()
    encode.encode(out=str(build), engine=engine)
    seconds = time.perf_counter() - start
    engine.close()
    return seconds


def raw(build: Path) -> tuple[dict[str, float], int]:
    """Return the seconds of SentencePiece alone, of koine's steps, and the bytes of the text."""
    plan = encode._plan(store.Folder(build))
    model = encoder.load(str(build / "vocab"), plan.model)
    seconds: Counter[str] = Counter()
    num_bytes = 0
    for shard in plan.shards:
        with pa.ipc.open_stream(pa.memory_map(str(build / "corpus" / shard["name"]))) as reader:
            for batch in reader:
                text = batch.column("text")
                documents = text.cast(pa.large_binary()).to_pylist()
                offsets, _ = buffers(text)
                num_bytes += int(offsets[-1] - offsets[0])
                for name, function in (
                    (
                        "SentencePiece alone",
                        lambda d=documents: model._model.encode(d, return_type="numpy"),
                    ),
                    (
                        "koine, ids and ends in memory",
                        lambda t=text: encoder.encode_batch(t, encoder=model),
                    ),
                    ("koine, ends of sentences alone", lambda t=text: sentence_ends(t)),
                ):
                    start = time.perf_counter()
                    function()
                    seconds[name] += time.perf_counter() - start
    return dict(seconds), num_bytes


def datasets_map(build: Path, *, cores: list[int]) -> float:
    """Return the seconds of tokenizers through datasets.map, in a process of its own."""
    cache = HERE / "datasets"
    shutil.rmtree(cache, ignore_errors=True)
    command = [
        sys.executable, common.HERE / "other_encode.py", build, cache, str(len(cores)),
    ]  # fmt: skip
    found = common.run(command, cores=cores)
    shutil.rmtree(cache, ignore_errors=True)
    return float(json.loads(found.output.splitlines()[-1]))


def main() -> None:
    """Measure, print, and write the results."""
    parser = common.arguments(__doc__, documents=8_000)
    given = parser.parse_args()
    facts = common.machine()
    by_label, single = prepare(given)
    cores = common.all_cores()
    runs: dict[str, list[float]] = {}
    for repeat in range(given.repeats + 1):  # the first one compiles and fills caches
        own: dict[str, float] = {}
        os.sched_setaffinity(0, {cores[0]})
        own["koine, units of work, one shard, 1 core"] = units_in_process(single)
        own["koine, units of work, a shard a language, 1 core"] = units_in_process(by_label)
        steps, num_bytes = raw(single)
        own |= steps
        os.sched_setaffinity(0, set(cores))
        own[f"koine, whole run with its start, {len(cores)} cores"] = whole(by_label)
        if repeat:
            own["datasets.map, 1 core"] = datasets_map(single, cores=cores[:1])
            own[f"datasets.map, {len(cores)} cores"] = datasets_map(single, cores=cores)
            for name, value in own.items():
                runs.setdefault(name, []).append(value)
    num_shards = len(list((by_label / "corpus").rglob("*.arrow")))
    floor = runs["SentencePiece alone"]
    rows, result = [], {}
    for name, values in runs.items():
        seconds = common.summary(values)
        ratio = statistics.median(a / b for a, b in zip(values, floor, strict=True))
        rate = num_bytes / seconds["median"] / 1e6
        result[name] = {"seconds": seconds, "mb_per_s": rate, "times_sentencepiece": ratio}
        rows.append([name, f"{seconds['median']:.2f}", f"{rate:.1f}", f"{ratio:.2f}"])
    print(f"{given.documents:,} documents, {num_bytes / 1e6:.1f} MB, {num_shards} languages")
    common.table(["", "seconds", "MB/s", "times SentencePiece alone"], rows)
    common.write(
        given.name or "encode",
        facts,
        {
            "documents": given.documents,
            "bytes": num_bytes,
            "shards": num_shards,
            "pieces": SIZE,
            "tools": result,
        },
    )


if __name__ == "__main__":
    main()
