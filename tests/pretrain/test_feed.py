"""The feed hands out the same micro-batches in the same order, to however many, from anywhere."""

import dataclasses
import itertools
import threading
import time

import numpy as np
import pytest
from pretraining import feed_of, run_of, taken

from pipelines.errors import DataError
from pretrain.feed import inputs_of

STEPS = 12
STAGES = [
    {"start": 0, "mask_rate": 0.3, "max_length": 32},
    {"start": 0.4, "mask_rate": 0.15, "max_length": 64},
]


@pytest.fixture(scope="module")
def run(pretrain_build):
    """Four micro-batches a step, in blocks of about five."""
    return run_of(
        pretrain_build,
        batch_tokens=2048,
        tokens=2048 * STEPS,
        block=5,
        whole_words=True,
        stages=STAGES,
    )


def plain(fed):
    """All of a micro-batch as bytes and numbers."""
    batch = {
        key: (value.dtype.str, value.shape, value.tobytes())
        if isinstance(value, np.ndarray)
        else value
        for key, value in dataclasses.asdict(fed.batch).items()
    }
    return batch, fed.block, fed.stage


def begun_by(feds, num):
    return [one for fed in feds[:num] for one in fed.begun]


@pytest.fixture(scope="module")
def alone(run):
    return taken(feed_of(run), STEPS * run.per_step)


def test_the_run_has_several_blocks_that_begin_within_steps_and_at_their_borders(run, alone):
    begun = begun_by(alone, len(alone))
    within = {one.first % run.per_step for one in begun}
    assert len(begun) >= 6
    assert {one.stage for one in begun} == {0, 1}
    assert len(within) > 2
    assert [fed.block for fed in alone] == [
        sum(one.first <= micro for one in begun) - 1 for micro in range(len(alone))
    ]


@pytest.mark.parametrize("num_ranks", [2, 4])
def test_ranks_share_out_the_micro_batches_of_one(num_ranks, run, alone):
    num = len(alone) // num_ranks
    feeds = [feed_of(run, rank=rank, num_ranks=num_ranks) for rank in range(num_ranks)]
    shared = [taken(feed, num) for feed in feeds]
    together = [plain(own[turn]) for turn in range(num) for own in shared]
    assert together == list(map(plain, alone))


@pytest.mark.parametrize("num_ranks", [2, 4])
def test_at_the_end_of_each_step_all_ranks_know_of_the_same_blocks(num_ranks, run, alone):
    each = run.per_step // num_ranks
    for rank in range(num_ranks):
        own = taken(feed_of(run, rank=rank, num_ranks=num_ranks), STEPS * each)
        for step in range(STEPS + 1):
            assert begun_by(own, step * each) == begun_by(alone, step * run.per_step)


@pytest.mark.parametrize("num_ranks", [1, 2])
@pytest.mark.parametrize("step", range(1, STEPS))
def test_from_any_step_on_the_same_micro_batches_follow(step, num_ranks, run, alone):
    begun, first = begun_by(alone, step * run.per_step), step * run.per_step
    num = min(2, STEPS - step) * run.per_step // num_ranks
    for rank in range(num_ranks):
        feed = feed_of(run, step=step, begun=begun, rank=rank, num_ranks=num_ranks)
        own = taken(feed, num)
        wanted = alone[first + rank :: num_ranks][:num]
        assert list(map(plain, own)) == list(map(plain, wanted))
        known = begun + begun_by(own, num)
        assert known == begun_by(alone, first + num * num_ranks)


def test_another_seed_gives_other_micro_batches(pretrain_build, alone):
    changes = {"batch_tokens": 2048, "tokens": 2048 * STEPS, "block": 5, "stages": STAGES}
    other = run_of(pretrain_build, seed=1, **changes)
    found = taken(feed_of(other), 4)
    assert all(plain(a)[0] != plain(b)[0] for a, b in zip(found, alone, strict=False))


def test_in_a_run_measured_in_time_a_block_takes_the_stage_that_held_when_the_last_one_began(run):
    feed = feed_of(run, progress_of=None)
    found = []
    try:
        for step in range(STEPS):
            feed.at_step(step, 0.1 if step < 6 else 0.9)
            found += [feed.get() for _ in range(run.per_step)]
    finally:
        feed.close()
    begun = begun_by(found, len(found))
    assert begun[0].stage == 0
    for last, one in itertools.pairwise(begun):
        assert one.stage == int(last.first >= 6 * run.per_step)
    assert begun[-1].stage == 1


def test_in_a_run_measured_in_time_several_blocks_may_begin_in_one_step(pretrain_build):
    run = run_of(pretrain_build, batch_tokens=4096, block=2, stages=STAGES)
    feed, found = feed_of(run, progress_of=None), []
    try:
        for step in range(4):
            feed.at_step(step, step / 4)
            found += [feed.get() for _ in range(run.per_step)]
    finally:
        feed.close()
    assert len(begun_by(found, len(found))) > 8
    assert {fed.stage for fed in found} == {0, 1}


def test_a_feed_that_waits_to_be_told_the_time_can_be_closed(run):
    feed = feed_of(run, progress_of=None)
    taken_before = []
    ends = time.monotonic() + 0.6
    while feed.waiting < 5 and time.monotonic() < ends:
        time.sleep(0.01)  # it made the first block and can't know the stage of the second
    taken_before.append(feed.get())
    feed.close()
    assert taken_before[0].block == 0
    assert not any(thread.name == "feed" for thread in threading.enumerate())


def test_a_feed_that_is_ahead_as_far_as_it_may_be_can_be_closed(run):
    feed = feed_of(run)
    while feed.waiting < 8:
        time.sleep(0.01)
    feed.close()
    assert not any(thread.name == "feed" for thread in threading.enumerate())


def test_what_goes_wrong_in_the_making_is_raised_where_it_is_taken(run):
    def progress_of(_micro):
        raise DataError("tokens/x: is torn.\n  Encode again.")

    feed = feed_of(run, progress_of=progress_of)
    with pytest.raises(DataError, match="is torn"):
        taken(feed, 100)


def test_inputs_hold_the_arrays_of_the_micro_batch(run, alone):
    inputs = inputs_of(alone[0].batch, run.machine.device)
    for name, tensor in zip(inputs._fields, inputs, strict=True):
        assert np.array_equal(tensor.numpy(), getattr(alone[0].batch, name))
