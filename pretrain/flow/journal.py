"""What a whole run has finished: OUT/work/flow/flow.json, which makes the second one short.

A stage is up to date when it was finished from the same inputs and settings (its key), and what it
left is still there as it was (its artefact's state). Anything else, a changed setting, a new file,
a deleted shard, runs it again; the stage itself then keeps what of its own work still holds.

Promises: a stage that was killed is never taken for finished: only `finish` says so, last.
Does not promise: to notice bytes that changed within a file of the same size; whoever reads it
next checks its hash (`koine corpus verify` and its kin do at once).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from pipelines import store
from pipelines.errors import DataError

NAME = "flow.json"


class Journal:
    """Reads and writes the file."""

    def __init__(self, folder: store.Folder) -> None:
        """Read it, if it is there."""
        self._folder = folder
        found: Any = {}
        if folder.exists(NAME):
            with contextlib.suppress(DataError):  # what it says can all be found out again
                found = folder.read_json(NAME)
        self._values: dict[str, Any] = found if isinstance(found, dict) else {}
        if not isinstance(self._values.get("stages"), dict):
            self._values["stages"] = {}

    def is_current(self, stage: str, *, key: str, state: str | None) -> bool:
        """Tell whether a stage needn't run.

        Args:
            stage: its name.
            key: what it would be made of, hashed.
            state: what it left, as it is now; None if that is not whole.
        """
        own = self._stage(stage)
        return state is not None and own.get("key") == key and own.get("state") == state

    def seconds(self, stage: str) -> float:
        """Return the time that a stage took, over all attempts with its present key."""
        return float(self._stage(stage).get("seconds") or 0.0)

    @contextlib.contextmanager
    def timed(self, stage: str, *, key: str) -> Iterator[None]:
        """Count the time of a block, however it ends; the stage is unfinished from here on."""
        own = self._stage(stage)
        before = self.seconds(stage) if own.get("key") == key else 0.0
        started = time.monotonic()
        self._write(stage, {"key": key, "state": None, "seconds": before})
        try:
            yield
        finally:
            took = before + time.monotonic() - started
            self._write(stage, {"key": key, "state": None, "seconds": round(took, 2)})

    def finish(self, stage: str, *, key: str, state: str | None) -> None:
        """Say that a stage is finished."""
        self._write(stage, {"key": key, "state": state, "seconds": self.seconds(stage)})

    def fact(self, name: str) -> Any:  # noqa: ANN401
        """Return something else that was kept; None if it wasn't."""
        return self._values.get(name)

    def keep(self, name: str, value: object) -> None:
        """Keep something else."""
        self._values[name] = value
        self._folder.write_json(NAME, self._values)

    def _stage(self, stage: str) -> dict[str, Any]:
        own = self._values["stages"].get(stage)
        return own if isinstance(own, dict) else {}

    def _write(self, stage: str, own: dict[str, Any]) -> None:
        self._values["stages"][stage] = own
        self._folder.write_json(NAME, self._values)


def state_of(folder: store.Folder, *, artefact: str) -> str | None:
    """Return what an artefact is, by its manifest; None unless all that it lists is there."""
    if not folder.exists(store.MANIFEST):
        return None
    try:
        manifest = store.read_manifest(folder, artefact=artefact)
    except DataError:
        return None
    if not all(_is_there(folder, file) for file in store.listed(manifest)):
        return None
    return store.fingerprint(manifest)


def _is_there(folder: store.Folder, file: store.Written) -> bool:
    if not folder.is_local:
        return folder.exists(file.name)
    path = folder.root / file.name
    return path.is_file() and path.stat().st_size == file.num_bytes
