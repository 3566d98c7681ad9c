"""Predictions: those of the network, in order, at their places; one problem stops no other text."""

import json
import subprocess
import sys

import numpy as np
import pytest
import tokenizers
import torch
import transformers
from served_models import KINDS, LONGEST, TARGETS, write_model

from pipelines.errors import DataError
from pretrain.models import AUTO, open_model
from pretrain.serve.lines import Asked
from pretrain.serve.onnx_model import export
from pretrain.serve.predict import open_predictor
from tests_support import ROOT

pytestmark = pytest.mark.usefixtures("one_thread")

LONG = "Mvua kubwa ilinyesha jana usiku katika mji wa Nairobi na watu wengi walikaa nyumbani. " * 4


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A model with each head; the tagger as ONNX too."""
    base = tmp_path_factory.mktemp("predict")
    kinds = {"classify": "bert", "tag": "modernbert", "answer": "bert", "mlm": "modernbert"}
    made = {head: write_model(base / head, kind, head) for head, kind in kinds.items()}
    export(open_model(made["tag"]), int8=True)
    return made


@pytest.fixture(scope="module")
def predictors(folders):
    return {head: open_predictor(folder, use="torch") for head, folder in folders.items()}


def by_transformers(folder, head, text, pair=None):
    """Return the outputs of transformers for a text that is cut where it is too long."""
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.enable_truncation(LONGEST)
    one = tokenizer.encode(text, pair) if pair else tokenizer.encode(text)
    network = getattr(transformers, AUTO[head]).from_pretrained(folder).eval()
    types = {"token_type_ids": torch.tensor([one.type_ids])} if head == "classify" else {}
    with torch.no_grad():
        return one, network(input_ids=torch.tensor([one.ids]), **types)


@pytest.mark.parametrize("pair", [None, "Watu wengi walikaa nyumbani.", LONG])
def test_a_text_or_a_pair_is_classified_as_transformers_does_it(predictors, folders, pair):
    text = "Mvua kubwa ilinyesha."
    (answer,) = predictors["classify"].predict([Asked(text, pair)]).answers
    _, outputs = by_transformers(folders["classify"], "classify", text, pair)
    likely = outputs.logits[0].softmax(-1)
    wanted = {name: float(p) for name, p in zip(TARGETS["classify"], likely, strict=True)}
    found = {one["target"]: one["score"] for one in answer["targets"]}
    assert found == pytest.approx(wanted, abs=1e-5)
    scores = [one["score"] for one in answer["targets"]]
    assert scores == sorted(scores, reverse=True)
    assert (answer["target"], answer["score"]) == tuple(answer["targets"][0].values())
    assert answer.get("pair") == pair and answer["text"] == text


def test_answers_stand_in_the_order_of_the_texts_whatever_their_length(predictors):
    texts = ["Mvua.", LONG, "Watu wengi.", "Nairobi ni mji mkubwa.", "A"] * 3
    predicted = predictors["classify"].predict(texts)
    assert [answer["text"] for answer in predicted.answers] == texts
    assert predicted.num_cut == 3
    for text, answer in zip(texts, predicted.answers, strict=True):
        (alone,) = predictors["classify"].predict([text]).answers
        assert answer["target"] == alone["target"]
        assert answer["score"] == pytest.approx(alone["score"], abs=1e-5)


def test_a_text_that_cannot_be_judged_stops_no_other(predictors):
    asked = ["Mvua.", "", " \n", "a\ud800b", Asked("", problem="it is not UTF-8"), "Watu."]
    found = predictors["classify"].predict(asked).answers
    problems = [answer.get("problem") for answer in found]
    assert problems == [
        None, "it is empty", "it is empty", "it is no text: it has half a surrogate pair",
        "it is not UTF-8", None,
    ]  # fmt: skip
    assert [("target" in answer) for answer in found] == [True, False, False, False, False, True]
    json.dumps(found, ensure_ascii=False).encode()


def test_every_word_is_tagged_at_its_place(predictors):
    text = "😀 مريم تعيش في القاهرة، Kenya's 我爱北京。"
    (answer,) = predictors["tag"].predict([text], every_word=True).answers
    for one in [*answer["words"], *answer["entities"]]:
        assert text[one["start"] : one["end"]] == one["text"] and 0 < one["score"] <= 1
    assert answer["words"][1]["text"] == "مريم" and answer["words"][1]["start"] == 2
    assert {one["tag"] for one in answer["words"]} <= set(TARGETS["tag"])
    inside = {one["start"] for one in answer["words"] if one["tag"] != "O"}
    assert {one["start"] for one in answer["entities"]} <= inside
    (short,) = predictors["tag"].predict([text]).answers
    assert "words" not in short and short["entities"] == answer["entities"]


def test_a_text_that_is_too_long_is_tagged_to_its_end(predictors):
    text = LONG * 3
    predicted = predictors["tag"].predict([text, "Mvua."], every_word=True)
    words = predicted.answers[0]["words"]
    assert predicted.num_cut == 1
    assert words[-1]["end"] == len(text.rstrip())
    assert all(one["score"] > 0 for one in words)


def test_tags_of_no_scheme_are_given_for_each_word(tmp_path):
    folder = write_model(
        tmp_path / "pos", "bert", "tag", targets=["NOUN", "VERB"], task={"scheme": None}
    )
    (answer,) = open_predictor(folder, use="torch").predict(["Mvua ilinyesha"]).answers
    assert [one["text"] for one in answer["words"]] == ["Mvua", "ilinyesha"]
    assert "entities" not in answer


@pytest.mark.parametrize("times", [1, 20])
def test_an_answer_is_cut_out_of_its_context(predictors, times):
    context = "ﷺ  Mvua kubwa 😀 ilinyesha\u200c jana.\n" * times
    asked = [Asked("Nini ilinyesha?", context), Asked("Nini?"), Asked("Lini?", "Jana.")]
    first, without, last = predictors["answer"].predict(asked, top=4).answers
    assert first["answers"][0]["answer"] == first["answer"] and len(first["answers"]) == 4
    for one in first["answers"]:
        assert one["answer"] and context[one["start"] : one["end"]] == one["answer"]
    assert without["problem"] == "the question has no context"
    assert "Jana."[last["start"] : last["end"]] == last["answer"]
    assert sum(one["score"] for one in first["answers"]) <= 1 + 1e-9


def test_where_there_is_no_answer_there_is_no_place(tmp_path):
    folder = write_model(tmp_path / "qa", "bert", "answer", task={"no_answer_threshold": -1e9})
    (answer,) = open_predictor(folder, use="torch").predict([Asked("Nini?", "Mvua.")]).answers
    assert (answer["answer"], answer["start"], answer["end"]) == ("", None, None)


def test_what_stands_behind_each_mask_is_guessed(predictors, folders):
    text = "Mvua [MASK] ilinyesha [MASK] usiku"
    (answer,) = predictors["mlm"].predict([text], top=3).answers
    one, outputs = by_transformers(folders["mlm"], "mlm", text)
    places = [at for at, piece in enumerate(one.ids) if piece == 4]
    assert len(answer["masks"]) == len(places) == 2
    for at, found in zip(places, answer["masks"], strict=True):
        likely, ids = outputs.logits[0, at].softmax(-1).topk(3)
        assert [one["score"] for one in found] == pytest.approx(likely.tolist(), abs=1e-5)
        assert len(ids) == len(found)


def test_a_mask_far_inside_a_long_text_is_guessed_from_what_stands_around_it(predictors):
    text = f"[MASK] {LONG} [MASK] {LONG} [MASK]"
    predicted = predictors["mlm"].predict([text, "no mask", "a [MASK]"], top=1)
    assert [len(mask) for mask in predicted.answers[0]["masks"]] == [1, 1, 1]
    assert predicted.answers[1]["problem"] == "it has no [MASK]"
    assert predicted.num_cut == 1


@pytest.mark.parametrize("kind", KINDS)
def test_onnx_and_torch_say_the_same(tmp_path, kind, texts):
    folder = write_model(tmp_path / kind, kind, "classify")
    export(open_model(folder))
    lines = [line for label in texts for line in texts[label][0].split("\n")[:2]]
    found, wanted = (
        open_predictor(folder, use=use, threads=1).predict(lines).answers
        for use in ("onnx", "torch")
    )
    assert [answer["target"] for answer in found if "target" in answer]
    for ours, theirs in zip(found, wanted, strict=True):
        assert ours.get("target") == theirs.get("target")
        assert ours.get("score", 0) == pytest.approx(theirs.get("score", 0), abs=1e-5)


def test_in_eight_bits_a_text_is_judged_the_same_alone_and_among_others(folders):
    predictor = open_predictor(folders["tag"], use="int8", threads=1)
    texts = [LONG, "Mvua.", "Watu wengi walikaa Nairobi."]
    together = predictor.predict(texts, every_word=True).answers
    alone = [predictor.predict([text], every_word=True).answers[0] for text in texts]
    assert together == alone


def test_through_onnx_neither_torch_nor_transformers_is_loaded(folders):
    code = (
        "import json, sys\n"
        "from pretrain.serve.predict import open_predictor\n"
        f"predictor = open_predictor({str(folders['tag'])!r}, threads=1)\n"
        "predictor.predict(['Mvua.'])\n"
        "print(json.dumps([predictor.backend.name, *sorted(sys.modules)]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    name, *modules = json.loads(done.stdout)
    assert name == "onnx" and not {"torch", "transformers", "sklearn", "typer"} & set(modules)


def test_a_model_of_another_maker_is_judged_by_its_class(tmp_path):
    folder = write_model(tmp_path / "foreign", "bert", "tag", manifest=False)
    (folder / "task.json").unlink()
    predictor = open_predictor(folder, use="torch")
    assert predictor.head == "tag" and predictor.scheme == "BIO"
    assert predictor.max_length == LONGEST


def test_an_encoder_without_a_head_predicts_nothing(tmp_path):
    folder = write_model(tmp_path / "encoder", "bert", "none")
    with pytest.raises(DataError, match=r"is an encoder without a head.*\n.*koine tune"):
        open_predictor(folder)


def test_a_task_that_there_is_not_is_named(tmp_path):
    folder = write_model(tmp_path / "odd", "bert", "classify", task={"task": "rank"})
    with pytest.raises(DataError, match=r"task\.json: the task is 'rank'"):
        open_predictor(folder)


def test_no_text_is_no_work(predictors):
    for predictor in predictors.values():
        assert predictor.predict([]).answers == []
    assert np.isfinite(predictors["classify"].predict(["a"]).answers[0]["score"])
