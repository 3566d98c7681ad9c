"""Who is told how it goes. `pretrain.tasks.show.Progress` is one; `SILENT` says nothing."""

from __future__ import annotations

from typing import Protocol


class Watcher(Protocol):
    """Is told how it goes."""

    def update(self, done: float, total: float, text: str) -> None:
        """Take how much is done of how much, and what it is."""

    def note(self, text: str) -> None:
        """Take something to say once."""


class _Silent:
    def update(self, done: float, total: float, text: str) -> None:
        pass

    def note(self, text: str) -> None:
        pass


SILENT: Watcher = _Silent()
