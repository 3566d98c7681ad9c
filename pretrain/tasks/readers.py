"""Records of any table format: columns by name, and where each record came from.

TSV and CSV, JSON and JSON Lines, Parquet and Arrow come out alike; `conll` and `squad` add theirs.

Promises: a broken record costs itself alone, and is counted with its reason and place; a quote that
is never closed doesn't swallow the lines after it.
Does not promise: nested columns of any shape; `fields` says what it takes.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.feather
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipelines.errors import DataError

from .files import BAD, Source, decode

_QUOTED = r'^"(?:[^"]|"")*"$'
CORRUPT = (pa.ArrowException, OSError, ValueError)


@dataclass(frozen=True)
class Records:
    """What a file holds, column by column."""

    file: str
    columns: Mapping[str, Sequence[Any] | pa.Array]
    """All of one length; a value that a record lacks is None."""
    places: Sequence[int]
    """Of each record: its line, or its number where there are no lines, from 1."""
    broken: Sequence[tuple[str, int]] = ()
    """Reason and place of what could not be read."""
    classes: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Names of the numbers in a column, where the file has them (`datasets` writes them)."""
    headless: bool = False
    """A table whose first line is data."""
    settled: frozenset[str] = frozenset()
    """Fields whose columns the reader has looked up itself."""


def lines_of(text: str) -> pa.Array:
    """Return the lines of a text, without what ends them, as large_string."""
    lines = pa.array(text.removesuffix("\n").split("\n"), pa.large_string())
    return pc.utf8_rtrim(lines, "\r") if "\r" in text else lines


def delimited(
    data: bytes, source: Source, *, known: frozenset[str], numbered: bool = False
) -> Records:
    """Read TSV or CSV.

    The first line names the columns. A table of two columns may do without, and one whose columns
    the user gives by number: then they are called "1", "2" and so on.

    Args:
        data: of the file.
        source: the file.
        known: names of columns, in lower case, that tell a header from data.
        numbered: whether the user gives columns by number, so that there is no header.

    Raises:
        DataError: the first line is neither a header nor one of two columns.
    """
    text = decode(data, shown=source.shown)
    first = text.lstrip().partition("\n")[0]
    delimiter = _delimiter(first, source)
    lines = lines_of(text)
    if delimiter != "\t" or _is_quoted(lines):
        rows, lines_R, broken = _quoted_rows(text, delimiter)
    else:
        filled = np.flatnonzero(pc.not_equal(pc.utf8_trim_whitespace(lines), ""))
        rows = pc.split_pattern(lines.take(filled), "\t")
        lines_R, broken = filled + 1, []
    if not len(rows):
        raise DataError(f"{source.shown}: has no record.\n  Put the data there.")
    header = [name.strip() for name in rows[0].as_py()]
    headless = numbered or not ({name.lower() for name in header} & known)
    if headless and len(header) != 2 and not numbered:
        raise DataError(
            f"{source.shown}:{lines_R[0]}: the first line names none of the columns that are "
            f"needed; it has: {', '.join(header[:8])}.\n  Put a line with `text` and `target` on "
            "top, or name the columns with --text-column and --target-column, by number (from 1) "
            "where there is no such line."
        )
    if headless:
        header = [str(number) for number in range(1, len(header) + 1)]
    else:
        rows, lines_R = rows[1:], lines_R[1:]
    if len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise DataError(
            f"{source.shown}: has two columns named {twice!r}.\n  Rename or remove one of them."
        )
    whole = pc.equal(pc.list_value_length(rows), len(header)).to_numpy(zero_copy_only=False)
    broken += [("wrong_number_of_columns", line) for line in lines_R[~whole].tolist()]
    rows = rows.filter(pa.array(whole))
    return Records(
        file=source.shown,
        columns={name: pc.list_element(rows, place) for place, name in enumerate(header)},
        places=lines_R[whole].tolist(),
        broken=sorted(broken, key=lambda one: one[1]),
        headless=headless,
    )


def _delimiter(first: str, source: Source) -> str:
    if ".csv" in source.path.name.lower():
        return max((",", ";", "\t"), key=lambda one: (first.count(one), one == ","))
    return "\t"


def _is_quoted(lines: pa.Array) -> bool:
    """Tell whether the quotes of a TSV are marks of the format, not of the text.

    Tweets and prose begin with quotation marks, and most TSV has them as they are. They are the
    format's only where every field that begins with one is closed by one, and either all fields of
    the first line are, or all of them double the quotes within, as a library does that writes so.
    """
    opened = lines.filter(pc.match_substring_regex(lines, '(?:^|\t)"'))
    fields = pc.list_flatten(pc.split_pattern(opened, "\t"))
    fields = fields.filter(pc.starts_with(fields, '"'))
    if not len(fields) or not pc.all(pc.match_substring_regex(fields, _QUOTED)).as_py():
        return False
    first = str(lines[0]).split("\t")
    throughout = all(one.startswith('"') for one in first)
    return throughout or pc.all(pc.match_substring_regex(fields, '..*"".*.')).as_py() is True


def _quoted_rows(
    text: str, delimiter: str
) -> tuple[pa.Array, NDArray[np.int64], list[tuple[str, int]]]:
    """Return the rows, their lines, and what is broken, of a table with quotes (RFC 4180)."""
    lines = list(io.StringIO(text, newline=""))
    csv.field_size_limit(sys.maxsize)  # the library's is 128 kB, which a document has
    rows: list[list[str]] = []
    places: list[int] = []
    broken: list[tuple[str, int]] = []
    start = 0
    while start < len(lines):  # again from the line after each that the library gave up on
        rest = (lines[number] for number in range(start, len(lines)))
        reader = csv.reader(rest, delimiter=delimiter, strict=True)
        done = 0
        try:
            for row in reader:
                if row:
                    rows.append(row)
                    places.append(start + done + 1)
                done = reader.line_num
            break
        except csv.Error:
            broken.append(("broken_quotes", start + done + 1))
            start += done + 1
    return pa.array(rows, pa.list_(pa.large_string())), np.array(places, np.int64), broken


def json_records(data: bytes, source: Source) -> Records | dict[str, Any]:
    """Read JSON Lines, or a JSON file of a list of records; other JSON comes back as it is.

    Raises:
        DataError: it is another encoding, or nothing in it is JSON.
    """
    text = decode(data, shown=source.shown)
    if not _is_lines(text, source):
        try:
            whole = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"{source.shown}: is no JSON ({error}).\n"
                "  Mend it, or give a file with one record a line and name it .jsonl."
            ) from error
        if isinstance(whole, dict) and _are_records(whole.get("data")):
            whole = whole["data"]
        if not isinstance(whole, list):
            return whole if isinstance(whole, dict) else {"": whole}
        places = list(range(1, len(whole) + 1))
        return _records(whole, places, [], source)
    found: list[Any] = []
    places, broken = [], []
    for number, line in enumerate(text.split("\n"), start=1):
        try:
            found.append(json.loads(line))
        except (ValueError, RecursionError):
            if line.strip():
                broken.append(("invalid_utf8" if BAD in line else "invalid_json", number))
            continue
        places.append(number)
    return _records(found, places, broken, source)


def _are_records(data: object) -> bool:
    return (
        isinstance(data, list)
        and bool(data)
        and not any(isinstance(one, dict) and "paragraphs" in one for one in data)
    )


def _is_lines(text: str, source: Source) -> bool:
    if ".json" not in (source.path.suffix, source.path.with_suffix("").suffix):
        return True
    first, _, rest = text.strip().partition("\n")
    try:
        return isinstance(json.loads(first), dict) and bool(rest)
    except (ValueError, RecursionError):
        return False


def _records(
    found: list[Any], places: list[int], broken: list[tuple[str, int]], source: Source
) -> Records:
    whole = [number for number, one in enumerate(found) if isinstance(one, dict)]
    if len(whole) < len(found):
        broken += [
            ("not_an_object", place)
            for one, place in zip(found, places, strict=True)
            if not isinstance(one, dict)
        ]
        found = [found[number] for number in whole]
        places = [places[number] for number in whole]
    names = dict.fromkeys(name for one in found for name in one)
    return Records(
        file=source.shown,
        columns={name: [one.get(name) for one in found] for name in names},
        places=places,
        broken=broken,
    )


def arrow(data: bytes, source: Source, *, kind: str) -> Records:
    """Read Parquet, or Arrow in either of its formats (Feather is one of them).

    Raises:
        DataError: the file is damaged or of another kind.
    """
    buffer = pa.py_buffer(data)
    try:
        if kind == ".parquet":
            table = pq.read_table(pa.BufferReader(buffer), page_checksum_verification=True)
        elif data[:6] == b"ARROW1":
            table = pyarrow.feather.read_table(pa.BufferReader(buffer))
        else:
            table = pa.ipc.open_stream(buffer).read_all()
        table.validate(full=True)
    except CORRUPT as error:
        raise DataError(
            f"{source.shown}: can't be read as {kind[1:]} ({str(error).splitlines()[0]}).\n"
            "  It is damaged or another format; write it again."
        ) from error
    return Records(
        file=source.shown,
        columns={
            name: table[name].combine_chunks() if table.num_rows else pa.array([], field.type)
            for name, field in zip(table.column_names, table.schema, strict=True)
        },
        places=np.arange(1, table.num_rows + 1).tolist(),
        classes=_classes(table.schema),
    )


def _classes(schema: pa.Schema) -> dict[str, list[str]]:
    """Return the names of classes that Hugging Face's `datasets` notes in a file."""
    try:
        noted = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = noted["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    found = {}
    for name, feature in features.items():
        while isinstance(feature, dict) and "feature" in feature:
            feature = feature["feature"]
        if isinstance(feature, dict) and isinstance(feature.get("names"), list):
            found[name] = [str(one) for one in feature["names"]]
    return found
