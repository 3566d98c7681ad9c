"""What Beam and the worker processes cost: the same build with and without them, in pairs.

    direct       the phase functions in a loop, in this process: no Beam at all
    in-process   the same through koine's graph on Beam's in-memory runner
    local        the same in one spawned worker, as `koine corpus build --workers 1` runs it

Each round runs all three, in another order each time, and gives two differences; the mean of the
differences comes with its 95 % confidence interval. The rounds run in a warm process; `local`
starts its worker, which imports everything anew, in each of them. `cold` is a whole fresh process,
imports included, as on the command line, once.
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import common
import inputs

if TYPE_CHECKING:
    from pipelines import engines

ENGINES = ("direct", "in-process", "local")


class Direct:
    """An engine without Beam: a loop."""

    def run(
        self, phase: str, units: Sequence[Mapping[str, Any]], context: Mapping[str, Any]
    ) -> None:
        """Run one phase over the units."""
        from pipelines.work import phase_function

        function = phase_function(phase)
        for unit in units:
            function(unit, context)

    def close(self) -> None:
        """Nothing is held."""


def engine_named(name: str) -> engines.Engine:
    """Return an engine."""
    from pipelines import engines

    if name == "direct":
        return Direct()
    return engines.InProcess() if name == "in-process" else engines.Local(1)


def build_once(name: str, config_text: str, out: str) -> dict[str, float]:
    """Build into a fresh folder; return seconds by stage and in total."""
    from pipelines import build
    from pipelines.config import Config

    shutil.rmtree(out, ignore_errors=True)
    config = Config.model_validate_json(config_text)
    start = time.perf_counter()
    engine = engine_named(name)
    try:
        built = build.build(config, out=out, base=common.REPO, engine=engine)
    finally:
        engine.close()
    return {**built.seconds, "total": time.perf_counter() - start}


def main() -> None:
    """Measure, print, and write the results."""
    if sys.argv[1:2] == ["once"]:
        build_once(*sys.argv[2:])
        return
    parser = common.arguments(__doc__, documents=20_000, repeats=5)
    given = parser.parse_args()
    facts = common.machine()
    found = inputs.documents(given.documents, given.data)
    common.pin()
    text, small = (_config(inputs.documents(n, given.data)) for n in (given.documents, 100))
    out = str(common.BUILD / "beam_share")
    for engine in ENGINES:
        build_once(engine, small, out)

    runs: dict[str, list[dict[str, float]]] = {engine: [] for engine in ENGINES}
    order = list(ENGINES)
    for _ in range(given.repeats):
        for engine in order:
            runs[engine].append(build_once(engine, text, out))
        order = [*order[1:], order[0]]
    cold = {
        engine: common.run([sys.executable, __file__, "once", engine, text, out]).seconds
        for engine in ENGINES
    }

    print(f"{found.num_documents:,} documents, {found.num_bytes / 1e6:.1f} MB, one core, ", end="")
    print(f"{given.repeats} rounds")
    rows, result = [], {}
    direct = [run["total"] for run in runs["direct"]]
    for engine, own in runs.items():
        totals = [run["total"] for run in own]
        mean, low, high = common.interval([b - a for a, b in zip(direct, totals, strict=True)])
        base = statistics.fmean(direct)
        result[engine] = {
            "seconds": common.summary(totals),
            "stages": {stage: statistics.median(run[stage] for run in own) for stage in own[0]},
            "more_seconds": mean,
            "more_share": mean / base,
            "more_share_interval": [low / base, high / base],
            "cold_seconds": cold[engine],
        }
        share = f"{mean / base:+.1%} [{low / base:+.1%}, {high / base:+.1%}]"
        seconds = f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]"
        rows.append(
            [
                engine,
                f"{statistics.median(totals):.2f}",
                *((seconds, share) if engine != "direct" else ("", "")),
                f"{cold[engine]:.2f}",
            ]
        )
    common.table(["", "seconds", "more seconds", "share [95 % interval]", "cold seconds"], rows)
    stages = result["direct"]["stages"]
    common.table(
        ["stage, median seconds", *ENGINES],
        [[s, *(f"{result[engine]['stages'][s]:.3f}" for engine in ENGINES)] for s in stages],
    )
    common.write(
        given.name or "beam_share",
        facts,
        {"documents": found.num_documents, "bytes": found.num_bytes, "engines": result},
    )


def _config(found: inputs.Documents) -> str:
    corpus = {"name": "documents", "files": f"{found.folder}/*.jsonl", "license": "unknown"}
    return json.dumps({"corpora": [corpus]})


if __name__ == "__main__":
    main()
