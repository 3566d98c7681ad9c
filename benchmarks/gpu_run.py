"""Ten minutes of a GPU: a small multilingual encoder from token shards, by koine's own commands.

    python benchmarks/gpu_run.py pack build --to build/packed --mb 45     # shards that travel well
    python benchmarks/gpu_run.py run build/packed --budget 8min --out build/gpu-run

`pack` makes a smaller build of the same vocabulary: every language, whole up to a size that is the
same for all, chosen so that the sum fits; above it, documents drawn from the language.
`run` calls `koine pretrain run` and `export`, loads the export with plain transformers if that is
installed, and leaves log.jsonl, evaluation.jsonl, result.json, report.html, summary.json,
languages.md and output.txt in --out. Checkpoints and export stay in the build.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines import store
from tokenizer import tokens

HERE = Path(__file__).resolve().parent
KEPT = ("log.jsonl", "evaluation.jsonl", "result.json", "report.html")
LOADS = """
import sys
from transformers import AutoModelForMaskedLM, AutoTokenizer
model, found = AutoModelForMaskedLM.from_pretrained(sys.argv[1], output_loading_info=True)
wrong = {key: sorted(map(str, found[key])) for key in ("missing_keys", "mismatched_keys")}
assert not any(wrong.values()), wrong
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
print("loads as", type(model).__name__, "with", type(tokenizer).__name__)
"""


def pack(build: Path, to: Path, *, num_bytes: int) -> dict[str, Any]:
    """Write a smaller build: `vocab`, `tokens`, and what the card wants to know of the corpus.

    Args:
        build: with a vocabulary and token shards.
        to: an empty folder.
        num_bytes: of all of it.
    """
    vocab, source = store.Folder(build / "vocab"), store.Folder(build / tokens.TOKENS)
    before = store.read_manifest(vocab, artefact="vocab")
    kept = [file for file in store.listed(before) if not file.name.startswith(("report", "held"))]
    target = store.Folder(to / "vocab")
    target.create()
    files = [target.write_bytes(file.name, vocab.read_bytes(file.name)) for file in kept]
    facts = {key: value for key, value in before.items() if key not in _OF_WRITING}
    store.write_manifest(target, artefact="vocab", files=files, **facts)
    num_bytes -= sum(file.num_bytes for file in files)

    manifest = tokens.read_manifest(source, vocab_hash=before["vocab_hash"])
    corpus = store.Folder(build / "corpus")
    for name in (store.MANIFEST, "README.md"):
        if corpus.exists(name):
            store.Folder(to / "corpus").create()
            written = store.Folder(to / "corpus").write_bytes(name, corpus.read_bytes(name))
            num_bytes -= written.num_bytes
    groups: dict[str, list[store.Written]] = {}
    for file in store.listed(manifest):
        groups.setdefault(file.name.partition("/")[0], []).append(file)
    sizes = {label: sum(file.num_bytes for file in own) for label, own in groups.items()}
    most = cap(list(sizes.values()), num_bytes - 200 * len(groups))  # the manifest's own lines
    target = store.Folder(to / tokens.TOKENS)
    target.create()
    committed: list[store.Written] = []
    for label, own in sorted(groups.items()):
        if sizes[label] <= most:
            for file in own:
                written = target.write_bytes(file.name, source.read_bytes(file.name))
                committed.append(replace(written, num_rows=file.num_rows))
            continue
        tables = [
            tokens.open_shard(source, file.name, vocab_hash=before["vocab_hash"]) for file in own
        ]
        table = thinned(pa.concat_tables(tables), share=most / sizes[label])
        done: list[store.Written] = []
        with (
            target.writing(f"{label}/part-00000.arrow", committed=done) as sink,
            pa.ipc.new_stream(sink, tables[0].schema) as writer,
        ):
            writer.write_table(table.combine_chunks())
        committed.append(replace(done[0], num_rows=table.num_rows))
    facts = {key: value for key, value in manifest.items() if key not in _OF_WRITING}
    facts["counts"] = {"packed": {"bytes": num_bytes, "most_bytes_of_a_language": int(most)}}
    facts["fingerprint"] = store.fingerprint([[one.name, one.sha256] for one in committed])
    store.write_manifest(target, artefact=tokens.TOKENS, files=committed, **facts)
    whole = sum(size <= most for size in sizes.values())
    return {
        "languages": len(groups),
        "whole": whole,
        "most_bytes_of_a_language": int(most),
        "bytes_before": sum(sizes.values()),
        "bytes": sum(path.stat().st_size for path in to.rglob("*") if path.is_file()),
    }


_OF_WRITING = {"artefact", "files", "format_version"}


def cap(sizes: list[int], total: int) -> float:
    """Return the size up to which each may stay whole so that all together have a total."""
    left, ordered = float(total), sorted(sizes)
    for number, size in enumerate(ordered):
        share = left / (len(ordered) - number)
        if size > share:
            return share
        left -= size
    return float(ordered[-1])


def thinned(table: pa.Table, *, share: float) -> pa.Table:
    """Return documents drawn from a table, always the same, that have a share of its tokens."""
    lengths = table.column("tokens").combine_chunks().value_lengths().to_numpy()
    order = np.random.default_rng(0).permutation(len(lengths))
    num = np.searchsorted(np.cumsum(lengths[order]), lengths.sum() * share, side="right")
    return table.take(pa.array(np.sort(order[: max(1, num)])))


def run(build: Path, out: Path, given: argparse.Namespace) -> int:
    """Train, export, load, and put together what happened; return 1 if something failed."""
    out.mkdir(parents=True, exist_ok=True)
    name, began = given.name or given.preset, time.monotonic()
    config = build / "pretrain.yaml"
    config.write_text(f"pretrain:\n  preset: {given.preset}\n", encoding="utf-8")
    koine = [sys.executable, str(HERE.parent / "koine.py"), "pretrain"]
    folder, export = build / "runs" / name, build / "export" / name
    overrides = [text for pair in given.set for text in ("--set", pair)]
    export.parent.mkdir(exist_ok=True)
    commands = {
        "run": [
            *koine, "run", str(config), "--out", str(build), "--name", name,
            "--budget", given.budget, "--resume", *overrides,
        ],
        "export": [*koine, "export", str(folder), "--to", str(export)],
        "loads": [sys.executable, "-c", LOADS, str(export)],
        "fills": [sys.executable, str(HERE.parent / "samples" / "fill_mask.py"), str(export)],
    }  # fmt: skip
    if importlib.util.find_spec("transformers") is None:
        commands = {key: commands[key] for key in ("run", "export")}
    seconds, codes = {}, {}
    with (out / "output.txt").open("w", encoding="utf-8") as log:
        for key, command in commands.items():
            start = time.monotonic()
            print(f"== {key}", file=log, flush=True)
            codes[key] = call(command, log)
            seconds[key] = time.monotonic() - start
            print(f"{key}: exit {codes[key]} after {seconds[key]:.0f} s", flush=True)
            if codes[key] and key in ("run", "export"):
                break
    for file in KEPT:
        if (folder / file).is_file():
            shutil.copyfile(folder / file, out / file)
    summary = {**summed(folder), "commands_s": seconds, "exits": codes}
    summary["whole_s"] = time.monotonic() - began
    (out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    table = languages(folder)
    (out / "languages.md").write_text(table, encoding="utf-8")
    print(json.dumps(summary, indent=1))
    print("\n".join(table.splitlines()[:22]))
    return int(any(codes.values()))


def call(command: list[str], log: Any) -> int:
    """Run a command, its output to the terminal and to a file."""
    env = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=env
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            log.write(line)
            sys.stdout.write(line)
        sys.stdout.flush()
    return process.returncode


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the records of a file, none if there is no file."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    return [json.loads(line) for line in text.splitlines()]


def summed(folder: Path) -> dict[str, Any]:
    """Return what the log says of a run: its speed when nothing else went on, and what did."""
    log, judged = lines(folder / "log.jsonl"), lines(folder / "evaluation.jsonl")
    if not log:
        return {}
    rate = statistics.median(row["tokens_per_s"] for row in log)
    result = json.loads((folder / "result.json").read_text()) if log else {}
    total = result.get("seconds") or log[-1]["seconds"]
    shapes = {row["stage"]: row["step"] for row in reversed(log)}
    return {
        "steps": log[-1]["step"],
        "tokens": log[-1]["tokens"],
        "median_tokens_per_s": rate,
        "median_mfu": statistics.median(row["mfu"] or 0 for row in log),
        "mean_wait_share": statistics.fmean(row["wait_share"] for row in log),
        "seconds": total,
        # Compiling, judging, saving: what the run took beyond its tokens at its own speed.
        "seconds_beside_training": total - log[-1]["tokens"] / rate,
        "first_logged_step_of_stage": shapes,
        "loss": log[-1]["loss"],
        "bits_per_byte": [row["mean_bits_per_byte"] for row in judged],
        "worst": judged[-1]["worst"] if judged else None,
        "machine": result.get("machine"),
    }


def languages(folder: Path) -> str:
    """Return each language's bits per byte before and after, the worst first."""
    judged = lines(folder / "evaluation.jsonl")
    if not judged:
        return "Nothing was judged.\n"
    first, last = judged[0]["labels"], judged[-1]["labels"]
    result = folder / "result.json"
    seen = json.loads(result.read_text())["tokens_by_label"] if result.is_file() else {}
    rows = [
        "| language | tokens seen | bits per byte before | after | right, of masked pieces |",
        "|---|--:|--:|--:|--:|",
    ]
    for label, row in sorted(last.items(), key=lambda item: -item[1]["bits_per_byte"]):
        before = first.get(label, row)["bits_per_byte"]
        rows.append(
            f"| {label} | {seen.get(label, 0):,} | {before:.3f} | {row['bits_per_byte']:.3f} "
            f"| {row['mlm_accuracy']:.1%} |"
        )
    return "\n".join(rows) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Pack or run."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    packing = commands.add_parser("pack", help="make a smaller build")
    packing.add_argument("build", type=Path)
    packing.add_argument("--to", type=Path, required=True, help="an empty folder")
    packing.add_argument("--mb", type=float, default=45, help="of all of it (45)")
    running = commands.add_parser("run", help="train, export, load")
    running.add_argument("build", type=Path)
    running.add_argument("--out", type=Path, required=True, help="folder for what is kept")
    running.add_argument("--preset", default="bert-small")
    running.add_argument("--budget", default="8min")
    running.add_argument("--name", help="of the run; the preset's when left out")
    running.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    given = parser.parse_args(arguments)
    if given.command == "run":
        return run(given.build, given.out, given)
    if given.to.exists() and any(given.to.iterdir()):
        parser.error(f"{given.to}: is not empty")
    print(json.dumps(pack(given.build, given.to, num_bytes=int(given.mb * 1e6)), indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
