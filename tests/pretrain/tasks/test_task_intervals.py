"""Intervals of scores: they hold what they should, and don't depend on how they are computed."""

import numpy as np
import pytest

from pretrain.tasks import intervals


def mean(found):
    return found[:, 0] / found[:, 1]


def counted(values):
    return np.stack([values, np.ones(len(values))], axis=1)


def test_the_interval_of_a_mean_is_as_wide_as_its_standard_error_says():
    values = np.random.default_rng(1).normal(0.5, 0.2, 2000)
    low, high = intervals.bootstrap(counted(values), mean, seed=3)
    assert low < values.mean() < high
    assert (high - low) / 2 == pytest.approx(1.96 * values.std() / np.sqrt(2000), rel=0.1)


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    random = np.random.default_rng(5)
    held = 0
    for seed in range(200):
        low, high = intervals.bootstrap(counted(random.random(100) < 0.7), mean, num=400, seed=seed)
        held += low <= 0.7 <= high
    assert 0.9 <= held / 200 <= 0.99


def test_a_resample_has_as_many_examples_as_there_are():
    found = intervals.sums(counted(np.arange(7.0)), num=50, seed=0)
    assert found.shape == (50, 2)
    assert (found[:, 1] == 7).all()
    assert found[:, 0].std() > 0


def test_seed_and_stream_name_the_draws(monkeypatch):
    counts = counted(np.arange(30.0))
    first = intervals.sums(counts, num=20, seed=1)
    assert (first == intervals.sums(counts, num=20, seed=1)).all()
    assert (first != intervals.sums(counts, num=20, seed=2)).any()
    assert (first != intervals.sums(counts, num=20, seed=1, stream="x")).any()
    monkeypatch.setattr(intervals, "_AT_ONCE", 100)
    assert (first == intervals.sums(counts, num=20, seed=1)).all()


def test_pairing_narrows_the_interval_of_a_difference():
    random = np.random.default_rng(2)
    hard = random.random(500)
    first, second = (hard < 0.62) * 1.0, (hard < 0.6) * 1.0
    difference, low, high = intervals.paired(counted(first), counted(second), mean, seed=1)
    assert difference == pytest.approx(first.mean() - second.mean())
    alone = intervals.bootstrap(counted(first), mean, seed=1)
    assert low < difference < high
    assert high - low < (alone[1] - alone[0]) / 2


def test_equal_systems_differ_by_nothing():
    counts = counted(np.arange(9.0))
    assert intervals.paired(counts, counts, mean, seed=0) == (0, 0, 0)
