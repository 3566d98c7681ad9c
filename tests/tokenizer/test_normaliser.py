"""The normaliser that a vocabulary carries: SentencePiece rules, tokenizers, Python, one effect."""

import unicodedata
from hashlib import sha256
from itertools import permutations, product

import pyarrow as pa
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import normalizers as hf_normalizers

from pipelines.clean import clean
from pipelines.store import canonical_json
from tokenizer import normaliser

ALL = [chr(c) for c in (*range(1, 0xD800), *range(0xE000, 0x110000))]  # but U+0000
NEWER = set(normaliser.members(normaliser._NEWER)) | {"\U00011938"}
COMPOSED = [
    character
    for character in ALL
    if unicodedata.normalize("NFD", character) != character
    and not NEWER & {character, unicodedata.normalize("NFD", character)[0]}
]
IN_USE = normaliser.members(normaliser._IN_USE)


@pytest.fixture(scope="module")
def spm():
    """koine's rules in SentencePiece, spaces left as they are."""
    sentencepiece.set_min_log_level(2)
    return sentencepiece.SentencePieceNormalizer(
        norm_map=normaliser.rules(),
        add_dummy_prefix=False,
        remove_extra_whitespaces=True,
        escape_whitespaces=False,
    )


@pytest.fixture(scope="module")
def hf():
    """koine's normaliser in tokenizers."""
    loaded = hf_normalizers.Sequence([])
    loaded.__setstate__(canonical_json(normaliser.normalizers()).encode())
    return loaded


def differences(spm, texts):
    wanted = [normaliser.normalise(text) for text in texts]
    return [
        (t, w, f) for t, w, f in zip(texts, wanted, spm.normalize(texts), strict=True) if w != f
    ]


def test_clean_text_stays_as_it_is_but_for_line_breaks(texts, spm, hf):
    documents = [document for of_label in texts.values() for document in of_label]
    cleaned = clean(pa.array(documents, pa.large_string()))[0].to_pylist()
    for document in cleaned:
        wanted = " ".join(document.split("\n")).replace("  ", " ")
        assert normaliser.normalise(document) == wanted
        assert spm.normalize(document) == wanted
        assert hf.normalize_str(document) == wanted


def test_every_character_is_treated_as_by_the_corpus_pipeline():
    # ZERO WIDTH SPACE and tags depend on what is around them, and are left to it.
    chosen = [c for c in ALL if c != "\u200b" and not 0xE0000 <= ord(c) <= 0xE007F]
    lines = pa.array([f"x{c}x" for c in chosen], pa.large_string())
    wanted = [line.replace("\n", " ") for line in clean(lines)[0].to_pylist()]
    assert [normaliser.normalise(f"x{c}x") for c in chosen] == wanted


def test_rules_treat_every_character_like_the_reference(spm):
    assert differences(spm, [f"x{c}x {c} {c}" for c in ALL if c not in NEWER]) == []


def test_tokenizers_treats_every_character_like_the_reference(hf):
    for c in ALL:
        if c not in NEWER:
            text = f"x{c}x {unicodedata.normalize('NFD', c)} x"
            assert hf.normalize_str(text) == normaliser.normalise(text), ascii(c)


def test_rules_compose_every_spelling_of_every_character(spm):
    spellings = set()
    for character in COMPOSED:
        parts = unicodedata.normalize("NFD", character)
        for tail in permutations(parts[1:]):
            whole = parts[0] + "".join(tail)
            for cut in range(1, len(whole) + 1):
                spelling = unicodedata.normalize("NFC", whole[:cut]) + whole[cut:]
                # Marks of one class in another order are another letter.
                if unicodedata.normalize("NFD", spelling) == parts:
                    spellings.add(spelling)
    assert len(spellings) > 30_000
    assert differences(spm, sorted(spellings)) == []


def test_rules_compose_hangul_from_jamo_and_from_syllable_and_final(spm):
    leads, vowels, tails = (
        [chr(a + i) for i in range(n)] for a, n in ((0x1100, 19), (0x1161, 21), (0x11A8, 27))
    )
    syllables = [chr(c) for c in range(0xAC00, 0xD7A4, 28)]
    assert differences(spm, ["".join(p) for p in product(leads, vowels, ["", *tails])]) == []
    assert differences(spm, ["".join(p) for p in product(syllables, tails)]) == []


def test_rules_order_two_marks_on_a_letter_as_nfc_does(spm):
    letters = [c for c in COMPOSED if unicodedata.category(c)[0] == "L" and ord(c) < 0x2000]
    plain = sorted({unicodedata.normalize("NFD", c)[0] for c in letters})
    assert differences(spm, ["".join(p) for p in product(plain, IN_USE, IN_USE)]) == []
    general = normaliser.members(normaliser._GENERAL)
    assert differences(spm, ["".join(p) for p in product([*plain, *letters], general)]) == []


@pytest.mark.parametrize("group", normaliser.MARKS, ids=lambda group: f"U+{ord(group[0]):04X}")
def test_rules_order_pairs_of_marks_of_one_script(spm, group):
    marks = normaliser.members(group)  # "ɸ" composes with none
    assert differences(spm, [f"ɸ{a}{b}x" for a, b in product(marks, repeat=2)]) == []


@pytest.mark.parametrize("group", normaliser._THREE, ids=["Hebrew", "Arabic", "Tibetan"])
def test_rules_order_three_marks_where_they_are_usual(spm, group):
    marks = normaliser.members(group)
    letter = {"\u05b0": "\u05e9", "\u064b": "\u0644", "\u0f39": "\u0f40"}[marks[0]]
    texts = [letter + "".join(three) for three in product(marks, repeat=3)]
    assert differences(spm, texts) == []


def test_rules_compose_hamza_after_two_arabic_marks(spm):
    marks = normaliser.members(normaliser._HARAKAT)
    texts = ["".join(p) for p in product("اوىي", marks, marks, "\u0653\u0654\u0655")]
    assert differences(spm, texts) == []


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("\u0645\u0651\u064e", "\u0645\u064e\u0651"),  # shadda before fatha
        ("\u05e9\u05c1\u05bc\u05b8", "\u05e9\u05b8\u05bc\u05c1"),  # dots before the vowel
        ("\u101c\u103a\u1037", "\u101c\u1037\u103a"),  # asat before the dot below
        ("\u0e01\u0e48\u0e38", "\u0e01\u0e38\u0e48"),  # tone before the vowel
        ("u\u0336\u0303", "\u0169\u0336"),  # a tilde past an overlay
        ("\u1100\u1161\u11a8", "\uac01"),
        ("a\u00a0 \t\u2581b\ufeff\n", "a b"),
    ],
)
def test_what_people_type_becomes_what_the_corpus_holds(spm, hf, typed, stored):
    assert spm.normalize(typed) == stored
    assert hf.normalize_str(typed) == stored


def test_decomposed_samples_become_the_samples(texts, spm, hf):
    lines = [line for documents in texts.values() for d in documents for line in d.split("\n")]
    lines = [normaliser.normalise(line) for line in lines]
    decomposed = [unicodedata.normalize("NFD", line) for line in lines]
    assert sum(a != b for a, b in zip(lines, decomposed, strict=True)) > 200
    assert spm.normalize(decomposed) == lines
    assert [hf.normalize_str(line) for line in decomposed] == lines


@given(
    st.text(
        st.one_of(
            st.sampled_from("aeouǃאשلاकবกक가"),
            st.sampled_from("\u0301\u0304\u05b0\u064e\u093c\u0e48"),
            st.sampled_from(normaliser.members(normaliser.SPACES)),
            st.sampled_from(normaliser.members(normaliser.REMOVED)),
            st.characters(codec="utf-8", exclude_categories=["Mn", "Mc", "Cn"], min_codepoint=1),
        )
    )
)
@settings(max_examples=500, deadline=None)
def test_raw_text_comes_out_the_same_everywhere(spm, hf, text):
    wanted = normaliser.normalise(text)
    # Several marks on a letter, of several scripts, are more than the rules know.
    if differences(spm, [text]):
        runs = "".join(
            "m" if unicodedata.combining(c) else "x" for c in unicodedata.normalize("NFD", text)
        )
        assert "mm" in runs
    assert hf.normalize_str(text).strip(" ") == wanted


def test_rules_are_the_same_on_every_python():
    # Change this knowingly: models made before and after have different hashes.
    text = "".join(f"{a}\t{b}\n" for a, b in normaliser.rules())
    assert sha256(text.encode()).hexdigest() == (
        "65e18420c24c2297289f0a64dbe30f2021c17b7fe4ac2896d0a8fdb1283c8881"
    )


def test_the_longest_match_wins_as_in_sentencepiece(spm):
    table = dict(normaliser.rules())
    for text in (
        "e\u0302\u0323",
        "\u1100\u1161\u11a8\u11a8",
        "a\u0301b",
        "\u03b1\u0313\u0301\u0345",
    ):
        assert normaliser.apply(table, text) == spm.normalize(text)
