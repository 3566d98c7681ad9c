"""Whether an answer is the expected one: exact match and F1 of words, in many languages.

    squad   as the script of SQuAD 1.1 and 2.0 (Rajpurkar et al. 2016, 2018): lower case, without
            ASCII punctuation and English articles, words between spaces. XQuAD's figures are these.
    mlqa    as the script of MLQA (Lewis et al. 2020): punctuation of all scripts, the articles of
            the language, Chinese by character.

MLQA knows seven languages. Beyond them koine takes no articles away, and cuts text of scripts that
put no spaces between words into characters as readers see them: an answer would else be one word,
right or wrong.

Promises: both give the numbers of their scripts to the last digit, where the script has the
language. A question without an answer is scored as SQuAD 2.0 does it.
Does not promise: the same scale in all languages: a character is less than a word, and F1 of
Chinese is the higher for it.
"""

from __future__ import annotations

import re
import string
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from functools import cache
from typing import Literal

import numpy as np
import regex
from numpy.typing import NDArray

from pipelines.languages import language_of
from pipelines.scripts import UNSPACED

Normaliser = Literal["squad", "mlqa"]
Words = Callable[[str], list[str]]
"""From an answer to the words that are compared."""

_ARTICLES = {
    "en": r"\b(a|an|the)\b",
    "es": r"\b(un|una|unos|unas|el|la|los|las)\b",
    "vi": r"\b(của|là|cái|chiếc|những)\b",
    "de": r"\b(ein|eine|einen|einem|eines|einer|der|die|das|den|dem|des)\b",
    "ar": r"\sال^|ال",  # as the script has it: anywhere in a word
}
"""What MLQA's script takes for articles; Hindi and Chinese have none."""
_LANGUAGES = {
    "eng": "en", "spa": "es", "hin": "hi", "vie": "vi", "deu": "de", "ara": "ar", "arb": "ar",
    "cmn": "zh", "zho": "zh",
}  # fmt: skip
"""MLQA's languages, by the ISO 639-3 part of a label."""
_CHINESE = re.compile(r"[\u4e00-\u9fa5]")


def exact_and_f1(
    gold: Sequence[str], predicted: str, *, words: Words, second: bool
) -> tuple[int, float]:
    """Return exact match and F1 of an answer, each by the gold answer that fits it best.

    Args:
        gold: right answers; none when the question has no answer.
        predicted: the answer, "" for none.
        words: of an answer, from `words_of`.
        second: whether as SQuAD 2.0: where either side has no words, it is whether both have
            none. By SQuAD 1.1 such a pair has F1 0.
    """
    found = words(predicted)
    expected = [words(text) for text in gold]
    if second:
        expected = [one for one in expected if one] or [[]]
    exact = max(int(one == found) for one in expected)
    return exact, max(_f1(one, found, second=second) for one in expected)


def _f1(gold: list[str], found: list[str], *, second: bool) -> float:
    if second and not (gold and found):
        return float(gold == found)
    same = sum((Counter(gold) & Counter(found)).values())
    if not same:
        return 0.0
    precision, recall = same / len(found), same / len(gold)
    return (2 * precision * recall) / (precision + recall)


def best_threshold(
    differences: NDArray[np.float64], f1: NDArray[np.float64], has_answer: NDArray[np.bool_]
) -> tuple[float, float]:
    """Return from where on to say "no answer", and the mean F1 that this gives.

    As the script of SQuAD 2.0 finds it, but never between questions that are equally sure.

    Args:
        differences: (n,): how much surer the system is of "no answer" than of its answer; above
            the threshold it says none.
        f1: (n,): of its answers, if it says them.
        has_answer: (n,): whether there is one.
    """
    order = np.argsort(differences, kind="stable")
    gains = np.cumsum((f1 - ~has_answer)[order])
    can_end = np.append(np.diff(differences[order]) > 0, True)
    gains[~can_end] = -np.inf
    place = int(np.argmax(gains))
    none = int((~has_answer).sum())
    if gains[place] <= 0:  # to be silent is best
        return float(differences[order[0]]) - 1, none / len(f1)
    return float(differences[order[place]]), float(none + gains[place]) / len(f1)


@cache
def words_of(label: str, normaliser: Normaliser) -> Words:
    """Return what cuts answers into the words that are compared.

    Args:
        label: the language (`tha_Thai`); `und` for one that nobody named.
        normaliser: by which script.
    """
    if normaliser == "squad":
        return lambda text: _without(text.lower(), _ascii(), _ARTICLES["en"]).split()
    code = _LANGUAGES.get(language_of(label))
    articles = _ARTICLES.get(code or "")
    cut = _characters if code is None else _chinese if code == "zh" else str.split
    return lambda text: cut(_without(text.lower(), _all(), articles))


def _without(text: str, table: dict[int, None], articles: str | None) -> str:
    """Return the text without punctuation, and with a space for each article."""
    text = text.translate(table)
    return re.sub(articles, " ", text) if articles else text


def _chinese(text: str) -> list[str]:
    """Cut as MLQA's script does: each unified ideograph by itself, the rest at spaces."""
    return _CHINESE.sub(r" \g<0> ", text).split()


def _characters(text: str) -> list[str]:
    """Cut each character of an unspaced script off, with the marks on it, the rest at spaces."""
    return str(_unspaced().sub(r" \g<0> ", text)).split()


@cache
def _unspaced() -> regex.Pattern[str]:
    """Return what finds a character of an unspaced script."""
    letters = "".join(rf"\p{{sc={one}}}" for one in sorted(UNSPACED))
    return regex.compile(rf"(?=[{letters}])\X")


@cache
def _ascii() -> dict[int, None]:
    return dict.fromkeys(map(ord, string.punctuation))


@cache
def _all() -> dict[int, None]:
    """Return what deletes punctuation of all scripts, and ASCII's signs with it."""
    signs = (i for i in range(sys.maxunicode) if unicodedata.category(chr(i)).startswith("P"))
    return dict.fromkeys(signs) | _ascii()
