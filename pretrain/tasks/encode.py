"""Encode task data once, for all seeds; and tell how well the vocabulary serves each language.

Promises: every split is tokenised one time, whatever the number of seeds; what a task makes of
logits takes the features that its encoder made.
Does not promise: more than a tokenizer does: text that it loses is lost. `unknown` counts it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..models import Model
from ..ragged import starts_of
from .features import Features
from .settings import TuneSettings, max_length

if TYPE_CHECKING:
    from .settings import Task

CHUNK = 4096
"""Texts that are encoded together: their encodings, some kilobytes each, are held at once."""


def encode(
    task: Task,
    table: pa.Table,
    model: Model,
    *,
    targets: Sequence[str],
    settings: TuneSettings,
) -> Features:
    """Return the sequences of a split.

    Args:
        task: what is learnt.
        table: examples, as `data.TaskData` has them.
        model: whose tokenizer is taken.
        targets: names of what is told apart, or of the tags; an example of another one gets
            `IGNORED`. Empty for answers.
        settings: for the lengths.
    """
    length = max_length(settings, task=task, longest=model.max_length)
    if task == "classify":
        from . import classify

        return classify.encode(table, model, targets=targets, max_length=length)
    if task == "tag":
        from . import tag

        return tag.encode(table, model, targets=targets, max_length=length)
    from .answer import encode as windows

    stride = length // 3 if settings.stride is None else settings.stride
    return windows(table, model, max_length=length, stride=stride)


def decode(
    task: Task,
    logits: NDArray[np.float32],
    features: Features,
    *,
    targets: Sequence[str],
    threshold: float | None = None,
) -> list[Any]:
    """Return what is predicted for each example: a target, a list of tags, or an answer's text.

    Args:
        task: what was learnt.
        logits: as `loop.predict` returns them.
        features: what they were predicted for.
        targets: as they were encoded with.
        threshold: answers: how much likelier "none" has to be.
    """
    if task == "classify":
        from . import classify

        return classify.decode(logits, targets=targets)
    if task == "tag":
        from . import tag

        return tag.decode(logits, features, targets=targets)
    from .answer import decode as answers

    return list(answers(logits, features, threshold=threshold))


def flatten(chunks: Iterable[Sequence[Any]]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the ids of encodings one after the other, and where each begins (n + 1)."""
    ids: list[NDArray[np.int32]] = []
    lengths: list[int] = []
    for encodings in chunks:
        for encoding in encodings:
            own = encoding.ids
            lengths.append(len(own))
            ids.append(np.array(own, dtype=np.int32))
    flat = np.concatenate(ids) if ids else np.zeros(0, np.int32)
    return flat, starts_of(np.array(lengths, dtype=np.int64))


def unknown(features: Features, table: pa.Table, model: Model) -> dict[str, float]:
    """Return by language the share of pieces that stand for no text of their own.

    Those are unknown ones and bytes: the vocabulary doesn't know the text, and the network sees
    nothing, or letters in parts.
    """
    is_lost = np.zeros(model.tokenizer.get_vocab_size(with_added_tokens=True) + 1, bool)
    for piece, number in model.tokenizer.get_vocab(with_added_tokens=True).items():
        if number < len(is_lost):
            is_lost[number] = piece in ("[UNK]", "<unk>") or (
                len(piece) == 6 and piece.startswith("<0x") and piece.endswith(">")
            )
    special = np.isin(features.ids, [model.cls, model.sep, model.pad])
    languages = codes(table["label"])
    names = languages.dictionary.to_pylist()
    numbers = languages.indices.to_numpy(zero_copy_only=False)[features.rows]
    of_piece = np.repeat(numbers, features.lengths)[~special]
    total = np.bincount(of_piece, minlength=len(names))
    lost = np.bincount(of_piece[is_lost[features.ids[~special]]], minlength=len(names))
    return {
        name: float(part / whole)
        for name, part, whole in zip(names, lost.tolist(), total.tolist(), strict=True)
        if whole
    }


def codes(column: pa.ChunkedArray) -> pa.DictionaryArray:
    """Return a column of strings as numbers and their names, those that occur, sorted."""
    values = pc.cast(column, pa.string()).combine_chunks()
    if isinstance(values, pa.ChunkedArray):  # of no chunks
        values = pa.array([], pa.string())
    names = pc.sort_indices(pc.unique(values))
    names = pc.unique(values).take(names)
    return pa.DictionaryArray.from_arrays(pc.index_in(values, value_set=names), names)


def numbers_of(values: pa.Array, names: Sequence[str], *, other: int) -> NDArray[np.int64]:
    """Return the place of each string among names, `other` for one that is not among them."""
    found = pc.fill_null(pc.index_in(values, value_set=pa.array(list(names), pa.string())), other)
    return np.asarray(found.to_numpy(zero_copy_only=False), dtype=np.int64)
