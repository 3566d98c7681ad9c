"""Tell what a build would read, without reading or writing it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from . import store, units

if TYPE_CHECKING:
    from pathlib import Path

    from .config import Config


def plan(config: Config, *, base: Path, out: str) -> dict[str, Any]:
    """Return, by corpus and in total, the files, bytes, formats and units of a build.

    Raises:
        DataError: a pattern matches nothing.
    """
    measured = store.Folder(out) / "work" / units.MEASURED
    rows: dict[str, dict[str, Any]] = {}
    for corpus in config.corpora:
        rows[corpus.name] = {
            "corpus": corpus.name,
            "formats": set(),
            "files": set(),
            "splits": 0,
            "bytes": 0,
            "units": 0,
            "measured": 0,
        }
    for unit in units.plan(config, base=base):
        row = rows[unit.corpus]
        row["formats"] |= {_format(split.format, split.compression) for split in unit.splits}
        row["files"] |= {split.name for split in unit.splits}
        row["splits"] += len(unit.splits)
        row["bytes"] += unit.num_bytes
        row["units"] += 1
        row["measured"] += units.journal_entry(measured, unit) is not None
    for row in rows.values():
        row["formats"], row["files"] = sorted(row["formats"]), len(row["files"])
    total: dict[str, Any] = {"corpus": "total", "formats": []}
    for key in ("files", "splits", "bytes", "units", "measured"):
        total[key] = sum(row[key] for row in rows.values())
    return {"corpora": list(rows.values()), "total": total}


def default_workers() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _format(name: str, compression: str | None) -> str:
    return f"{name}.{compression}" if compression else name
