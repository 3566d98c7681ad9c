"""How the learning rate moves over a run: a pure function of how much of the run is done.

Promises: continuous, never outside [0, 1], 1 at the end of the warm-up, 0 at the end of the run.
Does not promise: a rate above 0 at the borders. Whoever asks for a step's rate gives the progress
in the middle of that step, `(step + 0.5) / steps`, so that no step is taken at a rate of 0.
"""

from __future__ import annotations

import math

from .config import ScheduleSettings


def factor(progress: float, *, settings: ScheduleSettings) -> float:
    """Return the share of the highest learning rate that holds at a point of the run.

    `linear`: rises to 1, then falls to 0 in a straight line (Devlin et al. 2019). `wsd`: rises,
    stays, and falls as 1 - sqrt(share of the decay) (Hägele et al. 2024) or in a straight line. A
    decay that would begin during the warm-up begins at its end.

    Args:
        progress: share of the run that is done, by tokens or by time; beyond [0, 1] is its border.
        settings: the schedule, resolved: its `kind` is known.
    """
    assert settings.kind is not None
    progress = min(max(progress, 0.0), 1.0)
    if progress < settings.warmup:
        return progress / settings.warmup
    start = settings.warmup
    if settings.kind == "wsd":
        start = max(start, 1 - settings.decay)
    fallen = max(0.0, progress - start) / (1 - start)
    return 1 - (math.sqrt(fallen) if _curved(settings) else fallen)


def _curved(settings: ScheduleSettings) -> bool:
    return settings.kind == "wsd" and settings.shape == "sqrt"
