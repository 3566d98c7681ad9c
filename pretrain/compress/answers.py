"""Teach a student the answers of its tuned teacher, on the training examples of the task.

The teacher's probabilities say more than the right answers do: which wrong ones are nearly right
(Hinton et al. 2015, "Distilling the Knowledge in a Neural Network"). The examples' own targets are
not looked at, and neither are the development and test examples.

Promises: on a CPU the same arguments give the same bits.

Shapes: B sequences, L pieces, C targets.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import OptimizerSettings
from ..draws import key
from ..models import Model
from ..optim import Optimizer, clip_
from ..tasks import batches, encode
from ..tasks.batches import Part
from ..tasks.data import TaskData
from ..tasks.features import Features
from ..tasks.forward import logits_of, predict
from ..tasks.narrow import narrowed
from ..tasks.place import Place, memory_explained
from ..tasks.settings import Task, TuneSettings, resolve
from .watcher import Watcher

TEMPERATURE = 2.0
"""Of texts and tags; pieces of answers are so many that theirs stays 1."""
SHOW_S = 0.5


def teach(
    student: nn.Module,
    teacher: nn.Module,
    data: TaskData,
    *,
    model: Model,
    settings: TuneSettings,
    place: Place,
    seed: int,
    watcher: Watcher,
) -> dict[str, Any]:
    """Teach a student what its teacher says of the task's training examples.

    Args:
        student: with the same head as its teacher.
        teacher: tuned.
        data: of the task; its training examples alone are read.
        model: the teacher's folder.
        settings: `epochs`, `learning_rate`, `batch_size`; chosen by the data where left out.
        place: where both run.
        seed: of the order and of dropout.
        watcher: is told how it goes.

    Returns:
        `examples`, `epochs`, `steps`, `learning_rate`, and `loss`, of the first and the last epoch.
    """
    own = model.task
    assert own is not None
    task: Task = own["task"]
    asked = settings.model_copy(
        update={"max_length": own["max_length"], "stride": own["settings"].get("stride")}
    )
    features = encode.encode(task, data.train, model, targets=tuple(own["targets"]), settings=asked)
    done = resolve(
        asked,
        task=task,
        width=int(model.config["hidden_size"]),
        num_sequences=len(features),
        longest=model.max_length,
        on_gpu=place.on_gpu,
    )
    watcher.note(f"{data.name}: the teacher answers {len(data.train):,} training examples")
    wanted = predict(teacher, features, place=place)
    student.to(place.device)
    devices = [place.device] if place.on_gpu else []
    with (
        memory_explained(place),
        narrowed(student, features, pad=place.pad) as (narrow, pad),
        torch.random.fork_rng(devices=devices),
    ):
        torch.manual_seed(key("distil", "answers", seed) >> 1)
        small = Place(place.device, place.dtype, pad, place.tokens)
        means = _fit(student, narrow[0], wanted, task, done, small, seed=seed, watcher=watcher)
    student.eval()
    return {
        "examples": len(data.train),
        "epochs": done.epochs,
        "learning_rate": done.learning_rate,
        "loss": {"first": means[0], "last": means[-1]},
    }


def _fit(
    student: nn.Module,
    features: Features,
    wanted: np.ndarray[Any, np.dtype[np.float32]],
    task: Task,
    settings: TuneSettings,
    place: Place,
    *,
    seed: int,
    watcher: Watcher,
) -> list[float]:
    """Train; return the mean loss of each epoch."""
    assert settings.learning_rate is not None
    assert settings.epochs is not None
    assert settings.batch_size is not None
    optimizer = Optimizer(
        student.named_parameters(),
        settings=OptimizerSettings(
            learning_rate=settings.learning_rate,
            betas=(0.9, 0.999),
            eps=1e-8,
            weight_decay=settings.weight_decay,
        ),
    )
    lengths, size = features.lengths, settings.batch_size
    each = [
        list(batches.epoch(lengths, batch_size=size, seed=seed, number=number))
        for number in range(settings.epochs)
    ]
    total, step, shown = sum(map(len, each)), 0, 0.0
    means = []
    for number, steps in enumerate(each):
        student.train()
        summed = torch.zeros((), device=place.device)
        for batch in steps:
            for chosen in batches.parts(batch, lengths, tokens=place.tokens):
                one = batches.part(features, chosen, pad=place.pad)
                with place.precision():
                    logits = logits_of(student, one, place)
                said = wanted[one.numbers if task == "classify" else one.places]
                loss = _apart(logits.float(), place.tensor(said), one, task, place)
                loss = loss * (len(chosen) / len(batch))
                torch.autograd.backward(loss)
                summed += loss.detach()
            _, is_finite = clip_(
                [x for x in student.parameters() if x.grad is not None], max_norm=settings.clip
            )
            share = step / total
            factor = (
                max(share, 1 / total) / settings.warmup
                if share < settings.warmup
                else (1 - share) / (1 - settings.warmup)
            )
            optimizer.step(factor, skip=1 - is_finite)
            student.zero_grad(set_to_none=True)
            step += 1
            if time.monotonic() - shown > SHOW_S:
                shown = time.monotonic()
                mean = float(loss.detach())
                text = f"answers: epoch {number + 1}/{settings.epochs}   loss {mean:.3f}"
                watcher.update(step, total, text)
        means.append(float(summed) / max(1, len(steps)))
    return means


def _apart(logits: Tensor, wanted: Tensor, one: Part, task: Task, place: Place) -> Tensor:
    """Return the divergence of the student's answers from the teacher's, the mean of them."""
    if task == "answer":
        mask = torch.ones(logits.shape[:2], dtype=torch.bool, device=logits.device)
        if one.mask_BL is not None:
            mask = place.tensor(one.mask_BL)
        full = torch.full_like(logits, -1e9)
        full[mask] = wanted
        found = logits.masked_fill(~mask[..., None], -1e9).log_softmax(dim=1)
        loss = F.kl_div(found, full.log_softmax(dim=1), reduction="sum", log_target=True)
        return loss / (2 * len(logits))
    if task == "tag":
        logits = logits.flatten(0, 1) if one.mask_BL is None else logits[place.tensor(one.mask_BL)]
    found, said = (x.div(TEMPERATURE).log_softmax(dim=-1) for x in (logits, wanted))
    loss = F.kl_div(found, said, reduction="batchmean", log_target=True)
    return loss * TEMPERATURE**2
