"""The units of text: the kernel against plain Python, and what each orthography asks for."""

import unicodedata

import pytest
import regex
from hypothesis import example, given
from hypothesis import strategies as st
from icu4py.breakers import SentenceBreaker
from script_texts import SCRIPTS, alphabet, documents

from pipelines import unicode
from tokenizer.segments import MAX_CODE_POINTS, SPACE_SIGN, units_of

SAME_REGEX = pytest.mark.skipif(
    f"regex {regex.__version__}" != unicode.SOURCE, reason="the tables are of another version"
)
TSHEG = "\u0f0b\u0f0c"
SIGNS_IN_WORDS = "'\u2018\u2019\uff07\u00b7\u2027\u05f3\u05f4"
ZWNJ, ZWJ, ZWSP = "\u200c", "\u200d", "\u200b"

# What the rules speak of beside the letters of `script_texts`.
SPECIAL = [
    *SIGNS_IN_WORDS,
    *(TSHEG[0], "\u02bb", "\u02bc", "\u0640", "\u30fc", "\u3006", "\uff9e", "\u00b5", "\u2139"),
    *(ZWNJ, ZWJ, ZWSP, "\ufe0f", "\u0301", "\u070f", "\u0600", "\u2065", "\u115f", "\u17b4"),
    *("👍", "🏽", "👩", "🇫", "🇷", "‼", "❤", "\U000e0067", "\u20e3", "©"),
    *("!", "!!", "。", "「", "」", ".", ")", "\u0f0d", "-", "_", "½", "²", "٣", "7", "\ufffd"),
    *("a", "б", "א", "か", "カ", "漢", "ㄅ", "한", "བ", "ක", "\u2581", " ", "\u3000"),
]


@st.composite
def mixtures(draw):
    """Draw a text of pieces of documents with what the rules speak of between them."""
    word = st.sampled_from(SCRIPTS).flatmap(
        lambda script: st.text(st.sampled_from(alphabet(script)), min_size=1, max_size=3)
    )
    pieces = st.one_of(st.sampled_from(SPECIAL), st.sampled_from(SPECIAL), word)
    return "".join(draw(st.lists(pieces, max_size=25)))


def kind_of(base):
    if regex.fullmatch(rf"[\p{{L}}\p{{Nl}}{TSHEG}]", base):
        return "letters"
    if regex.fullmatch(r"[\p{Nd}\p{No}]", base):
        return "number"
    if regex.fullmatch(r"\p{Extended_Pictographic}", base) and not is_terminal(base):
        return "picture"
    return "flag" if regex.fullmatch(r"\p{GCB=RI}", base) else "other"


def is_terminal(base):
    return base in "\u203c\u2047\u2048\u2049" or base in ".!?。"


def script_of(base):
    """The script of a letter, None for those that join any other."""
    if regex.fullmatch(r"[\p{sc=Hani}\p{sc=Hira}\p{sc=Kana}\p{sc=Bopo}]", base):
        return "East Asia"
    if regex.fullmatch(r"[\p{sc=Zyyy}\p{sc=Zinh}\p{sc=Zzzz}]", base):
        return None
    return unicode.SCRIPTS[(unicode.flags(ord(base)) >> 32) & 255]


def plain_units(text):
    """The rules once more: atoms (a code point and what clings to it), put together."""
    units = []
    for chunk in regex.findall(r"[^\p{White_Space}▁]+", text):
        found = []
        for atom in regex.findall(r".?[\p{SB=EX}\p{SB=FO}]*", chunk, regex.S):
            if atom and not joins(found, atom):
                found.append([atom])
            elif atom:
                found[-1].append(atom)
        found = split_signs(found)
        whole = ["".join(atoms) for atoms in found]
        units += [SPACE_SIGN + whole[0], *whole[1:]]
    return [part for unit in units for part in cut(unit)]


def joins(found, atom):
    """Tell whether an atom belongs to the unit before it; a sign does until the letter is seen."""
    if not found or ZWSP in found[-1][-1]:
        return False
    before, base = found[-1], atom[0]
    kind, text = kind_of(before[0][0]), "".join(before)
    if clings(before[0][0]):
        return False
    if kind == "letters" and not clings(base):
        after_sign = before[-1] in SIGNS_IN_WORDS
        if kind_of(base) == "letters":
            scripts = {script_of(a[0]) for a in [*before, atom] if kind_of(a[0]) == "letters"}
            fits = len(scripts - {None}) <= 1
            return fits and not (after_sign and base in TSHEG)
        return atom in SIGNS_IN_WORDS and not after_sign
    if kind == "picture":
        modifies = regex.fullmatch(r"\p{GCB=EX}", base) is not None
        return modifies or (text.endswith(ZWJ) and kind_of(base) == "picture")
    if kind == "flag":
        return len(text) == 1 and kind_of(base) == "flag"
    return kind == "other" and text == base * len(text)


def clings(base):
    return regex.fullmatch(r"[\p{SB=EX}\p{SB=FO}]", base) is not None


def split_signs(found):
    """Take a sign at the end of a word off it: no letter came. Equal signs are one unit."""
    done = []
    for atoms in found:
        if len(atoms) > 1 and kind_of(atoms[0][0]) == "letters" and atoms[-1] in SIGNS_IN_WORDS:
            done += [atoms[:-1], atoms[-1:]]
        elif done and "".join(done[-1]) == atoms[0][0] * len(done[-1]) and joins(done, atoms[0]):
            done[-1] += atoms
        else:
            done.append(atoms)
    return done


def cut(unit):
    """Cut a long unit at the borders of clusters."""
    prefix, text = (SPACE_SIGN, unit[1:]) if unit.startswith(SPACE_SIGN) else ("", unit)
    parts = [""]
    for cluster in regex.findall(r"\X", text):
        if len(parts[-1]) >= MAX_CODE_POINTS:
            parts.append("")
        parts[-1] += cluster
    return [prefix + parts[0], *parts[1:]]


@SAME_REGEX
@given(st.one_of(mixtures(), documents()))
@example("a'" * 3 + "''b")
@example("a''")
@example("‼\u200d👍🏽\u200d👍")
def test_the_kernel_agrees_with_plain_python(text):
    assert units_of(text) == plain_units(text)


@given(st.one_of(mixtures(), documents(), st.text()))
def test_the_units_give_back_the_text(text):
    words = regex.split(r"[\p{White_Space}▁]+", text)
    assert "".join(units_of(text)) == "".join(SPACE_SIGN + word for word in words if word)


@given(st.lists(documents(max_words=8), max_size=4))
def test_the_units_of_a_line_depend_on_that_line_alone(lines):
    lines = [line.replace("\n", " ") for line in lines]
    assert units_of("\n".join(lines)) == [unit for line in lines for unit in units_of(line)]


@given(st.one_of(mixtures(), documents()))
@example("!\u0301a")
@example("‼\u200d👍")
@example("ab.cd!「「")
def test_where_a_sentence_can_end_without_a_space_a_unit_ends(text):
    for chunk in text.split():
        chunk = "".join(c for c in chunk if unicodedata.category(c) != "Cn")  # ICU's may be older
        borders, at = {0}, 0
        for unit in units_of(chunk):
            at += len(unit.removeprefix(SPACE_SIGN).encode("utf-16-le")) // 2  # as ICU counts
            borders.add(at)
        if SPACE_SIGN not in chunk:
            ends = {end for _, end in SentenceBreaker(chunk, "en").segments()}
            assert ends <= borders


APOSTROPHES = {
    "Uzbek": ("oʻzbek gʻoza toʻgʻri", ["oʻzbek", "gʻoza", "toʻgʻri"]),
    "Uzbek, as typed": ("o'zbek o‘zbek o’zbek", ["o'zbek", "o‘zbek", "o’zbek"]),
    "Hausa": ("ʼyanci ʼyar'uwa", ["ʼyanci", "ʼyar'uwa"]),
    "Ukrainian": ("п'ять п’ять обʼєкт", ["п'ять", "п’ять", "обʼєкт"]),
    "French": ("l'été aujourd’hui", ["l'été", "aujourd’hui"]),
    "Hawaiian": ("ʻōlelo Hawaiʻi", ["ʻōlelo", "Hawaiʻi"]),
    "Catalan": ("col·lecció intel‧ligent", ["col·lecció", "intel‧ligent"]),
    "Hebrew": ("צה״ל ג׳ירפה", ["צה״ל", "ג׳ירפה"]),
    "Breton": ("c'hoar", ["c'hoar"]),
}


@pytest.mark.parametrize("name", APOSTROPHES)
def test_an_apostrophe_between_letters_does_not_break_the_word(name):
    text, words = APOSTROPHES[name]
    assert units_of(text) == [SPACE_SIGN + word for word in words]


def test_a_quotation_mark_is_no_apostrophe():
    assert units_of("'tis the dogs' 'end'") == [
        *("▁'", "tis", "▁the", "▁dogs", "'", "▁'", "end", "'"),
    ]
    assert units_of("a''b") == ["▁a", "''", "b"]
    assert units_of("l'1") == ["▁l", "'", "1"]


def test_a_hyphen_parts_words():
    assert units_of("Rio-Paris") == ["▁Rio", "-", "Paris"]
    assert units_of("בית־ספר") == ["▁בית", "־", "ספר"]


def test_a_tibetan_syllable_keeps_its_tsheg_and_a_clause_ends_at_the_shad():
    assert units_of("བོད་ཡིག་ནི།་ང་།།") == ["▁བོད་ཡིག་ནི", "།", "་ང་", "།།"]


def test_persian_and_indic_words_keep_their_joiners():
    assert units_of("می\u200cخواهم") == ["▁می\u200cخواهم"]
    assert units_of("ක්\u200dෂ නමෝ") == ["▁ක්\u200dෂ", "▁නමෝ"]


def test_japanese_mixes_its_scripts_and_chinese_stops_at_punctuation():
    assert units_of("東京タワーへ行く。はい") == ["▁東京タワーへ行く", "。", "はい"]
    assert units_of("他說：「「你好」」") == ["▁他說", "：", "「「", "你好", "」」"]


def test_a_word_is_in_one_script():
    assert units_of("iPhoneで見たNYЦБ") == ["▁iPhone", "で見た", "NY", "ЦБ"]


def test_zero_width_space_ends_a_unit_and_belongs_to_it():
    assert units_of("ខ្ញុំ\u200bចង់\u200b") == ["▁ខ្ញុំ\u200b", "ចង់\u200b"]


DIGITS = "".join(chr(c) for c in range(0x20000) if unicodedata.category(chr(c)) == "Nd")


def test_each_digit_of_every_script_is_a_unit():
    assert units_of(DIGITS) == [SPACE_SIGN + DIGITS[0], *DIGITS[1:]]
    assert units_of("x²½y") == ["▁x", "²", "½", "y"]


def test_an_emoji_is_one_unit():
    family, thumb, heart, wales = "👩‍👩‍👧‍👦", "👍🏽", "❤️‍🔥", "🏴\U000e0067\U000e0062\U000e007f"
    assert units_of(family + thumb + heart + wales + "👍👍") == [
        *(SPACE_SIGN + family, thumb, heart, wales, "👍", "👍"),
    ]
    assert units_of("🇫🇷🇩🇪🇮") == ["▁🇫🇷", "🇩🇪", "🇮"]
    assert units_of("1️⃣2") == ["▁1️⃣", "2"]


def test_the_same_sign_again_and_again_is_one_unit():
    assert units_of("--- !!!?? ...") == ["▁---", "▁!!!", "??", "▁..."]


@pytest.mark.parametrize("cluster", ["字", "ក្ក", "e\u0323\u0302", "x"])
def test_a_long_run_is_cut_at_the_borders_of_clusters(cluster):
    text = cluster * 2000
    units = units_of(text)
    assert "".join(units) == SPACE_SIGN + text
    size = -(-MAX_CODE_POINTS // len(cluster)) * len(cluster)
    assert [len(unit.removeprefix(SPACE_SIGN)) for unit in units[:-1]] == [size] * (len(units) - 1)


def test_what_never_comes_to_a_border_is_cut_all_the_same():
    units = units_of("a" + "\u0301" * 5000 + "b")
    assert [len(unit) for unit in units[:2]] == [2 * MAX_CODE_POINTS + 1, 2 * MAX_CODE_POINTS]
    assert "".join(units) == "▁a" + "\u0301" * 5000 + "b"


def test_no_text_has_no_units():
    assert units_of("") == units_of(" \n\n\t ") == units_of("▁") == []
