"""Encoding: one sequence a text, every word judged once, and what a vocabulary loses."""

import numpy as np
import pyarrow as pa
import pytest
import tokenizers
from served_models import write_model
from token_vocabulary import write_byte_level

from pretrain import models
from pretrain.tasks import classify, encode, tag
from pretrain.tasks.features import IGNORED

SENTENCES = [
    ["Amina", "anaishi", "Nairobi", "."],
    ["อมินา", "อยู่", "ที่", "ไนโรบี"],
    ["¿", "Vive", "en", "Nairobi", "?"],
    ["أمينة", "تعيش", "في", "نيروبي", "،", "أليس", "كذلك", "؟"],
    ["x"],
    [],
]


@pytest.fixture(scope="module")
def bert(tmp_path_factory):
    return models.open_model(write_model(tmp_path_factory.mktemp("m") / "bert", "bert", "mlm"))


@pytest.fixture(scope="module")
def modern(tmp_path_factory):
    folder = tmp_path_factory.mktemp("m") / "modern"
    return models.open_model(write_model(folder, "modernbert", "mlm"))


def sequences(features):
    return [
        features.ids[low:high].tolist()
        for low, high in zip(features.offsets[:-1], features.offsets[1:], strict=True)
    ]


def words_of(features, table):
    """The pieces of each word, by sentence."""
    found = [[[] for _ in words] for words in table["words"].to_pylist()]
    for number, row in enumerate(features.rows.tolist()):
        low, high = features.offsets[number : number + 2].tolist()
        word = None
        for piece, begun in zip(
            features.ids[low + 1 : high - 1].tolist(),
            features.extra["words"][low + 1 : high - 1].tolist(),
            strict=True,
        ):
            word = begun if begun >= 0 else word
            found[row][word].append(piece)
    return found


def test_texts_and_pairs_are_encoded_as_transformers_does(bert):
    table = pa.table(
        {
            "text": ["Habari za asubuhi", "สวัสดี", "a " * 90, ""],
            "pair": [None, "ครับ", "b " * 9, None],
            "target": ["y", "n", "other", None],
        }
    )
    found = classify.encode(table, bert, targets=["n", "y"], max_length=24)
    expected = []
    bert.tokenizer.enable_truncation(24)
    for text, pair in zip(table["text"].to_pylist(), table["pair"].to_pylist(), strict=True):
        expected.append(bert.tokenizer.encode(text, pair))
    bert.tokenizer.no_truncation()
    assert sequences(found) == [one.ids for one in expected]
    assert found.types.tolist() == [kind for one in expected for kind in one.type_ids]
    assert found.targets.tolist() == [1, 0, IGNORED, IGNORED]
    assert found.extra["num_cut"] == 1
    assert len(bert.tokenizer.encode("a " * 90).ids) > 24  # the model's own still cuts nothing


def test_a_network_without_types_gets_none(modern):
    table = pa.table({"text": ["x", "y"]})
    found = classify.encode(table, modern, targets=[], max_length=24)
    assert found.types is None
    assert found.targets.tolist() == [IGNORED, IGNORED]


def test_every_word_is_judged_by_its_first_piece(modern):
    tags = [[f"T{number % 3}" for number in range(len(words))] for words in SENTENCES]
    table = pa.table({"words": SENTENCES, "tags": tags})
    found = tag.encode(table, modern, targets=["T0", "T1"], max_length=48)
    assert [len(words) for words in words_of(found, table)] == list(map(len, SENTENCES))
    assert all(pieces for words in words_of(found, table) for pieces in words)
    first = found.extra["words"] >= 0
    numbers = {"T0": 0, "T1": 1, "T2": IGNORED}
    assert found.targets[first].tolist() == [numbers[one] for row in tags for one in row]
    assert set(found.targets[~first].tolist()) == {IGNORED}
    assert all(ids[0] == modern.cls and ids[-1] == modern.sep for ids in sequences(found))
    assert found.rows.tolist() == list(range(6))


def test_words_are_encoded_as_transformers_encodes_split_ones(modern):
    table = pa.table({"words": SENTENCES[:5]})
    found = tag.encode(table, modern, targets=[], max_length=48)
    expected = modern.tokenizer.encode_batch(SENTENCES[:5], is_pretokenized=True)
    assert sequences(found) == [one.ids for one in expected]


def test_a_long_sentence_goes_on_in_sequences_that_begin_at_words(modern):
    rng = np.random.default_rng(0)
    pool = [word for words in SENTENCES for word in words] + ["Kilimanjaro" * 3]
    sentences = [[pool[n] for n in rng.integers(len(pool), size=size)] for size in (90, 3, 41, 1)]
    table = pa.table({"words": sentences})
    whole = tag.encode(table, modern, targets=[], max_length=4096)
    found = tag.encode(table, modern, targets=[], max_length=20)
    assert max(len(ids) for ids in sequences(found)) <= 20
    assert len(found) > 8
    assert found.extra["num_cut"] == 2
    expected = [[word[:18] for word in words] for words in words_of(whole, table)]
    assert words_of(found, table) == expected
    logits = np.zeros((len(found.ids), 2), np.float32)
    first = np.flatnonzero(found.extra["words"] >= 0)
    logits[first, np.arange(len(first)) % 2] = 1.0
    said = tag.decode(logits, found, targets=["a", "b"])
    flat = [one for row in said for one in row]
    assert flat == ["ab"[number % 2] for number in range(len(flat))]
    assert list(map(len, said)) == list(map(len, sentences))


def test_a_word_that_is_nothing_to_the_tokenizer_is_an_unknown_piece(modern):
    table = pa.table({"words": [["a", "\u200e", "b", "\ufeff"]]})
    found = tag.encode(table, modern, targets=[], max_length=48)
    words = words_of(found, table)[0]
    assert len(words) == 4
    assert [bool(pieces) for pieces in words] == [True] * 4


def test_other_tokenizers_are_taken_as_they_are(tmp_path, modern):
    """WordPiece marks what goes on, byte-level BPE the space before a word."""
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "##b", "."]
    wordpiece = tokenizers.Tokenizer(
        tokenizers.models.WordPiece({piece: n for n, piece in enumerate(pieces)}, unk_token="[UNK]")
    )
    wordpiece.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    own = _with(modern, wordpiece)
    table = pa.table({"words": [["ab", "b", "."], ["zz"]]})
    found = tag.encode(table, own, targets=[], max_length=48)
    assert words_of(found, table) == [[[5, 7], [6], [8]], [[1]]]

    write_byte_level(tmp_path, {"Amina": 9, "anaishi": 9, "Nairobi": 5, "ab": 3})
    byte_level = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    table = pa.table({"words": SENTENCES})
    found = tag.encode(table, _with(modern, byte_level), targets=[], max_length=512)
    assert all(pieces for words in words_of(found, table) for pieces in words)


def _with(model, tokenizer):
    import dataclasses

    return dataclasses.replace(model, tokenizer=tokenizer)


def test_the_share_that_the_vocabulary_loses_is_told_by_language(modern):
    table = pa.table(
        {
            "text": ["Habari za asubuhi", "ꓐꓑꓒꓓꓔ", "Habari"],
            "label": pa.array(["swh_Latn", "lis_Lisu", "swh_Latn"]).dictionary_encode(),
        }
    )
    found = classify.encode(table, modern, targets=[], max_length=48)
    rates = encode.unknown(found, table, modern)
    assert rates["swh_Latn"] == 0.0
    assert rates["lis_Lisu"] > 0.9
    assert list(rates) == ["lis_Lisu", "swh_Latn"]


def test_no_examples_are_no_sequences(modern):
    texts = pa.table({"text": pa.array([], pa.string())})
    words = pa.table({"words": pa.array([], pa.list_(pa.string()))})
    for found in (
        classify.encode(texts, modern, targets=["a"], max_length=48),
        tag.encode(words, modern, targets=["a"], max_length=48),
    ):
        assert len(found) == 0
    assert tag.decode(np.zeros((0, 1), np.float32), found, targets=["a"]) == []


def test_slices_and_chunks_of_tables_are_read_as_the_whole(modern):
    whole = pa.table({"words": SENTENCES, "tags": [["a"] * len(words) for words in SENTENCES]})
    parts = pa.concat_tables([whole.slice(0, 2), whole.slice(2, 3), whole.slice(5)])
    one = tag.encode(whole, modern, targets=["a"], max_length=48)
    other = tag.encode(parts, modern, targets=["a"], max_length=48)
    assert one.ids.tolist() == other.ids.tolist()
    assert one.targets.tolist() == other.targets.tolist()
    some = tag.encode(whole.slice(2, 2), modern, targets=["a"], max_length=48)
    assert sequences(some) == sequences(one)[2:4]
