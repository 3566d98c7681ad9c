import hashlib
from dataclasses import fields

import numpy as np
import pytest
import reference_pairs
from planned import corpus_of, everything, numbered, opened, planned, random_sizes, spans

from pretrain.masking import num_each
from pretrain.order import Spans
from pretrain.packing import Packing, num_slots, pack, tighten
from pretrain.plan import plan_block


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    rng = np.random.default_rng(6)
    sizes = {
        "aaa_Latn": random_sizes(rng, 200, sentences=30, longest=60),
        "bbb_Latn": [[1], [2, 1], [50_000], [40], [9, 13_000, 2], [1] * 700],
        "ccc_Latn": [[5, 6, 7, 8, 9, 10, 11, 12, 8, 7]],
    }
    return opened(tmp_path_factory.mktemp("plan"), numbered(sizes))


def digest(block):
    found = hashlib.sha256()
    for one in fields(block):
        found.update(np.ascontiguousarray(getattr(block, one.name)).tobytes())
    return found.hexdigest()


@pytest.mark.parametrize("pairs", [True, False])
def test_a_plan_is_a_function_of_the_seed_the_number_and_the_documents(shards, pairs):
    part = shards.view("train")
    one = planned(part, max_length=64, pairs=pairs)
    assert digest(planned(part, max_length=64, pairs=pairs)) == digest(one)
    others = [
        planned(part, max_length=64, pairs=pairs, seed=4),
        planned(part, max_length=64, pairs=pairs, number=1),
    ]
    assert len({digest(one), *map(digest, others)}) == 3


@pytest.mark.parametrize("max_length", [16, 64, 512])
def test_without_pairs_every_token_is_in_exactly_one_example(shards, max_length):
    part = shards.view("train")
    block = planned(part, max_length=max_length, pairs=False)
    tokens = sorted(token for row in range(len(block.a_start)) for token in spans(block, row)[0])
    there = [t for documents in corpus_of(part) for d in documents for s in d for t in s]
    assert tokens == sorted(there)
    assert block.lengths.max() <= max_length
    assert not block.b_length.any()
    assert set(block.negative.tolist()) == {-1}


@pytest.mark.parametrize("max_length", [16, 64, 512])
def test_pieces_end_with_a_sentence_where_one_ends_in_their_last_quarter(shards, max_length):
    part = shards.view("train")
    block = planned(part, max_length=max_length, pairs=False)
    expected = [
        piece
        for documents in corpus_of(part)
        for document in documents
        for piece in reference_pairs.pieces(document, max_seq_length=max_length)
    ]
    assert [spans(block, row)[0] for row in np.argsort(block.a_start).tolist()] == expected


@pytest.mark.parametrize("name", ["train", "held_out"])
def test_a_block_says_which_documents_its_text_is_from(shards, name):
    part = shards.view(name)
    block = planned(part, max_length=32, pairs=True)
    for half in ("a", "b"):
        length = getattr(block, f"{half}_length")
        rows = np.flatnonzero(length)
        columns = (getattr(block, f"{half}_{what}")[rows] for what in ("index", "place"))
        found = part.tokens(block.language[rows], *columns, length[rows])
        expected = [spans(block, row)[half == "b"] for row in rows.tolist()]
        assert found.tolist() == [token for span in expected for token in span]


def test_the_held_out_ends_of_documents_are_planned_without_their_beginnings(shards):
    ends = planned(shards.view("held_out"), max_length=32, pairs=False)
    rest = planned(shards.view("train"), max_length=32, pairs=False)
    assert shards.held_by[2] == "ends"
    assert not set(ends.tokens.tolist()) & set(rest.tokens.tolist())
    assert ends.a_place[ends.language == 2].min() > 0


def test_a_languages_text_is_where_the_block_says(shards):
    part = shards.view("train")
    block = planned(part, max_length=64, pairs=True)
    assert len(block.language_starts) == 4
    for language, documents in enumerate(corpus_of(part)):
        own = block.tokens[block.language_starts[language] : block.language_starts[language + 1]]
        assert own.tolist() == [t for document in documents for s in document for t in s]


def test_a_document_that_comes_twice_is_two_to_the_plan(shards):
    part = shards.view("train")
    language, index, _ = everything(part)
    twice = np.repeat(np.arange(len(index)), 2)
    block = plan_block(
        part,
        Spans.whole(language[twice], index[twice], np.tile([4, 5], len(index))),
        seed=0,
        number=0,
        packing=Packing(num_tokens=4096, max_length=64, max_sequences=512),
        pairs=True,
    )
    first, second = (block.a_place[(block.epoch == one) & (block.language == 0)] for one in (4, 5))
    assert abs(len(first) / len(second) - 1) < 0.1
    assert set(first.tolist()) != set(second.tolist())


def test_examples_are_shuffled(shards):
    block = planned(shards.view("train"), max_length=64, pairs=False)
    neighbours = np.abs(np.diff(np.argsort(np.argsort(block.a_start))))
    assert np.median(neighbours) > len(neighbours) / 5


def check(lengths, starts, packing):
    """Check that micro-batches hold their examples; return the share of slots that are used."""
    assert starts[0] == 0
    assert starts[-1] == len(lengths)
    assert (np.diff(starts) > 0).all()
    totals = np.add.reduceat(lengths, starts[:-1])
    assert totals.max() <= packing.num_tokens
    padding = -(-(packing.num_tokens - totals) // packing.max_length)
    assert (np.diff(starts) + padding).max() <= packing.max_sequences
    return totals[:-1].sum() / packing.num_tokens / (len(totals) - 1)


@pytest.mark.parametrize("num", [65_536, 8192])
@pytest.mark.parametrize("longest", [128, 512])
def test_micro_batches_are_full_to_more_than_99_percent(num, longest):
    rng = np.random.default_rng(1)
    packing = Packing(num_tokens=num, max_length=longest, max_sequences=num // 16)
    lengths = np.where(rng.random(30_000) < 0.6, longest, rng.integers(5, longest + 1, 30_000))
    order = tighten(lengths, packing)
    assert (np.sort(order) == np.arange(len(lengths))).all()
    assert np.abs(order - np.arange(len(lengths))).max() < 30_000 / 4
    lengths = lengths[order]
    assert check(lengths, pack(lengths, packing), packing) > 0.995


def test_very_short_documents_fill_the_slots_of_sequences_and_no_more():
    lengths = np.random.default_rng(2).integers(3, 9, 5000)
    packing = Packing(num_tokens=4096, max_length=64, max_sequences=128)
    lengths = lengths[tighten(lengths, packing)]
    starts = pack(lengths, packing)
    assert check(lengths, starts, packing) < 0.5
    totals = np.add.reduceat(lengths, starts[:-1])
    used = np.diff(starts) - (totals - packing.num_tokens) // packing.max_length
    assert (used[:-1] >= 127).all()


def test_a_packing_by_the_mask_rate_leaves_a_slot_for_every_masked_token():
    lengths = np.random.default_rng(3).integers(3, 18, 5000)  # 15 % of 4 are 1: a quarter
    packing = Packing(num_tokens=4096, max_length=64, max_sequences=2048)
    loose, tight = pack(lengths, packing), pack(lengths, packing, mask_rate=0.15)
    masks = num_each(lengths, rate=0.15)
    assert np.add.reduceat(masks, loose[:-1]).max() > num_slots(packing, 0.15)
    assert np.add.reduceat(masks, tight[:-1]).max() <= num_slots(packing, 0.15)
    check(lengths, tight, packing)


def test_slots_for_masked_tokens_come_in_eights():
    assert num_slots(Packing(num_tokens=65_536, max_length=128, max_sequences=1024), 0.15) == 9832
    assert num_slots(Packing(num_tokens=32, max_length=16, max_sequences=16), 0.1) == 8


def test_examples_can_be_taken_out_of_a_block(shards):
    block = planned(shards.view("held_out"), max_length=32, pairs=True)
    rows = np.arange(0, len(block.a_start), 2)
    taken = block.taken(rows)
    assert (taken.lengths == block.lengths[rows]).all()
    assert spans(taken, 1) == spans(block, 2)
    assert taken.num_micro == 0


def test_a_block_without_documents_has_no_micro_batch(shards):
    none = np.zeros(0, np.int64)
    for pairs in (True, False):
        block = plan_block(
            shards.view("train"),
            Spans.whole(none.astype(np.int32), none, none),
            seed=0,
            number=0,
            packing=Packing(num_tokens=4096, max_length=64, max_sequences=512),
            pairs=pairs,
        )
        assert block.num_micro == 0
        assert not block.language_starts.any()
