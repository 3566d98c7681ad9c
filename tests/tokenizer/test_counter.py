"""The counting kernel against a Python Counter; which lines are held out."""

import json

import numpy as np
import pyarrow as pa
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from script_texts import documents
from unit_tables import as_dict, count, large, lines_of, plain

from tokenizer import counter
from tokenizer.counter import HELD, Counter, smallest_lines
from tokenizer.merging import UNITS
from tokenizer.segments import hash_bytes


@given(st.lists(documents(), max_size=5))
def test_counts_equal_those_of_python_in_the_order_of_bytes(texts):
    table = count(texts).result()
    assert as_dict(table) == plain(texts)
    listed = table["unit"].to_pylist()
    assert listed == sorted(listed, key=str.encode)
    assert table.schema == UNITS


def test_tables_that_grow_many_times_lose_nothing():
    letters = str.maketrans("0123456789", "ghijklmnop")
    texts = [
        " ".join(f"{number:x}".translate(letters) for number in range(start, start + 150_000))
        for start in (0, 100_000, 0)
    ]
    counted = Counter()
    for text in texts:
        counted.add(large([text]))
    assert as_dict(counted.result()) == plain(texts)
    assert counted.num_units == 250_000


def test_one_huge_line_is_counted_like_many():
    line = "слово ਸ਼ਬਦ word 3,14 " * 60_000 + "字" * 300_000
    assert as_dict(count([line]).result()) == plain([line])


def test_units_that_the_table_takes_for_each_other_are_told_apart_by_their_bytes():
    # Found by search: both halves that the table looks at are equal, the place and the tag.
    words = ["nsyscbnu", "wnxhixoa"]
    first, second = (
        int(hash_bytes(np.frombuffer(word.encode(), np.uint8), 0, 8, counter.AFTER_SPACE))
        for word in words
    )
    assert first >> 32 == second >> 32 and first % 2**18 == second % 2**18 and first != second
    assert as_dict(count([" ".join([*words, *words, words[1]])]).result()) == {
        "▁nsyscbnu": 2,
        "▁wnxhixoa": 3,
    }


def test_a_unit_after_a_space_is_another_than_the_same_inside():
    assert as_dict(count(["a1 1 a", "1"]).result()) == {"1": 1, "▁1": 2, "▁a": 2}


def test_empty_texts_have_no_units():
    assert count(["", " ", "\n\n"]).result().num_rows == 0
    assert Counter().result().num_rows == 0
    assert Counter().held().num_rows == 0


def test_a_slice_counts_its_own_documents_only():
    texts = large(["eins", "zwei", "drei", "vier"])
    counted = Counter()
    counted.add(texts.slice(1, 2))
    assert as_dict(counted.result()) == {"▁drei": 1, "▁zwei": 1}


# --- held-out lines


@given(st.lists(documents(max_words=15), max_size=6))
def test_a_line_is_either_counted_or_held_out(texts):
    counted = count(texts, held_out=0.5, held_out_bytes=1 << 20)
    held = set(counted.held()["text"].to_pylist())
    assert held <= set(lines_of(texts))
    assert as_dict(counted.result()) == plain(line for line in lines_of(texts) if line not in held)
    assert counted.held_lines == sum(line in held for line in lines_of(texts))
    assert counted.held_bytes == sum(len(n.encode()) for n in lines_of(texts) if n in held)


LINES = [f"line {number} of many, {number * 7919}" for number in range(4_000)]


def test_the_side_of_a_line_does_not_depend_on_where_it_stands():
    alone = {line for line in LINES if count([line], held_out=0.1).held_lines}
    together = count(["\n".join(reversed(LINES))], held_out=0.1, held_out_bytes=1 << 20)
    assert set(together.held()["text"].to_pylist()) == alone
    assert 0.08 < len(alone) / len(LINES) < 0.12


def test_a_larger_share_holds_out_the_lines_of_a_smaller_one_and_more():
    few, many = (
        set(count(LINES, held_out=share, held_out_bytes=1 << 20).held()["text"].to_pylist())
        for share in (0.05, 0.3)
    )
    assert few < many


def test_of_too_many_lines_those_with_the_smallest_hashes_are_kept():
    everything = count(LINES, held_out=0.5, held_out_bytes=1 << 20).held()
    some = Counter(held_out=0.5, held_out_bytes=3_000)
    for line in LINES:  # the limit is reached on the way, and falls
        some.add(large([line, line]))
    kept = some.held()
    assert kept.equals(everything.slice(0, kept.num_rows))
    sizes = [len(line.encode()) for line in kept["text"].to_pylist()]
    assert sum(sizes[:-1]) < 3_000 <= sum(sizes)
    assert kept["hash"].to_pylist() == sorted(set(kept["hash"].to_pylist()))
    assert some.held_lines == 2 * everything.num_rows


def test_more_lines_than_the_kernel_sets_aside_at_a_time_are_all_held_out():
    lines = [f"{number}" for number in range(3 * counter.BATCH_LINES)]
    counted = count(["\n".join(lines)], held_out=1.0, held_out_bytes=1 << 30)
    assert sorted(counted.held()["text"].to_pylist()) == sorted(lines)
    assert counted.num_units == 0


def test_a_very_long_line_is_never_held_out():
    line = "word " * 20_000
    assert count([line], held_out=1.0, held_out_bytes=1 << 30).held_lines == 0


@given(
    st.lists(st.tuples(st.integers(0, 30), st.sampled_from("abc")), max_size=40),
    st.integers(0, 25),
    st.data(),
)
def test_the_smallest_lines_of_parts_give_those_of_the_whole(lines, num_bytes, data):
    rows = [(number, letter * (1 + number % 4)) for number, letter in lines]
    cut = data.draw(st.integers(0, len(rows)))

    def table(some):
        return pa.table(
            [pa.array([a for a, _ in some], pa.uint64()), large(b for _, b in some)], schema=HELD
        )

    whole = smallest_lines([table(rows)], num_bytes=num_bytes)
    halves = [smallest_lines([table(s)], num_bytes=num_bytes) for s in (rows[cut:], rows[:cut])]
    assert smallest_lines(halves, num_bytes=num_bytes).equals(whole)
    assert whole["hash"].to_pylist() == [a for a, _ in sorted(set(rows))[: whole.num_rows]]


@pytest.mark.slow
def test_lines_of_two_hundred_languages_are_counted_as_python_does(data):
    with zstandard.open(data / "lid" / "dev.jsonl.zst", "rt", encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in file]
    assert len(texts) > 20_000
    assert as_dict(count(texts).result()) == plain(texts)
