"""Judge a model on tasks, language by language, beside what it has to beat.

    an encoder       is tuned on each task's training examples, of all languages (`in_language`)
                     and, where asked for, of some only (`zero_shot`); with baselines the same
                     network from random weights is, too, and word counts are judged
    a tuned model    is judged as it is; a language that it was not tuned on is zero-shot

    OUT/results.json     figures, see `results`
    OUT/results.html     the page
    OUT/manifest.json    written last
    OUT/models/          every tuning, a folder each that `koine predict` takes; a killed evaluation
                         goes on with those that are done, and with the seeds of the one that isn't

Promises: no test example is tuned on, and for zero-shot none of another language, not even to
choose an epoch by; the same model, data and settings give the same figures on a CPU; a folder that
holds anything else than an evaluation is left alone.
Does not promise: that training data the model was pretrained on lacks the test texts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from pipelines import store
from pipelines.errors import EnvironmentProblem

from ..models import Model
from . import card, folder, page, results
from .baselines import baselines as counted
from .checks import check, check_zero_shot, labels_of, some
from .scoring import rows_of

if TYPE_CHECKING:
    from ..tasks.data import TaskData
    from ..tasks.settings import TuneSettings

MODELS = "models"


class Watcher(Protocol):
    """Is told how it goes; `pretrain.tasks.show.Progress` is one."""

    def update(self, done: float, total: float, text: str) -> None:
        """Take how much is done of how much, and what it is."""

    def note(self, text: str) -> None:
        """Take something to say once."""


@dataclass(frozen=True)
class Evaluated:
    """An evaluation that is done."""

    folder: str
    results: dict[str, Any]
    """As results.json has it."""
    page: str
    card: str | None
    """Where the model's card is, None where it could not be written."""
    was_done: bool
    """Whether an earlier run had done it all."""


@dataclass(frozen=True)
class _Tuning:
    """A tuning that an encoder's evaluation needs."""

    system: str
    train: tuple[str, ...]
    """Languages whose training and development examples it sees."""
    random: bool


def evaluate(
    model: Model,
    tasks: Sequence[TaskData],
    *,
    to: store.Folder,
    zero_shot: Sequence[str] = (),
    baselines: bool = False,
    settings: TuneSettings,
    watcher: Watcher,
    into_card: bool = True,
) -> Evaluated:
    """Judge a model on tasks.

    Args:
        model: an encoder, or one that was tuned.
        tasks: their data, opened; for a tuned model with its targets.
        to: where to write; empty, or an earlier evaluation.
        zero_shot: languages to tune on alone, beside all of them, where a task has them; for an
            encoder.
        baselines: compare with random weights (of an encoder) and with counts of words.
        settings: of the tunings; `budget` is for all of them together.
        watcher: is told how it goes.
        into_card: write the figures into the model's README.md.

    Raises:
        ConfigError: the model was tuned for another task; `zero_shot` names a language that no
            task has training examples of; `to` holds something else.
        DataError: there are no test examples, or the model is damaged.
        EnvironmentProblem: a folder can't be written, or the machine lacks something.
    """
    assert tasks, "nothing to judge on"
    by_name = named(tasks)
    for name, data in by_name.items():
        check(model, name, data, zero_shot=zero_shot)
    check_zero_shot(by_name, zero_shot)
    folder.check_free(to)
    plans = {
        name: _tunings(data, zero_shot=zero_shot, baselines=baselines)
        for name, data in ({} if model.task else by_name).items()
    }
    total = sum(map(len, plans.values()))
    if settings.budget is not None and total:
        settings = settings.model_copy(update={"budget": _shared(settings.budget, total)})
    fingerprint = folder.fingerprint(
        model, by_name, settings, zero_shot=zero_shot, baselines=baselines
    )
    found = folder.done(to, fingerprint=fingerprint)
    was_done = found is not None
    if found is None:
        to.create()
        to.write_json(folder.BEGUN, {"fingerprint": fingerprint})
        to.remove(store.MANIFEST)
        judged: dict[str, Any] = {}
        number = 0
        for name, data in by_name.items():
            if model.task:
                systems, trained_on = _of_tuned(model, data, settings=settings)
            else:
                systems, trained_on = _of_encoder(
                    model, data, plans[name], to=to / MODELS, slug=folder.slugs(by_name)[name],
                    settings=settings, watcher=watcher, number=number, total=total,
                )  # fmt: skip
                number += len(plans[name])
            if baselines:
                systems |= {name: [found] for name, found in counted(data).items()}
            watcher.note(f"{name}: scores")
            judged[name] = _judged(model, data, systems, trained_on, settings=settings)
            absent = [label for label in zero_shot if label not in labels_of(data.train)]
            if absent:
                judged[name]["warnings"].append(
                    f"no training examples of {some(absent)} to tune on for zero-shot"
                )
        found = {
            "format_version": results.FORMAT_VERSION,
            "model": _model(model),
            "seeds": None if model.task else settings.seeds,
            "zero_shot": sorted(zero_shot),
            "tasks": judged,
        }
        files = [
            to.write_bytes(results.RESULTS, folder.as_json(found)),
            to.write_bytes(page.PAGE, page.render(found).encode()),
        ]
        store.write_manifest(
            to,
            artefact=folder.ARTEFACT,
            fingerprint=fingerprint,
            counts={"tasks": len(judged), "labels": len(results.labels_of(found))},
            files=files,
        )
        to.remove(folder.BEGUN)
    where = None
    if into_card:
        try:
            card.append(store.Folder(model.folder), found)
            where = str(model.folder / card.README)
        except EnvironmentProblem as error:
            watcher.note(f"The model's card stays as it was: {str(error).splitlines()[0]}")
    return Evaluated(to.url, found, to.path(page.PAGE), where, was_done)


def named(tasks: Sequence[TaskData]) -> dict[str, TaskData]:
    """Return tasks by name; those of the same name are numbered."""
    found: dict[str, TaskData] = {}
    for data in tasks:
        name, number = data.name, 2
        while name in found:
            name, number = f"{data.name}-{number}", number + 1
        found[name] = data
    return found


def _tunings(data: TaskData, *, zero_shot: Sequence[str], baselines: bool) -> list[_Tuning]:
    """Return what has to be tuned for an encoder's evaluation on a task."""
    every = tuple(labels_of(data.train))
    few = tuple(label for label in every if label in zero_shot)
    found = [_Tuning("in_language", every, random=False)]
    if few and few != every:
        found.append(_Tuning("zero_shot", few, random=False))
    if baselines:
        of_random = {"in_language": "random", "zero_shot": "random_zero_shot"}
        found += [_Tuning(of_random[one.system], one.train, random=True) for one in found]
    return found


def _of_encoder(
    model: Model,
    data: TaskData,
    tunings: Sequence[_Tuning],
    *,
    to: store.Folder,
    slug: str,
    settings: TuneSettings,
    watcher: Watcher,
    number: int,
    total: int,
) -> tuple[dict[str, list[Any]], dict[str, dict[str, int]]]:
    """Tune and predict; return each system's predictions, and what it was tuned on.

    `number` counts the tunings before these, of `total`.
    """
    from ..tasks.tune import tune

    systems: dict[str, list[Any]] = {}
    trained_on: dict[str, dict[str, int]] = {}
    for at, one in enumerate(tunings, start=number):
        part = _only(data, one.train)
        name = f"{slug}-{one.system.replace('_', '-')}"
        own = _Part(watcher, at, total, name)
        place = to / name
        tune(model, part, settings=settings, to=place, random=one.random, watcher=own)
        systems[one.system] = _predictions(place, data)
        if one.system in results.OWN:
            trained_on[one.system] = labels_of(part.train)
    return systems, trained_on


def _only(data: TaskData, labels: Sequence[str]) -> TaskData:
    """Return the data with the training and development examples of some languages."""
    wanted = pa.array(labels, pa.string())

    def part(table: pa.Table) -> pa.Table:
        return table.filter(pc.is_in(pc.cast(table["label"], pa.string()), value_set=wanted))

    return replace(data, train=part(data.train), dev=part(data.dev))


def _of_tuned(
    model: Model, data: TaskData, *, settings: TuneSettings
) -> tuple[dict[str, list[Any]], dict[str, dict[str, int]]]:
    """Return the predictions of a tuned model, and what it was tuned on."""
    from ..tasks.apply import load

    assert model.task is not None
    found = load(model, settings=settings).predictions(data.test)
    return {"in_language": [found]}, {"in_language": dict(model.task["labels"])}


def _predictions(place: store.Folder, data: TaskData) -> list[Any]:
    """Return what each seed of a tuning predicted for the test examples."""
    from ..tasks.folder import PREDICTIONS

    with place.open_arrow(PREDICTIONS) as source:
        table = pa.ipc.open_stream(source).read_all()
    assert table["id"].to_pylist() == data.test["id"].to_pylist(), "predictions of other examples"
    names = [name for name in table.column_names if name.startswith("seed_")]
    return [table[name].to_pylist() for name in names]


@dataclass(frozen=True)
class _Part:
    """Passes on how one of several tunings goes, as a share of them all."""

    watcher: Watcher
    number: int
    total: int
    name: str

    def update(self, done: float, total: float, text: str) -> None:
        """Pass on how the tuning goes."""
        self.watcher.update(self.number + done / max(total, 1), self.total, f"{self.name}   {text}")

    def note(self, text: str) -> None:
        """Pass on what it says."""
        self.watcher.note(text)


def _judged(
    model: Model,
    data: TaskData,
    systems: Mapping[str, list[Any]],
    trained_on: Mapping[str, Mapping[str, int]],
    *,
    settings: TuneSettings,
) -> dict[str, Any]:
    """Return a task of results.json."""
    from ..tasks import encode, metrics

    # Tags of a model that was tuned may be BIO where the test has none but O.
    scheme = data.scheme if model.task is None else model.task["scheme"]
    rows = rows_of(
        data.task, data.test, systems, trained_on=trained_on, scheme=scheme, seed=settings.seed
    )
    features = encode.encode(data.task, data.test, model, targets=data.targets, settings=settings)
    unknown = encode.unknown(features, data.test, model)
    for label, row in rows.items():
        row["examples"] = trained_on["in_language"].get(label, 0)
        row["unknown_rate"] = unknown.get(label)
    metric = metrics.main_of(data.task, scheme=scheme)
    others = {
        name
        for row in rows.values()
        for system in results.OWN
        if system in row
        for name in row[system]["metrics"]
    }
    return {
        "task": data.task,
        "metric": metric,
        "other_metrics": [name for name in results.OTHER_METRICS if name in others - {metric}],
        "scheme": scheme,
        "targets": len(data.targets),
        "trained_on": {name: dict(labels) for name, labels in trained_on.items()},
        "rows": rows,
        **results.summary(rows),
        "warnings": _without_folders(data),
        "counts": {split: dict(counts) for split, counts in data.counts.items()},
        "files": [list(file) for file in data.files],
    }


def _without_folders(data: TaskData) -> list[str]:
    """Return the data's warnings with files by their names: a card goes to other machines."""
    found = []
    for said in data.warnings:
        for name, _ in data.files:
            said = re.sub(rf"\S*[/\\](?={re.escape(name.rpartition('/')[2])})", "", said)
        found.append(said)
    return found


def _model(model: Model) -> dict[str, Any]:
    """Return what results.json says of the model."""
    from ..tasks.folder import weights_sha256

    return {
        "name": model.name,
        "kind": model.config["model_type"],
        "layers": model.config["num_hidden_layers"],
        "width": model.config["hidden_size"],
        "weights_sha256": weights_sha256(model),
        "tuned_for": model.task["task"] if model.task else None,
        "labels": list(model.labels) if model.labels is not None else None,
    }


def _shared(budget: str, num: int) -> str:
    """Return a part of a time: the evaluation's, over its tunings."""
    from ..config import seconds_of

    return f"{max(1, int(seconds_of(budget) / num))}s"
