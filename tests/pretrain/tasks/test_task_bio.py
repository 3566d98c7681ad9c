"""Tags of spans: schemes, and what is broken."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities

from pipelines.errors import DataError
from pretrain.tasks import bio

TYPES = ("PER", "LOC")


def mend(*sentences):
    return bio.mend(pa.array([list(one) for one in sentences], pa.list_(pa.string())))


def spans_to_tags(length, spans, scheme):
    """Write spans (type, start, end inclusive), which don't overlap, in a scheme."""
    tags = ["O"] * length
    for kind, start, end in spans:
        for place in range(start, end + 1):
            prefix = "B" if place == start else "I"
            if scheme == "BIOES" and place == end:
                prefix = "S" if place == start else "E"
            tags[place] = f"{prefix}-{kind}"
    if scheme == "IOB1":
        for kind, start, _ in spans:
            if not any(one == kind and last == start - 1 for one, _, last in spans):
                tags[start] = f"I-{kind}"
    return tags


@st.composite
def written_spans(draw):
    lengths = draw(st.lists(st.tuples(st.integers(1, 3), st.sampled_from((None, *TYPES)))))
    spans, place = [], 0
    for length, kind in lengths:
        if kind:
            spans.append((kind, place, place + length - 1))
        place += length
    return place, spans


@given(st.lists(written_spans(), min_size=1), st.sampled_from(["BIO", "IOB1", "BIOES"]))
def test_spans_are_the_same_in_whatever_scheme_they_were_written(sentences, scheme):
    written = [spans_to_tags(*one, scheme) for one in sentences]
    wanted = [spans_to_tags(*one, "BIO") for one in sentences]
    assert mend(*written).tags.to_pylist() == wanted


@given(st.lists(st.lists(st.sampled_from(["O", *(f"{p}-{t}" for p in "BI" for t in TYPES)]))))
def test_what_is_mended_has_the_spans_that_conlleval_finds_and_breaks_no_rule(sentences):
    mended = mend(*sentences)
    after = mended.tags.to_pylist()
    num_changed = 0
    for one, tags in zip(sentences, after, strict=True):
        assert get_entities(one) == get_entities(tags)
        num_changed += sum(a != b for a, b in zip(one, tags, strict=True))
        for before, tag in zip(["O", *tags], tags, strict=False):
            assert not tag.startswith("I-") or before[2:] == tag[2:]
    assert mended.num_broken == num_changed


def test_the_first_broken_tag_is_named_by_sentence_and_word():
    mended = mend(["B-PER", "I-PER"], [], ["O", "B-LOC", "I-PER"], ["I-LOC"])
    assert mended.num_broken == 2
    assert mended.first == (2, 2)
    assert mended.was == "BIO"
    assert mend(["I-PER", "B-PER", "O"]).was == "IOB1"
    assert mend(["S-PER", "B-LOC", "E-LOC"]).was == "BIOES"
    assert mend(["U-PER", "B-LOC", "L-LOC"]).tags.to_pylist() == [["B-PER", "B-LOC", "I-LOC"]]


def test_a_slice_of_a_column_is_mended_as_itself():
    whole = pa.array([["I-PER"], ["I-PER", "O"], ["I-LOC"]], pa.list_(pa.string()))
    assert bio.mend(whole[1:]).tags.to_pylist() == [["B-PER", "O"], ["B-LOC"]]


def test_parts_of_speech_are_plain_tags():
    assert not bio.is_spans(["NOUN", "VERB", "X"], place_of=str)
    assert not bio.is_spans(["O", "NOUN", "ADP"], place_of=str)
    assert not bio.is_spans(["-LRB-", "NN"], place_of=str)
    assert bio.is_spans(["O"], place_of=str)
    assert bio.is_spans(["B-PER", "I-PER"], place_of=str)


@pytest.mark.parametrize(
    "tags", [["O", "B-PER", "X-PER"], ["O", "b-per", "i-per"], ["O", "PER-B"], ["O", "B_PER"],
             ["O", "B-PER", "PER"]]
)  # fmt: skip
def test_tags_of_an_unknown_scheme_are_named(tags):
    with pytest.raises(DataError, match=r"a\.conll:[XbPB].*: there are tags of spans(?s:.*)BILOU"):
        bio.is_spans(tags, place_of=lambda tag: f"a.conll:{tag}")
