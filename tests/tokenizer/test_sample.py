"""What a vocabulary is trained on: each language's share, and the characters it must have."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import store
from tokenizer import sample
from tokenizer.config import Sampling

BY_CONTENT = Sampling(max_repeat=16)


def language(label, num_bytes, content):
    return sample.Language(label, num_bytes, content)


ENGLISH = language("eng_Latn", 10_000_000, 10_000_000.0)
BURMESE = language("mya_Mymr", 3_000_000, 1_000_000.0)  # three bytes a letter
SMALL = language("saq_Latn", 1_000, 1_000.0)


def write_units(folder, label, units):
    table = pa.table(
        {
            "unit": pa.array(list(units), pa.large_string()),
            "count": pa.array(list(units.values()), pa.int64()),
        }
    )
    with folder.writing(f"{label}.units.arrow") as file:
        with pa.ipc.new_file(file, table.schema) as writer:
            writer.write_table(table)


def test_by_content_each_language_counts_the_same_whatever_its_script_takes_in_bytes():
    found = sample.factors([ENGLISH, BURMESE], sampling=BY_CONTENT, sample_bytes=2_000_000)
    assert found[0] * ENGLISH.content == pytest.approx(found[1] * BURMESE.content)
    assert found @ [ENGLISH.num_bytes, BURMESE.num_bytes] == pytest.approx(2_000_000)


def test_unimax_gives_the_same_bytes():
    unimax = Sampling(by="unimax")
    found = sample.factors([ENGLISH, BURMESE], sampling=unimax, sample_bytes=2_000_000)
    assert found * [ENGLISH.num_bytes, BURMESE.num_bytes] == pytest.approx([1e6, 1e6])


def test_a_temperature_of_one_is_proportional_to_size_and_of_zero_the_same_for_all():
    languages = [ENGLISH, BURMESE]
    bytes_of = np.array([ENGLISH.num_bytes, BURMESE.num_bytes])
    proportional = Sampling(by="temperature", temperature=1)
    found = sample.factors(languages, sampling=proportional, sample_bytes=1_000_000)
    assert found[0] == pytest.approx(found[1])
    flat = Sampling(by="temperature", temperature=0)
    found = sample.factors(languages, sampling=flat, sample_bytes=1_000_000) * bytes_of
    assert found[0] == pytest.approx(found[1])
    xlmr = Sampling(by="temperature", temperature=0.3)
    found = sample.factors(languages, sampling=xlmr, sample_bytes=1_000_000) * bytes_of
    assert found[0] / found[1] == pytest.approx((10 / 3) ** 0.3)


def test_weights_are_relative_and_others_weigh_one():
    weights = Sampling(by="weights", weights={"mya_Mymr": 3.0})
    found = sample.factors([ENGLISH, BURMESE], sampling=weights, sample_bytes=1_000_000)
    assert found[1] * BURMESE.content == pytest.approx(3 * found[0] * ENGLISH.content)


def test_what_a_small_language_leaves_goes_to_the_others():
    found = sample.factors([ENGLISH, SMALL], sampling=BY_CONTENT, sample_bytes=5_000_000)
    assert found[1] == 16
    assert found @ [ENGLISH.num_bytes, SMALL.num_bytes] == pytest.approx(5_000_000)


def test_a_corpus_below_the_sample_is_repeated_to_the_limit_and_no_further():
    found = sample.factors([SMALL, SMALL], sampling=BY_CONTENT, sample_bytes=5_000_000)
    assert found.tolist() == [16, 16]


def test_weights_of_the_fit_move_shares_beyond_the_limit_and_keep_the_total():
    languages = [ENGLISH, BURMESE, SMALL]
    before = sample.factors(languages, sampling=BY_CONTENT, sample_bytes=5_000_000)
    after = sample.factors(
        languages, sampling=BY_CONTENT, weights=np.array([1.0, 1.0, 4.0]), sample_bytes=5_000_000
    )
    num_bytes = [one.num_bytes for one in languages]
    assert after @ num_bytes <= 5_000_000 * (1 + 1e-9)
    assert after[2] / after[0] == pytest.approx(4 * before[2] / before[0])


@given(
    sizes=st.lists(st.integers(1, 10**9), min_size=1, max_size=20),
    total=st.integers(1, 10**9),
    repeat=st.floats(1, 100),
)
def test_shares_fill_the_sample_and_no_language_passes_the_limit(sizes, total, repeat):
    languages = [language(f"l{i}", size, size / 2) for i, size in enumerate(sizes)]
    sampling = Sampling(max_repeat=repeat)
    found = sample.factors(languages, sampling=sampling, sample_bytes=total)
    assert (found > 0).all()
    assert (found <= repeat * (1 + 1e-9)).all()
    assert found @ np.array(sizes, float) == pytest.approx(
        min(total, repeat * sum(sizes)), rel=1e-6
    )


def test_counts_are_rounded_so_that_what_is_expected_is_exact(tmp_path):
    folder = store.Folder(tmp_path)
    units = {f"▁w{i:05d}": 1 for i in range(20_000)} | {"▁the": 1000}
    write_units(folder, "eng_Latn", units)
    table = sample.sample(folder, ["eng_Latn"], factors=np.array([0.25]), seed=0)
    found = dict(zip(table["unit"].to_pylist(), table["count"].to_pylist(), strict=True))
    assert found.pop("▁the") == 250
    assert set(found.values()) == {1}
    assert abs(len(found) - 5000) < 4 * np.sqrt(20_000 * 0.25 * 0.75)
    again = sample.sample(folder, ["eng_Latn"], factors=np.array([0.25]), seed=0)
    assert again.equals(table)
    other = sample.sample(folder, ["eng_Latn"], factors=np.array([0.25]), seed=1)
    assert not other.equals(table)


def test_units_of_several_languages_are_one_and_sorted_by_their_bytes(tmp_path):
    folder = store.Folder(tmp_path)
    write_units(folder, "eng_Latn", {"▁a": 3, "z": 2, "▁é": 1})
    write_units(folder, "fra_Latn", {"▁é": 5, "▁a": 1})
    table = sample.sample(folder, ["eng_Latn", "fra_Latn"], factors=np.ones(2), seed=0)
    assert table.to_pydict() == {"unit": ["z", "▁a", "▁é"], "count": [2, 4, 6]}
    swapped = sample.sample(folder, ["fra_Latn", "eng_Latn"], factors=np.ones(2), seed=0)
    assert swapped.equals(table)
    assert sample.mass(table) == 2 * 1 + 4 * 4 + 6 * 5


def test_coverage_is_of_each_language_by_itself(tmp_path):
    folder = store.Folder(tmp_path)
    write_units(folder, "eng_Latn", {"▁" + "a" * 10: 100_000, "þ": 1})
    write_units(folder, "amh_Ethi", {"▁ሀሁ": 3})
    found = sample.required_characters(folder, ["amh_Ethi", "eng_Latn"], coverage=0.9995)
    assert sorted(found["amh_Ethi"]) == [0x1200, 0x1201]  # a millionth of all text
    assert found["eng_Latn"] == [ord("a")]
