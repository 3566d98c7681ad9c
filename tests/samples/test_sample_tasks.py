"""The sample tasks are what they say: real splits, offsets that hold, tags that begin with B."""

import json
import unicodedata
from collections import Counter
from functools import cache

import pytest

from pretrain.tasks.data import SPLITS, open_task
from tests_support import ROOT

FOLDER = ROOT / "samples" / "tasks"
NAMES = ("topics", "names", "questions")
LABELS = {"arb_Arab", "eng_Latn", "hin_Deva", "spa_Latn", "swh_Latn", "zho_Hans"}
LETTERS = {"Arab": "ARABIC", "Deva": "DEVANAGARI", "Hans": "CJK", "Latn": "LATIN"}
"""How the names of a script's letters begin."""
LEAST = {"topics": (24, 8, 8), "names": (16, 4, 8), "questions": (12, 3, 6)}
"""Examples of each language in train, dev and test."""


@cache
def opened(name):
    return open_task([FOLDER / name])


@pytest.fixture(params=NAMES)
def task(request):
    return opened(request.param)


def texts_of(table):
    """Return what a model reads of each example."""
    for column in ("text", "words", "question"):
        if column in table.column_names:
            values = table[column].to_pylist()
            return [" ".join(one) if isinstance(one, list) else one for one in values]
    raise AssertionError(table.column_names)


def test_nothing_is_quarantined_or_doubted(task):
    assert task.warnings == ()
    for split in SPLITS:
        assert task.counts[split] == {
            "read": getattr(task, split).num_rows,
            "kept": getattr(task, split).num_rows,
            "quarantined": 0,
        }


def test_every_language_has_enough_of_each_split(task):
    for split, least in zip(SPLITS, LEAST[task.name], strict=True):
        found = Counter(getattr(task, split)["label"].to_pylist())
        assert set(found) == LABELS
        assert min(found.values()) >= least
        assert len(set(found.values())) == 1  # alike, so that scores compare


def test_no_text_is_in_two_splits_or_twice_in_one(task):
    all_texts = [
        (label, text)
        for split in SPLITS
        for label, text in zip(
            getattr(task, split)["label"].to_pylist(),
            texts_of(getattr(task, split)),
            strict=True,
        )
    ]
    assert len(set(all_texts)) == len(all_texts)


def test_texts_are_normalised_and_written_in_the_script_of_their_label(task):
    for split in SPLITS:
        table = getattr(task, split)
        for label, text in zip(table["label"].to_pylist(), texts_of(table), strict=True):
            assert unicodedata.normalize("NFC", text) == text == text.strip()
            letters = [unicodedata.name(one) for one in text if one.isalpha()]
            assert letters
            assert all(name.startswith(LETTERS[label[-4:]]) for name in letters), text


def test_topics_are_as_many_of_each():
    for split in SPLITS:
        table = getattr(opened("topics"), split)
        found = Counter(zip(table["label"].to_pylist(), table["target"].to_pylist(), strict=True))
        assert len(set(found.values())) == 1
        assert {target for _, target in found} == {"food", "health", "sport", "weather"}


def test_names_are_bio_and_of_all_three_kinds_in_every_language():
    task = opened("names")
    assert task.scheme == "BIO"
    for split in SPLITS:
        kinds = {label: set() for label in LABELS}
        table = getattr(task, split)
        for label, tags in zip(table["label"].to_pylist(), table["tags"].to_pylist(), strict=True):
            before = "O"
            for tag in tags:
                if tag.startswith("I-"):
                    assert before[2:] == tag[2:], tags
                before = tag
            kinds[label] |= {tag[2:] for tag in tags if tag != "O"}
        assert all(found == {"PER", "LOC", "ORG"} for found in kinds.values())


def test_answers_stand_where_they_are_said_to():
    task, num = opened("questions"), 0
    for path in sorted((FOLDER / "questions").glob("*.json")):
        for document in json.loads(path.read_text(encoding="utf-8"))["data"]:
            for paragraph in document["paragraphs"]:
                for question in paragraph["qas"]:
                    for answer in question["answers"]:
                        start = answer["answer_start"]
                        end = start + len(answer["text"])
                        assert paragraph["context"][start:end] == answer["text"]
                        assert answer["text"] == answer["text"].strip()
                        num += 1
    assert num == sum(getattr(task, split).num_rows for split in SPLITS)


def test_no_context_is_in_two_splits():
    task = opened("questions")
    contexts = [set(getattr(task, split)["context"].to_pylist()) for split in SPLITS]
    assert sum(map(len, contexts)) == len(set().union(*contexts))
