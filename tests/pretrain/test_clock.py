"""How far a run is, in steps or in seconds, and which stage holds there."""

import time

import pytest
from pretraining import settings_of

from pretrain.clock import Clock
from pretrain.config import resolve

STAGES = [{"start": 0.25, "mask_rate": 0.3}, {"start": 0.9, "max_length": 32}]


def clock_of(*, per_step=2, elapsed_s=0.0, **changes):
    settings = resolve(settings_of(**changes), on_cpu=True)
    return Clock(settings, per_step=per_step, elapsed_s=elapsed_s)


@pytest.mark.parametrize(("tokens", "steps"), [(1, 1), (1024, 1), (1025, 2), (10_240, 10)])
def test_a_run_has_the_steps_that_its_tokens_need_at_least(tokens, steps):
    assert clock_of(tokens=tokens).steps == steps


def test_more_micro_batches_a_step_are_fewer_steps():
    assert clock_of(per_step=4, tokens=10_240).steps == 5


def test_progress_goes_from_0_to_1_in_equal_steps_and_no_further():
    clock = clock_of(tokens=10_240)
    assert [clock.progress(step) for step in (0, 1, 5, 10, 11)] == [0, 0.1, 0.5, 1, 1]


def test_a_micro_batch_is_as_far_as_the_step_that_it_begins():
    clock = clock_of(tokens=10_240)
    assert [clock.of_micro(2 * step) for step in range(11)] == [
        clock.progress(step) for step in range(11)
    ]
    assert clock.of_micro(1) == 0.05


@pytest.mark.parametrize(
    ("progress", "stage"),
    [(0, 0), (0.249, 0), (0.25, 1), (0.5, 1), (0.899, 1), (0.9, 2), (1, 2)],
)
def test_a_stage_holds_from_its_start_on(progress, stage):
    assert clock_of(stages=STAGES).stage_at(progress) == stage


def test_a_run_measured_in_time_counts_from_its_start_and_what_it_took_before():
    clock = clock_of(tokens=None, budget="10s", elapsed_s=4.0)
    time.sleep(0.05)  # preparing: not counted
    clock.start()
    assert clock.steps is None
    assert 4.0 <= clock.elapsed_s < 4.05
    assert 0.4 <= clock.progress(10**9) < 0.41


def test_a_run_that_used_its_time_is_over():
    assert clock_of(tokens=None, budget="2s", elapsed_s=2.5).progress(0) == 1
