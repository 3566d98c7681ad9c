"""The byte-level alternative: training with a target per language, and its export."""

import json
import os
import unicodedata
from collections import Counter

import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers

from pipelines.errors import ConfigError, DataError
from pipelines.store import Folder
from tokenizer.export import SPECIAL
from tokenizer.normaliser import normalise
from tokenizer.parity_bpe import UNIT, _texts, export_tokenizer, tokenizer_hash, train_parity_bpe
from tokenizer.segments import units_of

os.environ["HF_HUB_OFFLINE"] = "1"
SIZE = 3000


@pytest.fixture(scope="module")
def units(texts):
    counted = {}
    for label, documents in texts.items():
        found = Counter(u for d in documents for line in d.split("\n") for u in units_of(line))
        counted[label] = sorted(found.items())
    return counted


@pytest.fixture(scope="module")
def targets(texts):
    """Bytes per document: the samples tell the same in every language, roughly."""
    return {label: len("".join(d).encode()) / len(d) for label, d in texts.items()}


@pytest.fixture(scope="module")
def trained(units, targets):
    return train_parity_bpe(units, size=SIZE, bytes_per_content=targets)


@pytest.fixture(scope="module")
def vocab(trained, tmp_path_factory):
    folder = Folder(tmp_path_factory.mktemp("parity"))
    export_tokenizer(trained, folder, meta={"corpus": "abc"})
    return folder


@pytest.fixture(scope="module")
def hf(vocab):
    tokenizer = Tokenizer.from_buffer(vocab.read_bytes("tokenizer.json"))
    tokenizer.encode_special_tokens = True
    return tokenizer


def test_special_pieces_come_first_then_bytes(hf):
    assert hf.get_vocab_size() == SIZE
    assert [hf.id_to_token(i) for i in range(5)] == list(SPECIAL)
    assert {hf.id_to_token(i) for i in range(5, 261)} == set(pre_tokenizers.ByteLevel.alphabet())


def test_the_same_units_give_the_same_bytes(units, targets, vocab, tmp_path):
    backwards = dict(reversed(units.items()))
    again = train_parity_bpe(backwards, size=SIZE, bytes_per_content=targets)
    export_tokenizer(again, Folder(tmp_path), meta={"corpus": "abc"})
    for name in vocab.names():
        assert Folder(tmp_path).read_bytes(name) == vocab.read_bytes(name)


def test_a_higher_target_gives_a_language_more_pieces(units, targets, texts):
    label = "eng_Latn"
    more = {**targets, label: 2 * targets[label]}
    lengths = []
    for chosen in (targets, more):
        tokenizer = train_parity_bpe(units, size=SIZE, bytes_per_content=chosen)
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True, use_regex=False)
        lengths.append(sum(len(tokenizer.encode(w).ids) for w in texts[label][0].split()))
    assert lengths[1] < 0.95 * lengths[0]


def test_parallel_lines_are_a_target_too(units, texts):
    few = {label: units[label] for label in ("eng_Latn", "rus_Cyrl")}
    parallel = {"eng_Latn": ["every language"] * 3, "rus_Cyrl": ["каждый язык"] * 3}
    tokenizer = train_parity_bpe(few, size=600, parallel=parallel)
    assert tokenizer.get_vocab_size() == 600


def test_every_text_comes_back_normalised(hf, texts):
    for documents in texts.values():
        for line in (documents[0], unicodedata.normalize("NFD", documents[1]), "𓀀 \ue000\t👨‍👩‍👧 "):
            ids = hf.encode(line, add_special_tokens=False).ids
            assert hf.decode(ids) == normalise(line)
            assert hf.encode(normalise(line), add_special_tokens=False).ids == ids


def test_special_pieces_in_text_are_text(hf):
    for name in SPECIAL:
        ids = hf.encode(f"a {name}", add_special_tokens=False).ids
        assert min(ids) >= len(SPECIAL)
        assert hf.decode(ids) == f"a {name}"


def test_pieces_keep_to_units(texts):
    """Every border of koine's units is one of the pre-tokenizer's, in the sample texts."""
    splitter = pre_tokenizers.Split(Regex(UNIT), "isolated")
    for label, documents in texts.items():
        for line in filter(None, (normalise(line) for d in documents for line in d.split("\n"))):
            found = [unit.replace(" ", "▁") for unit, _ in splitter.pre_tokenize_str(f" {line}")]
            assert "".join(found) == "".join(units_of(line)), label
            assert borders(units_of(line)) <= borders(found), (label, found)


def borders(units):
    """Return where units end."""
    ends, position = set(), 0
    for unit in units:
        position += len(unit)
        ends.add(position)
    return ends


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("l'été, 2024!!", [" l'été", ",", " 2", "0", "2", "4", "!!"]),
        ("日本語abcです", [" 日本語", "abc", "です"]),
        ("a-b ... ?!", [" a", "-", "b", " ...", " ?", "!"]),
        ("ʻokina oʻzbek ka\u200cb", [" ʻokina", " oʻzbek", " ka\u200cb"]),
        ("e\u0331\u0301 ក\u200bខ", [" e\u0331\u0301", " ក\u200b", "ខ"]),
    ],
)
def test_units_of_the_pre_tokenizer(text, pieces):
    splitter = pre_tokenizers.Split(Regex(UNIT), "isolated")
    assert [unit for unit, _ in splitter.pre_tokenize_str(f" {text}")] == pieces


def test_auto_tokenizer_loads_it_offline(vocab, hf):
    from transformers import AutoTokenizer

    auto = AutoTokenizer.from_pretrained(vocab.url)
    ids = hf.encode("Paris is", add_special_tokens=False).ids
    full_stop = hf.token_to_id(".")
    assert auto("Paris is [MASK].")["input_ids"] == [2, *ids, 4, full_stop, 3]
    assert auto("a", "b")["token_type_ids"] == [0, 0, 0, 1, 1]
    assert auto.mask_token_id == 4


def test_the_hash_is_of_what_decides_the_ids(vocab):
    value = json.loads(vocab.read_bytes("tokenizer.json"))
    before = tokenizer_hash(value)
    assert vocab.read_json("tokenizer_config.json")["koine"]["vocab_hash"] == before
    value["truncation"] = {"max_length": 8}
    assert tokenizer_hash(value) == before
    value["model"]["merges"].pop()
    assert tokenizer_hash(value) != before


def test_more_units_than_asked_for_are_thinned_out_evenly():
    units = [(f"▁{n}", 1 + n % 7) for n in range(30_000)]
    lines = list(_texts(units, 20_000))
    found = Counter("\n".join(lines).split("\n"))
    assert sum(found.values()) == 20_000
    total = sum(count for _, count in units)
    for start in range(0, 30_000, 1000):
        share = sum(found[f" {n}"] for n in range(start, start + 1000)) / 20_000
        assert share == pytest.approx(
            sum(c for _, c in units[start : start + 1000]) / total, abs=1e-4
        )
    assert Counter("\n".join(_texts(units[:50], 20_000)).split("\n")) == {
        unit.replace("▁", " "): count for unit, count in units[:50]
    }


def test_a_language_without_a_target_is_refused(units, targets):
    del (some := dict(targets))["eng_Latn"]
    with pytest.raises(ConfigError, match="eng_Latn has no target"):
        train_parity_bpe(units, size=SIZE, bytes_per_content=some)
    with pytest.raises(ConfigError, match="no target"):
        train_parity_bpe(units, size=SIZE)
    with pytest.raises(ConfigError, match="no room"):
        train_parity_bpe(units, size=261, bytes_per_content=targets)


def test_another_tokenizer_is_refused(tmp_path):
    with pytest.raises(DataError, match="no BPE whose first pieces"):
        export_tokenizer(Tokenizer(models.BPE()), Folder(tmp_path), meta={})
    with pytest.raises(DataError, match="no BPE"):
        export_tokenizer(Tokenizer(models.WordLevel({"a": 0}, "a")), Folder(tmp_path), meta={})
