"""How documents become examples: BERT's pairs of spans, or plain pieces; for a block at once.

The rules are those of `create_pretraining_data.py` (google-research/bert), to the letter:

* Each document has a target length: the room of an example, or in a tenth of the cases anything
  from 2 on. Sentences are collected until they reach it, or the document ends.
* A is the first of them up to a random border. B is the rest, or half of the time (and always
  where there was a single sentence) text from a random other document; what was to be B is put
  back then and begins the next example. So more than half of the pairs are random.
* Of a pair that is too long, tokens are taken from whichever half is longer, each of them from its
  front or its back at random.

Three things differ. The other document is of the same language, or the pair would be a question of
languages; where there is none, true pairs are made, and single sentences stay alone. A sentence
longer than an example is cut into equal pieces first, or all but one of them would be lost. Long
documents are cut into sections of about 64 target lengths, each a document to the rules but for
its target: then all documents go through the rules in lockstep, the k-th example of each in one
step of arrays, and the number of steps is bounded.

Promises: each decision is a function of the key and of where the example begins in the block, so
that the slow reference in the tests, which pops token by token, gets exactly the same examples.

Places of text are counted in tokens of the block's documents laid end to end; sentences are
numbered over all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import draws

Long = NDArray[np.int64]

SHORT_SHARE = 0.1
"""Documents whose target is shorter than the room there is (BERT's short_seq_prob)."""
SECTION = 64
"""A section of a document has about this many times its target."""
TARGET, SHORT, SPLIT, NEXT = "target", "short", "split", "next"
"""Names of the draws, to make keys of."""


@dataclass(frozen=True, slots=True)
class Text:
    """The documents of a block, laid end to end."""

    borders: Long
    """Where sentences begin, and where the last one ends: shape (sentences + 1,)."""
    first: Long
    """Number of each document's first sentence, and how many there are: shape (documents + 1,)."""

    @property
    def starts(self) -> Long:
        """Where documents begin, and where the last one ends: shape (documents + 1,)."""
        return self.borders[self.first]


@dataclass(frozen=True, slots=True)
class Chunks:
    """Examples in the order of the text, one each row; A is [begin, middle), B is [middle, end)."""

    document: Long
    sentence: Long
    """Number of its first sentence: no two examples have the same."""
    begin: Long
    middle: Long
    end: Long
    target: Long
    """The document's target length."""
    negative: NDArray[np.int8]
    """1: B is to be drawn from another document; 0: B follows A; -1: there is no B."""


def lay_out(starts: Long, ends: Long, offsets: Long, *, longest: int) -> Text:
    """Return documents laid end to end, sentences longer than `longest` cut into equal pieces.

    Args:
        starts: where each document's first sentence begins in it; (documents,).
        ends: where sentences end, document after document; (sentences,).
        offsets: where each document's ends are in `ends`; (documents + 1,).
        longest: most tokens of a sentence.
    """
    counts = np.diff(offsets)
    assert not len(counts) or counts.min() > 0, "a document without a sentence"
    sizes = ends[offsets[1:] - 1] - starts
    base = np.cumsum(sizes) - sizes
    borders = np.empty(len(ends) + 1, np.int64)
    borders[0] = 0
    np.add(ends, np.repeat(base - starts, counts), out=borders[1:])
    lengths = np.diff(borders)
    assert not len(lengths) or lengths.min() > 0, "a sentence without a token"
    first = offsets - offsets[0]
    if not len(lengths) or lengths.max() <= longest:
        return Text(borders, first)
    parts = -(-lengths // longest)
    before = np.concatenate([np.zeros(1, np.int64), np.cumsum(parts)])
    within = np.arange(before[-1]) - np.repeat(before[:-1], parts)
    cut = np.repeat(borders[:-1], parts) + np.repeat(lengths, parts) * within // np.repeat(
        parts, parts
    )
    return Text(np.append(cut, borders[-1]), before[first])


def targets(num_documents: int, *, longest: int, key: int) -> Long:
    """Return the target length of each document: shape (documents,)."""
    document = np.arange(num_documents)
    short = draws.uniform(draws.key(key, TARGET), document) < SHORT_SHARE
    found = np.full(num_documents, longest, np.int64)
    rows = document[short]
    found[rows] = 2 + draws.below(draws.key(key, SHORT), longest - 1, rows)
    return found


def sections(text: Text, *, limits: Long) -> tuple[Long, Long]:
    """Cut long documents at ends of sentences: return (document, first sentence) of each section.

    A document of n limits' length, rounded up, is cut at the first sentence that begins at or after
    each n-th of it; one number more of first sentences is how many sentences there are.

    Args:
        text: the documents.
        limits: tokens that a section should have at the most; shape (documents,).
    """
    starts = text.starts
    sizes = np.diff(starts)
    parts = np.maximum(1, -(-sizes // limits))
    document = np.repeat(np.arange(len(parts)), parts)
    if len(document) == len(parts):
        return document, text.first
    within = np.arange(len(document)) - np.repeat(np.cumsum(parts) - parts, parts)
    wanted = starts[document] + sizes[document] * within // parts[document]
    first = np.searchsorted(text.borders, wanted)
    inside = first < text.first[document + 1]  # the last sentence may be longer than a section
    document, first = document[inside], first[inside]
    kept = np.diff(first, prepend=-1) > 0  # as may any other
    return document[kept], np.append(first[kept], text.first[-1])


def pair(text: Text, *, longest: int, alone: NDArray[np.bool_], key: int) -> Chunks:
    """Return the examples of documents by BERT's rules; B of the random ones is still to be drawn.

    Args:
        text: the documents.
        longest: tokens that A and B may have together.
        alone: which documents have no other in their language; shape (documents,).
        key: of the block's draws.
    """
    target = targets(len(text.first) - 1, longest=longest, key=key)
    document, first = sections(text, limits=SECTION * target)
    ends, borders = text.borders[1:], text.borders
    at, stop = first[:-1], first[1:] - 1
    goal, lonely = target[document], alone[document]
    split_key, next_key = draws.key(key, SPLIT), draws.key(key, NEXT)
    rows: list[tuple[NDArray[Any], ...]] = []
    while len(at) or not rows:
        begin = borders[at]
        last = np.minimum(np.searchsorted(ends, begin + goal), stop)
        single = last == at
        split = at + 1 + draws.below(split_key, np.maximum(last - at, 1), at)
        random = (single | (draws.uniform(next_key, at) < 0.5)) & ~lonely
        negative = random.astype(np.int8) - (single & lonely).astype(np.int8)
        rows.append((document, at, begin, borders[split], borders[last + 1], goal, negative))
        at = np.where(random, split, last + 1)
        going = np.flatnonzero(at <= stop)
        at, stop, document = at[going], stop[going], document[going]
        goal, lonely = goal[going], lonely[going]
    columns = [np.concatenate(column) for column in zip(*rows, strict=True)]
    # Into the order of the text, without sorting: first sentences are numbers of a small range.
    slots = np.full(len(ends), -1, np.int64)
    slots[columns[1]] = np.arange(len(columns[1]))
    order = slots[slots >= 0]
    return Chunks(*(column[order] for column in columns))


def pieces(text: Text, *, longest: int) -> Chunks:
    """Return consecutive pieces of documents that cover each of them once, without any B.

    A piece ends where its document does; else at the last end of a sentence within its last
    quarter; else at its full length.

    Args:
        text: the documents.
        longest: tokens of a piece.
    """
    starts = text.starts
    document, first = sections(text, limits=np.full(len(starts) - 1, SECTION * longest))
    at, stop = text.borders[first[:-1]], text.borders[first[1:]]
    rows: list[tuple[NDArray[Any], ...]] = []
    while len(at) or not rows:
        full = np.minimum(at + longest, stop)
        sentence = text.borders[np.searchsorted(text.borders, full, side="right") - 1]
        end = np.where(sentence >= full - longest // 4, sentence, full)
        end = np.where((full == stop) | (sentence <= at), full, end)
        rows.append((document, at, end))
        going = np.flatnonzero(end < stop)
        document, at, stop = document[going], end[going], stop[going]
    found, begin, end = (np.concatenate(column) for column in zip(*rows, strict=True))
    order = np.argsort(begin)
    found, begin, end = found[order], begin[order], end[order]
    none = np.full(len(begin), -1, np.int8)
    return Chunks(found, begin, begin, end, end, np.full(len(begin), longest, np.int64), none)


def truncated(a_length: Long, b_length: Long, *, longest: int) -> tuple[Long, Long]:
    """Return how many tokens pairs lose of A and of B: one at a time from the longer, B if equal.

    Args:
        a_length: tokens of A.
        b_length: tokens of B.
        longest: tokens that both may have together.
    """
    excess = np.maximum(a_length + b_length - longest, 0)
    from_a = np.minimum(excess, np.maximum(a_length - b_length, 0))
    from_b = np.minimum(excess, np.maximum(b_length - a_length, 0))
    even = excess - from_a - from_b  # of halves that are equally long by then
    return from_a + even // 2, from_b + (even + 1) // 2


def fronts(lost: Long, *, sentence: Long, key: int) -> Long:
    """Return how many of the lost tokens are from the front: a coin each, as one count of bits.

    Coin `i` of an example is bit `i % 64` of `draws.bits(key, sentence, i // 64)`.

    Args:
        lost: tokens that each example loses.
        sentence: number of its first sentence.
        key: of these coins.
    """
    found = np.zeros(len(lost), np.int64)
    rows = np.flatnonzero(lost)
    word = 0
    while len(rows):
        left = np.minimum(lost[rows] - 64 * word, 64).astype(np.uint64)
        coins = draws.bits(key, sentence[rows], word) << (np.uint64(64) - left)
        found[rows] += np.bitwise_count(coins)
        word += 1
        rows = rows[lost[rows] > 64 * word]
    return found
