"""Splits that no file gives: a tenth of the training examples each, drawn by a hash.

Of the id, or of the context where contexts have several questions. An example's split hangs on
nothing but itself and the seed: it stays when others are added or reordered. So nothing is
stratified, which would need the others. Translations of a text whose ids differ by the language
stay together, or a model would be judged on what it has read in another language.

Promises: training keeps at least one example; so does each split, where there are enough.
"""

from __future__ import annotations

import hashlib
import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

SHARE = 0.1
"""Of the training examples, for each split that no file gives."""


def drawn(table: pa.Table, num: int, *, seed: int) -> NDArray[np.int64]:
    """Return for each row 0 (training), or the number of the split, from 1, that it becomes.

    Args:
        table: examples, with the column `code` of how each writes its language.
        num: how many splits to draw.
        seed: other splits come of another.
    """
    encoded = pc.dictionary_encode(_keys(table).combine_chunks())
    salt = str(seed).encode()[:64]
    hashes = np.array(
        [
            int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8, key=salt).digest(), "big")
            for key in encoded.dictionary.to_pylist()
        ],
        np.uint64,
    )
    places = hashes / 2**64
    split = np.where(places < SHARE * num, 1 + (places / SHARE).astype(np.int64), 0)
    if len(np.unique(split)) <= num:
        # So few that a split would be empty: by rank then, at least one each, training first.
        ranks = np.argsort(np.argsort(hashes))
        each = max(1, round(SHARE * len(hashes))) if len(hashes) > num else 0
        split = np.where(ranks < each * num, 1 + ranks // max(each, 1), 0)
    found: NDArray[np.int64] = split[encoded.indices.to_numpy(zero_copy_only=False)]
    return found


def _keys(table: pa.Table) -> pa.ChunkedArray:
    """Return what decides the split of each row: the context, or the id without its language."""
    if "context" in table.column_names:
        return table["context"]
    ids = table["id"].combine_chunks()
    pairs = pa.table(
        {"label": table["label"].cast(pa.string()), "code": pc.fill_null(table["code"], "")}
    )
    joined = pc.binary_join_element_wise(pairs["label"], pairs["code"], " ")
    encoded = pc.dictionary_encode(joined.combine_chunks())
    index = encoded.indices.to_numpy(zero_copy_only=False)
    parts, order = [], []
    for number, pair in enumerate(encoded.dictionary.to_pylist()):
        label, _, code = pair.partition(" ")
        rows = np.flatnonzero(index == number)
        order.append(rows)
        names = sorted({label, label.partition("_")[0], code} - {""}, key=len, reverse=True)
        pattern = rf"(^|[^A-Za-z])(?:{'|'.join(map(re.escape, names))})([^A-Za-z]|$)"
        parts.append(pc.replace_substring_regex(ids.take(rows), pattern, r"\1\2"))
    if not parts:
        return pa.chunked_array([ids])
    back = np.argsort(np.concatenate(order))
    return pa.chunked_array([pa.concat_arrays(parts).take(back)])
