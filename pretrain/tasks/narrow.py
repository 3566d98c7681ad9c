"""Tune with the rows of the vocabulary that the data has, and put them back.

A row whose piece never occurs gets no gradient, yet the optimizer goes through it in every step:
of a vocabulary of 64,000 pieces a task uses some thousands, and in a small multilingual encoder
nearly all weights are such rows. Left out, the rest learns the same.

Promises: afterwards the network has its whole vocabulary again, the rows that were not used bit for
bit as they were.
Does not promise: the last bits of training with all rows: sums over other shapes round elsewhere.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from .features import Features

MOST = 0.75
"""Share of rows in use from which on nothing is won."""


@contextmanager
def narrowed(
    network: nn.Module, *splits: Features, pad: int
) -> Iterator[tuple[tuple[Features, ...], int]]:
    """Give the network only the rows that the splits use, while the block runs.

    Yields:
        The splits with the numbers that their pieces have meanwhile, and that of padding.
    """
    whole_network: Any = network
    whole: nn.Embedding = whole_network.get_input_embeddings()
    used = np.unique(np.concatenate([[pad], *(np.unique(split.ids) for split in splits)]))
    if len(used) > MOST * whole.num_embeddings:
        yield splits, pad
        return
    place = np.full(whole.num_embeddings, -1, np.int32)
    place[used] = np.arange(len(used), dtype=np.int32)
    rows = torch.from_numpy(used).to(whole.weight.device)
    own_pad = None if whole.padding_idx is None else int(place[whole.padding_idx])
    few = nn.Embedding(
        len(used),
        whole.embedding_dim,
        padding_idx=own_pad if own_pad != -1 else None,
        _weight=whole.weight.detach()[rows].clone(),
    )
    whole_network.set_input_embeddings(few)
    try:
        yield tuple(replace(split, ids=place[split.ids]) for split in splits), int(place[pad])
    finally:
        with torch.no_grad():
            whole.to(few.weight.device)
            whole.weight[rows.to(few.weight.device)] = few.weight
        whole_network.set_input_embeddings(whole)
