"""Micro-batches and models for tests of the encoder: packed sequences of given lengths."""

from collections.abc import Sequence

import numpy as np
import torch

from pretrain.masking import CLS, NUM_SPECIAL, PAD, SEP
from pretrain.model import Inputs, Pretrainer
from pretrain.presets import Shape

ROWS = 256
LENGTHS = (1, 2, 48, 5, 17, 48, 40, 33, 48, 9)
LONGEST = 48
SHAPES = {
    "bert": Shape("bert", 3, 128, 2, 256, 64, nsp=True),
    # Four layers: the first and the last see everything; windows of 12 on both sides.
    "modern": Shape("modern", 4, 128, 2, 128, 64, nsp=False, window=24),
}


def packed(
    lengths: Sequence[int] = LENGTHS,
    *,
    num_padding: int = 61,
    longest: int = LONGEST,
    num_masked: int = 40,
    num_unused: int = 3,
    rows: int = ROWS,
    seed: int = 0,
) -> Inputs:
    """Sequences one after the other, then padding as sequences of its own, then empty ones."""
    rng = np.random.default_rng(seed)
    num_real, num = sum(lengths), sum(lengths) + num_padding
    borders = list(np.cumsum([0, *lengths]))
    while borders[-1] < num:
        borders.append(min(borders[-1] + longest, num))
    starts = np.repeat(borders[:-1], np.diff(borders))
    positions = np.arange(num) - starts
    ids = rng.integers(NUM_SPECIAL, rows, num)
    ids[borders[: len(lengths)]] = CLS
    ids[np.cumsum(lengths) - 1] = SEP
    ids[num_real:] = PAD
    halves = np.repeat(np.diff(borders) // 2, np.diff(borders))
    cu = np.array([*borders, *[num] * 4])
    masked = np.sort(rng.permutation(num_real)[: num_masked - num_unused])
    unused = np.zeros(num_unused, np.int64)
    num_slots = len(cu) - 1
    pair_weights = (np.arange(num_slots) < len(lengths)) & (np.arange(num_slots) != 1)
    arrays = (
        ids.astype(np.int32),
        positions.astype(np.int32),
        (positions >= halves).astype(np.int32),
        cu.astype(np.int32),
        np.concatenate([masked, unused]),
        rng.integers(NUM_SPECIAL, rows, num_masked),
        (np.arange(num_masked) < len(masked)).astype(np.float32),
        rng.integers(0, 2, num_slots),
        pair_weights.astype(np.float32),
    )
    return Inputs(*map(torch.from_numpy, arrays))


def loud(model: Pretrainer) -> Pretrainer:
    """Make every weight of a model matter: at the start, norms and small weights hide mistakes."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim > 1:
                weight *= 4
            else:
                weight += 0.3 * torch.randn(weight.shape, generator=generator)
    return model
