"""The benchmarks for a GPU, at sizes that a CPU does in seconds: they are to run when there is one.

What they measure here means nothing; that they measure, keep and print is what is tested.
"""

import io
import json
import sys

import pytest
import torch
from packed import LONGEST, ROWS, SHAPES, packed
from pretraining import write_build

from pipelines import store
from pretrain import feed
from pretrain.config import HeldOut
from pretrain.model import Pretrainer
from pretrain.shards import Shards
from pretrain.train import Step
from tests_support import ROOT

sys.path.append(str(ROOT / "benchmarks"))

import gpu_data
import gpu_parts
import gpu_pretrain
import gpu_run
import gpu_tables


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    build = tmp_path_factory.mktemp("shards")
    gpu_data.write_synthetic(build, num_tokens=100_000, num_pieces=1024)
    return build


@pytest.fixture
def measure(shards, tmp_path, monkeypatch, capsys):
    def measured(main, part, *more):
        monkeypatch.setattr("sys.stdin", io.StringIO("go\n"))
        folders = ["--work", str(tmp_path / "work"), "--out", str(tmp_path)]
        main([part, "--toy", "--windows", "2", "--tokens", str(shards), *folders, *more])
        said = [line for line in capsys.readouterr().out.splitlines() if line.startswith("@")]
        words = [line.partition(" ")[0] for line in said]
        assert words == ["@measure", "@measured", "@result"]
        return json.loads(said[-1].partition(" ")[2])

    return measured


def test_the_real_loop_is_timed_and_held_against_its_floor(measure, tmp_path):
    found = measure(gpu_parts.main, "koine:modern-base-512", "--profile")
    assert found["tokens_per_s"] > 0
    assert len(found["windows"]) == 2
    assert found["kernels"]["busy_s"] > 0
    assert (tmp_path / found["kernels"]["file"]).is_file()
    rates = {"matmul_flop_per_s": 1e12, "copy_bytes_per_s": 1e12, "products": {}}
    text = gpu_tables.tables({"rates": rates, "koine:modern-base-512": found})
    assert f"{found['tokens_per_s']:,.0f}" in text
    assert "of the floor's speed" in text


@pytest.mark.parametrize("part", ["attention", "optimizer"])
def test_a_part_is_measured_by_itself(measure, part):
    found = measure(gpu_parts.main, part)
    numbers = found.get("seconds_per_token") or {key: found[key] for key in ("clip_s", "muon_s")}
    assert all(value > 0 for value in numbers.values())


@pytest.mark.parametrize("case", ["bert-base-128", "modern-base-512"])
def test_the_usual_loop_has_the_same_weights_and_learns_from_the_same_sequences(measure, case):
    import other_pretrain

    usual = measure(other_pretrain.main, f"usual:{case}")
    koine = measure(gpu_parts.main, f"koine:{case}")
    assert usual["parameters"] == koine["parameters"]
    assert usual["fill"] <= koine["fill"]
    assert abs(usual["loss"] - koine["loss"]) < 1  # both have hardly begun


def test_a_part_that_fails_costs_no_other(tmp_path, capsys):
    code = gpu_pretrain.main(
        ["--cpu", "--out", str(tmp_path), "--parts", "koine:nothing", "attention"]
    )
    assert code == 1
    lines = (tmp_path / "parts.jsonl").read_text().splitlines()
    done = {found["part"]: found for found in map(json.loads, lines)}
    assert "KeyError" in done["koine:nothing"]["failed"]
    assert done["attention"]["seconds_per_token"]
    assert "KeyError" in (tmp_path / "log.txt").read_text()
    assert (tmp_path / "tables.md").read_text() in capsys.readouterr().out


def test_a_packed_build_is_smaller_and_has_every_language(tmp_path):
    build = write_build(tmp_path / "build")
    before = sum(path.stat().st_size for path in (build / "tokens").rglob("*.arrow"))
    rest = sum(path.stat().st_size for path in (build / "vocab").rglob("*"))
    packed = tmp_path / "packed"
    found = gpu_run.pack(build, packed, num_bytes=rest + before * 2 // 3)
    assert 0 < found["whole"] < found["languages"]
    for name in ("vocab", "tokens"):
        assert store.verify(store.Folder(packed / name), artefact=name) == []

    def opened(folder):
        vocab_hash = store.Folder(folder / "vocab").read_json(store.MANIFEST)["vocab_hash"]
        return Shards.open(
            store.Folder(folder / "tokens"),
            vocab_hash=vocab_hash,
            labels=None,
            held_out=HeldOut(),
            seed=0,
        )

    small, large = opened(packed), opened(build)
    assert small.labels == large.labels
    assert 0 < small.num_tokens.sum() < large.num_tokens.sum()


def test_sizes_are_cut_to_one_that_makes_them_fit():
    assert gpu_run.cap([1, 2, 30, 40], 43) == 20
    assert gpu_run.cap([1, 2, 3], 100) == 3


@pytest.mark.parametrize("kind", ["bert", "modern"])
def test_one_compiled_model_serves_all_mask_rates(kind):
    step, graphs = Step(Pretrainer(SHAPES[kind], vocab_rows=ROWS)), []

    def counted(graph, inputs):
        graphs.append(graph)
        return graph.forward

    compiled = torch.compile(step, backend=counted, fullgraph=True, dynamic=False)
    for num_masked in (40, 32, 24):
        inputs = packed(num_masked=num_masked)
        for name in feed.VARYING:  # as `inputs_of` does on a GPU
            torch._dynamo.maybe_mark_dynamic(getattr(inputs, name), 0)
        one, _ = compiled(inputs, LONGEST)
        torch.testing.assert_close(one, step(inputs, LONGEST)[0])
    assert len(graphs) == 1
