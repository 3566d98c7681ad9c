"""WARC and WET: web pages as bytes, and the text of conversion records.

FastWARC reads the headers and hands out the blocks. It takes a file that ends inside a record for a
whole one, and what follows a wrong Content-Length for no WARC at all (measured on 2.0.1), so it is
given a file that knows where it is: a header line by line, and then a block and no byte more. That
way each block is known to be whole, and after damage reading goes on at the next record.

Promises: a record whose length is wrong is quarantined and reading goes on at the next record; a
file that ends inside a record is `truncated`; a large record is passed over, not held.
Origin: the record's ordinal in the file, from 1, all kinds counted.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, BinaryIO, cast

from fastwarc.warc import ArchiveIterator

from . import http
from .documents import Document, gather, max_record_bytes
from .streams import ByteReader, Damaged, chunks
from .text import decode

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from fastwarc.warc import WarcRecord

    from ..config import Corpus
    from .base import Split, Tally

PAGE_TYPES = frozenset({"text/html", "application/xhtml+xml"})
KINDS = frozenset({"warcinfo", "request", "metadata", "revisit", "continuation"})
LENGTH = re.compile(r"[0-9]{1,18}")
MAX_LINE_BYTES = 64 << 10
MAX_HEADER_BYTES = 64 << 10


def read(split: Split, corpus: Corpus, tally: Tally) -> Iterator[pa.RecordBatch]:
    """Yield the RAW batches of a split."""
    return gather(_documents(split, corpus, tally), corpus)


class _Archive:
    """The file that FastWARC reads: line by line, but for the bytes of a block."""

    def __init__(self, reader: ByteReader) -> None:
        self.num_left = 0
        """Bytes of the block that were not yet read."""
        self.first = self.last = b""
        """Of the lines read after the block: the first that is not blank, and the last."""
        self._after: bytes | None = None
        self._reader = reader
        self._line = b""

    def read(self, num_bytes: int) -> bytes:
        """Return the next bytes, at most `num_bytes`, none past the end of a line or block."""
        if self.num_left:
            data = self._reader.read(min(num_bytes, self.num_left))
            self.num_left -= len(data)
            return data
        if not self._line:
            self._line = self._reader.readline(MAX_LINE_BYTES)
        if self._line.endswith(b"\n") and not self._line.endswith(b"\r\n"):
            self._line = self._line[:-1] + b"\r\n"  # FastWARC would read on to the next such end
        data, self._line = self._line[:num_bytes], self._line[num_bytes:]
        if self._after is None:
            self._after = data
        if not self.first.strip():
            self.first = data
        self.last = data
        return data

    def tell(self) -> int:
        """Return the position of the next byte."""
        return self._reader.position - len(self._line)

    def records(self) -> Iterator[WarcRecord]:
        """Return the records from here on."""
        self.begin_block(0)
        return iter(
            ArchiveIterator(
                cast("BinaryIO", self),
                parse_http=False,
                quirks_mode=False,  # the quirk is to pass over what is no record
                stream_detect=False,
                max_header_len=MAX_HEADER_BYTES,
            )
        )

    def begin_block(self, num_bytes: int) -> None:
        """Hand out the next bytes as a block."""
        self.num_left = num_bytes
        self.first = self.last = b""
        self._after = None

    def line_after_block(self) -> bytes:
        """Return the line after the block, which FastWARC may have read already."""
        return self.peek() if self._after is None else self._after

    def peek(self) -> bytes:
        """Return the next line without reading it, b"" at the end."""
        self._line = self._line or self._reader.readline(MAX_LINE_BYTES)
        return self._line

    def find_record(self) -> bool:
        """Go to the next line that begins a record; return whether there is one."""
        while not self.peek().startswith((b"WARC/1.", b"WARC/0.")):
            if not self._line:
                return False
            self._line = b""
        return True


class BadRecord(Exception):
    """A record whose header or length is wrong."""


def _documents(split: Split, corpus: Corpus, tally: Tally) -> Iterator[Document]:
    archive = _Archive(ByteReader(chunks(split, corpus, tally)))
    records = archive.records()
    number = 0
    while True:
        number += 1
        origin = f"{split.name}#{number}"
        try:
            record = _next_record(records, archive)
            if record is None:
                return
            length = archive.num_left
            found = _content(record, length, origin, max_record_bytes(corpus))
            record.consume()  # what was not needed
            if archive.num_left:
                early = archive.num_left
                raise Damaged("truncated", f"the file ends {early:,} bytes before record {number}")
            after = archive.line_after_block()
            if after.strip(b"\r\n") and not after.startswith(b"WARC/"):
                raise BadRecord(f"its {length:,} bytes do not end where the record does")
        except BadRecord as error:
            tally.quarantine(origin, "corrupt_record", str(error))
            if not archive.find_record():
                return
            records = archive.records()
            continue
        if isinstance(found, Document):
            yield found
        elif isinstance(found, Damaged):
            tally.quarantine(origin, found.reason, found.detail, num_bytes=length)
        else:
            tally.skip(found)


def _next_record(records: Iterator[WarcRecord], archive: _Archive) -> WarcRecord | None:
    """Return the next record, with the archive at its block, None at the end."""
    try:
        record = next(records, None)
    except OSError as error:
        is_record = archive.first.startswith(b"WARC/") or b"WARC/".startswith(archive.first)
        if is_record and not archive.peek():
            raise Damaged("truncated", "the file ends in a record's header") from error
        raise BadRecord(str(error)) from error
    if not archive.first.strip():
        return None
    if not archive.first.startswith(b"WARC/"):
        raise BadRecord("no record begins here")
    if record is None or archive.last.strip(b"\r\n") or not archive.last:
        raise Damaged("truncated", "the file ends in a record's header")
    length = http.header(record.headers, "Content-Length")
    if not LENGTH.fullmatch(length) or int(length) != record.content_length:
        raise BadRecord("it has no Content-Length")
    archive.begin_block(record.content_length)
    return record


def _content(
    record: WarcRecord, length: int, origin: str, max_bytes: int
) -> Document | Damaged | str:
    """Return the document in a record's block, or its damage, or the kind it is skipped as."""
    headers = record.headers
    kind = http.header(headers, "WARC-Type").lower()
    if kind not in ("response", "resource", "conversion"):
        return kind if kind in KINDS else "other_record"
    message = headers
    if kind == "response":
        declared_type = http.header(headers, "Content-Type")
        if declared_type and http.media_type(declared_type) != "application/http":
            return "not_html"  # a DNS answer, an FTP reply
        head = http.parsed_head(record)
        if head is None:
            return Damaged("bad_http", "no HTTP response begins the record")
        status, message = head
        if not 200 <= status < 300:
            return "http_status"
    declared_type = http.header(message, "Content-Type")
    content_type, charset = http.media_type(declared_type), http.charset_of(declared_type)
    if content_type not in PAGE_TYPES and content_type != "text/plain":
        return "not_html"
    if length > max_bytes:
        return Damaged("record_too_large", f"a record of {length:,} bytes")
    body = record.reader.read() if record.reader else b""
    url = http.header(headers, "WARC-Target-URI").strip("<>") or None
    try:
        if kind == "response":
            body = http.decoded_body(message, body, max_bytes=max_bytes)
        if content_type in PAGE_TYPES:
            return Document(origin, len(body), html=body, charset=charset, url=url)
        text = decode(body, _codec(charset))
    except Damaged as damage:
        return damage
    languages = http.header(headers, "WARC-Identified-Content-Language").split(",")
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
