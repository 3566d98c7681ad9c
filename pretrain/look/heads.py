"""What each head attends to, measured: the piece before, its own word, [SEP], all evenly, ...

For each pattern there is a set of pieces that a piece would attend to if it followed it. What is
measured is the share of attention that goes there, over all pieces that have such a set, against
what even attention would give: `score = (share - chance) / (1 - chance)`. So 0 is chance and 1 is
all of it, whatever the length of a text. The patterns are those that Clark et al. (2019,
arXiv:1906.04341) and Voita et al. (2019, arXiv:1905.09418) found heads to follow.

Promises: scores are of the texts given, with the number of pieces that they rest on; [CLS] and
[SEP] are attended to, but not asked; what a sliding window hides is not counted as chance.
Does not promise: what a head is *for*. Attention says where a head looks, not what it takes from
there (Jain and Wallace 2019), and one text is no proof of a habit: measure over many.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import regex
from numpy.typing import NDArray

from .pieces import Piece

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]

NEAR = 4
"""Pieces away, at most, that are near."""
RARE = 0.1
"""Share of a text's pieces, at least one, that are its rarest."""
SURE = 0.3
"""Score from which on a head is said to follow a pattern."""
BROAD = 0.8
"""Evenness from which on a head that follows no pattern is broad."""
PATTERNS = {
    "previous": ("previous piece", "the piece before"),
    "next": ("next piece", "the piece after"),
    "self": ("itself", "the piece itself"),
    "word": ("same word", "the other pieces of its word, where a word has several; not asked of "
             "scripts that write no spaces"),
    "cls": ("[CLS]", "the piece that stands at the beginning of every input"),
    "sep": ("[SEP]", "the pieces that end a text; a head that has nothing to do often rests there"),
    "punctuation": ("punctuation", "punctuation marks"),
    "rare": ("rare pieces", f"the rarest {RARE:.0%} of the text's pieces, by the vocabulary"),
    "repeat": ("same piece", "the same piece elsewhere, where it occurs again"),
    "other": ("other text", "the other text of a pair"),
}  # fmt: skip
"""Title of each pattern and what a piece would attend to; how a head is named goes by the best."""
NEAR_TITLE, BROAD_TITLE, MIXED_TITLE = "near", "broad", "mixed"
_PUNCTUATION = regex.compile(r"[\p{P}\s]+")


@dataclass(frozen=True)
class Head:
    """What is known of one head."""

    layer: int
    """Counted from 1."""
    head: int
    kind: str
    """A pattern, or `near`, `broad` or `mixed`."""
    score: float
    """Of its kind; the evenness of `broad` and `mixed`."""
    scores: Mapping[str, float | None]
    """Of each pattern and of `near`; None where the texts have no case of it."""
    shares: Mapping[str, float | None]
    """Of its attention, over the pieces asked."""
    evenness: float
    """Mean entropy of a piece's attention against that of an even one: 0 at one piece, 1 even."""
    distance: float
    """Mean distance of what it attends to, in pieces, [CLS] and [SEP] left out."""
    window: int | None
    """Pieces that the layer sees on either side; None where it sees all."""


def reach_of(num: int, window: int | None) -> Mask:
    """Return which pieces (columns) a piece (row) can attend to at all."""
    at = np.arange(num)
    if window is None:
        return np.ones((num, num), dtype=bool)
    return np.asarray(np.abs(at[:, None] - at[None, :]) <= window)


def targets(pieces: Sequence[Piece], *, rarity: Array, sep: int, cls: int) -> dict[str, Mask]:
    """Return for each pattern which pieces (columns) a piece (row) would attend to.

    Args:
        pieces: of one text, or of a text and its pair.
        rarity: of each piece of the vocabulary, by `pieces.rarity`.
        sep: number of [SEP] in the vocabulary.
        cls: that of [CLS].
    """
    num = len(pieces)
    at = np.arange(num)
    apart = np.abs(at[:, None] - at[None, :])
    ids = np.array([piece.id for piece in pieces])
    source = np.array([-1 if piece.source is None else piece.source for piece in pieces])
    word = np.array([-1 if piece.word is None else piece.word for piece in pieces])
    special = np.array([piece.kind == "special" for piece in pieces])
    inside = source[None, :] >= 0
    same_text = (source[:, None] == source[None, :]) & inside
    marks = [piece.kind == "text" and bool(_PUNCTUATION.fullmatch(piece.shown)) for piece in pieces]
    rare = np.zeros(num, dtype=bool)
    asked = np.flatnonzero(~special)
    if asked.size:
        rarest = asked[np.argsort(-rarity[ids[asked]], kind="stable")]
        most = max(1, round(RARE * asked.size))
        edge = rarity[ids[rarest[most - 1]]]
        rare[asked] = rarity[ids[asked]] >= edge
    everywhere = np.ones((num, 1), dtype=bool)
    distinct = apart > 0
    return {
        "previous": (at[:, None] - at[None, :] == 1) & same_text,
        "next": (at[None, :] - at[:, None] == 1) & same_text,
        "self": apart == 0,
        "word": (word[:, None] == word[None, :]) & (word[None, :] >= 0) & distinct,
        "cls": everywhere & (ids == cls)[None, :] & ~inside,
        "sep": everywhere & (ids == sep)[None, :] & ~inside,
        "punctuation": everywhere & np.array(marks)[None, :] & distinct,
        "rare": everywhere & rare[None, :] & distinct,
        "repeat": (ids[:, None] == ids[None, :]) & distinct & ~special[None, :],
        "other": (source[:, None] != source[None, :]) & inside & (source[:, None] >= 0),
        "near": (apart <= NEAR) & distinct & same_text,
    }


class Tally:
    """Adds up what heads attend to, over texts."""

    def __init__(self, *, layers: int, heads: int, windows: Sequence[int | None]) -> None:
        """Begin with nothing.

        Args:
            layers: of the network.
            heads: of each layer.
            windows: pieces that each layer sees on either side.
        """
        self.windows = tuple(windows)
        self.num_texts = 0
        self.num_pieces = 0
        """Pieces asked."""
        names = [*PATTERNS, "near"]
        self._shares: dict[str, Array] = {name: np.zeros((layers, heads)) for name in names}
        self._chances: dict[str, Array] = {name: np.zeros(layers) for name in names}
        self._asked: dict[str, Array] = {name: np.zeros(layers) for name in names}
        self._evenness: Array = np.zeros((layers, heads))
        self._distance: Array = np.zeros((layers, heads))
        self._inside: Array = np.zeros((layers, heads))

    def add(
        self, weights_LHQK: NDArray[np.float32], pieces: Sequence[Piece], wanted: Mapping[str, Mask]
    ) -> None:
        """Add one text.

        Args:
            weights_LHQK: attention of layer, head, asking piece, attended piece.
            pieces: of the text.
            wanted: its `targets`.
        """
        num = len(pieces)
        asked = np.array([p.source is not None for p in pieces])
        inside = asked.astype(np.float64)
        at = np.arange(num)
        apart = np.abs(at[:, None] - at[None, :]) * inside[None, :]
        self.num_texts += 1
        self.num_pieces += int(asked.sum())
        for layer, window in enumerate(self.windows):
            reach = reach_of(num, window)
            reached = reach.sum(axis=1)
            weights_HQK = weights_LHQK[layer, :, asked, :].swapaxes(0, 1).astype(np.float64)
            for name, mask in wanted.items():
                own = mask & reach
                size = own.sum(axis=1)
                # A piece with nothing to attend to, or nothing else, says nothing of a pattern.
                usable = (size > 0) & (size < reached) & asked
                if not usable.any():
                    continue
                rows = usable[asked]
                self._shares[name][layer] += np.einsum(
                    "hqk,qk->h", weights_HQK[:, rows], own[usable].astype(np.float64)
                )
                self._chances[name][layer] += float((size / reached)[usable].sum())
                self._asked[name][layer] += int(usable.sum())
            logs = np.log(np.maximum(weights_HQK, 1e-30))
            entropy_HQ = -(weights_HQK * logs).sum(axis=-1)
            most_Q = np.log(np.maximum(reached[asked], 2))
            self._evenness[layer] += (entropy_HQ / most_Q).sum(axis=-1)
            self._distance[layer] += np.einsum("hqk,qk->h", weights_HQK, apart[asked])
            self._inside[layer] += np.einsum("hqk,k->h", weights_HQK, inside)

    def heads(self) -> list[Head]:
        """Return what was found, layer by layer."""
        layers, heads = self._evenness.shape
        return [self._head(layer, head) for layer in range(layers) for head in range(heads)]

    def _head(self, layer: int, head: int) -> Head:
        scores: dict[str, float | None] = {}
        shares: dict[str, float | None] = {}
        for name, total in self._shares.items():
            num = self._asked[name][layer]
            if num == 0:
                scores[name] = shares[name] = None
                continue
            share, chance = total[layer, head] / num, self._chances[name][layer] / num
            shares[name] = float(share)
            scores[name] = float((share - chance) / (1 - chance))
        evenness = float(self._evenness[layer, head] / max(self.num_pieces, 1))
        kind, score = _kind(scores, evenness)
        distance = float(self._distance[layer, head] / max(self._inside[layer, head], 1e-12))
        return Head(
            layer + 1, head + 1, kind, score, scores, shares, evenness, distance,
            self.windows[layer],
        )  # fmt: skip


def _kind(scores: Mapping[str, float | None], evenness: float) -> tuple[str, float]:
    """Return the pattern that describes a head best, and its score there."""
    found = [(scores[name] or 0.0, name) for name in PATTERNS]
    score, name = max(found, key=lambda one: one[0])
    if score >= SURE:
        return name, score
    if (near := scores["near"] or 0.0) >= SURE:
        return "near", near
    return ("broad" if evenness >= BROAD else "mixed"), evenness


def title_of(kind: str) -> str:
    """Return how a kind of head is called."""
    if kind in PATTERNS:
        return PATTERNS[kind][0]
    return {"near": NEAR_TITLE, "broad": BROAD_TITLE, "mixed": MIXED_TITLE}[kind]
