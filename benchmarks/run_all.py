"""Run every benchmark that can run here, one after the other: `make bench`.

What lacks the development corpora or the alternatives' environment says so and is skipped. Nothing
else should run on the machine meanwhile; each result file notes the load it started under.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

import common

BENCHMARKS = {
    "minhash": [],
    "steps": [],
    "beam_share": [],
    "memory": [],
    "count_words": [],
    "encode": [],
    "datatrove_build": [],
}
QUICK = {
    "minhash": ["--documents", "500", "--repeats", "1"],
    "steps": ["--documents", "500", "--repeats", "1"],
    "beam_share": ["--documents", "500", "--repeats", "2"],
    "memory": ["--documents", "200"],
    "count_words": ["--documents", "500", "--repeats", "1"],
    "encode": ["--documents", "300", "--repeats", "1"],
    "datatrove_build": ["--documents", "200"],
}


def main() -> int:
    """Run them; return 1 if one failed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="few documents: shows that all works, means nothing"
    )
    quick = parser.parse_args().quick
    outcomes = []
    for name, options in (QUICK if quick else BENCHMARKS).items():
        print(f"== {name}\n", flush=True)
        start = time.perf_counter()
        more = ["--name", "quick"] if quick else []
        command = [sys.executable, str(common.HERE / f"{name}.py"), *options, *more]
        code = subprocess.run(command, check=False).returncode
        seconds = time.perf_counter() - start
        outcome = {0: "done", common.SKIPPED: "skipped"}.get(code, f"failed ({code})")
        outcomes.append([name, outcome, f"{seconds:.0f}"])
        print(flush=True)
    if quick:
        (common.HERE / "results" / "quick.json").unlink(missing_ok=True)
    common.table(["benchmark", "", "seconds"], outcomes)
    return int(any(outcome.startswith("failed") for _, outcome, _ in outcomes))


if __name__ == "__main__":
    raise SystemExit(main())
