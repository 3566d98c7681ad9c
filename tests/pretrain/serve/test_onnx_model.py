"""A model as ONNX: the same network whatever the shape, smaller in eight bits, of these weights."""

import json
import math
import shutil

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import transformers
from served_models import KINDS, LONGEST, commit, write_model
from vocabulary_models import SIZE

from pipelines import store
from pipelines.errors import ConfigError, DataError, EnvironmentProblem
from pretrain import models
from pretrain.models import AUTO, open_model
from pretrain.serve import convert, onnx_model
from pretrain.serve.onnx_model import export
from pretrain.serve.runtime import OUTPUTS, Onnx, Torch, open_backend, run, weights_hash

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPES = [(batch, length) for batch in (1, 5) for length in (3, 17, LONGEST)]
"""None is the exporter's example."""


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Models by kind and head, exported in 32 and 8 bits; made as they are asked for."""
    base = tmp_path_factory.mktemp("served")
    made = {}

    def of(kind, head):
        if (kind, head) not in made:
            folder = write_model(base / f"{kind}-{head}", kind, head)
            made[kind, head] = folder, export(open_model(folder), head=head, int8=True)
        return made[kind, head]

    return of


@pytest.fixture(scope="module")
def tagger(exported):
    return exported("modernbert", "tag")


@pytest.fixture
def copied(tagger, tmp_path):
    """An exported tagger to change."""
    return shutil.copytree(tagger[0], tmp_path / "tagger")


def inputs(batch, length, *, seed=0):
    """Return sequences that get shorter from row to row, down to one piece."""
    draws = np.random.default_rng(seed)
    ids = draws.integers(5, SIZE, (batch, length))
    lengths = np.linspace(length, 1, batch).astype(int)
    mask = (np.arange(length) < lengths[:, None]).astype(np.int64)
    ids[mask == 0] = 0
    types = (np.arange(length) > length // 2).astype(np.int64) * mask
    return {"input_ids": ids, "attention_mask": mask, "token_type_ids": types}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("head", AUTO)
def test_the_outputs_are_those_of_transformers_on_shapes_that_were_not_seen(exported, kind, head):
    folder, _ = exported(kind, head)
    network = getattr(transformers, AUTO[head]).from_pretrained(folder).eval()
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    names = [entry.name for entry in session.get_inputs()]
    assert names == ["input_ids", "attention_mask"] + ["token_type_ids"] * (kind == "bert")
    assert tuple(entry.name for entry in session.get_outputs()) == OUTPUTS[head]
    for batch, length in SHAPES:
        given = {name: value for name, value in inputs(batch, length).items() if name in names}
        with torch.no_grad():
            wanted = network(**{name: torch.from_numpy(value) for name, value in given.items()})
        is_real = given["attention_mask"].astype(bool)
        for name, found in zip(OUTPUTS[head], session.run(None, given), strict=True):
            expected = getattr(wanted, name).numpy()
            if head != "classify":
                found, expected = found[is_real], expected[is_real]
            np.testing.assert_allclose(found, expected, atol=1e-4, err_msg=f"{batch} x {length}")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("head", AUTO)
def test_the_check_says_how_far_each_file_is_from_torch(exported, kind, head):
    folder, said = exported(kind, head)
    exact, small = said.checks["model.onnx"], said.checks["model.int8.onnx"]
    assert exact.largest <= 1e-4 * max(1, exact.deviation) and exact.longest == LONGEST
    assert exact.agreement == (None if head == "none" else 1.0)
    assert exact.mean < small.mean < 0.1 * small.deviation
    assert small.largest < small.deviation
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["onnx"]["model.int8.onnx"]["largest"] == small.largest
    assert said.files["model.int8.onnx"] < 0.6 * said.files["model.onnx"]
    assert {name: (folder / name).stat().st_size for name in said.files} == said.files


def test_the_export_of_a_model_is_always_the_same_and_tells_nothing_of_the_machine(tagger, copied):
    folder, _ = tagger
    export(open_model(copied), int8=True)
    for name in ("model.onnx", "model.int8.onnx"):
        data = (copied / name).read_bytes()
        assert data == (folder / name).read_bytes()
        for trace in (
            b"site-packages",
            b"/lib/python",
            str(copied.parent).encode(),
            b"stack_trace",
        ):
            assert trace not in data
        onnx.checker.check_model(onnx.load(copied / name))


def test_the_manifest_lists_the_files_and_keeps_what_it_had(tagger):
    folder, _ = tagger
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["seeds"] == [0] and manifest["artefact"] == "tuned"
    assert store.verify(store.Folder(folder), artefact="tuned") == []
    assert open_model(folder).task is not None


def test_a_folder_without_a_manifest_gets_none(tmp_path):
    folder = write_model(tmp_path / "model", "bert", "classify", manifest=False)
    export(open_model(folder))
    assert (folder / "model.onnx").exists() and not (folder / "manifest.json").exists()
    assert open_backend(open_model(folder), "classify").backend.name == "onnx"


def test_a_damaged_file_is_named(copied):
    data = bytearray((copied / "model.onnx").read_bytes())
    data[-100] ^= 1
    (copied / "model.onnx").write_bytes(data)
    with pytest.raises(DataError, match=r"model\.onnx: SHA-256 .*\n.*write the folder again"):
        open_model(copied)
    (copied / "manifest.json").unlink()
    (copied / "model.onnx").write_bytes(b"not a model")
    with pytest.raises(DataError, match=r"model\.onnx: ONNX Runtime can't open it"):
        open_backend(open_model(copied), "tag")


def test_a_file_of_other_weights_is_not_used(copied, tmp_path):
    other = write_model(tmp_path / "other", "modernbert", "tag", seed=1)
    shutil.copy(other / "model.safetensors", copied)
    commit(copied)
    model = open_model(copied)
    opened = open_backend(model, "tag")
    assert opened.backend.name == "torch"
    assert "is of other weights" in opened.note and f"koine export {copied} --onnx" in opened.note
    for use in ("onnx", "int8"):
        with pytest.raises(DataError, match="is of other weights"):
            open_backend(model, "tag", use=use)
    export(model, int8=True)
    assert open_backend(open_model(copied), "tag").note is None


def test_a_file_of_another_head_or_another_maker_is_not_used(copied):
    with pytest.raises(DataError, match="has the head 'tag' instead of 'none'"):
        open_backend(open_model(copied), "none", use="onnx")
    foreign = onnx.load(copied / "model.onnx")
    del foreign.metadata_props[:]
    onnx.save(foreign, copied / "model.onnx")
    (copied / "manifest.json").unlink()
    with pytest.raises(DataError, match="was not written by koine"):
        open_backend(open_model(copied), "tag", use="onnx")
    assert "was not written by koine" in open_backend(open_model(copied), "tag").note


def test_without_the_file_torch_runs_it_and_says_what_would_be_quicker(tmp_path):
    folder = write_model(tmp_path / "model", "bert", "classify")
    model = open_model(folder)
    opened = open_backend(model, "classify")
    assert opened.backend.name == "torch" and f"`koine export {folder} --onnx`" in opened.note
    assert open_backend(model, "classify", use="torch").note is None
    with pytest.raises(ConfigError, match=r"has no model\.int8\.onnx\.\n.*--onnx --int8"):
        open_backend(model, "classify", use="int8")


def test_another_folder_gets_what_predicting_needs_and_no_weights(tagger, tmp_path):
    folder, _ = tagger
    to = store.Folder(tmp_path / "small")
    said = export(open_model(folder), int8=True, fp32=False, to=to)
    assert list(said.files) == ["model.int8.onnx"]
    assert set(to.names()) == {
        "config.json", "manifest.json", "model.int8.onnx", "special_tokens_map.json", "task.json",
        "tokenizer.json", "tokenizer_config.json",
    }  # fmt: skip
    assert store.verify(to, artefact="smaller") == []
    export(open_model(folder), to=to)  # an earlier one is replaced
    assert "model.onnx" in to.names() and "model.int8.onnx" not in to.names()


def test_a_folder_without_weights_runs_by_onnx_and_by_nothing_else(tagger, tmp_path):
    to = store.Folder(tmp_path / "small")
    export(open_model(tagger[0]), int8=True, fp32=False, to=to)
    model = open_model(to.url)
    opened = open_backend(model, "tag")
    assert opened.backend.name == "int8" and opened.note is None
    with pytest.raises(ConfigError, match=r"has no model\.safetensors, which torch needs"):
        open_backend(model, "tag", use="torch")
    with pytest.raises(DataError, match="has no weights to export"):
        export(model)


def test_a_folder_of_something_else_is_left_alone(tagger, tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    model = open_model(tagger[0])
    with pytest.raises(ConfigError, match=r"holds something else than an ONNX export \(notes\.txt"):
        export(model, to=store.Folder(tmp_path))
    with pytest.raises(ConfigError, match="is the model's own folder"):
        export(model, to=store.Folder(tagger[0]))


def test_nothing_is_written_that_differs_from_torch(tmp_path):
    fine = {"mean": 0.0, "deviation": 1.0, "agreement": 1.0, "sequences": 1, "longest": 3}
    onnx_model._require_equal(convert.Check(largest=9e-5, **fine))
    for largest in (2e-4, math.nan):
        with pytest.raises(EnvironmentProblem, match=r"differs from torch by .*; nothing was wri"):
            onnx_model._require_equal(convert.Check(largest=largest, **fine))


def test_weights_that_no_file_can_hold_are_refused_first(tmp_path, monkeypatch):
    folder = write_model(tmp_path / "model", "bert", "classify")
    monkeypatch.setattr(convert, "LARGEST_BYTES", 1000)
    with pytest.raises(DataError, match=r"an ONNX file holds 2 GB.\n.*koine compress trim"):
        export(open_model(folder))
    assert not (folder / "model.onnx").exists()


@pytest.mark.parametrize("use", ["onnx", "int8", "torch"])
def test_a_sequence_comes_out_the_same_whatever_stands_beside_it(tagger, use):
    model = open_model(tagger[0])
    backend = open_backend(model, "tag", use=use, threads=1).backend
    together = features(lengths=[17, 3, LONGEST, 5, 17])
    found = dict(run(backend, "tag", together, pad=model.pad))
    assert sorted(found) == list(range(5))
    for number in range(5):
        low, high = together.offsets[number : number + 2]
        alone = features(ids=together.ids[low:high])
        ((_, (logits,)),) = run(backend, "tag", alone, pad=model.pad)
        assert found[number][0].shape == (high - low, 5)
        np.testing.assert_allclose(found[number][0], logits, atol=1e-5)


def features(*, lengths=(), ids=None):
    from pretrain.serve.runtime import features_of

    draws = np.random.default_rng(3)
    if ids is not None:
        return features_of([ids.tolist()])
    return features_of([draws.integers(5, SIZE, num).tolist() for num in lengths])


def test_the_hash_of_the_weights_is_the_same_with_and_without_a_manifest(copied):
    listed = weights_hash(open_model(copied))
    (copied / "manifest.json").unlink()
    assert weights_hash(open_model(copied)) == listed


def test_an_encoder_that_takes_long_texts_is_checked_on_one(tmp_path):
    folder = write_model(tmp_path / "long", "modernbert", "none", longest=4096)
    check = export(open_model(folder)).checks["model.onnx"]
    assert check.longest == convert.LONGEST
    model = open_model(folder)
    given = inputs(1, 700)
    ours = Onnx(folder / "model.onnx")(given)[0]
    net = Torch(models.network(model, "none"), "none", takes_types=False)
    np.testing.assert_allclose(ours, net(given)[0], atol=1e-4)
