"""Tokenizers of every kind, seen through one class."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
import sentencepiece
import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from pipelines import store
from pipelines.errors import DataError
from tests_support import ROOT
from tokenizer import loading


def lines_of(texts, labels=("eng_Latn", "swh_Latn", "rus_Cyrl")):
    return [line for label in labels for text in texts[label] for line in text.split("\n") if line]


def spm_model(lines, **options):
    sentencepiece.set_min_log_level(2)
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_writer=written,
        vocab_size=700,
        hard_vocab_limit=False,
        minloglevel=2,
        num_threads=1,
        **options,
    )
    return written.getvalue()


@pytest.fixture(scope="module")
def folder(texts, tmp_path_factory):
    """A folder with models of all kinds."""
    folder = tmp_path_factory.mktemp("models")
    lines = lines_of(texts)
    identity = {"normalization_rule_name": "identity"}
    (folder / "bytes.model").write_bytes(spm_model(lines, byte_fallback=True, **identity))
    (folder / "lossy.model").write_bytes(spm_model(lines))
    (folder / "merges.model").write_bytes(spm_model(lines, model_type="bpe"))
    one = tokenizers.Tokenizer(models.BPE())
    one.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    one.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700,
        special_tokens=["<pad>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    one.train_from_iterator(lines, trainer)
    (folder / "gpt").mkdir()
    one.save(str(folder / "gpt" / "tokenizer.json"))
    two = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    two.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    two.normalizer = normalizers.BertNormalizer()
    two.train_from_iterator(
        lines,
        trainers.WordPieceTrainer(
            vocab_size=700, special_tokens=["[UNK]", "[CLS]"], show_progress=False
        ),
    )
    two.save(str(folder / "bert.json"))
    return folder


NAMES = ["bytes.model", "lossy.model", "merges.model", "gpt", "bert.json"]
LINES = ["The boat is late.", "", "Habari 龘龘 ya leo", "Лодка", "x\u200dy \U0001f600"]


def ids_of_the_library(path, line):
    if path.suffix == ".model":
        return sentencepiece.SentencePieceProcessor(model_file=str(path)).encode(line)
    file = path / "tokenizer.json" if path.is_dir() else path
    opened = tokenizers.Tokenizer.from_file(str(file))
    return opened.encode(line, add_special_tokens=False).ids


@pytest.mark.parametrize("name", NAMES)
def test_the_ids_are_those_of_the_library(folder, name):
    loaded = loading.load(folder / name)
    found = loaded.encode(LINES)
    for index, line in enumerate(LINES):
        first, last = found.offsets[index : index + 2]
        assert found.ids[first:last].tolist() == ids_of_the_library(folder / name, line)
    assert found.ids.dtype == np.int32
    assert found.num_tokens.tolist() == np.diff(found.offsets).tolist()
    assert found.num_tokens[1] == 0


@pytest.mark.parametrize("name", NAMES)
def test_every_piece_is_text_for_people(folder, name):
    loaded = loading.load(folder / name)
    assert len(loaded.pieces()) == loaded.num_pieces == len(loaded.parts()) == len(loaded.special())
    assert all(isinstance(piece, str) for piece in loaded.pieces())
    assert "".join(loaded.pieces()).encode()  # no halves of characters
    found = loaded.encode(["The boat"])
    text = "".join(loaded.pieces()[i] for i in found.ids)
    assert text.replace("▁", "").replace("##", "").lower() == "theboat"


def test_the_kind_is_told_by_the_model_itself(folder):
    kinds = [loading.load(folder / name).kind for name in NAMES]
    assert kinds == ["unigram", "unigram", "bpe", "byte-level bpe", "wordpiece"]


def test_the_name_is_the_files_or_where_that_says_nothing_the_folders(folder):
    assert loading.load(folder / "bytes.model").name == "bytes"
    assert loading.load(folder / "gpt").name == "gpt"
    assert loading.load(folder / "gpt" / "tokenizer.json").name == "gpt"
    assert loading.load(folder / "gpt", name="mine").name == "mine"


def test_characters_under_an_unknown_token_are_counted(folder):
    found = loading.load(folder / "lossy.model").encode(["a 龘龘龘 b 龘", "no", ""])
    assert found.unknown_tokens.tolist() == [2, 0, 0]
    assert found.unknown_chars.tolist() == [4, 0, 0]
    found = loading.load(folder / "bert.json").encode(["boat 龘 ქართული", "boat"])
    assert found.unknown_tokens.tolist() == [2, 0]
    assert found.unknown_chars.tolist() == [8, 0]


def test_bytes_and_parts_of_characters_are_counted(folder):
    found = loading.load(folder / "bytes.model").encode(["龘", "boat"])
    assert found.byte_tokens.tolist() == [3, 0]
    assert found.unknown_tokens.tolist() == [0, 0]
    loaded = loading.load(folder / "gpt")
    found = loaded.encode(["龘", "boat"])
    assert found.byte_tokens.tolist() == [3, 0]
    assert [loaded.pieces()[i] for i in found.ids[:3]] == ["<0xE9>", "<0xBE>", "<0x98>"]


def test_special_pieces_are_told_from_text(folder):
    assert loading.load(folder / "bytes.model").special().sum() == 3
    assert loading.load(folder / "gpt").special().sum() == 1
    assert loading.load(folder / "bert.json").special().sum() == 2


@pytest.mark.parametrize("name", NAMES)
def test_a_word_is_encoded_as_it_stands_after_a_space(folder, name):
    loaded = loading.load(folder / name)
    before = loaded.encode(["boat is", "boat"]).num_tokens
    after = loaded.encode(["boat is boat", "boat boat"]).num_tokens
    assert (loaded.encode_words(["boat", "boat"]) == after - before).all()


def test_no_lines_have_no_tokens(folder):
    found = loading.load(folder / "gpt").encode([])
    assert found.ids.tolist() == []
    assert found.offsets.tolist() == [0]


def test_more_lines_than_a_call_takes_are_encoded_alike(folder):
    loaded = loading.load(folder / "bytes.model")
    lines = [f"line {number}" for number in range(loading._CHUNK + 5)]
    found = loaded.encode(lines)
    assert found.num_tokens[-1] == loaded.encode([lines[-1]]).num_tokens[0]
    assert len(found.num_tokens) == len(lines)


def torn(data, number):
    generator = np.random.default_rng(number)
    if number % 3 == 0:
        return data[: int(generator.integers(1, len(data)))]
    if number % 3 == 1:
        return generator.bytes(500)
    at = int(generator.integers(0, len(data) - 100))
    return data[:at] + bytes(100) + data[at + 100 :]


@pytest.mark.parametrize("name", ["bytes.model", "lossy.model", "bert.json"])
def test_a_torn_file_is_one_error_or_loads_and_never_ends_the_process(folder, name, tmp_path):
    data = (folder / name).read_bytes()
    suffix = name.partition(".")[2]
    for number in range(12):
        (tmp_path / f"{number}.{suffix}").write_bytes(torn(data, number))
    code = (
        "import sys, pathlib\n"
        "from pipelines.errors import DataError\n"
        "from tokenizer import loading\n"
        "failed = 0\n"
        "for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):\n"
        "    try:\n"
        "        loading.load(path).encode(['The boat', '', '龘 \u200d'])\n"
        "    except DataError as error:\n"
        "        assert str(path) in str(error) and '\\n  ' in str(error), error\n"
        "        failed += 1\n"
        "print(failed)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], cwd=ROOT, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) >= 8


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("empty.model", ""),
        ("empty.json", "{}"),
        ("list.json", "[1, 2]"),
        ("other.json", json.dumps({"model": {"type": "Nothing", "vocab": {}}})),
        ("notes.txt", "just text\n"),
    ],
)
def test_what_is_no_tokenizer_is_refused_with_its_name_and_a_remedy(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=f"(?s){name}: cannot be read as a .*\n  It is torn"):
        loading.load(tmp_path / name)


def test_a_folder_without_a_tokenizer_says_what_to_give(tmp_path, folder):
    with pytest.raises(DataError, match="no tokenizer in this folder"):
        loading.load(tmp_path)
    with pytest.raises(DataError, match="3 SentencePiece models in this folder"):
        loading.load(folder)
    with pytest.raises(DataError, match="no such file or folder"):
        loading.load(tmp_path / "missing")


def test_a_vocab_folder_is_checked_against_its_manifest(folder, tmp_path):
    opened = store.Folder(tmp_path)
    model = (folder / "bytes.model").read_bytes()
    written = opened.write_bytes("spm.model", model)
    store.write_manifest(opened, artefact="vocab", fingerprint="0", counts={}, files=[written])
    assert loading.load(tmp_path).num_pieces > 300
    (tmp_path / "spm.model").write_bytes(model[:-5])
    with pytest.raises(DataError, match=r"spm.model: .* bytes instead of"):
        loading.load(tmp_path)


def test_a_folder_of_another_artefact_is_refused(tmp_path):
    opened = store.Folder(tmp_path)
    store.write_manifest(opened, artefact="corpus", fingerprint="0", counts={}, files=[])
    with pytest.raises(DataError, match="expected 'vocab'"):
        loading.load(tmp_path)
