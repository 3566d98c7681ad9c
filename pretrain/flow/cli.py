"""`koine run`: parses, calls `flow`, prints.

Results go to stdout, everything else to stderr. Imports nothing heavy at the top.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli import (
    DEFAULT_OUT,
    AsJson,
    ConfigPath,
    Out,
    Overrides,
    Workers,
    parse_overrides,
    print_json,
)

EXAMPLE = "Example: koine run corpora.yaml --out build --budget 20min"


def run_cli(
    config: ConfigPath = Path("corpora.yaml"),
    out: Out = DEFAULT_OUT,
    budget: Annotated[
        str | None,
        typer.Option(
            help="How long all of it may take: 20min, 1.5h. Pretraining gets what corpus, "
            "vocabulary and a reserve for tasks and exports leave; its own length else."
        ),
    ] = None,
    workers: Workers = None,
    overrides: Overrides = None,
    *,
    json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")] = False,
) -> None:
    """From raw text to a judged, exported model: every stage that is not up to date.

    Corpus, vocabulary, token shards, pretraining, export, the tasks of the file, ONNX; then
    OUT/index.html, which links their reports. Stopped or killed, run it again: it goes on.
    """
    from . import sections

    loaded = sections.load(config, overrides=parse_overrides(overrides))
    from pipelines.plan import default_workers

    from .flow import flow
    from .show import Shown, show_finished
    from .stages import Stopped

    again = _again(config, out, budget, workers, overrides)
    try:
        finished = flow(
            loaded,
            out=out,
            base=config.resolve().parent,
            budget=budget,
            workers=workers or default_workers(),
            command=again,
            watcher=Shown(quiet=quiet),
        )
    except Stopped as stopped:
        sys.stderr.write(
            f"koine: stopped by a signal after step {stopped.step:,} of pretraining; all of it is "
            f"saved. Go on: {again}\n"
        )
        raise SystemExit(128 + stopped.number) from None
    if json:
        print_json(
            {
                "out": finished.out,
                "report": finished.index,
                "stages": finished.stages,
                **{key: value for key, value in finished.facts.items() if key != "stages"},
            }
        )
    elif not quiet:
        show_finished(finished, config=str(config))


def _again(
    config: Path,
    out: str,
    budget: str | None,
    workers: int | None,
    overrides: list[str] | None,
) -> str:
    """Return the command that goes on with a run."""
    import shlex

    options = [("--out", None if out == DEFAULT_OUT else out), ("--budget", budget)]
    options += [("--workers", str(workers) if workers else None)]
    options += [("--set", value) for value in overrides or []]
    given = [text for key, value in options if value for text in (key, value)]
    return shlex.join(["koine", "run", str(config), *given])
