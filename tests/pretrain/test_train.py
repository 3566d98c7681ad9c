"""The loop: what steps leave out, what stages and time change, how ranks share the work."""

import itertools
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from pretraining import (
    STEPS,
    Watcher,
    copied,
    lines,
    run_of,
    trained,
    without_timings,
    write_config,
)

from pipelines import store
from pipelines.errors import DataError
from pretrain import guards
from pretrain.checkpoint import Checkpoints
from pretrain.train import train
from tests_support import ROOT, call

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def out(pretrain_build, tmp_path):
    return copied(pretrain_build, tmp_path / "out")


def checkpoints_of(run):
    return Checkpoints(store.Folder(run / "checkpoints"), keep=100)


def assert_same(one, other):
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)


# Steps without a finite gradient.

EVERY = {"checkpoint": {"every_steps": 1, "keep": 100}, "evaluation": {"times": 1, "tokens": 256}}


def test_a_step_without_a_finite_gradient_changes_nothing_and_is_named(out, monkeypatch):
    monkeypatch.setenv("KOINE_POISON", "7")
    watcher = Watcher()
    done = train(run_of(out, **EVERY), watcher=watcher)
    saved = checkpoints_of(out / "runs" / "run")
    assert done.result["skipped"] == 1 and done.result["finished"]
    before, after, next_one = (saved.load(step) for step in (7, 8, 9))
    assert_same(before.model, after.model)
    assert_same(before.optimizer, after.optimizer)
    assert not torch.equal(after.model["mlm.bias"], next_one.model["mlm.bias"])
    assert after.state["tokens"] > before.state["tokens"]  # its data is over, too
    assert (before.state["skipped"], after.state["skipped"]) == (0, 1)
    assert all(torch.isfinite(tensor).all() for tensor in saved.load().model.values())
    log = {line["step"]: line for line in lines(out / "runs" / "run" / "log.jsonl")}
    assert log[8]["skipped"] == [7] and log[8]["loss"] is None
    assert all(not line["skipped"] and line["loss"] for step, line in log.items() if step != 8)
    (told,) = [note for note in watcher.notes if "no finite gradient" in note]
    assert "step 7" in told and f"replay {out / 'runs' / 'run'} --step 7" in told


def test_steps_left_out_count_once_however_lines_and_resumptions_fall(out, monkeypatch):
    monkeypatch.setenv("KOINE_POISON", "1,7,10,11")
    changes = {"log_every": 7}
    train(run_of(out, **changes), watcher=Watcher(stop_at=7))
    done = trained(out, resume=True, **changes)
    assert done.result["skipped"] == 4
    skipped = [line["skipped"] for line in lines(out / "runs" / "run" / "log.jsonl")]
    assert sorted(itertools.chain.from_iterable(skipped)) == [1, 7, 10, 11]


ROLLBACK = {
    "checkpoint": {"every_steps": 5, "keep": 100},
    "evaluation": {"times": 1, "tokens": 256},
    "max_skipped": 3,
}


def test_several_in_a_row_go_back_to_the_last_checkpoint_and_on_with_other_data(out, monkeypatch):
    monkeypatch.setenv("KOINE_POISON", "6,7,8")
    watcher = Watcher()
    done = train(run_of(out, **ROLLBACK), watcher=watcher)
    # Step 8 is known to have been lost when step 9 is done, whose change is lost with it.
    saved = checkpoints_of(out / "runs" / "run")
    fifth, tenth = saved.load(5), saved.load(10)
    assert_same(fifth.model, tenth.model)
    assert_same(fifth.optimizer, tenth.optimizer)
    assert tenth.state["tokens"] > fifth.state["tokens"]
    assert tenth.state["rollbacks"] == 1
    assert not torch.equal(tenth.model["mlm.bias"], saved.load(15).model["mlm.bias"])
    assert any("back to the weights of step 5" in note for note in watcher.notes)
    assert (done.result["finished"], done.result["rollbacks"], done.result["skipped"]) == (
        (True, 1, 3)
    )


def test_two_in_a_row_where_three_are_too_many_do_not(out, monkeypatch):
    monkeypatch.setenv("KOINE_POISON", "6,7,9,10,12,13,15,16")
    assert trained(out, **ROLLBACK).result["rollbacks"] == 0


def test_the_third_time_it_is_one_error_that_names_the_batch(out, monkeypatch):
    monkeypatch.setenv("KOINE_POISON", ",".join(map(str, range(6, STEPS))))
    config = write_config(out, **ROLLBACK)
    answer = call("pretrain", "run", config, "--out", out, "--name", "run", "--quiet")
    run = out / "runs" / "run"
    assert answer.code == 3, answer.errors
    assert answer.errors.startswith(f"koine: {run}: no finite gradient in 3 steps in a row")
    assert len(answer.errors.splitlines()) == 2
    assert f"koine pretrain replay {run} --step 14" in answer.errors
    assert checkpoints_of(run).verify() == []
    with pytest.raises(DataError, match="no finite gradient"):
        trained(out, resume=True, **ROLLBACK)  # nothing has changed


# Stages and time.

STAGES = [
    {"start": 0, "mask_rate": 0.3, "max_length": 32},
    {
        "start": 0.5,
        "mask_rate": 0.15,
        "sampling": {"by": "weights", "weights": {"swh_Latn": 50}, "max_repeat": 1000},
    },
    {"start": 0.75, "max_length": 64},
]


def test_stages_change_what_their_table_says_where_it_says(out):
    changes = {"stages": STAGES, "block": 2, "log_every": 1, "checkpoint": {"every_steps": 1}}
    changes["checkpoint"]["keep"] = 100
    done = trained(out, **changes)
    log = lines(out / "runs" / "run" / "log.jsonl")
    begun = checkpoints_of(out / "runs" / "run").state()["begun"]
    for (first, stage), (following, _) in itertools.pairwise(begun):
        assert stage == (first >= 20) + (first >= 30)  # of 40 micro-batches
        assert following > first
    assert {stage for _, stage in begun} == {0, 1, 2}
    starts = [next(first for first, one in begun if one == stage) for stage in (1, 2)]
    assert 20 <= starts[0] <= 22 and 30 <= starts[1] <= 32  # blocks have about two
    for line in log:
        assert line["stage"] == (line["step"] * 2 > starts[0]) + (line["step"] * 2 > starts[1])
    states = {step: checkpoints_of(out / "runs" / "run").state(step) for step in (9, 12, 20)}
    tokens = {
        step: np.array([*state["tokens_by_label"].values()]) for step, state in states.items()
    }
    swahili = [*done.result["tokens_by_label"]].index("swh_Latn")
    assert tokens[9][swahili] / tokens[9].sum() < 0.4
    assert (tokens[20] - tokens[12])[swahili] / (tokens[20] - tokens[12]).sum() > 0.8


def test_a_run_measured_in_time_ends_in_time_and_remembers_what_it_used(out):
    changes = {"tokens": None, "evaluation": {"times": 1, "tokens": 256}, "log_every": 1}
    train(run_of(out, budget="60s", **changes), watcher=Watcher(stop_at=4))
    used = checkpoints_of(out / "runs" / "run").state()["elapsed_s"]
    first = lines(out / "runs" / "run" / "log.jsonl")
    assert 0 < first[-1]["seconds"] - 0.05 <= used < 60
    budget = used + 1.5
    changes["budget"] = f"{budget:.3f}s"
    done = trained(out, resume=True, **changes)
    log = lines(out / "runs" / "run" / "log.jsonl")
    seconds = [line["seconds"] for line in log]
    assert done.result["finished"] and done.result["steps"] > first[-1]["step"]
    assert seconds == sorted(seconds)
    assert seconds[len(first)] > used
    # A step that was begun is finished; the last evaluation and checkpoint come after.
    assert budget - 1.5 < seconds[-1] < budget + 2
    assert budget <= done.result["seconds"] < budget + 8
    assert checkpoints_of(out / "runs" / "run").state()["elapsed_s"] >= budget
    records = lines(out / "runs" / "run" / "evaluation.jsonl")
    assert [one["final"] for one in records] == [False, True]
    again = trained(out, resume=True, **changes)
    assert again.result["steps"] == done.result["steps"]


def test_a_signal_in_the_last_step_does_not_keep_a_run_from_its_end(out):
    changes = {"log_every": 1, "evaluation": {"times": 1, "tokens": 256}}
    done = train(run_of(out, **changes), watcher=Watcher(stop_at=STEPS - 1))
    assert (done.signal, done.result["finished"], done.result["steps"]) == (None, True, STEPS)
    assert lines(out / "runs" / "run" / "evaluation.jsonl")[-1]["final"]


def test_a_finished_run_can_be_made_longer_and_is_judged_on(out, straight_run):
    trained(out, tokens=10 * 1024)
    done = trained(out, resume=True)
    records = lines(out / "runs" / "run" / "evaluation.jsonl")
    assert done.result["steps"] == STEPS
    assert [one["step"] for one in records][-3:] == [10, 15, 20]
    assert [one["final"] for one in records[-3:]] == [True, False, True]


def test_a_run_may_be_judged_more_rarely_or_more_often_when_it_goes_on(out):
    train(run_of(out), watcher=Watcher(stop_at=11))
    before = lines(out / "runs" / "run" / "evaluation.jsonl")
    assert [one["step"] for one in before] == [0, 5, 10]
    shutil.copytree(out / "runs" / "run", out / "runs" / "rarely")
    trained(out, "rarely", resume=True, evaluation={"times": 1})
    records = lines(out / "runs" / "rarely" / "evaluation.jsonl")
    assert [one["step"] for one in records] == [0, 5, 10, 20]
    train(run_of(out, resume=True, evaluation={"times": 1}), watcher=Watcher(stop_at=16))
    trained(out, resume=True, evaluation={"times": 20, "tokens": 256})
    steps = [one["step"] for one in lines(out / "runs" / "run" / "evaluation.jsonl")]
    stopped = steps[3]
    assert 16 <= stopped < 20
    assert steps == [0, 5, 10, *range(stopped, 21)]


def test_signals_that_come_together_are_one_and_a_later_one_interrupts(monkeypatch):
    told, before = [], signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt), guards.signals(told.append):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        assert told == [signal.SIGINT]
        monkeypatch.setattr(guards, "AGAIN_S", 0.0)
        time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(1)
    assert told == [signal.SIGINT]
    assert signal.getsignal(signal.SIGINT) is before


# Several ranks.


def free_port():
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return place.getsockname()[1]


def of_ranks(forks, num, *arguments):
    """Run a command on several ranks, as torchrun does."""
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(num)}
    started = [
        forks.start(*arguments, **shared, RANK=str(rank), LOCAL_RANK=str(rank))
        for rank in range(num)
    ]
    return [one.wait() for one in started]


def assert_nearly(run, other):
    """Two runs that trained on the same data, added up in another order."""
    one, two = (checkpoints_of(folder).load() for folder in (run, other))
    assert one.state == two.state
    for key, tensor in one.model.items():
        assert torch.allclose(tensor, two.model[key], atol=1e-5), key
    for a, b in zip(without_timings(run), without_timings(other), strict=True):
        assert a.keys() == b.keys()
        for key, value in a.items():
            close = pytest.approx(value, rel=1e-4) if isinstance(value, float) else value
            assert b[key] == close, key
    records = lines(run / "evaluation.jsonl"), lines(other / "evaluation.jsonl")
    for a, b in zip(*records, strict=True):
        assert a["labels"].keys() == b["labels"].keys()
        for label, row in a["labels"].items():
            other_row = b["labels"][label]
            assert row["masked"] == other_row["masked"]
            assert row["bits_per_byte"] == pytest.approx(other_row["bits_per_byte"], rel=1e-4)


@pytest.fixture(scope="module")
def of_two(pretrain_build, forks, tmp_path_factory):
    """The folder of a run of two ranks; only to be read."""
    out = copied(pretrain_build, tmp_path_factory.mktemp("ranks") / "out")
    config = pretrain_build / "corpora.yaml"
    command = ("pretrain", "run", config, "--out", out, "--name", "run", "--json")
    first, second = of_ranks(forks, 2, *command)
    assert (first.code, second.code) == (0, 0), first.errors + second.errors
    assert '"ranks": 2' in first.out
    assert (second.out, second.errors) == ("", "")
    return out / "runs" / "run"


def test_two_ranks_end_with_the_weights_of_one(of_two, straight_run):
    assert_nearly(of_two, straight_run)


def test_one_rank_goes_on_with_what_two_began(out, of_two, straight_run):
    run = shutil.copytree(of_two, out / "runs" / "run")
    shutil.rmtree(run / "checkpoints" / "step-00000020")
    assert trained(out, resume=True).result["finished"]
    assert_nearly(run, straight_run)


def test_two_ranks_go_on_with_what_one_began(out, forks, straight_run, pretrain_build):
    run = shutil.copytree(straight_run, out / "runs" / "run")
    shutil.rmtree(run / "checkpoints" / "step-00000020")
    config = pretrain_build / "corpora.yaml"
    command = ("pretrain", "run", config, "--out", out, "--name", "run", "--quiet", "--resume")
    for ended in of_ranks(forks, 2, *command):
        assert ended.code == 0, ended.errors
    assert_nearly(run, straight_run)


def test_torchrun_starts_ranks_and_an_interrupt_of_them_all_saves_and_stops(out, pretrain_build):
    config = write_config(out, tokens=1024 * 100_000)
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--master-port", str(free_port()), str(ROOT / "koine.py"), "pretrain", "run"]
    command += [str(config), "--out", str(out), "--name", "run"]
    with subprocess.Popen(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        for line in process.stderr:
            if " step " in line:
                break
        # As a terminal does; torchrun passes it on, so that each rank has it twice.
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode != 0
    assert errors.count("koine: stopped by a signal after step") == 1, errors
    saved = checkpoints_of(out / "runs" / "run")
    assert saved.verify() == []
    assert f"after step {saved.latest():,};" in errors


def test_ranks_that_cannot_share_a_step_are_refused_before_they_wait_for_each_other(
    out, monkeypatch
):
    monkeypatch.setenv("WORLD_SIZE", "3")
    monkeypatch.setenv("RANK", "0")
    answer = call("pretrain", "run", write_config(out), "--out", out)
    assert answer.code == 2
    assert "a step has 2 micro-batches, which 3 ranks can't share evenly" in answer.errors
    assert len(answer.errors.splitlines()) == 2
    assert not (out / "runs").exists()
