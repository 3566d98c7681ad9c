"""JSON Lines: a record a line, in any byte range of a plain file or in a whole compressed one.

Promises: the ranges of a file, however cut, give each line once; a line longer than the limit is
passed over in bounded memory. Every line is a document, a blank line, or quarantined.
Origin: the byte offset of the line, or its number (from 1) where the file is compressed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from .documents import Document, gather, max_record_bytes
from .streams import chunks

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from ..config import Corpus
    from .base import Split, Tally

BOM = b"\xef\xbb\xbf"


def read(split: Split, corpus: Corpus, tally: Tally) -> Iterator[pa.RecordBatch]:
    """Yield the RAW batches of a split."""
    return gather(_documents(split, corpus, tally), corpus)


def lines(
    stream: Iterator[bytes], *, max_bytes: int, offset: int = 0, start: int = 0, end: int = -1
) -> Iterator[tuple[int, int, bytes | None]]:
    r"""Yield (offset, length, line without its line feed); None for a line over `max_bytes`.

    `offset` is where the stream begins; only lines whose first byte lies in `start` to `end` (-1:
    no end) are yielded.

    >>> list(lines(iter([b"a\nbc", b"d\n\ntoo long"]), max_bytes=3))
    [(0, 1, b'a'), (2, 3, b'bcd'), (6, 0, b''), (7, 8, None)]
    """
    parts: list[bytes] = []
    length = 0
    for chunk in stream:
        first, *others = chunk.split(b"\n")
        length += len(first)
        if length <= max_bytes:
            parts.append(first)
        else:
            parts.clear()
        if others:
            if offset >= start:
                yield offset, length, (b"".join(parts) if length <= max_bytes else None)
            offset += length + 1
            rest = others.pop()
            for line in others:
                if 0 <= end <= offset:
                    return
                if offset >= start:
                    yield offset, len(line), (line if len(line) <= max_bytes else None)
                offset += len(line) + 1
            length = len(rest)
            parts = [rest] if length <= max_bytes else []
        # A line that began before the range and has not ended in it leaves nothing to read here.
        if 0 <= end <= (offset if offset >= start else offset + length):
            return
    if length and offset >= start:
        yield offset, length, (b"".join(parts) if length <= max_bytes else None)


def _documents(split: Split, corpus: Corpus, tally: Tally) -> Iterator[Document]:
    fields = corpus.fields
    # The byte before the range tells whether a line begins exactly where the range does.
    offset = max(0, split.start - 1)
    stream = lines(
        chunks(split, corpus, tally, start=offset),
        max_bytes=max_record_bytes(corpus),
        offset=offset,
        start=split.start,
        end=split.end,
    )
    for number, (offset, length, line) in enumerate(stream, start=1):
        origin = f"{split.name}#{number if split.compression else offset}"
        if line is None:
            tally.quarantine(
                origin, "record_too_large", f"a line of {length:,} bytes", num_bytes=length
            )
            continue
        if offset == 0:
            line = line.removeprefix(BOM)
        try:
            record = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            if not line.strip():
                tally.skip("blank_line")
            else:
                reason = "invalid_json" if _is_utf8(line) else "invalid_utf8"
                tally.quarantine(origin, reason, str(error), num_bytes=length)
            continue
        if not isinstance(record, dict):
            found = type(record).__name__
            tally.quarantine(origin, "not_an_object", f"found a {found}", num_bytes=length)
            continue
        text = record.get(fields.text)
        if not isinstance(text, str):
            reason = "missing_field" if text is None else "wrong_type"
            found = "no value" if text is None else f"a {type(text).__name__}"
            tally.quarantine(origin, reason, f"{fields.text!r}: {found}", num_bytes=length)
            continue
        yield Document(
            origin,
            length,
            text,
            url=_string(record, fields.url),
            declared=_string(record, fields.label),
            license=_string(record, fields.license),
        )


def _string(record: dict[str, Any], key: str | None) -> str | None:
    value = record.get(key) if key is not None else None
    return value if isinstance(value, str) else None


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True
