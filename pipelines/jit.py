"""Compile the kernels once, and never run a stale one.

numba's disk cache looks at the date of the file that holds a function, not of the files whose
constants and helpers it inlines: after an update of `bits.py` it would go on running kernels of
the old layout. koine's compiled code lies therefore in a folder named after the digest of all its
kernel sources: the modules that import this one or say "Part of the kernels", and the tables, some
of whose numbers the kernels freeze. A package downstream has a folder of its own, whose name covers
the kernels of this package too.

The folder is `__pycache__` beside the sources, or the user's cache folder where the tree is
read-only; NUMBA_CACHE_DIR goes before both. Where none can be written, nothing is cached.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
from numba.misc.appdirs import AppDirs

PACKAGE = Path(__file__).parent
MARKERS = (b"from .jit import", b"from pipelines.jit import", b"Part of the kernels")

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile a function on first use: no Python objects, the GIL released, cached on disk.

    Without numba's reference counts: arrays are borrowed from the caller. Passing one to a small
    helper costs two atomic operations otherwise, which made decoding 18 times slower (83 against
    1488 MB/s). So a kernel can't allocate: its memory is passed in.
    """
    folder = cache_folder(Path(function.__code__.co_filename).parent)
    config: Any = numba.config
    before = config.CACHE_DIR
    config.CACHE_DIR = str(folder or "")  # read when the function is decorated
    try:
        options: dict[str, Any] = {"cache": folder is not None, "nogil": True, "_nrt": False}
        compiled = numba.njit(**options)(function)
    finally:
        config.CACHE_DIR = before
    return cast("Function", compiled)


@cache
def cache_folder(package: Path = PACKAGE) -> Path | None:
    """Return the folder of a package's compiled kernels, or None if there can be none."""
    if not (package / "__init__.py").exists():  # a function of a test
        package = PACKAGE
    name = f"kernels-{sources_digest()}"
    if package != PACKAGE:
        name += f"-{sources_digest(package)}"
    given = os.environ.get("NUMBA_CACHE_DIR")
    dirs: Any = AppDirs
    user = Path(dirs(appname="koine", appauthor=False).user_cache_dir)
    for parent in [Path(given)] if given else [package / "__pycache__", user]:
        folder = parent / name
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            return folder
    return None


def is_compiled(package: Path = PACKAGE) -> bool:
    """Tell whether this version's kernels of a package were compiled before."""
    folder = cache_folder(package)
    return folder is not None and any(folder.rglob("*.nbc"))


def sources_digest(package: Path = PACKAGE) -> str:
    """Return 16 hexadecimal digits that change with any kernel source in the folder `package`."""
    digest = hashlib.sha256()
    for path in sorted([*package.glob("*.py"), *package.glob("*.npz")]):
        source = path.read_bytes()
        if path.suffix == ".npz" or any(marker in source for marker in MARKERS):
            digest.update(path.name.encode() + b"\0" + source + b"\0")
    return digest.hexdigest()[:16]
