"""`koine evaluate`: parses, calls the library function of the same name, prints.

Results go to stdout, everything else to stderr. Imports nothing heavy at the top.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli import AsJson, Overrides, parse_overrides, print_json

EPILOG = (
    "Example: koine evaluate build/export data/sib200 data/ud-pos --zero-shot eng_Latn --baselines"
)


def evaluate_cli(
    model: Annotated[
        Path,
        typer.Argument(
            help="An encoder, which is tuned on each task, or a tuned model.", metavar="MODEL"
        ),
    ],
    data: Annotated[
        list[Path],
        typer.Argument(
            help="Each a task: a file, a folder, or what the names of its splits begin with.",
            metavar="DATA...",
        ),
    ],
    zero_shot: Annotated[
        str | None,
        typer.Option(
            help="Tune on these languages alone, too, and judge the others: eng_Latn,rus_Cyrl.",
            metavar="LABELS",
        ),
    ] = None,
    *,
    baselines: Annotated[
        bool,
        typer.Option(
            "--baselines",
            help="Compare with the same network from random weights and with counts of words.",
        ),
    ] = False,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Tunings of each kind; 3 when left out.")
    ] = None,
    budget: Annotated[
        str | None,
        typer.Option(help="Time for all tunings together: 90s, 10min, 1.5h or 2d."),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="auto, cpu or cuda; auto takes a GPU where there is one.")
    ] = None,
    out: Annotated[
        str | None,
        typer.Option(help="Folder of the evaluation; MODEL-evaluation when left out."),
    ] = None,
    task: Annotated[
        str | None,
        typer.Option(help="classify, tag or answer; found out by the columns when left out."),
    ] = None,
    label: Annotated[
        str | None, typer.Option(help="Language of all examples, where no column says it.")
    ] = None,
    columns: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            metavar="FIELD=NAME",
            help="Where a field is: text, pair, target, label, words, tags, context, question or "
            "answers.",
        ),
    ] = None,
    no_card: Annotated[
        bool, typer.Option("--no-card", help="Leave the model's README.md as it is.")
    ] = False,
    overrides: Overrides = None,
    json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")] = False,
) -> None:
    """Judge a model on tasks, language by language, the worst served first.

    A killed evaluation goes on where it was when it is run again.
    """
    from pipelines import store
    from pipelines.errors import ConfigError

    from ..models import open_model
    from ..tasks import settings as tune_settings
    from ..tasks.show import Progress
    from . import show
    from .data import open_data
    from .evaluate import evaluate

    if task not in (None, "classify", "tag", "answer"):
        raise ConfigError(f"--task {task}: it is classify, tag or answer.")
    values = parse_overrides(overrides)
    if seeds is not None:
        values["tune.seeds"] = seeds
    if budget is not None:
        values["tune.budget"] = budget
    if device is not None:
        values["tune.device"] = device
    settings = tune_settings.of_overrides(values)
    named = _columns(columns)
    opened = open_model(model)
    tasks = [
        open_data(
            opened,
            path,
            task=task or _task_of(named),  # type: ignore[arg-type]  # checked above
            label=label,
            columns=named,
            seed=settings.seed,
        )
        for path in data
    ]
    to = store.Folder(out or f"{str(model).rstrip('/')}-evaluation")
    with Progress("evaluate", quiet=quiet) as progress:
        try:
            done = evaluate(
                opened,
                tasks,
                to=to,
                zero_shot=_labels(zero_shot),
                baselines=baselines,
                settings=settings,
                watcher=progress,
                into_card=not no_card,
            )
        except KeyboardInterrupt:
            sys.stderr.write("koine: interrupted. The same command goes on where it was.\n")
            raise SystemExit(130) from None
    if json:
        print_json({**done.results, "folder": done.folder, "page": done.page, "card": done.card})
    elif not quiet:
        again = ""
        if not baselines:
            again = show.command(str(model), *map(str, data), "--baselines", "--out", done.folder)
        show.show_evaluated(done, again=again)


def _labels(text: str | None) -> list[str]:
    """Return labels that were given with commas between them; `en` is `eng_Latn`."""
    from pipelines.languages import parse_label

    given = [one.strip() for one in (text or "").split(",") if one.strip()]
    return [parse_label(one) or one for one in given]


def _task_of(columns: Mapping[str, str]) -> str | None:
    """Return the task that fields with a column of their own are of; None where they tell none."""
    fields = {
        "classify": {"text", "pair", "target"},
        "tag": {"words", "tags"},
        "answer": {"context", "question", "answers"},
    }
    return next((task for task, own in fields.items() if own & columns.keys()), None)


def _columns(given: list[str] | None) -> dict[str, str]:
    """Return `field=name` options as a mapping.

    Raises:
        ConfigError: one is not of that form.
    """
    from pipelines.errors import ConfigError

    found = {}
    for one in given or []:
        field, equals, name = one.partition("=")
        if not (field and equals and name):
            raise ConfigError(f"--column {one}: write it as FIELD=NAME (target=topic).")
        found[field] = name
    return found
