"""Sentence ends: equal to ICU's but for the deviations that the module states."""

import unicodedata
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st
from icu4py.breakers import SentenceBreaker

from tokenizer.segments import units_of
from tokenizer.sentences import IS_PLAIN, KINDS, TERMINALS, _place, sentence_ends

SPACE = regex.compile(r"[\p{White_Space}\u2581]")
OPENING = {code for code in range(0x110000) if unicodedata.category(chr(code)) == "Ps"}
# What the deviations amount to: an opening bracket is any other sign, these end sentences.
AS_ICU = dict.fromkeys(OPENING, "+") | dict.fromkeys(map(ord, TERMINALS), "!") | {0x2581: " "}

# Some of every class of Sentence_Break, and what the fast ways skip.
ALPHABET = (
    "aBzß Ж中ア१5०.!?。։…,;:-—\"'“”’«»()[]「」『』„‚ǅªⅣ①❗‼️🔥〝〟"
    "\u0301\u0345\u064b\u093c\u200d\u200b\u200c\u00ad\u180e\n\r\t\u2028\u2029\x85\x0b"
    "\u3000\u00a0\u202f\u2581\u0f0d\u0f14\u17da\u10fb\u05c3\u055c\u104b\u0df4\u3001\U0001ecb0"
)


def ends_of(*texts: str) -> list[list[int]]:
    ends, offsets = sentence_ends(pa.array(texts, pa.large_string()))
    return [ends[a:b].tolist() for a, b in pairwise(offsets)]


def sentences_of(text: str) -> list[str]:
    """The sentences themselves, of text whose white space is single spaces."""
    data, start, found = text.encode(), 0, []
    for end in ends_of(text)[0]:
        found.append(data[start:end].decode().strip())
        start = end
    return found


def expected(text: str) -> list[int]:
    """ICU's ends under the deviations, in bytes of the normalised text."""
    places, size, spaced = [], 0, False
    for character in text:
        if SPACE.match(character):
            spaced = True
        else:
            size += len(character.encode()) + (spaced and size > 0)
            spaced = False
        places.append(size)
    ends, at = [0], 0
    for sentence in SentenceBreaker(text.translate(AS_ICU), "en"):
        at += len(sentence)
        if at < len(text) and text[at - 1] == "\u200d":
            continue
        if places[at - 1] > ends[-1]:
            ends.append(places[at - 1])
    return ends[1:]


def test_the_samples_have_the_sentences_that_icu_finds(texts):
    for label, documents in texts.items():
        assert ends_of(*documents) == [expected(text) for text in documents], label


@given(st.text(ALPHABET, max_size=30))
@settings(max_examples=2000, deadline=None)
def test_any_text_of_every_class_has_the_sentences_that_icu_finds(text):
    assert ends_of(text) == [expected(text)]


@given(st.lists(st.text(max_size=20), max_size=5))
@settings(deadline=None)
def test_documents_do_not_see_each_other(documents):
    assert ends_of(*documents) == [ends_of(text)[0] for text in documents]


@pytest.mark.slow
def test_the_development_corpora_have_the_sentences_that_icu_finds(data):
    import zstandard

    num = 0
    for path in sorted((data / "corpus" / "jsonl").glob("*.jsonl.zst"))[:40]:
        with zstandard.open(path, "rt", encoding="utf-8") as file:
            for line in list(file)[:40]:
                text = line[:3000]
                assert ends_of(text) == [expected(text)]
                num += 1
    assert num > 100


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("He came. She left.", ["He came.", "She left."]),
        ("At 3.5 p.m. it rained.", ["At 3.5 p.m. it rained."]),
        ("The U.S.A. won (they said.) Then", ["The U.S.A. won (they said.)", "Then"]),
        ("彼は言った。「行こう。」彼女も。", ["彼は言った。", "「行こう。」", "彼女も。"]),
        ("Er ging.„Komm!“ Sie kam.", ["Er ging.", "„Komm!“", "Sie kam."]),
        ("यह है। वह था।", ["यह है।", "वह था।"]),
        ("བོད་ཡིག །དེ་རིང་། ད", ["བོད་ཡིག །", "དེ་རིང་།", "ད"]),
        ("ភាសា៚ខ្មែរ។ល", ["ភាសា៚", "ខ្មែរ។", "ល"]),
        ("Ինչպե՞ս ես։ Լավ։", ["Ինչպե՞ս ես։", "Լավ։"]),
        ("Wait… What?", ["Wait… What?"]),
        ("See f.(B) now", ["See f.", "(B) now"]),
        ("See f.(b) now", ["See f.(b) now"]),
    ],
)
def test_sentences_end_where_readers_of_the_language_end_them(text, found):
    assert sentences_of(text) == found


def test_line_breaks_end_a_sentence_and_white_space_is_one_byte():
    assert ends_of("  One\t\n\n two. \u2581\u3000Three ") == [[3, 8, 14]]
    assert ends_of("", " \n ", "a") == [[], [], [1]]


def test_the_last_end_is_the_length_of_the_normalised_text(texts):
    for documents in texts.values():
        for text, ends in zip(documents, ends_of(*documents), strict=True):
            assert ends[-1] == len(" ".join(text.split()).encode())


@given(st.text(ALPHABET, max_size=30))
@settings(max_examples=1000, deadline=None)
def test_a_sentence_ends_where_a_unit_of_the_vocabulary_ends(text):
    normalised = " ".join(SPACE.sub(" ", text).split())
    borders, at = {0}, 0
    for unit in units_of(normalised):
        at += len(unit.replace("▁", "" if at == 0 else " ").encode())
        borders.add(at)
    assert set(ends_of(normalised)[0]) <= borders


def test_opening_brackets_are_those_of_unicode():
    other = {code for code in range(0x110000) if KINDS[_place(code)] & 15 == 0}
    assert other >= OPENING


@pytest.mark.parametrize("code", [*map(ord, TERMINALS), 0x2581, 0x200D])
def test_a_change_of_one_code_point_changes_no_other(code):
    kinds = np.array([KINDS[_place(other)] for other in range(code & ~127, (code & ~127) + 128)])
    again = np.flatnonzero(kinds == KINDS[_place(code)]) + (code & ~127)
    assert code in again
    places = [other for other in range(0x110000) if _place(other) == _place(code)]
    assert places == [code]


def test_what_is_skipped_in_the_fast_way_ends_nothing():
    kinds = np.array([KINDS[_place(code)] & 15 for code in range(0x10000)])
    assert not set(kinds[IS_PLAIN.astype(bool)].tolist()) & {1, 2, 3, 6, 11, 13}


def test_bytes_that_are_no_utf8_stay_within_bounds():
    data = bytes(range(256)) * 3 + b"\xe0\xa0"
    offsets = pa.py_buffer(np.array([0, 300, len(data)], np.int64))
    text = pa.LargeStringArray.from_buffers(2, offsets, pa.py_buffer(data))
    ends, numbers = sentence_ends(text)
    assert len(ends) == numbers[-1]


def test_a_long_line_of_full_stops_takes_linear_time():
    assert ends_of("." * 1_000_000) == [[1_000_000]]
    assert ends_of(("\u0301" * 1000 + ". ") * 1000)[0][-1] == 1000 * 2001 + 999
