"""Hashes of documents, for finding those that are the same or nearly so.

`signatures` is MinHash with banding (LSH): two documents whose sets of shingles have the Jaccard
index s agree in at least one of b bands of r rows with probability 1 - (1 - s**r)**b.

The shingles are what a reader would call the same text: case folded, marks kept (dropping them
merges words in Hindi, Thai, Yoruba and Vietnamese), punctuation, symbols, white space and invisible
code points dropped, numbers kept. Five words wide; seven grapheme clusters in documents whose
dominant script has no spaces. A document with fewer tokens is one shingle of all of them, so that
short equal documents match; one without tokens has no signature.

Promises: a signature depends on the text alone, on every machine. Expects NFC.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import xxhash
from numpy.typing import NDArray

from .minhash import hash_bands, sign
from .unicode import IS_UNSPACED, NUM_SCRIPTS, TABLES, buffers

NUM_BANDS = 14
NUM_ROWS = 8
SHINGLE_WORDS = 5
SHINGLE_GRAPHEMES = 7
SEED = 0x6B6F696E65  # "koine"
MASK_64 = (1 << 64) - 1
NO_SCRIPTS = np.zeros(0, np.int64)
# Parameters that say where a visitor came from, not what the page is.
TRACKING_PREFIX = "utm_"
TRACKING = frozenset({"fbclid", "gclid", "dclid", "msclkid", "yclid", "mc_cid", "mc_eid", "igshid"})
DEFAULT_PORTS = {"http": 80, "https": 443}


def signatures(
    text: pa.LargeStringArray,
    *,
    scripts: NDArray[np.int64] | None = None,
    bands: int = NUM_BANDS,
    rows: int = NUM_ROWS,
    shingle_words: int = SHINGLE_WORDS,
    shingle_graphemes: int = SHINGLE_GRAPHEMES,
) -> pa.FixedSizeBinaryArray:
    """Return the band hashes of each document, `bands` little-endian uint64, null without tokens.

    Args:
        text: valid UTF-8 in NFC, without nulls; may be a slice.
        scripts: the dominant script numbers, `measure.dominant_scripts`; found again if missing.
        bands: number of bands.
        rows: minima in a band.
        shingle_words: width of a shingle in words.
        shingle_graphemes: width of a shingle in scripts without spaces, in grapheme clusters.
    """
    minima, num_shingles = _minima(
        text,
        scripts,
        bands * rows,
        shingle_words=shingle_words,
        shingle_graphemes=shingle_graphemes,
    )
    hashes = np.empty((len(text), bands), np.uint64)
    hash_bands(minima, rows, hashes)
    return _fixed_size_binary(hashes.astype("<u8", copy=False), valid=num_shingles > 0)


def minhash(
    text: pa.LargeStringArray,
    *,
    scripts: NDArray[np.int64] | None = None,
    bands: int = NUM_BANDS,
    rows: int = NUM_ROWS,
    shingle_words: int = SHINGLE_WORDS,
    shingle_graphemes: int = SHINGLE_GRAPHEMES,
) -> NDArray[np.uint32]:
    """Return the minima themselves, (n, bands * rows), 0xFFFFFFFF where there are no tokens.

    The share of equal minima of two documents estimates the Jaccard index of their shingles.
    """
    minima, _ = _minima(
        text,
        scripts,
        bands * rows,
        shingle_words=shingle_words,
        shingle_graphemes=shingle_graphemes,
    )
    return minima


def text_hashes(text: pa.LargeStringArray) -> pa.FixedSizeBinaryArray:
    """Return the xxh3-128 digest of each document's bytes, 16 bytes big-endian."""
    offsets, data = buffers(text)
    view = memoryview(data.data)
    digests = [xxhash.xxh3_128_digest(view[start:end]) for start, end in pairwise(offsets.tolist())]
    return pa.array(digests, pa.binary(16))


def url_hashes(url: pa.StringArray) -> pa.UInt64Array:
    """Return the xxh3-64 of each normalised URL; null for null and for the empty string."""
    hashes = [
        xxhash.xxh3_64_intdigest(normalise_url(value).encode()) if value else None
        for value in url.to_pylist()
    ]
    return pa.array(hashes, pa.uint64())


def normalise_url(url: str) -> str:
    """Return what URLs of the same page share.

    Without fragment, default port, tracking parameters and trailing slash; scheme and host in lower
    case, http and https alike. What can't be parsed is returned stripped.
    """
    url = url.strip()
    try:
        parts = urlsplit(url)
        port = parts.port
        host = parts.hostname or ""
    except ValueError:
        return url
    scheme = parts.scheme.lower()
    if port is not None and port != DEFAULT_PORTS.get(scheme):
        host = f"{host}:{port}"
    if scheme in DEFAULT_PORTS:
        scheme = ""
    query = "&".join(part for part in parts.query.split("&") if part and not _is_tracking(part))
    return f"{scheme}//{host}{parts.path.rstrip('/')}{'?' if query else ''}{query}"


def _is_tracking(parameter: str) -> bool:
    name = parameter.partition("=")[0].lower()
    return name.startswith(TRACKING_PREFIX) or name in TRACKING


def _minima(
    text: pa.LargeStringArray,
    scripts: NDArray[np.int64] | None,
    num_permutations: int,
    *,
    shingle_words: int,
    shingle_graphemes: int,
) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """Return (minima, number of shingles) of each document."""
    text_offsets, data = buffers(text)
    if scripts is not None and len(scripts) != len(text):
        raise ValueError(f"{len(scripts)} scripts for {len(text)} documents")
    factors, offsets = permutations(num_permutations)
    minima = np.empty((len(text), num_permutations), np.uint32)
    num_shingles = np.empty(len(text), np.int64)
    # A token takes a byte and a separator, or three bytes. Pages that are not used stay unmapped.
    num_tokens = int(np.diff(text_offsets).max(initial=0)) // 2 + 1
    sign(
        text_offsets,
        data,
        TABLES,
        NO_SCRIPTS if scripts is None else np.ascontiguousarray(scripts, np.int64),
        np.where(IS_UNSPACED, shingle_graphemes, shingle_words),
        factors,
        offsets,
        np.empty(num_tokens, np.uint64),
        np.empty(num_tokens, np.uint32),
        np.empty(NUM_SCRIPTS, np.int64),
        minima,
        num_shingles,
    )
    return minima, num_shingles


@cache
def permutations(num_permutations: int) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """Return (odd factors, offsets): the upper halves of successive splitmix64 numbers."""
    numbers = []
    state = SEED
    for _ in range(2 * num_permutations):
        state = (state + 0x9E3779B97F4A7C15) & MASK_64
        value = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK_64
        value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & MASK_64
        numbers.append((value ^ (value >> 31)) >> 32)
    return np.array(numbers[0::2], np.uint32) | np.uint32(1), np.array(numbers[1::2], np.uint32)


def _fixed_size_binary(
    rows: NDArray[np.uint64], *, valid: NDArray[np.bool_]
) -> pa.FixedSizeBinaryArray:
    """Return each row of numbers as a binary value, null where not valid."""
    bitmap = None if valid.all() else pa.py_buffer(np.packbits(valid, bitorder="little").tobytes())
    return pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(rows.shape[1] * rows.itemsize), len(rows), [bitmap, pa.py_buffer(rows)]
    )
