"""The data of a run is a function: the same block at any time, all text once an epoch."""

import itertools
from collections import Counter

import numpy as np
import pytest
from pretraining import run_of
from token_shards import random_documents, write_tokens
from token_vocabulary import write_vocabulary

from pipelines.errors import ConfigError
from pretrain.source import Begun

HEAVY = {"by": "weights", "weights": {"swh_Latn": 50}, "max_repeat": 1000}
STAGES = [
    {"start": 0, "mask_rate": 0.3, "max_length": 32},
    {"start": 0.5, "mask_rate": 0.15, "max_length": 64, "sampling": HEAVY},
]
UNKNOWN = {"by": "weights", "weights": {"swh_Arab": 2}}


@pytest.fixture(scope="module")
def run(pretrain_build):
    return run_of(pretrain_build, stages=STAGES)


def begun_of(stages):
    """A table of blocks of these stages; where they begin does not matter to what they hold."""
    return [Begun(10 * number, stage) for number, stage in enumerate(stages)]


def documents_of(batches):
    """Label number, document and epoch of each example's first part."""
    block = batches.block
    return set(
        zip(block.language.tolist(), block.a_index.tolist(), block.epoch.tolist(), strict=True)
    )


def test_a_block_is_the_same_whenever_it_is_asked_for(pretrain_build, run):
    begun = begun_of([0, 0, 1, 1, 1])
    wanted = run.source.batches(3, begun)
    again = run_of(pretrain_build, stages=STAGES).source
    for number in (4, 0, 3):
        found = again.batches(number, begun)
    for m in range(found.num_micro):
        one, other = found.micro_batch(m), wanted.micro_batch(m)
        assert np.array_equal(one.ids_N, other.ids_N)
        assert np.array_equal(one.masked_K, other.masked_K)


def test_a_block_is_that_of_its_number_and_of_the_stages_before_it_in_any_order(run):
    one = run.source.batches(3, begun_of([0, 1, 1, 1]))
    other = run.source.batches(3, begun_of([1, 0, 1, 1]))
    assert documents_of(one) == documents_of(other)
    assert documents_of(one) != documents_of(run.source.batches(3, begun_of([0, 0, 1, 1])))


def test_every_document_comes_once_before_any_comes_again(run):
    begun, seen, places = begun_of([0] * 40), {}, Counter()
    for number in range(40):
        block = run.source.batches(number, begun).block
        for language, index, epoch in documents_of(run.source.batches(number, begun)):
            seen.setdefault((language, epoch), {}).setdefault(index, []).append(number)
        names = ("language", "a_index", "epoch", "a_place")
        places.update(zip(*(getattr(block, name).tolist() for name in names), strict=True))
    assert set(places.values()) == {1}
    for language, num in enumerate(run.source.part.num_documents.tolist()):
        epochs = sorted(epoch for own, epoch in seen if own == language)
        assert epochs == list(range(len(epochs)))
        for epoch in epochs[:-1]:
            assert sorted(seen[language, epoch]) == list(range(num))
            last = max(max(blocks) for blocks in seen[language, epoch].values())
            assert last <= min(min(blocks) for blocks in seen[language, epoch + 1].values())


def test_a_stage_has_the_rates_lengths_and_languages_of_its_row(run):
    first, second = run.source.stages
    assert (first.mask_rate, second.mask_rate) == (0.3, 0.15)
    assert (first.packing.max_length, second.packing.max_length) == (32, 64)
    assert run.source.num_masked(0) == 160  # 0.3 of 512, in eights
    assert run.source.num_masked(1) == 80
    swahili = run.source.labels.index("swh_Latn")
    assert first.shares[swahili] < 0.3
    assert second.shares[swahili] > 0.8
    for stage, begun in ((0, [0, 0]), (1, [1, 1])):
        batches = run.source.batches(1, begun_of(begun))
        full = batches.micro_batch(0)
        longest = np.diff(full.cu_D1).max()
        assert full.num_masked == round((0.3, 0.15)[stage] * 512)
        assert (32, 64)[stage] - 8 < longest <= (32, 64)[stage]


def test_the_tokens_of_blocks_are_shared_out_as_the_stage_says(run):
    begun, tokens = begun_of([1] * 30), 0
    for number in range(30):
        batches = run.source.batches(number, begun)
        tokens += sum(batches.micro_batch(m).tokens_L for m in range(batches.num_micro))
    shares = tokens / tokens.sum()
    assert np.allclose(shares, run.source.stages[1].shares, atol=0.03)


def test_shares_hold_in_every_block_however_long_the_documents_of_a_language_are(tmp_path):
    rng = np.random.default_rng(5)
    long = random_documents(rng, 12, sentences=(60, 80), words=(10, 40))
    short = random_documents(rng, 300, sentences=(1, 3), words=(4, 12))
    out = tmp_path / "out"
    write_tokens(
        out,
        {"bod_Tibt": long, "swh_Latn": short},
        vocab_hash=write_vocabulary(out / "vocab"),
        num_pieces=6000,
    )
    run = run_of(out, block=4, nsp=False, max_length=32)
    begun, total = begun_of([0] * 6), np.zeros(2)
    for number in range(6):
        batches = run.source.batches(number, begun)
        tokens = sum(batches.micro_batch(m).tokens_L for m in range(batches.num_micro))
        assert 0.4 < tokens[0] / tokens.sum() < 0.6  # its documents are as long as its share
        total += tokens
    assert 0.48 < total[0] / total.sum() < 0.52


def test_labels_leave_the_others_out(pretrain_build):
    run = run_of(pretrain_build, labels=["tha_Thai", "arb_Arab"])
    assert run.source.labels == ("arb_Arab", "tha_Thai")
    languages = {one for one, _, _ in documents_of(run.source.batches(0, begun_of([0])))}
    assert languages == {0, 1}


def test_a_weight_of_a_language_that_is_not_there_is_refused(pretrain_build):
    with pytest.raises(ConfigError, match="swh_Arab") as caught:
        run_of(pretrain_build, sampling=UNKNOWN)
    assert "swh_Latn" in str(caught.value)  # did you mean


def test_whole_words_are_masked_from_their_first_to_their_last_piece(pretrain_build):
    run = run_of(pretrain_build, whole_words=True, labels=["eng_Latn"], mask_rate=0.2)
    starts, whole, parts = run.vocabulary.starts, 0, 0
    batch = run.source.batches(0, begun_of([0])).micro_batch(0)
    there = batch.ids_N.copy()
    used = batch.weights_K > 0
    there[batch.masked_K[used]] = batch.labels_K[used]
    masked = np.zeros(len(there), bool)
    masked[batch.masked_K[used]] = True
    begin_N = starts[there].copy()
    begin_N[1:] |= there[:-1] < 5  # what follows a special token begins, wherever text was cut
    begins = np.flatnonzero(begin_N[: batch.num_tokens])
    for begin, end in itertools.pairwise([*begins.tolist(), batch.num_tokens]):
        share = masked[begin:end].mean()
        whole += share == 1
        parts += 0 < share < 1
    assert whole > 20
    assert parts <= 1  # to mask exactly as many as wanted
