"""Encoding a corpus: the ids of the library, sentence ends on token borders, a balanced ledger."""

import json
import shutil
from collections import Counter
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import sentencepiece
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from token_vocabulary import commit, with_vocabulary, write_byte_level, write_vocabulary
from vocabulary_models import small_model

from pipelines import engines, store
from pipelines.errors import DataError, EnvironmentProblem
from tokenizer import encode, encode_unit, encoder, export, spm_format, tokens
from tokenizer.segments import units_of
from tokenizer.sentences import sentence_ends


def run(out: Path, *, workers: int = 0, bundle_repeat: int = 0) -> encode.Encoded:
    engine = engines.Local(workers) if workers else engines.InProcess(bundle_repeat=bundle_repeat)
    try:
        return encode.encode(out=str(out), engine=engine)
    finally:
        engine.close()


def hashes(out: Path) -> dict[str, bytes]:
    folder = out / "tokens"
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def corpus_of(out: Path) -> dict[str, str]:
    """Texts by id."""
    found = {}
    for path in sorted((out / "corpus").rglob("*.arrow")):
        table = pa.ipc.open_stream(path.read_bytes()).read_all()
        found |= zip(table["id"].to_pylist(), table["text"].to_pylist(), strict=True)
    return found


def tokens_of(out: Path, encoded: encode.Encoded) -> dict[str, tuple[list[int], list[int]]]:
    """Tokens and sentence ends by id."""
    folder = store.Folder(out) / "tokens"
    found = {}
    for written in store.listed(tokens.read_manifest(folder, vocab_hash=encoded.vocab_hash)):
        table = tokens.open_shard(folder, written.name, vocab_hash=encoded.vocab_hash)
        for row in table.to_pylist():
            found[row["id"]] = row["tokens"], row["sentence_ends"]
    return found


@pytest.fixture(scope="module")
def built(sample_build, tmp_path_factory):
    return with_vocabulary(sample_build.out, tmp_path_factory.mktemp("encode") / "out")


@pytest.fixture(scope="module")
def encoded(built):
    return run(built)


@pytest.fixture
def own(small_build, tmp_path):
    """A small build with a vocabulary, to be changed by a test."""
    return with_vocabulary(small_build.out, tmp_path / "out")


def test_the_ids_are_those_of_sentencepiece_for_the_whole_document(built, encoded):
    model = sentencepiece.SentencePieceProcessor(model_file=str(built / "vocab" / "spm.model"))
    found = tokens_of(built, encoded)
    corpus = corpus_of(built)
    assert found.keys() == corpus.keys()
    for name, text in corpus.items():
        assert found[name][0] == model.encode(text)


def test_decoded_tokens_equal_the_text_in_every_language(built, encoded):
    model = sentencepiece.SentencePieceProcessor(model_file=str(built / "vocab" / "spm.model"))
    assert len(encoded.tokens) >= 15
    for name, text in corpus_of(built).items():
        assert model.decode(tokens_of(built, encoded)[name][0]) == " ".join(text.split())


def test_sentences_end_between_tokens_and_no_token_crosses_an_end(built, encoded):
    model = sentencepiece.SentencePieceProcessor(model_file=str(built / "vocab" / "spm.model"))
    found = tokens_of(built, encoded)
    for name, text in corpus_of(built).items():
        ids, ends = found[name]
        assert ends[-1] == len(ids)
        assert ends == sorted(set(ends))
        normalised, start, pieces = " ".join(text.split()).encode(), 0, []
        for end in sentence_ends(pa.array([text], pa.large_string()))[0].tolist():
            pieces.append(normalised[start:end].decode().strip())
            start = end
        bounds = zip([0, *ends[:-1]], ends, strict=True)
        # A sentence that starts without a space goes on with the text before it.
        assert [model.decode(ids[a:b]).strip() for a, b in bounds] == pieces
    assert sum(row["moved_ends"] for row in encoded.statistics.values()) == 0


def test_the_ledger_balances_and_the_statistics_are_those_of_the_documents(built, encoded):
    found, corpus = tokens_of(built, encoded), corpus_of(built)
    assert encoded.ledger == {
        "read": len(corpus), "encoded": len(corpus), "quarantined": {}, "examples": [],
    }  # fmt: skip
    manifest = json.loads((built / "tokens" / "manifest.json").read_text())
    assert manifest["counts"] == {"ledger": encoded.ledger, "labels": encoded.statistics}
    assert manifest["vocab_hash"] == encoded.vocab_hash
    total = Counter()
    for row in encoded.statistics.values():
        total.update({key: row[key] for key in encode_unit.SUMS})
    assert total["documents"] == len(corpus)
    assert total["tokens"] == sum(len(ids) for ids, _ in found.values())
    assert total["sentences"] == sum(len(ends) for _, ends in found.values())
    assert total["bytes"] == sum(len(text.encode()) for text in corpus.values())
    assert total["byte_tokens"] == sum(5 <= i < 261 for ids, _ in found.values() for i in ids)
    rows = encoded.statistics.values()
    assert max(row["longest_document"] for row in rows) == max(len(i) for i, _ in found.values())
    assert max(row["longest_sentence"] for row in rows) == max(
        int(np.diff(ends, prepend=0).max()) for _, ends in found.values()
    )
    assert encode.verify(str(built)) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_and_bundles_run_twice_give_the_same_bytes(built, encoded, tmp_path, workers):
    for part in ("corpus", "vocab"):
        shutil.copytree(built / part, tmp_path / part)
    again = run(tmp_path, workers=workers) if workers == 2 else run(tmp_path, bundle_repeat=1)
    assert hashes(tmp_path) == hashes(built)
    assert again.statistics == encoded.statistics


def test_a_second_run_encodes_nothing_and_leaves_the_same_bytes(own):
    first = run(own)
    before = {path: path.stat().st_mtime_ns for path in own.rglob("*.arrow")}
    wanted = hashes(own)
    second = run(own)
    assert (first.kept_shards, second.kept_shards) == (0, first.num_shards)
    assert {path: path.stat().st_mtime_ns for path in own.rglob("*.arrow")} == before
    assert hashes(own) == wanted


def test_a_torn_shard_is_encoded_again_and_a_stale_one_goes(own):
    run(own)
    wanted = hashes(own)
    torn, *_ = sorted((own / "tokens").rglob("*.arrow"))
    torn.write_bytes(torn.read_bytes()[:-9])
    (own / "tokens" / "xxx_Latn").mkdir()
    (own / "tokens" / "xxx_Latn" / "part-00000.arrow").write_bytes(b"of another time")
    (own / "tokens" / ".tmp-1-1-part-00000.arrow").write_bytes(b"of a killed run")
    assert any("instead of" in line for line in encode.verify(str(own)))
    run(own)
    assert hashes(own) == wanted


def test_another_vocabulary_encodes_everything_again(own):
    first = run(own)
    model = small_model("bpe")
    assert write_vocabulary(own / "vocab", model) != first.vocab_hash
    second = run(own)
    assert (second.kept_shards, second.vocab_hash != first.vocab_hash) == (0, True)
    folder = store.Folder(own) / "tokens"
    name = store.listed(tokens.read_manifest(folder, vocab_hash=second.vocab_hash))[0].name
    with pytest.raises(DataError) as problem:
        tokens.open_shard(folder, name, vocab_hash=first.vocab_hash)
    assert first.vocab_hash in str(problem.value)
    assert second.vocab_hash in str(problem.value)


def replace_documents(out: Path, name: str, change) -> None:
    """Write a corpus shard anew, with other texts, and list it."""
    folder = store.Folder(out) / "corpus"
    table = pa.ipc.open_stream((out / "corpus" / name).read_bytes()).read_all()
    texts = pa.array([change(text) for text in table["text"].to_pylist()], pa.large_string())
    table = table.set_column(
        table.schema.get_field_index("text"), table.schema.field("text"), texts
    )
    committed: list[store.Written] = []
    with folder.writing(name, committed=committed) as file:
        with pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)
    manifest = folder.read_json(store.MANIFEST)
    for listed in manifest["files"]:
        if listed["name"] == name:
            listed |= {"num_bytes": committed[0].num_bytes, "sha256": committed[0].sha256}
    folder.write_json(store.MANIFEST, manifest)


def test_a_changed_corpus_shard_is_encoded_again_alone(own):
    first = run(own)
    before = {path: path.stat().st_mtime_ns for path in (own / "tokens").rglob("*.arrow")}
    replace_documents(own, "eng_Latn/part-00000.arrow", lambda text: text + " And more.")
    second = run(own)
    assert second.kept_shards == first.num_shards - 1
    after = {path: path.stat().st_mtime_ns for path in before}
    assert [path.parent.name for path in before if after[path] != before[path]] == ["eng_Latn"]
    labels = [label for label in first.tokens if first.tokens[label] != second.tokens[label]]
    assert labels == ["eng_Latn"]


def test_what_is_not_clean_text_is_set_aside_and_counted(own):
    texts = iter(["e\u0301te\u0301", " \n "])
    replace_documents(own, "eng_Latn/part-00000.arrow", lambda _: next(texts))
    encoded = run(own)
    assert encoded.ledger["quarantined"] == {"empty": 1, "not_normalised": 1}
    assert encoded.ledger["read"] == encoded.ledger["encoded"] + 2
    assert len(encoded.ledger["examples"]) == 2
    assert encode.verify(str(own)) == []


def test_a_corpus_shard_that_its_manifest_does_not_know_ends_the_run(own):
    path = own / "corpus" / "eng_Latn" / "part-00000.arrow"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match=r"eng_Latn/part-00000.arrow: SHA-256 .* instead of"):
        run(own)
    assert not (own / "tokens" / "manifest.json").exists()


def test_a_vocabulary_that_is_not_the_one_listed_ends_the_run_and_names_both(own):
    folder = store.Folder(own) / "vocab"
    manifest = folder.read_json(store.MANIFEST)
    data = folder.read_bytes(export.MODEL)
    folder.write_bytes(export.MODEL, data + b"\x00")
    with pytest.raises(DataError, match=r"spm.model: .* bytes instead of"):
        run(own)
    other = export.finished(small_model("bpe"))
    commit(folder, [folder.write_bytes(export.MODEL, other)], manifest["vocab_hash"])
    with pytest.raises(DataError) as problem:
        run(own)
    assert manifest["vocab_hash"] in str(problem.value)
    assert export.vocab_hash(other) in str(problem.value)


@pytest.mark.parametrize("missing", ["corpus", "vocab"])
def test_without_a_corpus_or_a_vocabulary_nothing_is_begun(own, missing):
    shutil.rmtree(own / missing)
    with pytest.raises(DataError, match=missing):
        run(own)
    assert not (own / "tokens").exists()


def test_two_runs_do_not_share_a_folder(own):
    with store.locked(store.Folder(own)):
        with pytest.raises(EnvironmentProblem, match="another build is running here"):
            run(own)


def test_a_byte_level_vocabulary_gives_the_ids_of_its_tokenizer_json(own):
    import tokenizers

    units: Counter[str] = Counter()
    for text in corpus_of(own).values():
        units.update(units_of(text.replace("\n", " ")))
    write_byte_level(own / "vocab", units)
    encoded = run(own)
    model = tokenizers.Tokenizer.from_file(str(own / "vocab" / "tokenizer.json"))
    found, corpus = tokens_of(own, encoded), corpus_of(own)
    assert encoded.ledger["encoded"] == len(corpus) == len(found)
    for name, text in corpus.items():
        ids, ends = found[name]
        assert ids == model.encode(text, add_special_tokens=False).ids
        assert ends[-1] == len(ids)
    sentences = sum(
        len(sentence_ends(pa.array([t], pa.large_string()))[0]) for t in corpus.values()
    )
    assert sum(row["sentences"] for row in encoded.statistics.values()) == sentences
    assert sum(row["moved_ends"] for row in encoded.statistics.values()) == 0


class _Foreign:
    """Pieces that cross the ends of sentences: every id is as many bytes as its number."""

    piece_bytes = np.arange(100)
    byte_ids = (0, 0)
    prefix = 0

    def __init__(self, *ids: list[int]) -> None:
        self._ids = [np.array(own, np.int32) for own in ids]

    def ids(self, _text):
        return encoder._joined(self._ids)


def test_an_end_inside_a_token_moves_to_its_end_and_is_counted():
    text = pa.array(["Aa. Bb. Cc.", "Dd. Ee."], pa.large_string())  # ends 3 7 11, 3 7
    batch = encoder.encode_batch(text, encoder=_Foreign([5, 2, 4], [7]))
    assert batch.outcomes.tolist() == [encoder.ENCODED] * 2
    assert batch.ends.tolist() == [1, 2, 3, 1]
    assert batch.end_offsets.tolist() == [0, 3, 4]
    assert batch.counts["moved_ends"] == 2
    assert batch.counts["longest_sentence"] == 1


def test_documents_that_do_not_add_up_leave_no_trace_in_the_others():
    text = pa.array(["Aa.", "Bb. B", "", "Cc. C"], pa.large_string())
    batch = encoder.encode_batch(text, encoder=_Foreign([3], [3, 1, 9], [], [3, 2]))
    assert batch.outcomes.tolist() == [
        encoder.ENCODED, encoder.NOT_NORMALISED, encoder.EMPTY, encoder.ENCODED,
    ]  # fmt: skip
    assert (batch.tokens.tolist(), batch.offsets.tolist()) == ([3, 3, 2], [0, 1, 3])
    assert (batch.ends.tolist(), batch.end_offsets.tolist()) == ([1, 1, 2], [0, 1, 3])
    assert batch.counts["documents"] == 2


@pytest.mark.slow
def test_text_of_the_development_corpora_adds_up_in_every_language(data):
    import zstandard

    from pipelines.clean import clean

    model = encoder._SentencePiece(export.finished(small_model()))
    num_documents = 0
    for path in sorted((data / "corpus" / "jsonl").glob("*.jsonl.zst")):
        with zstandard.open(path, "rt", encoding="utf-8") as file:
            texts = [json.loads(line).get("text") or "-" for line in islice(file, 50)]
        text, _ = clean(pa.array(texts, pa.large_string()))
        text = text.filter(pa.array([bool(one) for one in text.to_pylist()]))
        batch = encoder.encode_batch(text, encoder=model)
        assert (batch.outcomes == encoder.ENCODED).all(), path.name
        assert batch.counts["moved_ends"] == 0
        num_documents += len(text)
    assert num_documents > 100


def test_a_long_document_has_the_ids_of_its_words(texts):
    data = export.finished(small_model())
    ours = encoder._SentencePiece(data)
    hugging_face = tokenizers.Tokenizer.from_str(
        json.dumps(export.tokenizer_json(spm_format.parse(data, place="test")))
    )
    long = "\n".join(clean_text for documents in texts.values() for clean_text in documents) * 3
    unspaced = "".join(texts["tha_Thai"]).replace(" ", "").replace("\n", "")
    documents = [long, "", "a", unspaced, " ".join(["\u0e01"] * 5000)]
    ids, offsets = ours.ids(pa.array(documents, pa.large_string()))
    for document, (start, end) in zip(documents, pairwise(offsets.tolist()), strict=True):
        assert (
            ids[start:end].tolist() == hugging_face.encode(document, add_special_tokens=False).ids
        )


@given(st.lists(st.text(alphabet="ab \n\u0e01", max_size=40), max_size=8))
def test_blocks_part_documents_at_white_space_and_lose_nothing(documents):
    text = pa.array(documents, pa.large_string())
    cuts, first = encoder.blocks(text, num_bytes=4)
    data = "".join(documents).encode()
    assert cuts[first].tolist() == [
        sum(len(d.encode()) for d in documents[:i]) for i in range(len(documents) + 1)
    ]
    starts = set(cuts[first].tolist())
    assert all(data[cut : cut + 1] in (b" ", b"\n") for cut in cuts.tolist() if cut not in starts)
