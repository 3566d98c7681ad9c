"""What the pretraining report's numbers mean, and what to do about them, in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean
from typing import Any

from pipelines import languages, wording

from .alarms import CHANCE
from .axes import short
from .standing import (
    SURE_MASKED,
    Facts,
    Row,
    lately,
    least_learnt,
    nsp_accuracy,
    progress,
    settled,
    skips,
    typical,
    worst_of,
)

DASH = "\N{EN DASH}"
OFTEN = 3.0
"""Epochs after which a language that gets worse is told to be learnt by heart."""

MEANINGS = {
    "bits": (
        "Bits per byte",
        "What the model still needs to guess hidden text that it never saw: the sum of −log₂ of "
        "the chances it gave the right pieces, over the bytes of UTF-8 under them. Fewer is "
        "better, 0 would be perfect. It doesn't depend on the vocabulary; but a letter is one byte "
        "in Latin, two in Arabic or Cyrillic and three in most others, so compare a language with "
        "its own past, or with others of its script.",
    ),
    "untrained": (
        "Untrained",
        "Bits per byte before the first step, when every piece is as likely.",
    ),
    "left": (
        "Left",
        "Bits per byte now, as a share of the untrained model's: fairer between scripts.",
    ),
    "change": (
        "Last change",
        "Bits per byte against the evaluation before. Below zero is better. The same text and the "
        "same hidden pieces are judged every time.",
    ),
    "mlm": ("Guessed", "Share of the hidden pieces for which the right one is the likeliest."),
    "nsp": (
        "Next sentence",
        "Share of pairs told right: does the second part follow the first, or is it from elsewhere "
        "in the same language? A little more than half are from elsewhere, so a guess gets 55 %.",
    ),
    "held": (
        "Held out",
        "What the language is judged by: whole documents that training never sees, or, where "
        "there are few, their last sentences; and how many hidden pieces that makes. Fewer than "
        f"{SURE_MASKED:,} (~) can't tell a change of a percent from noise.",
    ),
    "seen": ("Seen", "Tokens of the language that were trained on, repetitions counted."),
    "epochs": ("Times", "How often all its text was seen."),
}
"""What each number is, in words that need no manual."""


def name_of(label: str) -> str:
    """Return a language's English name; the label itself where it is none."""
    try:
        return languages.name_of(label)
    except (ValueError, LookupError):
        return label


def share(value: float | None) -> str:
    """Return a share in percent, a dash for none."""
    return DASH if value is None else wording.percent(value, 1)


def bits(value: float | None) -> str:
    """Return bits per byte, a dash for none."""
    return DASH if value is None else f"{value:.2f}"


def signed(value: float | None) -> str:
    """Return a relative change in percent with its sign, a dash for none."""
    if value is None:
        return DASH
    sign = (
        "+" if value >= 0.0005 else "\N{MINUS SIGN}" if value <= -0.0005 else "\N{PLUS-MINUS SIGN}"
    )
    return f"{sign}{100 * abs(value):.1f}{wording.NO_BREAK_SPACE}%"


def times(value: float | None) -> str:
    """Return how often something was seen, a dash for unknown."""
    return DASH if value is None else f"{value:.2g}" if value < 9.95 else f"{value:,.0f}"


def duration(seconds: float | None) -> str:
    """Return a time in the two largest units that it has."""
    if seconds is None:
        return DASH
    whole = round(seconds)
    units = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
    for (unit, size), (smaller, part) in pairwise(units):
        if whole >= size:
            rest = whole % size // part
            text = f"{whole // size}{wording.NO_BREAK_SPACE}{unit}"
            return f"{text} {rest}{wording.NO_BREAK_SPACE}{smaller}" if rest else text
    return f"{whole}{wording.NO_BREAK_SPACE}s"


TRENDS = {
    "better": "and still improving",
    "same": "and hardly improving any more",
    "worse": "and getting worse",
    "unclear": "(too little text to tell a trend)",
    "new": "",
}
"""How the headline goes on after the worst language."""


def figures(facts: Facts, found: Sequence[Row]) -> list[dict[str, str]]:
    """Return the figures of a run, each with what it says and what to do about it."""
    log, where = facts["log"], progress(facts)
    judged = [row for row in found if row.now is not None]
    rows: list[dict[str, str]] = []

    def add(title: str, value: str, meaning: str, remedy: str = "") -> None:
        meaning = meaning.replace(" %", wording.NO_BREAK_SPACE + "%")
        rows.append({"title": title, "value": value, "meaning": meaning, "remedy": remedy})

    if judged:
        worst = worst_of(found)[0]
        add(
            "Worst language",
            f"{bits(worst.now)} {name_of(worst.label)}",
            "Bits that the model needs for each byte of hidden text, where it needs most.",
            "More text of it, or more weight: pretrain.sampling.weights.",
        )
        least = least_learnt(found)
        if least is not None:
            add(
                "Least learnt",
                f"{share(least.left)} {name_of(least.label)}",
                "The largest share of a language's own bits before training that is still left; "
                "fairer between scripts than bits per byte.",
                "More text of it, or more weight: pretrain.sampling.weights.",
            )
        add(
            "Mean language",
            bits(fmean(row.now or 0.0 for row in judged)),
            "The same for all languages, each counting once.",
            "A longer run, or a larger pretrain.preset.",
        )
        moving = [row for row in judged if row.change is not None]
        better = sum(row.trend == "better" for row in moving)
        add(
            "Still improving",
            f"{better:,} of {len(moving):,}" if moving else DASH,
            "Languages whose bits fell since the evaluation before, more than noise.",
            "If most still do, a longer run pays; if few, the model or the text is the limit.",
        )
        add(
            "Hidden pieces guessed",
            share(fmean(row.mlm_accuracy or 0.0 for row in judged)),
            "Share of hidden pieces of held-out text guessed right, mean of all languages.",
        )
    pairs = nsp_accuracy(found, log)
    if pairs is not None:
        add(
            "Next sentence",
            share(pairs),
            "Share of sentence pairs told right; a guess gets 55 %.",
            "Documents of several sentences teach it.",
        )
    if log:
        _of_log(add, facts)
    wanted = (facts["config"].get("settings") or {}).get("tokens")
    add(
        "Tokens",
        short(where.tokens) + (f" of {short(wanted)}" if wanted else ""),
        "Real tokens trained on; padding doesn't count, but does in the length of a run.",
        "pretrain.tokens or pretrain.budget is how long it goes on.",
    )
    return rows


def _of_log(add: Any, facts: Facts) -> None:  # noqa: ANN401
    """Add the figures that the log alone knows."""
    log, where = facts["log"], progress(facts)
    now, first = lately(log, "loss"), next((r["loss"] for r in log if r.get("loss")), None)
    add(
        "Training loss",
        DASH if now is None else f"{now:.2f}, at first {first or now:.2f}",
        "What training lowers: nats for each hidden piece"
        + (", and for each pair" if typical(log, "nsp_loss") is not None else "")
        + ", of the text that is trained on.",
    )
    waits = settled(log, "wait_share")
    add(
        "Speed",
        f"{short(typical(log, 'tokens_per_s') or 0)} tokens/s",
        "Real tokens in a second, in the middle of all lines of the log.",
    )
    mfu = typical(log, "mfu")
    if mfu is not None:
        add(
            "MFU",
            share(mfu),
            "Share of the device's peak arithmetic that real tokens get; 40 % is good on a GPU.",
            "If low and nothing waits, a larger pretrain.micro_batch_tokens.",
        )
    add(
        "Waiting for data",
        share(fmean(waits)) if waits else DASH,
        "Share of the time in which the device had nothing to do; above 5 % data is the limit.",
        "A local disk for the shards, a free core for each GPU.",
    )
    add(
        "Skipped steps",
        f"{len(skips(log)):,}" if skips(log) else "none",
        "Steps that were left out because their gradient was not finite.",
        "If it goes on, a lower pretrain.optimizer.learning_rate.",
    )
    add("Time", duration(where.seconds), "Of training and judging; starting up doesn't count.")


def advice(row: Row) -> list[str]:
    """Return in sentences what to know about a language, and what would help it."""
    found = []
    epochs = row.epochs
    if row.left is not None and row.left > 1 and row.trend != "new":
        found.append("The untrained model guessed it better: too little of it was seen so far.")
    if row.trend == "worse" and epochs is not None and epochs >= OFTEN:
        found.append(
            f"Its text was seen {times(epochs)} times, and what was held out gets harder to guess: "
            "it is learnt by heart. Lower pretrain.sampling.max_repeat, or add text."
        )
    elif row.trend == "worse":
        found.append(
            "What was learnt of it gets lost: others push it out. pretrain.sampling.weights can"
            " give it more."
        )
    elif row.trend == "same" and epochs is not None and epochs >= OFTEN:
        found.append(
            f"Its text was seen {times(epochs)} times and has little more to teach: add text."
        )
    if row.nsp_accuracy is not None and row.nsp_accuracy < CHANCE and not row.is_unsure:
        found.append("Its sentence pairs are told no better than by chance.")
    return found
