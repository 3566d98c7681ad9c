"""Remember the seeds that are finished, so that a killed tuning goes on with the next one.

    .seeds/inputs.json       what they were tuned with
    .seeds/seed-3.json       how seed 3 went, its scores and predictions
    .seeds/seed-3.safetensors   its weights, as long as it is the best

Promises: what is not of the same inputs is thrown away; the best finished seed has its weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import safetensors.torch
from torch import Tensor

from pipelines import store
from pipelines.errors import DataError

INPUTS = "inputs.json"


@dataclass
class Seeds:
    """The journal of a tuning."""

    folder: store.Folder
    done: dict[int, dict[str, Any]]
    """What each finished seed wrote."""

    @classmethod
    def open(cls, folder: store.Folder, *, fingerprint: str) -> Seeds:
        """Open a journal, an empty one where there is none of these inputs."""
        done: dict[int, dict[str, Any]] = {}
        try:
            same = folder.read_json(INPUTS) == {"fingerprint": fingerprint}
            for name in folder.names() if same else []:
                stem, _, kind = name.rpartition(".")
                if kind == "json" and stem.startswith("seed-"):
                    done[int(stem.removeprefix("seed-"))] = folder.read_json(name)
        except (DataError, ValueError):
            same, done = False, {}
        found = cls(folder, done)
        if same and done and not folder.exists(_weights(found.best)):
            same, found.done = False, {}
        if not same:
            folder.remove_all()
            folder.create()
            folder.write_json(INPUTS, {"fingerprint": fingerprint})
        return found

    @property
    def best(self) -> int:
        """Return the seed that did best on the development split, the first of equals."""
        return max(sorted(self.done), key=lambda seed: _order(self.done[seed]))

    def add(self, seed: int, record: dict[str, Any], weights: dict[str, Tensor]) -> None:
        """Write down a finished seed, and its weights if they are the best so far."""
        before = self.best if self.done else None
        if before is None or _order(record) > _order(self.done[before]):
            tensors = {name: value.cpu().contiguous() for name, value in weights.items()}
            self.folder.write_bytes(_weights(seed), safetensors.torch.save(tensors))
        self.folder.write_json(f"seed-{seed}.json", record)
        self.done[seed] = record
        if before is not None and self.best != before:
            self.folder.remove(_weights(before))

    def weights(self) -> dict[str, Tensor]:
        """Return the weights of the best seed."""
        return safetensors.torch.load(self.folder.read_bytes(_weights(self.best)))


def _order(record: dict[str, Any]) -> float:
    dev = record["fit"]["dev"]
    return float("-inf") if dev is None else float(dev)


def _weights(seed: int) -> str:
    return f"seed-{seed}.safetensors"
