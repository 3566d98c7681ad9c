"""What token shards look like, and how to read them: numpy and pyarrow, nothing else.

    id             string: the document's id in the corpus
    tokens         list<uint16>, or list<uint32> with more than 65,536 pieces
    sentence_ends  list<int32>: where its sentences end, as numbers of tokens; ascending, the last
                   one is the number of its tokens

A shard tokens/<label>/part-NNNNN.arrow is an Arrow IPC stream, uncompressed, so that it maps into
memory; it is one record batch unless it holds more than 256 MB of text. Its schema's metadata name
the vocabulary by its hash, and readers refuse another: ids of one vocabulary are plausible ids of
the next, and nothing later would notice.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines import store
from pipelines.errors import DataError

SCHEMA_VERSION = 1
TOKENS = "tokens"
MAX_SHORT_PIECES = 1 << 16

Tokens = NDArray[np.uint16] | NDArray[np.uint32]


def schema(*, num_pieces: int, label: str, vocab_hash: str) -> pa.Schema:
    """Return the schema of a label's token shards under a vocabulary."""
    integer = pa.uint16() if num_pieces <= MAX_SHORT_PIECES else pa.uint32()
    return pa.schema(
        [
            pa.field("id", pa.string(), nullable=False),
            pa.field("tokens", pa.list_(pa.field("item", integer, nullable=False)), nullable=False),
            pa.field(
                "sentence_ends",
                pa.list_(pa.field("item", pa.int32(), nullable=False)),
                nullable=False,
            ),
        ],
        metadata={"label": label, "schema_version": str(SCHEMA_VERSION), "vocab_hash": vocab_hash},
    )


def read_manifest(folder: store.Folder, *, vocab_hash: str) -> dict[str, Any]:
    """Return the manifest of the tokens in a folder.

    Raises:
        DataError: there is none, or the tokens are those of another vocabulary.
    """
    manifest = store.read_manifest(folder, artefact=TOKENS)
    _refuse(folder.path(store.MANIFEST), manifest["vocab_hash"], vocab_hash)
    return manifest


def open_shard(folder: store.Folder, name: str, *, vocab_hash: str) -> pa.Table:
    """Return a shard as a table, mapped into memory where the storage is local.

    Args:
        folder: the folder `tokens` of a build.
        name: the shard's name in it, as the manifest lists it.
        vocab_hash: the vocabulary that the reader works with.

    Raises:
        DataError: it is missing, torn, no token shard, or of another vocabulary.
    """
    place = folder.path(name)
    try:
        reader = pa.ipc.open_stream(folder.open_arrow(name))
        metadata = reader.schema.metadata or {}
        found = metadata.get(b"vocab_hash")
        if found is None or metadata.get(b"schema_version") != str(SCHEMA_VERSION).encode():
            raise DataError(
                f"{place}: is no token shard of version {SCHEMA_VERSION}.\n"
                "  Token shards are written by `koine vocab encode`."
            )
        _refuse(place, found.decode(), vocab_hash)
        return reader.read_all()
    except FileNotFoundError:
        raise DataError(f"{place}: there is no such file.") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(
            f"{place}: cannot be read ({error}).\n  Encode again: only what is torn is redone."
        ) from error


def documents(table: pa.Table) -> tuple[Tokens, NDArray[np.int64]]:
    """Return (tokens, offsets) of a shard's documents: shapes (tokens,) and (documents + 1,).

    Document `i` is `tokens[offsets[i]:offsets[i + 1]]`. The tokens are not copied where the shard
    is one record batch; the array keeps the file mapped.
    """
    return _flat(table.column("tokens"))


def sentence_ends(table: pa.Table) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return (ends, offsets) of a shard's documents: shapes (sentences,) and (documents + 1,).

    The ends of document `i`, `ends[offsets[i]:offsets[i + 1]]`, are numbers of its tokens.
    """
    ends, offsets = _flat(table.column("sentence_ends"))
    return ends, offsets


def _flat(column: pa.ChunkedArray) -> tuple[NDArray[Any], NDArray[np.int64]]:
    values, offsets, before = [], [np.zeros(1, np.int64)], 0
    for chunk in column.chunks:
        ends = chunk.offsets.to_numpy().astype(np.int64)
        values.append(chunk.values.to_numpy()[ends[0] : ends[-1]])
        offsets.append(ends[1:] - ends[0] + before)
        before = int(offsets[-1][-1]) if len(chunk) else before
    if not values:
        values = [np.zeros(0, column.type.value_type.to_pandas_dtype())]
    return values[0] if len(values) == 1 else np.concatenate(values), np.concatenate(offsets)


def _refuse(place: str, found: str, wanted: str) -> None:
    if found != wanted:
        raise DataError(
            f"{place}: encoded with the vocabulary {found}, not with {wanted}.\n"
            "  Run `koine vocab encode` with this vocabulary, or give the one it was encoded with."
        )
