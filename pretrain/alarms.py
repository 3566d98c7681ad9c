"""What is wrong with a run, or uncertain about it, in words that say what to do.

An alarm is loud where something goes wrong (a language that gets worse, a GPU that waits), and not
where a reader should only know it (languages that nobody can judge).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

from .standing import SURE_MASKED, Facts, Row, nsp_accuracy, progress, settled, skips

WAITING = 0.05
"""A share of time spent waiting for data above which the data is the bottleneck."""
CHANCE = 0.55
"""Next-sentence accuracy that is no better than a guess: a little more than half are random."""
STEPS_SHOWN = 5
NAMED = 20
"""Languages with little held-out text that are named; more are too many to read."""
SETTLED = 0.1
"""Share of a run after which next-sentence accuracy is judged."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that a reader should know before the numbers."""

    kind: str
    title: str
    detail: str
    labels: tuple[str, ...] = ()
    is_loud: bool = True
    """Whether something is wrong, or only to be known."""


def alarms(facts: Facts, found: Sequence[Row]) -> list[Alarm]:
    """Return what is wrong with a run or uncertain about it, the loud ones first.

    Args:
        facts: of the run.
        found: its languages, by `rows`.
    """
    every = [
        *_of_languages(found),
        *_of_steps(facts, found),
        *_of_judging(facts, found),
    ]
    return sorted(every, key=lambda alarm: not alarm.is_loud)


def _of_languages(found: Sequence[Row]) -> Iterator[Alarm]:
    worse = [row.label for row in found if row.trend == "worse"]
    if worse:
        judged = sum(row.now is not None for row in found)
        yield Alarm(
            "worse",
            f"{len(worse):,} of {judged:,} languages got worse over the last evaluations, by "
            "more than 1 %.",
            " Text that was seen often is learnt by heart: lower pretrain.sampling.max_repeat, or "
            "add text. Where it was seen rarely, others push it out: pretrain.sampling.weights can "
            "give it more.",
            tuple(worse),
        )


def _of_steps(facts: Facts, found: Sequence[Row]) -> Iterator[Alarm]:
    log = facts["log"]
    waits = settled(log, "wait_share")
    if waits and fmean(waits) > WAITING:
        yield Alarm(
            "waiting",
            f"Training is loader-bound: it waits for data {100 * fmean(waits):.0f} % of the time.",
            " Put the token shards on a local disk, and leave a core to each GPU for its data.",
        )
    skipped = skips(log)
    if skipped:
        num = len(skipped)
        where = ", ".join(f"{step:,}" for step in skipped[:STEPS_SHOWN])
        yield Alarm(
            "skipped",
            f"{num:,} {'step was' if num == 1 else 'steps were'} skipped, since the gradient was "
            f"not finite: {where}{', ...' if num > STEPS_SHOWN else '.'}",
            " The weights never saw them. `koine pretrain replay` shows what they were made of; if "
            "it goes on, lower pretrain.optimizer.learning_rate.",
        )
    share, pairs = progress(facts).share, nsp_accuracy(found, log)
    if pairs is not None and pairs < CHANCE and (share or 0) >= SETTLED:
        yield Alarm(
            "nsp",
            f"Next sentences are told no better than by chance: {100 * pairs:.0f} % are right.",
            " A little more than half of the pairs are random, so a guess gets that far. There may"
            " be too few documents with several sentences, or too high a learning rate.",
        )


def _of_judging(facts: Facts, found: Sequence[Row]) -> Iterator[Alarm]:
    if not facts["evaluations"]:
        return
    missing = [row.label for row in found if row.now is None]
    if missing:
        yield Alarm(
            "unjudged",
            f"{_languages(len(missing))} not judged: too little text to hold any out.",
            " They are trained on, and nothing tells how well they are learnt. More text helps.",
            tuple(missing),
            is_loud=False,
        )
    judged = [row for row in found if row.now is not None]
    unsure = [row.label for row in judged if row.is_unsure]
    if unsure:
        every = len(unsure) == len(judged) > 1
        yield Alarm(
            "unsure",
            f"{'All ' if every else ''}{_languages(len(unsure))} judged by fewer than "
            f"{SURE_MASKED:,} hidden tokens.",
            " Small changes there are noise, and no alarm. More text helps, or a higher"
            " pretrain.held_out.share.",
            () if every or len(unsure) > NAMED else tuple(unsure),
            is_loud=False,
        )


def _languages(num: int) -> str:
    return f"{num:,} language is" if num == 1 else f"{num:,} languages are"
