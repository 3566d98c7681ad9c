"""Scores of several systems by language: means over tunings, intervals, paired differences."""

import random

import numpy as np
import pyarrow as pa
import pytest

from pretrain.judge import results
from pretrain.judge.baselines import baselines
from pretrain.judge.scoring import rows_of, systems_of
from pretrain.tasks import data, metrics

TARGETS = ("health", "politics", "sport")


ALL = ("arb_Arab", "swh_Latn", "yor_Latn")
TRAINED = {"in_language": ALL, "zero_shot": ()}


def gold_of(labels, num=120):
    draw = random.Random(0)
    rows = [(label, draw.choice(TARGETS)) for label in labels for _ in range(num)]
    return pa.table({"label": [row[0] for row in rows], "target": [row[1] for row in rows]})


def guesses(gold, right, seed):
    """Return predictions that are right so often."""
    draw = random.Random(seed)
    return [
        target if draw.random() < right else draw.choice(TARGETS)
        for target in gold["target"].to_pylist()
    ]


@pytest.fixture(scope="module")
def gold():
    return gold_of(["swh_Latn", "yor_Latn", "arb_Arab"])


@pytest.fixture(scope="module")
def rows(gold):
    return rows_of(
        "classify",
        gold,
        {
            "in_language": [guesses(gold, 0.8, seed) for seed in (1, 2, 3)],
            "zero_shot": [guesses(gold, 0.5, seed) for seed in (4, 5, 6)],
            "random": [guesses(gold, 0.3, seed) for seed in (7, 8, 9)],
            "random_zero_shot": [guesses(gold, 0.5, seed) for seed in (10, 11, 12)],
            "majority": [["sport"] * gold.num_rows],
        },
        trained_on=TRAINED,
    )


def test_a_languages_score_is_the_mean_over_its_tunings(gold, rows):
    found = rows["yor_Latn"]["in_language"]
    each = [
        metrics.scored("classify", gold, guesses(gold, 0.8, seed))["yor_Latn"]["macro_f1"]
        for seed in (1, 2, 3)
    ]
    assert found["mean"] == pytest.approx(np.mean(each), abs=1e-12)
    assert found["deviation"] == pytest.approx(np.std(each, ddof=1), abs=1e-12)
    assert found["low"] < found["mean"] < found["high"]
    assert found["metrics"]["macro_f1"] == found["mean"]
    assert rows["yor_Latn"]["num"] == 120
    assert rows["yor_Latn"]["majority"]["deviation"] is None


def test_a_difference_is_to_the_models_own_score_of_the_same_kind(rows):
    row = rows["swh_Latn"]
    assert row["difference"].keys() == {"random", "random_zero_shot", "majority"}
    for baseline, own in (
        ("random", "in_language"),
        ("random_zero_shot", "zero_shot"),
        ("majority", "in_language"),
    ):
        gap, low, high = row["difference"][baseline]
        assert gap == pytest.approx(row[own]["mean"] - row[baseline]["mean"], abs=1e-12)
        assert low <= gap <= high
    assert results.verdict(row["difference"]["random"]) == "better"
    assert results.verdict(row["difference"]["random_zero_shot"]) == "unsure"


def test_a_difference_is_paired_so_that_shared_luck_cancels_out(gold):
    one = guesses(gold, 0.6, 1)
    other = list(one)
    right = gold["target"].to_pylist()
    wrong = [number for number in range(len(one)) if one[number] != right[number]][:12]
    for number in wrong:
        one[number] = right[number]
    row = rows_of("classify", gold, {"in_language": [one], "random": [other]}, trained_on=TRAINED)[
        "swh_Latn"
    ]
    gap, low, high = row["difference"]["random"]
    width = row["in_language"]["high"] - row["in_language"]["low"]
    assert gap > 0 and low > 0
    assert high - low < width


def test_the_interval_of_one_tuning_is_that_of_its_examples_alone(gold):
    said = guesses(gold, 0.7, 3)
    row = rows_of("classify", gold, {"in_language": [said]}, trained_on=TRAINED, seed=5)[
        "arb_Arab"
    ]["in_language"]
    alone = metrics.scored("classify", gold, said, seed=5)["arb_Arab"]
    assert (row["low"], row["high"]) == pytest.approx((alone["low"], alone["high"]), abs=1e-12)


def test_tunings_that_differ_widen_the_interval(gold):
    near = [guesses(gold, 0.7, seed) for seed in (1, 2, 3)]
    far = [guesses(gold, right, seed) for seed, right in enumerate((0.4, 0.7, 0.99))]
    widths = []
    for tunings in (near, far):
        row = rows_of("classify", gold, {"in_language": tunings}, trained_on=TRAINED)["swh_Latn"][
            "in_language"
        ]
        widths.append(row["high"] - row["low"])
    assert widths[1] > 1.8 * widths[0]


def test_the_same_predictions_give_the_same_figures(gold):
    systems = {"in_language": [guesses(gold, 0.7, 1), guesses(gold, 0.6, 2)]}
    one, other = (rows_of("classify", gold, systems, trained_on=TRAINED) for _ in range(2))
    assert one == other


@pytest.mark.parametrize(
    ("label", "made", "found"),
    [
        ("swh_Latn", ("in_language", "random"), {"in_language": "in_language", "random": "random"}),
        (
            "yor_Latn",
            ("in_language", "random"),
            {"zero_shot": "in_language", "random_zero_shot": "random"},
        ),
        ("yor_Latn", ("in_language", "zero_shot"), {"zero_shot": "zero_shot"}),
        (
            "swh_Latn",
            ("in_language", "zero_shot", "words"),
            {"in_language": "in_language", "zero_shot": "zero_shot", "words": "words"},
        ),
        ("eng_Latn", ("in_language", "zero_shot"), {"in_language": "in_language"}),
    ],
)
def test_what_a_language_was_not_tuned_on_is_zero_shot(label, made, found):
    trained_on = {"in_language": ("eng_Latn", "swh_Latn"), "zero_shot": ("eng_Latn",)}
    assert systems_of(label, made, trained_on) == found


def write_lines(path, lines):
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_the_majority_is_that_of_the_language_itself_where_it_has_examples(tmp_path):
    head = "text\ttarget\tlang"
    train = [f"a {i}\tsport\tyor_Latn" for i in range(5)]
    train += [f"b {i}\thealth\tswh_Latn" for i in range(9)]
    write_lines(tmp_path / "topics.train.tsv", [head, *train])
    write_lines(tmp_path / "topics.dev.tsv", [head, "c\tsport\tyor_Latn"])
    write_lines(
        tmp_path / "topics.test.tsv",
        [head, "d\tsport\tyor_Latn", "e\tsport\tswh_Latn", "f\tsport\tarb_Arab"],
    )
    found = baselines(data.open_task([tmp_path]))
    by_label = dict(zip(("yor_Latn", "swh_Latn", "arb_Arab"), found["majority"], strict=True))
    assert by_label == {"yor_Latn": "sport", "swh_Latn": "health", "arb_Arab": "health"}
    assert found.keys() == {"majority"}


def test_words_have_their_commonest_tag_and_unknown_ones_the_commonest_of_all(tmp_path):
    def sentence(*pairs):
        return "\n".join(f"{word}\t{tag}" for word, tag in pairs) + "\n\n"

    train = sentence(("Amina", "B-PER"), ("anaishi", "O"), ("Nairobi", "B-LOC"), ("sasa", "O"))
    (tmp_path / "names.train.conll").write_text(train * 3, encoding="utf-8")
    (tmp_path / "names.dev.conll").write_text(train, encoding="utf-8")
    test = sentence(("Nairobi", "B-LOC"), ("na", "O"), ("Amina", "B-PER"))
    (tmp_path / "names.test.conll").write_text(test, encoding="utf-8")
    found = baselines(data.open_task([tmp_path], task="tag", label="swh_Latn"))
    assert found["majority"] == [["O", "O", "O"]]
    assert found["words"] == [["B-LOC", "O", "B-PER"]]


def test_questions_are_answered_by_the_sentence_that_is_most_like_them(tmp_path):
    import json

    lines = []
    for context, question, answer in (
        ("Nairobi ni mji mkuu. Amina anaishi Kisumu.", "Amina anaishi wapi?", "Kisumu"),
        ("東京は日本の首都である。京都は古い都である。", "古い都はどこか", "京都"),
    ):
        answers = {"text": [answer], "answer_start": [context.index(answer)]}
        lines.append(json.dumps({"context": context, "question": question, "answers": answers}))
    for split in ("train", "dev", "test"):
        write_lines(tmp_path / f"questions.{split}.jsonl", lines)
    found = baselines(data.open_task([tmp_path], label="swh_Latn"))
    assert found["words"] == ["Amina anaishi Kisumu.", "京都は古い都である。"]
    assert found.keys() == {"words"}, "no question is without an answer"
