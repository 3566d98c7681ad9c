"""Which text a block takes: every sentence once an epoch, wherever blocks end, shares kept."""

from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planned import numbered, opened, random_sizes

from pretrain import order
from pretrain.order import Orders, Spans, sentences_of

LABELS = ("arb_Arab", "eng_Latn", "swh_Latn")


@pytest.fixture(scope="module")
def part(tmp_path_factory):
    """Short documents, long ones, and one that is very long."""
    rng = np.random.default_rng(8)
    sizes = {
        "arb_Arab": random_sizes(rng, 40, sentences=4, longest=9),
        "eng_Latn": random_sizes(rng, 12, sentences=90, longest=30),
        "swh_Latn": [rng.integers(1, 20, 3000).tolist(), [5], [300]],
    }
    shards = opened(tmp_path_factory.mktemp("order") / "out", numbered(sizes), share=0.01,
                    min_documents=3)  # fmt: skip
    return shards.view("train")


def taken(part, cuts, *, section=64, labels=LABELS, seed=0):
    """The spans of consecutive blocks that end at these cursors, with their sentences."""
    orders = Orders(part, labels=labels, section=section, seed=seed)
    cursors = [np.array(cut, np.int64) for cut in cuts]
    return [sentences_of(part, orders.of_block(*one)) for one in pairwise(cursors)]


def rows(block):
    """Each sentence of a block: (language, epoch, document, where it begins, where it ends)."""
    spans, sentences = block
    found = []
    for row, (first, last) in enumerate(pairwise(sentences.offsets.tolist())):
        ends = [int(sentences.starts[row]), *sentences.ends[first:last].tolist()]
        own = int(spans.language[row]), int(spans.epoch[row]), int(spans.index[row])
        found += [(*own, *pair) for pair in pairwise(ends)]
    return found


def all_sentences(part, language):
    index = np.arange(part.num_documents[language])
    whole = Spans.whole(np.full(len(index), language), index)
    return {(document, *ends) for _, _, document, *ends in rows(sentences_of(part, whole))}


@settings(deadline=None, max_examples=40)
@given(
    steps=st.lists(
        st.lists(st.integers(0, 20_000), min_size=3, max_size=3), min_size=1, max_size=8
    ),
    section=st.sampled_from([16, 64, 700]),
    seed=st.integers(0, 3),
)
def test_every_sentence_comes_once_in_each_epoch_wherever_the_blocks_end(
    part, steps, section, seed
):
    cuts = np.concatenate([np.zeros((1, 3), int), np.cumsum(steps, axis=0)])
    blocks = taken(part, cuts, section=section, seed=seed)
    seen = Counter(row for block in blocks for row in rows(block))
    assert set(seen.values()) <= {1}
    for language, size in enumerate(part.num_tokens.tolist()):
        own = [row for row in seen if row[0] == language]
        whole = all_sentences(part, language)
        epochs = int(cuts[-1][language]) // size
        for epoch in range(epochs):
            assert {row[2:] for row in own if row[1] == epoch} == whole
        assert all(row[1] <= epochs for row in own)


@pytest.mark.parametrize("section", [64, 256])
def test_what_a_language_has_had_is_its_cursor_to_within_a_section_and_a_sentence(part, section):
    cuts = np.arange(30)[:, None] * np.array([40, 333, 777])
    blocks = taken(part, cuts, section=section)
    had = np.zeros(3)
    for block, cursor in zip(blocks, cuts[1:], strict=True):
        for language, _, _, first, last in rows(block):
            had[language] += last - first
        longest = np.array([36, section + 30, section + 300])
        assert np.all(np.abs(had - cursor) <= longest)


def test_spans_are_sorted_and_short_documents_are_whole(part):
    (spans, sentences), *_ = taken(part, [[100, 700, 3000], [500, 3000, 30_000]], section=64)
    order_ = np.lexsort((spans.epoch, spans.index, spans.language))
    assert np.array_equal(order_, np.arange(len(order_)))
    assert spans.language.dtype == np.int32
    arabic = np.flatnonzero(spans.language == 0)
    whole = sentences_of(part, Spans.whole(spans.language[arabic], spans.index[arabic]))[1]
    end = sentences.offsets[arabic[-1] + 1]
    assert np.array_equal(sentences.ends[:end], whole.ends)
    assert not spans.first[arabic].any()
    assert spans.first.any()


def test_each_epoch_has_another_order_and_each_seed_and_language_too(part):
    def order_of(language, seed, epoch):
        orders = Orders(part, labels=LABELS, section=64, seed=seed)
        own = orders._epoch(language, epoch)
        return tuple(own.span(0, int(part.num_tokens[language]))[0].tolist())

    found = {order_of(language, seed, epoch)
             for language in (0, 1) for seed in (0, 1) for epoch in (0, 1, 2)}  # fmt: skip
    assert len(found) == 12
    assert all(sorted(one) == list(range(len(one))) for one in found)


def test_another_language_does_not_change_what_comes_of_those_that_were_there(part, tmp_path):
    before, after = np.array([10, 500, 3000]), np.array([450, 1300, 9000])
    orders = Orders(part, labels=LABELS, section=64, seed=0)
    whole = orders.of_block(before, after)
    for left_out in range(3):
        zero = np.where(np.arange(3) == left_out, before, after)
        alone = orders.of_block(before, zero)
        kept = whole.language != left_out
        for name in Spans.__slots__:
            assert np.array_equal(getattr(alone, name), getattr(whole, name)[kept])


def test_many_documents_are_looked_at_in_chunks_and_give_the_same(part, monkeypatch):
    cuts = [[0, 0, 0], [90, 900, 100], [400, 6000, 50_000], [401, 30_000, 50_001]]
    wanted = [rows(block) for block in taken(part, cuts)]
    monkeypatch.setattr(order, "CHUNK", 5)
    assert [rows(block) for block in taken(part, cuts)] == wanted
    orders = Orders(part, labels=LABELS, section=64, seed=0)
    late = orders.of_block(np.array(cuts[2]), np.array(cuts[3]))  # as after resuming
    assert rows(sentences_of(part, late)) == wanted[2]
    early = orders.of_block(np.array(cuts[0]), np.array(cuts[1]))  # as a replay asks
    assert rows(sentences_of(part, early)) == wanted[0]


def test_an_empty_block_is_one(part):
    spans, sentences = taken(part, [[7, 7, 7], [7, 7, 7]])[0]
    assert len(spans.index) == 0
    assert sentences.offsets.tolist() == [0]


def test_what_runs_see_does_not_change(part):
    spans, _ = taken(part, [[0, 0, 0], [100, 200, 300]])[0]
    found = list(zip(spans.language.tolist(), spans.index.tolist(), spans.first.tolist(),
                     spans.last.tolist(), strict=True))  # fmt: skip
    assert found == [
        (0, 5, 0, 1),
        (0, 16, 0, 9),
        (0, 18, 0, 9),
        (0, 24, 0, 1),
        (0, 27, 0, 10),
        (0, 28, 0, 18),
        (0, 29, 0, 17),
        (0, 30, 0, 18),
        (0, 32, 0, 14),
        (0, 34, 0, 10),
        (0, 36, 0, 8),
        (1, 1, 0, 249),
        (2, 0, 0, 319),
        (2, 1, 0, 5),
    ]
