"""It learns: sentences by heart, which sentences belong together; and always along the same curve.

    KOINE_GOLDEN=write pytest tests/pretrain/test_learning.py

writes the curves in tests/golden anew. Do that only for a change that is meant to change what is
trained, and say why in CHANGELOG.md.
"""

import io
import os
from pathlib import Path

import numpy as np
import pytest
import sentencepiece
from pretraining import lines, run_of, trained
from token_shards import FIRST_PIECE, write_tokens
from token_vocabulary import write_vocabulary

from pretrain import evaluate
from pretrain.checkpoint import Checkpoints
from pretrain.model import Pretrainer
from tokenizer.export import SPECIAL

pytestmark = pytest.mark.usefixtures("one_thread")

GOLDEN = Path(__file__).parents[1] / "golden"
NUM_PIECES = 290
LABEL = "eng_Latn"
ONE = {"micro_batch_tokens": 1024, "batch_tokens": 1024, "max_length": 16, "stages": []}
QUIET = {"checkpoint": {"every_steps": 10_000}, "log_every": 25}
OFTEN = {"sampling": {"max_repeat": 100_000}}


@pytest.fixture(scope="module")
def vocabulary():
    """A model of few pieces: what they are does not matter here."""
    pad, unknown, begin, end, mask = SPECIAL
    model = io.BytesIO()
    sentencepiece.set_min_log_level(2)
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(f"the cat sat on the mat {number}" for number in range(50)),
        model_writer=model,
        model_type="bpe",
        vocab_size=NUM_PIECES,
        byte_fallback=True,
        normalization_rule_name="identity",
        add_dummy_prefix=False,
        remove_extra_whitespaces=False,
        pad_id=0,
        unk_id=1,
        bos_id=2,
        eos_id=3,
        pad_piece=pad,
        unk_piece=unknown,
        bos_piece=begin,
        eos_piece=end,
        control_symbols=[mask],
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()


def build_of(out, vocabulary, documents):
    vocab_hash = write_vocabulary(out / "vocab", vocabulary)
    write_tokens(out, {LABEL: documents}, vocab_hash=vocab_hash, num_pieces=NUM_PIECES)
    return out


def log_of(done):
    return lines(Path(done.folder) / "log.jsonl")


def test_it_learns_sixty_four_sentences_by_heart(vocabulary, tmp_path):
    rng = np.random.default_rng(0)
    # Four words of its own each, in an order of its own; one is held out.
    sentences = [FIRST_PIECE + 4 * number + rng.integers(0, 4, 14) for number in range(65)]
    out = build_of(tmp_path / "out", vocabulary, [[one.tolist()] for one in sentences])
    changes = {**ONE, **QUIET, **OFTEN, "tokens": 600 * 1024, "block": 1, "nsp": False}
    done = trained(
        out,
        **changes,
        evaluation={"times": 1},
        optimizer={"learning_rate": 1e-2},
    )
    log = log_of(done)
    assert log[0]["mlm_accuracy"] < 0.1
    assert np.mean([line["mlm_accuracy"] for line in log[-3:]]) > 0.99
    assert log[-1]["loss"] < 0.15


TOPICS, WORDS = 16, 3


def topical(rng, *, shuffled):
    """Documents of six sentences about one of sixteen topics, each of which has three words."""
    topics = np.repeat(np.arange(400) % TOPICS, 6)
    if shuffled:
        topics = rng.permutation(topics)
    words = FIRST_PIECE + WORDS * topics[:, None] + rng.integers(0, WORDS, (len(topics), 5))
    return words.reshape(400, 6, 5).tolist()


def test_it_learns_which_sentences_belong_together(vocabulary, tmp_path):
    rng = np.random.default_rng(0)
    out = build_of(tmp_path / "out", vocabulary, topical(rng, shuffled=False))
    changes = {**ONE, **QUIET, **OFTEN, "block": 8, "held_out": {"share": 0.2}}
    changes |= {"preset": "modern-tiny", "nsp": True, "layers": 2, "mask_rate": 0.15}
    changes |= {"optimizer": {"learning_rate": 4e-3}, "tokens": 190 * 1024}
    changes |= {"evaluation": {"times": 1, "tokens": 8192}}
    done = trained(out, **changes)
    first, last = lines(Path(done.folder) / "evaluation.jsonl")
    assert first["labels"][LABEL]["nsp_accuracy"] < 0.7
    assert last["labels"][LABEL]["nsp_accuracy"] > 0.9
    # Who knows the topic knows the word in one of three cases, and no better.
    assert 0.25 < last["labels"][LABEL]["mlm_accuracy"] < 0.42

    # Control: where nothing belongs together, the same model finds nothing.
    mixed = build_of(tmp_path / "mixed", vocabulary, topical(rng, shuffled=True))
    run = run_of(mixed, **changes)
    model = Pretrainer(run.shape, vocab_rows=run.vocabulary.rows)
    loaded = Checkpoints(run_of(out, resume=True, **changes).folder / "checkpoints", keep=1).load()
    model.load_state_dict(loaded.model)
    found = evaluate.evaluate(model, evaluate.held_out(run), run=run)
    assert found["labels"][LABEL]["nsp_accuracy"] < 0.75


@pytest.mark.parametrize("preset", ["bert-tiny", "modern-tiny"])
def test_the_loss_follows_the_golden_curve(preset, vocabulary, tmp_path):
    rng = np.random.default_rng(0)
    pieces = FIRST_PIECE + (rng.zipf(1.4, (60, 8, 12)) - 1) % (NUM_PIECES - FIRST_PIECE)
    out = build_of(tmp_path / "out", vocabulary, pieces.tolist())
    shape = dict.fromkeys(("layers", "width"))  # the preset's own
    changes = {**ONE, **OFTEN, **shape, "preset": preset, "max_length": 64, "tokens": 30 * 1024}
    done = trained(out, **changes, log_every=1, evaluation={"times": 1, "tokens": 256})
    found = np.array([[line["step"], line["loss"]] for line in log_of(done)])
    path = GOLDEN / f"loss_{preset}.txt"
    if os.environ.get("KOINE_GOLDEN") == "write":
        np.savetxt(path, found, fmt=("%d", "%.6f"))
    golden = np.loadtxt(path)
    assert golden[-1, 1] < golden[0, 1] - 0.5
    np.testing.assert_allclose(found, golden, rtol=1e-3)
