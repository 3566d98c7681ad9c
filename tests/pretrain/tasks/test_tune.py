"""Tuning: a folder that transformers loads, scores over seeds, no choice by the test split."""

import json
import shutil
import statistics

import pyarrow as pa
import pytest
import torch
from served_models import write_model
from small_encoders import write_encoder, write_names, write_topics

from pipelines import store
from pipelines.errors import ConfigError, DataError
from pretrain import models
from pretrain.tasks import apply
from pretrain.tasks.data import open_task
from pretrain.tasks.scores import aggregated
from pretrain.tasks.settings import TuneSettings, learning_rate, of_overrides, resolve
from pretrain.tasks.tune import tune
from tests_support import hashes

pytestmark = pytest.mark.usefixtures("one_thread")
ASKED = TuneSettings(epochs=6, batch_size=8, learning_rate=5e-3, device="cpu", seeds=2)


class Watcher:
    """Remembers what it was told; interrupts at a text."""

    def __init__(self, *, stop_at=None):
        self.notes, self.texts, self.stop_at = [], [], stop_at

    def note(self, text):
        self.notes.append(text)

    def update(self, done, total, text):
        assert 0 <= done <= total
        self.texts.append(text)
        if self.stop_at is not None and self.stop_at in text:
            raise KeyboardInterrupt


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return models.open_model(write_encoder(tmp_path_factory.mktemp("encoder")))


@pytest.fixture(scope="module")
def topics(tmp_path_factory):
    train = {"swh_Latn": 24, "arb_Arab": 24, "tha_Thai": 16}
    return open_task([write_topics(tmp_path_factory.mktemp("topics"), train=train)])


@pytest.fixture(scope="module")
def tuned(model, topics, tmp_path_factory):
    """A tuned model of two seeds; only to be read."""
    to = store.Folder(tmp_path_factory.mktemp("tuned") / "topics")
    return tune(model, topics, settings=ASKED, to=to)


def to_of(path):
    return store.Folder(path / "tuned")


def test_it_learns_and_plain_transformers_loads_it_and_says_the_same(tuned, topics):
    import transformers

    assert tuned.scores["mean"]["macro_f1"] > 0.9
    assert tuned.scores["worst"]["label"] in ("arb_Arab", "swh_Latn", "tha_Thai")
    network = transformers.AutoModelForSequenceClassification.from_pretrained(tuned.folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tuned.folder)
    texts = topics.test["text"].to_pylist()
    with torch.no_grad():
        logits = network(**tokenizer(texts, return_tensors="pt", padding=True)).logits
    said = [network.config.id2label[number] for number in logits.argmax(-1).tolist()]
    with pa.ipc.open_stream(f"{tuned.folder}/predictions.arrow") as stream:
        stored = stream.read_all()
    assert stored.column_names == ["id", "label", "seed_0", "seed_1"]
    assert stored["id"].to_pylist() == topics.test["id"].to_pylist()
    assert stored[f"seed_{tuned.best}"].to_pylist() == said
    loaded = apply.load(models.open_model(tuned.folder))
    assert loaded.predictions(topics.test) == said
    assert loaded.predictions(topics.test.select(["text"])) == said


@pytest.mark.parametrize("head", ["classify", "tag"])
def test_a_modernbert_is_tuned_and_loaded_as_well(head, tmp_path, topics):
    import transformers

    base = models.open_model(write_model(tmp_path / "base", "modernbert", "mlm"))
    data = topics if head == "classify" else open_task([write_names(tmp_path / "names")])
    found = tune(base, data, settings=ASKED.model_copy(update={"seeds": 1}), to=to_of(tmp_path))
    auto = getattr(transformers, models.AUTO[head])
    network = auto.from_pretrained(found.folder)
    assert list(network.config.id2label.values()) == list(data.targets)
    assert found.scores["all"]["deviation"] is None
    assert found.scores["all"]["mean"] > 0.9
    if head == "classify":
        assert network.config.classifier_pooling == "mean"
    said = apply.load(models.open_model(found.folder)).predictions(data.test)
    with pa.ipc.open_stream(f"{found.folder}/predictions.arrow") as stream:
        assert stream.read_all()["seed_0"].to_pylist() == said


def test_tags_are_of_words_and_names_are_scored_as_spans(model, tmp_path):
    data = open_task([write_names(tmp_path / "names")])
    found = tune(model, data, settings=ASKED, to=to_of(tmp_path))
    assert (found.metric, found.scores["all"]["f1"]) == ("f1", 1.0)
    task = json.loads((tmp_path / "tuned" / "task.json").read_text())
    assert (task["scheme"], task["targets"]) == ("BIO", ["O", "B-LOC", "B-PER"])
    words = pa.table({"words": [["Amina", "anaishi", "Nairobi"], ["Nairobi"], []]})
    said = apply.load(models.open_model(found.folder)).predictions(words)
    assert said[0] == ["B-PER", "O", "B-LOC"]
    assert [len(tags) for tags in said] == [3, 1, 0]


def test_answers_are_found_in_the_text(tmp_path):
    places = ["Nairobi", "Mombasa", "Kisumu", "Dodoma", "Arusha", "Tabora"]
    for split, num in (("train", 90), ("dev", 12), ("test", 12)):
        rows = []
        for number in range(num):
            place = places[(number * 5 + len(split)) % 6]
            before = "Amina anaishi " if number % 2 else "Leo daktari anaishi "
            rows.append(
                {
                    "id": f"{split}-{number}",
                    "context": f"{before}{place} na anafanya kazi.",
                    "question": "Anaishi wapi?",
                    "answers": {"text": [place], "answer_start": [len(before)]},
                    "lang": "swh_Latn",
                }
            )
        lines = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
        (tmp_path / f"qa.{split}.jsonl").write_text(lines, encoding="utf-8")
    base = models.open_model(write_encoder(tmp_path / "base"))
    data = open_task([tmp_path / "qa"])
    asked = ASKED.model_copy(update={"seeds": 1, "epochs": 25, "patience": 25})
    found = tune(base, data, settings=asked, to=to_of(tmp_path))
    assert found.task == "answer"
    assert found.scores["swh_Latn"]["f1"] > 0.5
    said = apply.load(models.open_model(found.folder)).predictions(data.test)
    contexts = data.test["context"].to_pylist()
    assert all(text in context for text, context in zip(said, contexts, strict=True))


def test_the_same_inputs_give_the_same_bytes(tuned, model, topics, tmp_path):
    torch.manual_seed(5)
    again = tune(model, topics, settings=ASKED, to=to_of(tmp_path))
    assert hashes_of(tuned.folder) == hashes_of(again.folder)


def hashes_of(folder):
    from pathlib import Path

    return hashes(Path(folder))


def test_another_seed_gives_another_model(tuned, model, topics, tmp_path):
    asked = ASKED.model_copy(update={"seed": 7, "seeds": 1})
    other = tune(model, topics, settings=asked, to=to_of(tmp_path))
    assert other.best == 7
    name = "model.safetensors"
    assert hashes_of(tuned.folder)[name] != hashes_of(other.folder)[name]


def test_scores_are_means_and_deviations_of_the_seeds(tuned):
    for label in ("swh_Latn", "arb_Arab", "tha_Thai", "all", "mean"):
        values = [seed["scores"][label]["macro_f1"] for seed in tuned.seeds]
        row = tuned.scores[label]
        assert row["mean"] == row["macro_f1"] == pytest.approx(statistics.fmean(values))
        assert row["deviation"] == pytest.approx(statistics.stdev(values))
        assert row["low"] <= row["mean"] <= row["high"]
    labels = [label for label in tuned.scores if "_" in label]
    means = [tuned.scores[label]["mean"] for label in labels]
    assert means == sorted(means)
    assert tuned.scores["worst"]["label"] == labels[0]


def test_the_seed_that_is_best_on_the_development_split_is_kept(tuned):
    dev = {seed["seed"]: seed["fit"]["dev"] for seed in tuned.seeds}
    assert dev[tuned.best] == max(dev.values())


def test_a_row_that_one_seed_could_not_score_is_left_out():
    rows = [{"x": {"num": 3, "f1": 0.5, "low": 0, "high": 1, "no_answer_f1": 1.0}}]
    rows += [{"x": {"num": 3, "f1": 0.7, "low": 0, "high": 1}}]
    for one in rows:
        one |= {"all": one["x"], "mean": one["x"], "worst": {"label": "x", **one["x"]}}
    found = aggregated(rows, "f1")
    assert "no_answer_f1" not in found["x"]
    assert found["x"]["mean"] == pytest.approx(0.6)
    assert found["worst"]["label"] == "x"


def test_a_second_call_does_nothing(tuned, model, topics):
    before, watcher = hashes_of(tuned.folder), Watcher()
    again = tune(model, topics, settings=ASKED, to=store.Folder(tuned.folder), watcher=watcher)
    assert not again.is_new
    assert (again.scores, list(again.scores)) == (tuned.scores, list(tuned.scores))
    assert hashes_of(tuned.folder) == before
    assert not watcher.texts


def test_other_inputs_replace_an_earlier_tuning(tuned, model, topics, tmp_path):
    shutil.copytree(tuned.folder, tmp_path / "tuned")
    asked = ASKED.model_copy(update={"epochs": 1})
    again = tune(model, topics, settings=asked, to=to_of(tmp_path))
    assert again.is_new
    assert store.verify(to_of(tmp_path), artefact="tuned") == []
    fewer = topics.train.slice(0, 40)
    import dataclasses

    other = tune(
        model, dataclasses.replace(topics, train=fewer), settings=asked, to=to_of(tmp_path)
    )
    assert other.is_new


def test_a_folder_of_something_else_is_left_alone(model, topics, tmp_path):
    (tmp_path / "tuned").mkdir()
    (tmp_path / "tuned" / "thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match=r"thesis\.tex.*\n.*--to"):
        tune(model, topics, settings=ASKED, to=to_of(tmp_path))
    with pytest.raises(ConfigError, match="something else"):  # the base model itself
        tune(model, topics, settings=ASKED, to=store.Folder(model.folder))


def test_a_half_written_folder_and_a_damaged_one_are_replaced(tuned, model, topics, tmp_path):
    half = shutil.copytree(tuned.folder, tmp_path / "half")
    (half / "manifest.json").unlink()
    (half / "scores.json").unlink()
    damaged = shutil.copytree(tuned.folder, tmp_path / "damaged")
    (damaged / "model.safetensors").write_bytes(b"\0" * 8)
    for folder in (half, damaged):
        assert tune(model, topics, settings=ASKED, to=store.Folder(folder)).is_new
        assert store.verify(store.Folder(folder), artefact="tuned") == []


def test_an_interrupted_tuning_goes_on_with_the_seed_it_was_at(tuned, model, topics, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        tune(model, topics, settings=ASKED, to=to_of(tmp_path), watcher=Watcher(stop_at="seed 1"))
    assert not (tmp_path / "tuned" / "manifest.json").exists()
    watcher = Watcher()
    again = tune(model, topics, settings=ASKED, to=to_of(tmp_path), watcher=watcher)
    assert "1 of 2 seeds were finished before" in watcher.notes
    assert not any("seed 0" in text for text in watcher.texts)
    assert again.scores == tuned.scores
    assert hashes_of(again.folder) == hashes_of(tuned.folder)
    assert not (tmp_path / "tuned" / ".seeds").exists()


def test_finished_seeds_of_other_inputs_are_forgotten(model, topics, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        tune(model, topics, settings=ASKED, to=to_of(tmp_path), watcher=Watcher(stop_at="seed 1"))
    watcher = Watcher()
    asked = ASKED.model_copy(update={"epochs": 1})
    tune(model, topics, settings=asked, to=to_of(tmp_path), watcher=watcher)
    assert any("seed 0" in text for text in watcher.texts)


def test_a_sweep_takes_the_learning_rate_that_is_best_on_the_development_split(
    model, topics, tmp_path
):
    asked = ASKED.model_copy(update={"sweep": True, "seeds": 1, "epochs": 2, "learning_rate": 1e-5})
    found = tune(model, topics, settings=asked, to=to_of(tmp_path))
    swept = found.seeds[0]["swept"]
    assert len(swept) == 3
    best = max(swept.values())
    assert swept[f"{found.settings['learning_rate']:g}"] == best
    assert found.seeds[0]["fit"]["dev"] == best


def test_random_weights_are_another_model_and_the_card_says_so(tuned, model, topics, tmp_path):
    asked = ASKED.model_copy(update={"epochs": 1, "seeds": 1})
    found = tune(model, topics, settings=asked, to=to_of(tmp_path), random=True)
    plain = tune(model, topics, settings=asked, to=store.Folder(tmp_path / "plain"))
    name = "model.safetensors"
    assert hashes_of(found.folder)[name] != hashes_of(plain.folder)[name]
    assert "not pretrained" in (tmp_path / "tuned" / "README.md").read_text()
    assert json.loads((tmp_path / "tuned" / "task.json").read_text())["base"]["random"] is True


def test_without_a_test_split_the_development_split_is_judged_and_flatters(model, topics, tmp_path):
    import dataclasses

    data = dataclasses.replace(topics, test=topics.test.slice(0, 0))
    asked = ASKED.model_copy(update={"epochs": 1, "seeds": 1})
    found = tune(model, data, settings=asked, to=to_of(tmp_path))
    assert found.judged_on == "dev"
    assert any("flatter" in warning for warning in found.warnings)
    data = dataclasses.replace(data, dev=topics.dev.slice(0, 0))
    found = tune(model, data, settings=asked, to=to_of(tmp_path))
    assert (found.judged_on, found.scores) == (None, {})
    assert found.seeds[0]["fit"]["dev"] is None
    with pytest.raises(DataError, match="no examples to train on"):
        data = dataclasses.replace(topics, train=topics.train.slice(0, 0))
        tune(model, data, settings=asked, to=store.Folder(tmp_path / "none"))


def test_languages_that_the_model_never_read_are_told(topics, tmp_path):
    base = write_encoder(tmp_path / "base")
    lineage = {"tokens_by_label": {"swh_Latn": 900, "tha_Thai": 0}}
    (base / "lineage.json").write_text(json.dumps(lineage))
    asked = ASKED.model_copy(update={"epochs": 1, "seeds": 1})
    watcher = Watcher()
    found = tune(
        models.open_model(base), topics, settings=asked, to=to_of(tmp_path), watcher=watcher
    )
    (told,) = [one for one in found.warnings if "not pretrained" in one]
    assert told.startswith("arb_Arab, tha_Thai: ")
    assert told in watcher.notes


def test_text_that_the_vocabulary_loses_is_told(model, tmp_path):
    lines = ["text\ttarget\tlang"]
    for number in range(40):
        text = "ꓐꓑꓒꓓꓔ" if number % 2 else "ꓫꓬꓭꓮꓯ"
        lines.append(f"{text} {number}\t{'ab'[number % 2]}\tlis_Lisu")
    (tmp_path / "rare.train.tsv").write_text("\n".join(lines), encoding="utf-8")
    data = open_task([tmp_path / "rare"])
    asked = ASKED.model_copy(update={"epochs": 1, "seeds": 1})
    found = tune(model, data, settings=asked, to=to_of(tmp_path))
    assert any(
        warning.startswith("lis_Lisu: ") and "single bytes" in warning for warning in found.warnings
    )


def test_a_folder_says_what_it_is_of(tuned, model, topics):
    from pathlib import Path

    folder = Path(tuned.folder)
    task = json.loads((folder / "task.json").read_text())
    assert task["labels"] == {"arb_Arab": 24, "swh_Latn": 24, "tha_Thai": 16}
    assert task["base"]["name"] == model.name
    assert task["data"]["files"] == [list(file) for file in topics.files]
    assert task["max_length"] == 64
    lineage = json.loads((folder / "lineage.json").read_text())
    assert lineage["tuned"][0]["base"] == task["base"]
    assert store.verify(store.Folder(folder), artefact="tuned") == []
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "pipeline_tag: text-classification" in card
    assert card.index(tuned.scores["worst"]["label"]) < card.index("mean of 3")
    assert "- sw\n" in card


def test_learning_rates_fall_with_the_width_and_epochs_with_the_data():
    rates = [learning_rate(width=width) for width in (64, 128, 256, 512, 768, 1024)]
    assert rates == sorted(rates, reverse=True)
    assert rates[4] == pytest.approx(5e-5)

    def epochs(num):
        found = resolve(
            TuneSettings(), task="tag", width=128, num_sequences=num, longest=512, on_gpu=False
        )
        return found.epochs

    assert (epochs(10), epochs(1_000_000)) == (20, 3)
    assert 3 < epochs(2000) < 20


def test_settings_come_from_overrides_and_unknown_ones_are_named():
    found = of_overrides({"tune.epochs": 2, "tune.budget": "2min"})
    assert (found.epochs, found.budget) == (2, "2min")
    with pytest.raises(ConfigError, match="learning_rate"):
        of_overrides({"tune.learning_rat": 1e-3})
    with pytest.raises(ConfigError, match=r"tune\.epochs"):
        of_overrides({"tune.epochs": 0})


def test_a_budget_is_shared_by_the_seeds(model, topics, tmp_path):
    asked = ASKED.model_copy(update={"epochs": 10_000, "patience": 10_000, "budget": "3s"})
    found = tune(model, topics, settings=asked, to=to_of(tmp_path))
    assert [seed["fit"]["stopped"] for seed in found.seeds] == ["budget", "budget"]
    assert found.seconds < 30
