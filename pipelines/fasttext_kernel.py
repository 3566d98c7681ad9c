"""fastText's prediction, straight from UTF-8 bytes: no string, no list, no Python object per text.

The results are those of fastText's own C++: labels and their order, ties too, and probabilities but
for the last bit of `exp` and `log` (where the C++ is compiled without fused multiplication, as it
is for x86-64).

Reads every supervised model of the format versions 11 and 12: softmax, hierarchical softmax, one
versus all, negative sampling; dense or quantised; n-grams pruned or not. A quantised input matrix
is unpacked where that takes less than 256 MB.

Does not promise: to notice that a mapped model file is changed or cut while it is in use.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .errors import DataError
from .fasttext_format import ModelFile
from .fasttext_input import ROOM_FOR_ROWS, Input, input_layer, text_vector
from .fasttext_output import Heap, Output, Path, choose, output_layer, score_labels
from .jit import kernel
from .unicode import Integer

BLOCK = 16  # texts that share one reading of the output matrix


class Predictor:
    """A model ready to predict. Threads may share it: each call has memory of its own."""

    def __init__(self, model: ModelFile) -> None:
        self._input = input_layer(model)
        self._output = output_layer(model)

    def predict(
        self, data: NDArray[np.uint8], offsets: NDArray[np.int64], *, count: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the best labels of each text.

        Args:
            data: (bytes,) the texts, UTF-8.
            offsets: (n + 1,) text `i` is `data[offsets[i]:offsets[i + 1]]`.
            count: how many labels.

        Returns:
            (n, count) numbers of labels, best first, -1 where there are no more; (n, count)
            probabilities, which fastText raises by 0.00001, so that they may exceed 1.

        Raises:
            DataError: the weights of the model are not all numbers.
        """
        if count < 1:
            raise ValueError(f"count must be at least 1, not {count}")
        offsets = np.ascontiguousarray(offsets, np.int64)
        num_texts = len(offsets) - 1
        lengths = np.diff(offsets)
        if offsets[0] < 0 or offsets[-1] > len(data) or int(lengths.min(initial=0)) < 0:
            raise ValueError("the offsets do not fit the data")
        longest = int(lengths.max(initial=0))
        dim, num_labels = self._output.weights.shape
        count_found = min(count, num_labels)
        labels = np.full((num_texts, count), -1, np.int32)
        probabilities = np.zeros((num_texts, count), np.float32)
        num_hashes = longest // 2 + 2 if self._input.word_ngrams > 1 else 1
        ok = _predict(
            self._input,
            self._output,
            data,
            offsets,
            count_found,
            np.empty(ROOM_FOR_ROWS, np.int64),
            np.empty(num_hashes, np.int64),
            np.empty((BLOCK, dim), np.float32),
            np.empty((BLOCK, num_labels), np.float32),
            Heap(np.empty(count_found + 1, np.float32), np.empty(count_found + 1, np.int32)),
            Path(
                np.empty(num_labels + 1, np.int32),
                np.empty(num_labels + 1, np.float32),
                np.empty(num_labels + 1, np.float32),
                np.empty(num_labels + 1, np.float64),
            ),
            labels,
            probabilities,
        )
        if not ok:
            raise DataError("The language model is damaged: its weights are not all numbers.")
        return labels, probabilities


@kernel
def _predict(
    layer: Input,
    output: Output,
    data: NDArray[np.uint8],
    offsets: NDArray[np.int64],
    count: Integer,
    rows: NDArray[np.int64],
    hashes: NDArray[np.int64],
    vectors: NDArray[np.float32],
    scores: NDArray[np.float32],
    heap: Heap,
    path: Path,
    labels: NDArray[np.int32],
    probabilities: NDArray[np.float32],
) -> bool:
    num_texts = labels.shape[0]
    for first in range(0, num_texts, BLOCK):
        block = min(BLOCK, num_texts - first)
        known = 0  # bit i: text i of the block has a row
        for i in range(block):
            start, end = offsets[first + i], offsets[first + i + 1]
            if text_vector(layer, data, start, end, rows, hashes, vectors[i]):
                known |= 1 << i
        score_labels(output, vectors, block, scores)
        for i in range(block):
            if not (known >> i) & 1:
                continue
            found = choose(output, scores[i], count, heap, path)
            if found < 0:
                return False
            for place in range(found):
                labels[first + i, place] = heap.labels[place]
                probabilities[first + i, place] = np.float32(math.exp(heap.scores[place]))
    return True
