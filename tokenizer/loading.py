"""Load a tokenizer of any kind, koine's own or another, and look at all of them in one way.

Promises: the same ids as the library gives without special tokens; what is not a tokenizer, or a
torn one, is one DataError. `Encoding` says beside the ids what the counts of tokens hide: how many
characters lie under unknown tokens, and which tokens are only a part of a character.
Does not promise: that a foreign tokenizer's own normaliser keeps the text.
"""

from __future__ import annotations

import json
import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines import store
from pipelines.errors import DataError

SPM, JSON = "spm.model", "tokenizer.json"
SPACE = "\N{LOWER ONE EIGHTH BLOCK}"  # U+2581, the mark of a space before a word
_CHUNK = 4096  # lines a call: bounds the memory of the libraries' Python objects
BYTE_PIECE = re.compile(r"<0x([0-9A-F]{2})>")
_GENERIC = {"spm", "tokenizer", "sentencepiece", "sentencepiece.bpe", "spiece", "sp", "model"}
"""Names of files that say nothing; the folder's says more."""


@dataclass(frozen=True, slots=True)
class Encoding:
    """The tokens of n lines."""

    ids: NDArray[np.int32]
    """(tokens,) of all lines, one after the other."""
    offsets: NDArray[np.int64]
    """(n + 1,) where each line's tokens begin."""
    unknown_tokens: NDArray[np.int64]
    """(n,) tokens that stand for text the vocabulary can't say."""
    unknown_chars: NDArray[np.int64]
    """(n,) code points under these."""
    byte_tokens: NDArray[np.int64]
    """(n,) tokens that are bytes, or otherwise no whole character."""

    @property
    def num_tokens(self) -> NDArray[np.int64]:
        """(n,) tokens of each line."""
        return np.diff(self.offsets)


class Tokenizer(ABC):
    """A tokenizer that was loaded."""

    name: str
    kind: str
    """unigram, bpe, byte-level bpe, wordpiece, wordlevel."""
    num_pieces: int

    def __init__(self, name: str, kind: str, pieces: list[str], *, unknown: int) -> None:
        self.name, self.kind, self.num_pieces = name, kind, len(pieces)
        self._pieces = pieces
        self._unknown = unknown
        self._is_part = self._parts()

    @abstractmethod
    def _ids(self, lines: list[str]) -> list[NDArray[np.int32]]:
        """Return the ids of each line, special tokens left out."""

    @abstractmethod
    def _unknown_chars(self, lines: list[str]) -> list[int]:
        """Return how many code points of each line lie under unknown tokens."""

    @abstractmethod
    def _parts(self) -> NDArray[np.bool_]:
        """Return (pieces,) which are bytes, or no whole character."""

    @abstractmethod
    def special(self) -> NDArray[np.bool_]:
        """Return (pieces,) which stand for no text: controls, unknown, unused ones."""

    def pieces(self) -> list[str]:
        """Return the pieces as text for people: U+2581 for a space, <0xE1> for a byte."""
        return self._pieces

    def parts(self) -> NDArray[np.bool_]:
        """Return (pieces,) which are bytes, or no whole character."""
        return self._is_part

    def encode(self, lines: list[str]) -> Encoding:
        """Return the tokens of each line, special tokens left out."""
        found: list[NDArray[np.int32]] = []
        for first in range(0, len(lines), _CHUNK):
            found += self._ids(lines[first : first + _CHUNK])
        offsets = np.zeros(len(lines) + 1, np.int64)
        np.cumsum([len(ids) for ids in found], out=offsets[1:])
        ids = np.concatenate([np.zeros(0, np.int32), *found]).astype(np.int32, copy=False)
        unknown_tokens = _sums(ids == self._unknown, offsets)
        unknown_chars = np.zeros(len(lines), np.int64)
        has_unknown = np.flatnonzero(unknown_tokens)
        for first in range(0, len(has_unknown), _CHUNK):
            some = has_unknown[first : first + _CHUNK]
            unknown_chars[some] = self._unknown_chars([lines[index] for index in some.tolist()])
        return Encoding(
            ids, offsets, unknown_tokens, unknown_chars, _sums(self._is_part[ids], offsets)
        )

    def encode_words(self, words: list[str]) -> NDArray[np.int64]:
        """Return (words,) the number of tokens of each word, as it stands after a space."""
        return self.encode(words).num_tokens


def _sums(flags: NDArray[np.bool_], offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many flags are set in each line."""
    total = np.zeros(len(flags) + 1, np.int64)
    np.cumsum(flags, out=total[1:])
    return total[offsets[1:]] - total[offsets[:-1]]


class _SentencePiece(Tokenizer):
    def __init__(self, name: str, path: Path) -> None:
        import sentencepiece

        try:
            self._model: Any = sentencepiece.SentencePieceProcessor(model_file=str(path))
            self._model.encode([f"a {SPACE}\u200d\u4e2d\U0001f600", ""], return_type="numpy")
            size = self._model.get_piece_size()
            pieces = [self._model.id_to_piece(i) for i in range(size)]
        except (RuntimeError, OSError, UnicodeDecodeError, ValueError) as error:
            raise _unreadable(path, "SentencePiece model", error) from error
        if not size:
            raise _unreadable(path, "SentencePiece model", ValueError("it has no pieces"))
        kind = "bpe" if _has_merge_scores(self._model, size) else "unigram"
        super().__init__(name, kind, pieces, unknown=self._model.unk_id())

    def _ids(self, lines: list[str]) -> list[NDArray[np.int32]]:
        found: list[NDArray[np.int32]] = self._model.encode(
            lines, return_type="numpy", add_bos=False, add_eos=False
        )
        return found

    def _unknown_chars(self, lines: list[str]) -> list[int]:
        texts = self._model.encode(lines, out_type=str, add_bos=False, add_eos=False)
        return [
            sum(len(t) for t, i in zip(text, ids.tolist(), strict=True) if i == self._unknown)
            for text, ids in zip(texts, self._ids(lines), strict=True)
        ]

    def _parts(self) -> NDArray[np.bool_]:
        return np.array([self._model.is_byte(i) for i in range(self.num_pieces)], np.bool_)

    def special(self) -> NDArray[np.bool_]:
        model = self._model
        return np.array(
            [
                model.is_control(i) or model.is_unknown(i) or model.is_unused(i)
                for i in range(self.num_pieces)
            ],
            np.bool_,
        )


def _has_merge_scores(model: Any, size: int) -> bool:  # noqa: ANN401
    """Tell a BPE model by its scores: 0, -1, -2 ... in the order of the merges."""
    plain = [
        model.get_score(i)
        for i in range(size)
        if not (model.is_control(i) or model.is_unknown(i) or model.is_byte(i))
    ][:64]
    return plain == [-float(i) for i in range(len(plain))]


class _Json(Tokenizer):
    def __init__(self, name: str, path: Path) -> None:
        import tokenizers

        try:
            text = path.read_text(encoding="utf-8")
            self._facts: dict[str, Any] = json.loads(text)
            self._model: Any = tokenizers.Tokenizer.from_str(text)
            self._model.no_truncation()
            self._model.no_padding()
            self._model.encode_batch(["a \u200d\u4e2d\U0001f600", ""], add_special_tokens=False)
        except (KeyboardInterrupt, SystemExit):
            raise
        # The library raises plain Exception, and its panics are no Exception at all.
        except BaseException as error:
            raise _unreadable(path, "tokenizer.json", error) from error
        size = self._model.get_vocab_size(with_added_tokens=True)
        texts = [self._model.id_to_token(i) or "" for i in range(size)]
        model = self._facts.get("model") or {}
        kind = str(model.get("type") or "").lower()
        self._added = {token["id"] for token in self._facts.get("added_tokens") or ()}
        self._byte_level = kind == "bpe" and _mentions(self._facts, "ByteLevel")
        self._byte_fallback = bool(model.get("byte_fallback"))
        if self._byte_level:
            kind = "byte-level bpe"
            self._raw = [
                None if i in self._added else _to_bytes(text) for i, text in enumerate(texts)
            ]
            texts = [
                text if raw is None else _readable(raw)
                for text, raw in zip(texts, self._raw, strict=True)
            ]
        unknown = model.get("unk_id")
        if unknown is None:
            unknown = self._model.token_to_id(str(model.get("unk_token") or ""))
        super().__init__(name, kind, texts, unknown=-1 if unknown is None else int(unknown))

    def _ids(self, lines: list[str]) -> list[NDArray[np.int32]]:
        encoded = self._model.encode_batch_fast(lines, add_special_tokens=False)
        return [np.array(one.ids, np.int32) for one in encoded]

    def _unknown_chars(self, lines: list[str]) -> list[int]:
        found = []
        for one in self._model.encode_batch(lines, add_special_tokens=False):
            pairs = zip(one.ids, one.offsets, strict=True)
            found.append(sum(max(b - a, 1) for i, (a, b) in pairs if i == self._unknown))
        return found

    def encode_words(self, words: list[str]) -> NDArray[np.int64]:
        # Byte-level vocabularies have other pieces for a word after a space.
        return self.encode([f" {word}" for word in words] if self._byte_level else words).num_tokens

    def _parts(self) -> NDArray[np.bool_]:
        if self._byte_level:
            parts = [raw is not None and not _is_text(raw) for raw in self._raw]
        else:
            parts = [
                self._byte_fallback and bool(BYTE_PIECE.fullmatch(text)) for text in self._pieces
            ]
        return np.array(parts, np.bool_)

    def special(self) -> NDArray[np.bool_]:
        texts = self._pieces
        return np.array(
            [i in self._added or i == self._unknown or not text for i, text in enumerate(texts)],
            np.bool_,
        )


def _mentions(value: object, name: str) -> bool:
    """Tell whether a step of that type is in the pre-tokenizer or the decoder."""
    if isinstance(value, dict):
        steps = ("pre_tokenizer", "decoder", "pretokenizers", "decoders")
        return value.get("type") == name or any(_mentions(value.get(key), name) for key in steps)
    return isinstance(value, list) and any(_mentions(item, name) for item in value)


def _byte_alphabet() -> dict[str, int]:
    """Return the bytes by the characters that stand for them in byte-level BPE (GPT-2's table)."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in plain]
    table = {chr(byte): byte for byte in plain}
    return table | {chr(0x100 + number): byte for number, byte in enumerate(others)}


_BYTES = _byte_alphabet()


def _to_bytes(text: str) -> bytes | None:
    """Return the bytes of a byte-level piece, None where it is none."""
    return bytes(_BYTES[c] for c in text) if all(c in _BYTES for c in text) else None


def _is_text(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _readable(raw: bytes) -> str:
    """Return bytes as text, spaces as U+2581, what is no character as <0xE1>."""
    text = raw.decode(errors="surrogateescape").replace(" ", SPACE)
    return re.sub(r"[\udc80-\udcff]", lambda match: f"<0x{ord(match[0]) - 0xDC00:02X}>", text)


def load(path: str | Path, *, name: str | None = None) -> Tokenizer:
    """Load a tokenizer.

    Args:
        path: a vocab folder of koine, a tokenizer.json or a folder with one, or a SentencePiece
            model (any name) or a folder with one.
        name: what to call it; the file's or the folder's name when left out.

    Raises:
        DataError: there is none, it can't be read, or it is not what its manifest says.
    """
    path = Path(path)
    file = _find(path) if path.is_dir() else path
    if not file.is_file():
        raise DataError(
            f"{path}: there is no such file or folder.\n"
            "  Give a vocab folder, a tokenizer.json, or a SentencePiece model."
        )
    if name is None:
        stem = file.stem
        name = file.absolute().parent.name if path.is_dir() or stem in _GENERIC else stem
    with file.open("rb") as opened:
        is_json = opened.read(64).lstrip()[:1] == b"{"
    return _Json(name, file) if is_json or file.suffix == ".json" else _SentencePiece(name, file)


def _find(folder: Path) -> Path:
    """Return the tokenizer in a folder, checked against the manifest where it is koine's."""
    if (folder / store.MANIFEST).is_file():
        opened = store.Folder(folder)
        listed = {w.name: w for w in store.listed(store.read_manifest(opened, artefact="vocab"))}
        for name in (SPM, JSON):
            if name in listed:
                wrong = opened.check(listed[name])
                if wrong:
                    raise DataError(
                        f"{folder / name}: {wrong}.\n  It is not the file that koine wrote;"
                        " build the vocabulary again."
                    )
                return folder / name
    # koine's own first: it is the faster of two that give the same ids.
    for name in (SPM, JSON):
        if (folder / name).is_file():
            return folder / name
    models = sorted(folder.glob("*.model"))
    if len(models) == 1:
        return models[0]
    number = f"{len(models)} SentencePiece models" if models else "no tokenizer"
    raise DataError(
        f"{folder}: there is {number} in this folder.\n"
        "  Give the path of a tokenizer.json or of a SentencePiece model itself."
    )


def _unreadable(path: Path, what: str, error: BaseException) -> DataError:
    said = " ".join(str(error).split())
    return DataError(
        f"{path}: cannot be read as a {what} ({said[:200]}).\n"
        "  It is torn or of another kind; copy or export it again."
    )
