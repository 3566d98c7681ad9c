"""Kill a save anywhere, or fill its disk: the one before it loads, and the next save succeeds."""

import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pipelines import store
from pipelines.errors import EnvironmentProblem
from pretrain.checkpoint import Checkpoints
from tests_support import ROOT, hashes

CODE = """
import json, os, shutil, sys
from pathlib import Path

import torch
from pipelines.store import Folder
from pretrain.checkpoint import Checkpoints

torch.set_num_threads(1)
base, codes = Path(sys.argv[1]), []
while not codes or codes[-1]:
    copy = base / str(len(codes) + 1)
    shutil.copytree(base / "before", copy)
    child = os.fork()  # a process each, without importing torch each time
    if not child:
        os.environ["KOINE_FAULT"] = f"kill@{len(codes) + 1}"
        checkpoints = Checkpoints(Folder(copy), keep=2)
        tensors = {"a": torch.full((1000,), 3.0)}
        checkpoints.save(3, model=tensors, optimizer=tensors, state={"step": 3})
        checkpoints.wait()
        os._exit(0)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(json.dumps(codes))
"""
WRITING = 4 * 4  # points of the protocol: four in each of the four files
DELETING = 2  # one in each folder that goes: the rest of a killed save, the oldest checkpoint


def save(checkpoints: Checkpoints, step: int) -> None:
    tensors = {"a": torch.full((1000,), float(step))}
    checkpoints.save(step, model=tensors, optimizer=tensors, state={"step": step})
    checkpoints.wait()


def assert_goes_on(folder: Path, *, whole: tuple[int, ...], wanted: dict[str, str]) -> None:
    """The last checkpoint is one of these, and the next save leaves nothing but two whole ones."""
    checkpoints = Checkpoints(store.Folder(folder), keep=2)
    loaded = checkpoints.load()
    assert loaded.step in whole
    assert loaded.state == {"step": loaded.step}
    assert torch.equal(loaded.model["a"], torch.full((1000,), float(loaded.step)))
    assert torch.equal(loaded.optimizer["a"], loaded.model["a"])
    assert checkpoints.verify() == []
    for step in range(loaded.step + 1, 5):
        save(checkpoints, step)
    assert hashes(folder) == wanted
    assert sorted(path.name for path in folder.iterdir()) == ["step-00000003", "step-00000004"]


@pytest.fixture
def before(tmp_path):
    """Two checkpoints, and the rest of a save that was killed."""
    folder = tmp_path / "before"
    checkpoints = Checkpoints(store.Folder(folder), keep=2)
    save(checkpoints, 1)
    save(checkpoints, 2)
    shutil.copytree(folder / "step-00000001", folder / "step-00000009")
    (folder / "step-00000009" / store.MANIFEST).unlink()
    return folder


@pytest.fixture
def undisturbed(tmp_path):
    checkpoints = Checkpoints(store.Folder(tmp_path / "undisturbed"), keep=2)
    save(checkpoints, 3)
    save(checkpoints, 4)
    return hashes(tmp_path / "undisturbed")


def test_killed_at_any_step_of_a_save_the_run_goes_on_from_a_whole_one(
    before, undisturbed, tmp_path
):
    run = subprocess.run(
        [sys.executable, "-c", CODE, str(tmp_path)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    codes = json.loads(run.stdout)
    assert codes == [-9] * (WRITING + DELETING) + [0]
    committing = WRITING  # after the point that follows the manifest's renaming
    for number, _ in enumerate(codes, start=1):
        whole = (3,) if number > committing else (2,)
        assert_goes_on(tmp_path / str(number), whole=whole, wanted=undisturbed)


def test_a_disk_that_is_full_at_any_step_is_one_error_and_costs_nothing(
    before, undisturbed, tmp_path, monkeypatch
):
    failures = []
    for number in itertools.count(1):
        folder = tmp_path / str(number)
        shutil.copytree(before, folder)
        checkpoints = Checkpoints(store.Folder(folder), keep=2)
        monkeypatch.setenv("KOINE_FAULT", f"enospc@{number}")
        monkeypatch.setattr(store, "_points", itertools.count(1))
        try:
            save(checkpoints, 3)
        except EnvironmentProblem as problem:
            assert "the disk is full" in str(problem)
            assert not (folder / "step-00000003").exists()
            failures.append(number)
        monkeypatch.delenv("KOINE_FAULT")
        checkpoints.wait()  # the error came once
        assert checkpoints.latest() == (2 if number in failures else 3)
        undeleted = checkpoints.undeleted
        assert_goes_on(folder, whole=(2, 3), wanted=undisturbed)
        if number > WRITING + DELETING:  # there are fewer steps than that
            assert undeleted is None
            break
        assert (undeleted is None) == (number in failures)  # deleting failed, and nothing else
    assert len(failures) == WRITING


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_save_that_is_under_way_when_the_run_ends_is_finished(interrupted, tmp_path):
    code = CODE.partition("base, codes")[0] + (
        "Checkpoints(Folder(sys.argv[1]), keep=1).save(\n"
        "    1, model={'a': torch.ones(2_000_000)}, optimizer={}, state={}\n"
        ")\n"
    )
    code += "raise KeyboardInterrupt" if interrupted else ""
    run = subprocess.run([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True)
    assert run.returncode != 0 if interrupted else run.returncode == 0
    loaded = Checkpoints(store.Folder(tmp_path), keep=1).load()
    assert torch.equal(loaded.model["a"], torch.ones(2_000_000))
