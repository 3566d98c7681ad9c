"""The page of a whole run: what each stage made of the texts, for which language it went worst.

Promises: the page is a pure function of the facts; it opens without a network, links only to what
lies beside it, and text of a corpus or a folder's name can't act on it (`pipelines.report` promises
the same, and gives style and script).
Does not promise: the same bytes for the same model; it says how long the stages took.
"""

from __future__ import annotations

import base64
import hashlib
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from pipelines import wording
from pipelines.report import TEMPLATES as HOUSE_TEMPLATES
from pipelines.report import environment_of

from .. import axes, meanings
from ..judge.wording import METRICS, points
from .stage import TUNED

TEMPLATES = Path(__file__).parents[1] / "templates"
DASH = "\N{EN DASH}"
WORST_SHOWN = 3
"""Languages that a stage names."""
LEAST_MEASURED = 5
"""Documents below which the share that was kept says nothing."""
HEAT = (0.5, 0.35, 0.2, 0.1, 0.05)
"""Places, from 0 (last) to 1, up to which a cell is darker and darker."""


def render(facts: Mapping[str, Any]) -> str:
    """Return the page, from the facts of `headlines.collect`."""
    script = (HOUSE_TEMPLATES / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = environment_of(TEMPLATES)
    environment.filters |= {
        "count": wording.count,
        "size": wording.size,
        "short": axes.short,
        "name_of": meanings.name_of,
        "slug": wording.slug,
        "share": meanings.share,
        "bits": meanings.bits,
        "duration": meanings.duration,
        "points": points,
        "premium": lambda value: DASH if value is None else f"{value:.2f}",
        "quoted": lambda text: Markup.escape(quote(str(text))),
        "keyed": _keyed,
    }
    stages = list(facts["stages"].values())
    return environment.get_template("flow.html.j2").render(
        facts=facts,
        style=Markup((HOUSE_TEMPLATES / "report.css").read_text(encoding="utf-8")),
        own_style=Markup((TEMPLATES / "flow.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=Markup(f"sha256-{digest}"),
        metrics=METRICS,
        worst=_worst(facts),
        rows=facts["languages"],
        tasks=facts["tasks"] or {},
        heat=_heat(facts),
        longest=max((stage["seconds"] for stage in stages), default=0) or 1,
        seconds=sum(stage["seconds"] for stage in stages),
        next=list(next_steps(facts)),
    )


def _keyed(text: str) -> Markup:
    """Return a sentence as HTML, with what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(wording.visible(text))))


def _worst(facts: Mapping[str, Any]) -> dict[str, list[tuple[str, Any]]]:
    """Return the worst languages of each stage, each with its figure."""
    kept = {
        label: row["kept"] / row["measured"]
        for label, row in facts["corpus"]["labels"].items()
        if row["measured"] >= LEAST_MEASURED and row["kept"]
    }
    premium = {x: -value for x, value in facts["vocab"]["labels"].items() if value is not None}
    trained = facts["pretrain"]["labels"]
    left = {x: -row["left"] for x, row in trained.items() if row["is_sure"] and row["left"]}
    return {
        "corpus": _last(kept),
        "vocab": [(label, -value) for label, value in _last(premium)],
        "pretrain": [(label, -value) for label, value in _last(left)],
        **{
            f"task {name}": _last({x: row["score"] for x, row in task["labels"].items()})
            for name, task in (facts["tasks"] or {}).items()
        },
    }


def _last(values: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(values.items(), key=lambda item: (item[1], item[0]))[:WORST_SHOWN]


def _heat(facts: Mapping[str, Any]) -> dict[tuple[str, str], int]:
    """Return how dark the cell of a measure and a language is: 0 to 5."""
    rows: Sequence[Mapping[str, Any]] = facts["languages"]
    columns: dict[str, dict[str, float]] = {
        "premium": {row["label"]: -row["premium"] for row in rows if row["premium"] is not None},
        "left": {row["label"]: -row["left"] for row in rows if row["left"] is not None},
    }
    for name in facts["tasks"] or {}:
        scores = {row["label"]: row["scores"].get(name) for row in rows}
        columns[f"task {name}"] = {x: value for x, value in scores.items() if value is not None}
    found = {}
    for name, column in columns.items():
        order = sorted(column.values())
        for label, value in column.items():
            place = order.index(value) / max(len(order) - 1, 1)
            is_any = len(order) > 1 and order[0] < order[-1]
            found[name, label] = sum(place <= step for step in HEAT) if is_any else 0
    return found


def next_steps(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield commands that go on from here, each with what it is for."""
    out = str(facts["out"]).rstrip("/")
    export = f"{out}/export"
    tuned = facts["model"]["tuned"]
    for name, task in (facts["tasks"] or {}).items():
        folder = f"{TUNED}/{name}-in-language"
        if folder in tuned:
            more = ("--context-file", "TEXT.txt") if task["task"] == "answer" else ()
            shown = _command("predict", f"{out}/{folder}", "your text", *more)
            yield shown, "use a tuned model"
            break
    yield _command("inspect", export, "your text"), "see what its attention looks at"
    if facts["languages"]:
        worst = facts["languages"][0]["label"]
        shown = _command("corpus", "show", "--out", out, "--label", worst, "--reason", "any")
        yield shown, "read what was removed of the language that comes last"
        small = ("--corpus", out, "--labels", worst, "--to", f"{out}/small")
        yield (
            _command("compress", "trim", export, *small),
            "a smaller model of the languages that you need",
        )
    if not tuned:
        yield _command("tune", "classify", export, "DATA", "--to", f"{out}/tuned"), "tune it"


def _command(*words: str) -> str:
    """Return a command as a shell takes it."""
    return shlex.join(["koine", *words])
