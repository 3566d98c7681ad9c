import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
import yaml
from report_facts import make_facts as corpus_facts
from safetensors import safe_open
from vocabulary_models import small_model

from conftest import sample_texts
from pipelines import card as corpus_card
from pipelines import store
from pipelines.errors import ConfigError, DataError
from pretrain import config, masking, naming
from pretrain.checkpoint import Checkpoints
from pretrain.export import export
from pretrain.lineage import corpus_facts as facts_of_corpus
from pretrain.model import Inputs, Pretrainer
from pretrain.presets import Shape
from tests_support import ROOT
from tokenizer import export as vocabulary

KINDS = {
    "bert": Shape("bert", 2, 128, 2, 256, 96, nsp=True),
    "bert-without-pairs": Shape("bert", 2, 128, 2, 256, 96, nsp=False),
    # Four layers: of the modern ones, the first and the fourth see everything.
    "modern": Shape("modern", 4, 128, 2, 128, 96, nsp=False, window=16),
    "modern-with-pairs": Shape("modern", 2, 128, 2, 128, 96, nsp=True, window=16),
}
MODELS = {
    "bert": transformers.BertForPreTraining,
    "bert-without-pairs": transformers.BertForMaskedLM,
    "modern": transformers.ModernBertForMaskedLM,
    "modern-with-pairs": transformers.ModernBertForMaskedLM,
}
ROWS = 6144
LABELS = ["arb_Arab", "hin_Deva", "swh_Latn"]
STEP = 40

kinds = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A vocabulary, a corpus, and a run of each kind that has saved two checkpoints."""
    base = tmp_path_factory.mktemp("places")
    vocab = write_vocabulary(store.Folder(base / "vocab"))
    corpus = write_corpus(store.Folder(base / "corpus"))
    for kind, shape in KINDS.items():
        write_run(store.Folder(base / kind), shape, vocab=vocab, corpus=corpus)
    return base


def write_vocabulary(folder, *, kind="unigram"):
    folder.create()
    files = vocabulary.export(small_model(kind), folder, meta={"corpus": "c" * 64})
    files.append(folder.write_bytes("report.html", b"<!doctype html>"))
    vocab_hash = vocabulary.vocab_hash(folder.read_bytes(vocabulary.MODEL))
    store.write_manifest(
        folder, artefact="vocab", fingerprint="f" * 64, counts={}, files=files,
        vocab_hash=vocab_hash, corpus="c" * 64,
    )  # fmt: skip
    return vocab_hash


def write_corpus(folder):
    """What an export reads of a corpus; its shards it leaves alone."""
    folder.create()
    facts = corpus_facts(corpora=("web", "a|b*"), licenses=("ODC-By-1.0", "CC0-1.0"))
    files = [folder.write_bytes("README.md", corpus_card.render(facts).encode())]
    manifest = store.write_manifest(
        folder, artefact="corpus", fingerprint="f" * 64, files=files,
        counts={"ledger": facts["ledger"], "labels": facts["labels"]},
    )  # fmt: skip
    return manifest.sha256


def model_of(shape, *, seed=0):
    """A model whose weights and norms are large and uneven, so that a wrong map shows."""
    model = Pretrainer(shape, vocab_rows=ROWS, seed=seed)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter *= 4
            else:
                parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return model


def write_run(folder, shape, *, vocab, corpus, steps=(20, STEP)):
    settings = config.PretrainSettings(
        preset=f"{shape.family}-tiny", nsp=shape.nsp, tokens=4096 * 100, layers=shape.layers
    )
    folder.create()
    folder.write_json(
        "config.json",
        {
            "preset": settings.preset,
            "settings": config.resolve(settings, on_cpu=True).model_dump(mode="json"),
            "shape": asdict(shape),
            "vocab_rows": ROWS,
            "vocab_pieces": 6000,
            "vocab_hash": vocab,
            "tokens_hash": "7" * 64,
            "corpus_hash": corpus,
            "labels": {label: {"tokens": 50_000} for label in LABELS},
            "seed": 0,
            "versions": {"torch": "2.13.0"},
            "planned_tokens": 4096 * 100,
        },
    )
    checkpoints = Checkpoints(folder / "checkpoints", keep=2)
    for step in steps:
        state = {
            "step": step, "micro": 2 * step, "begun": [[0, 0], [30, 0]], "tokens": 3000 * step,
            "tokens_by_label": dict.fromkeys(LABELS, 1000 * step), "judged": 0, "skipped": 0,
            "rollbacks": 0, "elapsed_s": 12.5,
        }  # fmt: skip
        model = dict(model_of(shape, seed=step).state_dict())
        checkpoints.save(step, model=model, optimizer={"step": torch.zeros(1)}, state=state)
        checkpoints.wait()
    lines = [json.dumps(evaluation(step)) for step in (0, 20, 30)]
    # The last line is torn: its run was killed while it wrote.
    folder.write_bytes("evaluation.jsonl", "\n".join([*lines, '{"step": 40, "lab']).encode())


def evaluation(step):
    rows = {
        label: {
            "bits_per_byte": 3 - step / 50 + number / 10, "mlm_accuracy": 0.1, "masked": 700,
            "nsp_accuracy": None, "bytes": 4000, "documents": 3, "held_by": "ends",
        }
        for number, label in enumerate(LABELS[:2])
    }  # fmt: skip
    return {"step": step, "tokens": 3000 * step, "final": False, "labels": rows}


def exported(places, kind, to, **options):
    options = {"vocab": store.Folder(places / "vocab"), **options}
    return export(store.Folder(places / kind), to=store.Folder(to), **options)


def tensor_names(folder, name="model.safetensors"):
    with safe_open(folder / name, framework="pt") as file:
        return set(file.keys()), file.metadata()


def packed(sentences, *, first_types):
    """Sequences of ids one after the other, as the loop packs them."""
    ids = np.concatenate(sentences)
    lengths = [len(one) for one in sentences]
    positions = np.concatenate([np.arange(length) for length in lengths])
    types = np.concatenate(
        [(np.arange(length) >= first) for length, first in zip(lengths, first_types, strict=True)]
    )
    cu = np.concatenate([[0], np.cumsum(lengths)])
    ints = (torch.tensor(x, dtype=torch.int32) for x in (ids, positions, types, cu))
    num = len(sentences)
    nothing = torch.zeros(1, dtype=torch.int64)
    return Inputs(
        *ints, nothing, nothing, torch.zeros(1),
        torch.zeros(num, dtype=torch.int64), torch.ones(num),
    )  # fmt: skip


def texts_of(num=3):
    found = sample_texts()
    return [found[label][number][:90] for number, label in enumerate(LABELS[:num])]


def hashes(folder):
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(folder).iterdir())
    }


@kinds
def test_plain_transformers_loads_it_without_a_missing_or_unexpected_weight(places, tmp_path, kind):
    exported(places, kind, tmp_path / "out")
    model, report = MODELS[kind].from_pretrained(tmp_path / "out", output_loading_info=True)
    assert {key: list(found) for key, found in report.items() if found} == {}
    assert type(model).__name__ == model.config.architectures[0]


@kinds
def test_it_has_the_weights_that_transformers_itself_would_save(places, tmp_path, kind):
    exported(places, kind, tmp_path / "out")
    model = MODELS[kind].from_pretrained(tmp_path / "out")
    model.save_pretrained(tmp_path / "again")
    assert tensor_names(tmp_path / "out") == tensor_names(tmp_path / "again")
    assert tensor_names(tmp_path / "out")[1] == {"format": "pt"}


@kinds
def test_automatic_classes_report_no_more_than_for_a_model_that_transformers_saved(
    places, tmp_path, kind
):
    exported(places, kind, tmp_path / "out")
    MODELS[kind].from_pretrained(tmp_path / "out").save_pretrained(tmp_path / "again")
    for automatic in (transformers.AutoModel, transformers.AutoModelForMaskedLM):
        reports = [
            automatic.from_pretrained(tmp_path / name, output_loading_info=True)[1]
            for name in ("out", "again")
        ]
        assert reports[0] == reports[1]
    assert not reports[0]["missing_keys"]


@kinds
def test_it_computes_what_koine_computes(places, tmp_path, kind):
    shape = KINDS[kind]
    exported(places, kind, tmp_path / "out")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    theirs = MODELS[kind].from_pretrained(tmp_path / "out").eval()
    ours = model_of(shape, seed=STEP)
    first, second, third = texts_of()
    encoded = [tokenizer(first), tokenizer(second, third[:40]), tokenizer(third)]
    ids = [np.array(one["input_ids"]) for one in encoded]
    starts = [
        list(one.sequence_ids()).index(1) if 1 in one.sequence_ids() else 10**6 for one in encoded
    ]
    inputs = packed(ids, first_types=starts)
    with torch.no_grad():
        hidden_NE = ours.encode(inputs, max_length=shape.max_positions)
        logits_NV = ours.logits(hidden_NE)
        pairs_D2 = ours.pair_logits(hidden_NE, inputs) if shape.nsp else None
        for number, one in enumerate(encoded):
            batch = {name: torch.tensor([values]) for name, values in one.items()}
            found = theirs(**batch)
            own = logits_NV[inputs.cu_D1[number] : inputs.cu_D1[number + 1]]
            scores = found["prediction_logits"] if kind == "bert" else found["logits"]
            assert scores.abs().max() > 1
            torch.testing.assert_close(own, scores[0], atol=1e-5, rtol=1e-5)
            if kind == "bert":
                torch.testing.assert_close(
                    pairs_D2[number], found["seq_relationship_logits"][0], atol=1e-5, rtol=1e-5
                )


def test_the_head_for_pairs_of_a_modern_model_lies_beside_it(places, tmp_path):
    exported(places, "modern-with-pairs", tmp_path / "out")
    names, _ = tensor_names(tmp_path / "out", "nsp_head.safetensors")
    assert names == {"pooler.weight", "pooler.bias", "out.weight", "out.bias"}
    exported(places, "modern", tmp_path / "out")
    assert not (tmp_path / "out" / "nsp_head.safetensors").exists()


@kinds
def test_the_tokenizer_gives_the_ids_of_the_vocabulary_and_what_the_model_takes(
    places, tmp_path, kind
):
    exported(places, kind, tmp_path / "out")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    before = transformers.AutoTokenizer.from_pretrained(places / "vocab")
    for text in texts_of():
        assert tokenizer(text)["input_ids"] == before(text)["input_ids"]
    assert tokenizer.model_max_length == KINDS[kind].max_positions
    assert ("token_type_ids" in tokenizer("x")) == kind.startswith("bert")
    assert tokenizer.mask_token_id == masking.MASK
    assert tokenizer("x [MASK] y")["input_ids"].count(masking.MASK) == 1
    meta = json.loads((tmp_path / "out" / "tokenizer_config.json").read_bytes())["koine"]
    run = json.loads((places / kind / "config.json").read_bytes())
    assert meta["vocab_hash"] == run["vocab_hash"]


def test_positions_that_were_never_trained_are_not_offered(places, tmp_path):
    run = shutil.copytree(places / "bert", tmp_path / "bert")
    own = json.loads((run / "config.json").read_bytes())
    first = {**own["settings"]["stages"][0], "max_length": 32}
    own["settings"]["stages"] = [first, {**first, "start": 0.9, "max_length": 96}]
    (run / "config.json").write_text(json.dumps(own))
    to = tmp_path / "out"
    export(store.Folder(run), to=store.Folder(to), vocab=store.Folder(places / "vocab"))
    assert transformers.AutoTokenizer.from_pretrained(to).model_max_length == 32
    assert json.loads((to / "config.json").read_bytes())["max_position_embeddings"] == 96
    assert "no sequence of more than 32 tokens" in (to / "README.md").read_text()


@pytest.mark.parametrize("kind", ["bert", "modern"])
def test_the_code_in_the_card_runs_as_it_stands(places, tmp_path, kind, capsys):
    exported(places, kind, tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert len(blocks) == (2 if kind == "bert" else 1)
    for block in blocks:
        values = {}
        exec(block.replace("path/to/model", str(tmp_path / "out")), values)
    assert len(json.loads(capsys.readouterr().out.strip().replace("'", '"'))) == 5
    if kind == "bert":
        assert values["follows"] + values["random"] == pytest.approx(1, abs=1e-6)


def test_it_loads_with_what_people_use_beside_the_automatic_classes(places, tmp_path):
    exported(places, "bert", tmp_path / "out")
    fill = transformers.pipeline("fill-mask", model=str(tmp_path / "out"), top_k=2)
    assert len(fill("moja [MASK] tatu")) == 2
    for automatic in (
        transformers.AutoModelForSequenceClassification,
        transformers.AutoModelForTokenClassification,
        transformers.AutoModelForQuestionAnswering,
    ):
        _, report = automatic.from_pretrained(tmp_path / "out", output_loading_info=True)
        assert all(not name.startswith("bert.encoder") for name in report["missing_keys"])


@pytest.mark.parametrize("kind", ["bert", "modern-with-pairs"])
def test_the_same_checkpoint_gives_the_same_bytes_anywhere_and_over_itself(places, tmp_path, kind):
    exported(places, kind, tmp_path / "one")
    run = shutil.copytree(places / kind, tmp_path / "elsewhere" / "run")
    (run / "result.json").write_text('{"seconds": 3}')
    export(
        store.Folder(run), to=store.Folder(tmp_path / "two"), vocab=store.Folder(places / "vocab")
    )
    one = hashes(tmp_path / "one")
    assert hashes(tmp_path / "two") == one
    exported(places, kind, tmp_path / "one")
    assert hashes(tmp_path / "one") == one


def test_nothing_in_the_folder_is_a_pickle_or_names_the_machine(places, tmp_path):
    exported(places, "bert", tmp_path / "out")
    for path in (tmp_path / "out").iterdir():
        data = path.read_bytes()
        assert path.suffix in {".json", ".safetensors", ".md", ".model"}
        assert not data.startswith((b"PK", b"\x80"))
        assert str(tmp_path).encode() not in data
        assert b"12.5" not in data or path.suffix in {".safetensors", ".model"}


def test_the_manifest_vouches_for_every_file(places, tmp_path):
    found = exported(places, "bert", tmp_path / "out")
    folder = store.Folder(tmp_path / "out")
    assert store.verify(folder, artefact="export") == []
    assert set(found.files) == {path.name for path in (tmp_path / "out").iterdir()}
    assert found.weights_sha256 == hashes(tmp_path / "out")["model.safetensors"]
    data = bytearray(folder.read_bytes("model.safetensors"))
    data[-1] ^= 1
    (tmp_path / "out" / "model.safetensors").write_bytes(data)
    assert "model.safetensors" in store.verify(folder, artefact="export")[0]


def test_the_lineage_leads_from_the_corpus_to_the_weights(places, tmp_path):
    exported(places, "bert", tmp_path / "out")
    run = json.loads((places / "bert" / "config.json").read_bytes())
    lineage = json.loads((tmp_path / "out" / "lineage.json").read_bytes())
    assert lineage["corpus"]["manifest_sha256"] == run["corpus_hash"]
    assert lineage["vocabulary"]["hash"] == run["vocab_hash"]
    assert lineage["vocabulary"]["manifest_sha256"] == hashes(places / "vocab")["manifest.json"]
    assert lineage["tokens"] == {"manifest_sha256": "7" * 64, "labels": LABELS}
    assert lineage["plan"]["blocks"] == [[0, 2]]
    assert lineage["plan"]["seed"] == 0
    assert lineage["step"] == STEP
    assert lineage["settings"] == run["settings"]
    assert lineage["weights"]["sha256"] == hashes(tmp_path / "out")["model.safetensors"]


def test_an_older_checkpoint_is_exported_with_what_was_known_of_it(places, tmp_path):
    last = exported(places, "bert", tmp_path / "last")
    older = exported(places, "bert", tmp_path / "older", step=20)
    assert (last.step, older.step) == (STEP, 20)
    assert older.tokens == 60_000
    judged = json.loads((tmp_path / "older" / "evaluation.json").read_bytes())
    assert judged == evaluation(20)
    # The last checkpoint was judged ten steps before; the torn line counts for nothing.
    assert "Judged at step 30, 10 before" in (tmp_path / "last" / "README.md").read_text()
    weights = naming.to_transformers(model_of(KINDS["bert"], seed=20).state_dict(), KINDS["bert"])
    loaded = MODELS["bert"].from_pretrained(tmp_path / "older").state_dict()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in weights.items())


def test_a_run_without_an_evaluation_is_exported_all_the_same(places, tmp_path):
    run = shutil.copytree(places / "modern", tmp_path / "run")
    (run / "evaluation.jsonl").unlink()
    to = store.Folder(tmp_path / "out")
    export(store.Folder(run), to=to, vocab=store.Folder(places / "vocab"))
    assert not to.exists("evaluation.json")
    assert "No held-out text was judged" in to.read_bytes("README.md").decode()


def test_figures_of_a_model_that_came_apart_are_none_at_all(places, tmp_path):
    run = Path(shutil.copytree(places / "modern", tmp_path / "run"))
    broken = evaluation(STEP)
    broken["labels"]["hin_Deva"]["bits_per_byte"] = float("nan")
    with (run / "evaluation.jsonl").open("a", encoding="utf-8") as file:
        file.write(f"\n{json.dumps(broken)}\n")
    to = store.Folder(tmp_path / "out")
    export(store.Folder(run), to=to, vocab=store.Folder(places / "vocab"))
    assert to.read_json("evaluation.json")["labels"]["hin_Deva"]["bits_per_byte"] is None
    assert "| Hindi | `hin_Deva` | – |" in to.read_bytes("README.md").decode()


def test_the_card_lists_the_languages_and_the_licences_of_the_texts(places, tmp_path):
    found = exported(places, "bert", tmp_path / "out", corpus=store.Folder(places / "corpus"))
    assert found.corpus == "found"
    text = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    matter = yaml.safe_load(text.split("---\n")[1])
    assert matter["language"] == ["ar", "hi", "sw"]
    assert "| web | ODC-By-1.0 | 1,400 |" in text
    assert r"| a\|b\* | CC0-1.0 | 1,400 |" in text
    assert "| Hindi | `hin_Deva` | 2.500 |" in text
    assert "40,000 | 0.80 |" in text


def test_a_corpus_that_is_gone_or_another_one_is_said_to_be(places, tmp_path):
    expected = json.loads((places / "bert" / "config.json").read_bytes())["corpus_hash"]
    corpus = Path(shutil.copytree(places / "corpus", tmp_path / "corpus"))
    assert facts_of_corpus(None, expected=expected) == (None, "absent")
    assert facts_of_corpus(store.Folder(tmp_path / "nothing"), expected=expected) == (
        None,
        "absent",
    )
    assert facts_of_corpus(store.Folder(corpus), expected=expected)[1] == "found"
    assert facts_of_corpus(store.Folder(corpus), expected="0" * 64) == (None, "changed")
    (corpus / "README.md").write_text("## Sources\n\n| web | CC0-1.0 |\n")
    assert facts_of_corpus(store.Folder(corpus), expected=expected) == (None, "changed")


def test_the_licences_of_a_built_corpus_are_found(small_build):
    corpus = store.Folder(small_build.out / "corpus")
    facts, state = facts_of_corpus(
        corpus, expected=hashlib.sha256(corpus.read_bytes("manifest.json")).hexdigest()
    )
    assert state == "found"
    # Of the other corpus nothing was kept.
    assert [(one["name"], one["license"]) for one in facts["sources"]] == [("first", "CC0-1.0")]
    assert sum(one["documents"] for one in facts["sources"]) == facts["documents"]


@pytest.mark.parametrize("kind", ["bpe", "without-spm"])
def test_a_vocabulary_of_another_making_is_exported_too(places, tmp_path, kind):
    vocab = store.Folder(tmp_path / "vocab")
    vocab_hash = write_vocabulary(vocab, kind="bpe" if kind == "bpe" else "unigram")
    if kind == "without-spm":  # as parity-bpe has it
        manifest = json.loads(vocab.read_bytes("manifest.json"))
        manifest["files"] = [f for f in manifest["files"] if f["name"] != vocabulary.MODEL]
        vocab.write_json("manifest.json", manifest)
        vocab.remove(vocabulary.MODEL)
    run, to = tmp_path / "run", tmp_path / "out"
    write_run(store.Folder(run), KINDS["bert"], vocab=vocab_hash, corpus="0" * 64, steps=(5,))
    export(store.Folder(run), to=store.Folder(to), vocab=vocab)
    assert (to / "spm.model").exists() == (kind == "bpe")
    assert transformers.AutoTokenizer.from_pretrained(to)("moja mbili")["input_ids"]


def test_another_vocabulary_is_refused_by_both_hashes(places, tmp_path):
    other = write_vocabulary(store.Folder(tmp_path / "vocab"), kind="bpe")
    own = json.loads((places / "bert" / "config.json").read_bytes())["vocab_hash"]
    with pytest.raises(DataError) as refusal:
        exported(places, "bert", tmp_path / "out", vocab=store.Folder(tmp_path / "vocab"))
    assert other in str(refusal.value)
    assert own in str(refusal.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["tokenizer.json", "spm.model", "special_tokens_map.json"])
def test_a_damaged_vocabulary_is_refused_by_the_name_of_the_file(places, tmp_path, name):
    vocab = Path(shutil.copytree(places / "vocab", tmp_path / "vocab"))
    data = bytearray((vocab / name).read_bytes())
    data[len(data) // 2] ^= 1
    (vocab / name).write_bytes(data)
    with pytest.raises(DataError, match=rf"{name}: SHA-256"):
        exported(places, "bert", tmp_path / "out", vocab=store.Folder(vocab))
    assert not (tmp_path / "out").exists()


def test_a_damaged_checkpoint_is_refused_by_the_name_of_the_file(places, tmp_path):
    run = Path(shutil.copytree(places / "modern", tmp_path / "run"))
    weights = run / "checkpoints" / f"step-{STEP:08d}" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-5] ^= 1
    weights.write_bytes(data)
    to, vocab = store.Folder(tmp_path / "out"), store.Folder(places / "vocab")
    with pytest.raises(DataError, match=r"step-00000040/model\.safetensors"):
        export(store.Folder(run), to=to, vocab=vocab)
    assert not (tmp_path / "out").exists()
    assert export(store.Folder(run), to=to, vocab=vocab, step=20).step == 20


def test_a_run_that_has_saved_nothing_is_refused(places, tmp_path):
    run = Path(shutil.copytree(places / "bert", tmp_path / "run"))
    shutil.rmtree(run / "checkpoints")
    to, vocab = store.Folder(tmp_path / "out"), store.Folder(places / "vocab")
    with pytest.raises(DataError, match="has saved nothing yet"):
        export(store.Folder(run), to=to, vocab=vocab)
    with pytest.raises(DataError, match="there is no run here"):
        export(store.Folder(tmp_path / "nothing"), to=to, vocab=vocab)


def test_a_step_that_is_not_there_is_refused_with_those_that_are(places, tmp_path):
    with pytest.raises(DataError, match=r"no checkpoint of step 30.\n  There are: 20, 40"):
        exported(places, "bert", tmp_path / "out", step=30)


@pytest.mark.parametrize("kind", ["a file", "another artefact", "no JSON", "a run"])
def test_a_folder_that_holds_something_else_is_left_alone(places, tmp_path, kind):
    to = tmp_path / "out"
    if kind == "a run":
        to = Path(shutil.copytree(places / "bert", to))
    else:
        to.mkdir()
        (to / "thesis.tex").write_text("years of work")
    if kind == "another artefact":
        shutil.copy(places / "vocab" / "manifest.json", to)
    if kind == "no JSON":
        (to / "manifest.json").write_text("{")
    before = {path: path.read_bytes() for path in to.rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match="something else than an export"):
        exported(places, "bert", to)
    assert {path: path.read_bytes() for path in to.rglob("*") if path.is_file()} == before


def test_what_people_added_to_an_export_stays(places, tmp_path):
    to = tmp_path / "out"
    (to / ".git").mkdir(parents=True)
    (to / ".git" / "config").write_text("[core]")
    (to / ".gitattributes").write_text("*.safetensors filter=lfs")
    exported(places, "modern-with-pairs", to)
    (to / "LICENSE").write_text("Apache-2.0")
    exported(places, "modern", to)
    assert (to / "LICENSE").read_text() == "Apache-2.0"
    assert (to / ".git" / "config").exists()
    assert not (to / "nsp_head.safetensors").exists()


def test_an_export_that_was_killed_is_replaced(places, tmp_path, monkeypatch):
    whole = tmp_path / "whole"
    exported(places, "modern-with-pairs", whole)
    for number in (1, 5, 9, 17, 25, 33, 41):
        to = tmp_path / f"out-{number}"
        monkeypatch.setattr(store, "_points", iter(range(1, 1000)))
        monkeypatch.setenv("KOINE_FAULT", f"enospc@{number}")
        with pytest.raises(Exception, match="disk is full"):
            exported(places, "modern-with-pairs", to)
        assert not (to / "manifest.json").exists()
        monkeypatch.delenv("KOINE_FAULT")
        exported(places, "modern-with-pairs", to)
        assert hashes(to) == hashes(whole)


def test_the_sample_script_fills_masks_with_nothing_of_koine(places, tmp_path):
    exported(places, "modern", tmp_path / "out")
    script = shutil.copy(ROOT / "samples" / "fill_mask.py", tmp_path)

    def run(*arguments):
        command = [sys.executable, script, *map(str, arguments)]
        environment = {"PATH": os.environ["PATH"], "PYTHONIOENCODING": "ascii"}
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, encoding="utf-8"
        )

    done = run(tmp_path / "out", "--top", 2)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert len(lines) == 9
    assert lines[0].startswith("\u2068Maarifa")
    assert re.fullmatch(r" +\d+\.\d%  \u2068.*\u2069", lines[1])
    assert all(line.count("\u2068") == line.count("\u2069") > 0 for line in lines)
    refused = run(tmp_path / "out", "no mask")
    assert (refused.returncode, "write [MASK] once" in refused.stderr) == (2, True)
    refused = run(tmp_path / "nothing")
    assert (refused.returncode, "there is no exported model here" in refused.stderr) == (2, True)


def test_the_shape_in_config_json_is_that_of_the_run(places, tmp_path):
    exported(places, "modern", tmp_path / "out")
    found = json.loads((tmp_path / "out" / "config.json").read_bytes())
    assert found["vocab_size"] == ROWS
    assert found["num_hidden_layers"] == 4
    assert found["layer_types"].count("full_attention") == 2
