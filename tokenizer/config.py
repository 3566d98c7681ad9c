"""The `vocab:` section of corpora.yaml: what the vocabulary is trained on, and how."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from pipelines import strict_yaml
from pipelines.config import Label, Section, validate

NUM_SPECIAL = 5
NUM_BYTES = 256


class Sampling(Section):
    """How much of each language the vocabulary is trained on."""

    by: Literal["content", "temperature", "unimax", "weights"] = "content"
    """`content`: the same amount of content of each language (graphemes weighted by how much one
    says in its script); `unimax`: the same amount of bytes; `temperature`: bytes to the power of
    `temperature`; `weights`: as given below."""
    temperature: float = Field(default=0.3, ge=0, le=1)
    """The exponent of `temperature`: 1 is proportional to size, 0 the same for all (XLM-R: 0.3)."""
    max_repeat: float = Field(default=16, ge=1)
    """No language's text counts more often than this, however little there is of it."""
    weights: dict[Label, float] = Field(default={})
    """Shares of content by label, relative to each other; languages left out weigh 1."""

    @field_validator("weights")
    @classmethod
    def _positive(cls, value: dict[str, float]) -> dict[str, float]:
        for label, weight in value.items():
            if weight <= 0:
                raise PydanticCustomError(
                    "weight",
                    "the weight of {label} is not above 0.",
                    {"label": label, "remedy": "Leave a language out with `vocab.labels`."},
                )
        return value


class Parity(Section):
    """How far `fit: parity` goes."""

    max_mean_cost: float = Field(default=0.05, ge=0)
    """It stops before the mean number of tokens grows by more than this share."""
    max_rounds: int = Field(default=10, ge=1, le=100)
    """Trainings at the most; each is one on a sample, the last one is whole."""
    step: float = Field(default=1.5, gt=0, le=4)
    """How strongly a language's share answers to what it pays: share times premium to this."""
    sample_mb: int = Field(default=24, ge=1)
    """Megabytes of text, repetitions counted, in each of these trainings."""
    min_content: int = Field(default=500, ge=1)
    """Held-out content (weighted graphemes) below which a language's premium is not trusted."""


class VocabSettings(Section):
    """How the vocabulary is trained."""

    size: int = Field(default=65536, ge=NUM_SPECIAL + NUM_BYTES + 1, le=1_000_000)
    """Pieces, the special ones and the 256 bytes included; up to 65,536 fit two bytes each."""
    algorithm: Literal["unigram", "bpe", "parity-bpe"] = "unigram"
    """SentencePiece's Unigram or BPE, or the parity-aware byte BPE of `tokenizers`."""
    sampling: Sampling = Sampling()
    """How much of each language is used."""
    fit: Literal["parity", "none"] = "parity"
    """`parity` shifts the shares to the languages that pay most, until that no longer helps;
    `parity-bpe` has a way of its own instead."""
    parity: Parity = Parity()
    """How far that goes."""
    labels: tuple[Label, ...] | None = None
    """Only these languages; all of the corpus when left out."""
    character_coverage: float = Field(default=0.9995, ge=0.5, le=1)
    """Share of each language's own text whose characters become pieces; the rest is bytes."""
    max_piece_chars: int = Field(default=24, ge=4, le=512)
    """The longest piece, in code points."""
    sample_mb: int = Field(default=160, ge=1, le=400)
    """Megabytes of text, repetitions counted, that the vocabulary is trained on."""
    held_out: float = Field(default=0.05, gt=0, lt=0.5)
    """Share of each language's lines kept out of training, to judge the vocabulary by; up to three
    times this where a language has little text."""
    held_out_kb: int = Field(default=48, ge=1)
    """Kilobytes of them at the most, for each language."""
    parallel: Path | None = None
    """The same text in many languages to judge by instead: a folder with a file for each label,
    lines aligned (FLORES), or JSONL whose ids end in the number of the sentence."""
    seed: int = Field(default=0, ge=0)
    """Of the sampling."""

    @model_validator(mode="after")
    def _weights_are_given(self) -> VocabSettings:
        if self.sampling.by == "weights" and not self.sampling.weights:
            raise PydanticCustomError(
                "weights",
                "sampling by weights needs some.",
                {"remedy": "Add `weights: {swh_Latn: 2, ...}`, or sample by content."},
            )
        return self


class Config(Section):
    """The part of corpora.yaml that belongs to `koine vocab`."""

    vocab: VocabSettings = VocabSettings()
    """How the vocabulary is trained."""


def load(path: Path, *, overrides: Mapping[str, Any] | None = None) -> Config:
    """Read and check the vocabulary's part of a corpora.yaml.

    Args:
        path: the file.
        overrides: values by dotted key (`vocab.size`) that replace what the file says.

    Raises:
        ConfigError: with every problem of the section, each with line and column.
    """
    config = validate(Config, strict_yaml.load(path), path=str(path), overrides=overrides or {})
    parallel = config.vocab.parallel
    if parallel is None or parallel.is_absolute():
        return config
    # Like the files of the corpora, the path starts at the folder of the configuration.
    found = (path.absolute().parent / parallel).resolve()
    return config.model_copy(update={"vocab": config.vocab.model_copy(update={"parallel": found})})
