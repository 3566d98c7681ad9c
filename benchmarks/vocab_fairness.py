"""What each language pays: four ways to share out one vocabulary, at the same size.

The corpus is built once from the development corpora. Then the same trainer makes a vocabulary from
text sampled in proportion to size, with temperature 0.3 (XLM-R), by content, and by content with
`fit: parity`; and the parity-aware byte BPE of `tokenizers` beside them, if asked for. All are
judged twice: by the held-out lines of the corpus, and by FLORES sentences that say the same in
every language and that no vocabulary was fitted to.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import common
import inputs

from pipelines import store
from tokenizer import evaluate, loading, parallel, texts
from tokenizer.publish import HELD_OUT

WAYS: dict[str, dict[str, Any]] = {
    "size": {"sampling.by": "temperature", "sampling.temperature": 1, "fit": "none"},
    "temperature 0.3": {"sampling.by": "temperature", "sampling.temperature": 0.3, "fit": "none"},
    "content": {"fit": "none"},
    "parity": {"fit": "parity"},
}
PARITY_BPE = {"parity-bpe": {"algorithm": "parity-bpe", "fit": "none"}}
LEAST_BYTES = 3000  # of text in the corpus, for a language of FLORES to be judged


def corpus(data: Path) -> Path:
    """Build the corpus of the development data, unless it is there; return its build folder."""
    out = common.BUILD / "vocab"
    config = common.BUILD / "vocab.yaml"
    common.BUILD.mkdir(parents=True, exist_ok=True)
    sources = [
        ("jsonl", "jsonl/*.jsonl.zst", "fields: {label: lang}"),
        ("jsonl-gz", "jsonl_gz/*.jsonl.gz", "fields: {label: lang}"),
        ("parquet", "parquet/*.parquet", "fields: {label: lang}"),
        ("arrow", "arrow/*.arrow", "fields: {label: lang}"),
        ("kangyur", "plain/bod_Tibt/*", "format: text, label: bod_Tibt"),
        ("plain", "plain/[!b]*/*", "format: text"),
        ("wet", "wet/*.warc.wet.gz", "format: wet"),
        ("wiki", "wiki/*.xml.bz2", "format: mediawiki"),
    ]
    lines = [
        f"  - {{name: {name}, files: '{data}/{files}', {more}, license: various}}\n"
        for name, files, more in sources
    ]
    config.write_text("corpora:\n" + "".join(lines), encoding="utf-8")
    subprocess.run([common.KOINE, "corpus", "build", config, "--out", out, "--quiet"], check=True)
    return out


def trained(out: Path, way: dict[str, Any], *, size: int) -> dict[str, Any]:
    """Train one vocabulary; return what the command printed."""
    sets = [f"--set=vocab.{key}={value}" for key, value in {**way, "size": size}.items()]
    command = [common.KOINE, "vocab", "train", common.BUILD / "vocab.yaml", "--out", out, "--json"]
    run = subprocess.run([*command, *sets], check=True, capture_output=True, text=True)
    found: dict[str, Any] = json.loads(run.stdout)
    return found


def judged(folder: Path, text: texts.Texts) -> dict[str, Any]:
    """Return the figures of the table."""
    facts = evaluate.evaluate(loading.load(folder), text)
    summary = facts["summary"]
    return {
        "languages": summary["num_labels"],
        "mean_tokens": summary["mean_tokens"],
        "worst": summary["worst"]["premium"],
        "worst_label": summary["worst"]["label"],
        "p90": summary["p90"],
        "gini": summary["gini"],
        "gini_low": summary["gini_low"],
        "gini_high": summary["gini_high"],
        "unknown_worst": summary["unknown_worst"]["rate"],
        "byte_worst": summary["byte_worst"]["rate"],
    }


def flores(data: Path, out: Path) -> texts.Texts:
    """Return the FLORES sentences of the languages that the corpus has."""
    import zstandard

    target = common.BUILD / "flores.jsonl"
    with zstandard.open(data.parent / "lid" / "dev.jsonl.zst", "rt", encoding="utf-8") as lines:
        rows = [line for line in lines if '"flores200.' in line]
    target.write_text("".join(rows), encoding="utf-8")
    manifest = store.read_manifest(store.Folder(out) / "corpus", artefact="corpus")
    known = {
        label for label, row in manifest["counts"]["labels"].items() if row["bytes"] >= LEAST_BYTES
    }
    found = parallel.read_parallel(target)
    own = {label: text for label, text in found.labels.items() if label in known}
    return texts.Texts(found.kind, own, found.num_lines)


def held_out(out: Path) -> texts.Texts:
    """Return the lines that were held out of all these trainings alike."""
    import pyarrow as pa

    with pa.memory_map(str(out / "vocab" / HELD_OUT)) as file:
        return texts.held_out_of(pa.ipc.open_stream(file).read_all())


def main() -> None:
    """Train, judge, print and keep the table."""
    parser = common.arguments(__doc__ or "", documents=0, repeats=1)
    parser.add_argument("--sizes", type=int, nargs="+", default=[32768, 65536])
    parser.add_argument("--parity-bpe", action="store_true", help="takes long")
    options = parser.parse_args()
    machine = common.machine()
    data = inputs.data_folder(options.data)
    out = corpus(data)
    parallel_text = flores(data, out)
    rows: list[dict[str, Any]] = []
    for size in options.sizes:
        for name, way in {**WAYS, **(PARITY_BPE if options.parity_bpe else {})}.items():
            found = trained(out, way, size=size)
            row = {
                "size": size,
                "way": name,
                "seconds": found["seconds"],
                "rounds": len(found["curve"]),
                "held_out": judged(out / "vocab", held_out(out)),
                "flores": judged(out / "vocab", parallel_text),
            }
            rows.append(row)
            print(json.dumps(row), file=sys.stderr, flush=True)
    for text in ("held_out", "flores"):
        print(f"\n{text}, {rows[0][text]['languages']} languages\n")
        common.table(
            ["pieces", "shares", "mean tokens", "worst", "", "p90", "Gini", "unknown", "bytes"],
            [
                [
                    f"{row['size']:,}",
                    row["way"],
                    f"{row[text]['mean_tokens']:.1f}",
                    f"{row[text]['worst']:.2f}",
                    row[text]["worst_label"],
                    f"{row[text]['p90']:.2f}",
                    f"{row[text]['gini']:.3f}",
                    f"{100 * row[text]['unknown_worst']:.1f} %",
                    f"{100 * row[text]['byte_worst']:.1f} %",
                ]
                for row in rows
            ],
        )
    common.write(options.name or "vocab_fairness", machine, {"rows": rows})


if __name__ == "__main__":
    main()
