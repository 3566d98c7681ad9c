"""What the tests of the sources share: a corpus of given files, read in one go."""

from pathlib import Path

import pyarrow as pa
import pytest

from pipelines.config import Corpus
from pipelines.records import RAW
from pipelines.sources import BATCH_DOCUMENTS, Tally, discover, read


class Source:
    """A folder of files, and how to read them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tally = Tally()
        self.splits = []

    def write(self, name: str, data: bytes | str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    def corpus(self, *files: str, **options) -> Corpus:
        return Corpus.model_validate(
            {"name": "test", "license": "CC0-1.0", "files": list(files), **options}
        )

    def read(self, *files: str, split_bytes: int = 64 << 20, **options) -> list[dict]:
        """Return the rows of all splits; the ledger and the schema are checked on the way."""
        corpus = self.corpus(*files, **options)
        self.tally = Tally()
        self.splits = discover(corpus, base=self.folder, split_bytes=split_bytes)
        batches = [batch for split in self.splits for batch in read(split, corpus, self.tally)]
        for batch in batches:
            assert batch.schema.equals(RAW)
            assert 0 < batch.num_rows <= BATCH_DOCUMENTS
            batch.validate(full=True)
        rows = pa.Table.from_batches(batches, RAW).to_pylist()
        assert self.tally.num_documents == len(rows) + self.tally.quarantined.total()
        return rows

    def texts(self, *files: str, **options) -> list[str]:
        return [row["text"] for row in self.read(*files, **options)]


@pytest.fixture
def source(tmp_path: Path) -> Source:
    return Source(tmp_path)
