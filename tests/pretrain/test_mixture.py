"""Shares of languages and how many tokens of each a block has: closed forms and invariants."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import ConfigError
from pretrain import mixture
from pretrain.config import LanguageSampling

LABELS = ("eng_Latn", "hin_Deva", "swh_Latn", "tha_Thai")
SIZES = np.array([1_000_000, 300_000, 50_000, 1_000])
UNIMAX = LanguageSampling()

sizes = st.lists(st.integers(0, 10**9), min_size=1, max_size=12).filter(any)


def labels_of(number: int) -> list[str]:
    return [f"a{chr(97 + place // 26)}{chr(97 + place % 26)}_Latn" for place in range(number)]


def shares(sampling: LanguageSampling, num_tokens, total: float) -> np.ndarray:
    num_tokens = np.asarray(num_tokens, np.int64)
    return mixture.shares(
        sampling, labels=labels_of(len(num_tokens)), num_tokens=num_tokens, total_tokens=total
    )


def published_unimax(num_tokens, *, budget: float, epochs: float) -> np.ndarray:
    """Algorithm 1 of Chung et al. 2023, line by line."""
    order = sorted(range(len(num_tokens)), key=lambda place: num_tokens[place])
    rest, taken = budget, np.zeros(len(num_tokens))
    for number, place in enumerate(order):
        remaining = rest / (len(order) - number)
        if remaining > num_tokens[place] * epochs:
            taken[place] = num_tokens[place] * epochs
        else:
            taken[place] = remaining
        rest -= taken[place]
    return taken / taken.sum()


def kinds(weights: dict[str, float] | None = None) -> list[LanguageSampling]:
    return [
        LanguageSampling(max_repeat=4),
        LanguageSampling(by="temperature", temperature=0.3),
        LanguageSampling(by="temperature", temperature=0),
        LanguageSampling(by="weights", weights=weights or {"aaa_Latn": 3}, max_repeat=2),
    ]


@given(num_tokens=sizes, total=st.floats(1, 1e12))
def test_shares_add_up_to_one_and_are_none_without_text(num_tokens, total):
    for sampling in kinds():
        found = shares(sampling, num_tokens, total)
        assert found.sum() == pytest.approx(1)
        assert np.array_equal(found > 0, np.array(num_tokens) > 0)


@given(
    num_tokens=st.lists(st.integers(1, 10**9), min_size=1, max_size=12),
    total=st.floats(1, 1e12),
    epochs=st.floats(0.1, 20),
)
def test_unimax_is_the_published_algorithm(num_tokens, total, epochs):
    found = shares(LanguageSampling(max_repeat=epochs), num_tokens, total)
    assert found == pytest.approx(published_unimax(num_tokens, budget=total, epochs=epochs))


@given(num_tokens=sizes, total=st.floats(1, 1e12))
def test_no_language_is_repeated_more_often_than_it_may_be_while_others_have_text(
    num_tokens, total
):
    size = np.array(num_tokens, np.float64)
    for sampling in (kinds()[0], kinds()[3]):
        epochs = shares(sampling, num_tokens, total)[size > 0] * total / size[size > 0]
        if total <= sampling.max_repeat * size.sum():
            assert np.all(epochs <= sampling.max_repeat * (1 + 1e-9))
        else:
            assert epochs == pytest.approx(total / size.sum())


@given(num_tokens=sizes, total=st.floats(1, 1e12))
def test_the_worst_served_language_gets_an_equal_part_or_all_that_its_cap_allows(num_tokens, total):
    size = np.array(num_tokens, np.float64)
    own = shares(UNIMAX, num_tokens, total)[size > 0]
    size = size[size > 0]
    if total <= UNIMAX.max_repeat * size.sum():
        equal = np.minimum(1 / len(size), UNIMAX.max_repeat * size / total)
        assert np.all(own >= equal * (1 - 1e-9))


def test_what_a_capped_language_leaves_goes_to_the_others_by_weight():
    found = mixture.shares(
        LanguageSampling(by="weights", weights={"eng_Latn": 2, "hin_Deva": 4}, max_repeat=4),
        labels=LABELS,
        num_tokens=SIZES,
        total_tokens=1_000_000,
    )
    # tha_Thai has 4,000 tokens in four epochs; the rest is divided 2 : 4 : 1.
    wanted = np.array([2, 4, 1, 0]) / 7 * 996_000 + np.array([0, 0, 0, 4000])
    assert found == pytest.approx(wanted / 1_000_000)


def test_temperature_is_the_power_of_the_size():
    for power in (0.0, 0.3, 0.7, 1.0):
        found = mixture.shares(
            LanguageSampling(by="temperature", temperature=power),
            labels=LABELS,
            num_tokens=SIZES,
            total_tokens=1,
        )
        assert found == pytest.approx(SIZES**power / (SIZES**power).sum())


def test_a_weight_of_a_language_that_is_not_there_is_refused_with_the_one_that_is():
    sampling = LanguageSampling(by="weights", weights={"swc_Latn": 2, "eng_Latn": 1})
    with pytest.raises(ConfigError) as refused:
        mixture.shares(sampling, labels=LABELS, num_tokens=SIZES, total_tokens=1e6)
    place, remedy = str(refused.value).split("\n")
    assert place == "pretrain.sampling.weights: there are no tokens of swc_Latn."
    assert "Did you mean `swh_Latn`?" in remedy


@pytest.mark.parametrize("power", [0, 0.5, 1])
def test_sizes_of_all_magnitudes_are_shared_without_overflow(power):
    num_tokens = [1, 10**15, 10**18]
    for sampling in (UNIMAX, LanguageSampling(by="temperature", temperature=power)):
        found = shares(sampling, num_tokens, 1e18)
        assert found.sum() == pytest.approx(1) and np.all(found > 0)


def test_rates_are_the_shares_of_a_block():
    found = mixture.rates(np.array([0.4, 0.3, 0.2, 0.1, 0]), block_tokens=1e6)
    assert found == pytest.approx(np.array([4e5, 3e5, 2e5, 1e5, 0]))


rate_lists = st.lists(st.floats(0, 300), min_size=3, max_size=3)


@given(
    stages=st.lists(st.tuples(st.integers(0, 400), rate_lists), min_size=1, max_size=4),
    late=st.booleans(),
)
def test_cursors_in_one_go_are_what_block_after_block_adds_up_to(stages, late):
    own = [(count, np.array(rates)) for count, rates in stages]
    delays = np.array([0.0, 3.25, 170.5]) if late else None
    # The history as it grows: each block is a stage of its own.
    steps = [(1, rates) for count, rates in own for _ in range(count)]
    start = [(0, own[0][1])]
    assert np.array_equal(
        mixture.cursors(own, delays=delays), mixture.cursors(start + steps, delays=delays)
    )
    before = mixture.cursors(start, delays=delays)
    assert before.tolist() == [0, 0, 0]
    for taken in range(1, min(len(steps), 30) + 1):
        after = mixture.cursors(steps[:taken], delays=delays)
        drawn = after - before
        assert np.all(drawn <= np.ceil(steps[taken - 1][1]))
        if not late:
            assert np.all(drawn >= np.floor(steps[taken - 1][1]))
        before = after
    if late and steps:
        exact = np.sum([rates for _, rates in steps], axis=0) - delays
        assert np.all(np.abs(mixture.cursors(own, delays=delays) - np.maximum(exact, 0)) < 1.1)


def test_cursors_do_not_drift_over_a_long_run():
    rates = mixture.rates(np.array([1e-7, 1 - 1e-7]), block_tokens=7e6)
    found = mixture.cursors([(1_000_000, rates)])
    assert found == pytest.approx(rates * 1_000_000, abs=1)
    assert found[0] == pytest.approx(700_000, rel=1e-4)


def test_delays_are_anything_up_to_a_section_and_the_language_s_own():
    labels = labels_of(500)
    num_documents = np.full(500, 10)
    num_tokens = np.where(np.arange(500) % 2, 10 * 40, 10 * 5000)  # documents of 40 or of 5,000
    found = mixture.delays(
        labels, num_documents=num_documents, num_tokens=num_tokens, section=512, seed=3
    )
    assert np.all(found >= 0)
    assert 450 < found[::2].max() < 512
    assert 35 < found[1::2].max() < 40
    assert np.median(found[::2]) == pytest.approx(256, rel=0.15)
    alone = mixture.delays(
        labels[7:9],
        num_documents=num_documents[7:9],
        num_tokens=num_tokens[7:9],
        section=512,
        seed=3,
    )
    assert np.array_equal(alone, found[7:9])


def test_what_runs_see_does_not_change():
    ones = np.ones(4, np.int64)
    found = mixture.delays(LABELS, num_documents=ones, num_tokens=ones, section=1, seed=0)
    assert found.tolist() == [
        0.7736897854336725,
        0.09270003717338393,
        0.45668448251884086,
        0.7347471561675918,
    ]


def test_examples_per_token_count_the_sequences_that_a_share_gives():
    part = np.array([0.5, 0.25, 0.25, 0.0])
    found = mixture.examples_per_token(
        part, np.array([10, 100, 7, 0]), np.array([10_000, 5_000, 700, 0]), max_length=128
    )
    assert found == pytest.approx(0.5 / 126 + 0.25 / 50 + 0.25 / 100)
