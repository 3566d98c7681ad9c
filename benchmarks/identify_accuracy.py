"""Measure how often `identify` is right: `python -m benchmarks.identify_accuracy lid.jsonl.zst`.

Reads JSON Lines (`text`, `lang`, and optionally `domain`), plain or zstd-compressed. Prints by
domain and language: how many texts, the share with exactly the right label, the share where the
language is right or one that identifiers can't tell from it. Languages that the model does not
know are summed up in one line: what it calls them is noise. With --model and --sha256 any fastText
model can be measured.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import zstandard

from pipelines import languages
from pipelines.identify import DEFAULT, identify, load_model
from pipelines.measure import measure

BATCH = 1_000


def read(path: Path) -> Iterator[dict[str, str]]:
    """Yield the records of a JSON Lines file."""
    with path.open("rb") as file:
        stream = zstandard.ZstdDecompressor().stream_reader(file) if path.suffix == ".zst" else file
        for line in io.TextIOWrapper(stream, encoding="utf-8"):
            yield json.loads(line)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--model", default=DEFAULT)
    parser.add_argument("--sha256")
    arguments = parser.parse_args()
    model = load_model(arguments.model, sha256=arguments.sha256)
    records = list(read(arguments.path))
    counts: dict[tuple[str, str, str], list[int]] = defaultdict(lambda: [0, 0, 0])
    num_bytes, seconds = 0, 0.0
    for start in range(0, len(records), BATCH):
        batch = records[start : start + BATCH]
        text = pa.array([record["text"] for record in batch], pa.large_string())
        letters = measure(text).letters_by_script
        begin = time.perf_counter()
        found, _, _ = identify(
            text, pa.nulls(len(batch), pa.string()), letters, model=model, policy="ignore"
        )
        seconds += time.perf_counter() - begin
        num_bytes += text.nbytes
        for record, label in zip(batch, found.to_pylist(), strict=True):
            right = languages.parse_label(record["lang"]) or "und"
            known = right == languages.NO_LANGUAGE or model.knows(right)
            row = counts[record.get("domain", ""), "known" if known else "unknown", right]
            row[0] += 1
            row[1] += label == right
            row[2] += languages.same_language(label, right)
    out = sys.stdout
    for domain in sorted({domain for domain, _, _ in counts}):
        known_rows = {
            label: row
            for (d, known, label), row in counts.items()
            if (d, known) == (domain, "known")
        }
        for label, (total, exact, same) in sorted(
            known_rows.items(), key=lambda r: r[1][2] / r[1][0]
        ):
            out.write(
                f"{domain:10} {label:10} {total:5} {exact / total:7.1%} {same / total:7.1%}\n"
            )
        if known_rows:
            mean = [sum(r[k] / r[0] for r in known_rows.values()) / len(known_rows) for k in (1, 2)]
            out.write(f"{domain:10} mean of {len(known_rows)} known: {mean[0]:.1%} {mean[1]:.1%}\n")
        unknown = [r for (d, known, _), r in counts.items() if (d, known) == (domain, "unknown")]
        out.write(f"{domain:10} unknown to the model: {len(unknown)} languages\n")
    out.write(
        f"{num_bytes / seconds / 1e6:.1f} MB/s, {seconds / len(records) * 1e3:.3f} ms a text\n"
    )


if __name__ == "__main__":
    main()
