"""MinHash signatures: koine against rensa and datasketch, one core, the same documents.

All tools make 112 minima (14 bands of 8) over shingles of 5 words. koine takes the text; the others
take a document's shingles as Python strings, which their users make with `text.lower().split()` and
a join: the cheapest shingling there is, it neither drops punctuation nor knows a script without
spaces. Their time is given with that (what a user waits for) and without.

The error of each estimate of the Jaccard index is measured on the same pairs of texts, whose true
index is known because they consist of plain lower-case words.
"""

from __future__ import annotations

import json
import math
import random
import re
import time
import unicodedata
from pathlib import Path
from typing import Any

import common
import inputs
import numpy as np
import pyarrow as pa

from pipelines import signatures

BASE = "koine, band hashes"
WIDTH = signatures.SHINGLE_WORDS
NUM_PERMUTATIONS = signatures.NUM_BANDS * signatures.NUM_ROWS
NUM_PAIRS = 500
PAIR_WORDS = 400


def pairs(texts: list[str]) -> list[tuple[str, str, float]]:
    """Return pairs of texts with their Jaccard index, spread evenly from 0 to 1."""
    words = [word for text in texts for word in re.findall(r"\b[a-z]+\b", text)][:2_000_000]
    generator = random.Random(1)
    made = []
    for index in range(NUM_PAIRS):
        start = generator.randrange(len(words) - 2 * PAIR_WORDS)
        own = words[start : start + PAIR_WORDS]
        # n words of which the last k differ have about (n - k) / (n + k) of their shingles alike.
        wanted = index / (NUM_PAIRS - 1)
        changed = round(PAIR_WORDS * (1 - wanted) / (1 + wanted))
        other = generator.randrange(len(words) - PAIR_WORDS)
        twin = own[: PAIR_WORDS - changed] + words[other : other + changed]
        first, second = (
            {tuple(side[i : i + WIDTH]) for i in range(len(side) - WIDTH + 1)}
            for side in (own, twin)
        )
        made.append((" ".join(own), " ".join(twin), len(first & second) / len(first | second)))
    return made


def koine(texts: pa.LargeStringArray) -> dict[str, float]:
    """Return the seconds of koine's two functions."""
    signatures.signatures(texts.slice(0, 2))  # compiled, or loaded from the cache
    seconds = {}
    for name, function in (
        (BASE, signatures.signatures),
        ("koine, minima alone", signatures.minhash),
    ):
        start = time.perf_counter()
        function(texts)
        seconds[name] = time.perf_counter() - start
    return seconds


def accuracy(made: list[tuple[str, str, float]], folder: Path) -> dict[str, float]:
    """Return each tool's root mean square error, and that of ideal permutations."""
    path = folder / "pairs.json"
    path.write_text(json.dumps(made))
    exact = np.array([pair[2] for pair in made])
    minima = [
        signatures.minhash(pa.array([pair[side] for pair in made], pa.large_string()))
        for side in (0, 1)
    ]
    estimates = {"koine": (minima[0] == minima[1]).mean(axis=1).tolist()}
    found = common.run([common.ALTERNATIVES, common.HERE / "other_minhash.py", "pairs", path])
    estimates |= json.loads(found.output)
    errors = {name: float(np.sqrt(np.mean((v - exact) ** 2))) for name, v in estimates.items()}
    return errors | {"ideal": math.sqrt(float(np.mean(exact * (1 - exact))) / NUM_PERMUTATIONS)}


def main() -> None:
    """Measure, print, and write the results."""
    parser = common.arguments(__doc__, documents=4_000)
    given = parser.parse_args()
    common.need_alternatives()
    facts = common.machine()
    spaced = inputs.documents(given.documents, given.data, spaced=True)
    everything = inputs.documents(given.documents, given.data)
    common.pin()
    texts = [unicodedata.normalize("NFC", text) for text in inputs.read_texts(spaced)]
    path = common.BUILD / "minhash-texts.json"
    path.write_text(json.dumps(texts))
    num_bytes = sum(len(text.encode()) for text in texts)
    arrays = {
        "spaced": pa.array(texts, pa.large_string()),
        "all": pa.array(
            [unicodedata.normalize("NFC", text) for text in inputs.read_texts(everything)],
            pa.large_string(),
        ),
    }
    seconds: dict[str, list[float]] = {}
    of_all: list[float] = []

    def own() -> None:
        for name, value in koine(arrays["spaced"]).items():
            seconds.setdefault(name, []).append(value)
        of_all.append(koine(arrays["all"])[BASE])

    def others() -> None:
        command = [common.ALTERNATIVES, common.HERE / "other_minhash.py", "time", path]
        for name, value in json.loads(common.run(command).output).items():
            seconds.setdefault(name, []).append(value)

    for repeat in range(given.repeats):
        for step in (own, others) if repeat % 2 == 0 else (others, own):
            step()

    shingling = seconds.pop("shingling")
    rows, result = [], {}
    base = common.summary(seconds[BASE])["median"]
    for name, values in seconds.items():
        tool = name.partition(",")[0]
        alone = common.summary(values)
        total = (
            alone
            if tool == "koine"
            else common.summary([a + b for a, b in zip(values, shingling, strict=True)])
        )
        result[name] = {
            "seconds": total,
            "mb_per_s": num_bytes / total["median"] / 1e6,
            "documents_per_s": len(texts) / total["median"],
            "mb_per_s_without_shingling": num_bytes / alone["median"] / 1e6,
            "koine_is_faster_by": total["median"] / base,
            "koine_is_faster_by_without_shingling": alone["median"] / base,
        }
        rows.append(_row(name, result[name]))
    median = common.summary(of_all)["median"]
    all_bytes = arrays["all"].buffers()[2].size
    errors = accuracy(pairs(texts), common.BUILD)

    print(f"{len(texts):,} documents of languages with spaces, {num_bytes / 1e6:.1f} MB, one core")
    common.table(
        ["", "MB/s", "documents/s", "spread", "koine is faster by", "MB/s, no shingling", "by"],
        rows,
    )
    print(
        f"koine, all languages ({everything.num_documents:,}): {all_bytes / median / 1e6:.0f} MB/s"
    )
    print(f"\nRMSE of the Jaccard index, {NUM_PAIRS} pairs:")
    common.table(["", "RMSE"], [[name, f"{value:.4f}"] for name, value in errors.items()])
    common.write(
        given.name or "minhash",
        facts,
        {
            "documents": len(texts),
            "bytes": num_bytes,
            "tools": result,
            "shingling_seconds": common.summary(shingling),
            "koine_all_languages_mb_per_s": all_bytes / median / 1e6,
            "jaccard_rmse": errors,
        },
    )


def _row(name: str, found: dict[str, Any]) -> list[str]:
    seconds = found["seconds"]
    spread = (seconds["most"] - seconds["least"]) / seconds["median"]
    return [
        name,
        f"{found['mb_per_s']:.1f}",
        f"{found['documents_per_s']:,.0f}",
        f"{spread:.0%}",
        f"{found['koine_is_faster_by']:.1f}",
        f"{found['mb_per_s_without_shingling']:.1f}",
        f"{found['koine_is_faster_by_without_shingling']:.1f}",
    ]


if __name__ == "__main__":
    main()
