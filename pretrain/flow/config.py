"""The `tasks:` and `evaluate:` sections of corpora.yaml: what a pretrained model is judged on.

tasks:
  topics: {data: samples/tasks/topics}
  names: {data: ner/masakhaner}
evaluate: {zero_shot: [eng_Latn], baselines: true}
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator
from pydantic_core import PydanticCustomError

from pipelines import strict_yaml
from pipelines.config import Label, Section, validate

from ..tasks.settings import Config as TuneConfig

_NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$"


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


class TaskSettings(Section):
    """One task: where its data is, and what is done with it."""

    data: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] = Field(min_length=1)
    """Files, folders, or what the names of files begin with (`data/topics` of topics.train.tsv);
    relative ones start at the folder of this file."""
    task: Literal["classify", "tag", "answer"] | None = None
    """What is learnt; told from the data when left out."""
    label: Label | None = None
    """The language of all examples, where neither a column nor a file's name says it."""
    columns: dict[str, str] = Field(default={})
    """Names of the columns, where they are unusual ones: `{text: tweet, target: mood}`."""


class EvaluateSettings(Section):
    """How it is judged, besides what `tune:` says of the tunings."""

    zero_shot: tuple[Label, ...] = ()
    """Tune once more on these languages alone, and judge how that carries over to the others."""
    baselines: bool = False
    """Tune the same network from random weights too, and count words: what the model has to beat.
    It doubles the time."""


class TasksConfig(TuneConfig):
    """The part of corpora.yaml that `koine run` reads beside those of the other commands."""

    tasks: dict[str, TaskSettings] = Field(default={})
    """Tasks by name. Without any, a run ends with the exported encoder."""
    evaluate: EvaluateSettings = EvaluateSettings()
    """How the model is judged on them."""

    @field_validator("tasks")
    @classmethod
    def _named(cls, value: dict[str, TaskSettings]) -> dict[str, TaskSettings]:
        import re

        for name in value:
            if not re.fullmatch(_NAME, name):
                raise PydanticCustomError(
                    "task_name",
                    "{name} is no name for a task.",
                    {
                        "name": repr(name),
                        "remedy": "Use lower-case letters a-z, digits, `-` and `_`.",
                    },
                )
        return value


def load(path: Path, *, overrides: Mapping[str, Any] | None = None) -> TasksConfig:
    """Read and check the tasks and the settings of tuning of a corpora.yaml.

    Args:
        path: the file; relative paths of data start at its folder.
        overrides: values by dotted key (`tune.seeds`) that replace what the file says.

    Raises:
        ConfigError: with every problem of the sections, each with line and column.
    """
    found = validate(TasksConfig, strict_yaml.load(path), path=str(path), overrides=overrides or {})
    folder = path.absolute().parent
    placed = {
        name: task.model_copy(update={"data": tuple(str(folder / one) for one in task.data)})
        for name, task in found.tasks.items()
    }
    return found.model_copy(update={"tasks": placed})
