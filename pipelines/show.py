"""Print results for people: tables, documents, a build's summary. Part of the command line.

Text from a corpus is hostile to a terminal; it goes through `terminal.safe` or `isolated` first.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from .terminal import isolated, safe

if TYPE_CHECKING:
    from .build import Built

WORST_SHOWN = 8


def table(columns: list[str], rows: list[list[str]]) -> None:
    """Print a table to stdout; numbers are right-aligned."""
    console = Console(file=sys.stdout, emoji=False)  # ":apple:" in a text is no picture
    if not console.is_terminal:  # for pipes: tab-separated, nothing cut
        for row in [columns, *rows]:
            sys.stdout.write("\t".join(safe(str(c)).replace("\n", " ") for c in row) + "\n")
        return
    shown = Table(
        *(escape(isolated(name)) for name in columns), box=None, header_style="bold", pad_edge=False
    )
    for index, column in enumerate(shown.columns):
        if rows and all(_is_number(row[index]) for row in rows):
            column.justify = "right"
    for row in rows:
        shown.add_row(*(escape(isolated(cell)) for cell in row))
    console.print(shown)


def _is_number(text: str) -> bool:
    return bool(text) and text.strip("-+").replace(",", "").replace(".", "").isdigit()


def documents(rows: list[dict[str, Any]], *, chars: int) -> None:
    """Print documents one below the other."""
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True, emoji=False)
    for row in rows:
        head = f"[bold]{row['id']}[/]  {row['label']}  {escape(row['corpus'])}"
        if "reason" in row:
            head += f"  [red]{row['reason']}[/]: {escape(safe(row['detail']))}"
        elif row["num_copies"] > 1:
            head += f"  {row['num_copies']} copies"
        console.print(head)
        console.print(f"[dim]{escape(safe(row['url'] or row['origin']))}[/]")
        text = row["text"][:chars] + ("…" if len(row["text"]) > chars else "")
        console.print(escape(isolated(text)) + "\n")
    if not rows:
        sys.stderr.write("No document is like that.\n")


def story(found: dict[str, Any]) -> None:
    """Print what `browse.why` tells."""
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True, emoji=False)
    colour = "green" if found["outcome"] == "kept" else "red"
    console.print(f"[bold]{found['id']}[/] was [{colour}]{found['outcome']}[/]")
    origin = found["origin"]
    console.print(f"  came from  {escape(safe(origin['corpus'] + ' ' + origin['origin']))}")
    if origin["url"]:
        console.print(f"             {escape(safe(origin['url']))}")
    console.print(f"  licence    {escape(safe(origin['license'] or 'unknown'))}")
    label = found["label"]
    console.print(
        f"  language   {label['label']} ({label['score']:.2f}), decided by {label['decided_by']}"
        + (f"; declared {label['declared']}" if label["declared"] else "")
    )
    for name, labels, scores in (
        ("model", label["labels"], label["scores"]),
        ("its lines", label["line_labels"], label["line_shares"]),
    ):
        pairs = zip(labels or [], scores or [], strict=False)
        text = ", ".join(f"{k} {v:.2f}" for k, v in pairs if k is not None and v is not None)
        console.print(f"             {name}: {text or 'nothing to tell from'}")
    repairs = {name: value for name, value in found["repairs"].items() if value}
    console.print(f"  repaired   {escape(str(repairs)) if repairs else 'nothing'}")
    console.print("  measured")
    for row in found["rules"]:
        value = "-" if row["value"] is None else f"{row['value']:.4g}"
        limit = "-" if row["threshold"] is None else f"{row['threshold']:.4g}"
        mark = "[red]failed[/]" if row["outcome"] == "failed" else row["outcome"]
        console.print(f"    {row['rule']:<36}{value:>10} {limit:>10}  {mark}")
    if found["outcome"] == "removed":
        console.print(f"  removed    {found['reason']}: {escape(safe(found['detail']))}")
    elif found["num_copies"] > 1:
        console.print(f"  copies     {found['num_copies']} in all; removed as copies of it:")
        for copy in found["copies"]:
            console.print(f"    {copy['id']}  {copy['reason']}  {escape(safe(copy['origin']))}")
    if "kept_instead" in found:
        console.print(f"  see        koine corpus why {found['kept_instead']}")
    console.print("\n" + escape(isolated(found["text"][:1000])))


def show_built(built: Built, *, out: str) -> None:
    """Print a build's summary to stdout: the ledger, the worst-kept languages, what comes next."""
    ledger = built.ledger
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True, emoji=False)
    removed = sum(ledger["removed"].values())
    quarantined = sum(ledger["quarantined"].values())
    console.print(
        f"read {ledger['read']:,} documents = kept [bold]{ledger['kept']:,}[/] + removed "
        f"{removed:,} + quarantined {quarantined:,}"
    )
    for title, counts in (("removed", ledger["removed"]), ("quarantined", ledger["quarantined"])):
        for reason, count in sorted(counts.items(), key=lambda item: -item[1]):
            console.print(f"  {title:<12}{reason:<36}{count:>12,}")
    kept_labels = sum(1 for row in built.labels.values() if row["documents"])
    console.print(f"{kept_labels} languages, {ledger['kept_bytes'] / 1e6:,.1f} MB of text")
    worst = [
        (1 - row["documents"] / row["measured_documents"], label, row)
        for label, row in built.labels.items()
        if row["measured_documents"] >= 5
    ]
    worst.sort(key=lambda item: (-item[0], item[1]))
    if worst and worst[0][0] > 0:
        console.print("kept worst:")
        for _, label, row in worst[:WORST_SHOWN]:
            console.print(f"  {label:<12}{row['documents']:>8,} of {row['measured_documents']:>8,}")
    seconds = sum(built.seconds.values())
    stages = ", ".join(f"{stage} {took:.1f}" for stage, took in built.seconds.items())
    console.print(f"took {seconds:.1f} s ({stages})")
    if built.kept_units:
        console.print(
            f"resumed: {built.kept_units:,} of {built.num_units:,} units were measured already"
        )
    if built.unused_bytes:
        console.print(
            f"{built.unused_bytes / 1e6:,.0f} MB of measurements in {out}/work are not used by this"
            " configuration; --prune deletes them"
        )
    console.print(f"\nreport   {built.report}")
    console.print(f"corpus   {built.corpus}")
    console.print(
        f"next     open the report; koine corpus show --out {out} --reason any; "
        f"koine corpus verify --out {out}"
    )


def show_what_if(found: dict[str, Any]) -> None:
    """Print what edited rules would change, the most changed languages first."""
    changed = [(label, row) for label, row in found["labels"].items() if row["now"] != row["then"]]
    changed.sort(key=lambda item: (-abs(item[1]["then"] - item[1]["now"]), item[0]))
    rows = []
    for label, row in changed:
        rules = ", ".join(
            f"{name} {counts['now']:,} → {counts['then']:,}"
            for name, counts in sorted(row["rules"].items())
        )
        rows.append(
            [
                label,
                f"{row['documents']:,}",
                f"{row['now']:,}",
                f"{row['then']:,}",
                f"{row['then'] - row['now']:+,}",
                rules,
            ]
        )
    columns = ["label", "documents", "pass now", "would pass", "change", "documents failing a rule"]
    table(columns, rows)
    now = sum(row["now"] for row in found["labels"].values())
    then = sum(row["then"] for row in found["labels"].values())
    sys.stderr.write(
        f"{len(rows)} of {len(found['labels'])} languages change; {now:,} documents pass now, "
        f"{then:,} would (before deduplication). Nothing was written.\n"
    )
