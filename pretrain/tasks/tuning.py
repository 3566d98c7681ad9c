"""Everything that the seeds of a tuning have in common: data, encoded once; settings; time.

Promises: what chooses (the epoch, the learning rate, the threshold) is the development split alone.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import pyarrow as pa
from torch import nn

from .. import models
from ..config import seconds_of
from ..models import Model
from . import answer, encode, folder, loop, metrics
from .data import TaskData
from .features import Features
from .forward import predict
from .loop import DivergedError, Fitted
from .place import Place
from .scores import mean_score
from .seeds import Seeds
from .settings import PLAIN_SCALE, SWEEP, TuneSettings, resolve

UNKNOWN_SHARE = 0.05
"""Pieces that a vocabulary may lose of a language before it is told."""


class Watcher(Protocol):
    """Is told how it goes; `show.Progress` is one."""

    def update(self, done: float, total: float, text: str) -> None:
        """So many of all fits are over; how the running one goes."""

    def note(self, text: str) -> None:
        """Something to know."""


class Silent:
    """Is told, and says nothing."""

    def update(self, done: float, total: float, text: str) -> None:
        """Do nothing."""

    def note(self, text: str) -> None:
        """Do nothing."""


class Tuning:
    """All that the seeds have in common."""

    def __init__(
        self,
        model: Model,
        data: TaskData,
        settings: TuneSettings,
        place: Place,
        watcher: Watcher,
        *,
        random: bool,
    ) -> None:
        self.model, self.data, self.place, self.watcher = model, data, place, watcher
        self.random = random
        watcher.note(f"{data.name}: encoding {len(data.train):,} examples to train on")
        self.train, self.dev, self.test = (
            self._encoded(table, settings) for table in (data.train, data.dev, data.test)
        )
        self.settings = resolve(
            settings,
            task=data.task,
            width=int(model.config["hidden_size"]),
            scale=PLAIN_SCALE if random else models.weight_scale(model),
            num_sequences=len(self.train),
            longest=model.max_length,
            on_gpu=place.on_gpu,
        )
        self.metric = metrics.main_of(data.task, scheme=data.scheme)
        self.judged_on = "test" if len(data.test) else "dev" if len(data.dev) else None
        self.warnings = self._warnings()
        for warning in self.warnings:
            watcher.note(warning)

    def run(self, journal: Seeds) -> None:
        """Fit the seeds that the journal hasn't."""
        asked = self.settings
        seeds = range(asked.seed, asked.seed + asked.seeds)
        todo = [seed for seed in seeds if seed not in journal.done]
        self._clock = _Clock(
            asked.budget, elapsed_s=sum(one["fit"]["seconds"] for one in journal.done.values())
        )
        tried = len(SWEEP) - 1 if asked.sweep and asked.seed in todo else 0
        self._done, self._total = len(journal.done), len(seeds) + tried
        if journal.done:
            self.watcher.note(f"{len(journal.done)} of {len(seeds)} seeds were finished before")
            self._take_rate(next(iter(journal.done.values()))["learning_rate"])
        for seed in todo:
            if seed == asked.seed and asked.sweep:
                network, fitted, swept = self._sweep(seed)
            else:
                (network, fitted), swept = self._fit(seed), None
            record = {
                "learning_rate": self.settings.learning_rate,
                "fit": fitted.facts(),
                **({"swept": swept} if swept else {}),
                **self._judged(network),
            }
            journal.add(seed, record, network.state_dict())

    def network(self, seed: int) -> nn.Module:
        """Return the network that a seed begins with."""
        found = models.network(
            self.model, self.data.task, targets=self.data.targets, seed=seed, random=self.random
        )
        config: Any = found.config
        if self.data.task == "classify" and hasattr(config, "classifier_pooling"):
            pooling = self.settings.pooling
            config.classifier_pooling = "mean" if pooling == "auto" else pooling
        if self.settings.dropout is not None:
            for module in found.modules():
                if isinstance(module, nn.Dropout):
                    module.p = self.settings.dropout
        return found

    def facts(self, found: Mapping[str, Any], best: Mapping[str, Any]) -> dict[str, Any]:
        """Return what task.json says."""
        data = self.data
        counted = data.train["label"].value_counts().to_pylist()
        return {
            "task": data.task,
            "targets": list(data.targets),
            "scheme": data.scheme,
            "labels": {one["values"]: one["counts"] for one in sorted(counted, key=str)},
            "settings": found["settings"],
            "data": {
                "name": data.name,
                "files": [list(file) for file in data.files],
                "counts": {split: dict(counts) for split, counts in data.counts.items()},
                "examples": {
                    split: len(getattr(data, split)) for split in ("train", "dev", "test")
                },
                "warnings": list(data.warnings),
            },
            "base": {
                "name": self.model.name,
                "weights_sha256": folder.weights_sha256(self.model),
                "random": self.random,
            },
            "max_length": self.settings.max_length,
            "seed": found["best"],
            "no_answer_threshold": best.get("threshold"),
            "dev": {found["metric"]: best["fit"]["dev"]},
            "version": {"format": folder.CODE_VERSION, **folder.versions()},
        }

    def predictions(self, records: Sequence[Mapping[str, Any]]) -> pa.Table | None:
        """Return what each seed said of the split that was judged."""
        if self.judged_on is None:
            return None
        table: pa.Table = getattr(self.data, self.judged_on)
        kind = pa.list_(pa.string()) if self.data.task == "tag" else pa.string()
        columns = {"id": table["id"], "label": table["label"].cast(pa.string())}
        for record in records:
            columns[f"seed_{record['seed']}"] = pa.chunked_array(
                [pa.array(record["predictions"], kind)]
            )
        return pa.table(columns)

    def _encoded(self, table: pa.Table, settings: TuneSettings) -> Features:
        return encode.encode(
            self.data.task, table, self.model, targets=self.data.targets, settings=settings
        )

    def _decoded(self, logits: Any, features: Features, threshold: float | None) -> list[Any]:  # noqa: ANN401
        return encode.decode(
            self.data.task, logits, features, targets=self.data.targets, threshold=threshold
        )

    def _sweep(self, seed: int) -> tuple[nn.Module, Fitted, dict[str, float | None]]:
        """Try learning rates; go on with the one that is best on the development split."""
        middle = self.settings.learning_rate or 0.0
        best: tuple[float, float, nn.Module, Fitted] | None = None
        swept: dict[str, float | None] = {}
        failed: DivergedError | None = None
        for number, factor in enumerate(SWEEP):
            rate = middle * factor
            self._take_rate(rate)
            try:
                network, fitted = self._fit(seed)
            except DivergedError as error:
                swept[f"{rate:g}"], failed = None, error
                self.watcher.note(f"learning rate {rate:g}: the loss is not finite")
                continue
            swept[f"{rate:g}"] = fitted.dev
            said = "nothing to judge it on" if fitted.dev is None else f"dev {fitted.dev:.3f}"
            self.watcher.note(f"learning rate {rate:g}: {said}")
            score = fitted.dev if fitted.dev is not None else float(number == 1)
            if best is None or score > best[0]:
                best = score, rate, network, fitted
        if best is None:
            assert failed is not None
            raise failed
        self._take_rate(best[1])
        return best[2], best[3], swept

    def _take_rate(self, rate: float) -> None:
        self.settings = self.settings.model_copy(update={"learning_rate": rate})

    def _fit(self, seed: int) -> tuple[nn.Module, Fitted]:
        network = self.network(seed)
        text = f"seed {seed}   " if self._total > 1 else ""

        def show(share: float, said: str) -> None:
            self.watcher.update(self._done + share, self._total, text + said)

        dev = self.dev if len(self.data.dev) else None
        fitted = loop.fit(
            network,
            self.train,
            dev,
            task=self.data.task,
            settings=self.settings,
            place=self.place,
            seed=seed,
            evaluate=self._dev_score if dev is not None else None,
            budget_s=self._clock.share(self._total - self._done),
            show=show,
        )
        self._done += 1
        self.watcher.update(self._done, self._total, text + "done")
        return network, fitted

    def _dev_score(self, logits: Any) -> float:  # noqa: ANN401
        """Return the mean over languages of the main metric on the development split."""
        found = self._decoded(logits, self.dev, None)
        return mean_score(self.data, found, metric=self.metric)

    def _judged(self, network: nn.Module) -> dict[str, Any]:
        """Return scores, and what they are of, of a fitted network."""
        found: dict[str, Any] = {"threshold": None, "scores": {}, "predictions": []}
        if self.judged_on is None:
            return found
        if self.data.task == "answer" and len(self.data.dev):
            dev = predict(network, self.dev, place=self.place)
            found["threshold"] = answer.threshold(dev, self.dev, self.data.dev)
        features: Features = getattr(self, self.judged_on)
        table: pa.Table = getattr(self.data, self.judged_on)
        logits = predict(network, features, place=self.place)
        found["predictions"] = self._decoded(logits, features, found["threshold"])
        found["scores"] = metrics.scored(
            self.data.task,
            table,
            found["predictions"],
            scheme=self.data.scheme,
            seed=self.settings.seed,
        )
        return found

    def _warnings(self) -> tuple[str, ...]:
        """Return what to know of the data before one believes the scores."""
        found = list(self.data.warnings)
        labels = sorted(set(self.data.train["label"].cast(pa.string()).unique().to_pylist()))
        known = self.model.labels
        strange = [x for x in labels if known is not None and x not in known and x != "und"]
        if strange:
            found.append(
                f"{_some(strange)}: the model was not pretrained on "
                f"{'this language' if len(strange) == 1 else f'these {len(strange)} languages'}"
            )
        rates = encode.unknown(self.train, self.data.train, self.model)
        lost = {label: rate for label, rate in rates.items() if rate > UNKNOWN_SHARE}
        for label, rate in sorted(lost.items(), key=lambda one: -one[1])[:5]:
            found.append(f"{label}: {100 * rate:.0f} % of its pieces are unknown or single bytes")
        if len(lost) > 5:
            found.append(f"and {len(lost) - 5} more languages of which the vocabulary loses much")
        cut = int(self.train.extra.get("num_cut", 0))
        if cut and self.data.task == "classify":
            found.append(
                f"{cut:,} of {len(self.data.train):,} training texts are cut at "
                f"{self.settings.max_length} pieces; --set tune.max_length raises it"
            )
        if not len(self.data.dev):
            found.append(
                "there is no development split: the last epoch and the first seed are kept"
            )
        if self.judged_on != "test":
            found.append(
                "there is no test split: the scores are of the development split, which chose the "
                "epochs and the seed, and flatter"
                if self.judged_on
                else "there is no test split and no development split: nothing is judged"
            )
        return tuple(found)


class _Clock:
    """Shares a budget among the fits that are left."""

    def __init__(self, budget: str | None, *, elapsed_s: float) -> None:
        self._budget_s = seconds_of(budget) if budget else None
        self._since = time.monotonic() - elapsed_s

    def share(self, num_left: int) -> float | None:
        """Return the seconds of the next fit; None: as many as it likes."""
        if self._budget_s is None:
            return None
        left_s = self._budget_s - (time.monotonic() - self._since)
        return max(0.0, left_s) / max(1, num_left)


def _some(labels: Sequence[str]) -> str:
    return ", ".join(labels[:5]) + (f" and {len(labels) - 5} more" if len(labels) > 5 else "")
