"""rensa's and datasketch's part of minhash.py: runs in build/alternatives, prints JSON.

    other_minhash.py time TEXTS.json      seconds of each tool, and of making the shingles
    other_minhash.py pairs PAIRS.json     estimated Jaccard indexes of each tool

Each tool is called by the fastest way it has: whole batches, no object for each document where
that can be helped.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from datasketch import MinHash
from rensa import CMinHash, RMinHash

NUM_PERMUTATIONS = 112
WIDTH = 5
SEED = 1

Shingles = list[list[str]]


def shingles_of(texts: list[str]) -> Shingles:
    """Return the shingles of each document, joined, as the tools take them."""
    made = []
    for text in texts:
        words = text.lower().split()
        count = max(1, len(words) - WIDTH + 1)
        made.append([" ".join(words[i : i + WIDTH]) for i in range(count)])
    return made


def rensa_r(shingles: Shingles) -> Any:
    return RMinHash.digest_matrix_from_token_sets(shingles, NUM_PERMUTATIONS, SEED)


def rensa_rho(shingles: Shingles) -> Any:
    return RMinHash.digest_matrix_from_token_sets_rho(shingles, NUM_PERMUTATIONS, SEED)


def rensa_c(shingles: Shingles) -> list[list[int]]:
    return CMinHash.digests64_from_token_sets(shingles, NUM_PERMUTATIONS, SEED)


def datasketch_sha1(shingles: Shingles) -> list[MinHash]:
    encoded = ([shingle.encode() for shingle in document] for document in shingles)
    return list(MinHash.generator(encoded, num_perm=NUM_PERMUTATIONS, seed=SEED))


def datasketch_one_by_one(shingles: Shingles) -> list[MinHash]:
    found = []
    for document in shingles:
        sketch = MinHash(num_perm=NUM_PERMUTATIONS, seed=SEED)
        for shingle in document:
            sketch.update(shingle.encode())
        found.append(sketch)
    return found


def datasketch_xxhash(shingles: Shingles) -> list[MinHash]:
    encoded = ([shingle.encode() for shingle in document] for document in shingles)
    return list(
        MinHash.generator(
            encoded, num_perm=NUM_PERMUTATIONS, seed=SEED, hashfunc=xxhash.xxh32_intdigest
        )
    )


TOOLS: dict[str, Callable[[Shingles], Any]] = {
    "rensa, R-MinHash": rensa_r,
    "rensa, C-MinHash": rensa_c,
    "rensa, rho (samples the shingles)": rensa_rho,
    "datasketch, sha1, as in its manual": datasketch_one_by_one,
    "datasketch, sha1, batches": datasketch_sha1,
    "datasketch, xxhash, batches": datasketch_xxhash,
}


def timed(texts: list[str]) -> dict[str, float]:
    """Return seconds by tool, and of the shingling."""
    for function in TOOLS.values():
        function(shingles_of(texts[:2]))
    # Millions of strings that live long: the collector would walk them again and again.
    gc.disable()
    start = time.perf_counter()
    shingles = shingles_of(texts)
    seconds = {"shingling": time.perf_counter() - start}
    for name, function in TOOLS.items():
        start = time.perf_counter()
        found = function(shingles)
        seconds[name] = time.perf_counter() - start
        del found
    return seconds


def estimated(pairs: list[tuple[str, str, float]]) -> dict[str, list[float]]:
    """Return the share of equal minima of each pair by tool."""
    sides = [shingles_of([pair[side] for pair in pairs]) for side in (0, 1)]
    found = {}
    for name, function in TOOLS.items():
        digests = [_rows(function(shingles)) for shingles in sides]
        found[name] = (digests[0] == digests[1]).mean(axis=1).tolist()
    return found


def _rows(found: Any) -> np.ndarray:
    if hasattr(found, "to_rows"):
        found = found.to_rows()
    return np.array(
        [row.hashvalues if isinstance(row, MinHash) else row for row in found], np.uint64
    )


if __name__ == "__main__":
    content = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    sys.stdout.write(json.dumps((timed if sys.argv[1] == "time" else estimated)(content)) + "\n")
