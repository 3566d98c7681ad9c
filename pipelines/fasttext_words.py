"""fastText's words: what ends one, how its bytes are hashed, and where the dictionary has it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .fasttext_format import LABEL_PREFIX, Dictionary
from .jit import kernel
from .unicode import Integer

FNV_OFFSET, FNV_PRIME = 2166136261, 16777619
LOW = 0xFFFFFFFF
END = np.frombuffer(b"</s>", np.uint8)  # what fastText calls the line feed
LABEL = np.frombuffer(LABEL_PREFIX.encode(), np.uint8)


class WordTable(NamedTuple):
    """The dictionary's words and labels, and where to look for them by hash."""

    content: NDArray[np.uint8]
    starts: NDArray[np.int64]
    lengths: NDArray[np.int64]
    slots: NDArray[np.uint32]
    """(power of two, 2) hash and entry + 1, 0 where free: open addressing."""


def word_table(dictionary: Dictionary) -> WordTable:
    """Lay a dictionary out for the kernels."""
    num_slots = 1 << (2 * len(dictionary.starts) - 1).bit_length()
    slots = np.zeros((num_slots, 2), np.uint32)
    table = WordTable(dictionary.content, dictionary.starts, dictionary.lengths, slots)
    _fill(table)
    return table


@kernel
def is_space(byte: Integer) -> bool:
    """Tell whether a byte ends a word."""
    return bool(byte <= 32 and (byte == 32 or 9 <= byte <= 13 or byte == 0))


@kernel
def continues(byte: Integer) -> bool:
    """Tell whether a byte continues a UTF-8 sequence."""
    return bool((byte & 0xC0) == 0x80)


@kernel
def equals(data: NDArray[np.uint8], start: Integer, end: Integer, word: NDArray[np.uint8]) -> bool:
    """Tell whether `data[start:end]` is this word."""
    return bool(end - start == len(word) and starts_with(data, start, end, word))


@kernel
def starts_with(
    data: NDArray[np.uint8], start: Integer, end: Integer, word: NDArray[np.uint8]
) -> bool:
    """Tell whether `data[start:end]` starts with this word."""
    if end - start < len(word):
        return False
    for i in range(len(word)):  # noqa: SIM110
        if data[start + i] != word[i]:
            return False
    return True


@kernel
def hash_byte(value: Integer, byte: Integer) -> Integer:
    """Take a byte into a 32-bit FNV-1a hash, as the signed number that fastText takes it for."""
    signed = np.int64(byte) | ((np.int64(byte) >> 7) * 0xFFFFFF00)
    return ((value ^ signed) * FNV_PRIME) & LOW


@kernel
def hash_character(
    value: Integer, data: NDArray[np.uint8], at: Integer, end: Integer
) -> tuple[Integer, Integer]:
    """Take a character into a hash; return the hash and where the next one starts."""
    value = hash_byte(value, data[at])
    at += 1
    while at < end and continues(data[at]):
        value = hash_byte(value, data[at])
        at += 1
    return value, at


@kernel
def hash_of(word: NDArray[np.uint8]) -> Integer:
    """Return the hash of a word."""
    value = np.int64(FNV_OFFSET)
    for i in range(len(word)):
        value = hash_byte(value, word[i])
    return value


@kernel
def find(
    table: WordTable, data: NDArray[np.uint8], start: Integer, end: Integer, value: Integer
) -> Integer:
    """Return the entry of the word `data[start:end]` with this hash, -1 if there is none."""
    mask = table.slots.shape[0] - 1
    slot = value & mask
    while table.slots[slot, 1] != 0:
        if table.slots[slot, 0] == value:
            entry = np.int64(table.slots[slot, 1]) - 1
            if _same(table, entry, data, start, end):
                return entry
        slot = (slot + 1) & mask
    return -1


@kernel
def _same(
    table: WordTable, entry: Integer, data: NDArray[np.uint8], start: Integer, end: Integer
) -> bool:
    if end - start != table.lengths[entry]:
        return False
    at = table.starts[entry]
    for i in range(end - start):  # noqa: SIM110
        if table.content[at + i] != data[start + i]:
            return False
    return True


@kernel
def _fill(table: WordTable) -> None:
    slots = table.slots
    mask = slots.shape[0] - 1
    for entry in range(table.starts.shape[0]):
        start, end = table.starts[entry], table.starts[entry] + table.lengths[entry]
        value = np.int64(FNV_OFFSET)
        for i in range(start, end):
            value = hash_byte(value, table.content[i])
        slot = value & mask
        while slots[slot, 1] != 0:
            other = np.int64(slots[slot, 1]) - 1
            if slots[slot, 0] == value and _same(table, other, table.content, start, end):
                break  # of two entries for a word the last counts
            slot = (slot + 1) & mask
        slots[slot, 0], slots[slot, 1] = value, entry + 1
