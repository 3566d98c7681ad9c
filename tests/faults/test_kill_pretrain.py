"""Kill a run anywhere: it goes on from its last checkpoint and ends with the same bytes."""

import random
import signal
import time

import pytest
from pretraining import copied, what_it_is

from pipelines import store
from pretrain.checkpoint import Checkpoints

CUTS = 10
BETWEEN = 3
"""Cuts that run at the same time: time and points of writing are different in each."""


@pytest.fixture(scope="module")
def out(pretrain_build, tmp_path_factory):
    return copied(pretrain_build, tmp_path_factory.mktemp("killed") / "out")


@pytest.fixture(scope="module")
def command(pretrain_build, out):
    """The command line of a run with a name."""

    def of(name, *more):
        config = pretrain_build / "corpora.yaml"
        return ("pretrain", "run", config, "--out", out, "--name", name, "--quiet", *more)

    return of


@pytest.fixture(scope="module")
def num_points(out, command, forks):
    """How many points the store protocol has in a run: the last that can be killed at."""
    low, high = 1, 2
    return low, high


def checkpoints_of(run):
    return Checkpoints(store.Folder(run / "checkpoints"), keep=2)


def assert_whole(run):
    """What a killed run left: each checkpoint is as it was saved."""
    checkpoints = checkpoints_of(run)
    assert checkpoints.verify() == []
    if checkpoints.steps():
        assert checkpoints.load().step == checkpoints.latest()


def cut(kind, number, *, run, command, forks):
    """Start a run, kill it, and say at which step it was at least."""
    generator = random.Random(f"{kind} {number}")
    if kind == "point":
        # Six checkpoints of 16 points and a few more; the last ones may delete what they replace.
        fork = forks.start(*command, KOINE_FAULT=f"kill@{generator.randint(5, 110)}")
    else:
        fork = forks.start(*command)
        log = run / "log.jsonl"
        many = generator.randint(1, 12)
        fork.until(lambda: log.is_file() and len(log.read_bytes().splitlines()) >= many)
        time.sleep(generator.uniform(0, 0.1))
        fork.send(signal.SIGKILL)
    assert fork.wait().code in (-signal.SIGKILL, 0)


@pytest.mark.parametrize("number", range(CUTS))
def test_killed_at_random_and_resumed_a_run_ends_with_the_same_bytes(
    number, out, command, forks, straight_run
):
    name = f"cut-{number}"
    run = out / "runs" / name
    kind = ("moment", "point")[number % 2]
    cut(kind, number, run=run, command=command(name), forks=forks)
    assert_whole(run)
    ended = forks.run(*command(name, "--resume"))
    assert ended.code == 0, ended.errors
    assert what_it_is(run) == what_it_is(straight_run)
