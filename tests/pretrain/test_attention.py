import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from packed import packed

from pretrain import attention
from pretrain.attention import attend, layout, suited

HEADS, WIDTH = 2, 8
KERNELS = ("tiles", "each")
"""What runs on a CPU."""

kernels = pytest.mark.parametrize("kernel", KERNELS)


def slow(q, k, v, lengths, window):
    """Softmax over all tokens, the unseen ones at -inf."""
    num = len(q)
    sequence = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    place = torch.arange(num)
    seen = sequence[:, None] == sequence
    if window is not None:
        seen &= (place[:, None] - place).abs() <= window // 2
    scores = torch.einsum("nha,mha->hnm", q, k) / WIDTH**0.5
    return torch.einsum("hnm,mha->nha", scores.masked_fill(~seen, -torch.inf).softmax(-1), v)


def inputs_of(lengths, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    qkv = torch.randn(sum(lengths), 3, HEADS, WIDTH, generator=generator, dtype=dtype)
    borders = [0, *torch.tensor(lengths).cumsum(0).tolist()]
    cu = torch.tensor([*borders, *[borders[-1]] * 3], dtype=torch.int32)
    return qkv.requires_grad_(), cu


def attended(qkv, cu, *, longest, window, kernel):
    packing = layout(
        cu,
        num_tokens=len(qkv),
        max_length=longest,
        window=window,
        kernel=kernel,
        dtype=qkv.dtype,
    )
    return attend(*qkv.unbind(1), layout=packing, window=window)


@settings(max_examples=60, deadline=None)
@given(
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=12),
    more=st.integers(0, 9),
    window=st.none() | st.integers(1, 50),
    kernel=st.sampled_from(KERNELS),
)
def test_a_token_sees_its_own_sequence_and_its_window_alone(lengths, more, window, kernel):
    qkv, cu = inputs_of(lengths)
    longest = max(lengths) + more
    found = attended(qkv, cu, longest=longest, window=window, kernel=kernel)
    expected = slow(*qkv.unbind(1), lengths, window)
    torch.testing.assert_close(found, expected)
    weights = torch.randn_like(found)
    (gradient,) = torch.autograd.grad((found * weights).sum(), qkv)
    (wanted,) = torch.autograd.grad((expected * weights).sum(), qkv)
    torch.testing.assert_close(gradient, wanted)


@kernels
@pytest.mark.parametrize("window", [None, 6])
def test_what_other_sequences_hold_changes_no_bit(kernel, window):
    qkv, cu = inputs_of([7, 9, 5], dtype=torch.float32)
    other = qkv.detach().clone()
    other[:7] = 100
    other[16:] = torch.randn_like(other[16:])
    first, second = (
        attended(values, cu, longest=9, window=window, kernel=kernel) for values in (qkv, other)
    )
    assert torch.equal(first[7:16], second[7:16])
    assert not torch.equal(first[:7], second[:7])


@kernels
def test_the_last_tile_needs_not_be_full(kernel):
    qkv, cu = inputs_of([8, 8, 3], dtype=torch.bfloat16)
    found = attended(qkv, cu, longest=8, window=4, kernel=kernel)
    found.sum().backward()
    assert found.isfinite().all()
    assert qkv.grad.isfinite().all()


def test_the_masks_fit_a_window_and_not_the_longest_sequence():
    inputs = packed((500, 400), longest=512)
    made = layout(
        inputs.cu_D1,
        num_tokens=len(inputs.ids_N),
        max_length=512,
        window=128,
        kernel="tiles",
        dtype=torch.float32,
    )
    assert made.whole.bias_T1SX.shape == (2, 1, 512, 3 * 512)
    assert made.local.bias_T1SX.shape == (16, 1, 64, 3 * 64)


def test_on_a_cpu_sequences_are_done_one_by_one():
    assert suited("tiles", torch.device("cpu")) == "each"
    assert suited("tiles", torch.device("cuda")) == "tiles"
    assert suited("varlen", torch.device("cuda")) == "varlen"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("window", [None, 6])
def test_on_a_gpu_both_kernels_give_the_same(window):
    qkv, cu = inputs_of([7, 1, 30, 12, 64, 14], dtype=torch.bfloat16)
    qkv = torch.cat([qkv] * 4, dim=3).detach().cuda().requires_grad_()  # heads 32 wide
    found, gradients = [], []
    for kernel in ("varlen", "tiles"):
        out = attended(qkv, cu.cuda(), longest=64, window=window, kernel=kernel)
        found.append(out)
        gradients += torch.autograd.grad(out.float().square().sum(), qkv)
    torch.testing.assert_close(*found, rtol=0.02, atol=0.02)
    torch.testing.assert_close(*gradients, rtol=0.02, atol=0.05)


def test_the_kernel_of_gpus_takes_a_window_by_the_name_that_is_used():
    assert attention.varlen_attn is not None
    fake = torch.empty(8, HEADS, WIDTH, dtype=torch.bfloat16, device="meta")
    cu = torch.empty(3, dtype=torch.int32, device="meta")
    made = layout(cu, num_tokens=8, max_length=4, window=4, kernel="varlen", dtype=torch.bfloat16)
    for window in (None, 4):
        found = attend(fake, fake, fake, layout=made, window=window)
        assert found.shape == fake.shape and found.dtype == fake.dtype
