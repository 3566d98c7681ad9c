"""Read and write SentencePiece's model file: a protocol buffer of pieces and settings.

The library's own classes for it need a protobuf runtime as new as the one that generated them,
which Apache Beam forbids, and koine needs six fields. So this reads the wire format: a field is a
varint of number and wire type, then a varint, eight bytes, four bytes, or a length and its bytes.
Field numbers: sentencepiece_model.proto of 0.2.3.

Promises: `parse` raises DataError for anything that is not a whole model; what `serialise` writes
depends on the model's content alone (not on the trainer's paths, threads or input).
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from pipelines.errors import DataError

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)
UNIGRAM, BPE, WORD, CHAR = range(1, 5)

_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_MODEL_TYPE, _BYTE_FALLBACK = 3, 35
# Of the trainer's settings, what encoding and decoding read: kind, size, suffix white space, byte
# fallback, ids and spelling of the special pieces. The rest says how and where it was trained.
_KEPT = {_MODEL_TYPE, 4, 24, _BYTE_FALLBACK, *range(40, 49)}


class Piece(NamedTuple):
    """An entry of the vocabulary; its id is its position."""

    text: str
    score: float
    kind: int


@dataclass(frozen=True, slots=True)
class NormalizerSpec:
    """How raw text becomes what the pieces are matched against."""

    name: str = "identity"
    charsmap: bytes = b""
    add_dummy_prefix: bool = True
    remove_extra_whitespaces: bool = True
    escape_whitespaces: bool = True


@dataclass(frozen=True, slots=True)
class Model:
    """A SentencePiece model."""

    pieces: list[Piece]
    normalizer: NormalizerSpec
    trainer: dict[int, int | bytes] = field(default_factory=dict)
    """The trainer's settings by field number; the last of repeated ones."""

    @property
    def kind(self) -> int:
        """UNIGRAM, BPE, WORD or CHAR."""
        return int(self.trainer.get(_MODEL_TYPE, UNIGRAM))

    @property
    def byte_fallback(self) -> bool:
        """Whether unknown characters become byte pieces."""
        return bool(self.trainer.get(_BYTE_FALLBACK, 0))


def parse(data: bytes, *, place: str) -> Model:
    """Read a model.

    Args:
        data: the bytes of the file.
        place: what to call it in an error.

    Raises:
        DataError: it is cut short, or no SentencePiece model.
    """
    pieces: list[Piece] = []
    normalizer: NormalizerSpec | None = None
    trainer: dict[int, int | bytes] = {}
    try:
        for number, value in _fields(data):
            if number == 1:
                pieces.append(_piece(_as_bytes(value)))
            elif number == 2:
                trainer = dict(_fields(_as_bytes(value)))
                if any(isinstance(trainer.get(n), bytes) for n in (_MODEL_TYPE, _BYTE_FALLBACK)):
                    raise ValueError("bytes where a number belongs")
            elif number == 3:
                normalizer = parse_normalizer(_as_bytes(value))
    except (ValueError, IndexError, struct.error) as error:
        raise DataError(
            f"{place}: is no SentencePiece model ({error}).\n"
            "  A model file ends in .model and is written by SentencePiece; copy it again."
        ) from error
    if not pieces or not trainer or normalizer is None:
        raise DataError(f"{place}: is no SentencePiece model, or one that is cut short.")
    return Model(pieces, normalizer, trainer)


def serialise(model: Model) -> bytes:
    """Return the bytes of the model file."""
    out = bytearray()
    for piece in model.pieces:
        message = _length(1, piece.text.encode()) + b"\x15" + struct.pack("<f", piece.score)
        if piece.kind != NORMAL:
            message += _number(3, piece.kind)
        out += _length(1, message)
    settings = bytearray()
    for number in sorted(_KEPT & set(model.trainer)):
        value = model.trainer[number]
        settings += _number(number, value) if isinstance(value, int) else _length(number, value)
    spec = model.normalizer
    rules = _length(1, spec.name.encode()) + _length(2, spec.charsmap)
    for number, flag in enumerate(
        (spec.add_dummy_prefix, spec.remove_extra_whitespaces, spec.escape_whitespaces), 3
    ):
        rules += _number(number, int(flag))
    return bytes(out + _length(2, bytes(settings)) + _length(3, rules))


def _piece(message: bytes) -> Piece:
    text, score, kind = b"", 0.0, NORMAL
    for number, value in _fields(message):
        if number == 1:
            text = _as_bytes(value)
        elif number == 2:
            score = struct.unpack("<f", _as_bytes(value))[0]
            if not math.isfinite(score):
                raise ValueError("a score that is no number")
        elif number == 3:
            kind = int(value)
    return Piece(text.decode(), score, kind)


def parse_normalizer(message: bytes) -> NormalizerSpec:
    """Read the message NormalizerSpec; raises ValueError."""
    values = dict(_fields(message))
    return NormalizerSpec(
        _as_bytes(values.get(1, b"")).decode(),
        _as_bytes(values.get(2, b"")),
        bool(values.get(3, True)),
        bool(values.get(4, True)),
        bool(values.get(5, True)),
    )


def _as_bytes(value: int | bytes) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("a number where bytes belong")
    return value


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield (field number, value) of a message."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        wire = tag & 7
        if wire == _VARINT:
            value, position = _varint(data, position)
            yield tag >> 3, value
            continue
        if wire == _BYTES:
            length, position = _varint(data, position)
        elif wire in (_EIGHT, _FOUR):
            length = 8 if wire == _EIGHT else 4
        else:
            raise ValueError(f"a field of wire type {wire}")
        if position + length > len(data):
            raise ValueError("it is cut short")
        yield tag >> 3, data[position : position + length]
        position += length


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """Return (value, position behind it)."""
    value = shift = 0
    while True:
        if position >= len(data):
            raise ValueError("it is cut short")
        byte = data[position]
        value |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return value, position
        shift += 7
        if shift > 63:
            raise ValueError("a number of more than 64 bits")


def _encoded(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _number(number: int, value: int) -> bytes:
    return _encoded(number << 3 | _VARINT) + _encoded(value)


def _length(number: int, value: bytes) -> bytes:
    return _encoded(number << 3 | _BYTES) + _encoded(len(value)) + value
