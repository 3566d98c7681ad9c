"""JSON Lines in byte ranges."""

import gzip

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.jsonl import lines


@given(
    data=st.lists(st.sampled_from([b"", b"\n", b"a", b"bc\n", b"\n\n", b"defgh"])).map(b"".join),
    chunk_bytes=st.integers(1, 9),
    split_bytes=st.integers(1, 30),
)
def test_ranges_of_any_size_give_each_line_exactly_once(data, chunk_bytes, split_bytes):
    found = []
    for start in range(0, len(data), split_bytes):
        offset = max(0, start - 1)
        chunks = (data[at : at + chunk_bytes] for at in range(offset, len(data), chunk_bytes))
        found += lines(
            chunks,
            max_bytes=100,
            offset=offset,
            start=start,
            end=min(start + split_bytes, len(data)),
        )
    expected = data.split(b"\n")
    if not expected[-1]:
        expected.pop()
    assert [line for _, _, line in found] == expected
    assert all(data[at : at + length] == line for at, length, line in found)


@given(
    sizes=st.lists(st.integers(0, 12)), max_bytes=st.integers(1, 10), chunk_bytes=st.integers(1, 9)
)
def test_only_lines_over_the_limit_are_passed_over(sizes, max_bytes, chunk_bytes):
    data = b"".join(b"x" * size + b"\n" for size in sizes)
    chunks = (data[at : at + chunk_bytes] for at in range(0, len(data), chunk_bytes))
    found = [(length, line is None) for _, length, line in lines(chunks, max_bytes=max_bytes)]
    assert found == [(size, size > max_bytes) for size in sizes]


@pytest.mark.parametrize("split_bytes", [7, 30, 100, 1 << 20])
def test_splits_of_a_file_give_all_documents_and_all_bytes(source, split_bytes):
    data = b"\n".join(orjson.dumps({"text": "ä" * n}) for n in range(50)) + b"\n\n"
    source.write("x.jsonl", data)
    rows = source.read("x.jsonl", split_bytes=split_bytes)
    assert [len(row["text"]) for row in rows] == list(range(50))
    assert all(data[int(row["origin"].split("#")[1]) :].startswith(b'{"text"') for row in rows)
    assert source.tally.num_bytes == len(data)
    assert source.tally.skipped == {"blank_line": 1}


def test_fields_are_found_by_the_names_that_the_corpus_gives(source):
    record = {"content": "x", "link": "https://x", "lang": "sw", "licence": "MIT"}
    source.write("x.jsonl", orjson.dumps(record) + b'\n{"content": "y", "link": 7}\n')
    fields = {"text": "content", "url": "link", "label": "lang", "license": "licence"}
    first, second = source.read("x.jsonl", fields=fields)
    assert first == {
        "text": "x",
        "html": None,
        "charset": None,
        "origin": "x.jsonl#0",
        "url": "https://x",
        "declared": "sw",
        "license": "MIT",
    }
    assert (second["url"], second["declared"], second["license"]) == (None, None, "CC0-1.0")


def test_a_compressed_line_is_located_by_its_number(source):
    source.write("x.jsonl.gz", gzip.compress(b'{"text": "a"}\n\n{"text": "b"}'))
    rows = source.read("x.jsonl.gz")
    assert [row["origin"] for row in rows] == ["x.jsonl.gz#1", "x.jsonl.gz#3"]


def test_a_byte_order_mark_and_carriage_returns_are_no_part_of_a_record(source):
    source.write("x.jsonl", b'\xef\xbb\xbf{"text": "a"}\r\n\r\n{"text": "b"}\r\n')
    assert source.texts("x.jsonl") == ["a", "b"]
    assert source.tally.skipped == {"blank_line": 1}


def test_batches_end_at_a_number_of_bytes_too(source):
    source.write("x.jsonl", orjson.dumps({"text": "x" * (3 << 20)}) + b"\n")
    data = (source.folder / "x.jsonl").read_bytes() * 7
    source.write("x.jsonl", data)
    assert len(source.read("x.jsonl")) == 7
