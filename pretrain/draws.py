"""Random numbers that are functions: of a key and of counters, not of what was drawn before.

Promises: the same key and counters give the same number, in any order, on any machine and in any
number of processes; nothing here has a state that a checkpoint would have to hold. Keys of other
parts, and other counters, give numbers that look independent. What this module returns is part of
what a run is: golden values in the tests hold it still.
Does not promise: anything against someone who wants to predict the numbers.

`bits` is the finaliser of SplitMix64 (Steele, Lea, Flood 2014, "Fast splittable pseudorandom number
generators"), once for each counter: with one counter it gives the outputs of SplitMix64 itself, the
key being its seed. `permuted` is a Feistel network over it (Luby, Rackoff 1988) that walks its
cycles back into the range (Black, Rogaway 2002). `generator` is for bulk draws.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.uint64]
Integers = NDArray[np.integer[Any]] | int

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MULTIPLIERS = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFTS = np.uint64(30), np.uint64(27), np.uint64(31)
_HALF, _LOW = np.uint64(32), np.uint64(0xFFFFFFFF)

ROUNDS = 12
"""Of the Feistel network. Four make a large permutation look random; in ranges of up to 16 it takes
twelve until each index goes everywhere equally often (chi-square over 2,000,000 draws)."""


def key(*parts: int | str) -> int:
    """Return a 64-bit key that stands for its parts: `key(seed, "shuffle", block)`.

    Other parts, another order or another division (`"ab", "c"` and `"a", "bc"`) give another key.
    """
    digest = hashlib.blake2b(digest_size=8, person=b"koine")
    for part in parts:
        kind, text = ("i", str(int(part))) if not isinstance(part, str) else ("s", part)
        data = text.encode()
        digest.update(f"{kind}{len(data)}:".encode())
        digest.update(data)
    return int.from_bytes(digest.digest(), "little")


def bits(key: Integers, *counters: Integers) -> Bits:
    """Return 64 random bits for each combination of the key and the counters.

    Args:
        key: from `key`, or an array of keys.
        *counters: integers of any sign or arrays of them, broadcast against each other.

    Returns:
        uint64, of the shape that the key and the counters broadcast to.
    """
    state = _unsigned(key)
    for counter in counters:
        state = _mixed(state + _stepped(counter))
    return state if counters else _mixed(state + _stepped(0))


def uniform(key: Integers, *counters: Integers) -> NDArray[np.float64]:
    """Return numbers in [0, 1), multiples of 2**-53, one for each combination of the counters."""
    top: NDArray[np.float64] = (bits(key, *counters) >> np.uint64(11)).astype(np.float64)
    return top * 2.0**-53


def below(key: Integers, limit: Integers, *counters: Integers) -> NDArray[np.int64]:
    """Return integers in [0, limit), one for each combination of the counters.

    The upper half of bits x limit, a product of 128 bits (Lemire 2019): the largest bias is
    limit / 2**64.

    Args:
        key: from `key`, or an array of keys.
        limit: 1 or more, an integer or an array that broadcasts against the counters.
        *counters: as `bits` takes them.
    """
    drawn, wide = bits(key, *counters), _unsigned(limit)
    high, low = drawn >> _HALF, drawn & _LOW
    wide_high, wide_low = wide >> _HALF, wide & _LOW
    first = high * wide_low + ((low * wide_low) >> _HALF)
    second = low * wide_high + (first & _LOW)
    found = high * wide_high + (first >> _HALF) + (second >> _HALF)
    return np.asarray(found).astype(np.int64)


def generator(*parts: int | str) -> np.random.Generator:
    """Return numpy's Philox generator under `key(*parts)`: for many numbers of one purpose.

    Its bits are fixed; what its methods make of them may change with numpy's version (NEP 19).
    """
    return np.random.Generator(np.random.Philox(key=key(*parts)))


def permuted(
    index: NDArray[np.int64], *, size: Integers, keys: NDArray[np.uint64] | int
) -> NDArray[np.int64]:
    """Return where a pseudo-random permutation of range(size) sends each index.

    Nothing is stored: it is a Feistel network on the smallest even number of bits that hold
    `size`, applied again to what falls outside (four times on average at the most).

    Args:
        index: in range(size), shape (n,).
        size: of each element's range, one integer or shape (n,).
        keys: names the permutation, one integer or shape (n,).
    """
    size = np.broadcast_to(np.asarray(size, np.int64), index.shape)
    assert bool(np.all((index >= 0) & (index < size))), "an index is outside its range"
    # frexp(size - 1) is exact for what a corpus can hold: its exponent is the number of bits.
    num_bits = np.frexp(np.maximum(size - 1, 1).astype(np.float64))[1]
    half = ((num_bits + 1) >> 1).astype(np.uint64)
    round_keys = [np.broadcast_to(bits(keys, number), index.shape) for number in range(ROUNDS)]
    found = _network(index.astype(np.uint64), half, round_keys).astype(np.int64)
    outside = np.flatnonzero(found >= size)
    while len(outside):
        again = _network(
            found[outside].astype(np.uint64), half[outside], [one[outside] for one in round_keys]
        ).astype(np.int64)
        found[outside] = again
        outside = outside[again >= size[outside]]
    return found


def _network(value: Bits, half: Bits, round_keys: list[Bits]) -> Bits:
    """Return the values after the rounds, each on 2 x `half` bits."""
    drop = np.uint64(64) - half
    left, right = value >> half, value & ((np.uint64(1) << half) - np.uint64(1))
    for round_key in round_keys:
        left, right = right, left ^ (bits(round_key, right) >> drop)
    return (left << half) | right


def _unsigned(value: Integers) -> Bits:
    # Arrays of no dimension stay arrays: numpy warns when a scalar overflows, and arrays wrap.
    return np.asarray(value).astype(np.uint64, copy=False)


def _stepped(counter: Integers) -> Bits:
    """Return (counter + 1) x gamma modulo 2**64."""
    stepped = np.array(counter).astype(np.uint64)
    stepped += np.uint64(1)
    stepped *= _GAMMA
    return stepped


def _mixed(value: Bits | np.uint64) -> Bits:
    """Return a new array through SplitMix64's finaliser; the array given is taken over."""
    state: Bits = np.asarray(value)
    for shift, multiplier in zip(_SHIFTS, _MULTIPLIERS, strict=False):
        state ^= state >> shift
        state *= multiplier
    state ^= state >> _SHIFTS[2]
    return state
