"""Judge texts by a model: its task's answer, or what stands behind [MASK].

    classify   the target of a text or a pair, with probabilities
    tag        entities (or every word's tag), where they are
    answer     the answer that a context has for a question, where it is
    mlm        the likeliest pieces for each [MASK]

Promises: texts are encoded as they were when the model was tuned, and with the same limits; the
answers come in the order of the texts, one for each, whatever becomes of others; places are code
points of the text as it was given. Through ONNX nothing of torch or transformers is loaded.
Does not promise: that probabilities are calibrated; they are the network's.

Shapes: L pieces of a sequence, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.errors import DataError

from ..models import Head, Model, open_model
from ..tasks.offsets import bytes_of
from . import words
from .lines import Asked
from .runtime import Backend, Use, features_of, head_of, open_backend, run

EMPTY = "it is empty"
"""The problem of a text without letters or signs; it is counted, and no failure."""
Answer = dict[str, Any]
"""`text` and, by the head, where it can be judged:

    classify   target, score, targets: the likeliest [{target, score}]; pair where there is one
    tag        entities: [{type, text, start, end, score}]; words: [{tag, text, start, end, score}]
    answer     question (not text), answer ("" for none), start, end, score, answers: the likeliest
    mlm        masks: of each the likeliest [{piece, score}]

`line` where it was one; `problem` where it can't be judged."""


@dataclass(frozen=True)
class Predicted:
    """Answers, and what to know of them."""

    answers: list[Answer]
    num_cut: int
    """Texts that were longer than the model takes: cut, or judged in parts."""


@dataclass(frozen=True)
class Predictor:
    """An opened model and what runs it."""

    model: Model
    head: Head
    backend: Backend
    note: str | None
    """Why it isn't the quickest way to run it."""
    targets: tuple[str, ...]
    """What is told apart, or the tags, in the order of the scores."""
    max_length: int
    """Pieces of a sequence, as in tuning."""

    @cached_property
    def byte_of(self) -> NDArray[np.int16]:
        """Return by id the byte that a piece stands for, as `tasks.offsets` has it."""
        return bytes_of(self.model.tokenizer)

    @property
    def mask(self) -> str:
        """Return what stands in a text for a piece that is to be guessed."""
        number = self.model.mask
        name = None if number is None else self.model.tokenizer.id_to_token(number)
        return name or "[MASK]"

    @property
    def scheme(self) -> str | None:
        """Return `BIO` where tags are of spans."""
        if self.model.task is not None:
            scheme: str | None = self.model.task.get("scheme")
            return scheme
        spans = [tag for tag in self.targets if tag != "O"]
        return "BIO" if spans and all(tag[:2] in ("B-", "I-") for tag in spans) else None

    def predict(
        self, asked: Sequence[Asked | str], *, top: int = 5, every_word: bool = False
    ) -> Predicted:
        """Judge texts.

        Args:
            asked: texts, pairs, or questions with their contexts.
            top: of targets, or of pieces for a [MASK].
            every_word: tags of all words also where they are of spans.
        """
        rows = [_checked(Asked(one) if isinstance(one, str) else one, self) for one in asked]
        good = [row for row in rows if row.problem is None]
        if self.head == "classify":
            found, num_cut = self._classify(good, top=top)
        elif self.head == "tag":
            found, num_cut = self._tag(good, every_word=every_word)
        elif self.head == "answer":
            found, num_cut = self._answer(good, top=top)
        else:
            found, num_cut = self._fill(good, top=top)
        judged = iter(found)
        answers = []
        for row in rows:
            text = {"question" if self.head == "answer" else "text": row.text}
            line = {} if row.line is None else {"line": row.line}
            own = {"problem": row.problem} if row.problem else next(judged)
            answers.append({**row.extra, **line, **text, **own})
        return Predicted(answers, num_cut)

    def _classify(self, rows: Sequence[Asked], *, top: int) -> tuple[list[Answer], int]:
        from ..tasks import classify

        table = pa.table(
            {
                "text": pa.array([row.text for row in rows], pa.large_string()),
                "pair": pa.array([row.pair for row in rows], pa.large_string()),
            }
        )
        features = classify.encode(
            table, self.model, targets=self.targets, max_length=self.max_length
        )
        found: list[Answer] = [{}] * len(rows)
        for number, (logits,) in run(self.backend, self.head, features, pad=self.model.pad):
            scores = softmax(logits)
            best = np.argsort(-scores, kind="stable")[: max(1, top)].tolist()
            ranked = [{"target": self.targets[at], "score": float(scores[at])} for at in best]
            pair = rows[number].pair
            found[number] = {**({} if pair is None else {"pair": pair}), **ranked[0]}
            found[number]["targets"] = ranked
        return found, features.extra["num_cut"]

    def _tag(self, rows: Sequence[Asked], *, every_word: bool) -> tuple[list[Answer], int]:
        from ..tasks import tag

        spans = [
            words.words_of(row.text, self.model.tokenizer, byte_of=self.byte_of) for row in rows
        ]
        texts = [
            [row.text[begin:end] for begin, end in of_row]
            for row, of_row in zip(rows, spans, strict=True)
        ]
        table = pa.table({"words": pa.array(texts, pa.list_(pa.string()))})
        features = tag.encode(table, self.model, targets=self.targets, max_length=self.max_length)
        tags = [["O"] * len(of_row) for of_row in spans]
        scores = [[0.0] * len(of_row) for of_row in spans]
        for number, (logits,) in run(self.backend, self.head, features, pad=self.model.pad):
            at = int(features.rows[number])
            own = features.extra["words"][features.offsets[number] : features.offsets[number + 1]]
            first = np.flatnonzero(own >= 0)
            likely = softmax(logits[first])
            for word, target, score in zip(
                own[first].tolist(),
                likely.argmax(-1).tolist(),
                likely.max(-1, initial=0).tolist(),
                strict=True,
            ):
                tags[at][word], scores[at][word] = self.targets[target], score
        found: list[Answer] = []
        for row, of_row, own_tags, own_scores in zip(rows, spans, tags, scores, strict=True):
            answer: Answer = {}
            if self.scheme:
                answer["entities"] = words.entities(row.text, of_row, own_tags, own_scores)
            if every_word or not self.scheme:
                answer["words"] = [
                    {"tag": one, "text": row.text[a:b], "start": a, "end": b, "score": score}
                    for (a, b), one, score in zip(of_row, own_tags, own_scores, strict=True)
                ]
            found.append(answer)
        return found, features.extra["num_cut"]

    def _answer(self, rows: Sequence[Asked], *, top: int) -> tuple[list[Answer], int]:
        from ..tasks import answer

        said = self.model.task or {}
        stride = (said.get("settings") or {}).get("stride")
        table = pa.table(
            {
                "question": pa.array([row.text for row in rows], pa.large_string()),
                "context": pa.array([row.pair for row in rows], pa.large_string()),
            }
        )
        features = answer.encode(
            table,
            self.model,
            max_length=self.max_length,
            stride=self.max_length // 3 if stride is None else stride,
        )
        logits = np.zeros((len(features.ids), 2), np.float32)
        for number, sides in run(self.backend, self.head, features, pad=self.model.pad):
            own = slice(*features.offsets[number : number + 2].tolist())
            logits[own] = np.stack(sides, axis=-1)
        threshold = said.get("no_answer_threshold")
        found: list[Answer] = []
        for answers in answer.best(logits, features, threshold=threshold, num=max(1, top)):
            ranked = [
                {
                    "answer": one.text,
                    "start": one.start if one.text else None,
                    "end": one.start + len(one.text) if one.text else None,
                    "score": one.probability,
                }
                for one in answers
            ]
            found.append({**ranked[0], "answers": ranked})
        return found, features.extra["num_cut"]

    def _fill(self, rows: Sequence[Asked], *, top: int) -> tuple[list[Answer], int]:
        """Fill in each [MASK]; of a text that is too long, each gets what stands around it."""
        model = self.model
        sequences: list[list[int]] = []
        places: list[tuple[int, list[int], list[int]]] = []
        num_cut = 0
        for number, row in enumerate(rows):
            ids = model.tokenizer.encode(row.text).ids
            masks = [at for at, piece in enumerate(ids) if piece == model.mask]
            whole = len(ids) <= self.max_length
            num_cut += not whole
            for own in [masks] if whole else [[at] for at in masks]:
                window, begin = (ids, 0) if whole else _around(ids, own[0], self.max_length)
                sequences.append(window)
                # Among this row's masks, and in the sequence.
                places.append((number, [masks.index(at) for at in own], [at - begin for at in own]))
        filled: list[list[Any]] = [[] for _ in rows]
        for number, _, own in places:
            filled[number] += [None] * len(own)
        features = features_of(sequences)
        for number, (logits,) in run(self.backend, self.head, features, pad=model.pad):
            row_number, which, at = places[number]
            for mask, likely in zip(which, softmax(logits[at]), strict=True):
                best = np.argsort(-likely, kind="stable")[: max(1, top)].tolist()
                filled[row_number][mask] = [
                    {"piece": self._piece(piece), "score": float(likely[piece])} for piece in best
                ]
        return [{"masks": own} for own in filled], num_cut

    def _piece(self, number: int) -> str:
        """Return a piece as its text; by its name where that is no text, as of a single byte."""
        text: str = self.model.tokenizer.decode([number])
        plain = text.strip()
        if plain and "\ufffd" not in plain:
            return plain
        name: str | None = self.model.tokenizer.id_to_token(number)
        return name or f"#{number}"


def open_predictor(
    folder: str | Path, *, use: Use = "auto", threads: int | None = None
) -> Predictor:
    """Open a folder to judge texts with.

    Args:
        folder: of a tuned model, or of an encoder with the head it was pretrained with.
        use: what runs it; see `runtime.open_backend`.
        threads: of one operation; the library's own choice when left out.

    Raises:
        ConfigError: the file that `use` names isn't there.
        DataError: there is no such model, it is damaged, or has no head.
        EnvironmentProblem: the library that it needs isn't installed.
    """
    model = open_model(folder)
    head = head_of(model)
    if head == "none":
        raise DataError(
            f"{model.folder}: is an encoder without a head, so that it predicts nothing.\n"
            "  `koine tune` gives it one."
        )
    targets: tuple[str, ...] = ()
    if head in ("classify", "tag"):
        names: Mapping[str, str] = model.config.get("id2label") or {}
        targets = tuple(names[key] for key in sorted(names, key=int))
        if not targets:
            raise DataError(
                f"{model.folder / 'config.json'}: has no `id2label`, the names of the targets.\n"
                "  Tune the model again."
            )
    longest = int((model.task or {}).get("max_length") or model.max_length)
    opened = open_backend(model, head, use=use, threads=threads)
    return Predictor(
        model=model,
        head=head,
        backend=opened.backend,
        note=opened.note,
        targets=targets,
        max_length=min(model.max_length, longest),
    )


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return probabilities over the last axis."""
    apart = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    powers = np.exp(apart)
    likely: NDArray[np.float64] = powers / powers.sum(axis=-1, keepdims=True)
    return likely


def _checked(row: Asked, predictor: Predictor) -> Asked:
    """Return what is asked, with its problem if the model can't judge it."""
    if row.problem:
        return row
    for text in (row.text, row.pair or ""):
        try:
            text.encode()
        except UnicodeEncodeError:
            shown = row.text.encode(errors="replace").decode()
            return replace(row, text=shown, problem="it is no text: it has half a surrogate pair")
    if not row.text.strip():
        return replace(row, problem=EMPTY)
    problem = None
    if predictor.head == "answer" and not (row.pair or "").strip():
        problem = "the question has no context"
    elif predictor.head == "mlm" and (name := predictor.mask) not in row.text:
        problem = f"it has no {name}"
    return replace(row, problem=problem)


def _around(ids: list[int], at: int, length: int) -> tuple[list[int], int]:
    """Return the pieces around a place, special ones at the ends, and the place of the first."""
    room = length - 2
    begin = min(max(1, at - room // 2), len(ids) - 1 - room)
    return [ids[0], *ids[begin : begin + room], ids[-1]], begin - 1
