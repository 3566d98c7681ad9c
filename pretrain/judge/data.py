"""Open the data that a model is judged on.

Promises: a tuned model is judged on all examples of files whose names tell no split, since nothing
is trained; an encoder's are divided, as `tasks.data` says.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..models import Model
from ..tasks.data import Task, TaskData, open_task
from ..tasks.files import sources


def open_data(
    model: Model,
    path: str | Path,
    *,
    task: Task | None = None,
    label: str | None = None,
    columns: Mapping[str, str] | None = None,
    seed: int = 0,
) -> TaskData:
    """Read a task's data for a model.

    Args:
        model: an encoder, or one that was tuned.
        path: a file, a folder, or what the names of the files of all splits begin with.
        task: found out by the columns when left out.
        label: the language of all examples, where nothing else says it.
        columns: field → column.
        seed: of the examples that become a split which no file gives.

    Raises:
        ConfigError, DataError, EnvironmentProblem: as `tasks.data.open_task`.
    """
    is_whole = model.task is not None and not any(one.split for one in sources([path]))
    return open_task(
        [path],
        task=task,
        label=label,
        columns=columns,
        test=path if is_whole else None,
        seed=seed,
        targets=model.task["targets"] if model.task else None,
    )
