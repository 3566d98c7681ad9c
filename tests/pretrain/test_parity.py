"""koine's encoders compute what transformers' do: scores, losses and gradients."""

from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers
from packed import LENGTHS, LONGEST, ROWS, SHAPES, loud, packed

from pretrain import naming
from pretrain.model import Inputs, Pretrainer, loss
from pretrain.presets import Shape

TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-7}
"""Of scores up to 4 and gradients up to 0.3. (In float64, what is left comes from transformers'
rotary positions, which are float32 even then.)"""

families = pytest.mark.parametrize("family", SHAPES)
dtypes = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def theirs_of(model: Pretrainer, shape: Shape) -> Any:
    """The same weights in the class of transformers, without dropout."""
    values = naming.config_json(shape, vocab_rows=ROWS)
    if shape.family == "bert":
        values |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
    config = transformers.AutoConfig.for_model(**values)
    theirs = getattr(transformers, values["architectures"][0])(config)
    theirs = theirs.to(next(model.parameters()).dtype).train()
    state = naming.to_transformers(model.state_dict(), shape)
    assert not theirs.load_state_dict(state, strict=False).unexpected_keys
    theirs.tie_weights()
    return theirs


def padded(values_N: torch.Tensor, lengths: tuple[int, ...]) -> torch.Tensor:
    """A row for each real sequence, filled up with 0 to the longest."""
    real = values_N[: sum(lengths)].long().split(lengths)
    return torch.nn.utils.rnn.pad_sequence(real, batch_first=True)


def their_outputs(
    theirs: Any, inputs: Inputs, shape: Shape, lengths: tuple[int, ...] = LENGTHS
) -> tuple[torch.Tensor, ...]:
    """Their scores of all real tokens and of all pairs."""
    ids = padded(inputs.ids_N, lengths)
    seen = padded(torch.ones_like(inputs.ids_N), lengths)
    if shape.family == "bert":
        types = padded(inputs.types_N, lengths)
        out = theirs(input_ids=ids, attention_mask=seen, token_type_ids=types)
        return out.prediction_logits[seen.bool()], out.seq_relationship_logits
    return theirs(input_ids=ids, attention_mask=seen).logits[seen.bool()], torch.zeros(0, 2)


def their_loss(logits: torch.Tensor, pair_logits: torch.Tensor, inputs: Inputs) -> torch.Tensor:
    used = inputs.weights_K > 0
    found = F.cross_entropy(
        logits[inputs.masked_K[used]], inputs.labels_K[used], reduction="sum"
    ) / len(used)
    if len(pair_logits):
        paired = torch.where(inputs.nsp_weights_D > 0, inputs.nsp_D, -100)[: len(LENGTHS)]
        found = found + F.cross_entropy(pair_logits, paired)
    return found


def both(family: str, dtype: torch.dtype) -> tuple[Pretrainer, Any, Inputs, Shape]:
    shape = SHAPES[family]
    model = loud(Pretrainer(shape, vocab_rows=ROWS, dtype=dtype).to(dtype))
    return model, theirs_of(model, shape), packed(), shape


@families
@dtypes
def test_scores_are_those_of_transformers(family, dtype):
    model, theirs, inputs, shape = both(family, dtype)
    with torch.no_grad():
        hidden = model.encode(inputs, max_length=LONGEST)
        logits, pair_logits = their_outputs(theirs, inputs, shape)
        found = model.logits(hidden)
        assert found.isfinite().all()
        torch.testing.assert_close(found[: len(logits)], logits, rtol=0, atol=TOLERANCE[dtype])
        if shape.nsp:
            pairs = model.pair_logits(hidden, inputs)[: len(LENGTHS)]
            torch.testing.assert_close(pairs, pair_logits, rtol=0, atol=TOLERANCE[dtype])
        assert logits.abs().max() > 1


@families
@dtypes
def test_loss_and_gradients_are_those_of_transformers(family, dtype):
    model, theirs, inputs, shape = both(family, dtype)
    found = loss(model(inputs, max_length=LONGEST), inputs)
    found.backward()
    expected = their_loss(*their_outputs(theirs, inputs, shape), inputs)
    expected.backward()
    torch.testing.assert_close(found, expected, rtol=0, atol=TOLERANCE[dtype])
    gradients = {name: weight.grad for name, weight in model.named_parameters()}
    wanted = dict(theirs.named_parameters())
    named = naming.to_transformers(gradients, shape)
    assert set(named) == set(wanted) - {"cls.predictions.decoder.bias"}
    for name, gradient in named.items():
        torch.testing.assert_close(gradient, wanted[name].grad, rtol=0, atol=TOLERANCE[dtype])
        # A softmax does not change when all scores rise alike, so keys need no bias.
        assert gradient.abs().max() > 100 * TOLERANCE[dtype] or name.endswith("key.bias")


@pytest.mark.parametrize(("window", "equal"), [(126, False), (128, True), (130, False)])
def test_local_layers_see_64_tokens_on_each_side_and_no_more_or_fewer(window, equal):
    lengths, longest = (150, 64, 1, 200, 129), 200
    shape = replace(SHAPES["modern"], max_positions=256, window=128)
    ours = replace(shape, window=window)
    theirs = theirs_of(loud(Pretrainer(shape, vocab_rows=ROWS)), shape)
    model = loud(Pretrainer(ours, vocab_rows=ROWS))
    inputs = packed(lengths, longest=longest)
    with torch.no_grad():
        found = model.logits(model.encode(inputs, max_length=longest))
        logits, _ = their_outputs(theirs, inputs, shape, lengths=lengths)
    difference = (found[: len(logits)] - logits).abs().max()
    assert difference < 1e-5 if equal else difference > 1e-3
