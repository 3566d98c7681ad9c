"""What a tuned model says of examples.

Promises: the same predictions as when the model was judged after tuning, up to rounding on another
device; the network is loaded one time for any number of tables.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from torch import nn

from pipelines.errors import DataError

from .. import models
from ..models import Model
from .encode import decode, encode
from .forward import predict
from .place import Place, place_of
from .settings import Task, TuneSettings


@dataclass(frozen=True)
class Applied:
    """A tuned model, loaded: it classifies, tags or answers."""

    model: Model
    network: nn.Module
    task: Task
    targets: tuple[str, ...]
    scheme: str | None
    threshold: float | None
    settings: TuneSettings
    place: Place

    def predictions(self, table: pa.Table) -> list[Any]:
        """Return for each row a target, a list of tags, or an answer ("" for none).

        Args:
            table: `text` and perhaps `pair`; or `words`; or `context` and `question`; and `label`
                of answers. Columns of what is to be predicted are not needed.
        """
        features = encode(
            self.task, table, self.model, targets=self.targets, settings=self.settings
        )
        logits = predict(self.network, features, place=self.place)
        return decode(self.task, logits, features, targets=self.targets, threshold=self.threshold)


def load(model: Model, *, settings: TuneSettings | None = None) -> Applied:
    """Load the network of a tuned model.

    Args:
        model: a folder that `koine tune` wrote.
        settings: where it runs; its lengths are those that it was tuned with.

    Raises:
        DataError: the model is not tuned.
        EnvironmentProblem: a GPU was asked for and there is none.
    """
    own = model.task
    if own is None:
        raise DataError(
            f"{model.folder}: is not tuned on a task (it has no {models.TASK}).\n"
            f"  Tune it first: koine tune classify|tag|answer {model.folder} DATA --to DIR"
        )
    task: Task = own["task"]
    targets = tuple(own["targets"])
    wanted = (settings or TuneSettings()).model_copy(
        update={"max_length": own["max_length"], "stride": own["settings"].get("stride")}
    )
    return Applied(
        model=model,
        network=models.network(model, task, targets=targets),
        task=task,
        targets=targets,
        scheme=own["scheme"],
        threshold=own["no_answer_threshold"],
        settings=wanted,
        place=place_of(wanted, pad=model.pad),
    )
