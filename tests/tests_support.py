"""Helpers of several test modules; conftest.py puts this folder on the path."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def hashes(out: Path) -> dict[str, str]:
    """The published bytes of a build: everything but run.json and the work folder."""
    found = {}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        if path.is_file() and not name.startswith("work/") and name not in ("run.json", ".lock"):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def koine(*arguments: object, environment: dict[str, str] | None = None, **options: object):
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, str(ROOT / "koine.py"), *map(str, arguments)],
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        **options,
    )
