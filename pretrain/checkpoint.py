"""Save a run so that it can go on: weights, optimizer and place, whole or absent.

    checkpoints/step-00000120/  model.safetensors  optimizer.safetensors  state.json  manifest.json

Promises: what is loaded has the size and the SHA-256 that it was saved with; however a save ends
(killed, disk full), the checkpoint before it loads; training waits for the copy to memory only; the
same tensors and state give the same bytes; old ones are deleted after the new one is committed.
Does not promise: several processes that save into one folder; tensors split over ranks.

The manifest comes last and alone commits, and it goes first when a checkpoint is deleted, so that a
folder without one is the rest of a save or of a deletion: never read, removed by the next save.

safetensors.torch.save would hold Python's lock, and so the training thread, while it copies all
(measured: 1.7 s for 537 MB), and take the memory once more; writing tensor by tensor does neither.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import safetensors.torch
import torch
from torch import Tensor

from pipelines import store
from pipelines.disk import HashedFile, explained, sync
from pipelines.errors import DataError

ARTEFACT = "checkpoint"
MODEL, OPTIMIZER, STATE = "model.safetensors", "optimizer.safetensors", "state.json"
DTYPES = {
    torch.int64: "I64",
    torch.float64: "F64",
    torch.float32: "F32",
    torch.int32: "I32",
    torch.bfloat16: "BF16",
    torch.float16: "F16",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}
"""What can be saved, in the order in which safetensors writes it: wide first, so all is aligned."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A checkpoint, verified; its tensors are in memory and nobody else's."""

    step: int
    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    state: dict[str, Any]


class Checkpoints:
    """The checkpoints of a run: one process saves, any may load."""

    def __init__(self, folder: store.Folder, *, keep: int) -> None:
        """Name the folder; nothing is created or read yet.

        Args:
            folder: of all the run's checkpoints.
            keep: the last so many stay; at least 1.
        """
        assert keep >= 1
        self._folder = folder
        self._keep = keep
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._pending: Future[None] | None = None
        self._held: int | None = None
        self.undeleted: str | None = None
        """What the last save could not delete, and why, which does not stop a run; or None."""

    def save(
        self,
        step: int,
        *,
        model: Mapping[str, Tensor],
        optimizer: Mapping[str, Tensor],
        state: Mapping[str, Any],
    ) -> None:
        """Copy everything to memory now and write it in the background.

        Waits for the save before. A step that this object loaded or saved last is left as it is.
        Checkpoints of later steps, from before the run went back to an older one, are deleted.

        Args:
            step: updates of the weights so far.
            model: the weights by name.
            optimizer: as `Optimizer.state_tensors` gives it.
            state: the rest, in JSON's types.

        Raises:
            EnvironmentProblem: the save before failed.
            TypeError: the state holds what JSON has no form for.
        """
        self.wait()
        if step == self._held:
            return
        copied = json.loads(store.canonical_json(dict(state)))
        tensors = {MODEL: _copies(model), OPTIMIZER: _copies(optimizer)}
        devices = {tensor.device for tensor in (*model.values(), *optimizer.values())}
        copies_end = [
            torch.cuda.current_stream(device).record_event()
            for device in devices
            if device.type == "cuda"
        ]
        self._pending = self._writer.submit(self._write, step, tensors, copied, copies_end)

    def wait(self) -> None:
        """Return when nothing is being written any more.

        Raises:
            EnvironmentProblem: the last save failed: disk full, no permission. Raised once.
        """
        pending = self._pending
        if pending is not None:
            try:
                pending.result()
            finally:  # an interrupt ends the waiting, not the save
                self._pending = None if pending.done() else pending

    def check(self) -> None:
        """Raise what `wait` would if the last save is over; don't wait for it."""
        if self._pending is not None and self._pending.done():
            self.wait()

    def steps(self) -> list[int]:
        """Return the steps of all committed checkpoints, in order."""
        return [step for step in self._folders() if self._of(step).exists(store.MANIFEST)]

    def latest(self) -> int | None:
        """Return the step of the last committed checkpoint, or None."""
        return max(self.steps(), default=None)

    def load(self, step: int | None = None) -> Loaded:
        """Read a checkpoint; its files are verified before any of them is used.

        Args:
            step: of the checkpoint; the last one when left out.

        Raises:
            DataError: there is none, or not this one; or a file of it is not what was saved: then
                it names the file and another checkpoint that is whole.
        """
        step, files = self._verified(step, only=None)
        self._held = step
        model, optimizer = (safetensors.torch.load(files.pop(name)) for name in (MODEL, OPTIMIZER))
        return Loaded(step, model, optimizer, json.loads(files[STATE]))

    def state(self, step: int | None = None) -> dict[str, Any]:
        """Return what a checkpoint holds beside tensors, which are not read.

        Raises:
            DataError: as `load` does.
        """
        state: dict[str, Any] = json.loads(self._verified(step, only=STATE)[1][STATE])
        return state

    def _verified(self, step: int | None, *, only: str | None) -> tuple[int, dict[str, bytes]]:
        """Return a checkpoint's step and its files by name, after checking them."""
        self.wait()
        steps = self.steps()
        if not steps:
            raise DataError(
                f"{self._folder.url}: there is no checkpoint.\n"
                f"  Run `{store.MADE_BY[ARTEFACT]}` until it saves its first one."
            )
        if step is None:
            step = steps[-1]
        elif step not in steps:
            raise DataError(
                f"{self._folder.url}: there is no checkpoint of step {step}.\n"
                f"  There are: {', '.join(map(str, steps))}."
            )
        folder = self._of(step)
        try:
            listed = [file for file in _listed(folder, step=step) if only in (None, file.name)]
            files = {file.name: _read(folder, file) for file in listed}
        except DataError as error:
            raise DataError(f"{error}\n  {self._remedy(step)}") from error
        return step, files

    def verify(self) -> list[str]:
        """Re-hash all checkpoints and return what is wrong, in words; empty if nothing is."""
        return [wrong for step in self.steps() for wrong in self._wrong(step)]

    def _wrong(self, step: int) -> list[str]:
        folder = self._of(step)
        try:
            listed = _listed(folder, step=step)
        except DataError as error:
            return [str(error)]
        found = {folder.path(file.name): folder.check(file) for file in listed}
        return [f"{path}: {wrong}." for path, wrong in found.items() if wrong]

    def _remedy(self, step: int) -> str:
        """Say what to do instead of loading a damaged checkpoint: an older one, or a newer one."""
        others = [other for other in self.steps() if other != step]
        for other in sorted(others, key=lambda other: (other > step, -other)):
            if not self._wrong(other):
                whole = f"The checkpoint of step {other} is whole"
                away = f": delete {self._of(step).url} to go on from there"
                return f"{whole}{away if other < step else ''}."
        return "No other checkpoint of this run is whole: start it again under another name."

    def _write(
        self,
        step: int,
        tensors: dict[str, dict[str, Tensor]],
        state: dict[str, Any],
        copies_end: list[torch.cuda.Event],
    ) -> None:
        """Write and commit a checkpoint, then delete what it replaces. Runs in the background."""
        for event in copies_end:
            event.synchronize()
        self.undeleted = None
        with explained(self._folder.url):
            committed = set(self.steps())
            for other in self._folders():
                if other == step or other not in committed:
                    self._remove(other)  # a killed save may hold the space that this one needs
            self._commit(step, tensors, state)
            self._held = step
            kept = [other for other in self.steps() if other <= step][-self._keep :]
            for other in self.steps():
                if other not in kept:
                    self._remove(other)

    def _commit(
        self, step: int, tensors: dict[str, dict[str, Tensor]], state: dict[str, Any]
    ) -> None:
        """Write a checkpoint, all of it or nothing."""
        folder = self._of(step)
        files: list[store.Written] = []
        counts = {
            "step": step,
            "parameters": sum(tensor.numel() for tensor in tensors[MODEL].values()),
        }
        try:
            for name in (MODEL, OPTIMIZER):
                with folder.writing(name, committed=files) as file:
                    write_tensors(file, tensors=tensors.pop(name))
            files.append(folder.write_json(STATE, state))
            store.write_manifest(
                folder,
                artefact=ARTEFACT,
                fingerprint=_seal(counts, files),
                counts=counts,
                files=files,
            )
            if self._folder.is_local:
                sync(self._folder.root)
        except BaseException:
            self._remove(step)
            raise

    def _remove(self, step: int) -> None:
        """Delete a checkpoint or the rest of one; failing at it is no failure of the run."""
        folder = self._of(step)
        try:
            folder.remove(store.MANIFEST)  # from here on it is none
            store.point()
            folder.remove_all()
        except OSError as error:
            self.undeleted = f"{folder.url}: cannot be deleted ({error.strerror or error})."

    def _of(self, step: int) -> store.Folder:
        return self._folder / f"step-{step:08d}"

    def _folders(self) -> list[int]:
        """Return the steps that have a folder, committed or not, in order."""
        if not self._folder.is_local:
            names = {name.partition("/")[0] for name in self._folder.names()}
        elif self._folder.root.is_dir():
            names = {path.name for path in self._folder.root.iterdir()}
        else:
            names = set()
        found = (re.fullmatch(r"step-(\d{8,})", name) for name in names)
        return sorted(int(match[1]) for match in found if match)


def write_tensors(file: HashedFile, *, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors in the safetensors format; the same bytes for the same tensors.

    The format: the length of the header in 8 bytes; the header, JSON with each tensor's type, shape
    and place; the tensors' bytes.

    Args:
        file: open for writing.
        tensors: on the CPU, contiguous, of the types in `DTYPES`.
    """
    order = list(DTYPES)
    names = sorted(tensors, key=lambda name: (order.index(tensors[name].dtype), name))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name in names:
        start, end = end, end + tensors[name].nbytes
        header[name] = {
            "dtype": DTYPES[tensors[name].dtype],
            "shape": list(tensors[name].shape),
            "data_offsets": [start, end],
        }
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for name in names:
        file.write(tensors[name].view(-1).view(torch.uint8).numpy())


def _copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies in memory; from a GPU they are complete when its stream gets there.

    What changes the tensors later is later in the same stream, so it can't overtake the copies.
    """
    copies = {}
    for name, tensor in tensors.items():
        copy = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=tensor.is_cuda)
        copies[name] = copy.copy_(tensor.detach(), non_blocking=True)
    return copies


def _seal(counts: Mapping[str, Any], files: list[store.Written]) -> str:
    """Return what changes with any of the manifest's facts, so that it vouches for itself."""
    listed = sorted((file.name, file.num_bytes, file.sha256) for file in files)
    return store.fingerprint({"counts": dict(counts), "files": listed})


def _listed(folder: store.Folder, *, step: int) -> list[store.Written]:
    """Return the files of a checkpoint.

    Raises:
        DataError: the manifest is not what was saved.
    """
    try:
        manifest = store.read_manifest(folder, artefact=ARTEFACT)
        files, counts = store.listed(manifest), manifest["counts"]
        whole = manifest["fingerprint"] == _seal(counts, files) and counts["step"] == step
    except (AttributeError, KeyError, TypeError):  # JSON, but not of a manifest
        whole = False
    if not whole or {file.name for file in files} != {MODEL, OPTIMIZER, STATE}:
        raise DataError(f"{folder.path(store.MANIFEST)}: is not what was saved for step {step}.")
    return files


def _read(folder: store.Folder, written: store.Written) -> bytes:
    """Return a file's bytes after checking them: what is used is what was hashed.

    Raises:
        DataError: it is missing, cannot be read, or is not what was saved.
    """
    path = folder.path(written.name)
    try:
        data = folder.read_bytes(written.name)
    except FileNotFoundError:
        raise DataError(f"{path}: is missing.") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error
    if len(data) != written.num_bytes:
        raise DataError(f"{path}: has {len(data):,} bytes instead of {written.num_bytes:,}.")
    found = hashlib.sha256(data).hexdigest()
    if found != written.sha256:
        raise DataError(f"{path}: has SHA-256 {found} instead of {written.sha256}.")
    return data
