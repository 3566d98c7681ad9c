from dataclasses import replace

import pytest
import torch
from packed import LENGTHS, LONGEST, ROWS, SHAPES, loud, packed
from torch._dynamo.testing import CompileCounterWithBackend

from pretrain.layers import Linear
from pretrain.model import Inputs, Pretrainer, Scores, loss

KINDS = {
    **SHAPES,
    "bert-without-pairs": replace(SHAPES["bert"], nsp=False),
    "modern-with-pairs": replace(SHAPES["modern"], nsp=True),
}
kinds = pytest.mark.parametrize("kind", KINDS)
with_pairs = pytest.mark.parametrize("kind", ["bert", "modern-with-pairs"])


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def made(kind, **options) -> Pretrainer:
    return loud(Pretrainer(KINDS[kind], vocab_rows=ROWS, **options))


def gradients(model, inputs) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss(model(inputs, max_length=LONGEST), inputs).backward()
    return {name: weight.grad.clone() for name, weight in model.named_parameters()}


def same(first, second) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)


@kinds
def test_weights_depend_on_the_seed_alone(kind):
    def weights(seed):
        torch.manual_seed(torch.seed())
        return Pretrainer(KINDS[kind], vocab_rows=ROWS, seed=seed).state_dict()

    assert same(weights(3), weights(3))
    assert not same(weights(3), weights(4))


@kinds
def test_weights_start_as_their_papers_say(kind):
    shape = KINDS[kind]
    for name, weight in Pretrainer(shape, vocab_rows=ROWS).named_parameters():
        if weight.ndim == 1:
            assert (weight == (1 if "norm.weight" in name else 0)).all(), name
            continue
        narrow = shape.family == "modern" and (".out." in name or "feed_out" in name)
        narrow = (narrow and "nsp" not in name) or (
            shape.family == "modern" and name == "mlm.dense.weight"
        )
        std = 0.02 / (2 * shape.layers) ** 0.5 if narrow else 0.02
        assert weight.abs().max() <= 2 * std, name
        # Cut off at two deviations, what is left has 0.88 of one.
        assert weight.std().item() == pytest.approx(0.88 * std, rel=0.15), name


@with_pairs
def test_gradients_are_the_same_bits_again(kind):
    torch.set_num_threads(2)
    model, inputs = made(kind), packed()
    assert same(gradients(model, inputs), gradients(model, inputs))


@kinds
def test_scores_are_those_of_all_hidden_states(kind):
    """Though the last layer goes on with the tokens alone that are scored."""
    model, inputs = made(kind), packed()
    with torch.no_grad():
        scores = model(inputs, max_length=LONGEST)
        hidden = model.encode(inputs, max_length=LONGEST)
        logits = model.logits(hidden[inputs.masked_K])
        expected = torch.nn.functional.cross_entropy(logits, inputs.labels_K, reduction="none")
        torch.testing.assert_close(scores.ce_K, expected, rtol=0, atol=1e-5)
        assert torch.equal(scores.hit_K, logits.argmax(-1) == inputs.labels_K)
        if KINDS[kind].nsp:
            pairs = model.pair_logits(hidden, inputs)
            expected = torch.nn.functional.cross_entropy(pairs, inputs.nsp_D, reduction="none")
            torch.testing.assert_close(scores.nsp_ce_D, expected, rtol=0, atol=1e-5)
            assert torch.equal(scores.nsp_hit_D, pairs.argmax(-1) == inputs.nsp_D)
        else:
            assert not scores.nsp_ce_D.any() and not scores.nsp_hit_D.any()


@kinds
def test_padding_and_unused_slots_change_no_bit(kind):
    model, inputs = made(kind), packed()
    num_real = sum(LENGTHS)
    changed = Inputs(*(tensor.clone() for tensor in inputs))
    changed.ids_N[num_real:] = 77
    changed.labels_K[inputs.weights_K == 0] = 99
    changed.nsp_D[inputs.nsp_weights_D == 0] = 1
    assert same(gradients(model, inputs), gradients(model, changed))


@kinds
def test_a_sequence_is_scored_alike_wherever_it_lies(kind):
    model = made(kind)
    inputs = packed(num_unused=0)
    order = list(reversed(range(len(LENGTHS))))
    starts = [sum(LENGTHS[:number]) for number in range(len(LENGTHS))]
    moved = torch.cat([torch.arange(starts[n], starts[n] + LENGTHS[n]) for n in order])
    place = torch.empty_like(moved)
    place[moved] = torch.arange(len(moved))
    rest = torch.arange(len(moved), len(inputs.ids_N))
    tokens = torch.cat([moved, rest])
    lengths = [LENGTHS[number] for number in order]
    cu = inputs.cu_D1.clone()
    cu[1 : len(order) + 1] = torch.tensor(lengths).cumsum(0)
    other = inputs._replace(
        ids_N=inputs.ids_N[tokens],
        positions_N=inputs.positions_N[tokens],
        types_N=inputs.types_N[tokens],
        cu_D1=cu,
        masked_K=place[inputs.masked_K],
        nsp_D=torch.cat([inputs.nsp_D[order], inputs.nsp_D[len(order) :]]),
    )
    with torch.no_grad():
        first, second = (model(batch, max_length=LONGEST) for batch in (inputs, other))
    torch.testing.assert_close(second.ce_K, first.ce_K, rtol=0, atol=1e-5)
    pairs = first.nsp_ce_D[order]
    torch.testing.assert_close(second.nsp_ce_D[: len(order)], pairs, rtol=0, atol=1e-5)


def test_the_loss_is_a_mean_over_all_masked_slots_and_one_over_pairs():
    inputs = packed()._replace(
        weights_K=torch.tensor([1.0, 1, 0, 0]), nsp_weights_D=torch.tensor([1.0, 0, 1])
    )
    scores = Scores(
        torch.tensor([3.0, 5, 100, 100]),
        torch.zeros(4) > 0,
        torch.tensor([1.0, 100, 2]),
        torch.zeros(3) > 0,
    )
    assert loss(scores, inputs) == (3 + 5) / 4 + (1 + 2) / 2
    without = inputs._replace(nsp_weights_D=torch.zeros(3))
    assert loss(scores, without) == (3 + 5) / 4


@kinds
def test_in_bfloat16_weights_and_gradients_stay_float32(kind):
    inputs = packed()
    wide, narrow = made(kind), made(kind, dtype=torch.bfloat16)
    assert narrow.encode(inputs, max_length=LONGEST).dtype == torch.bfloat16
    expected, found = gradients(wide, inputs), gradients(narrow, inputs)
    assert {weight.dtype for weight in narrow.parameters()} == {torch.float32}
    for name, gradient in found.items():
        if "qkv.bias" not in name:
            distance = (gradient - expected[name]).norm() / expected[name].norm()
            assert distance < 0.05, name
    scores = narrow(inputs, max_length=LONGEST)
    assert scores.ce_K.dtype == scores.nsp_ce_D.dtype == torch.float32


@with_pairs
def test_one_compilation_serves_every_batch_of_a_length(kind):
    counter = CompileCounterWithBackend("aot_eager")
    # Of two layers, a modern one has a window.
    model = loud(Pretrainer(replace(KINDS[kind], layers=2), vocab_rows=ROWS))
    compiled = torch.compile(model, fullgraph=True, dynamic=False, backend=counter)
    other = (*LENGTHS[5:], 8, *LENGTHS[:3], 22)
    assert sum(other) != sum(LENGTHS)
    batches = [packed(), packed(other, num_padding=sum(LENGTHS) + 61 - sum(other), seed=1)]
    for inputs in batches:
        padded = inputs._replace(**slots(inputs, num=20))
        scores = compiled(padded, max_length=LONGEST)
        loss(scores, padded).backward()
        expected = model(padded, max_length=LONGEST)
        torch.testing.assert_close(scores.ce_K, expected.ce_K, rtol=0, atol=1e-5)
    assert counter.frame_count == 1
    compiled(padded, max_length=LONGEST + 8)
    assert counter.frame_count == 2


def slots(inputs, *, num):
    """As many slots of sequences as asked for."""
    missing = num - len(inputs.nsp_D)
    more = {"nsp_D": inputs.nsp_D, "nsp_weights_D": inputs.nsp_weights_D}
    filled = {name: torch.cat([x, x.new_zeros(missing)]) for name, x in more.items()}
    return {**filled, "cu_D1": torch.cat([inputs.cu_D1, inputs.cu_D1[-1:].expand(missing)])}


@with_pairs
def test_a_model_learns_what_it_sees_again_and_again(kind):
    model, inputs = Pretrainer(KINDS[kind], vocab_rows=ROWS), packed()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for _ in range(30):
        optimizer.zero_grad()
        loss(model(inputs, max_length=LONGEST), inputs).backward()
        optimizer.step()
    with torch.no_grad():
        scores = model(inputs, max_length=LONGEST)
    assert scores.hit_K[inputs.weights_K > 0].float().mean() > 0.9
    assert scores.nsp_hit_D[inputs.nsp_weights_D > 0].float().mean() > 0.8


def test_a_product_takes_the_type_of_what_it_is_given():
    linear = Linear(3, 5, bias=True)
    torch.nn.init.ones_(linear.weight)
    for dtype in (torch.bfloat16, torch.float32):
        assert torch.equal(linear(torch.ones(2, 5, dtype=dtype)), torch.full((2, 3), 5.0).to(dtype))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@kinds
def test_on_a_gpu_the_compiled_model_agrees_and_never_waits(kind):
    inputs = packed()
    expected = gradients(made(kind), inputs)
    model = made(kind, dtype=torch.bfloat16, kernel="varlen").cuda()
    there = Inputs(*(tensor.cuda() for tensor in inputs))
    compiled = torch.compile(model, fullgraph=True, dynamic=False)
    loss(compiled(there, max_length=LONGEST), there).backward()
    model.zero_grad()
    torch.cuda.set_sync_debug_mode("error")
    try:
        loss(compiled(there, max_length=LONGEST), there).backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    for name, weight in model.named_parameters():
        if "qkv.bias" not in name:
            distance = (weight.grad.cpu() - expected[name]).norm() / expected[name].norm()
            assert distance < 0.05, name
