"""Kill encoding anywhere: the next run finishes with the bytes of an undisturbed one."""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from token_vocabulary import with_vocabulary

from tests_support import ROOT, hashes

# Units of some kilobytes: a small corpus has several.
CODE = """
import sys
from pipelines import engines
from tokenizer import encode

encode.UNIT_BYTES = 20_000
engine = engines.Local(2) if sys.argv[2] == "local" else engines.InProcess()
encode.encode(out=sys.argv[1], engine=engine)
engine.close()
"""
STEPS = 4  # points of the protocol in each file written


def start(out: Path, engine: str = "local", **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", CODE, str(out), engine],
        cwd=ROOT,
        env={**os.environ, **environment},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(run: subprocess.Popen) -> None:
    _, errors = run.communicate(timeout=120)
    assert run.returncode == 0, errors


def children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]
    return []


@pytest.fixture(scope="module")
def prepared(small_build, tmp_path_factory):
    return with_vocabulary(small_build.out, tmp_path_factory.mktemp("prepared") / "out")


@pytest.fixture(scope="module")
def undisturbed(prepared, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    shutil.copytree(prepared, out)
    started = time.monotonic()
    finish(start(out))
    num_files = len(list((out / "tokens").rglob("*.arrow"))) + 1
    num_files += len(list((out / "work" / "tokens").glob("*.json")))
    return hashes(out), time.monotonic() - started, num_files


def goes_on(out: Path, wanted: dict[str, str]) -> None:
    """Run again: the bytes are those wanted, and no finished unit is redone."""
    listed = {p: p.stat().st_mtime_ns for p in (out / "work" / "tokens").glob("*.json")}
    finish(start(out, "in-process"))
    assert hashes(out) == wanted
    assert {p: p.stat().st_mtime_ns for p in listed} == listed


def kill_at_random(out: Path, undisturbed, *, seed: int) -> None:
    generator = random.Random(seed)
    wanted, took, _ = undisturbed
    run = start(out)
    time.sleep(generator.uniform(0.3, 1.0) * took)
    victims = children(run.pid)
    if victims and generator.random() < 0.5:
        with contextlib.suppress(ProcessLookupError):
            os.kill(generator.choice(victims), signal.SIGKILL)
        finish(run)  # a worker's death is the run's own business
    else:
        run.kill()
        run.communicate()
    goes_on(out, wanted)


def kill_at_step(out: Path, undisturbed, *, step: int) -> None:
    """Die at exactly this step of writing files."""
    run = start(out, "in-process", KOINE_FAULT=f"kill@{step}")
    run.communicate(timeout=120)
    assert run.returncode == -signal.SIGKILL
    goes_on(out, undisturbed[0])


def steps(undisturbed, count: int, *, seed: int) -> list[int]:
    last = STEPS * undisturbed[2]
    return [*random.Random(seed).sample(range(1, last), count), last]


@pytest.mark.parametrize("seed", range(3))
def test_killed_at_a_random_moment_encoding_goes_on_to_the_same_bytes(
    seed, prepared, undisturbed, tmp_path
):
    shutil.copytree(prepared, tmp_path / "out")
    kill_at_random(tmp_path / "out", undisturbed, seed=seed)


@pytest.mark.parametrize("number", range(3))
def test_killed_at_a_step_of_writing_encoding_goes_on_to_the_same_bytes(
    number, prepared, undisturbed, tmp_path
):
    shutil.copytree(prepared, tmp_path / "out")
    kill_at_step(tmp_path / "out", undisturbed, step=steps(undisturbed, 2, seed=1)[number])


@pytest.mark.slow
@pytest.mark.parametrize("number", range(4))
def test_killed_at_more_moments_and_steps(number, prepared, undisturbed, tmp_path, data):
    for kind in ("moment", "step"):
        shutil.copytree(prepared, tmp_path / kind)
    kill_at_random(tmp_path / "moment", undisturbed, seed=100 + number)
    kill_at_step(tmp_path / "step", undisturbed, step=steps(undisturbed, 3, seed=2)[number])


def test_a_full_disk_is_one_clear_error_and_encoding_goes_on(prepared, undisturbed, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(prepared, out)
    run = start(out, "in-process", KOINE_FAULT="enospc@11")
    _, errors = run.communicate(timeout=120)
    assert run.returncode == 1
    assert "EnvironmentProblem" in errors
    assert "the disk is full" in errors
    assert not (out / "tokens" / "manifest.json").exists()
    goes_on(out, undisturbed[0])
