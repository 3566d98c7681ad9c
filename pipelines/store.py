"""Write artefacts that are either whole or absent. The only module that writes them.

Promises: a file that a manifest or a journal entry lists exists, has that size and SHA-256, and
never changes; a killed run leaves temporary files, never a torn artefact under its final name; two
attempts at the same file leave one of them, whole.
Does not promise: protection from someone who can rewrite both a shard and its manifest.

The protocol: write under a temporary name that is unique to the attempt, hash while writing, fsync,
rename, fsync the folder. Journal entries are written the same way after the shards they list. The
manifest comes last and alone commits. On an object store, which makes an object visible when it is
complete, the finished temporary file is uploaded in one piece instead of renamed.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import json
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from .disk import HashedFile, explained, sync
from .disk import locked as locked
from .errors import DataError

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
TEMPORARY = ".tmp-"
MADE_BY = {
    "corpus": "koine corpus build",
    "removed": "koine corpus build",
    "vocab": "koine vocab train",
    "tokens": "koine vocab encode",
    "checkpoint": "koine pretrain run",
    "export": "koine pretrain export",
    "tuned": "koine tune",
    "evaluation": "koine evaluate",
    "smaller": "koine compress",
}
"""What to run for each artefact, for the errors that miss one."""

_attempts = itertools.count()
_points = itertools.count(1)


@dataclass(frozen=True, slots=True)
class Written:
    """A finished file: its name in the folder, its size and its SHA-256."""

    name: str
    num_bytes: int
    sha256: str
    num_rows: int | None = None


def point() -> None:
    """Mark a step of the protocol, so that a test can kill the process at exactly this one.

    KOINE_FAULT="kill@17" kills at the 17th point, "enospc@17" makes the disk full there.
    """
    fault = os.environ.get("KOINE_FAULT")
    if fault:
        kind, _, number = fault.partition("@")
        if next(_points) == int(number):
            if kind == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            raise OSError(errno.ENOSPC, "No space left on device (injected)")


def canonical_json(value: object) -> str:
    """Return JSON that is the same for equal values: sorted keys, no spaces, nothing guessed.

    Raises:
        TypeError: a value has no JSON form; it is never replaced by its `str()`.
    """
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def fingerprint(value: object) -> str:
    """Return the SHA-256 of the canonical JSON of a value, as 64 hexadecimal digits."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


class Folder:
    """A folder of artefacts: a local path, or any fsspec URL."""

    def __init__(self, url: str | Path) -> None:
        """Name the folder; nothing is created or read yet."""
        self.url = str(url)
        self.is_local = "://" not in self.url
        if self.is_local:
            self.root = Path(self.url)
        else:
            import fsspec

            self._fs, self._base = fsspec.core.url_to_fs(self.url)

    def __truediv__(self, name: str) -> Folder:
        """Return the folder of that name inside this one."""
        return Folder(self.root / name if self.is_local else f"{self.url.rstrip('/')}/{name}")

    def path(self, name: str) -> str:
        """Return the path or URL of a file in the folder."""
        return str(self.root / name) if self.is_local else f"{self.url.rstrip('/')}/{name}"

    def _key(self, name: str) -> str:
        return f"{self._base.rstrip('/')}/{name}"

    def create(self) -> None:
        """Create the folder and check that it can be written.

        Raises:
            EnvironmentProblem: it can't be.
        """
        if not self.is_local:
            with explained(self.url):
                self._fs.makedirs(self._base, exist_ok=True)
            return
        with explained(self.url):
            try:
                self.root.mkdir(parents=True, exist_ok=True)
            except FileNotFoundError as error:  # in a file system that has no new folders: /proc
                raise OSError(errno.EPERM, error.strerror) from error
            probe = self.root / f"{TEMPORARY}{os.getpid()}"
            probe.touch()
            probe.unlink()

    @contextlib.contextmanager
    def writing(self, name: str, *, committed: list[Written] | None = None) -> Iterator[HashedFile]:
        """Open a file for writing; it appears under its name, whole, when the block ends.

        Args:
            name: the file's name in the folder.
            committed: receives the finished file's size and hash.
        """
        target = self.root / name if self.is_local else Path(name)
        place = target.parent if self.is_local else Path(tempfile.gettempdir())
        temporary = place / f"{TEMPORARY}{os.getpid()}-{next(_attempts)}-{target.name}"
        with explained(self.path(name)):
            if self.is_local:
                place.mkdir(parents=True, exist_ok=True)
            point()
            try:
                with temporary.open("wb") as file:
                    hashed = HashedFile(file)
                    yield hashed
                    point()
                    file.flush()
                    os.fsync(file.fileno())
                point()
                if self.is_local:
                    temporary.replace(target)
                    point()
                    sync(place)
                else:
                    self._fs.makedirs(self._key(name).rpartition("/")[0], exist_ok=True)
                    self._fs.put_file(str(temporary), self._key(name))
            finally:
                temporary.unlink(missing_ok=True)
        if committed is not None:
            committed.append(Written(name, hashed.num_bytes, hashed.hash.hexdigest()))

    def write_bytes(self, name: str, data: bytes) -> Written:
        """Write a whole file."""
        committed: list[Written] = []
        with self.writing(name, committed=committed) as file:
            file.write(data)
        return committed[0]

    def write_json(self, name: str, value: object) -> Written:
        """Write a value as JSON for people: sorted keys, indented."""
        text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
        return self.write_bytes(name, (text + "\n").encode())

    def read_bytes(self, name: str) -> bytes:
        """Return a file's bytes, or raise FileNotFoundError."""
        if self.is_local:
            return (self.root / name).read_bytes()
        data: bytes = self._fs.cat_file(self._key(name))
        return data

    def read_json(self, name: str) -> Any:  # noqa: ANN401
        """Return a JSON file's value.

        Raises:
            DataError: it is missing or no JSON.
        """
        try:
            return json.loads(self.read_bytes(name))
        except FileNotFoundError:
            raise DataError(f"{self.path(name)}: there is no such file.") from None
        except (ValueError, OSError) as error:
            raise DataError(f"{self.path(name)}: cannot be read ({error}).") from error

    def exists(self, name: str) -> bool:
        """Tell whether the folder has such a file."""
        if self.is_local:
            return (self.root / name).is_file()
        return bool(self._fs.isfile(self._key(name)))

    def names(self) -> list[str]:
        """Return the names of all files below the folder, sorted, temporary ones left out."""
        if self.is_local:
            if not self.root.is_dir():
                return []
            found = (p.relative_to(self.root) for p in self.root.rglob("*") if p.is_file())
            names = [path.as_posix() for path in found]
        else:
            base = self._base.rstrip("/") + "/"
            names = [str(key).removeprefix(base) for key in self._fs.find(self._base)]
        return sorted(name for name in names if not Path(name).name.startswith(TEMPORARY))

    def remove(self, name: str) -> None:
        """Delete a file if it is there."""
        if self.is_local:
            (self.root / name).unlink(missing_ok=True)
        elif self.exists(name):
            self._fs.rm_file(self._key(name))

    def remove_all(self) -> None:
        """Delete the folder and all in it."""
        if self.is_local:
            shutil.rmtree(self.root, ignore_errors=True)
        elif self._fs.exists(self._base):
            self._fs.rm(self._base, recursive=True)

    def remove_temporary(self) -> None:
        """Delete what killed attempts left behind."""
        if self.is_local and self.root.is_dir():
            for path in self.root.rglob(f"{TEMPORARY}*"):
                if path.is_file():
                    path.unlink(missing_ok=True)

    def open_arrow(self, name: str) -> pa.NativeFile:
        """Open a file for Arrow to read; local ones are memory-mapped."""
        if self.is_local:
            return pa.memory_map(str(self.root / name))
        return pa.PythonFile(self._fs.open(self._key(name), "rb"), mode="r")

    @contextlib.contextmanager
    def local(self, name: str) -> Iterator[Path]:
        """Give a path for libraries that read files themselves; a copy of a remote file."""
        if self.is_local:
            yield self.root / name
            return
        with tempfile.TemporaryDirectory() as place:
            path = Path(place) / Path(name).name
            path.write_bytes(self.read_bytes(name))
            yield path

    def read_range(self, name: str, *, offset: int, num_bytes: int) -> bytes:
        """Return a part of a file."""
        if self.is_local:
            with (self.root / name).open("rb") as file:
                file.seek(offset)
                return file.read(num_bytes)
        data: bytes = self._fs.cat_file(self._key(name), start=offset, end=offset + num_bytes)
        return data

    def check(self, written: Written) -> str | None:
        """Return what is wrong with a listed file, or None: existence, size, then SHA-256."""
        try:
            if self.is_local:
                size = (self.root / written.name).stat().st_size
            else:
                size = int(self._fs.size(self._key(written.name)))
        except FileNotFoundError:
            return "missing"
        if size != written.num_bytes:
            return f"{size:,} bytes instead of {written.num_bytes:,}"
        digest = hashlib.sha256()
        opened = (
            (self.root / written.name).open("rb")
            if self.is_local
            else self._fs.open(self._key(written.name), "rb")
        )
        with opened as file:
            while block := file.read(4 << 20):
                digest.update(block)
        found = digest.hexdigest()
        return None if found == written.sha256 else f"SHA-256 {found} instead of {written.sha256}"


def write_manifest(
    folder: Folder,
    *,
    artefact: str,
    fingerprint: str,
    counts: dict[str, Any],
    files: list[Written],
    **facts: object,
) -> Written:
    """Commit an artefact: write its manifest, which lists every file with its size and hash."""
    return folder.write_json(
        MANIFEST,
        {
            "format_version": FORMAT_VERSION,
            "artefact": artefact,
            "fingerprint": fingerprint,
            "counts": counts,
            "files": [_plain(written) for written in sorted(files, key=lambda w: w.name)],
            **facts,
        },
    )


def read_manifest(folder: Folder, *, artefact: str) -> dict[str, Any]:
    """Return an artefact's manifest.

    Raises:
        DataError: there is none, or it is of another artefact or version.
    """
    if not folder.exists(MANIFEST):
        raise DataError(
            f"{folder.url}: there is no {MANIFEST}, so no {artefact} has been finished here.\n"
            f"  Run `{MADE_BY[artefact]}` to its end; a killed one goes on where it was."
        )
    manifest: dict[str, Any] = folder.read_json(MANIFEST)
    found = manifest.get("artefact"), manifest.get("format_version")
    if found != (artefact, FORMAT_VERSION):
        raise DataError(
            f"{folder.path(MANIFEST)}: holds {found[0]!r} version {found[1]!r}, "
            f"expected {artefact!r} version {FORMAT_VERSION}."
        )
    return manifest


def listed(manifest: dict[str, Any]) -> list[Written]:
    """Return the files a manifest lists."""
    return [
        Written(f["name"], f["num_bytes"], f["sha256"], f.get("num_rows"))
        for f in manifest["files"]
    ]


def verify(folder: Folder, *, artefact: str) -> list[str]:
    """Re-hash all files of an artefact and return what is wrong, in words; empty if nothing is."""
    files = listed(read_manifest(folder, artefact=artefact))
    wrong = []
    for written in files:
        problem = folder.check(written)
        if problem:
            wrong.append(f"{folder.path(written.name)}: {problem}")
    known = {written.name for written in files} | {MANIFEST}
    wrong += [
        f"{folder.path(name)}: not listed in the manifest"
        for name in folder.names()
        if name not in known
    ]
    return wrong


def _plain(written: Written) -> dict[str, Any]:
    return {key: value for key, value in asdict(written).items() if value is not None}
