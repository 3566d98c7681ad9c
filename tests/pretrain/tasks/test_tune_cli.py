"""`koine tune`: one JSON object, the worst language first, one error with its remedy."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from small_encoders import write_encoder, write_names, write_topics
from typer.testing import CliRunner

from pipelines.errors import ConfigError, DataError, KoineError
from pretrain.tasks.cli import app
from tests_support import ROOT

pytestmark = pytest.mark.usefixtures("one_thread")
FAST = ("--set", "tune.learning_rate=0.005", "--set", "tune.batch_size=8", "--device", "cpu")


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """A model, topics and names; only to be read."""
    folder = tmp_path_factory.mktemp("given")
    write_encoder(folder / "base")
    write_topics(folder / "topics", train={"swh_Latn": 24, "tha_Thai": 16})
    write_names(folder / "names")
    return folder


def run(*arguments):
    found = CliRunner().invoke(app, [str(one) for one in arguments])
    if isinstance(found.exception, KoineError):
        raise found.exception
    return found


def classify(given, to, *arguments):
    data = given / "topics" / "topics"
    return run(
        "classify", given / "base", data, "--to", to, "--set", "tune.epochs=5", *FAST, *arguments
    )


def test_the_summary_has_the_worst_language_first_and_what_comes_next(given, tmp_path):
    found = classify(given, tmp_path / "to", "--seeds", 2)
    assert found.exit_code == 0, found.output
    rows = [line.split("\t") for line in found.stdout.splitlines()]
    assert rows[0][:4] == ["language", "label", "examples", "macro-F1"]
    scores = [float(row[3]) for row in rows[1:-1]]
    assert scores == sorted(scores)
    assert {row[1] for row in rows[1:-1]} == {"arb_Arab", "swh_Latn", "tha_Thai"}
    assert rows[-1][0] == "mean"
    assert "2 seeds" in found.stderr
    assert f"koine predict {tmp_path / 'to'}" in found.stderr


def test_json_is_one_object_and_a_second_run_gives_the_same(given, tmp_path):
    first = classify(given, tmp_path / "to", "--seeds", 1, "--json", "--quiet")
    assert first.exit_code == 0, first.output
    value = json.loads(first.stdout, parse_constant=pytest.fail)
    assert value["model"] == str(tmp_path / "to")
    assert value["metric"] == "macro_f1"
    assert set(value) >= {"scores", "seeds", "best", "settings", "warnings", "judged_on"}
    assert first.stderr == ""
    again = classify(given, tmp_path / "to", "--seeds", 1, "--json", "--quiet")
    assert json.loads(again.stdout) == value
    shown = classify(given, tmp_path / "to", "--seeds", 1)
    assert "finished before" in shown.stderr


def test_tags_are_learnt_and_files_named_by_hand(given, tmp_path):
    names = given / "names"
    found = run(
        "tag", given / "base", names / "names.train.conll", "--to", tmp_path / "to",
        "--dev", names / "names.dev.conll", "--test", names / "names.test.conll",
        "--label", "swh_Latn", "--seeds", 1, "--set", "tune.epochs=6", *FAST, "--json",
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    value = json.loads(found.stdout)
    assert value["scores"]["swh_Latn"]["f1"] == 1.0
    assert value["judged_on"] == "test"


def test_columns_are_named_by_options(given, tmp_path):
    lines = ["tweet,mood,tongue"]
    lines += [f"{'nzuri sana' if n % 2 else 'mbaya sana'} {n},{n % 2},sw" for n in range(40)]
    path = tmp_path / "moods.csv"
    path.write_text("\n".join(lines), encoding="utf-8")
    arguments = ("--seeds", 1, "--set", "tune.epochs=1", *FAST, "--json", "--quiet")
    found = run(
        "classify", given / "base", path, "--to", tmp_path / "to", "--text-column", "tweet",
        "--target-column", "mood", "--label-column", "tongue", *arguments,
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    assert "swh_Latn" in json.loads(found.stdout)["scores"]


def test_wrong_settings_and_data_are_errors_with_a_remedy(given, tmp_path):
    with pytest.raises(ConfigError, match="epochs"):
        classify(given, tmp_path / "to", "--set", "tune.epocs=3")
    with pytest.raises(ConfigError, match="budget"):
        classify(given, tmp_path / "to", "--budget", "soon")
    with pytest.raises(DataError, match="no such folder"):
        run("classify", tmp_path / "nothing", given / "topics", "--to", tmp_path / "to")
    with pytest.raises(DataError):
        run("answer", given / "base", given / "topics", "--to", tmp_path / "to")
    assert not (tmp_path / "to").exists()


@pytest.mark.parametrize("command", ["classify", "tag", "answer"])
def test_help_says_what_goes_in_and_gives_an_example(command):
    found = run(command, "--help")
    assert found.exit_code == 0
    assert "DATA" in found.stdout
    assert f"Example: koine tune {command}" in " ".join(found.stdout.split())


def test_an_interrupt_is_one_line_and_finished_seeds_are_kept(given, tmp_path):
    code = "import sys; from pretrain.tasks.cli import app; app()"
    arguments = [
        "classify", given / "base", given / "topics" / "topics", "--to", tmp_path / "to",
        "--seeds", "500", "--set", "tune.epochs=2", *FAST,
    ]  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:
        journal, patience = tmp_path / "to" / ".seeds" / "seed-0.json", time.monotonic() + 120
        while not journal.exists() and time.monotonic() < patience and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1].startswith("koine: interrupted. Run the same command again")
    assert "Traceback" not in errors
    assert journal.exists()
    assert not (tmp_path / "to" / "manifest.json").exists()
