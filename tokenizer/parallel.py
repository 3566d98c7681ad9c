"""Read parallel text from disk: a folder with a file for each language, or JSONL.

* A folder: one file for each language, its name starts with the label (`swh_Latn.txt`,
  `swh_Latn.devtest`: the layout of FLORES-200), and line n says the same in all of them. An empty
  line is one without a translation.
* JSONL, also compressed (.gz, .zst): an object a line with `id`, `text`, and the language in
  `lang` or `label`. Objects whose ids are equal, the language's own name in them aside, are
  translations of each other (`flores200.dev:swh_Latn:16`); a language may lack lines.

Promises: every problem is a DataError that names the file and the line.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa

from pipelines import languages
from pipelines.errors import DataError

from . import texts

_COMPRESSION = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2"}
_LAYOUT = (
    "  Expected one file for each language, named after its label: swh_Latn.txt, eng_Latn.txt."
)


def read_parallel(path: str | Path) -> texts.Texts:
    """Return the parallel text in a folder or a JSONL file.

    Raises:
        DataError: there is none, languages have different numbers of lines, a line can't be read,
            or a language shares no line with the others.
    """
    path = Path(path)
    if path.is_dir():
        return texts.parallel(_read_folder(path))
    if path.is_file():
        return texts.parallel(_read_jsonl(path))
    raise DataError(f"{path}: there is no such file or folder.\n{_LAYOUT}")


def label_of(name: str) -> str | None:
    """Return the label that a name of a file or a language means, None if it is none."""
    parsed = languages.parse_label(name)
    if parsed is None or languages.script_of(parsed):
        return parsed
    return languages.complete_label(parsed, None)


def _read_folder(folder: Path) -> dict[str, list[str | None]]:
    found: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        label = label_of(file.name.partition(".")[0]) if file.is_file() else None
        if label is None:
            continue
        if label in found:
            raise DataError(
                f"{folder}: {found[label].name} and {file.name} are both {label}"
                f" ({languages.name_of(label)}).\n  Keep one file for each language in the folder."
            )
        found[label] = file
    if not found:
        inner = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
        hint = f"\n  Or give a folder inside it: {', '.join(inner[:5])}." if inner else ""
        raise DataError(f"{folder}: no file is named after a language.\n{_LAYOUT}{hint}")
    lines = {label: _lines(file) for label, file in found.items()}
    lengths = {label: len(own) for label, own in lines.items()}
    if len(set(lengths.values())) > 1:
        raise DataError(texts.uneven(lengths, place=str(folder)))
    return lines


def _lines(file: Path) -> list[str | None]:
    """Return the lines of a file; None for those without text."""
    data = file.read_bytes().removeprefix(b"\xef\xbb\xbf")
    rows = data.split(b"\n")
    if rows[-1] == b"":
        rows.pop()  # the file ends its last line
    return [_decoded(row, file, number) or None for number, row in enumerate(rows, 1)]


def _decoded(row: bytes, file: Path, number: int) -> str:
    try:
        return row.decode().strip()
    except UnicodeDecodeError as error:
        raise DataError(
            f"{file}:{number}: byte {error.start + 1} is not UTF-8.\n"
            "  Convert the file: iconv -f <its encoding> -t UTF-8."
        ) from error


def _read_jsonl(file: Path) -> dict[str, list[str | None]]:
    by_key: dict[str, dict[str, str]] = {}
    for number, row in _rows(file):
        place = f"{file}:{number}"
        if not row.strip():
            continue
        try:
            record = json.loads(_decoded(row, file, number))
        except (ValueError, RecursionError) as error:
            raise DataError(f"{place}: not JSON ({error}).\n  Write an object a line.") from error
        name = record.get("lang", record.get("label")) if isinstance(record, dict) else None
        if name is None or not all(isinstance(record.get(key), str) for key in ("id", "text")):
            raise DataError(
                f"{place}: an object with the texts `id`, `text` and `lang` is expected.\n"
                '  For example {"id": "flores:swh_Latn:16", "lang": "swh_Latn", "text": "..."}.'
            )
        text = record["text"]
        if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
            raise DataError(
                f"{place}: the text holds half a character (a lone surrogate).\n"
                "  Write the file again from its source."
            )
        label = label_of(str(name))
        if label is None:
            continue  # no language, or no one
        key = record["id"].replace(str(name), "")
        own = by_key.setdefault(key, {})
        if label in own:
            raise DataError(
                f"{place}: {label} has the line {record['id']!r} twice.\n"
                "  Give every line of a language an id of its own."
            )
        own[label] = text.strip()
    shared = [own for own in by_key.values() if len(own) > 1]
    if not shared:
        raise DataError(
            f"{file}: no id occurs in two languages, so nothing is a translation of anything.\n"
            "  Ids must be equal but for the label in them: flores:swh_Latn:16, flores:yor_Latn:16."
        )
    labels = sorted({label for own in shared for label in own})
    return {label: [own.get(label) or None for own in shared] for label in labels}


def _rows(file: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file that may be compressed, numbered from 1."""
    compression = _COMPRESSION.get(file.suffix)
    try:
        with pa.input_stream(str(file), compression=compression) as stream:
            data = stream.read()
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error}).\n  Copy it again.") from error
    yield from enumerate(data.split(b"\n"), 1)
