"""Finding files, naming them, and cutting them into splits."""

import os
import zipfile
from dataclasses import asdict

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines.errors import ConfigError, DataError
from pipelines.sources import discover

LINE = '{"text": "x"}\n'


def names(source, *files, **options):
    corpus = source.corpus(*files, **options)
    return [split.name for split in discover(corpus, base=source.folder)]


def test_files_are_named_below_the_fixed_part_and_sorted_by_code_point(source):
    for name in ("in/b/z.jsonl", "in/b/Ä.jsonl", "in/a.jsonl", "in/B.jsonl"):
        source.write(name, LINE)
    assert names(source, "in/**/*.jsonl") == ["B.jsonl", "a.jsonl", "b/z.jsonl", "b/Ä.jsonl"]


def test_names_do_not_depend_on_where_the_corpus_lies(source, tmp_path_factory):
    other = type(source)(tmp_path_factory.mktemp("elsewhere"))
    for place in (source, other):
        for name in ("one/x.jsonl", "two/x.jsonl", "two/y.jsonl"):
            place.write(name, LINE)
    found = names(source, "one/*.jsonl", "two/*.jsonl")
    assert found == ["one/x.jsonl", "two/x.jsonl", "y.jsonl"]
    assert found == names(other, "one/*.jsonl", "two/*.jsonl")


def test_a_file_that_two_patterns_match_is_read_once(source):
    source.write("x.jsonl", LINE)
    assert source.texts("*.jsonl", "x.jsonl") == ["x"]


def test_a_literal_file_may_have_wildcards_in_its_name(source):
    source.write("x[1].jsonl", LINE)
    assert names(source, "x[1].jsonl") == ["x[1].jsonl"]


def test_the_folder_of_the_configuration_may_have_wildcards_in_its_name(tmp_path_factory, source):
    folder = tmp_path_factory.mktemp("alone") / "in[1]*"  # ".." must hold nothing of other tests
    folder.mkdir()
    other = type(source)(folder)
    other.write("a/x.jsonl", LINE)
    assert names(other, "*/*.jsonl") == ["a/x.jsonl"]
    (name,) = names(other, "../*/a/*.jsonl")
    assert name.endswith("/a/x.jsonl")


def test_archives_are_found_from_the_folder_of_the_configuration(source):
    with zipfile.ZipFile(source.folder / "x.zip", "w") as archive:
        archive.writestr("x.txt", "x")
    assert names(source, "zip://*.txt::x.zip") == ["x.txt"]


def test_hidden_files_and_folders_below_two_stars_are_left_out(source):
    source.write("in/.cache/x.jsonl", LINE)
    source.write("in/.x.jsonl", LINE)
    source.write("in/folder.jsonl/x.jsonl", LINE)
    assert names(source, "in/**/*.jsonl") == ["folder.jsonl/x.jsonl"]


@pytest.mark.parametrize("pattern", ["missing/*.jsonl", "missing.jsonl", "memory://none/*.jsonl"])
def test_a_pattern_without_a_match_names_corpus_pattern_and_place(source, pattern):
    with pytest.raises(DataError) as error:
        names(source, pattern)
    message = str(error.value)
    assert "'test'" in message
    assert repr(pattern) in message
    assert (pattern if "://" in pattern else str(source.folder / pattern)) in message


def test_a_folder_instead_of_files_says_what_to_write(source):
    source.write("in/x.jsonl", LINE)
    with pytest.raises(DataError, match=r"is a folder.*\n.*in/\*\*/\*\.jsonl"):
        names(source, "in")


def test_a_format_that_the_name_does_not_tell_is_asked_for(source):
    source.write("x.dat.gz", "")
    with pytest.raises(ConfigError, match=r"'x\.dat\.gz'.*\n.*format:"):
        names(source, "*.gz")
    assert names(source, "*.gz", format="text") == ["x.dat.gz"]


@pytest.mark.parametrize(
    ("name", "format_", "compression"),
    [
        ("x.jsonl", "jsonl", None),
        ("x.json.gz", "jsonl", "gz"),
        ("X.NDJSON.ZST", "jsonl", "zst"),
        ("part.gz.parquet", "parquet", None),
        ("x.arrow", "arrow", None),
        ("x.txt.bz2", "text", "bz2"),
        ("x.htm", "html", None),
        ("CC-MAIN.warc.gz", "warc", "gz"),
        ("CC-MAIN.warc.wet.gz", "wet", "gz"),
        ("swwiki-pages-articles.xml.bz2", "mediawiki", "bz2"),
    ],
)
def test_the_name_tells_format_and_compression(source, name, format_, compression):
    source.write(name, "")
    (split,) = discover(source.corpus(name), base=source.folder)
    assert (split.format, split.compression) == (format_, compression)


def test_the_version_changes_with_the_file(source):
    path = source.write("x.jsonl", LINE)
    (before,) = discover(source.corpus("x.jsonl"), base=source.folder)
    os.utime(path, ns=(0, 1))
    (after,) = discover(source.corpus("x.jsonl"), base=source.folder)
    assert before.version != after.version
    assert asdict(before) | {"version": ""} == asdict(after) | {"version": ""}


def test_only_plain_json_lines_parquet_and_arrow_files_are_cut(source):
    text = LINE * 1000
    source.write("x.jsonl", text)
    source.write("x.txt", text)
    corpus = source.corpus("x.*")
    splits = discover(corpus, base=source.folder, split_bytes=4000)
    assert [split.name for split in splits] == ["x.jsonl"] * 4 + ["x.txt"]
    assert [split.start for split in splits[1:4]] == [split.end for split in splits[:3]]
    assert sum(split.num_bytes for split in splits) == 2 * len(text)


def test_parquet_is_cut_between_row_groups_and_adds_up_to_the_file(source):
    path = source.folder / "x.parquet"
    table = pa.table({"text": [os.urandom(20).hex() for _ in range(1000)]})
    pq.write_table(table, path, row_group_size=100)
    corpus = source.corpus("x.parquet")
    splits = discover(corpus, base=source.folder, split_bytes=path.stat().st_size // 4)
    assert len(splits) > 2
    assert (splits[0].start, splits[-1].end) == (0, 10)
    assert sum(split.num_bytes for split in splits) == path.stat().st_size


def test_files_of_any_file_system_are_found_and_read(source):
    with fsspec.open("memory://bucket/in/x.jsonl", "wb") as file:
        file.write(LINE.encode() * 3)
    rows = source.read("memory://bucket/*/*.jsonl", split_bytes=20)
    assert [row["origin"] for row in rows] == [f"in/x.jsonl#{at}" for at in (0, 14, 28)]
    assert len(source.splits) == 3


def test_members_of_archives_are_found_and_read_by_their_inner_names(source):
    for name in ("a.zip", "b.zip"):
        with zipfile.ZipFile(source.folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("in/x.txt", f"x of {name}")
            archive.writestr(f"in/{name}.txt", "y")
            archive.writestr("other.csv", "z")
    rows = source.read(f"zip://in/*.txt::{source.folder}/*.zip")
    assert {row["origin"]: row["text"] for row in rows} == {
        "a.zip.txt": "y",
        "a.zip/in/x.txt": "x of a.zip",
        "b.zip.txt": "y",
        "b.zip/in/x.txt": "x of b.zip",
    }
