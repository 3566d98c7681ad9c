"""How a model is tuned: the `tune:` settings, and what is chosen where they leave it open.

What is left out depends on the model's width and on how much data there is; `resolve` fills it in,
and the tuned folder says what it was.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field

from pipelines import strict_yaml
from pipelines.config import Section, validate

from ..config import Duration

Task = Literal["classify", "tag", "answer"]
STEPS = {"classify": 1000, "tag": 600, "answer": 1500}
"""Steps that a network should have at the most places; epochs are chosen to reach them."""
BATCH, SMALL_BATCH, SMALL_DATA = 32, 16, 5000
"""Few examples want small steps: of 500 topics in two languages, 10 epochs with 16 a step gave a
macro-F1 of 0.29 on the development split, with 32 of 0.20 (learning rate 5e-4, width 128)."""
MIN_EPOCHS, MAX_EPOCHS = 3, 20
BASE_WIDTH, BASE_RATE, HIGHEST_RATE = 768, 5e-5, 3e-3
PLAIN_SCALE = 0.04
"""Root mean square of the layers' matrices of a BERT as AdamW leaves it."""
SWEEP = (1 / 3, 1.0, 3.0)
"""Factors of the learning rate that a sweep tries."""
CPU_TOKENS, GPU_TOKENS = 4096, 16_384
DEFAULT_LENGTH = {"classify": 256, "tag": 256, "answer": 384}
"""Pieces of the longest sequence, where the model takes as many."""


class TuneSettings(Section):
    """How a model is tuned on a task."""

    learning_rate: float | None = Field(default=None, gt=0)
    """The highest; chosen by the model's width when left out."""
    sweep: bool = False
    """Try a third, one and three times the learning rate with the first seed, and take the one
    that does best on the development split."""
    epochs: int | None = Field(default=None, ge=1)
    """Times that the training examples are seen at the most; 3 to 20, by their number, when left
    out."""
    batch_size: int | None = Field(default=None, ge=1)
    """Sequences of a step; 16 of fewer than 5,000 training sequences, else 32, when left out."""
    micro_batch_tokens: int | None = Field(default=None, ge=64)
    """Tokens that the device takes at once; a step of more is done in parts, with the same result.
    4,096 on a CPU and 16,384 on a GPU when left out. Lower it when memory runs out."""
    warmup: float = Field(default=0.1, ge=0, lt=1)
    """Share of the steps in which the learning rate rises; then it falls to 0 in a straight
    line."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Decoupled, of matrices; biases and norms have none."""
    clip: float = Field(default=1.0, gt=0)
    """The gradient's norm is scaled down to this."""
    dropout: float | None = Field(default=None, ge=0, lt=1)
    """Share of values that are dropped in training; the model's own when left out."""
    pooling: Literal["auto", "cls", "mean"] = "auto"
    """What a ModernBERT classifies by: its first piece, or the mean of all; `auto`: the mean. A
    BERT has its own way."""
    max_length: int | None = Field(default=None, ge=16)
    """Pieces of the longest sequence: 256, for answers 384, or what the model takes, when left
    out. Longer texts to classify are cut, the rest goes in parts."""
    stride: int | None = Field(default=None, ge=0)
    """Answers: pieces that two windows of a long text have in common; a third of `max_length` when
    left out."""
    patience: int = Field(default=5, ge=1)
    """Stop after so many epochs that were no better on the development split."""
    seeds: int = Field(default=3, ge=1)
    """So many times, each with another head, order and dropout; the one that is best on the
    development split is kept."""
    seed: int = Field(default=0, ge=0)
    """The first of the seeds; they are counted on from it."""
    budget: Duration | None = None
    """Time for all the training, shared by the seeds: 90s, 10min, 1.5h. With one, the bytes depend
    on the machine's speed."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it runs; `auto` takes a GPU where there is one."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the matrix products; weights are float32. `auto`: bfloat16 on a GPU, float32 on a CPU."""


class Config(Section):
    """The part of a configuration that belongs to `koine tune`."""

    tune: TuneSettings = TuneSettings()
    """How a model is tuned on a task."""


def of_overrides(overrides: Mapping[str, Any]) -> TuneSettings:
    """Return the settings with values by dotted key (`tune.epochs`) instead of the defaults.

    Raises:
        ConfigError: with every problem.
    """
    document = strict_yaml.parse("{}", path="--set")
    return validate(Config, document, path="--set", overrides=overrides).tune


def learning_rate(*, width: int, scale: float = PLAIN_SCALE) -> float:
    """Return the highest learning rate: 5e-5 at 768, as BERT has it, and more for narrower models.

    Weights that are larger than AdamW leaves them want steps that are larger by as much
    (docs/tasks.md has the measurements).

    Args:
        width: of the hidden states.
        scale: root mean square of the layers' matrices.
    """
    by_width = min(1e-3, BASE_RATE * math.pow(BASE_WIDTH / width, 5 / 3))
    return min(HIGHEST_RATE, by_width * max(1.0, scale / PLAIN_SCALE))


def resolve(
    settings: TuneSettings,
    *,
    task: Task,
    width: int,
    scale: float = PLAIN_SCALE,
    num_sequences: int,
    longest: int,
    on_gpu: bool,
) -> TuneSettings:
    """Return the settings with everything filled in that was left open.

    Args:
        settings: as configured.
        task: what is learnt.
        width: of the network's hidden states.
        scale: root mean square of its layers' matrices.
        num_sequences: to train on, once.
        longest: pieces that the model takes at the most.
        on_gpu: a GPU takes larger parts of a step.
    """
    batch = settings.batch_size or (SMALL_BATCH if num_sequences < SMALL_DATA else BATCH)
    per_epoch = max(1, math.ceil(num_sequences / batch))
    epochs = min(MAX_EPOCHS, max(MIN_EPOCHS, math.ceil(STEPS[task] / per_epoch)))
    return settings.model_copy(
        update={
            "learning_rate": settings.learning_rate or learning_rate(width=width, scale=scale),
            "epochs": settings.epochs or epochs,
            "batch_size": batch,
            "micro_batch_tokens": settings.micro_batch_tokens
            or (GPU_TOKENS if on_gpu else CPU_TOKENS),
            "max_length": max_length(settings, task=task, longest=longest),
        }
    )


def max_length(settings: TuneSettings, *, task: Task, longest: int) -> int:
    """Return the pieces of the longest sequence."""
    return min(settings.max_length or DEFAULT_LENGTH[task], longest)
