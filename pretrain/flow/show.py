"""Show a whole run to people: as it goes, and how it ended. Part of the command line.

Results go to stdout, all the rest to stderr.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from pipelines.terminal import safe

if TYPE_CHECKING:
    from pipelines.progress import Display

    from .flow import Finished

WORST_SHOWN = 8


class Shown:
    """Says which stage runs, and gives each what shows it."""

    def __init__(self, *, quiet: bool) -> None:
        """Decide how to show; `quiet` shows nothing at all."""
        self._quiet = quiet

    def stage(self, title: str, *, number: int, total: int, is_current: bool) -> None:
        """Say which stage begins, or is up to date."""
        self.note(f"{number}/{total} {title}{': up to date' if is_current else ''}")

    def note(self, text: str) -> None:
        """Say something that explains what is done."""
        if not self._quiet:
            sys.stderr.write(safe(text) + "\n")
            sys.stderr.flush()

    def display(self) -> Display:
        """Return what shows the stages of corpus and vocabulary."""
        from pipelines.progress import Display

        return Display(quiet=self._quiet)

    def training(self, config: Mapping[str, Any]) -> AbstractContextManager[Any]:
        """Return what shows a training."""
        from ..show import Progress

        return Progress(config, quiet=self._quiet)

    def tuning(self, title: str) -> AbstractContextManager[Any]:
        """Return what shows tunings."""
        from ..tasks.show import Progress

        return Progress(title, quiet=self._quiet)


def show_finished(finished: Finished, *, config: str) -> None:
    """Print how a run ended: what each stage made, the languages that come last, what is next."""
    from pipelines import show

    from .. import meanings
    from ..judge.wording import METRICS, points
    from . import page

    facts = finished.facts
    corpus, trained, model = facts["corpus"], facts["pretrain"], facts["model"]
    lines = [
        ("corpus", f"{corpus['kept']:,} of {corpus['read']:,} documents kept"),
        ("vocabulary", f"{facts['vocab']['pieces']:,} pieces"),
        ("pretraining", f"{trained['tokens']:,} tokens in {trained['steps']:,} steps"),
    ]
    for name, task in (facts["tasks"] or {}).items():
        said = f"{points(task['mean'])} {METRICS[task['metric']]}, mean of {len(task['labels'])}"
        lines.append((safe(name), f"{said} languages"))
    lines.append(("model", f"{model['parameters']:,} parameters, {len(model['onnx'])} ONNX files"))
    for title, said in lines:
        sys.stdout.write(f"{title:<13}{said}\n")
    rows = facts["languages"][:WORST_SHOWN]
    if rows:
        sys.stdout.write("\n")
        tasks = list(facts["tasks"] or {})
        show.table(
            ["language", "label", "premium", "left", *tasks],
            [
                [
                    meanings.name_of(row["label"]),
                    row["label"],
                    page.DASH if row["premium"] is None else f"{row['premium']:.2f}",
                    meanings.share(row["left"]).replace("\N{NO-BREAK SPACE}", " "),
                    *(points(row["scores"][name]) for name in tasks),
                ]
                for row in rows
            ],
        )
        more = len(facts["languages"]) - len(rows)
        sys.stderr.write(
            "the worst served, by their mean place"
            + (f"; {more:,} more do better\n" if more else "\n")
        )
    took = meanings.duration(sum(row["seconds"] for row in finished.stages.values()))
    division = facts["division"]
    sys.stderr.write(
        f"\ntook     {took.replace(chr(0xA0), ' ')}"
        + (f"; {division['told']}\n" if division else "\n")
        + f"report   {safe(finished.index)}\n"
    )
    for command, why in page.next_steps(facts):
        sys.stderr.write(f"next     {safe(command)}   ({why})\n")
    sys.stderr.write(
        f"again    koine run {safe(config)} --out {safe(finished.out)} does what changed\n"
    )
