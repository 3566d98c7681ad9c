"""AdamW, Muon, clipping: against torch's own, and steps that must not happen."""

import math

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from pipelines.errors import DataError
from pretrain.config import OptimizerSettings
from pretrain.optim import Optimizer, clip_, orthogonalise

torch.set_num_threads(1)

GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
DEVICES = ["cpu", pytest.param("cuda", marks=GPU)]
SHAPES = {
    "embeddings.tokens": (20, 8),
    "embeddings.norm.weight": (8,),
    "layers.0.qkv.weight": (24, 8),
    "layers.0.qkv.bias": (24,),
    "layers.0.out.weight": (8, 8),
    "layers.0.feed_in.weight": (32, 8),
    "layers.0.feed_out.weight": (8, 16),
    "mlm.dense.weight": (8, 8),
}
HIDDEN = [name for name, shape in SHAPES.items() if "layers." in name and len(shape) == 2]


def parts(name: str) -> int:
    return 3 if "qkv" in name else 2 if "feed_in" in name else 1


def weights(*, shapes=SHAPES, device="cpu") -> dict[str, nn.Parameter]:
    """Some weights, the same ones each time."""
    generator = torch.Generator().manual_seed(1)
    return {
        name: nn.Parameter(torch.randn(shape, generator=generator).to(device))
        for name, shape in shapes.items()
    }


def give_gradients(named: dict[str, nn.Parameter], *, step: int) -> None:
    generator = torch.Generator().manual_seed(1000 + step)
    for weight in named.values():
        weight.grad = torch.randn(weight.shape, generator=generator).to(weight.device)


def settings(name: str = "adamw", **changes) -> OptimizerSettings:
    values = {"learning_rate": 1e-2, "betas": (0.9, 0.98), "weight_decay": 0.1, **changes}
    return OptimizerSettings(name=name, **values)


def optimizer_of(named, *, name: str = "adamw", **changes) -> Optimizer:
    return Optimizer(named.items(), settings=settings(name, **changes), parts=parts)


def do(*, skip: float = 0.0, like: dict[str, nn.Parameter]) -> torch.Tensor:
    return torch.tensor(skip, device=next(iter(like.values())).device)


def run(optimizer: Optimizer, named, *, steps: range) -> None:
    for step in steps:
        give_gradients(named, step=step)
        optimizer.step(1 / (1 + step), skip=do(like=named))


def everything(optimizer: Optimizer, named) -> dict[str, torch.Tensor]:
    """Weights and state, copied."""
    tensors = {**dict(named), **optimizer.state_tensors()}
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}


def same_bits(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        torch.equal(one[name].view(torch.int32), other[name].view(torch.int32)) for name in one
    )


@pytest.mark.parametrize("as_tensor", [False, True])
def test_adamw_is_torchs_own(as_tensor):
    named, wanted = weights(), weights()
    reference = torch.optim.AdamW(
        [
            {"params": [w for w in wanted.values() if w.ndim == 2], "weight_decay": 0.1},
            {"params": [w for w in wanted.values() if w.ndim == 1], "weight_decay": 0.0},
        ],
        betas=(0.9, 0.98),
        eps=1e-6,
        foreach=False,
        fused=False,
    )
    optimizer = optimizer_of(named)
    for step in range(20):
        give_gradients(named, step=step)
        give_gradients(wanted, step=step)
        factor = (step + 1) / 20
        for group in reference.param_groups:
            group["lr"] = 1e-2 * factor
        reference.step()
        optimizer.step(torch.tensor(factor) if as_tensor else factor, skip=torch.tensor(0.0))
    for name in named:
        torch.testing.assert_close(named[name], wanted[name], rtol=2e-6, atol=2e-6)


def test_matrices_decay_and_biases_and_norms_do_not():
    named = weights()
    before = {name: weight.detach().clone() for name, weight in named.items()}
    for weight in named.values():
        weight.grad = torch.zeros_like(weight)
    optimizer_of(named).step(0.5, skip=torch.tensor(0.0))
    for name, weight in named.items():
        kept = 1 - 1e-2 * 0.5 * 0.1 if weight.ndim == 2 else 1
        torch.testing.assert_close(weight.detach(), before[name] * kept)


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("name", ["adamw", "muon"])
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("steps_before", [0, 3])
def test_a_skipped_step_changes_no_bit(device, name, bad, steps_before):
    named = weights(device=device)
    for weight in named.values():
        weight.data.view(-1)[0] = -0.0  # which adding nothing makes 0.0
    optimizer = optimizer_of(named, name=name)
    run(optimizer, named, steps=range(steps_before))
    before = everything(optimizer, named)
    give_gradients(named, step=99)
    for weight in named.values():
        weight.grad.view(-1)[3] = bad
    _, finite = clip_(named.values(), max_norm=1.0)
    assert not finite
    optimizer.step(1.0, skip=1 - finite)
    assert same_bits(everything(optimizer, named), before)
    run(optimizer, named, steps=range(3, 4))
    assert all(tensor.isfinite().all() for tensor in everything(optimizer, named).values())


@pytest.mark.parametrize("name", ["adamw", "muon"])
@pytest.mark.parametrize("skip", [torch.tensor(2.0), torch.tensor(True), torch.tensor(math.nan)])
def test_anything_but_0_skips_such_as_a_sum_over_ranks(name, skip):
    named = weights()
    optimizer = optimizer_of(named, name=name)
    before = everything(optimizer, named)
    give_gradients(named, step=0)
    optimizer.step(1.0, skip=skip)
    assert same_bits(everything(optimizer, named), before)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_a_step_reads_no_value_on_the_host(name):
    with FakeTensorMode():  # of tensors without values: reading one raises
        named = weights_without_values()
        optimizer = optimizer_of(named, name=name)
        norm, finite = clip_(named.values(), max_norm=1.0)
        optimizer.step(torch.ones(()), skip=1 - finite)
        with pytest.raises(DataDependentOutputException):
            norm.item()


def weights_without_values() -> dict[str, nn.Parameter]:
    named = {name: nn.Parameter(torch.empty(shape)) for name, shape in SHAPES.items()}
    for weight in named.values():
        weight.grad = torch.empty_like(weight)
    return named


@GPU
@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_a_step_on_a_gpu_does_not_wait_for_it(name):
    named = weights(device="cuda")
    optimizer = optimizer_of(named, name=name)
    give_gradients(named, step=0)
    skip = do(like=named)
    torch.cuda.set_sync_debug_mode("error")
    try:
        _, finite = clip_(named.values(), max_norm=1.0)
        optimizer.step(0.5, skip=skip + (1 - finite))
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_going_on_from_saved_state_gives_the_bits_of_not_stopping(name):
    named = weights()
    optimizer = optimizer_of(named, name=name)
    run(optimizer, named, steps=range(5))
    saved = everything(optimizer, named)
    run(optimizer, named, steps=range(5, 10))
    again = {key: nn.Parameter(saved[key].clone()) for key in SHAPES}
    resumed = optimizer_of(again, name=name)
    resumed.load_state_tensors({key: saved[key] for key in saved if key not in SHAPES})
    run(resumed, again, steps=range(5, 10))
    assert same_bits(everything(resumed, again), everything(optimizer, named))


def test_the_state_has_the_same_tensors_before_the_first_step():
    named = weights()
    optimizer = optimizer_of(named, name="muon")
    before = {name: tensor.shape for name, tensor in optimizer.state_tensors().items()}
    run(optimizer, named, steps=range(1))
    assert {name: tensor.shape for name, tensor in optimizer.state_tensors().items()} == before
    assert before["layers.0.qkv.weight.momentum"] == (24, 8)
    assert before["embeddings.tokens.exp_avg_sq"] == (20, 8)


def test_the_state_of_another_rule_or_model_is_refused():
    state = optimizer_of(weights(), name="muon").state_tensors()
    with pytest.raises(DataError, match=r"do not fit.*layers\.0\.feed_in\.weight\.exp_avg"):
        optimizer_of(weights(), name="adamw").load_state_tensors(state)
    wider = {**SHAPES, "embeddings.tokens": (30, 8)}
    with pytest.raises(DataError, match=r"2 tensors do not fit.*'embeddings\.tokens\.exp_avg'"):
        optimizer_of(weights(shapes=wider), name="muon").load_state_tensors(state)


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 16, 64), (2, 64, 16)])
@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
def test_what_is_made_orthogonal_has_singular_values_near_1_at_any_scale(shape, scale):
    matrices = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = orthogonalise(matrices * scale)
    assert found.shape == shape
    left, singular, right = torch.linalg.svd(found)
    rank = min(shape[1:])
    if shape[1] != shape[2]:  # a square random matrix has singular values near 0 that stay small
        assert singular.min() > 0.6
    assert singular.max() < 1.3
    of_before = left[..., :rank].mT @ matrices @ right[:, :rank].mT
    assert (of_before.diagonal(dim1=1, dim2=2) > -1e-3).all()  # no direction is turned around
    torch.testing.assert_close(found, orthogonalise(matrices), rtol=1e-3, atol=1e-3)


def test_a_gradient_of_nothing_stays_nothing():
    assert torch.equal(orthogonalise(torch.zeros(2, 4, 8)), torch.zeros(2, 4, 8))


@pytest.mark.parametrize("name", HIDDEN)
def test_an_update_of_muon_is_as_large_as_one_of_adamw(name):
    named = weights()
    before = named[name].detach().clone()
    optimizer = optimizer_of(named, name="muon", weight_decay=0)
    run(optimizer, named, steps=range(1))
    update = (named[name].detach() - before) / 1e-2
    assert update.square().mean().sqrt() == pytest.approx(0.2, rel=0.25)


def test_muon_is_torchs_own():
    named = {name: weights()[name] for name in HIDDEN}
    wanted = {name: weights()[name] for name in HIDDEN}
    reference = torch.optim.Muon(
        wanted.values(), weight_decay=0.1, momentum=0.95, adjust_lr_fn="match_rms_adamw"
    )
    optimizer = Optimizer(named.items(), settings=settings("muon"))
    for step in range(5):
        before = {name: weight.detach().clone() for name, weight in named.items()}
        give_gradients(named, step=step)
        give_gradients(wanted, step=step)
        for group in reference.param_groups:
            group["lr"] = 1e-2
        reference.step()
        optimizer.step(1.0, skip=torch.tensor(0.0))
        for name in named:
            change = named[name].detach() - before[name]
            other = wanted[name].detach() - before[name]
            assert (change - other).norm() < 0.03 * change.norm()  # torch's is in bfloat16
            wanted[name].data.copy_(named[name].data)


def test_a_fused_matrix_is_treated_like_its_parts():
    fused = weights(shapes={"layers.0.qkv.weight": (24, 8), "layers.0.feed_in.weight": (32, 8)})
    split = {
        f"{name}.{number}": nn.Parameter(own.detach().clone())
        for name, weight in fused.items()
        for number, own in enumerate(weight.chunk(parts(name)))
    }
    of_fused = optimizer_of(fused, name="muon")
    of_split = Optimizer(split.items(), settings=settings("muon"))
    for step in range(3):
        give_gradients(fused, step=step)
        for name, weight in fused.items():
            for number, own in enumerate(weight.grad.chunk(parts(name))):
                split[f"{name}.{number}"].grad = own.clone()
        of_fused.step(1.0, skip=torch.tensor(0.0))
        of_split.step(1.0, skip=torch.tensor(0.0))
    for name, weight in fused.items():
        pieces = [split[f"{name}.{number}"] for number in range(parts(name))]
        assert torch.equal(weight, torch.cat(pieces))


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_the_same_steps_give_the_same_bits(name):
    found = []
    for _ in range(2):
        named = weights()
        optimizer = optimizer_of(named, name=name)
        run(optimizer, named, steps=range(5))
        found.append(everything(optimizer, named))
    assert same_bits(*found)


@pytest.mark.parametrize("name", ["adamw", "muon"])
def test_a_small_problem_is_solved(name):
    named = weights(shapes={"layers.0.weight": (8, 8), "bias": (8,)})
    wanted = torch.randn(8, 8, generator=torch.Generator().manual_seed(5))
    inputs = torch.randn(64, 8, generator=torch.Generator().manual_seed(6))
    optimizer = optimizer_of(named, name=name, learning_rate=0.1, weight_decay=0)
    losses = []
    for step in range(300):
        outputs = inputs @ named["layers.0.weight"].mT + named["bias"]
        loss = (outputs - inputs @ wanted.mT - 1).square().mean()
        for weight in named.values():
            weight.grad = None
        loss.backward()
        optimizer.step(1 - step / 300, skip=torch.tensor(0.0))
        losses.append(loss.item())
    assert losses[-1] < 1e-3 * losses[0]


def test_a_weight_without_gradient_is_left_alone():
    named = weights()
    give_gradients(named, step=0)
    named["mlm.dense.weight"].grad = None
    optimizer = optimizer_of(named)
    before = named["mlm.dense.weight"].detach().clone()
    optimizer.step(1.0, skip=torch.tensor(0.0))
    assert torch.equal(named["mlm.dense.weight"], before)


@pytest.mark.parametrize("max_norm", [0.5, 1e9])
def test_clipping_is_torchs_own(max_norm):
    named, wanted = weights(), weights()
    give_gradients(named, step=0)
    give_gradients(wanted, step=0)
    reference = nn.utils.clip_grad_norm_(wanted.values(), max_norm)
    norm, finite = clip_(named.values(), max_norm=max_norm)
    assert finite
    assert torch.equal(norm, reference)
    for name in named:
        assert torch.equal(named[name].grad, wanted[name].grad)
    after, _ = clip_(named.values(), max_norm=max_norm)
    assert after <= max_norm


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_one_bad_gradient_makes_the_norm_not_finite(bad):
    named = weights()
    give_gradients(named, step=0)
    named["layers.0.qkv.bias"].grad[0] = bad
    _, finite = clip_(named.values(), max_norm=1.0)
    assert not finite
