"""The steps in which a student learns a teacher's relations, and its last hidden states.

Promises: on a CPU the same lesson gives the same bits, but for a budget of time; a step whose
gradient is not finite changes nothing.
Does not promise: to go on where it was killed; the same command starts anew.

Shapes: B sequences, L pieces, H width.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from pipelines.errors import DataError

from ..config import OptimizerSettings
from ..draws import key
from ..optim import Optimizer, clip_
from ..tasks import batches
from ..tasks.batches import Part
from ..tasks.features import Features
from ..tasks.place import Place, memory_explained
from . import relations
from .watcher import Watcher

BATCH = 32
"""Sequences of a step."""
WARMUP, CLIP = 0.05, 1.0
SMOOTHED = 50
"""Steps over which the loss that is reported is averaged, about."""
SHOW_S = 0.5


@dataclass(frozen=True)
class Lesson:
    """What is learnt, from whom, and how long."""

    teacher: nn.Module
    trunk: nn.Module
    """The student without its head."""
    layer: int
    """Of the teacher, from 0; the student's is its last."""
    num_heads: int
    """Relation heads."""
    hidden: float
    """Weight of the hidden states' loss; 0: they are not learnt."""
    learning_rate: float
    goal: int
    """Pieces."""
    budget_s: float | None
    """Seconds, which count instead."""
    seed: int


@dataclass(frozen=True)
class Learnt:
    """How it went."""

    tokens: int
    steps: int
    skipped: int
    """Steps whose gradient was not finite."""
    seconds: float
    first: float
    """Loss of the first step."""
    last: float
    """The same at the end, smoothed."""


def learn(
    lesson: Lesson,
    whole: Features,
    narrow: Features,
    *,
    place: Place,
    own_place: Place,
    watcher: Watcher,
) -> Learnt:
    """Take steps until the pieces are seen, or the time is over.

    Args:
        lesson: what is learnt; the student changes in place, both networks are on the device.
        whole: sequences as the teacher takes them.
        narrow: the same as the student takes them.
        place: where both run, with the teacher's padding.
        own_place: the same with the student's padding.
        watcher: is told how it goes.

    Raises:
        DataError: most steps had no finite gradient.
        EnvironmentProblem: out of memory.
    """
    lesson.trunk.eval()  # without dropout: the teacher has none either
    layers = (
        relations.layers_of(lesson.teacher)[lesson.layer],
        relations.layers_of(lesson.trunk)[-1],
    )
    with (
        memory_explained(place),
        torch.random.fork_rng(devices=[place.device] if place.on_gpu else []),
        relations.Recorder(layers[0]) as said,
        relations.Recorder(layers[1]) as heard,
    ):
        torch.manual_seed(key("distil", lesson.seed) >> 1)
        found = _Learning(lesson, whole, narrow, place, own_place, said, heard).run(watcher)
    if found.skipped > found.steps / 2:
        raise DataError(
            f"distilling: {found.skipped} of {found.steps} steps had no finite gradient.\n"
            f"  Lower --learning-rate (it is {lesson.learning_rate:g}); if it "
            "happens from the first step on, the teacher's weights are broken."
        )
    return found


class _Learning:
    """One lesson as it goes."""

    def __init__(
        self,
        lesson: Lesson,
        whole: Features,
        narrow: Features,
        place: Place,
        own_place: Place,
        said: relations.Recorder,
        heard: relations.Recorder,
    ) -> None:
        self.lesson, self.whole, self.narrow = lesson, whole, narrow
        self.place, self.own_place, self.said, self.heard = place, own_place, said, heard
        self.tokens = 0
        self.optimizer = Optimizer(
            lesson.trunk.named_parameters(),
            settings=OptimizerSettings(
                learning_rate=lesson.learning_rate, betas=(0.9, 0.98), eps=1e-6, weight_decay=0.01
            ),
        )

    def run(self, watcher: Watcher) -> Learnt:
        """Learn until it is over."""
        began, shown, steps = time.monotonic(), 0.0, 0
        skipped = torch.zeros((), device=self.place.device)
        first = smooth = torch.zeros((), device=self.place.device)
        for batch in self._batches():
            share = self._share(time.monotonic() - began)
            if share >= 1:
                break
            loss, is_finite = self._step(batch, share)
            skipped += 1 - is_finite
            first, smooth = (loss, loss) if not steps else (first, smooth.lerp(loss, 1 / SMOOTHED))
            steps += 1
            if time.monotonic() - shown > SHOW_S:
                shown = time.monotonic()
                watcher.update(share, 1.0, f"loss {float(smooth):.3f}   {self.tokens:,} pieces")
        seconds = time.monotonic() - began
        return Learnt(self.tokens, steps, int(skipped), seconds, float(first), float(smooth))

    def _batches(self) -> Iterator[NDArray[np.int64]]:
        number = 0
        while True:
            yield from batches.epoch(
                self.whole.lengths, batch_size=BATCH, seed=self.lesson.seed, number=number
            )
            number += 1

    def _share(self, elapsed_s: float) -> float:
        if self.lesson.budget_s is not None:
            return elapsed_s / self.lesson.budget_s
        return self.tokens / self.lesson.goal

    def _step(self, batch: NDArray[np.int64], share: float) -> tuple[Tensor, Tensor]:
        """Take a step; return its loss and whether its gradient was finite, on the device."""
        trunk = self.lesson.trunk
        teacher: Any = self.lesson.teacher
        loss = torch.zeros((), device=self.place.device)
        for chosen in batches.parts(batch, self.whole.lengths, tokens=self.place.tokens):
            one = batches.part(self.whole, chosen, pad=self.place.pad)
            own = batches.part(self.narrow, chosen, pad=self.own_place.pad)
            with self.place.precision():
                with torch.no_grad():
                    target = _hidden(teacher.base_model, one, self.place)
                output = _hidden(trunk, own, self.own_place)
            part = self._loss(target, output, one) * (len(chosen) / len(batch))
            torch.autograd.backward(part)
            loss += part.detach()
            self.tokens += len(one.places)
        weights = [weight for weight in trunk.parameters() if weight.grad is not None]
        _, is_finite = clip_(weights, max_norm=CLIP)
        self.optimizer.step(_factor(share), skip=1 - is_finite)
        trunk.zero_grad(set_to_none=True)
        return torch.nan_to_num(loss), is_finite

    def _loss(self, target_BLH: Tensor, output_BLH: Tensor, one: Part) -> Tensor:
        mask = None if one.mask_BL is None else self.place.tensor(one.mask_BL)
        loss = relations.relation_loss(
            self.said.take(), self.heard.take(), mask, num_heads=self.lesson.num_heads
        )
        if self.lesson.hidden:
            target, output = target_BLH.float(), output_BLH.float()
            if mask is not None:
                target, output = target[mask], output[mask]
            apart = (output - target).square().mean() / target.var()
            loss = loss + self.lesson.hidden * apart
        return loss


def _hidden(trunk: Any, one: Part, place: Place) -> Tensor:  # noqa: ANN401
    """Return (B, L, H): the last hidden states of a network without its head."""
    inputs = {"input_ids": place.tensor(one.ids_BL)}
    if one.mask_BL is not None:
        inputs["attention_mask"] = place.tensor(one.mask_BL)
    if one.types_BL is not None:
        inputs["token_type_ids"] = place.tensor(one.types_BL)
    found: Tensor = trunk(**inputs).last_hidden_state
    return found


def _factor(share: float) -> float:
    """Return the share of the highest learning rate: up, then down to 0 in straight lines."""
    if share < WARMUP:
        return max(share, WARMUP / 50) / WARMUP
    return (1 - share) / (1 - WARMUP)
