"""Training a vocabulary from a built corpus, end to end."""

import json
import re

import numpy as np
import pyarrow as pa
import pytest
import sentencepiece

from conftest import train_vocab, vocab_settings
from pipelines import engines, store
from pipelines.errors import ConfigError, DataError
from tests_support import hashes
from tokenizer import build, export

MANY_LETTERS = ("amh_Ethi", "jpn_Jpan", "kor_Hang", "zho_Hans")


def test_the_folder_holds_what_its_manifest_says_and_nothing_else(sample_vocab):
    folder = store.Folder(sample_vocab.out) / "vocab"
    manifest = store.read_manifest(folder, artefact="vocab")
    assert store.verify(folder, artefact="vocab") == []
    assert {file["name"] for file in manifest["files"]} == {
        *("spm.model", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"),
        *("report.html", "report.json", "held_out.arrow"),
    }
    assert manifest["vocab_hash"] == export.vocab_hash(folder.read_bytes("spm.model"))
    assert manifest["vocab_hash"] == sample_vocab.built.vocab_hash


def test_special_pieces_come_first_and_nothing_is_unknown(sample_vocab, texts):
    model = str(sample_vocab.out / "vocab" / "spm.model")
    processor = sentencepiece.SentencePieceProcessor(model_file=model)
    first = [processor.id_to_piece(i) for i in range(6)]
    assert first == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<0x00>"]
    assert processor.get_piece_size() == sample_vocab.built.pieces == 3500
    for label, documents in texts.items():
        for ids in processor.encode(documents):
            assert 1 not in ids, label
    assert 1 not in processor.encode("ᚠᛇᚻ 𓀀 \U0010fffd")


def test_pieces_never_cross_what_parts_units(sample_vocab):
    model = str(sample_vocab.out / "vocab" / "spm.model")
    processor = sentencepiece.SentencePieceProcessor(model_file=model)
    pieces = [processor.id_to_piece(i) for i in range(261, processor.get_piece_size())]
    for piece in pieces:
        text = piece.removeprefix("▁")
        assert "▁" not in text
        assert len(text) == 1 or not any(c.isdigit() for c in text), piece
        assert len(text) <= 24
        assert not re.search(r"[.!?。！？]\w", text), piece


def test_every_language_has_the_characters_that_cover_it(sample_vocab, sample_build, texts):
    model = str(sample_vocab.out / "vocab" / "spm.model")
    processor = sentencepiece.SentencePieceProcessor(model_file=model)
    facts = json.loads((sample_vocab.out / "vocab" / "report.json").read_text())
    trained = facts["training"]["labels"]
    assert set(trained) == set(sample_vocab.built.premium)
    for label, documents in texts.items():
        assert trained[label]["required_characters"] > 20
        ids = np.concatenate([processor.encode(d, return_type="numpy") for d in documents])
        # The rest is rare, and none of it lost: bytes stand for it.
        limit = 0.15 if label in MANY_LETTERS else 0.02
        assert ((ids >= 5) & (ids < 261)).mean() < limit, label


def test_the_same_corpus_gives_the_same_bytes_with_other_workers(
    sample_vocab, sample_build, tmp_path
):
    engine = engines.Local(2)
    try:
        again = train_vocab(sample_build.out, tmp_path / "elsewhere", engine)
    finally:
        engine.close()
    assert hashes(again.out / "vocab") == hashes(sample_vocab.out / "vocab")


def test_a_second_run_trains_nothing(sample_vocab, sample_build, tmp_path, monkeypatch):
    first = train_vocab(sample_build.out, tmp_path / "out")
    before = hashes(first.out / "vocab")

    def refuse(*_arguments):
        raise AssertionError("trained again")

    monkeypatch.setattr("tokenizer.train._run", refuse)
    again = train_vocab(sample_build.out, tmp_path / "out")
    assert hashes(again.out / "vocab") == before == hashes(sample_vocab.out / "vocab")


def test_bpe_trains_as_well(sample_build, tmp_path):
    found = train_vocab(sample_build.out, tmp_path / "out", algorithm="bpe", fit="none")
    facts = json.loads((found.out / "vocab" / "report.json").read_text())
    assert facts["tokenizers"][0]["kind"] == "bpe"
    assert found.built.pieces == 3500
    assert found.built.curve == []


def test_a_size_that_characters_alone_would_fill_names_the_size_it_takes(sample_build, tmp_path):
    with pytest.raises(ConfigError, match=r"vocab\.size: 900 pieces are too few: .*\n  Set"):
        train_vocab(sample_build.out, tmp_path / "out", size=900)


def test_a_size_beyond_the_text_names_the_size_it_allows(small_build, tmp_path):
    with pytest.raises(
        DataError, match=r"vocab\.size: .*not enough.*\n  Set vocab\.size to [\d,]+"
    ):
        train_vocab(small_build.out, tmp_path / "out", size=200_000, fit="none", held_out=0.2)


def test_a_language_that_the_corpus_lacks_is_named(sample_build, tmp_path):
    with pytest.raises(ConfigError, match=r"vocab\.labels: the corpus has no text in uig_Arab"):
        train_vocab(sample_build.out, tmp_path / "out", labels=("swh_Latn", "uig_Arab"))


def test_only_the_languages_asked_for_are_used(sample_build, tmp_path):
    labels = ("amh_Ethi", "swh_Latn")
    found = train_vocab(
        sample_build.out, tmp_path / "out", labels=labels, size=700, fit="none", held_out=0.2
    )
    assert set(found.built.premium) == set(labels)


def test_a_language_with_one_document_is_trained_on_and_said_not_to_be_judged(
    sample_build, tmp_path
):
    out = tmp_path / "out"
    (out / "corpus" / "saq_Latn").mkdir(parents=True)
    source = sample_build.out / "corpus"
    for label in ("swh_Latn", "amh_Ethi"):
        (out / "corpus" / label).symlink_to(source / label)
    table = pa.ipc.open_stream((source / "swh_Latn" / "part-00000.arrow").read_bytes()).read_all()
    name = "saq_Latn/part-00000.arrow"
    folder = store.Folder(out / "corpus")
    committed = []
    with folder.writing(name, committed=committed) as file:
        with pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table.slice(0, 1))
    manifest = store.read_manifest(store.Folder(source), artefact="corpus")
    kept = [w for w in store.listed(manifest) if w.name.startswith(("swh_Latn", "amh_Ethi"))]
    labels = {**manifest["counts"]["labels"], "saq_Latn": {"bytes": committed[0].num_bytes}}
    store.write_manifest(
        folder,
        artefact="corpus",
        fingerprint="0" * 64,
        counts={**manifest["counts"], "labels": labels},
        files=[*kept, *committed],
        schema_version=manifest["schema_version"],
    )
    found = train_vocab(sample_build.out, out, size=800, fit="none")
    assert found.built.premium["saq_Latn"] is None
    assert "saq_Latn" in found.built.unjudged


def test_without_a_corpus_the_error_says_to_build_one(tmp_path):
    (tmp_path / "out" / "corpus").mkdir(parents=True)
    with pytest.raises(DataError, match=r"no manifest\.json"):
        train_vocab(tmp_path, tmp_path / "out")


def test_parallel_text_judges_instead_of_held_out_text(sample_build, tmp_path, texts):
    folder = tmp_path / "parallel"
    folder.mkdir()
    for label, documents in texts.items():
        lines = [" ".join(document.split()) for document in documents]
        (folder / f"{label}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    found = train_vocab(sample_build.out, tmp_path / "out", parallel=folder, fit="none")
    facts = json.loads((found.out / "vocab" / "report.json").read_text())
    assert facts["text"] == "parallel"
    assert found.built.unjudged == []
    assert facts["tokenizers"][0]["labels"]["swh_Latn"]["premium_english"] is not None
    assert str(tmp_path) not in json.dumps(facts)


def test_the_parity_bpe_trainer_is_offered_beside(sample_build, tmp_path):
    found = train_vocab(sample_build.out, tmp_path / "out", algorithm="parity-bpe", size=1500)
    names = {path.name for path in (found.out / "vocab").iterdir()}
    assert "tokenizer.json" in names
    assert "spm.model" not in names
    facts = json.loads((found.out / "vocab" / "report.json").read_text())
    assert facts["tokenizers"][0]["kind"] == "byte-level bpe"
    assert found.built.pieces == 1500
    assert store.verify(store.Folder(found.out) / "vocab", artefact="vocab") == []


def test_a_language_with_little_text_keeps_more_of_it_out():
    settings = vocab_settings(held_out=0.05)
    assert build.held_out_share(settings, 10_000_000) == 0.05
    assert build.held_out_share(settings, 20_000) == pytest.approx(0.1)
    assert build.held_out_share(settings, 100) == pytest.approx(0.15)
