"""Measure documents: the statistics that `pipelines.judge` holds against its thresholds.

One pass over the UTF-8 bytes of a batch, in every script, and no Python object per document.
The units are those of the script (`pipelines.tokens`): clusters, words or clusters, lines.

Promises: a document's row depends on its text alone, not on its neighbours, the batch or the
machine; every share lies in 0..1; a null means that the question makes no sense for the document.
Does not promise: word statistics in scripts without spaces (null), or repetition beyond the first
million tokens and lines of a document (`repetition.MAX_UNITS`).

Definitions, where a name does not say it all:

* visible: code points that are not white space, control or default-ignorable. `letter_share` and
  `digit_share` are of these. `curly_ratio` is per code point of any kind.
* words: tokens of scripts with spaces (mean, longest, with a letter); for the ratios per word all
  tokens; in scripts without spaces their number is estimated as clusters divided by
  `scripts.GRAPHEMES_PER_WORD` for the ratios per word, and word n-grams are of that many clusters.
  A ratio per word of a document without words is per one word.
* a line ends at U+000A and has a letter, a mark or a digit: rulers and separators do not count. Its
  text goes from the first to the last visible character. A paragraph is a run of such lines.
  `newline_ratio` is lines per word, however many blank lines part them. The '#' that a line starts
  with are a heading's, not counted.
* content: clusters weighted by `scripts.DENSITY`; white space inside a line counts as one Latin
  letter, however long, at its ends as nothing. A line is short below 30.
* a line's end is terminal after Sentence_Terminal or `scripts.EXTRA_TERMINALS`, closing quotes and
  brackets may follow; ';' is terminal where the script is Greek (NFC makes U+037E of it).
* an ellipsis is a run of U+2026 or U+22EF, or three or more full stops (ASCII or ideographic).
* the first of equal lines, paragraphs or n-grams is not a duplicate. Shares of characters are
  graphemes of all lines, for n-grams graphemes of all tokens (Gopher divides by the text's length
  with spaces, which is no share in scripts without them, and exceeds 1).

Of nothing, a share is 0; `script`, `mean_word_graphemes`, `letter_word_share` and
`terminal_line_share` are null without letters, words, words and lines.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from . import walk
from .jit import kernel
from .records import STATS
from .repetition import (
    NUM_DUPLICATE,
    NUM_TOP,
    Workspace,
    duplicates,
    new_workspace,
    repeated_ngrams,
)
from .unicode import (
    DENSITY,
    FIRST_SCRIPT,
    HAS_TERMINALS,
    IS_UNSPACED,
    NUM_SCRIPTS,
    SCRIPT_NUMBERS,
    SCRIPTS,
    TABLES,
    TOKENS_PER_WORD,
    Tables,
    buffers,
)

DENSITY_TENTHS: NDArray[np.int64] = np.rint(DENSITY * 10).astype(np.int64)
SCRIPT_DICTIONARY = pa.array(SCRIPTS, pa.string())

# What repetition leaves for each document: lines, paragraphs, then the n-gram shares.
DUPLICATE_LINES, DUPLICATE_LINE_GRAPHEMES, DUPLICATE_PARAGRAPHS, DUPLICATE_PARAGRAPH_GRAPHEMES = (
    range(4)
)
NUM_NGRAMS = NUM_TOP + NUM_DUPLICATE


@dataclass(frozen=True, slots=True)
class Measured:
    """The statistics of a batch of n documents."""

    stats: pa.StructArray
    """Rows of records.STATS, without nulls at the top level."""
    letters_by_script: NDArray[np.uint32]
    """(n, NUM_SCRIPTS) letters of each script, in the order of unicode.SCRIPTS."""


def measure(text: pa.LargeStringArray) -> Measured:
    """Return the statistics and the script counts of each document.

    Args:
        text: valid UTF-8 without nulls, may be a slice.

    Raises:
        TypeError: if the array is not large_string.
        ValueError: if there are nulls.
    """
    offsets, data = buffers(text)
    num_documents = len(text)
    counts = np.zeros((num_documents, walk.NUM_COUNTS), np.int64)
    letters = np.zeros((num_documents, NUM_SCRIPTS), np.uint32)
    repeated = np.zeros((num_documents, 4), np.int64)
    ngrams = np.zeros((num_documents, NUM_NGRAMS), np.float64)
    num_units = walk.max_units(int(np.diff(offsets).max(initial=0)))
    _measure(
        offsets,
        data,
        TABLES,
        DENSITY_TENTHS,
        TOKENS_PER_WORD,
        walk.new_scratch(num_units),
        new_workspace(num_units),
        counts,
        letters,
        repeated,
        ngrams,
    )
    return Measured(_statistics(counts, letters, repeated, ngrams), letters)


def dominant_scripts(letters: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return the script number with most letters of each document, COMMON where there are none.

    Equal counts: the lower number. Letters that scripts share (Zyyy, Zinh) have no vote.
    """
    if len(letters) == 0:
        return np.zeros(0, np.int64)
    own = letters[:, FIRST_SCRIPT:]
    best = own.argmax(axis=1)
    return np.where(own[np.arange(len(own)), best] > 0, best + FIRST_SCRIPT, 0)


@kernel
def _measure(
    offsets: NDArray[np.int64],
    data: NDArray[np.uint8],
    tables: Tables,
    density_tenths: NDArray[np.int64],
    tokens_per_word: NDArray[np.int64],
    scratch: walk.Scratch,
    work: Workspace,
    counts: NDArray[np.int64],
    letters: NDArray[np.uint32],
    repeated: NDArray[np.int64],
    ngrams: NDArray[np.float64],
) -> None:
    for document in range(offsets.shape[0] - 1):
        start, end = offsets[document], offsets[document + 1]
        count = counts[document]
        limit = walk.max_units(end - start)
        row = letters[document]
        walk.walk(data, start, end, tables, density_tenths, limit, scratch, count, row)
        for column, hashes, sizes, total in (
            (DUPLICATE_LINES, scratch.line_hashes, scratch.line_graphemes, count[walk.LINES]),
            (
                DUPLICATE_PARAGRAPHS,
                scratch.paragraph_hashes,
                scratch.paragraph_graphemes,
                count[walk.PARAGRAPHS],
            ),
        ):
            number, size = duplicates(work, hashes, sizes, min(total, limit))
            repeated[document, column] = number
            repeated[document, column + 1] = size
        script = 0
        most = np.uint32(0)
        for candidate in range(FIRST_SCRIPT, letters.shape[1]):
            if letters[document, candidate] > most:
                script = candidate
                most = letters[document, candidate]
        repeated_ngrams(
            work,
            scratch.token_hashes,
            scratch.token_graphemes,
            min(count[walk.TOKENS], limit),
            tokens_per_word[script],
            ngrams[document],
        )


def _statistics(
    counts: NDArray[np.int64],
    letters: NDArray[np.uint32],
    repeated: NDArray[np.int64],
    ngrams: NDArray[np.float64],
) -> pa.StructArray:
    """Return the counts as rows of records.STATS."""
    scripts = dominant_scripts(letters)
    has_script = scripts >= FIRST_SCRIPT
    unspaced = IS_UNSPACED[scripts]
    tokens = counts[:, walk.TOKENS]
    own_words = counts[:, walk.WORDS]
    words = np.maximum(tokens / TOKENS_PER_WORD[scripts], 1)
    lines = counts[:, walk.LINES]
    line_graphemes = counts[:, walk.LINE_GRAPHEMES]
    visible = counts[:, walk.VISIBLE]
    greek = scripts == SCRIPT_NUMBERS["Grek"]
    terminal_lines = counts[:, walk.TERMINAL_LINES] + greek * counts[:, walk.SEMICOLON_LINES]
    no_words = unspaced | (own_words == 0)
    own_letters = letters[:, FIRST_SCRIPT:].sum(axis=1, dtype=np.int64)
    script_letters = letters[np.arange(len(letters)), scripts]

    columns: dict[str, pa.Array] = {
        "script": pa.DictionaryArray.from_arrays(
            pa.array(scripts.astype(np.int16), mask=~has_script), SCRIPT_DICTIONARY
        ),
        "script_share": _share(script_letters, own_letters, null=~has_script),
        "num_graphemes": _integer(counts[:, walk.GRAPHEMES]),
        "num_words": _integer(own_words, null=unspaced),
        "num_lines": _integer(lines),
        "content_chars": pa.array((counts[:, walk.CONTENT_TENTHS] / 10).astype(np.float32)),
        "mean_word_graphemes": _share(counts[:, walk.WORD_GRAPHEMES], own_words, null=no_words),
        "max_word_graphemes": _integer(counts[:, walk.LONGEST_WORD], null=unspaced),
        "letter_share": _share(counts[:, walk.ALPHABETICS], visible),
        "digit_share": _share(counts[:, walk.DIGITS], visible),
        "letter_word_share": _share(counts[:, walk.LETTER_WORDS], own_words, null=no_words),
        "hash_ratio": _share(counts[:, walk.HASH_SIGNS], words),
        "ellipsis_ratio": _share(counts[:, walk.ELLIPSES], words),
        "curly_ratio": _share(counts[:, walk.CURLIES], counts[:, walk.CODE_POINTS]),
        "bullet_line_share": _share(counts[:, walk.BULLET_LINES], lines),
        "ellipsis_line_share": _share(counts[:, walk.ELLIPSIS_LINES], lines),
        "terminal_line_share": _share(
            terminal_lines, lines, null=~HAS_TERMINALS[scripts] | (lines == 0)
        ),
        "short_line_share": _share(counts[:, walk.SHORT_LINES], lines),
        "newline_ratio": _share(lines, words),
        "duplicate_line_share": _share(repeated[:, DUPLICATE_LINES], lines),
        "duplicate_line_char_share": _share(repeated[:, DUPLICATE_LINE_GRAPHEMES], line_graphemes),
        "duplicate_paragraph_share": _share(
            repeated[:, DUPLICATE_PARAGRAPHS], counts[:, walk.PARAGRAPHS]
        ),
        "duplicate_paragraph_char_share": _share(
            repeated[:, DUPLICATE_PARAGRAPH_GRAPHEMES], line_graphemes
        ),
    }
    for index, shares in enumerate(ngrams.T):
        kind = "top" if index < NUM_TOP else "duplicate"
        columns[f"{kind}_{index + 2}gram_share"] = pa.array(shares.astype(np.float32))
    return pa.StructArray.from_arrays([columns[field.name] for field in STATS], fields=list(STATS))


def _integer(values: NDArray[np.int64], *, null: NDArray[np.bool_] | None = None) -> pa.Array:
    return pa.array(np.minimum(values, 2**31 - 1).astype(np.int32), mask=null)


def _share(
    part: NDArray[np.integer[Any]],
    whole: NDArray[np.int64] | NDArray[np.float64],
    *,
    null: NDArray[np.bool_] | None = None,
) -> pa.Array:
    """Return part / whole as float32, 0 where the whole is 0."""
    return pa.array((part / np.where(whole == 0, 1, whole)).astype(np.float32), mask=null)
