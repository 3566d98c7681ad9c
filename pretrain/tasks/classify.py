"""Texts, or pairs of texts, that are told apart as wholes: one sequence each.

Promises: a text that is too long is cut at its end, of a pair always the longer one; how many were
is in `extra["num_cut"]`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from ..models import Model
from .encode import CHUNK, flatten, numbers_of
from .features import IGNORED, Features


def encode(table: pa.Table, model: Model, *, targets: Sequence[str], max_length: int) -> Features:
    """Return one sequence for each example.

    Args:
        table: columns `text`, and where there are any `pair` and `target`.
        model: whose tokenizer is taken.
        targets: names of what is told apart; an example of another one, or of none, is `IGNORED`.
        max_length: pieces of a sequence at the most, special ones counted.
    """
    cut: list[int] = []

    def chunks() -> Iterator[Sequence[Any]]:
        for batch in table.to_batches(max_chunksize=CHUNK):
            texts = batch.column("text").to_pylist()
            pairs = batch.column("pair").to_pylist() if "pair" in table.column_names else None
            inputs = (
                [x if y is None else (x, y) for x, y in zip(texts, pairs, strict=True)]
                if pairs and any(y is not None for y in pairs)
                else texts
            )
            encodings = model.tokenizer.encode_batch_fast(inputs)
            cut.append(sum(bool(encoding.overflowing) for encoding in encodings))
            if model.takes_types:
                types.extend(np.array(one.type_ids, dtype=np.int8) for one in encodings)
            yield encodings

    types: list[NDArray[np.int8]] = []
    model.tokenizer.enable_truncation(max_length, strategy="longest_first")
    try:
        ids, offsets = flatten(chunks())
    finally:
        model.tokenizer.no_truncation()
    return Features(
        ids=ids,
        offsets=offsets,
        rows=np.arange(len(table), dtype=np.int64),
        targets=_targets(table, targets),
        types=np.concatenate([np.zeros(0, np.int8), *types]) if model.takes_types else None,
        extra={"num_cut": sum(cut)},
    )


def decode(logits: NDArray[np.float32], *, targets: Sequence[str]) -> list[str]:
    """Return the likeliest target of each example; logits are (S, targets)."""
    return [targets[number] for number in logits.argmax(axis=1).tolist()] if len(logits) else []


def _targets(table: pa.Table, targets: Sequence[str]) -> NDArray[np.int64]:
    if "target" not in table.column_names:
        return np.full(len(table), IGNORED, np.int64)
    return numbers_of(pc.cast(table["target"], pa.string()), targets, other=IGNORED)
