"""What a vocabulary is written as: SentencePiece's file, tokenizer.json, and their agreement."""

import json
import os
import unicodedata
from dataclasses import replace

import pytest
import sentencepiece
from tokenizers import Tokenizer
from vocabulary_models import SIZE, small_model

from pipelines.errors import DataError
from pipelines.store import Folder
from tokenizer import spm_format
from tokenizer.export import BYTES, SPECIAL, export, finished, vocab_hash
from tokenizer.normaliser import normalise

os.environ["HF_HUB_OFFLINE"] = "1"


@pytest.fixture(scope="module", params=["unigram", "bpe"])
def vocab(request, tmp_path_factory):
    """The folder of an exported small vocabulary."""
    folder = Folder(tmp_path_factory.mktemp(request.param))
    export(small_model(request.param), folder, meta={"corpus": "abc"})
    return folder


@pytest.fixture(scope="module")
def spm(vocab):
    return sentencepiece.SentencePieceProcessor(model_proto=vocab.read_bytes("spm.model"))


@pytest.fixture(scope="module")
def hf(vocab):
    tokenizer = Tokenizer.from_buffer(vocab.read_bytes("tokenizer.json"))
    tokenizer.encode_special_tokens = True
    return tokenizer


@pytest.fixture(scope="module")
def auto(vocab):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(vocab.url)


def test_ids_are_those_of_the_contract(spm, hf):
    assert [spm.id_to_piece(i) for i in range(261)] == [*SPECIAL, *BYTES]
    assert [hf.id_to_token(i) for i in range(261)] == [*SPECIAL, *BYTES]
    assert spm.get_piece_size() == hf.get_vocab_size() == SIZE


def test_raw_text_gives_the_ids_of_clean_text(texts, spm, hf):
    for documents in texts.values():
        clean = normalise(documents[0])
        raw = "\ufeff " + unicodedata.normalize("NFD", documents[0]).replace(" ", "\u00a0\t") + "\n"
        ids = spm.encode(clean)
        assert spm.encode(raw) == ids
        assert hf.encode(raw, add_special_tokens=False).ids == ids


def test_ids_decode_to_the_normalised_text(texts, spm, hf):
    for documents in texts.values():
        line = f"{documents[0]} \ue000 𓀀𓀁 <0x41> ▁"
        ids = spm.encode(line)
        assert spm.decode(ids) == hf.decode(ids) == normalise(line)


def test_byte_fallback_leaves_nothing_unknown(spm, hf):
    text = "𓀀 \ue000 ꡀ 🏴"
    assert spm.unk_id() not in spm.encode(text)
    assert "<0xF0>" in hf.encode(text).tokens


def test_special_and_byte_pieces_in_text_are_text(spm, hf):
    for text in (*SPECIAL, "a[MASK]b", "[[MASK]]", "[CLS][SEP]", "<0x41>", "<<0xE0><0xFF>"):
        ids = spm.encode(text)
        assert min(ids) >= len(SPECIAL)
        assert "".join(spm.id_to_piece(ids)).removeprefix("▁") == text
        assert hf.encode(text, add_special_tokens=False).ids == ids


def test_the_model_file_says_nothing_of_the_training(vocab):
    raw = spm_format.parse(small_model(), place="raw")
    assert set(raw.trainer) > {16}  # num_threads
    data = vocab.read_bytes("spm.model")
    assert set(spm_format.parse(data, place="x").trainer) <= {3, 4, 24, 35, *range(40, 49)}


def test_the_same_model_gives_the_same_bytes(tmp_path):
    first = export(small_model(), Folder(tmp_path / "a"), meta={"b": "2", "a": "1"})
    second = export(small_model(), Folder(tmp_path / "b"), meta={"a": "1", "b": "2"})
    assert first == second
    assert sorted(written.name for written in first) == [
        "special_tokens_map.json",
        "spm.model",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_finishing_twice_changes_nothing():
    once = finished(small_model())
    assert finished(once) == once


def test_the_hash_is_of_what_decides_the_ids():
    model = finished(small_model())
    parsed = spm_format.parse(model, place="x")
    assert vocab_hash(model) == vocab_hash(finished(small_model()))
    with_threads = replace(parsed, trainer={**parsed.trainer, 16: 3})
    assert vocab_hash(spm_format.serialise(with_threads)) == vocab_hash(model)
    piece = parsed.pieces[300]
    for changed in (piece._replace(score=piece.score - 1), piece._replace(text="▁zzzz")):
        pieces = [*parsed.pieces[:300], changed, *parsed.pieces[301:]]
        assert vocab_hash(spm_format.serialise(replace(parsed, pieces=pieces))) != vocab_hash(model)
    assert vocab_hash(small_model()) != vocab_hash(model)  # another normaliser


def test_rounded_scores_add_up_without_error():
    for piece in spm_format.parse(finished(small_model()), place="x").pieces:
        assert (piece.score * 256).is_integer()


def test_auto_tokenizer_loads_offline_with_the_special_pieces(auto):
    assert auto.is_fast
    assert (auto.pad_token_id, auto.unk_token_id, auto.cls_token_id) == (0, 1, 2)
    assert (auto.sep_token_id, auto.mask_token_id) == (3, 4)
    assert auto.model_max_length == 512
    assert auto.vocab_size == SIZE


def test_pairs_get_token_types(auto, spm):
    found = auto("One sentence.", "And another.")
    first, second = spm.encode("One sentence."), spm.encode("And another.")
    assert found["input_ids"] == [2, *first, 3, *second, 3]
    assert found["token_type_ids"] == [0] * (len(first) + 2) + [1] * (len(second) + 1)
    assert found["attention_mask"] == [1] * len(found["input_ids"])


def test_a_mask_stands_for_one_piece(auto, spm):
    full_stop = spm.piece_to_id(".")
    found = auto("Paris is [MASK].")["input_ids"]
    assert found == [2, *spm.encode("Paris is"), 4, full_stop, 3]
    # What follows with a space begins a word, what follows without goes on with it.
    assert auto("[MASK] is")["input_ids"] == [2, 4, *spm.encode("is"), 3]
    assert auto("[MASK]s")["input_ids"] == [2, 4, spm.piece_to_id("s"), 3]


def test_split_special_tokens_keeps_a_mask_in_text_as_text(auto, spm, vocab, tmp_path):
    from transformers import AutoTokenizer

    text = "Paris is [MASK]."
    assert auto(text, split_special_tokens=True)["input_ids"] == [2, *spm.encode(text), 3]
    splitting = AutoTokenizer.from_pretrained(vocab.url, split_special_tokens=True)
    assert splitting(text)["input_ids"] == [2, *spm.encode(text), 3]


def test_words_given_one_by_one_give_the_ids_of_the_text(auto, spm):
    found = auto(["Paris", "is", "far"], is_split_into_words=True)
    assert found["input_ids"][1:-1] == spm.encode("Paris is far")
    assert found.word_ids()[1] == 0 and found.word_ids()[-2] == 2


def test_offsets_point_into_the_raw_text(auto):
    raw = unicodedata.normalize("NFD", "Été à\u00a0 \u200eParis")
    found = auto(raw, return_offsets_mapping=True)
    pieces = zip(found.tokens(), found["offset_mapping"], strict=True)
    for piece, (start, end) in list(pieces)[1:-1]:
        if spelled := unicodedata.normalize("NFD", piece.replace("▁", "")):
            # An accent typed after its letter is left out where it ends the piece: tokenizers
            # aligns a composed letter with the first of its parts.
            assert spelled.startswith(raw[start:end].lstrip("\u00a0 \u200e")), piece
            assert spelled[0] in raw[start:end]
    assert found["offset_mapping"][-2][1] == len(raw)


def test_saving_it_again_loses_nothing(auto, tmp_path):
    from transformers import AutoTokenizer

    auto.save_pretrained(tmp_path)
    again = AutoTokenizer.from_pretrained(tmp_path)
    for text in ("Paris is [MASK].", "a\u00a0b [CLS]", "한국어 \u1112\u1161\u11ab"):
        assert again(text)["input_ids"] == auto(text)["input_ids"]


def test_facts_of_the_vocabulary_travel_with_it(auto, vocab):
    model = vocab.read_bytes("spm.model")
    assert auto.init_kwargs["koine"] == {"corpus": "abc", "vocab_hash": vocab_hash(model)}
    assert vocab.read_json("special_tokens_map.json")["cls_token"] == "[CLS]"


def test_merges_are_ordered_by_what_they_make(tmp_path):
    folder = Folder(tmp_path)
    export(small_model("bpe"), folder, meta={})
    model = json.loads(folder.read_bytes("tokenizer.json"))["model"]
    made = [model["vocab"][a + b] for a, b in model["merges"]]
    assert made == sorted(made)


def changed(**fields):
    """Return the small model with other pieces or settings."""
    return spm_format.serialise(replace(spm_format.parse(small_model(), place="x"), **fields))


def test_other_models_are_refused_with_a_reason(tmp_path):
    parsed = spm_format.parse(small_model(), place="x")
    pieces, folder = parsed.pieces, Folder(tmp_path)
    with pytest.raises(DataError, match="no SentencePiece model"):
        export(b"PK\x03\x04 a zip file", folder, meta={})
    with pytest.raises(DataError, match="cut short"):
        export(small_model()[:-10], folder, meta={})
    with pytest.raises(DataError, match="no SentencePiece model"):
        export(b"", folder, meta={})
    swapped = [pieces[1], pieces[0], *pieces[2:]]
    with pytest.raises(DataError, match=r"piece 0 is '\[UNK\]', not '\[PAD\]'"):
        export(changed(pieces=swapped), folder, meta={})
    own = [*pieces[:-1], pieces[-1]._replace(kind=spm_format.USER_DEFINED)]
    with pytest.raises(DataError, match="no ordinary piece"):
        export(changed(pieces=own), folder, meta={})
    with pytest.raises(DataError, match="byte fallback is off"):
        export(changed(trainer={**parsed.trainer, 35: 0}), folder, meta={})
    with pytest.raises(DataError, match="neither a Unigram nor a BPE"):
        export(changed(trainer={**parsed.trainer, 3: spm_format.WORD}), folder, meta={})
    with pytest.raises(DataError, match="it ends at piece 3"):
        export(changed(pieces=pieces[:3]), folder, meta={})
    assert folder.names() == []


def test_a_model_file_is_read_as_sentencepiece_reads_it():
    parsed = spm_format.parse(small_model(), place="x")
    processor = sentencepiece.SentencePieceProcessor(model_proto=small_model())
    assert len(parsed.pieces) == processor.get_piece_size()
    for number, piece in enumerate(parsed.pieces):
        assert piece.text == processor.id_to_piece(number)
        assert piece.score == pytest.approx(processor.get_score(number), abs=0)
        assert (piece.kind == spm_format.CONTROL) == processor.is_control(number)
        assert (piece.kind == spm_format.BYTE) == processor.is_byte(number)


@pytest.fixture(scope="module")
def short():
    """A model file small enough to be damaged everywhere."""
    parsed = spm_format.parse(small_model(), place="x")
    return spm_format.serialise(replace(parsed, pieces=parsed.pieces[:40]))


def test_a_damaged_model_file_is_an_error_and_no_crash(short):
    for cut in range(len(short)):
        with pytest.raises(DataError):
            spm_format.parse(short[:cut], place="x")
    refused = 0
    for position in range(len(short)):
        for value in (0x00, 0x7F, 0xFF, short[position] ^ 1):
            damaged = short[:position] + bytes([value]) + short[position + 1 :]
            try:
                parsed = spm_format.parse(damaged, place="x")
                assert isinstance(parsed.kind, int)
            except DataError:
                refused += 1
    assert refused > len(short)


def test_a_score_that_is_no_number_is_refused(short):
    score = spm_format.parse(short, place="x").pieces[30]
    bad = spm_format.serialise(
        replace(spm_format.parse(short, place="x"), pieces=[score._replace(score=float("nan"))])
    )
    with pytest.raises(DataError, match="no number"):
        spm_format.parse(bad, place="x")
