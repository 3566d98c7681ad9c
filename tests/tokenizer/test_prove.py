"""The proof that both forms of a vocabulary give the same ids, and that it notices when not."""

import json
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
import sentencepiece
import zstandard
from vocabulary_models import small_model

from pipelines.clean import clean
from pipelines.errors import DataError
from pipelines.store import Folder
from tokenizer import spm_format
from tokenizer.adversarial import TEXTS, adversarial
from tokenizer.export import export
from tokenizer.normaliser import normalise
from tokenizer.prove import is_tie, prove


@pytest.fixture(scope="module", params=["unigram", "bpe"])
def vocab(request, tmp_path_factory):
    folder = Folder(tmp_path_factory.mktemp(request.param))
    export(small_model(request.param), folder, meta={})
    return folder


def edited(vocab, folder, edit):
    """Return a copy of the vocabulary with its tokenizer.json edited."""
    value = json.loads(vocab.read_bytes("tokenizer.json"))
    edit(value)
    copy = Folder(folder)
    copy.write_bytes("spm.model", vocab.read_bytes("spm.model"))
    copy.write_json("tokenizer.json", value)
    return copy


def test_adversarial_texts_have_the_same_ids(vocab):
    lines = adversarial()
    assert len(lines) == 3 * len(TEXTS)
    proof = prove(vocab, lines.values())
    assert proof.num_lines == len(lines)
    assert proof.holds and proof.num_ties == 0, proof.examples


def test_adversarial_texts_come_back_normalised(vocab):
    processor = sentencepiece.SentencePieceProcessor(model_proto=vocab.read_bytes("spm.model"))
    for name, line in adversarial().items():
        assert processor.decode(processor.encode(line)) == normalise(line), name


def test_sample_lines_have_the_same_ids_clean_and_decomposed(vocab, texts):
    lines = [line for documents in texts.values() for d in documents for line in d.split("\n")]
    proof = prove(vocab, lines + [unicodedata.normalize("NFD", line) for line in lines])
    assert proof.holds and proof.num_ties == 0, proof.examples
    assert proof.num_lines == 2 * len(lines) > 1000


def test_a_line_of_a_megabyte_differs_by_ties_at_most(vocab, texts):
    documents = [document for of_label in texts.values() for document in of_label]
    line = " ".join(documents)
    line = (line * (1 + (1 << 20) // len(line.encode())))[: 1 << 20]
    proof = prove(vocab, [line, "ab" * (1 << 18), "." * (1 << 18), "𓀀" * (1 << 16)])
    assert proof.holds, proof.examples


def test_nothing_to_compare_is_no_proof_of_anything(vocab):
    proof = prove(vocab, [])
    assert (proof.num_lines, proof.num_bytes) == (0, 0)


def test_another_normaliser_is_noticed(vocab, tmp_path):
    copy = edited(vocab, tmp_path, lambda value: value.update(normalizer={"type": "NFKC"}))
    proof = prove(copy, ["ﬁne", "fine", "a  b"])
    assert not proof.holds
    assert proof.num_different == 2
    assert proof.examples[0].line == "ﬁne" and not proof.examples[0].tie


def test_special_pieces_found_in_text_are_noticed(vocab, tmp_path):
    def unguarded(value):
        if value["model"]["type"] == "Unigram":
            value["pre_tokenizer"] = value["pre_tokenizer"]["pretokenizers"][0]

    proof = prove(edited(vocab, tmp_path, unguarded), ["a [MASK]", "<0x41>", "a"])
    unigram = json.loads(vocab.read_bytes("tokenizer.json"))["model"]["type"] == "Unigram"
    assert proof.num_different == (2 if unigram else 0)


def test_another_decoder_is_noticed(vocab, tmp_path):
    copy = edited(vocab, tmp_path, lambda value: value["decoder"]["decoders"].pop(0))
    proof = prove(copy, ["a b", "c"])
    assert proof.num_different == 0
    assert proof.num_undecoded == 2 and not proof.holds


def test_a_missing_or_broken_file_is_named(vocab, tmp_path):
    with pytest.raises(DataError, match=r"spm\.model"):
        prove(Folder(tmp_path / "none"), ["a"])
    copy = edited(vocab, tmp_path, lambda value: value.pop("model"))
    with pytest.raises(DataError, match="cannot be loaded"):
        prove(copy, ["a"])


@pytest.fixture(scope="module")
def processor():
    """A model of a, b, ab, ba with chosen scores."""
    pieces = spm_format.parse(small_model(), place="x").pieces[:261]
    scores = {"▁": -1.0, "a": -2.0, "b": -2.0, "ab": -3.0, "ba": -3.0, "aa": -3.00390625}
    pieces = [*pieces, *(spm_format.Piece(t, s, spm_format.NORMAL) for t, s in scores.items())]
    model = spm_format.Model(
        pieces,
        spm_format.NormalizerSpec(),
        {**spm_format.parse(small_model(), place="x").trainer, 4: len(pieces)},
    )
    return sentencepiece.SentencePieceProcessor(model_proto=spm_format.serialise(model))


def test_equal_scores_are_a_tie(processor):
    a, b, ab, ba, aa = (processor.piece_to_id(p) for p in ("a", "b", "ab", "ba", "aa"))
    assert is_tie(processor, [ab, a], [a, ba])
    assert is_tie(processor, [ab, a, b, ab, a], [a, ba, b, a, ba])
    assert not is_tie(processor, [aa, b], [a, ab])  # worse by 1/256
    assert not is_tie(processor, [ab], [a, b])
    assert not is_tie(processor, [ab], [a])  # not the same text
    assert not is_tie(processor, [], [a])


def test_a_small_loss_in_one_place_is_not_made_up_for_in_another(processor):
    a, b, ab, aa = (processor.piece_to_id(p) for p in ("a", "b", "ab", "aa"))
    mark = processor.piece_to_id("▁")
    assert not is_tie(processor, [aa, b, mark, a, ab], [a, ab, mark, aa, b])


def test_rounding_far_into_a_text_makes_ties(processor):
    a, b, ab, aa = (processor.piece_to_id(p) for p in ("a", "b", "ab", "aa"))
    before = [ab] * 200_000  # 600,000 into a sum, float32 has steps of 1/16
    assert np.spacing(np.float32(600_000)) == 1 / 16
    assert is_tie(processor, [*before, aa, b], [*before, a, ab])
    assert not is_tie(processor, [*before, ab], [*before, a, b])  # worse by 1


@pytest.mark.slow
def test_lines_of_205_languages_have_the_same_ids(vocab, data):
    with zstandard.open(data / "lid" / "dev.jsonl.zst", "rt", encoding="utf-8") as file:
        lines = [json.loads(row)["text"] for row in file]
    cleaned = clean(pa.array(lines, pa.large_string()))[0].to_pylist()
    decomposed = [unicodedata.normalize("NFD", line) for line in cleaned]
    proof = prove(vocab, [*lines, *decomposed])
    assert proof.num_lines > 48_000
    assert proof.holds and proof.num_ties == 0, proof.examples
    processor = sentencepiece.SentencePieceProcessor(model_proto=vocab.read_bytes("spm.model"))
    assert processor.encode(cleaned) == processor.encode(decomposed)
