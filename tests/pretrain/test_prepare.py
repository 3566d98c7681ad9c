"""Preparing a run fills in its settings, names its inputs, and goes on only with what it was."""

import json
import shutil

import pytest
from pretraining import HALVED, LABELS, SHORT, copied, run_of, settings_of, trained

from pipelines import store
from pipelines.errors import ConfigError, DataError
from pretrain import config as configuration
from pretrain.machine import machine
from pretrain.prepare import prepare, read_config, reopen

pytestmark = pytest.mark.usefixtures("one_thread")
ONE_STEP = {"tokens": 1024, "evaluation": {"times": 1, "tokens": 128}}


@pytest.fixture(scope="module")
def begun(pretrain_build, tmp_path_factory):
    """A build with a run of one step; only to be read."""
    out = copied(pretrain_build, tmp_path_factory.mktemp("begun") / "out")
    trained(out, **ONE_STEP)
    return out


@pytest.fixture
def out(begun, tmp_path):
    return shutil.copytree(begun, tmp_path / "out")


def config_of(out):
    return read_config(store.Folder(out / "runs" / "run"))


def test_what_a_run_is_stands_in_its_folder(begun):
    found = config_of(begun)
    settings = found["settings"]
    assert settings["optimizer"]["learning_rate"] == 2e-3  # the preset's
    assert settings["schedule"]["kind"] == "linear"
    assert settings["stages"] == [
        {"start": 0.0, "mask_rate": 0.15, "max_length": 64, "sampling": settings["sampling"]}
    ]
    assert found["shape"]["layers"] == 1 and found["shape"]["nsp"] is True
    assert (found["vocab_pieces"], found["vocab_rows"]) == (6000, 6016)
    assert found["planned_tokens"] == 1024
    tokens = json.loads((begun / "tokens" / "manifest.json").read_text())
    assert found["vocab_hash"] == tokens["vocab_hash"]
    assert found["corpus_hash"] == tokens["corpus"]
    assert tuple(found["labels"]) == LABELS
    assert found["labels"][SHORT]["held_by"] == "none"
    assert found["labels"][HALVED]["held_out_documents"] == 1


def test_preparing_writes_nothing_but_the_folder(pretrain_build, tmp_path):
    out = copied(pretrain_build, tmp_path / "out")
    run_of(out)
    assert list((out / "runs" / "run").iterdir()) == []


def test_a_run_has_the_name_of_its_preset_unless_it_is_given_one(pretrain_build, tmp_path):
    out = copied(pretrain_build, tmp_path / "out")
    run = prepare(settings_of(), out=str(out), name=None, resume=False)
    assert run.folder.url == str(out / "runs" / "bert-tiny")


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "x" * 101, "a b"])
def test_what_is_no_name_of_a_folder_is_refused(name, pretrain_build):
    with pytest.raises(ConfigError, match="--name"):
        prepare(settings_of(), out=str(pretrain_build), name=name or " ", resume=False)


def test_steps_are_shared_out_over_micro_batches(pretrain_build):
    run = run_of(pretrain_build, batch_tokens=3000)
    assert (run.per_step, run.accumulation) == (6, 6)
    assert run.settings.batch_tokens == 3072  # whole micro-batches


def test_resuming_a_run_that_is_not_there_begins_it(pretrain_build, tmp_path):
    out = copied(pretrain_build, tmp_path / "out")
    assert trained(out, resume=True, **ONE_STEP).result["finished"]


def test_a_run_is_not_begun_twice(out):
    before = config_of(out)
    with pytest.raises(ConfigError, match="there is a run already") as caught:
        run_of(out, tokens=2048)
    assert "--resume" in str(caught.value)
    assert config_of(out) == before


def test_each_setting_that_makes_another_run_of_it_is_named(out):
    changes = {**ONE_STEP, "seed": 5, "layers": 2, "mask_rate": 0.3}
    changes |= {"optimizer": {"learning_rate": 1e-3}}
    with pytest.raises(ConfigError) as caught:
        run_of(out, resume=True, **changes)
    place, *facts, remedy = str(caught.value).splitlines()
    assert str(out / "runs" / "run") in place
    assert [fact.split(":")[0].strip() for fact in facts] == [
        "pretrain.layers",
        "pretrain.mask_rate",
        "pretrain.optimizer",
        "pretrain.seed",
        "pretrain.stages",
    ]
    assert "pretrain.seed: 0 before, 5 now" in str(caught.value)
    assert "--name" in remedy


def test_how_long_how_often_and_where_may_change(out):
    run = run_of(
        out,
        resume=True,
        tokens=None,
        budget="1min",
        evaluation={"times": 3},
        checkpoint={"every": "1min"},
        log_every=1,
        max_skipped=9,
        precision="bfloat16",
        deterministic=True,
    )
    assert run.source.planned_tokens == 1024  # what languages are repeated by stays


def test_what_the_device_decided_stays_when_it_is_left_out(out):
    run = run_of(out, resume=True, micro_batch_tokens=None, tokens=1024, evaluation={"times": 1})
    assert run.settings.micro_batch_tokens == 512
    assert run.settings.evaluation.tokens == 128


@pytest.mark.parametrize("what", ["token shards", "vocabulary"])
def test_other_inputs_are_refused(what, out, tmp_path):
    if what == "token shards":
        shutil.rmtree(out / "tokens" / "swh_Latn")
        manifest = json.loads((out / "tokens" / "manifest.json").read_text())
        manifest["files"] = [one for one in manifest["files"] if "swh" not in one["name"]]
        (out / "tokens" / "manifest.json").write_text(json.dumps(manifest))
    else:
        for name in ("vocab", "tokens"):
            path = out / name / "manifest.json"
            manifest = json.loads(path.read_text())
            path.write_text(json.dumps({**manifest, "vocab_hash": "0" * 64}))
        for path in (out / "tokens").rglob("*.arrow"):
            data, own = path.read_bytes(), config_of(out)["vocab_hash"].encode()
            path.write_bytes(data.replace(own, b"0" * 64))
    with pytest.raises(DataError, match=f"started with the {what}") as caught:
        run_of(out, resume=True, **ONE_STEP)
    assert "--name" in str(caught.value)
    with pytest.raises(DataError, match=f"started with the {what}"):
        reopen(store.Folder(out / "runs" / "run"), out=str(out))


def test_a_run_whose_settings_were_lost_is_not_overwritten(out):
    (out / "runs" / "run" / "config.json").unlink()
    for resume in (False, True):
        with pytest.raises(DataError, match="there are checkpoints of a run"):
            run_of(out, resume=resume, **ONE_STEP)


def test_a_folder_that_holds_something_else_is_no_run(out):
    (out / "runs" / "run" / "config.json").write_text("{}")
    with pytest.raises(DataError, match="is not a run's"):
        read_config(store.Folder(out / "runs" / "run"))
    with pytest.raises(DataError, match="there is no run here"):
        read_config(store.Folder(out / "runs"))


def test_reopening_needs_no_gpu_and_writes_nothing(out):
    path = out / "runs" / "run" / "config.json"
    config = json.loads(path.read_text())
    config["settings"] |= {"device": "cuda", "precision": "bfloat16", "attention": "varlen"}
    path.write_text(json.dumps(config))
    before = {one: one.read_bytes() for one in out.rglob("*") if one.is_file()}
    run = reopen(store.Folder(out / "runs" / "run"), out=str(out))
    assert run.machine.device.type == "cpu"
    assert {one: one.read_bytes() for one in out.rglob("*") if one.is_file()} == before


def test_a_time_in_tokens_is_estimated_by_what_the_machine_can_do(pretrain_build):
    one = run_of(pretrain_build, tokens=None, budget="10s").config["planned_tokens"]
    more = run_of(pretrain_build, tokens=None, budget="1h").config["planned_tokens"]
    assert 1000 < one < more
    assert 100 < more / one < 1200


def test_bfloat16_on_a_cpu_is_left_to_those_who_ask_for_it():
    names = {
        precision: str(
            machine(configuration.resolve(settings_of(precision=precision), on_cpu=True)).dtype
        )
        for precision in ("auto", "float32", "bfloat16")
    }
    assert names == {
        "auto": "torch.float32",
        "float32": "torch.float32",
        "bfloat16": "torch.bfloat16",
    }
