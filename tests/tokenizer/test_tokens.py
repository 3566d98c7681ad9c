"""Reading token shards: zero copy, the right vocabulary or none."""

import json
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from token_vocabulary import with_vocabulary

from pipelines import engines, store
from pipelines.errors import DataError
from tests_support import ROOT
from tokenizer import encode, encode_unit, tokens

NAME = "eng_Latn/part-00000.arrow"


@pytest.fixture(scope="module")
def encoded(small_build, tmp_path_factory):
    out = with_vocabulary(small_build.out, tmp_path_factory.mktemp("tokens") / "out")
    return encode.encode(out=str(out), engine=engines.InProcess())


@pytest.fixture
def folder(encoded):
    return store.Folder(encoded.folder)


def write(folder: store.Folder, name: str, table: pa.Table) -> None:
    with folder.writing(name) as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)


def shard(vocab_hash: str, documents: list[tuple[list[int], list[int]]], size: int = 100):
    schema = tokens.schema(num_pieces=size, label="eng_Latn", vocab_hash=vocab_hash)
    rows = [
        {"id": str(number), "tokens": ids, "sentence_ends": ends}
        for number, (ids, ends) in enumerate(documents)
    ]
    return pa.Table.from_pylist(rows, schema=schema)


def test_the_arrays_are_those_of_the_rows(encoded, folder):
    table = tokens.open_shard(folder, NAME, vocab_hash=encoded.vocab_hash)
    ids, offsets = tokens.documents(table)
    ends, end_offsets = tokens.sentence_ends(table)
    assert [ids[a:b].tolist() for a, b in pairwise(offsets)] == table["tokens"].to_pylist()
    found = [ends[a:b].tolist() for a, b in pairwise(end_offsets)]
    assert found == table["sentence_ends"].to_pylist()
    assert (ids.dtype, ends.dtype, offsets.dtype) == (np.uint16, np.int32, np.int64)


def test_tokens_are_mapped_not_copied(encoded, folder):
    before = pa.total_allocated_bytes()
    table = tokens.open_shard(folder, NAME, vocab_hash=encoded.vocab_hash)
    ids, _ = tokens.documents(table)
    assert pa.total_allocated_bytes() == before
    assert ids.ctypes.data == table["tokens"].chunk(0).values.buffers()[1].address


def test_a_shard_is_one_batch_and_its_schema_says_what_it_is(encoded, folder):
    with pa.ipc.open_stream(folder.read_bytes(NAME)) as reader:
        assert reader.schema.metadata == {
            b"label": b"eng_Latn",
            b"schema_version": b"1",
            b"vocab_hash": encoded.vocab_hash.encode(),
        }
        assert [str(field.type) for field in reader.schema] == [
            "string",
            "list<item: uint16 not null>",
            "list<item: int32 not null>",
        ]
        assert len(list(reader)) == 1


@pytest.mark.parametrize(("size", "kind"), [(1 << 16, pa.uint16()), ((1 << 16) + 1, pa.uint32())])
def test_ids_take_two_bytes_as_long_as_they_fit(size, kind):
    schema = tokens.schema(num_pieces=size, label="eng_Latn", vocab_hash="a")
    assert schema.field("tokens").type.value_type == kind


def test_a_shard_of_several_batches_reads_like_one(encoded, folder, monkeypatch, tmp_path):
    whole = tokens.open_shard(folder, NAME, vocab_hash=encoded.vocab_hash)
    parts = [whole.slice(0, 1), whole.slice(1, 0), whole.slice(1)]
    table = pa.concat_tables(parts)
    write(store.Folder(tmp_path), "parts.arrow", table)
    read = tokens.open_shard(store.Folder(tmp_path), "parts.arrow", vocab_hash=encoded.vocab_hash)
    for function in (tokens.documents, tokens.sentence_ends):
        for given in (table, read):
            for found, wanted in zip(function(given), function(whole), strict=True):
                assert found.tolist() == wanted.tolist()


def test_a_large_shard_is_written_in_batches(small_build, encoded, folder, monkeypatch, tmp_path):
    monkeypatch.setattr(encode_unit, "BATCH_BYTES", 1)
    out = with_vocabulary(small_build.out, tmp_path / "out")
    again = encode.encode(out=str(out), engine=engines.InProcess())
    assert again.statistics == encoded.statistics
    for name in folder.names():
        if name.endswith(".arrow"):
            one = tokens.open_shard(folder, name, vocab_hash=encoded.vocab_hash)
            many = tokens.open_shard(
                store.Folder(again.folder), name, vocab_hash=encoded.vocab_hash
            )
            assert many.to_pylist() == one.to_pylist()


def test_a_shard_without_documents_is_empty(tmp_path):
    write(store.Folder(tmp_path), "empty.arrow", shard("a", []))
    table = tokens.open_shard(store.Folder(tmp_path), "empty.arrow", vocab_hash="a")
    ids, offsets = tokens.documents(table)
    assert (ids.tolist(), ids.dtype, offsets.tolist()) == ([], np.uint16, [0])


def test_another_vocabulary_is_refused_by_both_names(encoded, folder):
    for read in (
        lambda: tokens.open_shard(folder, NAME, vocab_hash="f" * 64),
        lambda: tokens.read_manifest(folder, vocab_hash="f" * 64),
    ):
        with pytest.raises(DataError) as problem:
            read()
        assert encoded.vocab_hash in str(problem.value)
        assert "f" * 64 in str(problem.value)
        assert "\n  " in str(problem.value)


def test_what_is_no_whole_token_shard_is_one_error(encoded, folder, small_build, tmp_path):
    mine = store.Folder(tmp_path)
    whole = folder.read_bytes(NAME)
    mine.write_bytes("torn.arrow", whole[: len(whole) // 2])
    mine.write_bytes("text.arrow", b"no Arrow at all, but long enough to look like some")
    mine.write_bytes("empty.arrow", b"")
    corpus = store.Folder(small_build.out) / "corpus"
    mine.write_bytes("corpus.arrow", corpus.read_bytes(NAME))
    for name in ("torn.arrow", "text.arrow", "empty.arrow", "corpus.arrow", "missing.arrow"):
        with pytest.raises(DataError, match=name):
            tokens.open_shard(mine, name, vocab_hash=encoded.vocab_hash)


def test_a_reader_loads_neither_kernels_nor_tokenizers():
    code = (
        "import json, sys\n"
        "from tokenizer import tokens\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    heavy = {"numba", "sentencepiece", "tokenizers", "apache_beam", "regex", "pydantic"}
    assert set(json.loads(run.stdout)) & heavy == set()
