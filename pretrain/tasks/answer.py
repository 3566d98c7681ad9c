"""Questions whose answer is a span of a text: windows over long texts, and spans out of logits.

A window is [CLS] question [SEP] part of the context [SEP]. Windows of one context have `stride`
pieces in common, so that an answer of up to stride + 1 pieces lies whole in one of them. A window
that doesn't hold the answer is to point at [CLS], which stands for "not here" (Devlin et al. 2019).

Promises: an answer is cut out of the raw context, as it stands there; every piece of a context is
in some window; each different context and question is tokenised one time.
Does not promise: the rest of a question that is longer than half a window.

Shapes: S windows, F pieces of all windows, N best starts and ends of a window.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..models import Model
from ..ragged import starts_of, take
from . import squad_metric
from .encode import flatten
from .features import Features, padded, spans
from .offsets import bytes_of, snapped, spans_of
from .squad_metric import Normaliser

if TYPE_CHECKING:
    import tokenizers

NUM_BEST = 20
"""Starts and ends of a window that are combined, as in BERT's own script."""
MAX_CHARACTERS = 512
"""Of an answer. In characters, since what 30 pieces hold is a clause in one language and a word in
another. The longest gold answers have 72 in Chinese, 206 in Spanish (XQuAD), 442 in NorQuAD."""
CHUNK = 1024
"""Texts that are encoded together, and windows that are read together."""


@dataclass(frozen=True)
class Answer:
    """A span of a context, and how sure the network is of it."""

    text: str
    """"" = the context has no answer."""
    start: int
    """Code points before it in the context; 0 without an answer."""
    score: float
    """Of its start and end, or of [CLS] twice."""
    probability: float
    """Among the candidates of its question."""


def encode(table: pa.Table, model: Model, *, max_length: int, stride: int) -> Features:
    """Return the windows of questions.

    Args:
        table: columns `context`, `question`, and where they are known `answers`.
        model: whose tokenizer is taken.
        max_length: pieces of a window at the most, special ones counted.
        stride: pieces that two windows of a context have in common; less where windows are small.

    Returns:
        Windows by question. `extra`: `begins` and `ends` (F,), the characters of the context that
        a piece stands for (equal where it stands for none), `contexts` and `context_of` (a row's
        number among them), `num_cut` (questions that were too long), `num_lost` (answers that are
        whole in no window).
    """
    tokenizer = model.tokenizer
    before, between, after, types = _template(model)
    special = len(before) + len(between) + len(after)
    contexts, context_of = _different(table["context"])
    questions, question_of = _different(table["question"])
    context_ids, context_at, begins, ends = _with_spans(contexts, tokenizer)
    question_ids, question_at = flatten([[one for _, one in _encoded(questions, tokenizer)]])

    longest = (max_length - special) // 2
    num_question = np.diff(question_at)[question_of]
    num_cut = int((num_question > longest).sum())
    num_question = np.minimum(num_question, longest)
    num_context = np.diff(context_at)[context_of]
    room = max_length - special - num_question
    step = room - np.minimum(stride, room // 2)
    num_windows = 1 + np.maximum(0, -(-(num_context - room) // step))
    rows = np.repeat(np.arange(len(table), dtype=np.int64), num_windows)
    first = (np.arange(len(rows)) - starts_of(num_windows)[rows]) * step[rows]
    held = np.minimum(room[rows], num_context[rows] - first)

    source = np.concatenate([before, between, after, question_ids, context_ids]).astype(np.int32)
    starts = np.empty((len(rows), 5), np.int64)
    starts[:, 0], starts[:, 2], starts[:, 4] = 0, len(before), len(before) + len(between)
    starts[:, 1] = special + question_at[question_of[rows]]
    starts[:, 3] = special + len(question_ids) + context_at[context_of[rows]] + first
    lengths = np.empty_like(starts)
    lengths[:, [0, 2, 4]] = len(before), len(between), len(after)
    lengths[:, 1], lengths[:, 3] = num_question[rows], held
    offsets = starts_of(lengths.sum(axis=1))
    flat = starts.ravel(), lengths.ravel()

    none = np.zeros(special + len(question_ids), np.int32)
    golden = _golden(table, context_of, (context_at, begins, ends))
    from_first = golden[rows] - first[:, None]
    is_whole = (from_first[:, 0] >= 0) & (from_first[:, 1] < held) & (golden[rows, 0] >= 0)
    targets = np.where(is_whole[:, None], from_first + lengths[:, :3].sum(axis=1)[:, None], 0)
    num_lost = int((golden[:, 0] >= 0).sum() - len(np.unique(rows[is_whole])))
    return Features(
        ids=take(source, *flat),
        offsets=offsets,
        rows=rows,
        targets=targets,
        types=np.repeat(np.tile(types, len(rows)), flat[1]) if model.takes_types else None,
        extra={
            "begins": take(np.concatenate([none, begins]), *flat),
            "ends": take(np.concatenate([none, ends]), *flat),
            "contexts": contexts,
            "context_of": context_of,
            "num_cut": num_cut,
            "num_lost": num_lost,
        },
    )


def decode(
    logits: NDArray[np.float32], features: Features, *, threshold: float | None = None
) -> list[str]:
    """Return the answer to each question, "" for none.

    Args:
        logits: (F, 2): of each piece, whether the answer begins and ends with it.
        features: the windows that they are of.
        threshold: say "" where [CLS] has a score higher than the best span by more than this;
            None: never.
    """
    return [found[0].text for found in best(logits, features, threshold=threshold)]


def best(
    logits: NDArray[np.float32],
    features: Features,
    *,
    threshold: float | None = None,
    num: int = 1,
    max_characters: int = MAX_CHARACTERS,
) -> list[list[Answer]]:
    """Return the best answers to each question, the best first, at least one.

    Args:
        logits: (F, 2): of each piece, whether the answer begins and ends with it.
        features: the windows that they are of.
        threshold: that "" is the first where [CLS] has a score higher than the best span by more
            than this; None: "" is said only where there is no span.
        num: answers of a question at the most.
        max_characters: of an answer.
    """
    contexts, context_of = features.extra["contexts"], features.extra["context_of"]
    begins, ends, scores = _candidates(logits, features, max_characters=max_characters)
    none = _null(logits, features)
    windows = starts_of(np.bincount(features.rows, minlength=len(context_of)))
    found = []
    for row, (low, high) in enumerate(
        zip(windows[:-1].tolist(), windows[1:].tolist(), strict=True)
    ):
        spanned: dict[tuple[int, int], float] = {}
        own = scores[low:high].ravel()
        kept = np.argsort(-own, kind="stable")[: max(NUM_BEST, num)]
        text = contexts[int(context_of[row])]
        for begin, end, score in zip(
            begins[low:high].ravel()[kept].tolist(),
            ends[low:high].ravel()[kept].tolist(),
            own[kept].tolist(),
            strict=True,
        ):
            if score > -np.inf:
                spanned.setdefault(snapped(text, begin, end), score)
        answers = [(text[begin:end], begin, score) for (begin, end), score in spanned.items()]
        nothing = ("", 0, float(none[row]))
        if not answers:
            answers = [nothing]
        elif threshold is not None:
            says_none = nothing[2] - answers[0][2] > threshold
            place = 0 if says_none else max(1, sum(one[2] > nothing[2] for one in answers))
            answers.insert(place, nothing)
        found.append(_with_probability(answers)[:num])
    return found


def threshold(
    logits: NDArray[np.float32],
    features: Features,
    table: pa.Table,
    *,
    normaliser: Normaliser = "mlqa",
) -> float | None:
    """Return the threshold of "no answer" that gives the best F1 on a development split.

    Args:
        logits: of its windows.
        features: the windows.
        table: the split.
        normaliser: of answers.

    Returns:
        None where every question has an answer.
    """
    gold = [[one["text"] for one in row] for row in table["answers"].to_pylist()]
    if all(gold):
        return None
    answers = [found[0] for found in best(logits, features)]
    f1 = [
        squad_metric.exact_and_f1(
            texts, said.text, words=squad_metric.words_of(label, normaliser), second=True
        )[1]
        for texts, said, label in zip(gold, answers, table["label"].to_pylist(), strict=True)
    ]
    differences = _null(logits, features) - np.array([said.score for said in answers])
    has_answer = np.array([bool(texts) for texts in gold])
    return squad_metric.best_threshold(differences, np.array(f1), has_answer)[0]


def _null(logits: NDArray[np.float32], features: Features) -> NDArray[np.float64]:
    """Return the score of "no answer": that of [CLS] in the window that believes in it least."""
    own = logits[features.offsets[:-1]].sum(axis=1, dtype=np.float64)
    found = np.full(len(features.extra["context_of"]), np.inf)
    np.minimum.at(found, features.rows, own)
    return found


def _candidates(
    logits: NDArray[np.float32], features: Features, *, max_characters: int
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.float64]]:
    """Return characters where spans begin and end, and their scores, each (S, N).

    Spans that are none (they end before they begin, or are too long) have the score -inf. N is of
    pairs: the best of the pairs of good starts and good ends.
    """
    shape = (len(features), NUM_BEST)
    all_begins, all_ends = np.zeros(shape, np.int32), np.zeros(shape, np.int32)
    all_scores = np.full(shape, -np.inf)
    lengths = features.lengths
    order = np.argsort(lengths, kind="stable")
    for low in range(0, len(order), CHUNK):
        windows = order[low : low + CHUNK]
        places, own = spans(features.offsets, windows), lengths[windows]
        begins, ends = (
            padded(features.extra[name][places], own, fill=0) for name in ("begins", "ends")
        )
        outside = ends <= begins
        start, stop = (
            np.where(outside, -np.inf, padded(logits[places, side], own, fill=0)) for side in (0, 1)
        )
        top = min(NUM_BEST, start.shape[1])
        starts = np.argpartition(-start, top - 1, axis=1)[:, :top]
        stops = np.argpartition(-stop, top - 1, axis=1)[:, :top]
        # The likeliest piece by itself, so that there is a span wherever there is text.
        alone = (start + stop).argmax(axis=1)[:, None]
        starts, stops = np.append(starts, alone, axis=1), np.append(stops, alone, axis=1)

        def at(values: NDArray[Any], chosen: NDArray[np.int64]) -> NDArray[Any]:
            return np.take_along_axis(values, chosen, axis=1)

        scores = at(start, starts)[:, :, None] + at(stop, stops)[:, None, :].astype(np.float64)
        size = at(ends, stops)[:, None, :] - at(begins, starts)[:, :, None]
        backwards = starts[:, :, None] > stops[:, None, :]
        too_long = (size > max_characters) & (starts[:, :, None] != stops[:, None, :])
        scores[backwards | too_long] = -np.inf
        scores = scores.reshape(len(windows), -1)
        chosen = np.argsort(-scores, axis=1, kind="stable")[:, :NUM_BEST]
        num = chosen.shape[1]
        all_scores[windows, :num] = at(scores, chosen)
        all_begins[windows, :num] = at(begins, at(starts, chosen // stops.shape[1]))
        all_ends[windows, :num] = at(ends, at(stops, chosen % stops.shape[1]))
    return all_begins, all_ends, all_scores


def _with_probability(answers: Sequence[tuple[str, int, float]]) -> list[Answer]:
    scores = np.array([score for *_, score in answers])
    shares = np.exp(scores - scores.max())
    shares /= shares.sum()
    return [
        Answer(text, start, score, share)
        for (text, start, score), share in zip(answers, shares.tolist(), strict=True)
    ]


def _golden(
    table: pa.Table,
    context_of: NDArray[np.int64],
    pieces: tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]],
) -> NDArray[np.int64]:
    """Return the first and the last piece of each row's first answer in its context, -1 for none.

    Args:
        table: the questions.
        context_of: a row's number among the contexts.
        pieces: where each context begins among all pieces; where those begin and end in its text.
    """
    found = np.full((len(table), 2), -1, np.int64)
    if "answers" not in table.column_names:
        return found
    context_at, begins, ends = pieces
    for row, answers in enumerate(table["answers"].to_pylist()):
        if not answers:
            continue
        low, high = context_at[context_of[row] : context_of[row] + 2].tolist()
        text = np.flatnonzero(ends[low:high] > begins[low:high])
        start = answers[0]["start"]
        first = np.searchsorted(ends[low:high][text], start, side="right")
        end = start + len(answers[0]["text"])
        last = np.searchsorted(begins[low:high][text], end, side="left") - 1
        if first <= last:
            found[row] = text[first], text[last]
    return found


def _template(
    model: Model,
) -> tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32], NDArray[np.int8]]:
    """Return the special ids before, between and after two texts, and the types of the 5 parts."""
    one = model.tokenizer.encode("0", "0")
    of = np.array([-1 if part is None else part for part in one.sequence_ids])
    ids, types = np.array(one.ids, np.int32), np.array(one.type_ids, np.int8)
    (first,), (second,) = (np.flatnonzero(of == part)[[0]] for part in (0, 1))
    last_first, last_second = (int(np.flatnonzero(of == part)[-1]) for part in (0, 1))
    assert ids[0] == model.cls, "a window begins with [CLS], which stands for no answer"
    at = [0, first, last_first + 1, second, len(ids) - 1]
    return ids[:first], ids[last_first + 1 : second], ids[last_second + 1 :], types[at]


def _different(column: pa.ChunkedArray) -> tuple[list[str], NDArray[np.int64]]:
    """Return the different texts of a column, and which of them each row has."""
    coded = pc.cast(column, pa.large_string()).combine_chunks().dictionary_encode()
    if isinstance(coded, pa.ChunkedArray):
        coded = coded.combine_chunks()
    numbers = np.asarray(coded.indices.to_numpy(zero_copy_only=False), dtype=np.int64)
    return coded.dictionary.to_pylist(), numbers


def _with_spans(
    texts: Sequence[str], tokenizer: tokenizers.Tokenizer
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int32], NDArray[np.int32]]:
    """Return the pieces of texts, where each text begins, and their characters."""
    byte_of = bytes_of(tokenizer)
    ids, begins, ends = ([np.zeros(0, np.int32)] for _ in range(3))
    lengths = []
    for text, encoding in _encoded(texts, tokenizer):
        own = spans_of(encoding, text, byte_of)
        ids.append(np.array(encoding.ids, np.int32))
        begins.append(own[0])
        ends.append(own[1])
        lengths.append(len(own[0]))
    starts = starts_of(np.array(lengths, np.int64))
    return np.concatenate(ids), starts, np.concatenate(begins), np.concatenate(ends)


def _encoded(texts: Sequence[str], tokenizer: tokenizers.Tokenizer) -> Iterator[tuple[str, Any]]:
    for low in range(0, len(texts), CHUNK):
        some = texts[low : low + CHUNK]
        yield from zip(some, tokenizer.encode_batch(some, add_special_tokens=False), strict=True)
