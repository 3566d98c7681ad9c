import numpy as np
import pytest
import torch
from packed import LONGEST, ROWS, SHAPES, packed
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from pretrain import flops
from pretrain.model import Pretrainer, loss
from pretrain.presets import PRESETS

families = pytest.mark.parametrize("family", SHAPES)


def counted(shape, inputs, *, longest):
    """FLOPs of all products of matrices, forward and backward, as torch counts them."""
    model = Pretrainer(shape, vocab_rows=ROWS)
    # By products of matrices, attention is counted with the rest.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        loss(model(inputs, max_length=longest), inputs).backward()
    return counter.get_total_flops()


@families
@pytest.mark.parametrize("lengths", [(48,), (12, 3, 48, 20)])
def test_the_formula_counts_what_torch_counts(family, lengths):
    """With windows that hide nothing; then local layers, in tiles, compute what is counted here."""
    shape = SHAPES[family]
    inputs = packed(lengths, num_padding=0, num_unused=0, num_masked=16)
    squares = float((np.array(lengths) ** 2).sum())
    tokens, tile = sum(lengths), min(LONGEST, shape.window // 2)
    in_tiles = -(-tokens // tile) * tile * 3 * tile
    found = flops.step_flops(
        shape,
        vocab_rows=ROWS,
        num_tokens=tokens,
        squares=squares,
        local=in_tiles,
        num_masked=16,
        num_sequences=len(inputs.nsp_D),
    )
    assert found == counted(shape, inputs, longest=LONGEST)


def test_a_token_of_bert_base_takes_570_million():
    """6 a weight, 12 L E a token seen, 6 p (E^2 + V E); less what the last layer leaves out."""
    num, length = 65_536, 128
    masked = 0.15 * num
    shape = PRESETS["bert-base"].shape
    found = flops.step_flops(
        shape,
        vocab_rows=num,
        num_tokens=num,
        squares=num * length,
        num_masked=masked,
        num_sequences=num / length,
    )
    whole = 6 * 12 * 12 * 768**2 + 12 * 12 * 768 * length + 6 * 0.15 * (768**2 + num * 768)
    left_out = 6 * (0.85 - 1 / length) * 9 * 768**2
    pairs = 6 * (768**2 + 2 * 768) / length
    assert found / num == pytest.approx(whole - left_out + pairs, rel=1e-9)
    assert whole == pytest.approx(570e6, rel=0.01)


def test_local_layers_see_the_window_of_long_sequences_and_all_of_short_ones():
    lengths = np.array([1, 100, 129, 500])
    assert flops.local_pairs(lengths, window=128) == 1 + 100**2 + 129**2 + 500 * 129


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12),
        ("NVIDIA H100 PCIe", 756e12),
        ("NVIDIA H200", 989e12),
        ("NVIDIA H200 NVL", 835e12),
        ("NVIDIA GH200 480GB", 989e12),
        ("NVIDIA B200", 2250e12),
        ("NVIDIA A100-SXM4-80GB", 312e12),
        ("NVIDIA L4", 121e12),
        ("NVIDIA L40S", 362e12),
        ("NVIDIA GeForce RTX 4090", 165e12),
        # Others of nearly the same name, and parts of one.
        ("NVIDIA L40", None),
        ("NVIDIA H20", None),
        ("NVIDIA GeForce RTX 4090 D", None),
        ("NVIDIA GeForce RTX 4090 Laptop GPU", None),
        ("NVIDIA A100-SXM4-40GB MIG 1g.5gb", None),
        ("Tesla V100-SXM2-16GB", None),
    ],
)
def test_a_device_has_the_peak_of_its_own_data_sheet_or_none(name, expected):
    found = flops.data_sheet(name)
    assert (found and flops.PEAKS[found]) == expected


def test_a_device_without_a_data_sheet_is_measured():
    found, source = flops.peak(torch.device("cpu"), dtype=torch.float32)
    assert 1e9 < found < 1e14
    assert source == "measured, 1024 x 1024 float32 product"
