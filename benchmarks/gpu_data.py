"""What the GPU benchmarks train: shapes, token shards, and a run of koine's made ready for them.

The shards are those of a build, or synthetic ones: 20 languages whose sizes fall off like Zipf's
law, documents and sentences of log-normal lengths, pieces by Zipf's law. Speed depends on lengths
alone, so the vocabulary always has as many rows as the case says, whatever the shards were encoded
with.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pipelines import store
from pretrain.config import PretrainSettings, resolve, shape_of
from tokenizer import tokens

if TYPE_CHECKING:
    from pretrain.prepare import Run

NUM_LANGUAGES = 20
NUM_SPECIAL = 5
DOCUMENT = (350, 1.0)  # median tokens, and the deviation of their logarithm
SENTENCE = (20, 0.6)


@dataclass(frozen=True)
class Case:
    """A model, and the micro-batches it is trained on."""

    preset: str
    max_length: int
    mask_rate: float
    rows: int = 65_536
    micro_batch_tokens: int = 65_536
    batch_tokens: int = 131_072
    block: int = 128
    layers: int | None = None
    width: int | None = None

    @property
    def name(self) -> str:
        """Return what tables call it."""
        return f"{self.preset}-{self.max_length}"

    def settings(self, **more: Any) -> PretrainSettings:
        """Return koine's settings, before they are resolved."""
        return PretrainSettings.model_validate(
            {
                "preset": self.preset,
                "max_length": self.max_length,
                "mask_rate": self.mask_rate,
                "micro_batch_tokens": self.micro_batch_tokens,
                "batch_tokens": self.batch_tokens,
                "block": self.block,
                "layers": self.layers,
                "width": self.width,
                "tokens": 2_000_000_000,
                "max_skipped": 1_000_000,
                **more,
            }
        )

    def toy(self) -> Case:
        """Return it at a size that a CPU does in a second, to see whether all works."""
        return replace(
            self, max_length=self.max_length // 8, rows=1024, layers=2, width=64,
            micro_batch_tokens=1024, batch_tokens=2048, block=8,
        )  # fmt: skip


CASES = {
    case.name: case
    for case in (
        Case("bert-base", 128, 0.15),
        Case("bert-base", 512, 0.15),
        Case("modern-base", 512, 0.30),
        Case("modern-base", 1024, 0.30),
        Case("bert-small", 128, 0.15),
        Case("modern-small", 256, 0.30),
    )
}


def write_synthetic(out: Path, *, num_tokens: int, num_pieces: int, seed: int = 0) -> None:
    """Write the folder `tokens` of a build.

    Args:
        out: folder of the build.
        num_tokens: of all languages together, about.
        num_pieces: of the vocabulary.
        seed: of everything.
    """
    rng = np.random.default_rng(seed)
    folder = store.Folder(out / tokens.TOKENS)
    folder.create()
    share = 1 / np.arange(1, NUM_LANGUAGES + 1)
    weights = 1 / np.arange(10, num_pieces - NUM_SPECIAL + 10)
    ends_of = np.cumsum(weights / weights.sum())
    files: list[store.Written] = []
    for number, own in enumerate(num_tokens * share / share.sum()):
        label = f"{chr(97 + number)}aa_Latn"
        borders = np.concatenate([[0], _borders(rng, DOCUMENT, total=int(own))])
        ends = np.union1d(borders[1:], _borders(rng, SENTENCE, total=int(own)))
        offsets = np.searchsorted(ends, borders, side="right")  # of each document's sentences
        own_ends = ends - np.repeat(borders[:-1], np.diff(offsets))
        pieces = np.searchsorted(ends_of, rng.random(int(own))) + NUM_SPECIAL
        schema = tokens.schema(num_pieces=num_pieces, label=label, vocab_hash="0" * 64)
        integer = schema.field("tokens").type.value_type
        columns = [
            pa.array([f"{label}-{row:08d}" for row in range(len(borders) - 1)]),
            _lists(borders, pa.array(pieces.clip(max=num_pieces - 1), integer)),
            _lists(offsets, pa.array(own_ends, pa.int32())),
        ]
        arrays = [column.cast(field.type) for column, field in zip(columns, schema, strict=True)]
        committed: list[store.Written] = []
        with (
            folder.writing(f"{label}/part-00000.arrow", committed=committed) as file,
            pa.ipc.new_stream(file, schema) as writer,
        ):
            writer.write_table(pa.Table.from_arrays(arrays, schema=schema))
        files.append(replace(committed[0], num_rows=len(borders) - 1))
    store.write_manifest(
        folder, artefact=tokens.TOKENS, fingerprint="", counts={}, files=files,
        schema_version=tokens.SCHEMA_VERSION, vocab_hash="0" * 64, corpus="0" * 64,
    )  # fmt: skip


def _borders(rng: np.random.Generator, shape: tuple[int, float], *, total: int) -> Any:
    """Return where pieces of text of log-normal lengths end, the last one at `total`."""
    median, deviation = shape
    lengths = np.ceil(rng.lognormal(np.log(median), deviation, 100 + 2 * total // median))
    ends = np.cumsum(lengths).astype(np.int64)
    return np.append(ends[ends < total], total)


def _lists(offsets: Any, values: pa.Array) -> pa.ListArray:
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), values)


def opened(build: Path, case: Case, *, runs: Path, toy: bool, **more: Any) -> Run:
    """Return a run of koine's that is ready to start.

    Args:
        build: folder with token shards.
        case: what is trained.
        runs: folder for what the run writes.
        toy: on the CPU, even where there is a GPU.
        more: settings.
    """
    from pretrain.machine import machine
    from pretrain.prepare import Run, open_shards
    from pretrain.source import Source
    from pretrain.vocabulary import of_pieces

    settings = case.settings(device="cpu" if toy else "auto", **more)
    settings = resolve(settings, on_cpu=toy)
    vocab_hash = store.Folder(build / tokens.TOKENS).read_json(store.MANIFEST)["vocab_hash"]
    shards = open_shards(settings, out=str(build), vocab_hash=vocab_hash)
    vocabulary = of_pieces([f"piece{n}" for n in range(case.rows)], vocab_hash=vocab_hash)
    source = Source(shards, settings=settings, planned_tokens=settings.tokens or 0, starts=None)
    folder = store.Folder(runs / case.name)
    folder.create()
    here = machine(settings)
    return Run(folder, settings, shape_of(settings), here, vocabulary, shards, source, config={})
