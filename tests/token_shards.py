"""Small `tokens` artefacts, as `koine vocab encode` writes them, from sentences of numbers."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipelines import store
from tokenizer import tokens

VOCAB_HASH = "5" * 64
NUM_PIECES = 1000
FIRST_PIECE = 5  # what comes before are the special pieces

Document = Sequence[Sequence[int]]  # sentences of tokens


def write_tokens(
    out: Path,
    documents: Mapping[str, Sequence[Document]],
    *,
    vocab_hash: str = VOCAB_HASH,
    num_pieces: int = NUM_PIECES,
    documents_per_shard: int | None = None,
    documents_per_batch: int | None = None,
    ids: Mapping[str, Sequence[str]] | None = None,
) -> Path:
    """Write the folder `tokens` of a build: documents by label, each a list of sentences.

    Args:
        out: folder of the build.
        documents: by label; an empty document is [], an empty sentence is left out.
        vocab_hash: of the vocabulary that they are said to be encoded with.
        num_pieces: of that vocabulary; above 65,536 tokens take four bytes.
        documents_per_shard: all in one when left out.
        documents_per_batch: record batches of a shard; one when left out.
        ids: of the documents by label; made from label and number when left out.

    Returns:
        The folder.
    """
    folder = store.Folder(out / "tokens")
    folder.create()
    committed: list[store.Written] = []
    for label, own in sorted(documents.items()):
        names = (ids or {}).get(label) or [make_id(label, row) for row in range(len(own))]
        schema = tokens.schema(num_pieces=num_pieces, label=label, vocab_hash=vocab_hash)
        size = documents_per_shard or max(1, len(own))
        for number, start in enumerate(range(0, max(1, len(own)), size)):
            rows = slice(start, start + size)
            table = _table(names[rows], own[rows], schema)
            written: list[store.Written] = []
            with (
                folder.writing(f"{label}/part-{number:05d}.arrow", committed=written) as file,
                pa.ipc.new_stream(file, schema) as writer,
            ):
                writer.write_table(table, max_chunksize=documents_per_batch)
            one = written[0]
            committed.append(store.Written(one.name, one.num_bytes, one.sha256, table.num_rows))
    statistics = {label: _statistics(own) for label, own in sorted(documents.items())}
    num_documents = sum(row["documents"] for row in statistics.values())
    store.write_manifest(
        folder,
        artefact=tokens.TOKENS,
        fingerprint=store.fingerprint([[one.name, one.sha256] for one in committed]),
        counts={
            "ledger": {
                "read": num_documents,
                "encoded": num_documents,
                "quarantined": {},
                "examples": [],
            },
            "labels": statistics,
        },
        files=committed,
        schema_version=tokens.SCHEMA_VERSION,
        vocab_hash=vocab_hash,
        corpus="c" * 64,
    )
    return out / "tokens"


def make_id(label: str, row: int) -> str:
    """Return an id that looks like those of a corpus: source and content, as hexadecimal digits."""
    digits = hashlib.sha256(f"{label} {row}".encode()).hexdigest()
    return f"{digits[:16]}-{digits[16:24]}"


def random_documents(
    rng: np.random.Generator,
    num_documents: int,
    *,
    sentences: tuple[int, int] = (1, 12),
    words: tuple[int, int] = (1, 30),
    num_pieces: int = NUM_PIECES,
) -> list[list[list[int]]]:
    """Return documents of random tokens, none of them special.

    Args:
        rng: what draws them.
        num_documents: so many.
        sentences: fewest and most of a document.
        words: fewest and most tokens of a sentence.
        num_pieces: of the vocabulary.
    """
    return [
        [
            rng.integers(FIRST_PIECE, num_pieces, rng.integers(*words, endpoint=True)).tolist()
            for _ in range(rng.integers(*sentences, endpoint=True))
        ]
        for _ in range(num_documents)
    ]


def _table(ids: Sequence[str], documents: Sequence[Document], schema: pa.Schema) -> pa.Table:
    flat = [[token for sentence in document for token in sentence] for document in documents]
    ends = [
        np.cumsum([len(sentence) for sentence in document if len(sentence)]).tolist()
        for document in documents
    ]
    columns = [list(ids), flat, ends]
    arrays = [pa.array(one, type=field.type) for one, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _statistics(documents: Sequence[Document]) -> dict[str, int]:
    lengths = [[len(sentence) for sentence in document] for document in documents]
    num_tokens = sum(map(sum, lengths))
    return {
        "documents": len(documents),
        "tokens": num_tokens,
        "sentences": sum(map(len, lengths)),
        "bytes": 4 * num_tokens,
        "byte_tokens": 0,
        "moved_ends": 0,
        "longest_document": max(map(sum, lengths), default=0),
        "longest_sentence": max((max(own, default=0) for own in lengths), default=0),
    }
