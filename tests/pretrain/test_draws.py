"""Counter-based randomness: the same numbers for the same counters, and nothing else in common."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pretrain import draws

LARGE = (1000, 4096, 4097, 65_535, 65_536, 65_537, 300_007)
BIG = 2**63 - 1


def chi_square(counts: np.ndarray) -> float:
    """Chi-square per degree of freedom of counts that should all be the same: about 1."""
    expected = counts.sum() / counts.size
    return float(((counts - expected) ** 2).sum() / expected / (counts.size - 1))


def test_bits_under_one_counter_are_the_published_outputs_of_splitmix64():
    published = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert draws.bits(1234567, np.arange(5)).tolist() == published


def test_what_runs_see_does_not_change():
    assert draws.key() == 9405881724609432797
    assert draws.key(0, "held out") == 13075751681831090813
    assert draws.key("ab", "c") == 3051457603875483757
    assert draws.key(-1, 2**80) == 3375898966450110624
    assert draws.bits(1, 2, 3) == 1072907043932612987
    assert draws.bits(draws.key("a"), -1) == 12987183596174218614
    assert draws.uniform(7, np.arange(3)).tolist() == [
        0.3898297483912715,
        0.01678829452815611,
        0.9007606806068834,
    ]
    assert draws.below(7, np.array([10, 2**40, 3]), np.arange(3)).tolist() == [3, 18458925044, 2]
    order = draws.permuted(np.arange(10), size=10, keys=draws.key("a"))
    assert order.tolist() == [4, 7, 5, 0, 8, 6, 9, 1, 3, 2]
    far = draws.permuted(
        np.array([0, 5, 999_999]), size=np.array([1, 6, 10**6]), keys=np.arange(1, 4, dtype="u8")
    )
    assert far.tolist() == [0, 5, 763962]
    assert draws.generator(0, "shuffle", 1).bit_generator.random_raw(2).tolist() == [
        12113460938146507984,
        6896939658468807255,
    ]


def test_a_key_stands_for_its_parts_their_order_and_their_borders():
    parts = [(), ("",), ("a",), ("a", ""), ("ab", "c"), ("a", "bc"), ("c", "ab"), (1,), ("1",)]
    parts += [(1, 2), (2, 1), (12,), (-1,), ("i1:1",), ("ä",), (2**64,), (0,), ("s1:a",)]
    assert len({draws.key(*one) for one in parts}) == len(parts)
    assert draws.key(np.int64(7), "a") == draws.key(7, "a")


def test_a_number_depends_on_its_counters_only_not_on_what_is_drawn_with_it():
    rows, columns = np.arange(40)[:, None], np.arange(-3, 27)[None, :]
    table = draws.bits(99, rows, columns)
    assert table.shape == (40, 30)
    for row, column in itertools.product((0, 7, 39), (0, 3, 29)):
        assert draws.bits(99, row, column - 3) == table[row, column]
    assert len(np.unique(table)) == table.size
    assert draws.bits(99, rows, columns, 0).shape == table.shape
    assert not np.isin(draws.bits(100, rows, columns), table).any()
    keys = draws.bits(3, np.arange(40)).reshape(40, 1)
    assert draws.bits(keys, columns)[5, 6] == draws.bits(int(keys[5, 0]), 3)


def test_counters_may_be_negative_of_any_width_and_as_large_as_64_bits():
    wide = draws.bits(5, np.array([-1, 3], np.int64))
    assert draws.bits(5, np.array([-1, 3], np.int8)).tolist() == wide.tolist()
    assert draws.bits(5, -1) == draws.bits(5, 2**64 - 1) == wide[0]
    assert draws.bits(5, np.array([3], np.uint16))[0] == wide[1]
    assert draws.bits(2**64 - 1, BIG).dtype == np.uint64


def test_arguments_are_left_as_they_were():
    key, counter = draws.bits(1, np.arange(4)), np.arange(4, dtype=np.uint64)
    before = key.tolist(), counter.tolist()
    draws.bits(key, counter)
    draws.bits(key)
    draws.permuted(np.arange(4), size=4, keys=key)
    assert (key.tolist(), counter.tolist()) == before


def test_each_bit_is_set_half_of_the_time_and_flips_with_each_bit_of_a_counter():
    drawn = draws.bits(11, np.arange(20_000))
    for place in range(64):
        ones = int(((drawn >> np.uint64(place)) & np.uint64(1)).sum())
        assert abs(ones - 10_000) < 5 * 71, place  # 5 standard deviations
        flipped = draws.bits(11, np.arange(2000).astype(np.uint64) ^ np.uint64(1 << place))
        share = np.bitwise_count(flipped ^ drawn[:2000]).mean() / 64
        assert abs(share - 0.5) < 0.01, place


def test_uniform_numbers_fill_the_unit_interval_evenly():
    drawn = draws.uniform(5, np.arange(1_000_00))
    assert drawn.min() >= 0 and drawn.max() < 1
    counts = np.bincount((drawn * 1000).astype(int), minlength=1000)
    assert 0.8 < chi_square(counts) < 1.2
    assert abs(np.corrcoef(drawn[:-1], drawn[1:])[0, 1]) < 0.02


@given(
    key=st.integers(0, 2**64 - 1),
    limits=st.lists(st.integers(1, BIG), min_size=1, max_size=20),
    first=st.integers(-(2**40), 2**40),
)
def test_numbers_below_a_limit_are_the_upper_half_of_the_product(key, limits, first):
    counters = np.arange(first, first + len(limits))
    found = draws.below(key, np.array(limits), counters)
    drawn = draws.bits(key, counters).tolist()
    assert found.tolist() == [one * limit >> 64 for one, limit in zip(drawn, limits, strict=True)]
    assert found.dtype == np.int64


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
def test_numbers_below_a_limit_are_even(limit):
    counts = np.bincount(draws.below(8, limit, np.arange(limit * 2000)), minlength=limit)
    assert len(counts) == limit
    assert limit == 1 or chi_square(counts) < 2.5


def test_every_small_range_is_permuted():
    for size in range(1, 301):
        found = draws.permuted(np.arange(size), size=size, keys=draws.key("small", size))
        assert np.array_equal(np.sort(found), np.arange(size)), size


@pytest.mark.parametrize("size", LARGE)
def test_every_large_range_is_permuted(size):
    found = draws.permuted(np.arange(size), size=size, keys=draws.key("large", size))
    assert np.array_equal(np.sort(found), np.arange(size))
    assert np.mean(found == np.arange(size)) < 0.01
    assert abs(np.corrcoef(found, np.arange(size))[0, 1]) < 0.15


def test_another_key_is_another_permutation():
    orders = {
        tuple(draws.permuted(np.arange(20), size=20, keys=key).tolist()) for key in range(500)
    }
    assert len(orders) == 500


def test_elements_of_many_permutations_are_each_what_their_own_gives():
    rng = np.random.default_rng(0)
    size = rng.integers(1, 5000, 300)
    index = (rng.random(300) * size).astype(np.int64)
    keys = draws.bits(4, rng.integers(0, 5, 300))
    found = draws.permuted(index, size=size, keys=keys)
    for place in range(300):
        alone = draws.permuted(
            index[place : place + 1], size=int(size[place]), keys=int(keys[place])
        )
        assert alone[0] == found[place]
    assert draws.permuted(np.zeros(0, np.int64), size=5, keys=1).shape == (0,)


@pytest.mark.parametrize("size", [2, 3, 4, 5, 6, 10, 17, 64, 100])
def test_over_many_keys_every_index_goes_to_every_place_equally_often(size):
    num_keys = 200_000 // size
    index = np.tile(np.arange(size), num_keys)
    keys = np.repeat(draws.bits(draws.key("even"), np.arange(num_keys)), size)
    found = draws.permuted(index, size=size, keys=keys)
    counts = np.zeros((size, size))
    np.add.at(counts, (index, found), 1)
    # Rows and columns add up by construction, which leaves (size - 1)**2 degrees of freedom.
    expected = num_keys / size
    statistic = ((counts - expected) ** 2).sum() / expected / (size - 1) ** 2
    assert statistic < (7 if size == 2 else 2), statistic


@pytest.mark.parametrize("size", [3, 4, 5])
def test_over_many_keys_all_orders_of_a_small_range_come(size):
    num_keys = 12_000
    keys = np.repeat(draws.bits(draws.key("orders"), np.arange(num_keys)), size)
    found = draws.permuted(np.tile(np.arange(size), num_keys), size=size, keys=keys)
    _, counts = np.unique(found.reshape(-1, size), axis=0, return_counts=True)
    orders = int(np.prod(np.arange(1, size + 1)))
    assert len(counts) == orders
    assert counts.min() > 0.6 * num_keys / orders and counts.max() < 1.5 * num_keys / orders


def test_an_index_outside_its_range_is_refused():
    for index in (-1, 5):
        with pytest.raises(AssertionError, match="outside"):
            draws.permuted(np.array([0, index]), size=5, keys=1)


def test_generators_of_one_name_are_the_same_and_of_others_are_not():
    first = draws.generator(1, "mask", 7).random(1000)
    assert np.array_equal(first, draws.generator(1, "mask", 7).random(1000))
    for other in ((2, "mask", 7), (1, "mask", 8), (1, "pairs", 7)):
        assert abs(np.corrcoef(first, draws.generator(*other).random(1000))[0, 1]) < 0.15
