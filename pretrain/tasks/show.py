"""Show people how long work goes, and what a tuned model is worth. Part of the command line.

Results go to stdout, all the rest to stderr. Names of targets, labels and folders are hostile to a
terminal; they go through `terminal.safe`.
"""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pipelines.terminal import safe

if TYPE_CHECKING:
    from rich.live import Live

    from .tune import Tuned

LINES_S = 10.0
"""Time between two lines where there is no terminal."""
WORST_SHOWN, BEST_SHOWN = 8, 3
_GAP = "   "


class Progress:
    """Shows how far something is: a line that stays, on a terminal; a line every 10 seconds else.

    A context that the library functions take as their watcher.
    """

    def __init__(self, title: str = "", *, quiet: bool = False, every_s: float = LINES_S) -> None:
        """Decide how to show; nothing is shown yet.

        Args:
            title: what each line begins with.
            quiet: show nothing at all.
            every_s: time between two lines where there is no terminal.
        """
        self._title, self._quiet, self._every_s = safe(title), quiet, every_s
        self._live: Live | None = None
        self._shown_at = time.monotonic()
        self._first: tuple[float, float] | None = None
        self._share = 0.0

    def __enter__(self) -> Progress:
        """Begin to show."""
        if not self._quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.live import Live

            console = Console(stderr=True, highlight=False, emoji=False)
            self._live = Live(console=console, transient=True, refresh_per_second=4)
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End it, and leave the terminal as it was."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def note(self, text: str) -> None:
        """Say something once, which stays."""
        if self._quiet:
            return
        if self._live is not None:
            from rich.text import Text

            self._live.console.print(Text(safe(text)), soft_wrap=True)
        else:
            sys.stderr.write(safe(text) + "\n")
            sys.stderr.flush()

    def update(self, done: float, total: float, text: str = "") -> None:
        """Show how far it is.

        Args:
            done: of `total`, in any unit.
            total: all of it; 0 where nobody knows.
            text: what is being done.
        """
        if self._quiet:
            return
        if self._live is None and time.monotonic() - self._shown_at < self._every_s:
            self._left_s(done / total if total else 0.0)  # the pace counts from the first one
            return
        self._shown_at = time.monotonic()
        line = _GAP.join(part for part in self._parts(done, total, text) if part)
        if self._live is not None:
            from rich.text import Text

            self._live.update(Text(line, no_wrap=True, overflow="ellipsis"), refresh=True)
        else:
            sys.stderr.write(line + "\n")
            sys.stderr.flush()

    def _parts(self, done: float, total: float, text: str) -> list[str]:
        if not total:
            return [self._title, safe(text)]
        share = min(1.0, done / total)
        left_s = self._left_s(share)
        # The time before the text, which a narrow terminal cuts at its end.
        eta = "" if left_s is None else f"ETA {_duration(left_s)}"
        return [self._title, f"{100 * share:3.0f} %", eta, safe(text)]

    def _left_s(self, share: float) -> float | None:
        """Return the seconds left, at the pace since the first update; None before there is one."""
        now = time.monotonic()
        if self._first is None or share < self._share:  # a new stage begins at its own zero
            self._first = share, now
        self._share = share
        since, began = self._first
        if share <= since:
            return None
        return (1 - share) * (now - began) / (share - since)


def show_tuned(tuned: Tuned) -> None:
    """Print the worst languages first, what to know, and what comes next.

    Args:
        tuned: what was tuned.
    """
    from pipelines import show

    from ..meanings import name_of
    from .card import METRICS

    if not tuned.is_new:
        sys.stderr.write(f"{safe(tuned.folder)} was finished before with the same inputs.\n")
    ends = ("all", "mean", "worst")
    labels = [label for label in tuned.scores if label not in ends]
    shown = labels
    if len(labels) > WORST_SHOWN + BEST_SHOWN + 1:
        shown = [*labels[:WORST_SHOWN], *labels[-BEST_SHOWN:]]
    metric = METRICS.get(tuned.metric, tuned.metric)
    if labels:
        others = [name for name in METRICS if name != tuned.metric and name in tuned.scores["all"]]
        rows = [[name_of(x), x, *_figures(tuned.scores[x], others)] for x in shown]
        if len(labels) > 1:
            rows.append(["mean", "", *_figures(tuned.scores["mean"], others, num="")])
        columns = ["language", "label", "examples", metric, "±", "95 %"]
        show.table([*columns, *(METRICS[name] for name in others)], rows)
        parts = [f"{metric} in percent, the worst language first"]
        if len(shown) < len(labels):
            parts.append(f"the {WORST_SHOWN} worst and the {BEST_SHOWN} best of {len(labels)}")
        num = len(tuned.seeds)
        parts.append(
            f"mean ± standard deviation of {num} seeds"
            if num > 1
            else "one seed (--seeds 3 tells luck from skill)"
        )
        sys.stderr.write("; ".join(parts) + "\n")
    for warning in tuned.warnings:
        sys.stderr.write(f"! {safe(warning)}\n")
    took = "" if tuned.seconds is None else f"; training took {_duration(tuned.seconds)}"
    sys.stderr.write(
        f"\nlearning rate {tuned.settings['learning_rate']:.2g}, up to "
        f"{tuned.settings['epochs']} epochs; seed {tuned.best} was the best on the development "
        f"split{took}\n"
    )
    folder = safe(tuned.folder)
    example = {
        "classify": '"A text."',
        "tag": '"Some words."',
        "answer": '"A question?" --context "A text with the answer."',
    }[tuned.task]
    sys.stderr.write(
        f"\ntuned    {folder}\n"
        f"next     koine predict {folder} {example}\n"
        f"         koine evaluate {folder} DATA\n"
        f"         koine export {folder} --onnx\n"
    )


def _figures(row: dict[str, Any], others: list[str], *, num: str | None = None) -> list[str]:
    deviation = row["deviation"]
    return [
        f"{row['num']:,}" if num is None else num,
        f"{100 * row['mean']:.1f}",
        "" if deviation is None else f"{100 * deviation:.1f}",
        f"{100 * row['low']:.1f} to {100 * row['high']:.1f}",
        *(f"{100 * row[name]:.1f}" if name in row else "" for name in others),
    ]


def _duration(seconds: float) -> str:
    from ..meanings import duration

    text: str = duration(seconds)
    return text.replace("\N{NO-BREAK SPACE}", " ")
