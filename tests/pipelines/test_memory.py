"""Memory stays within what the modules promise, whatever the size of the input."""

import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable

import numpy as np
import pytest

from pipelines import dedupe
from pipelines.config import Dedupe
from tests_support import ROOT

BANDS = 14
MEGABYTE = 1 << 20


def peak_bytes(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def random_keys(num_documents: int):
    """The keys of all bands of documents, a tenth of which have a double."""
    generator = np.random.default_rng(7)
    keys = np.empty(num_documents * BANDS, dedupe.KEY)
    keys["document"] = np.tile(np.arange(num_documents, dtype=np.uint64), BANDS)
    keys["hash"] = generator.integers(0, 1 << 63, len(keys), dtype=np.uint64) << np.uint64(1)
    tenth = len(keys) // 10
    keys["hash"][:tenth] = keys["hash"][tenth : 2 * tenth]
    return keys


def test_joining_takes_at_most_forty_bytes_per_document_and_band():
    num_documents = 50_000
    data = random_keys(num_documents).tobytes()
    dedupe.join([data[: 16 * 100]])  # what is allocated once
    peak = peak_bytes(lambda: dedupe.join([data]))
    assert peak <= 40.5 * num_documents * BANDS


def test_a_partition_is_joined_within_the_memory_that_is_set():
    num_documents = 400_000
    settings = Dedupe(memory_mb=16, exact=False, url=False)
    num = dedupe.num_partitions(num_documents, settings)
    keys, bounds = dedupe.partitioned(random_keys(num_documents), num)
    largest = int(np.argmax(np.diff(bounds)))
    data = keys[bounds[largest] : bounds[largest + 1]].tobytes()
    assert peak_bytes(lambda: dedupe.join([data])) <= 16 * MEGABYTE


def test_the_groups_take_eight_bytes_per_document_and_those_of_the_edges():
    num_documents = 500_000
    edges = np.stack([np.arange(0, 1000, 2), np.arange(1, 1000, 2)], axis=1).astype(np.uint64)

    def work(num_documents: int = num_documents) -> None:
        groups = dedupe.Groups(num_documents)
        groups.add(edges)
        groups.roots()

    work(1000)  # compiles
    assert peak_bytes(work) <= 8 * num_documents + 100_000


MEASURE = """
import json, resource, sys
from pathlib import Path
from pipelines import config, units
from pipelines.work import phase_function
path, out = Path(sys.argv[1]), sys.argv[2]
loaded = config.load(path)
work = phase_function("measure")
for unit in units.plan(loaded, base=path.parent):
    work(
        {"name": unit.name, "corpus": unit.corpus, "key": unit.key,
         "splits": [split.to_json() for split in unit.splits], "num_bytes": unit.num_bytes},
        {"config": loaded.model_dump(mode="json"), "work": out},
    )
status = Path("/proc/self/status")
if status.exists():  # ru_maxrss would count what the process that started this one held
    lines = dict(line.split(":", 1) for line in status.read_text().splitlines())
    print(int(lines["VmHWM"].split()[0]) * 1024)
else:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(peak if sys.platform == "darwin" else peak * 1024)
"""


@pytest.mark.slow
def test_measuring_a_whole_unit_stays_below_one_and_a_half_gigabytes(tmp_path, texts, data):
    bodies = [text for own in texts.values() for text in own]
    with (tmp_path / "input.jsonl").open("w", encoding="utf-8") as file:
        number = 0
        while file.tell() < 64 * MEGABYTE:
            text = f"{bodies[number % len(bodies)]} {number}"
            file.write(json.dumps({"text": text, "url": f"https://x.example/{number}"}) + "\n")
            number += 1
    config = tmp_path / "corpora.yaml"
    config.write_text("corpora:\n  - {name: big, files: input.jsonl, license: CC0-1.0}\n")
    run = subprocess.run(
        [sys.executable, "-c", MEASURE, str(config), str(tmp_path / "work")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(run.stdout) < 1.5e9, f"{int(run.stdout) / 1e6:,.0f} MB"
