"""From the vector of a text to its best labels, as fastText computes them.

The scores of all labels (of all inner nodes of the tree, for hierarchical softmax) are computed
together, for a block of texts at a time, so that the weights are read once for many texts; each
score is summed in the order in which fastText sums it, and ties fall as they do in its heap (that
of GNU's C++ library), so the results are the same to the last bit but for `exp` and `log`.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from .fasttext_format import HIERARCHICAL, SOFTMAX, ModelFile, Quantised
from .jit import kernel
from .unicode import Integer

Float = Any  # a float32 of a kernel
TILE = 256  # labels whose weights stay in the cache while a block of texts passes
SIGMOID_SIZE = 512
MAX_SIGMOID = 8
_LEAST_LOG = math.log(1e-5)
_SAFE = 0.99  # more than what rounding along a path of the tree can make up


class Output(NamedTuple):
    """The output layer, as the kernels take it."""

    loss: int
    weights: NDArray[np.float32]
    """(dimension, labels): the texts' order of summing, labels side by side."""
    scale: NDArray[np.float32]
    """(labels,) norms of a quantised matrix, else 1."""
    tree: NDArray[np.int32]
    """(2 * labels - 1, 2) children of the nodes of the tree, -1 for a label; (1, 2) if none."""
    sigmoid: NDArray[np.float32]
    """(513,) the table by which fastText looks the sigmoid up."""


class Heap(NamedTuple):
    """Room for the best labels, by `scores` with the least on top."""

    scores: NDArray[np.float32]
    labels: NDArray[np.int32]


class Path(NamedTuple):
    """Room for the nodes of the tree that are still to be visited."""

    nodes: NDArray[np.int32]
    parents: NDArray[np.float32]
    """The score of a node's parent."""
    shares: NDArray[np.float32]
    """The probability of a node if its parent is right."""
    products: NDArray[np.float64]
    """About the exponential of a node's score."""


def output_layer(model: ModelFile) -> Output:
    """Lay the output of a model out for the kernels."""
    matrix = model.output
    if isinstance(matrix, Quantised):
        weights, scale = matrix.directions(), matrix.row_norms()
    else:
        weights, scale = matrix, np.ones(matrix.shape[0], np.float32)
    tree = np.full((1, 2), -1, np.int32)
    if model.loss == HIERARCHICAL:
        tree = build_tree(model.dictionary.label_counts.tolist())
    return Output(
        model.loss, np.ascontiguousarray(weights.T, np.float32), scale, tree, _sigmoid_table()
    )


def build_tree(counts: list[int]) -> NDArray[np.int32]:
    """Return the children of each node of fastText's Huffman tree: labels first, the root last.

    Labels come with falling counts; two queues (labels from the end, inner nodes in order of
    making) then hold the least at their front. Where they don't, this is the same wrong tree as
    fastText's.
    """
    num_labels = len(counts)
    num_nodes = 2 * num_labels - 1
    tree = np.full((num_nodes, 2), -1, np.int32)
    weights = [float("inf")] * num_nodes
    weights[:num_labels] = counts
    leaf, node = num_labels - 1, num_labels
    for parent in range(num_labels, num_nodes):
        for side in range(2):
            if leaf >= 0 and weights[leaf] < weights[node]:
                tree[parent, side] = leaf
                leaf -= 1
            else:
                tree[parent, side] = node
                node += 1
        weights[parent] = weights[tree[parent, 0]] + weights[tree[parent, 1]]
    return tree


def _sigmoid_table() -> NDArray[np.float32]:
    span = 2 * MAX_SIGMOID
    points = (i * span / SIGMOID_SIZE - MAX_SIGMOID for i in range(SIGMOID_SIZE + 1))
    return np.array([1.0 / (1.0 + float(np.float32(math.exp(-x)))) for x in points], np.float32)


@kernel
def score_labels(
    output: Output, vectors: NDArray[np.float32], count: Integer, scores: NDArray[np.float32]
) -> None:
    """Multiply the first `count` vectors with the output matrix: (count, labels) into `scores`."""
    weights = output.weights
    dim, num_labels = weights.shape
    for first in range(0, num_labels, TILE):
        last = min(first + TILE, num_labels)
        for text in range(count):
            x, tile = vectors[text], scores[text, first:last]
            tile[:] = np.float32(0.0)
            j = 0
            # Eight rows at once, as arrays of their own, compile to vectors without reloading the
            # sums; one addition after the other is fastText's order.
            while j + 8 <= dim:
                a, b = weights[j, first:last], weights[j + 1, first:last]
                c, d = weights[j + 2, first:last], weights[j + 3, first:last]
                e, f = weights[j + 4, first:last], weights[j + 5, first:last]
                g, h = weights[j + 6, first:last], weights[j + 7, first:last]
                xa, xb, xc, xd, xe, xf = x[j], x[j + 1], x[j + 2], x[j + 3], x[j + 4], x[j + 5]
                xg, xh = x[j + 6], x[j + 7]
                for i in range(last - first):
                    total = tile[i] + xa * a[i]
                    total = total + xb * b[i]
                    total = total + xc * c[i]
                    total = total + xd * d[i]
                    total = total + xe * e[i]
                    total = total + xf * f[i]
                    total = total + xg * g[i]
                    tile[i] = total + xh * h[i]
                j += 8
            while j < dim:
                a, xa = weights[j, first:last], x[j]
                for i in range(last - first):
                    tile[i] += xa * a[i]
                j += 1
            for i in range(last - first):
                tile[i] *= output.scale[first + i]


@kernel
def choose(
    output: Output, scores: NDArray[np.float32], count: Integer, heap: Heap, path: Path
) -> Integer:
    """Find the best `count` labels of a text by its scores, which are overwritten.

    Returns:
        how many there are in `heap`, best first; -1 if a score is not a number.
    """
    for i in range(scores.shape[0]):
        if scores[i] != scores[i]:
            return -1
    if output.loss == HIERARCHICAL:
        size = _descend(output.tree, scores, count, heap, path)
    else:
        if output.loss == SOFTMAX:
            _softmax(scores)
        else:
            _look_up_sigmoid(output.sigmoid, scores)
        size = _best(scores, count, heap)
    for last in range(size - 1, 0, -1):  # std::sort_heap
        _pop(heap, last)
    return size


@kernel
def _softmax(scores: NDArray[np.float32]) -> None:
    top = scores[0]
    for i in range(scores.shape[0]):
        top = max(top, scores[i])
    total = np.float32(0.0)
    for i in range(scores.shape[0]):
        scores[i] = np.float32(math.exp(np.float64(scores[i] - top)))
        total += scores[i]
    for i in range(scores.shape[0]):
        scores[i] /= total


@kernel
def _look_up_sigmoid(table: NDArray[np.float32], scores: NDArray[np.float32]) -> None:
    for i in range(scores.shape[0]):
        x = scores[i]
        if x < -MAX_SIGMOID:
            scores[i] = np.float32(0.0)
        elif x > MAX_SIGMOID:
            scores[i] = np.float32(1.0)
        else:
            place = (x + np.float32(MAX_SIGMOID)) * np.float32(SIGMOID_SIZE // MAX_SIGMOID // 2)
            scores[i] = table[np.int64(place)]


@kernel
def _log(x: Float) -> Float:
    return np.float32(math.log(np.float64(x) + 1e-5))


@kernel
def _best(probabilities: NDArray[np.float32], count: Integer, heap: Heap) -> Integer:
    size = 0
    least = 0.0  # what is surely below the least of the heap needs no logarithm
    for label in range(probabilities.shape[0]):
        if np.float64(probabilities[label]) + 1e-5 < least:
            continue
        score = _log(probabilities[label])
        if size == count and score < heap.scores[0]:
            continue
        size = _insert(heap, size, count, score, label)
        if size == count:
            least = math.exp(np.float64(heap.scores[0])) * _SAFE
    return size


@kernel
def _descend(
    tree: NDArray[np.int32],
    scores: NDArray[np.float32],
    count: Integer,
    heap: Heap,
    path: Path,
) -> Integer:
    """Walk the tree from the root, left before right, leaving out what can't be among the best."""
    num_labels = (tree.shape[0] + 1) // 2
    size, least = 0, 1e-5 * _SAFE
    floor = np.float32(_LEAST_LOG)
    depth = 1
    path.nodes[0], path.parents[0] = tree.shape[0] - 1, np.float32(0.0)
    path.products[0] = 1.0
    is_root = True
    while depth:
        depth -= 1
        product = path.products[depth]
        if product < least:
            continue
        node = path.nodes[depth]
        score = path.parents[depth]
        if not is_root:
            score += _log(path.shares[depth])
        is_root = False
        if score < floor or (size == count and score < heap.scores[0]):
            continue
        if tree[node, 0] < 0:
            size = _insert(heap, size, count, score, node)
            if size == count:
                least = max(least, math.exp(np.float64(heap.scores[0])) * _SAFE)
            continue
        odds = np.float32(1.0) + np.float32(math.exp(-scores[node - num_labels]))
        right = np.float32(1.0 / np.float64(odds))
        left = np.float32(1.0 - np.float64(right))
        for side in range(2):  # the right one below the left one
            share = left if side else right
            path.nodes[depth] = tree[node, 1 - side]
            path.parents[depth], path.shares[depth] = score, share
            path.products[depth] = product * (np.float64(share) + 1e-5)
            depth += 1
    return size


@kernel
def _insert(heap: Heap, size: Integer, count: Integer, score: Float, label: Integer) -> Integer:
    """Add a label and drop the least if there are more than `count`; return how many there are."""
    _sift_up(heap, size, score, label)
    if size == count:
        _pop(heap, size)
        return size
    return size + 1


@kernel
def _sift_up(heap: Heap, hole: Integer, score: Float, label: Integer) -> None:
    while hole > 0:
        parent = (hole - 1) // 2
        if not heap.scores[parent] > score:
            break
        heap.scores[hole], heap.labels[hole] = heap.scores[parent], heap.labels[parent]
        hole = parent
    heap.scores[hole], heap.labels[hole] = score, label


@kernel
def _pop(heap: Heap, last: Integer) -> None:
    """Move the least to the place `last`, and make a heap of what is before it (std::pop_heap).

    The hole sinks to the bottom first and the element rises from there: that decides ties.
    """
    scores, labels = heap.scores, heap.labels
    score, label = scores[last], labels[last]
    scores[last], labels[last] = scores[0], labels[0]
    hole = child = 0
    while child < (last - 1) // 2:
        child = 2 * (child + 1)
        if scores[child] > scores[child - 1]:
            child -= 1
        scores[hole], labels[hole] = scores[child], labels[child]
        hole = child
    if last % 2 == 0 and last >= 2 and child == (last - 2) // 2:
        child = 2 * (child + 1)
        scores[hole], labels[hole] = scores[child - 1], labels[child - 1]
        hole = child - 1
    _sift_up(heap, hole, score, label)
