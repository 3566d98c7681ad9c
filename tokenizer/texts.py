"""The text that a vocabulary is judged by: the same in every language, or held out from training.

*Parallel* text says the same in every language, line by line, so tokens can be compared as they
are. *Held-out* text is of each language's own; tokens are then compared by content
(`pipelines.measure`: graphemes, weighted by how much one says in its script).

Promises: lines without text are left out; labels are in order; each label knows its lines' bytes,
characters, content and words, measured once for all tokenizers.
Does not promise: that lines said to be translations are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from pipelines.errors import DataError
from pipelines.measure import dominant_scripts, measure
from pipelines.unicode import DENSITY, IS_UNSPACED, NUM_SCRIPTS, buffers

from .words import word_counts

Kind = Literal["parallel", "held-out"]


@dataclass(frozen=True, slots=True)
class LabelText:
    """The n lines of one language."""

    label: str
    lines: pa.LargeStringArray
    positions: NDArray[np.int64]
    """(n,) which line of the parallel text each one translates; 0 ... n - 1 in held-out text."""
    num_bytes: NDArray[np.int64]
    """(n,) of UTF-8."""
    num_chars: NDArray[np.int64]
    """(n,) code points."""
    content: NDArray[np.float64]
    """(n,) weighted graphemes."""
    words: list[str] | None
    """Different words; None in scripts without spaces, and where there are none."""
    word_counts: NDArray[np.int64]
    """(words,) how often each occurs."""
    script_content: NDArray[np.float64]
    """(NUM_SCRIPTS,) letters of each script, weighted by how much one says."""


@dataclass(frozen=True, slots=True)
class Texts:
    """Text in several languages."""

    kind: Kind
    labels: dict[str, LabelText]
    """By label, in order."""
    num_lines: int
    """Lines of the parallel text, translated or not; 0 in held-out text."""

    def __post_init__(self) -> None:
        """Check that all languages of a parallel text can be compared.

        Raises:
            DataError: some share no line, directly or through others, with the rest.
        """
        if self.kind == "parallel":
            _check_connected(self)

    @property
    def is_complete(self) -> bool:
        """Whether parallel text has every line in every language."""
        return self.kind == "parallel" and all(
            len(text.lines) == self.num_lines for text in self.labels.values()
        )


def held_out(tables: Mapping[str, pa.Table]) -> Texts:
    """Return held-out text for judging.

    Args:
        tables: by label, each with a column `text`, one line a row.

    Raises:
        DataError: no line has text.
    """
    labels = {}
    for label in sorted(tables):
        measured = _measured(label, tables[label].column("text"))
        if measured is not None:
            labels[label] = measured
    if not labels:
        raise DataError(
            "The held-out text is empty.\n"
            "  The corpus is too small for vocab.held_out; raise it, or set vocab.parallel."
        )
    return Texts("held-out", labels, 0)


def held_out_of(table: pa.Table) -> Texts:
    """Return held-out text for judging, from one table with the columns `label` and `text`."""
    column = table.column("label").cast(pa.string())
    codes = column.combine_chunks().dictionary_encode()
    indices = codes.indices.to_numpy(zero_copy_only=False)
    return held_out(
        {
            label: table.take(np.flatnonzero(indices == number))
            for number, label in enumerate(codes.dictionary.to_pylist())
        }
    )


def parallel(lines: Mapping[str, Sequence[str | None]]) -> Texts:
    """Return parallel text for judging.

    Args:
        lines: by label, one for each line of the text; None or "" where there is no translation.

    Raises:
        DataError: the numbers of lines differ, or too few lines are translated to compare all
            languages with each other.
    """
    lengths = {label: len(own) for label, own in lines.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(uneven(lengths, place="parallel text"))
    labels = {}
    for label in sorted(lines):
        measured = _measured(label, pa.chunked_array([pa.array(lines[label], pa.large_string())]))
        if measured is not None:
            labels[label] = measured
    if not labels:
        raise DataError("The parallel text is empty.\n  Give files with a sentence on each line.")
    return Texts("parallel", labels, next(iter(lengths.values())))


def uneven(lengths: Mapping[str, int], *, place: str) -> str:
    """Return what to say where languages have different numbers of lines."""
    counts = list(lengths.values())
    usual = max(sorted(set(counts)), key=counts.count)
    odd = [f"{label} has {n:,}" for label, n in sorted(lengths.items()) if n != usual]
    more = f" and {len(odd) - 5:,} more" if len(odd) > 5 else ""
    return (
        f"{place}: most languages have {usual:,} lines, but {', '.join(odd[:5])}{more}.\n"
        "  Line n must say the same in every language; leave a line empty where there is no"
        " translation."
    )


def _measured(label: str, column: pa.ChunkedArray) -> LabelText | None:
    """Return a language's lines that have text, measured; None where there are none."""
    column = column.cast(pa.large_string())
    lines: pa.LargeStringArray = pa.concat_arrays(column.chunks) if column.num_chunks else None
    if lines is None:
        return None
    lines = lines.fill_null("")
    measured = measure(lines)
    visible = measured.stats.field("num_graphemes").to_numpy() > 0
    content = measured.stats.field("content_chars").to_numpy().astype(np.float64)
    positions = np.flatnonzero(visible & (content > 0))
    if not len(positions):
        return None
    lines = lines.take(pa.array(positions))
    letters = measured.letters_by_script[positions]
    offsets, data = buffers(lines)
    starts = np.zeros(len(data) + 1, np.int64)  # of characters: what is no continuation byte
    np.cumsum((data & 0xC0) != 0x80, out=starts[1:])
    script = dominant_scripts(letters.sum(axis=0, dtype=np.uint32)[None])[0]
    words, counts = word_counts(lines)
    has_words = len(words) > 0 and not IS_UNSPACED[script]
    return LabelText(
        label=label,
        lines=lines,
        positions=positions.astype(np.int64),
        num_bytes=np.diff(offsets),
        num_chars=starts[offsets[1:]] - starts[offsets[:-1]],
        content=content[positions],
        words=words.to_pylist() if has_words else None,
        word_counts=counts if has_words else np.zeros(0, np.int64),
        script_content=letters.sum(axis=0, dtype=np.float64) * DENSITY[:NUM_SCRIPTS],
    )


def _check_connected(texts: Texts) -> None:
    """Refuse languages that share no line, directly or through others, with the rest."""
    group = np.arange(texts.num_lines)  # the smallest line that each line is connected with
    own = list(texts.labels.values())
    while True:
        before = group.copy()
        for text in own:
            group[text.positions] = group[text.positions].min()
        if (group == before).all():
            break
    groups = np.array([group[text.positions[0]] for text in own])
    values, counts = np.unique(groups, return_counts=True)
    apart = [
        text.label for text, g in zip(own, groups, strict=True) if g != values[counts.argmax()]
    ]
    if apart:
        raise DataError(
            f"parallel text: {', '.join(apart[:5])}{' ...' if len(apart) > 5 else ''}"
            f" {'has' if len(apart) == 1 else 'have'} no line in common with the other languages.\n"
            "  Without one they can't be compared; leave them out, or judge by held-out text."
        )
