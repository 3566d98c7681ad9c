"""Peak memory: of a whole build as the corpus grows, and of the join as its keys grow.

The corpus grows by copies of the same documents, in each of which words are replaced: in half of
the copies a few (near-duplicates that the join has to find), in the other half one in five. Memory
is what koine promises to keep flat: a worker holds one unit, whatever the corpus.

The join is called directly, over synthetic keys: 14 band hashes a document, one document in ten
sharing a band with another. Its memory is the most that a fresh process held beyond what it held
with everything imported.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import common
import inputs
import numpy as np

from pipelines import dedupe, store
from pipelines.config import Dedupe

GROWTH = (1, 4, 16)
JOINS = ((1_000_000, 256), (1_000_000, 64), (4_000_000, 256), (4_000_000, 64))
SHARD = 50_000  # documents whose keys one worker spills


def grown(found: inputs.Documents, factor: int) -> inputs.Documents:
    """Return the documents `factor` times over, each copy edited."""
    folder = found.folder.with_name(f"{found.folder.name}-times-{factor}")
    facts = folder.with_suffix(".json")
    if not facts.is_file():
        texts = inputs.read_texts(found)
        generator = random.Random(factor)
        records, num_bytes = [], 0
        for copy in range(factor):
            for text in texts:
                new = edited(text, generator, share=0.01 if copy % 2 else 0.2) if copy else text
                records.append((new, None))
                num_bytes += len(new.encode())
        inputs.write_parts(folder, records)
        facts.write_text(json.dumps([len(records), num_bytes]))
    num_documents, num_bytes = json.loads(facts.read_text())
    return inputs.Documents(folder, num_documents, num_bytes)


def edited(text: str, generator: random.Random, *, share: float) -> str:
    """Replace a share of the words, or of what lies between spaces, by their reverse."""
    words = text.split(" ")
    for _ in range(max(1, int(share * len(words)))):
        index = generator.randrange(len(words))
        words[index] = words[index][::-1]
    return " ".join(words)


def build(found: inputs.Documents, out: Path) -> dict[str, Any]:
    """Build with one worker; return seconds and peak memory."""
    shutil.rmtree(out, ignore_errors=True)
    config = out.with_suffix(".json")  # JSON is YAML too
    corpus = {"name": "documents", "files": f"{found.folder}/*.jsonl", "license": "unknown"}
    config.write_text(json.dumps({"corpora": [corpus]}))
    command = [common.KOINE, "corpus", "build", config, "--out", out, "--json", "--quiet"]
    run = common.run([*command, "--workers", "1"], cores=common.all_cores())
    return {
        "documents": found.num_documents,
        "bytes": found.num_bytes,
        "seconds": run.seconds,
        "peak_mb": run.peak_mb,
        "peak_anonymous_mb": run.peak_anonymous_mb,
        "stages": json.loads(run.output)["seconds"],
    }


def spill(folder: Path, num_documents: int, num_partitions: int, bands: int) -> list[Path]:
    """Write the keys of all documents, shard by shard, as the judge stage does."""
    generator = np.random.default_rng(1)
    paths = []
    for first in range(0, num_documents, SHARD):
        count = min(SHARD, num_documents - first)
        keys = np.empty(count * bands, dedupe.KEY)
        keys["hash"] = generator.integers(0, 2**64, len(keys), np.uint64)
        # One document in ten has a hash from a small pool, so that it meets others.
        few = generator.choice(len(keys), count // 10, replace=False)
        pool = generator.integers(0, num_documents // 20, len(few), np.uint64)
        keys["hash"][few] = pool * np.uint64(0x9E3779B97F4A7C15)
        keys["document"] = np.tile(np.arange(first, first + count, dtype=np.uint64), bands)
        ordered, bounds = dedupe.partitioned(keys, num_partitions)
        path = folder / f"{first:09d}"
        path.with_suffix(".keys").write_bytes(ordered.tobytes())
        np.save(path.with_suffix(".npy"), bounds)
        paths.append(path)
    return paths


def join(num_documents: int, memory_mb: int) -> dict[str, Any]:
    """Join synthetic keys in this process, which must be fresh; return what it took."""
    settings = Dedupe(memory_mb=memory_mb, exact=False, url=False)
    bands = settings.bands
    num_partitions = dedupe.num_partitions(num_documents, settings)
    folder = common.BUILD / f"join-{num_documents}-{memory_mb}"
    folder.mkdir(parents=True, exist_ok=True)
    warm = dedupe.Groups(2)
    warm.add(np.array([[0, 1]], np.uint64))
    warm.roots()
    paths = spill(folder, num_documents, num_partitions, bands)
    bounds = [np.load(path.with_suffix(".npy")) * dedupe.KEY_BYTES for path in paths]
    files = store.Folder(folder)
    before = reset_peak()
    start = time.perf_counter()
    num_edges, collected = 0, []
    for partition in range(num_partitions):
        edges = dedupe.join(
            files.read_range(
                f"{path.name}.keys",
                offset=int(own[partition]),
                num_bytes=int(own[partition + 1] - own[partition]),
            )
            for path, own in zip(paths, bounds, strict=True)
        )
        num_edges += len(edges)
        collected.append(edges)
    join_peak, join_seconds = peak() - before, time.perf_counter() - start
    start = time.perf_counter()
    groups = dedupe.Groups(num_documents)
    for edges in collected:
        groups.add(edges)
    num_groups = int((groups.roots() == np.arange(num_documents)).sum())
    shutil.rmtree(folder)
    return {
        "documents": num_documents,
        "memory_mb": memory_mb,
        "partitions": num_partitions,
        "edges": num_edges,
        "groups": num_groups,
        "join_seconds": join_seconds,
        "union_seconds": time.perf_counter() - start,
        "join_peak_mb": join_peak / 1e6,
        "peak_mb": (peak() - before) / 1e6,
        "join_bytes_per_document_and_band": join_peak / num_documents / bands,
    }


def reset_peak() -> int:
    """Make the system forget this process's peak; return its resident bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak()


def peak() -> int:
    """Return the peak resident bytes of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main() -> None:
    """Measure, print, and write the results."""
    if sys.argv[1:2] == ["join"]:
        print(json.dumps(join(int(sys.argv[2]), int(sys.argv[3]))))
        return
    parser = common.arguments(__doc__, documents=2_700)
    parser.add_argument("--part", choices=["build", "join", "both"], default="both")
    given: argparse.Namespace = parser.parse_args()
    facts = common.machine()
    curve, joins = [], []
    if given.part != "join":
        base = inputs.documents(given.documents, given.data)
        build(inputs.documents(100, given.data), common.BUILD / "memory")  # compiles the kernels
        for factor in GROWTH:
            curve.append(build(grown(base, factor), common.BUILD / "memory"))
            print(f"  {factor} times: {curve[-1]['peak_anonymous_mb']:,.0f} MB", flush=True)
        print("\nA build with one worker, parent and worker together")
        most = max(row["peak_mb"] for row in curve)
        common.table(
            ["documents", "MB of text", "seconds", "peak MB", "without file pages", ""],
            [
                [
                    f"{row['documents']:,}",
                    f"{row['bytes'] / 1e6:,.0f}",
                    f"{row['seconds']:.1f}",
                    f"{row['peak_mb']:,.0f}",
                    f"{row['peak_anonymous_mb']:,.0f}",
                    "#" * round(30 * row["peak_mb"] / most),
                ]
                for row in curve
            ],
        )
    if given.part != "build":
        for num_documents, memory_mb in JOINS:
            found = common.run(
                [sys.executable, __file__, "join", str(num_documents), str(memory_mb)]
            )
            joins.append(json.loads(found.output))
        print("The join, 14 bands a document; the limit is `dedupe.memory_mb`")
        common.table(
            [
                "documents",
                "limit MB",
                "partitions",
                "peak MB",
                "with union-find",
                "bytes a key",
                "s",
            ],
            [
                [
                    f"{row['documents']:,}",
                    row["memory_mb"],
                    row["partitions"],
                    f"{row['join_peak_mb']:,.0f}",
                    f"{row['peak_mb']:,.0f}",
                    f"{row['join_bytes_per_document_and_band']:.1f}",
                    f"{row['join_seconds'] + row['union_seconds']:.1f}",
                ]
                for row in joins
            ],
        )
    common.write(given.name or "memory", facts, {"build": curve, "join": joins})


if __name__ == "__main__":
    main()
