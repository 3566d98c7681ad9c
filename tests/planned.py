"""Small token shards whose tokens are all different, opened, and read back in the slow way."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from token_shards import FIRST_PIECE, VOCAB_HASH, Document, write_tokens

from pipelines import store
from pretrain.config import HeldOut
from pretrain.order import Spans
from pretrain.part import Part
from pretrain.plan import Block, Packing, plan_block
from pretrain.shards import Shards

NUM_PIECES = 1 << 21
"""Of the vocabulary that numbered tokens are of."""


def numbered(sizes: Mapping[str, Sequence[Sequence[int]]]) -> dict[str, list[Document]]:
    """Return documents with sentences of these sizes; no token comes twice."""
    at, found = FIRST_PIECE, {}
    for label, documents in sorted(sizes.items()):
        found[label] = []
        for document in documents:
            sentences = []
            for size in document:
                sentences.append(range(at, at + size))
                at += size
            found[label].append(sentences)
    assert at < NUM_PIECES
    return found


def random_sizes(rng: np.random.Generator, num: int, *, sentences: int, longest: int):
    """Return sizes of the sentences of documents: up to so many, of up to so many tokens."""
    return [
        rng.integers(1, longest + 1, rng.integers(1, sentences + 1)).tolist() for _ in range(num)
    ]


def opened(out: Path, documents: Mapping[str, Sequence[Document]], **options) -> Shards:
    """Write documents as token shards and open them."""
    folder = write_tokens(out, documents, num_pieces=NUM_PIECES)
    held_out = HeldOut(**options)
    return Shards.open(
        store.Folder(folder), vocab_hash=VOCAB_HASH, labels=None, held_out=held_out, seed=1
    )


def everything(part: Part):
    """Return language, index and epoch of all documents of a part."""
    language = np.repeat(np.arange(len(part.num_documents), dtype=np.int32), part.num_documents)
    index = np.concatenate([np.arange(num) for num in part.num_documents])
    return language, index, np.zeros(len(index), np.int64)


def corpus_of(part: Part) -> list[list[Document]]:
    """Return the documents of a part by language, as lists of sentences of tokens."""
    language, index, _ = everything(part)
    sentences = part.sentences(language, index)
    corpus: list[list[Document]] = [[] for _ in part.num_documents]
    for row, own in enumerate(language.tolist()):
        ends = sentences.ends[sentences.offsets[row] : sentences.offsets[row + 1]]
        start = sentences.starts[row]
        span = np.array([start]), np.array([ends[-1] - start])
        tokens = part.tokens(language[row : row + 1], index[row : row + 1], *span)
        cuts = (ends - start)[:-1]
        corpus[own].append([sentence.tolist() for sentence in np.split(tokens, cuts)])
    return corpus


def planned(part: Part, *, max_length: int, pairs: bool, seed: int = 3, number: int = 0) -> Block:
    """Return the block of all documents of a part."""
    language, index, epoch = everything(part)
    packing = Packing(num_tokens=4096, max_length=max_length, max_sequences=1024)
    return plan_block(
        part,
        Spans.whole(language, index, epoch),
        seed=seed,
        number=number,
        packing=packing,
        pairs=pairs,
    )


def spans(block: Block, row: int) -> tuple[list[int], list[int]]:
    """Return the tokens of A and of B of an example."""
    a, b = int(block.a_start[row]), int(block.b_start[row])
    return (
        block.tokens[a : a + int(block.a_length[row])].tolist(),
        block.tokens[b : b + int(block.b_length[row])].tolist(),
    )
