"""The page of an evaluation: which language is served worst, by how much, and is that certain.

Promises: the page is a pure function of results.json: no time, host or path; it opens without a
network, and names of folders, tags or languages can't act on it (`pipelines.report` promises the
same, and gives style and script); colour is never all that tells: each cell has its figure.
Does not promise: scores that compare between tasks. Colour says how far a language is behind the
best one of the same task.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from pipelines import wording
from pipelines.report import TEMPLATES as HOUSE_TEMPLATES
from pipelines.report import environment_of

from .. import meanings
from . import results as judged
from .wording import MEANINGS, METRICS, SYSTEM_NAMES, interval, points, signed, title_of

TEMPLATES = Path(__file__).parents[1] / "templates"
PAGE = "results.html"
STEPS = (0.05, 0.1, 0.2, 0.3, 0.5)
"""Points behind the best language from which on a cell is darker."""
LABELS_SHOWN = 8
"""Languages that a warning names; the tables have them all."""
LOUD_SHOWN = 5
"""Warnings that stand in the open."""
WIDTH, HEIGHT, INSET = 176, 18, 6
"""Of the picture in a row, in its own units."""


def render(results: judged.Facts) -> str:
    """Return the page of an evaluation as HTML."""
    script = (HOUSE_TEMPLATES / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = environment_of(TEMPLATES)
    environment.filters |= {
        "count": wording.count,
        "name_of": meanings.name_of,
        "points": points,
        "signed": signed,
        "interval": interval,
        "slug": wording.slug,
        "title_of": title_of,
        "coded": _coded,
        "begun": lambda text: text[:1].upper() + text[1:],
    }
    return environment.get_template("tasks.html.j2").render(
        facts=results,
        style=Markup((HOUSE_TEMPLATES / "report.css").read_text(encoding="utf-8")),
        own_style=Markup((TEMPLATES / "tasks.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=Markup(f"sha256-{digest}"),
        steps=STEPS,
        labels_shown=LABELS_SHOWN,
        meanings=MEANINGS,
        system_names=SYSTEM_NAMES,
        metrics=METRICS,
        **_parts(results),
    )


def _coded(text: str) -> Markup:
    """Return a sentence as HTML, with what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(wording.visible(text))))


def _parts(results: judged.Facts) -> dict[str, Any]:
    """Return what the template shows, computed once."""
    warned = judged.warnings(results)
    loud = [one for one in warned if one.is_loud]
    tasks = [
        _task(number, name, task) for number, (name, task) in enumerate(results["tasks"].items())
    ]
    labels = judged.labels_of(results)
    behind = judged.furthest_behind(results)
    headline = None
    if behind is not None:
        task = results["tasks"][behind[0]]
        best_label, best_score = judged.best(task)
        headline = {
            "task": behind[0],
            "label": behind[1],
            "score": task["worst"]["score"],
            "metric": task["metric"],
            "best": best_label,
            "best_score": best_score,
            "alone": len(task["rows"]) == 1,
        }
    return {
        "headline": headline,
        "tasks": tasks,
        "labels": labels,
        "columns": [
            (task, system)
            for task in tasks
            for system in judged.OWN
            if any(system in row for _, row in task["rows"])
        ],
        "cell": _cell,
        "loud": loud[:LOUD_SHOWN],
        "quiet": [one for one in warned if not one.is_loud or one not in loud[:LOUD_SHOWN]],
        "num_labels": len(labels),
    }


def _task(number: int, name: str, task: Mapping[str, Any]) -> dict[str, Any]:
    """Return a task as the template shows it."""
    best_label, most = judged.best(task)
    found = judged.systems(task)
    rows = [
        {**row, "primary": judged.primary(row), "picture": _picture(row, found),
         "compared": _compared(row)}
        for _, row in judged.worst_first(task)
    ]  # fmt: skip
    return {
        **task,
        "name": name,
        "id": f"task-{number}",
        "systems": found,
        "own": [system for system in found if system in judged.OWN],
        "baselines": [system for system in found if system not in judged.OWN],
        "num": sum(row["num"] for row in task["rows"].values()),
        "best_label": best_label,
        "best": most,
        "rows": list(zip([label for label, _ in judged.worst_first(task)], rows, strict=True)),
        "by_label": task["rows"],
    }


def _compared(row: Mapping[str, Any]) -> dict[str, tuple[Sequence[float], judged.Verdict]]:
    """Return for each baseline of a language the paired difference, and what it tells."""
    found = row.get("difference", {})
    return {name: (difference, judged.verdict(difference)) for name, difference in found.items()}


def _cell(task: Mapping[str, Any], system: str, label: str) -> dict[str, Any] | None:
    """Return a cell of the heat map; None where the task has no such score."""
    row = task["by_label"].get(label)
    if row is None or system not in row:
        return None
    own = row[system]
    behind = task["best"] - own["mean"]
    said = [
        f"{meanings.name_of(label)}, {task['name']}, {SYSTEM_NAMES[system]}:",
        f"{METRICS[task['metric']]} {points(own['mean'])}, 95 % interval {interval(own)},",
        f"{row['num']:,} examples",
    ]
    if own.get("deviation") is not None:
        said.append(f"\N{PLUS-MINUS SIGN}{points(own['deviation'])} between tunings")
    for baseline, difference in row.get("difference", {}).items():
        if judged.compared_with(row, baseline) == system:
            said.append(f"; {signed(difference[0])} against {SYSTEM_NAMES[baseline]}")
    return {
        "value": points(own["mean"]),
        "heat": sum(behind >= step for step in STEPS),
        "title": " ".join(said).replace(" ;", ";"),
        "is_rough": row["num"] < judged.FEW,
    }


def _picture(row: Mapping[str, Any], found: Sequence[str]) -> Markup:
    """Return a row's scores on a line from 0 to 100: intervals of the model's, marks of others."""

    def x(value: float) -> str:
        return f"{INSET + (WIDTH - 2 * INSET) * min(max(value, 0.0), 1.0):.1f}"

    middle = HEIGHT / 2
    parts = [f'<path class="rail" d="M{x(0)} {middle}H{x(1)}"/>']
    parts += [f'<path class="grid" d="M{x(at)} 0V{HEIGHT}"/>' for at in (0, 0.25, 0.5, 0.75, 1)]
    for system in reversed([one for one in found if one in row]):
        at, low, high = (x(row[system][key]) for key in ("mean", "low", "high"))
        if system in judged.OWN:
            parts.append(f'<path class="reach {system}" d="M{low} {middle}H{high}"/>')
        parts.append(
            {
                "in_language": f'<circle class="in_language" cx="{at}" cy="{middle}" r="4.5"/>',
                "zero_shot": f'<path class="zero_shot" d="M{at} {middle - 5}l5 5-5 5-5-5z"/>',
                "random": f'<circle class="random" cx="{at}" cy="{middle}" r="3.5"/>',
                "random_zero_shot": f'<path class="random" d="M{at} {middle - 4}l4 4-4 4-4-4z"/>',
                "majority": f'<path class="tick" d="M{at} {middle - 6}v12"/>',
                "words": f'<path class="tick" d="M{at} {middle - 6}v12m-2-12h4m-4 12h4"/>',
            }[system]
        )
    said = ", ".join(
        f"{SYSTEM_NAMES[one]} {points(row[one]['mean'])}" for one in found if one in row
    )
    return Markup(
        f'<svg class="scores" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{said}">'
        f"{''.join(parts)}</svg>"
    )
