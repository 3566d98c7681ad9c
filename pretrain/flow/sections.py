"""All sections of a corpora.yaml, checked together: a mistake in any is told before work begins."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipelines.config import Config
    from tokenizer.config import VocabSettings

    from ..config import PretrainSettings
    from ..tasks.settings import TuneSettings
    from .config import EvaluateSettings, TaskSettings


@dataclass(frozen=True)
class Sections:
    """What a whole run does."""

    corpora: Config
    """`corpora` and `corpus`."""
    vocab: VocabSettings
    pretrain: PretrainSettings
    tune: TuneSettings
    tasks: Mapping[str, TaskSettings]
    """By name; their paths are absolute."""
    evaluate: EvaluateSettings


def load(path: Path, *, overrides: Mapping[str, Any] | None = None) -> Sections:
    """Read and check a corpora.yaml.

    Args:
        path: the file.
        overrides: values by dotted key that replace what the file says.

    Raises:
        ConfigError: with every problem of the file, each with line and column.
    """
    from pydantic import create_model

    from pipelines import config as corpora
    from pipelines import strict_yaml
    from tokenizer import config as vocab

    from .. import config as pretrain
    from . import config as tasks

    whole = create_model(
        "Koine", __base__=(corpora.Config, vocab.Config, pretrain.Config, tasks.TasksConfig)
    )
    given = dict(overrides or {})
    corpora.validate(whole, strict_yaml.load(path), path=str(path), overrides=given)
    # Each package's own reading knows more of its part: where its relative paths start.
    judged = tasks.load(path, overrides=given)
    return Sections(
        corpora=corpora.load(path, overrides=given),
        vocab=vocab.load(path, overrides=given).vocab,
        pretrain=pretrain.load(path, overrides=given).pretrain,
        tune=judged.tune,
        tasks=judged.tasks,
        evaluate=judged.evaluate,
    )
