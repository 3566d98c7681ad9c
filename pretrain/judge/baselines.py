"""What needs no network: the commonest answer, and what words alone tell.

A model that does no better has learnt nothing that a count or a word list wouldn't give. Each takes
what is the harder to beat: counts of the language's own training examples where there are any, of
all of them otherwise.

Promises: pure functions of the training examples; ties go to what sorts first.
Does not promise: good baselines for questions. The sentence that shares most letter pairs with the
question is a floor, not what retrieval can do.
"""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

    from ..tasks.data import TaskData

_SENTENCE = re.compile(r"(?<=[.!?\u0964\u061f\u3002\uff01\uff1f\u1362\u104b\u17d4\n])\s*")
"""Where a sentence ends: full stops of Latin, Devanagari, Arabic, Chinese, Ethiopic, Burmese,
Khmer."""


def baselines(data: TaskData) -> dict[str, list[Any]]:
    """Return the predictions for the test examples, by the baseline's name.

    Without training examples there are none that count them.
    """
    if data.task == "classify":
        return (
            {"majority": _commonest(data.train, data.test, "target")} if data.train.num_rows else {}
        )
    if data.task == "tag":
        return _tagged(data.train, data.test) if data.train.num_rows else {}
    found: dict[str, list[Any]] = {"words": _nearest_sentences(data.test)}
    if not all(
        answers for table in (data.train, data.test) for answers in _column(table, "answers")
    ):
        found["majority"] = [""] * data.test.num_rows
    return found


def _column(table: pa.Table, name: str) -> list[Any]:
    values: list[Any] = table[name].to_pylist()
    return values


def _first(counts: Counter[str]) -> str:
    """Return the commonest, the one that sorts first among equals."""
    return min(counts, key=lambda one: (-counts[one], one))


def _commonest(train: pa.Table, test: pa.Table, column: str) -> list[str]:
    """Return for each test example the commonest target of its language."""
    by_label: dict[str, Counter[str]] = defaultdict(Counter)
    for label, target in zip(_column(train, "label"), _column(train, column), strict=True):
        by_label[label][target] += 1
        by_label[""][target] += 1
    known = {label: _first(counts) for label, counts in by_label.items()}
    return [known.get(label, known[""]) for label in _column(test, "label")]


def _tagged(train: pa.Table, test: pa.Table) -> dict[str, list[Any]]:
    """Return each word's commonest tag: of all words of its language, and of the word itself."""
    tags: dict[str, Counter[str]] = defaultdict(Counter)
    words: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    columns = (_column(train, name) for name in ("label", "words", "tags"))
    for label, sentence, own in zip(*columns, strict=True):
        for word, tag in zip(sentence, own, strict=True):
            for place in (label, ""):
                tags[place][tag] += 1
                words[place, word][tag] += 1
    commonest = {label: _first(counts) for label, counts in tags.items()}
    known = {key: _first(counts) for key, counts in words.items()}
    by_tag, by_word = [], []
    for label, sentence in zip(_column(test, "label"), _column(test, "words"), strict=True):
        other = commonest.get(label, commonest[""])
        by_tag.append([other] * len(sentence))
        by_word.append(
            [known.get((label, word), known.get(("", word), other)) for word in sentence]
        )
    return {"majority": by_tag, "words": by_word}


def _nearest_sentences(test: pa.Table) -> list[str]:
    """Return for each question the sentence of its text that shares most letter pairs with it."""
    columns = (_column(test, name) for name in ("context", "question"))
    return [_nearest(context, question) for context, question in zip(*columns, strict=True)]


def _nearest(context: str, question: str) -> str:
    wanted = _pairs(question)
    sentences: Sequence[str] = [one.strip() for one in _SENTENCE.split(context) if one.strip()]

    def shared(sentence: str) -> float:
        found = _pairs(sentence)
        return len(wanted & found) / math.sqrt(len(found) or 1)

    return max(sentences, key=shared, default="")


def _pairs(text: str) -> set[tuple[str, str]]:
    letters: Iterable[str] = (letter for letter in text.lower() if letter.isalnum())
    return set(pairwise(letters))
