"""Fitting: what a step takes, what it changes, which weights stay, and what a broken loss does."""

import itertools

import numpy as np
import pytest
import torch
from small_encoders import write_encoder, write_names, write_topics

from pipelines.errors import DataError, EnvironmentProblem
from pretrain import models
from pretrain.tasks import batches, encode, loop
from pretrain.tasks.data import open_task
from pretrain.tasks.forward import logits_of, loss_of, predict
from pretrain.tasks.narrow import narrowed
from pretrain.tasks.place import memory_explained, place_of
from pretrain.tasks.settings import TuneSettings, resolve

pytestmark = pytest.mark.usefixtures("one_thread")
ASKED = TuneSettings(epochs=3, batch_size=8, learning_rate=3e-3, device="cpu", weight_decay=0.0)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return models.open_model(write_encoder(tmp_path_factory.mktemp("encoder")))


@pytest.fixture(scope="module")
def topics(tmp_path_factory):
    train = {"swh_Latn": 24, "tha_Thai": 20}
    return open_task([write_topics(tmp_path_factory.mktemp("topics"), train=train)])


@pytest.fixture(scope="module")
def split(model, topics):
    """Encoded training and development examples."""
    return [
        encode.encode("classify", table, model, targets=topics.targets, settings=ASKED)
        for table in (topics.train, topics.dev)
    ]


def resolved(asked, split):
    return resolve(
        asked, task="classify", width=32, num_sequences=len(split[0]), longest=64, on_gpu=False
    )


def fit(model, topics, split, *, asked=ASKED, evaluate=None, seed=0, **options):
    network = models.network(model, "classify", targets=topics.targets, seed=seed)
    fitted = loop.fit(
        network,
        split[0],
        split[1],
        task="classify",
        settings=resolved(asked, split),
        place=place_of(asked, pad=model.pad),
        seed=seed,
        evaluate=evaluate,
        **options,
    )
    return network, fitted


def state(network):
    return {name: value.clone() for name, value in network.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


def test_an_epoch_has_every_sequence_once_in_an_order_that_the_seed_and_the_epoch_decide():
    lengths = np.random.default_rng(0).integers(3, 90, 1003)
    orders = {}
    for seed, number in itertools.product((0, 1), (0, 1)):
        found = list(batches.epoch(lengths, batch_size=32, seed=seed, number=number))
        assert sorted(np.concatenate(found).tolist()) == list(range(1003))
        assert max(map(len, found)) == 32
        orders[seed, number] = np.concatenate(found).tolist()
    again = batches.epoch(lengths, batch_size=32, seed=1, number=1)
    assert np.concatenate(list(again)).tolist() == orders[1, 1]
    assert len({tuple(order) for order in orders.values()}) == 4


def test_a_step_of_like_lengths_pads_far_less_than_a_random_one():
    lengths = np.random.default_rng(0).lognormal(3.5, 0.6, 3000).astype(np.int64) + 2

    def padding(found):
        slots = sum(int(lengths[batch].max()) * len(batch) for batch in found)
        return 1 - lengths.sum() / slots

    random = np.array_split(np.random.default_rng(1).permutation(3000), 94)
    own = list(batches.epoch(lengths, batch_size=32, seed=0, number=0))
    assert padding(own) < 0.1
    assert padding(random) > 0.5


def test_parts_hold_as_many_tokens_as_they_may_and_a_longer_sequence_goes_alone():
    lengths = np.array([50, 9, 8, 8, 3, 2])
    found = [part.tolist() for part in batches.parts(np.arange(6), lengths, tokens=18)]
    assert found == [[0], [1, 2], [3, 4], [5]]


def test_a_step_is_divided_where_that_saves_more_padding_than_it_costs():
    lengths = np.array([100, 96, 20, 20, 19, 18])

    def found(**options):
        return [part.tolist() for part in batches.divided(np.arange(6), lengths, **options)]

    assert found(tokens=4096, overhead=64) == [[0, 1], [2, 3, 4, 5]]
    assert found(tokens=4096, overhead=8192) == [[0, 1, 2, 3, 4, 5]]
    assert found(tokens=40, overhead=8192) == [[0], [1], [2, 3], [4, 5]]
    rng = np.random.default_rng(0)
    for _ in range(20):  # none of all divisions is better
        own = np.sort(rng.integers(1, 60, 7))[::-1]
        parts = list(batches.divided(np.arange(7), own, tokens=150, overhead=30))
        assert np.concatenate(parts).tolist() == list(range(7))

        def cost(ends, own=own):
            sizes = [own[a] * (b - a) for a, b in itertools.pairwise([0, *ends, 7])]
            allowed = all(
                size <= 150 or b - a == 1
                for size, (a, b) in zip(sizes, itertools.pairwise([0, *ends, 7]), strict=True)
            )
            return sum(sizes) + 30 * len(sizes) if allowed else np.inf

        every = (c for num in range(7) for c in itertools.combinations(range(1, 7), num))
        assert cost([part[-1] + 1 for part in parts[:-1]]) == min(map(cost, every))


@pytest.mark.parametrize("task", ["classify", "tag", "answer"])
def test_the_loss_is_that_of_transformers(model, task, tmp_path, topics):
    if task == "classify":
        data = topics
    elif task == "tag":
        data = open_task([write_names(tmp_path)])
    else:
        data = _questions(tmp_path)
    features = encode.encode(task, data.train, model, targets=data.targets, settings=ASKED)
    place = place_of(ASKED, pad=model.pad)
    network = models.network(model, task, targets=data.targets)
    chosen = batches.ordered(features.lengths)[:6]
    one = batches.part(features, chosen, pad=model.pad)
    wanted = torch.from_numpy(batches.wanted(features, one, task))
    with torch.no_grad():
        own = loss_of(logits_of(network, one, place), wanted, one, task, place=place)
        inputs = {"input_ids": torch.from_numpy(one.ids_BL)}
        if one.mask_BL is not None:
            inputs["attention_mask"] = torch.from_numpy(one.mask_BL)
        if one.types_BL is not None:
            inputs["token_type_ids"] = torch.from_numpy(one.types_BL)
        if task == "answer":
            if one.mask_BL is not None:  # transformers counts padding as places of an answer
                pytest.skip("windows of unlike lengths")
            said = {"start_positions": wanted[:, 0], "end_positions": wanted[:, 1]}
        else:
            said = {"labels": wanted if task == "classify" else wanted.view(len(chosen), -1)}
        theirs = network(**inputs, **said).loss
    num = len(chosen) if task != "tag" else int((wanted != -100).sum())
    torch.testing.assert_close(own / num, theirs)


def _questions(folder):
    import json

    rows = [
        {
            "id": str(number),
            "context": "Amina anaishi Nairobi na anafanya kazi sokoni",
            "question": "Amina anaishi wapi",
            "answers": {"text": ["Nairobi"], "answer_start": [14]},
            "lang": "swh_Latn",
        }
        for number in range(6)
    ]
    path = folder / "qa.train.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return open_task([path])


def test_predictions_do_not_depend_on_what_goes_through_together(model, topics, split):
    network = models.network(model, "classify", targets=topics.targets, seed=3)
    features = split[0]
    place = place_of(ASKED, pad=model.pad)
    small = place_of(ASKED.model_copy(update={"micro_batch_tokens": 64}), pad=model.pad)
    alone = []
    with torch.no_grad():
        for start, end in itertools.pairwise(features.offsets.tolist()):
            ids = torch.from_numpy(features.ids[start:end].astype(np.int64))[None]
            alone.append(network(input_ids=ids).logits[0].numpy())
    np.testing.assert_allclose(predict(network, features, place=place), alone, atol=1e-5)
    np.testing.assert_allclose(predict(network, features, place=small), alone, atol=1e-5)


def test_the_same_seed_gives_the_same_bits_and_another_one_others(model, topics, split):
    torch.manual_seed(1)
    first, _ = fit(model, topics, split)
    torch.manual_seed(2)
    again, _ = fit(model, topics, split)
    other, _ = fit(model, topics, split, seed=1)
    assert same(state(first), state(again))
    assert not same(state(first), state(other))


def test_a_step_done_in_parts_changes_the_weights_as_a_whole_one(model, topics, split):
    calm = ASKED.model_copy(update={"dropout": 0.0, "epochs": 1})

    def fitted(tokens):
        network = models.network(model, "classify", targets=topics.targets)
        for module in network.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.0
        asked = calm.model_copy(update={"micro_batch_tokens": tokens})
        loop.fit(
            network,
            split[0],
            None,
            task="classify",
            settings=resolved(asked, split),
            place=place_of(asked, pad=model.pad),
            seed=0,
        )
        return state(network)

    whole, parts = fitted(100_000), fitted(64)
    for name in whole:
        torch.testing.assert_close(whole[name], parts[name], atol=2e-4, rtol=1e-3)


def test_the_weights_of_the_best_epoch_stay(model, topics, split):
    seen, network = [], models.network(model, "classify", targets=topics.targets)
    scores = iter([0.2, 0.7, 0.5])

    def evaluate(_logits):
        seen.append(state(network))
        return next(scores)

    fitted = loop.fit(
        network,
        split[0],
        split[1],
        task="classify",
        settings=resolved(ASKED, split),
        place=place_of(ASKED, pad=model.pad),
        seed=0,
        evaluate=evaluate,
    )
    assert (fitted.best, fitted.dev, fitted.stopped) == (1, 0.7, "epochs")
    kept = state(network)
    inner = [name for name in kept if "word_embeddings" not in name]
    assert all(torch.equal(kept[name], seen[1][name]) for name in inner)
    assert not all(torch.equal(kept[name], seen[2][name]) for name in inner)


def test_it_stops_when_the_development_split_gets_no_better(model, topics, split):
    asked = ASKED.model_copy(update={"epochs": 9, "patience": 2})
    scores = iter([0.5, 0.6, 0.6, 0.1])
    _, fitted = fit(model, topics, split, asked=asked, evaluate=lambda _: next(scores))
    assert (fitted.stopped, len(fitted.epochs), fitted.best) == ("patience", 4, 1)


def test_rows_that_the_data_lacks_stay_and_the_rest_learns_what_it_would(model, topics, split):
    features = split[0]
    before = models.network(model, "classify", targets=topics.targets)
    first = before.get_input_embeddings().weight.detach().clone()
    network, _ = fit(model, topics, split)
    after = network.get_input_embeddings().weight.detach()
    used = np.union1d(np.unique(features.ids), np.unique(split[1].ids))
    unused = np.setdiff1d(np.arange(len(after)), used)
    assert len(unused) > len(used)
    assert torch.equal(after[unused], first[unused])
    assert not torch.equal(after[used], first[used])
    assert after.shape == first.shape

    whole = models.network(model, "classify", targets=topics.targets)
    few = models.network(model, "classify", targets=topics.targets)
    with narrowed(few, features, pad=model.pad) as ((small,), pad):
        num = few.get_input_embeddings().num_embeddings
        assert num < len(after) / 2
        place = place_of(ASKED, pad=pad)
        found = predict(few, small, place=place)
    np.testing.assert_allclose(
        found, predict(whole, features, place=place_of(ASKED, pad=model.pad)), atol=1e-6
    )
    assert same(state(whole), state(few))


def test_a_step_without_a_finite_gradient_changes_nothing(model, topics, split, monkeypatch):
    monkeypatch.setenv("KOINE_POISON", "2,5")
    network, fitted = fit(model, topics, split, evaluate=lambda _: 0.5)
    assert fitted.skipped == 2
    assert all(bool(value.isfinite().all()) for value in network.state_dict().values())
    assert all(np.isfinite(epoch.loss) for epoch in fitted.epochs)


def test_many_steps_without_one_end_it_with_what_to_turn(model, topics, split, monkeypatch):
    monkeypatch.setenv("KOINE_POISON", ",".join(map(str, range(50))))
    with pytest.raises(DataError, match=r"no finite gradient.*\n.*tune\.learning_rate="):
        fit(model, topics, split)


def test_a_time_budget_ends_it_and_the_last_weights_are_judged(model, topics, split):
    asked = ASKED.model_copy(update={"epochs": 100_000, "patience": 100_000})
    _, fitted = fit(model, topics, split, asked=asked, evaluate=lambda _: 0.5, budget_s=1.0)
    assert fitted.stopped == "budget"
    assert fitted.epochs[-1].dev == 0.5
    assert fitted.seconds < 10


def test_a_gpu_that_is_not_there_is_one_error():
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(EnvironmentProblem, match=r"tune\.device.*\n.*auto"):
        place_of(TuneSettings(device="cuda"), pad=0)


def test_a_lack_of_memory_names_the_dial():
    place = place_of(TuneSettings(device="cpu"), pad=0)
    with pytest.raises(EnvironmentProblem, match=r"micro_batch_tokens=2048"):
        with memory_explained(place):
            torch.empty(1 << 60)
    with pytest.raises(RuntimeError, match="shape"):
        with memory_explained(place):
            raise RuntimeError("a shape is wrong")
