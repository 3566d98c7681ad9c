"""Attention within each of the sequences that lie packed in one row of tokens.

Promises: a token sees the tokens of its own sequence and no others, all of them or those at most
`window // 2` away on either side, itself included. Three kernels give the same numbers up to
rounding:

    varlen   `torch.nn.attention.varlen`, flash attention: NVIDIA, 16-bit, computes what is needed
    tiles    any device, any float: queries in tiles as long as the longest sequence, so that all
             they may see lies in three tiles of keys, and a mask hides the rest. That is three
             times what is needed, less for windows: their tiles are half a window long
    each     whole sequences one by one, windows in tiles: for a CPU, where nobody has to wait for
             lengths to be read

In the first two no shape depends on a value, so that a compiled model serves every batch.

Does not promise: anything about sequences longer than `max_length`. They are cut off silently:
looking for them would make the host wait for the device.

Shapes: N tokens, D sequences (D1: their borders), H heads, A width of a head, T tiles, S tokens of
a tile, X = 3S keys that it is shown.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

try:
    from torch.nn.attention.varlen import varlen_attn
except ImportError:  # a build of torch without it
    varlen_attn = None  # type: ignore[assignment]

Kernel = Literal["varlen", "tiles", "each"]


class Tiles(NamedTuple):
    """What the queries of each tile see of its keys."""

    size: int
    """S."""
    bias_T1SX: Tensor
    """Added to the scores: 0 where a query sees a key, -inf where not."""


class Layout(NamedTuple):
    """Where the sequences lie; made once for a batch, used by every layer."""

    cu_D1: Tensor
    """(D + 1,) int32 borders, ascending from 0 to N."""
    max_length: int
    """No sequence has more tokens."""
    lengths: list[int] | None
    """The sequences' lengths; `each` alone."""
    whole: Tiles | None
    """For layers that see whole sequences; `tiles` alone."""
    local: Tiles | None
    """For layers with a window; None for varlen, or without such layers."""


def layout(
    cu_D1: Tensor,
    *,
    num_tokens: int,
    max_length: int,
    window: int | None,
    kernel: Kernel,
    dtype: torch.dtype,
) -> Layout:
    """Return where the sequences of a batch lie, with the masks that the kernel needs.

    Args:
        cu_D1: (D + 1,) int32 borders, ascending from 0 to `num_tokens`; empty sequences are fine.
        num_tokens: N.
        max_length: no sequence has more tokens.
        window: tokens that local layers see; None if the model has none.
        kernel: what `attend` is to use.
        dtype: of queries, keys and values.
    """
    lengths = whole = local = None
    max_length = min(max_length, num_tokens)
    if kernel == "each":
        lengths = [length for length in cu_D1.diff().tolist() if length]
    if kernel != "varlen":
        sequence_N = torch.searchsorted(
            cu_D1, torch.arange(num_tokens, dtype=cu_D1.dtype, device=cu_D1.device), right=True
        )
        if kernel == "tiles":
            whole = _tiles(sequence_N, size=max_length, reach=None, dtype=dtype)
        if window is not None:
            reach = window // 2
            size = max(1, min(max_length, reach))
            local = _tiles(sequence_N, size=size, reach=reach, dtype=dtype)
    return Layout(cu_D1, max_length, lengths, whole, local)


def suited(kernel: Kernel, device: torch.device) -> Kernel:
    """Return `each` in place of `tiles` on a CPU, unless the model is being compiled."""
    here = device.type == "cpu" and not torch.compiler.is_compiling()
    return "each" if here and kernel == "tiles" else kernel


def attend(
    q_NHA: Tensor, k_NHA: Tensor, v_NHA: Tensor, *, layout: Layout, window: int | None
) -> Tensor:
    """Return softmax(q k / sqrt(A)) v of each token, over the tokens that it sees.

    Args:
        q_NHA: (N, H, A) queries; the last dimension contiguous, as in keys and values.
        k_NHA: (N, H, A) keys.
        v_NHA: (N, H, A) values.
        layout: where the sequences lie.
        window: tokens that are seen, half of them on each side; None for whole sequences.

    Returns:
        (N, H, A), in the type of the queries.
    """
    tiles = layout.whole if window is None else layout.local
    if tiles is not None:
        return _attend_tiles(q_NHA, k_NHA, v_NHA, tiles)
    if layout.lengths is not None:
        return _attend_each(q_NHA, k_NHA, v_NHA, layout.lengths)
    reach = -1 if window is None else window // 2
    cu_D1, longest = layout.cu_D1, layout.max_length
    out = varlen_attn(
        q_NHA, k_NHA, v_NHA, cu_D1, cu_D1, longest, longest, window_size=(reach, reach)
    )
    assert isinstance(out, Tensor)
    return out


def _attend_each(q_NHA: Tensor, k_NHA: Tensor, v_NHA: Tensor, lengths: list[int]) -> Tensor:
    split = (torch.split(x_NHA, lengths) for x_NHA in (q_NHA, k_NHA, v_NHA))
    found = []
    for sequence in zip(*split, strict=True):
        q_1HSA, k_1HSA, v_1HSA = (x_SHA.transpose(0, 1)[None] for x_SHA in sequence)
        found.append(F.scaled_dot_product_attention(q_1HSA, k_1HSA, v_1HSA)[0].transpose(0, 1))
    return torch.cat(found)


def _tiles(sequence_N: Tensor, *, size: int, reach: int | None, dtype: torch.dtype) -> Tiles:
    """Return what each tile sees; what fills the last one up is a sequence of its own.

    (Were it none, its rows would see nothing, and their softmax would be NaN.)
    """
    num_tokens = len(sequence_N)
    num = -(-num_tokens // size)
    sequence_TS = F.pad(sequence_N, (0, num * size - num_tokens), value=-1).view(num, size)
    # One tile before the first and one behind the last, which no query sees.
    padded = F.pad(sequence_TS, (0, 0, 1, 1), value=-2)
    keys_TX = torch.cat((padded[:-2], padded[1:-1], padded[2:]), dim=1)
    seen_TSX = sequence_TS[:, :, None] == keys_TX[:, None, :]
    if reach is not None:
        query_S = torch.arange(size, 2 * size, device=sequence_N.device)
        key_X = torch.arange(3 * size, device=sequence_N.device)
        seen_TSX = seen_TSX & ((query_S[:, None] - key_X).abs() <= reach)
    bias_TSX = torch.zeros((), dtype=dtype, device=sequence_N.device).where(seen_TSX, -torch.inf)
    return Tiles(size, bias_TSX[:, None])


def _attend_tiles(q_NHA: Tensor, k_NHA: Tensor, v_NHA: Tensor, tiles: Tiles) -> Tensor:
    size, num = tiles.size, len(tiles.bias_T1SX)
    num_tokens, heads, width = q_NHA.shape
    missing = num * size - num_tokens
    q_THSA = F.pad(q_NHA, (0, 0, 0, 0, 0, missing)).view(num, size, heads, width).transpose(1, 2)
    k_THXA = _neighbours(k_NHA, size, missing)
    v_THXA = _neighbours(v_NHA, size, missing)
    out_THSA = F.scaled_dot_product_attention(q_THSA, k_THXA, v_THXA, attn_mask=tiles.bias_T1SX)
    return out_THSA.transpose(1, 2).reshape(num * size, heads, width)[:num_tokens]


def _neighbours(x_NHA: Tensor, size: int, missing: int) -> Tensor:
    """Return each tile with those before and behind it: (T, H, 3S, A), without copying them."""
    padded = F.pad(x_NHA, (0, 0, 0, 0, size, size + missing))
    return padded.unfold(0, 3 * size, size).transpose(2, 3)
