"""The loop: feed, forward, backward, update; now and then log, judge, save.

One step takes `per_step` micro-batches, shared out over the ranks, and makes one update. Everything
that a step needs on the device is put there ahead of it, and everything worth knowing stays there
until the next line of the log is due: inside a step nothing waits for the GPU. A gradient that is
not finite is noticed on the device, where the update then leaves weights and optimizer alone.

Promises: a run that was killed goes on from its last checkpoint with the same data, masks, learning
rates and, on a CPU, the same bits as one that wasn't; a signal ends the step, saves and stops.
Does not promise: the same bits on another number of ranks; sums in another order round otherwise.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch.nn.parallel import DistributedDataParallel

from pipelines import store
from pipelines.disk import explained
from pipelines.errors import DataError

from . import evaluate as judging
from . import schedule
from .checkpoint import Checkpoints
from .clock import Clock
from .config import seconds_of
from .feed import Feed, inputs_of
from .guards import memory_explained, poisoned, signals, without_pauses
from .machine import agree, total
from .metrics import Log, records
from .model import Inputs, Pretrainer, Scores, loss
from .optim import Optimizer, clip_
from .place import Place, by_label
from .prepare import CHECKPOINTS, CONFIG, EVALUATIONS, LOG, RESULT, Run
from .tally import SUMS, Taken, Tally

MAX_ROLLBACKS = 2


class Watcher(Protocol):
    """Shows a run while it goes on."""

    def note(self, text: str) -> None:
        """Say something that explains a wait."""

    def step(self, record: dict[str, Any], *, progress: float, elapsed_s: float) -> None:
        """Show a line of the log."""


@dataclass(frozen=True)
class Trained:
    """A run that has ended, or was stopped by a signal."""

    folder: str
    signal: int | None
    result: dict[str, Any]


def train(run: Run, *, watcher: Watcher) -> Trained:
    """Train until the run is over, or a signal stops it; go on from the last checkpoint.

    Args:
        run: a prepared one.
        watcher: shows how it goes.

    Raises:
        DataError: a checkpoint is damaged; or steps have no finite gradient any more.
        EnvironmentProblem: memory or disk ran out, or another process is training in the folder.
    """
    first = run.machine.is_first
    held = store.locked(run.folder, what="training", instead="start another run with --name")
    locked = held if first else contextlib.nullcontext()
    with locked, memory_explained(run), explained(run.folder.url):
        if first:
            run.folder.remove_temporary()
            run.folder.write_json(CONFIG, run.config)
        return _Training(run, watcher).run_to_end()


class Step(torch.nn.Module):
    """The loss of a micro-batch, and what the log wants to know of it: what is compiled."""

    def __init__(self, model: Pretrainer) -> None:
        super().__init__()
        self.model = model

    def forward(self, inputs: Inputs, max_length: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the loss, and six sums (see `tally.SUMS`)."""
        scores: Scores = self.model(inputs, max_length=max_length)
        weight = inputs.weights_K
        pairs = inputs.nsp_weights_D
        sums = [(scores.ce_K * weight).sum(), weight.sum(), (scores.hit_K * weight).sum()]
        sums += [(scores.nsp_ce_D * pairs).sum(), pairs.sum(), (scores.nsp_hit_D * pairs).sum()]
        return loss(scores, inputs), torch.stack(sums).detach()


class _Training:
    """A run while it is trained; each thing that happens to it is a method."""

    def __init__(self, run: Run, watcher: Watcher) -> None:
        self.run, self.watcher = run, watcher
        self.settings, self.machine, self.labels = run.settings, run.machine, run.shards.labels
        self.checkpoints = Checkpoints(run.folder / CHECKPOINTS, keep=run.settings.checkpoint.keep)
        self.model = Pretrainer(
            run.shape,
            vocab_rows=run.vocabulary.rows,
            dtype=self.machine.dtype,
            kernel=self.machine.kernel,
            seed=self.settings.seed,
        ).to(self.machine.device)
        self.optimizer = Optimizer(
            self.model.named_parameters(),
            settings=self.settings.optimizer,
            parts=self.run.shape.matrices_in,
        )
        self.place = Place.start(self.labels)
        if self.checkpoints.latest() is not None:
            self.place = self.restore()
            self.watcher.note(f"going on after step {self.place.step:,}")
        self.last, self.judged = self._before(LOG), self._before(EVALUATIONS)
        elapsed_s = self.place.elapsed_s or self.last.get("seconds", 0.0)
        self.clock = Clock(self.settings, per_step=run.per_step, elapsed_s=elapsed_s)
        self._recall()
        self.parallel: Any = Step(self.model)
        self.scorer: Any = self.model
        if self.machine.compiled:
            self.parallel.compile(fullgraph=True, dynamic=False)
            self.scorer = torch.compile(self.model, fullgraph=True, dynamic=False)
        if self.machine.num_ranks > 1:
            self.parallel = DistributedDataParallel(self.parallel, gradient_as_bucket_view=True)
        self.held = judging.held_out(run)
        if self.held is None:
            watcher.note("no language has held-out text: none is judged")
        self.tally = Tally(
            self.machine,
            run.shape,
            vocab_rows=run.vocabulary.rows,
            size=self.settings.log_every,
        )
        self.tokens = np.zeros(len(self.labels), np.int64)  # of this rank, not in `place` yet
        self.log = (
            Log(run.folder, tensorboard=True, from_step=self.place.step)
            if self.machine.is_first
            else None
        )
        self.taken: Taken | None = None
        self.where: dict[str, int] = {}
        self.factor, self.skipped_in_row = 0.0, 0
        self.stopped: int | None = None
        self.is_warm = False
        self.saved_at = time.monotonic()
        self.saved_step = self.place.step
        self.poisoned = poisoned()

    def run_to_end(self) -> Trained:
        """Take steps until the run is over or a signal arrives; leave everything on disk."""
        if self.machine.compiled:
            self.watcher.note("compiling the model: about a minute")
        feed = Feed(
            self.run.source,
            begun=self.place.begun,
            first=self.place.step * self.run.per_step,
            per_step=self.run.per_step,
            stage_at=self.clock.stage_at,
            progress_of=self.clock.of_micro if self.clock.steps is not None else None,
            rank=self.machine.rank,
            num_ranks=self.machine.num_ranks,
        )
        self.tally.begin(self.place.step)
        try:
            with signals(self.stop), without_pauses():
                finished = self._loop(feed)
            self.checkpoints.wait()
        finally:
            feed.close()
            if self.log is not None:
                self.log.close()
        result = self._result(finished=finished)
        if self.machine.is_first:
            self.run.folder.write_json(RESULT, result)
        return Trained(self.run.folder.url, None if finished else self.stopped, result)

    def _loop(self, feed: Feed) -> bool:
        while True:
            progress, stopped, save = agree(
                self.machine,
                self.clock.progress(self.place.step),
                float(self.stopped or 0),
                float(self._is_save_due()),
            )
            if stopped and progress < 1:
                self.stopped = int(stopped)
                self._flush()
                self._save()
                return False
            if self._due(progress) > self.place.judged:
                self._judge(self._due(progress), final=progress >= 1)
            elif save:
                self._flush()
                self._save()
            if progress >= 1:
                return True
            feed.at_step(self.place.step, progress)
            self._step(feed, progress)

    def _step(self, feed: Feed, progress: float) -> None:
        """Take a step: its micro-batches of this rank, then one update."""
        device, accumulation = self.machine.device, self.run.accumulation
        sums = torch.zeros(SUMS, device=device)
        for number in range(accumulation):
            before = time.monotonic()
            fed = feed.get()
            self.tally.count(fed, waited_s=time.monotonic() - before)
            self.tokens += fed.batch.tokens_L
            self.place.begun.extend(fed.begun)
            self.where = {"stage": self.place.begun[-1].stage, "block": len(self.place.begun) - 1}
            apart = self.machine.num_ranks > 1 and number < accumulation - 1
            with self.parallel.no_sync() if apart else contextlib.nullcontext():
                length = self.run.source.stages[fed.stage].packing.max_length
                one, found = self.parallel(inputs_of(fed.batch, device), length)
                if self.place.step in self.poisoned:
                    one = one * float("nan")
                (one / accumulation).backward()
            sums += found
        norm, finite = clip_(self.model.parameters(), max_norm=self.settings.optimizer.clip)
        if self.clock.steps is not None:
            progress = (self.place.step + 0.5) / self.clock.steps  # neither 0 first nor 0 last
        self.factor = schedule.factor(progress, settings=self.settings.schedule)
        self.optimizer.step(self.factor, skip=1 - finite)
        self.model.zero_grad()
        self.tally.add(self.place.step, sums, norm=norm, finite=finite)
        self.place.step += 1
        if not self.is_warm:  # what was compiled, and judged untrained, was starting up
            self.is_warm = True
            self.clock.start()
        if self.taken is not None:  # of the steps before this one, which the device has done
            self._write()
        if self.place.step % self.settings.log_every == 0:
            self._take()

    # The log.

    def _take(self) -> None:
        self._add_up()
        highest = self.settings.optimizer.learning_rate or 1.0
        self.taken = self.tally.take(
            self.place.step,
            tokens=int(self.place.tokens.sum()),
            learning_rate=self.factor * highest,
            seconds=self.clock.elapsed_s,
            **self.where,
        )

    def _flush(self) -> None:
        """Log what was done since the last line, waiting for it."""
        if self.taken is not None:
            self._write()
        self._take()
        if self.taken is not None:
            self._write()

    def _write(self) -> None:
        taken, self.taken = self.taken, None
        assert taken is not None
        self.checkpoints.check()
        self.last, good = self.tally.record(taken)
        if self.log is not None:
            self.log.step(self.last)
        progress = self.clock.progress(self.place.step)
        self.watcher.step(self.last, progress=progress, elapsed_s=self.clock.elapsed_s)
        skipped = self.last["skipped"]
        self.place.skipped += len(skipped)
        if skipped:
            self.watcher.note(
                f"left out, with no finite gradient: step {', '.join(map(str, skipped))}. "
                f"Look at it: koine pretrain replay {self.run.folder.url} --step {skipped[0]}"
            )
        for number, counted in enumerate(good):
            self.skipped_in_row = 0 if counted else self.skipped_in_row + 1
            if self.skipped_in_row >= self.settings.max_skipped:
                self._go_back(taken.interval.first_step + number)
                break

    def _add_up(self) -> None:
        """Add the tokens of all ranks to the place's."""
        self.place.tokens += total(self.machine, torch.from_numpy(self.tokens.copy())).numpy()
        self.tokens[:] = 0

    # Judging, saving, going back.

    def _due(self, progress: float) -> int:
        """Return the number of the last evaluation that is due."""
        return int(progress * self.settings.evaluation.times + 1e-9)

    def _recall(self) -> None:
        """Find out which evaluation was the last: none is told twice, or left out.

        The run may have been stopped between an evaluation and its checkpoint, and it may be longer
        now than it was, or be judged more rarely.
        """
        due = self._due(self.clock.progress(self.place.step))
        is_here = self.judged.get("step") == self.place.step
        judged = due if is_here else min(self.place.judged, due)
        self.place.judged = int(agree(self.machine, float(judged))[0])

    def _before(self, name: str) -> dict[str, Any]:
        """Return the last line of a log up to this place in the run."""
        lines = [one for one in records(self.run.folder, name) if one["step"] <= self.place.step]
        return lines[-1] if lines else {}

    def _judge(self, number: int, *, final: bool) -> None:
        self._flush()
        self.place.judged = number
        if self.held is not None:
            self.watcher.note(f"judging {len(self.labels)} languages on their held-out text")
            self.judged = {
                "step": self.place.step,
                "tokens": int(self.place.tokens.sum()),
                "final": final,
                **judging.evaluate(self.scorer, self.held, run=self.run),
            }
            if self.log is not None:
                self.log.evaluation(self.judged)
        self._save()
        self.tally.begin(self.place.step)

    def _is_save_due(self) -> bool:
        every, step = self.settings.checkpoint.every_steps, self.place.step
        if every is not None:
            return step > 0 and step % every == 0 and step != self.saved_step
        return time.monotonic() - self.saved_at > seconds_of(self.settings.checkpoint.every)

    def _save(self) -> None:
        self.saved_at = time.monotonic()
        if not self.machine.is_first or self.place.step in (0, self.saved_step):
            return
        self.saved_step = self.place.step
        if self.clock.steps is None:
            self.place.elapsed_s = self.clock.elapsed_s
        self.checkpoints.save(
            self.place.step,
            model=dict(self.model.state_dict()),
            optimizer=self.optimizer.state_tensors(),
            state=self.place.to_state(self.labels, per_step=self.run.per_step),
        )
        self.tally.begin(self.place.step)

    def restore(self, step: int | None = None) -> Place:
        """Take weights and optimizer from a checkpoint, the last one; return its place."""
        loaded = self.checkpoints.load(step)
        self.model.load_state_dict(loaded.model)
        self.optimizer.load_state_tensors(loaded.optimizer)
        return Place.of_state(loaded.state, self.labels)

    def _go_back(self, step: int) -> None:
        """Take the weights of the last checkpoint, and go on with the data that follows."""
        self.place.rollbacks += 1
        self.skipped_in_row = 0
        self.checkpoints.wait()
        (latest,) = agree(self.machine, float(self.checkpoints.latest() or 0))
        saved, here = int(latest), self.run.folder.url
        if not saved or self.place.rollbacks > MAX_ROLLBACKS:
            raise DataError(
                f"{here}: no finite gradient in {self.settings.max_skipped} steps in a row, up to "
                f"step {step}.\n  Lower pretrain.optimizer.learning_rate, or raise schedule.warmup."
                f" Its batch: koine pretrain replay {here} --step {step}"
            )
        self.restore(saved)
        self.watcher.note(f"back to the weights of step {saved:,}, and on with other data")

    def stop(self, number: int) -> None:
        """End the run after this step, for a signal."""
        self.stopped = number
        self.watcher.note("stopping: the step is finished and saved first")

    def _result(self, *, finished: bool) -> dict[str, Any]:
        judged = self.judged.get("labels", {})
        return {
            "run": self.run.folder.url,
            "preset": self.settings.preset,
            "finished": finished,
            "steps": self.place.step,
            "tokens": int(self.place.tokens.sum()),
            "tokens_by_label": by_label(self.labels, self.place.tokens),
            "loss": self.last.get("loss"),
            "bits_per_byte": {label: row["bits_per_byte"] for label, row in judged.items()},
            "not_judged": [label for label in self.labels if label not in judged],
            "worst": self.judged.get("worst"),
            "skipped": self.place.skipped,
            "rollbacks": self.place.rollbacks,
            "seconds": self.clock.elapsed_s,
            "machine": self.machine.facts(),
        }
