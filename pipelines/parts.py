"""Cut the documents of each label into published shards, and those into units of work.

Where a shard ends depends on the documents alone, not on how they lie in measured shards.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc

from . import stages, store

if TYPE_CHECKING:
    from .build import Build

CORPUS, REMOVED = "corpus", "removed"
PUBLISH_BYTES = 16 << 20  # of text in a unit of small shards


def parts_of(run: Build, verdicts: store.Folder) -> list[dict[str, Any]]:
    """Cut the kept and the removed documents of each label into published shards.

    Where a shard ends depends on the documents alone, not on how they lie in measured shards.
    """
    limit = run.settings.shard_mb * 1_000_000
    found: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    sizes: Counter[tuple[str, str]] = Counter()
    for shard in run.shards:
        kept = stages.read_verdicts(verdicts, shard.name).column("reason").to_numpy() < 0
        batches = stages.read_measured(run.work.url, shard.name)
        lengths = np.concatenate(
            [pc.binary_length(b.column("text")).to_numpy(zero_copy_only=False) for b in batches]
        ).astype(np.int64)
        start = 0
        for label, (first_batch, _, rows, _) in shard.labels.items():
            end = start + rows
            for kind, chosen in ((CORPUS, kept), (REMOVED, ~kept)):
                key = (kind, label)
                own = np.where(chosen[start:end], lengths[start:end], 0)
                for low, high, size in _pieces(own, sizes[key], limit):
                    if not chosen[start + low : start + high].any():
                        continue
                    parts = found[key]
                    if not parts or sizes[key] >= limit:
                        sizes[key] = 0
                        parts.append(
                            {
                                "name": f"{kind}/{label}/part-{len(parts):05d}.arrow",
                                "kind": kind,
                                "label": label,
                                "ranges": [],
                                "num_bytes": 0,
                            }
                        )
                    parts[-1]["ranges"].append(
                        [shard.name, first_batch, start, start + low, start + high]
                    )
                    parts[-1]["num_bytes"] += size
                    sizes[key] += size
            start = end
    return [part for _, parts in sorted(found.items()) for part in parts]


def grouped_parts(parts: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Put small parts together, in their order, to units worth a journal entry."""
    group: list[dict[str, Any]] = []
    number = num_bytes = 0
    for index, part in enumerate(parts):
        group.append(part)
        num_bytes += part["num_bytes"]
        if num_bytes >= PUBLISH_BYTES or index == len(parts) - 1:
            yield {"name": f"{number:06d}", "parts": group, "num_bytes": num_bytes}
            group, num_bytes, number = [], 0, number + 1


def _pieces(
    sizes: npt.NDArray[np.int64], before: int, limit: int
) -> Iterator[tuple[int, int, int]]:
    """Cut a run of documents where a shard of `limit` bytes, `before` of them used, is full.

    Yields (first, end, bytes); the document that crosses the limit still belongs to its shard.
    """
    if before >= limit:
        before = 0
    ends = np.cumsum(sizes)
    start = 0
    while start < len(sizes):
        base = int(ends[start - 1]) if start else 0
        end = min(int(np.searchsorted(ends, base + limit - before)) + 1, len(sizes))
        yield start, end, int(ends[end - 1]) - base
        start, before = end, 0
