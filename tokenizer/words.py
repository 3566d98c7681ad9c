"""Find the words of a text, where words have spaces between them, and count them.

A word is what `pipelines.tokens` says: letters, marks and numbers, with one apostrophe or hyphen
between two letters inside; no punctuation. Letters of scripts without spaces are in no word.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.bits import IGNORABLE
from pipelines.graphemes import CLUSTER_START, cluster_step
from pipelines.jit import kernel
from pipelines.tokens import BEGIN, EXTEND, IN_WORD, JOIN, NO_TOKEN, token_step
from pipelines.unicode import TABLES, Integer, Tables, buffers, decode, flags_of


def word_counts(text: pa.LargeStringArray) -> tuple[pa.LargeStringArray, NDArray[np.int64]]:
    """Return the different words of all lines, in the order of their first use, and their counts.

    Args:
        text: (lines,) valid UTF-8 without nulls.
    """
    offsets, data = buffers(text)
    num_bytes = int(offsets[-1] - offsets[0])
    spans = np.empty((num_bytes // 2 + len(text) + 1, 2), np.int64)
    spans = spans[: _find_words(offsets, data, TABLES, spans)]
    ends = np.zeros(len(spans) + 1, np.int64)
    np.cumsum(spans[:, 1] - spans[:, 0], out=ends[1:])
    out = np.empty(int(ends[-1]), np.uint8)
    _copy(data, spans, out)
    words = pa.LargeStringArray.from_buffers(len(spans), pa.py_buffer(ends), pa.py_buffer(out))
    counted = pc.value_counts(words)
    return counted.field("values"), counted.field("counts").to_numpy()


@kernel
def _find_words(
    offsets: NDArray[np.int64], data: NDArray[np.uint8], tables: Tables, spans: NDArray[np.int64]
) -> Integer:
    found = 0
    for line in range(offsets.shape[0] - 1):
        position, end = offsets[line], offsets[line + 1]
        state, cluster_state = NO_TOKEN, CLUSTER_START
        first = last = position
        in_word = False
        while position < end:
            code_point, width = decode(data, position)
            info = flags_of(tables, code_point)
            starts, cluster_state = cluster_step(cluster_state, info)
            action, state = token_step(state, code_point, info, starts)
            if in_word and (action == BEGIN or state == NO_TOKEN):
                spans[found, 0], spans[found, 1] = first, last
                found += 1
                in_word = False
            if state & IN_WORD and action in (BEGIN, EXTEND, JOIN):
                if action == BEGIN:
                    first = position
                    in_word = True
                last = position + width
            elif info & IGNORABLE and in_word:
                last = position + width  # a joiner is a part of the word's spelling
            position += width
        if in_word:
            spans[found, 0], spans[found, 1] = first, last
            found += 1
    return found


@kernel
def _copy(data: NDArray[np.uint8], spans: NDArray[np.int64], out: NDArray[np.uint8]) -> None:
    at = 0
    for index in range(spans.shape[0]):
        for position in range(spans[index, 0], spans[index, 1]):
            out[at] = data[position]
            at += 1
