"""Attention of every head over a text, and what the model expects under a mask.

The numbers are transformers' own: its eager attention, the one implementation that returns its
weights. It computes the same as the faster ones that training and use go by.

Promises: each row is one piece's attention and sums to 1; a text that is too long is cut, never
refused, and says by how much.
Does not promise: that a text of thousands of pieces fits; all layers and heads are kept at once,
so a text is cut where they would need more than `ROOM_BYTES`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.errors import ConfigError, DataError

from .. import models
from .heads import Tally, targets
from .pieces import Piece, pieces_of
from .vocabulary import Vocabulary

if TYPE_CHECKING:
    from ..models import Model

ROOM_BYTES = 1 << 30
"""Of the weights of a text, in float32: 1,365 pieces of 12 layers of 12 heads."""
FILLED_BATCH = 16
"""Copies of a text, each with another piece hidden, that are read at once."""
_FILLS = ("ForMaskedLM", "ForPreTraining")
"""How the classes end that can fill in what is hidden."""


@dataclass(frozen=True)
class Guess:
    """One piece that the model would put under a mask."""

    id: int
    token: str
    text: str
    """Its letters; empty of a byte or special piece."""
    name: str
    """Its letters, or what it is instead."""
    begins: bool
    """Whether it begins a word, so that a space stands before it."""
    probability: float


@dataclass(frozen=True)
class Hidden:
    """What the model expects at one place."""

    place: int
    """Number of the piece."""
    guesses: tuple[Guess, ...]
    """The likeliest, in order."""
    own: float | None = None
    """Probability of the piece that stands there, if it was hidden for this."""
    rank: int | None = None
    """Of that piece among all, from 1."""


@dataclass(frozen=True)
class Looked:
    """What was seen in a model that read a text."""

    sources: tuple[str, ...]
    """The text, and its pair."""
    pieces: tuple[Piece, ...]
    weights_LHQK: NDArray[np.float32]
    """Attention of layer, head, asking piece, attended piece."""
    hidden: tuple[Hidden, ...]
    """What is expected at each [MASK] of the text."""
    each: tuple[Hidden, ...]
    """What is expected at each piece when only it is hidden, where that was asked."""
    decision: dict[str, float] = field(default_factory=dict)
    """Probability of each target, of a model that was tuned to classify."""
    cut: int = 0
    """Pieces left out at the end, since the model reads no more."""


class Reader:
    """A model that reads texts and tells where it looks."""

    def __init__(self, model: Model) -> None:
        """Load its weights, with the head that fills in masks if the folder has one.

        Raises:
            DataError: the weights are not those of the model.
        """
        self.model = model
        names = model.config.get("architectures") or [""]
        task = (model.task or {}).get("task")
        self.fills = model.mask is not None and str(names[0]).endswith(_FILLS)
        """Whether it can say what it expects under a mask."""
        self.decides = task == "classify" and not self.fills
        head: models.Head = "mlm" if self.fills else "classify" if self.decides else "none"
        self._network: Any = models.network(model, head, attention="eager")
        config: Any = self._network.config
        self.layers, self.heads = int(config.num_hidden_layers), int(config.num_attention_heads)
        self.windows = _windows(config, layers=self.layers)
        """Pieces that each layer sees on either side; None of all."""
        room = math.isqrt(ROOM_BYTES // (4 * self.layers * self.heads))
        self.max_length = min(model.max_length, room)
        self._vocabulary = Vocabulary(model.tokenizer)

    def look(
        self, text: str, *, pair: str | None = None, top: int = 10, hide_each: bool = False
    ) -> Looked:
        """Read a text, or a text and its pair.

        Args:
            text: what is read; `[MASK]` in it hides a piece.
            pair: a second text.
            top: how many guesses are kept of each hidden piece.
            hide_each: hide every piece in turn, and say what is expected there. Takes one reading
                for each piece.

        Raises:
            ConfigError: `hide_each` of a model that fills in no masks.
            DataError: there is nothing to read.
        """
        if hide_each and not self.fills:
            raise ConfigError(
                f"{self.model.folder}: has no head that fills in masks, so nothing can be hidden.\n"
                "  Look at the model that it was tuned from, or leave --hide-each out."
            )
        sources = (text,) if pair is None else (text, pair)
        encoding, cut = self._encoded(text, pair)
        model = self.model
        special = {one for one in (model.pad, model.cls, model.sep, model.mask) if one is not None}
        pieces = pieces_of(encoding, sources, special=special, vocabulary=self._vocabulary)
        if not any(piece.source is not None for piece in pieces):
            raise DataError(
                "The text has nothing that the model reads; it is empty or of spaces alone.\n"
                "  Give it a sentence."
            )
        ids, types = torch.tensor([encoding.ids]), torch.tensor([encoding.type_ids])
        found = self._read(ids, types, attention=True)
        weights = torch.stack([layer[0] for layer in found.attentions]).numpy()
        hidden: list[Hidden] = []
        if self.fills:
            places = [n for n, piece in enumerate(pieces) if piece.id == self.model.mask]
            chances = found.logits[0, places].softmax(-1)
            hidden = [
                Hidden(place, self._guesses(chances[n], top)) for n, place in enumerate(places)
            ]
        decision = {}
        if self.decides:
            names = self._network.config.id2label
            shares = found.logits[0].softmax(-1).tolist()
            decision = {str(names[number]): share for number, share in enumerate(shares)}
        each = tuple(self._each(ids, types, pieces, top)) if hide_each else ()
        return Looked(sources, pieces, weights, tuple(hidden), each, decision, cut)

    def tally(self) -> Tally:
        """Return an empty tally of this model's heads."""
        return Tally(layers=self.layers, heads=self.heads, windows=self.windows)

    def count(self, tally: Tally, looked: Looked) -> None:
        """Add a text that was looked at to a tally."""
        model = self.model
        wanted = targets(
            looked.pieces, rarity=self._vocabulary.rarity, sep=model.sep, cls=model.cls
        )
        tally.add(looked.weights_LHQK, looked.pieces, wanted)

    def _encoded(self, text: str, pair: str | None) -> tuple[Any, int]:
        """Return the encoding of the texts, cut to what can be read, and how much was cut."""
        tokenizer = self.model.tokenizer
        encoding = tokenizer.encode(text, pair)
        too_many = len(encoding.ids) - self.max_length
        if too_many <= 0:
            return encoding, 0
        tokenizer.enable_truncation(self.max_length, strategy="longest_first")
        try:
            return tokenizer.encode(text, pair), too_many
        finally:
            tokenizer.no_truncation()

    @torch.inference_mode()
    def _read(self, ids: torch.Tensor, types: torch.Tensor, *, attention: bool) -> Any:  # noqa: ANN401
        given = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        if self.model.takes_types:
            given["token_type_ids"] = types
        return self._network(**given, output_attentions=attention)

    def _guesses(self, chances: torch.Tensor, top: int) -> tuple[Guess, ...]:
        best = chances.topk(min(top, chances.shape[-1]))
        return tuple(
            self._guess(int(number), float(chance))
            for chance, number in zip(best.values, best.indices, strict=True)
        )

    def _guess(self, number: int, chance: float) -> Guess:
        own = self._vocabulary
        token = self.model.tokenizer.id_to_token(number) or ""
        return Guess(
            number, token, own.letters(number), own.name(number), own.begins(token), chance
        )

    def _each(
        self, ids: torch.Tensor, types: torch.Tensor, pieces: Sequence[Piece], top: int
    ) -> Iterator[Hidden]:
        """Yield what is expected at each piece of the texts when only it is hidden."""
        places = [number for number, piece in enumerate(pieces) if piece.kind != "special"]
        for first in range(0, len(places), FILLED_BATCH):
            some = torch.tensor(places[first : first + FILLED_BATCH])
            rows = torch.arange(len(some))
            copies = ids.repeat(len(some), 1)
            copies[rows, some] = int(self.model.mask or 0)
            found = self._read(copies, types.repeat(len(some), 1), attention=False)
            chances = found.logits[rows, some].softmax(-1)
            for row, place in enumerate(some.tolist()):
                own = float(chances[row, ids[0, place]])
                rank = int((chances[row] > own).sum()) + 1
                yield Hidden(place, self._guesses(chances[row], top), own, rank)


def _windows(config: Any, *, layers: int) -> tuple[int | None, ...]:  # noqa: ANN401
    """Return how many pieces each layer sees on either side."""
    kinds = getattr(config, "layer_types", None) or ["full_attention"] * layers
    side = int(getattr(config, "local_attention", 0) or 0) // 2
    return tuple(side if kind == "sliding_attention" else None for kind in kinds)
