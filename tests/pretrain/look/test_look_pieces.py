"""Pieces: where they stand in the text, and how they can be read in every script."""

import unicodedata
from collections import Counter

import pytest
import tokenizers
from token_vocabulary import write_byte_level, write_vocabulary

from conftest import sample_texts
from pretrain.look.pieces import (
    ELLIPSIS,
    JOINER,
    Piece,
    is_right_to_left,
    pieces_of,
    stretches,
)
from pretrain.look.vocabulary import Vocabulary

HARD = [
    "وَالكِتابُ على الطاولة ۔",
    "हिन्दी में क्षेत्र",
    "我喜欢看书。",
    "ภาษาไทยง่าย ๆ",
    "می‌روم خانه",
    "བོད་ཡིག",
    "குழந்தைகள்",
    "\u1e9f q\u0304 😀👨‍👩‍👧 x",
    "e\u0301te\u0301 \u200f a\u00adb  c\r\nd\te",
    "한국어 조선말",
    "The word كتاب means [MASK] in العربية.",
]


@pytest.fixture(scope="module", params=["unigram", "byte-level"])
def tokenizer(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("vocab")
    if request.param == "unigram":
        write_vocabulary(folder)
    else:
        words = [
            word for texts in sample_texts().values() for text in texts for word in text.split()
        ]
        write_byte_level(folder, dict(Counter(words)))
    return tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))


def read(tokenizer: tokenizers.Tokenizer, text: str, pair: str | None = None) -> list[Piece]:
    special = {tokenizer.token_to_id(f"[{name}]") for name in ("PAD", "CLS", "SEP", "MASK")}
    sources = (text,) if pair is None else (text, pair)
    encoding = tokenizer.encode(text, pair)
    return list(pieces_of(encoding, sources, special=special, vocabulary=Vocabulary(tokenizer)))


def test_the_stretches_of_a_text_are_the_text_and_hold_every_piece_once(tokenizer):
    whole = [text[:2000] for texts in sample_texts().values() for text in texts[:1]]
    for text in [*HARD, *whole]:
        pieces = read(tokenizer, text)
        (found,) = stretches(pieces, [text])
        assert "".join(one.text for one in found) == text
        inside = [number for one in found for number in one.pieces]
        assert inside == [n for n, piece in enumerate(pieces) if piece.source == 0]


def test_a_stretch_never_tears_a_letter(tokenizer):
    for text in HARD:
        (found,) = stretches(read(tokenizer, text), [text])
        for one in found:
            if one.pieces and one.text:
                assert unicodedata.category(one.text[0])[0] != "M", (text, one)


def test_every_letter_of_a_text_belongs_to_a_piece(tokenizer):
    for text in HARD:
        (found,) = stretches(read(tokenizer, text), [text])
        between = "".join(one.text for one in found if not one.pieces)
        assert not any(letter.isalnum() for letter in between), (text, between)


def test_bytes_stand_where_their_letter_stands_and_are_named(tokenizer):
    pieces = [piece for piece in read(tokenizer, "a བོ") if piece.kind == "byte"]
    assert {piece.start for piece in pieces} == {2, 3}
    assert pieces[0].note.startswith("byte") and "E0" in pieces[0].note
    assert {piece.shown for piece in pieces} == {"བོ"}, "a vowel sign is shown with its letter"
    assert all("of" in piece.note for piece in pieces)


def test_a_letter_that_the_normaliser_composed_keeps_its_marks(tokenizer):
    text = "e\u0301te\u0301"
    pieces = [piece for piece in read(tokenizer, text) if piece.kind != "special"]
    assert max(piece.end for piece in pieces) == len(text)
    assert pieces[-1].shown.endswith("\u0301")


def test_a_piece_is_shown_within_its_word(tokenizer):
    text = "يقرأ الأطفال كتابا"
    for piece in read(tokenizer, text):
        if piece.kind == "text":
            assert piece.before + piece.shown + piece.after in text.split()
            assert piece.shown in text


def test_a_part_of_a_letter_is_shown_with_the_letter_and_named():
    scores = [("[UNK]", 0.0), ("क", -1.0), ("ि", -1.0), ("ब", -1.0)]
    letters = tokenizers.Tokenizer(tokenizers.models.Unigram(scores, unk_id=0))
    pieces = read(letters, "बकि")
    assert [piece.token for piece in pieces] == ["ब", "क", "ि"]
    assert [piece.shown for piece in pieces] == ["ब", "कि", "कि"]
    assert [piece.note for piece in pieces] == ["", "क", "\N{DOTTED CIRCLE}\u093f"]


def test_a_long_word_is_cut_and_letters_that_were_joined_stay_joined(tokenizer):
    word = "فسيكفيكهمالله" * 3
    middle = next(p for p in read(tokenizer, word) if p.kind == "text" and 18 < p.start < 20)
    assert middle.before.startswith(ELLIPSIS) and middle.after.endswith(ELLIPSIS)
    before = middle.before.removeprefix(ELLIPSIS).lstrip(JOINER)
    at = word.index(before + middle.shown, middle.start - len(before))
    joins = word[at - 1] not in "اأإآدذرزوؤة" and before[0] != "ء"
    assert middle.before.startswith(ELLIPSIS + JOINER) == joins


def test_scripts_without_spaces_show_less_and_have_no_words(tokenizer):
    for text in ("孩子们每天晚上都喜欢看故事书", "เด็กชอบอ่านหนังสือทุกเย็น"):
        for piece in read(tokenizer, text):
            if piece.kind != "special":
                assert piece.word is None
                assert len(piece.before) <= 9 and len(piece.after) <= 9


def test_words_are_numbered_through_a_text_and_its_pair(tokenizer):
    pieces = read(tokenizer, "mama anasoma, leo", "mama leo")
    words = {(p.source, p.word) for p in pieces if p.word is not None}
    assert words == {(0, 0), (0, 1), (0, 2), (1, 3), (1, 4)}
    assert next(p for p in pieces if p.shown == ",").word is None


def test_a_mask_ends_what_is_shown_around_it(tokenizer):
    pieces = read(tokenizer, "看[MASK]书")
    assert [p.kind for p in pieces].count("special") == 3
    assert all("[" not in p.before + p.after for p in pieces)
    mask = next(p for p in pieces if p.shown == "[MASK]")
    assert (mask.start, mask.end, mask.source) == (1, 7, 0)


def test_what_cannot_be_seen_is_named(tokenizer):
    for piece in read(tokenizer, "می‌روم خانه a‌ b"):
        assert piece.name.strip("\u200c ")


def test_bytes_and_the_unknown_are_the_rarest(tokenizer):
    vocabulary = Vocabulary(tokenizer)
    ids = {piece.kind: piece.id for piece in read(tokenizer, "ya \U00013000")}
    assert vocabulary.rarity[ids["byte"]] > vocabulary.rarity[ids["text"]]
    assert vocabulary.rarity[vocabulary.unknown] == vocabulary.rarity.max()


def test_every_piece_of_a_vocabulary_has_a_name_that_can_be_seen(tokenizer):
    vocabulary = Vocabulary(tokenizer)
    names = [vocabulary.name(number) for number in range(tokenizer.get_vocab_size())]
    assert all(name.isprintable() or len(name.strip("\u200c\u200d")) > 0 for name in names)
    assert all(name and not name.isspace() and name != "\ufffd" for name in names)
    joiner = tokenizer.encode("a \u200c b").ids
    assert "zero width non-joiner" in [vocabulary.name(number) for number in joiner] or all(
        vocabulary.name(number).startswith(("byte", "a", "b", "space", "[")) for number in joiner
    )


def test_a_wordpiece_says_with_signs_that_it_goes_on():
    model = tokenizers.models.WordPiece({"[UNK]": 0, "ha": 1, "##bari": 2}, unk_token="[UNK]")
    found = tokenizers.Tokenizer(model)
    found.decoder = tokenizers.decoders.WordPiece()
    vocabulary = Vocabulary(found)
    assert vocabulary.begins("ha") and not vocabulary.begins("##bari")
    assert vocabulary.letters(2) == "bari" and vocabulary.unknown == 0


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["يقرأ الأطفال koine"], True),
        (["The word كتاب means"], False),
        (["ספר", "a"], True),
        (["123 😀"], False),
    ],
)
def test_most_letters_decide_the_direction(texts, expected):
    assert is_right_to_left(texts) == expected
