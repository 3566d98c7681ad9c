"""Shares of languages, documents per block, and which ones: closed forms and their invariants."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
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


def test_rates_are_documents_whose_tokens_are_the_share():
    num_documents = np.array([1000, 100, 50, 1, 0])
    num_tokens = np.array([1_000_000, 300_000, 50_000, 1_000, 0])
    part = np.array([0.4, 0.3, 0.2, 0.1, 0])
    found = mixture.rates(
        part, block_tokens=1e6, num_documents=num_documents, num_tokens=num_tokens
    )
    assert found == pytest.approx([400, 100, 200, 100, 0])
    tokens = found[:4] * num_tokens[:4] / num_documents[:4]
    assert tokens == pytest.approx(part[:4] * 1e6)


rate_lists = st.lists(st.floats(0, 300), min_size=3, max_size=3)


@given(
    stages=st.lists(st.tuples(st.integers(0, 400), rate_lists), min_size=1, max_size=4),
    with_phases=st.booleans(),
)
def test_cursors_in_one_go_are_what_block_after_block_adds_up_to(stages, with_phases):
    own = [(count, np.array(rates)) for count, rates in stages]
    phases = mixture.phases(LABELS[:3], seed=1) if with_phases else None
    # The history as it grows: each block is a stage of its own.
    steps = [(1, rates) for count, rates in own for _ in range(count)]
    start = [(0, own[0][1])]
    assert np.array_equal(
        mixture.cursors(own, phases=phases), mixture.cursors(start + steps, phases=phases)
    )
    before = mixture.cursors(start, phases=phases)
    assert before.tolist() == [0, 0, 0]
    for taken in range(1, min(len(steps), 30) + 1):
        after = mixture.cursors(steps[:taken], phases=phases)
        drawn = after - before
        assert np.all(drawn >= np.floor(steps[taken - 1][1]))
        assert np.all(drawn <= np.ceil(steps[taken - 1][1]))
        before = after


def test_cursors_do_not_drift_over_a_long_run():
    rates = mixture.rates(
        np.array([0.1, 0.9]),
        block_tokens=7e6,
        num_documents=np.array([3, 10**6]),
        num_tokens=np.array([10**8, 10**9]),
    )
    found = mixture.cursors([(100_000, rates)])
    assert found == pytest.approx(rates * 100_000, abs=1)


def test_phases_spread_the_first_documents_of_small_languages_over_the_blocks():
    labels = labels_of(500)
    rates = np.full(500, 0.1)
    phases = mixture.phases(labels, seed=3)
    assert phases.min() >= 0 and phases.max() < 1
    taken = [mixture.cursors([(count, rates)], phases=phases).sum() for count in range(11)]
    assert taken[0] == 0
    assert np.all(np.abs(np.diff(taken) - 50) < 25)
    plain = [mixture.cursors([(count, rates)]).sum() for count in range(11)]
    assert plain[9] == 0
    assert np.array_equal(mixture.phases(labels[7:9], seed=3), phases[7:9])


def blocks_of(cuts, num_documents, *, labels=LABELS, seed=0):
    """The documents of consecutive blocks, as (language, index, epoch)."""
    cuts = [np.array(cut, np.int64) for cut in cuts]
    return [
        mixture.documents_of_block(
            before=before, after=after, num_documents=num_documents, labels=labels, seed=seed
        )
        for before, after in pairwise(cuts)
    ]


@settings(deadline=None)
@given(
    num_documents=st.lists(st.integers(1, 40), min_size=3, max_size=3),
    steps=st.lists(st.lists(st.integers(0, 70), min_size=3, max_size=3), min_size=1, max_size=6),
    seed=st.integers(0, 5),
)
def test_every_document_comes_once_in_each_epoch_wherever_the_blocks_end(
    num_documents, steps, seed
):
    size = np.array(num_documents)
    cuts = np.concatenate([np.zeros((1, 3), int), np.cumsum(steps, axis=0)])
    blocks = blocks_of(cuts, size, labels=LABELS[:3], seed=seed)
    for language, index, epoch in blocks:
        assert language.dtype == np.int32 and index.dtype == epoch.dtype == np.int64
        order = np.lexsort((epoch, index, language))
        assert np.array_equal(order, np.arange(len(order)))
    for number in range(3):
        rows = [row for block in blocks for row in zip(*block, strict=True)]
        found = [(epoch, index) for language, index, epoch in rows if language == number]
        assert len(set(found)) == len(found) == cuts[-1][number]
        whole, begun = divmod(len(found), num_documents[number])
        for epoch in range(whole + 1):
            own = sorted(index for e, index in found if e == epoch)
            if epoch < whole:
                assert own == list(range(num_documents[number]))
            else:
                assert len(own) == begun


def test_each_epoch_has_another_order_and_each_seed_and_language_too():
    size = np.array([50, 50])
    pairs = ("eng_Latn", "swh_Latn")

    def orders(seed):
        cuts = [[number, number] for number in range(151)]
        blocks = blocks_of(cuts, size, labels=pairs, seed=seed)
        rows = np.array([block[1] for block in blocks])
        return {tuple(part) for row in rows.T for part in row.reshape(3, 50).tolist()}

    assert len(orders(0) | orders(1)) == 12


def test_another_language_does_not_change_the_order_of_those_that_were_there():
    size = np.array([30, 70, 20, 5])
    before, after = np.array([10, 50, 3, 0]), np.array([45, 130, 9, 11])
    whole = blocks_of([before, after], size)[0]
    for left_out in range(4):
        kept = [place for place in range(4) if place != left_out]
        labels = [LABELS[place] for place in kept]
        alone = blocks_of([before[kept], after[kept]], size[kept], labels=labels)[0]
        names = np.array(labels)[alone[0]]
        wanted = whole[0] != left_out
        assert names.tolist() == np.array(LABELS)[whole[0][wanted]].tolist()
        assert np.array_equal(alone[1], whole[1][wanted])
        assert np.array_equal(alone[2], whole[2][wanted])


def test_a_language_without_documents_gives_none_and_an_empty_block_is_one():
    size = np.array([3, 0, 2])
    language, _, _ = blocks_of([[0, 0, 0], [4, 7, 1]], size, labels=LABELS[:3])[0]
    assert language.tolist() == [0, 0, 0, 0, 2]
    empty = blocks_of([[4, 7, 1], [4, 7, 1]], size, labels=LABELS[:3])[0]
    assert [len(part) for part in empty] == [0, 0, 0]


def test_what_runs_see_does_not_change():
    language, index, epoch = blocks_of([[0, 8, 0, 0], [3, 12, 0, 2]], np.array([9, 10, 4, 1]))[0]
    found = list(zip(language.tolist(), index.tolist(), epoch.tolist(), strict=True))
    assert found == [
        (0, 1, 0),
        (0, 4, 0),
        (0, 7, 0),
        (1, 2, 0),
        (1, 3, 1),
        (1, 8, 0),
        (1, 8, 1),
        (3, 0, 0),
        (3, 0, 1),
    ]
    assert mixture.phases(LABELS, seed=0).tolist() == [
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
