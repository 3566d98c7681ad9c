"""The tokenizer's share of koine's normaliser, so that raw text gives the ids of clean text.

`pipelines.clean` sees the context of a character and does everything; a model that is handed to
others has to bring its own normaliser. This is the part without context: NFC; every white space
(line breaks too) and U+2581 becomes a space, runs of them one, none at the ends; controls and the
invisible characters that `pipelines.clean` always removes go. It exists twice with the same effect:
`rules()` for SentencePiece, whose normaliser replaces the longest match of a table and never looks
back, and `normalizers()` for tokenizers, which has a real NFC. `normalise` is both in Python.
On clean text all three are the identity, but for line breaks.

Covered by the rules (equal to NFC, proved by the tests):
    all canonical spellings of every character that composes, whatever the order of its marks;
    Hangul in jamo, also as syllable and final; singletons and composition exclusions;
    a letter of any script that composes, followed by two marks that Latin, Greek or Cyrillic
    orthographies use, and a composed letter followed by any mark of U+0300 to U+036F;
    two marks in the wrong order within each of `MARKS`, three in Arabic, Hebrew and Tibetan
    (shadda before fatha, dagesh before a vowel, asat before the dot below, ...);
    a hamza or madda that composes after any two Arabic marks.
Not covered: four marks, and three of other scripts, in a non-canonical order, or three of which the
last composes; marks of two groups on one letter; characters added after Unicode 10, which
tokenizers' NFC does not know either; U+0000, which no rule of SentencePiece can name. A removed
character between a letter and its mark keeps them apart, in all three.
Left to `pipelines.clean`: mojibake, runs of marks, ZERO WIDTH SPACE, tags. They stay.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache
from itertools import permutations, product
from typing import Any

WORD_START = "\u2581"
"""What SentencePiece writes for a space."""

# White_Space and U+2581.
SPACES = "\t\n\v\f\r \x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000\u2581"
# Controls but U+0000, invisible characters without a meaning, noncharacters.
REMOVED = (
    "\x01-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\xad\u061c\u200e\u200f\u202a-\u202e\u2060\u2066-\u206f"
    "\ufdd0-\ufdef\ufeff\ufff9-\ufffc"
) + "".join(f"{chr(plane + 0xFFFE)}{chr(plane + 0xFFFF)}" for plane in range(0, 0x110000, 0x10000))

# Marks with a combining class that occur together, as ranges; none is newer than Unicode 10.
_GENERAL = "\u0300-\u033f\u0342\u0345-\u034e\u0350-\u036f"
_HARAKAT = "\u064b-\u0655\u0670"
_POINTS = "\u05b0-\u05bd\u05bf\u05c1\u05c2\u05c7"
MARKS = (
    _GENERAL + "\u0483-\u0487",
    "\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7",  # Hebrew
    _HARAKAT + "\u0610-\u061a\u0656-\u065f\u06d6-\u06dc\u06df-\u06e4\u06e7\u06e8\u06ea-\u06ed"
    "\u08d4-\u08e1\u08e3-\u08ff",  # Arabic
    "\u0711\u0730-\u074a",  # Syriac
    "\u07eb-\u07f3",  # NKo
    "\u0816-\u0819\u081b-\u0823\u0825-\u0827\u0829-\u082d",  # Samaritan
    "\u0859-\u085b",  # Mandaic
    "\u093c\u094d\u0951-\u0954",  # Devanagari
    "\u09bc\u09cd\u0951\u0952",  # Bengali
    "\u0a3c\u0a4d\u0951\u0952",  # Gurmukhi
    "\u0abc\u0acd\u0951\u0952",  # Gujarati
    "\u0b3c\u0b4d\u0951\u0952",  # Odia
    "\u0bcd\u0951\u0952",  # Tamil
    "\u0c4d\u0c55\u0c56\u0951\u0952",  # Telugu
    "\u0cbc\u0ccd\u0951\u0952",  # Kannada
    "\u0d4d\u0951\u0952",  # Malayalam
    "\u0e38-\u0e3a\u0e48-\u0e4b",  # Thai
    "\u0eb8\u0eb9\u0ec8-\u0ecb",  # Lao
    "\u0f18\u0f19\u0f35\u0f37\u0f39\u0f71\u0f72\u0f74\u0f7a-\u0f7d\u0f80\u0f82-\u0f84\u0f86\u0f87",
    "\u1037\u1039\u103a\u108d",  # Burmese
    "\u17d2\u17dd",  # Khmer
    "\u1939-\u193b",  # Limbu
    "\u1a17\u1a18",  # Buginese
    "\u1a60\u1a75-\u1a7c\u1a7f",  # Tai Tham
    "\u1b34\u1b44\u1b6b-\u1b73",  # Balinese
    "\u302a-\u302f",  # tones of Han and Hangul
    "\u3099\u309a",  # voicing of kana
    "\uaab0\uaab2-\uaab4\uaab7\uaab8\uaabe\uaabf\uaac1",  # Tai Viet
    "\U000110b9\U000110ba\U00011100-\U00011102\U00011133\U00011134",  # Kaithi, Chakma
    "\U0001e000-\U0001e006\U0001e008-\U0001e018\U0001e8d0-\U0001e8d6\U0001e944-\U0001e94a",
)
# Of those, the ones whose runs of three are covered in every order.
_THREE = (_POINTS, _HARAKAT, "\u0f39\u0f71\u0f72\u0f74\u0f7a-\u0f7d\u0f80\u0f84")
# The marks of Latin, Greek and Cyrillic letters in orthographies of today, and of transcriptions.
_IN_USE = (
    "\u0300-\u0304\u0306-\u030c\u030f\u0311\u031b\u0323-\u0328\u032d\u032e\u0330\u0331\u0334-\u0338"
    "\u0342\u0345"
)
# Composed characters newer than Unicode 10, by the first character of their decomposition or alone.
_NEWER = (
    "\U00011935\U000105d2\U000105da\U00011382\U00011384\U0001138b\U00011390\U000113c2"
    "\U0001611e-\U00016129\U00016d63\U00016d67-\U00016d6a"
)


def members(ranges: str) -> list[str]:
    """Return the characters of a string of single characters and ranges `a-z`, in order."""
    found: list[str] = []
    for match in re.finditer(r"(.)-(.)|(.)", ranges, re.DOTALL):
        first, last, alone = match.groups()
        found += [alone] if alone else [chr(c) for c in range(ord(first), ord(last) + 1)]
    return found


_NOT_NEEDED = re.compile(f"[{REMOVED}]")
_SPACE_RUN = re.compile(f"[{SPACES}]+")


def normalise(text: str) -> str:
    """Return the text as a vocabulary sees it; what the two other forms are tested against."""
    text = _NOT_NEEDED.sub("", unicodedata.normalize("NFC", text))
    return _SPACE_RUN.sub(" ", text).strip(" ")


def normalizers() -> dict[str, Any]:
    """Return the normaliser as tokenizers writes it into tokenizer.json.

    A space at the start stays: it says that a word begins, which matters after a special token
    ("[MASK] is" and "[MASK]s"); at the start of a text the first piece says so in any case.
    """
    return {
        "type": "Sequence",
        "normalizers": [
            {"type": "NFC"},
            {"type": "Replace", "pattern": {"Regex": f"[{_escaped(REMOVED)}]+"}, "content": ""},
            {"type": "Replace", "pattern": {"Regex": f"[{_escaped(SPACES)}]+"}, "content": " "},
            {"type": "Strip", "strip_left": False, "strip_right": True},
        ],
    }


def _escaped(ranges: str) -> str:
    """Return the ranges in ASCII, for the regular expressions of Oniguruma."""
    return "".join(c if c == "-" else f"\\x{{{ord(c):x}}}" for c in ranges)


@cache
def rules() -> list[tuple[str, str]]:
    """Return the replacements for `sentencepiece.SentencePieceNormalizer(norm_map=...)`, sorted.

    They are used with add_dummy_prefix, remove_extra_whitespaces and escape_whitespaces. They
    depend on characters of Unicode 10 alone, so every supported Python gives the same.
    """
    table: dict[str, str] = {}
    # The order decides: what a shorter rule does already needs no longer one, which would take
    # the marks away from a rule for those that follow.
    for marks in _misordered():
        _add(table, marks)
    newer = set(members(_NEWER))
    composed = []
    for code_point in (*range(0xD800), *range(0xE000, 0x30000)):  # nothing beyond composes
        character = chr(code_point)
        parts = unicodedata.normalize("NFD", character)
        if parts == character or parts[0] in newer:
            continue
        if code_point not in range(0xAC00, 0xD7A4):
            composed.append(character)
        for spelling in (character, *_spellings(parts)):
            _add(table, spelling)
    for sequence in _sequences(composed):
        _add(table, sequence)
    table |= {space: " " for space in members(SPACES) if space != " "}
    table |= dict.fromkeys(members(REMOVED), "")
    return sorted(table.items())


def _add(table: dict[str, str], sequence: str) -> None:
    """Add a rule for the sequence unless the shorter ones already make NFC of it."""
    wanted = unicodedata.normalize("NFC", sequence)
    if apply(table, sequence) != wanted:
        table[sequence] = wanted


def apply(table: dict[str, str], text: str) -> str:
    """Return the text with the longest matches replaced from left to right, like SentencePiece."""
    out = []
    position = 0
    while position < len(text):
        for end in range(min(position + 4, len(text)), position, -1):
            found = table.get(text[position:end])
            if found is not None:
                out.append(found)
                break
        else:
            end = position + 1
            out.append(text[position])
        position = end
    return "".join(out)


def _spellings(parts: str) -> list[str]:
    """Return all canonical spellings of a decomposed character, the shorter first."""
    found = set()
    wanted = unicodedata.normalize("NFC", parts)
    for tail in permutations(parts[1:]):
        whole = parts[0] + "".join(tail)
        for num_composed in range(1, len(whole) + 1):
            head = unicodedata.normalize("NFC", whole[:num_composed])
            spelling = head + whole[num_composed:]
            if unicodedata.normalize("NFC", spelling) == wanted:
                found.add(spelling)
    return sorted(found, key=lambda spelling: (len(spelling), spelling))


def _misordered() -> Iterator[str]:
    """Yield the marks that may need a rule without a letter, the shorter first."""
    for group in MARKS:
        yield from map("".join, product(members(group), repeat=2))
    for group in _THREE:
        yield from map("".join, product(members(group), repeat=3))


def _sequences(composed: list[str]) -> Iterator[str]:
    """Yield letters with marks that may need a rule beside the spellings, the shorter first."""
    first = {unicodedata.normalize("NFD", character)[0] for character in composed}
    bases = sorted(c for c in first if unicodedata.category(c)[0] == "L" and ord(c) < 0x2000)
    letters = [c for c in composed if unicodedata.normalize("NFD", c)[0] in bases]
    deprecated = ["\u0340", "\u0341", "\u0343", "\u0344"]
    yield from map("".join, product([*bases, *letters], [*members(_GENERAL), *deprecated]))
    yield from map("".join, product(bases, members(_IN_USE), members(_IN_USE)))
    arabic = [c for c in bases if "\u0600" <= c <= "\u06ff"]
    yield from map("".join, product(arabic, members(_HARAKAT), members(_HARAKAT)))
    # Decomposed, a doubled vowel sign stands between a letter and its hamza.
    last = "\u0653\u0654\u0655"
    yield from map("".join, product(arabic, members(_HARAKAT), members(_HARAKAT), last))
    hebrew = [c for c in composed if "\ufb1d" <= c <= "\ufb4e"]
    yield from map("".join, product(hebrew, members(_POINTS)))
    yield from map("".join, product("\ufb2a\ufb2b", members(_POINTS), members(_POINTS)))
