"""What a block trains on, and in which order: a function of the seed, its number and its documents.

A block's text is read once, cut into examples (`pairs`), shuffled, and cut into micro-batches that
hold as many examples as fit into a fixed number of tokens. Examples never share attention, so
nothing is lost by putting short ones beside long ones, and only the last micro-batch of a block is
not full.

Promises: the same spans give the same block, anywhere. Every token of them is in one example, but
for what BERT's truncation drops: 11 % of the development corpora with 128 tokens, 3 % with 512,
nothing without pairs. Random text comes from another document of the same language and the same
part.
Does not promise: that blocks have equally many micro-batches; sentences have different lengths.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import draws
from .order import Spans, sentences_of
from .packing import Packing as Packing
from .packing import pack as pack
from .packing import tighten
from .pairs import SECTION, Chunks, Long, Text, fronts, lay_out, pair, pieces, truncated
from .part import Part

PAIR_SPECIALS, SINGLE_SPECIALS = 3, 2
"""[CLS] A [SEP] B [SEP], and [CLS] A [SEP]."""
DONOR, DONOR_START, DONOR_CUT = "donor", "donor start", "donor cut"
FRONT_A, FRONT_B = "front of a", "front of b"
_ROWS = (
    "a_start", "a_length", "b_start", "b_length", "language", "negative", "epoch",
    "a_index", "a_place", "b_index", "b_place",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Block:
    """Documents planned together. Rows are examples in training order, places are in `tokens`."""

    number: int
    tokens: NDArray[Any]
    """The documents, language after language, then the text that random pairs take from others."""
    language_starts: Long
    """Where each language's documents begin in `tokens`, and where they end: (languages + 1,)."""
    is_lonely: NDArray[np.bool_]
    """Which languages have one document, so that a B can't be another's: (languages,)."""
    micro_starts: Long
    """Rows of micro-batch m: from the m-th of these to the next; shape (micro-batches + 1,)."""
    a_start: Long
    a_length: Long
    b_start: Long
    b_length: Long
    """0 where there is no B."""
    language: NDArray[np.int32]
    negative: NDArray[np.int8]
    """1: B is from another document; 0: it follows A; -1: there is no B, so nothing to tell."""
    epoch: Long
    a_index: Long
    """The document of A: its number in the part."""
    a_place: Long
    """Where A begins in it, in tokens of the document."""
    b_index: Long
    """The document of B; -1 where there is no B."""
    b_place: Long

    @property
    def lengths(self) -> Long:
        """Return the tokens of each example, special ones counted."""
        return self.a_length + self.b_length + np.where(self.b_length > 0, 3, 2)

    @property
    def num_micro(self) -> int:
        """Return the number of micro-batches."""
        return len(self.micro_starts) - 1

    def taken(self, rows: Long) -> Block:
        """Return the block with these examples only, in this order; pack them anew."""
        changed = {name: getattr(self, name)[rows] for name in _ROWS}
        return replace(self, micro_starts=np.zeros(1, np.int64), **changed)


def plan_block(
    part: Part,
    spans: Spans,
    *,
    seed: int,
    number: int,
    packing: Packing,
    pairs: bool,
) -> Block:
    """Return the plan of a block, and its text.

    Args:
        part: where the documents are.
        spans: what the block takes. A document that comes again (another epoch) is another one to
            the plan.
        seed: of the run.
        number: of the block.
        packing: the shape of micro-batches.
        pairs: make examples of two spans for next-sentence prediction, else of one.
    """
    key = draws.key(seed, "pairs", number)
    spans, sentences = sentences_of(part, spans)
    language, index, epoch = spans.language, spans.index, spans.epoch
    longest = packing.max_length - (PAIR_SPECIALS if pairs else SINGLE_SPECIALS)
    text = lay_out(
        sentences.starts,
        sentences.ends,
        sentences.offsets,
        longest=longest if pairs else SECTION * longest,
    )
    if pairs:
        alone = part.num_documents[language] < 2
        chunks = pair(text, longest=longest, alone=alone, key=key)
    else:
        chunks = pieces(text, longest=longest)
    rows = _rows(chunks, text, language=language, index=index, epoch=epoch, first=sentences.starts)
    starts = text.starts
    own = part.tokens(language, index, sentences.starts, np.diff(starts))
    tokens = [own]
    if pairs:
        random = np.flatnonzero(chunks.negative == 1)
        _draw_others(rows, random, part=part, chunks=chunks, longest=longest, key=key)
        _truncate(rows, sentence=chunks.sentence, longest=longest, key=key)
        random = random[np.argsort(_document_key(rows["language"], rows["b_index"])[random])]
        length = rows["b_length"][random]
        rows["b_start"][random] = len(own) + np.cumsum(length) - length
        tokens.append(
            part.tokens(
                rows["language"][random], rows["b_index"][random], rows["b_place"][random], length
            )
        )
    num_languages = len(part.num_documents)
    block = Block(
        number=number,
        tokens=np.concatenate(tokens) if pairs else own,
        language_starts=starts[np.searchsorted(language, np.arange(num_languages + 1))],
        is_lonely=part.num_documents < 2,
        micro_starts=np.zeros(1, np.int64),
        **rows,
    )
    order = draws.generator(seed, "shuffle", number).permutation(len(block.a_start))
    block = block.taken(order[tighten(block.lengths[order], packing)])
    return replace(block, micro_starts=pack(block.lengths, packing))


def _rows(
    chunks: Chunks,
    text: Text,
    *,
    language: NDArray[np.int32],
    index: Long,
    epoch: Long,
    first: Long,
) -> dict[str, Any]:
    """Return the columns of a block; those of B as if it always followed A."""
    document = chunks.document
    from_start = (first - text.starts[:-1])[document]
    b_length = chunks.end - chunks.middle
    return {
        "a_start": chunks.begin.copy(),
        "a_length": chunks.middle - chunks.begin,
        "b_start": chunks.middle.copy(),
        "b_length": b_length,
        "language": language[document].astype(np.int32, copy=False),
        "negative": chunks.negative,
        "epoch": epoch[document],
        "a_index": index[document],
        "a_place": chunks.begin + from_start,
        "b_index": np.where(chunks.negative < 0, -1, index[document]),
        "b_place": chunks.middle + from_start,
    }


def _draw_others(
    rows: dict[str, Any],
    random: Long,
    *,
    part: Part,
    chunks: Chunks,
    longest: int,
    key: int,
) -> None:
    """Put text of another document of the language in the place of B, where pairs are random."""
    sentence, language = chunks.sentence[random], rows["language"][random]
    own = rows["a_index"][random]
    drawn = draws.below(draws.key(key, DONOR), part.num_documents[language] - 1, sentence)
    other = drawn + (drawn >= own)
    order = np.argsort(_document_key(language, other))
    start, length = np.empty_like(own), np.empty_like(own)
    start[order], length[order] = part.draw_spans(
        language[order],
        other[order],
        u=draws.uniform(draws.key(key, DONOR_START), sentence[order]),
        target=np.maximum(1, chunks.target[random] - rows["a_length"][random])[order],
    )
    # Sentences longer than an example are cut in A; here, any part of one may be drawn. BERT would
    # take nearly the middle of it each time. Others never come to two examples' length together.
    long = np.flatnonzero(length >= 2 * longest)
    start[long] += draws.below(
        draws.key(key, DONOR_CUT), length[long] - longest + 1, sentence[long]
    )
    length[long] = longest
    rows["b_index"][random], rows["b_place"][random] = other, start
    rows["b_length"][random] = length


def _truncate(rows: dict[str, Any], *, sentence: Long, longest: int, key: int) -> None:
    """Take from pairs what is too long."""
    lost_a, lost_b = truncated(rows["a_length"], rows["b_length"], longest=longest)
    front_a = fronts(lost_a, sentence=sentence, key=draws.key(key, FRONT_A))
    front_b = fronts(lost_b, sentence=sentence, key=draws.key(key, FRONT_B))
    for half, lost, front in (("a", lost_a, front_a), ("b", lost_b, front_b)):
        rows[f"{half}_length"] -= lost
        rows[f"{half}_start"] += front
        rows[f"{half}_place"] += front


def _document_key(language: NDArray[np.int32], index: Long) -> Long:
    """Return a number for each document that sorts by language, then by index."""
    return (language.astype(np.int64) << 40) | index
