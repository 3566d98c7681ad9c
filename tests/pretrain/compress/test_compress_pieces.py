"""Pieces taken out of a tokenizer: the text it is kept for is cut as before, by every kind."""

import json

import numpy as np
import pytest
import tokenizers
from smaller_models import KEPT, TOKENIZERS, write_bert
from tokenizers import models, pre_tokenizers

from conftest import sample_texts
from pretrain.compress import pieces, proof, rewrite
from pretrain.compress.texts import cut
from pretrain.models import open_model


@pytest.fixture(scope="module", params=TOKENIZERS)
def opened(request, tmp_path_factory):
    return open_model(write_bert(tmp_path_factory.mktemp("models") / request.param, request.param))


def counts_of(tokenizer, texts, size):
    encoded = proof.encode(tokenizer, texts)
    return np.bincount(np.concatenate(encoded), minlength=size)


def trimmed_for(opened, texts):
    """Return the trimmed tokenizer of texts by label, and the old ids."""
    value = pieces.value_of(opened.tokenizer, place="here")
    size = opened.config["vocab_size"]
    counts = {label: counts_of(opened.tokenizer, own, size) for label, own in texts.items()}
    begun = set()
    if value["model"]["type"] == "WordPiece":
        before = opened.tokenizer.pre_tokenizer.pre_tokenize_str
        words = {word for own in texts.values() for text in own for word, _ in before(text)}
        begun = pieces.beginnings(words, value["model"])
    ids = pieces.kept(value, counts, begun=begun)
    return rewrite.tokenizer(pieces.trimmed(value, ids)), ids


def test_text_of_the_kept_languages_is_cut_into_the_same_pieces(opened):
    texts = {label: sample_texts()[label] for label in KEPT}
    small, ids = trimmed_for(opened, texts)
    assert small.get_vocab_size() == len(ids) < 0.7 * opened.tokenizer.get_vocab_size()
    for own in texts.values():
        for text in own:
            one, other = opened.tokenizer.encode(text), small.encode(text)
            assert other.tokens == one.tokens
            assert ids[other.ids].tolist() == one.ids
            assert other.type_ids == one.type_ids


def test_special_pieces_keep_their_order_and_the_first_ones_their_numbers(opened):
    small, ids = trimmed_for(opened, {"eng_Latn": sample_texts()["eng_Latn"]})
    assert ids.tolist() == sorted(ids.tolist())
    found = [small.token_to_id(f"[{name}]") for name in ("PAD", "UNK", "CLS", "SEP", "MASK")]
    assert found == sorted(found)
    if opened.cls == 2:
        assert found == [0, 1, 2, 3, 4]
    for name in ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"):
        assert ids[small.token_to_id(name)] == opened.tokenizer.token_to_id(name)


def test_a_pair_gets_the_special_pieces_by_their_new_numbers(opened):
    small, _ = trimmed_for(opened, {"eng_Latn": sample_texts()["eng_Latn"]})
    found = small.encode("a b", "c")
    mask = found.special_tokens_mask
    special = [token for token, is_special in zip(found.tokens, mask, strict=True) if is_special]
    assert special == ["[CLS]", "[SEP]", "[SEP]"]
    assert found.ids[0] == small.token_to_id("[CLS]")
    assert found.ids[-1] == small.token_to_id("[SEP]")


def test_characters_of_the_kept_scripts_stay_readable_where_they_did_not_occur(opened):
    text = "the cat sat on a mat"
    small, _ = trimmed_for(opened, {"eng_Latn": [text]})
    words = ["Zebra", "quickly", "jinxed", "by", "vexing", "Kowalewski"]
    read = [word for word in words if "[UNK]" not in opened.tokenizer.encode(word).tokens]
    assert len(read) > 2
    encoded = small.encode(" ".join(read), add_special_tokens=False)
    assert "[UNK]" not in encoded.tokens
    assert not any(pieces.is_byte(token) for token in encoded.tokens)


def test_what_was_unknown_stays_unknown_in_the_same_places(opened):
    text = "a\U0001f9a4b \u13a0\u13a1 the\u2603end x\U00013000y"
    small, ids = trimmed_for(opened, {"eng_Latn": [text, *sample_texts()["eng_Latn"]]})
    assert ids[small.encode(text).ids].tolist() == opened.tokenizer.encode(text).ids


def test_the_joins_of_a_bpe_piece_are_kept_though_only_the_whole_occurs():
    vocab = {"[UNK]": 0, "a": 1, "b": 2, "c": 3, "ab": 4, "abc": 5, "bc": 6, "ca": 7}
    merges = [("c", "a"), ("a", "b"), ("b", "c"), ("ab", "c")]
    made = tokenizers.Tokenizer(models.BPE(vocab=vocab, merges=merges, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    value = pieces.value_of(made, place="here")
    counts = np.zeros(8, np.int64)
    counts[made.encode("abc").ids] = 1
    ids = pieces.kept(value, {"extra": counts})
    small = rewrite.tokenizer(pieces.trimmed(value, ids))
    assert small.encode("abc").tokens == ["abc"]
    assert small.token_to_id("ca") is None
    assert small.token_to_id("bc") is None


def test_a_word_that_turns_out_unknown_is_not_saved_by_a_shorter_beginning():
    # "abx": "ab" is tried first, then "##x" is missing. Without "ab" it would be "a", "##bx".
    vocab = {"[UNK]": 0, "ab": 1, "a": 2, "##bx": 3, "##b": 4, "c": 5}
    made = tokenizers.Tokenizer(models.WordPiece(vocab=vocab, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    value = pieces.value_of(made, place="here")
    assert pieces.beginnings(["abx", "c", "ab"], value["model"]) == {"ab"}
    counts = np.zeros(6, np.int64)
    counts[[0, 2, 3]] = 1
    ids = pieces.kept(value, {"extra": counts}, begun={"ab"})
    small = rewrite.tokenizer(pieces.trimmed(value, ids))
    assert small.encode("abx").tokens == made.encode("abx").tokens == ["[UNK]"]


def test_the_piece_that_unknown_characters_are_charged_by_stays(tmp_path):
    opened = open_model(write_bert(tmp_path, "unigram"))
    value = pieces.value_of(opened.tokenizer, place="here")
    lowest = min(value["model"]["vocab"], key=lambda one: one[1])
    small, _ = trimmed_for(opened, {"eng_Latn": ["a"]})
    left = json.loads(small.to_str())["model"]["vocab"]
    assert min(left, key=lambda one: one[1]) == lowest


def test_chunks_are_all_of_a_document_in_its_order():
    text = "word " * 1000 + "x" * 5000 + "\n" + "line\n" * 900
    found = list(cut(text))
    assert "".join(found) == text
    assert all(len(one) <= 2000 for one in found)
    assert list(cut("")) == []
