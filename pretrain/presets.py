"""The sizes that koine knows by name: what a model is made of, and how it is best trained.

`bert-*` is BERT to the letter (post-norm, learned positions, next-sentence prediction) and exports
to `BertForPreTraining`; `modern-*` is pre-norm with rotary positions, gated layers and windows, and
exports to `ModernBertForMaskedLM`. `tiny` is for tests and the demo on a CPU, `small` for ten
minutes on one H100, `base` for an hour and more.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Family = Literal["bert", "modern"]


@dataclass(frozen=True, slots=True)
class Shape:
    """What a model is made of. Weights of another shape don't fit."""

    family: Family
    layers: int
    width: int
    heads: int
    feed_forward: int
    """Width of the feed-forward layers; of each half of a gated one."""
    max_positions: int
    """The longest input that the exported model takes, in tokens."""
    nsp: bool
    """Whether it has a pooler and a head for next-sentence prediction."""
    window: int = 128
    """`modern`: a local layer sees this many tokens, half of them on each side."""
    global_every: int = 3
    """`modern`: every so many layers, from the first one on, see everything."""
    rope_theta: float = 10_000.0
    """`modern`: base of the rotary positions, of local and global layers alike."""

    @property
    def head_width(self) -> int:
        """Return the width of one head."""
        return self.width // self.heads

    @property
    def norm_eps(self) -> float:
        """Return what the norms add to a variance: BERT's 1e-12, ModernBERT's 1e-5."""
        return 1e-12 if self.family == "bert" else 1e-5

    def matrices_in(self, name: str) -> int:
        """Return how many matrices a weight is, one below the other.

        3 where queries, keys and values come of one product, 2 where both inputs of a gate do.
        """
        if name.endswith("qkv.weight"):
            return 3
        return 2 if self.family == "modern" and name.endswith("feed_in.weight") else 1

    def is_global(self, layer: int) -> bool:
        """Tell whether a layer sees the whole sequence."""
        return self.family == "bert" or layer % self.global_every == 0


@dataclass(frozen=True, slots=True)
class Preset:
    """A shape, and the dials it is trained with where the configuration leaves them out."""

    shape: Shape
    max_length: int
    """Tokens of the longest training sequence."""
    long_from: float | None
    """Share of the run from which on sequences are `shape.max_positions` long; never if None."""
    mask_rates: tuple[float, ...]
    """Share of masked tokens, in equal parts of the run."""
    micro_batch_tokens: int
    batch_tokens: int
    block: int
    """Micro-batches that are planned together."""
    learning_rate: float
    betas: tuple[float, float]
    schedule: Literal["wsd", "linear"]
    budget: str


def _bert(layers: int, width: int, *, max_positions: int = 512) -> Shape:
    return Shape("bert", layers, width, width // 64, 4 * width, max_positions, nsp=True)


def _modern(layers: int, width: int, *, max_positions: int = 1024) -> Shape:
    # A gated layer of 8/3 the width has the weights of a plain one of four times the width.
    feed_forward = -(-8 * width // 3 // 128) * 128
    return Shape("modern", layers, width, width // 64, feed_forward, max_positions, nsp=False)


_BERT = (0.15,)
_MODERN = (0.3, 0.25, 0.2, 0.15)
"""Ankner et al. 2023 (Dynamic Masking Rate Schedules for MLM) lower the rate from 30 to 15 %; in
few levels, since each is a shape of its own to compile."""

PRESETS = {
    "bert-tiny": Preset(
        _bert(2, 128, max_positions=128), 128, None, _BERT, 4096, 8192, 32, 2e-3, (0.9, 0.98),
        "linear", "1min",
    ),
    "bert-small": Preset(
        _bert(8, 512), 128, 0.9, _BERT, 65_536, 131_072, 128, 6e-4, (0.9, 0.98), "linear", "10min"
    ),
    "bert-base": Preset(
        _bert(12, 768), 128, 0.9, _BERT, 65_536, 262_144, 128, 4e-4, (0.9, 0.98), "linear", "60min"
    ),
    "modern-tiny": Preset(
        _modern(3, 128, max_positions=256), 128, None, _MODERN, 4096, 8192, 32, 3e-3, (0.9, 0.98),
        "wsd", "1min",
    ),
    "modern-small": Preset(
        _modern(8, 512), 256, None, _MODERN, 65_536, 131_072, 128, 1e-3, (0.9, 0.98), "wsd", "10min"
    ),
    "modern-base": Preset(
        _modern(12, 768), 512, None, _MODERN, 65_536, 262_144, 128, 8e-4, (0.9, 0.98), "wsd",
        "60min",
    ),
}  # fmt: skip
