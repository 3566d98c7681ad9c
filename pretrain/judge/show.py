"""Show an evaluation in a terminal: tasks, worst languages, what to know. Part of the command line.

Results go to stdout, all the rest to stderr. Names go through `terminal.safe` first.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pipelines.terminal import safe

from . import results as judged
from .wording import METRICS, SYSTEM_NAMES, points, signed

if TYPE_CHECKING:
    from .evaluate import Evaluated

WORST_SHOWN, BEST_SHOWN = 8, 3
LABELS_SHOWN = 6


def show_evaluated(done: Evaluated, *, again: str) -> None:
    """Print what was found, what to know about it, and where it is.

    Args:
        done: the evaluation.
        again: the command that would go further.
    """
    found = done.results
    for name, task in found["tasks"].items():
        _task(name, task)
    warned = judged.warnings(found)
    for one in warned:
        mark = "! " if one.is_loud else "  "
        labels = ", ".join(safe(label) for label in one.labels[:LABELS_SHOWN])
        more = len(one.labels) - LABELS_SHOWN
        named = f": {labels}" + (f" and {more:,} more" if more > 0 else "") if labels else ""
        detail = f" {one.detail}" if one.is_loud else ""
        sys.stderr.write(f"{mark}{safe(one.task or '')}: {safe(one.title)}{named}.{detail}\n")
    if done.was_done:
        sys.stderr.write("\nAll of it was done already, with the same model, data and settings.\n")
    lines = [f"results  {safe(done.folder)}/{judged.RESULTS}", f"page     {safe(done.page)}"]
    if done.card is not None:
        lines.append(f"card     {safe(done.card)}")
    if again:
        lines.append(f"next     {safe(again)}")
    sys.stderr.write("\n" + "\n".join(lines) + "\n")


def _task(name: str, task: Mapping[str, Any]) -> None:
    """Print a task: its means, its worst languages and its best."""
    from pipelines import show

    from ..meanings import name_of

    systems = judged.systems(task)
    rows = judged.worst_first(task)
    shown = rows
    if len(rows) > WORST_SHOWN + BEST_SHOWN:
        shown = [*rows[:WORST_SHOWN], *rows[-BEST_SHOWN:]]
    own = [system for system in systems if system in judged.OWN]
    others = [system for system in systems if system not in judged.OWN]
    sys.stdout.write(f"{safe(name)}: {METRICS[task['metric']]}\n")
    heads = ["language", "label"]
    for system in own:
        heads += [SYSTEM_NAMES[system], "95 %"]
    heads += [f"over {SYSTEM_NAMES[system]}" for system in others] + ["tested"]
    lines = []
    for label, row in shown:
        line = [name_of(label), label]
        for system in own:
            score = row.get(system)
            line += (
                [points(score["mean"]), f"{points(score['low'])}-{points(score['high'])}"]
                if score
                else ["-", ""]
            )
        for system in others:
            gap = row["difference"].get(system)
            line.append("-" if gap is None else _gap(gap))
        lines.append([*line, f"{row['num']:,}"])
    show.table(heads, lines)
    means = ", ".join(
        f"{SYSTEM_NAMES[system]} {points(mean['mean'])}" for system, mean in task["mean"].items()
    )
    part = "" if shown is rows else f"the {WORST_SHOWN} worst and the {BEST_SHOWN} best of "
    noun = "language" if len(rows) == 1 else "languages"
    sys.stderr.write(f"{part}{len(rows):,} {noun}; mean: {means}\n\n")


def _gap(found: list[float]) -> str:
    """Return a paired difference; in brackets where it is not sure."""
    text = signed(found[0]).replace("\N{MINUS SIGN}", "-").replace("\N{PLUS-MINUS SIGN}", "")
    return text if judged.verdict(found) != "unsure" else f"({text})"


def command(model: str, *options: str) -> str:
    """Return a command line of `koine evaluate` that can be pasted."""
    return shlex.join(["koine", "evaluate", model, *options])
