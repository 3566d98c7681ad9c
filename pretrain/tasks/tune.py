"""Tune an encoder on a task, several times, and keep the best.

    data = open_task(["data/sib200"])
    tuned = tune(open_model("build/export"), data, to=Folder("build/topics"))
    tuned.scores["swh_Latn"]["macro_f1"]

Promises: every split is tokenised once, whatever the number of seeds; no choice is made by the test
split; the same inputs give the same bytes on the same machine's CPU (without a time budget); a
second call with the same inputs does nothing; a killed one goes on with the seed it was at.
Does not promise: that the seed which is best on the development split is best on the test split;
the scores are means over all seeds, so that luck isn't reported as skill.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from pipelines import store
from pipelines.errors import DataError

from ..models import Model
from . import folder
from .data import TaskData
from .place import place_of
from .scores import Scores, aggregated, worst_first
from .seeds import Seeds
from .settings import TuneSettings
from .tuning import Silent, Tuning, Watcher


@dataclass(frozen=True)
class Tuned:
    """A tuned model and how good it is."""

    folder: str
    task: str
    metric: str
    """The main one."""
    scores: Scores
    """By language, the worst first, then `all`, `mean` and `worst`: `num`, every metric's mean
    over seeds, `mean` (of the main one), `deviation` over seeds (None of a single one), `low` and
    `high` (the test's 95 % interval, its limits' means over seeds)."""
    judged_on: str | None
    """The split: `test`; `dev` where there is none; None: nothing to judge on."""
    seeds: tuple[Mapping[str, Any], ...]
    """Each with `seed`, `fit` (see `loop.Fitted`), `scores`."""
    best: int
    """The seed whose weights were kept."""
    settings: Mapping[str, Any]
    """Resolved ones."""
    warnings: tuple[str, ...]
    is_new: bool = True
    """False where the folder was finished before."""
    seconds: float | None = None
    """Of all the training; None where the folder was finished before."""


def tune(
    model: Model,
    data: TaskData,
    *,
    settings: TuneSettings | None = None,
    to: store.Folder,
    watcher: Watcher | None = None,
    random: bool = False,
) -> Tuned:
    """Tune a model on a task and write the best seed's folder.

    Args:
        model: an opened encoder.
        data: the task's examples.
        settings: the defaults when left out.
        to: where to write; empty, or an earlier tuning, which is replaced.
        watcher: is told how it goes.
        random: begin with random weights of the same network: the control.

    Raises:
        ConfigError: `to` holds something else.
        DataError: there is nothing to train on, or the loss is not finite.
        EnvironmentProblem: the folder can't be written, there is no such device, or no memory.
    """
    settings, watcher = settings or TuneSettings(), watcher or Silent()
    if not len(data.train):
        raise DataError(
            f"{data.name}: has no examples to train on.\n"
            "  Name files whose names have `train`, or evaluate a tuned model instead."
        )
    fingerprint = store.fingerprint(folder.inputs(model, data, settings, random=random))
    done = folder.finished(to, fingerprint=fingerprint)
    if done is not None:
        return _tuned(to, done, is_new=False)
    place = place_of(settings, pad=model.pad)
    to.create()
    tuning = Tuning(model, data, settings, place, watcher, random=random)
    journal = Seeds.open(to / folder.SEEDS, fingerprint=fingerprint)
    tuning.run(journal)

    best = journal.best
    network = tuning.network(best)
    network.load_state_dict(journal.weights())
    network.eval()
    records = [{"seed": seed, **journal.done[seed]} for seed in sorted(journal.done)]
    found = {
        "task": data.task,
        "metric": tuning.metric,
        "scores": aggregated([record["scores"] for record in records], tuning.metric),
        "judged_on": tuning.judged_on,
        "seeds": [_timeless(record) for record in records],
        "best": best,
        "settings": tuning.settings.model_dump(mode="json"),
        "warnings": list(tuning.warnings),
    }
    folder.write(
        to,
        network=network,
        model=model,
        task=tuning.facts(found, journal.done[best]),
        scores=found,
        predictions=tuning.predictions(records),
        fingerprint=fingerprint,
    )
    journal.folder.remove_all()
    seconds = sum(record["fit"]["seconds"] for record in records)
    return replace(_tuned(to, found, is_new=True), seconds=seconds)


def _timeless(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is kept of a seed: no predictions, and no times, which no two runs share."""
    fit = {key: value for key, value in record["fit"].items() if key != "seconds"}
    fit["epochs"] = [
        {key: value for key, value in epoch.items() if key != "seconds"} for epoch in fit["epochs"]
    ]
    return {**{key: value for key, value in record.items() if key != "predictions"}, "fit": fit}


def _tuned(to: store.Folder, found: Mapping[str, Any], *, is_new: bool) -> Tuned:
    return Tuned(
        folder=to.url,
        task=found["task"],
        metric=found["metric"],
        scores=worst_first(found["scores"]),
        judged_on=found["judged_on"],
        seeds=tuple(found["seeds"]),
        best=found["best"],
        settings=found["settings"],
        warnings=tuple(found["warnings"]),
        is_new=is_new,
    )
