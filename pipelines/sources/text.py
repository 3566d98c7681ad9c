"""Plain text: a document a file, or a document a block between blank lines.

Promises: a file's encoding is the one the corpus names, with a byte order mark taken as the truth;
nothing is decoded with replacement characters. In blocks, memory is bounded by the largest block
and one that cannot be decoded costs only itself.
Origin: the name of the file, or the block's number (from 1) in it.
"""

from __future__ import annotations

import codecs
import itertools
from typing import TYPE_CHECKING

from .documents import Document, gather, max_record_bytes
from .jsonl import lines
from .streams import Damaged, chunks

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from ..config import Corpus
    from .base import Split, Tally

# UTF-32 first: its mark begins with that of UTF-16.
MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
SAMPLE_BYTES = 64 << 10  # of a file of blocks, to tell its encoding from
MAX_UTF8_TAIL = 3  # bytes of a character that a cut file or sample may end in


def read(split: Split, corpus: Corpus, tally: Tally) -> Iterator[pa.RecordBatch]:
    """Yield the RAW batches of a split."""
    one = _file if corpus.document == "file" else _blocks
    return gather(one(split, corpus, tally), corpus)


def whole(split: Split, corpus: Corpus, tally: Tally) -> bytes:
    """Return the decompressed bytes of a file that is one document.

    Raises:
        Damaged: it has no bytes, or more than a record may have, or cannot be read to its end.
    """
    limit = max_record_bytes(corpus)
    parts: list[bytes] = []
    num_bytes = 0
    for chunk in chunks(split, corpus, tally):
        parts.append(chunk)
        num_bytes += len(chunk)
        if num_bytes > limit:
            raise Damaged("record_too_large", f"more than {limit:,} bytes")
    if not num_bytes:
        raise Damaged("empty_file", "nothing in the compressed file")
    return b"".join(parts)


def encoding_of(data: bytes, encoding: str) -> str:
    r"""Return the codec for bytes that a corpus says are in `encoding` ("detect": find out).

    >>> encoding_of(b"\xff\xfea\x00", "utf-8")
    'utf-16'
    """
    if encoding in ("utf-8", "detect"):
        for mark, codec in MARKS:
            if data.startswith(mark):
                return codec
    if encoding != "detect":
        return encoding
    try:
        data.decode()
    except UnicodeDecodeError as error:
        if error.start < len(data) - MAX_UTF8_TAIL:
            from resiliparse.parse.encoding import detect_encoding

            codec = str(detect_encoding(data))
            if codec == "utf-8":  # its word for "don't know", and UTF-8 it is not
                raise Damaged("undecodable", "no encoding was recognised") from error
            return codec
    return "utf-8"


def decode(data: bytes, encoding: str) -> str:
    """Return the text of bytes in `encoding`, as `encoding_of` understands it.

    Where the encoding is to be detected, a text may end inside a character, which is cut off.

    Raises:
        Damaged: `invalid_utf8`, or `undecodable` for any other encoding.
    """
    return _strict(data, encoding_of(data, encoding), may_be_cut=encoding == "detect")


def _strict(data: bytes, codec: str, *, may_be_cut: bool) -> str:
    try:
        text = codecs.getincrementaldecoder(codec)().decode(data, final=not may_be_cut)
        text.encode()  # some codecs (utf-7) let lone surrogates through, which Arrow cannot hold
    except (UnicodeError, LookupError) as error:
        reason = "invalid_utf8" if codec.startswith("utf-8") else "undecodable"
        raise Damaged(reason, str(error)) from error
    return text


def _file(split: Split, corpus: Corpus, tally: Tally) -> Iterator[Document]:
    data = whole(split, corpus, tally)
    yield Document(split.name, len(data), decode(data, corpus.encoding))


def _blocks(split: Split, corpus: Corpus, tally: Tally) -> Iterator[Document]:
    limit = max_record_bytes(corpus)
    stream = chunks(split, corpus, tally)
    first = next(stream, b"")
    codec = encoding_of(first[:SAMPLE_BYTES], corpus.encoding)
    if codec == "utf-8-sig":
        first, codec = first.removeprefix(codecs.BOM_UTF8), "utf-8"
    stream = itertools.chain([first], stream)
    if not _keeps_line_feeds(codec):
        stream, codec = _as_utf8(stream, codec), "utf-8"
    may_be_cut = corpus.encoding == "detect"
    held: list[bytes] = []
    num_bytes = number = 0
    # A line that is only passed over (None) is longer than the limit, and so is its block.
    for _, length, line in itertools.chain(lines(stream, max_bytes=limit), [(0, 0, b"")]):
        if line is None or line.strip():
            num_bytes += length + 1
            if line is None or num_bytes > limit + 1:
                held.clear()
            else:
                held.append(line.removesuffix(b"\r"))
            continue
        if not num_bytes:
            continue
        number += 1
        origin = f"{split.name}#{number}"
        if not held:
            tally.quarantine(
                origin, "record_too_large", f"a block of {num_bytes:,} bytes", num_bytes=num_bytes
            )
        else:
            block = b"\n".join(held)
            try:
                yield Document(origin, num_bytes, _strict(block, codec, may_be_cut=may_be_cut))
            except Damaged as damage:
                tally.quarantine(origin, damage.reason, damage.detail, num_bytes=num_bytes)
        held.clear()
        num_bytes = 0


def _keeps_line_feeds(codec: str) -> bool:
    try:
        return "\n ".encode(codec) == b"\n "
    except LookupError as error:
        raise Damaged("undecodable", str(error)) from error


def _as_utf8(stream: Iterator[bytes], codec: str) -> Iterator[bytes]:
    """Yield a stream in UTF-8, for codecs whose line feed is not the byte 10."""
    decoder = codecs.getincrementaldecoder(codec)()
    try:
        for chunk in stream:
            yield decoder.decode(chunk).encode()
        yield decoder.decode(b"", final=True).encode()
    except UnicodeError as error:
        raise Damaged("undecodable", str(error)) from error
