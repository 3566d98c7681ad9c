"""How a student learns."""

from __future__ import annotations

from dataclasses import dataclass

from pipelines.errors import ConfigError

from ..config import seconds_of

DEVICES = ("auto", "cpu", "cuda")


@dataclass(frozen=True)
class Settings:
    """How a student learns."""

    tokens: int | None = None
    """Pieces of text to learn from; 10,000,000 when left out, without a budget."""
    budget: str | None = None
    """Time for it, instead: 90s, 10min, 1.5h."""
    layer: int | None = None
    """Which of the teacher's layers, counted from 1; its last when left out."""
    length: int = 128
    """Pieces of a sequence."""
    learning_rate: float | None = None
    """The highest; chosen by the width when left out."""
    hidden: float = 10.0
    """Weight of the hidden states' loss, of students as wide as their teacher."""
    seed: int = 0
    device: str = "auto"

    @staticmethod
    def of(
        *,
        tokens: int | None,
        budget: str | None,
        layer: int | None,
        length: int,
        learning_rate: float | None,
        seed: int,
        device: str,
    ) -> Settings:
        """Return the settings of a command line.

        Raises:
            ConfigError: one makes no sense.
        """
        if tokens is not None and budget is not None:
            raise ConfigError(
                "--tokens, --budget: both say how long to learn.\n  Leave one of them out."
            )
        if budget is not None:
            try:
                seconds_of(budget)
            except ValueError:
                raise ConfigError(
                    f"--budget {budget}: is not a time.\n  Write 90s, 10min, 1.5h or 2d."
                ) from None
        if device not in DEVICES:
            raise ConfigError(f"--device {device}: there are {', '.join(DEVICES)}.")
        if learning_rate is not None and learning_rate <= 0:
            raise ConfigError(f"--learning-rate {learning_rate:g}: it has to be above 0.")
        return Settings(tokens, budget, layer, length, learning_rate, seed=seed, device=device)
