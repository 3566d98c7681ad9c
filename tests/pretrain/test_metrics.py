"""The log of a run: what is written, what survives a kill, what a resumed run cuts."""

import json
import os
import subprocess
import sys

import fsspec
import numpy as np
import pytest

from pipelines import store
from pipelines.errors import EnvironmentProblem
from pretrain.metrics import EVALUATION, LOG, TENSORBOARD, Log, plain, records
from tests_support import ROOT


def lines(folder, name=LOG):
    return [json.loads(line) for line in (folder.root / name).read_text().splitlines()]


def judged(step, **bits):
    labels = {
        label: {"bits_per_byte": value, "mlm_accuracy": 0.5, "nsp_accuracy": None}
        for label, value in bits.items()
    }
    worst = max(bits, key=bits.get)
    mean = sum(bits.values()) / len(bits)
    return {"step": step, "labels": labels, "mean_bits_per_byte": mean, "worst": worst}


@pytest.fixture
def folder(tmp_path):
    return store.Folder(tmp_path / "run")


def test_a_step_and_an_evaluation_can_be_read_before_the_log_is_closed(folder):
    with Log(folder, tensorboard=False) as log:
        log.step({"step": 10, "loss": 3.25})
        log.evaluation(judged(10, swh_Latn=1.5))
        assert lines(folder) == [{"step": 10, "loss": 3.25}]
        assert lines(folder, EVALUATION)[0]["labels"]["swh_Latn"]["bits_per_byte"] == 1.5


def test_what_is_no_finite_number_is_null(folder):
    with Log(folder, tensorboard=True) as log:
        log.step({"step": 1, "loss": float("nan"), "gradient_norm": float("inf"), "skipped": [0]})
        log.evaluation(judged(1, swh_Latn=float("nan")))
    assert lines(folder) == [{"step": 1, "loss": None, "gradient_norm": None, "skipped": [0]}]
    assert lines(folder, EVALUATION)[0]["mean_bits_per_byte"] is None


def test_numbers_of_numpy_and_torch_become_plain_ones():
    import torch

    found = plain(
        {"a": np.float32(0.5), "b": torch.tensor(2), "c": (np.int64(3), np.float64("nan"))}
    )
    assert found == {"a": 0.5, "b": 2, "c": [3, None]}
    assert json.dumps(found)
    with pytest.raises(TypeError, match="object has no place in a log"):
        plain({"a": object()})


def test_a_run_that_goes_on_cuts_what_came_after_its_checkpoint(folder):
    with Log(folder, tensorboard=False) as log:
        for step in range(10, 60, 10):
            log.step({"step": step, "loss": 1.0})
            log.evaluation(judged(step, swh_Latn=2.0))
    with Log(folder, tensorboard=False, from_step=30) as log:
        log.step({"step": 40, "loss": 0.5})
    assert [(row["step"], row["loss"]) for row in lines(folder)] == [
        (10, 1.0), (20, 1.0), (30, 1.0), (40, 0.5),
    ]  # fmt: skip
    assert [row["step"] for row in lines(folder, EVALUATION)] == [10, 20, 30]


@pytest.mark.parametrize(
    "torn", [b'{"step": 20, "lo', b'{"step": 20}', b"\0\0\0\n", b"[1]\n", b"1\n"]
)
def test_a_torn_line_is_dropped_and_the_next_one_starts_afresh(folder, torn):
    folder.write_bytes(LOG, b'{"step": 10}\n' + torn)
    assert records(folder, LOG) == [{"step": 10}]
    with Log(folder, tensorboard=False, from_step=50) as log:
        log.step({"step": 30})
    assert lines(folder) == [{"step": 10}, {"step": 30}]


def test_a_log_with_nothing_to_cut_is_left_as_it_is(folder):
    folder.write_bytes(LOG, b'{"loss":  0.10, "step": 10}\n')
    before = (folder.root / LOG).stat().st_ino
    Log(folder, tensorboard=False, from_step=10).close()
    assert (folder.root / LOG).read_bytes() == b'{"loss":  0.10, "step": 10}\n'
    assert (folder.root / LOG).stat().st_ino == before


def test_a_step_written_twice_is_read_once_as_it_was_last(folder):
    folder.write_bytes(LOG, b'{"step": 2, "loss": 1}\n{"step": 1}\n{"step": 2, "loss": 3}\n')
    assert records(folder, LOG) == [{"step": 1}, {"step": 2, "loss": 3}]
    assert records(folder, EVALUATION) == []


def python(code, folder, **environment):
    return subprocess.run(
        [sys.executable, "-c", code, str(folder.root)],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )


def test_a_killed_process_loses_no_line(folder):
    code = (
        "import os, signal, sys; from pipelines import store; from pretrain.metrics import Log\n"
        "log = Log(store.Folder(sys.argv[1]), tensorboard=False)\n"
        "for step in range(1, 8): log.step({'step': step})\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert python(code, folder).returncode == -9
    assert [row["step"] for row in lines(folder)] == list(range(1, 8))


def test_a_kill_while_the_log_is_cut_leaves_the_old_one_or_the_new_one(folder):
    old = b"".join(b'{"step": %d}\n' % step for step in range(1, 9))
    new = old[: old.index(b'{"step": 5}')]
    code = (
        "import sys; from pipelines import store; from pretrain.metrics import Log\n"
        "Log(store.Folder(sys.argv[1]), tensorboard=False, from_step=4).close()"
    )
    seen = set()
    for fault in range(1, 9):
        folder.write_bytes(LOG, old)
        run = python(code, folder, KOINE_FAULT=f"kill@{fault}")
        found = (folder.root / LOG).read_bytes()
        assert found in (old, new)
        assert run.returncode in (0, -9)
        if run.returncode == 0:
            assert found == new
            break
        seen.add(found)
    else:
        pytest.fail("it was killed at every point")
    assert seen == {old, new}


def test_a_full_disk_is_an_error_that_names_the_file(folder):
    code = (
        "import resource, signal, sys; from pipelines import store\n"
        "from pretrain.metrics import Log; from pipelines.errors import EnvironmentProblem\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "log = Log(store.Folder(sys.argv[1]), tensorboard=False)\n"
        "try:\n"
        "    for step in range(100): log.step({'step': step})\n"
        "except EnvironmentProblem as error: print(error)\n"
        "log.close()"
    )
    run = python(code, folder)
    assert run.returncode == 0, run.stderr
    assert f"{folder.path(LOG)}: the disk is full" in run.stdout


def scalars(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(folder.path(TENSORBOARD))
    events.Reload()
    return {
        tag: {one.step: round(one.value, 4) for one in events.Scalars(tag)}
        for tag in events.Tags()["scalars"]
    }


def test_tensorboard_has_every_language_the_mean_and_the_worst(folder):
    with Log(folder, tensorboard=True) as log:
        log.step(
            {"step": 10, "loss": 3.5, "mfu": None, "wait_share": 0.25, "tokens": 7, "skipped": []}
        )
        log.evaluation(judged(10, swh_Latn=1.5, bod_Tibt=0.5))
    assert scalars(folder) == {
        "train/loss": {10: 3.5},
        "speed/wait_share": {10: 0.25},
        "progress/tokens": {10: 7.0},
        "bits_per_byte/swh_Latn": {10: 1.5},
        "bits_per_byte/bod_Tibt": {10: 0.5},
        "mlm_accuracy/swh_Latn": {10: 0.5},
        "mlm_accuracy/bod_Tibt": {10: 0.5},
        "all/mean_bits_per_byte": {10: 1.0},
        "all/worst_bits_per_byte": {10: 1.5},
    }


def test_tensorboard_forgets_what_came_after_the_checkpoint(folder):
    with Log(folder, tensorboard=True) as log:
        for step in (10, 20, 30):
            log.step({"step": step, "loss": 1.0})
    with Log(folder, tensorboard=True, from_step=20) as log:
        log.step({"step": 25, "loss": 0.5})
    assert scalars(folder)["train/loss"] == {10: 1.0, 20: 1.0, 25: 0.5}


def test_without_tensorboard_the_error_says_what_to_install(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(EnvironmentProblem, match=r"pip install 'koine-multilingual\[pretrain\]'"):
        Log(folder, tensorboard=True)


def test_on_an_object_store_the_files_are_whole_after_each_evaluation():
    folder = store.Folder("memory://koine-log-test/run")
    with Log(folder, tensorboard=True) as log:
        log.step({"step": 1})
        log.evaluation(judged(1, swh_Latn=1.5))
        assert records(folder, LOG) == [{"step": 1}]
        log.step({"step": 2})
    log.close()
    with Log(folder, tensorboard=True, from_step=1) as log:
        log.step({"step": 3})
    assert [row["step"] for row in records(folder, LOG)] == [1, 3]
    fsspec.filesystem("memory").rm("/koine-log-test", recursive=True)
