"""How values are worded for the readers of the report and the dataset card.

Promises: pure functions; the same value gives the same text on every machine and in every locale;
`visible` lets no character through that can hide, reorder or end the text around it.
"""

from __future__ import annotations

import math
import unicodedata

import regex
from langcodes.data_dicts import LANGUAGE_ALPHA3
from markupsafe import Markup, escape

from . import languages

NO_BREAK_SPACE = "\N{NO-BREAK SPACE}"

REASONS = {
    "min_content_chars": (
        "too short",
        "Length in graphemes, weighted by how much content one carries in its script: 100 are "
        "as much text in Chinese as in English.",
    ),
    "max_content_chars": (
        "too long",
        "Length in graphemes, weighted by how much content one carries in its script.",
    ),
    "min_mean_word_graphemes": (
        "words too short on average",
        "Mean length of the words, in graphemes.",
    ),
    "max_mean_word_graphemes": (
        "words too long on average",
        "Mean length of the words, in graphemes.",
    ),
    "max_word_graphemes": (
        "a word without end",
        "Length of the longest word, in graphemes.",
    ),
    "min_letter_share": (
        "too few letters",
        "Letters and their marks among the characters that are not spaces.",
    ),
    "max_digit_share": (
        "too many digits",
        "Decimal digits, of any script, among the characters that are not spaces.",
    ),
    "min_letter_word_share": (
        "too few words with letters",
        "Words with at least one letter, among all words.",
    ),
    "max_hash_ratio": (
        "too many # signs",
        "# signs for each word.",
    ),
    "max_ellipsis_ratio": (
        "too many ellipses",
        "Ellipses for each word.",
    ),
    "max_curly_ratio": (
        "too many curly brackets",
        "Curly brackets among all characters.",
    ),
    "max_bullet_line_share": (
        "nearly all lines are bullets",
        "Lines that start with a bullet of any kind.",
    ),
    "max_ellipsis_line_share": (
        "too many lines end in an ellipsis",
        "Lines that end in an ellipsis.",
    ),
    "min_terminal_line_share": (
        "too few lines end a sentence",
        "Lines that end with a mark that ends a sentence in their script.",
    ),
    "max_short_line_share": (
        "too many short lines",
        "Lines below 30 characters of content.",
    ),
    "max_newline_ratio": (
        "too many line breaks",
        "Line breaks for each word.",
    ),
    "max_duplicate_line_share": (
        "lines repeat",
        "Lines that repeat an earlier one.",
    ),
    "max_duplicate_line_char_share": (
        "lines repeat (by characters)",
        "Characters in lines that repeat an earlier one.",
    ),
    "max_duplicate_paragraph_share": (
        "paragraphs repeat",
        "Paragraphs that repeat an earlier one.",
    ),
    "max_duplicate_paragraph_char_share": (
        "paragraphs repeat (by characters)",
        "Characters in paragraphs that repeat an earlier one.",
    ),
    "max_top_2gram_share": (
        "one pair of words dominates",
        "Characters in the most frequent run of 2 words (of a like length, in scripts without "
        "spaces).",
    ),
    "max_top_3gram_share": (
        "one run of 3 words dominates",
        "Characters in the most frequent run of 3 words (of a like length, in scripts without "
        "spaces).",
    ),
    "max_top_4gram_share": (
        "one run of 4 words dominates",
        "Characters in the most frequent run of 4 words (of a like length, in scripts without "
        "spaces).",
    ),
    "max_duplicate_5gram_share": (
        "runs of 5 words repeat",
        "Characters in runs of 5 words that occur before (of a like length, in scripts without "
        "spaces).",
    ),
    "max_duplicate_6gram_share": (
        "runs of 6 words repeat",
        "Characters in runs of 6 words that occur before (of a like length, in scripts without "
        "spaces).",
    ),
    "max_duplicate_7gram_share": (
        "runs of 7 words repeat",
        "Characters in runs of 7 words that occur before (of a like length, in scripts without "
        "spaces).",
    ),
    "max_duplicate_8gram_share": (
        "runs of 8 words repeat",
        "Characters in runs of 8 words that occur before (of a like length, in scripts without "
        "spaces).",
    ),
    "max_duplicate_9gram_share": (
        "runs of 9 words repeat",
        "Characters in runs of 9 words that occur before (of a like length, in scripts without "
        "spaces).",
    ),
    "max_duplicate_10gram_share": (
        "runs of 10 words repeat",
        "Characters in runs of 10 words that occur before (of a like length, in scripts "
        "without spaces).",
    ),
    "min_label_score": (
        "language uncertain",
        "The score that the identification model gives the label, where the model alone "
        "decided it.",
    ),
    "max_disagreement": (
        "not in the declared language",
        "How surely the identification model contradicts the declared language.",
    ),
    "min_label_script_share": (
        "not in the script of its label",
        "Letters that are in the script of the label.",
    ),
    "empty": (
        "no text left after cleaning",
        "Nothing but spaces and characters without content.",
    ),
    "duplicate_url": (
        "same address as another",
        "Another document has the same address.",
    ),
    "duplicate_text": (
        "same text as another",
        "Another document has the same text, spaces and the like aside.",
    ),
    "near_duplicate": (
        "nearly the same text as another",
        "Another document shares most of its runs of words, by MinHash.",
    ),
}
"""What a reason means, in words that need no manual: a title, and what is measured."""


def title_of(reason: str) -> str:
    """Return a reason in plain words; an unknown one as it is, without underscores."""
    return REASONS[reason][0] if reason in REASONS else reason.replace("_", " ")


def meaning_of(reason: str) -> str:
    """Return what a reason measures, as a sentence; nothing for an unknown one."""
    return REASONS[reason][1] if reason in REASONS else ""


def count(number: float) -> str:
    """Return a whole number with thousands separators."""
    return f"{number:,.0f}"


def size(num_bytes: float) -> str:
    """Return bytes in decimal units with three digits: 12.3 MB."""
    units = ["B", "kB", "MB", "GB", "TB"]
    while abs(num_bytes) >= 999.5 and len(units) > 1:
        num_bytes /= 1000
        units.pop(0)
    unit = units[0]
    digits = 0 if unit == "B" or num_bytes >= 99.95 else 1
    return f"{num_bytes:,.{digits}f}{NO_BREAK_SPACE}{unit}"


def percent(part: float, whole: float) -> str:
    """Return a share in percent, never rounded to none or to all when it is not that."""
    if whole <= 0:
        return "\N{EN DASH}"
    value = 100 * part / whole
    if 0 < value < 0.1:
        text = "<0.1"
    elif 99.9 < value < 100:
        text = ">99.9"
    elif 0 < value < 9.95:
        text = f"{value:.1f}"
    elif 99 <= value < 100:
        text = f"{math.floor(value * 10) / 10:.1f}"
    else:
        text = f"{value:.0f}"
    return f"{text}{NO_BREAK_SPACE}%"


def number(value: float | None) -> str:
    """Return a threshold with up to four significant digits."""
    if value is None:
        return "\N{EN DASH}"
    if not math.isfinite(value):
        return "\N{INFINITY}" if value > 0 else "-\N{INFINITY}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}"


_ALPHA2 = {alpha3: code for code, alpha3 in LANGUAGE_ALPHA3.items() if len(code) == 2}
# Withdrawn codes stand for the same languages: "sh" is hbs, "iw" is heb.
_ALPHA2 |= {"heb": "he", "ind": "id", "ydd": "yi", "jav": "jv", "ron": "ro", "hbs": "hbs"}


def iso_code(label: str) -> str:
    """Return the shortest ISO 639 code of a label's language: `no`, `sw`, `bod` as `bo`, `swh`."""
    language = languages.language_of(label)
    return _ALPHA2.get(language, language)


def bcp47(label: str) -> str:
    """Return a label as a BCP 47 tag; the script only where the language does not imply it."""
    language, script = languages.language_of(label), languages.script_of(label)
    code = iso_code(label)
    if script in (None, "Zxxx", "Zyyy", "Zzzz"):
        return code
    if script == languages.likely_script(language) and language != "zho":
        return code
    return f"{code}-{script}"


# Controls, formats, private use, halves of surrogates, and what is no character at all. Left as
# they are: line ends and tabs; the joiners, which are spelling in Persian and the scripts of
# India; and the Arabic signs that Unicode calls formats although they are ink.
_HIDDEN = regex.compile(
    r"[[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}\p{Noncharacter_Code_Point}]"
    r"--[\n\t\u200c\u200d\u0600-\u0605\u06dd\u0890\u0891\u08e2\U000110bd\U000110cd]]",
    regex.V1,
)


def visible(text: str) -> Markup:
    """Return text as safe HTML in which every character that cannot be seen is named."""
    parts: list[str] = []
    end = 0
    text = text.replace("\r\n", "\n")
    for match in _HIDDEN.finditer(text):
        hidden = match[0]
        name = unicodedata.name(hidden, "control or private character")
        parts.append(escape(text[end : match.start()]))
        parts.append(Markup('<i class="ctl" title="{}">U+{:04X}</i>').format(name, ord(hidden)))
        end = match.end()
    parts.append(escape(text[end:]))
    return Markup("").join(parts)


def slug(text: str) -> Markup:
    """Return text that is safe as an attribute's value: letters, digits, hyphens, underscores."""
    return Markup(regex.sub(r"[^A-Za-z0-9_-]", "-", text))
