"""The edges of a disk: hashing what is written, syncing folders, locking them, its refusals."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from .errors import EnvironmentProblem

if TYPE_CHECKING:
    from .store import Folder


class HashedFile:
    """A binary file that hashes and counts what is written to it; Arrow writes to it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.hash = hashlib.sha256()
        self.num_bytes = 0
        self.closed = False

    def write(self, data: Any) -> int:  # noqa: ANN401
        """Write bytes, or anything with a buffer of them."""
        view = memoryview(data)
        self.hash.update(view)
        self.num_bytes += view.nbytes
        self._file.write(view)
        return view.nbytes

    def flush(self) -> None:
        """Hand what is buffered to the operating system."""
        self._file.flush()

    def close(self) -> None:
        """Arrow closes what it writes to; the file itself is the store's to close."""
        self.closed = True

    def writable(self) -> bool:
        """It is."""
        return True

    def readable(self) -> bool:
        """It is not."""
        return False

    def seekable(self) -> bool:
        """It is not: what is hashed stays as it is."""
        return False


_REFUSED = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST),
    *(errno.ENAMETOOLONG, errno.EIO, errno.ELOOP),
}


@contextlib.contextmanager
def explained(path: str) -> Iterator[None]:
    """Turn the machine's refusals into one clear error each."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise EnvironmentProblem(
                f"{path}: the disk is full.\n  Free space or choose another --out, and run the same"
                " command again: what is finished is kept."
            ) from error
        if error.errno in _REFUSED:
            raise EnvironmentProblem(
                f"{path}: cannot be written ({error.strerror}).\n"
                "  Choose a folder you can write with --out."
            ) from error
        raise


def sync(folder: Path) -> None:
    """Make a rename in the folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def locked(
    folder: Folder, *, what: str = "build", instead: str = "build into another folder with --out"
) -> Iterator[None]:
    """Hold a folder for one run. The lock dies with the process, however it dies.

    Args:
        folder: to hold.
        what: is done there, for the error.
        instead: of waiting, what one can do.

    Raises:
        EnvironmentProblem: another run holds it.
    """
    if not folder.is_local:
        yield  # an object store has no locks; attempts are atomic, so two runs only waste work
        return
    import fcntl

    path = folder.root / ".lock"
    with explained(str(path)):
        file = path.open("a+")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise EnvironmentProblem(
                f"{folder.url}: another {what} is running here ({holder}).\n"
                f"  Wait for it, or {instead}."
            ) from None
        file.truncate(0)
        now = time.strftime("%Y-%m-%d %H:%M:%S")
        file.write(f"pid {os.getpid()} since {now}\n")
        file.flush()
        yield
