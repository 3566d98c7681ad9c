"""Counts of units by plain Python, and tables of them, for the tests of counting."""

from collections import Counter as PlainCounter

import pyarrow as pa

from tokenizer.counter import Counter
from tokenizer.merging import UNITS, Part
from tokenizer.segments import units_of


def large(texts):
    return pa.array(list(texts), pa.large_string())


def count(texts, **options):
    counted = Counter(**options)
    counted.add(large(texts))
    return counted


def plain(texts):
    return PlainCounter(unit for text in texts for unit in units_of(text))


def as_dict(table):
    return dict(zip(*(column.to_pylist() for column in table.columns), strict=True))


def units_table(mapping):
    rows = sorted(mapping.items())
    return pa.table(
        [large(unit for unit, _ in rows), pa.array([n for _, n in rows], pa.int64())], schema=UNITS
    )


def parts_of(table, batch_rows):
    batches = table.to_batches(max_chunksize=batch_rows)
    return Part(len(batches), batches.__getitem__)


def lines_of(texts):
    return [line for text in texts for line in text.split("\n") if line]
