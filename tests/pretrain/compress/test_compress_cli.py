"""`koine compress`: both models side by side, one JSON object, errors with a remedy."""

import json

import pytest
import torch
from served_models import write_model
from small_encoders import write_topics
from smaller_models import write_texts
from typer.testing import CliRunner

from pipelines.errors import ConfigError, DataError
from pretrain.compress.cli import app


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run(*arguments):
    return CliRunner().invoke(app, [*map(str, arguments)])


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    return write_texts(folder, ("arb_Arab", "swh_Latn", "eng_Latn", "tha_Thai"))


@pytest.fixture(scope="module")
def tuned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tuned") / "topics"
    return write_model(folder, "bert", "classify", targets=["health", "sport"])


@pytest.fixture(scope="module")
def topics(tmp_path_factory):
    return write_topics(tmp_path_factory.mktemp("data"), train={"swh_Latn": 24})


def test_trim_prints_size_speed_and_score_side_by_side(tuned, texts, topics, tmp_path):
    found = run(
        "trim", tuned, "--corpus", texts, "--labels", "sw,en", "--to", tmp_path / "small",
        "--task", topics,
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    lines = [line.split("\t") for line in found.stdout.splitlines()]
    assert lines[0] == ["", "before", "after", "compared"]
    names = [line[0] for line in lines[1:6]]
    assert names[:4] == ["size on disk", "parameters", "one sequence", "throughput"]
    assert "macro-F1" in names[4]
    assert "swh_Latn" in found.stdout and "tha_Thai" not in found.stdout
    assert "are cut as before" in found.stderr
    assert "koine predict" in found.stderr


def test_a_second_time_it_prints_the_same_without_doing_it(tuned, texts, topics, tmp_path):
    given = (
        "trim", tuned, "--corpus", texts, "--labels", "eng_Latn,swh_Latn,arb_Arab", "--to",
        tmp_path / "small", "--task", topics,
    )  # fmt: skip
    first, second = run(*given), run(*given)
    assert second.stdout == first.stdout
    assert "was finished before" in second.stderr
    assert "most tha_Thai" in first.stderr and "most tha_Thai" in second.stderr


def test_json_prints_one_object(tuned, texts, topics, tmp_path):
    found = run(
        "trim", tuned, "--corpus", texts, "--labels", "swh_Latn", "--to", tmp_path / "small",
        "--json", "--quiet",
    )  # fmt: skip
    value = json.loads(found.stdout)
    assert value["model"] == str(tmp_path / "small")
    assert value["kind"] == "trimmed" and value["proof"]["pieces"] > 0
    assert not found.stderr


def test_distil_prints_both_and_what_was_learnt(tuned, texts, topics, tmp_path):
    found = run(
        "distil", tuned, "--layers", 1, "--corpus", texts, "--to", tmp_path / "half",
        "--tokens", 3000, "--length", 32, "--device", "cpu", "--task", topics,
        "--set", "tune.epochs=2",
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    assert "x as fast" in found.stdout
    assert "2 layers of 32 became 1 of 32" in found.stderr
    assert "the teacher's answers to 24 training examples" in found.stderr


def test_quantise_prints_both_and_how_far_outputs_are_off(tuned, topics, tmp_path):
    found = run("quantise", tuned, "--to", tmp_path / "int8", "--task", topics)
    assert found.exit_code == 0, found.output
    assert "size on disk" in found.stdout and "macro-F1" in found.stdout
    assert "outputs differ by" in found.stderr
    assert (tmp_path / "int8/model.int8.onnx").exists()


def test_errors_have_a_remedy(tuned, texts, tmp_path):
    given = ("trim", tuned, "--corpus", texts, "--to", tmp_path / "small")
    found = run(*given, "--labels", "swh_Latm")
    assert isinstance(found.exception, ConfigError) and "Did you mean" in str(found.exception)
    found = run("trim", tuned, "--corpus", tmp_path / "absent", "--to", "x", "--labels", "sw")
    assert isinstance(found.exception, DataError)
    found = run("trim", tmp_path / "absent", "--corpus", texts, "--to", "x", "--labels", "sw")
    assert isinstance(found.exception, DataError)
    found = run(
        "distil", tuned, "--layers", 2, "--corpus", texts, "--to", tmp_path / "half"
    )  # fmt: skip
    assert isinstance(found.exception, ConfigError) and "--layers 2" in str(found.exception)
    found = run(*given, "--labels", "sw", "--set", "tune.epoch=2")
    assert isinstance(found.exception, ConfigError) and "epochs" in str(found.exception)


@pytest.mark.parametrize("command", ["trim", "distil", "quantise"])
def test_help_shows_an_example(command):
    found = run(command, "--help")
    assert found.exit_code == 0 and f"Example: koine compress {command}" in found.stdout
