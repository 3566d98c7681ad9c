"""Kill a run anywhere: it goes on from its last checkpoint and ends with the same bytes."""

import random
import signal
import time

import pytest
from pretraining import copied, lines, what_it_is

from pipelines import store
from pretrain.checkpoint import Checkpoints

CUTS = 10
POINTS = 140
"""About so many points has the store's protocol in a run: eight checkpoints of sixteen and more."""


@pytest.fixture(scope="module")
def out(pretrain_build, tmp_path_factory):
    return copied(pretrain_build, tmp_path_factory.mktemp("killed") / "out")


@pytest.fixture(scope="module")
def command(pretrain_build, out):
    """The command line of a run with a name."""
    config = pretrain_build / "corpora.yaml"
    return lambda name: ("pretrain", "run", config, "--out", out, "--name", name, "--quiet")


def kill_at_a_moment(generator, run, command, forks):
    """Kill it some time after some line of the log."""
    fork, log, num = forks.start(*command), run / "log.jsonl", generator.randint(1, 9)
    fork.until(lambda: log.is_file() and len(log.read_bytes().splitlines()) >= num)
    time.sleep(generator.uniform(0, 0.1))
    fork.send(signal.SIGKILL)
    return fork.wait()


def kill_at_a_point(generator, run, command, forks):
    """Kill it while it writes: mostly while it saves."""
    return forks.run(*command, KOINE_FAULT=f"kill@{generator.randint(5, POINTS)}")


@pytest.mark.parametrize("number", range(CUTS))
def test_killed_at_random_and_resumed_a_run_ends_with_the_same_bytes(
    number, out, command, forks, straight_run
):
    name, generator = f"cut-{number}", random.Random(number)
    run = out / "runs" / name
    kill = (kill_at_a_moment, kill_at_a_point)[number % 2]
    assert kill(generator, run, command(name), forks).code == -signal.SIGKILL
    saved = Checkpoints(store.Folder(run / "checkpoints"), keep=2)
    assert saved.verify() == []
    assert not saved.steps() or saved.load().step == saved.latest()

    ended = forks.run(*command(name), "--resume")
    assert ended.code == 0, ended.errors
    assert what_it_is(run) == what_it_is(straight_run)
    seconds = [line["seconds"] for line in lines(run / "log.jsonl")]
    assert seconds == sorted(seconds)


def test_killed_again_and_again_it_still_does(out, command, forks, straight_run):
    run = out / "runs" / "again"
    for point in (20, 45, 3, 60, 17):
        ended = forks.run(*command("again"), "--resume", KOINE_FAULT=f"kill@{point}")
        assert ended.code == -signal.SIGKILL
    assert forks.run(*command("again"), "--resume").code == 0
    assert what_it_is(run) == what_it_is(straight_run)
