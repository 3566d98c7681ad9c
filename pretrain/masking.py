"""Which tokens of a micro-batch are masked, and what stands in their place.

Promises: exactly as many tokens as asked for, whatever the text (a fixed shape, and a rate without
the noise of coin flips); never a special one; replacements of a token's own language only: a token
of another script would be found without reading the sentence. What is chosen depends on nothing
but the generator and the tokens.
Does not promise: whole words to the last token. Words are taken in random order while they fit;
what is then missing, seven tokens at the most, is filled up with words of one piece, and where
there are none left, with the first pieces of a longer one.

What a word is, a table says that is made of the vocabulary (`starts_word`): a piece and those after
it that start none. Scripts without spaces have no words that pieces could show: there each piece is
one. Punctuation is a word, as in BERT, unless it is an apostrophe or a hyphen: those stay inside.
A word of more than eight pieces (a link, a number, a language that the vocabulary hardly knows) is
cut every eight.

Shape letters: N tokens of a micro-batch; K chosen ones; D sequences; V pieces.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import pipelines
from pipelines import bits
from tokenizer.config import NUM_SPECIAL

Integers = NDArray[np.integer[Any]]

PAD, UNK, CLS, SEP, MASK = range(NUM_SPECIAL)
"""Ids of the special pieces, which `koine vocab train` puts first."""
WORD_START = "\u2581"
MAX_PIECES = 8
"""A longer word is cut into words of so many pieces."""
MASKED, RANDOM = 0.8, 0.1
"""Shares of the chosen tokens that become [MASK], and another token; the rest stays (BERT)."""

_BYTE = re.compile("<0x[0-9A-F]{2}>")
_SPECIAL = np.uint32(0xFFFFFFFF)  # above all that is drawn


def starts_word(pieces: Sequence[str]) -> NDArray[np.bool_]:
    """Return which pieces of a vocabulary begin a word: shape (V,).

    These do: those with the mark of a space before them; those whose first letter is of a script
    without spaces (`pipelines.scripts.UNSPACED`); those without letters and digits, unless they
    begin with a sign that may stand inside a word (`pipelines.scripts.MIDWORD`); and the special
    ones. Bytes that stand for a rare character belong to what is before them.

    Args:
        pieces: by id, the special ones first, written as SentencePiece writes them.
    """
    return np.array([id < NUM_SPECIAL or _starts(piece) for id, piece in enumerate(pieces)], bool)


def _starts(piece: str) -> bool:
    if piece.startswith(WORD_START):
        return True
    if not piece or _BYTE.fullmatch(piece):
        return False
    flags = [_flags(character) for character in piece]
    first = next((found for found in flags if found & bits.ALPHABETIC), 0)
    if first:
        return bool(first & bits.UNSPACED)
    return not any(found & bits.WORD for found in flags) and not flags[0] & bits.MIDWORD


@cache
def _tables() -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
    # The file and not `pipelines.unicode`: that needs numba, which a GPU node need not have.
    with np.load(Path(pipelines.__file__).with_name("unicode.npz")) as archive:
        return archive["info_index"], archive["info"]


def _flags(character: str) -> int:
    """Return the flags of a character, as `pipelines.bits` lays them out."""
    index, info = _tables()
    code_point = ord(character)
    block = int(index[code_point >> bits.BLOCK_BITS])
    return int(info[(block << bits.BLOCK_BITS) | (code_point & ((1 << bits.BLOCK_BITS) - 1))])


def choose(
    rng: np.random.Generator, *, ids_N: Integers, num: int, starts: NDArray[np.bool_] | None
) -> NDArray[np.int64]:
    """Return the places of tokens that are drawn from a micro-batch, each set of them as likely.

    Args:
        rng: under a key of the micro-batch's own.
        ids_N: its tokens; sequences and their parts have a special one between them, so that no
            word goes on from one to the next.
        num: so many, or all that are not special where there are fewer.
        starts: which pieces begin a word, to draw whole words; None draws single tokens.

    Returns:
        Ascending places in `ids_N`.
    """
    drawn_N, special = _drawn(rng, len(ids_N)), np.flatnonzero(ids_N < NUM_SPECIAL)
    num = min(num, len(ids_N) - len(special))
    if num <= 0:
        return np.zeros(0, np.int64)
    if starts is None:
        drawn_N[special] = _SPECIAL
        return _smallest(drawn_N, num)
    first_N = word_starts(ids_N, starts=starts)
    drawn_N = drawn_N[first_N]  # all tokens of a word have that of its first
    drawn_N[special] = _SPECIAL
    threshold = np.partition(drawn_N, num - 1)[num - 1]
    chosen_N = drawn_N < threshold
    last = np.flatnonzero(drawn_N == threshold)
    missing = num - int(np.count_nonzero(chosen_N))
    if len(last) > missing:  # the last word does not fit
        single_N = first_N == np.arange(len(ids_N))
        single_N[:-1] &= first_N[1:] != first_N[:-1]
        single_N &= ~chosen_N
        single_N[special] = False
        singles = np.flatnonzero(single_N)
        chosen_N[singles[_smallest(drawn_N[singles], min(missing, len(singles)))]] = True
        missing -= min(missing, len(singles))
        last = last[~chosen_N[last]]
    chosen_N[last[:missing]] = True
    return np.flatnonzero(chosen_N)


def word_starts(ids_N: Integers, *, starts: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Return for each token the place at which its word begins; special ones are words: (N,).

    Args:
        ids_N: tokens of a micro-batch.
        starts: which pieces begin a word; shape (V,).
    """
    places_N, special_N = np.arange(len(ids_N), dtype=np.int32), ids_N < NUM_SPECIAL
    begins_N = starts.take(ids_N)
    begins_N |= special_N
    begins_N[1:] |= special_N[:-1]
    first_N = np.maximum.accumulate(places_N * begins_N)
    first_N += (places_N - first_N) // MAX_PIECES * MAX_PIECES
    return first_N


def _drawn(rng: np.random.Generator, num: int) -> NDArray[np.uint32]:
    """Return 31 random bits for each of so many, in the order in which the generator gives them."""
    drawn = rng.bit_generator.random_raw((num + 1) // 2).view(np.uint32)[:num]
    drawn >>= np.uint32(1)
    return drawn


def _smallest(drawn: NDArray[np.uint32], num: int) -> NDArray[np.int64]:
    """Return the places of the `num` smallest numbers, ascending; of equal ones the first."""
    if num <= 0:
        return np.zeros(0, np.int64)
    threshold = np.partition(drawn, num - 1)[num - 1]
    places = np.flatnonzero(drawn <= threshold)
    if len(places) > num:  # two drew the same: of a micro-batch's masks, once in some 100,000
        ties = np.flatnonzero(drawn[places] == threshold)
        places = np.delete(places, ties[num - len(places) :])
    return places


def replace(
    rng: np.random.Generator,
    *,
    ids_K: NDArray[np.int32],
    languages_K: Integers,
    pool: Integers,
    pool_starts: NDArray[np.int64],
) -> NDArray[np.int32]:
    """Return what the chosen tokens become: BERT's 80 % [MASK], 10 % another token, 10 % the same.

    The shares are exact, to a token. Another token is one that stands at a random place of the
    pool, in the same language: as frequent in it as in its text.

    Args:
        rng: under a key of the micro-batch's own.
        ids_K: the chosen tokens.
        languages_K: their languages' numbers.
        pool: text to draw from, language after language.
        pool_starts: where each language's text begins in the pool, and where the last one's ends.
    """
    num_random = round(RANDOM * len(ids_K))
    drawn_K = _drawn(rng, len(ids_K))
    others = _smallest(drawn_K, len(ids_K) - round(MASKED * len(ids_K)))
    random = others[_smallest(drawn_K[others], num_random)]
    found_K = np.full(len(ids_K), MASK, np.int32)
    found_K[others] = ids_K[others]
    first, last = pool_starts[languages_K[random]], pool_starts[languages_K[random] + 1]
    drawn = pool[first + (rng.random(len(random)) * (last - first)).astype(np.int64)]
    # Text has special pieces only where a vocabulary without bytes meets a character unknown to it.
    found_K[random] = np.where(drawn < NUM_SPECIAL, ids_K[random], drawn)
    return found_K


def num_each(lengths: NDArray[np.int64], *, rate: float) -> NDArray[np.int64]:
    """Return how many tokens of each sequence are masked where each has a share of its own.

    As BERT: the rate times its length, special tokens counted, and at least one.

    Args:
        lengths: of the sequences.
        rate: share of masked tokens.
    """
    found: NDArray[np.int64] = np.maximum(1, np.rint(rate * lengths).astype(np.int64))
    return found


def choose_each(
    drawn_N: NDArray[np.uint64], *, ids_N: Integers, sequence_N: Integers, num_D: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the places of the tokens of each sequence with the smallest numbers, ascending.

    Args:
        drawn_N: random bits of each token.
        ids_N: the tokens.
        sequence_N: the sequence that each is in, ascending.
        num_D: how many of each sequence; fewer where fewer are not special.
    """
    places = np.flatnonzero(ids_N >= NUM_SPECIAL)
    sequence = sequence_N[places].astype(np.uint64)
    drawn = (sequence << np.uint64(40)) | (drawn_N[places] >> np.uint64(24))
    order = np.argsort(drawn, kind="stable")
    sequence = sequence[order].astype(np.int64)
    counts = np.bincount(sequence, minlength=len(num_D))
    rank = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    found: NDArray[np.int64] = np.sort(places[order[rank < num_D[sequence]]])
    return found
