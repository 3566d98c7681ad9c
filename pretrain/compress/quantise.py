"""A folder with a model's weights in eight bits, and what that costs.

The network is turned to ONNX and its matrices to eight bits by `serve`; here it is put beside the
model that it was made of: size, speed and score.

Does not promise: a model that can be tuned further; it predicts, and has no weights for training.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pipelines import store
from pipelines.errors import ConfigError

from ..models import ONNX_INT8, Model, open_model
from ..tasks.folder import weights_sha256
from . import compare
from .scores import Side
from .watcher import SILENT, Watcher

if TYPE_CHECKING:
    from ..tasks.data import TaskData


@dataclass(frozen=True)
class Quantised:
    """What was done."""

    folder: str
    facts: Mapping[str, Any]
    """`check` (how far outputs are off, see `serve.onnx_model.Check`) and `comparison`."""


def quantise(
    model: Model,
    *,
    to: store.Folder,
    data: TaskData | None = None,
    threads: int = 1,
    watcher: Watcher = SILENT,
) -> Quantised:
    """Write a model in eight bits.

    Args:
        model: an opened folder; an encoder, or tuned.
        to: where to write; empty, or an earlier result, which is replaced.
        data: a task to judge both on, of a tuned model.
        threads: for the times.
        watcher: is told how it goes.

    Raises:
        ConfigError: `to` holds something else; an encoder is to be judged.
        DataError: the model has no weights, or is too large for one file.
        EnvironmentProblem: a library is missing.
    """
    from ..serve import onnx_model

    if data is not None and model.task is None:
        raise ConfigError(
            f"--task: {model.folder} is an encoder, and one in eight bits can't be tuned.\n"
            "  Tune it first (`koine tune`), then quantise what was tuned."
        )
    watcher.note("writing the network as ONNX, in eight bits")
    exported = onnx_model.export(model, int8=True, fp32=False, to=to)
    new = open_model(to.url)
    found = compare.compare(
        Side(model),
        Side(new, use="int8"),
        data=data,
        head=exported.head,
        threads=threads,
        watcher=watcher,
    )
    facts = {
        "kind": "quantised",
        "base": {"name": model.name, "weights_sha256": weights_sha256(model)},
        "check": asdict(exported.checks[ONNX_INT8]),
        "comparison": found.facts(),
    }
    return Quantised(to.url, facts)
