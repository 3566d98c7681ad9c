"""`koine pretrain ...`: parses, calls the library function of the same name, prints.

Results go to stdout, everything else to stderr. Imports nothing heavy at the top.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli import (
    DEFAULT_OUT,
    AsJson,
    ConfigPath,
    Out,
    Overrides,
    parse_overrides,
    print_json,
)

if TYPE_CHECKING:
    from .prepare import Run

app = typer.Typer(
    help="Pretrain an encoder on token shards, look at a run, and export it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

RunFolder = Annotated[
    str, typer.Argument(help="The run's folder, as `run` prints it.", metavar="RUN")
]
Build = Annotated[
    str | None,
    typer.Option(
        "--out", help="The build that the run was made from; where RUN lies when left out."
    ),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")]


@app.command(
    "run",
    epilog="Example: koine pretrain run corpora.yaml --out build --preset modern-small "
    "--budget 10min",
)
def run_cli(
    config: ConfigPath = Path("corpora.yaml"),
    out: Out = DEFAULT_OUT,
    preset: Annotated[
        str | None,
        typer.Option(help="bert-tiny, -small, -base or modern-tiny, -small, -base."),
    ] = None,
    budget: Annotated[
        str | None, typer.Option(help="How long to train: 90s, 10min, 1.5h or 2d.")
    ] = None,
    name: Annotated[
        str | None, typer.Option(help="Name of the run; the preset's when left out.")
    ] = None,
    overrides: Overrides = None,
    *,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where the run was, if there is one.")
    ] = False,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Pretrain an encoder. Under torchrun, on several GPUs. A stopped run goes on with --resume."""
    from . import config as configuration

    values = parse_overrides(overrides)
    if preset is not None:
        values["pretrain.preset"] = preset
    if budget is not None:
        values |= {"pretrain.budget": budget, "pretrain.tokens": None}
    settings = configuration.load(config, overrides=values).pretrain
    from . import report, show
    from .prepare import prepare
    from .train import train

    run = prepare(settings, out=out, name=name, resume=resume)
    again = _again(config, out, name, preset, budget, overrides)
    with show.Progress(run.config, quiet=quiet or not run.machine.is_first) as progress:
        try:
            trained = train(run, watcher=progress)
        except KeyboardInterrupt:
            sys.stderr.write(f"koine: interrupted. Go on from the last checkpoint: {again}\n")
            raise SystemExit(130) from None
    if not run.machine.is_first:
        return
    page = report.write(run.folder)
    if json:
        print_json({**trained.result, "report": page})
    elif not quiet:
        show.show_result(trained.result, report=page, command=again)
    if trained.signal is not None:
        sys.stderr.write(
            f"koine: stopped by a signal after step {trained.result['steps']:,}; all of it is "
            f"saved. Go on: {again}\n"
        )
        raise SystemExit(128 + trained.signal)


def _again(
    config: Path,
    out: str,
    name: str | None,
    preset: str | None,
    budget: str | None,
    overrides: list[str] | None,
) -> str:
    """Return the command that goes on with a run."""
    import shlex

    options = [("--out", None if out == DEFAULT_OUT else out), ("--preset", preset)]
    options += [("--budget", budget), ("--name", name)]
    options += [("--set", value) for value in overrides or []]
    given = [text for key, value in options if value for text in (key, value)]
    return shlex.join(["koine", "pretrain", "run", str(config), *given, "--resume"])


@app.command("show", epilog="Example: koine pretrain show build/runs/bert-small")
def show_cli(run: RunFolder, *, json: AsJson = False) -> None:
    """Show how far a run is, how each language does, and write its page anew."""
    from pipelines import store

    from . import report, show
    from .prepare import read_config

    folder = store.Folder(run)
    read_config(folder)
    facts = report.report(folder)
    page = report.write(folder)
    if json:
        print_json({**facts, "report": page})
    else:
        show.show_run(facts, report=page)


@app.command("replay", epilog="Example: koine pretrain replay build/runs/bert-small --step 1200")
def replay_cli(
    run: RunFolder,
    step: Annotated[int, typer.Option(min=0, help="Which step, from 0.")],
    out: Build = None,
    examples: Annotated[int, typer.Option(min=1, help="Examples of each micro-batch to show.")] = 8,
    *,
    json: AsJson = False,
) -> None:
    """Decode the batch of a step: its text, its masks, its languages."""
    from .replay import replay

    found = replay(_reopened(run, out), step=step)
    if json:
        print_json(found)
        return
    from . import show

    show.show_replay(found, examples=examples)


@app.command(
    "export", epilog="Example: koine pretrain export build/runs/bert-small --to build/export"
)
def export_cli(
    run: RunFolder,
    to: Annotated[str, typer.Option(help="Folder for AutoModel.from_pretrained.")],
    out: Build = None,
    step: Annotated[
        int | None, typer.Option(help="Of which checkpoint; the last one when left out.")
    ] = None,
    *,
    json: AsJson = False,
) -> None:
    """Write a folder that plain transformers loads: weights, tokenizer, model card, lineage."""
    from pipelines import store

    from .export import export

    build = store.Folder(out or _build_of(run))
    exported = export(
        store.Folder(run),
        to=store.Folder(to),
        vocab=build / "vocab",
        corpus=build / "corpus",
        step=step,
    )
    if json:
        import dataclasses

        print_json(dataclasses.asdict(exported))
        return
    from . import show

    show.show_exported(exported)


@app.command("verify", epilog="Example: koine pretrain verify build/runs/bert-small")
def verify_cli(run: RunFolder, *, json: AsJson = False) -> None:
    """Re-hash the checkpoints of a run and name what is wrong (exit 3)."""
    from pipelines import store
    from pipelines.terminal import safe

    from .checkpoint import Checkpoints
    from .prepare import CHECKPOINTS, read_config

    folder = store.Folder(run)
    read_config(folder)
    checkpoints = Checkpoints(folder / CHECKPOINTS, keep=1)
    wrong = checkpoints.verify()
    if json:
        print_json({"checkpoints": checkpoints.steps(), "wrong": wrong})
    else:
        for line in wrong:
            sys.stdout.write(safe(line) + "\n")
        if not wrong:
            num = len(checkpoints.steps())
            sys.stdout.write(f"{num} checkpoints, all as their manifests say.\n")
    if wrong:
        raise typer.Exit(3)


def _build_of(run: str) -> str:
    """Return the build that a run's folder OUT/runs/NAME lies in."""
    return str(Path(run).parent.parent) if "://" not in run else run.rsplit("/", 2)[0]


def _reopened(run: str, out: str | None) -> Run:
    from pipelines import store

    from .prepare import reopen

    return reopen(store.Folder(run), out=out or _build_of(run))
