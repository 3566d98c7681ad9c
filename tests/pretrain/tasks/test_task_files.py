"""Files of task data: which there are, what their names say, and their bytes as text."""

import bz2
import gzip
import hashlib
import lzma
from pathlib import Path

import pytest
import zstandard

from pipelines.errors import DataError, EnvironmentProblem
from pretrain.tasks import files

ROWS = b"text\ttarget\nhabari njema\tgood\nhabari mbaya\tbad\n"


def write(folder: Path, *names: str) -> Path:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(ROWS)
    return folder


def found(*paths, **options):
    return [one.path.name for one in files.sources(list(paths), **options)]


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("sib200.train.jsonl.zst", "train"),
        ("sw_x-ud-dev.conllu", "dev"),
        ("validation-00000-of-00001.parquet", "dev"),
        ("VAL.tsv", "dev"),
        ("test_set.csv", "test"),
        ("test-suite.train.tsv", "train"),
        ("training.tsv", "train"),
        ("contest.tsv", None),
        ("latest.csv", None),
        ("data.tsv", None),
    ],
)
def test_the_last_word_of_a_name_that_is_a_split_is_the_split(name, split):
    assert files.split_of(Path(name)) == split


def test_a_folder_between_the_data_and_the_file_names_the_split_and_none_above_does(tmp_path):
    data = write(tmp_path / "test", "train/a.tsv", "dev/a.tsv", "b.tsv")
    splits = {one.short: one.split for one in files.sources([data])}
    assert splits == {"train/a.tsv": "train", "dev/a.tsv": "dev", "b.tsv": None}


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("sw_x-ud-train.conllu", "sw"),
        ("wo_wtb-ud-test.conllu.gz", "wo"),
        ("swh_Latn.train.tsv", "swh_Latn"),
        ("topics-zho_Hant-test.jsonl", "zho_Hant"),
        ("hau_train.tsv", "hau"),
        ("xquad.el.json", "el"),
        ("dev-context-vi-question-de.json", "vi"),
        ("ner.train.tsv", None),
        ("pos.tsv", None),
        ("sib200.train.tsv", None),
        ("afrisenti.train.tsv", None),
        ("train.tsv", None),
        ("my_data.train.tsv", None),
        ("norquad.train.jsonl", None),
    ],
)
def test_a_name_tells_a_language_only_where_it_is_unmistakable(name, code):
    assert files.code_of(Path(name)) == code


def test_a_folder_names_the_language_of_files_that_are_named_after_splits_alone(tmp_path):
    data = write(tmp_path, "hau/train.tsv", "ibo/dev.tsv", "ner/test.tsv")
    codes = {one.short: one.code for one in files.sources([data])}
    assert codes == {"hau/train.tsv": "hau", "ibo/dev.tsv": "ibo", "ner/test.tsv": None}


def test_a_prefix_a_folder_and_a_list_find_the_same_files(tmp_path):
    data = write(tmp_path, "topics.train.tsv", "topics.test.tsv.gz", "topics-old.train.tsv")
    names = ["topics.test.tsv.gz", "topics.train.tsv"]
    assert found(data / "topics") == names
    assert found(data / names[0], data / names[1], data / names[1]) == names
    assert found(data) == ["topics-old.train.tsv", *names]


def test_what_is_no_data_is_passed_over_in_a_folder(tmp_path):
    data = write(
        tmp_path, "a.tsv", "README.txt", "LICENSE.txt", ".hidden.tsv", ".git/b.tsv", "c.py"
    )
    assert found(data) == ["a.tsv"]


def test_a_file_that_lies_there_twice_is_not_read_twice(tmp_path):
    data = write(tmp_path, "a.train.tsv", "a.train.tsv.gz")
    with pytest.raises(DataError, match=r"lies there twice, a\.train\.tsv is the same"):
        files.sources([data])


def test_a_path_that_is_not_there_brings_up_what_is(tmp_path):
    write(tmp_path, "topics.train.tsv")
    with pytest.raises(DataError, match=r"no such file or folder.*\n.*`topics\.train\.tsv`"):
        files.sources([tmp_path / "topcs.train.tsv"])
    with pytest.raises(DataError, match="has no file of task data"):
        files.sources([write(tmp_path / "empty", "notes.md")])
    with pytest.raises(DataError, match=r"doesn't know files of this kind.*\n.*tsv"):
        files.sources([tmp_path / "empty" / "notes.md"])


@pytest.mark.parametrize(
    ("ending", "compress"),
    [
        ("", bytes),
        (".gz", lambda data: gzip.compress(data[:20]) + gzip.compress(data[20:])),
        (".bz2", bz2.compress),
        (".xz", lzma.compress),
        (".zst", zstandard.compress),
    ],
)
def test_files_are_read_through_their_compression_and_hashed_as_they_lie_there(
    tmp_path, ending, compress
):
    path = tmp_path / f"a.tsv{ending}"
    path.write_bytes(compress(ROWS))
    (source,) = files.sources([path])
    assert files.read_bytes(source) == (ROWS, hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.mark.parametrize("ending", [".gz", ".bz2", ".xz", ".zst"])
@pytest.mark.parametrize("cut", [-5, None])
def test_a_compressed_file_that_is_cut_short_or_is_none_is_refused(tmp_path, ending, cut):
    compress = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}
    whole = compress.get(ending, zstandard.compress)(ROWS * 1000)
    path = tmp_path / f"a.tsv{ending}"
    path.write_bytes(whole[:cut] if cut else ROWS)
    with pytest.raises(DataError, match=f"no whole {ending[1:]} file"):
        files.read_bytes(files.sources([path])[0])


@pytest.mark.parametrize("data", [b"", b" \n\n", gzip.compress(b"", mtime=0)])
def test_an_empty_file_is_an_error_of_its_own(tmp_path, data):
    path = tmp_path / ("a.tsv.gz" if data[:1] == b"\x1f" else "a.tsv")
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"a\.tsv.*: is empty"):
        files.read_bytes(files.sources([path])[0])


def test_a_file_that_vanishes_is_a_problem_of_the_machine(tmp_path):
    (source,) = files.sources([write(tmp_path, "a.tsv") / "a.tsv"])
    source.path.unlink()
    with pytest.raises(EnvironmentProblem, match="can't be read"):
        files.read_bytes(source)


def test_a_byte_order_mark_is_no_text():
    assert files.decode(b"\xef\xbb\xbfsana", shown="a") == "sana"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_utf_16_is_named(encoding):
    with pytest.raises(DataError, match=r"(?s)a\.tsv: .*UTF-(16|32).*iconv"):
        files.decode("text\ttarget\n".encode(encoding), shown="a.tsv")


def test_another_encoding_is_an_error_with_the_place_that_told():
    data = "text\ttarget\nplain\ta\nmåne\tb\nsjø\ta\n".encode("latin-1")
    with pytest.raises(
        DataError, match=r"a\.tsv:3:2: isn't UTF-8 \(byte 0xe5\), nor are 2 of the 2"
    ):
        files.decode(data, shown="a.tsv")


def test_one_bad_line_among_good_ones_is_marked_and_costs_itself_alone():
    data = "måne\n".encode() * 30 + b"sj\xf8\xf8\n" + "ål\n".encode()
    text = files.decode(data, shown="a.tsv")
    assert text == "måne\n" * 30 + f"sj{files.BAD}\nål\n"
