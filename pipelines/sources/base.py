"""What every source shares: the split it is cut into, and the tally of what was read.

Promises: every record of a split is either in a yielded batch, or counted in the tally as
quarantined (a document that could not be read) or as skipped (a record that is no document).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

BATCH_DOCUMENTS = 1_000
BATCH_BYTES = 8 << 20  # a batch ends at whichever comes first; one huge document is a batch alone
EXAMPLES_KEPT = 20  # quarantined records named one by one, for each reason of a split


@dataclass(frozen=True, slots=True)
class Split:
    """A part of one input file (or dataset shard) that one worker reads on its own.

    `start` and `end` are bytes for plain JSON Lines, row groups for Parquet, record batches for
    Arrow, the shard's index and count for a Hugging Face dataset; 0 and -1 mean all of it.
    """

    corpus: str
    format: str
    url: str
    """Absolute path or fsspec URL to open. Never written into an artefact."""
    name: str
    """The file's path below the fixed part of its glob, the same on every machine."""
    compression: str | None
    start: int
    end: int
    num_bytes: int
    """Bytes on disk that this split covers, for planning and progress."""
    version: str
    """Changes when the file does (size and modification time, or an etag): decides re-reading."""

    def to_json(self) -> dict[str, Any]:
        """Return the split as plain values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One record, or the rest of a file, that could not be read."""

    origin: str
    reason: str
    detail: str
    num_bytes: int


@dataclass(slots=True)
class Tally:
    """The accounting of one unit of work, filled by the sources and the steps after them."""

    num_documents: int = 0
    """Documents read: the rows of all yielded batches plus the quarantined records."""
    num_bytes: int = 0
    """Bytes consumed from storage (compressed size where the file is compressed)."""
    skipped: Counter[str] = field(default_factory=Counter)
    """Records that are no documents (a WARC request, a redirect page), by kind."""
    quarantined: Counter[str] = field(default_factory=Counter)
    examples: list[Quarantined] = field(default_factory=list)

    def quarantine(
        self, origin: str, reason: str, detail: str, *, num_bytes: int = 0, count: int = 1
    ) -> None:
        """Count unreadable records as read and quarantined; name them if few are named so far.

        One call may stand for `count` records that fail together (a column that is missing); they
        are named once, by `origin`.
        """
        self.num_documents += count
        self.quarantine_read(origin, reason, detail, num_bytes=num_bytes)
        self.quarantined[reason] += count - 1

    def quarantine_read(self, origin: str, reason: str, detail: str, *, num_bytes: int = 0) -> None:
        """Quarantine a document that a source has already counted as read."""
        if self.quarantined[reason] < EXAMPLES_KEPT:
            self.examples.append(Quarantined(origin, reason, detail[:300], num_bytes))
        self.quarantined[reason] += 1

    def skip(self, kind: str, count: int = 1) -> None:
        """Count records that are no documents."""
        self.skipped[kind] += count
