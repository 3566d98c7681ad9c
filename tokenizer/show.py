"""Print a vocabulary's results for people. Part of the command line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pipelines import show
from pipelines.terminal import isolated, safe

from .report import summary_rows

if TYPE_CHECKING:
    from .encode import Encoded
    from .publish import Built

UNJUDGED_SHOWN = 6


def show_trained(built: Built, facts: dict[str, Any], *, config: str, out: str) -> None:
    """Print the trade-off, the worst languages, and what comes next."""
    if built.curve:
        show.table(
            ["round", "mean tokens", "worst premium", "of", "Gini", ""],
            [
                [
                    str(one["round"]),
                    f"{one['mean_tokens']:.1f}",
                    f"{one['worst']:.2f}",
                    one["worst_label"],
                    f"{one['gini']:.3f}",
                    "chosen" if one["chosen"] else "",
                ]
                for one in built.curve
            ],
        )
        sys.stdout.write("\n")
    show.table(*summary_rows(facts))
    if built.unjudged:
        some = ", ".join(built.unjudged[:UNJUDGED_SHOWN])
        more = " ..." if len(built.unjudged) > UNJUDGED_SHOWN else ""
        sys.stderr.write(
            f"\n{len(built.unjudged)} languages have too little held-out text to be judged: "
            f"{some}{more}\n  Give them more text, or judge by the same text in all languages: "
            "vocab.parallel.\n"
        )
    seconds = sum(built.seconds.values())
    stages = ", ".join(f"{stage} {took:.1f}" for stage, took in built.seconds.items())
    sys.stderr.write(
        f"took {seconds:.1f} s ({stages})\n\n{built.pieces:,} pieces in {built.folder}\n"
        f"report   {built.report}\n"
        f"next     open the report; koine vocab encode {config} --out {out}\n"
    )


def show_encoded(encoded: Encoded) -> None:
    """Print what was encoded: the ledger, the languages with the most tokens, what comes next."""
    ledger = encoded.ledger
    quarantined = sum(ledger["quarantined"].values())
    sys.stdout.write(
        f"read {ledger['read']:,} documents = encoded {ledger['encoded']:,} + quarantined "
        f"{quarantined:,}\n"
    )
    for reason, number in sorted(ledger["quarantined"].items()):
        sys.stdout.write(f"  quarantined {reason:<28}{number:>12,}\n")
    rows = sorted(encoded.statistics.items(), key=lambda item: (-item[1]["tokens"], item[0]))
    total = sum(row["tokens"] for _, row in rows)
    shown = [*rows[:5], *rows[max(5, len(rows) - 5) :]]
    show.table(
        ["language", "documents", "sentences", "tokens", "longest document", "longest sentence"],
        [
            [
                label,
                *(
                    f"{row[key]:,}"
                    for key in (
                        *("documents", "sentences", "tokens"),
                        *("longest_document", "longest_sentence"),
                    )
                ),
            ]
            for label, row in shown
        ],
    )
    sys.stderr.write(
        f"{len(rows)} languages (the largest and the smallest are shown), {total:,} tokens in "
        f"{encoded.num_shards:,} shards, {encoded.kept_shards:,} of them kept from an earlier run; "
        f"took {encoded.seconds:.1f} s\n\ntokens   {encoded.folder}\n"
    )


def show_pieces(rows: list[dict[str, Any]]) -> None:
    """Print a text as each tokenizer cuts it."""
    for row in rows:
        sys.stdout.write(f"{safe(row['name'])}: {len(row['pieces'])} pieces\n")
        shown = isolated if sys.stdout.isatty() else safe
        sys.stdout.write("  " + " ".join(shown(piece) for piece in row["pieces"]) + "\n")
