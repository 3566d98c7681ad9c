"""Print a model before and after it was made smaller. Part of the command line.

Results go to stdout, all the rest to stderr. Names of folders and labels are hostile to a terminal;
they go through `terminal.safe`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

from pipelines.terminal import safe

WORST_SHOWN = 8


def show_smaller(folder: str, facts: Mapping[str, Any], *, is_new: bool) -> None:
    """Print both models side by side, what was shown or learnt, and what comes next."""
    from pipelines.show import table

    from . import card

    if not is_new:
        sys.stderr.write(f"{safe(folder)} was finished before with the same inputs.\n")
    comparison = facts["comparison"]
    table(["", "before", "after", "compared"], [list(row) for row in card.figures(comparison)])
    threads = comparison["threads"]
    sys.stderr.write(
        f"on {threads} CPU {'thread' if threads == 1 else 'threads'}; sequences of "
        f"{comparison['length']} pieces, in batches of {comparison['batch']}\n"
    )
    score = comparison.get("score")
    if score:
        _score(score)
    {"trimmed": _trimmed, "distilled": _distilled, "quantised": _quantised}[facts["kind"]](facts)
    place = safe(folder)
    follow = "predict" if _is_tuned(facts) else "tune classify"
    sys.stderr.write(f"\n{facts['kind']:<11}{place}\nnext       koine {follow} {place} ...\n")


def _score(score: Mapping[str, Any]) -> None:
    from pipelines.show import table

    from ..meanings import name_of
    from . import card

    rows = [
        [
            name_of(label),
            label,
            f"{row['num']:,}",
            f"{100 * row['before']:.1f}",
            f"{100 * row['after']:.1f}",
            card.difference(row),
        ]
        for label, row in card.worst_first(score["labels"])[:WORST_SHOWN]
    ]
    sys.stdout.write("\n")
    table(["language", "label", "examples", "before", "after", "difference (95 %)"], rows)
    more = len(score["labels"]) - WORST_SHOWN
    sys.stderr.write(
        f"{score['name']} on its {score['split']} split, in percent, the worst language first"
        + (f"; {more} more in compression.json" if more > 0 else "")
        + f"; {score['seeds']} {'seed' if score['seeds'] == 1 else 'seeds'}\n"
    )


def _trimmed(facts: Mapping[str, Any]) -> None:
    from . import card

    shown, rows = facts["proof"], facts["rows"]
    saved = rows["bytes_before"] - rows["bytes_after"]
    lines = [
        f"{rows['after']:,} of {rows['before']:,} pieces are kept; the others' rows were "
        f"{saved / 1e6:,.1f} MB",
        f"shown: {shown['num_bytes'] / 1e6:,.1f} MB of text, {shown['pieces']:,} pieces, are cut "
        f"as before; {shown['outputs']} of {shown['sequences']} sequences differ by "
        f"{shown['largest']:.1e} at the most",
    ]
    unseen = {label: rate for label, rate in facts["unseen"].items() if rate is not None}
    if unseen:
        worst = max(unseen, key=lambda x: (unseen[x], x))
        lines.append(
            f"text that wasn't there: up to {100 * unseen[worst]:.2f} % of the pieces ({worst}) "
            "are cut finer, by estimate"
        )
    if facts["cut_short"]:
        lines.append(f"not all text was read of {', '.join(facts['cut_short'])} (--max-mb)")
    others = facts["others"]
    if others:
        label, row = card.most_lost(others)
        lost = sum(one["unknown_after"] > 0.05 for one in others.values())
        lines.append(
            f"{lost} of {len(others)} other languages lose more than 5 % of their pieces; most "
            f"{label}: {100 * row['unknown_before']:.1f} % are unknown or bytes before, "
            f"{100 * row['unknown_after']:.1f} % after"
        )
    sys.stderr.write("\n" + "".join(f"{safe(line)}\n" for line in lines))


def _distilled(facts: Mapping[str, Any]) -> None:
    one, other, loss = facts["teacher"], facts["student"], facts["loss"]
    sys.stderr.write(
        f"\n{one['layers']} layers of {one['width']} became {other['layers']} of "
        f"{other['width']}; learnt from {facts['tokens']:,} pieces in "
        f"{len(facts['texts']['pieces'])} languages, loss {loss['first']:.3f} to "
        f"{loss['last']:.3f}\n"
    )
    if facts.get("answers"):
        own = facts["answers"]
        sys.stderr.write(
            f"then the teacher's answers to {own['examples']:,} training examples, "
            f"{own['epochs']} times; loss {own['loss']['first']:.3f} to {own['loss']['last']:.3f}\n"
        )


def _quantised(facts: Mapping[str, Any]) -> None:
    check = facts["check"]
    same = check["agreement"]
    sys.stderr.write(
        f"\noutputs differ by {check['mean']:.1e} in the mean, {check['largest']:.1e} at the most "
        f"(their deviation is {check['deviation']:.2f})"
        + ("" if same is None else f"; the same choice {100 * same:.1f} % of the time")
        + "\n"
    )


def _is_tuned(facts: Mapping[str, Any]) -> bool:
    return facts["comparison"]["head"] in ("classify", "tag", "answer")
