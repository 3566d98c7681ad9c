"""Sequences of pieces, ready for a network: flat arrays, whatever the task.

A sequence is `ids[offsets[s]:offsets[s + 1]]`, with [CLS] and [SEP] in it, never padded: padding is
made for each batch, as wide as that batch needs. `rows[s]` is the example it came from, since one
example can give several sequences (windows) and some give none that is whole.

Promises: no Python object per piece or per sequence; a selection is a copy in the order asked for.
Does not promise: that ids are of a certain vocabulary.

Shapes: S sequences, F pieces of all sequences, B sequences of a batch, L pieces of its longest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

IGNORED = -100
"""The target of a piece that is not judged; what torch's cross-entropy leaves out."""


@dataclass(frozen=True)
class Features:
    """Encoded examples of one split."""

    ids: NDArray[np.int32]
    """(F,): pieces of all sequences, one after the other."""
    offsets: NDArray[np.int64]
    """(S + 1,): where each sequence begins, and the end."""
    rows: NDArray[np.int64]
    """(S,): number of the example each sequence is of; it never falls."""
    targets: NDArray[np.int64]
    """classify: (S,); tag: (F,), `IGNORED` for pieces that don't begin a word; answer: (S, 2),
    the pieces, counted in their sequence, that begin and end the answer, (0, 0) for none."""
    types: NDArray[np.int8] | None = None
    """(F,): 1 for pieces of the second text; None where the network takes no types."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """What a task needs to read predictions: tag: `words` (F,) int32, the number of the word that
    a piece begins, -1 elsewhere; answer: see `pretrain.tasks.answer`."""

    def __post_init__(self) -> None:
        assert self.offsets[0] == 0
        assert self.offsets[-1] == len(self.ids)
        assert len(self.rows) == len(self.offsets) - 1
        assert self.types is None or len(self.types) == len(self.ids)
        assert len(self.targets) in (len(self.rows), len(self.ids))

    def __len__(self) -> int:
        """Return the number of sequences."""
        return len(self.rows)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Return (S,): pieces of each sequence."""
        return np.diff(self.offsets)


def spans(offsets: NDArray[np.int64], chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the places of the pieces of the chosen sequences, in the order they were chosen."""
    lengths = offsets[chosen + 1] - offsets[chosen]
    begins = np.cumsum(lengths) - lengths
    return np.repeat(offsets[chosen] - begins, lengths) + np.arange(lengths.sum(), dtype=np.int64)


def padded(flat: NDArray[Any], lengths: NDArray[np.int64], *, fill: int) -> NDArray[Any]:
    """Return (B, L): ragged rows side by side, with `fill` after the end of each."""
    wide = np.full((len(lengths), int(lengths.max(initial=0))), fill, dtype=flat.dtype)
    wide[np.arange(wide.shape[1]) < lengths[:, None]] = flat
    return wide
