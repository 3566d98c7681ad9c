"""Hugging Face datasets, streamed: of the hub by id, or of a local folder.

A split of ours is one shard of theirs. Their own readers decide what a damaged file looks like:
what a shard gave before it failed is kept, its rest is one quarantined record.
Origin: "<shard>.<row>", both from 0.

`tally.num_bytes` counts the decoded bytes of the columns read; a stream does not tell its storage.
"""

from __future__ import annotations

import functools
import hashlib
import zlib
from gzip import BadGzipFile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError, DataError, EnvironmentProblem
from .base import Split
from .columns import to_raw, wanted
from .streams import Damaged

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from ..config import Corpus
    from .base import Tally

ROWS_AT_ONCE = 200  # rows can be long, and their number is all that a stream can be asked for


def discover(corpus: Corpus, *, base: Path) -> list[Split]:
    """Return a split for each shard of the corpus's data set.

    Raises:
        ConfigError: it has no such subset or split.
        DataError: a local folder is missing or has no data.
        EnvironmentProblem: the hub can't be reached, or refuses.
    """
    dataset = corpus.dataset
    assert dataset is not None
    local = base.absolute() / dataset.path
    url = str(local) if local.is_dir() else dataset.path
    if url != str(local) and (Path(url).is_absolute() or url.startswith(".")):
        raise DataError(f"corpus {corpus.name!r}: there is no folder {url!r} (looked in {local})")
    stream, version = _opened(corpus, url)
    parts = (local.name if local.is_dir() else url, dataset.subset, dataset.split)
    return [
        Split(
            corpus=corpus.name,
            format="huggingface",
            url=url,
            name="/".join(part for part in parts if part),
            compression=None,
            start=index,
            end=stream.num_shards,
            num_bytes=0,
            version=version,
        )
        for index in range(stream.num_shards)
    ]


def read(split: Split, corpus: Corpus, tally: Tally) -> Iterator[pa.RecordBatch]:
    """Yield the RAW batches of a shard.

    Raises:
        Damaged: the shard cannot be read to its end.
        EnvironmentProblem: the hub can't be reached, or refuses.
    """
    stream, _ = _opened(corpus, split.url)
    shard = stream.shard(num_shards=split.end, index=split.start)
    if shard.column_names and corpus.fields.text in shard.column_names:
        shard = shard.select_columns(wanted(shard.column_names, corpus))
    tables = shard.with_format("arrow").iter(batch_size=ROWS_AT_ONCE)
    row = 0
    while True:
        try:
            table = next(tables, None)
            if table is None:
                return
            raws: list[pa.RecordBatch] = []
            for batch in table.to_batches():
                raws += to_raw(
                    batch, corpus, tally, name=split.name, first=row, prefix=f"{split.start}."
                )
                row += batch.num_rows
        except (BadGzipFile, EOFError, zlib.error, ValueError, TypeError, _failure()) as error:
            raise Damaged("corrupt_shard", f"shard {split.start}, row {row}: {error}") from error
        except OSError as error:
            raise _unreachable(corpus, error) from error
        tally.num_bytes += table.nbytes
        yield from raws


def _failure() -> type[Exception]:
    from datasets.exceptions import DatasetsError

    return DatasetsError  # type: ignore[no-any-return]


def _unreachable(corpus: Corpus, error: Exception) -> EnvironmentProblem:
    assert corpus.dataset is not None
    return EnvironmentProblem(
        f"corpus {corpus.name!r}: cannot read the data set {corpus.dataset.path!r}: {error}\n"
        "  Check the id, the network and your access, or give the path of a downloaded folder."
    )


def _opened(corpus: Corpus, url: str) -> tuple[Any, str]:
    dataset = corpus.dataset
    assert dataset is not None
    try:
        return _stream(url, dataset.subset, dataset.split, dataset.revision)
    except (OSError, _failure()) as error:
        if Path(url).is_absolute():
            raise DataError(f"corpus {corpus.name!r}: no data set in {url}: {error}") from error
        raise _unreachable(corpus, error) from error
    except (ValueError, ImportError) as error:
        raise ConfigError(f"corpus {corpus.name!r}: data set {dataset.path!r}: {error}") from error


@functools.lru_cache(maxsize=8)
def _stream(path: str, subset: str | None, split: str, revision: str | None) -> tuple[Any, str]:
    """Return the stream of a data set, and what changes when its files do; asks the hub once."""
    import datasets

    builder = datasets.load_dataset_builder(path, name=subset, revision=revision)
    stream = builder.as_streaming_dataset(split=split)
    files = (builder.config.data_files or {}).get(split)
    # Modification times of local files, the commit of a repository on the hub.
    origin = repr(files.origin_metadata if files is not None else builder.hash)
    return stream, hashlib.sha256(origin.encode()).hexdigest()[:16]
