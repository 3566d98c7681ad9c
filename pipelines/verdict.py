"""Give every measured document its verdict: the reason it is removed for, or kept and its copies.

What failed a rule is out first. Of equal and nearly equal texts one document is kept; then, of the
documents that are left, each URL keeps those of one file (see `pipelines.dedupe`).
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from . import dedupe, judge, stages, store

if TYPE_CHECKING:
    from .build import Build

TEXT_REASON, URL_REASON, NEAR_REASON = (
    stages.REASONS.index(name) for name in (dedupe.TEXT, dedupe.URL, dedupe.NEAR)
)


@dataclass(slots=True)
class _Verdicts:
    """Verdicts of all documents, as columns."""

    reason: npt.NDArray[np.int16]
    copies: npt.NDArray[np.int32]
    removed: list[npt.NDArray[np.int64]]
    """Documents that were removed as copies, and beside them the ids of what was kept."""
    kept_ids: list[npt.NDArray[np.bytes_]]

    def remove(
        self,
        documents: npt.NDArray[np.int64],
        reasons: npt.NDArray[np.int16] | int,
        kept_ids: npt.NDArray[np.bytes_],
    ) -> None:
        self.reason[documents] = reasons
        self.removed.append(documents)
        self.kept_ids.append(kept_ids)


def write(
    run: Build,
    judged: store.Folder,
    text_roots: npt.NDArray[np.int64],
    url_roots: npt.NDArray[np.int64],
) -> store.Folder:
    """Write the verdicts of each measured shard; return their folder.

    Args:
        run: the build.
        judged: folder of the failed rules.
        text_roots: each document's group by text.
        url_roots: each document's group by URL.
    """
    num = len(text_roots)
    verdicts = _Verdicts(np.full(num, -1, np.int16), np.ones(num, np.int32), [], [])
    in_group = dedupe.grouped(text_roots) | dedupe.grouped(url_roots)
    members = _members(run, in_group)
    if members:
        document = members["document"]
        _remove_texts(verdicts, members, text_roots[document])
        left = verdicts.reason[document] < 0
        members = {name: column[left] for name, column in members.items()}
        _remove_urls(verdicts, members, url_roots[members["document"]])
    return _write_shards(run, judged, verdicts)


def _remove_texts(
    verdicts: _Verdicts, members: dict[str, npt.NDArray[Any]], group: npt.NDArray[np.int64]
) -> None:
    kept = dedupe.choose(group, members["rank"], members["length"], members["id"])
    removed = kept != np.arange(len(kept))
    np.add.at(verdicts.copies, members["document"][kept[removed]], 1)
    same = members["text_hash"] == members["text_hash"][kept]
    reasons = np.where(same, TEXT_REASON, NEAR_REASON).astype(np.int16)
    verdicts.remove(members["document"][removed], reasons[removed], members["id"][kept][removed])


def _remove_urls(
    verdicts: _Verdicts, members: dict[str, npt.NDArray[Any]], group: npt.NDArray[np.int64]
) -> None:
    kept = dedupe.choose(group, members["rank"], members["length"], members["id"])
    removed = members["file"] != members["file"][kept]
    np.add.at(verdicts.copies, members["document"][kept[removed]], 1)
    verdicts.remove(members["document"][removed], URL_REASON, members["id"][kept][removed])


def _members(run: Build, in_group: npt.NDArray[np.bool_]) -> dict[str, npt.NDArray[Any]]:
    """Return what the keep rule needs of all documents that are in a group of two or more."""
    rank = {corpus.name: i for i, corpus in enumerate(run.config.corpora)}
    parts: dict[str, list[npt.NDArray[Any]]] = defaultdict(list)
    for shard in run.shards:
        end = shard.first_document + shard.num_documents
        rows = np.flatnonzero(in_group[shard.first_document : end])
        if len(rows) == 0:
            continue
        wanted = ["id", "origin", "text", "text_hash"]
        batches = stages.read_measured(run.work.url, shard.name)
        table = pa.Table.from_batches([batch.select(wanted) for batch in batches])
        length = pc.binary_length(table.column("text")).to_numpy()[rows]
        taken = table.select(["id", "origin", "text_hash"]).take(pa.array(rows))
        parts["document"].append(rows + shard.first_document)
        parts["rank"].append(np.full(len(rows), rank[shard.corpus], np.int64))
        parts["length"].append(length.astype(np.int64))
        parts["id"].append(np.array(taken.column("id").to_pylist(), "S32"))
        parts["text_hash"].append(np.array(taken.column("text_hash").to_pylist(), "V16"))
        parts["file"].append(_files(shard.corpus, taken.column("origin").to_pylist()))
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def _files(corpus: str, origins: list[str]) -> npt.NDArray[np.uint64]:
    """Return a hash of the file each origin names, the same within a corpus only."""
    hashed: dict[str, int] = {}
    found = np.empty(len(origins), np.uint64)
    for row, origin in enumerate(origins):
        file = origin.rpartition("#")[0] or origin
        if file not in hashed:
            hashed[file] = xxhash.xxh3_64_intdigest(f"{corpus}\0{file}".encode())
        found[row] = hashed[file]
    return found


def _write_shards(run: Build, judged: store.Folder, verdicts: _Verdicts) -> store.Folder:
    empty = np.zeros(0, np.int64)
    removed = np.concatenate([empty, *verdicts.removed])
    kept_ids = np.concatenate([np.zeros(0, "S32"), *verdicts.kept_ids])
    order = np.argsort(removed)
    removed, kept_ids = removed[order], kept_ids[order]
    folder = run.work / f"verdicts-{run.key}"
    for shard in run.shards:
        start, end = shard.first_document, shard.first_document + shard.num_documents
        failed = stages.failed_of(judged.url, shard.name)
        reason = verdicts.reason[start:end].copy()
        by_rule = judge.reason_names(failed)
        reason[by_rule >= 0] = by_rule[by_rule >= 0]
        ids = np.full(shard.num_documents, None, object)
        low, high = np.searchsorted(removed, (start, end))
        ids[removed[low:high] - start] = [name.decode() for name in kept_ids[low:high]]
        table = pa.table(
            {
                "reason": reason,
                "num_copies": verdicts.copies[start:end],
                "failed": failed,
                "kept": pa.array(ids, pa.string()),
            }
        )
        with folder.writing(f"{shard.name}.arrow") as file:
            with pa.ipc.new_file(file, table.schema) as writer:
                writer.write_table(table.combine_chunks())
    return folder
