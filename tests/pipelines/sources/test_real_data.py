"""The development corpora: every document that their makers counted is read."""

import pytest

pytestmark = pytest.mark.slow
COUNTS = {
    "jsonl/*.zst": 13_765,
    "jsonl_gz/*.gz": 1_842,
    "parquet/*.parquet": 3_563,
    "arrow/*.arrow": 102,
    "plain/**/*": 49,
    "wet/*.gz": 606,
    "warc/rust-book-ja.warc.gz": 107,
    "wiki/*-minidump.xml.bz2": 87,  # of 88 pages, one is a redirect
    "wiki/enwiki-shortened-*.bz2": 106,
}


@pytest.mark.parametrize(("pattern", "count"), COUNTS.items())
def test_every_document_is_read_and_nothing_is_quarantined(source, data, pattern, count):
    source.folder = data / "corpus"
    assert len(source.read(pattern)) == count
    assert not source.tally.quarantined
    assert source.tally.num_bytes == sum(split.num_bytes for split in source.splits)


def test_legacy_encodings_are_told_or_quarantined(source, data):
    source.folder = data / "corpus"
    pattern = f"zip://udhr/*::{data}/corpus/legacy_encodings/udhr.zip"
    assert len(source.read(pattern, format="text", encoding="detect")) >= 310
