import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import stages, wording


def test_every_reason_has_a_title_and_a_meaning():
    assert set(wording.REASONS) == set(stages.REASONS)
    assert all(title and meaning.endswith(".") for title, meaning in wording.REASONS.values())
    titles = [wording.title_of(reason) for reason in stages.REASONS]
    assert len(set(titles)) == len(titles)


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (0, 10, "0"),
        (10, 10, "100"),
        (1, 100_000, "<0.1"),
        (99_999, 100_000, ">99.9"),
        (995, 1000, "99.5"),
        (1, 25, "4.0"),
        (625, 1000, "62"),
    ],
)
def test_a_share_is_never_rounded_to_none_or_all(part, whole, text):
    assert wording.percent(part, whole) == f"{text}\N{NO-BREAK SPACE}%"


def test_a_share_of_nothing_is_a_dash():
    assert wording.percent(0, 0) == "\N{EN DASH}"


@pytest.mark.parametrize(
    ("num_bytes", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (123_456_789, "123 MB"), (4.2e15, "4,200 TB")],
)
def test_sizes_have_three_digits(num_bytes, text):
    assert wording.size(num_bytes).replace("\N{NO-BREAK SPACE}", " ") == text


@pytest.mark.parametrize(
    ("label", "tag"),
    [
        ("nob_Latn", "nb"),
        ("swh_Latn", "swh"),
        ("bod_Tibt", "bo"),
        ("zho_Hant", "zh-Hant"),
        ("zho_Hans", "zh-Hans"),
        ("srp_Latn", "sr-Latn"),
        ("heb_Hebr", "he"),
        ("jpn_Jpan", "ja"),
        ("zxx_Zxxx", "zxx"),
    ],
)
def test_a_label_becomes_a_bcp_47_tag(label, tag):
    assert wording.bcp47(label) == tag


def test_characters_that_cannot_be_seen_are_named():
    shown = wording.visible("a\N{RIGHT-TO-LEFT OVERRIDE}b\x00\x85<")
    assert 'title="RIGHT-TO-LEFT OVERRIDE">U+202E</i>' in shown
    assert "U+0000" in shown
    assert "U+0085" in shown
    assert shown.endswith("&lt;")


def test_joiners_and_arabic_signs_stay_as_they_are_spelt():
    spelt = "می\N{ZERO WIDTH NON-JOINER}خواهم \N{ARABIC END OF AYAH}"
    assert str(wording.visible(spelt)) == spelt


@given(st.text(st.characters(exclude_categories=())))
def test_no_text_leaves_markup_or_hidden_controls(text):
    shown = str(wording.visible(text))
    own = [part.partition("</i>")[2] for part in shown.split('<i class="ctl"')[1:]]
    outside = shown.split('<i class="ctl"')[0] + "".join(own)
    assert "<" not in outside
    assert '"' not in outside
    assert not any(unicodedata.category(c) in ("Cc", "Cs", "Co") and c not in "\n\t" for c in shown)
    shown.encode()
