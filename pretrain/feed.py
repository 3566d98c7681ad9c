"""Keep the GPU fed: one background thread plans blocks and fills micro-batches ahead of the loop.

No worker processes: one numpy thread makes micro-batches many times faster than a GPU takes them
(benchmarks/loader.py), and has no state to lose. Each rank plans every block for itself and fills
only the micro-batches that are its own: the ones whose number, over the whole run, leaves its rank
when divided by the number of ranks. So the data of a step does not depend on how many there are,
and a micro-batch is handed out when all ranks have one, so that all know of the same blocks.

Which stage a block is of depends on how far the run is when it begins. A run measured in tokens
knows that by itself; one measured in time is told by the loop at each step (`at_step`), and a block
takes the stage that held when the block before it began.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass

import torch

from .batch import Batches, MicroBatch
from .model import Inputs
from .source import Begun, Source

DEPTH = 8
"""Micro-batches made ahead: planning a block takes as long as a GPU needs for a few of them."""
VARYING = ("masked_K", "labels_K", "weights_K")
"""As long as the mask rate says. The compiler is told, so that one model serves all rates: it takes
most of a minute, and a run of ten minutes can have four of them."""
_POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Fed:
    """A micro-batch, and where it is from."""

    batch: MicroBatch
    block: int
    stage: int
    begun: tuple[Begun, ...]
    """The blocks that began with it or with the other ranks' that are beside it."""


class Feed:
    """Hands out this rank's micro-batches in order, from a place in the run on."""

    def __init__(
        self,
        source: Source,
        *,
        begun: list[Begun],
        first: int,
        per_step: int,
        stage_at: Callable[[float], int],
        progress_of: Callable[[int], float] | None,
        rank: int = 0,
        num_ranks: int = 1,
    ) -> None:
        """Start to make micro-batches.

        Args:
            source: the data.
            begun: the blocks that had begun before `first`; empty at the start of a run.
            first: the run's next micro-batch, a multiple of `per_step`.
            per_step: micro-batches of a step, over all ranks.
            stage_at: the stage at a share of the run.
            progress_of: the share of the run that lies before a micro-batch; None in a run
                measured in time, which `at_step` tells.
            rank: of this process.
            num_ranks: of the run.
        """
        self._source, self._begun = source, list(begun)
        self._first, self._per_step = first, per_step
        self._stage_at, self._progress_of = stage_at, progress_of
        self._rank, self._num_ranks = rank, num_ranks
        self._queue: queue.Queue[Fed | BaseException] = queue.Queue(DEPTH)
        self._told: dict[int, float] = {}
        self._news = threading.Condition()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)
        self._thread.start()

    def at_step(self, step: int, progress: float) -> None:
        """Tell how far the run is when a step begins; needed where it is measured in time."""
        if self._progress_of is not None:
            return
        with self._news:
            self._told[step] = progress
            self._news.notify_all()

    def get(self) -> Fed:
        """Return this rank's next micro-batch, waiting for it if need be.

        Raises:
            KoineError: what went wrong where it was made.
        """
        found = self._queue.get()
        if isinstance(found, BaseException):
            raise found
        return found

    @property
    def waiting(self) -> int:
        """Return how many micro-batches lie ready."""
        return self._queue.qsize()

    def close(self) -> None:
        """Stop the thread."""
        self._stopped.set()
        with self._news:
            self._news.notify_all()
        self._thread.join()

    def _run(self) -> None:
        try:
            self._feed()
        except BaseException as error:  # the loop raises it
            self._put(error)

    def _feed(self) -> None:
        fresh: list[Begun] = []
        if not self._begun:
            self._begun.append(Begun(0, self._stage_at(0.0)))
            fresh = list(self._begun)
        number, wanted = len(self._begun) - 1, self._first
        own: list[tuple[MicroBatch, int, int]] = []
        while not self._stopped.is_set():
            batches = self._source.batches(number, self._begun)
            start = self._begun[number].first
            end = start + batches.num_micro
            for micro in range(wanted, end):
                if micro % self._num_ranks == self._rank:
                    stage = self._begun[number].stage
                    own.append((batches.micro_batch(micro - start), number, stage))
                if (micro + 1) % self._num_ranks == 0:
                    self._put(Fed(*own.pop(), tuple(fresh)))
                    fresh.clear()
                if self._stopped.is_set():
                    return
            following = self._next_stage(batches, start)
            if following is None:
                return
            self._begun.append(Begun(end, following))
            fresh.append(self._begun[-1])
            number, wanted = number + 1, end

    def _next_stage(self, batches: Batches, start: int) -> int | None:
        """Return the stage of the block after one that began at `start`; None when stopped."""
        if self._progress_of is not None:
            return self._stage_at(self._progress_of(start + batches.num_micro))
        step = max(start, self._first) // self._per_step
        with self._news:
            while step not in self._told and not self._stopped.is_set():
                self._news.wait(_POLL_S)
            progress = self._told.get(step)
            self._told = {s: p for s, p in self._told.items() if s >= step}
        return None if progress is None else self._stage_at(progress)

    def _put(self, item: Fed | BaseException) -> None:
        while not self._stopped.is_set():
            try:
                self._queue.put(item, timeout=_POLL_S)
            except queue.Full:
                continue
            return


def inputs_of(batch: MicroBatch, device: torch.device) -> Inputs:
    """Return a micro-batch's arrays on the device; the copy to a GPU is not waited for."""
    tensors = {name: torch.from_numpy(getattr(batch, name)) for name in Inputs._fields}
    if device.type == "cuda":
        for name, tensor in tensors.items():
            tensors[name] = tensor.pin_memory().to(device, non_blocking=True)
        for name in VARYING:
            torch._dynamo.maybe_mark_dynamic(tensors[name], 0)
    return Inputs(**tensors)
