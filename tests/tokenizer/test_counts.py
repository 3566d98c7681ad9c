"""The phases of counting on a built corpus: right and repeatable, whatever the parts."""

import hashlib
import json
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from unit_tables import as_dict, count, lines_of, plain, units_table

from pipelines import engines, store
from pipelines.errors import DataError
from pipelines.progress import Display
from tests_support import ROOT
from tokenizer import counts
from tokenizer.merging import UNITS


def plan(corpus: str, out: Path, *, held_out: float = 0.1, **options):
    manifest = store.read_manifest(store.Folder(corpus), artefact="corpus")
    units = [{**unit, "held_out": held_out} for unit in counts.plan_counts(manifest)]
    labels = defaultdict(list)
    for unit in units:
        labels[unit["label"]].append(unit["name"])
    merges = [{"name": label, "parts": names, "num_bytes": 1} for label, names in labels.items()]
    context = {
        "corpus": corpus,
        "counts": str(out / "counts"),
        "merged": str(out / "merged"),
        "held_out_bytes": 2_000,
        "max_units": 10_000,
        "work": str(out),
        **options,
    }
    return units, merges, context


def run(engine, corpus: str, out: Path, **options):
    units, merges, context = plan(corpus, out, **options)
    for phase, some in (("count_unit", units), ("merge_label", merges)):
        engines.run_phase(
            engine,
            f"tokenizer.counts:{phase}",
            some,
            context,
            display=Display(quiet=True),
            total=1,
            in_bytes=True,
            title=phase,
        )
    engine.close()


def digests(out: Path):
    paths = sorted(path for path in out.rglob("*") if path.suffix in (".arrow", ".json"))
    return {
        path.relative_to(out).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in paths
    }


@pytest.fixture(scope="module")
def corpus(sample_build):
    return str(sample_build.out / "corpus")


@pytest.fixture(scope="module")
def counted(corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("counted")
    run(engines.InProcess(), corpus, out)
    return out


def texts_of(corpus, label):
    found = []
    for path in sorted((Path(corpus) / label).glob("*.arrow")):
        with pa.memory_map(str(path)) as file:
            found += pa.ipc.open_stream(file).read_all()["text"].to_pylist()
    return found


def test_a_label_has_the_counts_of_its_documents(corpus, counted):
    folder = store.Folder(counted / "merged")
    labels = sorted(path.name for path in Path(corpus).iterdir() if path.is_dir())
    assert len(labels) > 10
    for label in labels:
        texts = texts_of(corpus, label)
        held = {line for line in lines_of(texts) if count([line], held_out=0.1).held_lines}
        units = counts.read_units(folder, label)
        assert as_dict(units) == plain(line for line in lines_of(texts) if line not in held)
        assert set(counts.read_held_out(folder, label)["text"].to_pylist()) <= held
        entry = folder.read_json(f"{label}.json")
        assert entry["documents"] == len(texts)
        assert entry["bytes"] == sum(len(text.encode()) for text in texts)
        assert (entry["units"], entry["dropped_units"]) == (units.num_rows, 0)
        assert entry["unit_mass"] == sum(units["count"].to_pylist())
        assert entry["content_chars"] > 0 < entry["graphemes"]


def test_worker_processes_leave_the_same_bytes(corpus, counted, tmp_path):
    run(engines.Local(2), corpus, tmp_path)
    assert digests(tmp_path) == digests(counted)


def test_a_bundle_that_runs_twice_leaves_the_same_bytes(corpus, counted, tmp_path):
    run(engines.InProcess(bundle_repeat=1), corpus, tmp_path)
    assert digests(tmp_path) == digests(counted)


def test_what_is_done_is_not_done_again_unless_its_input_changed(corpus, tmp_path):
    run(engines.InProcess(), corpus, tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.arrow")}
    run(engines.InProcess(), corpus, tmp_path)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.arrow")} == before
    run(engines.InProcess(), corpus, tmp_path, held_out=0.2)
    assert all(path.stat().st_mtime_ns != at for path, at in before.items())


def split_corpus(source: str, target: Path, *, label: str, num_shards: int, seed: int):
    """Write the documents of one label shuffled into other shards, with a manifest."""
    tables = [
        pa.ipc.open_stream(path.read_bytes()).read_all()
        for path in sorted((Path(source) / label).glob("*.arrow"))
    ]
    table = pa.concat_tables(tables).combine_chunks()
    order = np.random.default_rng(seed).permutation(table.num_rows)
    folder, files = store.Folder(target), []
    for number, rows in enumerate(np.array_split(order, num_shards)):
        name = f"{label}/part-{number:05d}.arrow"
        with folder.writing(name, committed=files) as file:
            with pa.ipc.new_stream(file, table.schema) as writer:
                writer.write_table(table.take(pa.array(rows)), max_chunksize=2)
    store.write_manifest(folder, artefact="corpus", fingerprint="", counts={}, files=files)


@pytest.mark.parametrize(("num_shards", "seed"), [(1, 1), (4, 2), (9, 3)])
def test_a_label_gets_the_same_however_its_documents_lie(
    num_shards, seed, corpus, counted, tmp_path, monkeypatch
):
    label = "swh_Latn"
    monkeypatch.setattr(counts, "UNIT_BYTES", 20_000)
    monkeypatch.setattr(counts, "MERGED_PARTS", 3)
    monkeypatch.setattr(counts, "COUNTER_BYTES", 0)  # every batch goes to disk
    split_corpus(corpus, tmp_path / "corpus", label=label, num_shards=num_shards, seed=seed)
    options = {"held_out_bytes": 300, "max_units": 200}
    run(engines.InProcess(), str(tmp_path / "corpus"), tmp_path, **options)
    run(engines.InProcess(), corpus, tmp_path / "whole", **options)
    for name in (f"{label}.units.arrow", f"{label}.held.arrow"):
        found = (tmp_path / "merged" / name).read_bytes()
        assert found == (tmp_path / "whole" / "merged" / name).read_bytes()
    entries = [
        store.Folder(folder / "merged").read_json(f"{label}.json")
        for folder in (tmp_path, tmp_path / "whole")
    ]
    facts = [{k: v for k, v in entry.items() if k != "inputs"} for entry in entries]
    assert facts[0] == facts[1]
    assert facts[0]["dropped_units"] > 0 < facts[0]["dropped_mass"]
    assert list(tmp_path.rglob("*.run-*")) == []


KILLED = """
import sys
from pathlib import Path
sys.path[:0] = [{root!r}, {tests!r}]
from pipelines import store
from tokenizer import counts
import json
counts.COUNTER_BYTES = 0
phase, unit, context = json.loads(sys.stdin.read())
getattr(counts, phase)(unit, context)
"""


def test_killed_anywhere_a_unit_run_again_leaves_the_same_bytes(corpus, counted, tmp_path):
    units, merges, context = plan(corpus, tmp_path)
    label = "hin_Deva"
    code = KILLED.format(root=str(ROOT), tests=str(ROOT / "tests"))

    def start(phase, unit, fault):
        return subprocess.run(
            [sys.executable, "-c", code],
            input=json.dumps([phase, unit, context]),
            env={**os.environ, "KOINE_FAULT": fault},
            text=True,
            check=False,
        ).returncode

    unit = next(unit for unit in units if unit["label"] == label)
    merge = next(merge for merge in merges if merge["name"] == label)
    for phase, work in (("count_unit", unit), ("merge_label", merge)):
        deaths = 0
        for point in (2, 5, 7, 10, 12, 100):
            code_of = start(phase, work, f"kill@{point}")
            assert code_of in (0, -9)
            deaths += code_of == -9
            if code_of == 0:
                break
        assert deaths >= 3
        assert start(phase, work, "") == 0
    wanted = {k: v for k, v in digests(counted).items() if Path(k).name.startswith(label)}
    found = {k: v for k, v in digests(tmp_path).items() if ".tmp-" not in k and ".run-" not in k}
    assert found == wanted


def test_a_shard_that_changed_after_the_build_is_refused(corpus, tmp_path):
    label = "swh_Latn"
    split_corpus(corpus, tmp_path / "corpus", label=label, num_shards=1, seed=1)
    path = tmp_path / "corpus" / label / "part-00000.arrow"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DataError, match="SHA-256"):
        run(engines.InProcess(), str(tmp_path / "corpus"), tmp_path)


def test_the_plan_groups_the_shards_of_one_label():
    files = [
        {"name": f"{label}/part-{number:05d}.arrow", "num_bytes": size, "sha256": "0"}
        for label, sizes in {"bbb_Latn": [9, 9, 30, 1], "aaa_Latn": [1]}.items()
        for number, size in enumerate(size * 1_000_000 for size in sizes)
    ]
    readme = {"name": "README.md", "num_bytes": 1, "sha256": "0"}
    units = counts.plan_counts({"files": [readme, *files]})
    assert [(unit["name"], len(unit["files"]), unit["num_bytes"]) for unit in units] == [
        ("aaa_Latn-00000", 1, 1_000_000),
        ("bbb_Latn-00000", 1, 9_000_000),
        ("bbb_Latn-00001", 1, 9_000_000),
        ("bbb_Latn-00002", 1, 30_000_000),
        ("bbb_Latn-00003", 1, 1_000_000),
    ]
    small = counts.plan_counts({"files": [{**file, "num_bytes": 1} for file in files]})
    assert [len(unit["files"]) for unit in small] == [1, 4]


def test_characters_are_weighed_by_the_counts():
    table = units_table({"▁abba": 3, "ß字": 2, "a": 1, "▁": 9, "😀": 4})
    code_points, totals = counts.characters(table)
    found = {chr(c): n for c, n in zip(code_points.tolist(), totals.tolist(), strict=True)}
    assert found == {"a": 7, "b": 6, "ß": 2, "字": 2, "😀": 4}
    assert code_points.tolist() == sorted(code_points.tolist())
    assert [len(part) for part in counts.characters(UNITS.empty_table())] == [0, 0]
