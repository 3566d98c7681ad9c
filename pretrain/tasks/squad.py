"""Questions about a context: SQuAD's JSON, and answers in whatever shape a record has them.

Promises: an answer that is kept is `context[start : start + len(text)]` in code points. One whose
offset is wrong (bytes, UTF-16 units, an edited context) is moved to the nearest place that has its
text, and counted; one whose text the context doesn't have is not kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipelines.errors import DataError

from .files import Source
from .readers import Records

Answer = dict[str, Any]
"""`text` and `start`, the offset in code points."""


@dataclass(frozen=True)
class Found:
    """Answers of a question, and what became of them."""

    answers: tuple[Answer, ...]
    num_moved: int
    """Were not at their offset."""
    num_placed: int
    """Had no offset, and are at the first place that has their text."""
    num_absent: int
    """Are not in the context, and not kept."""


def read(whole: dict[str, Any], source: Source) -> Records:
    """Read SQuAD 1.1 or 2.0: an object with `data`, articles of paragraphs of `qas`.

    Raises:
        DataError: it is another kind of JSON.
    """
    articles = whole.get("data")
    if not isinstance(articles, list):
        raise DataError(
            f"{source.shown}: is no JSON of SQuAD; on top it has: "
            f"{', '.join(str(key) for key in whole)[:100] or 'nothing'}.\n"
            "  SQuAD has `data`; other records go one a line into a .jsonl file."
        )
    columns: dict[str, list[Any]] = {"id": [], "context": [], "question": [], "answers": []}
    broken: list[tuple[str, int]] = []
    places: list[int] = []
    number = 0
    for article in articles:
        paragraphs = article.get("paragraphs") if isinstance(article, dict) else None
        for paragraph in paragraphs if isinstance(paragraphs, list) else [None]:
            context = paragraph.get("context") if isinstance(paragraph, dict) else None
            questions = paragraph.get("qas") if isinstance(paragraph, dict) else None
            for one in questions if isinstance(questions, list) else [None]:
                number += 1
                if not isinstance(one, dict):
                    broken.append(("not_squad", number))
                    continue
                places.append(number)
                impossible = one.get("is_impossible") is True
                columns["id"].append(one.get("id"))
                columns["context"].append(context)
                columns["question"].append(one.get("question"))
                columns["answers"].append([] if impossible else one.get("answers"))
    return Records(file=source.shown, columns=columns, places=places, broken=broken)


def answers(value: object, context: str) -> Found | None:
    """Return the answers of one question.

    Args:
        value: `{"text": [...], "answer_start": [...]}`, `[{"text", "answer_start" or "start"}]`,
            one such record, texts, or nothing where there is no answer.
        context: what they are in.

    Returns:
        None where `value` has another shape.
    """
    pairs = _pairs(value)
    if pairs is None:
        return None
    found: list[Answer] = []
    num_moved = num_placed = num_absent = 0
    for text, start in pairs:
        if not text.strip():  # how some say that there is none
            continue
        place, text = _place(context, text, -1 if start is None else start)
        if place is None:
            num_absent += 1
            continue
        num_placed += start is None
        num_moved += start is not None and place != start
        found.append({"text": text, "start": place})
    return Found(tuple(found), num_moved, num_placed, num_absent)


def _pairs(value: object) -> list[tuple[str, int | None]] | None:
    """Return text and offset of each answer, as the record has them."""
    if value is None:
        return []
    if isinstance(value, str):
        value = [value]
    if isinstance(value, dict):
        texts = value.get("text", [])
        starts = value.get("answer_start", value.get("start"))
        if isinstance(texts, str):
            texts, starts = [texts], [starts]
        if not isinstance(texts, list):
            return None
        starts = [None] * len(texts) if starts is None else starts
        if not isinstance(starts, list) or len(starts) != len(texts):
            return None
        pairs = list(zip(texts, starts, strict=True))
    elif isinstance(value, list):
        records = [{"text": one} if isinstance(one, str) else one for one in value]
        if not all(isinstance(one, dict) for one in records):
            return None
        pairs = [(one.get("text"), one.get("answer_start", one.get("start"))) for one in records]
    else:
        return None
    found: list[tuple[str, int | None]] = []
    for text, start in pairs:
        if not isinstance(text, str) or not (start is None or isinstance(start, int)):
            return None
        found.append((text, start))
    return found


def _place(context: str, text: str, start: int) -> tuple[int | None, str]:
    """Return where the answer is: at its offset, or at the nearest place with its text."""
    if text.strip() and start >= 0 and context.startswith(text, start):
        return start, text
    for wanted in (text, text.strip()):
        if not wanted.strip():
            continue
        before = context.rfind(wanted, 0, max(start, 0) + len(wanted))
        after = context.find(wanted, max(start, 0))
        places = [place for place in (before, after) if place >= 0]
        if places:
            return min(places, key=lambda place: (abs(place - start), place)), wanted
    return None, text
