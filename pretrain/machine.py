"""Where a run runs: the device, the ranks, and which of their abilities are used."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import torch

from pipelines.errors import ConfigError, EnvironmentProblem

from . import flops
from .attention import Kernel
from .config import PretrainSettings

MAX_SHAPES = 64


@dataclass(frozen=True)
class Machine:
    """One rank's part of the machine."""

    device: torch.device
    dtype: torch.dtype
    """Of the matrix products."""
    kernel: Kernel
    """Of attention."""
    compiled: bool
    peak: float
    """FLOP/s that the device is held against."""
    peak_source: str
    rank: int = 0
    num_ranks: int = 1

    @property
    def is_first(self) -> bool:
        """Tell whether this rank writes and shows what there is to see."""
        return self.rank == 0

    def facts(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "device": torch.cuda.get_device_name(self.device) if self.on_gpu else "cpu",
            "dtype": str(self.dtype).removeprefix("torch."),
            "attention": self.kernel,
            "compiled": self.compiled,
            "peak_flops": self.peak,
            "peak_source": self.peak_source,
            "ranks": self.num_ranks,
            "torch": torch.__version__,
        }

    @property
    def on_gpu(self) -> bool:
        """Tell whether the device is a GPU."""
        return self.device.type == "cuda"


def device_of(settings: PretrainSettings) -> torch.device:
    """Return this rank's device.

    Raises:
        EnvironmentProblem: a GPU was asked for and there is none.
    """
    there = torch.cuda.is_available()
    if settings.device == "cuda" and not there:
        built = "this build of torch has no CUDA" if torch.version.cuda is None else "CUDA has none"
        raise EnvironmentProblem(
            f"pretrain.device: 'cuda' was asked for, and there is no GPU ({built}).\n"
            "  Set it to auto or cpu, or install a build of torch for your GPU."
        )
    if settings.device == "cpu" or not there:
        return torch.device("cpu")
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))


def machine(settings: PretrainSettings) -> Machine:
    """Join the other ranks, if there are any, and choose what the device can do.

    Args:
        settings: resolved ones.

    Raises:
        ConfigError: the settings ask for what the device lacks.
        EnvironmentProblem: there is no GPU, or the ranks can't find each other.
    """
    device = device_of(settings)
    on_gpu = device.type == "cuda"
    rank, ranks = _join(device)
    bf16 = settings.precision == "bfloat16" or (settings.precision == "auto" and on_gpu)
    kernel = on_gpu and bf16 and torch.cuda.get_device_capability(device) >= (8, 0)
    if settings.attention == "varlen" and not kernel:
        raise ConfigError(
            "pretrain.attention: 'varlen' needs bfloat16 on a GPU of 2020 or later.\n"
            "  Set it to auto or tiles."
        )
    if on_gpu:
        torch.cuda.set_device(device)
        torch.set_float32_matmul_precision("high")
        torch.use_deterministic_algorithms(settings.deterministic)
    dtype = torch.bfloat16 if bf16 else torch.float32
    peak, source = flops.peak(device, dtype=dtype)
    compiled = settings.compile == "on" or (settings.compile == "auto" and on_gpu)
    if compiled:  # each length and mask rate of the stages, to train and to judge, is a shape
        dynamo = torch._dynamo.config
        dynamo.recompile_limit = max(dynamo.recompile_limit, MAX_SHAPES)
    return Machine(
        device,
        dtype,
        "varlen" if kernel and settings.attention != "tiles" else "tiles",
        compiled,
        peak,
        source,
        rank,
        ranks,
    )


def num_ranks() -> int:
    """Return the number of ranks; torchrun says it in the environment."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def _join(device: torch.device) -> tuple[int, int]:
    """Return the rank and the number of ranks."""
    if num_ranks() == 1:
        return 0, 1
    if not torch.distributed.is_initialized():
        # Gloo beside NCCL: what the ranks agree on between steps must not wait for the GPU.
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        try:
            torch.distributed.init_process_group(backend)
        except (RuntimeError, ValueError) as error:
            raise EnvironmentProblem(
                f"torch.distributed: the ranks don't find each other ({error}).\n"
                "  Start them with torchrun."
            ) from error
    return torch.distributed.get_rank(), num_ranks()


def agree(machine: Machine, *values: float) -> list[float]:
    """Return what the first rank says, on all of them; the GPU is not waited for."""
    if machine.num_ranks == 1:
        return list(values)
    told = torch.tensor(values, dtype=torch.float64)
    torch.distributed.broadcast(told, src=0)
    found: list[float] = told.tolist()
    return found


def total(machine: Machine, values: torch.Tensor) -> torch.Tensor:
    """Return the sum of a tensor over all ranks."""
    if machine.num_ranks > 1:
        torch.distributed.all_reduce(values)
    return values
