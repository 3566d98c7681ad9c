"""What must hold before anything is tuned: that the model and the data fit, and the data are there.

Promises: each error names what was found, what was expected and what to do; nothing is written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import pyarrow.compute as pc

from pipelines.errors import ConfigError, DataError

from ..models import Model

if TYPE_CHECKING:
    import pyarrow as pa

    from ..tasks.data import TaskData


def labels_of(table: pa.Table) -> dict[str, int]:
    """Return how many examples of each language a table has, sorted."""
    return dict(sorted(Counter(table["label"].to_pylist()).items()))


def check(model: Model, name: str, data: TaskData, *, zero_shot: Sequence[str]) -> None:
    """Check that a model can be judged on a task's data.

    Raises:
        ConfigError, DataError: it can't.
    """
    if model.task is not None:
        own = model.task["task"]
        if own != data.task:
            raise ConfigError(
                f"{name}: is data to {data.task}, and {model.folder} was tuned to {own}.\n"
                f"  Name data to {own}, or the encoder that it was tuned from: it is tuned to "
                f"{data.task} then."
            )
        if zero_shot:
            raise ConfigError(
                f"--zero-shot: {model.folder} is tuned already.\n"
                "  Leave it out: languages that the model was not tuned on are told apart. Or "
                "name the encoder."
            )
        column = {"classify": "target", "tag": "tags"}.get(data.task)
        if column is not None:
            values = data.test[column] if column == "target" else pc.list_flatten(data.test[column])
            there = {str(one) for one in pc.unique(values).to_pylist()}
            if not there & (set(model.task["targets"]) - {"O"}) and there != {"O"}:
                raise ConfigError(
                    f"{name}: none of its {column} is one of those that {model.folder} was tuned "
                    f"to tell apart: {some(sorted(there))} there, {some(model.task['targets'])} "
                    "here.\n  Name data of the same task, or rename its targets."
                )
    if not data.test.num_rows:
        raise DataError(
            f"{name}: has no test examples, so there is nothing to judge by.\n"
            "  Name files one of whose names has `test` in it."
        )


def check_zero_shot(tasks: Mapping[str, TaskData], zero_shot: Sequence[str]) -> None:
    """Check that some task has training examples of each language to tune on alone.

    Raises:
        ConfigError: none has.
    """
    there = sorted({label for data in tasks.values() for label in labels_of(data.train)})
    for label in zero_shot:
        if label not in there:
            from pipelines.config_errors import did_you_mean

            hint = did_you_mean(label, there) or f"There are: {some(there)}."
            raise ConfigError(
                f"--zero-shot: {' and '.join(tasks)} {'has' if len(tasks) == 1 else 'have'} no "
                f"training examples of {label!r}.\n  {hint}"
            )


def some(names: Sequence[str], most: int = 5) -> str:
    """Return the first names, and how many more there are."""
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")
