"""The documents that the benchmarks feed to every tool.

They come from the development corpora (JSON Lines, Parquet and Arrow; `--data`, else the
environment variable KOINE_DATA, else ../shared/data beside the repository). They are read once
into build/benchmarks/, outside version control, so that every tool gets the same files.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from common import BUILD, REPO, skip

PATTERNS = ("jsonl/*.jsonl.zst", "jsonl_gz/*.jsonl.gz", "parquet/*.parquet", "arrow/*.arrow")
NUM_PARTS = 8  # files that a set of documents is cut into, so that tools can run in parallel
UNSPACED = frozenset({"Hans", "Hant", "Hani", "Jpan", "Thai", "Laoo", "Khmr", "Mymr", "Tibt"})
EVERYTHING = 1_000_000  # more than there are


def data_folder(given: Path | None) -> Path:
    """Return the folder `corpus` of the development corpora, or end the benchmark."""
    named = os.environ.get("KOINE_DATA")
    folder = given or (Path(named) if named else REPO.parent / "shared" / "data")
    if not (folder / "corpus").is_dir():
        skip(f"no development corpora in {folder} (name their folder with --data or KOINE_DATA)")
    return folder / "corpus"


@dataclass(frozen=True)
class Documents:
    """A set of documents on disk: `text`, `label` and `id`, one JSON object a line."""

    folder: Path
    num_documents: int
    num_bytes: int
    """UTF-8 bytes of the texts alone."""

    @property
    def files(self) -> list[Path]:
        """The parts, in order."""
        return sorted(self.folder.glob("*.jsonl"))


def documents(count: int, data: Path | None, *, spaced: bool = False) -> Documents:
    """Return `count` documents (all, if there are fewer), taken evenly from all corpora.

    Args:
        count: how many.
        data: the folder given on the command line.
        spaced: leave out languages that are written without spaces.
    """
    source = data_folder(data)
    folder = BUILD / f"documents-{count}{'-spaced' if spaced else ''}"
    facts = folder.with_suffix(".json")  # beside it: some tools read whatever is inside
    if not facts.is_file():
        records = [
            (text, label)
            for text, label in read_corpora(source)
            if not (spaced and (label or "").partition("_")[2] in UNSPACED)
        ]
        step = max(1.0, len(records) / count)
        chosen = [records[int(i * step)] for i in range(min(count, len(records)))]
        facts.parent.mkdir(parents=True, exist_ok=True)
        write_parts(folder, chosen)
        num_bytes = sum(len(text.encode()) for text, _ in chosen)
        facts.write_text(json.dumps([len(chosen), num_bytes]))
    num_documents, num_bytes = json.loads(facts.read_text())
    return Documents(folder, num_documents, num_bytes)


def write_parts(folder: Path, records: Sequence[tuple[str, str | None]]) -> None:
    """Deal the records out to NUM_PARTS files of JSON Lines."""
    folder.mkdir(parents=True, exist_ok=True)
    for part in range(NUM_PARTS):
        with (folder / f"part-{part:02d}.jsonl").open("w", encoding="utf-8") as file:
            for index in range(part, len(records), NUM_PARTS):
                text, label = records[index]
                record = {"id": str(index), "text": text, "label": label}
                file.write(json.dumps(record, ensure_ascii=False) + "\n")


def read_corpora(source: Path) -> Iterator[tuple[str, str | None]]:
    """Yield text and declared label of every document of the development corpora."""
    from pipelines import sources
    from pipelines.config import Corpus, Fields

    for pattern in PATTERNS:
        corpus = Corpus(
            name="all",
            files=(str(source / pattern),),
            license="unknown",
            fields=Fields(label="lang"),
        )
        for split in sources.discover(corpus, base=source, split_bytes=64 << 20):
            for batch in sources.read(split, corpus, sources.Tally()):
                texts = batch.column("text").to_pylist()
                labels = batch.column("declared").to_pylist()
                yield from (pair for pair in zip(texts, labels, strict=True) if pair[0])


def read_texts(found: Documents) -> list[str]:
    """Return the texts."""
    lines = (line for path in found.files for line in path.open(encoding="utf-8"))
    return [json.loads(line)["text"] for line in lines]
