"""Questions and answers: SQuAD's JSON, other shapes, and offsets that are wrong."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import DataError
from pretrain.tasks import squad
from pretrain.tasks.data import open_task

CONTEXT = "Mto Nile 🌍 ni mrefu; mto Nile hupita Misri."


def found(value, context=CONTEXT):
    read = squad.answers(value, context)
    assert read is not None
    return [(one["text"], one["start"]) for one in read.answers]


@pytest.mark.parametrize(
    "value",
    [
        {"text": ["Misri"], "answer_start": [36]},
        {"text": "Misri", "answer_start": 37},
        [{"text": "Misri", "answer_start": 37}],
        [{"text": "Misri", "start": 37}],
        {"text": ["Misri"], "answer_start": [9999]},
        {"text": [" Misri "], "answer_start": [36]},
        {"text": ["Misri"]},
        ["Misri"],
        "Misri",
    ],
)
def test_an_answer_is_found_in_every_shape(value):
    assert found(value) == [("Misri", 37)]


@pytest.mark.parametrize("value", [None, [], {}, {"text": [], "answer_start": []}, "", [""]])
def test_no_answer_is_an_answer(value):
    assert squad.answers(value, CONTEXT) == squad.Found((), 0, 0, 0)


@pytest.mark.parametrize(
    "value", [7, [7], {"text": [7], "answer_start": [0]}, {"text": ["a"], "answer_start": [1, 2]},
              {"text": ["a"], "answer_start": "0"}, {"text": 3}, [{"answer_start": 3}]]
)  # fmt: skip
def test_another_shape_is_none_of_them(value):
    assert squad.answers(value, CONTEXT) is None


def test_an_offset_in_bytes_or_utf_16_is_moved_to_the_nearest_place_with_the_text():
    in_bytes = CONTEXT.encode().index(b"Nile hupita")
    in_utf_16 = len(CONTEXT[: CONTEXT.index("Nile hupita")].encode("utf-16-le")) // 2
    for start in (in_bytes, in_utf_16):
        read = squad.answers([{"text": "Nile", "answer_start": start}], CONTEXT)
        assert read.answers == ({"text": "Nile", "start": 25},)
        assert read.num_moved == 1
    assert found([{"text": "Nile", "answer_start": 7}]) == [("Nile", 4)]


def test_an_answer_that_the_context_lacks_is_left_out():
    read = squad.answers({"text": ["Kongo", "Misri"], "answer_start": [0, 37]}, CONTEXT)
    assert (len(read.answers), read.num_absent) == (1, 1)


@given(st.text(), st.text(), st.integers(-(10**12), 10**12))
def test_whatever_is_kept_is_where_it_says(context, text, start):
    read = squad.answers([{"text": text, "answer_start": start}], context)
    for one in read.answers:
        assert one["text"] == context[one["start"] : one["start"] + len(one["text"])] != ""
    assert len(read.answers) == bool(text.strip() and text.strip() in context)


@given(st.text(max_size=20), st.text(min_size=1), st.text(max_size=20))
def test_an_answer_cut_from_its_context_is_kept_as_it_is(before, text, after):
    read = squad.answers({"text": text, "answer_start": len(before)}, before + text + after)
    if text.strip():
        assert read.answers == ({"text": text, "start": len(before)},)
        assert not read.num_moved


def squad_json(*qas, context=CONTEXT, **more):
    return {"version": "v2.0", "data": [{"title": "t", "paragraphs": [{"context": context,
            "qas": list(qas)}], **more}]}  # fmt: skip


def one(number, answer="Misri", **more):
    answers = [{"text": answer, "answer_start": CONTEXT.find(answer)}] if answer else []
    return {"id": f"q{number}", "question": f"Swali {number}?", "answers": answers, **more}


def write(path, whole):
    path.write_text(json.dumps(whole, ensure_ascii=False), encoding="utf-8")
    return path


def test_squad_1_and_2_are_read_with_unanswerable_questions(tmp_path):
    hidden = one(2, is_impossible=True, plausible_answers=[{"text": "Nile", "answer_start": 4}])
    write(tmp_path / "sw.train.json", squad_json(one(1), hidden, one(3, answer=None)))
    write(tmp_path / "sw.dev.json", squad_json(one(4)))
    write(tmp_path / "sw.test.json", squad_json(one(5, answer="Nile")))
    data = open_task(tmp_path / "sw")
    assert data.task == "answer"
    assert data.targets == ()
    assert [len(answers) for answers in data.train["answers"].to_pylist()] == [1, 0, 0]
    assert data.test["answers"].to_pylist() == [[{"text": "Nile", "start": 4}]]
    assert data.train["id"].to_pylist() == ["q1", "q2", "q3"]
    assert set(data.train["label"].to_pylist()) == {"swh_Latn"}


def test_an_answer_outside_its_context_quarantines_its_question(tmp_path):
    rows = [one(number) for number in range(4)] + [one(9, answer=None)]
    rows[1]["answers"] = [{"text": "Kongo", "answer_start": 3}]
    rows[2]["answers"] = [{"text": "Misri", "answer_start": 3}]
    rows[3] = "no question"
    write(tmp_path / "q.train.json", squad_json(*rows))
    write(tmp_path / "q.test.json", squad_json(one(11)))
    write(tmp_path / "q.dev.json", squad_json(one(12)))
    data = open_task(tmp_path / "q")
    assert data.counts["train"] == {
        "read": 5, "kept": 3, "quarantined": 2, "answer_not_in_context": 1, "not_squad": 1,
    }  # fmt: skip
    assert any("were not at their offset" in text and "q.train.json:3" in text
               for text in data.warnings)  # fmt: skip
    assert any("answer_not_in_context: 1; the first: q.train.json:2" in text
               for text in data.warnings)  # fmt: skip


def test_records_with_answers_beside_their_offsets_are_read(tmp_path):
    rows = [{"context": CONTEXT, "question": f"q{n}?", "answer": "Nile", "answer_start": 25,
             "lang": "sw"} for n in range(3)]  # fmt: skip
    path = tmp_path / "q.train.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    data = open_task(path)
    assert data.train["answers"].to_pylist()[0] == [{"text": "Nile", "start": 25}]


@pytest.mark.parametrize("whole", [{"questions": []}, {"data": "x"}, 7])
def test_other_json_is_refused(tmp_path, whole):
    with pytest.raises(DataError, match="is no JSON of SQuAD"):
        open_task(write(tmp_path / "q.json", whole))


def test_questions_of_one_context_stay_in_one_split(tmp_path):
    rows = [
        {"context": f"{number}. {CONTEXT}", "question": f"{n}?", "answers": ["Misri"], "id": n}
        for number in range(40) for n in range(3)
    ]  # fmt: skip
    path = tmp_path / "q.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    data = open_task(path)
    contexts = [set(table["context"].to_pylist()) for table in (data.train, data.dev, data.test)]
    assert all(contexts)
    assert sum(map(len, contexts)) == 40


def test_questions_none_of_which_has_an_answer_teach_nothing(tmp_path):
    whole = squad_json(one(1, answer=None), one(2, answer=None))
    with pytest.raises(DataError, match="no question has an answer"):
        open_task(write(tmp_path / "q.train.json", whole))
