"""Micro-batches: the arrays that a step of training takes, always of the same shapes.

Promises: micro-batch m of a block is a function of the seed, the block and m: the same bytes in any
order of calls, on any rank, in any process. Exactly `rate` x N tokens are masked in each full one,
none of them special; sequences do not overlap, and padding is in sequences of its own.
Does not promise: that it masks whole words to the last token; see `masking`.

Shape letters: N tokens, D sequences, K masked tokens: slots of a micro-batch, fixed. Sequences fill
slots from 0 on; behind them, N is cut into pseudo-sequences of padding no longer than any other
(attention kernels are told the longest); empty slots of sequences have length 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from . import draws
from .masking import CLS, MASK, SEP, choose, choose_each, num_each, replace
from .packing import Packing
from .packing import num_slots as num_slots
from .pairs import Long
from .plan import Block

Int = NDArray[np.int32]
Number = TypeVar("Number", np.int64, np.float32)


@dataclass(frozen=True, slots=True)
class MicroBatch:
    """One micro-batch."""

    ids_N: Int
    """What the encoder sees; 0 where there is padding."""
    positions_N: Int
    """Places in the sequence, from 0."""
    types_N: Int
    """0 for [CLS] A [SEP], 1 for B [SEP]."""
    cu_D1: Int
    """Where sequences begin, and N for empty slots; shape (D + 1,)."""
    masked_K: Long
    """Places of the masked tokens, ascending; 0 in slots without one."""
    labels_K: Long
    """What stood there."""
    weights_K: NDArray[np.float32]
    """1, and 0 in slots without a token."""
    languages_K: Long
    """Numbers of the tokens' languages."""
    nsp_D: Long
    """1: B is from another document; 0: it follows A, or there is nothing to tell."""
    nsp_weights_D: NDArray[np.float32]
    """1, and 0 where there is nothing to tell, or only one thing in the whole language."""
    languages_D: Long
    """Numbers of the sequences' languages."""
    num_tokens: int
    """Without padding; special tokens count."""
    num_masked: int
    num_sequences: int
    squares: float
    """Sum of squared lengths: pairs of tokens that global attention looks at."""
    local: float
    """Pairs of tokens that local attention looks at."""
    tokens_L: Long
    """`num_tokens` by language; shape (languages,)."""


class Batches:
    """The micro-batches of a block."""

    def __init__(
        self,
        block: Block,
        *,
        packing: Packing,
        mask_rate: float,
        seed: int,
        starts: NDArray[np.bool_] | None = None,
        evaluation: bool = False,
        window: int = 128,
    ) -> None:
        """Name the block.

        Args:
            block: packed into micro-batches.
            packing: that it was packed by.
            mask_rate: share of masked tokens, of all tokens with the special ones.
            seed: of the run.
            starts: which pieces begin a word, to mask whole words; None masks single pieces.
            evaluation: mask a share of each sequence, all by [MASK], and by draws that depend on
                the seed, the document and the place in it alone: packing by `mask_rate` as well.
            window: tokens that local attention looks at, half of them on each side.
        """
        self.block, self.packing, self.num_micro = block, packing, block.num_micro
        self._mask_rate, self._seed, self._starts = mask_rate, seed, starts
        self._evaluation, self._half = evaluation, window // 2
        self._lengths = block.lengths
        self._places_N = np.arange(packing.num_tokens, dtype=np.int32)

    def micro_batch(self, m: int) -> MicroBatch:
        """Return micro-batch `m` of the block, from 0 to `num_micro` - 1."""
        block, packing = self.block, self.packing
        rows = slice(int(block.micro_starts[m]), int(block.micro_starts[m + 1]))
        length, language = self._lengths[rows], block.language[rows].astype(np.int64)
        num, num_tokens = len(length), int(length.sum())
        begin = np.cumsum(length) - length
        cu_D1, sizes = self._borders(begin, num_tokens)
        ids_N, types_N = self._text(rows, begin, num_tokens)
        rng = draws.generator(self._seed, "mask", block.number, m)
        masked = self._chosen(rng, rows, ids_N, length, num_tokens)
        slots = num_slots(packing, self._mask_rate)
        assert len(masked) <= slots, "more masked tokens than slots: pack by the mask rate"
        counts = np.diff(np.searchsorted(masked, begin), append=len(masked))
        labels, languages = ids_N[masked], np.repeat(language, counts)
        ids_N[masked] = MASK if self._evaluation else self._replaced(rng, labels, languages)
        negative, beyond = block.negative[rows], np.maximum(length - self._half - 1, 0)
        # Where B always follows A, to know the language would be to know the answer.
        tells = (negative >= 0) & ~block.is_lonely[language]
        num_languages = len(block.language_starts) - 1
        return MicroBatch(
            ids_N=ids_N,
            positions_N=self._places_N - np.repeat(cu_D1[: len(sizes)], sizes),
            types_N=types_N,
            cu_D1=cu_D1,
            masked_K=_filled(masked, slots, np.int64),
            labels_K=_filled(labels, slots, np.int64),
            weights_K=_filled(np.ones(len(masked)), slots, np.float32),
            languages_K=_filled(languages, slots, np.int64),
            nsp_D=_filled(negative == 1, packing.max_sequences, np.int64),
            nsp_weights_D=_filled(tells, packing.max_sequences, np.float32),
            languages_D=_filled(language, packing.max_sequences, np.int64),
            num_tokens=num_tokens,
            num_masked=len(masked),
            num_sequences=num,
            squares=float(length @ length),
            local=float(length @ length - beyond @ (beyond + 1)),
            tokens_L=np.bincount(language, length, minlength=num_languages).astype(np.int64),
        )

    def _borders(self, begin: Long, num_tokens: int) -> tuple[Int, Long]:
        """Return where sequences and those of padding begin, and their lengths."""
        num, packing = len(begin), self.packing
        padding = np.arange(num_tokens, packing.num_tokens, packing.max_length)
        assert num + len(padding) <= packing.max_sequences, "packed for another shape"
        cu_D1 = np.full(packing.max_sequences + 1, packing.num_tokens, np.int32)
        cu_D1[:num] = begin
        cu_D1[num : num + len(padding)] = padding
        return cu_D1, np.diff(cu_D1[: num + len(padding) + 1])

    def _text(self, rows: slice, begin: Long, num_tokens: int) -> tuple[Int, Int]:
        """Return tokens and types, nothing masked yet."""
        block = self.block
        a_length, b_length = block.a_length[rows], block.b_length[rows]
        has_b = b_length > 0
        # Two runs of tokens an example, [CLS] A [SEP] and B [SEP], from one place before A on and
        # from B on; what that finds where special tokens belong is overwritten.
        sizes = np.stack([a_length + 2, b_length + has_b], 1)
        shifts = np.stack([block.a_start[rows] - 1, block.b_start[rows] - a_length - 2], 1)
        shifts -= begin[:, None]
        source = np.repeat(shifts.ravel(), sizes.ravel())
        source += self._places_N[:num_tokens]
        ids_N = np.zeros(self.packing.num_tokens, np.int32)
        ids_N[:num_tokens] = block.tokens.take(source, mode="clip")
        ids_N[begin] = CLS
        ids_N[begin + a_length + 1] = SEP
        ids_N[begin + sizes.sum(1) - 1] = SEP
        types_N = np.zeros(self.packing.num_tokens, np.int32)
        types_N[:num_tokens] = np.repeat(np.tile(_TYPES, len(begin)), sizes.ravel())
        return ids_N, types_N

    def _chosen(
        self, rng: np.random.Generator, rows: slice, ids_N: Int, length: Long, num_tokens: int
    ) -> Long:
        """Return the places of the tokens to mask."""
        packing, rate, block = self.packing, self._mask_rate, self.block
        if not self._evaluation:
            full = num_tokens > packing.num_tokens - packing.max_length
            num = round(rate * (packing.num_tokens if full else num_tokens))
            return choose(rng, ids_N=ids_N, num=num, starts=self._starts)
        key = draws.key(self._seed, "evaluation")
        keys = draws.bits(key, block.language[rows], block.a_index[rows], block.a_place[rows])
        sequence = np.repeat(np.arange(len(length)), length)
        within = np.arange(num_tokens) - np.repeat(np.cumsum(length) - length, length)
        return choose_each(
            draws.bits(keys[sequence], within),
            ids_N=ids_N[:num_tokens],
            sequence_N=sequence,
            num_D=num_each(length, rate=rate),
        )

    def _replaced(self, rng: np.random.Generator, ids: Int, languages: Long) -> Int:
        return replace(
            rng,
            ids_K=ids,
            languages_K=languages,
            pool=self.block.tokens,
            pool_starts=self.block.language_starts,
        )


_TYPES = np.array([0, 1], np.int32)


def _filled(values: NDArray[Any], slots: int, dtype: type[Number]) -> NDArray[Number]:
    """Return the values, and zeros in the other slots."""
    found = np.zeros(slots, dtype)
    found[: len(values)] = values
    return found
