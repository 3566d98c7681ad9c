from __future__ import annotations

import unicodedata

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.clean import MAX_MARKS, clean

ZWNJ, ZWJ, ZWSP = "\N{ZERO WIDTH NON-JOINER}", "\N{ZERO WIDTH JOINER}", "\N{ZERO WIDTH SPACE}"


def one(text: str) -> str:
    return clean(pa.array([text], pa.large_string()))[0][0].as_py()


def repairs(text: str) -> tuple[bool, int, int]:
    found = clean(pa.array([text], pa.large_string()))[1]
    return tuple(column[0].as_py() for column in found)


@pytest.mark.parametrize(
    "line_break", ["\n", "\r", "\r\n", "\x0b", "\x0c", "\x85", "\u2028", "\u2029"]
)
def test_every_line_break_becomes_a_line_feed(line_break: str) -> None:
    assert one(f"a{line_break}b") == "a\nb"


def test_paragraph_borders_stay_and_wider_gaps_shrink_to_them() -> None:
    assert one("\n\na\nb\n\nc\n \n\t\n\nd\n\n") == "a\nb\n\nc\n\nd"


@pytest.mark.parametrize(
    "space", [" ", "\t", "\xa0", "\u202f", "\u3000", "\u2009", "\u2581", " \t\u3000"]
)
def test_white_space_of_any_kind_becomes_one_space(space: str) -> None:
    assert one(f"{space}a{space}b{space}\n{space}c") == "a b\nc"


@pytest.mark.parametrize(
    "text",
    [
        f"\u0645\u06cc{ZWNJ}\u062e\u0648\u0627\u0647\u0645",  # Persian
        f"\u0915\u094d{ZWJ}\u0937",  # Hindi
        "\U0001f468\u200d\U0001f469\u200d\U0001f467",  # family
        "\u2764\ufe0f",  # heart with a variation selector
        "\U0001f3f4" + "".join(chr(0xE0000 + ord(c)) for c in "gbeng") + "\U000e007f",  # England
        f"\u1780\u17b6{ZWSP}\u1781\u17d2\u1789\u17bb\u17c6",  # Khmer word boundary
        "\u201cquotes\u201d \ufb01 \uff21 \u00bd \ufffd",
        "\u1820\u180e\u1820",  # Mongolian vowel separator
    ],
)
def test_meaningful_invisible_characters_and_forms_are_kept(text: str) -> None:
    assert one(text) == text
    assert repairs(text) == (False, 0, 0)


@pytest.mark.parametrize(
    "junk",
    ["\0", "\x1b", "\x7f", "\x90", "\ufeff", "\xad", "\u202e", "\u2066", "\u200e", "\u061c",
     "\ufff9", "\ufffc", "\ufdd0", "\uffff", "\U0010ffff", "\u2060", ZWSP, "\U000e0041"],
)  # fmt: skip
def test_invisible_junk_is_removed_and_counted(junk: str) -> None:
    assert one(f"a{junk}b{junk}{junk}") == "ab"
    assert repairs(f"a{junk}b{junk}{junk}") == (False, 3, 0)


def test_long_runs_of_marks_are_cut_before_and_after_composition() -> None:
    assert one("e" + "\u0301" * 100) == "\xe9" + "\u0301" * (MAX_MARKS - 1)
    assert repairs("e" + "\u0301" * 100) == (False, 0, 70)
    assert len(one("e" + "\u0344" * 30)) == 1 + MAX_MARKS  # each is two marks in NFC
    tibetan = "\u0f66\u0f90\u0fb1\u0f7a\u0f0b"
    assert one(tibetan) == tibetan


@pytest.mark.parametrize(
    ("broken", "whole"),
    [
        ("cafÃ© et thÃ©", "café et thé"),
        ("donâ€™t", "don\N{RIGHT SINGLE QUOTATION MARK}t"),
        ("РџСЂРёРІРµС‚ РјРёСЂ", "Привет мир"),
        ("à¤¹à¤¿à¤¨à¥\x8dà¤¦à¥€", "हिन्दी"),
    ],
)
def test_mojibake_is_repaired(broken: str, whole: str) -> None:
    assert one(f"ok\n{broken}\nok") == f"ok\n{whole}\nok"
    assert repairs(broken)[0]


@pytest.mark.parametrize(
    "text",
    ["Ça coûte 5 € à l’école « Étoile »", "Сёмга и Рёв", "ΈΝΑΣ ΆΝΘΡΩΠΟΣ", "ĂÎȘȚÂ ăîșțâ",
     "한국어 텍스트", "Đặng Thị Mỹ Dung", "naïve – “quoted” … text"],
)  # fmt: skip
def test_text_that_is_right_is_not_taken_for_mojibake(text: str) -> None:
    assert one(text) == unicodedata.normalize("NFC", text)
    assert not repairs(text)[0]


def test_documents_keep_their_places_and_slices_their_limits() -> None:
    text = pa.array(["skipped", "a\u0301", "", "cafÃ©", "plain", " "], pa.large_string()).slice(1)
    cleaned, found = clean(text)
    assert cleaned.to_pylist() == ["\xe1", "", "café", "plain", ""]
    assert found.mojibake.to_pylist() == [False, False, True, False, False]
    assert clean(pa.array([], pa.large_string()))[0].to_pylist() == []


# Characters that interact, as often as any other.
DELICATE = (
    "Ã©â€™\xadÐ\x81РѓС‚Â\xa0\u200b\u200c\u200d\u0344\u0301\u0323\u1780\u0e01\u0e48\u0e38"
    "\n\r \t\u2581\ufeff\U0001f3f4\U000e0067\u0958\u09c7\u09be\u1100\u1161\u11a8\x85\u2028\u212b"
)
TEXT = st.text(st.one_of(st.characters(exclude_categories=["Cs"]), st.sampled_from(DELICATE)))


@settings(deadline=None, max_examples=400)
@given(st.lists(TEXT, max_size=4))
@example(["\xa0Â¡"])  # mojibake that appears when the space before it has gone
def test_cleaning_twice_changes_nothing_more(documents: list[str]) -> None:
    once, _ = clean(pa.array(documents, pa.large_string()))
    twice, found = clean(once)
    assert twice.to_pylist() == once.to_pylist()
    assert not any(
        found.mojibake.to_pylist() + found.controls.to_pylist() + found.marks.to_pylist()
    )
    for document in once.to_pylist():
        assert unicodedata.is_normalized("NFC", document)
        assert not {"\r", "\t", "\xa0", "\0"} & set(document)
        assert "\n\n\n" not in document
        assert "  " not in document
