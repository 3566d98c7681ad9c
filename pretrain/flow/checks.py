"""What can be known to fail before a run has begun: data of tasks, libraries, the device.

A run of twenty minutes that ends with a misspelt path to the task data has wasted nineteen.
"""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from typing import TYPE_CHECKING

from pipelines.errors import ConfigError, DataError, EnvironmentProblem

from ..config import resolve
from .sections import Sections

if TYPE_CHECKING:
    from ..tasks.data import TaskData

FOR_TASKS = {"transformers": "transformers", "sklearn": "scikit-learn", "seqeval": "seqeval"}
FOR_ONNX = {name: name for name in ("transformers", "onnx", "onnxscript", "onnxruntime")}
"""Modules, and what is installed to have them."""


def before(sections: Sections, *, out: str) -> dict[str, TaskData]:
    """Check what a run needs in the end, and return the data of its tasks by name.

    Args:
        sections: of corpora.yaml.
        out: folder of the build.

    Raises:
        ConfigError, DataError: of the data of a task, or `out` is no local folder.
        EnvironmentProblem: libraries are missing, or the GPU that is asked for.
    """
    if "://" in out:
        raise ConfigError(
            f"--out {out}: `koine run` ends with models that transformers opens, in a local "
            "folder.\n  Name one; `koine corpus build` and its kin take URLs."
        )
    needed = {**(FOR_TASKS if sections.tasks else {}), **FOR_ONNX}
    missing = sorted({what for name, what in needed.items() if not importlib.util.find_spec(name)})
    if missing:
        raise EnvironmentProblem(
            f"koine run: {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed,"
            " which judging and ONNX need in the end.\n"
            "  Install all of it: pip install -c constraints.txt -e '.[pipelines,pretrain,tasks]'."
        )
    resolve(sections.pretrain, on_cpu=sections.pretrain.device == "cpu")  # lengths fit batches
    if sections.pretrain.device == "cuda":
        from ..machine import device_of

        device_of(sections.pretrain)
    if not sections.tasks:
        return {}
    from ..tasks.data import open_task

    found = {}
    for name, task in sections.tasks.items():
        data = open_task(
            task.data,
            task=task.task,
            label=task.label,
            columns=dict(task.columns),
            seed=sections.tune.seed,
        )
        found[name] = replace(data, name=name)
        there = sorted(set(data.train["label"].to_pylist()))
        for label in sections.evaluate.zero_shot:
            if label not in there:
                raise ConfigError(
                    f"evaluate.zero_shot: the task {name} has no training examples of {label}.\n"
                    f"  It has {', '.join(there[:8])}. Leave it out, or leave the task out."
                )
        if not data.test.num_rows:
            raise DataError(
                f"tasks.{name}: has no test examples, so there is nothing to judge by.\n"
                "  Put a file with `test` in its name beside the others."
            )
    return found
