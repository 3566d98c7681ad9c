"""Repetition in one document: duplicate lines, and n-grams that occur again.

An n-gram occurs again only if its two overlapping (n-1)-grams do. So each level looks at those
positions alone where the level before found a repeat, and its keys are pairs of exact numbers:
no collisions beyond those of the 64-bit token hashes, and in ordinary text the ten levels cost
about as much as two. The hash table is open addressing over int32 numbers, cleared for as many
slots as a level needs.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .jit import kernel
from .tokens import HASH_MULTIPLIER, mix
from .unicode import Integer

# Documents longer than this are judged by their first million tokens and lines: memory stays
# below 60 MB, whatever the document.
MAX_UNITS = 1 << 20

NUM_TOP = 3  # n-grams of 2, 3, 4 words: the share of the most frequent one
NUM_DUPLICATE = 6  # n-grams of 5 to 10 words: the share of all that came before
MAX_NGRAM = 10


class Workspace(NamedTuple):
    """Memory of one thread, reused from document to document; n is the most units of any."""

    slots: NDArray[np.int32]  # (power of two >= 2n,) number of the key, -1 where free
    keys: NDArray[np.uint64]  # (n,) by number
    numbers: NDArray[np.int32]  # (n,) number of the n-gram that starts at a token, -1: alone
    positions: NDArray[np.int32]  # (n,) tokens at which a repeated n-gram starts, ascending
    counts: NDArray[np.int32]  # (n,) by number
    free_from: NDArray[np.int32]  # (n,) by number: end of its last counted occurrence
    covered: NDArray[np.int64]  # (n,) by number: graphemes of its counted occurrences
    graphemes_before: NDArray[np.int64]  # (n + 1,) graphemes of the tokens before each


def new_workspace(num_units: int) -> Workspace:
    """Return memory for documents of up to `num_units` tokens and lines."""
    return Workspace(
        np.empty(_num_slots(num_units), np.int32),
        np.empty(num_units, np.uint64),
        np.empty(num_units, np.int32),
        np.empty(num_units, np.int32),
        np.empty(num_units, np.int32),
        np.empty(num_units, np.int32),
        np.empty(num_units, np.int64),
        np.empty(num_units + 1, np.int64),
    )


@kernel
def _num_slots(num_keys: Integer) -> Integer:
    """Return the power of two that keeps the table at most half full."""
    num_slots = 16
    while num_slots < 2 * num_keys:
        num_slots *= 2
    return num_slots


@kernel
def clear(slots: NDArray[np.int32], num_keys: Integer) -> Integer:
    """Empty as many slots as `num_keys` keys need and return the mask of their indices."""
    num_slots = _num_slots(num_keys)
    slots[:num_slots] = -1
    return num_slots - 1


@kernel
def slot_of(
    slots: NDArray[np.int32], keys: NDArray[np.uint64], mask: Integer, key: np.uint64
) -> Integer:
    """Return the slot that holds the number of `key`, or the free slot where it belongs."""
    slot = np.int64((key * HASH_MULTIPLIER) >> np.uint64(32)) & mask  # Fibonacci hashing
    while slots[slot] >= 0 and keys[slots[slot]] != key:
        slot = (slot + 1) & mask
    return slot


@kernel
def duplicates(
    work: Workspace, hashes: NDArray[np.uint64], graphemes: NDArray[np.int64], num_units: Integer
) -> tuple[Integer, Integer]:
    """Return how many units (lines, paragraphs) came before, and the graphemes in them."""
    mask = clear(work.slots, num_units)
    num_keys = 0
    num_duplicates = 0
    num_graphemes = 0
    for unit in range(num_units):
        slot = slot_of(work.slots, work.keys, mask, hashes[unit])
        if work.slots[slot] >= 0:
            num_duplicates += 1
            num_graphemes += graphemes[unit]
        else:
            work.slots[slot] = num_keys
            work.keys[num_keys] = hashes[unit]
            num_keys += 1
    return num_duplicates, num_graphemes


@kernel
def repeated_ngrams(
    work: Workspace,
    hashes: NDArray[np.uint64],
    graphemes: NDArray[np.int64],
    num_tokens: Integer,
    tokens_per_word: Integer,
    shares: NDArray[np.float64],
) -> None:
    """Fill `shares`, (NUM_TOP + NUM_DUPLICATE,), of the graphemes that are in tokens.

    Top n-gram: of those that occur at least twice without overlapping themselves, the one that
    occurs most often, and of several the one that covers most. Duplicate n-grams: from left to
    right, an n-gram that was met before counts and is stepped over whole (Gopher, Rae et al.
    2021, arXiv 2112.11446, table A1).
    """
    shares[:] = 0.0
    before = work.graphemes_before
    before[0] = 0
    for token in range(num_tokens):
        before[token + 1] = before[token] + graphemes[token]
    total = before[num_tokens]
    num_positions = _number_words(work, hashes, num_tokens, tokens_per_word)
    length = tokens_per_word
    for num_words in range(2, MAX_NGRAM + 1):
        if not num_positions:
            return
        length += tokens_per_word
        num_positions = _lengthen(work, num_tokens, num_positions, length, tokens_per_word)
        if num_words <= NUM_TOP + 1:
            covered = _top(work, num_positions, length)
        else:
            covered = _came_before(work, num_positions, length)
        shares[num_words - 2] = covered / total


@kernel
def _number_words(
    work: Workspace, hashes: NDArray[np.uint64], num_tokens: Integer, tokens_per_word: Integer
) -> Integer:
    """Number equal words alike, keep those that occur twice, and return how many are left.

    A word is a token, or in scripts without spaces every `tokens_per_word` tokens in a row.
    """
    num_positions = max(num_tokens - tokens_per_word + 1, 0)
    mask = clear(work.slots, num_positions)
    num_keys = 0
    for token in range(num_positions):
        key = hashes[token]
        for next_token in range(token + 1, token + tokens_per_word):
            key = mix(key) + hashes[next_token]
        slot = slot_of(work.slots, work.keys, mask, key)
        number = np.int64(work.slots[slot])
        if number < 0:
            number = np.int64(num_keys)
            work.slots[slot] = number
            work.keys[number] = key
            work.counts[number] = 0
            num_keys += 1
        work.counts[number] += 1
        work.positions[token] = token
        work.numbers[token] = number
    return _keep_repeated(work, num_positions)


@kernel
def _lengthen(
    work: Workspace, num_tokens: Integer, num_positions: Integer, length: Integer, step: Integer
) -> Integer:
    """Go from repeated n-grams of `length - step` tokens to those of `length`; how many are left.

    The n-gram at `i` is the pair of the shorter ones at `i` and `i + step`.
    """
    mask = clear(work.slots, num_positions)
    num_keys = 0
    for index in range(num_positions):
        position = work.positions[index]
        number = np.int64(-1)
        if position + length <= num_tokens and work.numbers[position + step] >= 0:
            first = np.uint64(work.numbers[position])
            key = (first << np.uint64(32)) | np.uint64(work.numbers[position + step])
            slot = slot_of(work.slots, work.keys, mask, key)
            number = np.int64(work.slots[slot])
            if number < 0:
                number = np.int64(num_keys)
                work.slots[slot] = number
                work.keys[number] = key
                work.counts[number] = 0
                num_keys += 1
            work.counts[number] += 1
        work.numbers[position] = number
    return _keep_repeated(work, num_positions)


@kernel
def _keep_repeated(work: Workspace, num_positions: Integer) -> Integer:
    """Drop the positions whose n-gram occurs once, in place; return how many are left."""
    left = 0
    for index in range(num_positions):
        position = work.positions[index]
        number = work.numbers[position]
        if number >= 0 and work.counts[number] >= 2:
            work.positions[left] = position
            left += 1
        else:
            work.numbers[position] = -1
    return left


@kernel
def _top(work: Workspace, num_positions: Integer, length: Integer) -> Integer:
    """Return the graphemes that the most frequent n-gram covers."""
    for index in range(num_positions):
        number = work.numbers[work.positions[index]]
        work.counts[number] = 0
        work.free_from[number] = 0
        work.covered[number] = 0
    most = 1
    covered = np.int64(0)
    for index in range(num_positions):
        position = work.positions[index]
        number = work.numbers[position]
        if position < work.free_from[number]:
            continue
        count = work.counts[number] + 1
        size = work.graphemes_before[position + length] - work.graphemes_before[position]
        work.counts[number] = count
        work.free_from[number] = position + length
        work.covered[number] += size
        if count > most or (count == most and count > 1 and work.covered[number] > covered):
            most = count
            covered = work.covered[number]
    return covered


@kernel
def _came_before(work: Workspace, num_positions: Integer, length: Integer) -> Integer:
    """Return the graphemes in n-grams that were met before, counted without overlap."""
    for index in range(num_positions):
        work.counts[work.numbers[work.positions[index]]] = 0
    free_from = 0
    covered = np.int64(0)
    for index in range(num_positions):
        position = work.positions[index]
        if position < free_from:
            continue
        number = work.numbers[position]
        if work.counts[number]:
            covered += work.graphemes_before[position + length] - work.graphemes_before[position]
            free_from = position + length
        work.counts[number] = 1
    return covered
