"""Running text is cut into words that a tagger can tag, in every script, with places that hold."""

import pytest
import regex
from hypothesis import given, settings
from hypothesis import strategies as st
from script_texts import documents
from served_models import write_model

from pretrain.models import open_model
from pretrain.serve.words import entities, words_of
from pretrain.tasks.offsets import bytes_of

CASES = {
    "Kenya's first. Don't stop-now!": [
        "Kenya", "'s", "first", ".", "Don't", "stop", "-", "now", "!",
    ],
    "Wait... 3.14 € at 10:30 ok!?": [
        "Wait", "...", "3.14", "€", "at", "10", ":", "30", "ok", "!", "?",
    ],
    "می\u200cخواهم به کتاب\u200cخانه بروم.": ["می\u200cخواهم", "به", "کتاب\u200cخانه", "بروم", "."],
    "المدينة، بيروت؟": ["المدينة", "،", "بيروت", "؟"],
    "नमस्ते दुनिया।": ["नमस्ते", "दुनिया", "।"],
    "👨\u200d👩\u200d👧 hi cafe\u0301": ["👨\u200d👩\u200d👧", "hi", "cafe\u0301"],
    "  a\r\n\tb \u200b ": ["a", "b"],
    "": [],
    "\u200b \u00ad": [],
}  # fmt: skip


@pytest.fixture(scope="module")
def cut(tmp_path_factory):
    folder = write_model(tmp_path_factory.mktemp("model"), "bert", "tag", manifest=False)
    tokenizer = open_model(folder).tokenizer
    byte_of = bytes_of(tokenizer)
    return lambda text: words_of(text, tokenizer, byte_of=byte_of)


@pytest.mark.parametrize("text", CASES, ids=range(len(CASES)))
def test_words_are_those_that_unicode_sees(cut, text):
    assert [text[begin:end] for begin, end in cut(text)] == CASES[text]


def test_text_without_spaces_is_cut_where_the_pieces_of_running_text_begin(cut, texts):
    for label in ("zho_Hans", "tha_Thai"):
        text = texts[label][0].split("\n")[0]
        words = [text[begin:end] for begin, end in cut(text)]
        longest = max(len(regex.findall(r"\X", word)) for word in words)
        assert longest > 1 and len(words) > len(text) / 10, (label, words[:20])


def test_what_the_tokenizer_does_not_know_is_cut_into_letters(cut):
    text = "我𠮷𠮷𠮷们"
    assert [text[begin:end] for begin, end in cut(text)] == list(text)


@settings(max_examples=150, deadline=None)
@given(st.one_of(documents(), st.text(max_size=40)))
def test_words_hold_all_that_is_visible_once_and_split_no_letter(cut, text):
    found = cut(text)
    clusters = {one.start() for one in regex.finditer(r"\X", text)} | {len(text)}
    before = 0
    for begin, end in found:
        assert before <= begin < end <= len(text)
        between, word = text[before:begin], text[begin:end]
        assert not regex.search(r"[\p{L}\p{M}\p{N}\p{P}\p{S}]", between)
        assert word == word.strip()
        on_space = begin > 0 and text[begin - 1].isspace()  # a mark that stands on a space
        assert end in clusters and (begin in clusters or on_space)
        before = end
    assert not regex.search(r"[\p{L}\p{N}\p{P}\p{S}]", text[before:])


def found(text, tagged):
    """Return the entities of words that are named with their tags, in the order of the text."""
    spans, at = [], 0
    for word, _ in tagged:
        begin = text.index(word, at)
        at = begin + len(word)
        spans.append((begin, at))
    tags = [tag for _, tag in tagged]
    return [
        (one["type"], one["text"], one["start"], one["end"])
        for one in entities(text, spans, tags, [0.5] * len(tags))
    ]


def test_entities_are_read_as_conlleval_reads_them():
    text = "Wangari Maathai in New York"
    tags = ["B-PER", "I-PER", "O", "I-LOC", "I-LOC"]
    assert found(text, list(zip(text.split(), tags, strict=True))) == [
        ("PER", "Wangari Maathai", 0, 15),
        ("LOC", "New York", 19, 27),
    ]
    text = "Ana Ben Leo Paris"
    tags = ["B-PER", "B-PER", "I-LOC", "I-PER"]
    assert found(text, list(zip(text.split(), tags, strict=True))) == [
        ("PER", "Ana", 0, 3),
        ("PER", "Ben", 4, 7),
        ("LOC", "Leo", 8, 11),
        ("PER", "Paris", 12, 17),
    ]


def test_parts_of_a_name_that_touch_are_one_where_words_have_no_spaces():
    assert found("北京大学在", [("北京", "B-ORG"), ("大学", "B-ORG"), ("在", "O")]) == [
        ("ORG", "北京大学", 0, 4)
    ]
    assert found("Ana-Leo", [("Ana", "B-PER"), ("-", "O"), ("Leo", "B-PER")]) == [
        ("PER", "Ana", 0, 3),
        ("PER", "Leo", 4, 7),
    ]


def test_places_are_code_points():
    assert found("😀 مريم في 𐎠", [("مريم", "B-PER"), ("𐎠", "B-LOC")]) == [
        ("PER", "مريم", 2, 6),
        ("LOC", "𐎠", 10, 11),
    ]


def test_the_score_of_an_entity_is_the_mean_of_its_words():
    (one,) = entities("a b", [(0, 1), (2, 3)], ["B-X", "I-X"], [0.5, 1.0])
    assert one["score"] == 0.75
