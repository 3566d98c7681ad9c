"""Read a file's bytes in bounded memory, decompressed, however it is damaged.

Promises: what came before a damage is delivered, and the damage itself is raised as `Damaged`; a
member cut short, garbage after a member and a decompression bomb are never taken for the end of
the file. No decoder call returns more than `MAX_CALL_BYTES`.
Does not promise: to notice a file cut exactly between two members of gzip, bzip2 or Zstandard,
which is a whole file to its format.
"""

from __future__ import annotations

import bz2
import functools
import os
import stat
import zipfile
import zlib
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast

import zstandard

from ..errors import DataError, EnvironmentProblem

if TYPE_CHECKING:
    from collections.abc import Iterator

    import fsspec

    from ..config import Corpus
    from .base import Split, Tally

READ_BYTES = 1 << 20
CHUNK_BYTES = 256 << 10  # small decoder outputs are joined up to this size
BOMB_FLOOR_BYTES = 64 << 20  # below this nothing is called a bomb: a short run of zeros is legal
# Zstandard expands up to 32,768-fold (128 KB from a 4-byte block) and has no bound on what a call
# returns, so the input is handed over in pieces; 2 KB is also the fastest size measured
# (1,130 MB/s out, against 630 with 1 MB). gzip expands up to 1,032-fold.
PIECE_BYTES = {"gz": 16 << 10, "bz2": 16 << 10, "zst": 2 << 10}
MAX_CALL_BYTES = 64 << 20
MAX_ZSTD_WINDOW_BYTES = 1 << 31  # public dumps are written with `--long=31`
FIRST_BYTES = {"gz": b"\x1f", "bz2": b"B", "zst": b"\x28" + bytes(range(0x50, 0x60))}
# What the decoders, and `zipfile` below a chained URL, say to bytes that are not theirs.
CORRUPT = (zlib.error, zstandard.ZstdError, zipfile.BadZipFile, NotImplementedError, RuntimeError)


class Damaged(Exception):
    """The rest of this file cannot be read; becomes one quarantined record."""

    def __init__(self, reason: str, detail: str, *, num_bytes: int = 0) -> None:
        """Name the quarantine reason, a detail, and how many bytes are lost (0: unknown)."""
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.num_bytes = num_bytes


class Decoder(Protocol):
    """What zlib, bz2 and zstandard have in common: one member, and what follows it."""

    @property
    def eof(self) -> bool:
        """Whether the member has ended."""

    @property
    def unused_data(self) -> bytes:
        """What came after its end."""

    def decompress(self, data: bytes, /) -> bytes:
        """Return what the next bytes of the member stand for."""


def is_url(place: str) -> bool:
    """Return whether `place` is for fsspec, not a path of this machine."""
    return "://" in place or "::" in place


@functools.lru_cache(maxsize=4)
def _container(url: str, version: tuple[int, int]) -> fsspec.AbstractFileSystem:  # noqa: ARG001
    import fsspec

    return fsspec.core.url_to_fs(url)[0]


def filesystem(url: str) -> tuple[Any, str]:
    """Return the fsspec file system of `url` and the path in it.

    The last few archives stay open: parsing the directory of a zip file again for each of its
    members is quadratic.
    """
    import fsspec

    head, chained, outer = url.partition("::")
    protocol, _, path = head.partition("://")
    if not chained or is_url(outer) or not path:
        return cast("tuple[Any, str]", fsspec.core.url_to_fs(url))
    status = Path(outer).stat()
    return _container(f"{protocol}://::{outer}", (status.st_size, status.st_mtime_ns)), path


@contextmanager
def opened(split: Split, corpus: Corpus) -> Iterator[BinaryIO]:
    """Open the file of a split for reading bytes.

    Raises:
        Damaged: it is not a file, or an archive's member that unpacks to a bomb.
        DataError: it has gone since it was discovered.
        EnvironmentProblem: the machine or the store refuses to read it.
    """
    file: Any = None
    try:
        if is_url(split.url):
            store, path = filesystem(split.url)
            info = store.info(path)
            if info["type"] == "directory":
                raise Damaged("not_a_file", "a directory")
            size, packed = info.get("size") or 0, info.get("compress_size")
            if packed and size > max(BOMB_FLOOR_BYTES, packed * corpus.max_expansion):
                raise Damaged("decompression_bomb", f"{packed:,} bytes unpack to {size:,}")
            file = store.open(path, "rb")
        else:
            mode = Path(split.url).stat().st_mode
            if not stat.S_ISREG(mode):  # opening a named pipe would wait for ever
                raise Damaged("not_a_file", "a directory" if stat.S_ISDIR(mode) else "no file")
            file = Path(split.url).open("rb", buffering=0)  # noqa: SIM115 - below
    except CORRUPT as error:
        raise Damaged("corrupt", str(error)) from error
    except FileNotFoundError as error:
        if Path(split.url).is_symlink():
            raise Damaged("not_a_file", "a link to nothing") from error
        raise DataError(
            f"corpus {corpus.name!r}: {split.name} is gone ({split.url})\n"
            "  It was there when the run began. Run again to go on without it."
        ) from error
    except OSError as error:
        raise _refused(split, corpus, error) from error
    with file:
        try:
            yield file
        except OSError as error:
            raise _refused(split, corpus, error) from error


def _refused(split: Split, corpus: Corpus, error: OSError) -> EnvironmentProblem:
    return EnvironmentProblem(
        f"corpus {corpus.name!r}: cannot read {split.name} ({split.url}): {error}"
    )


@contextmanager
def random_access(split: Split, corpus: Corpus, *, mapped: bool = False) -> Iterator[Any]:
    """Open the file of a split for pyarrow; `mapped` into memory where it is a local file.

    Raises:
        Damaged, DataError, EnvironmentProblem: as `opened` does; an empty file is damaged.
    """
    import pyarrow as pa

    with opened(split, corpus) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        if not size:
            raise Damaged("empty_file", "0 bytes")
        if is_url(split.url):
            source = pa.PythonFile(file, mode="r")
        else:
            source = pa.memory_map(split.url) if mapped else pa.OSFile(split.url)
        with source:
            yield source


def chunks(split: Split, corpus: Corpus, tally: Tally, *, start: int = 0) -> Iterator[bytes]:
    """Yield the decompressed bytes of a split's file from byte `start` on.

    `tally.num_bytes` grows by the bytes taken from storage that lie in the split's own range, so
    that the splits of a file add up to its size.

    Raises:
        Damaged: after everything that came before the damage was yielded.
    """
    with opened(split, corpus) as file:
        raw = _raw(file, split, tally, start)
        if split.compression is None:
            yield from raw
            return
        pending: list[bytes] = []
        num_pending = 0
        try:
            for piece in _decompressed(raw, split.compression, corpus.max_expansion):
                pending.append(piece)
                num_pending += len(piece)
                if num_pending >= CHUNK_BYTES:
                    yield b"".join(pending)
                    pending.clear()
                    num_pending = 0
        except Damaged:
            yield b"".join(pending)
            raise
        if pending:
            yield b"".join(pending)


def _raw(file: BinaryIO, split: Split, tally: Tally, start: int) -> Iterator[bytes]:
    end = split.end if split.compression is None and split.end >= 0 else None
    if start:
        file.seek(start)
    position = start
    while True:
        try:
            chunk = file.read(READ_BYTES)
        except (*CORRUPT, EOFError) as error:  # a damaged member of an archive
            reason = "truncated" if isinstance(error, EOFError) else "corrupt"
            raise Damaged(reason, str(error)) from error
        if not chunk:
            break
        position += len(chunk)
        last = position if end is None else min(position, end)
        tally.num_bytes += max(0, last - max(position - len(chunk), split.start))
        yield chunk
    if position == 0:
        raise Damaged("empty_file", "0 bytes")


def _new_decoder(compression: str) -> Decoder:
    if compression == "gz":
        return zlib.decompressobj(wbits=31)
    if compression == "bz2":
        return bz2.BZ2Decompressor()
    decompressor = zstandard.ZstdDecompressor(max_window_size=MAX_ZSTD_WINDOW_BYTES)
    return cast("Decoder", decompressor.decompressobj())


def _decode(decoder: Decoder, piece: bytes) -> Iterator[bytes]:
    """Yield what a decoder makes of a piece, at most MAX_CALL_BYTES at a time."""
    if not isinstance(decoder, bz2.BZ2Decompressor):
        yield decoder.decompress(piece)
        return
    # One bzip2 block of 45 bytes can hold 45 MB, so only its own limit bounds the output.
    yield decoder.decompress(piece, READ_BYTES)
    while not (decoder.needs_input or decoder.eof):
        yield decoder.decompress(b"", READ_BYTES)


def _decompressed(raw: Iterator[bytes], compression: str, max_expansion: float) -> Iterator[bytes]:
    decoder: Decoder | None = None
    num_members = num_in = num_out = 0
    size = PIECE_BYTES[compression]
    for chunk in raw:
        for start in range(0, len(chunk), size):
            piece = chunk[start : start + size]
            num_in += len(piece)
            while piece:
                if decoder is None:
                    if num_members:
                        piece = piece.lstrip(b"\0")  # tapes and some disks pad with zeros
                        if not piece:
                            break
                    if piece[0] not in FIRST_BYTES[compression]:
                        what = "bytes after the end" if num_members else f"not {compression}"
                        raise Damaged("corrupt", f"{what} at byte {num_in - len(piece):,}")
                    decoder = _new_decoder(compression)
                try:
                    for out in _decode(decoder, piece):
                        num_out += len(out)
                        if num_out > BOMB_FLOOR_BYTES and num_out > num_in * max_expansion:
                            raise Damaged(
                                "decompression_bomb", f"{num_in:,} bytes unpack to {num_out:,}"
                            )
                        yield out
                except (*CORRUPT, OSError) as error:
                    raise Damaged("corrupt", f"near byte {num_in:,}: {error}") from error
                if not decoder.eof:
                    break
                piece = decoder.unused_data
                decoder = None
                num_members += 1
    if decoder is not None:
        raise Damaged("truncated", f"the file ends inside a {compression} member")


class ByteReader:
    """A file over chunks: read, skip and find lines, holding no more than is asked for."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        """Read from `chunks`; `position` counts the bytes handed out so far."""
        self._chunks = chunks
        self._buffer = b""
        self._start = 0
        self.position = 0

    def _fill(self) -> bool:
        """Make sure that a byte is buffered; return whether there is one."""
        while self._start >= len(self._buffer):
            chunk = next(self._chunks, None)
            if chunk is None:
                return False
            self._buffer, self._start = chunk, 0
        return True

    def _take(self, num_bytes: int) -> bytes:
        taken = self._buffer[self._start : self._start + num_bytes]
        self._start += len(taken)
        self.position += len(taken)
        return taken

    def read(self, num_bytes: int) -> bytes:
        """Return the next `num_bytes`, fewer at the end."""
        parts: list[bytes] = []
        while num_bytes > 0 and self._fill():
            parts.append(self._take(num_bytes))
            num_bytes -= len(parts[-1])
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def skip(self, num_bytes: int) -> int:
        """Pass over `num_bytes` without holding them; return how many there were."""
        start = self.position
        while num_bytes > 0 and self._fill():
            num_bytes -= len(self._take(num_bytes))
        return self.position - start

    def readline(self, max_bytes: int) -> bytes:
        """Return the next line with its line feed, cut at `max_bytes`."""
        parts: list[bytes] = []
        while max_bytes > 0 and self._fill():
            end = self._buffer.find(b"\n", self._start, self._start + max_bytes)
            parts.append(self._take(end + 1 - self._start if end >= 0 else max_bytes))
            max_bytes -= len(parts[-1])
            if end >= 0:
                break
        return b"".join(parts)
