"""Counting the units of text: koine against Python's Counter and Hugging Face's trainer, one core.

    koine            cut into units by its rules, count, sort: `tokenizer.counter.Counter`
    str.split        Counter over the words between spaces: not what a vocabulary is trained on
    regex            Counter over a pattern like GPT-2's, with marks and apostrophes in words
    tokenizers       pre-tokenizers nearest to koine's rules (scripts, digits, punctuation) and the
                     word count of the BPE trainer, which ends there since no merge is asked for

All take the same documents; the others get Python strings, koine an Arrow column. The floor is a
kernel that only decodes, looks every code point up and hashes it, and counts nothing.
"""

from __future__ import annotations

import gc
import time
import unicodedata
from collections import Counter as PlainCounter
from collections.abc import Callable
from typing import Any

import common
import inputs
import numba
import numpy as np
import pyarrow as pa

from pipelines.tokens import HASH_START, hash_step
from pipelines.unicode import TABLES, buffers, decode, flags_of
from tokenizer.counter import Counter

PATTERN = r" ?[\p{L}\p{M}]+(?:['’][\p{L}\p{M}]+)?| ?\p{N}| ?[^\s\p{L}\p{M}\p{N}]+"
BASE = "koine"
FLOOR = "floor: decode, look up, hash"


def floor_kernel() -> Callable[[pa.LargeStringArray], object]:
    """Return the pass over the text that no counting can do without."""

    @numba.njit(nogil=True)
    def walk(data, start, end, tables, seed):
        value = seed
        position = start
        while position < end:
            code_point, width = decode(data, position)
            value = hash_step(value, code_point ^ (flags_of(tables, code_point) & 1))
            position += width
        return value

    def run(text: pa.LargeStringArray) -> object:
        offsets, data = buffers(text)
        return walk(data, offsets[0], offsets[-1], TABLES, HASH_START)

    return run


def koine(text: pa.LargeStringArray) -> tuple[int, int]:
    """Count; return (different units, all units)."""
    counter = Counter()
    counter.add(text)
    table = counter.result()
    return table.num_rows, int(table["count"].to_numpy().sum())


def split(texts: list[str]) -> tuple[int, int]:
    """Count the words between spaces."""
    counts: PlainCounter[str] = PlainCounter()
    for text in texts:
        counts.update(text.split())
    return len(counts), counts.total()


def by_pattern(texts: list[str]) -> tuple[int, int]:
    """Count the matches of the pattern."""
    import regex

    find = regex.compile(PATTERN).findall
    counts: PlainCounter[str] = PlainCounter()
    for text in texts:
        counts.update(find(text))
    return len(counts), counts.total()


def by_trainer(texts: list[str]) -> tuple[int, int]:
    """Let the BPE trainer count words; it does not tell how many there were."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.UnicodeScripts(),
            pre_tokenizers.Digits(individual_digits=True),
            pre_tokenizers.Punctuation(),
        ]
    )
    trainer = trainers.BpeTrainer(vocab_size=1, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    return 0, 0


def main() -> None:
    """Measure, print, and write the results."""
    given = common.arguments(__doc__, documents=4_000).parse_args()
    facts = common.machine()
    common.pin()
    floor = floor_kernel()
    result: dict[str, Any] = {}
    for name, spaced in (("all languages", False), ("languages with spaces", True)):
        documents = inputs.documents(given.documents, given.data, spaced=spaced)
        texts = [unicodedata.normalize("NFC", text) for text in inputs.read_texts(documents)]
        column = pa.array(texts, pa.large_string())
        num_bytes = int(np.diff(buffers(column)[0]).sum())
        tools: dict[str, Callable[[], Any]] = {
            BASE: lambda column=column: koine(column),
            FLOOR: lambda column=column: floor(column),
            "Counter, str.split": lambda texts=texts: split(texts),
            "Counter, regex": lambda texts=texts: by_pattern(texts),
            "tokenizers, BPE trainer": lambda texts=texts: by_trainer(texts),
        }
        koine(column.slice(0, 2)), floor(column.slice(0, 2))  # compiled, or from the cache
        result[name] = measured(tools, given.repeats, num_bytes) | {
            "documents": len(texts),
            "bytes": num_bytes,
        }
        print(f"{name}: {len(texts):,} documents, {num_bytes / 1e6:.1f} MB, one core")
        common.table(
            ["", "MB/s", "spread", "koine is faster by", "different units", "units"],
            [_row(tool, found) for tool, found in result[name]["tools"].items()],
        )
    common.write(given.name or "count_words", facts, {"pattern": PATTERN, "sets": result})


def measured(tools: dict[str, Callable[[], Any]], repeats: int, num_bytes: int) -> dict[str, Any]:
    """Run the tools in turn, in the other order every second time."""
    seconds: dict[str, list[float]] = {tool: [] for tool in tools}
    found: dict[str, Any] = {}
    gc.collect()
    gc.disable()  # millions of strings that live long would be walked again and again
    for repeat in range(repeats):
        for tool in tools if repeat % 2 == 0 else reversed(tools):
            start = time.perf_counter()
            found[tool] = tools[tool]()
            seconds[tool].append(time.perf_counter() - start)
    gc.enable()
    base = common.summary(seconds[BASE])["median"]
    facts = {}
    for tool, values in seconds.items():
        summary = common.summary(values)
        facts[tool] = {
            "seconds": summary,
            "mb_per_s": num_bytes / summary["median"] / 1e6,
            "koine_is_faster_by": summary["median"] / base,
        }
        if isinstance(found[tool], tuple) and found[tool][0]:
            facts[tool] |= {"different_units": found[tool][0], "units": found[tool][1]}
    return {"tools": facts}


def _row(tool: str, found: dict[str, Any]) -> list[str]:
    seconds = found["seconds"]
    return [
        tool,
        f"{found['mb_per_s']:.1f}",
        f"{(seconds['most'] - seconds['least']) / seconds['median']:.0%}",
        f"{found['koine_is_faster_by']:.2f}",
        f"{found.get('different_units', 0):,}" if found.get("units") else "",
        f"{found['units']:,}" if found.get("units") else "",
    ]


if __name__ == "__main__":
    main()
