import itertools

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from pipelines import dedupe
from pipelines.config import Dedupe


def documents(texts: list[int], urls: list[int | None], bands: list[list[int] | None]) -> pa.Table:
    width = 8 * len(next(b for b in bands if b is not None))
    return pa.table(
        {
            "text_hash": pa.array([n.to_bytes(16, "little") for n in texts], pa.binary(16)),
            "url_hash": pa.array(urls, pa.uint64()),
            "bands": pa.array(
                [b if b is None else np.array(b, "<u8").tobytes() for b in bands], pa.binary(width)
            ),
        }
    )


def groups_of(
    table: pa.Table, settings: Dedupe, *, num_partitions: int = 1
) -> tuple[list[int], list[int]]:
    good = np.ones(table.num_rows, bool)
    keys = dedupe.keys_of(table, good, first_document=0, settings=settings)
    ordered, bounds = dedupe.partitioned(keys, num_partitions)
    by_text, by_url = dedupe.Groups(table.num_rows), dedupe.Groups(table.num_rows)
    for start, end in itertools.pairwise(bounds):
        text_edges, url_edges = dedupe.split_edges(dedupe.join([ordered[start:end].tobytes()]))
        by_text.add(text_edges)
        by_url.add(url_edges)
    return by_text.roots().tolist(), by_url.roots().tolist()


def test_equal_texts_urls_and_bands_join_and_chains_close():
    table = documents(
        [1, 1, 2, 3, 4, 5],
        [None, None, 7, 7, None, None],
        [[10, 11], [12, 13], [14, 15], [16, 17], [18, 17], [20, 21]],
    )
    # 0-1 by text, 3-4 by the second band; 2-3 by url
    assert groups_of(table, Dedupe(bands=2)) == ([0, 0, 2, 3, 3, 5], [0, 1, 2, 2, 4, 5])


def test_each_kind_can_be_switched_off():
    table = documents([1, 1, 2, 3], [None, 7, 7, None], [[1, 2], [3, 4], [5, 6], [9, 6]])
    assert groups_of(table, Dedupe(bands=2, url=False, near=False))[0] == [0, 0, 2, 3]
    assert groups_of(table, Dedupe(bands=2, exact=False, near=False))[1] == [0, 1, 1, 3]
    assert groups_of(table, Dedupe(bands=2, exact=False, url=False))[0] == [0, 1, 2, 2]
    off = Dedupe(exact=False, near=False, url=False)
    assert groups_of(table, off) == ([0, 1, 2, 3], [0, 1, 2, 3])


def test_the_same_number_in_another_band_or_kind_is_no_match():
    table = documents([1, 2], [1, None], [[1, 2], [2, 1]])
    assert groups_of(table, Dedupe(bands=2)) == ([0, 1], [0, 1])


def test_documents_without_url_or_shingles_do_not_join_on_that():
    table = documents([1, 2, 3], [None, None, None], [None, None, [1, 2]])
    assert groups_of(table, Dedupe(bands=2)) == ([0, 1, 2], [0, 1, 2])


def test_documents_that_failed_a_rule_take_no_part():
    table = documents([1, 1], [None, None], [[1, 2], [1, 2]])
    keys = dedupe.keys_of(
        table, np.array([True, False]), first_document=5, settings=Dedupe(bands=2)
    )
    assert set(keys["document"].tolist()) == {5}  # and no URL


def test_a_slice_of_a_table_gives_the_keys_of_its_rows():
    table = documents([1, 2, 3, 4], [1, None, 3, 4], [[1, 1], [2, 2], None, [4, 4]])
    settings = Dedupe(bands=2)
    whole = dedupe.keys_of(table, np.ones(4, bool), first_document=0, settings=settings)
    batch = table.combine_chunks().to_batches()[0].slice(2, 2)
    part = dedupe.keys_of(batch, np.ones(2, bool), first_document=2, settings=settings)
    wanted = whole[(whole["document"] & ~dedupe.URL_BIT) >= 2]
    assert sorted(part.tolist()) == sorted(wanted.tolist())


@given(
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=40),
    st.sampled_from([1, 2, 8]),
)
def test_groups_are_the_connected_components_whatever_the_partitions(rows, num_partitions):
    table = documents(list(range(len(rows))), [None] * len(rows), [list(row) for row in rows])
    settings = Dedupe(bands=2, exact=False, url=False)
    found = groups_of(table, settings, num_partitions=num_partitions)[0]
    parent = list(range(len(rows)))
    for _ in rows:  # relax until nothing changes: slow, and plainly right
        for i, a in enumerate(rows):
            for j, b in enumerate(rows):
                if a[0] == b[0] or a[1] == b[1]:
                    parent[i] = parent[j] = min(parent[i], parent[j])
    assert found == parent


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 3)), max_size=30))
def test_the_kept_copy_does_not_depend_on_the_order_of_documents(rows):
    def kept(order: list[int]) -> dict[int, bytes]:
        group = np.array([rows[i][0] for i in order], np.int64)
        rank = np.array([rows[i][1] for i in order], np.int64)
        length = np.array([rows[i][2] for i in order], np.int64)
        identity = np.array([f"{i:04d}" for i in order], "S32")
        chosen = dedupe.choose(group, rank, length, identity)
        return {int(g): identity[c] for g, c in zip(group, chosen, strict=True)}

    order = list(range(len(rows)))
    if rows:
        assert kept(order) == kept(order[::-1])


def test_kept_is_the_corpus_listed_first_then_the_longest_then_the_smallest_id():
    group = np.zeros(4, np.int64)
    rank = np.array([1, 0, 0, 0])
    length = np.array([900, 100, 200, 200])
    identity = np.array([b"a", b"b", b"d", b"c"], "S32")
    assert dedupe.choose(group, rank, length, identity).tolist() == [3, 3, 3, 3]


def test_partitions_are_enough_for_the_memory_and_no_more():
    settings = Dedupe(memory_mb=16)
    assert dedupe.num_partitions(1_000, settings) == 1
    many = dedupe.num_partitions(10_000_000, settings)
    per_partition = 10_000_000 * 16 * dedupe.KEY_BYTES * dedupe.SORT_COPIES / many
    assert per_partition <= 16 << 20 < per_partition * 4
    # 16 bytes a key, three copies while sorting, however many documents: within the promise
    assert dedupe.KEY_BYTES * dedupe.SORT_COPIES / 2 <= 40
