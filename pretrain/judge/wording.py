"""The words of an evaluation: systems, metrics, and what each figure means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipelines.wording import NO_BREAK_SPACE

SYSTEM_NAMES = {
    "in_language": "in-language",
    "zero_shot": "zero-shot",
    "random": "random weights",
    "random_zero_shot": "random weights, zero-shot",
    "majority": "majority",
    "words": "words alone",
}
METRICS = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "f1": "F1",
    "precision": "precision",
    "recall": "recall",
    "exact_match": "exact match",
}
TITLES = {"classify": "classifying texts", "tag": "tagging words", "answer": "answering questions"}
MEANINGS = {
    "score": (
        "Score",
        "From 0 to 100, on test examples that no tuning saw. Classifying: macro F1, the mean of "
        "all targets' F1, so that rare ones count as much. Names: F1 of whole names, as conlleval "
        "counts them. Parts of speech: share of words tagged right. Questions: F1 of the words "
        "shared with the right answer, as SQuAD counts it.",
    ),
    "in_language": (
        "In-language",
        "The model was tuned on examples of this language too, and of all others of the data.",
    ),
    "zero_shot": (
        "Zero-shot",
        "The model was tuned on other languages only; whatever it does here it carried over.",
    ),
    "interval": (
        "Interval",
        "95 %, by drawing the test examples and the tunings anew a thousand times (bootstrap). It "
        "says how much another test of the same kind and size might differ, tuned with other luck; "
        "few examples make it wide.",
    ),
    "deviation": (
        "Between tunings",
        "Standard deviation over the tunings, which differ by their seed alone: what luck does.",
    ),
    "random": (
        "Random weights",
        "The same network, never pretrained, tuned on the same examples in the same way. What the "
        "model has more than that, it has from pretraining.",
    ),
    "majority": (
        "Majority",
        "The commonest answer of the training examples, always: the commonest target, the "
        "commonest tag, or no answer.",
    ),
    "words": (
        "Words alone",
        "No network: each word's commonest tag in the training examples; for questions the "
        "sentence of the text that shares most letter pairs with the question.",
    ),
    "difference": (
        "Difference",
        "The model's score minus a baseline's on the same examples, with the 95 % interval of the "
        "difference (paired bootstrap). Above zero throughout: the model is surely better.",
    ),
    "rough": ("~", "Fewer than 100 test examples judge it."),
}
"""What each number is, in words that need no manual."""


def points(value: float | None) -> str:
    """Return a score from 0 to 1 as points from 0 to 100; a dash for none."""
    return "\N{EN DASH}" if value is None else f"{100 * value:.1f}"


def signed(value: float) -> str:
    """Return a difference in points with its sign."""
    sign = (
        "\N{MINUS SIGN}" if value <= -0.0005 else "+" if value >= 0.0005 else "\N{PLUS-MINUS SIGN}"
    )
    return f"{sign}{100 * abs(value):.1f}"


def interval(found: Mapping[str, Any]) -> str:
    """Return the ends of a score's interval in points."""
    return f"{points(found['low'])}\N{EN DASH}{points(found['high'])}"


def between(low: float, high: float) -> str:
    """Return the ends of a difference's interval in points, with their signs."""
    return f"{signed(low)} to {signed(high)}".replace(" ", NO_BREAK_SPACE)


def title_of(task: str) -> str:
    """Return what a task is, in words."""
    return TITLES.get(task, task)
