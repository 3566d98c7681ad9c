"""What the benchmarks share: options, machine facts, processes watched for time and memory."""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
REPO = HERE.parent
BUILD = REPO / "build" / "benchmarks"
ALTERNATIVES = REPO / "build" / "alternatives" / "bin" / "python"
COMPARED = ("datasketch", "datatrove", "rensa", "spacy")
KOINE = Path(sys.executable).parent / "koine"
SKIPPED = 75  # exit code of a benchmark that lacks what it needs

# A single core for every library that would take more.
ONE_CORE = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "NUMBA", "OPENBLAS", "MKL", "RAYON")}


def arguments(description: str, *, documents: int, repeats: int = 3) -> argparse.ArgumentParser:
    """Return a parser with the options that all benchmarks have."""
    parser = argparse.ArgumentParser(description=description.partition("\n")[0])
    parser.add_argument(
        "--documents", type=int, default=documents, help="how many (default: %(default)s)"
    )
    parser.add_argument("--repeats", type=int, default=repeats, help="runs (default: %(default)s)")
    parser.add_argument("--data", type=Path, default=None, help="folder of the development corpora")
    parser.add_argument("--name", default=None, help="name of the results file")
    return parser


def skip(reason: str) -> None:
    """End a benchmark that cannot run here."""
    print(f"skipped: {reason}")
    raise SystemExit(SKIPPED)


def need_alternatives() -> None:
    """End the benchmark unless the other tools are installed."""
    if not ALTERNATIVES.is_file():
        skip("build/alternatives is not there (benchmarks/README.md says how to make it)")


@dataclass(frozen=True)
class Run:
    """One process with its children: how long it took, what it held, what it printed."""

    seconds: float
    peak_mb: float
    """Largest sum over the process tree, pages that are shared counted once (PSS)."""
    peak_anonymous_mb: float
    """The same without pages of files, which the system may drop at will."""
    output: str


def run(command: Sequence[str | Path], *, cores: Iterable[int] | None = None, **env: str) -> Run:
    """Run a command on given cores with single-threaded libraries, sampling memory.

    Raises:
        RuntimeError: it failed; the message is what it wrote to stderr.
    """
    wanted = set(cores) if cores is not None else {first_core()}
    start = time.perf_counter()
    with subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **ONE_CORE, **env},
        preexec_fn=lambda: os.sched_setaffinity(0, wanted),
    ) as process:
        peaks = [0.0, 0.0]
        done = threading.Event()
        watch = threading.Thread(target=_watch, args=(process.pid, peaks, done))
        watch.start()
        output, errors = process.communicate()
        seconds = time.perf_counter() - start
        done.set()
        watch.join()
    if process.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}\n{errors[-2000:]}")
    return Run(seconds, peaks[0] / 1e3, peaks[1] / 1e3, output)


def _watch(root: int, peaks: list[float], done: threading.Event) -> None:
    while not done.wait(0.1):
        sums = [0.0, 0.0]
        for pid in tree(root):
            try:
                lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
            except OSError:  # it has just ended
                continue
            for line in lines:
                if line.startswith("Pss:"):
                    sums[0] += float(line.split()[1])
                elif line.startswith("Pss_Anon:"):
                    sums[1] += float(line.split()[1])
        peaks[:] = [max(old, new) for old, new in zip(peaks, sums, strict=True)]


def tree(root: int) -> Iterator[int]:
    """Yield a process and all below it."""
    yield root
    for path in Path(f"/proc/{root}/task").glob("*/children"):
        try:
            children = path.read_text().split()
        except OSError:
            continue
        for child in children:
            yield from tree(int(child))


def first_core() -> int:
    """Return the core that single-core measurements run on."""
    return min(os.sched_getaffinity(0))


def all_cores() -> list[int]:
    """Return the cores this process may use."""
    return sorted(os.sched_getaffinity(0))


def pin() -> None:
    """Keep this process to one core."""
    os.environ.update(ONE_CORE)
    os.sched_setaffinity(0, {first_core()})


def summary(values: Sequence[float]) -> dict[str, Any]:
    """Return median, least and most of repeated measurements."""
    return {
        "median": statistics.median(values),
        "least": min(values),
        "most": max(values),
        "runs": [round(value, 5) for value in values],
    }


def interval(differences: Sequence[float]) -> tuple[float, float, float]:
    """Return the mean of paired differences and its 95 % confidence interval (Student's t)."""
    student = {2: 12.71, 3: 4.30, 4: 3.18, 5: 2.78, 6: 2.57, 7: 2.45, 8: 2.36, 9: 2.31, 10: 2.26}
    count = len(differences)
    mean = statistics.fmean(differences)
    if count < 2:
        return mean, math.nan, math.nan
    half = student.get(count, 2.2) * statistics.stdev(differences) / math.sqrt(count)
    return mean, mean - half, mean + half


def machine() -> dict[str, Any]:
    """Return what the numbers depend on besides the code."""
    info = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    models = [line.partition(":")[2].strip() for line in info.splitlines() if "model name" in line]
    packages = ("apache-beam", "fasttext-predict", "numba", "numpy", "pyarrow")
    compared = {}
    if ALTERNATIVES.is_file():
        code = (
            "import json; from importlib.metadata import version\n"
            f"print(json.dumps({{name: version(name) for name in {COMPARED}}}))"
        )
        compared = json.loads(subprocess.check_output([ALTERNATIVES, "-c", code], text=True))
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": len(all_cores()),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1e9),
        "load_before": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in packages},
        "alternatives": compared,
        "date": date.today().isoformat(),
    }


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under a header, numbers to the right."""
    cells = [[str(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(header))]
    for index, row in enumerate(cells):
        first, rest = row[0].ljust(widths[0]), zip(row[1:], widths[1:], strict=True)
        print("  ".join([first, *(cell.rjust(width) for cell, width in rest)]).rstrip())
        if index == 0:
            print("  ".join("-" * width for width in widths))
    print()


def write(name: str, facts: dict[str, Any], result: dict[str, Any]) -> None:
    """Write the numbers of a benchmark to results/<name>.json."""
    path = HERE / "results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    rounded = json.loads(
        json.dumps({"machine": facts, **result}), parse_float=lambda x: round(float(x), 5)
    )
    path.write_text(json.dumps(rounded, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"numbers: {path.relative_to(REPO)}")
