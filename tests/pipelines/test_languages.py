from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import languages, lid176


@pytest.mark.parametrize(
    ("stated", "label"),
    [
        ("swh_Latn", "swh_Latn"),
        ("swa_Latn", "swh_Latn"),
        ("sw", "swh"),
        ("swh", "swh"),
        ("SWH_LATN", "swh_Latn"),
        ("__label__swh_Latn", "swh_Latn"),
        ("zh-Hant", "zho_Hant"),
        ("zho_Hant", "zho_Hant"),
        ("zh-TW", "zho_Hant"),
        ("zh-yue", "yue"),
        ("zh-min-nan", "nan"),
        ("cmn_Hani", "zho_Hani"),
        ("pt-BR", "por_Latn"),
        ("sr-Cyrl", "srp_Cyrl"),
        ("es-419", "spa"),
        ("no", "nob"),
        ("lav_Latn", "lvs_Latn"),
        ("ekk_Latn", "est_Latn"),
        ("kur_Arab", "ckb_Arab"),
        ("kur_Latn", "kmr_Latn"),
        ("ger", "deu"),
        ("iw", "heb"),
        ("kor_Kore", "kor_Hang"),
        ("ber_Latn", "ber_Latn"),
        ("zxx", "zxx_Zxxx"),
    ],
)
def test_every_usual_spelling_of_a_language_gives_one_label(stated: str, label: str) -> None:
    assert languages.parse_label(stated) == label


@pytest.mark.parametrize(
    "stated", ["", "x", "und", "mul", "mis", "qq", "english", "nob_Latin", "null"]
)
def test_what_names_no_language_is_not_a_label(stated: str) -> None:
    assert languages.parse_label(stated) is None


def test_als_is_albanian_as_a_language_and_alemannic_as_a_wiki() -> None:
    assert languages.parse_label("als_Latn") == "als_Latn"
    assert languages.parse_label("alswiki") == "gsw"
    assert languages.parse_wiki_code("als") == "gsw"
    assert lid176.LANGUAGES["als"] == "gsw"


@pytest.mark.parametrize(
    ("code", "language"),
    [("simple", "eng"), ("bat-smg", "sgs"), ("zh-min-nan", "nan"), ("roa-rup", "rup"),
     ("no", "nob"), ("zh_classical", "lzh"), ("sw", "swh"), ("commons", None)],
)  # fmt: skip
def test_wiki_codes_have_their_own_exceptions(code: str, language: str | None) -> None:
    assert languages.parse_wiki_code(code) == language


def test_only_the_canonical_form_is_a_label() -> None:
    for label in ("swh_Latn", "zho_Hant", "und_Latn", "zxx_Zxxx", "jpn_Jpan"):
        assert languages.is_label(label)
    for text in ("no", "nob", "swa_Latn", "nob_latn", "nob-Latn", "nob_Abcd", "xyz", ""):
        assert not languages.is_label(text)


def test_a_wrong_label_gets_the_right_one_suggested_by_name() -> None:
    assert languages.suggest("no") == "Did you mean 'nob_Latn' (Norwegian Bokmål)?"
    assert languages.suggest("swahili") == "Did you mean 'swh_Latn' (Swahili)?"
    assert languages.suggest("nob_Latin") == "Did you mean 'nob_Latn' (Norwegian Bokmål)?"
    assert "swh_Latn" in languages.suggest("???")


@pytest.mark.parametrize(
    ("one", "two"),
    [("arb", "ary"), ("zho", "yue"), ("cmn", "zho"), ("est", "ekk"), ("lav", "lvs"), ("que", "quz"),
     ("ind", "zsm"), ("swa", "swh"), ("pes", "prs"), ("uzb", "uzn"), ("mon", "khk"), ("sqi", "als"),
     ("nob", "nno"), ("hrv", "srp"), ("bos", "cnr"), ("aze", "azj"), ("kur", "ckb"), ("ori", "ory"),
     ("nep", "npi"), ("pus", "pbt"), ("yid", "ydd"), ("mlg", "plt"), ("grn", "gug"),
     ("srp_Latn", "srp_Cyrl"), ("fil", "tgl")],
)  # fmt: skip
def test_languages_that_identifiers_confuse_count_as_the_same(one: str, two: str) -> None:
    assert languages.same_language(one, two)
    assert languages.same_language(two, one)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("yue", "wuu"),
        ("kmr", "ckb"),
        ("min", "ind"),
        ("deu", "gsw"),
        ("spa", "por"),
        ("hrv", "slv"),
    ],
)
def test_languages_that_identifiers_tell_apart_are_not_the_same(one: str, two: str) -> None:
    assert not languages.same_language(one, two)
    assert not languages.same_language(two, one)


def test_a_writing_system_is_the_scripts_it_mixes() -> None:
    assert languages.scripts_of_label("jpn_Jpan") == {"Hani", "Hira", "Kana"}
    assert languages.scripts_of_label("kor_Hang") == {"Hang", "Hani"}
    assert languages.scripts_of_label("zho_Hant") == {"Hani"}
    assert languages.scripts_of_label("swh_Latn") == {"Latn"}
    assert languages.scripts_of_label("zxx_Zxxx") == frozenset()


def test_the_text_gives_a_bare_language_its_script() -> None:
    assert languages.complete_label("swh", "Latn") == "swh_Latn"
    assert languages.complete_label("tzm", "Tfng") == "tzm_Tfng"  # not the likely one
    assert languages.complete_label("jpn", "Hani") == "jpn_Jpan"
    assert languages.complete_label("rus", "Latn") == "rus_Cyrl"  # never written so
    assert languages.complete_label("swh", None) == "swh_Latn"


def test_every_label_of_lid176_is_a_language_with_a_script() -> None:
    assert len(lid176.LANGUAGES) == 176
    assert set(lid176.SCRIPTS) >= lid176.UNSURE
    for language in lid176.LANGUAGES.values():
        label = languages.complete_label(language, lid176.SCRIPTS[language][0])
        assert languages.is_label(languages.complete_label(language, None)), label
        assert not languages.name_of(label).startswith("Unknown"), label


@given(st.text(max_size=60))
def test_no_text_whatever_makes_the_parser_fail(text: str) -> None:
    parsed = languages.parse_label(text)
    if parsed is not None:
        assert languages.parse_label(parsed) == parsed
    assert languages.suggest(text)
