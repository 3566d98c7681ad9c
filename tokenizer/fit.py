"""`fit: parity`: shift the languages' shares until the worst-served one pays no less for it.

Each round trains a vocabulary on a sample, lets every language pay for text that it was not trained
on, and multiplies each share by the language's premium. That is the multiplicative update of
minimax problems: who pays more gets more, and it stops where nobody gains. Unknown text costs a
token a character, so no language looks cheap by being lost.

The rounds are kept as a curve, mean tokens against the worst premium: one is chosen, the others
show what it would take to go further.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .config import Parity
from .evaluate import Paid
from .metrics import gini

Floats = npt.NDArray[np.float64]

PATIENCE = 2  # rounds without a better worst premium
GAIN = 0.995  # of the worst premium so far, that counts as better
MAX_SHIFT = 32.0  # of a share, from where sampling had put it
MAX_STEP = 4.0  # of a share in one round


@dataclass(frozen=True, slots=True)
class Round:
    """One training: the shares it had, and what the languages pay."""

    weights: Floats
    """(languages,) multiples of the shares that sampling gave."""
    premium: Floats
    """(languages,) over the geometric mean; nan where there is too little text to tell."""
    mean_tokens: float
    """For the same content, over the languages that can be judged."""
    gini: float

    @property
    def worst(self) -> float:
        """The highest premium."""
        return float(np.nanmax(self.premium))


@dataclass(frozen=True, slots=True)
class Fitted:
    """The rounds, and which of them was chosen."""

    labels: tuple[str, ...]
    rounds: tuple[Round, ...]
    chosen: int

    @property
    def weights(self) -> Floats:
        """(languages,) of the chosen round."""
        return self.rounds[self.chosen].weights

    def curve(self) -> list[dict[str, Any]]:
        """Return the rounds for the report."""
        return [
            {
                "round": number,
                "mean_tokens": one.mean_tokens,
                "worst": one.worst,
                "worst_label": self.labels[int(np.nanargmax(one.premium))],
                "gini": one.gini,
                "chosen": number == self.chosen,
            }
            for number, one in enumerate(self.rounds)
        ]


def round_of(paid: Paid, *, labels: Sequence[str], weights: Floats) -> Round:
    """Return a round from what the languages pay."""
    premium = np.full(len(labels), np.nan)
    numbers = {label: number for number, label in enumerate(labels)}
    for label, value, judged in zip(paid.labels, paid.premium, paid.judged, strict=True):
        if judged and label in numbers:
            premium[numbers[label]] = value
    judged_tokens = paid.mean_tokens[paid.judged]
    return Round(weights, premium, float(judged_tokens.mean()), float(gini(judged_tokens)))


def next_weights(one: Round, *, step: float) -> Floats:
    """Return the shares of the next round: each times the premium to the power of the step."""
    change = np.clip(one.premium**step, 1 / MAX_STEP, MAX_STEP)
    moved = one.weights * np.where(np.isnan(change), 1.0, change)
    judged = ~np.isnan(one.premium)
    moved[judged] /= np.exp(np.log(moved[judged]).mean())
    return np.asarray(np.clip(moved, 1 / MAX_SHIFT, MAX_SHIFT))


def fit(
    train: Callable[[Floats, int], Paid],
    *,
    labels: Sequence[str],
    parity: Parity,
    say: Callable[[Round, int], None] = lambda _round, _number: None,
) -> Fitted:
    """Search the shares.

    Args:
        train: trains with (weights, number of the round) and returns what is paid.
        labels: the languages, in the order of the weights.
        parity: when to stop.
        say: is told each round.

    Returns:
        The rounds; chosen is the one with the lowest worst premium whose mean stays in bounds.
    """
    weights = np.ones(len(labels))
    rounds: list[Round] = []
    best = 0
    for number in range(parity.max_rounds):
        one = round_of(train(weights, number), labels=labels, weights=weights)
        rounds.append(one)
        say(one, number)
        if one.mean_tokens > rounds[0].mean_tokens * (1 + parity.max_mean_cost):
            break
        if one.worst < rounds[best].worst * GAIN:
            best = number
        elif number - best >= PATIENCE:
            break
        weights = next_weights(one, step=parity.step)
    allowed = [
        number
        for number, one in enumerate(rounds)
        if one.mean_tokens <= rounds[0].mean_tokens * (1 + parity.max_mean_cost)
    ]
    chosen = min(allowed, key=lambda number: (rounds[number].worst, number))
    return Fitted(tuple(labels), tuple(rounds), chosen)
