from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines import lid176, records
from pipelines.errors import ConfigError, DataError
from pipelines.han import han_script
from pipelines.identify import Model, Policy, identify, load_model
from pipelines.language_model import _embedded_path
from pipelines.measure import measure

SWAHILI = (
    "Habari za asubuhi. Leo tunazungumza kuhusu elimu ya watoto katika shule za msingi nchini"
    " Tanzania. Walimu wengi wanasema kwamba wanafunzi wanahitaji vitabu zaidi."
)
ENGLISH = (
    "All human beings are born free and equal in dignity and rights, with reason and conscience."
)
RUSSIAN = "Все люди рождаются свободными и равными в своём достоинстве и правах."
GERMAN = "Alle Menschen sind frei und gleich an Würde und Rechten geboren und mit Vernunft begabt."
YORUBA = "Gbogbo ènìyàn ni a bí ní òmìnira; iyì àti ẹ̀tọ́ kọ̀ọ̀kan sì dọ́gba. Wọ́n ní ẹ̀bùn làákàyè."
JAPANESE = "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。"
KOREAN = "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다."
SIMPLIFIED = (
    "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。"
)
TRADITIONAL = (
    "人人生而自由，在尊嚴和權利上一律平等。他們賦有理性和良心，並應以兄弟關係的精神相對待。"
)


@pytest.fixture(scope="module")
def model() -> Model:
    return load_model("lid.176")


def run(
    model: Model, texts: list[str], declared: list[str | None] | None = None, *, policy: Policy
) -> list[dict]:
    text = pa.array(texts, pa.large_string())
    labels, scores, evidence = identify(
        text,
        pa.array(declared or [None] * len(texts), pa.string()),
        measure(text).letters_by_script,
        model=model,
        policy=policy,
    )
    assert evidence.type == records.EVIDENCE
    assert scores.type == pa.float32()
    return [
        {"label": label, "score": score, **row}
        for label, score, row in zip(
            labels.to_pylist(), scores.to_pylist(), evidence.to_pylist(), strict=True
        )
    ]


def test_the_model_names_language_and_script(model: Model) -> None:
    found = run(
        model,
        [SWAHILI, RUSSIAN, JAPANESE, KOREAN, SIMPLIFIED, TRADITIONAL],
        policy="ignore",
    )
    assert [row["label"] for row in found] == [
        "swh_Latn", "rus_Cyrl", "jpn_Jpan", "kor_Hang", "zho_Hans", "zho_Hant",
    ]  # fmt: skip
    assert all(row["decided_by"] == "model" and row["score"] > 0.5 for row in found)
    assert all(row["label_script_share"] > 0.99 and row["disagreement"] is None for row in found)


def test_a_declared_label_stays_and_the_model_says_whether_it_contradicts(model: Model) -> None:
    agrees, contradicted = run(
        model, [SWAHILI, ENGLISH * 3], ["swh_Latn", "swh_Latn"], policy="verify"
    )
    assert (agrees["label"], agrees["disagreement"], agrees["score"]) == ("swh_Latn", 0.0, 1.0)
    assert contradicted["label"] == "swh_Latn"
    assert contradicted["decided_by"] == "declared"
    assert contradicted["disagreement"] > 0.8
    assert contradicted["labels"][0] == "eng"
    assert contradicted["line_labels"][0] == "eng"


def test_a_language_the_model_does_not_know_is_not_contradicted(model: Model) -> None:
    texts = [ENGLISH, ENGLISH, SWAHILI]
    found = run(model, texts, ["kbp_Latn", "swh_Arab", "tzm_Tfng"], policy="verify")
    assert [row["disagreement"] for row in found] == [None, None, None]
    assert [row["label"] for row in found] == ["kbp_Latn", "swh_Arab", "tzm_Tfng"]
    assert found[1]["label_script_share"] == 0.0


def test_a_language_the_model_knows_badly_is_not_contradicted_either(model: Model) -> None:
    # lid.176 finds Yoruba in 11 of 100 sentences of FLORES: its silence says nothing.
    (row,) = run(model, [YORUBA * 4], ["yor_Latn"], policy="verify")
    assert row["disagreement"] is None
    assert row["label"] == "yor_Latn"


def test_trust_and_ignore_decide_for_the_source_and_for_the_model(model: Model) -> None:
    (trusted,) = run(model, [ENGLISH], ["deu_Latn"], policy="trust")
    (ignored,) = run(model, [ENGLISH], ["deu_Latn"], policy="ignore")
    assert (trusted["label"], trusted["decided_by"]) == ("deu_Latn", "declared")
    assert (ignored["label"], ignored["decided_by"]) == ("eng_Latn", "model")
    assert ignored["declared"] == "deu_Latn"


def test_the_text_completes_a_language_declared_without_script(model: Model) -> None:
    found = run(
        model,
        [SWAHILI, JAPANESE, TRADITIONAL, SIMPLIFIED, RUSSIAN],
        ["swh", "jpn", "zho", "zho_Hani", "srp"],
        policy="verify",
    )
    assert [row["declared"] for row in found] == [
        "swh_Latn", "jpn_Jpan", "zho_Hant", "zho_Hans", "srp_Cyrl",
    ]  # fmt: skip


def test_text_without_letters_has_no_language(model: Model) -> None:
    for text in ("", "12.5 % + 3 = ?", "\U0001f600\U0001f600"):
        (row,) = run(model, [text], policy="verify")
        assert (row["label"], row["score"]) == ("zxx_Zxxx", 0.0)
        assert row["label_script_share"] is None
    (row,) = run(model, ["1234 5678"], ["swh_Latn"], policy="verify")
    assert (row["label"], row["disagreement"]) == ("swh_Latn", None)


def test_a_guess_in_a_script_the_language_is_never_written_in_is_not_believed(model: Model) -> None:
    tifinagh = "ⵉⵎⴷⴰⵏⵏ ⴰⴽⴽⵯ ⵜⵜⵍⴰⵍⵏ ⴷ ⵉⵍⴻⵍⵍⵉⵢⵏ ⵎⵙⴰⵡⴰⵏ ⴷⵉ ⵍⵃⵡⵕⵎⴰ ⴷ ⵢⵉⵣⵔⴼⴰⵏ"
    (row,) = run(model, [tifinagh], policy="ignore")
    assert (row["label"], row["score"]) == ("und_Tfng", 0.0)
    assert row["labels"][0] is not None  # what the model said is kept as evidence


def test_lines_that_agree_make_up_for_a_model_that_is_unsure_of_a_language(model: Model) -> None:
    (row,) = run(model, ["\n".join([SWAHILI] * 4)], policy="verify")
    assert row["label"] == "swh_Latn"
    assert row["line_shares"][0] > 0.7
    assert row["scores"][0] < row["score"] <= (row["scores"][0] + 1.0) / 2


def test_text_that_looks_like_no_known_language_is_not_given_to_one(model: Model) -> None:
    # The votes are for as many languages as there are lines.
    words = "Magona yɛpei jifa kiliyei na kɛ numu", "vuu kpɛlɛɛ ti maa hɛwulei lɔ towa kpaupau"
    odd = "\n".join([*words, "ɖeka le nusiwo dzi", "ŋkɔnya gbɔgblɔ ƒe dɔwɔƒe", "ezigbo mmadụ na"])
    (row,) = run(model, [odd], policy="verify")
    assert row["scores"][0] < 0.3
    assert (row["label"], row["score"]) == ("und_Latn", 0.0)


def test_lines_in_another_language_show_in_the_votes(model: Model) -> None:
    mixed = "\n".join([ENGLISH, GERMAN] * 6)
    (row,) = run(model, [mixed], policy="ignore")
    shares = dict(zip(row["line_labels"], row["line_shares"], strict=True))
    assert shares["eng"] > 0.3
    assert shares["deu"] > 0.3
    (declared,) = run(model, [mixed], ["deu_Latn"], policy="verify")
    assert declared["disagreement"] == 0.0


def test_a_few_words_contradict_by_half_at_most(model: Model) -> None:
    (row,) = run(model, ["Where are you going now?"], ["swh_Latn"], policy="verify")
    assert 0 < row["disagreement"] <= 0.5


def test_the_batch_a_document_is_in_does_not_matter(model: Model) -> None:
    texts = [SWAHILI, "", ENGLISH * 40, RUSSIAN, "\n" + GERMAN, JAPANESE * 50]
    together = run(model, texts, policy="verify")
    assert together == [run(model, [text], policy="verify")[0] for text in texts]


def test_empty_batches_and_slices_work(model: Model) -> None:
    assert run(model, [], policy="verify") == []
    text = pa.array([ENGLISH, SWAHILI, RUSSIAN], pa.large_string())
    letters = measure(text).letters_by_script
    labels, _, _ = identify(
        text.slice(1),
        pa.nulls(2, pa.string()),
        letters[1:],
        model=model,
        policy="ignore",
        num_lines=0,
    )
    assert labels.to_pylist() == ["swh_Latn", "rus_Cyrl"]


def test_simplified_and_traditional_are_told_by_their_own_characters() -> None:
    assert han_script(SIMPLIFIED) == "Hans"
    assert han_script(TRADITIONAL) == "Hant"
    assert han_script("人生") is None


def test_the_labels_are_read_from_the_model_file(model: Model) -> None:
    assert set(model.labels) == set(lid176.LANGUAGES)
    assert model.sha256 == lid176.SHA256
    assert model.knows("swh_Latn")
    assert model.knows("ary_Arab")  # the model calls it Arabic
    assert not model.knows("nan_Latn")  # it knows Chinese in Chinese characters only
    assert not model.knows("kbp_Latn")


def test_a_model_that_is_not_the_one_named_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    content = bytearray(_embedded_path().read_bytes())
    whole = hashlib.sha256(content).hexdigest()
    path = tmp_path / "model.ftz"
    for damaged in (content[: len(content) // 2], content[:10], b"", b"text"):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=f"expected SHA-256 {whole}, found"):
            load_model(path, sha256=whole)
    rng = np.random.default_rng(5)
    for position in rng.integers(0, len(content), 20):
        flipped = content.copy()
        flipped[position] ^= 1 << int(position % 8)
        path.write_bytes(flipped)
        with pytest.raises(DataError, match=r"model\.ftz"):
            load_model(path, sha256=whole)


def test_a_file_with_the_right_hash_must_still_be_a_fasttext_model(tmp_path: Path) -> None:
    content = _embedded_path().read_bytes()
    for broken in (b"", b"not a model" * 20, content[:60], content[:5000]):
        path = tmp_path / "model.bin"
        path.write_bytes(broken)
        with pytest.raises(DataError, match="fastText model"):
            load_model(path, sha256=hashlib.sha256(broken).hexdigest())


def test_a_model_from_a_path_is_loaded_and_needs_its_hash(tmp_path: Path) -> None:
    path = tmp_path / "copy.ftz"
    path.write_bytes(_embedded_path().read_bytes())
    with pytest.raises(ConfigError, match="SHA-256"):
        load_model(path)
    with pytest.raises(DataError, match="no language model at"):
        load_model(tmp_path / "absent.bin", sha256="0" * 64)
    copy = load_model(path, sha256=lid176.SHA256)
    (row,) = run(copy, [SWAHILI], policy="ignore")
    assert row["label"] == "swh_Latn"  # "sw" is a language without script: the text gives it
