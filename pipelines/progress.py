"""Live progress without Beam's help: workers leave their counts in files, the parent adds them up.

The in-memory runner reports no counters until a pipeline has ended. Each worker process owns one
small file in the run's progress folder and rewrites sixteen bytes in it a few times a second.
"""

from __future__ import annotations

import contextlib
import os
import struct
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

_INTERVAL_S = 0.2
_COUNTS = struct.Struct("<qq")


class Reporter(Protocol):
    """Takes a unit's documents and work so far; `finished` is never left out."""

    def __call__(self, num_documents: int, num_bytes: int, *, finished: bool = False) -> None:
        """Leave the counts where the parent finds them."""


_files: dict[str, int] = {}


def _ignore(num_documents: int, num_bytes: int, *, finished: bool = False) -> None:
    """Report to nobody."""
    del num_documents, num_bytes, finished


def reporter(folder: str | None) -> Reporter:
    """Return a function that a worker calls with a unit's documents and work so far.

    The work is in the unit that the stage's total is in: bytes, or documents.
    """
    if folder is None or "://" in folder:
        return _ignore
    if folder in _files and os.fstat(_files[folder]).st_nlink == 0:
        os.close(_files.pop(folder))  # a later run in this process has made the folder anew
    if folder not in _files:
        path = Path(folder) / f"{os.getpid()}"
        try:
            _files[folder] = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError:  # progress is never worth a failed run
            return _ignore
    descriptor = _files[folder]
    before = _COUNTS.unpack(os.pread(descriptor, 16, 0).ljust(16, b"\0"))
    last = 0.0

    def report(num_documents: int, num_bytes: int, *, finished: bool = False) -> None:
        nonlocal last
        now = time.monotonic()
        if finished or now - last >= _INTERVAL_S:
            last = now
            with contextlib.suppress(OSError):
                counts = _COUNTS.pack(before[0] + num_documents, before[1] + num_bytes)
                os.pwrite(descriptor, counts, 0)

    return report


def total(folder: Path) -> tuple[int, int]:
    """Return the documents and bytes of all workers so far."""
    num_documents = num_bytes = 0
    with contextlib.suppress(OSError):
        for path in folder.iterdir():
            data = path.read_bytes()
            if len(data) == _COUNTS.size:
                documents, size = _COUNTS.unpack(data)
                num_documents += documents
                num_bytes += size
    return num_documents, num_bytes


class Display:
    """Shows each stage as it runs: a bar on a terminal, a line every ten seconds elsewhere."""

    def __init__(self, *, quiet: bool = False) -> None:
        """Decide how to show; `quiet` shows nothing at all."""
        self._quiet = quiet
        self._terminal = sys.stderr.isatty()

    def note(self, text: str) -> None:
        """Say something that explains a wait."""
        if not self._quiet:
            sys.stderr.write(text + "\n")

    @contextlib.contextmanager
    def stage(
        self, title: str, *, total: int, folder: Path | None, in_bytes: bool = True
    ) -> Iterator[None]:
        """Show a stage while the block runs.

        Args:
            title: what is being done.
            total: the work there is, in the unit that the workers report.
            folder: where they report; nothing can be shown without.
            in_bytes: that unit is bytes; else it is documents.
        """
        if self._quiet or folder is None:
            yield
            return
        stop = threading.Event()
        show = self._bar if self._terminal else self._lines
        watch = _Watch(folder, max(total, 1), in_bytes)
        thread = threading.Thread(target=show, args=(title, watch, stop), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(timeout=5)

    @staticmethod
    def _bar(title: str, watch: _Watch, stop: threading.Event) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description:<8}"),
            BarColumn(bar_width=16),  # all of it fits 80 columns
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
            task = bars.add_task(title, total=watch.total, rate="")
            while not stop.wait(0.2):
                done, rate = watch.now()
                bars.update(task, completed=done, rate=rate)

    @staticmethod
    def _lines(title: str, watch: _Watch, stop: threading.Event) -> None:
        while not stop.wait(10):
            done, rate = watch.now()
            left = f"{watch.elapsed() * (watch.total - done) / done:.0f} s" if done else "unknown"
            sys.stderr.write(f"{title}: {100 * done / watch.total:.0f} %  {rate}  ETA {left}\n")
            sys.stderr.flush()


class _Watch:
    """Adds up what the workers report, and knows since when."""

    def __init__(self, folder: Path, total: int, in_bytes: bool) -> None:  # noqa: FBT001
        self._folder, self.total, self._in_bytes = folder, total, in_bytes
        self._started = time.monotonic()

    def elapsed(self) -> float:
        return time.monotonic() - self._started

    def now(self) -> tuple[int, str]:
        """Return the work done so far, and the rate in words."""
        num_documents, done = total(self._folder)
        elapsed = max(self.elapsed(), 1e-9)
        rates = [f"{num_documents / elapsed:,.0f} documents/s"] if num_documents else []
        if self._in_bytes:
            rates.append(f"{done / elapsed / 1e6:.1f} MB/s")
        return min(done, self.total), "  ".join(rates)
