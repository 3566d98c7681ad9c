"""Sorting, merging and choosing units: what comes out depends on the counts alone."""

from collections import Counter as PlainCounter

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st
from unit_tables import as_dict, large, parts_of, units_table

from tokenizer import merging
from tokenizer.merging import UNITS, merged, most_frequent, sorted_distinct

MAPPINGS = st.lists(
    st.dictionaries(st.text("ab▁é字\0", min_size=1, max_size=4), st.integers(1, 9), max_size=30),
    max_size=6,
)


@given(MAPPINGS, st.integers(1, 4), st.integers(1, 12))
def test_merged_parts_add_up_range_by_range(mappings, batch_rows, range_rows):
    parts = [parts_of(units_table(mapping), batch_rows) for mapping in mappings]
    tables = list(merged(parts, range_rows=range_rows))
    found = [unit for table in tables for unit in table["unit"].to_pylist()]
    assert found == sorted(set(found), key=str.encode)
    total = sum((PlainCounter(mapping) for mapping in mappings), PlainCounter())
    assert {unit: n for table in tables for unit, n in as_dict(table).items()} == total


def test_a_range_of_the_merge_holds_no_more_than_was_asked_and_a_batch_of_each_part():
    mappings = [{f"{number:06d}": 1 for number in range(part, 9_000, 3)} for part in range(3)]
    parts = [parts_of(units_table(mapping), 100) for mapping in mappings]
    sizes = [table.num_rows for table in merged(parts, range_rows=1_000)]
    assert sum(sizes) == 9_000
    assert max(sizes) <= 1_000 + 3 * 100
    assert len(sizes) >= 7


@given(MAPPINGS, st.integers(1, 20))
def test_the_most_frequent_stay_whatever_the_parts(mappings, max_units):
    total = sum((PlainCounter(mapping) for mapping in mappings), PlainCounter())
    whole = units_table(total)
    kept, num_units, mass = most_frequent(iter([whole]), max_units)
    assert (num_units, mass) == (len(total), sum(total.values()))
    assert kept.num_rows == min(max_units, len(total))
    rows = list(as_dict(kept).items())
    assert rows == sorted(rows, key=lambda row: (-row[1], row[0].encode()))
    left = [n for unit, n in total.items() if unit not in as_dict(kept)]
    assert not left or not rows or max(left) <= rows[-1][1]
    pieces = (whole.slice(at, 3) for at in range(0, whole.num_rows, 3))
    assert most_frequent(pieces, max_units)[0].equals(kept)


def test_units_that_cannot_stay_are_dropped_on_the_way(monkeypatch):
    monkeypatch.setattr(merging, "RANGE_ROWS", 10)
    table = units_table({f"{number:04d}": number % 7 + 1 for number in range(500)})
    pieces = (table.slice(at, 10) for at in range(0, 500, 10))
    assert most_frequent(pieces, 20)[0].equals(most_frequent(iter([table]), 20)[0])


def test_of_equally_frequent_units_the_choice_is_not_by_the_alphabet():
    table = units_table({f"{number:03d}": 1 for number in range(1_000)})
    kept = most_frequent(iter([table]), 100)[0]["unit"].to_pylist()
    assert sum(unit < "500" for unit in kept) in range(30, 70)


def test_sorting_adds_up_what_is_equal():
    table = pa.table([large(["b", "a", "b", "", "a\0"]), pa.array([1, 2, 3, 4, 5])], schema=UNITS)
    assert list(as_dict(sorted_distinct(table)).items()) == [
        ("", 4),
        ("a", 2),
        ("a\0", 5),
        ("b", 4),
    ]
