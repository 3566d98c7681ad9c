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
from collections.abc import Callable, Iterator
from pathlib import Path

_INTERVAL_S = 0.2
_COUNTS = struct.Struct("<qq")

Reporter = Callable[[int, int], None]
_files: dict[str, int] = {}
_finished: dict[str, tuple[int, int]] = {}


def reporter(folder: str | None) -> Reporter:
    """Return a function that a worker calls with a unit's documents and bytes so far."""
    if folder is None or "://" in folder:
        return lambda _documents, _bytes: None
    if folder not in _files:
        path = Path(folder) / f"{os.getpid()}"
        try:
            _files[folder] = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError:  # progress is never worth a failed run
            return lambda _documents, _bytes: None
    descriptor = _files[folder]
    before = _COUNTS.unpack(os.pread(descriptor, 16, 0).ljust(16, b"\0"))
    last = 0.0

    def report(num_documents: int, num_bytes: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= _INTERVAL_S:
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
        self, title: str, *, total_bytes: int | None, folder: Path | None
    ) -> Iterator[Callable[[int, int], None]]:
        """Show a stage while the block runs; the block may report (done, of) units itself.

        Args:
            title: what is being done.
            total_bytes: bytes to read, where the workers report bytes.
            folder: where they report.
        """
        if self._quiet:
            yield lambda _done, _of: None
            return
        state = {"done": 0, "of": 0}

        def units(done: int, of: int) -> None:
            state["done"], state["of"] = done, of

        stop = threading.Event()
        show = self._bar if self._terminal else self._lines
        thread = threading.Thread(
            target=show, args=(title, total_bytes, folder, state, stop), daemon=True
        )
        thread.start()
        try:
            yield units
        finally:
            stop.set()
            thread.join(timeout=5)

    def _bar(
        self,
        title: str,
        total_bytes: int | None,
        folder: Path | None,
        state: dict[str, int],
        stop: threading.Event,
    ) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description:<10}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        started = time.monotonic()
        with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
            task = bars.add_task(title, total=total_bytes or 1, rate="")
            while not stop.wait(0.2):
                done, of, rate = self._now(total_bytes, folder, state, time.monotonic() - started)
                bars.update(task, completed=done, total=of, rate=rate)

    def _lines(
        self,
        title: str,
        total_bytes: int | None,
        folder: Path | None,
        state: dict[str, int],
        stop: threading.Event,
    ) -> None:
        started = time.monotonic()
        while not stop.wait(10):
            elapsed = time.monotonic() - started
            done, of, rate = self._now(total_bytes, folder, state, elapsed)
            left = f"{elapsed * (of - done) / done:.0f} s" if done else "unknown"
            share = 100 * done / of if of else 0
            sys.stderr.write(f"{title}: {share:.0f} %  {rate}  ETA {left}\n")
            sys.stderr.flush()

    @staticmethod
    def _now(
        total_bytes: int | None, folder: Path | None, state: dict[str, int], elapsed: float
    ) -> tuple[int, int, str]:
        if total_bytes and folder:
            documents, size = total(folder)
            rate = f"{documents / elapsed:,.0f} documents/s  {size / elapsed / 1e6:.1f} MB/s"
            return min(size, total_bytes), total_bytes, rate
        return state["done"], state["of"] or 1, f"{state['done']:,} of {state['of']:,}"
