"""Change the weights: AdamW, or Muon for the hidden matrices and AdamW for the rest.

Promises: no step waits for the device, and a skipped one leaves weights and state as they are, bit
for bit, whatever is in the gradients; going on from saved state gives the bits of not stopping.
Does not promise: state split over ranks. Under data parallelism the gradients of all ranks are the
same, so that each does the same work and nothing is sent.

AdamW is torch's fused kernel, which tests a flag on the device before it writes (`found_inf`, the
way of torch.amp.GradScaler), so that skipping needs no branch on the host. torch.optim.Muon goes
through matrices one by one; here those of one shape are one batch.

Shapes: M matrices of one shape, R rows, C columns.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pipelines.errors import DataError

from .config import OptimizerSettings

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Jordan et al. 2024: the quintic that rises fastest at 0; singular values end in 0.7 to 1.2."""
NEWTON_SCHULZ_STEPS = 5
ADAMW_RMS = 0.2
"""Moonshot AI 2025 (Muon is Scalable for LLM Training): what the update of AdamW has."""


def is_hidden(name: str) -> bool:
    """Tell whether a matrix of that name is inside a layer: no embedding and no head."""
    return "layers." in name


def in_one_part(name: str) -> int:  # noqa: ARG001
    """Return 1: no matrix holds several, stacked by rows."""
    return 1


class Optimizer:
    """The rule by which gradients change weights, and what it remembers between steps."""

    def __init__(
        self,
        named_parameters: Iterable[tuple[str, nn.Parameter]],
        *,
        settings: OptimizerSettings,
        hidden: Callable[[str], bool] = is_hidden,
        parts: Callable[[str], int] = in_one_part,
    ) -> None:
        """Take charge of parameters, where they are.

        Args:
            named_parameters: as `nn.Module.named_parameters` gives them; float32.
            settings: resolved: the learning rate and the betas are known.
            hidden: by name, which matrices Muon takes; unused by AdamW.
            parts: by name, how many matrices of the same shape one is, one below the other: 3 for
                fused query, key and value, 2 for a gated layer's input. Each is made orthogonal by
                itself.
        """
        assert settings.learning_rate is not None
        assert settings.betas is not None
        self._settings = settings
        self._learning_rate = settings.learning_rate
        named = {name: weight for name, weight in named_parameters if weight.requires_grad}
        by_muon = {
            name: weight
            for name, weight in named.items()
            if settings.name == "muon" and weight.ndim == 2 and hidden(name)
        }
        self._stacks = _stacks(by_muon, parts=parts)
        self._rest = {name: weight for name, weight in named.items() if name not in by_muon}
        decaying = [weight for weight in self._rest.values() if weight.ndim >= 2]
        others = [weight for weight in self._rest.values() if weight.ndim < 2]
        self._adamw = _AdamW(
            [
                {"params": decaying, "weight_decay": settings.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ],
            betas=settings.betas,
            eps=settings.eps,
            fused=True,
        )
        for weight in self._rest.values():  # now, so that the state always has the same tensors
            self._adamw.state[weight] = {
                "step": torch.zeros((), device=weight.device),
                "exp_avg": torch.zeros_like(weight),
                "exp_avg_sq": torch.zeros_like(weight),
            }

    @torch.no_grad()
    def step(self, learning_rate_factor: Tensor | float, *, skip: Tensor) -> None:
        """Change the weights by their gradients.

        Args:
            learning_rate_factor: share of the highest learning rate; a number, or a tensor of shape
                () on the device.
            skip: shape (), on the device; not 0: nothing is changed.
        """
        skip = skip != 0
        learning_rate = self._learning_rate * learning_rate_factor
        for group in self._adamw.param_groups:
            group["lr"] = learning_rate
        self._adamw.found_inf = skip.float()  # the kernel compares with 1.0
        self._adamw.step()
        for stack in self._stacks:
            self._step_muon(stack, learning_rate=learning_rate, skip=skip)

    def _step_muon(self, stack: _Stack, *, learning_rate: Tensor | float, skip: Tensor) -> None:
        """Muon (Jordan et al. 2024) with Nesterov momentum and decoupled weight decay."""
        momentum, decay = self._settings.momentum, self._settings.weight_decay
        gradient_MRC = stack.of([weight.grad for weight in stack.weights.values()])
        weight_MRC = stack.of(stack.weights.values())
        average_MRC = stack.average_MRC.lerp(gradient_MRC, 1 - momentum)
        update_MRC = orthogonalise(gradient_MRC.lerp(average_MRC, momentum))
        scale = ADAMW_RMS * math.sqrt(max(update_MRC.shape[1:]))
        changed_MRC = weight_MRC * (1 - learning_rate * decay)
        changed_MRC -= update_MRC * (learning_rate * scale)
        stack.average_MRC.copy_(torch.where(skip, stack.average_MRC, average_MRC))
        new = stack.by_name(torch.where(skip, weight_MRC, changed_MRC))
        torch._foreach_copy_(list(stack.weights.values()), list(new.values()))

    def state_tensors(self) -> dict[str, Tensor]:
        """Return the state by name, in tensors that the next step changes: to be copied."""
        found = {
            f"{name}.{part}": tensor
            for name, weight in self._rest.items()
            for part, tensor in self._adamw.state[weight].items()
        }
        for stack in self._stacks:
            averages = stack.by_name(stack.average_MRC)
            found |= {f"{name}.momentum": average for name, average in averages.items()}
        return found

    @torch.no_grad()
    def load_state_tensors(self, saved: Mapping[str, Tensor]) -> None:
        """Go on from a state that `state_tensors` gave.

        Raises:
            DataError: it is the state of other parameters or of another rule.
        """
        own = self.state_tensors()
        unfit = sorted(own.keys() ^ saved.keys()) or [
            name for name, tensor in own.items() if tensor.shape != saved[name].shape
        ]
        if unfit:
            raise DataError(
                f"the optimizer's state: {len(unfit)} tensors do not fit the run, the first of them"
                f" '{unfit[0]}'.\n"
                "  Resume with the model and the optimizer that the run was started with."
            )
        for name, tensor in own.items():
            tensor.copy_(saved[name])


def clip_(parameters: Iterable[nn.Parameter], *, max_norm: float) -> tuple[Tensor, Tensor]:
    """Scale gradients down in place so that their norm is `max_norm` at most.

    Args:
        parameters: those with gradients count; the gradients are float32.
        max_norm: of all of them together.

    Returns:
        The norm before, and 1 where it is finite, else 0 (both float32, shape ()). Where it is not,
        the gradients are worthless afterwards and the step is to be skipped.
    """
    known = [weight for weight in parameters if weight.grad is not None]
    norm = nn.utils.get_total_norm([weight.grad for weight in known if weight.grad is not None])
    nn.utils.clip_grads_with_norm_(known, max_norm, norm)
    return norm, norm.isfinite().float()


def orthogonalise(matrices_MRC: Tensor) -> Tensor:
    """Return matrices with the same singular vectors and singular values near 1.

    Five steps of a Newton-Schulz iteration (Jordan et al. 2024), whose precision bfloat16 is enough
    for: on a GPU it is used, on a CPU float32. The scale of a matrix does not matter.

    Args:
        matrices_MRC: float32.

    Returns:
        As many, of the same shape, in the precision of the iteration; zeros stay zeros.
    """
    a, b, c = NEWTON_SCHULZ
    norms_M11: Tensor = torch.linalg.matrix_norm(matrices_MRC, keepdim=True)
    wide_MRC = matrices_MRC / norms_M11.clamp_min(1e-30)
    if wide_MRC.is_cuda:
        wide_MRC = wide_MRC.bfloat16()
    is_tall = wide_MRC.shape[1] > wide_MRC.shape[2]
    if is_tall:  # the products below are of the shorter side
        wide_MRC = wide_MRC.transpose(1, 2)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram_MRR = wide_MRC @ wide_MRC.transpose(1, 2)
        gram_MRR = torch.baddbmm(gram_MRR, gram_MRR, gram_MRR, beta=b, alpha=c)
        wide_MRC = torch.baddbmm(wide_MRC, gram_MRR, wide_MRC, beta=a)
    return wide_MRC.transpose(1, 2) if is_tall else wide_MRC


class _AdamW(torch.optim.AdamW):
    found_inf: Tensor | None = None


@dataclass(frozen=True, slots=True)
class _Stack:
    """Weights that are made of matrices of one shape, and the average of their gradients."""

    weights: dict[str, nn.Parameter]
    num_parts: list[int]
    average_MRC: Tensor

    def of(self, tensors: Iterable[Tensor | None]) -> Tensor:
        """Return the matrices of tensors that are shaped like the weights."""
        known = [tensor for tensor in tensors if tensor is not None]
        assert len(known) == len(self.weights), "a hidden matrix has no gradient"
        return torch.cat([tensor.reshape(-1, *self.average_MRC.shape[1:]) for tensor in known])

    def by_name(self, matrices_MRC: Tensor) -> dict[str, Tensor]:
        """Return views of matrices, shaped like the weights."""
        split = matrices_MRC.split_with_sizes(self.num_parts)
        return {
            name: own.reshape(weight.shape)
            for (name, weight), own in zip(self.weights.items(), split, strict=True)
        }


def _stacks(weights: dict[str, nn.Parameter], *, parts: Callable[[str], int]) -> list[_Stack]:
    by_shape: dict[tuple[int, int], dict[str, nn.Parameter]] = {}
    for name, weight in weights.items():
        rows, columns = weight.shape
        assert rows % parts(name) == 0, f"{name}: {rows} rows are not {parts(name)} parts"
        by_shape.setdefault((rows // parts(name), columns), {})[name] = weight
    stacks = []
    for shape, named in by_shape.items():
        num_parts = [parts(name) for name in named]
        like = next(iter(named.values()))
        stacks.append(_Stack(named, num_parts, like.new_zeros((sum(num_parts), *shape))))
    return stacks
