"""Which files hold the data of a task, for which split and language, and their text.

A split is a word of a file's name (`sib200.train.tsv`, `sw_x-ud-dev.conllu`), or of its folder's
where the name has none. A language is read from a name only where it is unmistakable: as Universal
Dependencies, MLQA and XQuAD write it, as a whole label (`swh_Latn`), or where nothing else is left
of the name; `ner` and `pos` are languages too, and not meant.

Promises: each file is read once, and its hash is of the bytes that were read. Text is UTF-8, with
or without a byte order mark; lines that aren't are marked, and a file of another encoding is an
error that says which line told.
Does not promise: files larger than memory.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from pipelines.config_errors import did_you_mean
from pipelines.errors import DataError, EnvironmentProblem
from pipelines.languages import parse_label

SPLITS = ("train", "dev", "test")
SPLIT_WORDS = {
    "train": "train", "training": "train",
    "dev": "dev", "development": "dev", "valid": "dev", "validation": "dev", "val": "dev",
    "test": "test", "testing": "test",
}  # fmt: skip
CONLL = (".conll", ".conllu", ".conllup", ".iob", ".iob2", ".bio", ".bioes")
DELIMITED = (".tsv", ".csv", ".txt")
JSON = (".jsonl", ".ndjson", ".json")
ARROW = (".parquet", ".arrow", ".feather")
COMPRESSED = (".gz", ".bz2", ".zst", ".xz")
BAD = "\ufdd0"
"""Stands for bytes that aren't UTF-8: a noncharacter, which Unicode keeps for such uses."""
_NO_DATA = ("readme", "license", "licence", "changelog", "citation", "manifest", "dataset_info")
_NO_LANGUAGE = {
    "ner", "pos", "tag", "qa", "tr", "te", "dev", "val", "all", "new", "raw", "run", "sib", "iob",
    "bio", "out", "set", "mix", "txt", "data",
}  # fmt: skip
"""Words in names of files that are codes of languages as well, and not meant as such."""
_UD = re.compile(r"([a-z]{2,3})_[a-z0-9]+-ud(?![a-z])")
_MLQA = re.compile(r"context-([a-z]{2,3})(?![a-z])")
_LABEL = re.compile(r"(?<![A-Za-z])[a-z]{3}_[A-Z][a-z]{3}(?![A-Za-z])")
_BAD_SHARE = 0.1
"""Of the lines with letters beyond ASCII: with more that aren't UTF-8, it is another encoding."""


@dataclass(frozen=True)
class Source:
    """A file of task data."""

    path: Path
    shown: str
    """Its path in errors, as the user wrote it."""
    short: str
    """Its name in what is stored, the same on every machine."""
    split: str | None
    """One of `SPLITS`; None where neither its name nor its folder's says it."""
    code: str | None
    """The code of its language, as its name writes it."""


def sources(paths: Sequence[str | Path], *, split: str | None = None) -> list[Source]:
    """Return the files of paths: files, folders, and prefixes (`data/sib200` of `sib200.*`).

    Args:
        paths: what the user named.
        split: of all of them, whatever their names say.

    Raises:
        DataError: there is no such file, none in the folder, or one lies there twice.
    """
    found: dict[Path, Source] = {}
    for given in paths:
        for path in _files(Path(given)):
            inside = path.relative_to(given).parent if Path(given).is_dir() else Path()
            found[path.resolve()] = Source(
                path=path,
                shown=str(path),
                short=(inside / path.name).as_posix(),
                split=split or split_of(path, inside),
                code=code_of(path, inside),
            )
    plain: dict[Path, Path] = {}
    for source in found.values():
        bare = _uncompressed(source.path)
        if bare in plain:
            raise DataError(
                f"{source.path}: lies there twice, {plain[bare].name} is the same file.\n"
                "  Name the one that counts."
            )
        plain[bare] = source.path
    return list(found.values())


def _files(path: Path) -> list[Path]:
    if path.is_file():
        if _format(path) is None:
            raise DataError(f"{path}: koine doesn't know files of this kind.\n  {_known()}")
        return [path]
    if path.is_dir():
        inside = [one for one in sorted(path.rglob("*")) if _is_data(one, path)]
        if not inside:
            raise DataError(f"{path}: has no file of task data.\n  {_known()}")
        return inside
    beside = sorted(path.parent.glob("*")) if path.parent.is_dir() else []
    begun = [
        one
        for one in beside
        if one.name.startswith(path.name)
        and one.name[len(path.name) : len(path.name) + 1] in (".", "-", "_")
        and _is_data(one, path.parent)
    ]
    if path.name and begun:
        # `sib200` is sib200.train.tsv, and not sib200-old.train.tsv as well.
        return [one for one in begun if one.name[len(path.name)] == "."] or begun
    hint = did_you_mean(path.name, [one.name for one in beside if not one.name.startswith(".")])
    raise DataError(
        f"{path}: there is no such file or folder, and no file of task data begins so.\n"
        f"  {hint or 'Name a file, a folder, or the beginning that the files of the splits share.'}"
    )


def _is_data(path: Path, folder: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
    named = path.name.lower().startswith(_NO_DATA)
    return path.is_file() and not hidden and not named and _format(path) is not None


def _known() -> str:
    kinds = ", ".join(kind[1:] for kind in (*DELIMITED, *JSON, *ARROW[:2], *CONLL[:3]))
    return f"Known: {kinds}; each may be compressed ({', '.join(k[1:] for k in COMPRESSED)})."


def _uncompressed(path: Path) -> Path:
    return path.with_suffix("") if path.suffix.lower() in COMPRESSED else path


def _format(path: Path) -> str | None:
    kind = _uncompressed(path).suffix.lower()
    return kind if kind in (*CONLL, *DELIMITED, *JSON, *ARROW) else None


def format_of(source: Source) -> str:
    """Return the kind of a file: its suffix, without that of the compression."""
    kind = _format(source.path)
    assert kind is not None
    return kind


def stem_of(path: Path) -> str:
    """Return the name of a file without its kind and its split: `sib200` of sib200.train.tsv.gz."""
    words = re.split(r"([._-]+)", _bare(path))
    for place in reversed(range(0, len(words), 2)):
        if words[place].lower() in SPLIT_WORDS:
            del words[max(place - 1, 0) : place + (1 if place else 2)]
            break
    return re.sub(r"[-_]ud$", "", "".join(words)).strip("._-")


def _bare(path: Path) -> str:
    return _uncompressed(path).stem


def split_of(path: Path, inside: Path = Path()) -> str | None:
    """Return the split that the name of a file says, or of a folder between it and the data's."""
    for name in (_bare(path), *reversed(inside.parts)):
        words = [word for word in re.split(r"[^a-z]+", name.lower()) if word in SPLIT_WORDS]
        if words:
            return SPLIT_WORDS[words[-1]]
    return None


def code_of(path: Path, inside: Path = Path()) -> str | None:
    """Return the language that the name of a file says, as it writes it; None if it isn't sure."""
    name = _bare(path)
    for pattern in (_UD, _MLQA):
        if (found := pattern.search(name)) and parse_label(found[1]):
            return str(found[1])
    stem = stem_of(path)
    names: list[str] = [stem] if stem else list(reversed(inside.parts))
    for one in names:
        if (label := _LABEL.search(one)) and parse_label(label[0]):
            return label[0]
        # XQuAD's xquad.sw.json; three letters are too often something else.
        short = [part for part in one.split(".")[1:] if len(part) == 2]
        for part in (one, *short):
            if re.fullmatch(r"[a-z]{2,3}", part) and part not in _NO_LANGUAGE and parse_label(part):
                return part
    return None


def name_of(paths: Sequence[str | Path], found: Sequence[Source]) -> str:
    """Return what the data is called: what the names of its files share, or the folder's name."""
    if len(paths) == 1 and not Path(paths[0]).is_file():
        return Path(paths[0]).resolve().name
    stems = {stem_of(source.path) for source in found}
    if len(stems) == 1 and (stem := stems.pop()):
        return stem
    return found[0].path.resolve().parent.name


def read_bytes(source: Source) -> tuple[bytes, str]:
    """Return what a file holds, decompressed, and the SHA-256 of the file itself.

    Raises:
        DataError: it is empty, or its compression is broken.
        EnvironmentProblem: it can't be read.
    """
    try:
        stored = source.path.read_bytes()
    except OSError as error:
        raise EnvironmentProblem(
            f"{source.shown}: can't be read ({error.strerror}).\n  Check its permissions."
        ) from error
    kind = source.path.suffix.lower()
    try:
        data = _decompressed(stored, kind)
    except (OSError, EOFError, ValueError, pa.ArrowException) as error:
        raise DataError(
            f"{source.shown}: is no whole {kind[1:]} file ({str(error).splitlines()[0]}).\n"
            "  It was cut short or damaged; fetch it again."
        ) from error
    if not data.strip():
        raise DataError(f"{source.shown}: is empty.\n  Put the data there, or leave the file out.")
    return data, hashlib.sha256(stored).hexdigest()


def _decompressed(stored: bytes, kind: str) -> bytes:
    if kind == ".xz":
        import lzma

        try:
            return lzma.decompress(stored)
        except lzma.LZMAError as error:
            raise ValueError(str(error)) from error
    if kind in COMPRESSED:
        codec = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}[kind]
        with pa.input_stream(pa.py_buffer(stored), compression=codec) as stream:
            whole: bytes = stream.read()
            return whole
    return stored


def decode(data: bytes, *, shown: str) -> str:
    """Return text of UTF-8, with `BAD` in the place of bytes that aren't.

    Raises:
        DataError: it is another encoding.
    """
    for mark, name in ((b"\xff\xfe\x00\x00", "UTF-32"), (b"\xff\xfe", "UTF-16"),
                       (b"\xfe\xff", "UTF-16")):  # fmt: skip
        if data.startswith(mark):
            raise DataError(f"{shown}: is {name}.\n  {_convert(name)}")
    if b"\x00" in data[:4096]:
        raise DataError(
            f"{shown}: has zero bytes, so it is UTF-16 or no text.\n  {_convert('UTF-16')}"
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        pass
    bad = list(_bad_lines(data))
    beyond = sum(not line.isascii() for line in data.split(b"\n"))
    if len(bad) > max(1, _BAD_SHARE * beyond):
        number, at, byte = bad[0]
        raise DataError(
            f"{shown}:{number}:{at}: isn't UTF-8 (byte 0x{byte:02x}), nor are {len(bad):,} of the "
            f"{beyond:,} lines with more than ASCII.\n  {_convert('ISO-8859-1')}"
        )
    text = data.decode("utf-8", errors="surrogateescape").removeprefix("\ufeff")
    return re.sub("[\udc80-\udcff]+", BAD, text)


def _bad_lines(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield the line, the place in it and the byte of lines that aren't UTF-8."""
    for number, line in enumerate(data.split(b"\n"), start=1):
        try:
            line.decode()
        except UnicodeDecodeError as error:
            yield number, error.start + 1, line[error.start]


def _convert(name: str) -> str:
    return (
        f"koine reads UTF-8; convert it, `iconv -f {name} -t UTF-8`, "
        "with the encoding that it really has."
    )
