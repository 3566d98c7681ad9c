"""Parquet, Arrow and Hugging Face datasets: what columns may look like."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

TEXTS = ["one", "zwölf", "", "四"]


def write_parquet(source, name, table, **options):
    pq.write_table(table, source.folder / name, **options)


def write_stream(source, name, table, **options):
    with pa.ipc.new_stream(source.folder / name, table.schema) as writer:
        writer.write_table(table, **options)


def write_file(source, name, table, **options):
    with pa.ipc.new_file(source.folder / name, table.schema) as writer:
        writer.write_table(table, **options)


FORMATS = [
    pytest.param(write_parquet, "x.parquet", id="parquet"),
    pytest.param(write_stream, "x.arrow", id="arrow-stream"),
    pytest.param(write_file, "x.arrow", id="arrow-file"),
]


@pytest.mark.parametrize(("write", "name"), FORMATS)
@pytest.mark.parametrize(
    "kind",
    [
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.binary(),
        pa.large_binary(),
        pa.dictionary(pa.int32(), pa.string()),
    ],
    ids=str,
)
def test_text_of_every_kind_of_column_is_read(source, write, name, kind):
    write(source, name, pa.table({"text": pa.array([*TEXTS, None]).cast(kind), "other": range(5)}))
    assert source.texts(name) == TEXTS
    assert source.tally.quarantined == {"missing_field": 1}
    assert source.tally.num_bytes == (source.folder / name).stat().st_size


@pytest.mark.parametrize(("write", "name"), FORMATS)
def test_columns_are_found_by_the_names_that_the_corpus_gives(source, write, name):
    table = pa.table(
        {
            "content": ["x", "y"],
            "link": ["https://x", None],
            "lang": pa.array(["sw", "yo"]).dictionary_encode(),
            "terms": [None, "MIT"],
        }
    )
    write(source, name, table)
    fields = {"text": "content", "url": "link", "label": "lang", "license": "terms"}
    rows = source.read(name, fields=fields)
    assert [(row["url"], row["declared"], row["license"]) for row in rows] == [
        ("https://x", "sw", "CC0-1.0"),
        (None, "yo", "MIT"),
    ]


@pytest.mark.parametrize(("write", "name"), FORMATS)
def test_a_missing_column_and_a_column_of_numbers_quarantine_every_row(source, write, name):
    write(source, name, pa.table({"number": range(2500)}))
    assert source.texts(name) == []
    assert source.tally.quarantined == {"missing_field": 2500}
    assert source.texts(name, fields={"text": "number"}) == []
    assert source.tally.quarantined == {"wrong_type": 2500}


@pytest.mark.parametrize(("write", "name"), FORMATS)
def test_bytes_that_are_no_utf8_cost_only_their_row(source, write, name):
    values = pa.array([b"good", b"\xff\xfe", b"fine"])
    # A string column that lies about its bytes, as a damaged file's does.
    lying = pa.StringArray.from_buffers(3, *values.buffers()[1:])
    for column in (values, lying):
        write(source, name, pa.table({"text": column}))
        assert source.texts(name) == ["good", "fine"]
        assert source.tally.quarantined == {"invalid_utf8": 1}


@pytest.mark.parametrize(("write", "name"), FORMATS)
def test_a_text_over_the_limit_is_quarantined(source, write, name):
    write(source, name, pa.table({"text": ["x" * 2000, "y"]}))
    assert source.texts(name, max_record_mb=0.001) == ["y"]
    assert source.tally.quarantined == {"record_too_large": 1}


def test_parquet_rows_keep_their_numbers_however_the_file_is_cut(source):
    write_parquet(
        source, "x.parquet", pa.table({"text": map(str, range(3000))}), row_group_size=700
    )
    for split_bytes in (1, 5000, 1 << 20):
        rows = source.read("x.parquet", split_bytes=split_bytes)
        assert all(row["origin"] == f"x.parquet#{row['text']}" for row in rows)
        assert len(rows) == 3000


def test_an_arrow_file_is_cut_between_batches(source):
    write_file(source, "x.arrow", pa.table({"text": map(str, range(3000))}), max_chunksize=700)
    rows = source.read("x.arrow", split_bytes=5000)
    assert len(source.splits) > 1
    assert [row["text"] for row in rows] == list(map(str, range(3000)))
    assert rows[700]["origin"] == "x.arrow#1.0"
    assert source.tally.num_bytes == (source.folder / "x.arrow").stat().st_size


def test_a_column_of_long_texts_is_yielded_in_small_batches(source):
    write_file(source, "x.arrow", pa.table({"text": ["x" * (1 << 20)] * 20}))
    assert len(source.read("x.arrow")) == 20
    from pipelines.sources import Tally, read

    sizes = [batch.num_rows for batch in read(source.splits[0], source.corpus("x.arrow"), Tally())]
    assert max(sizes) == 8
    assert sum(sizes) == 20


def test_a_local_dataset_is_read_shard_by_shard(source, monkeypatch, tmp_path_factory):
    pytest.importorskip("datasets")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    folder = source.folder / "set"
    folder.mkdir()
    for shard in range(3):
        texts = [f"{shard}.{row}" for row in range(450)]
        write_parquet(
            source, f"set/train-{shard}.parquet", pa.table({"text": texts, "n": range(450)})
        )
    rows = source.read(dataset={"path": "set"})
    assert len(source.splits) == 3
    assert len(rows) == 1350
    assert all(row["origin"] == f"set/train#{row['text']}" for row in rows)
