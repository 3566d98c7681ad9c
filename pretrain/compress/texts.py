"""The text that a model is made smaller with, by language: a corpus of koine's, or text files.

Promises: shards of a corpus are checked against its manifest before they are read; text comes in
the same order and the same chunks each time; a language that isn't there is an error that names the
one that was probably meant.
Does not promise: that text files hold what their names say.

A chunk is a stretch of a document, cut behind a line or a space: tokenizers take it like the whole
document, but for a piece that would cross the cut.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from pipelines import store
from pipelines.config_errors import did_you_mean
from pipelines.errors import ConfigError, DataError
from pipelines.languages import complete_label, parse_label, script_of, suggest

CHUNK_CHARS = 2000
SHOWN = 5


@dataclass(frozen=True)
class Texts:
    """Text by language, not yet read."""

    name: str
    sizes: Mapping[str, int]
    """Bytes by label; of a corpus, of its shards."""
    sha256: str
    """Names the text: of the corpus's manifest, or of the files."""
    _shards: Mapping[str, list[store.Written]] = field(default_factory=dict)
    _files: Mapping[str, list[Path]] = field(default_factory=dict)
    _corpus: store.Folder | None = None

    def documents(self, label: str) -> Iterator[str]:
        """Yield the documents of a language; of a text file its lines together.

        Raises:
            DataError: a shard is not what the manifest says, or a file is no UTF-8.
        """
        for written in self._shards.get(label, ()):
            assert self._corpus is not None
            if problem := self._corpus.check(written):
                raise DataError(
                    f"{self._corpus.path(written.name)}: {problem}.\n"
                    "  Build the corpus again: `koine corpus build` makes what is missing."
                )
            with (
                self._corpus.open_arrow(written.name) as opened,
                pa.ipc.open_stream(opened) as reader,
            ):
                for batch in reader:
                    yield from batch.column("text").to_pylist()
        for path in self._files.get(label, ()):
            yield read_file(path)

    def chunks(self, label: str, *, max_bytes: int | None = None) -> Iterator[str]:
        """Yield the text of a language in stretches of at most `CHUNK_CHARS`.

        Args:
            label: a language that is there.
            max_bytes: of UTF-8, after which no further chunk begins.
        """
        taken = 0
        for document in self.documents(label):
            for chunk in cut(document):
                if max_bytes is not None and taken >= max_bytes:
                    return
                taken += len(chunk.encode("utf-8", "surrogatepass"))
                yield chunk


def open_texts(paths: Sequence[str | Path]) -> Texts:
    """Open a corpus (its folder, or that of its build), or text files.

    A text file is named after its language, as `swh_Latn.txt`; a folder may hold several.

    Raises:
        ConfigError: nothing is named, or a file's name is no language.
        DataError: there is no such file or corpus, or it is damaged.
    """
    if not paths:
        raise ConfigError(
            "--corpus: names no text.\n"
            "  Name the folder of a koine corpus, or text files such as swh_Latn.txt."
        )
    if len(paths) == 1 and (folder := _corpus(str(paths[0]))) is not None:
        manifest = store.read_manifest(folder, artefact="corpus")
        shards: dict[str, list[store.Written]] = {}
        for written in sorted(store.listed(manifest), key=lambda one: one.name):
            label, slash, name = written.name.partition("/")
            if slash and name.endswith(".arrow"):
                shards.setdefault(label, []).append(written)
        return Texts(
            name=Path(folder.url).name,
            sizes={label: sum(x.num_bytes for x in own) for label, own in shards.items()},
            sha256=hashlib.sha256(folder.read_bytes(store.MANIFEST)).hexdigest(),
            _shards=shards,
            _corpus=folder,
        )
    return _of_files([Path(path) for path in paths])


def known_labels(wanted: Sequence[str], texts: Texts) -> list[str]:
    """Return labels as the corpus writes them: `sw`, `swa_Latn` and `swh_Latn` are one.

    Raises:
        ConfigError: the corpus has no text of one.
    """
    found = []
    for given in wanted:
        label = _known(given, texts.sizes)
        if label is None:
            there = sorted(texts.sizes)
            close = did_you_mean(given, there)
            parsed = parse_label(given)
            meant = "" if parsed else f"{suggest(given)} "
            shown = ", ".join(there[:SHOWN]) + (
                f" and {len(there) - SHOWN} more" if len(there) > SHOWN else ""
            )
            raise ConfigError(
                f"--labels {given}: {texts.name} has no text of it.\n"
                f"  {close or meant + f'It has: {shown}.'}"
            )
        found.append(label)
    return list(dict.fromkeys(found))


def cut(document: str) -> Iterator[str]:
    """Yield a document in stretches of at most `CHUNK_CHARS`, cut behind a line or a space."""
    begin = 0
    while begin < len(document):
        end = begin + CHUNK_CHARS
        if end < len(document):
            middle = begin + CHUNK_CHARS // 2
            at = max(document.rfind("\n", middle, end), document.rfind(" ", middle, end))
            end = at + 1 if at >= 0 else end
        yield document[begin:end]
        begin = end


def _known(given: str, sizes: Mapping[str, int]) -> str | None:
    if given in sizes:
        return given
    parsed = parse_label(given)
    if parsed is None:
        return None
    if script_of(parsed) is not None:
        return parsed if parsed in sizes else None
    same = [label for label in sizes if label.startswith(f"{parsed}_")]
    usual = complete_label(parsed, None)
    return same[0] if len(same) == 1 else usual if usual in same else None


def _corpus(url: str) -> store.Folder | None:
    """Return the folder of a corpus: this one, or `corpus` in it; None of text files."""
    for folder in (store.Folder(url), store.Folder(url) / "corpus"):
        if folder.exists(store.MANIFEST):
            manifest: Any = folder.read_json(store.MANIFEST)
            if isinstance(manifest, dict) and manifest.get("artefact") == "corpus":
                return folder
    return None


def _of_files(paths: Sequence[Path]) -> Texts:
    found: dict[str, list[Path]] = {}
    digest = hashlib.sha256()
    for path in paths:
        if path.is_dir():
            inside = sorted(path.glob("*.txt"))
            if not inside:
                raise DataError(
                    f"{path}: is no koine corpus, and has no text files.\n"
                    "  Name the folder that `koine corpus build` wrote (OUT/corpus), or one with "
                    "files such as swh_Latn.txt."
                )
        elif path.is_file():
            inside = [path]
        else:
            raise DataError(f"{path}: there is no such file or folder.\n  Check --corpus.")
        for one in inside:
            parsed = parse_label(one.name.split(".")[0])
            if parsed is None:
                raise ConfigError(
                    f"{one}: its name doesn't say what language it is.\n"
                    "  Name it after its language, as swh_Latn.txt."
                )
            label = parsed if script_of(parsed) else complete_label(parsed, None)
            found.setdefault(label, []).append(one)
            digest.update(hashlib.sha256(one.read_bytes()).digest())
    return Texts(
        name=paths[0].name,
        sizes={label: sum(x.stat().st_size for x in own) for label, own in sorted(found.items())},
        sha256=digest.hexdigest(),
        _files=found,
    )


def read_file(path: Path) -> str:
    """Return the text of a file.

    Raises:
        DataError: there is none, or it is no UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: can't be read ({error.strerror}).\n  Check the path.") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: is no UTF-8 ({error.reason} at byte {error.start:,}).\n"
            "  Convert it: iconv -f OLD -t utf-8."
        ) from error
