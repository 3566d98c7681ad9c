"""What the vocabulary report's numbers mean, and what to do about them, in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipelines import languages, wording

Facts = dict[str, Any]

DASH = "\N{EN DASH}"
HIGH = 1.2
"""A premium that is explained."""

MEANINGS = {
    "premium": (
        "Premium",
        "Tokens that the language needs for the same content, against the (geometric) mean of all "
        "languages: 1 is the mean, 2 is twice the tokens, so half as much text fits a sequence.",
    ),
    "premium_english": ("vs English", "The same against English instead of the mean."),
    "fertility": (
        "Tokens per word",
        "1 would be a token for each word; not told where words have no spaces between them.",
    ),
    "single_piece": (
        "Whole words",
        "Share of different words that are one piece, and so can have a meaning of their own.",
    ),
    "continued": ("Words cut", "Share of running words that are cut into two pieces or more."),
    "bytes_per_token": (
        "Bytes per token",
        "UTF-8 bytes that a token stands for. Scripts differ in bytes per letter, so compare it "
        "between vocabularies, not between languages.",
    ),
    "chars_per_token": (
        "Characters per token",
        "Code points that a token stands for; compare it between vocabularies, too.",
    ),
    "byte_rate": (
        "In bytes",
        "Share of tokens that are bytes, or otherwise no whole character, because the vocabulary "
        "lacks it: nothing is lost, but a letter takes two to four tokens.",
    ),
    "unknown_rate": (
        "Lost",
        "Share of characters that the vocabulary can't say at all. Each is charged as one token.",
    ),
    "renyi": (
        "Evenness",
        "Rényi efficiency: how evenly the language uses the vocabulary, 1 if all pieces equally.",
    ),
    "own": (
        "Own pieces",
        "Pieces that make a larger share of this language's tokens than of any other's.",
    ),
}
"""What each number is, in words that need no manual."""


def fixed(value: float | None, digits: int = 2) -> str:
    """Return a number with fixed digits, a dash for none."""
    return DASH if value is None else f"{value:.{digits}f}"


def figures(tokenizers: Sequence[Facts]) -> list[Facts]:
    """Return the figures that one vocabulary is compared with another by."""

    def row(title: str, meaning: str, remedy: str, cells: list[str]) -> Facts:
        return {"title": title, "meaning": meaning, "remedy": remedy, "cells": cells}

    every = [one["summary"] for one in tokenizers]

    def worst(summary: Facts) -> str:
        own = summary["worst"]
        return f"{fixed(own['premium'])} {languages.name_of(own['label'])}"

    def rate(own: Facts) -> str:
        if not own["rate"]:
            return "none"
        return f"{wording.percent(own['rate'], 1)} {languages.name_of(own['label'])}"

    def gini(summary: Facts) -> str:
        low, high = fixed(summary["gini_low"], 3), fixed(summary["gini_high"], 3)
        return f"{fixed(summary['gini'], 3)} ({low}{DASH}{high})"

    return [
        row(
            "Worst premium",
            "What the worst-served language pays, where the mean pays 1.",
            "vocab.fit: parity lowers it.",
            [worst(one) for one in every],
        ),
        row(
            "Worst over median",
            "How far the worst is from the language in the middle.",
            "vocab.fit: parity, or more text of that language.",
            [fixed(one["worst_over_median"]) for one in every],
        ),
        row(
            "90th percentile",
            "One language in ten pays more than this. If it is low and the worst high, few are "
            "served badly.",
            "Give those few more weight: vocab.sampling.weights.",
            [fixed(one["p90"]) for one in every],
        ),
        row(
            "Unevenness (Gini)",
            "0 when all pay the same, towards 1 when a few pay for all; 95 % interval in brackets.",
            "vocab.sampling.by: content, and vocab.fit: parity.",
            [gini(one) for one in every],
        ),
        row(
            "Mean tokens",
            "Tokens of a line (parallel text) or of 100 characters of content, mean of the "
            "languages: the price of the whole vocabulary.",
            "A larger vocab.size lowers it for all.",
            [fixed(one["mean_tokens"], 1) for one in every],
        ),
        row(
            "Most in bytes",
            "The language with the largest share of tokens that are no whole character.",
            "Raise vocab.character_coverage, or vocab.size.",
            [rate(one["byte_worst"]) for one in every],
        ),
        row(
            "Most lost",
            "The language with the largest share of characters that can't be said at all.",
            "koine's vocabularies lose none; others need byte fallback.",
            [rate(one["unknown_worst"]) for one in every],
        ),
    ]


def advice(label: str, facts: Facts) -> list[str]:
    """Return in sentences why a language pays what it pays, and what would help."""
    row = facts["tokenizers"][0]["labels"][label]
    trained = (facts.get("training") or {}).get("labels")
    found = []
    if trained is not None and label not in trained:
        found.append("The corpus has no text of it: add some.")
    elif trained is not None and row["premium"] >= HIGH:
        found.append(
            f"It is {wording.percent(trained[label]['share'], 1)} of the text the vocabulary was"
            " trained on; vocab.sampling.weights can give it more."
        )
    if (row["unknown_rate"] or 0) >= 0.001:
        found.append(
            f"{wording.percent(row['unknown_rate'], 1)} of its characters are lost: the vocabulary"
            " has neither the letters nor bytes for them."
        )
    if (row["byte_rate"] or 0) >= 0.02:
        found.append(
            f"{wording.percent(row['byte_rate'], 1)} of its tokens are no whole character: its"
            " letters are missing. Raise vocab.character_coverage, or give it more text."
        )
    # Where most is bytes, words are cut for that reason.
    in_pieces = (row["byte_rate"] or 0) < 0.3 and row["premium"] >= 1.1
    if in_pieces and (row["continued"] or 0) >= 0.5:
        found.append(
            f"{wording.percent(row['continued'], 1)} of its words are cut: it has too few pieces"
            " of its own. A larger vocab.size or more weight in vocab.sampling helps."
        )
    if not found and row["premium"] >= HIGH:
        found.append(
            f"Its pieces are short ({fixed(row['chars_per_token'], 1)} characters): it needs more"
            " of its own, by vocab.fit: parity or vocab.sampling.weights."
        )
    if row["thin"]:
        found.append("There is too little text of it to be sure.")
    return found
