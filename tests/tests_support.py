"""Helpers of several test modules; conftest.py puts this folder on the path."""

import contextlib
import hashlib
import io
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Answer:
    """What a command answered."""

    code: int
    out: str
    errors: str


def call(*arguments: object) -> Answer:
    """Run the command line in this process, which is quicker; an unexpected exception is raised."""
    import koine as front

    out, errors = io.StringIO(), io.StringIO()
    before = sys.argv, signal.getsignal(signal.SIGTERM)
    sys.argv = ["koine", *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            front.main()
    except SystemExit as end:
        return Answer(int(end.code or 0), out.getvalue(), errors.getvalue())
    finally:
        sys.argv = before[0]
        signal.signal(signal.SIGTERM, before[1])
