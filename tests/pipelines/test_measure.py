"""Statistics of documents, in every script."""

import numpy as np
import plain_reference
import pyarrow as pa
import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st
from script_texts import documents

from pipelines import repetition, unicode, walk
from pipelines.measure import dominant_scripts, measure
from pipelines.records import STATS
from pipelines.signatures import minhash

SAME_REGEX = pytest.mark.skipif(
    f"regex {regex.__version__}" != unicode.SOURCE, reason="the tables are of another version"
)


def large(*texts):
    return pa.array(texts, pa.large_string())


def row(text):
    return measure(large(text)).stats[0].as_py()


@SAME_REGEX
@given(documents())
def test_every_statistic_agrees_with_plain_python(text):
    found, expected = row(text), plain_reference.measure(text)
    wrong = {
        name: (value, expected[name])
        for name, value in found.items()
        if value != expected[name]
        and (value is None or expected[name] != pytest.approx(value, rel=1e-5, abs=1e-6))
    }
    assert wrong == {}
    assert list(found) == list(expected)


@SAME_REGEX
@given(st.lists(documents(max_words=12), min_size=1, max_size=4))
def test_letters_of_each_script_agree_with_plain_python(texts):
    counts = measure(large(*texts)).letters_by_script
    for text, letters in zip(texts, counts, strict=True):
        found = {unicode.SCRIPTS[at]: letters[at] for at in np.flatnonzero(letters)}
        assert found == plain_reference.script_letters(text)


@given(st.lists(documents(max_words=15), min_size=1, max_size=6), st.data())
def test_a_document_is_measured_alike_alone_in_company_and_in_a_slice(texts, data):
    start = data.draw(st.integers(0, len(texts) - 1))
    together = measure(large(*texts)).stats.to_pylist()
    assert measure(large(*texts).slice(start)).stats.to_pylist() == together[start:]
    assert measure(large(*reversed(texts))).stats.to_pylist() == together[::-1]
    assert row(texts[start]) == together[start]


@given(documents())
def test_every_share_lies_between_nothing_and_all(text):
    for name, value in row(text).items():
        if name.endswith("_share") and value is not None:
            assert 0 <= value <= 1, name


def test_the_result_has_the_type_of_the_contract():
    for text in (large(), large(""), large("a", "ก")):
        measured = measure(text)
        assert measured.stats.type == STATS
        assert len(measured.stats) == len(text)
        assert measured.letters_by_script.shape == (len(text), unicode.NUM_SCRIPTS)


@pytest.mark.parametrize("text", ["", " ", "\n\n", "\u00a0\t \u3000", "\u200b\ufeff"])
def test_text_without_anything_visible_counts_nothing(text):
    found = row(text)
    nothing = {"script", "script_share", "mean_word_graphemes", "letter_word_share"}
    for name in (*nothing, "terminal_line_share"):
        assert found[name] is None
    assert found["num_words"] == found["num_lines"] == found["content_chars"] == 0
    assert found["letter_share"] == found["short_line_share"] == 0


@pytest.mark.parametrize(
    ("text", "script", "words", "longest"),
    [
        ("हिन्दी भाषा में लिखा गया छोटा वाक्य।", "Deva", 7, 2),
        ("ఈ వాక్యం తెలుగులో ఉంది.", "Telu", 4, 4),
        ("این متن را می\u200cخوانم.", "Arab", 4, 7),
        ("Er sagte's uns: l\u2019été, col·lecció, well-known 3.14", "Latn", 8, 10),
        ("ሰላም ለሁሉም ይሁን።", "Ethi", 3, 4),
        ("Он ушёл — и всё.", "Cyrl", 4, 4),
        ("나는 책을 읽었다.", "Hang", 3, 3),
        ("אנחנו קוראים ספר־לימוד בע״מ", "Hebr", 4, 9),
    ],
)
def test_words_of_scripts_with_spaces(text, script, words, longest):
    found = row(text)
    assert (found["script"], found["num_words"]) == (script, words)
    assert found["max_word_graphemes"] == longest


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("วันนี้อากาศดีมาก", "Thai"),
        ("我们今天去看书。", "Hani"),
        ("これはみじかいぶんです。", "Hira"),
        ("ယနေ့ရာသီဥတုကောင်းသည်။", "Mymr"),
        ("ང་དེབ་ཀློག་གི་ཡོད།", "Tibt"),
        ("ថ្ងៃនេះអាកាសធាតុល្អ។", "Khmr"),
        ("ມື້ນີ້ອາກາດດີ", "Laoo"),
    ],
)
def test_word_statistics_are_null_where_words_have_no_spaces(text, script):
    found = row(text)
    assert found["script"] == script
    for name in ("num_words", "mean_word_graphemes", "max_word_graphemes", "letter_word_share"):
        assert found[name] is None
    assert found["letter_share"] > 0.5
    assert found["num_graphemes"] > 5


@pytest.mark.parametrize(
    "line",
    [
        "A sentence.", "“A sentence.”", "(Really?)", "ابھی پڑھو۔", "क्या यह ठीक है?", "यह ठीक है।",
        "ང་འགྲོ་གི་ཡིན།", "ሰላም።", "Բարև։", "我们去看书。」", "ထမင်းစားသည်။", "ញ៉ាំបាយ។", "And so on…",
        "Et alors\u00a0? »", "Τι κάνεις;", "שלום׃",
    ],
)  # fmt: skip
def test_sentence_ends_of_every_script_are_terminal(line):
    assert row(line)["terminal_line_share"] == 1


@pytest.mark.parametrize("line", ["A heading", "Ingredients:", "so; then;", "one, two,", "नमस्ते"])
def test_other_line_ends_are_not_terminal(line):
    assert row(line)["terminal_line_share"] == 0


@pytest.mark.parametrize("line", ["วันนี้อากาศดี.", "ມື້ນີ້ອາກາດດີ"])
def test_terminals_do_not_apply_where_the_script_has_none(line):
    assert row(line)["terminal_line_share"] is None


def test_short_lines_are_short_in_content_not_in_characters():
    latin, chinese = "a line of English of 29 chars", "一二三四五六七八九十"
    assert row(latin)["short_line_share"] == 1
    assert row(latin + "!")["short_line_share"] == 0
    assert row(chinese)["short_line_share"] == 0
    assert row(chinese[:7])["short_line_share"] == 1


def test_padding_adds_no_content():
    assert row("  two \t\t words \n\n\n")["content_chars"] == row("two words")["content_chars"] == 9


def test_all_scripts_digits_are_digits():
    assert (
        row("१२३४५")["digit_share"] == row("٣٤٥")["digit_share"] == row("345")["digit_share"] == 1
    )


def test_the_first_of_equal_lines_and_paragraphs_is_no_duplicate():
    found = row("one two\nthree\n one two \n\nfour\n\nfour\n\nfour\n")
    assert found["num_lines"] == 6
    assert found["duplicate_line_share"] == pytest.approx(3 / 6)
    assert found["duplicate_paragraph_share"] == pytest.approx(2 / 4)
    assert found["duplicate_line_char_share"] == pytest.approx((7 + 4 + 4) / (7 + 5 + 7 + 12))


def test_an_ngram_that_occurs_once_is_no_top_ngram():
    assert row("all of these words are different here")["top_2gram_share"] == 0


def test_overlapping_ngrams_are_counted_once():
    found = row("ha " * 9)
    assert found["top_2gram_share"] == pytest.approx(8 / 9)
    assert found["top_4gram_share"] == pytest.approx(8 / 9)
    # The first five are new at places 0 and nothing else: from place 1 on they came before.
    assert found["duplicate_5gram_share"] == pytest.approx(5 / 9)


def test_equal_runs_of_letters_in_other_words_are_no_repetition():
    assert row("ab c d e f a bc d e f")["duplicate_5gram_share"] == 0


def test_repetition_in_thai_is_measured_in_clusters():
    assert row("กินข้าวแล้วไปนอน" * 10)["duplicate_5gram_share"] > 0.5
    assert row("กินข้าวแล้วไปนอน")["duplicate_5gram_share"] == 0


def test_a_long_document_is_judged_by_its_first_million_tokens():
    words = " ".join(f"{number:x}" for number in range(repetition.MAX_UNITS))
    once = measure(large(words + " extra" * 100)).stats[0].as_py()
    assert once["num_words"] == repetition.MAX_UNITS + 100
    assert once["top_2gram_share"] == 0
    assert once["duplicate_10gram_share"] == 0


def test_a_very_long_document_of_one_letter_words_fits_the_scratch_memory():
    found = measure(large("a\n" * 2_000_000, "b")).stats.to_pylist()
    assert found[0]["num_lines"] == found[0]["num_words"] == 2_000_000
    assert found[1]["num_words"] == 1


@given(st.lists(st.binary(max_size=30), min_size=1, max_size=4))
def test_malformed_text_is_measured_without_harm(raw):
    offsets = np.cumsum([0, *map(len, raw)])
    buffers = [pa.py_buffer(offsets.astype(np.int64)), pa.py_buffer(b"".join(raw))]
    text = pa.LargeStringArray.from_buffers(len(raw), *buffers)
    assert len(measure(text).stats) == len(minhash(text)) == len(raw)


def test_max_units_covers_the_densest_documents():
    for text in ("a", "a b", "a\nb", "กข", "漢字", "é è", "กaกaกa", "aˊaˊaˊ"):
        assert len(plain_reference.tokens(text)) <= walk.max_units(len(text.encode()))


def test_the_dominant_script_of_a_tie_is_the_lower_number():
    letters = np.zeros((2, unicode.NUM_SCRIPTS), np.uint32)
    letters[0, [unicode.SCRIPT_NUMBERS["Latn"], unicode.SCRIPT_NUMBERS["Cyrl"]]] = 5
    letters[1, unicode.COMMON] = 9
    assert dominant_scripts(letters).tolist() == [unicode.SCRIPT_NUMBERS["Cyrl"], unicode.COMMON]
