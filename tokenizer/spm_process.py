"""The process that trains a SentencePiece model: `python -m tokenizer.spm_process`.

A process of its own, because the library writes its progress to the standard error as it likes, and
keeps all its memory. It reads what to do, a line of JSON, from its standard input, and writes the
model to its standard output. It ends when the other end of its input is closed: whoever started it
is gone then, however it died, and nobody waits for the model.
"""

from __future__ import annotations

import io
import json
import os
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import sentencepiece

BATCH_UNITS = 65536
FAILED = "koine: "


def batches(sample: str) -> Iterator[tuple[list[str], list[int]]]:
    """Yield the units of a sample and their counts."""
    with pa.memory_map(sample) as file:
        table = pa.ipc.open_file(file).read_all()
        for batch in table.to_batches(max_chunksize=BATCH_UNITS):
            yield batch.column("unit").to_pylist(), batch.column("count").to_pylist()


def lines(sample: str) -> Iterator[str]:
    """Yield "unit<TAB>count" for each unit of a sample."""
    for units, counts in batches(sample):
        for unit, count in zip(units, counts, strict=True):
            yield f"{unit}\t{count}"


def end_with_parent() -> None:
    """End this process when the one that started it has ended."""
    # Not by sys.stdin: its lock, held here, would stop the interpreter from shutting down.
    while os.read(0, 1):
        pass
    os._exit(1)


def main() -> None:
    """Train by the `sample`, `options` and `seeds` in the first line of the standard input."""
    spec = json.loads(sys.stdin.buffer.readline())
    # The library lets other threads run while it trains.
    threading.Thread(target=end_with_parent, daemon=True).start()
    try:
        model = train(spec["sample"], spec["options"], seeds=spec["seeds"])
    except (RuntimeError, OSError) as error:
        sys.stderr.write(f"{FAILED}{' '.join(str(error).split())}\n")
        raise SystemExit(3) from None
    sys.stdout.buffer.write(model)


def train(sample: str, options: Mapping[str, Any], *, seeds: int) -> bytes:
    """Return a trained model.

    Args:
        sample: path of the sample.
        options: of the library's trainer.
        seeds: how many pieces of a BPE Unigram starts from; 0 lets the library choose.
    """
    if not seeds:
        return _trained(sample, options)
    with tempfile.TemporaryFile() as file:  # without a name: nothing is left if this is killed
        file.write(seed_lines(sample, options, size=seeds).encode())
        file.seek(0)
        return _trained(sample, {**options, "seed_sentencepieces_file": f"/dev/fd/{file.fileno()}"})


def seed_lines(sample: str, options: Mapping[str, Any], *, size: int) -> str:
    """Return the pieces of a BPE, one a line, with how often each is used on the sample.

    The library's own seeds, from a suffix array, lack every unit that no other begins with, since
    each unit is a sentence of its own there; and as they are a million, most short words are lost
    to "▁" and letters on the way down, which likelihood hardly punishes and a token count does.
    """
    bpe = {**options, "model_type": "bpe", "vocab_size": size, "hard_vocab_limit": False}
    processor = sentencepiece.SentencePieceProcessor(model_proto=_trained(sample, bpe))
    used = np.zeros(len(processor))
    for units, counts in batches(sample):
        ids = processor.encode(units, return_type="numpy")
        repeated = np.repeat(np.array(counts, np.float64), [len(own) for own in ids])
        used += np.bincount(np.concatenate(ids), weights=repeated, minlength=len(used))
    pieces = processor.id_to_piece(list(range(len(used))))
    special = np.array(processor.is_control(list(range(len(used)))))
    special |= np.array(processor.is_byte(list(range(len(used)))))
    special[processor.unk_id()] = True
    lines = [
        f"{piece}\t{max(int(number), 1)}\n"
        for piece, number, skipped in zip(pieces, used.tolist(), special.tolist(), strict=True)
        if not skipped
    ]
    return "".join(lines)


def _trained(sample: str, options: Mapping[str, Any]) -> bytes:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=lines(sample), model_writer=model, **options
    )
    return model.getvalue()


if __name__ == "__main__":
    main()
