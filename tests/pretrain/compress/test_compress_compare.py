"""Two models side by side: sizes, times, and scores on the same examples."""

import pytest
import torch
from served_models import write_model
from small_encoders import write_encoder, write_topics

from pipelines import store
from pretrain.compress import compare, scores
from pretrain.compress.scores import Side
from pretrain.models import open_model
from pretrain.tasks import metrics
from pretrain.tasks.data import open_task
from pretrain.tasks.settings import TuneSettings


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def topics(tmp_path_factory):
    return write_topics(tmp_path_factory.mktemp("topics"), train={"swh_Latn": 24, "arb_Arab": 24})


def test_the_same_model_is_as_large_as_fast_and_as_good_as_itself(topics, tmp_path):
    model = open_model(write_model(tmp_path, "bert", "classify", targets=["health", "sport"]))
    data = open_task(topics, task="classify", targets=model.task["targets"])
    found = compare.compare(Side(model), Side(model), data=data)
    assert found.before.num_bytes == found.after.num_bytes > found.before.weights_bytes
    assert found.before.parameters == found.after.parameters
    assert 0.3 < found.speedup < 3
    assert found.head == "classify" and found.threads == 1 and found.length == 48
    for row in [*found.score["labels"].values(), found.score["mean"]]:
        assert row["difference"] == [0.0, 0.0, 0.0]


def test_scores_are_those_of_the_metrics_and_the_worst_language_comes_first(topics, tmp_path):
    model = open_model(write_model(tmp_path, "bert", "classify", targets=["health", "sport"]))
    data = open_task(topics, task="classify", targets=model.task["targets"])
    gold = data.test
    wrong = ["health"] * len(gold)
    right = gold["target"].to_pylist()
    rows = scores.score_rows("classify", gold, [wrong], [right], seed=3)
    expected = metrics.scored("classify", gold, wrong)
    for label, row in rows["labels"].items():
        assert row["before"] == pytest.approx(expected[label]["macro_f1"])
        assert row["after"] == 1.0
        gap, low, high = row["difference"]
        assert low <= gap <= high and gap == pytest.approx(1 - row["before"])
    assert rows["mean"]["num"] == 3
    again = scores.score_rows("classify", gold, [right], [wrong, right], seed=3)
    after = [row["after"] for row in again["labels"].values()]
    assert after == sorted(after)


def test_an_encoder_is_tuned_before_it_is_judged(topics, tmp_path):
    model = open_model(write_encoder(tmp_path / "encoder"))
    data = open_task(topics)
    found = compare.compare(
        Side(model),
        Side(model),
        data=data,
        settings=TuneSettings(seeds=1, epochs=1, device="cpu"),
        work=store.Folder(tmp_path / "work"),
    )
    assert found.score["seeds"] == 1 and found.score["metric"] == "macro_f1"
    assert found.score["mean"]["difference"][0] == 0
    assert found.head == "none"
    assert found.facts()["score"]["labels"].keys() == {"swh_Latn", "arb_Arab", "tha_Thai"}


def test_only_the_languages_that_are_kept_are_judged(topics):
    data = open_task(topics)
    part = scores.only(data, ["swh_Latn"])
    assert set(part.test["label"].to_pylist()) == {"swh_Latn"}
    assert len(part.train) == 24
