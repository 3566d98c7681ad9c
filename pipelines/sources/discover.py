"""Find the files of a corpus and cut them into splits.

Promises: the same files give the same splits, with the same names, on every machine and from every
folder; a file that two patterns match is read once; a pattern that matches nothing is an error.
Hidden files are matched only by a pattern that names their dot.
"""

from __future__ import annotations

import glob
import os
import re
import stat
import zipfile
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, DataError, EnvironmentProblem
from . import streams
from .base import Split

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ..config import Corpus

COMPRESSIONS = {".gz": "gz", ".bz2": "bz2", ".zst": "zst", ".zstd": "zst"}
FORMATS = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",  # several public corpora call their JSON Lines so
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".txt": "text",
    ".html": "html",
    ".htm": "html",
    ".xhtml": "html",
    ".warc": "warc",
    ".wet": "wet",
    ".xml": "mediawiki",
}
WILDCARD = re.compile(r"[*?\[]")
# What different stores call the property of a file that changes with its content.
VERSION_KEYS = (
    *("etag", "ETag", "CRC", "md5", "md5Hash", "crc32c"),
    *("mtime", "updated", "LastModified", "last_modified", "created"),
)


@dataclass(frozen=True, slots=True)
class Match:
    """One thing that a pattern matched."""

    url: str
    path: str
    """Its full path with forward slashes, containers included: what names are cut from."""
    depth: int
    """How many leading components of `path` are the fixed part of the pattern."""
    is_file: bool
    num_bytes: int | None
    version: str


def discover(corpus: Corpus, *, base: Path, split_bytes: int = 64 << 20) -> list[Split]:
    """Return the splits of a corpus, by name in code point order.

    Args:
        corpus: Its files or data set; relative paths are relative to `base`.
        base: The folder of the configuration.
        split_bytes: About how many bytes of a file a split covers, where its format can be cut:
            plain JSON Lines, Parquet, Arrow files.

    Raises:
        DataError: a pattern matches nothing, or a literal path is missing or a folder.
        ConfigError: the format of a file can't be told from its name.
        EnvironmentProblem: a file system or hub that can't be reached.
    """
    if corpus.dataset is not None:
        from . import huggingface

        return huggingface.discover(corpus, base=base)
    matches: dict[str, Match] = {}
    for pattern in corpus.files:
        found = list(_matches(pattern, corpus, base))
        if not found:
            raise DataError(_nothing(corpus, pattern, base))
        for match in found:
            _check_name(match, corpus)
            matches.setdefault(match.url, match)
    splits: list[Split] = []
    for name, match in _named(matches.values()):
        splits.extend(_cut(_whole(match, name, corpus), corpus, split_bytes))
    splits.sort(key=lambda split: (split.name, split.start))
    return splits


def _check_name(match: Match, corpus: Corpus) -> None:
    """Refuse a file name that has no text: documents say by name where they came from."""
    try:
        match.path.encode()
    except UnicodeEncodeError:
        shown = os.fsencode(match.path).decode("utf-8", "backslashreplace")
        raise DataError(
            f"corpus {corpus.name!r}: the file name {shown} is not UTF-8\n  Rename the file."
        ) from None


def _nothing(corpus: Corpus, pattern: str, base: Path) -> str:
    place = pattern if streams.is_url(pattern) else str(base.absolute() / pattern)
    if not streams.is_url(pattern) and Path(place).is_dir():
        inside = f"{pattern.rstrip('/')}/**/*.jsonl"
        return (
            f"corpus {corpus.name!r}: {pattern!r} is a folder ({place}), not a file\n"
            f"  Say which files in it, for example {inside!r}."
        )
    what = "no file matches" if WILDCARD.search(pattern) else "there is no file"
    return (
        f"corpus {corpus.name!r}: {what} {pattern!r} (looked in {place})\n"
        "  Relative paths start at the folder of the configuration file."
    )


def _local(pattern: str, base: Path) -> Iterator[Match]:
    pattern = str(Path(pattern).expanduser())
    root = base.absolute()
    place = os.path.normpath(root / pattern)
    # A literal file may have brackets in its name.
    literal = Path(place).exists() or not WILDCARD.search(pattern)
    if literal:
        found, depth = [place], len(Path(place).parts) - 1
    else:
        found = glob.glob(pattern, root_dir=root, recursive=True)  # noqa: PTH207 - has a root
        parts = Path(pattern).parts
        fixed = os.path.normpath(root.joinpath(*parts[: _fixed_depth(parts)]))
        depth = len(Path(fixed).parts)
    for name in found:
        path = os.path.normpath(root / name)
        try:
            status = Path(path).stat()
        except FileNotFoundError:
            if literal:
                return
            yield Match(path, Path(path).as_posix(), depth, True, 0, "link to nothing")
            continue
        is_folder = stat.S_ISDIR(status.st_mode)
        if is_folder and (literal or "**" in Path(pattern).parts):
            continue
        version = f"{status.st_size}-{status.st_mtime_ns}"
        size = 0 if is_folder else status.st_size
        yield Match(path, Path(path).as_posix(), depth, not is_folder, size, version)


def _fixed_depth(parts: tuple[str, ...]) -> int:
    return next((i for i, part in enumerate(parts) if WILDCARD.search(part)), len(parts) - 1)


def _matches(pattern: str, corpus: Corpus, base: Path) -> Iterator[Match]:
    """Yield what a pattern matches, with the errors of looking for it in the user's terms."""
    try:
        yield from (_chained if streams.is_url(pattern) else _local)(pattern, base)
    except ImportError as error:
        raise EnvironmentProblem(f"corpus {corpus.name!r}: {pattern!r} needs {error}") from error
    except (ValueError, zipfile.BadZipFile, FileNotFoundError) as error:
        raise DataError(f"corpus {corpus.name!r}: cannot look into {pattern!r}: {error}") from error
    except OSError as error:
        raise EnvironmentProblem(
            f"corpus {corpus.name!r}: cannot reach {pattern!r}: {error}"
        ) from error


def _chained(pattern: str, base: Path) -> Iterator[Match]:
    """Yield the matches of an fsspec URL; in a chain, in every container that the rest matches."""
    head, chained, outer = pattern.partition("::")
    if chained:
        containers = _chained(outer, base) if streams.is_url(outer) else _local(outer, base)
        for container in containers:
            yield from _glob(f"{head}::{container.url}", container=container)
    else:
        yield from _glob(pattern, container=None)


def _glob(url: str, *, container: Match | None) -> Iterator[Match]:
    store, path = streams.filesystem(url)
    tail = f"::{container.url}" if container else ""
    before = container.path.rstrip("/") + "/" if container else ""
    literal = not WILDCARD.search(path)
    if literal:
        found: dict[str, Any] = {path: store.info(path)} if store.exists(path) else {}
    else:
        found = store.glob(path, detail=True)
    fixed = PurePosixPath(path).parts
    depth = len(PurePosixPath(before).parts)
    depth += len(fixed) - 1 if literal else _fixed_depth(fixed)
    for name, info in found.items():
        is_file = info["type"] == "file"
        if not is_file and (literal or "**" in path):
            continue
        if container is not None:
            address = f"{url.partition('://')[0]}://{name}{tail}"
        else:
            address = store.unstrip_protocol(name)
        tags = [str(info[key]) for key in VERSION_KEYS if info.get(key) is not None]
        size = info.get("size")
        # A member's checksum is version enough; without one, its container's counts.
        if container is not None and "CRC" not in info:
            tags.append(container.version)
        yield Match(address, before + name, depth, is_file, size, "-".join([str(size), *tags]))


def _named(matches: Iterable[Match]) -> Iterator[tuple[str, Match]]:
    """Yield each match with the end of its path that begins below the fixed part of its pattern.

    Where two patterns give the same name, it is lengthened to the left until they differ.
    """
    pending = [(match, PurePosixPath(match.path).parts) for match in matches]
    depths = {match.url: match.depth for match, _ in pending}
    while True:
        names: dict[str, list[Match]] = {}
        for match, parts in pending:
            names.setdefault("/".join(parts[depths[match.url] :]), []).append(match)
        alike = [match for group in names.values() if len(group) > 1 for match in group]
        if not alike or not any(depths[match.url] for match in alike):
            break
        for match in alike:
            depths[match.url] = max(0, depths[match.url] - 1)
    for name, group in names.items():
        for match in group:
            # A name on disk may be no UTF-8, which Arrow cannot hold.
            yield os.fsencode(name).decode("utf-8", "backslashreplace"), match


def _whole(match: Match, name: str, corpus: Corpus) -> Split:
    suffixes = [suffix.lower() for suffix in PurePosixPath(name).suffixes]
    compression = COMPRESSIONS.get(suffixes[-1]) if suffixes else None
    if compression:
        suffixes.pop()
    format_ = corpus.format or (FORMATS.get(suffixes[-1]) if suffixes else None)
    if format_ is None:
        if match.is_file:
            raise ConfigError(
                f"corpus {corpus.name!r}: the format of {name!r} can't be told from its name\n"
                "  Set `format:`, or make the pattern match only the files that are meant."
            )
        format_ = "text"  # a folder: reading it says so, whatever the format
    if compression and format_ in ("parquet", "arrow") and match.is_file:
        raise ConfigError(
            f"corpus {corpus.name!r}: {name!r} is {format_} inside {compression}\n"
            f"  {format_.title()} is read from any place in the file: unpack it first."
        )
    return Split(
        corpus=corpus.name,
        format=format_,
        url=match.url,
        name=name,
        compression=compression,
        start=0,
        end=-1,
        num_bytes=match.num_bytes or 0,
        version=match.version,
    )


def _cut(split: Split, corpus: Corpus, split_bytes: int) -> list[Split]:
    """Return a file's splits: their bytes add up to its size."""
    if split.num_bytes <= split_bytes or split.compression:
        return [split]
    if split.format == "jsonl":
        if "::" in split.url:  # seeking in an archive's member unpacks all that lies before
            return [split]
        count = -(-split.num_bytes // split_bytes)
        cuts = [split.num_bytes * index // count for index in range(count + 1)]
        return [
            replace(split, start=start, end=end, num_bytes=end - start)
            for start, end in pairwise(cuts)
        ]
    if split.format not in ("parquet", "arrow"):
        return [split]
    try:
        sizes = _part_sizes(split, corpus)
    except streams.Damaged:
        return [split]  # reading it gives the reason
    splits: list[Split] = []
    start = start_byte = end_byte = 0
    for index, size in enumerate(sizes, start=1):
        end_byte += size
        if end_byte - start_byte >= split_bytes and index < len(sizes):
            splits.append(replace(split, start=start, end=index, num_bytes=end_byte - start_byte))
            start, start_byte = index, end_byte
    last = replace(split, start=start, end=len(sizes), num_bytes=split.num_bytes - start_byte)
    return [*splits, last]


def _part_sizes(split: Split, corpus: Corpus) -> list[int]:
    """Return the compressed bytes of each row group or record batch of a file."""
    from . import arrow, parquet

    with streams.random_access(split, corpus) as source:
        if split.format == "parquet":
            return parquet.part_sizes(source)
        return arrow.part_sizes(source, split)
