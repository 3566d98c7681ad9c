"""The process that trains a SentencePiece model: `python -m tokenizer.spm_process SPEC`.

A process of its own, because the library writes its progress to the standard error as it likes, and
keeps all its memory. It reads a sample of units, and writes the model to its standard output.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import sentencepiece

BATCH_UNITS = 65536
FAILED = "koine: "


def lines(sample: str) -> Iterator[str]:
    """Yield "unit<TAB>count" for each unit of a sample."""
    with pa.memory_map(sample) as file:
        table = pa.ipc.open_file(file).read_all()
        for batch in table.to_batches(max_chunksize=BATCH_UNITS):
            units, counts = batch.column("unit").to_pylist(), batch.column("count").to_pylist()
            for unit, count in zip(units, counts, strict=True):
                yield f"{unit}\t{count}"


def main() -> None:
    """Train by the options in the file that the first argument names."""
    spec = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    model = io.BytesIO()
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=lines(spec["sample"]), model_writer=model, **spec["options"]
        )
    except (RuntimeError, OSError) as error:
        sys.stderr.write(f"{FAILED}{' '.join(str(error).split())}\n")
        raise SystemExit(3) from None
    sys.stdout.buffer.write(model.getvalue())


if __name__ == "__main__":
    main()
