"""Encoding each word once: the same ids as encoding the whole text, for any text."""

import json

import numpy as np
import pyarrow as pa
import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from vocabulary_models import small_model

from tokenizer import encoder, export, repeated, spm_format

# Short words that come again, with spaces in every place, and what the normaliser changes:
# a letter and its accent, no-break spaces, U+2581, an invisible character, a pair that grows.
CLEAN = st.text(alphabet="ab .\n\u0e01\U0001f600", max_size=60)
RAW = st.text(alphabet="ab e\u0301\n\u00a0\u2581\u00ad\u0958\t", max_size=30)
CHARACTERS = st.text(max_size=30)


def column(documents):
    return pa.array(documents, pa.large_string())


@pytest.fixture(scope="module", params=["unigram", "bpe"])
def model(request):
    return encoder._SentencePiece(export.finished(small_model(request.param)))


def same(model, text) -> None:
    found, wanted = model.ids(text), model._ids_in_blocks(text)
    assert found[0].tolist() == wanted[0].tolist()
    assert found[1].tolist() == wanted[1].tolist()


def matches(model, text) -> bool:
    """Whether the text was encoded by its words."""
    words = repeated.distinct_words(text)
    once = column([words.text.tobytes().decode()])
    return repeated.first_ids(words, model._ids_in_blocks(once)[0], model._pieces) is not None


@settings(deadline=None)  # the first call compiles
@given(st.lists(CLEAN, max_size=6))
def test_distinct_words_are_those_of_the_documents_in_the_order_of_first_use(documents):
    words = repeated.distinct_words(column(documents))
    of_documents = [text.replace("\n", " ").split(" ") for text in documents]
    every = [word for own in of_documents for word in own if word]
    listed = words.text.tobytes().decode().split(" ")[1:]
    assert listed == list(dict.fromkeys(every))
    assert words.num_words == len(listed)
    assert [listed[number] for number in words.numbers.tolist()] == every
    sizes = [sum(map(bool, own)) for own in of_documents]
    assert np.diff(words.offsets).tolist() == sizes


@settings(deadline=None)  # the first call compiles
@given(documents=st.lists(CLEAN | RAW | CHARACTERS, max_size=6))
def test_the_ids_are_those_of_the_whole_text(model, documents):
    same(model, column(documents))


def test_a_slice_of_documents_has_the_ids_of_these_documents(model):
    text = column(["one two", "two three", "three one", "four"]).slice(1, 2)
    same(model, text)
    assert np.diff(model.ids(text)[1]).tolist() == [
        len(model.ids(column([one]))[0]) for one in ("two three", "three one")
    ]


def test_clean_text_of_every_language_is_encoded_by_its_words(model, texts):
    for documents in texts.values():
        text = column(documents)
        assert matches(model, text)
        same(model, text)


@pytest.mark.parametrize("raw", ["e\u0301", "a\u00a0b", "a\u2581b", "\u00ad", "\u0958"])
def test_text_that_the_normaliser_changes_is_encoded_as_a_whole(model, raw):
    text = column(["a b", f"b {raw} a"])
    assert not matches(model, text)
    same(model, text)


def test_words_that_fill_the_table_and_words_too_long_for_it_lose_nothing(model):
    # 16 bytes of text for a word that the table takes: these have three.
    short = " ".join(chr(0x61 + i % 26) + chr(0x61 + i // 26 % 26) for i in range(3000))
    long = " ".join(["x" * repeated.MAX_BYTES, "y" * (repeated.MAX_BYTES + 1)] * 2)
    many = " ".join(f"{i:x}" for i in range(3000))
    words = repeated.distinct_words(column([long]))
    assert words.numbers.tolist() == [0, 1, 0, 2]
    for documents in ([short, short], [long], [many, long, many]):
        same(model, column(documents))


def test_the_ids_are_those_of_tokenizer_json(texts):
    data = export.finished(small_model())
    hugging_face = tokenizers.Tokenizer.from_str(
        json.dumps(export.tokenizer_json(spm_format.parse(data, place="test")))
    )
    documents = [text for own in texts.values() for text in own]
    ids, offsets = encoder._SentencePiece(data).ids(column(documents))
    for index, text in enumerate(documents):
        wanted = hugging_face.encode(text, add_special_tokens=False).ids
        assert ids[offsets[index] : offsets[index + 1]].tolist() == wanted
