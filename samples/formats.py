"""Write documents in each format that koine reads, as bytes that depend on nothing but them.

Each writer returns the file's bytes and the origin of every document in it, the part after the
name of the file and `#` (the sources' docstrings define it).
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import uuid
import zlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from xml.sax.saxutils import escape, quoteattr

import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

DATE = "2020-01-01T00:00:00Z"

Written = tuple[bytes, list[str]]


def gz(data: bytes) -> bytes:
    """Return one gzip member without a name and a time."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=buffer, mtime=0) as file:
        file.write(data)
    return buffer.getvalue()


def zst(data: bytes) -> bytes:
    """Return two Zstandard frames, as parallel compressors write them."""
    compressor = zstandard.ZstdCompressor(level=3)
    middle = len(data) // 2
    return compressor.compress(data[:middle]) + compressor.compress(data[middle:])


def cut_gz(lines: Sequence[bytes]) -> bytes:
    """Return a gzip file that breaks off inside its last line; those before it can be read."""
    compressor = zlib.compressobj(wbits=31)
    data = b""
    for line in lines[:-1]:
        data += compressor.compress(line) + compressor.flush(zlib.Z_FULL_FLUSH)
    last = compressor.compress(lines[-1]) + compressor.flush(zlib.Z_FULL_FLUSH)
    return data + last[: len(last) // 2]


def json_line(record: dict[str, Any]) -> bytes:
    """Return a record as a line; keys without a value are left out."""
    known = {key: value for key, value in record.items() if value is not None}
    return json.dumps(known, ensure_ascii=False).encode() + b"\n"


def line_offsets(lines: Iterable[bytes]) -> list[str]:
    """Return the origins of the lines of a plain file: the byte each begins at."""
    origins, offset = [], 0
    for line in lines:
        origins.append(str(offset))
        offset += len(line)
    return origins


def parquet(columns: dict[str, list[Any]], *, rows_a_group: int) -> Written:
    """Return a Parquet file of strings."""
    buffer = io.BytesIO()
    table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    pq.write_table(table, buffer, row_group_size=rows_a_group, compression="zstd")
    return buffer.getvalue(), [str(row) for row in range(table.num_rows)]


def arrow(columns: dict[str, list[Any]], *, as_stream: bool, rows_a_batch: int) -> Written:
    """Return an Arrow IPC file, in the stream or the file format."""
    buffer = io.BytesIO()
    table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    batches = table.to_batches(max_chunksize=rows_a_batch)
    new = pa.ipc.new_stream if as_stream else pa.ipc.new_file
    with new(buffer, table.schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    rows = ((number, row) for number, batch in enumerate(batches) for row in range(len(batch)))
    return buffer.getvalue(), [f"{number}.{row}" for number, row in rows]


class Record(NamedTuple):
    """A record of a web archive; `is_document` says whether koine reads it as one."""

    kind: str
    content_type: str
    block: bytes
    url: str | None = None
    headers: tuple[tuple[str, str], ...] = ()
    is_document: bool = False


def response(url: str, body: bytes, content_type: str, *, status: str = "200 OK") -> Record:
    """Return what a server answered: status line, headers, body."""
    head = (
        f"HTTP/1.1 {status}\r\nContent-Type: {content_type}\r\nServer: example\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return Record(
        "response",
        "application/http; msgtype=response",
        head.encode() + body,
        url,
        is_document=status == "200 OK" and content_type.startswith("text/html"),
    )


def request(url: str) -> Record:
    """Return what the crawler asked."""
    path = "/" + url.split("/", 3)[3]
    block = f"GET {path} HTTP/1.1\r\nHost: {url.split('/')[2]}\r\nUser-Agent: example\r\n\r\n"
    return Record("request", "application/http; msgtype=request", block.encode(), url)


def warc(records: Sequence[Record]) -> Written:
    """Return a WARC or WET file with a gzip member for each record, as crawlers write it."""
    data, origins = b"", []
    for number, record in enumerate(records, start=1):
        identity = uuid.uuid5(uuid.NAMESPACE_URL, f"https://example.org/{record.url}/{number}")
        headers = [
            ("WARC-Type", record.kind),
            ("WARC-Record-ID", f"<urn:uuid:{identity}>"),
            ("WARC-Date", DATE),
            *([("WARC-Target-URI", record.url)] if record.url else []),
            ("Content-Type", record.content_type),
            *record.headers,
            ("Content-Length", str(len(record.block))),
        ]
        head = "WARC/1.0\r\n" + "".join(f"{name}: {value}\r\n" for name, value in headers)
        data += gz(head.encode() + b"\r\n" + record.block + b"\r\n\r\n")
        if record.is_document:
            origins.append(str(number))
    return data, origins


class Page(NamedTuple):
    """A page of a wiki; its kind follows from the namespace, the model and the redirect."""

    title: str
    text: str
    namespace: int = 0
    model: str = "wikitext"
    redirect: str | None = None


def wiki_dump(
    pages: Sequence[Page], *, code: str, namespaces: dict[int, str], main_page: str
) -> Written:
    """Return a MediaWiki XML export, compressed with bzip2."""
    names = "".join(
        f'      <namespace key="{key}" case="first-letter">{escape(name)}</namespace>\n'
        for key, name in namespaces.items()
    )
    parts = [
        f'<mediawiki xmlns="http://www.mediawiki.org/xml/export-0.11/" version="0.11" '
        f'xml:lang="{code}">\n  <siteinfo>\n    <sitename>Example</sitename>\n'
        f"    <dbname>{code}wiki</dbname>\n"
        f"    <base>https://{code}.example.org/wiki/{main_page}</base>\n"
        f"    <namespaces>\n{names}    </namespaces>\n  </siteinfo>\n"
    ]
    origins = []
    for number, page in enumerate(pages, start=1):
        redirect = f"    <redirect title={quoteattr(page.redirect)} />\n" if page.redirect else ""
        parts.append(
            f"  <page>\n    <title>{escape(page.title)}</title>\n    <ns>{page.namespace}</ns>\n"
            f"    <id>{number}</id>\n{redirect}    <revision>\n      <id>{1000 + number}</id>\n"
            f"      <timestamp>{DATE}</timestamp>\n      <model>{page.model}</model>\n"
            f'      <text bytes="{len(page.text.encode())}" xml:space="preserve">'
            f"{escape(page.text)}</text>\n    </revision>\n  </page>\n"
        )
        if page.namespace == 0 and page.model == "wikitext" and not page.redirect:
            origins.append(str(number))
    data = "".join([*parts, "</mediawiki>\n"]).encode()
    return bz2.compress(data), origins
