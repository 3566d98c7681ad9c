"""Prediction by the kernels: the same as by fastText's own library, on every form of model."""

import hashlib
import struct
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from fasttext import load_model as load_by_library
from fasttext_models import (
    HIERARCHICAL,
    NEGATIVE_SAMPLING,
    ONE_VS_ALL,
    SOFTMAX,
    SmallModel,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines import fasttext_input, language_model
from pipelines.errors import DataError
from pipelines.fasttext_format import UnsupportedModel, read_model
from pipelines.fasttext_kernel import Predictor
from pipelines.fasttext_output import build_tree
from pipelines.language_model import LibraryPredictor, _embedded_path, load_model

ODD = [
    "", " ", "a", "é", "字", "\U0001f600", "</s>", "a </s> b", "x</s>", "</s", "__label__l003",
    "__label__unknown word", "__label__", "a\nb c", "\n", "\n\nword", "a\r\nb", "\t\v\f x \r",
    "a\0b", "\0", "<", ">", "<>", "a" * 300, "字" * 300, "ab " * 3000,
    "\U0001f468\u200d\U0001f469\u200d\U0001f467", "e\u0301\u0323 o\u0308",
    "\ufffd\ufffe \U0010ffff", "\u3000全角 空白\u00a0x", "\x1f\x85 b",
]  # fmt: skip


def joined(texts):
    encoded = [text.encode() for text in texts]
    offsets = np.cumsum([0, *map(len, encoded)])
    return np.frombuffer(b"".join(encoded), np.uint8), offsets


def load(path):
    content = np.frombuffer(path.read_bytes(), np.uint8)
    return read_model(content, path=path)


def assert_same(path, texts, *, count=3):
    """Compare labels, their order, and probabilities with the library's on the same file."""
    model = load(path)
    labels, probabilities = Predictor(model).predict(*joined(texts), count=count)
    library = load_by_library(str(path)).f
    for i, text in enumerate(texts):
        expected = library.predict(text + "\n", count, 0.0, "strict")
        found = [model.labels[number] for number in labels[i] if number >= 0]
        assert found == [label.removeprefix("__label__") for _, label in expected], text[:100]
        assert np.allclose(probabilities[i, : len(found)], [p for p, _ in expected], atol=1e-6)
        assert not probabilities[i, len(found) :].any()


@pytest.fixture(scope="module")
def pieces(texts):
    """Thousands of pieces of the samples, of all lengths, in all their scripts; and odd texts."""
    rng = np.random.default_rng(3)
    found = []
    for documents in texts.values():
        for document in documents:
            line = document.replace("\n", " ")
            for start in range(0, len(line), 60):
                found.append(line[start : start + int(rng.integers(1, 240))])
            found.append(line)
    assert len(found) > 2000
    return [*found, *ODD, ("word " + found[0]) * (1_000_000 // len(found[0].encode()) + 1)]


@pytest.fixture(scope="module")
def words(texts):
    counts = Counter(
        word for documents in texts.values() for text in documents for word in text.split()
    )
    return ["</s>", *(word for word, _ in counts.most_common(400))]


FORMS = {
    "softmax": {},
    "hierarchical": {"loss": HIERARCHICAL},
    "one versus all": {"loss": ONE_VS_ALL, "dim": 4},
    "negative sampling": {"loss": NEGATIVE_SAMPLING, "dim": 5},
    "many labels": {"num_labels": 700, "dim": 19, "scale": 0.5},
    "many labels in a tree": {"num_labels": 700, "dim": 16, "loss": HIERARCHICAL, "scale": 0.3},
    "one label": {"num_labels": 1, "loss": HIERARCHICAL},
    "no n-grams": {"least": 0, "longest": 0, "num_buckets": 0},
    "single characters": {"least": 0, "longest": 1},
    "long n-grams": {"least": 3, "longest": 9},
    "minn above maxn": {"least": 5, "longest": 3},
    "word n-grams": {"word_ngrams": 3, "longest": 0},
    "both n-grams": {"word_ngrams": 5, "loss": HIERARCHICAL, "dim": 33},
    "one bucket": {"num_buckets": 1},
    "2 ** 20 buckets": {"num_buckets": 1 << 20, "dim": 4},
    "version 11": {"version": 11},
    "quantised": {"block": 2, "dim": 10},
    "quantised, last block narrow": {"block": 3, "dim": 10, "has_norms": True},
    "quantised output": {"block": 2, "output_block": 3, "dim": 16, "has_norms": True},
    "quantised tree": {"block": 2, "output_block": 2, "loss": HIERARCHICAL, "has_norms": True},
    "pruned": {"block": 2, "num_pruned": 300, "has_norms": True, "loss": HIERARCHICAL},
    "pruned, word n-grams": {"block": 2, "num_pruned": 999, "word_ngrams": 2},
    "all pruned": {"block": 2, "num_pruned": 0},
    "ties": {"weight": 0.0, "num_labels": 50},
    "ties in a tree": {"weight": 0.0, "num_labels": 50, "loss": HIERARCHICAL},
    "saturated": {"loss": ONE_VS_ALL, "scale": 30.0, "num_labels": 60},
    "counts that do not fall": {"loss": HIERARCHICAL, "counts": [5, 100, 5, 0, 7] * 4},
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_model_predicts_what_fasttext_predicts(form, words, pieces, tmp_path):
    path = SmallModel(words, **FORMS[form]).write(tmp_path / "model.bin")
    assert_same(path, pieces)
    assert_same(path, pieces[::20], count=1)
    assert_same(path, pieces[::50], count=100)


def test_a_model_without_the_line_feed_may_have_nothing_to_say(words, pieces, tmp_path):
    for form in ({"longest": 0, "num_buckets": 0}, {"word_ngrams": 2}, {}):
        path = SmallModel(words[1:], **form).write(tmp_path / "model.bin")
        assert_same(path, pieces[::10] + ODD)
    labels, _ = Predictor(load(path)).predict(*joined([""]), count=1)
    assert labels.tolist() == [[-1]]


def test_of_two_entries_for_a_word_the_last_counts(words, pieces, tmp_path):
    twice = [*words, *words[:50], "__label__l001"]
    assert_same(SmallModel(twice).write(tmp_path / "model.bin"), pieces[::10] + ODD)


def test_the_model_that_comes_with_koine_predicts_what_fasttext_predicts(pieces):
    assert_same(_embedded_path(), pieces)
    assert_same(_embedded_path(), pieces[::10], count=1)


@settings(deadline=None)  # the first call compiles
@given(st.lists(st.text(max_size=40), max_size=30))
def test_any_text_gets_what_fasttext_gives_it(texts):
    assert_same(_embedded_path(), texts)


def test_rows_that_stay_quantised_give_the_same(words, pieces, tmp_path, monkeypatch):
    monkeypatch.setattr(fasttext_input, "MAX_UNPACKED_BYTES", 0)
    for norms in (False, True):
        small = SmallModel(words, block=3, dim=10, has_norms=norms)
        assert_same(small.write(tmp_path / "model.ftz"), pieces[::5])


def test_a_mapped_file_gives_the_same_wherever_its_weights_lie(
    words, pieces, tmp_path, monkeypatch
):
    monkeypatch.setattr(language_model, "LEAST_MAPPED_BYTES", 1)
    for more in ("", "x", "xx", "xxx"):
        path = SmallModel([*words, "word" + more], dim=16).write(tmp_path / f"model{more}.bin")
        sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
        mapped = load_model(path, sha256=sha256)
        library = load_model(path, sha256=sha256, library=True)
        assert isinstance(library.predictor, LibraryPredictor)
        lines = [piece.replace("\n", " ") for piece in pieces[::20]]
        assert mapped.vote(lines) == library.vote(lines)
        for ours, theirs in zip(
            mapped.predict(lines, count=3), library.predict(lines, count=3), strict=True
        ):
            assert [name for _, name in ours] == [name for _, name in theirs]
            assert np.allclose([p for p, _ in ours], [p for p, _ in theirs], atol=1e-6)


def test_texts_do_not_depend_on_their_neighbours(words, pieces, tmp_path):
    predictor = Predictor(load(SmallModel(words).write(tmp_path / "model.bin")))
    data, offsets = joined(pieces[:100])
    labels, probabilities = predictor.predict(data, offsets, count=3)
    for i, (start, end) in enumerate(pairwise(offsets)):
        alone, share = predictor.predict(data[start:end], np.array([0, end - start]), count=3)
        assert (alone[0] == labels[i]).all()
        assert (share[0] == probabilities[i]).all()


def test_no_texts_and_wrong_arguments(words, tmp_path):
    predictor = Predictor(load(SmallModel(words).write(tmp_path / "model.bin")))
    data = np.zeros(4, np.uint8)
    labels, probabilities = predictor.predict(data, np.zeros(1, np.int64), count=2)
    assert labels.shape == probabilities.shape == (0, 2)
    for offsets in ([0, 5], [-1, 2], [0, 3, 2]):
        with pytest.raises(ValueError, match="offsets"):
            predictor.predict(data, np.array(offsets), count=1)
    with pytest.raises(ValueError, match="count"):
        predictor.predict(data, np.array([0, 4]), count=0)


def test_what_the_reader_does_not_support_goes_to_the_library(words, pieces, tmp_path):
    forms = {"version": {"version": 10}, "300 characters": {"longest": 300}}
    for what, form in forms.items():
        path = SmallModel(words, **form).write(tmp_path / "model.bin")
        with pytest.raises(UnsupportedModel, match=what):
            load(path)
        model = load_model(path, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
        assert isinstance(model.predictor, LibraryPredictor)
        (guesses,) = model.predict([pieces[0]], count=3)
        expected = load_by_library(str(path)).f.predict(pieces[0] + "\n", 3, 0.0, "strict")
        assert [f"__label__{name}" for _, name in guesses] == [label for _, label in expected]
    newer = SmallModel(words, version=13).write(tmp_path / "newer.bin")
    with pytest.raises(DataError, match=r"newer\.bin"):
        load_model(newer, sha256=hashlib.sha256(newer.read_bytes()).hexdigest())


def test_a_model_that_is_not_supervised_is_refused(words, tmp_path):
    with pytest.raises(DataError, match="not a supervised fastText model"):
        load(SmallModel(words, model=2).write(tmp_path / "model.bin"))


def test_weights_that_are_no_numbers_are_refused_when_they_are_met(words, tmp_path):
    for loss in (SOFTMAX, HIERARCHICAL):
        small = SmallModel(words, loss=loss, weight=float("nan"))
        predictor = Predictor(load(small.write(tmp_path / "model.bin")))
        with pytest.raises(DataError, match="not all numbers"):
            predictor.predict(*joined(["word"]), count=1)


def try_to_predict(content, tmp_path):
    """Read and use a model that may be damaged; only the errors that are promised may come."""
    try:
        model = read_model(content, path=tmp_path / "model.bin")
        Predictor(model).predict(*joined(["a word of it 字 ", "", "\0"]), count=3)
    except (DataError, UnsupportedModel) as error:
        return error
    return None


@pytest.mark.parametrize("form", ["softmax", "hierarchical", "quantised output", "pruned"])
def test_a_damaged_file_never_crashes(form, words, tmp_path):
    small = replace(SmallModel(words[:20], num_buckets=50), **FORMS[form])
    small.num_pruned = min(small.num_pruned, 50) if small.num_pruned else None
    content = np.fromfile(small.write(tmp_path / "model.bin"), np.uint8)
    assert try_to_predict(content, tmp_path) is None
    rng = np.random.default_rng(1)
    for length in {*range(200), *rng.integers(0, len(content), 200).tolist()}:
        assert isinstance(try_to_predict(content[:length], tmp_path), DataError | UnsupportedModel)
    for extra in (1, 1000):
        longer = np.concatenate([content, np.zeros(extra, np.uint8)])
        assert isinstance(try_to_predict(longer, tmp_path), DataError)
    heads = [(position, value) for position in range(100) for value in (0, 1, 0x7F, 0x80, 0xFF)]
    others = rng.integers(0, len(content), 500).tolist()
    for position, value in heads + [(at, int(rng.integers(256))) for at in others]:
        damaged = content.copy()
        damaged[position] = value
        try_to_predict(damaged, tmp_path)


def test_rows_beyond_the_matrix_are_refused(words, tmp_path):
    path = SmallModel(words, num_pruned=30, block=2).write(tmp_path / "model.ftz")
    content = path.read_bytes()
    index = load(path).pruned.tobytes()
    at = content.index(index)
    for value in (30, 2**31 - 1, -1):
        damaged = bytearray(content)
        struct.pack_into("<i", damaged, at + 4, value)
        with pytest.raises(DataError, match="damaged"):
            read_model(np.frombuffer(damaged, np.uint8), path=path)


def test_the_tree_of_labels_is_huffmans():
    tree = build_tree([8, 4, 2, 1])
    assert tree.tolist() == [[-1, -1]] * 4 + [[3, 2], [4, 1], [5, 0]]
