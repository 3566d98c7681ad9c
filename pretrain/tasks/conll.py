"""Tagged words in columns: CoNLL-2003 and its kin, CoNLL-U and CoNLL-U Plus.

One word a line, a blank line after a sentence, comments after `#`. CoNLL-U has ten columns and
gives word and UPOS; ranges (1-2) and empty nodes (1.1) are no words of the syntax and are passed
over. Elsewhere the word comes first, or second where the first column counts from 1, as in
Universal NER; the tags are the last column that looks like tags of spans (O, B-PER), or the last.

Promises: a sentence with a line of another number of columns is broken, and it alone. Lines are
split by Arrow, not one by one: a treebank of 760,000 words takes a second.
Does not promise: corpora that mix columns of several layouts in one file.

Shapes: N lines of the file, R of them rows (a word each), S sentences.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipelines.errors import ConfigError, DataError

from .files import BAD, Source, decode
from .readers import Records, lines_of

SPAN_TAG = r"^(?:O|[BIESLU]-\S+)$"
_NO_WORD = r"^\d+[-.]\d+$"
_COMMENT = r"^#(?: |$|[^\t]*=[^\t]*$)"
"""Not a sentence whose first word is `#` or `#hashtag`."""
_CONLL_U = 10
_LOOKED_AT = 20_000
"""Rows by which the layout is told."""


def looks_like_conll(text: str) -> bool:
    """Tell sentences of tagged words from a table: blank lines part them, and spans are tagged."""
    head = text.lstrip("\ufeff \r\n")[:20_000].replace("\r\n", "\n").split("\n")
    filled = [line for line in head[:-1] if line.strip() and not line.startswith("#")]
    if "" not in (line.strip() for line in head[:-1]) or not filled:
        return False
    last = [line.split("\t" if "\t" in line else None)[-1] for line in filled]
    num_spans = sum(re.search(SPAN_TAG, one) is not None for one in last)
    return "\t" not in filled[0] or num_spans * 2 > len(last)


def read(data: bytes, source: Source, *, columns: Mapping[str, str]) -> Records:
    """Read sentences: columns `words`, `tags` and, where comments give it, `id`.

    Args:
        data: of the file.
        source: the file.
        columns: numbers (from 1), or names of CoNLL-U Plus, of the columns `words` and `tags`.

    Raises:
        ConfigError: there is no such column.
        DataError: it is another encoding, or there is one column only.
    """
    text = decode(data, shown=source.shown)
    lines_N = lines_of(text)
    named = re.search(r"^# *global\.columns *= *(.+)$", text, flags=re.MULTILINE)
    header = named[1].split() if named else []
    is_row_N, is_comment_N, begins_N = _kinds(lines_N)
    rows = np.flatnonzero(is_row_N)
    if not len(rows):
        raise DataError(f"{source.shown}: has no sentence.\n  Put the data there.")
    lines_R = lines_N.take(rows)
    sentence_R = np.cumsum(begins_N[rows]) - 1
    cells_R = _cells(lines_R)
    widths_R = pc.list_value_length(cells_R).to_numpy(zero_copy_only=False)
    width = int(np.bincount(widths_R).argmax())
    if width < 2:
        raise DataError(
            f"{source.shown}:{rows[0] + 1}: has one column only, so the words have no tags.\n"
            "  Columns are parted by tabs or spaces: a word, then its tag."
        )
    num = int(sentence_R[-1]) + 1
    starts = rows[np.searchsorted(sentence_R, np.arange(num))] + 1
    broken = np.unique(sentence_R[widths_R != width])
    bad = sentence_R[pc.match_substring(lines_R, BAD).to_numpy(zero_copy_only=False)]
    keep_R = ~np.isin(sentence_R, broken)
    cells, sentence_R = cells_R.filter(pa.array(keep_R)), sentence_R[keep_R]
    ids_R = pc.list_element(cells, 0)
    is_u = width == _CONLL_U and bool(pc.all(pc.match_substring_regex(ids_R, r"^\d+")).as_py())
    word, tag = _columns(cells, sentence_R, width=width, is_u=is_u, header=header)
    word = _named(columns.get("words"), header, width, source, default=word)
    tag = _named(columns.get("tags"), header, width, source, default=tag)
    if is_u or header:
        words_R = ~pc.match_substring_regex(ids_R, _NO_WORD).to_numpy(zero_copy_only=False)
        cells, sentence_R = cells.filter(pa.array(words_R)), sentence_R[words_R]
    tags = pc.list_element(cells, tag)
    if is_u:  # an underscore is a tag that is not given
        tags = pc.if_else(pc.equal(tags, "_"), "", tags)
    whole = np.setdiff1d(np.arange(num), broken)
    bounds = pa.array(np.append(np.searchsorted(sentence_R, whole), len(sentence_R)), pa.int32())
    found = {
        "words": pa.ListArray.from_arrays(bounds, pc.list_element(cells, word)),
        "tags": pa.ListArray.from_arrays(bounds, tags),
    }
    if (ids := _ids(lines_N, is_comment_N, starts)) is not None:
        found["id"] = ids.take(whole)
    return Records(
        file=source.shown,
        columns=found,
        places=starts[whole].tolist(),
        broken=[
            ("invalid_utf8" if one in bad else "wrong_number_of_columns", int(starts[one]))
            for one in broken.tolist()
        ],
        settled=frozenset({"words", "tags"}),
    )


def _kinds(lines: pa.Array) -> tuple[NDArray[np.bool_], ...]:
    """Return which lines are rows, which comments, and which rows begin a sentence, each (N,)."""

    def where(values: pa.Array) -> NDArray[np.bool_]:
        found: NDArray[np.bool_] = values.to_numpy(zero_copy_only=False)
        return found

    number = np.arange(len(lines))
    blank = where(pc.equal(pc.utf8_trim_whitespace(lines), ""))
    marked = where(pc.match_substring_regex(lines, _COMMENT))
    passed = blank | where(pc.starts_with(lines, "-DOCSTART-"))
    # A comment stands before its sentence: what is marked within one is a word.
    last_blank = np.maximum.accumulate(np.where(passed, number, -1))
    last_other = np.maximum.accumulate(np.where(~marked & ~passed, number, -1))
    comment = marked & (last_other <= last_blank)
    row = ~passed & ~comment
    before = np.maximum.accumulate(np.where(row, number, -1))
    previous = np.concatenate(([-1], before[:-1]))
    return row, comment, row & (last_blank >= previous) & ((previous < 0) | (last_blank > previous))


def _cells(rows: pa.Array) -> pa.Array:
    """Return the columns of each row: parted by tabs where there are any, else by spaces."""
    if pc.any(pc.match_substring(rows, "\t")).as_py():
        return pc.split_pattern(rows, "\t")
    return pc.ascii_split_whitespace(pc.ascii_trim_whitespace(rows))


def _columns(
    cells: pa.Array, sentence: NDArray[np.int64], *, width: int, is_u: bool, header: list[str]
) -> tuple[int, int]:
    """Return which column has the words, which the tags."""
    if is_u:
        return 1, 3
    if "FORM" in header:
        entities = [at for at, name in enumerate(header) if "NER" in name or "ENT" in name]
        upos = [header.index("UPOS")] if "UPOS" in header else [width - 1]
        return header.index("FORM"), (entities or upos)[0]
    head, sentence = cells[:_LOOKED_AT], sentence[:_LOOKED_AT]
    place = np.arange(len(sentence)) - np.searchsorted(sentence, sentence) + 1
    counts = width > 2 and bool(
        pc.all(pc.equal(pc.list_element(head, 0), pa.array(place).cast(pa.string()))).as_py()
    )
    for tag in range(width - 1, int(counts), -1):
        if pc.all(pc.match_substring_regex(pc.list_element(head, tag), SPAN_TAG)).as_py():
            return int(counts), tag
    return int(counts), width - 1


def _ids(lines: pa.Array, is_comment: NDArray[np.bool_], starts: NDArray[Any]) -> pa.Array | None:
    """Return the name of each sentence, null where its comments give none; (S,)."""
    places = np.flatnonzero(is_comment)
    found = pc.extract_regex(lines.take(places), r"^# *(?:sent_id|id) *[= ] *(?P<id>\S+)")
    places, names = places[found.is_valid().to_numpy(zero_copy_only=False)], found.drop_null()
    if not len(places):
        return None
    nearest = np.searchsorted(places, starts - 1) - 1
    previous = np.concatenate(([0], starts[:-1]))
    own = (nearest >= 0) & (places[nearest] >= previous)
    return names.field("id").take(pa.array(nearest, mask=~own))


def _named(
    given: str | None, header: list[str], width: int, source: Source, *, default: int
) -> int:
    """Return the column that the user named."""
    if given is None:
        return default
    if given in header:
        return header.index(given)
    if given.isdecimal() and 1 <= int(given) <= width:
        return int(given) - 1
    raise ConfigError(
        f"{source.shown}: has no column {given!r}.\n"
        f"  Its columns are numbered, 1 to {width}"
        + (f", or named: {', '.join(header)}." if header else ".")
    )
