"""How pieces relate to each other inside a layer, and how far a student's relations are off.

MiniLMv2 (Wang et al. 2021, "Multi-Head Self-Attention Relation Distillation"): of one layer of the
teacher, and the last one of the student, queries are compared with queries, keys with keys, values
with values, each piece with each; softmax makes a distribution of each row, and the student is to
have the teacher's. Vectors are first cut anew into relation heads, so that neither the width nor
the number of attention heads has to be the same in both.

Promises: padding counts nowhere; sums are in float32 whatever the precision of the network.
Does not promise: rotary positions: queries and keys are taken before they are turned.

Shapes: B sequences, L pieces, H width, R relation heads, D width of one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import torch
from torch import Tensor, nn

MOST_HEADS, LEAST_WIDTH = 48, 32
"""Relation heads, of so many numbers each: more of them help a little (Wang et al. 2021) and cost
time in proportion."""
HIDDEN = -1e9
"""The score of padding."""


def heads_for(teacher: int, student: int) -> int:
    """Return the number of relation heads for two widths: as many as both can be cut into."""
    both = math.gcd(teacher, student)
    limit = min(MOST_HEADS, max(1, min(teacher, student) // LEAST_WIDTH))
    return max(num for num in range(1, limit + 1) if both % num == 0)


def layers_of(network: nn.Module) -> nn.ModuleList:
    """Return the layers of a BERT or ModernBERT, with a head or without."""
    trunk: Any = network
    trunk = trunk.base_model
    found: nn.ModuleList = trunk.encoder.layer if hasattr(trunk, "encoder") else trunk.layers
    return found


@dataclass
class Recorder:
    """Remembers queries, keys and values of a layer, each time the network is run.

    A context: it listens while the block runs.
    """

    layer: nn.Module
    found: Any = None
    """(B, L, H) each, or the three together (B, L, 3 x H)."""

    def __enter__(self) -> Recorder:
        """Begin to listen."""
        layer: Any = self.layer
        self.found = {}
        if hasattr(layer, "attn"):
            named = {"all": layer.attn.Wqkv}
        else:
            own = layer.attention.self
            named = {"query": own.query, "key": own.key, "value": own.value}
        self._hooks = [
            module.register_forward_hook(self._hook(name)) for name, module in named.items()
        ]
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Listen no more."""
        for hook in self._hooks:
            hook.remove()

    def take(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return queries, keys and values of the last run, (B, L, H) each."""
        found, self.found = self.found, {}
        if "all" in found:
            query, key, value = found["all"].chunk(3, dim=-1)
            return query, key, value
        return found["query"], found["key"], found["value"]

    def _hook(self, name: str) -> Any:  # noqa: ANN401
        def remember(_module: nn.Module, _inputs: Any, output: Tensor) -> None:  # noqa: ANN401
            self.found[name] = output

        return remember


def relation_loss(
    teacher: tuple[Tensor, Tensor, Tensor],
    student: tuple[Tensor, Tensor, Tensor],
    mask_BL: Tensor | None,
    *,
    num_heads: int,
) -> Tensor:
    """Return the divergence of the student's relations from the teacher's.

    Args:
        teacher: queries, keys and values, (B, L, H) each.
        student: the same, of any width.
        mask_BL: True where there is a piece; None where nothing is padding.
        num_heads: relation heads, R.

    Returns:
        KL divergence: the sum of the three relations, the mean over pieces and heads.
    """
    num_rows = student[0].shape[:2].numel() if mask_BL is None else mask_BL.sum()
    total = student[0].new_zeros((), dtype=torch.float32)
    for one, other in zip(teacher, student, strict=True):
        with torch.no_grad():
            wanted = _scores(one, mask_BL, num_heads=num_heads).log_softmax(dim=-1)
            share = wanted.exp()
            known = (share * wanted).sum(dim=-1)  # B, R, L
        found = _scores(other, mask_BL, num_heads=num_heads)
        # sum(share x (wanted - log softmax(found))), without keeping what the softmax gives.
        apart = known + found.logsumexp(dim=-1) - (share * found).sum(dim=-1)
        if mask_BL is not None:
            apart = apart * mask_BL[:, None, :]
        total = total + apart.sum() / (num_rows * num_heads)
    return total


def _scores(vectors_BLH: Tensor, mask_BL: Tensor | None, *, num_heads: int) -> Tensor:
    """Return (B, R, L, L): how much each piece has to do with each other one."""
    size = vectors_BLH.shape
    vectors = vectors_BLH.float().reshape(*size[:2], num_heads, -1).transpose(1, 2)  # B, R, L, D
    scores: Tensor = vectors @ vectors.transpose(-1, -2) / math.sqrt(vectors.shape[-1])
    if mask_BL is not None:
        scores = scores.masked_fill(~mask_BL[:, None, None, :], HIDDEN)
    return scores
