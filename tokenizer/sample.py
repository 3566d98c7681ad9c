"""What the vocabulary is trained on: how often each language's units count, and which characters.

Text is never read again: a sample is made of the merged unit counts of each language, multiplied by
the language's factor, so that another weighting costs seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipelines import store
from pipelines.jit import kernel

from . import counts
from .config import Sampling

FNV_START = np.uint64(0xCBF29CE484222325)
FNV_PRIME = np.uint64(0x100000001B3)
MIX_1 = np.uint64(0xBF58476D1CE4E5B9)  # splitmix64's finaliser
MIX_2 = np.uint64(0x94D049BB133111EB)


@dataclass(frozen=True, slots=True)
class Language:
    """How much text a language has, for the vocabulary."""

    label: str
    num_bytes: int
    """Of its units, each counted as often as it occurs."""
    content: float
    """Graphemes, weighted by how much content one carries in its script."""


def factors(
    languages: Sequence[Language],
    *,
    sampling: Sampling,
    weights: npt.NDArray[np.float64] | None = None,
    sample_bytes: int,
) -> npt.NDArray[np.float64]:
    """Return how often the text of each language counts, shape (languages,).

    Shares are filled up like water, UniMax's way (Chung et al. 2023): a language that has too
    little counts `max_repeat` times, and what it leaves goes to the others.

    Args:
        languages: what there is.
        sampling: the shares that are aimed at, and the limit of repetition.
        weights: a multiple of each language's share, beyond that limit too, shape (languages,).
        sample_bytes: bytes of units of all languages together; less if all are at the limit.
    """
    num_bytes = np.array([language.num_bytes for language in languages], np.float64)
    content = np.maximum([language.content for language in languages], 1.0)
    aim: npt.NDArray[np.float64]
    if sampling.by == "temperature":
        aim = np.power(num_bytes, sampling.temperature - 1)
    elif sampling.by == "unimax":
        aim = 1 / num_bytes
    else:
        aim = 1 / content
    if sampling.by == "weights":
        own = [sampling.weights.get(language.label, 1.0) for language in languages]
        aim = aim * np.array(own, np.float64)
    level = _water_level(aim, num_bytes, limit=sampling.max_repeat, total=sample_bytes)
    found = np.minimum(sampling.max_repeat, level * aim)
    if weights is not None:
        found = found * weights
        total = float(found @ num_bytes)
        found *= min(float(sample_bytes), total) / total
    return np.asarray(found, np.float64)


def _water_level(
    aim: npt.NDArray[np.float64],
    num_bytes: npt.NDArray[np.float64],
    *,
    limit: float,
    total: float,
) -> float:
    """Return the level x at which sum(bytes * min(limit, x * aim)) is the total, or all is full."""
    full_at = limit / aim  # the level from which a language is at the limit
    order = np.argsort(full_at, kind="stable")
    full_bytes = np.concatenate([[0.0], np.cumsum(num_bytes[order] * limit)])
    rest = np.cumsum((num_bytes * aim)[order][::-1])[::-1]  # of those that are not full
    for position, language in enumerate(order):
        level = (total - full_bytes[position]) / rest[position]
        if level <= full_at[language]:
            return float(max(level, 0.0))
    return float(full_at.max())


def sample(
    merged: store.Folder,
    labels: Sequence[str],
    *,
    factors: npt.NDArray[np.float64],
    seed: int,
) -> pa.Table:
    """Return the units of all languages with their counts in the sample, sorted by their bytes.

    A count times its factor is rounded up or down at random, by the hash of the unit and the
    language, so that the expected counts are exact and the result depends on nothing else.

    Returns:
        Columns `unit` (large_string) and `count` (int64), one row a unit.
    """
    tables = []
    for label, factor in zip(labels, factors.tolist(), strict=True):
        table = counts.read_units(merged, label)
        unit = table.column("unit").combine_chunks()
        expected = table.column("count").to_numpy() * factor
        rounded = np.floor(expected + uniform(unit, seed=_seed_of(label, seed))).astype(np.int64)
        chosen = np.flatnonzero(rounded)
        tables.append(pa.table({"unit": unit.take(pa.array(chosen)), "count": rounded[chosen]}))
    joined = pa.concat_tables(tables)
    summed = joined.group_by("unit", use_threads=False).aggregate([("count", "sum")])
    summed = summed.rename_columns({"count_sum": "count"}).select(["unit", "count"])
    return summed.sort_by("unit").combine_chunks()


def uniform(text: pa.LargeStringArray, *, seed: int) -> npt.NDArray[np.float64]:
    """Return a number in [0, 1) for each string, the hash of its bytes and the seed."""
    offsets = np.frombuffer(text.buffers()[1], np.int64)[text.offset : text.offset + len(text) + 1]
    data = text.buffers()[2]
    hashes = np.zeros(len(text), np.uint64)
    if len(text) and data is not None:
        _hash_kernel(offsets, np.frombuffer(data, np.uint8), np.uint64(seed), hashes)
    return (hashes >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _seed_of(label: str, seed: int) -> int:
    return int(store.fingerprint([label, seed])[:16], 16)


@kernel
def _hash_kernel(
    offsets: npt.NDArray[np.int64],
    data: npt.NDArray[np.uint8],
    seed: np.uint64,
    hashes: npt.NDArray[np.uint64],
) -> None:
    """Write FNV-1a of each string's bytes, started with the seed and mixed."""
    for row in range(hashes.shape[0]):
        value = FNV_START ^ seed
        for position in range(offsets[row], offsets[row + 1]):
            value = (value ^ np.uint64(data[position])) * FNV_PRIME
        value = (value ^ (value >> np.uint64(30))) * MIX_1
        value = (value ^ (value >> np.uint64(27))) * MIX_2
        hashes[row] = value ^ (value >> np.uint64(31))


def required_characters(
    merged: store.Folder, labels: Sequence[str], *, coverage: float
) -> dict[str, list[int]]:
    """Return the code points that cover the share `coverage` of each language's own text.

    The most frequent ones first, ties by code point. Coverage over all languages together, which
    is SentencePiece's, loses the letters of the small ones first.
    """
    found = {}
    for label in labels:
        code_points, numbers = counts.characters(counts.read_units(merged, label))
        order = np.lexsort((code_points, -numbers))
        before = np.cumsum(numbers[order]) - numbers[order]
        needed = order[before < coverage * numbers.sum()]
        found[label] = code_points[needed].tolist()
    return found


def mass(units: pa.Table) -> int:
    """Return the bytes of all units, each counted as often as it occurs."""
    lengths = pc.binary_length(units.column("unit")).to_numpy()
    return int(lengths.astype(np.int64) @ units.column("count").to_numpy())
