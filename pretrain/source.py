"""The training data of a run as a pure function: block and micro-batch in, arrays out.

A block is `settings.block` micro-batches' worth of text, drawn from each language as its stage
says. Its plan is a function of the seed, its number and how many blocks each stage had before it; a
micro-batch one of the plan and its number in it. So a run's place in its data is two integers and a
short table, resuming is exact and takes as long as planning one block, and ranks need not talk.

Blocks have different numbers of micro-batches (text is taken in whole sentences); the table `begun`
says which micro-batch each block began with, counted over the whole run, and which stage it was of.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from . import mixture
from .batch import Batches, num_slots
from .config import PretrainSettings
from .order import LENGTHS, Orders
from .plan import Packing, plan_block
from .shards import Shards

ROOM = 1.5
"""Sequences that a micro-batch has room for, over the number expected."""
SEQUENCES = 64
"""That number is a multiple of this."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A block that a run has begun."""

    first: int
    """Its first micro-batch, counted from the start of the run."""
    stage: int
    """The stage it is of."""


@dataclass(frozen=True)
class StageData:
    """What a stage's micro-batches are like."""

    packing: Packing
    mask_rate: float
    rates: NDArray[np.float64]
    """Tokens of each language in a block; shape (languages,)."""
    shares: NDArray[np.float64]
    """Share of each language in the tokens; shape (languages,)."""


class Source:
    """The training part of token shards, cut into the micro-batches of a run."""

    def __init__(
        self,
        shards: Shards,
        *,
        settings: PretrainSettings,
        planned_tokens: int,
        starts: NDArray[np.bool_] | None,
    ) -> None:
        """Name the data.

        Args:
            shards: opened token shards.
            settings: resolved ones.
            planned_tokens: length of the run, by which UniMax caps repetition.
            starts: which pieces begin a word, to mask whole words; None masks single pieces.
        """
        self.shards, self.settings = shards, settings
        self.part = shards.view("train")
        self.planned_tokens, self.starts = planned_tokens, starts
        self.labels = shards.labels
        longest = max(row.max_length or 0 for row in settings.stages)
        section = LENGTHS * longest
        self._orders = Orders(self.part, labels=self.labels, section=section, seed=settings.seed)
        self._delays = mixture.delays(
            self.labels,
            num_documents=self.part.num_documents,
            num_tokens=self.part.num_tokens,
            section=section,
            seed=settings.seed,
        )

    @cached_property
    def stages(self) -> tuple[StageData, ...]:
        """Return what the micro-batches of each stage are like."""
        return tuple(self._stage(number) for number in range(len(self.settings.stages)))

    def _stage(self, number: int) -> StageData:
        settings, row, part = self.settings, self.settings.stages[number], self.part
        if row.sampling is None or row.max_length is None or row.mask_rate is None:
            raise AssertionError("stages are resolved before a run")
        num_slots_ = settings.micro_batch_tokens or 0
        shares = mixture.shares(
            row.sampling,
            labels=self.labels,
            num_tokens=part.num_tokens,
            total_tokens=self.planned_tokens,
        )
        rates = mixture.rates(shares, block_tokens=(settings.block or 1) * num_slots_)
        per_token = mixture.examples_per_token(
            shares, part.num_documents, part.num_tokens, max_length=row.max_length
        )
        sequences = SEQUENCES * -(-int(num_slots_ * per_token * ROOM) // SEQUENCES)
        packing = Packing(
            num_tokens=num_slots_,
            max_length=row.max_length,
            max_sequences=min(max(sequences, SEQUENCES), num_slots_ // 4),
        )
        return StageData(packing, row.mask_rate, rates, shares)

    def num_masked(self, stage: int) -> int:
        """Return the masked slots of a stage's micro-batches."""
        found = self.stages[stage]
        return num_slots(found.packing, found.mask_rate)

    def batches(self, number: int, begun: list[Begun]) -> Batches:
        """Return the micro-batches of a block.

        Args:
            number: of the block, from 0.
            begun: the blocks up to and with this one, at least.
        """
        counts = np.bincount([one.stage for one in begun[:number]], minlength=len(self.stages))
        history = [(int(n), stage.rates) for n, stage in zip(counts, self.stages, strict=True)]
        stage = self.stages[begun[number].stage]
        before = mixture.cursors(history, delays=self._delays)
        history[begun[number].stage] = (int(counts[begun[number].stage]) + 1, stage.rates)
        after = mixture.cursors(history, delays=self._delays)
        block = plan_block(
            self.part,
            self._orders.of_block(before, after),
            seed=self.settings.seed,
            number=number,
            packing=stage.packing,
            pairs=bool(self.settings.nsp),
        )
        return Batches(
            block,
            packing=stage.packing,
            mask_rate=stage.mask_rate,
            seed=self.settings.seed,
            starts=self.starts,
        )
