import json
from dataclasses import replace

import pytest
import safetensors.torch
import torch
import transformers
from packed import LONGEST, ROWS, SHAPES, loud, packed

from pipelines.errors import DataError
from pretrain import naming
from pretrain.masking import CLS, PAD, SEP
from pretrain.model import Pretrainer

KINDS = {
    **SHAPES,
    "bert-without-pairs": replace(SHAPES["bert"], nsp=False),
    "modern-with-pairs": replace(SHAPES["modern"], nsp=True),
}
kinds = pytest.mark.parametrize("kind", KINDS)
AUTO = (
    transformers.AutoModel,
    transformers.AutoModelForMaskedLM,
    transformers.AutoModelForSequenceClassification,
    transformers.AutoModelForTokenClassification,
    transformers.AutoModelForQuestionAnswering,
)


@pytest.fixture
def saved(kind, tmp_path):
    """A model, the folder that holds it by transformers' names, and the class it is of."""
    shape = KINDS[kind]
    model = loud(Pretrainer(shape, vocab_rows=ROWS))
    state = naming.to_transformers(model.state_dict(), shape)
    tensors = {name: tensor.contiguous() for name, tensor in state.items()}
    safetensors.torch.save_file(tensors, tmp_path / "model.safetensors", {"format": "pt"})
    config = naming.config_json(shape, vocab_rows=ROWS)
    (tmp_path / "config.json").write_text(json.dumps(config))
    return model, tmp_path, getattr(transformers, config["architectures"][0])


def keys(found):
    return {name: found[name] for name in ("missing_keys", "unexpected_keys", "mismatched_keys")}


@kinds
def test_transformers_loads_all_and_saves_the_same_tensors(kind, saved, tmp_path):
    _, folder, cls = saved
    theirs, found = cls.from_pretrained(folder, output_loading_info=True)
    assert not any(keys(found).values())
    theirs.save_pretrained(tmp_path / "again")
    first, second = (
        safetensors.torch.load_file(path / "model.safetensors")
        for path in (folder, tmp_path / "again")
    )
    assert set(first) == set(second)
    assert all(torch.equal(first[name], second[name]) for name in first)


@kinds
@pytest.mark.parametrize("auto", AUTO, ids=lambda auto: auto.__name__)
def test_every_class_takes_what_it_would_take_of_transformers_own_folder(
    kind, saved, auto, tmp_path
):
    _, folder, cls = saved
    config = transformers.AutoConfig.from_pretrained(folder)
    cls(config).save_pretrained(tmp_path / "own")
    ours = auto.from_pretrained(folder, output_loading_info=True)[1]
    own = auto.from_pretrained(tmp_path / "own", output_loading_info=True)[1]
    assert keys(ours) == keys(own)
    if auto is transformers.AutoModel:
        pooler = {"pooler.dense.weight", "pooler.dense.bias"}
        missing = pooler if kind == "bert-without-pairs" else set()
        assert ours["missing_keys"] == missing


@kinds
def test_the_loaded_model_gives_the_same_scores(kind, saved):
    model, folder, _ = saved
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(folder).eval()
    inputs = packed((LONGEST,), num_padding=0)
    arguments = {"input_ids": inputs.ids_N[None].long()}
    if KINDS[kind].family == "bert":
        arguments["token_type_ids"] = inputs.types_N[None].long()
    with torch.no_grad():
        expected = model.logits(model.encode(inputs, max_length=LONGEST))
        found = theirs(**arguments).logits[0]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@kinds
def test_tensors_come_back_bit_for_bit(kind):
    shape = KINDS[kind]
    state = loud(Pretrainer(shape, vocab_rows=ROWS)).state_dict()
    back = naming.from_transformers(naming.to_transformers(state, shape), shape)
    head = {name for name in state if name.startswith("nsp.") and shape.family == "modern"}
    assert set(back) == set(state) - head
    assert all(torch.equal(back[name], state[name]) for name in back)


def test_a_published_bert_with_old_names_and_tied_copies_is_taken():
    shape = SHAPES["bert"]
    state = Pretrainer(shape, vocab_rows=ROWS).state_dict()
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): tensor
        for name, tensor in naming.to_transformers(state, shape).items()
    }
    old["cls.predictions.decoder.weight"] = old["bert.embeddings.word_embeddings.weight"]
    old["cls.predictions.decoder.bias"] = old["cls.predictions.bias"]
    old["bert.embeddings.position_ids"] = torch.arange(shape.max_positions)[None]
    back = naming.from_transformers(old, shape)
    assert set(back) == set(state)
    without = naming.from_transformers(old, replace(shape, nsp=False))
    assert set(without) == {name for name in state if not name.startswith("nsp.")}


def test_weights_that_do_not_fit_the_shape_are_named():
    shape = SHAPES["bert"]
    state = naming.to_transformers(Pretrainer(shape, vocab_rows=ROWS).state_dict(), shape)
    with pytest.raises(DataError, match=r"has no bert\.encoder\.layer\.3\.\S+, .* and 13 more"):
        naming.from_transformers(state, replace(shape, layers=4))
    with pytest.raises(DataError, match=r"no place for, bert\.encoder\.layer\.2\.\S+, "):
        naming.from_transformers(state, replace(shape, layers=2))
    del state["cls.predictions.bias"]
    with pytest.raises(DataError, match=r"has no cls\.predictions\.bias\.\n"):
        naming.from_transformers(state, shape)


def test_the_head_of_pairs_of_a_modern_model_is_apart(tmp_path):
    shape = KINDS["modern-with-pairs"]
    model, inputs = loud(Pretrainer(shape, vocab_rows=ROWS)), packed()
    state = model.state_dict()
    assert not any("nsp" in name for name in naming.to_transformers(state, shape))
    head = naming.nsp_head(state)
    with torch.no_grad():
        hidden = model.encode(inputs, max_length=LONGEST)
        first = hidden[inputs.cu_D1[0]]
        pooled = torch.tanh(head["pooler.weight"] @ first + head["pooler.bias"])
        found = head["out.weight"] @ pooled + head["out.bias"]
        expected = model.pair_logits(hidden, inputs)[0]
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_bert_is_fine_tuned_with_dropout():
    config = naming.config_json(SHAPES["bert"], vocab_rows=ROWS)
    assert config["hidden_dropout_prob"] == config["attention_probs_dropout_prob"] == 0.1


def test_both_generations_of_transformers_read_the_same_modernbert():
    shape = replace(SHAPES["modern"], layers=7, global_every=3, rope_theta=12_345.0)
    config = naming.config_json(shape, vocab_rows=ROWS)
    new = transformers.ModernBertConfig(**config)
    # transformers 4.48 to 4.57 read these alone, and so does 5 without the others.
    old_names = {"layer_types", "rope_parameters"}
    old = transformers.ModernBertConfig(**{k: v for k, v in config.items() if k not in old_names})
    for found in (new, old):
        assert [kind == "full_attention" for kind in found.layer_types] == [
            shape.is_global(layer) for layer in range(7)
        ]
        for kind in ("full_attention", "sliding_attention"):
            assert found.rope_parameters[kind]["rope_theta"] == 12_345
        ids = (found.pad_token_id, found.cls_token_id, found.sep_token_id)
        assert ids == (PAD, CLS, SEP)
        assert (found.bos_token_id, found.eos_token_id) == (CLS, SEP)
        assert found.local_attention == shape.window
