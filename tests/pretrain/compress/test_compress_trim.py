"""A model with fewer pieces: on text of the languages it is kept for it says what it said."""

import hashlib
import json
import shutil

import numpy as np
import pytest
import torch
import transformers
from served_models import TARGETS, commit, write_model
from smaller_models import KEPT, TOKENIZERS, write_bert, write_texts

from conftest import sample_texts
from pipelines import store
from pipelines.errors import ConfigError, DataError
from pretrain import models
from pretrain.compress.texts import known_labels, open_texts
from pretrain.compress.trim import trim
from pretrain.models import open_model
from tokenizer.prove import prove


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    return open_texts([write_texts(tmp_path_factory.mktemp("texts"))])


def sizes(folder):
    return {path.name: path.stat().st_size for path in folder.iterdir()}


def outputs(folder, text, auto):
    """What plain transformers says of a text."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    network = getattr(transformers, auto).from_pretrained(folder).eval()
    given = tokenizer(text, return_tensors="pt", truncation=True, max_length=48)
    if network.config.model_type == "modernbert":
        given.pop("token_type_ids", None)
    with torch.inference_mode():
        found = network(**given)
    return given["input_ids"][0].tolist(), list(found.values())


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_every_kind_of_tokenizer_is_trimmed_without_loss(kind, tmp_path, texts):
    whole = open_model(write_bert(tmp_path / "whole", kind))
    found = trim(whole, labels=KEPT, texts=texts, to=store.Folder(tmp_path / "small"))
    small = open_model(tmp_path / "small")
    rows = found.facts["rows"]
    assert rows["after"] == small.config["vocab_size"] == small.tokenizer.get_vocab_size()
    assert rows["after"] < rows["before"] == whole.config["vocab_size"]
    assert found.facts["proof"]["largest"] <= 1e-5
    for label in KEPT:
        for text in sample_texts()[label]:
            assert small.tokenizer.encode(text).tokens == whole.tokenizer.encode(text).tokens
    tokens = "AutoModelForMaskedLM"
    for label in KEPT:
        text = sample_texts()[label][0]
        old_ids, (before,) = outputs(tmp_path / "whole", text, tokens)
        new_ids, (after,) = outputs(tmp_path / "small", text, tokens)
        names = [small.tokenizer.id_to_token(number) for number in range(rows["after"])]
        place = [whole.tokenizer.token_to_id(name) for name in names]
        assert [place[x] for x in new_ids] == old_ids
        assert torch.allclose(before[..., place], after, atol=1e-5)


def test_the_weights_are_smaller_by_the_rows_that_went_and_by_nothing_else(tmp_path, texts):
    whole = open_model(write_bert(tmp_path / "whole", "unigram"))
    found = trim(whole, labels=KEPT, texts=texts, to=store.Folder(tmp_path / "small"))
    rows = found.facts["rows"]
    gone = rows["before"] - rows["after"]
    saved = (
        sizes(tmp_path / "whole")["model.safetensors"]
        - sizes(tmp_path / "small")["model.safetensors"]
    )
    per_row = 4 * (32 + 1)  # an embedding and a bias
    assert rows["bytes_before"] - rows["bytes_after"] == gone * per_row
    assert abs(saved - gone * per_row) < 2000  # the header, whose names and numbers differ
    comparison = found.facts["comparison"]
    assert comparison["after"]["num_bytes"] < comparison["before"]["num_bytes"]
    assert comparison["before"]["parameters"] - comparison["after"]["parameters"] == gone * 32


@pytest.mark.parametrize("kind", ["bert", "modernbert"])
@pytest.mark.parametrize("head", ["classify", "tag", "answer"])
def test_a_tuned_model_goes_on_saying_what_it_said(kind, head, tmp_path, texts):
    whole = write_model(tmp_path / "whole", kind, head)
    trim(open_model(whole), labels=["swh_Latn"], texts=texts, to=store.Folder(tmp_path / "small"))
    assert (tmp_path / "small/task.json").read_bytes() == (whole / "task.json").read_bytes()
    auto = models.AUTO[head]
    for text in sample_texts()["swh_Latn"]:
        _, before = outputs(whole, text, auto)
        _, after = outputs(tmp_path / "small", text, auto)
        for one, other in zip(before, after, strict=True):
            assert torch.allclose(one, other, atol=1e-5)
    config = json.loads((tmp_path / "small/config.json").read_text())
    assert list(config["id2label"].values())[: len(TARGETS[head])] == TARGETS[head]


def test_spm_model_and_tokenizer_json_are_still_the_same(tmp_path, texts):
    for kind in ("unigram", "bpe"):
        whole = open_model(write_bert(tmp_path / kind, kind))
        to = store.Folder(tmp_path / f"{kind}-small")
        trim(whole, labels=KEPT, texts=texts, to=to)
        lines = [
            line for own in sample_texts().values() for text in own for line in text.split("\n")
        ]
        shown = prove(to, lines)
        assert shown.holds and shown.num_lines == len(lines)


def test_lineage_card_and_tokenizer_settings_say_what_was_done(tmp_path, texts):
    whole = write_bert(tmp_path / "whole", "wordpiece")
    read = {"swh_Latn": 10, "eng_Latn": 20, "rus_Cyrl": 30}
    (whole / "lineage.json").write_text(json.dumps({"tokens_by_label": read}))
    found = trim(
        open_model(whole), labels=["swh"], texts=texts, to=store.Folder(tmp_path / "small")
    )
    small = open_model(tmp_path / "small")
    assert small.labels == ("swh_Latn",)
    lineage = json.loads((tmp_path / "small/lineage.json").read_text())
    weights = hashlib.sha256((tmp_path / "small/model.safetensors").read_bytes()).hexdigest()
    assert lineage["weights"]["sha256"] == weights
    assert lineage["trimmed"][0]["labels"] == found.facts["labels"] == ["swh_Latn"]
    card = (tmp_path / "small/README.md").read_text()
    assert "language:\n- sw\n" in card and "Swahili" in card
    assert small.config["pad_token_id"] == small.tokenizer.token_to_id("[PAD]")
    names = [small.tokenizer.id_to_token(number) for number in range(small.config["vocab_size"])]
    assert (tmp_path / "small/vocab.txt").read_text().splitlines() == names
    assert not store.verify(store.Folder(tmp_path / "small"), artefact="smaller")


def test_what_becomes_of_other_languages_is_counted_the_worst_first(tmp_path, texts):
    whole = open_model(write_bert(tmp_path / "whole", "unigram"))
    found = trim(whole, labels=["eng_Latn"], texts=texts, to=store.Folder(tmp_path / "small"))
    others = found.facts["others"]
    assert set(others) == set(texts.sizes) - {"eng_Latn"}
    after = [row["unknown_after"] for row in others.values()]
    assert after == sorted(after, reverse=True)
    assert others["tha_Thai"]["unknown_after"] > 0.9 > others["ind_Latn"]["unknown_after"]
    assert others["tha_Thai"]["pieces"] > 2


def test_the_same_inputs_give_the_same_model_and_are_not_done_twice(tmp_path, texts):
    whole = open_model(write_bert(tmp_path / "whole", "bpe"))
    for name in ("one", "two"):
        trim(whole, labels=KEPT, texts=texts, to=store.Folder(tmp_path / name))
    for name in ("model.safetensors", "tokenizer.json", "spm.model", "config.json", "lineage.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    before = (tmp_path / "one/compression.json").stat().st_mtime_ns
    again = trim(whole, labels=KEPT, texts=texts, to=store.Folder(tmp_path / "one"))
    assert not again.is_new
    assert (tmp_path / "one/compression.json").stat().st_mtime_ns == before
    other = trim(whole, labels=["eng_Latn"], texts=texts, to=store.Folder(tmp_path / "one"))
    assert other.is_new


def test_half_precision_weights_stay_as_they_are(tmp_path, texts):
    whole = write_bert(tmp_path / "whole", "unigram")
    network = transformers.BertForMaskedLM.from_pretrained(whole, dtype=torch.bfloat16)
    network.save_pretrained(whole)
    trim(open_model(whole), labels=KEPT, texts=texts, to=store.Folder(tmp_path / "small"))
    import safetensors.torch

    found = safetensors.torch.load_file(tmp_path / "small/model.safetensors")
    assert {value.dtype for value in found.values()} == {torch.bfloat16}


def test_further_texts_keep_their_pieces(tmp_path, texts):
    whole = open_model(write_bert(tmp_path / "whole", "unigram"))
    text = sample_texts()["rus_Cyrl"][0]
    to = store.Folder(tmp_path / "small")
    trim(whole, labels=["eng_Latn"], texts=texts, to=to, keep=[text])
    small = open_model(tmp_path / "small")
    assert small.tokenizer.encode(text).tokens == whole.tokenizer.encode(text).tokens


def test_labels_in_other_spellings_are_known_and_absent_ones_explained(texts):
    assert known_labels(["sw", "swh", "swa_Latn", "en", "th"], texts) == [
        "swh_Latn",
        "eng_Latn",
        "tha_Thai",
    ]
    with pytest.raises(ConfigError, match=r"--labels swh_Latm.*\n.*Did you mean `swh_Latn`"):
        known_labels(["swh_Latm"], texts)
    with pytest.raises(ConfigError, match="has no text of it"):
        known_labels(["bod_Tibt"], texts)


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path, texts):
    whole = open_model(write_bert(tmp_path / "whole", "unigram"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match=r"holds something else .*notes\.txt"):
        trim(whole, labels=KEPT, texts=texts, to=store.Folder(tmp_path / "mine"))
    with pytest.raises(ConfigError, match="is the model itself"):
        trim(whole, labels=KEPT, texts=texts, to=store.Folder(tmp_path / "whole"))
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["notes.txt"]


def test_weights_of_another_vocabulary_are_refused(tmp_path, texts):
    whole = write_bert(tmp_path / "whole", "unigram")
    config = json.loads((whole / "config.json").read_text())
    (whole / "config.json").write_text(json.dumps(config | {"vocab_size": 7000}))
    with pytest.raises(DataError, match="no tensor has a row for each of the 7,000 pieces"):
        trim(open_model(whole), labels=KEPT, texts=texts, to=store.Folder(tmp_path / "small"))


def test_a_corpus_is_read_by_its_manifest_and_damage_is_named(tmp_path):
    import pyarrow as pa

    corpus = store.Folder(tmp_path / "build/corpus")
    files = []
    for label in ("eng_Latn", "swh_Latn"):
        table = pa.table({"text": pa.array(sample_texts()[label], pa.large_string())})
        with corpus.writing(f"{label}/part-00000.arrow", committed=files) as file:
            with pa.ipc.new_stream(file, table.schema) as writer:
                writer.write_table(table)
    store.write_manifest(corpus, artefact="corpus", fingerprint="f", counts={}, files=files)
    for place in ("build", "build/corpus"):
        opened = open_texts([tmp_path / place])
        assert list(opened.sizes) == ["eng_Latn", "swh_Latn"]
        assert list(opened.documents("swh_Latn")) == sample_texts()["swh_Latn"]
    path = tmp_path / "build/corpus/swh_Latn/part-00000.arrow"
    path.write_bytes(path.read_bytes()[:-8] + b"12345678")
    with pytest.raises(DataError, match=r"part-00000\.arrow: SHA-256"):
        list(opened.documents("swh_Latn"))


def test_the_manifest_of_a_tuned_model_is_of_a_smaller_one_now(tmp_path, texts):
    whole = write_model(tmp_path / "whole", "bert", "classify")
    commit(whole)
    to = store.Folder(tmp_path / "small")
    trim(open_model(whole), labels=["eng_Latn"], texts=texts, to=to)
    manifest = store.read_manifest(to, artefact="smaller")
    assert manifest["kind"] == "trimmed"
    assert manifest["counts"]["rows"] == open_model(tmp_path / "small").config["vocab_size"]
    shutil.rmtree(tmp_path / "small")


def test_unseen_text_is_estimated_by_what_was_set_apart(tmp_path, texts):
    whole = open_model(write_bert(tmp_path / "whole", "unigram"))
    text = "\n".join("\n".join(own) for own in sample_texts().values())
    many = write_texts(tmp_path / "texts", ("eng_Latn",))
    (many / "eng_Latn.txt").write_text(text, encoding="utf-8")
    found = trim(
        whole, labels=["eng_Latn"], texts=open_texts([many]), to=store.Folder(tmp_path / "small")
    )
    rate = found.facts["unseen"]["eng_Latn"]
    assert rate is not None and 0 < rate < 0.5
    assert np.isfinite(rate)
