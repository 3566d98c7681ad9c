"""Where a network runs, with what precision and how much at once.

Promises: nothing here waits for a GPU; a lack of memory becomes an error that says what to turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.errors import EnvironmentProblem

from .settings import CPU_TOKENS, GPU_TOKENS, TuneSettings

CPU_OVERHEAD, GPU_OVERHEAD = 64, 8192


@dataclass(frozen=True)
class Place:
    """Where a network runs."""

    device: torch.device
    dtype: torch.dtype
    """Of matrix products."""
    pad: int
    """The id of padding."""
    tokens: int
    """Padded tokens that go through the network at once in training."""

    @property
    def overhead(self) -> int:
        """Return the tokens that take as long as beginning to compute: kernels wait for a GPU."""
        return GPU_OVERHEAD if self.on_gpu else CPU_OVERHEAD

    @property
    def on_gpu(self) -> bool:
        """Tell whether the device is a GPU."""
        return self.device.type == "cuda"

    def precision(self) -> Any:  # noqa: ANN401
        """Return a context in which matrix products have the precision."""
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def tensor(self, array: NDArray[Any]) -> Tensor:
        """Return an array on the device; the host doesn't wait."""
        found = torch.from_numpy(array)
        return found.pin_memory().to(self.device, non_blocking=True) if self.on_gpu else found


def place_of(settings: TuneSettings, *, pad: int) -> Place:
    """Return where a network is to run.

    Raises:
        EnvironmentProblem: a GPU was asked for and there is none.
    """
    there = torch.cuda.is_available()
    if settings.device == "cuda" and not there:
        built = "this build of torch has no CUDA" if torch.version.cuda is None else "CUDA has none"
        raise EnvironmentProblem(
            f"tune.device: 'cuda' was asked for, and there is no GPU ({built}).\n"
            "  Set it to auto or cpu, or install a build of torch for your GPU."
        )
    on_gpu = there and settings.device != "cpu"
    bf16 = settings.precision == "bfloat16" or (settings.precision == "auto" and on_gpu)
    return Place(
        torch.device("cuda" if on_gpu else "cpu"),
        torch.bfloat16 if bf16 else torch.float32,
        pad,
        settings.micro_batch_tokens or (GPU_TOKENS if on_gpu else CPU_TOKENS),
    )


@contextmanager
def memory_explained(place: Place) -> Iterator[None]:
    """Turn a lack of memory into one clear error.

    Raises:
        EnvironmentProblem: with the dial to turn.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch's own are RuntimeErrors
        if isinstance(error, RuntimeError) and not any(
            said in str(error) for said in ("out of memory", "can't allocate memory")
        ):
            raise
        raise EnvironmentProblem(
            f"{place.device}: out of memory with {place.tokens:,} tokens at a time.\n"
            f"  Add --set tune.micro_batch_tokens={max(64, place.tokens // 2)}; what is learnt "
            "stays the same."
        ) from error
