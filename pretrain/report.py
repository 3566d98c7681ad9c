"""The report of a run: which language is worst now, is it still improving, and is all well.

`report` reads what a run left behind, `render` makes the page, `write` puts it beside the rest. A
run that is still going on, or was killed, has a page too: of what there is.

Promises: the page is a pure function of the facts: no time, host or path; it opens without a
network, and text of a corpus or a folder's name can't act on it (`pipelines.report` promises the
same, and gives style and script).
Does not promise: every point of every curve. A page of 536 languages stays below 2 MB.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from pipelines import store, wording
from pipelines.errors import DataError
from pipelines.report import TEMPLATES as HOUSE_TEMPLATES
from pipelines.report import environment_of
from pipelines.terminal import safe

from . import axes, meanings, metrics, pictures, standing
from .alarms import CHANCE, WAITING, alarms
from .meanings import DASH, MEANINGS
from .standing import Facts, Row

TEMPLATES = Path(__file__).with_name("templates")
CONFIG, RESULT, REPORT, CHECKPOINTS = "config.json", "result.json", "report.html", "checkpoints"
WORST_SHOWN = 12
NAMED = 5
"""Languages that the picture of all names."""
LABELS_SHOWN = 8
"""Languages that an alarm names."""


def report(run: store.Folder | str | Path) -> dict[str, Any]:
    """Return the facts of a run, read from its folder.

    Returns:
        `run` (the folder's name), `config`, `log` and `evaluations` (records, by step), `result`
        (None before the end), `checkpoint` (step and tokens_by_label of the last whole one; None
        before the first).

    Raises:
        DataError: there is no run, or one of its files is no JSON.
    """
    folder = run if isinstance(run, store.Folder) else store.Folder(run)
    if not folder.exists(CONFIG):
        raise DataError(
            f"{folder.url}: there is no {CONFIG}, so there is no run here.\n"
            "  Name its folder, OUT/runs/NAME, as `koine pretrain run` prints it."
        )
    return {
        "run": re.split(r"[\\/]", folder.url.rstrip("\\/"))[-1],
        "config": folder.read_json(CONFIG),
        "log": metrics.records(folder, metrics.LOG),
        "evaluations": metrics.records(folder, metrics.EVALUATION),
        "result": folder.read_json(RESULT) if folder.exists(RESULT) else None,
        "checkpoint": _checkpoint(folder / CHECKPOINTS),
    }


def _checkpoint(folder: store.Folder) -> dict[str, Any] | None:
    """Return step and tokens by language of the last checkpoint that is whole."""
    found = [re.fullmatch(r"(step-\d+)/manifest\.json", name) for name in folder.names()]
    names = sorted(match[1] for match in found if match)
    if not names or not (folder / names[-1]).exists("state.json"):
        return None
    state = (folder / names[-1]).read_json("state.json")
    return {"step": state["step"], "tokens_by_label": state.get("tokens_by_label") or {}}


def write(run: store.Folder) -> str:
    """Write the page of a run into its folder; return where it is.

    Raises:
        DataError: there is no run.
        EnvironmentProblem: the folder can't be written.
    """
    run.write_bytes(REPORT, render(report(run)).encode())
    return run.path(REPORT)


def render(facts: Facts) -> str:
    """Return the report as one HTML page, from the facts of `report`."""
    script = (HOUSE_TEMPLATES / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = environment_of(TEMPLATES)
    environment.filters |= {
        "count": wording.count,
        "name_of": meanings.name_of,
        "slug": wording.slug,
        "bits": meanings.bits,
        "share": meanings.share,
        "signed": meanings.signed,
        "times": meanings.times,
        "duration": meanings.duration,
        "short": lambda number: DASH if number is None else axes.short(number),
        "keyed": _keyed,
    }
    return environment.get_template("report.html.j2").render(
        facts=facts,
        style=Markup((HOUSE_TEMPLATES / "report.css").read_text(encoding="utf-8")),
        own_style=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=Markup(f"sha256-{digest}"),
        meanings=MEANINGS,
        **_parts(facts),
    )


def _keyed(text: str) -> Markup:
    """Return a sentence as HTML, with settings and commands as code."""
    escaped = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(Markup.escape(text)))
    return Markup(re.sub(r"pretrain\.[a-z_.]*[a-z](?:: [a-z]+)?", r"<code>\g<0></code>", escaped))


def _parts(facts: Facts) -> dict[str, Any]:
    """Return what the template shows, computed once."""
    rows = standing.rows(facts)
    judged = [row for row in rows if row.now is not None]
    surest = standing.worst_of(rows)
    settings = facts["config"].get("settings") or {}
    device = ((facts.get("result") or {}).get("machine") or {}).get("device")
    return {
        "preset": facts["config"].get("preset") or "a model",
        "layers": settings.get("layers"),
        "width": settings.get("width"),
        "judged": judged,
        "unjudged": [row for row in rows if row.now is None],
        "worst": surest[0] if surest else None,
        "least": standing.least_learnt(rows),
        "cards": list(_cards(surest[:WORST_SHOWN], judged)),
        "trends": meanings.TRENDS,
        "progress": standing.progress(facts),
        "alarms": alarms(facts, rows),
        "labels_shown": LABELS_SHOWN,
        "least_masked": standing.LEAST_MASKED,
        "figures": meanings.figures(facts, rows),
        "all_languages": _languages(judged, surest),
        "training": _training(facts),
        "spark": lambda row: pictures.spark(row.trained, kind=row.trend),
        "has_pairs": any(row.nsp_accuracy is not None for row in judged),
        "device": "a CPU" if device == "cpu" else device,
        "skipped": standing.skips(facts["log"]),
        "settings": list(_flat(settings, prefix="pretrain")),
        "chance": CHANCE,
    }


def _languages(judged: Sequence[Row], surest: Sequence[Row]) -> list[Markup]:
    """Return the picture of all languages, wide and narrow; nothing before a second evaluation."""
    curves = {row.label: row.trained for row in (*surest, *judged)}
    if max((len(curve) for curve in curves.values()), default=0) < 2:
        return []
    names = {label: safe(meanings.name_of(label)) for label in curves}
    named = len(curves) if len(curves) <= NAMED + 1 else NAMED
    return [
        pictures.languages(curves, names=names, width=width, named=named)
        for width in (pictures.WIDE, pictures.NARROW)
    ]


def _cards(worst: Sequence[Row], judged: Sequence[Row]) -> Iterator[tuple[Row, Markup, list[str]]]:
    """Yield the worst languages, each with its picture and what to know about it."""
    median = axes.middle(row.trained for row in judged) if len(judged) > NAMED else []
    shown = [row.trained for row in worst if len(row.trained) > 1]
    scale = axes.bounds([*shown, *([median] if median else [])]) if shown else None
    for row in worst:
        picture = Markup()
        if scale is not None and len(row.trained) > 1:
            name = safe(meanings.name_of(row.label))
            picture = pictures.small(row.trained, median=median, scale=scale, name=name)
        yield row, picture, meanings.advice(row)


def _training(facts: Facts) -> list[Markup]:
    """Return the picture of the training, wide and narrow; nothing before the second line."""
    log = facts["log"]
    if len(log) < 2:
        return []
    groups = [int(record.get("stage") or 0) for record in log]
    skipped = [record for record in log if record.get("skipped")]
    return [
        pictures.training(
            list(_panels(log, groups)),
            width=width,
            stages=list(_stages(facts, groups)),
            marks=[(record["tokens"], f"step {record['skipped'][0]:,}") for record in skipped],
        )
        for width in (pictures.WIDE, pictures.NARROW)
    ]


def _stages(facts: Facts, groups: Sequence[int]) -> Iterator[tuple[float, str]]:
    """Yield where each stage began, in tokens, and its mask rate."""
    stages = (facts["config"].get("settings") or {}).get("stages") or []
    for number, group in enumerate(groups):
        if len(stages) > 1 and group < len(stages) and (number == 0 or group != groups[number - 1]):
            before = facts["log"][number - 1]["tokens"] if number else 0
            row, said = stages[group], []
            if len({stage.get("mask_rate") for stage in stages}) > 1:
                said.append(f"{100 * (row.get('mask_rate') or 0):.0f} % hidden")
            if len({stage.get("max_length") for stage in stages}) > 1:
                said.append(f"{row.get('max_length')} long")
            yield float(before), ", ".join(said) or f"stage {group + 1}"


def _panels(log: Sequence[Mapping[str, Any]], groups: Sequence[int]) -> Iterator[pictures.Panel]:
    """Yield the measures of the training that are known."""

    def panel(key: str, title: str, write: Any, **more: Any) -> Iterator[pictures.Panel]:  # noqa: ANN401
        values = [record.get(key) for record in log]
        xs = [float(record["tokens"]) for record in log]
        now = standing.lately(log, key)
        if now is None:
            return
        if not more.pop("is_first_shown", True):
            values[0] = values[0] if len(values) == 1 else None
        smooth = axes.smoothed(values, groups) if more.pop("is_noisy", True) else values
        yield pictures.Panel(
            title,
            f"now {write(now)}",
            [(x, y) for x, y in zip(xs, values, strict=True) if y is not None],
            [(x, y) for x, y in zip(xs, smooth, strict=True) if y is not None],
            write=write,
            **more,
        )

    percent = lambda value: f"{100 * value:.3g}\N{NO-BREAK SPACE}%"  # noqa: E731
    two = "{:.2f}".format
    first = next((r["mlm_loss"] for r in log if r.get("mlm_loss") is not None), None)
    title = "loss of hidden pieces" + (f", at first {first:.2f}" if first is not None else "")
    yield from panel("mlm_loss", title, two, height=210, low=None, settles=True)
    yield from panel("nsp_accuracy", "next sentences told right", percent, low=0.4, least=1.0)
    yield from panel("learning_rate", "learning rate", "{:.2g}".format, is_noisy=False)
    yield from panel("gradient_norm", "gradient norm", two, settles=True)
    yield from panel("tokens_per_s", "tokens/s", axes.short, is_first_shown=False)
    yield from panel("mfu", "MFU", percent, is_first_shown=False)
    yield from panel(
        "wait_share", "waiting for data", percent, least=0.1, limit=WAITING, is_first_shown=False
    )


def _flat(settings: Mapping[str, Any], *, prefix: str) -> Iterator[tuple[str, str]]:
    """Yield nested settings as dotted names and values; of a list of stages, each by its number."""
    for key, value in settings.items():
        name = f"{prefix}.{key}"
        if isinstance(value, Mapping) and value:
            yield from _flat(value, prefix=name)
        elif isinstance(value, list) and value and isinstance(value[0], Mapping):
            for number, row in enumerate(value):
                yield from _flat(row, prefix=f"{name}[{number}]")
        else:
            yield name, DASH if value in (None, {}, [], ()) else str(value)
