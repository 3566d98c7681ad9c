"""How much computing a step takes, and how much the device could do: the two sides of MFU.

Promises: counts products of matrices only, for real tokens only, and only those that training needs
(as Chowdhery et al. 2022, PaLM, appendix B, count): padding, masks and recomputing make MFU worse,
not better. What koine leaves out, the other tokens behind the last layer's attention, is not
counted either.
Does not promise: the clock that the device really runs at; a peak is the vendor's.
"""

from __future__ import annotations

import re
import time

import numpy as np
import torch

from .presets import Shape

PEAKS = {
    "GB200": 2500e12,
    "B200": 2250e12,
    "GH200": 989e12,
    "H200 NVL": 835e12,
    "H200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "RTX 4090": 165e12,
}
"""Dense bfloat16 FLOP/s with float32 sums, by words of the device's name; the first that fits.

From NVIDIA's data sheets, whose figures "with sparsity" are twice these: GB200 NVL72 (360 PFLOP/s
of 72), DGX B200 (36 of 8), GH200, H200, H100, A100, L40S, L4; RTX 4090: white paper of the Ada
architecture, "FP16 with FP32 accumulate". What is not here, or has no bfloat16 (V100), is measured.
"""

_MATMUL_WIDTH = {"cuda": 8192, "cpu": 1024}
_MATMUL_S = 0.3


def step_flops(
    shape: Shape,
    *,
    vocab_rows: int,
    num_tokens: float,
    squares: float,
    local: float = 0.0,
    num_masked: float,
    num_sequences: float = 0.0,
) -> float:
    """Return the FLOPs of a forward and a backward pass.

    6 a weight and token (2 forward, 4 backward), and for attention 12 E a pair of tokens of which
    one sees the other. The last layer's map out of the heads and its feed-forward layer are for
    masked tokens, and with next-sentence prediction first tokens, alone.

    Args:
        shape: of the model.
        vocab_rows: V.
        num_tokens: real tokens, special ones included.
        squares: sum over sequences of length^2.
        local: sum over sequences of length * min(length, window + 1); see `local_pairs`.
        num_masked: tokens that are predicted.
        num_sequences: sequences whose pair is judged.
    """
    width, layers = shape.width, shape.layers
    matrices = 2 if shape.family == "bert" else 3
    whole = sum(map(shape.is_global, range(layers)))
    pairs = whole * squares + (layers - whole) * local
    num_rows = num_masked + (num_sequences if shape.nsp else 0)
    behind = width * (width + matrices * shape.feed_forward)
    weights = num_tokens * (layers * 3 * width**2 + (layers - 1) * behind) + num_rows * behind
    heads = num_masked * width * (width + vocab_rows)
    if shape.nsp:
        heads += num_sequences * width * (width + 2)
    return 6 * (weights + heads) + 12 * width * pairs


def local_pairs(lengths: np.ndarray, *, window: int) -> float:
    """Return the sum over sequences of length * min(length, window + 1)."""
    wide = lengths.astype(np.float64)
    return float((wide * np.minimum(wide, window + 1)).sum())


def peak(device: torch.device, *, dtype: torch.dtype = torch.bfloat16) -> tuple[float, str]:
    """Return the FLOP/s that a device could do, and how that is known.

    From the vendor's data sheet, or else what it does on one big product.

    Args:
        device: a GPU or the CPU.
        dtype: of the products.
    """
    if device.type == "cuda" and dtype == torch.bfloat16:
        listed = data_sheet(torch.cuda.get_device_name(device))
        if listed is not None:
            return PEAKS[listed], f"data sheet of {listed}, dense bfloat16"
    width = _MATMUL_WIDTH.get(device.type, 1024)
    kind = str(dtype).removeprefix("torch.")
    return measured_matmul(device, dtype=dtype), f"measured, {width} x {width} {kind} product"


def data_sheet(name: str) -> str | None:
    """Return the device of `PEAKS` that a name means; None for others, and for parts of a GPU."""
    if re.search(r"\b(MIG|Laptop|D)\b", name):
        return None
    return next((part for part in PEAKS if re.search(rf"\b{part}\b", name)), None)


def measured_matmul(device: torch.device, *, dtype: torch.dtype) -> float:
    """Return the FLOP/s of the product of two random square matrices, the fastest of some."""
    width = _MATMUL_WIDTH.get(device.type, 1024)
    generator = torch.Generator(device).manual_seed(0)
    left = torch.randn(width, width, generator=generator, device=device).to(dtype)
    right = torch.randn(width, width, generator=generator, device=device).to(dtype)
    fastest, ends = float("inf"), time.perf_counter() + _MATMUL_S
    left @ right
    while True:
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        start = time.perf_counter()
        left @ right
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        now = time.perf_counter()
        fastest = min(fastest, now - start)
        if now > ends:
            return 2 * width**3 / fastest
