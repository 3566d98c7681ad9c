"""`fit: parity`: shift the languages' shares until the worst-served one pays no less for it.

Each round trains a vocabulary on a sample, lets every language pay for text that it was not trained
on, and multiplies each share by a power of the language's premium. That is the multiplicative
update of minimax problems: who pays more gets more. A language that got more and paid no less gives
it back, and gets no more: its text is exhausted. Unknown text costs a token a character, so no
language looks cheap by being lost.

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

PATIENCE = 3  # rounds without a better one
GAIN = 0.995  # of the worst premium (or the Gini coefficient) so far, that counts as better
AS_GOOD = 1.03  # of the lowest worst premium: one language's, so less is chance
MAX_SHIFT = 16.0  # of a share, from where sampling had put it
MAX_STEP = 2.0  # of a share in one round
LEAST_RETURN = 0.02  # fall of what a language pays for each rise of its share, both as logarithms


@dataclass(frozen=True, slots=True)
class Round:
    """One training: the shares it had, and what the languages pay."""

    weights: Floats
    """(languages,) multiples of the shares that sampling gave."""
    premium: Floats
    """(languages,) over the geometric mean; nan where there is too little text to tell."""
    tokens: Floats
    """(languages,) for the same content; nan as above."""
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
    premium, tokens = np.full(len(labels), np.nan), np.full(len(labels), np.nan)
    numbers = {label: number for number, label in enumerate(labels)}
    for row in np.flatnonzero(paid.judged).tolist():
        if paid.labels[row] in numbers:
            premium[numbers[paid.labels[row]]] = paid.premium[row]
            tokens[numbers[paid.labels[row]]] = paid.mean_tokens[row]
    judged = paid.mean_tokens[paid.judged]
    return Round(weights, premium, tokens, float(judged.mean()), float(gini(judged)))


def next_weights(one: Round, *, step: float) -> Floats:
    """Return the shares of the next round: each times the premium to the power of the step."""
    change = np.clip(one.premium**step, 1 / MAX_STEP, MAX_STEP)
    moved = one.weights * np.where(np.isnan(change), 1.0, change)
    judged = ~np.isnan(one.premium)
    moved[judged] /= np.exp(np.log(moved[judged]).mean())
    return np.asarray(np.clip(moved, 1 / MAX_SHIFT, MAX_SHIFT))


def useless(one: Round, *, before: Round) -> npt.NDArray[np.bool_]:
    """Return (languages,) which have a larger share than in the round before and gained nothing.

    Of a few kilobytes, repeated ever more often, a vocabulary learns whole words by heart, and the
    language pays more for any other text.
    """
    grew = np.log(one.weights / before.weights)
    fell = np.log(before.tokens / one.tokens)
    return np.asarray((grew > 0) & (fell < LEAST_RETURN * grew))


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
        The rounds; chosen is the one with the lowest worst premium whose mean stays in bounds, or
        of several that are as good the one with the lowest Gini coefficient.
    """
    weights = np.ones(len(labels))
    ceiling = np.full(len(labels), np.inf)
    rounds: list[Round] = []
    best = 0
    for number in range(parity.max_rounds):
        one = round_of(train(weights, number), labels=labels, weights=weights)
        rounds.append(one)
        say(one, number)
        if one.mean_tokens > rounds[0].mean_tokens * (1 + parity.max_mean_cost):
            break
        if number and _is_better(one, rounds[best]):
            best = number
        elif number - best >= PATIENCE:
            break
        if number:
            stuck = useless(one, before=rounds[-2])
            ceiling[stuck] = np.minimum(ceiling, rounds[-2].weights)[stuck]
        weights = np.minimum(next_weights(one, step=parity.step), ceiling)
    allowed = [
        number
        for number, one in enumerate(rounds)
        if one.mean_tokens <= rounds[0].mean_tokens * (1 + parity.max_mean_cost)
    ]
    least = min(rounds[number].worst for number in allowed)
    as_good = [number for number in allowed if rounds[number].worst <= least * AS_GOOD]
    chosen = min(as_good, key=lambda number: (rounds[number].gini, number))
    return Fitted(tuple(labels), tuple(rounds), chosen)


def _is_better(one: Round, best: Round) -> bool:
    """Tell whether a round is worth going on: for the worst-served language, or for all others."""
    return one.worst < best.worst * GAIN or (
        one.gini < best.gini * GAIN and one.worst <= best.worst * AS_GOOD
    )
