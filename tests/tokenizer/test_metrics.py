"""The formulas of the vocabulary report, against plain ones and examples worked out by hand."""

import itertools
import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tokenizer import metrics

COSTS = st.lists(st.floats(0.01, 1000), min_size=1, max_size=30)


def plain_gini(costs):
    num, mean = len(costs), sum(costs) / len(costs)
    return sum(abs(a - b) for a, b in itertools.product(costs, costs)) / (2 * num * num * mean)


def plain_fit(tokens):
    """The additive fit as a dense least-squares problem with one unknown for each effect."""
    num_labels, num_lines = tokens.shape
    rows, right = [], []
    for label, line in itertools.product(range(num_labels), range(num_lines)):
        if not math.isnan(tokens[label, line]):
            row = np.zeros(num_labels + num_lines)
            row[label] = row[num_labels + line] = 1
            rows.append(row)
            right.append(math.log(max(tokens[label, line], 1)))
    found = np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)[0]
    return found[:num_labels] - found[:num_labels].mean()


def gaps(seed, *, labels=7, lines=40, share=0.6):
    generator = np.random.default_rng(seed)
    effects = generator.normal(0, 0.4, labels)[:, None] + generator.normal(3, 0.5, lines)
    tokens = np.ceil(np.exp(effects + generator.normal(0, 0.1, effects.shape)))
    tokens[generator.random(tokens.shape) < share] = np.nan
    tokens[0, 0] = tokens[1, 0] = 5.0
    tokens[:, 1] = 7.0  # keeps all languages connected
    return tokens


def test_an_unknown_token_is_charged_for_each_character_under_it():
    found = metrics.effective_tokens(
        np.array([5, 3, 0]), unknown_tokens=np.array([0, 2, 0]), unknown_chars=np.array([0, 9, 0])
    )
    assert found.tolist() == [5, 10, 0]


def test_a_premium_is_a_cost_over_the_geometric_mean_and_1_on_average():
    assert metrics.premiums(np.array([1.0, 4.0])).tolist() == pytest.approx([0.5, 2.0])
    found = metrics.premiums(np.array([[3.0, 5.0, 9.0], [1.0, 1.0, 1.0]]))
    assert np.log(found).mean(axis=1) == pytest.approx([0, 0])
    assert found[1].tolist() == [1, 1, 1]


def test_gini_of_known_examples():
    assert metrics.gini(np.array([7.0])) == 0
    assert metrics.gini(np.array([2.0, 2.0, 2.0])) == pytest.approx(0)
    assert metrics.gini(np.array([1.0, 3.0])) == pytest.approx(0.25)
    assert metrics.gini(np.array([0.0, 0.0, 0.0, 1.0])) == pytest.approx(0.75)


@given(COSTS)
@settings(deadline=None)
def test_gini_is_the_mean_difference_over_twice_the_mean(costs):
    assert metrics.gini(np.array(costs)) == pytest.approx(plain_gini(costs), abs=1e-9)


def test_gini_of_many_samples_is_that_of_each():
    samples = np.random.default_rng(1).random((20, 9)) + 0.1
    found = metrics.gini(samples)
    assert found == pytest.approx([plain_gini(row.tolist()) for row in samples])


def test_renyi_efficiency_is_1_for_even_use_and_0_for_one_piece():
    even = np.full(16, 3, np.int64)
    assert metrics.renyi_efficiency(even, num_pieces=16) == pytest.approx(1)
    assert metrics.renyi_efficiency(np.array([9]), num_pieces=16) == pytest.approx(0)
    assert metrics.renyi_efficiency(np.zeros(0, np.int64), num_pieces=16) == 0
    # 3/4 and 1/4: H = log(0.75**2.5 + 0.25**2.5) / -1.5
    by_hand = math.log(0.75**2.5 + 0.25**2.5) / -1.5 / math.log(8)
    assert metrics.renyi_efficiency(np.array([3, 1]), num_pieces=8) == pytest.approx(by_hand)


def test_the_additive_fit_recovers_effects_that_are_exactly_additive():
    language, line = np.array([-1.0, 0.25, 0.75]), np.array([3.0, 4.0, 5.0, 6.0])
    tokens = np.exp(language[:, None] + line)
    tokens[0, 3] = tokens[1, 0] = tokens[2, 1] = tokens[2, 2] = np.nan
    found, lines, residuals = metrics.additive_fit(tokens)
    assert found == pytest.approx(language)
    assert lines == pytest.approx(line)
    assert residuals == pytest.approx(np.zeros((3, 4)), abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_the_additive_fit_is_least_squares(seed):
    tokens = gaps(seed)
    found, _, residuals = metrics.additive_fit(tokens)
    assert found == pytest.approx(plain_fit(tokens))
    assert residuals.sum(axis=0) == pytest.approx(np.zeros(40), abs=1e-9)
    assert residuals.sum(axis=1) == pytest.approx(np.zeros(7), abs=1e-9)


def test_a_language_that_has_only_the_long_lines_pays_no_more_for_it():
    tokens = np.array([[10.0, 20.0, 80.0], [10.0, 20.0, 80.0], [np.nan, np.nan, 80.0]])
    assert metrics.additive_fit(tokens)[0] == pytest.approx([0, 0, 0])


def test_without_gaps_the_fit_gives_the_means_of_logarithms():
    tokens = np.random.default_rng(2).integers(1, 50, (4, 30)).astype(float)
    logs = np.log(tokens).mean(axis=1)
    assert metrics.additive_fit(tokens)[0] == pytest.approx(logs - logs.mean())


def test_draws_draw_as_many_lines_as_there_are():
    weights = metrics.draws(13, samples=50, generator=np.random.default_rng(0))
    assert weights.shape == (50, 13)
    assert (weights.sum(axis=1) == 13).all()
    assert weights.std() > 0.5


def test_groups_keep_the_sums_and_the_order_of_short_texts():
    values = np.random.default_rng(0).random((2, 1000))
    found = metrics.grouped(values, groups=64, generator=np.random.default_rng(0))
    assert found.shape == (2, 64)
    assert found.sum(axis=1) == pytest.approx(values.sum(axis=1))
    same = metrics.grouped(values[:, :64], groups=64, generator=np.random.default_rng(0))
    assert (same == values[:, :64]).all()


def test_the_bootstrap_of_complete_text_is_that_of_a_plain_loop():
    tokens = np.random.default_rng(3).integers(1, 60, (5, 80)).astype(float)
    found = metrics.bootstrap_complete(tokens, samples=20, seed=9)
    weights = metrics.draws(80, samples=20, generator=np.random.default_rng(9))
    for sample, weight in enumerate(weights):
        sums = [sum(w * t for w, t in zip(weight, row, strict=True)) for row in tokens]
        mean = math.exp(sum(map(math.log, sums)) / 5)
        assert found[sample] == pytest.approx([value / mean for value in sums])


def test_the_bootstrap_of_text_with_gaps_comes_close_to_fitting_every_sample_anew():
    tokens = gaps(4, labels=6, lines=300)
    found = metrics.bootstrap_additive(tokens, samples=40, seed=5)
    weights = metrics.draws(300, samples=40, generator=np.random.default_rng(5))
    refitted = []
    for weight in weights:
        repeated = np.repeat(tokens, weight.astype(int), axis=1)
        refitted.append(np.exp(plain_fit(repeated)))
    spread = np.std(refitted, axis=0)
    assert (np.abs(np.mean(refitted - found, axis=0)) < 0.2 * spread).all()
    assert np.std(found, axis=0) == pytest.approx(spread, rel=0.1)


def test_held_out_intervals_hold_the_truth_as_often_as_they_say():
    """Of 200 languages whose true premium is known, 95 % intervals miss about 10."""
    generator = np.random.default_rng(7)
    truth = metrics.premiums(np.exp(generator.normal(0, 0.3, 200)))
    content = [generator.gamma(2, 60, generator.integers(60, 600)) for _ in truth]
    tokens = [
        np.rint(own * t * 0.3 * np.exp(generator.normal(0, 0.2, len(own))))
        for own, t in zip(content, truth, strict=True)
    ]
    low, high = metrics.interval(metrics.bootstrap_held_out(tokens, content, seed=1))
    missed = int(((truth < low) | (truth > high)).sum())
    assert 2 <= missed <= 22


def test_one_line_gives_no_spread_and_no_warning():
    found = metrics.bootstrap_held_out([np.array([3.0])], [np.array([9.0])], samples=8)
    assert (found == 1).all()


def test_the_bootstrap_is_the_same_every_time_and_another_with_another_seed():
    lines = [np.random.default_rng(n).integers(1, 60, 50 + n).astype(float) for n in range(5)]
    first = metrics.bootstrap_held_out(lines, lines[:0] + [x + 1 for x in lines], seed=3)
    assert (first == metrics.bootstrap_held_out(lines, [x + 1 for x in lines], seed=3)).all()
    assert (first != metrics.bootstrap_held_out(lines, [x + 1 for x in lines], seed=4)).any()


@pytest.mark.parametrize("kind", ["held-out", "complete", "gaps"])
def test_the_bootstrap_of_five_hundred_languages_takes_about_a_second(kind):
    generator = np.random.default_rng(0)
    grid = generator.integers(1, 60, (500, 1000)).astype(float)
    began = time.process_time()
    if kind == "held-out":
        found = metrics.bootstrap_held_out(list(grid), list(grid + 1))
    elif kind == "complete":
        found = metrics.bootstrap_complete(grid)
    else:
        grid[generator.random(grid.shape) < 0.9] = np.nan
        found = metrics.bootstrap_additive(grid)
    assert found.shape == (1000, 500)
    assert time.process_time() - began < 10  # seconds of all cores; 0.2 to 1.5 where it was written


def test_the_spread_of_a_coefficient_lies_around_the_coefficient():
    samples = np.linspace(0.2, 0.4, 101)
    low, high = metrics.spread_around(0.1, samples)
    assert low < 0.1 < high
    assert high - low == pytest.approx(0.19)
    assert metrics.spread_around(0.05, samples)[0] == 0


def test_a_piece_belongs_to_the_language_of_whose_tokens_it_makes_the_largest_share():
    ids = [np.array([0, 1, 2]), np.array([1, 2, 3])]
    counts = [np.array([80, 10, 10]), np.array([1, 1, 2])]
    owner, is_shared = metrics.owners(ids, counts, num_pieces=5)
    assert owner.tolist() == [0, 1, 1, 1, -1]
    # 10 % against 25 %: both make more than 5 % of the use of pieces 1 and 2
    assert is_shared.tolist() == [False, True, True, False, False]


def test_a_piece_that_one_language_hardly_uses_is_not_shared():
    ids = [np.array([0]), np.array([0, 1])]
    counts = [np.array([100]), np.array([4, 96])]
    owner, is_shared = metrics.owners(ids, counts, num_pieces=2)
    assert owner.tolist() == [0, 1]
    assert is_shared.tolist() == [False, False]  # 4 of 104


def test_a_piece_is_shared_from_a_twentieth_of_its_use():
    ids = [np.array([0]), np.array([0, 1])]
    for count, expected in ((60, True), (40, False)):  # of 1000 + 60 and 1000 + 40 thousandths
        counts = [np.array([1000]), np.array([count, 1000 - count])]
        assert metrics.owners(ids, counts, num_pieces=2)[1].tolist() == [expected, False]


def test_of_equal_shares_the_first_language_owns_the_piece():
    owner, _ = metrics.owners([np.array([0])] * 2, [np.array([3])] * 2, num_pieces=1)
    assert owner.tolist() == [0]
