"""TSV and CSV as people write them."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import DataError
from pretrain.tasks import fields, readers
from pretrain.tasks.data import open_task
from pretrain.tasks.files import Source


def read(text, name="a.tsv"):
    source = Source(path=Path(name), shown=name, short=name, split=None, code=None)
    return readers.delimited(text.encode(), source, known=fields.KNOWN)


def columns(text, name="a.tsv"):
    return {name: values.to_pylist() for name, values in read(text, name).columns.items()}


def test_a_quotation_mark_at_the_beginning_of_a_tsv_field_swallows_nothing():
    text = 'text\tlabel\n"Njoo," alisema\tx\n"hakufunga\ty\nmwisho\tx\n'
    assert columns(text)["text"] == ['"Njoo," alisema', '"hakufunga', "mwisho"]


def test_a_tsv_whose_quotes_are_a_librarys_is_unquoted_and_no_other():
    doubled = 'text\tlabel\n"alisema ""njoo"""\tx\nmwisho\ty\n'
    assert columns(doubled)["text"] == ['alisema "njoo"', "mwisho"]
    throughout = '"text"\t"label"\n"njoo"\t"x"\n'
    assert columns(throughout) == {"text": ["njoo"], "label": ["x"]}
    assert columns('text\tlabel\n"njoo"\tx\n')["text"] == ['"njoo"']


def test_a_quote_that_is_never_closed_costs_its_own_line_of_a_csv():
    text = 'text,label\na,x\n"open,y\nb,x\n"c, with a\nbreak",y\n"d" e,x\nf,y\n'
    records = read(text, "a.csv")
    assert records.columns["text"].to_pylist() == ["a", "b", "c, with a\nbreak", "f"]
    assert list(records.places) == [2, 4, 5, 8]
    assert list(records.broken) == [("broken_quotes", 3), ("broken_quotes", 7)]


ROWS = st.lists(
    st.tuples(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8),
              st.sampled_from("xyz")),
    min_size=1, max_size=6,
)  # fmt: skip


@given(ROWS, st.sampled_from([",", ";"]))
def test_what_a_library_writes_as_csv_is_read_back(rows, delimiter):
    rows = [(text, target) for text, target in rows if "\x00" not in text and text.strip()]
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter)
    writer.writerows([("text", "label"), *rows])
    assert columns(file.getvalue(), "a.csv") == {
        "text": [text for text, _ in rows],
        "label": [target for _, target in rows],
    } or any("\ufdd0" in text for text, _ in rows)


def test_a_row_of_other_columns_is_broken():
    records = read("text\tlabel\na\tx\nb\n\nc\tx\ty\nd\tx\n")
    assert records.columns["text"].to_pylist() == ["a", "d"]
    assert list(records.broken) == [("wrong_number_of_columns", 3), ("wrong_number_of_columns", 5)]


def test_a_text_longer_than_the_librarys_limit_is_read():
    long = "neno " * 60_000
    assert columns(f'text,label\n"{long}",x\n', "a.csv")["text"] == [long]


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_columns_need_no_header(tmp_path, order):
    rows = [(f"maneno {n}", "ab"[n % 2]) for n in range(30)]
    path = tmp_path / "a.train.tsv"
    text = "\n".join("\t".join(row[place] for place in order) for row in rows)
    path.write_text(text, encoding="utf-8")
    data = open_task(path, task="classify")
    assert data.targets == ("a", "b")
    assert sum(len(table) for table in (data.train, data.dev, data.test)) == 30


def test_a_header_of_other_names_is_not_taken_for_an_example(tmp_path):
    path = tmp_path / "a.train.tsv"
    path.write_text("txet\tlable\n" + "a\tx\nb\ty\n" * 9, encoding="utf-8")
    with pytest.raises(DataError, match=r"a\.train\.tsv:1: the first line is a header of other"):
        open_task(path, task="classify")
    path.write_text("id\ttxet\tlable\n" + "1\ta\tx\n2\tb\ty\n" * 9, encoding="utf-8")
    with pytest.raises(DataError, match=r"no column for `text`; .*\n.*Is `txet` meant\?"):
        open_task(path, task="classify")
    path.write_text("x1\tx2\tx3\n" + "1\ta\tx\n2\tb\ty\n" * 9, encoding="utf-8")
    with pytest.raises(DataError, match="the first line names none of the columns"):
        open_task(path, task="classify")


def test_a_column_that_is_there_twice_is_refused():
    with pytest.raises(DataError, match="two columns named 'text'"):
        read("text\ttext\tlabel\na\tb\tx\n")


def test_bad_bytes_cost_their_own_row(tmp_path):
    path = tmp_path / "a.train.tsv"
    good = "".join(f"måne {n}\t{'xy'[n % 2]}\n" for n in range(40)).encode()
    path.write_bytes(b"text\tlabel\n" + good + b"sj\xf8\tx\n")
    data = open_task(path)
    assert data.counts["train"]["invalid_utf8"] == 1
    assert sum(one["read"] for one in data.counts.values()) == 41
