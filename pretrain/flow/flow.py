"""From raw text to a judged and exported model: all stages, one after the other.

    corpus -> vocabulary -> token shards -> pretraining -> export -> tasks -> ONNX -> OUT/index.html

Each stage is the library function that its own command calls, in the same folders, so that every
command works on what a run left, and a run goes on from what they left.

Promises: a stage whose inputs, settings and result are as they were is skipped; a run that was
killed goes on in the middle of the stage where it was; an earlier training of other inputs or
settings is left alone, and the new one gets a name of its own; whatever can be known to fail is
found before the first stage begins. Beam is imported by those stages that use it, when they run.
Does not promise: the same bytes in runs that were given a budget of time.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines import store
from pipelines.errors import KoineError

from . import budget as budgets
from . import checks, headlines, page
from .journal import Journal
from .sections import Sections
from .stage import Run, Stage, Watcher
from .stages import (
    CORPUS,
    EXPORTED,
    ONNX_FILES,
    PRETRAINING,
    TASKS,
    TOKENS,
    VOCABULARY,
)

__all__ = ["Finished", "flow"]

INDEX = "index.html"
WORK = "work/flow"
BEFORE: tuple[Stage, ...] = (CORPUS, VOCABULARY, TOKENS)
"""Stages that take what they take; a budget divides the rest."""


@dataclass(frozen=True)
class Finished:
    """What a run left."""

    out: str
    index: str
    """The page."""
    stages: dict[str, dict[str, Any]]
    """By name: `title`, `state` (`done` or `up to date`), `seconds` (of all attempts)."""
    facts: dict[str, Any]
    """What the page shows, see `headlines`."""


def flow(
    sections: Sections,
    *,
    out: str,
    base: Path,
    budget: str | None = None,
    workers: int,
    command: str,
    watcher: Watcher,
) -> Finished:
    """Do whatever is not up to date, and write the page.

    Args:
        sections: of corpora.yaml, checked.
        out: folder of the build.
        base: folder that relative input paths start at.
        budget: time for all of it (`20min`); the file's own length of pretraining when left out.
        workers: processes for corpus and vocabulary.
        command: that goes on after an error.
        watcher: shows how it goes.

    Raises:
        ConfigError, DataError, EnvironmentProblem: of the stage that failed, with the command that
            goes on.
        Stopped: a signal ended the training.
    """
    if budget is not None:
        budgets.total_of(budget)
    tasks = checks.before(sections, out=out)
    folder = store.Folder(out)
    work = folder / WORK
    work.create()
    with store.locked(work, what="koine run", instead="give this one another folder with --out"):
        journal = Journal(work)
        run = Run(sections, folder, base, tasks, journal, watcher, workers)
        try:
            stages = _all(run, budget=budget)
        except KoineError as error:
            error.args = (f"{error}\n  What is finished is kept; go on: {command}",)
            raise
        facts = headlines.collect(
            folder, run=run.named(), stages=stages, division=run.division, notes=run.notes
        )
        folder.write_bytes(INDEX, page.render(facts).encode())
    return Finished(folder.url, folder.path(INDEX), stages, facts)


def _all(run: Run, *, budget: str | None) -> dict[str, dict[str, Any]]:
    """Do all stages; return what became of each."""
    wanted: list[Stage] = [*BEFORE, PRETRAINING, EXPORTED]
    wanted += [TASKS, ONNX_FILES] if run.tasks else [ONNX_FILES]
    stages = {}
    for number, stage in enumerate(wanted, start=1):
        if stage is PRETRAINING and budget is not None:
            run.division = _divided(run, budget)
            run.watcher.note(run.division.told())
        key = stage.key(run)
        current = run.journal.is_current(stage.name, key=key, state=stage.state(run))
        run.watcher.stage(stage.title, number=number, total=len(wanted), is_current=current)
        if not current:
            with run.journal.timed(stage.name, key=key):
                stage.work(run)
            run.journal.finish(stage.name, key=key, state=stage.state(run))
        stages[stage.name] = {
            "title": stage.title,
            "state": "up to date" if current else "done",
            "seconds": run.journal.seconds(stage.name),
        }
    return stages


def _divided(run: Run, budget: str) -> budgets.Division:
    """Divide a budget; as before, if an earlier attempt at the same training had it."""
    of = store.fingerprint(
        [VOCABULARY.state(run), TOKENS.state(run), len(run.tasks), PRETRAINING.key(run)]
    )
    before = run.journal.fact("division") or {}
    if before.get("of") == of and (kept := budgets.kept(before.get("parts"), budget=budget)):
        return kept
    from ..machine import device_of

    found = budgets.divide(
        budget,
        spent_s=sum(run.journal.seconds(stage.name) for stage in BEFORE),
        num_tasks=len(run.tasks),
        on_gpu=device_of(run.sections.pretrain).type == "cuda",
    )
    run.journal.keep("division", {"of": of, "parts": found.to_json()})
    return found
