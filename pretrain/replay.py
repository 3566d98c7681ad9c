"""Look at the batch of any step again: what was read, what was masked, in which languages.

A batch is a function of the seed and its place in the run, so nothing has to have been kept but the
table of the blocks that were begun; that one is in every checkpoint.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from pipelines.errors import ConfigError

from .batch import Batches, MicroBatch
from .checkpoint import Checkpoints
from .clock import Clock
from .prepare import CHECKPOINTS, Run
from .source import Begun


def replay(run: Run, *, step: int) -> dict[str, Any]:
    """Return the batch of a step, decoded.

    Args:
        run: a reopened one.
        step: from 0.

    Returns:
        `step`, `micro_batches`: of each `micro` (over the whole run), `block`, `stage`, `tokens`,
        `masked`, and `examples`: `label`, `documents` (ids of A and B), `nsp` ("next", "random" or
        None), and `pieces`: [what the model saw, what was there; None where nothing was masked].

    Raises:
        ConfigError: the run, in the state it is in, does not say what its batch was.
    """
    checkpoints = Checkpoints(run.folder / CHECKPOINTS, keep=run.settings.checkpoint.keep)
    begun = _begun(checkpoints)
    clock = Clock(run.settings, per_step=run.per_step)
    if clock.steps is not None and not 0 <= step < clock.steps:
        raise ConfigError(f"--step {step}: the run has {clock.steps:,} steps, from 0 on.")
    found, blocks = [], _Blocks(run, begun, clock)
    for micro in range(step * run.per_step, (step + 1) * run.per_step):
        number, batches = blocks.of_micro(micro)
        at = micro - blocks.begun[number].first
        batch = batches.micro_batch(at)
        found.append(
            {
                "micro": micro,
                "block": number,
                "stage": blocks.begun[number].stage,
                "tokens": batch.num_tokens,
                "masked": batch.num_masked,
                "examples": _examples(run, batches, at, batch),
            }
        )
    return {"step": step, "micro_batches": found}


class _Blocks:
    """The blocks of a run; those after the last checkpoint follow where no clock decides."""

    def __init__(self, run: Run, begun: list[Begun], clock: Clock) -> None:
        self.run, self.clock = run, clock
        self.begun = begun or [Begun(0, clock.stage_at(0.0))]
        self._made: tuple[int, Batches] | None = None

    def of_micro(self, micro: int) -> tuple[int, Batches]:
        """Return the block that a micro-batch of the run is in, and its batches."""
        while True:
            number = max(n for n, one in enumerate(self.begun) if one.first <= micro)
            if self._made is None or self._made[0] != number:
                self._made = number, self.run.source.batches(number, self.begun)
            batches = self._made[1]
            end = self.begun[number].first + batches.num_micro
            if micro < end:
                return number, batches
            if self.clock.steps is None and len(self.run.settings.stages) > 1:
                raise ConfigError(
                    f"--step: the last checkpoint was before micro-batch {micro:,}, and a run "
                    "measured in time decides by its clock what comes next.\n"
                    "  Choose a step up to the last checkpoint's."
                )
            progress = self.clock.of_micro(end) if self.clock.steps is not None else 0.0
            self.begun.append(Begun(end, self.clock.stage_at(progress)))


def _begun(checkpoints: Checkpoints) -> list[Begun]:
    if checkpoints.latest() is None:
        return []
    state = checkpoints.state()
    return [Begun(int(first), int(stage)) for first, stage in state["begun"]]


def _examples(run: Run, batches: Batches, at: int, batch: MicroBatch) -> list[dict[str, Any]]:
    block, pieces = batches.block, run.vocabulary.pieces
    first = int(block.micro_starts[at])
    rows = np.arange(first, first + batch.num_sequences)
    language, second = block.language[rows], block.b_index[rows]
    documents = run.source.part.ids(language, block.a_index[rows])
    paired = second >= 0
    others = iter(run.source.part.ids(language[paired], second[paired]))
    there = np.full(len(batch.ids_N), -1, np.int64)
    used = batch.weights_K > 0
    there[batch.masked_K[used]] = batch.labels_K[used]
    found = []
    for number, row in enumerate(rows.tolist()):
        start, end = int(batch.cu_D1[number]), int(batch.cu_D1[number + 1])
        negative = int(block.negative[row])
        found.append(
            {
                "label": run.shards.labels[int(block.language[row])],
                "documents": [documents[number], *([next(others)] if paired[number] else [])],
                "nsp": {1: "random", 0: "next"}.get(negative),
                "pieces": [
                    [pieces[int(seen)], pieces[int(was)] if was >= 0 else None]
                    for seen, was in zip(
                        batch.ids_N[start:end].tolist(), there[start:end].tolist(), strict=True
                    )
                ],
            }
        )
    return found
