"""`koine tune ...`: parses, calls the library function of the same name, prints.

Results go to stdout, everything else to stderr. Imports nothing heavy at the top.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli import AsJson, Overrides, parse_overrides, print_json

if TYPE_CHECKING:
    from .settings import Task

app = typer.Typer(
    help="Tune an encoder on a task: texts to classify, words to tag, questions to answer.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ModelFolder = Annotated[
    Path, typer.Argument(help="An encoder: a folder that AutoModel loads.", metavar="MODEL")
]
Data = Annotated[
    list[Path],
    typer.Argument(
        help="Files, folders, or what the names of the files begin with; the names say which split "
        "each is.",
        metavar="DATA...",
    ),
]
To = Annotated[str, typer.Option(help="Folder for the tuned model.")]
Dev = Annotated[Path | None, typer.Option(help="The development split, whatever its name.")]
Test = Annotated[Path | None, typer.Option(help="The test split, whatever its name.")]
Label = Annotated[
    str | None,
    typer.Option(help="Language of all examples; else a column or the file's name says it."),
]
LabelColumn = Annotated[
    str | None, typer.Option(help="The column of the language.", metavar="NAME")
]
Seeds = Annotated[
    int | None,
    typer.Option(min=1, help="So many times, for a mean and a deviation; 3 when left out."),
]
Sweep = Annotated[bool, typer.Option("--sweep", help="Try three learning rates first.")]
Budget = Annotated[
    str | None, typer.Option(help="Time for all the training: 90s, 10min, 1.5h or 2d.")
]
Device = Annotated[
    str | None, typer.Option(help="auto, cpu or cuda; auto takes a GPU where there is one.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")]


@app.command(
    "classify", epilog="Example: koine tune classify build/export data/topics --to build/topics"
)
def classify_cli(
    model: ModelFolder,
    data: Data,
    to: To,
    dev: Dev = None,
    test: Test = None,
    label: Label = None,
    text_column: Annotated[
        str | None, typer.Option(help="The column of the text.", metavar="NAME")
    ] = None,
    pair_column: Annotated[
        str | None, typer.Option(help="The column of a second text.", metavar="NAME")
    ] = None,
    target_column: Annotated[
        str | None, typer.Option(help="The column of what is told apart.", metavar="NAME")
    ] = None,
    label_column: LabelColumn = None,
    seeds: Seeds = None,
    budget: Budget = None,
    device: Device = None,
    overrides: Overrides = None,
    *,
    sweep: Sweep = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Learn to tell texts, or pairs of texts, apart: topics, moods, entailment.

    DATA is TSV, CSV, JSONL, Parquet or Arrow with a text and a target in each row.
    """
    columns = {"text": text_column, "pair": pair_column, "target": target_column}
    _tune(
        "classify",
        (model, data, to, dev, test, label),
        columns={**columns, "label": label_column},
        values=_values(overrides, seeds=seeds, budget=budget, device=device, sweep=sweep),
        json=json,
        quiet=quiet,
    )


@app.command("tag", epilog="Example: koine tune tag build/export data/ud_Wolof --to build/wolof")
def tag_cli(
    model: ModelFolder,
    data: Data,
    to: To,
    dev: Dev = None,
    test: Test = None,
    label: Label = None,
    words_column: Annotated[
        str | None, typer.Option(help="The column of the words.", metavar="NAME")
    ] = None,
    tags_column: Annotated[
        str | None, typer.Option(help="The column of their tags.", metavar="NAME")
    ] = None,
    label_column: LabelColumn = None,
    seeds: Seeds = None,
    budget: Budget = None,
    device: Device = None,
    overrides: Overrides = None,
    *,
    sweep: Sweep = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Learn to tag words: names of people and places, parts of speech.

    DATA is CoNLL-2003, CoNLL-U, JSONL, Parquet or Arrow with the words of a sentence and a tag for
    each; tags that begin with B- and I- are of spans.
    """
    _tune(
        "tag",
        (model, data, to, dev, test, label),
        columns={"words": words_column, "tags": tags_column, "label": label_column},
        values=_values(overrides, seeds=seeds, budget=budget, device=device, sweep=sweep),
        json=json,
        quiet=quiet,
    )


@app.command(
    "answer", epilog="Example: koine tune answer build/export data/xquad --to build/answers"
)
def answer_cli(
    model: ModelFolder,
    data: Data,
    to: To,
    dev: Dev = None,
    test: Test = None,
    label: Label = None,
    context_column: Annotated[
        str | None, typer.Option(help="The column of the texts.", metavar="NAME")
    ] = None,
    question_column: Annotated[
        str | None, typer.Option(help="The column of the questions.", metavar="NAME")
    ] = None,
    answers_column: Annotated[
        str | None, typer.Option(help="The column of the answers.", metavar="NAME")
    ] = None,
    label_column: LabelColumn = None,
    seeds: Seeds = None,
    budget: Budget = None,
    device: Device = None,
    overrides: Overrides = None,
    *,
    sweep: Sweep = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Learn to find the answer to a question in a text, and to say that it isn't there.

    DATA is SQuAD's JSON (1.1 or 2.0), JSONL, Parquet or Arrow.
    """
    columns = {"context": context_column, "question": question_column, "answers": answers_column}
    _tune(
        "answer",
        (model, data, to, dev, test, label),
        columns={**columns, "label": label_column},
        values=_values(overrides, seeds=seeds, budget=budget, device=device, sweep=sweep),
        json=json,
        quiet=quiet,
    )


def _values(
    overrides: list[str] | None,
    *,
    seeds: int | None,
    budget: str | None,
    device: str | None,
    sweep: bool,
) -> dict[str, object]:
    """Return the settings by dotted key."""
    values: dict[str, object] = dict(parse_overrides(overrides))
    given = {"seeds": seeds, "budget": budget, "device": device, "sweep": sweep or None}
    return values | {f"tune.{key}": value for key, value in given.items() if value is not None}


def _tune(
    task: Task,
    given: tuple[Path, list[Path], str, Path | None, Path | None, str | None],
    *,
    columns: dict[str, str | None],
    values: dict[str, object],
    json: bool,
    quiet: bool,
) -> None:
    """Tune, and print what became of it."""
    from .settings import of_overrides

    settings = of_overrides(values)
    from pipelines import store

    from .. import models
    from . import show
    from .data import open_task
    from .tune import tune

    folder, paths, to, dev, test, label = given
    model = models.open_model(folder)
    data = open_task(
        paths,
        task=task,
        label=label,
        columns={field: name for field, name in columns.items() if name is not None},
        dev=dev,
        test=test,
        seed=settings.seed,
    )
    with show.Progress(quiet=quiet) as progress:
        try:
            tuned = tune(model, data, settings=settings, to=store.Folder(to), watcher=progress)
        except KeyboardInterrupt:
            sys.stderr.write(
                "koine: interrupted. Run the same command again: finished seeds are kept.\n"
            )
            raise SystemExit(130) from None
    if json:
        print_json(
            {
                "model": tuned.folder,
                "task": tuned.task,
                "metric": tuned.metric,
                "judged_on": tuned.judged_on,
                "scores": tuned.scores,
                "best": tuned.best,
                "seeds": tuned.seeds,
                "settings": tuned.settings,
                "warnings": tuned.warnings,
            }
        )
    elif not quiet:
        show.show_tuned(tuned)
