"""Kill trainings anywhere: the next run finishes with the bytes of an undisturbed one.

And nothing goes on running without its parent: a training may take hours and most of the memory.
"""

import contextlib
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines import store
from tests_support import ROOT, Answer, call, hashes

SETTINGS = """\
vocab:
  labels: [amh_Ethi, ell_Grek, eng_Latn, swh_Latn]
  size: 1000
  held_out: 0.2
  parity: {max_rounds: 2}
"""
EXPORT_STEPS = 4 * 8  # four points of the protocol for each file of vocab/


@pytest.fixture(scope="module")
def prepared(sample_build, tmp_path_factory):
    """A folder with a configuration and a built corpus in out/; only to be copied."""
    folder = tmp_path_factory.mktemp("prepared")
    (folder / "corpora.yaml").write_text(SETTINGS)
    shutil.copytree(sample_build.out / "corpus", folder / "out" / "corpus")
    return folder


@pytest.fixture(scope="module")
def undisturbed(prepared, tmp_path_factory):
    """The published bytes, and the number of steps of writing in one process."""
    folder = shutil.copytree(prepared, tmp_path_factory.mktemp("undisturbed") / "build")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("KOINE_FAULT", "count@0")
        patched.setattr(store, "_points", itertools.count(1))
        assert in_this_process(folder) == Answer(0, "", "")
        return hashes(folder / "out"), next(store._points) - 1


@pytest.fixture
def build(prepared, tmp_path):
    return shutil.copytree(prepared, tmp_path / "build")


def arguments(folder: Path) -> tuple[object, ...]:
    return "vocab", "train", folder / "corpora.yaml", "--out", folder / "out", "--quiet"


def in_this_process(folder: Path) -> Answer:
    return call(*arguments(folder), "--runner", "in-process")


def start(folder: Path, *more: str, **environment: str) -> subprocess.Popen:
    """Start a training in a session of its own, whose processes can be told by it."""
    (folder / "temporary").mkdir(exist_ok=True)
    return subprocess.Popen(
        [sys.executable, str(ROOT / "koine.py"), *map(str, arguments(folder)), *more],
        env={**os.environ, "TMPDIR": str(folder / "temporary"), **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def session(leader: int) -> dict[int, tuple[int, str]]:
    """The living processes of a session: parent and command line by number."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError, IndexError):
                status = (entry / "stat").read_text().rpartition(")")[2].split()
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if int(status[3]) == leader and status[0] != "Z":
                    found[int(entry.name)] = int(status[1]), command
    return found


def trainers(run: subprocess.Popen) -> list[int]:
    return [pid for pid, (_, command) in session(run.pid).items() if "spm_process" in command]


def workers(run: subprocess.Popen) -> list[int]:
    return [pid for pid, (_, command) in session(run.pid).items() if "spawn_main" in command]


def wait_for(what: Callable[[], object], run: subprocess.Popen) -> None:
    deadline = time.monotonic() + 120
    while not what():
        assert run.poll() is None, run.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def assert_nothing_is_left(run: subprocess.Popen, folder: Path) -> None:
    deadline = time.monotonic() + 20
    while (alive := session(run.pid)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert alive == {}
    left = [path for path in (folder / "temporary").iterdir() if not is_python_s_own(path)]
    assert [path.name for path in left if not path.name.startswith("beam-")] == []  # Beam's own


def is_python_s_own(path: Path) -> bool:
    """Whether it is what `tempfile` tries a folder with, left as a kill came between."""
    return path.is_file() and len(path.name) == 8 and path.stat().st_size <= len("blat")


def goes_on(folder: Path, wanted: dict[str, str]) -> None:
    """Run again: the bytes are those wanted, and what was finished is not redone."""
    work = folder / "out" / "work" / "vocab"
    kept = {p: p.stat().st_mtime_ns for p in work.glob("*/*.json")}
    assert in_this_process(folder) == Answer(0, "", "")
    assert hashes(folder / "out") == wanted
    assert {p: p.stat().st_mtime_ns for p in kept} == kept
    assert not list((folder / "out").rglob(".tmp-*"))


def moment(name: str, folder: Path, run: subprocess.Popen) -> Callable[[], object]:
    """A condition that becomes true at that moment of a training."""
    work = folder / "out" / "work" / "vocab"
    return {
        "count": lambda: list(work.glob("counts-*/*.json")),
        "fit": lambda: trainers(run),
        "second fit": lambda: list(work.glob("models/*.json")) and trainers(run),
        "export": lambda: list((folder / "out").glob("vocab/*")),
    }[name]


def victims(whom: str, run: subprocess.Popen) -> list[int]:
    found = {"worker": workers, "trainer": trainers}[whom](run)
    return sorted(found)[:1]


@pytest.mark.parametrize(
    ("whom", "when"),
    [("group", "second fit"), ("group", "export"), ("parent", "count"), ("parent", "fit")],
)
def test_killed_a_training_goes_on_to_the_same_bytes(whom, when, build, undisturbed):
    run = start(build, "--workers", "2")
    wait_for(moment(when, build, run), run)
    if whom == "group":
        os.killpg(run.pid, signal.SIGKILL)
    else:
        run.kill()
    run.communicate()
    assert run.returncode == -signal.SIGKILL
    assert_nothing_is_left(run, build)
    goes_on(build, undisturbed[0])


@pytest.mark.parametrize("when", ["count", "fit"])
def test_a_worker_s_death_is_the_training_s_own_business(when, build, undisturbed):
    run = start(build, "--workers", "2")
    wait_for(moment(when, build, run), run)
    for pid in victims("worker", run):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    _, errors = run.communicate(timeout=120)
    assert run.returncode == 0, errors
    assert hashes(build / "out") == undisturbed[0]
    assert_nothing_is_left(run, build)


@pytest.mark.parametrize("runner", ["local", "in-process"])
def test_a_trainer_s_death_is_one_message_and_what_is_finished_is_kept(runner, build, undisturbed):
    run = start(build, "--runner", runner)
    wait_for(moment("second fit", build, run), run)
    for pid in victims("trainer", run):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    _, errors = run.communicate(timeout=120)
    assert run.returncode == 4, errors
    first, second = errors.splitlines()
    assert first == "koine: the trainer's process was killed by signal 9."
    assert "vocab.sample_mb" in second
    assert not (build / "out" / "vocab" / "manifest.json").exists()
    assert_nothing_is_left(run, build)
    goes_on(build, undisturbed[0])


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_an_interrupt_ends_the_trainer_too(number, code, build, undisturbed):
    run = start(build, "--workers", "2")
    wait_for(moment("fit", build, run), run)
    run.send_signal(number)
    _, errors = run.communicate(timeout=60)
    assert run.returncode == code, errors
    assert "Traceback" not in errors
    assert_nothing_is_left(run, build)
    goes_on(build, undisturbed[0])


def steps(undisturbed, count: int, *, seed: int) -> list[int]:
    """Steps of writing: some of the whole training, as many of the export, and the last."""
    generator, last = random.Random(seed), undisturbed[1]
    export = range(last - EXPORT_STEPS, last)
    return [*generator.sample(range(1, last), count), *generator.sample(export, count), last]


def kill_at_step(folder: Path, undisturbed, *, step: int) -> None:
    run = start(folder, "--runner", "in-process", KOINE_FAULT=f"kill@{step}")
    run.communicate(timeout=120)
    assert run.returncode == -signal.SIGKILL
    assert_nothing_is_left(run, folder)
    goes_on(folder, undisturbed[0])


@pytest.mark.parametrize("number", range(3))
def test_killed_at_a_step_of_writing_a_training_goes_on(number, build, undisturbed):
    kill_at_step(build, undisturbed, step=steps(undisturbed, 1, seed=3)[number])


@pytest.mark.slow
@pytest.mark.parametrize("number", range(2))
def test_killed_at_more_steps(number, build, undisturbed, data):
    kill_at_step(build, undisturbed, step=steps(undisturbed, 1, seed=4)[number])


def test_a_disk_that_fills_up_is_one_message_and_commits_nothing(build, undisturbed, monkeypatch):
    last = undisturbed[1]
    # A folder is checked, counts, a model; then the files of vocab/, the manifest the last.
    whole = [2, last // 3, last // 2]
    for step in [*whole, *range(last - EXPORT_STEPS + 1, last, 9), last - 3]:
        monkeypatch.setenv("KOINE_FAULT", f"enospc@{step}")
        monkeypatch.setattr(store, "_points", itertools.count(1))
        folder = shutil.copytree(build, build.parent / str(step))
        answer = in_this_process(folder)
        monkeypatch.delenv("KOINE_FAULT")
        assert (answer.code, answer.out) == (4, ""), step
        assert "the disk is full" in answer.errors
        assert len(answer.errors.splitlines()) == 2
        assert not (folder / "out" / "vocab" / "manifest.json").exists()
        assert not list((folder / "out").rglob(".tmp-*"))
        if step in (whole[1], last - 3):
            goes_on(folder, undisturbed[0])


def test_a_killed_export_leaves_no_vocabulary_to_encode_with(build, undisturbed):
    goes_on(build, undisturbed[0])
    shutil.rmtree(build / "out" / "work")
    step = undisturbed[1] - 10
    run = start(build, "--runner", "in-process", KOINE_FAULT=f"kill@{step}")
    run.communicate(timeout=120)
    assert run.returncode == -signal.SIGKILL
    for more in (("encode", build / "corpora.yaml"), ("report",), ("pieces", "abc"), ("verify",)):
        answer = call("vocab", *more, "--out", build / "out")
        assert (answer.code, answer.out) == (3, ""), more
    goes_on(build, undisturbed[0])
