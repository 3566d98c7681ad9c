"""Replaying a step decodes exactly the batch that was trained on."""

import shutil

import pytest
from pretraining import STEPS, Watcher, copied, feed_of, lines, run_of, taken

from pipelines import store
from pipelines.errors import ConfigError, DataError
from pretrain.checkpoint import Checkpoints
from pretrain.prepare import reopen
from pretrain.replay import replay
from pretrain.train import train
from tokenizer import tokens

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def build(straight_run):
    return straight_run.parents[1]


@pytest.fixture(scope="module")
def reopened(build, straight_run):
    return reopen(store.Folder(straight_run), out=str(build))


@pytest.fixture(scope="module")
def fed(pretrain_build):
    """What the feed gave in the whole run."""
    run = run_of(pretrain_build)
    return taken(feed_of(run), STEPS * run.per_step)


def assert_decodes(found, fed, *, step, run):
    """The micro-batches of a step are those that the feed gave."""
    assert found["step"] == step
    first = step * run.per_step
    assert [one["micro"] for one in found["micro_batches"]] == [first, first + 1]
    pieces = run.vocabulary.pieces
    for one, given in zip(found["micro_batches"], fed[first : first + 2], strict=True):
        batch = given.batch
        assert (one["block"], one["stage"]) == (given.block, given.stage)
        assert (one["tokens"], one["masked"]) == (batch.num_tokens, batch.num_masked)
        both = [pair for example in one["examples"] for pair in example["pieces"]]
        assert [seen for seen, _ in both] == [pieces[i] for i in batch.ids_N[: batch.num_tokens]]
        masked = [place for place, (_, was) in enumerate(both) if was is not None]
        used = batch.weights_K > 0
        assert masked == batch.masked_K[used].tolist()
        assert [both[place][1] for place in masked] == [pieces[i] for i in batch.labels_K[used]]
        labels = [run.shards.labels[i] for i in batch.languages_D[: batch.num_sequences]]
        assert [example["label"] for example in one["examples"]] == labels
        nsp = {(0, 0): None, (0, 1): "next", (1, 1): "random"}
        wanted = [
            nsp[int(kind), int(weight)]
            for kind, weight in zip(batch.nsp_D, batch.nsp_weights_D, strict=True)
        ]
        assert [example["nsp"] for example in one["examples"]] == wanted[: batch.num_sequences]


@pytest.mark.parametrize("step", range(STEPS))
def test_each_step_is_decoded_as_it_was_fed(step, reopened, fed):
    assert_decodes(replay(reopened, step=step), fed, step=step, run=reopened)


def test_the_blocks_and_stages_are_those_of_the_log(reopened, straight_run):
    for line in lines(straight_run / "log.jsonl"):
        last = replay(reopened, step=line["step"] - 1)["micro_batches"][-1]
        assert (last["block"], last["stage"]) == (line["block"], line["stage"])


def test_each_example_is_text_of_the_documents_that_it_names(reopened, build):
    vocab_hash, folder = reopened.vocabulary.hash, store.Folder(build) / "tokens"
    texts = {}
    for label in reopened.shards.labels:
        name = f"{label}/part-00000.arrow"
        for row in tokens.open_shard(folder, name, vocab_hash=vocab_hash).to_pylist():
            texts[label, row["id"]] = [reopened.vocabulary.pieces[i] for i in row["tokens"]]
    kinds = set()
    for step in (0, 7, 13):
        for one in replay(reopened, step=step)["micro_batches"]:
            for example in one["examples"]:
                there = [seen if was is None else was for seen, was in example["pieces"]]
                assert there[0] == "[CLS]" and there[-1] == "[SEP]"
                end = there.index("[SEP]")
                parts = [there[1:end]] + ([there[end + 1 : -1]] if end < len(there) - 1 else [])
                assert len(parts) == len(example["documents"]) == 1 + (example["nsp"] is not None)
                for part, document in zip(parts, example["documents"], strict=True):
                    assert part and holds(texts[example["label"], document], part)
                assert (example["nsp"] == "random") == (len({*example["documents"]}) == 2)
                kinds.add(example["nsp"])
    assert {"next", "random"} <= kinds


def holds(text, part):
    return any(text[at : at + len(part)] == part for at in range(len(text) - len(part) + 1))


def test_a_stopped_run_tells_the_steps_that_are_to_come(pretrain_build, fed, tmp_path):
    out = copied(pretrain_build, tmp_path / "out")
    run = run_of(out)
    assert_decodes(replay(run, step=9), fed, step=9, run=run)  # nothing is saved yet
    train(run_of(out), watcher=Watcher(stop_at=6))
    stopped = reopen(store.Folder(out / "runs" / "run"), out=str(out))
    state = Checkpoints(stopped.folder / "checkpoints", keep=1).state()
    assert 6 <= state["step"] < 15
    for step in (2, state["step"], 15, 19):
        assert_decodes(replay(stopped, step=step), fed, step=step, run=stopped)


def test_a_step_after_the_end_is_refused(reopened):
    with pytest.raises(ConfigError, match="--step 20: the run has 20 steps"):
        replay(reopened, step=20)


def test_a_run_measured_in_time_tells_what_it_trained_on_and_not_what_will_come(
    pretrain_build, tmp_path
):
    out = copied(pretrain_build, tmp_path / "out")
    stages = [{"start": 0, "mask_rate": 0.3}, {"start": 0.003, "mask_rate": 0.15}]
    changes = {"tokens": None, "budget": "60s", "stages": stages, "block": 2, "log_every": 1}
    changes["evaluation"] = {"times": 1}
    done = train(run_of(out, **changes), watcher=Watcher(stop_at=30))
    again = reopen(store.Folder(done.folder), out=str(out))
    log = lines(out / "runs" / "run" / "log.jsonl")
    for line in log:
        last = replay(again, step=line["step"] - 1)["micro_batches"][-1]
        assert (last["block"], last["stage"]) == (line["block"], line["stage"])
        rate = (0.3, 0.15)[line["stage"]]
        assert last["masked"] in (round(rate * 512), round(rate * last["tokens"]))
    assert log[0]["stage"] == 0 and log[-1]["stage"] == 1
    with pytest.raises(ConfigError, match="measured in time"):
        replay(again, step=log[-1]["step"] + 20)


def test_without_what_it_was_trained_on_a_run_cannot_be_replayed(straight_run, build, tmp_path):
    out = copied(build, tmp_path / "out")
    shutil.copytree(straight_run, out / "runs" / "run", ignore=shutil.ignore_patterns("check*"))
    manifest = out / "tokens" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"documents": 18', '"documents": 19'))
    with pytest.raises(DataError, match="started with the token shards"):
        reopen(store.Folder(out / "runs" / "run"), out=str(out))
