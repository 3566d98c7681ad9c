"""How far a run is: by its steps, or by the time that it was given."""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Sequence

from .config import PretrainSettings, seconds_of


class Clock:
    """The progress of a run, 0 at its start and 1 at its end."""

    def __init__(
        self, settings: PretrainSettings, *, per_step: int, elapsed_s: float = 0.0
    ) -> None:
        """Read the run's length.

        Args:
            settings: resolved ones.
            per_step: micro-batches of a step, over all ranks.
            elapsed_s: seconds that the run took before it was resumed.
        """
        slots = per_step * (settings.micro_batch_tokens or 1)
        self.steps = -(-settings.tokens // slots) if settings.tokens else None
        self.budget_s = seconds_of(settings.budget) if settings.budget else None
        self.per_step = per_step
        self._before, self._since = elapsed_s, time.monotonic()
        self._starts: Sequence[float] = [stage.start for stage in settings.stages]

    def start(self) -> None:
        """Begin to count time here: what came before was starting up."""
        self._since = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Return the seconds counted, those before a resumption included."""
        return self._before + time.monotonic() - self._since

    def progress(self, step: int) -> float:
        """Return the share of the run that is over when a step begins."""
        if self.steps is not None:
            return min(step / self.steps, 1.0)
        return min(self.elapsed_s / (self.budget_s or 1.0), 1.0)

    def of_micro(self, micro: int) -> float:
        """Return the share of a run measured in tokens that is over before a micro-batch."""
        return micro / ((self.steps or 1) * self.per_step)

    def stage_at(self, progress: float) -> int:
        """Return the stage that holds at a share of the run."""
        return max(0, bisect_right(self._starts, progress) - 1)
