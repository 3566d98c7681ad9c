import hashlib
import os
import subprocess
import sys
from dataclasses import fields, replace

import numpy as np
import pytest
from planned import everything, numbered, opened, random_sizes, spans
from token_shards import random_documents

from pretrain.batch import Batches, num_slots
from pretrain.masking import CLS, MASK, NUM_SPECIAL, SEP
from pretrain.order import Spans
from pretrain.plan import Packing, pack, plan_block
from tests_support import ROOT

PACKING = Packing(num_tokens=2048, max_length=64, max_sequences=256)
RATE = 0.15


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    rng = np.random.default_rng(7)
    sizes = {
        "aaa_Latn": random_sizes(rng, 40, sentences=30, longest=40),
        "bbb_Latn": [[1], [2, 1], [3000], [40], [9, 130, 2]],
        "ccc_Latn": [[5, 6, 7, 8, 9, 10, 11, 12, 4]],
        "ddd_Latn": random_sizes(rng, 30, sentences=9, longest=40),
    }
    return opened(tmp_path_factory.mktemp("batch"), numbered(sizes))


def block_of(part, *, pairs=True, number=0, packing=PACKING):
    language, index, epoch = everything(part)
    return plan_block(
        part,
        Spans.whole(language, index, epoch),
        seed=0,
        number=number,
        packing=packing,
        pairs=pairs,
    )


@pytest.fixture(scope="module", params=[True, False], ids=["pairs", "pieces"])
def block(request, shards):
    return block_of(shards.view("train"), pairs=request.param)


def batches_of(block, **options):
    options = {"packing": PACKING, "mask_rate": RATE, "seed": 0, **options}
    return Batches(block, **options)


def digest(batch):
    found = hashlib.sha256()
    for one in fields(batch):
        value = getattr(batch, one.name)
        found.update(value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode())
    return found.hexdigest()


def originals(batch):
    """Return the tokens as they were before masking."""
    ids = batch.ids_N.copy()
    ids[batch.masked_K[: batch.num_masked]] = batch.labels_K[: batch.num_masked]
    return ids


def test_a_micro_batch_is_the_same_in_any_order_of_calls(block):
    one, other = batches_of(block), batches_of(block)
    assert one.num_micro > 3
    forward = [digest(one.micro_batch(m)) for m in range(one.num_micro)]
    backward = [digest(other.micro_batch(m)) for m in reversed(range(one.num_micro))]
    assert forward == backward[::-1]
    assert len(set(forward)) == one.num_micro
    assert digest(batches_of(block, seed=1).micro_batch(0)) != forward[0]
    assert digest(batches_of(replace(block, number=1)).micro_batch(0)) != forward[0]


def test_a_micro_batch_is_the_same_in_any_process(tmp_path):
    code = (
        "import sys; sys.path[:0] = ['tests', '.']\n"
        "import hashlib\n"
        "from pathlib import Path\n"
        "import numpy as np\n"
        "from planned import numbered, opened, planned, random_sizes\n"
        "from pretrain.batch import Batches\n"
        "from pretrain.plan import Packing\n"
        "rng = np.random.default_rng(0)\n"
        "sizes = {x: random_sizes(rng, 20, sentences=9, longest=40) for x in ('a', 'b')}\n"
        "part = opened(Path(sys.argv[1]), numbered(sizes)).view('train')\n"
        "block = planned(part, max_length=64, pairs=True)\n"
        "packing = Packing(num_tokens=4096, max_length=64, max_sequences=1024)\n"
        "batch = Batches(block, packing=packing, mask_rate=0.15, seed=0).micro_batch(0)\n"
        "text = batch.ids_N.tobytes() + batch.labels_K.tobytes() + batch.cu_D1.tobytes()\n"
        "print(hashlib.sha256(text).hexdigest())\n"
    )
    found = []
    for seed in ("0", "1"):
        command = [sys.executable, "-c", code, str(tmp_path / seed)]
        env = {**os.environ, "PYTHONHASHSEED": seed}
        run = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
        found.append(run.stdout)
    assert found[0] == found[1]


def test_sequences_are_the_blocks_examples_side_by_side(block):
    batches = batches_of(block)
    row = 0
    for m in range(batches.num_micro):
        batch = batches.micro_batch(m)
        ids = originals(batch)
        for number in range(batch.num_sequences):
            own = slice(int(batch.cu_D1[number]), int(batch.cu_D1[number + 1]))
            a, b = spans(block, row)
            assert ids[own].tolist() == [CLS, *a, SEP, *((*b, SEP) if b else ())]
            types = [0] * (len(a) + 2) + [1] * (len(b) + bool(b))
            assert batch.types_N[own].tolist() == types
            assert batch.languages_D[number] == block.language[row]
            assert batch.nsp_D[number] == (block.negative[row] == 1)
            tells = block.negative[row] >= 0 and not block.is_lonely[block.language[row]]
            assert batch.nsp_weights_D[number] == tells
            row += 1
    assert row == len(block.a_start)
    if (block.negative >= 0).any():
        assert block.is_lonely[block.language[block.negative >= 0]].any(), "a language is lonely"


def test_padding_is_in_sequences_of_its_own_and_no_longer_than_others(block):
    batches = batches_of(block)
    for m in range(batches.num_micro):
        batch = batches.micro_batch(m)
        lengths = np.diff(batch.cu_D1)
        assert batch.cu_D1.dtype == np.int32
        assert len(batch.cu_D1) == PACKING.max_sequences + 1
        assert batch.cu_D1[0] == 0
        assert batch.cu_D1[-1] == PACKING.num_tokens
        assert lengths.min() >= 0
        assert lengths.max() <= PACKING.max_length
        assert batch.cu_D1[batch.num_sequences] == batch.num_tokens
        assert not batch.ids_N[batch.num_tokens :].any()
        assert not batch.types_N[batch.num_tokens :].any()
        within = np.arange(PACKING.num_tokens) - np.repeat(batch.cu_D1[:-1], lengths)
        assert batch.positions_N.tolist() == within.tolist()
        for array in (batch.nsp_D, batch.nsp_weights_D, batch.languages_D):
            assert not array[batch.num_sequences :].any()


@pytest.mark.parametrize("rate", [0.15, 0.3])
def test_exactly_the_rate_is_masked_in_every_micro_batch_and_no_special_token(block, rate):
    batches = batches_of(block, mask_rate=rate)
    slots = num_slots(PACKING, rate)
    for m in range(batches.num_micro):
        batch = batches.micro_batch(m)
        full = batch.num_tokens > PACKING.num_tokens - PACKING.max_length
        assert full or m == batches.num_micro - 1
        num = round(rate * (PACKING.num_tokens if full else batch.num_tokens))
        assert batch.num_masked == num
        assert (batch.labels_K[:num] >= NUM_SPECIAL).all()
        assert batch.weights_K.tolist() == [1] * num + [0] * (slots - num)
        for array in (batch.masked_K, batch.labels_K, batch.languages_K):
            assert array.dtype == np.int64
            assert len(array) == slots
            assert not array[num:].any()
        assert (np.diff(batch.masked_K[:num]) > 0).all()


def test_masked_slots_name_the_language_and_replacements_are_of_it(block):
    batches = batches_of(block, mask_rate=0.3)
    starts, counts = block.language_starts, np.zeros(3)
    for m in range(batches.num_micro):
        batch = batches.micro_batch(m)
        num = batch.num_masked
        sequence = np.searchsorted(batch.cu_D1[:-1], batch.masked_K[:num], side="right") - 1
        # Empty slots begin at N, so the last one that begins at or before a place is its own.
        assert (batch.languages_K[:num] == batch.languages_D[sequence]).all()
        ids, labels = batch.ids_N[batch.masked_K[:num]], batch.labels_K[:num]
        new = (ids != MASK) & (ids != labels)
        for token, language in zip(ids[new], batch.languages_K[:num][new], strict=True):
            assert token in block.tokens[starts[language] : starts[language + 1]]
        counts += [np.sum(ids == MASK), np.sum(new), np.sum(ids == labels)]
    # A replacement may by chance be the token itself, where a language has little text.
    assert counts[0] / counts.sum() == pytest.approx(0.8, abs=0.001)
    assert counts[1] / counts.sum() == pytest.approx(0.1, abs=0.005)


def test_a_micro_batch_counts_what_it_holds(block):
    batches, total = batches_of(block, window=32), np.zeros(4)
    for m in range(batches.num_micro):
        batch = batches.micro_batch(m)
        lengths = np.diff(batch.cu_D1[: batch.num_sequences + 1]).astype(int)
        assert batch.num_tokens == lengths.sum()
        assert batch.squares == (lengths**2).sum()
        distance = np.abs(np.arange(64)[:, None] - np.arange(64))
        assert batch.local == sum(np.sum(distance[:n, :n] <= 16) for n in lengths.tolist())
        assert batch.tokens_L.sum() == batch.num_tokens
        total += batch.tokens_L
    assert total.tolist() == np.bincount(block.language, weights=block.lengths).tolist()


def test_whole_words_are_masked_where_their_beginnings_are_given(block):
    starts = np.arange(1 << 21) % 3 == 0
    batch = batches_of(block, starts=starts).micro_batch(0)
    ids, masked = originals(batch), np.zeros(PACKING.num_tokens, bool)
    masked[batch.masked_K[: batch.num_masked]] = True
    inside = ~starts[ids] & (ids >= NUM_SPECIAL)
    inside[1:] &= ids[:-1] >= NUM_SPECIAL
    split = inside[1:] & (masked[1:] != masked[:-1])
    assert np.count_nonzero(split) <= 1


@pytest.fixture(scope="module")
def held(shards):
    return block_of(shards.view("held_out"))


def evaluated(block, packing):
    """Return what is masked in each sequence, by its document and place."""
    block = replace(block, micro_starts=pack(block.lengths, packing, mask_rate=RATE))
    batches = batches_of(block, packing=packing, evaluation=True)
    found, row = {}, 0
    for m in range(batches.num_micro):
        batch = batches.micro_batch(m)
        places = batch.masked_K[: batch.num_masked]
        assert (batch.ids_N[places] == MASK).all()
        assert (batch.labels_K[: batch.num_masked] >= NUM_SPECIAL).all()
        for number in range(batch.num_sequences):
            first, last = batch.cu_D1[number : number + 2].tolist()
            own = places[(places >= first) & (places < last)] - first
            assert len(own) == min(max(1, round(RATE * (last - first))), last - first - 2)
            columns = (block.language, block.a_index, block.a_place)
            found[tuple(int(column[row]) for column in columns)] = own.tolist()
            row += 1
    return found


def test_what_is_masked_in_an_evaluation_does_not_depend_on_packing(held):
    wide = Packing(num_tokens=8192, max_length=64, max_sequences=1024)
    expected = evaluated(held, PACKING)
    assert evaluated(held, wide) == expected
    half = held.taken(np.arange(1, len(held.a_start), 2))
    assert evaluated(half, PACKING).items() <= expected.items()
    assert len(expected) == len(held.a_start)


def test_many_very_short_documents_fit_their_slots(tmp_path):
    rng = np.random.default_rng(0)
    documents = {"aaa_Latn": random_documents(rng, 900, sentences=(1, 1), words=(1, 3))}
    packing = Packing(num_tokens=1024, max_length=32, max_sequences=64)
    block = block_of(opened(tmp_path, documents).view("train"), packing=packing)
    batches = batches_of(block, packing=packing)
    for m in range(batches.num_micro):
        batch = batches.micro_batch(m)
        assert np.diff(batch.cu_D1).max() <= 32
        assert batch.num_masked == round(RATE * batch.num_tokens)
    # Each of them has one masked token in an evaluation: more than there are slots.
    packing = Packing(num_tokens=256, max_length=32, max_sequences=128)
    part = opened(tmp_path / "again", documents).view("train")
    short = block_of(part, packing=packing, pairs=False)
    with pytest.raises(AssertionError, match="slots"):
        batches_of(short, packing=packing, evaluation=True).micro_batch(0)
    packed = replace(short, micro_starts=pack(short.lengths, packing, mask_rate=RATE))
    assert batches_of(packed, packing=packing, evaluation=True).micro_batch(0).num_masked <= 40
