"""Judging: bits per byte of each language, the same however its text is packed."""

import math

import numpy as np
import pytest
from pretraining import SHORT, Watcher, copied, lines, run_of, trained
from token_shards import write_tokens
from token_vocabulary import write_vocabulary

from pretrain import evaluate
from pretrain.model import Pretrainer
from pretrain.train import train

pytestmark = pytest.mark.usefixtures("one_thread")


def model_of(run, *, seed=0):
    return Pretrainer(run.shape, vocab_rows=run.vocabulary.rows, seed=seed)


def judged(build, *, seed=0, **changes):
    run = run_of(build, **changes)
    held = evaluate.held_out(run)
    return evaluate.evaluate(model_of(run, seed=seed), held, run=run)


def assert_close(one, other):
    assert one.keys() == other.keys()
    for label, row in one.items():
        assert row.keys() == other[label].keys()
        for key, value in row.items():
            found = other[label][key]
            is_float = isinstance(value, float)
            assert found == (pytest.approx(value, rel=1e-5) if is_float else value), (label, key)


@pytest.fixture(scope="module")
def found(pretrain_build):
    return judged(pretrain_build)


def test_an_untrained_model_needs_the_bits_of_a_piece_over_its_bytes(found):
    for row in found["labels"].values():
        expected = math.log2(6016) * row["masked"] / row["bytes"]
        assert row["bits_per_byte"] == pytest.approx(expected, rel=0.03)
        assert row["mlm_accuracy"] < 0.05


def test_languages_without_held_out_text_have_no_row(pretrain_build, found):
    run = run_of(pretrain_build)
    assert run.shards.held_by[run.shards.labels.index(SHORT)] == "none"
    assert sorted({*run.shards.labels} - {*found["labels"]}) == [SHORT]


def test_the_mean_weighs_languages_the_same_and_the_worst_needs_most_bits(found):
    values = {label: row["bits_per_byte"] for label, row in found["labels"].items()}
    assert found["mean_bits_per_byte"] == pytest.approx(np.mean(list(values.values())))
    assert values[found["worst"]] == max(values.values())


@pytest.mark.parametrize("changes", [{}, {"nsp": False}], ids=["pairs", "no pairs"])
@pytest.mark.parametrize("num_tokens", [256, 2048])
def test_the_numbers_do_not_depend_on_how_the_text_is_packed(num_tokens, changes, pretrain_build):
    one = judged(pretrain_build, **changes)
    changes |= {"micro_batch_tokens": num_tokens, "batch_tokens": 2048}
    other = judged(pretrain_build, **changes)
    assert_close(one["labels"], other["labels"])


def test_the_same_words_are_masked_each_time_whatever_is_trained_on(pretrain_build):
    counts = [
        {label: (row["masked"], row["bytes"]) for label, row in one["labels"].items()}
        for one in (
            judged(pretrain_build),
            judged(pretrain_build, seed=4, mask_rate=0.4, whole_words=True, block=3),
        )
    ]
    assert counts[0] == counts[1]
    assert judged(pretrain_build)["labels"] == judged(pretrain_build)["labels"]


def test_fifteen_percent_of_each_sequence_are_masked_by_the_mask_alone(pretrain_build):
    run = run_of(pretrain_build, nsp=False)
    held = evaluate.held_out(run)
    for micro in range(held.batches.num_micro):
        batch = held.batches.micro_batch(micro)
        used = batch.weights_K > 0
        assert set(batch.ids_N[batch.masked_K[used]].tolist()) == {4}
        assert (batch.ids_N == 4).sum() == used.sum()
        for begin, end in zip(batch.cu_D1[:-1], batch.cu_D1[1:], strict=True):
            if begin < end <= batch.num_tokens:
                num = int(((batch.masked_K[used] >= begin) & (batch.masked_K[used] < end)).sum())
                assert num == max(1, round(0.15 * int(end - begin)))


def test_a_language_is_judged_by_so_many_tokens_at_the_most_and_one_example_at_least(
    pretrain_build,
):
    few = judged(pretrain_build, evaluation={"tokens": 128})["labels"]
    many = judged(pretrain_build, evaluation={"tokens": 8192})["labels"]
    assert few.keys() == many.keys()
    for label, row in few.items():
        assert 0 < row["tokens"] <= 128
        assert row["tokens"] <= many[label]["tokens"]
    assert few["swh_Latn"]["tokens"] < many["swh_Latn"]["tokens"]


def test_without_any_held_out_text_a_run_says_so_and_goes_through(tmp_path):
    out, rng = tmp_path / "out", np.random.default_rng(0)
    vocab_hash = write_vocabulary(out / "vocab")
    documents = {
        label: [[rng.integers(5, 6000, 40).tolist()] for _ in range(4)]
        for label in ("eng_Latn", "swh_Latn")
    }
    write_tokens(out, documents, vocab_hash=vocab_hash, num_pieces=6000)
    watcher = Watcher()
    done = train(run_of(out, tokens=2048), watcher=watcher)
    assert done.result["finished"]
    assert done.result["bits_per_byte"] == {}
    assert done.result["not_judged"] == ["eng_Latn", "swh_Latn"]
    assert lines(out / "runs" / "run" / "evaluation.jsonl") == []
    assert any("no language has held-out text" in note for note in watcher.notes)


def test_a_run_is_judged_before_its_first_step_at_equal_parts_and_at_its_end(
    pretrain_build, straight_run
):
    records = lines(straight_run / "evaluation.jsonl")
    assert [one["step"] for one in records] == [0, 5, 10, 15, 20]
    assert [one["final"] for one in records] == [False] * 4 + [True]
    untrained = judged(pretrain_build)["labels"]
    assert_close(records[0]["labels"], untrained)
    assert records[-1]["mean_bits_per_byte"] < records[0]["mean_bits_per_byte"]


def test_what_could_not_be_judged_is_in_the_result(pretrain_build, tmp_path):
    done = trained(copied(pretrain_build, tmp_path / "out"), tokens=1024)
    assert done.result["not_judged"] == [SHORT]
    assert SHORT not in done.result["bits_per_byte"]
