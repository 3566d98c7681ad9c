"""Divide the time that a whole run was given.

What corpus and vocabulary took is known when pretraining begins; a reserve is kept for what comes
after it, and pretraining gets the rest:

    pretraining = budget - spent - starting - reserve,    at least a tenth of the budget

Promises: a pure function of its arguments, whose result says each part and why; a run that was
interrupted keeps its division, since its learning rate follows it.
Does not promise: that a stage ends on time. Corpus and vocabulary take what they take; tasks stop
training when their part is over, and are still judged; each time a run goes on, the libraries that
it loads take some seconds more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from pipelines.errors import ConfigError

from ..config import seconds_of
from ..meanings import duration

TASK_SHARE, TASK_LIMIT_S = 0.12, 600.0
"""Of the budget that is kept for each task, up to three of them; more would be a waste."""
MANY = 3
EXPORT_SHARE, EXPORT_LEAST_S, EXPORT_LIMIT_S = 0.05, 10.0, 120.0
"""For the export and ONNX, with what loading the libraries takes."""
STARTING_SHARE, COMPILING_S, LOADING_S = 0.1, 75.0, 5.0
"""Before pretraining begins to count: a GPU's model is compiled, a CPU's is not."""
LEAST_SHARE = 0.1
"""Of the budget that pretraining has at the least, even if the whole then takes longer."""


@dataclass(frozen=True)
class Division:
    """Seconds of a budget, by what they are for."""

    budget: str
    """As it was given."""
    total_s: float
    spent_s: float
    """What corpus, vocabulary and token shards took, earlier attempts of theirs included."""
    starting_s: float
    pretrain_s: float
    tasks_s: float
    export_s: float

    @property
    def over_s(self) -> float:
        """Return by how much the parts are more than the budget."""
        parts = self.spent_s + self.starting_s + self.pretrain_s + self.tasks_s + self.export_s
        return max(0.0, parts - self.total_s)

    def to_json(self) -> dict[str, float | str]:
        """Return it as plain values."""
        return asdict(self)

    def told(self) -> str:
        """Return it in a sentence."""
        parts = [
            (self.spent_s, "corpus and vocabulary took"),
            (self.pretrain_s, "pretraining gets"),
            (self.tasks_s, "kept for the tasks"),
            (self.export_s, "for exports"),
            (self.starting_s, "for starting"),
        ]
        said = "; ".join(f"{what} {duration(part)}" for part, what in parts if part)
        over = (
            f"; that is {duration(self.over_s)} more, as pretraining gets a tenth at the least"
            if self.over_s >= 1
            else ""
        )
        return f"of {self.budget}: {said}{over}".replace("\N{NO-BREAK SPACE}", " ")


def total_of(budget: str) -> float:
    """Return the seconds of a `--budget`.

    Raises:
        ConfigError: it is no time.
    """
    try:
        return seconds_of(budget)
    except ValueError:
        raise ConfigError(
            f"--budget {budget}: is not a time.\n  Write 90s, 20min, 1.5h or 2d."
        ) from None


def divide(budget: str, *, spent_s: float, num_tasks: int, on_gpu: bool) -> Division:
    """Divide a budget when pretraining is about to begin.

    Args:
        budget: as given, such as `20min`.
        spent_s: what the stages before took.
        num_tasks: to tune and judge on afterwards.
        on_gpu: whether the model is compiled first.

    Raises:
        ConfigError: the budget is no time.
    """
    total = total_of(budget)
    tasks = min(num_tasks, MANY) * TASK_SHARE * total
    tasks = min(tasks, num_tasks * TASK_LIMIT_S)
    export = min(max(EXPORT_SHARE * total, EXPORT_LEAST_S), EXPORT_LIMIT_S)
    starting = min(COMPILING_S if on_gpu else LOADING_S, STARTING_SHARE * total)
    rest = total - spent_s - starting - tasks - export
    return Division(
        budget=budget,
        total_s=total,
        spent_s=round(spent_s, 1),
        starting_s=round(starting, 1),
        pretrain_s=max(float(int(rest)), round(LEAST_SHARE * total, 1)),
        tasks_s=round(tasks, 1),
        export_s=round(export, 1),
    )


def kept(found: Mapping[str, object] | None, *, budget: str) -> Division | None:
    """Return the division of an earlier attempt with the same budget; None if there was none."""
    if not found or found.get("budget") != budget:
        return None
    numbers = {key: value for key, value in found.items() if isinstance(value, int | float)}
    return Division(budget=budget, **numbers)
