"""What a stage of a whole run is, and what all of them share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pipelines import store

from .budget import Division
from .journal import Journal
from .sections import Sections

if TYPE_CHECKING:
    from pipelines.engines import Engine
    from pipelines.progress import Display

    from .. import train
    from ..judge.evaluate import Watcher as Tuning
    from ..tasks.data import TaskData

EXPORT, EVALUATION = "export", "evaluation"
TUNED = f"{EVALUATION}/models"


class Watcher(Protocol):
    """Shows a run while it goes on."""

    def stage(self, title: str, *, number: int, total: int, is_current: bool) -> None:
        """Say which stage begins, or is up to date."""

    def note(self, text: str) -> None:
        """Say something that explains what is done."""

    def display(self) -> Display:
        """Return what shows the stages of corpus and vocabulary."""

    def training(self, config: Mapping[str, Any]) -> AbstractContextManager[train.Watcher]:
        """Return what shows a training."""

    def tuning(self, title: str) -> AbstractContextManager[Tuning]:
        """Return what shows tunings."""


@dataclass
class Run:
    """A whole run: what it is to do, where, and what shows it."""

    sections: Sections
    folder: store.Folder
    base: Path
    """Relative input paths start here."""
    tasks: Mapping[str, TaskData]
    journal: Journal
    watcher: Watcher
    workers: int
    division: Division | None = None
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Say something now, and on the page."""
        self.notes.append(text)
        self.watcher.note(text)

    def named(self) -> str:
        """Return the name of the training that was last begun here; the preset's before it."""
        return str(self.journal.fact("run") or self.sections.pretrain.preset)

    @contextlib.contextmanager
    def engine(self) -> Iterator[Engine]:
        """Give what runs work units, and let go of its processes."""
        from pipelines.engines import engine

        chosen = engine("local", workers=self.workers)
        try:
            yield chosen
        finally:
            chosen.close()


class Stage(Protocol):
    """A part of a run that can be up to date."""

    @property
    def name(self) -> str:
        """Return what the journal calls it."""

    @property
    def title(self) -> str:
        """Return what people call it."""

    def key(self, run: Run) -> str:
        """Return what it would be made of, hashed; what comes before it is up to date."""

    def state(self, run: Run) -> str | None:
        """Return what it left, hashed; None if that is not whole."""

    def work(self, run: Run) -> None:
        """Do it, as far as it isn't done."""
