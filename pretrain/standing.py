"""What a run's records say: where each language stands, and how far the run is.

Pure functions of the facts that `report.report` reads; the page and the terminal show the same
because both ask here. A fact that is not known (a run that was killed early has few) is None, never
guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from statistics import fmean, median
from typing import Any, Literal

from .config import seconds_of

Facts = Mapping[str, Any]
Trend = Literal["new", "better", "same", "worse", "unclear"]

WORSE = 0.01
"""More bits by this share, over the last two evaluations, is getting worse."""
BETTER = 0.005
"""Fewer bits by this share since the evaluation before is still improving."""
SURE_MASKED = 1000
"""With fewer hidden tokens, a change of a percent is noise: the bounds above grow as the inverse of
their root. (The same tokens are judged each time, so it is less noise than in one evaluation.)"""
LEAST_MASKED = 100
"""With fewer, a language is not called the worst, as long as there are others."""
STEADY = 3
"""So often in a row is a trend even where little text tells it."""


@dataclass(frozen=True)
class Row:
    """A language: how well the model guesses its held-out text, and what it has seen of it."""

    label: str
    curve: tuple[tuple[int, float], ...] = ()
    """(tokens of the whole run, bits per byte) of each evaluation, the oldest first."""
    untrained: float | None = None
    """Bits per byte before the first step."""
    mlm_accuracy: float | None = None
    nsp_accuracy: float | None = None
    masked: int = 0
    """Hidden tokens that it is judged by."""
    held_by: str = "none"
    tokens: int | None = None
    """Of its training text."""
    seen: int | None = None
    """Tokens of it that were trained on, repetitions counted."""

    @property
    def now(self) -> float | None:
        """Return its bits per byte in the last evaluation."""
        return self.curve[-1][1] if self.curve else None

    @property
    def left(self) -> float | None:
        """Return what is left of the bits before training, as a share."""
        return self.now / self.untrained if self.now is not None and self.untrained else None

    @property
    def epochs(self) -> float | None:
        """Return how often its text was seen."""
        return self.seen / self.tokens if self.seen is not None and self.tokens else None

    @property
    def change(self) -> float | None:
        """Return the relative change since the evaluation before; below 0 is better."""
        return self._since(1)

    def _since(self, evaluations: int) -> float | None:
        if len(self.curve) < 2:
            return None
        return self.curve[-1][1] / self.curve[max(-1 - evaluations, -len(self.curve))][1] - 1

    @property
    def trend(self) -> Trend:
        """Tell whether it is still improving."""
        change, lately = self.change, self._since(2)
        if change is None or lately is None:
            return "new"
        noise = max(SURE_MASKED / max(self.masked, 1), 1.0) ** 0.5
        if self.masked >= LEAST_MASKED and lately > WORSE * noise:
            return "worse"
        if self.masked >= LEAST_MASKED and change < -BETTER * noise:
            return "better"
        return self._steady() if self.is_unsure else "same"

    def _steady(self) -> Trend:
        """Return the way that the last evaluations all went: noise seldom goes one way."""
        last = [bits for _, bits in self.curve[-1 - STEADY :]]
        steps = [after - before for before, after in pairwise(last)]
        if len(steps) < STEADY:
            return "unclear"
        if all(step < 0 for step in steps) and last[-1] < last[0] * (1 - BETTER):
            return "better"
        if all(step > 0 for step in steps) and last[-1] > last[0] * (1 + WORSE):
            return "worse"
        return "unclear"

    @property
    def is_unsure(self) -> bool:
        """Tell whether so few tokens judge it that small changes are noise."""
        return self.masked < SURE_MASKED

    @cached_property
    def trained(self) -> tuple[tuple[int, float], ...]:
        """Return the curve without the untrained model's point, if two others are left."""
        later = self.curve[1:] if self.untrained is not None else self.curve
        return later if len(later) > 1 else self.curve


def rows(facts: Facts) -> list[Row]:
    """Return all languages: those judged, most bits per byte first; then the others by label."""
    curves: dict[str, list[tuple[int, float]]] = {}
    untrained: dict[str, float] = {}
    last: dict[str, Mapping[str, Any]] = {}
    for record in facts["evaluations"]:
        for label, row in record["labels"].items():
            bits = row.get("bits_per_byte")
            if bits is not None and bits > 0:
                curves.setdefault(label, []).append((record["tokens"], bits))
                last[label] = row
                if record["step"] == 0:
                    untrained[label] = bits
    labels = facts["config"].get("labels") or ()
    texts = labels if isinstance(labels, Mapping) else {}
    seen = tokens_by_label(facts)
    found = []
    for label in sorted({*curves, *labels, *seen}):
        own = last.get(label, {})
        found.append(
            Row(
                label,
                curve=tuple(curves.get(label, ())),
                untrained=untrained.get(label),
                mlm_accuracy=own.get("mlm_accuracy"),
                nsp_accuracy=own.get("nsp_accuracy"),
                masked=int(own.get("masked") or 0),
                held_by=str(own.get("held_by") or "none"),
                tokens=texts.get(label, {}).get("tokens"),
                seen=seen.get(label),
            )
        )
    return sorted(found, key=lambda row: (-(row.now or 0), row.label))


def worst_of(found: Sequence[Row]) -> list[Row]:
    """Return the judged languages that enough tokens judge; all of them if most have too few."""
    judged = [row for row in found if row.now is not None]
    enough = [row for row in judged if row.masked >= LEAST_MASKED]
    return enough if 2 * len(enough) >= len(judged) else judged


def least_learnt(found: Sequence[Row]) -> Row | None:
    """Return the language that most is left of, against its own start; None if none is known."""
    known = [row for row in worst_of(found) if row.left is not None and row.trend != "new"]
    return max(known, key=lambda row: (row.left or 0, row.label)) if known else None


def tokens_by_label(facts: Facts) -> dict[str, int]:
    """Return the tokens trained on by language, as the result or the last checkpoint has them."""
    result, saved = facts.get("result") or {}, facts.get("checkpoint") or {}
    later = saved if (saved.get("step") or 0) > (result.get("steps") or 0) else result
    return dict(later.get("tokens_by_label") or saved.get("tokens_by_label") or {})


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run is."""

    step: int
    steps: int | None
    """Planned; None for a run of so much time."""
    tokens: int
    """Real ones, padding not counted."""
    seconds: float
    budget_s: float | None
    """Planned; None for a run of so many tokens."""
    share: float | None
    is_finished: bool
    saved: int | None
    """The step of the last whole checkpoint."""


def progress(facts: Facts) -> Progress:
    """Return how far a run is, as far as its files tell."""
    settings, result = facts["config"].get("settings") or {}, facts.get("result") or {}
    last = facts["log"][-1] if facts["log"] else {}
    judged = facts["evaluations"][-1] if facts["evaluations"] else {}
    known = (last, judged, {**result, "step": result.get("steps")})
    step = max(one.get("step") or 0 for one in known)
    tokens = max(one.get("tokens") or 0 for one in known)
    steps = planned_steps(facts["config"])
    seconds = _seconds(facts["log"])
    budget_s = seconds_of(settings["budget"]) if settings.get("budget") else None
    # A finished run that goes on, with a longer length, is not finished any more.
    finished = bool(result.get("finished")) and step <= (result.get("steps") or 0)
    whole = steps or budget_s
    share = min((step if steps else seconds) / whole, 1.0) if whole else None
    return Progress(
        step,
        steps,
        tokens,
        seconds,
        budget_s,
        1.0 if finished else share,
        finished,
        (facts.get("checkpoint") or {}).get("step"),
    )


def planned_steps(config: Mapping[str, Any]) -> int | None:
    """Return the steps of a run; None where it is as long as its time."""
    settings = config.get("settings") or {}
    planned, per_step = settings.get("tokens"), settings.get("batch_tokens")
    return -(-planned // per_step) if planned and per_step else None


def _seconds(log: Sequence[Mapping[str, Any]]) -> float:
    """Return the time that a log tells of; where its clock went back, the run was resumed."""
    total = before = 0.0
    for record in log:
        now = record.get("seconds") or 0.0
        total += now - before if now >= before else now
        before = now
    return total


def settled(log: Sequence[Mapping[str, Any]], key: str) -> list[float]:
    """Return a column of the log without what is unknown and, if there are others, the first line.

    The first line holds the time that compiling took.
    """
    return [row[key] for row in log[1:] or log if row.get(key) is not None]


def lately(log: Sequence[Mapping[str, Any]], key: str) -> float | None:
    """Return the mean of a column over the last twentieth of the log; None if it is not there."""
    column = settled(log, key)
    return fmean(column[-max(len(column) // 20, 1) :]) if column else None


def typical(log: Sequence[Mapping[str, Any]], key: str) -> float | None:
    """Return the middle of a column of the log; None if it is not there."""
    column = settled(log, key)
    return median(column) if column else None


def skips(log: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the steps that were skipped because their gradient was not finite."""
    return [step for record in log for step in record.get("skipped") or ()]


def nsp_accuracy(found: Sequence[Row], log: Sequence[Mapping[str, Any]]) -> float | None:
    """Return the share of pairs told right: held-out ones, or the last trained on."""
    judged = [(row.nsp_accuracy, row.masked) for row in found if row.nsp_accuracy is not None]
    weight = sum(masked for _, masked in judged)
    if weight:
        return sum(share * masked for share, masked in judged) / weight
    return lately(log, "nsp_accuracy")
