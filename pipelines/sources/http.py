"""Take an HTTP response apart: status, headers, and the body as the server meant it.

Promises: a body is unpacked to at most the size it is allowed. A crawler may have unpacked the body
and kept the header that says it is packed; such a body is taken as it is.

FastWARC reads the head. The body is unpacked here: it takes a packed body that is cut short for a
whole one and gives up a body that a crawler has unpacked (measured on 2.0.1).
"""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, cast

import zstandard

from .streams import Damaged, Decoder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fastwarc.warc import HeaderMap, WarcRecord

MAX_HEAD_BYTES = 64 << 10
CHARSET = re.compile(r"""charset\s*=\s*["']?\s*([^\s"';,]+)""", re.IGNORECASE)
CHUNK_SIZE = re.compile(rb"[ \t]*([0-9a-fA-F]{1,8})[^\n]{0,200}\r?\n")
PIECE_BYTES = 2 << 10


def media_type(value: str) -> str:
    """Return the type of a Content-Type header.

    >>> media_type("Text/HTML; charset=utf-8")
    'text/html'
    """
    return value.partition(";")[0].strip().lower()


def charset_of(value: str) -> str | None:
    """Return the charset of a Content-Type header.

    >>> charset_of('text/html; Charset="windows-1251"')
    'windows-1251'
    """
    match = CHARSET.search(value)
    return match.group(1).lower() if match else None


def header(headers: HeaderMap, name: str) -> str:
    """Return a header's first value, "" if there is none."""
    return headers.get(name) or ""


def parsed_head(record: WarcRecord) -> tuple[int, HeaderMap] | None:
    """Read the head of a record's response: its status and headers, None if it is no response."""
    record.is_http = True  # some crawlers leave out the type of the block
    try:
        record.parse_http(auto_decode="none", quirks_mode=True, max_header_len=MAX_HEAD_BYTES)
    except OSError:
        return None
    headers = record.http_headers
    if headers is None or headers.status_code is None:
        return None
    if not (headers.status_line or "").startswith("HTTP/"):
        return None
    return headers.status_code, headers


def decoded_body(headers: HeaderMap, body: bytes, *, max_bytes: int) -> bytes:
    """Return the body without its transfer and content encodings.

    Raises:
        Damaged: `bad_encoding` if it cannot be unpacked, `record_too_large` if it grows too much.
    """
    if "chunked" in header(headers, "Transfer-Encoding").lower():
        body = _joined(body)
    for coding in reversed(header(headers, "Content-Encoding").lower().split(",")):
        coding = coding.strip()
        if coding in ("", "identity", "none", "utf-8"):
            continue
        if b"<" in body[:1024] and b"\0" not in body[:1024] and _is_text(body[:1024]):
            continue
        try:
            body = _unpacked(body, coding, max_bytes)
        except Damaged:
            raise
        except Exception as error:  # brotli's own type is not importable without brotli
            raise Damaged("bad_encoding", f"{coding}: {error}") from error
    return body


def _is_text(sample: bytes) -> bool:
    """Return whether hardly any byte is a control: packed bytes have one in nine."""
    controls = sum(byte < 32 and byte not in (9, 10, 12, 13) for byte in sample)
    return controls * 50 < len(sample)


def _joined(body: bytes) -> bytes:
    """Return a chunked body in one piece, or as it is if it is not chunked after all."""
    parts: list[bytes] = []
    at = 0
    while match := CHUNK_SIZE.match(body, at):
        size = int(match.group(1), 16)
        parts.append(body[match.end() : match.end() + size])
        at = match.end() + size
        if size == 0:
            return b"".join(parts)
        at += 2 if body[at : at + 2] == b"\r\n" else 1
    return b"".join(parts) if parts and at >= len(body) else body


def _unpacked(body: bytes, coding: str, max_bytes: int) -> bytes:
    parts: list[bytes] = []
    num_bytes = 0
    for part in _parts(body, coding):
        parts.append(part)
        num_bytes += len(part)
        if num_bytes > max_bytes:
            raise Damaged("record_too_large", f"{len(body):,} bytes unpack to over {max_bytes:,}")
    return b"".join(parts)


def _parts(body: bytes, coding: str) -> Iterator[bytes]:
    if coding == "br":
        import brotli  # type: ignore[import-untyped]

        brotli_decoder = brotli.Decompressor()
        yield brotli_decoder.process(body, output_buffer_limit=1 << 20)
        while not brotli_decoder.is_finished():
            part = brotli_decoder.process(b"", output_buffer_limit=1 << 20)
            if not part:
                raise Damaged("bad_encoding", "br: it ends too early")
            yield part
        return
    if coding in ("gzip", "x-gzip"):
        decoder: Decoder = zlib.decompressobj(wbits=31)
    elif coding == "deflate":  # with a zlib header by the standard, without by old servers
        has_header = body[:1] == b"\x78" and int.from_bytes(body[:2], "big") % 31 == 0
        decoder = zlib.decompressobj(wbits=15 if has_header else -15)
    elif coding == "zstd":
        decoder = cast("Decoder", zstandard.ZstdDecompressor().decompressobj())
    else:
        raise Damaged("bad_encoding", f"unknown: {coding[:40]!r}")
    for start in range(0, len(body), PIECE_BYTES):
        yield decoder.decompress(body[start : start + PIECE_BYTES])
        if decoder.eof:
            return
    raise Damaged("bad_encoding", f"{coding}: it ends too early")
