"""The figures of a whole run that its page shows, read from what the stages left.

    out, run        the folder as it was named; the name of the training
    stages          by name: title, state, seconds
    division        how a budget was divided, null without one
    notes           what was said on the way and is worth keeping
    corpus          documents read, kept, removed, quarantined; bytes; by label kept and measured
    vocab           pieces; premium by label, null where too little text tells; gini; worst
    pretrain        preset, steps, tokens, seconds; by label bits per byte, and the share left
    tasks           as results.json has them, null without any
    model           parameters, bytes, and of each ONNX file how far it is from torch
    languages       the rows of the table, worst first

Promises: nothing is computed twice: every figure is one that the stage's own report shows.
Does not promise: that measures of different languages compare; a language's place in each is what
orders the table, not the figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from pipelines import store

from .. import report, standing
from ..judge import results
from . import budget
from .stage import EVALUATION, EXPORT, TUNED

Facts = Mapping[str, Any]


def collect(
    folder: store.Folder,
    *,
    run: str,
    stages: Mapping[str, Mapping[str, Any]],
    division: budget.Division | None,
    notes: Sequence[str],
) -> dict[str, Any]:
    """Return the facts of a run's page.

    Args:
        folder: the build.
        run: name of the training.
        stages: by name, in their order: `title`, `state`, `seconds`.
        division: of the budget, if there was one.
        notes: what was said on the way.

    Raises:
        DataError: a report is missing or no JSON.
    """
    facts: dict[str, Any] = {
        "out": folder.url,
        "run": run,
        "stages": {name: dict(row) for name, row in stages.items()},
        "division": {**division.to_json(), "told": division.told()} if division else None,
        "notes": list(notes),
        "corpus": _corpus(folder.read_json("report.json")),
        "vocab": _vocab((folder / "vocab").read_json("report.json")),
        "pretrain": _pretrain(folder / "runs" / run),
        "tasks": _tasks(folder / EVALUATION) if "tasks" in stages else None,
        "model": _model(folder, is_judged="tasks" in stages),
    }
    facts["languages"] = [vars(row) for row in languages(facts)]
    return facts


def _corpus(found: Facts) -> dict[str, Any]:
    ledger = found["ledger"]
    return {
        "read": ledger["read"],
        "kept": ledger["kept"],
        "removed": sum(ledger["removed"].values()),
        "quarantined": sum(ledger["quarantined"].values()),
        "bytes": ledger["kept_bytes"],
        "labels": {
            label: {"kept": row["documents"], "measured": row["measured_documents"]}
            for label, row in found["labels"].items()
        },
    }


def _vocab(found: Facts) -> dict[str, Any]:
    own = found["tokenizers"][0]
    return {
        "pieces": own["pieces"],
        "gini": own["summary"].get("gini"),
        "labels": {
            label: None if row["thin"] else row["premium"] for label, row in own["labels"].items()
        },
    }


def _pretrain(folder: store.Folder) -> dict[str, Any]:
    facts = report.report(folder)
    rows, where = standing.rows(facts), standing.progress(facts)
    sure = {row.label for row in standing.worst_of(rows)}
    return {
        "preset": facts["config"].get("preset"),
        "shape": facts["config"].get("shape"),
        "steps": where.step,
        "tokens": where.tokens,
        "seconds": where.seconds,
        "labels": {
            row.label: {"bits": row.now, "left": row.left, "is_sure": row.label in sure}
            for row in rows
        },
    }


def _tasks(folder: store.Folder) -> dict[str, Any]:
    tasks: dict[str, Any] = folder.read_json(results.RESULTS)["tasks"]
    return {
        name: {
            "task": task["task"],
            "metric": task["metric"],
            "mean": fmean(results.score(row) for row in task["rows"].values()),
            "labels": {
                label: {
                    "score": results.score(row),
                    "low": row[own]["low"],
                    "high": row[own]["high"],
                    "num": row["num"],
                    "is_zero_shot": own == "zero_shot",
                }
                for label, row in task["rows"].items()
                if (own := results.primary(row)) is not None
            },
        }
        for name, task in tasks.items()
    }


def _model(folder: store.Folder, *, is_judged: bool) -> dict[str, Any]:
    own = (folder / EXPORT).read_json(store.MANIFEST)
    files = [file for file in store.listed(own) if not file.name.endswith(".onnx")]
    found = {EXPORT: own}
    models = folder / TUNED
    for name in sorted({name.partition("/")[0] for name in models.names()} if is_judged else ()):
        if (models / name).exists(store.MANIFEST):
            found[f"{TUNED}/{name}"] = (models / name).read_json(store.MANIFEST)
    return {
        "parameters": own["counts"]["parameters"],
        "bytes": sum(file.num_bytes for file in files),
        "onnx": {
            name: {"largest": checks["model.onnx"]["largest"], "bytes": _size(manifest)}
            for name, manifest in found.items()
            if "model.onnx" in (checks := manifest.get("onnx") or {})
        },
        "tuned": [name for name in found if name.endswith("-in-language")],
    }


def _size(manifest: dict[str, Any]) -> int:
    return sum(file.num_bytes for file in store.listed(manifest) if file.name == "model.onnx")


@dataclass(frozen=True)
class Language:
    """A row of the table: what each stage did for a language, and how far behind it is."""

    label: str
    kept: int
    measured: int
    premium: float | None
    bits: float | None
    left: float | None
    scores: dict[str, float | None]
    """By task."""
    place: float | None
    """Mean of its places in the measures that it has, from 0 (last) to 1 (first)."""


def languages(facts: Facts) -> list[Language]:
    """Return all languages that the corpus kept, the worst served first."""
    labels = {label for label, row in facts["corpus"]["labels"].items() if row["kept"]}
    labels |= set(facts["pretrain"]["labels"])
    tasks = facts["tasks"] or {}
    for task in tasks.values():
        labels |= set(task["labels"])
    trained = facts["pretrain"]["labels"]
    # Each so that more is better. The share of documents kept says what the source was like.
    measures = [
        {label: -premium for label, premium in facts["vocab"]["labels"].items() if premium},
        {x: -row["left"] for x, row in trained.items() if row["is_sure"] and row["left"]},
        *({x: row["score"] for x, row in task["labels"].items()} for task in tasks.values()),
    ]
    places = [_places(measure) for measure in measures]
    rows = []
    for label in labels:
        own = [found[label] for found in places if label in found]
        kept = facts["corpus"]["labels"].get(label, {})
        row = trained.get(label, {})
        rows.append(
            Language(
                label=label,
                kept=kept.get("kept", 0),
                measured=kept.get("measured", 0),
                premium=facts["vocab"]["labels"].get(label),
                bits=row.get("bits"),
                left=row.get("left"),
                scores={
                    name: task["labels"].get(label, {}).get("score") for name, task in tasks.items()
                },
                place=fmean(own) if own else None,
            )
        )
    return sorted(rows, key=lambda row: (row.place is None, row.place or 0.0, row.label))


def _places(measure: Mapping[str, float]) -> dict[str, float]:
    """Return each language's place from 0 (last) to 1 (first); the same value has the same one."""
    values = sorted(measure.values())
    if len(values) < 2:
        return {}
    last = len(values) - 1
    return {
        label: (values.index(value) + last - values[::-1].index(value)) / (2 * last)
        for label, value in measure.items()
    }
