"""Kill builds at random moments: the next run finishes with the bytes of an undisturbed one."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests_support import ROOT, hashes, koine


def start(config: Path, out: Path, *more: str) -> subprocess.Popen:
    return subprocess.Popen(
        [
            *(sys.executable, str(ROOT / "koine.py"), "corpus", "build", str(config)),
            *("--out", str(out), "--quiet", "--workers", "2", *more),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def descendants(pid: int) -> list[int]:
    """Child processes that are Python workers, by /proc."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                status = (entry / "stat").read_text().rpartition(")")[2].split()
                if int(status[1]) == pid:
                    found.append(int(entry.name))
    return found


@pytest.fixture(scope="module")
def undisturbed(small_corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("undisturbed")
    started = time.monotonic()
    assert start(small_corpus, out).wait() == 0
    return hashes(out), time.monotonic() - started


def kill_and_finish(config, out, undisturbed, *, seed: int) -> None:
    generator = random.Random(seed)
    wanted, took = undisturbed
    run = start(config, out)
    time.sleep(generator.uniform(0.2, 1.0) * took)
    victims = descendants(run.pid)
    if victims and generator.random() < 0.5:
        with contextlib.suppress(ProcessLookupError):
            os.kill(generator.choice(victims), signal.SIGKILL)
        assert run.wait(timeout=120) == 0  # a worker's death is the build's own business
    else:
        run.kill()
        run.wait()
    kept = {p: p.stat().st_mtime_ns for p in out.glob("work/measured/*.json")}
    again = koine("corpus", "build", config, "--out", out, "--quiet")
    assert again.returncode == 0, again.stderr
    assert hashes(out) == wanted
    assert {p: p.stat().st_mtime_ns for p in kept} == kept  # finished units were not redone


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_a_random_moment_a_build_goes_on_to_the_same_bytes(
    seed, small_corpus, undisturbed, tmp_path
):
    kill_and_finish(small_corpus, tmp_path, undisturbed, seed=seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4, 8))
def test_killed_at_more_random_moments(seed, small_corpus, undisturbed, tmp_path, data):
    kill_and_finish(small_corpus, tmp_path, undisturbed, seed=seed)


def test_workers_do_not_outlive_their_parent(small_corpus, tmp_path):
    run = start(small_corpus, tmp_path)
    deadline = time.monotonic() + 60
    while len(workers := descendants(run.pid)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    run.kill()
    run.wait()
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        alive = [pid for pid in workers if Path(f"/proc/{pid}").exists()]
        if not alive:
            break
        time.sleep(0.1)
    assert alive == []


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_leaves_one_line_and_a_resumable_folder(number, code, small_corpus, tmp_path):
    run = subprocess.Popen(
        [
            *(sys.executable, str(ROOT / "koine.py"), "corpus", "build", str(small_corpus)),
            *("--out", str(tmp_path), "--workers", "2"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not descendants(run.pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    run.send_signal(number)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == code
    assert "Traceback" not in errors
    assert koine("corpus", "build", small_corpus, "--out", tmp_path, "--quiet").returncode == 0
