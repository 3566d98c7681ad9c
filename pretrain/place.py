"""Where a run is: all that a checkpoint holds beside weights and optimizer, a few integers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .source import Begun


@dataclass
class Place:
    """A place in a run."""

    tokens: NDArray[np.int64]
    """Real tokens of each language so far, of all ranks; shape (languages,)."""
    step: int = 0
    """Steps taken."""
    begun: list[Begun] = field(default_factory=list)
    """The blocks of data begun so far."""
    judged: int = -1
    """The last evaluation, 0 the one before training, -1 none."""
    skipped: int = 0
    """Steps left out because their gradient was not finite."""
    rollbacks: int = 0
    """Times that the weights went back to a checkpoint for that."""
    elapsed_s: float = 0.0
    """Seconds so far, in a run measured in time; 0 in others, whose bytes no clock decides."""

    @classmethod
    def start(cls, labels: Sequence[str]) -> Place:
        """Return the start of a run."""
        return cls(np.zeros(len(labels), np.int64))

    def to_state(self, labels: Sequence[str], *, per_step: int) -> dict[str, Any]:
        """Return the place as JSON."""
        return {
            "step": self.step,
            "micro": self.step * per_step,
            "begun": [[one.first, one.stage] for one in self.begun],
            "tokens": int(self.tokens.sum()),
            "tokens_by_label": by_label(labels, self.tokens),
            "judged": self.judged,
            "skipped": self.skipped,
            "rollbacks": self.rollbacks,
            "elapsed_s": self.elapsed_s,
        }

    @classmethod
    def of_state(cls, state: dict[str, Any], labels: Sequence[str]) -> Place:
        """Return the place that a checkpoint holds."""
        return cls(
            np.array([state["tokens_by_label"].get(label, 0) for label in labels], np.int64),
            int(state["step"]),
            [Begun(int(first), int(stage)) for first, stage in state["begun"]],
            int(state["judged"]),
            int(state["skipped"]),
            int(state["rollbacks"]),
            float(state["elapsed_s"]),
        )


def by_label(labels: Sequence[str], numbers: NDArray[np.int64]) -> dict[str, int]:
    """Return a number of each language as JSON."""
    return {label: int(number) for label, number in zip(labels, numbers, strict=True)}
