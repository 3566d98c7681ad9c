"""The parts of both families of encoders: products, norms, attention, layers, embeddings.

Promises: weights are float32 and are cast, where they are used, to the type of what they are
multiplied with; norms compute in the type of their weights.
Does not promise: dropout (one or two passes over the data do not overfit), attention weights.

Shapes: N token slots, R rows of them, E width, F feed-forward width, H heads, A width of a head.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import Layout, attend
from .presets import Shape


class Linear(nn.Module):
    """x W' + b in the type of x."""

    def __init__(self, rows: int, columns: int, *, bias: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(rows, columns))
        self.bias = nn.Parameter(torch.zeros(rows)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., columns) to (..., rows)."""
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return F.linear(x, self.weight.to(x.dtype), bias)


class Norm(nn.Module):
    """Layer norm in float32 or wider, in and out in the type of x."""

    def __init__(self, width: int, *, eps: float, bias: bool) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Norm the last dimension."""
        wide = x.to(self.weight.dtype)
        return F.layer_norm(wide, self.weight.shape, self.weight, self.bias, self.eps).to(x.dtype)


class Attention(nn.Module):
    """Self-attention of all tokens; the map out of the heads of those that are wanted."""

    def __init__(self, shape: Shape, *, window: int | None) -> None:
        super().__init__()
        self.heads, self.window = shape.heads, window
        bias = shape.family == "bert"
        self.qkv = Linear(3 * shape.width, shape.width, bias=bias)
        self.out = Linear(shape.width, shape.width, bias=bias)

    def forward(
        self, hidden_NE: Tensor, packed: Layout, rotation_2NA: Tensor | None, rows_R: Tensor | None
    ) -> Tensor:
        """Return (N, E), or (R, E) of the rows."""
        qkv_N3HA = self.qkv(hidden_NE).unflatten(-1, (3, self.heads, -1))
        if rotation_2NA is None:
            q_NHA, k_NHA, v_NHA = qkv_N3HA.unbind(1)
        else:
            qk_N2HA, v_N1HA = torch.split(qkv_N3HA, [2, 1], dim=1)
            q_NHA, k_NHA = rotate(qk_N2HA, rotation_2NA).unbind(1)
            v_NHA = v_N1HA.squeeze(1)
        context_NHA = attend(q_NHA, k_NHA, v_NHA, layout=packed, window=self.window)
        out: Tensor = self.out(rows(context_NHA.flatten(1), rows_R))
        return out


def rotate(x_N2HA: Tensor, rotation_2NA: Tensor) -> Tensor:
    """Turn each pair (i, i + A/2) of a head's numbers by its angle (Su et al. 2021, RoPE).

    Args:
        x_N2HA: (N, 2, H, A) queries and keys.
        rotation_2NA: (2, N, A / 2) cosines and sines of the token's place.
    """
    cos, sin = rotation_2NA[:, :, None, None]
    first, second = x_N2HA.to(cos.dtype).chunk(2, dim=-1)
    turned = torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1)
    return turned.to(x_N2HA.dtype)


class BertLayer(nn.Module):
    """Attention and a feed-forward layer, each added to its input and then normed."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        width, eps = shape.width, shape.norm_eps
        self.attention = Attention(shape, window=None)
        self.attention_norm = Norm(width, eps=eps, bias=True)
        self.feed_in = Linear(shape.feed_forward, width, bias=True)
        self.feed_out = Linear(width, shape.feed_forward, bias=True)
        self.feed_norm = Norm(width, eps=eps, bias=True)

    def forward(
        self, hidden_NE: Tensor, packed: Layout, rotation_2NA: Tensor | None, rows_R: Tensor | None
    ) -> Tensor:
        """Return the next hidden states (N, E), or (R, E) of the rows."""
        mixed = self.attention(hidden_NE, packed, rotation_2NA, rows_R)
        hidden = self.attention_norm(rows(hidden_NE, rows_R) + mixed)
        fed: Tensor = self.feed_norm(hidden + self.feed_out(F.gelu(self.feed_in(hidden))))
        return fed


class ModernLayer(nn.Module):
    """Attention and a gated feed-forward layer of the normed input, each added to its input."""

    def __init__(self, shape: Shape, *, number: int) -> None:
        super().__init__()
        width, eps = shape.width, shape.norm_eps
        window = None if shape.is_global(number) else shape.window
        # What goes into the first layer is normed already, with the embeddings.
        self.attention_norm = Norm(width, eps=eps, bias=False) if number else nn.Identity()
        self.attention = Attention(shape, window=window)
        self.feed_norm = Norm(width, eps=eps, bias=False)
        self.feed_in = Linear(2 * shape.feed_forward, width, bias=False)
        self.feed_out = Linear(width, shape.feed_forward, bias=False)

    def forward(
        self, hidden_NE: Tensor, packed: Layout, rotation_2NA: Tensor | None, rows_R: Tensor | None
    ) -> Tensor:
        """Return the next hidden states (N, E), or (R, E) of the rows."""
        mixed = self.attention(self.attention_norm(hidden_NE), packed, rotation_2NA, rows_R)
        hidden = rows(hidden_NE, rows_R) + mixed
        fed, gate = self.feed_in(self.feed_norm(hidden)).chunk(2, dim=-1)
        out: Tensor = hidden + self.feed_out(F.gelu(fed) * gate)
        return out


class Embeddings(nn.Module):
    """Pieces, and for `bert` places and types too, as vectors; normed."""

    def __init__(self, shape: Shape, *, vocab_rows: int) -> None:
        super().__init__()
        bert, width = shape.family == "bert", shape.width
        self.tokens = nn.Parameter(torch.empty(vocab_rows, width))
        self.positions = nn.Parameter(torch.empty(shape.max_positions, width)) if bert else None
        self.types = nn.Parameter(torch.empty(2, width)) if bert else None
        self.norm = Norm(width, eps=shape.norm_eps, bias=bert)

    def forward(self, ids_N: Tensor, positions_N: Tensor, types_N: Tensor) -> Tensor:
        """Return (N, E) in the type of the weights; all three are int32 (N,)."""
        hidden_NE = F.embedding(ids_N, self.tokens)
        if self.types is not None and self.positions is not None:
            # Chosen, not looked up: the gradient of the two rows is a sum, not a scatter.
            types_NE = self.types[0].where(types_N[:, None] == 0, self.types[1])
            hidden_NE = hidden_NE + types_NE + F.embedding(positions_N, self.positions)
        normed: Tensor = self.norm(hidden_NE)
        return normed


def rows(x_NE: Tensor, rows_R: Tensor | None) -> Tensor:
    """Return (R, E), the rows that are wanted; all of them if None."""
    return x_NE if rows_R is None else x_NE.index_select(0, rows_R)
