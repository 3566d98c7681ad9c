"""Show that spm.model and tokenizer.json give the same ids, line by line.

Both search for the best way to cut a text. SentencePiece adds up scores in float32 over the whole
text, tokenizers in float64 over each word. `tokenizer.export` rounds scores to 1/256, so all sums
up to 65,536 are exact in both (about 7,000 pieces) and equal cuts are decided the same way; beyond
it SentencePiece rounds, and two cuts that it can't tell apart may come out differently. Such a
difference is a *tie*: each stretch where the cuts differ has scores no further apart than the
rounding error of adding it up. Any other difference is a defect of the export. Scores of BPE are
whole numbers and say only what is joined first: there are no ties.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from pipelines.errors import DataError
from pipelines.store import Folder

from .export import MODEL, SCORE_STEPS, TOKENIZER
from .spm_format import UNIGRAM, parse

MAX_EXAMPLES = 10
_BATCH_LINES, _BATCH_CHARS = 4096, 1 << 20
_EXACT = 2.0**24 / SCORE_STEPS  # the sums up to which scores are exact in float32


@dataclass(frozen=True, slots=True)
class Difference:
    """A line on which the two differ, or whose text does not come back."""

    line: str
    """Its first 200 characters."""
    spm: list[str]
    """The pieces of spm.model from just before the first difference."""
    hf: list[str]
    """The pieces of tokenizer.json from there."""
    tie: bool


@dataclass(frozen=True, slots=True)
class Proof:
    """What comparing lines showed."""

    num_lines: int
    num_bytes: int
    num_different: int
    """Lines with other ids in tokenizer.json than in spm.model, ties left out."""
    num_ties: int
    num_undecoded: int
    """Lines whose ids the two decode to different texts."""
    examples: list[Difference] = field(default_factory=list)
    """At most MAX_EXAMPLES, defects before ties."""

    @property
    def holds(self) -> bool:
        """Whether every line has the same ids (or a tie) and the same decoded text."""
        return self.num_different == 0 and self.num_undecoded == 0


def prove(folder: Folder, lines: Iterable[str]) -> Proof:
    """Compare the ids and the decoded texts of spm.model and tokenizer.json.

    Special pieces spelled out in the lines are text, as in a corpus.

    Args:
        folder: where `tokenizer.export.export` wrote.
        lines: any text; raw text is as good as clean.

    Raises:
        DataError: a file is missing or cannot be loaded.
    """
    processor, tokenizer, has_ties = _load(folder)
    num_lines = num_bytes = num_different = num_ties = num_undecoded = 0
    defects: list[Difference] = []
    ties: list[Difference] = []
    for batch in _batches(lines):
        num_lines += len(batch)
        num_bytes += sum(len(line.encode()) for line in batch)
        ids = processor.encode(batch)
        others = [
            found.ids for found in tokenizer.encode_batch_fast(batch, add_special_tokens=False)
        ]
        decoded = zip(processor.decode(ids), tokenizer.decode_batch(ids), strict=True)
        for line, a, b, (text, other) in zip(batch, ids, others, decoded, strict=True):
            if a != b:
                tie = has_ties and is_tie(processor, a, b)
                num_ties += tie
                num_different += not tie
                (ties if tie else defects).append(_difference(processor, line, a, b, tie=tie))
            if text != other:
                num_undecoded += 1
                defects.append(Difference(line[:200], [text[:200]], [other[:200]], False))
        del defects[MAX_EXAMPLES:], ties[MAX_EXAMPLES:]
    examples = (defects + ties)[:MAX_EXAMPLES]
    return Proof(num_lines, num_bytes, num_different, num_ties, num_undecoded, examples)


def is_tie(processor: Any, a: list[int], b: list[int]) -> bool:  # noqa: ANN401
    """Tell whether two cuts of one text are equally good as far as float32 can tell.

    Args:
        processor: the SentencePieceProcessor that the ids belong to.
        a: ids of one cut.
        b: ids of the other.
    """
    ends_a, ends_b = _ends(processor, a), _ends(processor, b)
    if not len(ends_a) or not len(ends_b) or ends_a[-1] != ends_b[-1]:
        return False
    sums_a, sums_b = _sums(processor, a), _sums(processor, b)
    # Stretches lie between the places where both cuts have a border.
    shared, at_a, at_b = np.intersect1d(ends_a, ends_b, return_indices=True)
    sums_a, sums_b = sums_a[at_a], sums_b[at_b]
    apart = np.abs(np.diff(sums_a, prepend=0.0) - np.diff(sums_b, prepend=0.0))
    num_added = np.diff(at_a, prepend=-1) + np.diff(at_b, prepend=-1)
    size = np.maximum(np.abs(sums_a), np.abs(sums_b))
    error = num_added * np.spacing(size.astype(np.float32)) / 2
    allowed = np.where(size < _EXACT, 0.0, error)
    return bool(len(shared) and np.all(apart <= allowed))


def _sums(processor: Any, ids: list[int]) -> np.ndarray[Any, np.dtype[np.float64]]:  # noqa: ANN401
    # A byte piece stands for a part of an unknown character, which costs the same in both cuts.
    return np.cumsum([0.0 if processor.is_byte(i) else processor.get_score(i) for i in ids])


def _ends(processor: Any, ids: list[int]) -> np.ndarray[Any, np.dtype[np.int64]]:  # noqa: ANN401
    """Return where each piece ends, in bytes of the normalised text."""
    lengths = [1 if processor.is_byte(i) else len(processor.id_to_piece(i).encode()) for i in ids]
    return np.cumsum(np.array(lengths, np.int64))


def _difference(
    processor: Any,  # noqa: ANN401
    line: str,
    a: list[int],
    b: list[int],
    *,
    tie: bool,
) -> Difference:
    pairs = enumerate(zip(a, b, strict=False))
    first = next((n for n, (x, y) in pairs if x != y), min(len(a), len(b)))
    window = slice(max(0, first - 2), first + 8)
    spm, hf = processor.id_to_piece(a[window]), processor.id_to_piece(b[window])
    return Difference(line[:200], spm, hf, tie)


def _batches(lines: Iterable[str]) -> Iterator[list[str]]:
    batch: list[str] = []
    num_chars = 0
    for line in lines:
        batch.append(line)
        num_chars += len(line)
        if len(batch) == _BATCH_LINES or num_chars >= _BATCH_CHARS:
            yield batch
            batch, num_chars = [], 0
    if batch:
        yield batch


def _load(folder: Folder) -> tuple[Any, Any, bool]:
    """Return (SentencePieceProcessor, tokenizers.Tokenizer, whether it is a Unigram model)."""
    import sentencepiece
    import tokenizers

    try:
        model, described = folder.read_bytes(MODEL), folder.read_bytes(TOKENIZER)
    except FileNotFoundError as error:
        raise DataError(f"{folder.url}: {error.filename} is missing.\n  Export it again.") from None
    try:
        processor = sentencepiece.SentencePieceProcessor(model_proto=model)
        tokenizer = tokenizers.Tokenizer.from_buffer(described)
    except Exception as error:  # tokenizers raises Exception itself
        raise DataError(f"{folder.url}: cannot be loaded ({error}).\n  Export it again.") from error
    tokenizer.encode_special_tokens = True
    return processor, tokenizer, parse(model, place=MODEL).kind == UNIGRAM
