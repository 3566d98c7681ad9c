"""Find documents that are there already: by URL, by text, and near-duplicates by MinHash-LSH.

Text takes no part in it. Each measured shard spills its keys (16 bytes each: a hash and a document
number), ordered by partition; a partition's slices of all spills are sorted together, equal hashes
become edges, and a union-find over the edges gives the groups. Of a group one document is kept, by
a rule that depends on the documents alone: the corpus listed first, then the longest text, then the
smallest id.

URLs are joined apart from texts, after them. Records of one file that share a URL are parts of one
source (the chapters of a book, the sentences of a page), not copies of each other, so a URL keeps
all its documents of one file, the one with the best document by the same rule, and gives up those
of other files. Small languages often come as such parts: removing them cost some languages of the
development corpora 97 % of their text.

Memory: a partition holds `memory_mb` at most, at KEY_BYTES a key and three copies while sorting;
the two union-finds hold 8 bytes a document each.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numba
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from . import records

if TYPE_CHECKING:
    from .config import Dedupe

KEY = np.dtype([("hash", "<u8"), ("document", "<u8")])
KEY_BYTES = KEY.itemsize
SORT_COPIES = 3  # the keys, the order, and the sorted keys

URL_BIT = np.uint64(1 << 63)  # of a document number: the key is of its URL

URL, TEXT, NEAR = REASONS = records.DUPLICATES


def num_partitions(num_documents: int, settings: Dedupe) -> int:
    """Return into how many partitions the keys are cut so that each fits `memory_mb`."""
    keys = num_documents * (settings.bands * settings.near + settings.exact + settings.url)
    needed = keys * KEY_BYTES * SORT_COPIES
    # A power of two, so that a partition is a prefix of the hash; twice over for uneven ones.
    least = max(1.0, 2 * needed / (settings.memory_mb << 20))
    return 1 << math.ceil(math.log2(least))


def keys_of(
    batch: pa.RecordBatch | pa.Table,
    good: npt.NDArray[np.bool_],
    *,
    first_document: int,
    settings: Dedupe,
) -> npt.NDArray[np.void]:
    """Return the keys of the documents that passed the rules, unordered.

    Args:
        batch: n measured documents.
        good: (n,) which of them take part.
        first_document: the number of the batch's first document in the whole corpus.
        settings: which kinds of keys to make.
    """
    document = np.arange(first_document, first_document + batch.num_rows, dtype=np.uint64)
    parts = []
    if settings.exact:
        halves = _fixed(batch.column("text_hash"), 2)[0]
        parts.append(_keys(halves[good, 0], document[good], salt=1))
    if settings.url:
        hashes = _flat(batch.column("url_hash"))
        known = good & ~np.asarray(hashes.is_null())
        values = hashes.fill_null(0).to_numpy(zero_copy_only=False).astype(np.uint64)
        parts.append(_keys(values[known], document[known] | URL_BIT, salt=2))
    if settings.near:
        bands, known = _fixed(batch.column("bands"), settings.bands)
        rows = good & known
        own = document[rows]
        parts += [_keys(bands[rows, b], own, salt=16 + b) for b in range(settings.bands)]
    return np.concatenate(parts) if parts else np.empty(0, KEY)


def _fixed(
    column: pa.Array | pa.ChunkedArray, width: int
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.bool_]]:
    """Return a fixed-size binary column as (n, width) uint64, and which rows are not null."""
    array = _flat(column)
    known = ~np.asarray(array.is_null())
    data = array.buffers()[1]
    if len(array) == 0 or data is None:
        return np.zeros((len(array), width), np.uint64), known
    start = array.offset * width * 8
    values = np.frombuffer(data, "<u8", count=len(array) * width, offset=start)
    return values.reshape(len(array), width), known


def _keys(
    hashes: npt.NDArray[np.uint64], documents: npt.NDArray[np.uint64], *, salt: int
) -> npt.NDArray[np.void]:
    """Return keys whose hashes are mixed (murmur3's finaliser) with what they are hashes of."""
    value = hashes + np.uint64(salt * 0x9E3779B97F4A7C15 & 0xFFFFFFFFFFFFFFFF)
    value ^= value >> np.uint64(33)
    value *= np.uint64(0xFF51AFD7ED558CCD)
    value ^= value >> np.uint64(33)
    value *= np.uint64(0xC4CEB9FE1A85EC53)
    value ^= value >> np.uint64(33)
    keys = np.empty(len(value), KEY)
    keys["hash"], keys["document"] = value, documents
    return keys


def partitioned(
    keys: npt.NDArray[np.void], num: int
) -> tuple[npt.NDArray[np.void], npt.NDArray[np.int64]]:
    """Return the keys ordered by partition, and where each partition starts and ends (num + 1)."""
    shift = np.uint64(64 - int(math.log2(num)))
    which = (keys["hash"] >> shift).astype(np.int64) if num > 1 else np.zeros(len(keys), np.int64)
    order = np.argsort(which, kind="stable")
    bounds = np.concatenate([[0], np.cumsum(np.bincount(which, minlength=num))])
    return keys[order], bounds.astype(np.int64)


def join(slices: Iterable[bytes]) -> npt.NDArray[np.uint64]:
    """Return the edges of one partition: (m, 2) documents with an equal key, URL_BIT kept."""
    keys = np.concatenate([np.frombuffer(part, KEY) for part in slices] or [np.empty(0, KEY)])
    hashes = np.ascontiguousarray(keys["hash"])
    # Not stable: which document of a run comes first changes the edges, but not the groups.
    order = np.argsort(hashes)
    hashes = hashes[order]  # one after the other: 40 bytes a key at most, not 48
    documents = keys["document"][order]
    del keys, order
    same = hashes[1:] == hashes[:-1]
    # A chain through each run of equal hashes joins it as well as a star would.
    edges = np.stack([documents[:-1][same], documents[1:][same]], axis=1)
    apart: npt.NDArray[np.uint64] = edges[edges[:, 0] != edges[:, 1]]
    return apart


@numba.njit(cache=True, nogil=True)  # type: ignore[misc]
def _unite(parent: npt.NDArray[np.int64], edges: npt.NDArray[np.int64]) -> None:
    for row in range(edges.shape[0]):
        a, b = edges[row, 0], edges[row, 1]
        while parent[a] != a:
            parent[a] = parent[parent[a]]
            a = parent[a]
        while parent[b] != b:
            parent[b] = parent[parent[b]]
            b = parent[b]
        if a < b:
            parent[b] = a
        elif b < a:
            parent[a] = b


@numba.njit(cache=True, nogil=True)  # type: ignore[misc]
def _roots(parent: npt.NDArray[np.int64]) -> None:
    for row in range(parent.shape[0]):
        # The root is the smallest member, so parents lie below and are settled already.
        parent[row] = parent[parent[row]]


class Groups:
    """Union-find over document numbers; a group's root is its smallest member."""

    def __init__(self, num_documents: int) -> None:
        """Start with every document alone."""
        self._parent = np.arange(num_documents, dtype=np.int64)

    def add(self, edges: npt.NDArray[np.uint64]) -> None:
        """Unite the two documents of each edge."""
        _unite(self._parent, edges.astype(np.int64))

    def roots(self) -> npt.NDArray[np.int64]:
        """Return each document's root."""
        _roots(self._parent)
        return self._parent


def choose(
    group: npt.NDArray[np.int64],
    rank: npt.NDArray[np.int64],
    length: npt.NDArray[np.int64],
    identity: npt.NDArray[np.bytes_],
) -> npt.NDArray[np.int64]:
    """Return, for each member of the groups, the index of the member that is kept.

    All arguments are (m,): the group, the corpus's place in the configuration, the text's length
    and the id. Kept is the lowest rank, then the longest text, then the smallest id.
    """
    order = np.lexsort((identity, -length, rank, group))
    ordered = group[order]
    starts = np.concatenate([[True], ordered[1:] != ordered[:-1]])
    first = np.maximum.accumulate(np.where(starts, np.arange(len(ordered)), 0))
    kept = np.empty(len(group), np.int64)
    kept[order] = order[first]
    return kept


def split_edges(
    edges: npt.NDArray[np.uint64],
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    """Return the edges between texts, and those between URLs with the bit taken off."""
    of_url = (edges[:, 0] & URL_BIT) != 0
    return edges[~of_url], edges[of_url] & ~URL_BIT


def grouped(roots: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return which documents are in a group of two or more."""
    sizes = np.bincount(roots, minlength=len(roots))
    return np.asarray(sizes[roots] > 1)


def _flat(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
