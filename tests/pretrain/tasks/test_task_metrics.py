"""Scores against what the reference scripts said of stored predictions, and against libraries.

The predictions were made up for koine. What SQuAD's scripts (1.1 and 2.0), MLQA's
(mlqa_evaluation_v1.py) and conlleval.py say of them was computed once with those scripts.
"""

import json
import math
import random
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pretrain.tasks import metrics, squad_metric
from pretrain.tasks.counts import of_answers

HERE = Path(__file__).parent
ANSWERS = json.loads((HERE / "reference_answers.json").read_text(encoding="utf-8"))
CHUNKS = json.loads((HERE / "reference_chunks.json").read_text(encoding="utf-8"))
TAGS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "I-WORK-OF-ART", "B-WORK-OF-ART", "B-A", "I-A"]


def equal(ours, theirs):
    """Whether two scores are the same but for the order in which their digits were added up."""
    return math.isclose(ours, theirs, rel_tol=4e-16, abs_tol=0.0)


def of_questions(questions, normaliser):
    gold = [row["answers"] for row in questions]
    said = [row["prediction"] for row in questions]
    labels = [row["label"] for row in questions]
    return metrics.answer_scores(gold, said, labels, normaliser=normaliser)


def sentences(label):
    some = [one for one in CHUNKS["sentences"] if label in ("all", one["label"])]
    return [one["gold"] for one in some], [one["predicted"] for one in some]


@pytest.mark.parametrize("way", ["squad", "mlqa"])
def test_every_stored_answer_scores_what_its_script_gave_it(way):
    judged = [row for row in ANSWERS["questions"] if way in row]
    assert len(judged) >= 65
    for row in judged:
        words = squad_metric.words_of(row["label"], way)
        found = squad_metric.exact_and_f1(
            row["answers"], row["prediction"], words=words, second=False
        )
        assert list(found) == row[way], row["id"]


@pytest.mark.parametrize(
    ("way", "label"), [(way, label) for way in ("squad", "mlqa") for label in ANSWERS[way]]
)
def test_answers_of_a_language_score_what_the_script_says(way, label):
    some = [row for row in ANSWERS["questions"] if label in ("all", row["label"])]
    ours, theirs = of_questions(some, way), ANSWERS[way][label]
    assert equal(100 * ours["f1"], theirs["f1"])
    assert equal(100 * ours["exact_match"], theirs["exact_match"])


def test_questions_without_an_answer_score_as_the_second_squad_has_them():
    second = ANSWERS["second"]
    for row in second["questions"]:
        words = squad_metric.words_of(row["label"], "squad")
        found = squad_metric.exact_and_f1(
            row["answers"], row["prediction"], words=words, second=True
        )
        assert list(found) == row["squad"], row["id"]
    ours, theirs = of_questions(second["questions"], "squad"), second["plain"]
    for name, their_name in {
        "f1": "f1",
        "exact_match": "exact",
        "has_answer_f1": "HasAns_f1",
        "has_answer_exact_match": "HasAns_exact",
        "no_answer_f1": "NoAns_f1",
    }.items():
        assert equal(100 * ours[name], theirs[their_name]), name


def test_answers_above_the_threshold_count_as_none_as_in_the_second_squad():
    rows = [
        row | {"prediction": "" if row["none"] > 0.4 else row["prediction"]}
        for row in ANSWERS["second"]["questions"]
    ]
    ours, theirs = of_questions(rows, "squad"), ANSWERS["second"]["threshold_0.4"]
    assert equal(100 * ours["f1"], theirs["f1"])
    assert equal(100 * ours["exact_match"], theirs["exact"])


def test_squads_own_figures_stand_beside_the_multilingual_ones():
    found = of_questions(ANSWERS["questions"], "mlqa")
    assert equal(100 * found["squad_f1"], ANSWERS["squad"]["all"]["f1"])
    assert equal(100 * found["squad_exact_match"], ANSWERS["squad"]["all"]["exact_match"])


@pytest.mark.parametrize(
    ("label", "gold", "said", "words"),
    [
        ("tha_Thai", "ตลาดน้ำ", "ตลาด", 8 / 9),
        ("jpn_Jpan", "古い港です", "古い港", 2 * 1 * 0.6 / 1.6),
        ("mya_Mymr", "ဆား", "ဆား", 1.0),
        ("khm_Khmr", "ទឹក", "ទឹកកក", 2 * 0.5 * 1 / 1.5),
        ("kor_Hang", "오래된 항구", "항구", 2 / 3),
        ("ell_Grek", "«το λιμάνι»", "το λιμάνι;", 1.0),
        ("und", "ท่า x", "ท่า", 2 * 1 * (2 / 3) / (5 / 3)),
        ("yue_Hant", "舊碼頭", "碼頭", 0.8),
    ],
)
def test_languages_that_mlqa_lacks_are_cut_by_their_script(label, gold, said, words):
    cut = squad_metric.words_of(label, "mlqa")
    assert squad_metric.exact_and_f1([gold], said, words=cut, second=False)[1] == pytest.approx(
        words
    )


@pytest.mark.parametrize("label", list(CHUNKS["conlleval"]))
def test_chunks_score_what_conlleval_says(label):
    theirs = CHUNKS["conlleval"][label]
    gold, said = sentences(label)
    ours = metrics.tag_scores(gold, said, scheme="BIO")
    assert ours == {name: theirs[name] for name in ("f1", "precision", "recall")}
    assert metrics.tag_scores(gold, said, scheme=None)["accuracy"] == theirs["accuracy"]


def tagged():
    """Sentences with gold tags and predicted ones."""
    words = st.lists(st.tuples(st.sampled_from(TAGS), st.sampled_from(TAGS)), max_size=9)
    return st.lists(words, min_size=1, max_size=8)


@settings(deadline=None)  # the first example imports a library
@given(tagged())
def test_chunks_score_as_seqeval_has_them(text):
    from seqeval.metrics import f1_score, precision_score, recall_score

    gold, said = ([[word[side] for word in one] for one in text] for side in (0, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says where it divides by zero
        theirs = [one(gold, said) for one in (f1_score, precision_score, recall_score)]
    assert list(metrics.tag_scores(gold, said, scheme="BIO").values()) == theirs


@settings(deadline=None)  # the first example imports a library
@given(st.lists(st.tuples(*[st.sampled_from("abcdefghijkl")] * 2), min_size=1, max_size=60))
def test_targets_score_as_scikit_learn_has_them(pairs):
    from sklearn.metrics import accuracy_score, f1_score

    gold, said = ([pair[side] for pair in pairs] for side in (0, 1))
    found = metrics.classify_scores(gold, said)
    assert found["macro_f1"] == f1_score(gold, said, average="macro", zero_division=0)
    assert found["accuracy"] == accuracy_score(gold, said)


def test_words_are_judged_across_sentences():
    gold, said = [["NOUN", "VERB"], ["NOUN"], []], [["NOUN", "NOUN"], ["NOUN"], []]
    found = metrics.tag_scores(gold, said, scheme=None)
    assert next(iter(found)) == metrics.main_of("tag", scheme=None) == "accuracy"
    assert found == {"accuracy": 2 / 3, "macro_f1": (4 / 5 + 0) / 2}


def test_a_chunk_never_goes_on_in_the_next_sentence():
    assert metrics.tag_scores([["B-A"], ["I-A"]], [["B-A"], ["I-A"]], scheme="BIO")["f1"] == 1
    assert metrics.tag_scores([["B-A"], ["I-A"]], [["B-A"], ["O"]], scheme="BIO")["recall"] == 0.5


def test_the_order_of_the_examples_changes_no_score():
    rows = ANSWERS["questions"]
    shuffled = random.Random(3).sample(rows, len(rows))
    assert of_questions(rows, "mlqa") == of_questions(shuffled, "mlqa")


# --- by language


def table(labels, **columns):
    return pa.table(
        {"label": pa.array(labels).dictionary_encode()}
        | {name: pa.array(values) for name, values in columns.items()}
    )


def classified():
    labels = ["swh_Latn"] * 40 + ["hau_Latn"] * 60 + ["amh_Ethi"] * 50
    gold = ["abc"[i % 3] for i in range(150)]
    said = [one if i % 4 or i < 40 else "a" for i, one in enumerate(gold)]
    return table(labels, target=gold), said


def test_scores_come_by_language_the_worst_first_with_their_mean():
    gold, said = classified()
    found = metrics.scored("classify", gold, said, seed=1)
    *labels, every, mean, worst = found
    assert (every, mean, worst) == (metrics.ALL, metrics.MEAN, metrics.WORST)
    assert sorted(labels) == ["amh_Ethi", "hau_Latn", "swh_Latn"]
    scores = [found[label]["macro_f1"] for label in labels]
    assert scores == sorted(scores)
    assert labels[-1] == "swh_Latn"
    assert found["swh_Latn"]["macro_f1"] == found["swh_Latn"]["low"] == 1
    assert found["worst"] == {"label": labels[0]} | found[labels[0]]
    assert found["mean"]["macro_f1"] == pytest.approx(sum(scores) / 3)
    assert found["mean"]["num"] == 3
    assert found["all"]["num"] == 150
    assert found["all"]["accuracy"] == np.mean(np.array(gold["target"].to_pylist()) == said)
    for row in found.values():
        assert row["low"] <= row["macro_f1"] <= row["high"]
    assert found == metrics.scored("classify", gold, said, seed=1)


def test_a_language_scores_the_same_whatever_stands_beside_it():
    gold, said = classified()
    alone = metrics.scored("classify", gold.slice(40, 60), said[40:100], seed=1)
    assert alone["hau_Latn"] == metrics.scored("classify", gold, said, seed=1)["hau_Latn"]


def test_tags_and_answers_are_scored_by_language_too():
    rows = CHUNKS["sentences"]
    gold = table([row["label"] for row in rows], tags=[row["gold"] for row in rows])
    said = [row["predicted"] for row in rows]
    found = metrics.scored("tag", gold, said, scheme="BIO")
    assert found["hin_Deva"]["f1"] == CHUNKS["conlleval"]["hin_Deva"]["f1"]
    assert found["all"]["f1"] == CHUNKS["conlleval"]["all"]["f1"]
    assert "accuracy" in metrics.scored("tag", gold, said)["all"]

    rows = ANSWERS["second"]["questions"]
    answers = [[{"text": text, "start": 0} for text in row["answers"]] for row in rows]
    gold = table([row["label"] for row in rows], answers=answers)
    found = metrics.scored("answer", gold, [row["prediction"] for row in rows], normaliser="squad")
    assert equal(100 * found["all"]["f1"], ANSWERS["second"]["plain"]["f1"])
    assert found["all"]["low"] < found["all"]["f1"] < found["all"]["high"]
    assert "no_answer_f1" in found["eng_Latn"]


def test_what_nothing_is_there_to_judge_by_is_left_out():
    counts = of_answers([["salt"], []], ["salt", "sea"], ["eng_Latn"] * 2, normaliser="mlqa")
    assert "no_answer_f1" not in counts.take(np.array([0])).scores
    assert "has_answer_f1" not in counts.take(np.array([1])).scores
    assert counts.scores["has_answer_f1"] == 1
    assert counts.scores["no_answer_f1"] == 0


def test_systems_are_compared_on_the_same_examples():
    gold, said = classified()
    right = gold["target"].to_pylist()
    found = metrics.compared("classify", gold, right, said, seed=2)
    assert set(found) == {"amh_Ethi", "hau_Latn", "swh_Latn", "all", "mean"}
    assert found["swh_Latn"] == (0, 0, 0)
    scores = metrics.scored("classify", gold, said)
    for label in ("amh_Ethi", "hau_Latn", "all", "mean"):
        difference, low, high = found[label]
        assert difference == pytest.approx(1 - scores[label]["macro_f1"])
        assert 0 < low < difference < high
    # A target that only one of them says needs room in both.
    other = metrics.compared("classify", gold, right, ["z"] * 150)
    assert other["all"][0] == 1


def test_a_missing_prediction_is_an_error_of_ours():
    with pytest.raises(AssertionError):
        metrics.classify_scores(["a", "b"], ["a"])
    with pytest.raises(AssertionError):
        metrics.tag_scores([["O", "O"]], [["O"]], scheme="BIO")
    with pytest.raises(AssertionError):
        metrics.tag_scores([["S-PER"]], [["O"]], scheme="BIO")
