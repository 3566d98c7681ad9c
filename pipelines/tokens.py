"""What a token is: the unit of words, n-grams and shingles, in every script.

* In scripts that part words by spaces, a **word**: it starts with a letter or a number and takes
  in what follows of letters, marks and numbers (every script's digits). One sign of
  `scripts.MIDWORD` (apostrophe, hyphen, middle dot) stays inside it between two letters.
* In scripts without spaces (`scripts.UNSPACED`), each **grapheme cluster** of letters. (Some marks,
  the Burmese vowel AA among them, are clusters of their own by UAX #29, and so tokens.)

Default-ignorable code points (joiners, ZWNJ, soft hyphens, variation selectors) neither start nor
end a token and are no part of its hash, so that a word is the same with and without them; only
U+200B, a separator, ends it. A sign inside a word is not hashed either: typed and typographic
apostrophes agree. Marks that follow no letter belong to no token.

Hashes are 64 bits: `h = (rotl(h, 5) ^ code_point) * MULTIPLIER` over the code points, then `mix`.
"""

from __future__ import annotations

import numpy as np

from .bits import (
    ALPHABETIC,
    GCB_MASK,
    GCB_SHIFT,
    IGNORABLE,
    LETTER,
    MARK,
    MIDWORD,
    UNSPACED,
    WORD,
)
from .jit import kernel
from .unicode import Integer

# What a code point does to the token at hand.
OUTSIDE, SKIP, BEGIN, EXTEND, JOIN = range(5)
"""No token here; an ignorable; first of a token; next of it; next, after a sign inside the word."""

# The state between code points: NO_TOKEN, or IN_WORD with its flags, or IN_CLUSTER.
NO_TOKEN = 0
IN_WORD = 1
IN_CLUSTER = 2
AFTER_LETTER = 4  # the word's last code point is a letter or a mark
AFTER_SIGN = 8  # a letter and a mid-word sign have passed

CLUSTER_CLASS = GCB_MASK << GCB_SHIFT  # empty: starts a cluster of its own
ZERO_WIDTH_SPACE = 0x200B
HASH_START = np.uint64(0x243F6A8885A308D3)  # digits of pi
HASH_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # 2**64 / golden ratio, odd
MIX_1 = np.uint64(0xBF58476D1CE4E5B9)  # splitmix64's finaliser
MIX_2 = np.uint64(0x94D049BB133111EB)


@kernel
def token_step(
    state: Integer,
    code_point: Integer,
    info: Integer,
    cluster_starts: bool,  # noqa: FBT001
) -> tuple[Integer, Integer]:
    """Return (OUTSIDE ... JOIN, the state after this code point).

    `cluster_starts` matters at letters and marks of scripts without spaces only.
    """
    if info & IGNORABLE:
        if code_point == ZERO_WIDTH_SPACE or state == NO_TOKEN:
            return OUTSIDE, NO_TOKEN
        return SKIP, state
    if info & WORD:
        if info & UNSPACED:
            if state == IN_CLUSTER and not cluster_starts:
                return EXTEND, IN_CLUSTER
            if info & LETTER or not info & CLUSTER_CLASS:
                return BEGIN, IN_CLUSTER
            return OUTSIDE, NO_TOKEN
        after = IN_WORD | AFTER_LETTER if info & ALPHABETIC else IN_WORD
        if state & AFTER_SIGN:
            if info & LETTER:
                return JOIN, after
        elif state & IN_WORD:
            return EXTEND, after
        elif state == IN_CLUSTER and info & MARK and not cluster_starts:
            return EXTEND, IN_CLUSTER
        if info & MARK:
            return OUTSIDE, NO_TOKEN
        return BEGIN, after
    if info & MIDWORD and state == IN_WORD | AFTER_LETTER:
        return SKIP, IN_WORD | AFTER_LETTER | AFTER_SIGN
    return OUTSIDE, NO_TOKEN


@kernel
def hash_step(value: np.uint64, code_point: Integer) -> np.uint64:
    """Return the running hash after one more code point."""
    rotated = (value << np.uint64(5)) | (value >> np.uint64(59))
    return (rotated ^ np.uint64(code_point)) * HASH_MULTIPLIER


@kernel
def mix(value: np.uint64) -> np.uint64:
    """Return a value whose every bit depends on every bit of the argument (splitmix64)."""
    value = (value ^ (value >> np.uint64(30))) * MIX_1
    value = (value ^ (value >> np.uint64(27))) * MIX_2
    return value ^ (value >> np.uint64(31))


@kernel
def is_ascii_letter(byte: Integer) -> np.bool_:
    """Return whether a byte is a letter A to Z or a to z."""
    return np.uint8((byte | 0x20) - 0x61) < 26
