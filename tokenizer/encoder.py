"""Encode documents: their ids, and between which of them their sentences end.

A document's ids are those of tokenizer.json for the same text, which are SentencePiece's as far as
it can count: it adds up scores in float32, which is exact for some seven thousand pieces of koine's
(`export.finished` rounds them) and goes astray beyond. So text is handed over in blocks that end at
white space, which no piece crosses; for the same reason a word that a batch repeats is handed over
once (`tokenizer.repeated`), which halves the work.

The bytes that each piece stands for are known, so a running sum over the ids gives every token's
place in the text as the tokenizer sees it, in which `tokenizer.sentences` gives the ends: offsets
need not be asked for, which makes SentencePiece ten times slower. It is also a check: the sum has
to come out at the length of the text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines import store
from pipelines.errors import DataError
from pipelines.jit import kernel
from pipelines.unicode import Integer, buffers

from . import repeated
from .export import BYTES, MODEL, SPECIAL, TOKENIZER, vocab_hash
from .normaliser import WORD_START
from .parity_bpe import tokenizer_hash
from .sentences import sentence_ends
from .tokens import MAX_SHORT_PIECES, Tokens

ENCODED, EMPTY, NOT_NORMALISED = range(3)
"""What became of a document. Nothing visible in it; text that koine's normaliser would change."""
REASONS = {EMPTY: "empty", NOT_NORMALISED: "not_normalised"}

BLOCK_BYTES = 4096
"""Of a document, encoded at a time: as many pieces, all single bytes, still add up exactly."""

COUNTS = (
    "documents", "tokens", "sentences", "longest_document", "longest_sentence", "byte_tokens",
    "moved_ends",
)  # fmt: skip
(
    DOCUMENTS, TOKENS, SENTENCES, LONGEST_DOCUMENT, LONGEST_SENTENCE, BYTE_TOKENS, MOVED_ENDS,
) = range(7)  # fmt: skip


class Encoder(Protocol):
    """A vocabulary that is ready to encode."""

    piece_bytes: NDArray[np.int64]
    """(pieces,) how many bytes of text each piece stands for; a space is one, [CLS] and such 0."""
    byte_ids: tuple[int, int]
    """The first id and the one after the last that say a byte for want of a better piece."""
    prefix: int
    """Bytes that it puts before a text: 1 where a text starts like a word after a space."""

    def ids(self, text: pa.LargeStringArray) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """Return the ids of all documents, and (documents + 1,) where each one's begin."""


class Batch(NamedTuple):
    """The encoded documents of a batch, the others left out."""

    outcomes: NDArray[np.uint8]
    """(documents given,) ENCODED, EMPTY or NOT_NORMALISED."""
    tokens: Tokens
    offsets: NDArray[np.int32]
    """(documents + 1,) where their tokens begin."""
    ends: NDArray[np.int32]
    end_offsets: NDArray[np.int32]
    counts: dict[str, int]
    """By the names of COUNTS."""


def encode_batch(text: pa.LargeStringArray, *, encoder: Encoder) -> Batch:
    """Encode documents.

    An end that falls inside a token, which no piece of koine's own vocabularies allows, moves to
    the token's end and is counted.
    """
    ends, end_offsets = sentence_ends(text)
    ids, id_offsets = encoder.ids(text)
    short = len(encoder.piece_bytes) <= MAX_SHORT_PIECES
    tokens: Tokens = np.empty(len(ids), np.uint16) if short else np.empty(len(ids), np.uint32)
    offsets = np.zeros(len(text) + 1, np.int32)
    token_ends = np.empty(len(ends), np.int32)
    token_end_offsets = np.zeros(len(text) + 1, np.int32)
    outcomes = np.zeros(len(text), np.uint8)
    counts = np.zeros(len(COUNTS), np.int64)
    _place_ends(
        ids,
        id_offsets,
        encoder.piece_bytes,
        encoder.byte_ids,
        encoder.prefix,
        ends,
        end_offsets,
        tokens,
        offsets,
        token_ends,
        token_end_offsets,
        outcomes,
        counts,
    )
    num = int(counts[DOCUMENTS])
    return Batch(
        outcomes,
        tokens[: offsets[num]],
        offsets[: num + 1],
        token_ends[: token_end_offsets[num]],
        token_end_offsets[: num + 1],
        dict(zip(COUNTS, counts.tolist(), strict=True)),
    )


@kernel
def _place_ends(
    ids: NDArray[np.int32],
    id_offsets: NDArray[np.int64],
    piece_bytes: NDArray[np.int64],
    byte_ids: tuple[Integer, Integer],
    prefix: Integer,
    ends: NDArray[np.int64],
    end_offsets: NDArray[np.int64],
    tokens: Tokens,
    offsets: NDArray[np.int32],
    token_ends: NDArray[np.int32],
    token_end_offsets: NDArray[np.int32],
    outcomes: NDArray[np.uint8],
    counts: NDArray[np.int64],
) -> None:
    """Copy the ids of the documents that add up, and find their sentences' ends."""
    document = written = num_ends = 0
    for row in range(id_offsets.shape[0] - 1):
        first, last = id_offsets[row], id_offsets[row + 1]
        end, last_end = end_offsets[row], end_offsets[row + 1]
        if first == last or end == last_end:
            outcomes[row] = EMPTY if first == last and end == last_end else NOT_NORMALISED
            continue
        place = -prefix
        start = num_ends
        begins = longest = moved = num_bytes = 0
        for token in range(first, last):
            piece = ids[token]
            tokens[written + token - first] = piece
            num_bytes += byte_ids[0] <= piece < byte_ids[1]
            place += piece_bytes[piece]
            if end < last_end and place >= ends[end]:
                while end < last_end and place >= ends[end]:
                    moved += place > ends[end]
                    end += 1
                token_ends[num_ends] = token - first + 1
                num_ends += 1
                longest = max(longest, token - first + 1 - begins)
                begins = token - first + 1
        if place != ends[last_end - 1]:
            outcomes[row] = NOT_NORMALISED
            num_ends = start
            continue
        outcomes[row] = ENCODED
        written += last - first
        document += 1
        offsets[document] = written
        token_end_offsets[document] = num_ends
        counts[LONGEST_DOCUMENT] = max(counts[LONGEST_DOCUMENT], last - first)
        counts[LONGEST_SENTENCE] = max(counts[LONGEST_SENTENCE], longest)
        counts[BYTE_TOKENS] += num_bytes
        counts[MOVED_ENDS] += moved
    counts[DOCUMENTS] = document
    counts[TOKENS] = written
    counts[SENTENCES] = num_ends


class _SentencePiece:
    """A vocabulary with spm.model."""

    byte_ids = (len(SPECIAL), len(SPECIAL) + len(BYTES))

    def __init__(self, data: bytes) -> None:
        import sentencepiece

        sentencepiece.set_min_log_level(2)
        self._model = sentencepiece.SentencePieceProcessor(model_proto=data)
        numbers = list(range(len(self._model)))
        pieces = self._model.id_to_piece(numbers)
        control = self._model.is_control(numbers)
        spelled = [
            b"" if skipped else piece.replace(WORD_START, " ").encode()
            for piece, skipped in zip(pieces, control, strict=True)
        ]
        spelled[slice(*self.byte_ids)] = [bytes([byte]) for byte in range(len(BYTES))]
        spelled[self._model.unk_id()] = b""
        self.piece_bytes = np.array([len(piece) for piece in spelled], np.int64)
        starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(self.piece_bytes)])
        self._pieces = repeated.Pieces(np.frombuffer(b"".join(spelled), np.uint8), starts)
        self.prefix = _prefix(self)

    def ids(self, text: pa.LargeStringArray) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        words = repeated.distinct_words(text)
        once = pa.LargeStringArray.from_buffers(
            1, pa.py_buffer(np.array([0, len(words.text)])), pa.py_buffer(words.text)
        )
        ids, _ = self._ids_in_blocks(once)
        first = repeated.first_ids(words, ids, self._pieces)
        return self._ids_in_blocks(text) if first is None else repeated.spread(words, ids, first)

    def _ids_in_blocks(
        self, text: pa.LargeStringArray
    ) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        cuts, first_block = blocks(text)
        buffers = [None, pa.py_buffer(cuts), text.buffers()[2]]
        parts = pa.LargeBinaryArray.from_buffers(pa.large_binary(), len(cuts) - 1, buffers)
        # A thread: the engine has a process for each core already.
        found = self._model.encode(parts.to_pylist(), return_type="numpy", num_threads=1)
        ids, offsets = _joined(found)
        return ids, offsets[first_block]


class _ByteLevel:
    """A vocabulary without spm.model: byte-level BPE, through `tokenizers`."""

    byte_ids = (0, 0)  # all its pieces are bytes

    def __init__(self, data: bytes, place: str) -> None:
        import tokenizers

        described = json.loads(data)
        if '"ByteLevel"' not in json.dumps(described.get("pre_tokenizer")):
            raise DataError(
                f"{place}: is no byte-level vocabulary, and there is no {MODEL} beside it.\n"
                f"  koine encodes with {MODEL}, or with the {TOKENIZER} of a byte-level BPE."
            )
        self._model = tokenizers.Tokenizer.from_buffer(data)
        self._model.encode_special_tokens = True  # "[MASK]" in a text is text
        self._model.no_truncation()
        self._model.no_padding()
        size = self._model.get_vocab_size(with_added_tokens=True)
        pieces = [self._model.id_to_token(number) or "" for number in range(size)]
        # Each character of a byte-level piece stands for one byte.
        self.piece_bytes = np.array([len(piece) for piece in pieces], np.int64)
        self.piece_bytes[: len(SPECIAL)] = 0
        self.prefix = _prefix(self)

    def ids(self, text: pa.LargeStringArray) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        found = self._model.encode_batch_fast(text.to_pylist(), add_special_tokens=False)
        return _joined([np.array(encoding.ids, np.int32) for encoding in found])


def _joined(
    found: Sequence[NDArray[np.int32]],
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return arrays end to end, and (arrays + 1,) where each begins."""
    offsets = np.zeros(len(found) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, found), np.int64, len(found)), out=offsets[1:])
    return np.concatenate([np.zeros(0, np.int32), *found], dtype=np.int32), offsets


def blocks(
    text: pa.LargeStringArray, *, num_bytes: int = BLOCK_BYTES
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Cut documents into blocks that begin at the first white space after `num_bytes`.

    Returns:
        (blocks + 1,) where the blocks begin in the array's data, and (documents + 1,) the first
        block of each document.
    """
    offsets, data = buffers(text)
    cuts = np.empty(len(text) + 1 + len(data) // num_bytes, np.int64)
    first = np.empty(len(text) + 1, np.int64)
    num = _cut_kernel(offsets, data, num_bytes, cuts, first)
    return cuts[: num + 1], first


@kernel
def _cut_kernel(
    offsets: NDArray[np.int64],
    data: NDArray[np.uint8],
    num_bytes: Integer,
    cuts: NDArray[np.int64],
    first: NDArray[np.int64],
) -> Integer:
    """Write where blocks begin and each document's first one; return how many there are."""
    num = 0
    for document in range(offsets.shape[0] - 1):
        first[document] = num
        start, end = offsets[document], offsets[document + 1]
        cuts[num] = start
        num += 1
        position = start + num_bytes
        while position < end:
            if data[position] == 32 or data[position] == 10:
                cuts[num] = position
                num += 1
                position += num_bytes
            else:
                position += 1
    first[offsets.shape[0] - 1] = num
    cuts[num] = offsets[offsets.shape[0] - 1]
    return num


def _prefix(encoder: Encoder) -> int:
    """Return how many bytes an encoder puts before a text."""
    ids, _ = encoder.ids(pa.array(["a"], pa.large_string()))
    return int(encoder.piece_bytes[ids].sum()) - 1


def checked_file(folder: store.Folder, manifest: dict[str, Any]) -> store.Written:
    """Return the file of a vocabulary that koine encodes with, as its manifest lists it.

    Raises:
        DataError: the manifest lists none, or one of another hash than it says.
    """
    files = {written.name: written for written in store.listed(manifest)}
    written = files.get(MODEL) or files.get(TOKENIZER)
    if written is None:
        raise DataError(f"{folder.path(store.MANIFEST)}: lists neither {MODEL} nor {TOKENIZER}.")
    _check(folder, written)
    data, said = folder.read_bytes(written.name), manifest["vocab_hash"]
    found = vocab_hash(data) if written.name == MODEL else tokenizer_hash(json.loads(data))
    if found != said:
        raise DataError(
            f"{folder.path(written.name)}: is the vocabulary {found}, but {store.MANIFEST} says "
            f"{said}.\n  Run `koine vocab train` again."
        )
    return written


def _check(folder: store.Folder, written: store.Written) -> None:
    problem = folder.check(written)
    if problem:
        raise DataError(
            f"{folder.path(written.name)}: {problem}.\n"
            "  It was changed since the vocabulary was trained; run `koine vocab train` again."
        )


@lru_cache(maxsize=2)
def load(vocab: str, written: store.Written) -> Encoder:
    """Load a vocabulary, once in a process.

    Args:
        vocab: URL of the folder `vocab`.
        written: the file to load, as the manifest lists it.

    Raises:
        DataError: the file is not what the manifest says, or no vocabulary of koine's.
    """
    folder = store.Folder(vocab)
    _check(folder, written)
    data = folder.read_bytes(written.name)
    if written.name == MODEL:
        return _SentencePiece(data)
    return _ByteLevel(data, folder.path(written.name))
