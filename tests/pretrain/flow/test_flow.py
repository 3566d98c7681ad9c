"""A whole run, in little: from text to a page; again, nothing; changed, killed or broken, the rest.

Every run is a process of its own, as a user's is: what it imports is part of what is tested.
"""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from flows import LABELS, write_flow

from tests_support import ROOT

DRIVER = """
import json, sys
sys.path.insert(0, {root!r})
import koine
from pretrain.flow.cli import run_cli
if "run" not in {{command.name for command in koine.app.registered_commands}}:
    koine.app.command("run")(run_cli)
try:
    koine.main()
finally:
    print("LOADED", json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}})))
"""
NAMES = ["corpus", "vocab", "tokens", "pretrain", "export", "tasks", "onnx"]


def start(*arguments, **environment):
    command = [sys.executable, "-c", DRIVER.format(root=str(ROOT)), "run", *map(str, arguments)]
    return subprocess.Popen(
        command,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*arguments, **environment):
    """Return code, stdout without the driver's line, stderr and the modules that were loaded."""
    process = start(*arguments, **environment)
    out, errors = process.communicate(timeout=500)
    told, _, loaded = out.rpartition("LOADED ")
    return process.returncode, told, errors, set(json.loads(loaded))


def call(config, out, *more):
    code, told, errors, loaded = run(config, "--out", out, "--workers", 1, "--json", *more)
    assert code == 0, errors
    return json.loads(told), loaded


def done(found):
    return [name for name, row in found["stages"].items() if row["state"] == "done"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run, only to be read: its configuration, its folder, what it printed."""
    folder = tmp_path_factory.mktemp("flow")
    config = write_flow(folder)
    found, _ = call(config, folder / "out")
    return config, folder / "out", found


@pytest.fixture
def copied(finished, tmp_path):
    """A copy of a finished run, to be changed."""
    for path in finished[0].parent.iterdir():
        if path.is_dir():
            shutil.copytree(path, tmp_path / path.name)
        else:
            shutil.copy2(path, tmp_path / path.name)
    return tmp_path / "corpora.yaml", tmp_path / "out"


def test_one_command_leads_from_text_to_a_judged_model_and_a_page_of_it(finished):
    _, out, found = finished
    assert list(found["stages"]) == done(found) == NAMES
    assert found["report"] == str(out / "index.html")
    assert {row["label"] for row in found["languages"]} == set(LABELS)
    assert set(found["tasks"]["topics"]["labels"]) == set(LABELS)
    page = (out / "index.html").read_text(encoding="utf-8")
    links = set(re.findall(r'href="([^"#]+)"', page))
    assert len(links) == 7
    for link in links:
        assert (out / link).is_file(), link
    for model in ("export", "evaluation/models/topics-in-language"):
        assert (out / model / "model.onnx").is_file()
    assert set(found["model"]["onnx"]) == {"export", "evaluation/models/topics-in-language"}


def test_a_second_run_does_nothing_and_loads_no_beam_no_torch_and_no_transformers(finished):
    config, out, first = finished
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    found, loaded = call(config, out)
    assert done(found) == []
    assert loaded & {"apache_beam", "torch", "transformers", "onnx"} == set()
    assert {x: y for x, y in found.items() if x != "stages"} == {
        x: y for x, y in first.items() if x != "stages"
    }
    changed = {
        path.name
        for path, was in before.items()
        if path.exists() and path.stat().st_mtime_ns != was
    }
    assert changed <= {"index.html", ".lock"}


def test_it_tells_people_what_was_made_whom_it_serves_worst_and_what_is_next(finished):
    config, out, found = finished
    code, told, errors, _ = run(config, "--out", out)
    assert code == 0
    lines = told.splitlines()
    assert lines[0].startswith("corpus       ") and lines[3].startswith("topics       ")
    first = lines.index("language\tlabel\tpremium\tleft\ttopics") + 1
    labels = [line.split("\t")[1] for line in lines[first:]]
    assert labels == [row["label"] for row in found["languages"]]
    assert [line for line in errors.splitlines() if "up to date" in line][6].startswith("7/7 ONNX")
    assert f"report   {out}/index.html" in errors
    assert (
        f"next     koine predict {out}/evaluation/models/topics-in-language 'your text'" in errors
    )
    assert run(config, "--out", out, "--quiet")[:3] == (0, "", "")


def test_what_was_changed_or_deleted_is_made_again_with_what_hangs_on_it(copied):
    config, out = copied
    shutil.rmtree(out / "tokens" / "swh_Latn")
    found, _ = call(config, out, "--set", "tune.epochs=2")
    assert done(found) == ["tokens", "tasks", "onnx"]  # the tokens are the same again
    weights = (out / "export" / "model.safetensors").read_bytes()
    found, _ = call(config, out, "--set", "tune.epochs=2", "--set", f"pretrain.tokens={24 * 512}")
    assert done(found) == ["pretrain", "export", "tasks", "onnx"]
    assert found["pretrain"]["steps"] == 24  # longer: the same training, gone on with
    assert found["run"] == "modern-tiny"
    assert (out / "export" / "model.safetensors").read_bytes() != weights


def test_a_training_of_other_texts_is_a_new_one_beside_the_old(copied):
    config, out = copied
    with (config.parent / "letters.jsonl").open("a", encoding="utf-8") as file:
        text = "A new letter about the ferry, the tide and the old harbour wall. " * 4
        file.write(json.dumps({"text": text, "lang": "eng_Latn"}) + "\n")
    found, loaded = call(config, out)
    assert done(found) == NAMES and "apache_beam" not in loaded  # that is in its workers
    assert found["run"] == "modern-tiny-2"
    assert (out / "runs" / "modern-tiny" / "result.json").is_file()
    assert "It is kept" in found["notes"][0]


def test_killed_in_the_middle_it_goes_on(tmp_path):
    config, out = write_flow(tmp_path), tmp_path / "out"
    for marker in ("corpus/manifest.json", "runs/modern-tiny/log.jsonl", "evaluation/begun.json"):
        process = start(config, "--out", out, "--workers", "1", "--quiet")
        ends = time.monotonic() + 300
        while not (out / marker).exists() and process.poll() is None:
            assert time.monotonic() < ends
            time.sleep(0.01)
        process.kill()
        process.communicate()
    found, _ = call(config, out)
    assert done(found)[-2:] == ["tasks", "onnx"] and "corpus" not in done(found)
    assert found["pretrain"]["steps"] == 20
    assert not list(out.rglob(".tmp-*"))


def test_a_signal_while_it_trains_saves_and_names_the_command_that_goes_on(tmp_path):
    config, out = write_flow(tmp_path), tmp_path / "out"
    process = start(config, "--out", out, "--set", "pretrain.tokens=10000000")
    log = out / "runs" / "modern-tiny" / "log.jsonl"
    while not log.exists() or not log.stat().st_size:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=500)
    assert process.returncode == 143
    wanted = f"Go on: koine run {config} --out {out} --set pretrain.tokens=10000000"
    assert errors.rstrip().endswith(wanted)
    assert list((out / "runs" / "modern-tiny" / "checkpoints").glob("step-*/manifest.json"))


def test_a_budget_is_divided_and_kept_to_when_it_goes_on(copied):
    config, out = copied
    found, _ = call(config, out, "--budget", "1min")
    assert found["division"]["budget"] == "1min"
    assert found["division"]["pretrain_s"] >= 6
    assert found["run"] == "modern-tiny"
    again, _ = call(config, out, "--budget", "1min")
    assert done(again) == [] and again["division"] == found["division"]
    page = (out / "index.html").read_text(encoding="utf-8")
    assert "Divided of 1min: corpus and vocabulary took" in page


# What is known to fail is found first; what fails on the way says how to go on.


@pytest.mark.parametrize(
    ("changes", "more", "code", "parts"),
    [
        ({"tasks": {"topics": {"data": "nowhere"}}}, [], 3, ["nowhere", "no such file"]),
        ({"tasks": {"topics": {"dat": "topics"}}}, [], 2, ["corpora.yaml:", "dat", "data"]),
        ({"tasks": {"To pics": {"data": "topics"}}}, [], 2, ["To pics", "lower-case"]),
        ({"evaluate": {"zero_shot": ["tam_Taml"]}}, [], 2, ["tam_Taml", "eng_Latn"]),
        ({"pretrain": {"preset": "modern-tinny"}}, [], 2, ["modern-tinny", "modern-tiny"]),
        ({"pretrain": {"micro_batch_tokens": 256, "max_length": 256}}, [], 2, ["less than two"]),
        ({"vocab": {"sise": 600}}, [], 2, ["sise", "size"]),
        ({}, ["--budget", "soon"], 2, ["soon", "20min"]),
        ({}, ["--set", "tune.epochz=3"], 2, ["epochz", "epochs"]),
        ({}, ["--out", "s3://bucket/build"], 2, ["s3://bucket/build", "local folder"]),
    ],
)
def test_what_can_be_known_is_refused_before_anything_is_begun(
    changes, more, code, parts, tmp_path
):
    config = write_flow(tmp_path, **changes)
    more = more if "--out" in more else [*more, "--out", tmp_path / "out"]
    ended, told, errors, loaded = run(config, *more)
    assert (ended, told) == (code, ""), errors
    assert "Traceback" not in errors
    for part in parts:
        assert part in errors
    assert not (tmp_path / "out" / "corpus").exists()
    assert loaded & {"apache_beam", "torch"} == set()


def test_a_stage_that_fails_says_why_and_how_to_go_on(tmp_path):
    config, out = write_flow(tmp_path), tmp_path / "out"
    ended, _, errors, _ = run(config, "--out", out, "--set", "vocab.size=270")
    assert ended == 2
    assert "vocab.size" in errors
    last = errors.rstrip().splitlines()[-1].strip()
    assert last.startswith("What is finished is kept; go on: koine run ")
    _, _, errors, _ = run(config, "--out", out, "--set", "vocab.size=270")
    assert errors.startswith("1/7 corpus: up to date\n2/7 vocabulary\n")


def test_two_runs_in_one_folder_are_refused(finished, tmp_path):
    import fcntl

    config, out, _ = finished
    with Path(out / "work" / "flow" / ".lock").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        ended, _, errors, _ = run(config, "--out", out)
    assert ended == 4 and "another koine run is running here" in errors
