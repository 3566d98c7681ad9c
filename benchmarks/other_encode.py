"""Encode a corpus with tokenizers through datasets.map: BUILD CACHE PROCESSES; prints seconds."""

import os
import sys
import time
from pathlib import Path

os.environ["TOKENIZERS_PARALLELISM"] = "false"  # datasets has processes of its own

import datasets
import tokenizers


def main() -> None:
    """Encode, and print how long it took."""
    build, cache, processes = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    datasets.disable_progress_bars()
    model = tokenizers.Tokenizer.from_file(str(build / "vocab" / "tokenizer.json"))

    def encode(batch: dict) -> dict:
        found = model.encode_batch_fast(batch["text"], add_special_tokens=False)
        return {"tokens": [encoding.ids for encoding in found]}

    files = sorted(map(str, (build / "corpus").rglob("*.arrow")))
    given = datasets.concatenate_datasets([datasets.Dataset.from_file(file) for file in files])
    cache.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    given.map(
        encode,
        batched=True,
        remove_columns=["text"],
        num_proc=processes if processes > 1 else None,
        cache_file_name=str(cache / "tokens.arrow"),
    )
    print(time.perf_counter() - start)


if __name__ == "__main__":
    main()
