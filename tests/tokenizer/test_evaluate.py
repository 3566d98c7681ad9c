"""What a vocabulary costs each language."""

import math

import pytest
import tokenizers
from letter_tokenizer import LATIN, LINES, characters, held
from tokenizers import models, pre_tokenizers

from tokenizer import evaluate, loading, texts
from tokenizer.parallel import read_parallel


@pytest.fixture
def tokenizer(tmp_path):
    return characters(tmp_path / "letters.json", alphabet=LATIN, whole=("cat", "dog"))


def test_costs_of_a_small_text_worked_out_by_hand(tokenizer):
    # English: 'cat' is one piece, 'sat' three; 14 of content, a space is one.
    # Swahili: 'paka' four pieces; 'cat' one; 8 of content.
    found = evaluate.evaluate(
        tokenizer, held(eng_Latn=["cat sat", "cat cat"], swh_Latn=["paka cat"]), min_content=0
    )
    english, swahili = found["labels"]["eng_Latn"], found["labels"]["swh_Latn"]
    assert (english["tokens"], swahili["tokens"]) == (6, 5)
    assert (english["content"], swahili["content"]) == (14, 8)
    assert (english["bytes"], english["chars"], english["lines"]) == (14, 14, 2)
    mean = math.sqrt(6 / 14 * 5 / 8)
    assert english["premium"] == pytest.approx(6 / 14 / mean, rel=1e-5)
    assert swahili["premium"] == pytest.approx(5 / 8 / mean, rel=1e-5)
    assert swahili["premium_english"] == pytest.approx(5 / 8 / (6 / 14), rel=1e-5)
    assert english["premium_english"] == 1
    assert english["fertility"] == pytest.approx(6 / 4)
    assert english["continued"] == pytest.approx(1 / 4)
    assert english["single_piece"] == pytest.approx(1 / 2)
    assert english["bytes_per_token"] == pytest.approx(14 / 6, rel=1e-5)
    assert swahili["chars_per_token"] == pytest.approx(8 / 5)
    assert english["unknown_rate"] == english["byte_rate"] == 0
    assert swahili["segmentation"] == [["p", "a", "k", "a", "cat"]]
    summary = found["summary"]
    assert summary["worst"]["label"] == "swh_Latn"
    assert summary["mean_tokens"] == pytest.approx(100 * (6 / 14 + 5 / 8) / 2, rel=1e-5)
    assert summary["worst_over_median"] == pytest.approx(
        2 * swahili["premium"] / (swahili["premium"] + english["premium"]), rel=1e-5
    )


def test_lost_characters_are_charged_and_told(tokenizer):
    found = evaluate.evaluate(
        tokenizer, held(eng_Latn=["cats"], kat_Geor=["კატა"], amh_Ethi=["ድ cat"]), min_content=0
    )
    lost = found["labels"]["kat_Geor"]
    assert lost["unknown_rate"] == 1
    assert lost["effective_tokens"] == 4
    assert found["labels"]["amh_Ethi"]["unknown_rate"] == pytest.approx(1 / 5)
    assert found["summary"]["unknown_worst"] == {"label": "kat_Geor", "rate": 1.0}


def test_a_line_that_a_tokenizer_swallows_whole_is_not_cheap(tmp_path):
    made = tokenizers.Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    made.normalizer = tokenizers.normalizers.Replace(tokenizers.Regex(r"\p{Ethi}"), "")
    made.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    made.save(str(tmp_path / "swallows.json"))
    found = evaluate.evaluate(
        loading.load(tmp_path / "swallows.json"),
        held(eng_Latn=["aaaa"], amh_Ethi=["ድመት"]),
        min_content=0,
    )
    row = found["labels"]["amh_Ethi"]
    assert (row["tokens"], row["effective_tokens"], row["unknown_rate"]) == (0, 3, 1)


def test_one_token_over_many_lost_characters_costs_as_many_tokens(tmp_path):
    made = tokenizers.Tokenizer(models.WordLevel({"[UNK]": 0, "cat": 1}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.save(str(tmp_path / "words.json"))
    found = evaluate.evaluate(
        loading.load(tmp_path / "words.json"), held(eng_Latn=["cat cat abcdefgh"]), min_content=0
    )
    assert found["labels"]["eng_Latn"]["tokens"] == 3
    assert found["labels"]["eng_Latn"]["effective_tokens"] == 10


def test_scripts_without_spaces_have_no_fertility(tokenizer):
    row = evaluate.evaluate(tokenizer, held(tha_Thai=["ภาษาไทย"]))["labels"]["tha_Thai"]
    assert row["fertility"] is row["continued"] is row["single_piece"] is None
    assert row["premium"] == 1


def test_one_language_pays_the_mean(tokenizer):
    found = evaluate.evaluate(tokenizer, held(fra_Latn=["chat", "un dog"]), min_content=0)
    assert found["labels"]["fra_Latn"]["premium"] == 1
    assert found["labels"]["fra_Latn"]["premium_english"] is None
    assert found["summary"]["gini"] == 0


def test_few_lines_have_no_interval(tokenizer):
    lines = ["cat sat"] * 4
    few = evaluate.evaluate(tokenizer, held(eng_Latn=lines, fra_Latn=["a b", *lines, "chat"]))
    assert few["labels"]["eng_Latn"]["premium_low"] is None
    low, high = (few["labels"]["fra_Latn"][f"premium_{end}"] for end in ("low", "high"))
    assert low < few["labels"]["fra_Latn"]["premium"] < high


def test_a_language_with_little_text_is_set_apart_and_moves_no_figure(tokenizer):
    long = {"eng_Latn": ["the cat sat on a mat"] * 30, "fra_Latn": ["le chat dort bien"] * 40}
    without = evaluate.evaluate(tokenizer, held(**long))
    found = evaluate.evaluate(tokenizer, held(**long, yor_Latn=["cat dog"]))
    assert [row["thin"] for row in found["labels"].values()] == [False, False, True]
    assert found["summary"]["num_thin"] == 1
    for label in long:
        assert found["labels"][label]["premium"] == without["labels"][label]["premium"]
    same = ("gini", "median", "p90", "worst", "mean_tokens")
    # The intervals are of other draws.
    assert [found["summary"][key] for key in same if key != "worst"] == [
        without["summary"][key] for key in same if key != "worst"
    ]
    assert found["labels"]["yor_Latn"]["premium"] < 0.6


def test_parallel_text_is_compared_by_its_tokens(tokenizer):
    found = evaluate.evaluate(tokenizer, texts.parallel(LINES), min_content=0)
    tokens = {label: row["tokens"] for label, row in found["labels"].items()}
    mean = math.prod(tokens.values()) ** (1 / 3)
    for label, row in found["labels"].items():
        assert row["premium"] == pytest.approx(tokens[label] / mean, rel=1e-5)
    assert found["summary"]["mean_tokens"] == pytest.approx(sum(tokens.values()) / 3 / 6, rel=1e-5)


def test_a_missing_translation_of_a_long_line_changes_a_premium_little(tokenizer):
    complete = evaluate.evaluate(tokenizer, texts.parallel(LINES), min_content=0)
    lines = {**LINES, "fra_Latn": [*LINES["fra_Latn"][:4], None, *LINES["fra_Latn"][5:]]}
    found = evaluate.evaluate(tokenizer, texts.parallel(lines), min_content=0)
    for label in LINES:
        before, after = (one["labels"][label]["premium"] for one in (complete, found))
        assert after == pytest.approx(before, rel=0.12)
    naive = found["labels"]["fra_Latn"]["tokens"] / found["labels"]["deu_Latn"]["tokens"]
    assert (
        naive
        < 0.8 * complete["labels"]["fra_Latn"]["tokens"] / complete["labels"]["deu_Latn"]["tokens"]
    )


def test_a_copy_of_a_language_with_gaps_pays_what_the_language_pays(tokenizer):
    english = LINES["eng_Latn"]
    copied = [None, *english[1:3], None, None, english[5]]
    pair = texts.parallel({"eng_Latn": english, "sco_Latn": copied})
    pair = evaluate.evaluate(tokenizer, pair, min_content=0)["labels"]
    assert pair["sco_Latn"]["premium"] == pair["eng_Latn"]["premium"] == 1


def test_the_same_sentence_is_shown_in_every_language(tokenizer):
    found = evaluate.evaluate(tokenizer, texts.parallel(LINES), min_content=0)
    shown = {label: "".join(row["segmentation"][0]) for label, row in found["labels"].items()}
    positions = {
        label: [line.replace(" ", "") for line in LINES[label]].index(text)
        for label, text in shown.items()
    }
    assert len(set(positions.values())) == 1


def test_pieces_are_counted_by_script_and_owner(tmp_path):
    made = characters(tmp_path / "two.json", alphabet="abcабв,1", whole=("cat",))
    found = evaluate.evaluate(made, held(eng_Latn=["cat a, a"], rus_Cyrl=["аб, 1"]), min_content=0)
    scripts = found["by_script"]
    assert {code: row["pieces"] for code, row in scripts.items()} == {
        "Cyrl": 3, "Latn": 4, "other": 2, "special": 1,
    }  # fmt: skip
    assert scripts["Latn"]["share"] == pytest.approx(4 / 7, rel=1e-5)
    assert scripts["Latn"]["content_share"] == pytest.approx(5 / 7, rel=1e-5)
    owner = found["by_owner"]
    assert owner["labels"]["eng_Latn"] == {"owned": 3, "used": 3}
    assert owner["labels"]["rus_Cyrl"] == {"owned": 3, "used": 4}
    assert owner["shared"] == 1  # the comma: a quarter of both, owned by the first
    assert owner["unused"] == 3  # b, c, в
    assert owner["text_pieces"] == 9


def test_paying_is_the_same_with_and_without_the_rest_of_the_facts(tokenizer):
    for judged_by in (held(**LINES), texts.parallel(LINES)):
        paid = evaluate.pay(tokenizer, judged_by, min_content=0)
        facts = evaluate.evaluate(tokenizer, judged_by, min_content=0)
        for label, premium in zip(paid.labels, paid.premium, strict=True):
            assert facts["labels"][label]["premium"] == pytest.approx(premium, rel=1e-5)
        assert facts["summary"]["mean_tokens"] == pytest.approx(paid.mean_tokens.mean(), rel=1e-5)


@pytest.mark.slow
def test_flores_with_gaps_gives_every_language_an_interval_of_a_few_percent(data, tmp_path):
    import zstandard

    path = tmp_path / "flores.jsonl"
    with zstandard.open(data / "lid" / "dev.jsonl.zst", "rt") as opened:
        path.write_text("".join(line for line in opened if '"id": "flores' in line))
    made = characters(tmp_path / "letters.json", alphabet=LATIN)
    found = evaluate.evaluate(made, read_parallel(path))
    assert len(found["labels"]) == 205
    widths = [
        (r["premium_high"] - r["premium_low"]) / r["premium"] for r in found["labels"].values()
    ]
    assert 0.01 < sorted(widths)[102] < 0.1
