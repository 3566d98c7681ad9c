"""The `pretrain:` section of corpora.yaml: what is trained, on what, for how long.

What is left out comes from the preset; `resolve` fills it in, and a run saves the result.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from pipelines import strict_yaml
from pipelines.config import Label, Section, validate
from pipelines.errors import ConfigError

from .presets import PRESETS, Preset, Shape

PresetName = Literal[
    "bert-tiny", "bert-small", "bert-base", "modern-tiny", "modern-small", "modern-base"
]
CPU_MICRO_BATCH_TOKENS = 8192
EVALUATION_TOKENS, CPU_EVALUATION_TOKENS = 8192, 1024
_UNITS = {"s": 1, "min": 60, "h": 3600, "d": 86_400}


def seconds_of(value: str) -> float:
    """Return the seconds of "90s", "10min", "1.5h" or "2d".

    Raises:
        ValueError: it is none of these, or not above 0.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|min|h|d)\s*", value)
    if not found or float(found[1]) == 0:
        raise ValueError(value)
    return float(found[1]) * _UNITS[found[2]]


def _duration(value: object) -> object:
    if isinstance(value, str):
        try:
            seconds_of(value)
        except ValueError:
            raise PydanticCustomError(
                "duration",
                "{value} is not a time.",
                {"value": repr(value), "remedy": "Write 90s, 10min, 1.5h or 2d."},
            ) from None
    return value


Duration = Annotated[str, BeforeValidator(_duration)]
Rate = Annotated[float, Field(gt=0, lt=1)]


class LanguageSampling(Section):
    """How much of each language is trained on."""

    by: Literal["unimax", "temperature", "weights"] = "unimax"
    """`unimax`: the same number of tokens of each language, as far as `max_repeat` lets it (Chung
    et al. 2023); `temperature`: tokens to the power of `temperature`; `weights`: as given below."""
    max_repeat: float = Field(default=4, gt=0)
    """`unimax` and `weights`: no language's text is seen more often than this."""
    temperature: float = Field(default=0.3, ge=0, le=1)
    """The exponent of `temperature`: 1 is proportional to size, 0 the same for all."""
    weights: dict[Label, float] = Field(default={})
    """Shares of tokens by label, relative to each other; languages left out weigh 1."""

    @field_validator("weights")
    @classmethod
    def _positive(cls, value: dict[str, float]) -> dict[str, float]:
        for label, weight in value.items():
            if weight <= 0:
                raise PydanticCustomError(
                    "weight",
                    "the weight of {label} is not above 0.",
                    {"label": label, "remedy": "Leave a language out with `pretrain.labels`."},
                )
        return value


class Stage(Section):
    """From a share of the run on, other masks, lengths or languages."""

    start: float = Field(ge=0, lt=1)
    """Share of the run from which on this holds, until the next one."""
    mask_rate: Rate | None = None
    """Share of masked tokens."""
    max_length: int | None = Field(default=None, ge=16)
    """Tokens of the longest sequence."""
    sampling: LanguageSampling | None = None
    """How much of each language."""


class HeldOut(Section):
    """The documents of each language that are kept out of training, to judge by."""

    share: float = Field(default=0.02, gt=0, lt=0.5)
    """Share of a language's documents."""
    min_documents: int = Field(default=10, ge=2)
    """A language with fewer holds out the last sentences of each document instead (15 %)."""
    max_documents: int = Field(default=64, ge=1)
    """No language holds out more."""


class OptimizerSettings(Section):
    """How the weights are changed."""

    name: Literal["adamw", "muon"] = "adamw"
    """AdamW for all, or Muon for the hidden matrices and AdamW for the rest."""
    learning_rate: float | None = Field(default=None, gt=0)
    """The highest; the preset's when left out."""
    betas: tuple[float, float] | None = None
    """Decay of AdamW's two averages; the preset's when left out."""
    eps: float = Field(default=1e-6, gt=0)
    """What AdamW adds to the denominator."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Decoupled, of matrices; biases and norms have none."""
    momentum: float = Field(default=0.95, ge=0, lt=1)
    """Muon's."""
    clip: float = Field(default=1.0, gt=0)
    """The gradient's norm is scaled down to this."""


class ScheduleSettings(Section):
    """How the learning rate moves over the run: over its tokens, or over its time."""

    kind: Literal["wsd", "linear"] | None = None
    """`wsd`: warm up, stay, fall to 0; `linear`: warm up, fall to 0. The preset's when left out."""
    warmup: float = Field(default=0.02, ge=0, lt=1)
    """Share of the run in which the learning rate rises."""
    decay: float = Field(default=0.3, gt=0, le=1)
    """`wsd`: share of the run, at its end, in which it falls."""
    shape: Literal["sqrt", "linear"] = "sqrt"
    """`wsd`: it falls as 1 - sqrt(share of the decay), or in a straight line."""


class EvaluationSettings(Section):
    """How often the held-out text is judged, and how much of it."""

    times: int = Field(default=10, ge=1)
    """Evaluations over the run, in equal parts, the last one at its end; one more before it."""
    tokens: int | None = Field(default=None, ge=128)
    """Tokens of each language at the most; 8,192 on a GPU and 1,024 on a CPU when left out."""


class CheckpointSettings(Section):
    """How often the run is saved."""

    every: Duration = "10min"
    """Time between two; one more at the end, at a signal and at each evaluation."""
    every_steps: int | None = Field(default=None, ge=1)
    """Steps between two, instead."""
    keep: int = Field(default=2, ge=1)
    """The last so many are kept."""


class PretrainSettings(Section):
    """How the encoder is pretrained."""

    preset: PresetName = "bert-small"
    """Sizes and dials; see docs/pretraining.md for what each holds."""
    layers: int | None = Field(default=None, ge=1)
    """Layers; the preset's when left out, like all that follows."""
    width: int | None = Field(default=None, ge=64, multiple_of=64)
    """Width of the hidden states; a head is 64 wide."""
    feed_forward: int | None = Field(default=None, ge=64)
    """Width of the feed-forward layers."""
    nsp: bool | None = None
    """Next-sentence prediction; `bert` has it, `modern` may."""
    max_length: int | None = Field(default=None, ge=16)
    """Tokens of the longest training sequence."""
    mask_rate: Rate | None = None
    """Share of masked tokens, over the whole run."""
    whole_words: bool = False
    """Mask whole words; in scripts without spaces, and in very long words, pieces."""
    stages: tuple[Stage, ...] = ()
    """Changes on the way: a table of shares of the run and what holds from there on."""
    tokens: int | None = Field(default=None, ge=1)
    """Length of the run in tokens, padding counted."""
    budget: Duration | None = None
    """Length of the run in time (`10min`), instead. Evaluations count; starting does not, nor the
    first step, which compiles, and the evaluation before it."""
    micro_batch_tokens: int | None = Field(default=None, ge=256, multiple_of=64)
    """Tokens that a GPU takes at once: lower it when memory runs out. On a CPU 8,192 at most."""
    batch_tokens: int | None = Field(default=None, ge=256)
    """Tokens of a step, over all GPUs; rounded up to whole micro-batches."""
    block: int | None = Field(default=None, ge=1)
    """Micro-batches whose documents are drawn, paired and shuffled together."""
    sampling: LanguageSampling = LanguageSampling()
    """How much of each language."""
    labels: tuple[Label, ...] | None = None
    """Only these languages; all that have token shards when left out."""
    held_out: HeldOut = HeldOut()
    """What is kept out of training."""
    optimizer: OptimizerSettings = OptimizerSettings()
    """How the weights are changed."""
    schedule: ScheduleSettings = ScheduleSettings()
    """How the learning rate moves."""
    evaluation: EvaluationSettings = EvaluationSettings()
    """How the held-out text is judged."""
    checkpoint: CheckpointSettings = CheckpointSettings()
    """How often the run is saved."""
    log_every: int = Field(default=10, ge=1)
    """Steps between two lines of the log."""
    max_skipped: int = Field(default=5, ge=1)
    """So many steps in a row without a finite loss go back to the last checkpoint; the third time
    the run stops."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where it runs; `auto` takes a GPU where there is one."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of the matrix products; weights are float32. `auto`: bfloat16 on a GPU, float32 on a CPU."""
    compile: Literal["auto", "on", "off"] = "auto"
    """`torch.compile`; `auto`: on a GPU."""
    attention: Literal["auto", "varlen", "tiles"] = "auto"
    """`varlen`: the variable-length kernel of GPUs (bfloat16); `tiles`: works everywhere."""
    deterministic: bool = False
    """On a GPU: the same bits again, somewhat slower. A CPU always gives the same bits."""
    seed: int = Field(default=0, ge=0)
    """Of weights, documents, pairs and masks."""

    @model_validator(mode="after")
    def _fits_together(self) -> PretrainSettings:
        if self.tokens and self.budget:
            raise PydanticCustomError(
                "length",
                "the run's length is given twice, by `tokens` and by `budget`.",
                {"remedy": "Leave one of them out."},
            )
        if self.sampling.by == "weights" and not self.sampling.weights:
            raise PydanticCustomError(
                "weights",
                "sampling by weights needs some.",
                {"remedy": "Add `weights: {swh_Latn: 2, ...}`, or sample by unimax."},
            )
        starts = [stage.start for stage in self.stages]
        if starts != sorted(set(starts)):
            raise PydanticCustomError(
                "stages",
                "the stages do not start one after the other: {starts}.",
                {"starts": ", ".join(map(str, starts)), "remedy": "Order them by `start`."},
            )
        return self


class Config(Section):
    """The part of corpora.yaml that belongs to `koine pretrain`."""

    pretrain: PretrainSettings = PretrainSettings()
    """How the encoder is pretrained."""


def load(path: Path, *, overrides: Mapping[str, Any] | None = None) -> Config:
    """Read and check the pretraining part of a corpora.yaml.

    Args:
        path: the file.
        overrides: values by dotted key (`pretrain.preset`) that replace what the file says.

    Raises:
        ConfigError: with every problem of the section, each with line and column.
    """
    return validate(Config, strict_yaml.load(path), path=str(path), overrides=overrides or {})


def shape_of(settings: PretrainSettings) -> Shape:
    """Return the model's shape: the preset's, with what the settings change."""
    base = PRESETS[settings.preset].shape
    width = settings.width or base.width
    scaled = base.feed_forward * width // base.width
    return Shape(
        base.family,
        settings.layers or base.layers,
        width,
        width // 64,
        settings.feed_forward or scaled,
        max(base.max_positions, max(stage.max_length or 0 for stage in resolve_stages(settings))),
        nsp=base.nsp if settings.nsp is None else settings.nsp,
    )


def resolve(settings: PretrainSettings, *, on_cpu: bool) -> PretrainSettings:
    """Return the settings with everything filled in that the preset says.

    Args:
        settings: as configured.
        on_cpu: a CPU takes smaller micro-batches.

    Raises:
        ConfigError: the lengths don't fit the micro-batches.
    """
    preset: Preset = PRESETS[settings.preset]
    shape = shape_of(settings)
    micro = settings.micro_batch_tokens
    if micro is None:
        micro = preset.micro_batch_tokens
        micro = min(micro, CPU_MICRO_BATCH_TOKENS) if on_cpu else micro
    stages = resolve_stages(settings)
    longest = max(stage.max_length or 0 for stage in stages)
    if micro < 2 * longest:
        raise ConfigError(
            f"pretrain.micro_batch_tokens: {micro:,} hold less than two sequences of {longest:,}.\n"
            "  Raise it, or lower max_length (of the stages, too)."
        )
    batch = settings.batch_tokens or max(preset.batch_tokens, micro)
    optimizer = settings.optimizer.model_copy(
        update={
            "learning_rate": settings.optimizer.learning_rate or preset.learning_rate,
            "betas": settings.optimizer.betas or preset.betas,
        }
    )
    schedule = settings.schedule.model_copy(
        update={"kind": settings.schedule.kind or preset.schedule}
    )
    tokens = CPU_EVALUATION_TOKENS if on_cpu else EVALUATION_TOKENS
    evaluation = settings.evaluation.model_copy(
        update={"tokens": settings.evaluation.tokens or tokens}
    )
    return settings.model_copy(
        update={
            "layers": shape.layers,
            "width": shape.width,
            "feed_forward": shape.feed_forward,
            "nsp": shape.nsp,
            "max_length": settings.max_length or preset.max_length,
            "stages": stages,
            "budget": settings.budget or (None if settings.tokens else preset.budget),
            "micro_batch_tokens": micro,
            "batch_tokens": -(-batch // micro) * micro,
            "block": settings.block or preset.block,
            "optimizer": optimizer,
            "schedule": schedule,
            "evaluation": evaluation,
        }
    )


def resolve_stages(settings: PretrainSettings) -> tuple[Stage, ...]:
    """Return the whole table of stages, from 0 on, each row with all of its values.

    Where the settings have no stages, the preset's mask rates and its longer last part are one.
    """
    preset = PRESETS[settings.preset]
    length = settings.max_length or preset.max_length
    rates = (settings.mask_rate,) if settings.mask_rate else preset.mask_rates
    rows = settings.stages
    if not rows:
        starts = {number / len(rates) for number in range(len(rates))}
        long_from = None if settings.max_length else preset.long_from
        starts |= {long_from} if long_from else set()
        rows = tuple(
            Stage(
                start=start,
                mask_rate=rates[int(start * len(rates))],
                max_length=preset.shape.max_positions
                if long_from is not None and start >= long_from
                else length,
            )
            for start in sorted(starts)
        )
    if rows[0].start > 0:
        rows = (Stage(start=0), *rows)
    found: list[Stage] = []
    rate, sampling = rates[0], settings.sampling
    for row in rows:
        rate, length = row.mask_rate or rate, row.max_length or length
        sampling = row.sampling or sampling
        found.append(Stage(start=row.start, mask_rate=rate, max_length=length, sampling=sampling))
    return tuple(found)
