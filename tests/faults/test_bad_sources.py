"""Damaged input: nothing raises, what can be read is read, and the ledger balances."""

import gzip
import os
import random
import resource
import time
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from pipelines.config import Corpus
from pipelines.errors import DataError
from pipelines.sources import Tally, discover, read

PACK = {"gz": gzip.compress, "zst": zstandard.compress}


def corpus_of(*files: str, **options) -> Corpus:
    values = {"name": "test", "license": "CC0-1.0", "files": list(files), **options}
    return Corpus.model_validate(values)


def texts_of(folder: Path, *files: str, **options) -> tuple[list[str], Tally]:
    """Return all texts (or pages) that are read, and the tally, which balances."""
    corpus = corpus_of(*files, **options)
    tally = Tally()
    found = []
    for split in discover(corpus, base=folder):
        for batch in read(split, corpus, tally):
            batch.validate(full=True)
            found += [
                row["text"] or row["html"].decode(errors="replace") for row in batch.to_pylist()
            ]
    assert tally.num_documents == len(found) + tally.quarantined.total()
    return found, tally


def noise(number: int) -> str:
    return random.Random(number).randbytes(40).hex()


@pytest.mark.parametrize("suffix", PACK)
def test_json_lines_cut_anywhere_keep_their_whole_lines(tmp_path, suffix):
    texts = [noise(number) for number in range(200)]
    data = PACK[suffix]("".join(f'{{"text": "{text}"}}\n' for text in texts).encode())
    for size in range(1, len(data), len(data) // 40):
        (tmp_path / f"x.jsonl.{suffix}").write_bytes(data[:size])
        found, tally = texts_of(tmp_path, f"x.jsonl.{suffix}")
        assert found == texts[: len(found)]
        assert tally.quarantined == {"truncated": 1}
        assert tally.num_bytes == size


def record(text: str) -> bytes:
    page = f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n{text}".encode()
    head = (
        f"WARC-Type: response\r\nContent-Type: application/http\r\nContent-Length: {len(page)}\r\n"
    )
    return b"WARC/1.0\r\n" + head.encode() + b"\r\n" + page + b"\r\n\r\n"


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_a_warc_cut_anywhere_keeps_its_whole_records(tmp_path, suffix):
    texts = [noise(number) for number in range(30)]
    pack = PACK.get(suffix[1:], bytes)
    members = [pack(record(text)) for text in texts]
    data = b"".join(members)
    borders = {sum(map(len, members[:index])) for index in range(len(members) + 1)}
    for size in range(1, len(data), len(data) // 60):
        (tmp_path / f"x.warc{suffix}").write_bytes(data[:size])
        found, tally = texts_of(tmp_path, f"x.warc{suffix}")
        assert found == texts[: len(found)]
        # Only the blank lines after a whole record may be missing without a word.
        whole = size in borders or (not suffix and any(0 < b - size <= 4 for b in borders))
        assert tally.quarantined == ({} if whole else {"truncated": 1})
        # A record that is whole is kept, even if its member lacks its checksum.
        assert len(found) - sum(border <= size for border in borders) + 1 in (0, 1)


@pytest.mark.parametrize("change", [-7, -1, 5, 500, 10**6])
def test_a_wrong_length_costs_the_records_it_covers_not_the_file(tmp_path, change):
    parts = [record(noise(number)) for number in range(20)]
    length = int(parts[5].split(b"Content-Length: ")[1].split(b"\r\n")[0])
    parts[5] = parts[5].replace(b"Length: %d" % length, b"Length: %d" % (length + change))
    (tmp_path / "x.warc").write_bytes(b"".join(parts))
    found, tally = texts_of(tmp_path, "x.warc")
    assert [text for text in found if text == noise(4)]
    assert tally.quarantined.total() == 1
    if change < 10**6:
        assert {noise(number) for number in range(10, 20)} <= set(found)
        assert tally.quarantined == {"corrupt_record": 1}
    else:
        assert tally.quarantined == {"truncated": 1}


def test_random_bit_flips_in_a_warc_never_raise_and_cost_little(tmp_path):
    texts = [noise(number) for number in range(30)]
    data = b"".join(map(record, texts))
    generator = random.Random(0)
    for _ in range(300):
        flipped = bytearray(data)
        flipped[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
        (tmp_path / "x.warc").write_bytes(flipped)
        found, _ = texts_of(tmp_path, "x.warc")
        assert len(set(found) & set(texts)) >= 27 or len(found) < 3


@pytest.mark.parametrize(
    "name", ["x.warc", "x.arrow", "x.parquet", "x.xml", "x.jsonl.gz", "x.txt.zst"]
)
@pytest.mark.parametrize(
    "data", [b"garbage", bytes(100), os.urandom(5000), b"PAR1" * 50, b"ARROW1\0\0"]
)
def test_a_file_of_something_else_is_quarantined_once(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    found, tally = texts_of(tmp_path, name)
    assert found == []
    assert tally.quarantined.total() == 1


FORMATS = ["jsonl", "parquet", "arrow", "text", "html", "warc", "wet", "mediawiki"]


@pytest.mark.parametrize("format_", FORMATS)
def test_an_empty_file_is_quarantined_as_such(tmp_path, format_):
    (tmp_path / "x").write_bytes(b"")
    found, tally = texts_of(tmp_path, "x", format=format_)
    assert (found, tally.quarantined) == ([], {"empty_file": 1})


@pytest.mark.parametrize("format_", FORMATS)
def test_folders_pipes_and_links_to_nothing_are_quarantined(tmp_path, format_):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "folder").mkdir()
    os.mkfifo(tmp_path / "in" / "pipe")
    (tmp_path / "in" / "link").symlink_to("nothing")
    found, tally = texts_of(tmp_path, "in/*", format=format_)
    assert (found, tally.quarantined) == ([], {"not_a_file": 3})


def test_a_file_that_vanishes_before_it_is_read_is_an_error_with_its_name(tmp_path):
    (tmp_path / "x.jsonl").write_text("{}")
    corpus = corpus_of("x.jsonl")
    (split,) = discover(corpus, base=tmp_path)
    (tmp_path / "x.jsonl").unlink()
    with pytest.raises(DataError, match=r"'test': x\.jsonl is gone"):
        list(read(split, corpus, Tally()))


def test_each_bad_line_is_quarantined_by_its_reason(tmp_path):
    lines = [
        b'{"text": "good"}',
        b'{"text": "broken"',
        b'{"text": "\xff"}',
        b'["text"]',
        b'"text"',
        b'{"body": "x"}',
        b'{"text": null}',
        b'{"text": ["x"]}',
        b'{"text": "\\ud800"}',
        b"[" * 100_000,
        b'{"text": "fine"}',
    ]
    (tmp_path / "x.jsonl").write_bytes(b"\n".join(lines))
    found, tally = texts_of(tmp_path, "x.jsonl")
    assert found == ["good", "fine"]
    assert tally.quarantined == {
        "invalid_json": 3,
        "invalid_utf8": 1,
        "not_an_object": 2,
        "missing_field": 2,
        "wrong_type": 1,
    }
    assert tally.examples[0].origin == "x.jsonl#17"


def test_a_line_of_200_megabytes_is_passed_over_in_bounded_memory(tmp_path):
    packer = zstandard.ZstdCompressor(1).compressobj()
    with (tmp_path / "x.jsonl.zst").open("wb") as file:
        file.write(packer.compress(b'{"text": "a"}\n{"text": "'))
        block = random.Random(0).randbytes(1 << 19).hex().encode()
        for _ in range(200):
            file.write(packer.compress(block))
        file.write(packer.compress(b'"}\n{"text": "b"}\n') + packer.flush())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.monotonic()
    found, tally = texts_of(tmp_path, "x.jsonl.zst", max_record_mb=8, max_expansion=1e6)
    assert time.monotonic() - start < 20
    assert found == ["a", "b"]
    assert tally.quarantined == {"record_too_large": 1}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10  # kilobytes


def test_a_bomb_is_quarantined_with_the_documents_before_it_kept(tmp_path):
    good = b'{"text": "good"}\n' * 10
    (tmp_path / "x.jsonl.gz").write_bytes(gzip.compress(good) + gzip.compress(bytes(100 << 20)))
    found, tally = texts_of(tmp_path, "x.jsonl.gz")
    assert found == ["good"] * 10
    assert tally.quarantined == {"decompression_bomb": 1}


def test_a_bomb_inside_an_archive_is_not_unpacked(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.txt", bytes(100 << 20))
        archive.writestr("good.txt", "good")
    found, tally = texts_of(tmp_path, f"zip://*.txt::{tmp_path}/x.zip")
    assert found == ["good"]
    assert tally.quarantined == {"decompression_bomb": 1}


def test_a_damaged_member_of_an_archive_costs_only_itself(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a.txt", "first member, stored")
        archive.writestr("b.txt", "second")
    data = (tmp_path / "x.zip").read_bytes()
    (tmp_path / "x.zip").write_bytes(data.replace(b"first member", b"FIRST MEMBER"))
    found, tally = texts_of(tmp_path, f"zip://*.txt::{tmp_path}/x.zip")
    assert found == ["second"]
    assert tally.quarantined == {"corrupt": 1}


def test_a_half_document_is_not_a_document(tmp_path):
    (tmp_path / "x.txt.gz").write_bytes(gzip.compress(os.urandom(5000).hex().encode())[:-100])
    found, tally = texts_of(tmp_path, "x.txt.gz")
    assert (found, tally.quarantined) == ([], {"truncated": 1})


def test_a_corrupt_row_group_costs_its_rows_and_the_next_is_read(tmp_path):
    texts = [noise(number) for number in range(400)]
    table = pa.table({"text": texts})
    path = tmp_path / "x.parquet"
    pq.write_table(table, path, row_group_size=100, compression="zstd", use_dictionary=False)
    column = pq.ParquetFile(path).metadata.row_group(1).column(0)
    data = bytearray(path.read_bytes())
    middle = column.data_page_offset + column.total_compressed_size // 2
    data[middle - 40 : middle + 40] = bytes(80)
    path.write_bytes(data)
    found, tally = texts_of(tmp_path, "x.parquet")
    assert found == texts[:100] + texts[200:]
    assert tally.quarantined == {"corrupt_parquet": 100}


def test_a_cut_parquet_file_is_one_quarantined_record(tmp_path):
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"text": ["x"] * 10}), path)
    path.write_bytes(path.read_bytes()[:-10])
    found, tally = texts_of(tmp_path, "x.parquet")
    assert (found, tally.quarantined) == ([], {"corrupt_parquet": 1})


@pytest.mark.parametrize("compression", [None, "zstd"])
@pytest.mark.parametrize("kind", ["file", "stream", "parquet"])
def test_random_bit_flips_never_raise(tmp_path, kind, compression):
    table = pa.table({"text": [noise(number) for number in range(300)], "url": ["x"] * 300})
    path = tmp_path / ("x.parquet" if kind == "parquet" else "x.arrow")
    if kind == "parquet":
        pq.write_table(table, path, compression=compression or "none", row_group_size=100)
    else:
        new = pa.ipc.new_file if kind == "file" else pa.ipc.new_stream
        options = pa.ipc.IpcWriteOptions(compression=compression)
        with new(path, table.schema, options=options) as writer:
            writer.write_table(table, max_chunksize=100)
    data = path.read_bytes()
    generator = random.Random(0)
    for _ in range(150):
        flipped = bytearray(data)
        flipped[generator.randrange(len(data))] ^= 1 << generator.randrange(8)
        path.write_bytes(flipped)
        texts_of(tmp_path, path.name)  # balances, or fails


def test_a_file_name_that_is_not_utf8_is_one_clear_error(tmp_path):
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jsonl")).write_text('{"text": "a"}\n')
    with pytest.raises(DataError, match=r"caf\\xe9.jsonl is not UTF-8\n  Rename"):
        discover(corpus_of("*.jsonl"), base=tmp_path)
