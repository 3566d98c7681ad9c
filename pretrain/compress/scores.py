"""The scores of a model before and after it was made smaller, on the same examples.

Promises: differences are paired: both models are judged on the same resamples of the examples; a
tuned model is judged as it is, an encoder is tuned first, with the same settings as the other.
Does not promise: that a difference within its interval is none.

Shapes: n examples, k sums, S sequences, F pieces of all sequences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipelines import store

from ..models import Model
from ..serve import runtime
from ..serve.runtime import Use
from .watcher import Watcher

if TYPE_CHECKING:
    from ..tasks.data import TaskData
    from ..tasks.settings import TuneSettings


@dataclass(frozen=True)
class Side:
    """One of the two models."""

    model: Model
    use: Use = "torch"
    """What runs it; `auto` is not meant here."""


def score(
    before: Side,
    after: Side,
    data: TaskData,
    *,
    settings: TuneSettings | None,
    work: store.Folder | None,
    seed: int,
    watcher: Watcher,
) -> dict[str, Any]:
    """Return the scores of both models on the test split, or the development split.

    Args and form: see `compare.compare` and `Comparison.score`.
    """
    split = "test" if len(data.test) else "dev"
    gold = getattr(data, split)
    predictions: list[list[list[Any]]] = []
    for name, side in (("before", before), ("after", after)):
        watcher.note(f"{data.name}: judging {side.model.name} ({name})")
        if side.model.task is not None:
            predictions.append([tuned_predictions(side, gold)])
        else:
            assert work is not None, "an encoder is tuned somewhere"
            predictions.append(_of_encoder(side.model, data, settings, work / name, watcher))
    rows = score_rows(
        data.task, gold, predictions[0], predictions[1], scheme=data.scheme, seed=seed
    )
    from ..tasks.metrics import main_of

    return {
        "task": data.task,
        "name": data.name,
        "metric": main_of(data.task, scheme=data.scheme),
        "split": split,
        "seeds": len(predictions[0]),
        **rows,
    }


def tuned_predictions(side: Side, gold: Any) -> list[Any]:  # noqa: ANN401
    """Return what a tuned model says of examples.

    Args:
        side: the model and what runs it.
        gold: a table of task data.
    """
    from ..tasks import apply, encode
    from ..tasks.settings import TuneSettings

    if side.use == "torch":
        return apply.load(side.model, settings=TuneSettings(device="cpu")).predictions(gold)
    own = side.model.task
    assert own is not None
    task, targets = own["task"], tuple(own["targets"])
    settings = TuneSettings(
        max_length=own["max_length"], stride=(own.get("settings") or {}).get("stride")
    )
    features = encode.encode(task, gold, side.model, targets=targets, settings=settings)
    backend = runtime.open_backend(side.model, task, use=side.use).backend
    logits: NDArray[np.float32] | None = None
    for number, outputs in runtime.run(backend, task, features, pad=side.model.pad):
        values = np.stack(outputs, axis=-1) if task == "answer" else outputs[0]
        if logits is None:
            num = len(features) if task == "classify" else len(features.ids)
            logits = np.zeros((num, values.shape[-1]), np.float32)
        begin, end = features.offsets[number : number + 2].tolist()
        logits[number if task == "classify" else slice(begin, end)] = values
    if logits is None:
        return []
    threshold = own.get("no_answer_threshold")
    return encode.decode(task, logits, features, targets=targets, threshold=threshold)


def _of_encoder(
    model: Model,
    data: TaskData,
    settings: TuneSettings | None,
    to: store.Folder,
    watcher: Watcher,
) -> list[list[Any]]:
    """Tune an encoder; return what each seed predicted."""
    import pyarrow as pa

    from ..tasks.folder import PREDICTIONS
    from ..tasks.tune import tune

    tune(model, data, settings=settings, to=to, watcher=watcher)
    with to.open_arrow(PREDICTIONS) as source:
        table = pa.ipc.open_stream(source).read_all()
    names = [name for name in table.column_names if name.startswith("seed_")]
    return [table[name].to_pylist() for name in names]


def score_rows(
    task: str,
    gold: Any,  # noqa: ANN401
    before: Sequence[Sequence[Any]],
    after: Sequence[Sequence[Any]],
    *,
    scheme: str | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Return `labels` (by language, the worst after it first) and `mean`; see `Comparison.score`.

    Args:
        task: classify, tag or answer.
        gold: a table of task data, at least one row.
        before: predictions of one tuning or several.
        after: the same of the other model.
        scheme: of tags.
        seed: of the resamples, the same ones for both models.
    """
    from ..tasks import metrics
    from ..tasks.intervals import limits, sums

    counts = [
        [metrics.counts_of(task, gold, one, scheme=scheme) for one in system]
        for system in (before, after)
    ]
    labels = np.array(gold["label"].to_pylist(), dtype=object)
    flat = [one for system in counts for one in system]
    borders = np.cumsum([one.values.shape[1] for one in flat])[:-1]
    joined = np.concatenate([one.values for one in flat], axis=1)

    def means(found: Any) -> list[Any]:  # noqa: ANN401
        each = iter(np.split(found, borders, axis=1))
        return [np.mean([one.main(next(each)) for one in own], axis=0) for own in counts]

    rows: dict[str, dict[str, Any]] = {}
    drawn = []
    for label in sorted(map(str, set(labels.tolist()))):
        own = joined[np.flatnonzero(labels == label)]
        was, now = (float(one[0]) for one in means(own.sum(axis=0)[None]))
        one, other = means(sums(own, seed=seed, stream=label))
        drawn.append(other - one)
        rows[label] = _row(len(own), was, now, limits(other - one))
    worst_first = sorted(rows, key=lambda label: (rows[label]["after"], label))
    mean = _row(
        len(rows),
        fmean(row["before"] for row in rows.values()),
        fmean(row["after"] for row in rows.values()),
        limits(np.mean(drawn, axis=0)),
    )
    return {"labels": {label: rows[label] for label in worst_first}, "mean": mean}


def _row(num: int, before: float, after: float, interval: tuple[float, float]) -> dict[str, Any]:
    return {
        "num": num,
        "before": before,
        "after": after,
        "difference": [after - before, *interval],
        "kept": after / before if before else None,
    }


def only(data: TaskData, labels: Sequence[str]) -> TaskData:
    """Return the examples of some languages, and those of unknown ones."""
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted = pa.array([*labels, "und"], pa.string())

    def part(table: Any) -> Any:  # noqa: ANN401
        return table.filter(pc.is_in(pc.cast(table["label"], pa.string()), value_set=wanted))

    return replace(data, train=part(data.train), dev=part(data.dev), test=part(data.test))


def tables_of(data: TaskData) -> dict[str, Any]:
    """Return what names the examples of a task without doubt."""
    from ..tasks.folder import table_sha256

    tables = {split: table_sha256(getattr(data, split)) for split in ("train", "dev", "test")}
    return {"task": data.task, "targets": list(data.targets), "tables": tables}
