"""What happened in the steps since the last line of the log, without waiting for the GPU.

The statistics of a step stay on the device. When a line is due they are copied out while the next
step is already under way, and read after that one was started: the GPU never runs dry.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from . import flops
from .feed import Fed
from .machine import Machine
from .presets import Shape

SUMS = 6
"""Of a micro-batch: losses, masked pieces and hits; of its pairs: losses, pairs and hits."""


@dataclass
class Interval:
    """The steps since the last line of the log."""

    first_step: int
    since: float = field(default_factory=time.monotonic)
    tokens: int = 0
    flops: float = 0.0
    waited_s: float = 0.0


@dataclass(frozen=True)
class Taken:
    """An interval whose statistics are on their way from the device."""

    rows: torch.Tensor
    event: torch.cuda.Event | None
    interval: Interval
    seconds: float
    facts: dict[str, Any]


class Tally:
    """Counts what the steps of this rank do."""

    def __init__(self, machine: Machine, shape: Shape, *, vocab_rows: int, size: int) -> None:
        """Make room for the statistics of `size` steps."""
        self._machine, self._shape, self._vocab_rows = machine, shape, vocab_rows
        self._size = size
        self._ring = torch.zeros(size, SUMS + 2, device=machine.device)
        self.interval = Interval(0)

    def begin(self, step: int) -> None:
        """Begin an interval with this step; time before it counts for none."""
        self.interval = Interval(step)

    def count(self, fed: Fed, *, waited_s: float) -> None:
        """Count a micro-batch of this rank."""
        batch, interval = fed.batch, self.interval
        interval.waited_s += waited_s
        interval.tokens += batch.num_tokens
        interval.flops += flops.step_flops(
            self._shape,
            vocab_rows=self._vocab_rows,
            num_tokens=batch.num_tokens,
            squares=batch.squares,
            local=batch.local,
            num_masked=batch.num_masked,
            num_sequences=batch.num_sequences,
        )

    def add(
        self, step: int, sums: torch.Tensor, *, norm: torch.Tensor, finite: torch.Tensor
    ) -> None:
        """Keep a step's statistics, on the device."""
        rest = torch.stack([norm.to(sums.dtype), finite.to(sums.dtype)])
        self._ring[step % self._size] = torch.cat([sums, rest])

    def take(self, step: int, **facts: object) -> Taken | None:
        """Start to copy out the interval that ends before `step`; None if it is empty."""
        interval = self.interval
        if step == interval.first_step:
            return None
        # Turned, not indexed by a list, which would be copied to the device and waited for.
        rows = self._ring.roll(-(interval.first_step % self._size), 0)[: step - interval.first_step]
        if self._machine.num_ranks > 1:
            torch.distributed.all_reduce(rows)
        event = None
        if self._machine.on_gpu:
            there = torch.empty(rows.shape, dtype=rows.dtype, pin_memory=True)
            there.copy_(rows, non_blocking=True)
            event, rows = torch.cuda.Event(), there  # type: ignore[no-untyped-call]
            event.record()
        seconds = time.monotonic() - interval.since
        self.begin(step)
        return Taken(rows, event, interval, seconds, {"step": step, **facts})

    def record(self, taken: Taken) -> tuple[dict[str, Any], NDArray[np.bool_]]:
        """Return an interval as a line of the log, and which of its steps counted."""
        if taken.event is not None:
            taken.event.synchronize()
        rows, ranks = taken.rows.double().numpy(), self._machine.num_ranks
        good = rows[:, SUMS + 1] > ranks - 0.5
        nats, masked, hits, pair_nats, pairs, pair_hits = rows[good, :SUMS].sum(0)
        interval, seconds, peak = taken.interval, max(taken.seconds, 1e-9), self._machine.peak
        mlm, nsp = _ratio(nats, masked), _ratio(pair_nats, pairs)
        skipped = [interval.first_step + int(number) for number in np.flatnonzero(~good)]
        line = {
            **taken.facts,
            "loss": None if mlm is None else mlm + (nsp or 0.0),
            "mlm_loss": mlm,
            "mlm_accuracy": _ratio(hits, masked),
            "nsp_loss": nsp,
            "nsp_accuracy": _ratio(pair_hits, pairs),
            "gradient_norm": float(rows[good, SUMS].mean() / ranks) if good.any() else None,
            "tokens_per_s": interval.tokens * ranks / seconds,
            "mfu": interval.flops / seconds / peak if self._machine.on_gpu else None,
            "wait_share": interval.waited_s / seconds,
            "skipped": skipped,
        }
        return line, good


def _ratio(over: float, under: float) -> float | None:
    return float(over / under) if under else None
