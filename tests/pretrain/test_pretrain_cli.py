"""`koine pretrain`: one JSON object, one error with place, fact and remedy, the right exit code."""

import itertools
import json
import os
import resource
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import torch
from pretraining import LABELS, SHORT, copied, lines, what_it_is, write_config
from token_vocabulary import write_vocabulary
from vocab_commands import assert_refused, flip
from vocabulary_models import small_model

from pipelines import store
from pretrain.checkpoint import Checkpoints
from tests_support import call

pytestmark = pytest.mark.usefixtures("one_thread")
SHORT_RUN = {"tokens": 3 * 1024, "checkpoint": {"every_steps": 1}}


@pytest.fixture
def out(pretrain_build, tmp_path):
    return copied(pretrain_build, tmp_path / "out")


@pytest.fixture(scope="module")
def begun(pretrain_build, tmp_path_factory):
    """A build with a run of three steps; only to be read."""
    out = copied(pretrain_build, tmp_path_factory.mktemp("cli") / "out")
    answer = run(out, **SHORT_RUN)
    assert answer.code == 0, answer.errors
    return out


@pytest.fixture
def resumable(begun, tmp_path):
    return shutil.copytree(begun, tmp_path / "out")


def run(out, *arguments, **changes):
    config = write_config(out, **changes)
    given = ("--out", out, "--name", "run", "--quiet", *arguments)
    return call("pretrain", "run", config, *given)


def parsed(answer):
    assert answer.code == 0, answer.errors
    value = json.loads(answer.out, parse_constant=pytest.fail)
    assert isinstance(value, dict)
    return value


def test_json_is_one_object_that_says_what_became_of_the_run(out):
    config = write_config(out, **SHORT_RUN)
    answer = call("pretrain", "run", config, "--out", out, "--name", "run", "--json")
    found = parsed(answer)
    assert found["run"] == str(out / "runs" / "run")
    assert (found["steps"], found["finished"]) == (3, True)
    assert 0.8 * 3 * 1024 < found["tokens"] <= 3 * 1024
    assert found["tokens"] == sum(found["tokens_by_label"].values())
    assert 8 < found["loss"] < 10
    assert set(found["bits_per_byte"]) == {*LABELS} - {SHORT}
    assert found["worst"] in found["bits_per_byte"]
    assert json.loads((out / "runs" / "run" / "result.json").read_text()) == {
        key: value for key, value in found.items() if key != "report"
    }
    assert Path(found["report"]).stat().st_size > 1000
    assert "judging" in answer.errors  # for people, beside the object


def test_a_finished_run_says_the_same_again_and_does_nothing(straight_run, tmp_path):
    out = copied(straight_run.parents[1], tmp_path / "out")
    shutil.copytree(straight_run, out / "runs" / "run")
    before = what_it_is(out / "runs" / "run")
    found = parsed(run(out, "--resume", "--json"))
    wanted = json.loads((straight_run / "result.json").read_text())
    varying = {"run", "seconds", "machine", "report"}
    assert found.keys() - {"report"} == wanted.keys()
    for key in wanted.keys() - varying:
        assert found[key] == wanted[key], key
    assert len(found["bits_per_byte"]) == 4
    assert abs(found["seconds"] - wanted["seconds"]) < 5
    assert what_it_is(out / "runs" / "run") == before


def test_quiet_says_nothing_and_without_it_the_end_is_told(out):
    answer = run(out, **SHORT_RUN)
    assert (answer.out, answer.errors) == ("", "")
    config = write_config(out, **SHORT_RUN)
    told = call("pretrain", "run", config, "--out", out, "--name", "run", "--resume")
    assert told.code == 0
    assert "swh_Latn" in told.out


def test_show_replay_and_verify_look_at_a_run(begun):
    folder = begun / "runs" / "run"
    shown = parsed(call("pretrain", "show", folder, "--json"))
    assert shown["report"] == str(folder / "report.html")
    found = parsed(call("pretrain", "replay", folder, "--step", "2", "--json"))
    assert [one["micro"] for one in found["micro_batches"]] == [4, 5]
    told = call("pretrain", "replay", folder, "--step", "2", "--examples", "1")
    assert told.code == 0 and told.out
    verified = parsed(call("pretrain", "verify", folder, "--json"))
    assert verified == {"checkpoints": [2, 3], "wrong": []}
    assert call("pretrain", "verify", folder).out.startswith("2 checkpoints")


# Signals.


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_step_saves_and_names_the_command_that_goes_on(
    number, code, out, forks, straight_run, pretrain_build
):
    config = shutil.copy(pretrain_build / "corpora.yaml", out)
    folder = out / "runs" / "it"
    command = ["pretrain", "run", config, "--out", out, "--name", "it", "--preset", "bert-tiny"]
    command += ["--set", "pretrain.checkpoint.keep=3", "--set", "pretrain.log_every=1"]
    fork = forks.start(*command)
    fork.until(lambda: (folder / "log.jsonl").is_file() and len(lines(folder / "log.jsonl")) >= 2)
    fork.send(number)
    ended = fork.wait()
    assert ended.code == code, ended.errors
    assert ended.errors.count("koine: stopped by a signal after step ") == 1
    saved = Checkpoints(store.Folder(folder / "checkpoints"), keep=3)
    told = int(ended.errors.partition("after step ")[2].split(";")[0])
    assert saved.latest() == told == lines(folder / "log.jsonl")[-1]["step"] < 20
    assert json.loads((folder / "result.json").read_text())["finished"] is False
    again = shlex.split(ended.errors.strip().rpartition("Go on: ")[2])
    assert again[0] == "koine" and again[-1] == "--resume"
    assert forks.run(*again[1:]).code == 0
    found, wanted = what_it_is(folder), what_it_is(straight_run)
    assert found["evaluation.jsonl"] == wanted["evaluation.jsonl"]
    last = [name for name in wanted if name.startswith("checkpoints/step-00000020/")]
    assert len(last) == 4
    assert {name: found[name] for name in last} == {name: wanted[name] for name in last}


def test_the_command_that_goes_on_has_the_time_that_was_given(out, forks):
    config = write_config(out, tokens=None)
    command = ("pretrain", "run", config, "--out", out, "--budget", "30s")
    fork = forks.start(*command)
    log = out / "runs" / "bert-tiny" / "log.jsonl"
    fork.until(lambda: log.is_file() and log.stat().st_size > 0)
    fork.send(signal.SIGTERM)
    ended = fork.wait()
    assert ended.code == 143
    assert f"koine pretrain run {config} --out {out} --budget 30s --resume" in ended.errors


# Refusals.


def change_manifest(path, **facts):
    path.write_text(json.dumps({**json.loads(path.read_text()), **facts}))


def without_vocabulary(out):
    shutil.rmtree(out / "vocab")


def without_tokens(out):
    shutil.rmtree(out / "tokens")


def with_another_vocabulary(out):
    write_vocabulary(out / "vocab", small_model("bpe"))


def with_a_torn_shard(out):
    path = out / "tokens" / "swh_Latn" / "part-00000.arrow"
    path.write_bytes(path.read_bytes()[:-100])


def with_a_file_for_a_folder(out):
    (out / "runs").write_text("")


@pytest.mark.parametrize(
    ("damage", "code", "parts"),
    [
        (without_vocabulary, 3, ["/vocab", "koine vocab train"]),
        (without_tokens, 3, ["/tokens", "koine vocab encode"]),
        (with_another_vocabulary, 3, ["/tokens", "vocabulary", "koine vocab encode"]),
        (with_a_torn_shard, 3, ["swh_Latn/part-00000.arrow", "koine vocab encode"]),
        (with_a_file_for_a_folder, 4, ["/runs", "cannot be written", "--out"]),
    ],
)
def test_a_build_that_cannot_be_trained_on_is_refused(damage, code, parts, out):
    damage(out)
    assert_refused(run(out), code, *parts)


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"labels": ["swh_Latn", "ind_Latn"]}, ["pretrain.labels", "ind_Latn", "Leave out"]),
        ({"micro_batch_tokens": 256, "max_length": 192}, ["micro_batch_tokens", "256", "192"]),
        (
            {"sampling": {"by": "weights", "weights": {"ind_Latn": 2}}},
            ["pretrain.sampling.weights", "ind_Latn"],
        ),
        ({"attention": "varlen"}, ["pretrain.attention", "auto or tiles"]),
    ],
)
def test_settings_that_the_build_or_the_machine_cannot_have_are_refused(changes, parts, out):
    assert_refused(run(out, **changes), 2, *parts)
    assert not (out / "runs" / "run" / "config.json").exists()


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("presett: bert-tiny", ["presett", "preset"]),
        ("preset: bert-tinny", ["bert-tinny", "bert-tiny"]),
        ("budget: 10 minutes", ["10 minutes", "10min"]),
        ("{tokens: 1000, budget: 10min}", ["given twice"]),
        ("stages: [{start: 0.5}, {start: 0.2}]", ["do not start one after the other"]),
        ("mask_rate: 1.5", ["mask_rate", "1"]),
    ],
)
def test_what_is_misspelt_is_named_with_its_place(text, parts, tmp_path):
    config = tmp_path / "corpora.yaml"
    config.write_text(f"pretrain:\n  {text}\n" if text[0] != "{" else f"pretrain: {text}\n")
    answer = call("pretrain", "run", config, "--out", tmp_path)
    assert (answer.code, answer.out) == (2, "")
    assert answer.errors.startswith(f"{config}:")
    for part in parts:
        assert part in answer.errors


def test_a_budget_or_preset_of_the_command_line_is_checked_too(out):
    for given, parts in ((("--budget", "soon"), "10min"), (("--preset", "bert-tini"), "bert-tiny")):
        answer = run(out, *given)
        assert answer.code == 2 and parts in answer.errors


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(out):
    assert_refused(run(out, device="cuda"), 4, "pretrain.device", "no GPU", "auto or cpu")


def test_a_run_that_is_there_is_not_begun_again(begun):
    assert_refused(run(begun, **SHORT_RUN), 2, "runs/run", "already", "--resume", "--name")


def test_resuming_with_other_settings_names_each(resumable):
    answer = run(resumable, "--resume", **SHORT_RUN, seed=3, width=128)
    assert answer.code == 2
    assert "pretrain.seed: 0 before, 3 now" in answer.errors
    assert "pretrain.width: 64 before, 128 now" in answer.errors
    assert answer.errors.splitlines()[-1].startswith("  ")


def test_a_checkpoint_that_was_damaged_is_refused_and_the_older_one_is_named(resumable):
    folder = resumable / "runs" / "run" / "checkpoints"
    flip(folder / "step-00000003" / "model.safetensors", at=20_000)
    changes = {**SHORT_RUN, "tokens": 5 * 1024}
    answer = run(resumable, "--resume", **changes)
    assert answer.code == 3
    assert "step-00000003/model.safetensors" in answer.errors
    assert "step 2 is whole" in answer.errors
    verified = call("pretrain", "verify", resumable / "runs" / "run")
    assert verified.code == 3 and "step-00000003/model.safetensors" in verified.out
    shutil.rmtree(folder / "step-00000003")  # as it says
    assert run(resumable, "--resume", **changes).code == 0
    log = lines(resumable / "runs" / "run" / "log.jsonl")
    assert [line["step"] for line in log] == [1, 2, 3, 4, 5]


def test_a_second_process_in_the_folder_is_refused_and_changes_nothing(out, forks):
    config, folder = write_config(out), out / "runs" / "run"
    fork = forks.start("pretrain", "run", config, "--out", out, "--name", "run", "--quiet")
    fork.until(lambda: (folder / "log.jsonl").is_file())
    fork.send(signal.SIGSTOP)
    try:
        before = (folder / "config.json").read_bytes()
        assert_refused(run(out, "--resume", log_every=1), 4, "running here", f"pid {fork.pid}")
        assert (folder / "config.json").read_bytes() == before
    finally:
        fork.send(signal.SIGCONT)
    assert fork.wait().code == 0


@pytest.mark.parametrize("command", ["show", "replay", "verify", "export"])
def test_where_there_is_no_run_every_command_says_so(command, tmp_path):
    more = {"replay": ["--step", 0], "export": ["--to", tmp_path / "export"]}.get(command, [])
    assert_refused(call("pretrain", command, tmp_path, *more), 3, str(tmp_path), "no run here")


def test_a_step_that_the_run_does_not_have_is_refused(begun):
    answer = call("pretrain", "replay", begun / "runs" / "run", "--step", 3)
    assert answer.code == 2 and "the run has 3 steps" in answer.errors


def test_memory_that_is_not_there_is_one_error_that_names_the_dial(out, forks):
    config = write_config(out, width=2048, layers=8)
    fork = forks.start("pretrain", "run", config, "--out", out, "--name", "run", "--quiet")
    fork.until(lambda: (out / "runs" / "run").is_dir())
    status = Path(f"/proc/{fork.pid}/status").read_text()
    size = 1024 * int(status.partition("VmSize:")[2].split()[0])
    limit = size + (200 << 20)  # half of what the weights alone need
    resource.prlimit(fork.pid, resource.RLIMIT_AS, (limit, limit))
    ended = fork.wait()
    assert_refused(ended, 4, "out of memory with 512 tokens", "micro_batch_tokens", "--name")


# Disks that fill up.


def test_any_write_may_find_the_disk_full_and_the_run_goes_on_afterwards(
    out, monkeypatch, straight_run
):
    for step in itertools.count(3, step=31):
        monkeypatch.setenv("KOINE_FAULT", f"enospc@{step}")
        monkeypatch.setattr(store, "_points", itertools.count(1))
        answer = run(out, "--resume")
        monkeypatch.delenv("KOINE_FAULT")
        if answer.code == 0:
            break
        assert_refused(answer, 4, "the disk is full", "Free space")
        saved = Checkpoints(store.Folder(out / "runs" / "run" / "checkpoints"), keep=2)
        assert saved.verify() == []
        assert not saved.steps() or saved.load().step == saved.latest()
    assert step > 34
    assert what_it_is(out / "runs" / "run") == what_it_is(straight_run)


@pytest.fixture
def full_disk(tmp_path):
    """A disk of its own, where that is allowed, with room for a checkpoint but not for two."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "tmpfs", str(disk), "-o", "size=8m"]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a file system is not allowed here")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def test_a_disk_that_is_really_full_is_one_clear_error(full_disk, pretrain_build, straight_run):
    out = copied(pretrain_build, full_disk / "out")
    assert_refused(run(out), 4, "the disk is full")
    checkpoints = Checkpoints(store.Folder(out / "runs" / "run" / "checkpoints"), keep=2)
    assert checkpoints.steps() == [4] and checkpoints.verify() == []
    subprocess.run(["mount", "-o", "remount,size=100m", str(full_disk)], check=True)
    assert run(out, "--resume").code == 0
    assert what_it_is(out / "runs" / "run") == what_it_is(straight_run)
