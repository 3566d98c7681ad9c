"""`koine compress ...`: parses, calls the library function of the same name, prints.

Results go to stdout, everything else to stderr. Imports nothing heavy at the top.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli import AsJson, Overrides, parse_overrides, print_json

if TYPE_CHECKING:
    from ..models import Model
    from ..tasks.data import TaskData
    from ..tasks.settings import TuneSettings

app = typer.Typer(
    help="Make a model smaller, and see what that costs: fewer pieces, fewer layers, fewer bits.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ModelFolder = Annotated[Path, typer.Argument(help="An encoder, or a tuned model.", metavar="MODEL")]
To = Annotated[str, typer.Option(help="Folder for the smaller model.")]
Corpus = Annotated[
    list[Path],
    typer.Option(
        help="Text: the folder of a koine corpus or of its build, or text files named after their "
        "language (swh_Latn.txt). Can be given several times.",
        metavar="PATH",
    ),
]
Task = Annotated[
    list[Path] | None,
    typer.Option(
        help="A task's data to judge both models on; an encoder is tuned on it first. Can be given "
        "several times, for the files of one task.",
        metavar="DATA",
    ),
]
Seeds = Annotated[
    int | None, typer.Option(min=1, help="So many tunings of each encoder that is judged.")
]
Threads = Annotated[int, typer.Option(min=1, help="CPU threads, for the times.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")]


@app.command(
    "trim",
    epilog="Example: koine compress trim build/export --corpus build --labels swh_Latn,amh_Ethi "
    "--to build/small",
)
def trim_cli(
    model: ModelFolder,
    corpus: Corpus,
    labels: Annotated[
        str, typer.Option(help="Languages to keep, with commas.", metavar="LABEL,...")
    ],
    to: To,
    text: Annotated[
        list[Path] | None,
        typer.Option(help="Files of further text whose pieces are kept, such as terms."),
    ] = None,
    task: Task = None,
    seeds: Seeds = None,
    max_mb: Annotated[
        float, typer.Option(min=0.001, help="Text of each language that is read, at most.")
    ] = 256,
    threads: Threads = 1,
    overrides: Overrides = None,
    *,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Keep the pieces that some languages need, and prove that they lose nothing.

    Nothing is trained. The text of the kept languages in CORPUS is cut into the same pieces as
    before and gives the same outputs, which is checked each time.
    """
    settings = _settings(overrides, seeds)
    from pipelines import store

    from .texts import open_texts, read_file
    from .trim import trim

    opened, data = _opened(model, task)
    with _progress(quiet) as progress:
        found = trim(
            opened,
            labels=_labels(labels) or [],
            texts=open_texts(corpus),
            to=store.Folder(to),
            keep=[read_file(path) for path in text or []],
            data=data,
            settings=settings,
            max_bytes=round(max_mb * 1e6),
            threads=threads,
            watcher=progress,
        )
    _show(found.folder, found.facts, is_new=found.is_new, json=json, quiet=quiet)


@app.command(
    "distil",
    epilog="Example: koine compress distil build/export --layers 6 --corpus build --to build/half",
)
def distil_cli(
    model: ModelFolder,
    corpus: Corpus,
    layers: Annotated[int, typer.Option(help="Layers of the student.")],
    to: To,
    width: Annotated[
        int | None, typer.Option(help="Of its hidden states; the teacher's when left out.")
    ] = None,
    heads: Annotated[
        int | None, typer.Option(help="Of its attention; as wide as the teacher's when left out.")
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Languages to learn from, with commas; the teacher's when left out.",
            metavar="LABEL,...",
        ),
    ] = None,
    tokens: Annotated[
        int | None, typer.Option(min=1, help="Pieces of text to learn from; 10,000,000.")
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="Time to learn, instead: 90s, 10min, 1.5h or 2d.")
    ] = None,
    layer: Annotated[
        int | None, typer.Option(help="The teacher's layer to learn from, from 1; its last one.")
    ] = None,
    length: Annotated[int, typer.Option(min=16, help="Pieces of a sequence.")] = 128,
    learning_rate: Annotated[
        float | None, typer.Option(help="The highest; chosen by the width when left out.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of all that is drawn.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    task: Task = None,
    seeds: Seeds = None,
    threads: Threads = 1,
    overrides: Overrides = None,
    *,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Teach a model of fewer layers, or a narrower one, what this one has learnt.

    The student learns the relations between pieces (MiniLMv2) from unlabelled text. One of a tuned
    model also learns its answers, on the training examples of --task.
    """
    settings = _settings(overrides, seeds)
    from pipelines import store

    from .distil import distil
    from .settings import Settings
    from .texts import open_texts

    opened, data = _opened(model, task)
    own = Settings.of(
        tokens=tokens,
        budget=budget,
        layer=layer,
        length=length,
        learning_rate=learning_rate,
        seed=seed,
        device=device,
    )
    with _progress(quiet) as progress:
        found = distil(
            opened,
            layers=layers,
            texts=open_texts(corpus),
            to=store.Folder(to),
            width=width,
            heads=heads,
            labels=_labels(labels),
            settings=own,
            data=data,
            tuning=settings,
            threads=threads,
            watcher=progress,
        )
    _show(found.folder, found.facts, is_new=found.is_new, json=json, quiet=quiet)


@app.command(
    "quantise",
    epilog="Example: koine compress quantise build/topics --to build/topics-int8 "
    "--task data/topics",
)
def quantise_cli(
    model: ModelFolder,
    to: To,
    task: Task = None,
    threads: Threads = 1,
    *,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Write the weights in eight bits (ONNX), and say how far the outputs are from before."""
    from pipelines import store

    from .quantise import quantise

    opened, data = _opened(model, task)
    with _progress(quiet) as progress:
        found = quantise(opened, to=store.Folder(to), data=data, threads=threads, watcher=progress)
    _show(found.folder, found.facts, is_new=True, json=json, quiet=quiet)


def _settings(overrides: list[str] | None, seeds: int | None) -> TuneSettings:
    """Return how an encoder is tuned to be judged."""
    from ..tasks.settings import of_overrides

    values: dict[str, Any] = dict(parse_overrides(overrides))
    return of_overrides(values | ({} if seeds is None else {"tune.seeds": seeds}))


def _labels(text: str | None) -> list[str] | None:
    return None if text is None else [one.strip() for one in text.split(",") if one.strip()]


def _opened(model: Path, task: list[Path] | None) -> tuple[Model, TaskData | None]:
    """Open the model, and the task's data with its targets if it was tuned."""
    from ..models import open_model

    opened = open_model(model)
    if not task:
        return opened, None
    from ..tasks.data import open_task

    own = opened.task
    if own is None:
        return opened, open_task(task)
    return opened, open_task(task, task=own["task"], targets=own["targets"])


@contextmanager
def _progress(quiet: bool) -> Iterator[Any]:  # noqa: FBT001
    """Show how it goes while the block runs."""
    from ..tasks.show import Progress

    with Progress(quiet=quiet) as progress:
        try:
            yield progress
        except KeyboardInterrupt:
            sys.stderr.write("koine: interrupted; nothing was finished. Run the command again.\n")
            raise SystemExit(130) from None


def _show(folder: str, facts: Any, *, is_new: bool, json: bool, quiet: bool) -> None:  # noqa: ANN401
    if json:
        print_json({"model": folder, **facts})
    elif not quiet:
        from . import show

        show.show_smaller(folder, facts, is_new=is_new)
