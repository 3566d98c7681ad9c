"""Attention made small enough for a page: a byte for each weight, and pictures of a kilobyte.

A weight is kept as `round(255 * sqrt(weight))`, which is fine where weights are small: 0.4 points
off at most, 0.1 at a weight of 7 %. Twelve layers of twelve heads over 512 pieces are 38 million
weights, so each head is deflated; and where that is still too much for a page, the smallest
weights of a row are left out and shown as their mean, which keeps the row's sum at 1.

Promises: the packed weights take no more than the room given; `cutoff` says what was left out.
Does not promise: more than a weight's two first digits; the numbers themselves are in what
`attention.Reader` returns.
"""

from __future__ import annotations

import base64
import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .heads import reach_of

STEPS = 255
ROOM = 3_600_000
"""Characters of all packed weights: a page stays below 5 MB."""
CUTOFFS = (0.0, 5e-4, 1e-3, 2e-3, 3e-3, 5e-3, 7e-3, 0.01, 0.02, 0.05)
"""Below these weights are left out, the first that is enough."""
THUMB = 64
"""Pixels of a picture's side at most."""
INK = (11, 79, 102)
_SHADES = 16


@dataclass(frozen=True)
class Packed:
    """The weights of all heads, packed."""

    heads: tuple[str, ...]
    """Of each layer and head: base64 of deflated bytes, row by row."""
    cutoff: float
    """Weights below it are shown as the mean of those left out of their row."""


def quantised(weights: NDArray[np.float32], *, cutoff: float = 0.0) -> NDArray[np.uint8]:
    """Return weights as bytes; 0 stands for what is left out."""
    levels = np.rint(STEPS * np.sqrt(weights))
    if cutoff:
        levels[weights < cutoff] = 0
    return np.asarray(levels, dtype=np.uint8)


def restored(levels_QK: NDArray[np.uint8], *, window: int | None) -> NDArray[np.float64]:
    """Return the weights of a head as a page shows them: rows sum to 1 again.

    Args:
        levels_QK: of one head, by `quantised`.
        window: pieces that its layer sees on either side; None of all.
    """
    weights_QK = (levels_QK / STEPS) ** 2
    reach_QK = reach_of(len(levels_QK), window)
    left_out_QK = (levels_QK == 0) & reach_QK
    num_Q, sum_Q = left_out_QK.sum(axis=1), weights_QK.sum(axis=1)
    rest_Q = np.where(num_Q > 0, np.maximum(1 - sum_Q, 0) / np.maximum(num_Q, 1), 0)
    weights_QK = np.where(left_out_QK, rest_Q[:, None], weights_QK)
    return np.asarray(weights_QK / weights_QK.sum(axis=1, keepdims=True))


def packed(weights_LHQK: NDArray[np.float32], *, room: int = ROOM) -> Packed:
    """Pack the weights of all heads into so many characters.

    Args:
        weights_LHQK: attention of layer, head, asking piece, attended piece.
        room: characters that all heads may take.
    """
    heads_NQK = weights_LHQK.reshape(-1, *weights_LHQK.shape[2:])
    # A sample tells which cutoff will do, since packing all of a long text takes seconds.
    sample = heads_NQK[:: max(1, len(heads_NQK) // 12)]
    for cutoff in CUTOFFS[:-1]:
        if heads_NQK.size * 4 / 3 < room:
            break
        size = sum(len(_deflated(head, cutoff)) for head in sample)
        if size * len(heads_NQK) / len(sample) < 0.9 * room:
            break
    else:
        cutoff = CUTOFFS[-1]
    for at in range(CUTOFFS.index(cutoff), len(CUTOFFS)):
        found = tuple(_deflated(head, CUTOFFS[at]) for head in heads_NQK)
        if sum(map(len, found)) <= room:
            break
    return Packed(found, CUTOFFS[at])


def _deflated(head_QK: NDArray[np.float32], cutoff: float) -> str:
    data = zlib.compress(quantised(head_QK, cutoff=cutoff).tobytes(), 6)
    return base64.b64encode(data).decode()


def thumbnail(weights_QK: NDArray[np.float32]) -> str:
    """Return a head's attention as a small picture, a PNG in base64: ink on nothing.

    Of a long text a pixel is several pieces: the share of attention that goes from those to these.
    """
    num = len(weights_QK)
    if num > THUMB:
        edges = np.linspace(0, num, THUMB + 1).round().astype(int)
        sums = np.add.reduceat(np.add.reduceat(weights_QK, edges[:-1], 0), edges[:-1], 1)
        weights_QK = (sums / np.diff(edges)[:, None]).astype(np.float32)
    shades = np.rint((_SHADES - 1) * np.sqrt(np.clip(weights_QK, 0, 1))).astype(np.uint8)
    return base64.b64encode(_png(shades)).decode()


def _png(shades: NDArray[np.uint8]) -> bytes:
    """Return a PNG of 16 shades of one ink, from transparent to opaque."""
    height, width = shades.shape
    padded = np.pad(shades, ((0, 0), (0, width % 2)))
    nibbles = (padded[:, ::2] << 4) | padded[:, 1::2]
    rows = b"".join(b"\0" + row.tobytes() for row in nibbles)
    alphas = bytes(math.floor(255 * shade / (_SHADES - 1)) for shade in range(_SHADES))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        _chunk(kind, data)
        for kind, data in (
            (b"IHDR", struct.pack(">IIBBBBB", width, height, 4, 3, 0, 0, 0)),
            (b"PLTE", bytes(INK) * _SHADES),
            (b"tRNS", alphas),
            (b"IDAT", zlib.compress(rows, 9)),
            (b"IEND", b""),
        )
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def thumbnails(weights_LHQK: NDArray[np.float32]) -> Sequence[Sequence[str]]:
    """Return the pictures of all heads, layer by layer."""
    return [[thumbnail(head) for head in layer] for layer in weights_LHQK]
