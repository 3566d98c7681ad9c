"""The learning rate over a run: its ends, its peak, and no jumps on the way."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretrain.config import ScheduleSettings
from pretrain.schedule import factor

SHARES = st.floats(0, 1)
SCHEDULES = st.builds(
    ScheduleSettings,
    kind=st.sampled_from(["wsd", "linear"]),
    warmup=st.floats(0, 0.99),
    decay=st.floats(0.01, 1),
    shape=st.sampled_from(["sqrt", "linear"]),
)


@given(SCHEDULES, SHARES)
def test_it_is_a_share(settings, progress):
    assert 0 <= factor(progress, settings=settings) <= 1


@given(SCHEDULES)
def test_it_is_full_after_the_warm_up_and_nothing_at_the_end(settings):
    assert factor(settings.warmup, settings=settings) == 1
    assert factor(1, settings=settings) == 0


@given(SCHEDULES, SHARES, SHARES)
def test_it_rises_in_the_warm_up_and_never_again(settings, one, other):
    before, after = sorted((one, other))
    rate, then = factor(before, settings=settings), factor(after, settings=settings)
    if after <= settings.warmup:
        assert rate <= then
    if before >= settings.warmup:
        assert rate >= then


@given(SCHEDULES, SHARES, st.floats(0, 1e-6))
def test_it_does_not_jump(settings, progress, distance):
    after = min(1.0, progress + distance)
    change = abs(factor(after, settings=settings) - factor(progress, settings=settings))
    warmup = distance / settings.warmup if settings.warmup > distance else 1
    falls = max(min(settings.decay, 1 - settings.warmup), 0.01)
    assert change <= warmup + math.sqrt(distance / falls) + 1e-9


@pytest.mark.parametrize(
    ("progress", "wanted"),
    [(0.05, 0.5), (0.1, 1), (0.6, 1), (0.7, 1), (0.775, 0.5), (0.85, 1 - math.sqrt(0.5)), (1, 0)],
)
def test_warm_up_stay_and_fall_as_one_less_the_root(progress, wanted):
    settings = ScheduleSettings(kind="wsd", warmup=0.1, decay=0.3, shape="sqrt")
    assert factor(progress, settings=settings) == pytest.approx(wanted)


@pytest.mark.parametrize(("progress", "wanted"), [(0.7, 1), (0.85, 0.5), (0.97, 0.1)])
def test_warm_up_stay_and_fall_in_a_straight_line(progress, wanted):
    settings = ScheduleSettings(kind="wsd", warmup=0.1, decay=0.3, shape="linear")
    assert factor(progress, settings=settings) == pytest.approx(wanted)


@pytest.mark.parametrize("progress", [0.0, 0.1, 0.2, 0.3, 0.6, 0.95, 1.0])
def test_linear_is_the_one_of_bert(progress):
    settings = ScheduleSettings(kind="linear", warmup=0.2, shape="sqrt")
    wanted = progress / 0.2 if progress < 0.2 else (1 - progress) / 0.8
    assert factor(progress, settings=settings) == pytest.approx(wanted)


def test_a_decay_longer_than_what_the_warm_up_leaves_begins_at_its_end():
    settings = ScheduleSettings(kind="wsd", warmup=0.4, decay=0.9, shape="linear")
    assert factor(0.4, settings=settings) == 1
    assert factor(0.7, settings=settings) == pytest.approx(0.5)


def test_a_run_that_takes_longer_than_planned_stays_at_nothing():
    settings = ScheduleSettings(kind="linear", warmup=0.2)
    assert factor(1.01, settings=settings) == 0
    assert factor(-0.01, settings=settings) == 0


def test_no_step_of_a_run_has_a_rate_of_nothing():
    settings = ScheduleSettings(kind="wsd", warmup=0.02)
    rates = [factor((step + 0.5) / 10, settings=settings) for step in range(10)]
    assert min(rates) > 0
