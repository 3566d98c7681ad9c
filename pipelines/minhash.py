"""The MinHash kernels: tokens, shingles, permutations, bands. Numbers in, numbers out.

Part of the kernels. The family is `x -> (a * x + b) mod 2**32` over 32-bit shingle hashes, with odd
`a`: a permutation of the 32-bit numbers, eight to a vector instruction. The 61-bit prime of the
textbooks would cost four times as much; measured, the error of the estimated Jaccard index is
that of ideal permutations (see the tests).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .bits import IGNORABLE, LETTER, UNSPACED
from .graphemes import CLUSTER_START, cluster_step
from .jit import kernel
from .tokens import (
    AFTER_LETTER,
    BEGIN,
    EXTEND,
    HASH_START,
    IN_CLUSTER,
    IN_WORD,
    JOIN,
    NO_TOKEN,
    OUTSIDE,
    hash_step,
    is_ascii_letter,
    mix,
    token_step,
)
from .unicode import (
    FIRST_SCRIPT,
    LATIN,
    Integer,
    Tables,
    decode,
    flags_of,
    fold_case,
    script_of,
)

SHINGLE_BASE = np.uint64(0xD1342543DE82EF95)  # odd; of Steele and Vigna's multipliers
EMPTY = np.uint32(0xFFFFFFFF)


@kernel
def hash_tokens(
    data: NDArray[np.uint8],
    start: Integer,
    end: Integer,
    tables: Tables,
    hashes: NDArray[np.uint64],
    letters: NDArray[np.int64],
) -> Integer:
    """Write the hash of each token of data[start:end], case folded, and return their number.

    Adds the letters of each script to `letters`. The tokens are those of `pipelines.tokens`; runs
    of ASCII letters, which need no table, take a short cut.
    """
    limit = hashes.shape[0]  # never reached: see where the memory is made
    num_tokens = 0
    state = NO_TOKEN
    value = HASH_START
    cluster_state = CLUSTER_START
    position = start
    while position < end:
        if is_ascii_letter(data[position]):
            if not state & IN_WORD:
                if state != NO_TOKEN and num_tokens < limit:
                    hashes[num_tokens] = value
                    num_tokens += 1
                value = HASH_START
            first = position
            while position < end and is_ascii_letter(data[position]):
                value = hash_step(value, data[position] | 0x20)
                position += 1
            letters[LATIN] += position - first
            state = IN_WORD | AFTER_LETTER
            continue
        code_point, width = decode(data, position)
        position += width
        info = flags_of(tables, code_point)
        starts = True
        if state == IN_CLUSTER or info & UNSPACED:
            # Whether a cluster starts matters inside a cluster only, so the steps begin there.
            if state != IN_CLUSTER:
                cluster_state = CLUSTER_START
            starts, cluster_state = cluster_step(cluster_state, info)
        before = state
        action, state = token_step(state, code_point, info, starts)
        if before != NO_TOKEN and action in (OUTSIDE, BEGIN) and num_tokens < limit:
            hashes[num_tokens] = value
            num_tokens += 1
        if action == BEGIN:
            value = hash_step(HASH_START, fold_case(tables, code_point, info))
        elif action in (EXTEND, JOIN):
            value = hash_step(value, fold_case(tables, code_point, info))
        if info & (LETTER | IGNORABLE) == LETTER:
            letters[script_of(info)] += 1
    if state != NO_TOKEN and num_tokens < limit:
        hashes[num_tokens] = value
        num_tokens += 1
    return num_tokens


@kernel
def hash_shingles(
    tokens: NDArray[np.uint64], num_tokens: Integer, width: Integer, shingles: NDArray[np.uint32]
) -> Integer:
    """Write the hash of every `width` tokens in a row and return how many there are.

    The hash of t[0] ... t[w-1] is the upper half of mix(sum of t[i] * SHINGLE_BASE**(w-1-i)).
    Fewer tokens than that are one shingle. `shingles` may share its memory with nothing else.
    """
    if num_tokens == 0:
        return 0
    width = min(width, num_tokens)
    leaving = np.uint64(1)  # SHINGLE_BASE ** width
    value = np.uint64(0)
    for token in range(width):
        value = value * SHINGLE_BASE + tokens[token]
        leaving *= SHINGLE_BASE
    shingles[0] = np.uint32(mix(value) >> np.uint64(32))
    for token in range(width, num_tokens):
        value = value * SHINGLE_BASE + tokens[token] - tokens[token - width] * leaving
        shingles[token - width + 1] = np.uint32(mix(value) >> np.uint64(32))
    return num_tokens - width + 1


@kernel
def minimise(
    shingles: NDArray[np.uint32],
    num_shingles: Integer,
    factors: NDArray[np.uint32],
    offsets: NDArray[np.uint32],
    signature: NDArray[np.uint32],
) -> None:
    """Write the least value of every permutation of the shingles, EMPTY where there are none.

    Four shingles a round: the constants and the signature are loaded a quarter as often. The sums
    are 64 bits wide in numba, so each is cut to 32 before the comparison.
    """
    num_permutations = signature.shape[0]
    signature[:] = EMPTY
    whole = num_shingles - num_shingles % 4
    for index in range(0, whole, 4):
        first, second = shingles[index], shingles[index + 1]
        third, fourth = shingles[index + 2], shingles[index + 3]
        for row in range(num_permutations):
            factor, offset = factors[row], offsets[row]
            left = min(np.uint32(factor * first + offset), np.uint32(factor * second + offset))
            right = min(np.uint32(factor * third + offset), np.uint32(factor * fourth + offset))
            signature[row] = min(signature[row], min(left, right))
    for index in range(whole, num_shingles):
        for row in range(num_permutations):
            value = np.uint32(factors[row] * shingles[index] + offsets[row])
            signature[row] = min(signature[row], value)


@kernel
def hash_bands(
    signatures: NDArray[np.uint32], num_rows: Integer, bands: NDArray[np.uint64]
) -> None:
    """Fill `bands` (n, bands): 64 bits of each `num_rows` minima, and of the place of the band."""
    for document in range(bands.shape[0]):
        for band in range(bands.shape[1]):
            value = mix(np.uint64(band + 1) * SHINGLE_BASE)
            for row in range(band * num_rows, (band + 1) * num_rows):
                value = mix(value ^ np.uint64(signatures[document, row]))
            bands[document, band] = value


@kernel
def sign(
    text_offsets: NDArray[np.int64],
    data: NDArray[np.uint8],
    tables: Tables,
    scripts: NDArray[np.int64],
    widths: NDArray[np.int64],
    factors: NDArray[np.uint32],
    offsets: NDArray[np.uint32],
    tokens: NDArray[np.uint64],
    shingles: NDArray[np.uint32],
    letters: NDArray[np.int64],
    signatures: NDArray[np.uint32],
    num_shingles: NDArray[np.int64],
) -> None:
    """Fill `signatures` (n, permutations) and `num_shingles` (n,) for n documents.

    `scripts` (n,) or (0,) has the dominant script numbers; where it is empty they are found from
    the letters. `widths` has the shingle width by script number. `tokens` and `shingles` hold
    what the longest document needs, `letters` a number a script.
    """
    for document in range(text_offsets.shape[0] - 1):
        letters[:] = 0
        num_tokens = hash_tokens(
            data, text_offsets[document], text_offsets[document + 1], tables, tokens, letters
        )
        script = 0
        if scripts.shape[0]:
            script = scripts[document]
        else:
            most = 0
            for candidate in range(FIRST_SCRIPT, letters.shape[0]):
                if letters[candidate] > most:
                    script, most = candidate, letters[candidate]
        num_shingles[document] = hash_shingles(tokens, num_tokens, widths[script], shingles)
        minimise(shingles, num_shingles[document], factors, offsets, signatures[document])
