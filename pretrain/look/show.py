"""Show what was seen in a model to people. Part of the command line.

Results go to stdout, all the rest to stderr. Text is hostile to a terminal; it goes through
`terminal.safe` or `isolated` first.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import TYPE_CHECKING

from pipelines.terminal import isolated, safe

from .heads import PATTERNS, title_of

if TYPE_CHECKING:
    from .inspection import Inspection

LINES_S = 10.0
"""Time between two lines about many texts."""
GUESSES, LEADERS = 5, 3
"""Guesses of a mask, and heads of a kind, that are printed."""


class Watch:
    """Says every ten seconds how many texts are read."""

    def __init__(self, *, quiet: bool = False) -> None:
        """Begin to wait; `quiet` says nothing at all."""
        self._quiet, self._said_at = quiet, time.monotonic()

    def __call__(self, done: int, total: int) -> None:
        """Be told how many texts are read, and of how many."""
        if not self._quiet and time.monotonic() - self._said_at >= LINES_S:
            self._said_at = time.monotonic()
            sys.stderr.write(f"{done:,} of {total:,} texts\n")
            sys.stderr.flush()


def show(found: Inspection, *, page: str | None) -> None:
    """Print what the heads do and what the masks hide.

    Args:
        found: of `inspection.inspect`.
        page: where its page is.
    """
    from pipelines.show import table

    looked = found.looked
    kinds = Counter(head.kind for head in found.heads)
    order = [kind for kind in (*PATTERNS, "near", "broad", "mixed") if kinds[kind]]
    rows = []
    for kind in order:
        best = sorted((h for h in found.heads if h.kind == kind), key=lambda h: -h.score)
        some = ", ".join(f"{h.layer}.{h.head} ({h.score:.2f})" for h in best[:LEADERS])
        rows.append([title_of(kind), str(kinds[kind]), some + (", ..." if best[LEADERS:] else "")])
    table(["heads that attend to", "heads", "layer.head (score)"], rows)
    for hidden in looked.hidden:
        sys.stdout.write(f"\n[MASK] at piece {hidden.place}\n")
        for guess in hidden.guesses[:GUESSES]:
            sys.stdout.write(f"  {100 * guess.probability:5.1f} %  {_line(guess.name)}\n")
    if looked.decision:
        sys.stdout.write("\nanswer\n")
        for target, share in sorted(looked.decision.items(), key=lambda one: -one[1])[:GUESSES]:
            sys.stdout.write(f"  {100 * share:5.1f} %  {_line(target)}\n")
    if looked.cut:
        sys.stderr.write(
            f"{looked.cut:,} pieces are left out at the end: {found.max_length:,} are read at "
            "most.\n"
        )
    if not found.fills:
        sys.stderr.write("The model has no head that fills in masks.\n")
    if found.num_texts == 1:
        sys.stderr.write(
            f"Judged by one text of {len(looked.pieces):,} pieces; --texts FILE judges heads by "
            "many.\n"
        )
    if page is not None:
        sys.stderr.write(f"\npage     {safe(page)}\n")


def _line(text: str) -> str:
    shown = isolated if sys.stdout.isatty() else safe
    return shown(text.replace("\n", "\\n"))
