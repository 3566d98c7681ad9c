"""A student of fewer layers, or a narrower one: it learns its teacher's relations."""

import json

import numpy as np
import pytest
import torch
import transformers
from served_models import write_model
from small_encoders import write_topics
from smaller_models import write_texts

from pipelines import store
from pipelines.errors import ConfigError, DataError
from pretrain import models
from pretrain.compress import material, relations, students
from pretrain.compress.distil import distil
from pretrain.compress.settings import Settings
from pretrain.compress.texts import open_texts
from pretrain.compress.watcher import SILENT
from pretrain.models import open_model
from pretrain.tasks.data import open_task
from pretrain.tasks.settings import TuneSettings

SHORT = Settings(tokens=6000, length=32, device="cpu")


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    labels = ("eng_Latn", "swh_Latn", "tha_Thai")
    return open_texts([write_texts(tmp_path_factory.mktemp("texts"), labels)])


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    base = tmp_path_factory.mktemp("teachers")
    return {kind: write_model(base / kind, kind, "mlm") for kind in ("bert", "modernbert")}


def learnt(teacher, to, texts, **options):
    options = {"layers": 1, "settings": SHORT, **options}
    return distil(open_model(teacher), texts=texts, to=store.Folder(to), **options)


def slow_loss(teacher, student, lengths, num_heads):
    """The loss by its formula, row by row."""
    total, num = 0.0, 0
    for number, length in enumerate(lengths):
        num += length * num_heads
        for one, other in zip(teacher, student, strict=True):
            for head in range(num_heads):
                rows = []
                for vectors in (one, other):
                    width = vectors.shape[-1] // num_heads
                    own = vectors[number, :length, head * width : (head + 1) * width]
                    scores = own @ own.T / width**0.5
                    rows.append(torch.log_softmax(scores, dim=-1))
                total += float((rows[0].exp() * (rows[0] - rows[1])).sum())
    return total / num


def test_the_loss_is_the_divergence_of_relations_and_padding_counts_nowhere():
    draw = torch.Generator().manual_seed(0)
    teacher = tuple(torch.randn(3, 7, 24, generator=draw) for _ in range(3))
    student = tuple(torch.randn(3, 7, 12, generator=draw) for _ in range(3))
    lengths = [7, 4, 1]
    mask = torch.arange(7) < torch.tensor(lengths)[:, None]
    found = relations.relation_loss(teacher, student, mask, num_heads=3)
    assert float(found) == pytest.approx(slow_loss(teacher, student, lengths, 3), rel=1e-4)
    for part in (*teacher, *student):
        part[~mask] = 50.0
    again = relations.relation_loss(teacher, student, mask, num_heads=3)
    assert float(again) == pytest.approx(float(found), rel=1e-6)
    whole = relations.relation_loss(teacher, student, None, num_heads=3)
    assert float(whole) == pytest.approx(slow_loss(teacher, student, [7, 7, 7], 3), rel=1e-5)


def test_a_student_with_the_same_relations_has_no_loss_whatever_its_width():
    one = tuple(torch.randn(2, 5, 8) for _ in range(3))
    assert float(relations.relation_loss(one, one, None, num_heads=2)) == pytest.approx(0, abs=1e-6)


def test_relation_heads_divide_both_widths():
    for teacher, student in [(768, 768), (768, 384), (128, 64), (96, 80), (30, 20)]:
        num = relations.heads_for(teacher, student)
        assert teacher % num == student % num == 0
    assert relations.heads_for(768, 384) == 12


@pytest.mark.parametrize("kind", ["bert", "modernbert"])
def test_queries_keys_and_values_are_those_that_the_layer_computes(kind, encoders):
    opened = open_model(encoders[kind])
    network = models.network(opened, "mlm")
    layer = relations.layers_of(network)[1]
    ids = torch.tensor([[2, 300, 301, 302, 3]])
    with relations.Recorder(layer) as found, torch.inference_mode():
        network(input_ids=ids)
        states = network.base_model(input_ids=ids, output_hidden_states=True).hidden_states[1]
        query, key, value = found.take()
        if kind == "bert":
            own = layer.attention.self
            expected = [own.query(states), own.key(states), own.value(states)]
        else:
            expected = layer.attn.Wqkv(layer.attn_norm(states)).chunk(3, dim=-1)
    for one, other in zip((query, key, value), expected, strict=True):
        assert torch.allclose(one, other, atol=1e-6)
    linear = layer.attention.self.query if kind == "bert" else layer.attn.Wqkv
    assert not linear._forward_hooks


@pytest.mark.parametrize("kind", ["bert", "modernbert"])
def test_a_student_as_wide_begins_with_its_teachers_layers_and_keeps_its_embeddings(
    kind, encoders, texts, tmp_path
):
    found = learnt(encoders[kind], tmp_path / "half", texts)
    assert found.facts["student"]["chosen"] == (0,)
    small = models.network(open_model(tmp_path / "half"), "mlm").state_dict()
    whole = models.network(open_model(encoders[kind]), "mlm").state_dict()
    same = [name for name in small if torch.equal(small[name], whole[name])]
    assert any("tok_embeddings" in name or "word_embeddings" in name for name in same)
    moved = [name for name in small if name not in same]
    assert moved and all("layer" in name or "final_norm" in name for name in moved)


@pytest.mark.parametrize("kind", ["bert", "modernbert"])
def test_a_student_comes_closer_to_its_teacher_and_plain_transformers_loads_it(
    kind, encoders, texts, tmp_path
):
    long = Settings(tokens=40_000, length=32, device="cpu")
    found = learnt(encoders[kind], tmp_path / "half", texts, settings=long)
    loss = found.facts["loss"]
    assert loss["last"] < 0.8 * loss["first"]
    network = transformers.AutoModelForMaskedLM.from_pretrained(tmp_path / "half")
    assert network.config.num_hidden_layers == 1
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "half")
    given = tokenizer("A small [MASK].", return_tensors="pt")
    given.pop("token_type_ids", None)
    assert torch.isfinite(network(**given).logits).all()
    comparison = found.facts["comparison"]
    assert comparison["after"]["parameters"] < comparison["before"]["parameters"]
    assert not store.verify(store.Folder(tmp_path / "half"), artefact="smaller")


@pytest.mark.parametrize("kind", ["bert", "modernbert"])
def test_a_narrower_student_is_an_encoder_and_its_pieces_lie_as_they_lay(
    kind, encoders, texts, tmp_path
):
    found = learnt(encoders[kind], tmp_path / "thin", texts, layers=2, width=16)
    small = open_model(tmp_path / "thin")
    assert small.config["hidden_size"] == 16 and small.config["num_attention_heads"] == 1
    assert found.facts["head"] == "none"
    transformers.AutoModel.from_pretrained(tmp_path / "thin")
    teacher = open_model(encoders[kind])
    network = models.network(teacher, "none")
    shape = students.shape_of(teacher, layers=2, width=16)
    _, own = students.student(teacher, network, shape, head="none", seed=0)
    whole, thin = (net.get_input_embeddings().weight.detach() for net in (network, own))
    both = torch.stack([(x @ x.T)[5:300, 5:300].flatten() for x in (whole, thin)])
    assert float(torch.corrcoef(both)[0, 1]) > 0.7


def test_the_same_arguments_give_the_same_student_and_another_seed_another(
    encoders, texts, tmp_path
):
    for name in ("one", "two"):
        learnt(encoders["modernbert"], tmp_path / name, texts)
    one, two = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two"))
    assert one == two
    other = Settings(tokens=6000, length=32, device="cpu", seed=1)
    learnt(encoders["modernbert"], tmp_path / "three", texts, settings=other)
    assert (tmp_path / "three/model.safetensors").read_bytes() != one
    again = learnt(encoders["modernbert"], tmp_path / "one", texts)
    assert not again.is_new


def test_languages_with_little_text_are_repeated_until_all_count_alike(encoders, tmp_path):
    folder = write_texts(tmp_path, ("eng_Latn", "swh_Latn"))
    many = (folder / "eng_Latn.txt").read_text() * 20
    (folder / "eng_Latn.txt").write_text(many)
    found = material.material(
        open_model(encoders["bert"]),
        open_texts([folder]),
        ["eng_Latn", "swh_Latn"],
        tokens=20_000,
        length=32,
        seed=0,
        watcher=SILENT,
    )
    sums = found.pieces
    assert 0.6 < sums["swh_Latn"] / sums["eng_Latn"] < 1.7
    lengths = found.features.lengths
    assert lengths.max() <= 32
    assert sum(sums.values()) == lengths.sum()
    first = found.features.ids[found.features.offsets[:-1]]
    assert np.unique(first).tolist() == [open_model(encoders["bert"]).cls]


@pytest.mark.parametrize("kind", ["bert", "modernbert"])
def test_a_student_of_a_tuned_model_learns_its_answers(kind, texts, tmp_path):
    teacher = write_model(tmp_path / "teacher", kind, "classify", targets=["health", "sport"])
    data = write_topics(tmp_path / "data", train={"swh_Latn": 40})
    own = open_model(teacher)
    task = open_task(data, task="classify", targets=own.task["targets"])
    found = learnt(
        teacher, tmp_path / "half", texts, data=task, tuning=TuneSettings(epochs=12, device="cpu")
    )
    answers = found.facts["answers"]
    assert answers["examples"] == 40
    assert answers["loss"]["last"] < answers["loss"]["first"]
    score = found.facts["comparison"]["score"]
    assert score["split"] == "test" and set(score["labels"]) == {"swh_Latn", "arb_Arab", "tha_Thai"}
    small = open_model(tmp_path / "half")
    assert small.task == own.task
    network = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "half")
    assert network.config.id2label == {0: "health", 1: "sport"}


@pytest.mark.parametrize("head", ["tag", "answer"])
def test_tags_and_answers_are_learnt_too(head, texts, tmp_path):
    from small_encoders import write_names

    teacher = write_model(tmp_path / "teacher", "bert", head)
    if head == "tag":
        data = write_names(tmp_path / "data")
    else:
        (tmp_path / "data").mkdir()
        context = "Amina lives in Nairobi and works there."
        for split in ("train", "dev"):
            rows = [
                {
                    "id": f"{split}{number}",
                    "context": context,
                    "question": "Where does Amina live?",
                    "answers": {"text": ["Nairobi"], "answer_start": [context.index("Nairobi")]},
                }
                for number in range(8)
            ]
            lines = "".join(json.dumps(row) + "\n" for row in rows)
            (tmp_path / f"data/questions.{split}.jsonl").write_text(lines)
        data = tmp_path / "data"
    own = open_model(teacher)
    task = open_task(data, task=head, targets=own.task["targets"])
    tuning = TuneSettings(epochs=15, device="cpu")
    found = learnt(teacher, tmp_path / "half", texts, data=task, tuning=tuning)
    loss = found.facts["answers"]["loss"]
    assert loss["last"] < loss["first"]


def test_shapes_that_are_not_smaller_are_refused_with_what_would_do(encoders):
    teacher = open_model(encoders["bert"])  # 2 layers, 32 wide, 2 heads
    with pytest.raises(ConfigError, match=r"--layers 2: the teacher has 2\.\n.*1 to 1 layers"):
        students.shape_of(teacher, layers=2)
    with pytest.raises(ConfigError, match="--layers 5: the teacher has 2"):
        students.shape_of(teacher, layers=5, width=16)
    with pytest.raises(ConfigError, match="--width 64: the teacher is 32 wide"):
        students.shape_of(teacher, layers=1, width=64)
    with pytest.raises(ConfigError, match=r"--width 24: can't be .* heads of 16.*\n.*16 or 32"):
        students.shape_of(teacher, layers=1, width=24)
    with pytest.raises(ConfigError, match=r"--heads 5: a width of 24 can't be divided"):
        students.shape_of(teacher, layers=1, width=24, heads=5)
    assert students.shape_of(teacher, layers=2, width=24, heads=3).heads == 3


def test_layers_are_spaced_evenly_with_the_first_and_the_last_among_them():
    config = {"num_hidden_layers": 12}
    assert students._chosen(config, 6) == (0, 2, 4, 7, 9, 11)
    assert students._chosen(config, 2) == (0, 11)
    assert students._chosen({"num_hidden_layers": 22}, 11)[-1] == 21


def test_what_cannot_be_learnt_from_is_said_before_anything_is_learnt(encoders, texts, tmp_path):
    with pytest.raises(ConfigError, match="has no text of it"):
        learnt(encoders["bert"], tmp_path / "x", texts, labels=["rus_Cyrl"])
    with pytest.raises(ConfigError, match="--layer 3: the teacher's layers are 1 to 2"):
        learnt(encoders["bert"], tmp_path / "x", texts, settings=Settings(tokens=10, layer=3))
    tuned = write_model(tmp_path / "tuned", "bert", "tag")
    with pytest.raises(DataError, match="needs the task's examples"):
        learnt(tuned, tmp_path / "x", texts)
    with pytest.raises(ConfigError, match="both say how long"):
        Settings.of(
            tokens=1, budget="1min", layer=None, length=16, learning_rate=None, seed=0, device="cpu"
        )
    assert not (tmp_path / "x").exists()


def test_a_budget_of_time_is_kept(encoders, texts, tmp_path):
    import time

    began = time.monotonic()
    settings = Settings(budget="1s", length=32, device="cpu")
    found = learnt(encoders["bert"], tmp_path / "half", texts, settings=settings)
    assert 0.9 < found.facts["seconds"] < 10
    assert found.facts["tokens"] > 0
    assert time.monotonic() - began < 60
