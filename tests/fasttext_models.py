"""Write small fastText models with random weights, in every form that the format has."""

import struct
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

HIERARCHICAL, NEGATIVE_SAMPLING, SOFTMAX, ONE_VS_ALL = 1, 2, 3, 4


@dataclass
class SmallModel:
    """The arguments of a model. `write` makes the file; the same arguments make the same bytes."""

    words: list[str]
    loss: int = SOFTMAX
    dim: int = 8
    num_labels: int = 20
    num_buckets: int = 1000
    least: int = 2
    longest: int = 4
    word_ngrams: int = 1
    version: int = 12
    model: int = 3
    num_pruned: int | None = None
    """n-grams kept in the index, or None for no index."""
    block: int | None = None
    """Columns of a block of the quantised input, or None for a dense matrix."""
    has_norms: bool = False
    output_block: int | None = None
    scale: float = 2.0
    counts: list[int] = field(default_factory=list)
    weight: float | None = None
    """All weights, instead of random ones."""

    def write(self, path: Path) -> Path:
        rng = np.random.default_rng(7)
        arguments = (
            self.dim, 5, 5, 1, 5, self.word_ngrams, self.loss, self.model, self.num_buckets,
            self.least, self.longest, 100, 1e-4,
        )  # fmt: skip
        out = [struct.pack("<ii12id", 793712314, self.version, *arguments)]
        counts = self.counts or sorted(rng.integers(1, 10**6, self.num_labels).tolist())[::-1]
        num_words = len(self.words)
        num_pruned = -1 if self.num_pruned is None else self.num_pruned
        num_entries = num_words + self.num_labels
        out.append(
            struct.pack("<iiiqq", num_entries, num_words, self.num_labels, 10**7, num_pruned)
        )
        for word in self.words:
            out.append(word.encode() + b"\0" + struct.pack("<qb", 100, 0))
        for i, count in enumerate(counts):
            out.append(f"__label__l{i:03d}".encode() + b"\0" + struct.pack("<qb", count, 1))
        if self.num_pruned is None:
            num_rows = num_words + self.num_buckets
        else:
            num_rows = num_words + self.num_pruned
            kept = rng.permutation(self.num_buckets)[: self.num_pruned]
            rows = rng.permutation(self.num_pruned)
            out.append(np.stack([kept, rows], axis=1).astype("<i4").tobytes())
        out += self._matrix(rng, num_rows, self.block)
        out += self._matrix(rng, self.num_labels, self.output_block)
        path.write_bytes(b"".join(out))
        return path

    def _matrix(self, rng, rows: int, block: int | None) -> list[bytes]:
        def weights(count: int) -> bytes:
            if self.weight is not None:
                return np.full(count, self.weight, "<f4").tobytes()
            return (rng.standard_normal(count) * self.scale).astype("<f4").tobytes()

        if block is None:
            return [struct.pack("<Bqq", 0, rows, self.dim), weights(rows * self.dim)]
        num_blocks = -(-self.dim // block)
        out = [
            struct.pack("<BBqqi", 1, self.has_norms, rows, self.dim, rows * num_blocks),
            rng.bytes(rows * num_blocks),
            struct.pack("<4i", self.dim, num_blocks, block, self.dim - (num_blocks - 1) * block),
            weights(256 * self.dim),
        ]
        if self.has_norms:
            norms = rng.uniform(0.1, 2.0, 256).astype("<f4").tobytes()
            out += [rng.bytes(rows), struct.pack("<4i", 1, 1, 1, 1), norms]
        return out
