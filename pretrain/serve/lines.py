"""Read standard input line by line: as the lines come from a pipe, many at once from a file.

Promises: a line that has come is handed on before the next is waited for; lines keep their number;
a line that can't be read is handed on with its problem, so that it stops no other.
Does not promise: line ends other than LF and CRLF.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

from pipelines.errors import DataError

CHUNK_BYTES = 1 << 18
MOST_LINES = 1024
"""Lines that are handed on together."""
LONGEST_LINE_BYTES = 1 << 24
"""A line beyond 16 MB is no text to judge; what has no line ends must not fill the memory."""
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Bytes(Protocol):
    """What is read: `sys.stdin.buffer`, or a file."""

    def read1(self, size: int, /) -> bytes:
        """Return what has come, at least a byte, or b"" at the end."""
        ...


@dataclass(frozen=True)
class Asked:
    """What a prediction is wanted for."""

    text: str
    """The question, where a text is asked about."""
    pair: str | None = None
    """The second text; for a question, what is asked about: its context."""
    line: int | None = None
    problem: str | None = None
    """Why it can't be judged."""
    extra: dict[str, Any] = field(default_factory=dict)
    """Further fields of its JSON line, handed back with the answer."""


def batches(stream: Bytes, *, name: str = "standard input") -> Iterator[list[Asked]]:
    """Yield the lines of a stream, as many at once as have come.

    Args:
        stream: of bytes.
        name: what errors call it.

    Raises:
        DataError: it is UTF-16, or a line never ends.
    """
    pending: list[bytes] = []
    number = held = 0
    while chunk := stream.read1(CHUNK_BYTES):
        if not number and not pending:
            if chunk.startswith(_UTF16):
                raise DataError(
                    f"{name}: is UTF-16, not UTF-8.\n  Convert it: iconv -f UTF-16 -t UTF-8."
                )
            chunk = chunk.removeprefix(codecs.BOM_UTF8)
        *ended, rest = chunk.split(b"\n")
        if ended:
            ended[0] = b"".join([*pending, ended[0]])
            pending, held = [], 0
        pending.append(rest)
        held += len(rest)
        if held > LONGEST_LINE_BYTES:
            raise DataError(
                f"{name}: line {number + len(ended) + 1:,} is longer than "
                f"{LONGEST_LINE_BYTES / 1e6:.0f} MB.\n  Put one text on each line."
            )
        for start in range(0, len(ended), MOST_LINES):
            yield [_asked(line, number := number + 1) for line in ended[start : start + MOST_LINES]]
    if last := b"".join(pending):
        yield [_asked(last, number + 1)]


def _asked(line: bytes, number: int) -> Asked:
    try:
        return Asked(line.removesuffix(b"\r").decode(), line=number)
    except UnicodeDecodeError as error:
        byte = f"byte {line[error.start]:#04x} at {error.start + 1:,}"
        return Asked("", line=number, problem=f"it is not UTF-8 ({byte})")


def of_json(asked: Asked, *, names: tuple[str, str]) -> Asked:
    """Return what a line of JSON asks.

    Args:
        asked: the line as text.
        names: of the fields: of the text, and of the second text.
    """
    if asked.problem or not asked.text.strip():
        return asked
    try:
        found = json.loads(asked.text)
    except ValueError as error:
        return Asked("", line=asked.line, problem=f"it is no JSON ({error})")
    except RecursionError:
        return Asked("", line=asked.line, problem="it is no JSON that can be read: too deep")
    if not isinstance(found, dict):
        return Asked("", line=asked.line, problem="it is no JSON object")
    first, second = found.pop(names[0], None), found.pop(names[1], None)
    for name, value in zip(names, (first, second), strict=True):
        if not isinstance(value, str) and (name == names[0] or value is not None):
            said = "has no" if value is None else "has no text in"
            return Asked("", line=asked.line, problem=f"it {said} {name!r}", extra=found)
    return Asked(first, second, line=asked.line, extra=found)
