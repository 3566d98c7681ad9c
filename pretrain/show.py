"""Show a run to people: as it goes, how it ended, where it stands. Part of the command line.

Results go to stdout, all the rest to stderr. Labels and names of folders, and above all text of a
corpus, are hostile to a terminal; they go through `terminal.safe` or `isolated` first.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from statistics import fmean
from types import TracebackType
from typing import TYPE_CHECKING, Any

from pipelines.terminal import isolated, safe

if TYPE_CHECKING:
    from rich.live import Live

    from .export import Exported
    from .standing import Facts, Row

LINES_S = 10.0
"""Time between two lines where there is no terminal."""
WORST_SHOWN, BEST_SHOWN = 8, 3
PIECES_SHOWN = 80
"""Pieces of an example that a terminal has room for."""
_GAP = "   "


class Progress:
    """Shows a run as it goes: a line that stays, on a terminal; a line every ten seconds else."""

    def __init__(
        self, config: Mapping[str, Any], *, quiet: bool = False, every_s: float = LINES_S
    ) -> None:
        """Decide how to show; nothing is shown yet.

        Args:
            config: of the run, as config.json has it.
            quiet: show nothing at all.
            every_s: time between two lines where there is no terminal.
        """
        from .standing import planned_steps

        self._total, self._quiet, self._every_s = planned_steps(config), quiet, every_s
        self._live: Live | None = None
        self._shown_at = -every_s
        self._first: tuple[float, float] | None = None

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
        """Say something that explains a wait, such as `compiling: about a minute`."""
        if self._quiet:
            return
        if self._live is not None:
            from rich.text import Text

            self._live.console.print(Text(safe(text)), soft_wrap=True)
        else:
            sys.stderr.write(safe(text) + "\n")
            sys.stderr.flush()

    def step(self, record: Mapping[str, Any], *, progress: float, elapsed_s: float) -> None:
        """Show a line of the log.

        Args:
            record: as `metrics.Log.step` takes it.
            progress: share of the run that is over.
            elapsed_s: seconds that the run took.
        """
        if self._quiet:
            return
        left_s = self._left(progress, elapsed_s)
        fields = _fields(record, progress=progress, total=self._total, left_s=left_s)
        if self._live is not None:
            self._live.update(_Line(fields), refresh=True)
        elif time.monotonic() - self._shown_at >= self._every_s:
            self._shown_at = time.monotonic()
            sys.stderr.write(_GAP.join(fields) + "\n")
            sys.stderr.flush()

    def _left(self, progress: float, elapsed_s: float) -> float | None:
        """Return the seconds left, at the pace since this process began: resuming took its time."""
        if self._first is None:
            self._first = progress, elapsed_s
        since, began_s = self._first
        if progress > since:
            return (1 - progress) * (elapsed_s - began_s) / (progress - since)
        return elapsed_s * (1 - progress) / progress if progress > 0 else None


def _fields(
    record: Mapping[str, Any], *, progress: float, total: int | None, left_s: float | None
) -> list[str]:
    """Return what a line of progress says, in the order in which a narrow terminal drops it."""
    from .axes import short
    from .meanings import duration

    def percent(key: str) -> str:
        value = record.get(key)
        return "-" if value is None else f"{100 * value:.0f}\N{NO-BREAK SPACE}%"

    loss, speed = record.get("loss"), record.get("tokens_per_s")
    steps = f"step {record['step']:,}" + (f"/{total:,}" if total else "")
    fields = [
        f"{100 * progress:3.0f}\N{NO-BREAK SPACE}%  {steps}",
        f"loss {'-' if loss is None else f'{loss:.3f}'}",
        f"ETA {'-' if left_s is None else duration(left_s)}",
        f"{'-' if speed is None else short(speed)} tokens/s",
        f"MFU {percent('mfu')}",
        f"waiting {percent('wait_share')}",
        f"{short(record.get('tokens') or 0)} tokens",
    ]
    skipped = len(record.get("skipped") or ())
    if skipped:
        fields.insert(2, f"{skipped} skipped")
    return [field.replace("\N{NO-BREAK SPACE}", " ") for field in fields]


class _Line:
    """A line of progress, cut to as many fields as the terminal is wide."""

    def __init__(self, fields: list[str]) -> None:
        self._fields = fields

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:  # noqa: ANN401
        from rich.text import Text

        del console
        fields = self._fields
        while len(fields) > 1 and len(_GAP.join(fields)) > options.max_width:
            fields = fields[:-1]
        yield Text(_GAP.join(fields), no_wrap=True, overflow="ellipsis")


def _table(rows: Sequence[Row]) -> None:
    """Print languages: bits per byte at first and last, and what they have seen."""
    from pipelines import show

    from .meanings import bits, name_of, share, signed, times

    show.table(
        ["language", "label", "bits/byte", "untrained", "left", "change", "guessed", "seen", ""],
        [
            [
                name_of(row.label),
                row.label,
                bits(row.now),
                bits(row.untrained),
                _plain(share(row.left)),
                _plain(signed(row.change)),
                _plain(share(row.mlm_accuracy)),
                "" if row.epochs is None else f"{times(row.epochs)} times",
                row.trend if row.trend in ("worse", "unclear") else "",
            ]
            for row in rows
        ],
    )


def _worst_and_best(found: Sequence[Row]) -> None:
    """Print the table of the worst languages, and of the best ones if there are many."""
    from . import standing

    judged = [row.now for row in found if row.now is not None]
    shown = standing.worst_of(found)
    said = f"{len(judged):,} languages"
    if len(shown) > WORST_SHOWN + BEST_SHOWN:
        shown = [*shown[:WORST_SHOWN], *shown[-BEST_SHOWN:]]
        said = f"the {WORST_SHOWN} worst and the {BEST_SHOWN} best of {said}"
    _table(shown)
    sys.stderr.write(f"{said}; mean {fmean(judged):.2f} bits per byte\n")


def _alarms(facts: Facts, found: Sequence[Row]) -> None:
    from .alarms import alarms

    for alarm in alarms(facts, found):
        some = ", ".join(safe(label) for label in alarm.labels[:6])
        more = f" and {len(alarm.labels) - 6:,} more" if len(alarm.labels) > 6 else ""
        mark = "! " if alarm.is_loud else "  "
        named = f"\n    {some}{more}" if some else ""
        sys.stderr.write(f"{mark}{alarm.title}{named}\n   {alarm.detail.replace('`', '')}\n")


def show_result(result: Mapping[str, Any], *, report: str, command: str) -> None:
    """Print how a run ended: the languages, what to know, what comes next.

    Args:
        result: of `train`, as result.json has it.
        report: where its page is.
        command: what would go on with it.
    """
    from . import standing
    from .meanings import duration
    from .report import report as facts_of

    facts = facts_of(result["run"])
    found = standing.rows(facts)
    if any(row.now is not None for row in found):
        _worst_and_best(found)
    _alarms(facts, found)
    loss, seconds = result.get("loss"), result.get("seconds")
    sys.stderr.write(
        f"\n{result['steps']:,} steps, {result['tokens']:,} tokens"
        + (f", loss {loss:.3f}" if loss is not None else "")
        + (f"; took {_plain(duration(seconds))}" if seconds else "")
        + "\n"
    )
    _places(report, facts=facts, command=None if result.get("finished") else command)


def _places(report: str, *, facts: Facts, command: str | None) -> None:
    """Print where things are, and what comes next."""
    page = safe(report)
    run = page.rpartition("/")[0]
    following = [safe(command)] if command else []
    if facts.get("checkpoint"):
        following.append(f"koine pretrain export {run} --to DIR")
    following.append(f"tensorboard --logdir {run}/tensorboard")
    lines = [f"run      {run}", f"report   {page}", f"next     {following[0]}"]
    lines += [f"         {line}" for line in following[1:]]
    sys.stderr.write("\n" + "\n".join(lines) + "\n")


def _plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ").replace("\N{MINUS SIGN}", "-")


def show_run(facts: Facts, *, report: str) -> None:
    """Print where a run stands: its figures, its worst languages, how it goes on.

    Args:
        facts: of the run, by `report.report`.
        report: where its page is.
    """
    from . import standing
    from .meanings import figures

    where, found = standing.progress(facts), standing.rows(facts)
    state = "finished" if where.is_finished else "not finished"
    if where.share is not None and not where.is_finished:
        state += f", {100 * where.share:.0f} % done"
    steps = f"step {where.step:,}" + (f" of {where.steps:,}" if where.steps else "")
    preset = safe(str(facts["config"].get("preset") or "a model"))
    sys.stdout.write(f"{safe(facts['run'])}: {preset}, {steps}, {state}\n")
    for row in figures(facts, found):
        sys.stdout.write(f"  {row['title']:<24}{safe(_plain(row['value']))}\n")
    if any(row.now is not None for row in found):
        sys.stdout.write("\n")
        _worst_and_best(found)
    _alarms(facts, found)
    if not where.is_finished:
        sys.stderr.write(
            "\nno checkpoint was saved yet\n"
            if where.saved is None
            else f"\nthe last checkpoint is of step {where.saved:,}; if nothing runs, "
            "`koine pretrain run` with --resume goes on there\n"
        )
    _places(report, facts=facts, command=None)


def show_replay(found: Mapping[str, Any], *, examples: int) -> None:
    """Print examples of a step's batch as the model gets them; `[a <- b]` hides b behind a.

    Args:
        found: of `replay.replay`.
        examples: of each micro-batch.
    """
    shown = isolated if sys.stdout.isatty() else safe

    def cell(piece: str) -> str:
        return shown(piece.replace("\n", "\\n"))

    for micro in found["micro_batches"]:
        num = len(micro["examples"])
        sys.stdout.write(
            f"step {found['step']:,}, micro-batch {micro['micro']:,} of the run (block "
            f"{micro['block']:,}, stage {micro['stage']}): {micro['tokens']:,} tokens, "
            f"{micro['masked']:,} hidden, {num:,} examples"
            + (f"; the first {examples:,}:" if num > examples else ":")
            + "\n\n"
        )
        for row in micro["examples"][:examples]:
            pieces = row["pieces"]
            hidden = sum(was is not None for _, was in pieces)
            next_one = {"next": "true next", "random": "random next"}.get(row["nsp"], "")
            documents = " + ".join(safe(str(name)) for name in row["documents"])
            size = f"{len(pieces):,} pieces, {hidden:,} hidden"
            head = [part for part in (safe(row["label"]), next_one, size, documents) if part]
            cells = [
                cell(seen) if was is None else f"[{cell(seen)} <- {cell(was)}]"
                for seen, was in pieces[:PIECES_SHOWN]
            ]
            more = " ..." if len(pieces) > PIECES_SHOWN else ""
            sys.stdout.write("  ".join(head) + "\n  " + " ".join(cells) + more + "\n\n")


def show_exported(exported: Exported) -> None:
    """Print what was exported, and how it is loaded."""
    from pipelines.wording import size

    folder = safe(exported.folder)
    sys.stdout.write(
        f"step {exported.step:,} after {exported.tokens:,} tokens: {exported.parameters:,} "
        f"parameters, {_plain(size(exported.num_bytes))} in {len(exported.files):,} files\n"
    )
    if exported.corpus != "found":
        sys.stderr.write(
            f"The corpus is {exported.corpus}, so README.md can't list the licences of its texts.\n"
        )
    sys.stderr.write(
        f"\nexport   {folder}\n"
        f"next     read {folder}/README.md; AutoModel.from_pretrained({folder!r})\n"
    )
