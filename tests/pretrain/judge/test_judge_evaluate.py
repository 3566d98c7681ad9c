"""An evaluation from data to results: of an encoder, of a tuned model, killed and gone on with."""

import json
from pathlib import Path

import pytest
import typer
from small_encoders import write_encoder, write_names, write_topics
from typer.testing import CliRunner

from pipelines import store
from pipelines.errors import ConfigError, DataError
from pretrain.judge import card, page, results
from pretrain.judge.cli import evaluate_cli
from pretrain.judge.data import open_data
from pretrain.judge.evaluate import evaluate
from pretrain.models import open_model
from pretrain.tasks.settings import TuneSettings

SETTINGS = TuneSettings(seeds=2, epochs=4, learning_rate=0.01, batch_size=8, device="cpu")
TRAIN = {"swh_Latn": 32, "arb_Arab": 32}


class Watcher:
    """Remembers what it was told; stops at the first word of a seed of a tuning."""

    def __init__(self, stop_at: str | None = None) -> None:
        self.notes, self.updates = [], []
        self._stop_at = stop_at

    def update(self, done, total, text):
        self.updates.append((done, total, text))
        if self._stop_at is not None and text.startswith(self._stop_at):
            raise KeyboardInterrupt

    def note(self, text):
        self.notes.append(text)


def judge(model, *tasks, to, watcher=None, settings=SETTINGS, **more):
    """Evaluate a folder on data, as the command does."""
    opened = open_model(model)
    return evaluate(
        opened,
        [open_data(opened, path) for path in tasks],
        to=store.Folder(to),
        settings=settings,
        watcher=watcher or Watcher(),
        **more,
    )


@pytest.fixture(scope="module")
def encoder(tmp_path_factory, one_thread):
    return write_encoder(tmp_path_factory.mktemp("encoder") / "small")


@pytest.fixture(scope="module")
def topics(tmp_path_factory):
    return write_topics(tmp_path_factory.mktemp("data") / "topics", train=TRAIN)


@pytest.fixture(scope="module")
def whole(encoder, topics, tmp_path_factory):
    """An evaluation with all that it may have; only to be read."""
    out = tmp_path_factory.mktemp("whole") / "evaluation"
    return judge(encoder, topics, to=out, zero_shot=["swh_Latn"], baselines=True)


def test_an_encoder_is_judged_by_language_beside_its_baselines(whole):
    task = whole.results["tasks"]["topics"]
    rows = task["rows"]
    assert rows.keys() == {"arb_Arab", "swh_Latn", "tha_Thai"}
    of = {label: [one for one in results.SYSTEMS if one in row] for label, row in rows.items()}
    assert of == {
        "arb_Arab": ["in_language", "zero_shot", "random", "random_zero_shot", "majority"],
        "swh_Latn": ["in_language", "random", "majority"],
        "tha_Thai": ["zero_shot", "random_zero_shot", "majority"],
    }
    assert task["trained_on"] == {"in_language": TRAIN, "zero_shot": {"swh_Latn": 32}}
    assert {label: row["examples"] for label, row in rows.items()} == {**TRAIN, "tha_Thai": 0}
    assert rows["swh_Latn"]["in_language"]["mean"] > 0.9
    assert results.verdict(rows["swh_Latn"]["difference"]["majority"]) == "better"
    assert rows["swh_Latn"]["majority"]["mean"] == pytest.approx(1 / 3), "one of two targets"
    assert rows["swh_Latn"]["num"] == 24
    assert task["worst"]["label"] == results.worst_first(task)[0][0]


def test_the_folder_holds_results_page_tunings_and_a_manifest(whole):
    folder = store.Folder(whole.folder)
    listed = store.listed(store.read_manifest(folder, artefact="evaluation"))
    assert [file.name for file in listed] == [page.PAGE, results.RESULTS]
    assert [folder.check(file) for file in listed] == [None, None]
    assert json.loads(folder.read_bytes(results.RESULTS)) == whole.results
    assert folder.read_bytes(page.PAGE).decode() == page.render(whole.results)
    tunings = sorted(path.name for path in (folder.root / "models").iterdir())
    assert tunings == [
        "topics-in-language", "topics-random", "topics-random-zero-shot", "topics-zero-shot",
    ]  # fmt: skip
    assert open_model(folder.root / "models" / tunings[0]).task["task"] == "classify"
    assert not folder.exists("begun.json")


def test_the_models_card_tells_the_scores_and_its_manifest_stays_true(encoder, whole):
    text = Path(whole.card).read_text(encoding="utf-8")
    assert text.startswith("# A BERT\n") and card.BEGIN in text
    assert "| Thai | `tha_Thai` |" in text
    assert store.verify(store.Folder(encoder), artefact="export") == []


def test_a_second_run_does_nothing_and_finds_the_same(encoder, topics, whole):
    watcher = Watcher()
    again = judge(
        encoder, topics, to=whole.folder, zero_shot=["swh_Latn"], baselines=True, watcher=watcher
    )
    assert again.was_done and again.results == whole.results
    assert watcher.updates == []


def test_a_killed_evaluation_goes_on_and_finds_the_same(encoder, topics, whole, tmp_path):
    out = tmp_path / "evaluation"
    more = {"zero_shot": ["swh_Latn"], "baselines": True}
    with pytest.raises(KeyboardInterrupt):
        judge(encoder, topics, to=out, watcher=Watcher("topics-random   seed 1"), **more)
    assert not (out / store.MANIFEST).exists()
    watcher = Watcher()
    found = judge(encoder, topics, to=out, watcher=watcher, **more)
    assert found.results == whole.results and not found.was_done
    begun = {text.split("   ")[0] for _, _, text in watcher.updates}
    assert begun == {"topics-random", "topics-random-zero-shot"}, "the others were done"
    assert not any("topics-random   seed 0" in text for _, _, text in watcher.updates)


def test_more_to_compare_with_uses_the_tunings_that_are_there(encoder, topics, tmp_path):
    out = tmp_path / "evaluation"
    first = judge(encoder, topics, to=out)
    watcher = Watcher()
    second = judge(encoder, topics, to=out, baselines=True, watcher=watcher)
    assert {text.split("   ")[0] for _, _, text in watcher.updates} == {"topics-random"}
    one, other = (
        found.results["tasks"]["topics"]["rows"]["swh_Latn"]["in_language"]
        for found in (first, second)
    )
    assert one["mean"] == other["mean"]


def tuned_model(whole):
    return Path(whole.folder) / "models" / "topics-zero-shot"


def test_a_tuned_model_is_judged_as_it_is_and_other_languages_are_zero_shot(
    whole, topics, tmp_path
):
    watcher = Watcher()
    found = judge(tuned_model(whole), topics, to=tmp_path / "out", baselines=True, watcher=watcher)
    assert watcher.updates == []
    rows = found.results["tasks"]["topics"]["rows"]
    assert results.primary(rows["swh_Latn"]) == "in_language"
    assert results.primary(rows["arb_Arab"]) == "zero_shot"
    assert "majority" in rows["arb_Arab"]["difference"]
    assert found.results["seeds"] is None
    scores = json.loads((tuned_model(whole) / "scores.json").read_text("utf-8"))
    of_best = next(one for one in scores["seeds"] if one["seed"] == scores["best"])
    expected = of_best["scores"]["arb_Arab"]["macro_f1"]
    assert rows["arb_Arab"]["zero_shot"]["mean"] == pytest.approx(expected)


def test_a_tuned_model_is_judged_on_all_of_a_file_that_is_no_split(whole, topics, tmp_path):
    text = (topics / "topics.test.tsv").read_text("utf-8")
    (tmp_path / "news.tsv").write_text(text, encoding="utf-8")
    found = judge(tuned_model(whole), tmp_path / "news.tsv", to=tmp_path / "out", baselines=True)
    rows = found.results["tasks"]["news"]["rows"]
    assert [row["num"] for row in rows.values()] == [24, 24, 24]
    assert found.results["tasks"]["news"]["mean"].keys() == {"in_language", "zero_shot"}


def test_a_tuned_model_is_not_judged_on_another_task(whole, tmp_path):
    names = write_names(tmp_path / "names")
    with pytest.raises(ConfigError) as caught:
        judge(tuned_model(whole), names, to=tmp_path / "out")
    assert str(caught.value).startswith(
        f"names: is data to tag, and {tuned_model(whole)} was tuned to classify.\n"
        "  Name data to classify, or the encoder that it was tuned from"
    )
    assert not (tmp_path / "out").exists()


def test_a_tuned_model_is_not_judged_on_targets_that_it_does_not_know(whole, tmp_path):
    data = write_topics(tmp_path / "data", train=TRAIN)
    for path in data.iterdir():
        text = path.read_text("utf-8").replace("sport", "law").replace("health", "art")
        path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="none of its target is one of those"):
        judge(tuned_model(whole), data, to=tmp_path / "out")


@pytest.mark.parametrize(
    ("label", "said"), [("swa_Latn", "Did you mean `swh_Latn`"), ("tha_Thai", "Known: arb_Arab")]
)
def test_zero_shot_from_a_language_without_examples_is_refused(
    encoder, topics, tmp_path, label, said
):
    with pytest.raises(
        ConfigError, match=f"topics has no training examples of '{label}'"
    ) as caught:
        judge(encoder, topics, to=tmp_path / "out", zero_shot=[label])
    assert said in str(caught.value)


def test_a_task_that_lacks_the_language_goes_without_and_says_so(encoder, topics, tmp_path):
    other = write_topics(tmp_path / "other", train={"arb_Arab": 16})
    settings = SETTINGS.model_copy(update={"seeds": 1, "epochs": 1})
    more = {"zero_shot": ["swh_Latn"], "settings": settings}
    tasks = judge(encoder, topics, other, to=tmp_path / "out", **more).results["tasks"]
    assert tasks["topics"]["trained_on"].keys() == {"in_language", "zero_shot"}
    assert tasks["other"]["trained_on"].keys() == {"in_language"}
    assert "no training examples of swh_Latn to tune on for zero-shot" in tasks["other"]["warnings"]


def test_a_folder_with_something_else_is_left_alone(encoder, topics, tmp_path):
    (tmp_path / "thesis.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match=r"holds something else than an evaluation \(thesis.txt"):
        judge(encoder, topics, to=tmp_path)
    with pytest.raises(ConfigError, match="holds something else"):
        judge(encoder, topics, to=encoder)


def test_data_without_test_examples_is_an_error(encoder, topics, tmp_path):
    for split in ("train", "dev", "test"):
        text = (topics / f"topics.{split}.tsv").read_text("utf-8")
        head = text.partition("\n")[0] + "\n"
        path = tmp_path / f"topics.{split}.tsv"
        path.write_text(text if split != "test" else head, encoding="utf-8")
    with pytest.raises(DataError):
        judge(encoder, tmp_path, to=tmp_path / "out")


def test_several_tasks_stand_side_by_side_and_equal_names_are_told_apart(encoder, topics, tmp_path):
    other = write_topics(tmp_path / "topics", train=TRAIN, seed=1)
    names = write_names(tmp_path / "names")
    settings = SETTINGS.model_copy(update={"seeds": 1, "epochs": 1})
    found = judge(encoder, topics, other, names, to=tmp_path / "out", settings=settings)
    assert list(found.results["tasks"]) == ["topics", "topics-2", "names"]
    assert found.results["tasks"]["names"]["rows"].keys() == {"und"}
    assert "Unknown language" in page.render(found.results)
    again = judge(encoder, topics, other, names, to=tmp_path / "out", settings=settings)
    assert again.was_done and list(again.results["tasks"]) == ["topics", "topics-2", "names"]


def test_a_card_that_cannot_be_written_stops_nothing(encoder, topics, tmp_path, monkeypatch):
    from pipelines.errors import EnvironmentProblem

    def refuse(*_):
        raise EnvironmentProblem("/models/small: is read-only.\n  Copy it.")

    monkeypatch.setattr(card, "append", refuse)
    watcher = Watcher()
    settings = SETTINGS.model_copy(update={"seeds": 1, "epochs": 1})
    found = judge(encoder, topics, to=tmp_path / "out", settings=settings, watcher=watcher)
    assert found.card is None
    assert "The model's card stays as it was: /models/small: is read-only." in watcher.notes


@pytest.fixture
def command():
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(evaluate_cli)
    return lambda *args: CliRunner().invoke(app, [str(one) for one in args])


SMALL = ("--seeds", 1, "--set", "tune.epochs=1", "--set", "tune.learning_rate=0.01")


def test_the_command_prints_a_table_and_where_things_are(command, encoder, topics, tmp_path):
    done = command(encoder, topics, "--out", tmp_path / "out", *SMALL, "--no-card")
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == "topics: macro F1"
    assert lines[1].split("\t")[:4] == ["language", "label", "in-language", "95 %"]
    assert len(lines) == 5
    assert f"page     {tmp_path / 'out' / 'results.html'}" in done.stderr
    assert "--baselines" in done.stderr


def test_the_command_prints_one_json_object(command, encoder, topics, tmp_path):
    done = command(encoder, topics, "--out", tmp_path / "out", *SMALL, "--json", "--quiet")
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["tasks"]["topics"]["metric"] == "macro_f1"
    assert found["folder"] == str(tmp_path / "out")
    assert done.stderr == ""


def test_a_column_is_named_by_field(command, encoder, tmp_path):
    data = write_topics(tmp_path / "data", train=TRAIN)
    for path in data.iterdir():
        text = path.read_text("utf-8").replace("text\ttarget", "sentence\tabout", 1)
        path.write_text(text, encoding="utf-8")
    columns = ("--column", "text=sentence", "--column", "target=about")
    done = command(encoder, data, "--out", tmp_path / "out", *SMALL, *columns, "--json", "-q")
    assert done.exit_code == 0, done.output
    done = command(encoder, data, "--column", "about")
    assert isinstance(done.exception, ConfigError)
    assert "write it as FIELD=NAME" in str(done.exception)
