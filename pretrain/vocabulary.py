"""What the loop needs to know about the vocabulary: its pieces, their bytes, where words begin."""

from __future__ import annotations

import re
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines import store
from pipelines.errors import DataError
from tokenizer import loading
from tokenizer.config import NUM_SPECIAL

from . import masking

ARTEFACT = "vocab"
ROWS = 128
"""Rows of the embedding are a multiple of this: matrix products of other sizes are slower."""
_BYTE = re.compile("<0x[0-9A-F]{2}>")


@dataclass(frozen=True)
class Vocabulary:
    """The pieces of a vocabulary folder."""

    hash: str
    pieces: list[str]
    num_bytes: NDArray[np.int64]
    """Bytes of text of each piece, the space before a word counted; 0 for special ones."""
    starts: NDArray[np.bool_]
    """Whether each piece begins a word; see `masking.starts_word`."""

    @property
    def rows(self) -> int:
        """Return the rows of the embedding: the pieces, rounded up."""
        return -(-len(self.pieces) // ROWS) * ROWS


def read_vocabulary(folder: store.Folder) -> Vocabulary:
    """Return the vocabulary in a folder, after checking its files' hashes.

    Raises:
        DataError: there is none, or it is damaged.
    """
    manifest = store.read_manifest(folder, artefact=ARTEFACT)
    if folder.is_local:
        pieces = loading.load(folder.root).pieces()
    else:
        with TemporaryDirectory() as place:
            copy = store.Folder(place) / ARTEFACT
            for name in (store.MANIFEST, loading.SPM, loading.JSON):
                if folder.exists(name):
                    copy.write_bytes(name, folder.read_bytes(name))
            pieces = loading.load(copy.root).pieces()
    return of_pieces(pieces, vocab_hash=_hash(folder, manifest))


def of_pieces(pieces: list[str], *, vocab_hash: str) -> Vocabulary:
    """Return the vocabulary of these pieces, the special ones first."""
    lengths = [len(_BYTE.sub("x", piece).replace(loading.SPACE, " ").encode()) for piece in pieces]
    num_bytes = np.array(lengths, np.int64)
    num_bytes[:NUM_SPECIAL] = 0
    return Vocabulary(vocab_hash, pieces, num_bytes, masking.starts_word(pieces))


def _hash(folder: store.Folder, manifest: dict[str, Any]) -> str:
    found = manifest.get("vocab_hash")
    if not isinstance(found, str):
        raise DataError(
            f"{folder.path(store.MANIFEST)}: names no vocabulary.\n  Run `koine vocab train`."
        )
    return found
