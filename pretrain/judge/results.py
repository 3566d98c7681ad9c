"""What an evaluation found, and what can be said of it: results.json, its order, its warnings.

    format_version, model    name, kind, layers, width, weights_sha256, tuned_for, labels
    seeds, zero_shot         tunings of each system; the languages that were asked for
    tasks: by name           task, metric, scheme, targets, files, counts, warnings, splits,
                             trained_on (by system: examples by label), rows, mean, worst
    rows: by label           num (examples judged), a Score for each system, `difference`
    Score                    mean, low, high, deviation (null with one seed), metrics

The systems are the model tuned on all languages of the data (`in_language`), or on others than the
one it is judged on (`zero_shot`); the same network from random weights tuned alike (`random`,
`random_zero_shot`); and what needs no network: the commonest answer (`majority`), and what words
alone tell (`words`).

Promises: everything here is a pure function of results.json; the worst language comes first, by
what the model does where it is best prepared; a language is said to beat a baseline only where the
whole interval of the paired difference is above zero.
Does not promise: that scores of different tasks compare, or those of languages whose texts differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal

from .wording import SYSTEM_NAMES

Facts = Mapping[str, Any]

FORMAT_VERSION = 1
RESULTS = "results.json"
SYSTEMS = ("in_language", "zero_shot", "random", "random_zero_shot", "majority", "words")
OWN = ("in_language", "zero_shot")
"""Of the model itself; the others are what it has to beat."""
AGAINST = {
    "random": ("in_language",),
    "random_zero_shot": ("zero_shot",),
    "majority": OWN,
    "words": OWN,
}
"""Which of the model's own scores a baseline is compared with: the first that a language has."""
OTHER_METRICS = ("accuracy", "macro_f1", "exact_match", "precision", "recall")
"""Shown beside a task's own metric where it has them; results.json has all."""
FEW = 100
"""Examples below which an interval is wide whatever the model does: 20 points and more."""
UNKNOWN_RATE = 0.05
"""Share of pieces that a vocabulary doesn't know from which on it is what fails."""

Verdict = Literal["better", "worse", "unsure"]


@dataclass(frozen=True)
class Warned:
    """Something to know about the figures, before they are used."""

    title: str
    labels: tuple[str, ...]
    detail: str
    is_loud: bool = True
    task: str | None = None


def primary(row: Facts) -> str | None:
    """Return the system that a language is ranked by: in-language if it can be, else zero-shot."""
    return next((system for system in OWN if system in row), None)


def score(row: Facts) -> float:
    """Return what a language is ranked by.

    Raises:
        KeyError: the model was not judged on it.
    """
    system = primary(row)
    if system is None:
        raise KeyError("the row has none of " + ", ".join(OWN))
    return float(row[system]["mean"])


def systems(task: Facts) -> list[str]:
    """Return the systems that a task has scores of, in the order of `SYSTEMS`."""
    return [one for one in SYSTEMS if any(one in row for row in task["rows"].values())]


def worst_first(task: Facts) -> list[tuple[str, Facts]]:
    """Return the languages of a task with their rows, the lowest score first."""
    return sorted(task["rows"].items(), key=lambda item: (score(item[1]), item[0]))


def verdict(difference: Iterable[float]) -> Verdict:
    """Return what a paired difference (value, low, high) tells."""
    _, low, high = difference
    return "better" if low > 0 else "worse" if high < 0 else "unsure"


def compared_with(row: Facts, baseline: str) -> str | None:
    """Return the own system that a baseline is subtracted from, None where there is none."""
    if baseline not in row:
        return None
    return next((own for own in AGAINST[baseline] if own in row), None)


def summary(rows: Mapping[str, Facts]) -> dict[str, Any]:
    """Return `mean` and `worst` of a task: each language counts once, however large its test is.

    A system's mean is over the languages that it has; `num` says how many these are.
    """
    means = {}
    for system in SYSTEMS:
        values = [row[system]["mean"] for row in rows.values() if system in row]
        if values:
            means[system] = {"mean": fmean(values), "num": len(values)}
    label = min(rows, key=lambda one: (score(rows[one]), one))
    return {
        "mean": means,
        "worst": {"label": label, "system": primary(rows[label]), "score": score(rows[label])},
    }


def best(task: Facts) -> tuple[str, float]:
    """Return the best served language and its score, of those that enough examples judge."""
    rows = worst_first(task)
    sure = [(label, row) for label, row in rows if row["num"] >= FEW] or rows
    label, row = sure[-1]
    return label, score(row)


def labels_of(results: Facts) -> list[str]:
    """Return all languages of all tasks, those first that are furthest behind in some task."""
    behind: dict[str, float] = {}
    for task in results["tasks"].values():
        _, most = best(task)
        for label, row in task["rows"].items():
            behind[label] = max(behind.get(label, -1.0), most - score(row))
    return sorted(behind, key=lambda label: (-behind[label], label))


def furthest_behind(results: Facts) -> tuple[str, str] | None:
    """Return the task and the language with the largest gap to the best served one."""
    found = [
        (best(task)[1] - task["worst"]["score"], name) for name, task in results["tasks"].items()
    ]
    if not found:
        return None
    _, name = max(found, key=lambda item: (item[0], item[1]))
    return name, results["tasks"][name]["worst"]["label"]


def warnings(results: Facts) -> list[Warned]:
    """Return what to know before the figures are used, the gravest first."""
    found: list[Warned] = []
    for name, task in results["tasks"].items():
        found += _beaten(name, task)
    known = results["model"].get("labels")
    for name, task in results["tasks"].items():
        found += _uncertain(name, task, known)
    return sorted(found, key=lambda warned: not warned.is_loud)


_MEANS = {
    "random": "There, the same network learns as much without pretraining, or more.",
    "random_zero_shot": "There, pretraining carries nothing over from other languages.",
    "majority": "There, always giving the commonest answer does as well or better.",
    "words": "There, a list of words does as well or better.",
}
"""What it means not to beat a baseline."""


def _beaten(name: str, task: Facts) -> Iterable[Warned]:
    """Yield the languages on which the model doesn't surely beat its baselines."""
    rows = worst_first(task)
    for baseline, meaning in _MEANS.items():
        found = [
            (label, row["difference"][baseline])
            for label, row in rows
            if baseline in row.get("difference", {})
        ]
        lost = tuple(label for label, difference in found if verdict(difference) != "better")
        below = sum(verdict(difference) == "worse" for _, difference in found)
        if lost:
            noun = "language" if len(found) == 1 else "languages"
            yield Warned(
                f"not surely above {SYSTEM_NAMES[baseline]} in {len(lost):,} of {len(found):,} "
                f"{noun}" + (f", and surely below in {below:,}" if below else ""),
                lost,
                meaning,
                task=name,
            )


def _uncertain(name: str, task: Facts, known: Iterable[str] | None) -> Iterable[Warned]:
    """Yield what makes figures rough, or was odd in the data."""
    rows = worst_first(task)
    lost = tuple(label for label, row in rows if (row.get("unknown_rate") or 0) > UNKNOWN_RATE)
    if lost:
        yield Warned(
            "letters that the vocabulary doesn't know",
            lost,
            f"More than {100 * UNKNOWN_RATE:.0f} % of the pieces of their test texts are unknown "
            "or single bytes.",
            task=name,
        )
    if known is not None:
        names = set(known)
        lost = tuple(label for label, _ in rows if label not in names and label != "und")
        if lost:
            yield Warned(
                "not among the languages that the model was pretrained on",
                lost,
                "What it does there, it does by kinship, shared words, or the tuning alone.",
                is_loud=False,
                task=name,
            )
    lost = tuple(label for label, row in rows if row["num"] < FEW)
    if lost:
        yield Warned(
            f"judged by fewer than {FEW} examples",
            lost,
            "Their intervals are wide; a change within them says nothing.",
            is_loud=False,
            task=name,
        )
    for said in task["warnings"]:
        yield Warned(said, (), "", is_loud=False, task=name)
