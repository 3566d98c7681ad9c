"""Fill micro-batches of a fixed number of tokens with examples, in their order.

Promises: a micro-batch takes the next examples while they fit, and padding fits as well. More than
99 % of the slots are used where there are slots for enough sequences, but for the last micro-batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .masking import num_each

Long = NDArray[np.int64]

SLACK = 1000
"""A micro-batch is searched for a better last example where more than 1/1000 of it is empty."""
AHEAD = 128
"""The search goes through so many examples."""


@dataclass(frozen=True, slots=True)
class Packing:
    """The fixed shape of a micro-batch."""

    num_tokens: int
    """Slots for tokens."""
    max_length: int
    """Tokens of the longest sequence, special ones counted."""
    max_sequences: int
    """Slots for sequences; padding takes some, as pseudo-sequences of `max_length` at the most."""


def num_slots(packing: Packing, rate: float) -> int:
    """Return the slots for masked tokens of a micro-batch: a multiple of 8.

    Args:
        packing: its shape.
        rate: share of masked tokens.
    """
    return max(8, -(-round(rate * packing.num_tokens) // 8) * 8)


def tighten(lengths: Long, packing: Packing) -> Long:
    """Return an order of examples, near the one they are in, in which less is left empty.

    Where a micro-batch would be left with more than a 1000th of it empty, the longest of the next
    examples that fits there changes places with the one that does not.

    Args:
        lengths: of the examples; shape (examples,).
        packing: the shape of micro-batches.
    """
    order, sizes = np.arange(len(lengths)), lengths.copy()
    at = 0
    while at < len(sizes):
        num = _num_fitting(sizes[at : at + packing.max_sequences], packing)
        room = packing.num_tokens - int(sizes[at : at + num].sum())
        at += num
        while room > packing.num_tokens // SLACK:
            ahead = sizes[at : at + AHEAD]
            fitting = np.where(ahead <= room, ahead, 0)
            best = int(fitting.argmax()) if len(fitting) else 0
            found = int(fitting[best]) if len(fitting) else 0
            num += 1
            if not found or num - -(found - room) // packing.max_length > packing.max_sequences:
                break
            for array in (order, sizes):
                array[at], array[at + best] = array[at + best], array[at]
            room -= found
            at += 1
    return order


def pack(lengths: Long, packing: Packing, *, mask_rate: float | None = None) -> Long:
    """Return where micro-batches begin: each takes the next examples while they fit.

    Args:
        lengths: of the examples, in their order; shape (examples,).
        packing: the shape of micro-batches.
        mask_rate: each sequence has this share of it masked (`masking.num_each`), and the slots for
            masked tokens must hold them, too.

    Returns:
        Numbers of examples, the last one how many there are; shape (micro-batches + 1,).
    """
    masks = None if mask_rate is None else num_each(lengths, rate=mask_rate)
    slots = 0 if mask_rate is None else num_slots(packing, mask_rate)
    starts = [0]
    while starts[-1] < len(lengths):
        ahead = slice(starts[-1], starts[-1] + packing.max_sequences)
        num = _num_fitting(lengths[ahead], packing)
        if masks is not None:
            num = min(num, int(np.count_nonzero(np.cumsum(masks[ahead]) <= slots)))
        assert num, "an example is larger than a micro-batch"
        starts.append(starts[-1] + num)
    return np.array(starts, np.int64)


def _num_fitting(sizes: Long, packing: Packing) -> int:
    """Return how many of these examples a micro-batch holds, padding being sequences as well."""
    total = np.cumsum(sizes)
    padding = -((total - packing.num_tokens) // packing.max_length)
    fits = (total <= packing.num_tokens) & (
        np.arange(1, len(total) + 1) + padding <= packing.max_sequences
    )
    return int(np.count_nonzero(fits))
