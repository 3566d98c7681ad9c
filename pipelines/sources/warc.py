"""WARC and WET: web pages as bytes, and the text of conversion records.

Read by a small parser of its own: the libraries for it take a truncated file for a whole one, and a
wrong Content-Length for the end (measured on fastwarc and warcio). Here the declared length is
checked against what follows it.

Promises: a record whose length is wrong is quarantined and reading goes on at the next record; a
file that ends inside a record is `truncated`; a large record is passed over, not held.
Origin: the record's ordinal in the file, from 1, all kinds counted.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from . import http
from .documents import Document, gather, max_record_bytes
from .streams import ByteReader, Damaged, chunks
from .text import decode

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from ..config import Corpus
    from .base import Split, Tally

PAGE_TYPES = frozenset({"text/html", "application/xhtml+xml"})
KINDS = frozenset({"warcinfo", "request", "metadata", "revisit", "continuation"})
LENGTH = re.compile(r"[0-9]{1,18}")
MAX_LINE_BYTES = 64 << 10
MAX_HEADER_LINES = 1_000


def read(split: Split, corpus: Corpus, tally: Tally) -> Iterator[pa.RecordBatch]:
    """Yield the RAW batches of a split."""
    return gather(_documents(split, corpus, tally), corpus)


class BadRecord(Exception):
    """A record whose header or length is wrong."""


def _documents(split: Split, corpus: Corpus, tally: Tally) -> Iterator[Document]:
    reader = ByteReader(chunks(split, corpus, tally))
    line = _next_line(reader)
    number = 0
    while line:
        number += 1
        origin = f"{split.name}#{number}"
        try:
            if not line.startswith(b"WARC/"):
                if b"WARC/1.0\r\n".startswith(line):
                    raise Damaged("truncated", "the file ends in a record's first line")
                raise BadRecord("no record begins here")
            headers = _record_headers(reader)
            length = int(headers["content-length"])
            end = reader.position + length
            found = _content(reader, headers, length, origin, max_record_bytes(corpus))
            reader.skip(end - reader.position)  # what was not needed
            if reader.position < end:
                early = end - reader.position
                raise Damaged("truncated", f"the file ends {early:,} bytes before record {number}")
            line = reader.readline(MAX_LINE_BYTES)
            if line.strip(b"\r\n") and not line.startswith(b"WARC/"):
                raise BadRecord(f"its {length:,} bytes do not end where the record does")
        except BadRecord as error:
            tally.quarantine(origin, "corrupt_record", str(error))
            line = _resynchronised(reader)
            continue
        if isinstance(found, Document):
            yield found
        elif isinstance(found, Damaged):
            tally.quarantine(origin, found.reason, found.detail, num_bytes=length)
        else:
            tally.skip(found)
        if not line.startswith(b"WARC/"):
            line = _next_line(reader)


def _next_line(reader: ByteReader) -> bytes:
    """Return the next line that is not blank, b"" at the end."""
    while line := reader.readline(MAX_LINE_BYTES):
        if line.strip(b"\r\n"):
            return line
    return b""


def _resynchronised(reader: ByteReader) -> bytes:
    """Return the next line that begins a record, b"" at the end."""
    while line := reader.readline(MAX_LINE_BYTES):
        if line.startswith((b"WARC/1.", b"WARC/0.")):
            return line
    return b""


def _record_headers(reader: ByteReader) -> dict[str, str]:
    lines: list[bytes] = []
    while (line := reader.readline(MAX_LINE_BYTES)).strip(b"\r\n"):
        lines.append(line)
        if len(lines) > MAX_HEADER_LINES:
            raise BadRecord("its header does not end")
    if not line:
        raise Damaged("truncated", "the file ends in a record's header")
    headers = http.headers_of(b"".join(lines))
    if not LENGTH.fullmatch(headers.get("content-length", "")):
        raise BadRecord("it has no Content-Length")
    return headers


def _content(
    reader: ByteReader, headers: dict[str, str], length: int, origin: str, max_bytes: int
) -> Document | Damaged | str:
    """Return the document in a record's block, or its damage, or the kind it is skipped as."""
    kind = headers.get("warc-type", "").lower()
    if kind not in ("response", "resource", "conversion"):
        return kind if kind in KINDS else "other_record"
    head: http.Head | None = None
    body = b""
    declared_type = headers.get("content-type", "")
    if kind == "response":
        if declared_type and http.media_type(declared_type) != "application/http":
            return "not_html"  # a DNS answer, an FTP reply
        body = reader.read(min(length, http.MAX_HEAD_BYTES))
        head = http.parse_head(body)
        if head is None:
            return Damaged("bad_http", "no HTTP response begins the record")
        if not 200 <= head.status < 300:
            return "http_status"
        declared_type = head.headers.get("content-type", "")
    content_type, charset = http.media_type(declared_type), http.charset_of(declared_type)
    if content_type not in PAGE_TYPES and content_type != "text/plain":
        return "not_html"
    if length > max_bytes:
        return Damaged("record_too_large", f"a record of {length:,} bytes")
    body += reader.read(length - len(body))
    url = headers.get("warc-target-uri", "").strip("<>") or None
    try:
        if head is not None:
            body = http.decoded_body(head, body[head.num_bytes :], max_bytes=max_bytes)
        if content_type in PAGE_TYPES:
            return Document(origin, len(body), html=body, charset=charset, url=url)
        text = decode(body, _codec(charset))
    except Damaged as damage:
        return damage
    languages = headers.get("warc-identified-content-language", "").split(",")
    declared = languages[0].strip() or None if len(languages) == 1 else None
    return Document(origin, len(body), text, url=url, declared=declared)


def _codec(charset: str | None) -> str:
    """Return the codec for a server's charset, one of those of the web.

    Python has others that a hostile server must not choose: `zip` unpacks without limit and
    `punycode` takes quadratic time.
    """
    if charset is None:
        return "utf-8"
    from resiliparse.parse.encoding import map_encoding_to_html5

    codec = map_encoding_to_html5(charset, False)
    if codec is None:
        raise Damaged("undecodable", f"the server's charset is {charset[:40]!r}")
    return str(codec)
