"""What is seen in a model is what transformers computes."""

import numpy as np
import pytest
import torch
import transformers
from served_models import KINDS, LONGEST, write_model

from pipelines.errors import ConfigError, DataError
from pretrain import models
from pretrain.look.attention import Reader
from pretrain.look.inspection import inspect

TEXT, PAIR = "Watoto wanapenda [MASK] vitabu.", "يقرأ الأطفال كتابا"


@pytest.fixture(scope="module", params=KINDS)
def folder(request, tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("model"), request.param, "mlm")


@pytest.fixture(scope="module")
def reader(folder):
    return Reader(models.open_model(folder))


def read_by_transformers(folder, *, head="AutoModelForMaskedLM", attention="eager", pair=None):
    """Read the text without anything of koine."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    network = getattr(transformers, head).from_pretrained(folder, attn_implementation=attention)
    inputs = tokenizer(TEXT, pair, return_tensors="pt")
    with torch.inference_mode():
        return inputs["input_ids"][0], network.eval()(
            **inputs, output_attentions=attention == "eager"
        )


@pytest.mark.parametrize("pair", [None, PAIR])
def test_attention_is_that_of_transformers_and_its_rows_sum_to_one(folder, reader, pair):
    ids, found = read_by_transformers(folder, pair=pair)
    looked = reader.look(TEXT, pair=pair)
    assert [piece.id for piece in looked.pieces] == ids.tolist()
    expected = torch.stack([layer[0] for layer in found.attentions]).numpy()
    assert looked.weights_LHQK.shape == (2, 2, len(ids), len(ids))
    np.testing.assert_array_equal(looked.weights_LHQK, expected)
    np.testing.assert_allclose(looked.weights_LHQK.sum(axis=-1), 1, atol=1e-5)


def test_guesses_are_those_of_the_implementation_that_is_used(folder, reader):
    ids, found = read_by_transformers(folder, attention="sdpa")
    (hidden,) = reader.look(TEXT, top=4).hidden
    place = ids.tolist().index(reader.model.mask)
    best = found.logits[0, place].softmax(-1).topk(4)
    assert hidden.place == place
    assert [guess.id for guess in hidden.guesses] == best.indices.tolist()
    chances = [guess.probability for guess in hidden.guesses]
    np.testing.assert_allclose(chances, best.values.numpy(), atol=1e-5)


def test_a_piece_hidden_in_turn_is_judged_with_only_it_under_a_mask(folder, reader):
    looked = reader.look("vitabu vya watoto wangu", hide_each=True)
    assert [one.place for one in looked.each] == [
        n for n, piece in enumerate(looked.pieces) if piece.kind != "special"
    ]
    network = transformers.AutoModelForMaskedLM.from_pretrained(folder).eval()
    for one in looked.each:
        ids = torch.tensor([[piece.id for piece in looked.pieces]])
        own = int(ids[0, one.place])
        ids[0, one.place] = reader.model.mask
        with torch.inference_mode():
            chances = network(input_ids=ids).logits[0, one.place].softmax(-1)
        assert one.own == pytest.approx(float(chances[own]), abs=1e-5)
        assert one.rank == 1 + int((chances > chances[own]).sum())
        assert one.guesses[0].id == int(chances.argmax())


def test_a_sliding_window_hides_what_is_beyond_it(folder, reader):
    if reader.model.takes_types:
        assert reader.windows == (None, None)
        return
    assert reader.windows == (None, 4)
    weights = reader.look(TEXT, pair=PAIR).weights_LHQK
    at = np.arange(weights.shape[-1])
    beyond = np.abs(at[:, None] - at[None, :]) > 4
    assert not weights[1][:, beyond].any() and weights[0][:, beyond].all()


def test_a_long_text_is_cut_and_a_later_one_is_not(reader):
    looked = reader.look("vitabu " * 200)
    assert len(looked.pieces) == LONGEST and looked.cut > 100
    assert looked.pieces[-1].id == reader.model.sep
    assert reader.look("vitabu").cut == 0


@pytest.mark.parametrize("text", ["", "  \n", "\u200e"])
def test_a_text_of_nothing_is_refused(reader, text):
    with pytest.raises(DataError, match="nothing that the model reads"):
        reader.look(text)


def test_a_tuned_model_has_no_guesses_but_a_decision(tmp_path):
    folder = write_model(tmp_path / "tuned", "bert", "classify")
    found = inspect(folder, TEXT)
    assert not found.fills and found.task == "classify" and not found.looked.hidden
    assert set(found.looked.decision) == {"culture", "health", "sport"}
    assert sum(found.looked.decision.values()) == pytest.approx(1)
    _, read = read_by_transformers(folder, head="AutoModelForSequenceClassification")
    np.testing.assert_allclose(
        found.looked.weights_LHQK[1], read.attentions[1][0].numpy(), atol=1e-6
    )
    assert list(found.looked.decision.values()) == pytest.approx(
        read.logits[0].softmax(-1).tolist(), abs=1e-6
    )
    with pytest.raises(ConfigError, match="no head that fills in masks"):
        inspect(folder, TEXT, hide_each=True)


def test_a_model_that_tags_has_neither(tmp_path):
    found = inspect(write_model(tmp_path / "tuned", "modernbert", "tag"), TEXT)
    assert not found.fills and not found.looked.hidden and not found.looked.decision
    assert found.looked.weights_LHQK.shape[:2] == (2, 2)


def test_heads_are_judged_by_all_texts_that_have_something_to_read(folder):
    watched = []
    found = inspect(
        folder, TEXT, texts=["vitabu vya watoto", "\u200e", " "],
        watch=lambda done, total: watched.append((done, total)),
    )  # fmt: skip
    alone = inspect(folder, TEXT)
    assert found.num_texts == 2 and found.num_pieces > alone.num_pieces
    assert watched == [(1, 2), (2, 2)]
    assert len(found.heads) == 4
    first = inspect(folder, texts=["vitabu vya watoto", TEXT])
    assert first.looked.sources == ("vitabu vya watoto",) and first.num_texts == 2


def test_there_must_be_a_text_and_a_known_language(folder):
    with pytest.raises(ConfigError, match="no text to look at"):
        inspect(folder)
    with pytest.raises(ConfigError, match="not a language label"):
        inspect(folder, TEXT, label="nope")
    assert inspect(folder, TEXT, label="urd_Arab").language == "ur"
