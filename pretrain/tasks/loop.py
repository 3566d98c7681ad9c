"""Fit a network with a head to a task.

Promises: on a CPU the same seed, settings and number of threads give the same bits; the weights
left in the network are those of the epoch that did best on the development split; a step whose
gradient is not finite changes nothing, and many of them end in an error that says what to turn.
Does not promise: the same bits under a time budget, whose length is the machine's affair, or on a
GPU.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipelines.errors import DataError

from ..config import OptimizerSettings
from ..draws import key
from ..guards import poisoned
from ..optim import Optimizer, clip_
from . import batches
from .features import IGNORED, Features, spans
from .forward import logits_of, loss_of, predict
from .narrow import narrowed
from .place import Place, memory_explained
from .settings import Task, TuneSettings

CHECK_STEPS = 50
"""Steps after which skipped ones are counted; looking more often would wait for a GPU."""
SKIPPED_SHARE = 0.5
SHOW_S = 0.5
Show = Callable[[float, str], None]
"""Takes the share of the fit that is over, and a line that says how it goes."""
Evaluate = Callable[[NDArray[np.float32]], float]
"""Takes logits of the development split; the higher, the better."""


class DivergedError(DataError):
    """The loss is not finite: the learning rate is too high, or the weights are broken."""


@dataclass(frozen=True)
class Epoch:
    """What an epoch did."""

    loss: float
    dev: float | None
    steps: int
    """Steps of the fit so far."""
    seconds: float
    """Of the fit so far."""


@dataclass(frozen=True)
class Fitted:
    """How a fit went; the best weights are in the network."""

    dev: float | None
    """Of the best epoch; None where there is no development split."""
    best: int
    """Which epoch that was, from 0."""
    stopped: str
    """`epochs`, `patience` or `budget`."""
    skipped: int
    tokens: int
    """Pieces that went through the network in training."""
    slots: int
    """The same with padding."""
    seconds: float
    epochs: tuple[Epoch, ...] = field(default=())

    def facts(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self) | {"epochs": [asdict(one) for one in self.epochs]}


def fit(
    network: nn.Module,
    train: Features,
    dev: Features | None,
    *,
    task: Task,
    settings: TuneSettings,
    place: Place,
    seed: int,
    evaluate: Evaluate | None = None,
    budget_s: float | None = None,
    show: Show | None = None,
) -> Fitted:
    """Train a network, and leave it with the weights of its best epoch.

    Args:
        network: by `models.network`; it is moved to the device.
        train: sequences with targets; at least one.
        dev: sequences of the development split, if there is one.
        task: which loss.
        settings: resolved ones.
        place: where it runs.
        seed: of order and dropout.
        evaluate: scores logits of `dev`.
        budget_s: seconds that it may take.
        show: is told how it goes, twice a second.

    Raises:
        DivergedError: half of the steps had no finite gradient.
        EnvironmentProblem: out of memory.
    """
    assert len(train), "nothing to train on"
    known = [train] if dev is None else [train, dev]
    network.to(place.device)
    devices = [place.device] if place.on_gpu else []
    with (
        memory_explained(place),
        narrowed(network, *known, pad=place.pad) as (narrow, pad),
        torch.random.fork_rng(devices=devices),
    ):
        torch.manual_seed(key("tune", "dropout", seed) >> 1)
        own = Place(place.device, place.dtype, pad, place.tokens)
        loop = _Loop(network, narrow[0], task=task, settings=settings, place=own, seed=seed)
        loop.show, loop.budget_s = show, budget_s
        if len(narrow) > 1 and len(narrow[1]) and evaluate is not None:
            loop.dev, loop.evaluate = narrow[1], evaluate
        return loop.run()


class _Loop:
    """One fit."""

    def __init__(
        self,
        network: nn.Module,
        train: Features,
        *,
        task: Task,
        settings: TuneSettings,
        place: Place,
        seed: int,
    ) -> None:
        assert settings.learning_rate
        assert settings.epochs
        assert settings.batch_size
        self.network, self.train, self.task, self.place = network, train, task, place
        self.settings, self.seed = settings, seed
        self.dev: Features | None = None
        self.evaluate: Evaluate | None = None
        self.budget_s: float | None = None
        self.show: Show | None = None
        self.lengths = train.lengths
        self.optimizer = Optimizer(
            network.named_parameters(),
            settings=OptimizerSettings(
                learning_rate=settings.learning_rate,
                betas=(0.9, 0.999),
                eps=1e-8,
                weight_decay=settings.weight_decay,
            ),
        )
        per_epoch = sum(1 for _ in self._batches(0))
        self.num_epochs, self.total = settings.epochs, settings.epochs * per_epoch
        self.step = self.tokens = self.slots = 0
        self.skipped = torch.zeros((), device=place.device)
        self.counted, self.shown_s, self.dev_s = (0, 0), 0.0, 0.0
        self.poisoned = poisoned()

    def run(self) -> Fitted:
        """Train until it is over."""
        self.since = time.monotonic()
        best, best_dev, stopped = 0, None, "epochs"
        state = None
        done: list[Epoch] = []
        for number in range(self.num_epochs):
            loss, is_over = self._epoch(number, done[-1].dev if done else None)
            began = time.monotonic()
            dev = self._judge()
            self.dev_s = time.monotonic() - began
            done.append(Epoch(loss, dev, self.step, time.monotonic() - self.since))
            if dev is not None and (best_dev is None or dev > best_dev):
                best, best_dev = number, dev
                state = {
                    name: value.detach().clone()
                    for name, value in self.network.state_dict().items()
                }
            if is_over or self._is_late():
                stopped = "budget"
            elif dev is not None and number - best >= self.settings.patience:
                stopped = "patience"
            if stopped != "epochs":
                break
        if state is not None:
            self.network.load_state_dict(state)
        self.network.eval()
        return Fitted(
            best_dev,
            best if best_dev is not None else len(done) - 1,
            stopped,
            int(self.skipped),
            self.tokens,
            self.slots,
            time.monotonic() - self.since,
            tuple(done),
        )

    def _epoch(self, number: int, dev: float | None) -> tuple[float, bool]:
        """Train for an epoch; return its mean loss, and whether the time is over."""
        self.network.train()
        total = torch.zeros((), device=self.place.device)
        steps = 0
        for batch in self._batches(number):
            total += self._step(batch)
            steps += 1
            if self.step % CHECK_STEPS == 0:
                self._check()
            self._tell(number, total, steps, dev)
            if self._is_late():
                break
        self._check()
        return float(total) / max(1, steps), self._is_late()

    def _step(self, batch: NDArray[np.int64]) -> Tensor:
        """Take a step; return its loss, on the device."""
        num = self._num_judged(batch)
        loss = torch.zeros((), device=self.place.device)
        for chosen in batches.divided(
            batch, self.lengths, tokens=self.place.tokens, overhead=self.place.overhead
        ):
            one = batches.part(self.train, chosen, pad=self.place.pad)
            self.tokens += len(one.places)
            self.slots += one.ids_BL.size
            wanted = self.place.tensor(batches.wanted(self.train, one, self.task))
            with self.place.precision():
                logits = logits_of(self.network, one, self.place)
            own = loss_of(logits.float(), wanted, one, self.task, place=self.place) / num
            if self.step in self.poisoned:
                own = own * float("nan")
            torch.autograd.backward(own)
            loss += own.detach()
        _norm, is_finite = clip_(self.network.parameters(), max_norm=self.settings.clip)
        self.optimizer.step(self._factor(), skip=1 - is_finite)
        self.network.zero_grad(set_to_none=True)
        self.skipped += 1 - is_finite
        self.step += 1
        return torch.nan_to_num(loss)

    def _num_judged(self, batch: NDArray[np.int64]) -> int:
        """Return how many targets a step has: what its loss is the mean of."""
        if self.task == "answer":
            return len(batch)
        if self.task == "classify":
            return max(1, int((self.train.targets[batch] != IGNORED).sum()))
        places = spans(self.train.offsets, batch)
        return max(1, int((self.train.targets[places] != IGNORED).sum()))

    def _judge(self) -> float | None:
        if self.dev is None or self.evaluate is None:
            return None
        return self.evaluate(predict(self.network, self.dev, place=self.place))

    def _batches(self, number: int) -> Iterator[NDArray[np.int64]]:
        size = self.settings.batch_size or 1
        return batches.epoch(self.lengths, batch_size=size, seed=self.seed, number=number)

    def _progress(self) -> float:
        by_steps = self.step / self.total
        if self.budget_s is None:
            return min(1.0, by_steps)
        return min(1.0, max(by_steps, self._elapsed_s() / self.budget_s))

    def _factor(self) -> float:
        """Return the share of the highest learning rate: up, then down to 0 in straight lines."""
        at, warm = self._progress(), self.settings.warmup
        if at < warm:
            return max(at, 1 / self.total) / warm
        return (1 - at) / (1 - warm)

    def _elapsed_s(self) -> float:
        return time.monotonic() - self.since

    def _is_late(self) -> bool:
        """Tell whether there is just time left to judge the weights."""
        return self.budget_s is not None and self._elapsed_s() + self.dev_s >= self.budget_s

    def _check(self) -> None:
        """Count the steps that were skipped since it was last done.

        Raises:
            DivergedError: there were many.
        """
        now = self.step, int(self.skipped)
        steps, skipped = now[0] - self.counted[0], now[1] - self.counted[1]
        if skipped >= max(3, SKIPPED_SHARE * steps):
            raise DivergedError(
                f"tuning: {skipped} of {steps} steps up to step {self.step} had no finite "
                "gradient.\n"
                f"  Lower the learning rate (it is {self.settings.learning_rate:g}): "
                f"--set tune.learning_rate={(self.settings.learning_rate or 0) / 5:.1g}. "
                "If it happens from the first step on, the model's weights are broken."
            )
        self.counted = now

    def _tell(self, number: int, total: Tensor, steps: int, dev: float | None) -> None:
        if self.show is None or time.monotonic() - self.shown_s < SHOW_S:
            return
        self.shown_s = time.monotonic()
        text = f"epoch {number + 1}/{self.num_epochs}   loss {float(total) / steps:.3f}"
        self.show(self._progress(), text + ("" if dev is None else f"   dev {dev:.3f}"))
