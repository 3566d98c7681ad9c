"""Token shards by language: who is held out, and that what is read is what was written."""

import gc
import hashlib
import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from token_shards import VOCAB_HASH, make_id, random_documents, write_tokens

from pipelines import store
from pipelines.errors import ConfigError, DataError
from pretrain import held_out, ragged
from pretrain.config import HeldOut
from pretrain.shards import Part, Shards
from tests_support import ROOT

PARTS = ("train", "held_out")


def opened(folder: Path | str, *, labels=None, seed=0, **settings) -> Shards:
    return Shards.open(
        store.Folder(folder),
        vocab_hash=VOCAB_HASH,
        labels=labels,
        held_out=HeldOut(**settings),
        seed=seed,
    )


def everything(part: Part) -> tuple[np.ndarray, np.ndarray]:
    """A request of all documents of a part."""
    language = np.repeat(np.arange(len(part.labels)), part.num_documents).astype(np.int32)
    index = np.concatenate([np.arange(count) for count in part.num_documents])
    return language, index


def lengths_of(sentences) -> np.ndarray:
    return sentences.ends[sentences.offsets[1:] - 1] - sentences.starts


def texts(part: Part, language: np.ndarray, index: np.ndarray) -> list[list[list[int]]]:
    """Documents as they were given to `write_tokens`: sentences of tokens."""
    sentences = part.sentences(language, index)
    length = lengths_of(sentences)
    flat = part.tokens(language, index, sentences.starts, length)
    assert flat.dtype == part.dtype
    found, starts = [], ragged.starts_of(length)
    for place in range(len(language)):
        own = flat[starts[place] : starts[place + 1]].tolist()
        ends = sentences.ends[sentences.offsets[place] : sentences.offsets[place + 1]]
        borders = [0, *(ends - sentences.starts[place]).tolist()]
        found.append([own[a:b] for a, b in pairwise(borders)])
    return found


def by_id(part: Part) -> dict[tuple[str, str], list[list[int]]]:
    """All documents of a part by label and id."""
    language, index = everything(part)
    labels = [part.labels[number] for number in language]
    ids = part.ids(language, index)
    found = dict(zip(zip(labels, ids, strict=True), texts(part, language, index), strict=True))
    assert len(found) == len(ids)
    return found


def held_ids(shards: Shards) -> set[tuple[str, str]]:
    return set(by_id(shards.view("held_out")))


@pytest.fixture(scope="module")
def documents():
    """Languages of all kinds: large, small, of one sentence, with empty documents, of one giant."""
    rng = np.random.default_rng(3)
    giant = [random_documents(rng, 1, sentences=(900, 900), words=(20, 40))[0]]
    gaps = random_documents(rng, 30)
    for place in (0, 7, 8, 29):
        gaps[place] = []
    return {
        "amh_Ethi": giant,
        "eng_Latn": random_documents(rng, 200),
        "fin_Latn": random_documents(rng, 3, sentences=(20, 30)),
        "hin_Deva": random_documents(rng, 12, sentences=(1, 1)),
        "kat_Geor": random_documents(rng, 2, sentences=(1, 1)),
        "lao_Laoo": [[]],
        "swh_Latn": gaps,
        "tha_Thai": random_documents(rng, 9, sentences=(1, 40), words=(1, 3)),
    }


@pytest.fixture(scope="module", params=[None, 5], ids=["one shard", "shards of five"])
def folder(request, documents, tmp_path_factory):
    out = tmp_path_factory.mktemp("shards")
    return write_tokens(out, documents, documents_per_shard=request.param, documents_per_batch=3)


def test_the_two_parts_together_are_all_documents_and_none_is_in_both(documents, folder):
    shards = opened(folder)
    train, held = (by_id(shards.view(part)) for part in PARTS)
    for label, own in documents.items():
        by = shards.held_by[shards.labels.index(label)]
        for row, document in enumerate(own):
            name = (label, make_id(label, row))
            together = train.get(name, []) + held.get(name, [])
            assert together == document
            if by == "documents":
                assert (name in train) + (name in held) == (1 if document else 0)
            else:
                assert (name in train) == bool(document)


def test_sizes_of_the_parts_are_what_is_in_them(documents, folder):
    shards = opened(folder)
    assert shards.labels == tuple(sorted(documents))
    assert shards.dtype == np.uint16 and shards.vocab_hash == VOCAB_HASH
    for name, num_documents, num_tokens in (
        ("train", shards.num_documents, shards.num_tokens),
        ("held_out", shards.held_documents, shards.held_tokens),
    ):
        part = shards.view(name)
        assert part.num_documents.dtype == part.num_tokens.dtype == np.int64
        assert np.array_equal(part.num_documents, num_documents)
        language, index = everything(part)
        lengths = lengths_of(part.sentences(language, index))
        found = np.bincount(language, lengths, minlength=len(part.labels)).astype(int)
        assert np.array_equal(found, num_tokens) and np.array_equal(found, part.num_tokens)


def test_how_a_language_is_held_out_depends_on_how_many_documents_it_has(folder):
    shards = opened(folder)
    assert dict(zip(shards.labels, shards.held_by, strict=True)) == {
        "amh_Ethi": "ends",
        "eng_Latn": "documents",
        "fin_Latn": "ends",
        "hin_Deva": "documents",
        "kat_Geor": "none",  # its documents are one sentence each
        "lao_Laoo": "none",
        "swh_Latn": "documents",
        "tha_Thai": "ends",
    }
    assert shards.held_documents.tolist()[1] == 4  # 2 % of 200
    assert shards.held_documents.tolist()[6] == 1  # one at least
    few = opened(folder, share=0.4, max_documents=7, min_documents=13)
    assert few.held_by[3] == "none"  # 12 documents of one sentence
    assert few.held_documents[[1, 6]].tolist() == [7, 7]  # 40 % would be 80 and 10
    assert opened(folder, share=0.4).held_documents[6] == 10  # of 26 that are not empty


def test_an_end_is_the_sentences_that_start_at_or_after_85_percent(documents, folder):
    shards = opened(folder)
    train = by_id(shards.view("train"))
    for label in ("amh_Ethi", "fin_Latn", "kat_Geor", "tha_Thai"):
        for row, document in enumerate(documents[label]):
            starts = np.cumsum([0, *map(len, document)])
            kept = int((starts[:-1] * 100 < starts[-1] * 85).sum())
            assert train[label, make_id(label, row)] == document[:kept]


@pytest.mark.parametrize(
    ("lengths", "kept"),
    [
        ([85, 15], 1),  # starts exactly there
        ([84, 16], 2),  # starts before: nothing is held out
        ([84, 1, 15], 2),
        ([1, 1], 2),
        ([100], 1),
        ([1] * 20, 17),
    ],
)
def test_ends_begin_at_a_sentence_and_never_take_more_than_their_share(tmp_path, lengths, kept):
    document = [[7] * length for length in lengths]
    shards = opened(write_tokens(tmp_path, {"eng_Latn": [document]}))
    assert by_id(shards.view("train"))["eng_Latn", make_id("eng_Latn", 0)] == document[:kept]
    assert shards.held_tokens[0] == sum(lengths[kept:])
    assert shards.held_by == ("ends" if kept < len(lengths) else "none",)


def test_who_is_held_out_depends_on_ids_and_seed_not_on_order_or_shards(tmp_path):
    rng = np.random.default_rng(1)
    own = random_documents(rng, 150, sentences=(1, 3), words=(1, 5))
    ids = [make_id("eng_Latn", row) for row in range(150)]
    chosen = set()
    for number, size in enumerate((None, 1, 40)):
        order = rng.permutation(150) if number else np.arange(150)
        shuffled, names = [own[row] for row in order], [ids[row] for row in order]
        # An empty document is no document: neither does it change who is held out.
        folder = write_tokens(
            tmp_path / str(number),
            {"eng_Latn": [*shuffled[:50], [], *shuffled[50:]], "fin_Latn": own[:number]},
            ids={"eng_Latn": [*names[:50], "x", *names[50:]]},
            documents_per_shard=size,
        )
        held = by_id(opened(folder, share=0.1).view("held_out"))
        chosen.add(frozenset(name for name in held if name[0] == "eng_Latn"))
    assert len(chosen) == 1 and len(next(iter(chosen))) == 15
    others = held_ids(opened(folder, share=0.1, seed=1, labels=["eng_Latn"]))
    assert len(others) == 15 and frozenset(others) not in chosen
    # More held out is these and others: evaluations of a smaller share stay held out.
    assert next(iter(chosen)) < held_ids(opened(folder, share=0.2, labels=["eng_Latn"]))


def test_the_hash_of_an_id_depends_on_all_of_its_bytes_and_on_nothing_beside_it():
    rng = np.random.default_rng(0)
    ids = ["", "a", "aa", "a\0", "\0", "\0\0", "aaaaaaa", "aaaaaaaa", "aaaaaaaab", "ä", "語" * 300]
    ids += ["a" * length for length in range(9, 60)]
    ids += [f"{rng.integers(2**62):x}"[: rng.integers(5, 16)] + f"-{row}" for row in range(3000)]
    ids = list(dict.fromkeys(ids))
    whole = held_out.id_hashes(pa.array(ids), key=5)
    assert len(np.unique(whole)) == len(ids)
    alone = [held_out.id_hashes(pa.array([one]), key=5)[0] for one in ids[:200]]
    assert whole[:200].tolist() == alone
    assert held_out.id_hashes(pa.array(["x", *ids, "yy"])[1:-1], key=5).tolist() == whole.tolist()
    assert not np.isin(held_out.id_hashes(pa.array(ids), key=6), whole).any()
    counts = np.bincount((whole >> np.uint64(60)).astype(int), minlength=16)
    assert counts.min() > 130 and counts.max() < 260  # 191 of each on average
    for position in range(25):  # each byte of an id decides
        names = [f"{'0' * position}{digit:x}{'0' * (24 - position)}" for digit in range(1, 16)]
        assert len(np.unique(held_out.id_hashes(pa.array(names), key=5))) == 15


def test_the_choice_does_not_change(tmp_path):
    own = random_documents(np.random.default_rng(0), 40, sentences=(1, 1), words=(1, 2))
    shards = opened(write_tokens(tmp_path, {"eng_Latn": own}), share=0.1)
    rows = {make_id("eng_Latn", row): row for row in range(40)}
    assert sorted(rows[one] for _, one in held_ids(shards)) == [1, 23, 24, 32]


@pytest.mark.parametrize("name", PARTS)
def test_requests_are_answered_in_their_order(documents, folder, name):
    part = opened(folder).view(name)
    everyone = by_id(part)
    rng = np.random.default_rng(2)
    language, index = everything(part)
    for _ in range(5):
        chosen = rng.integers(0, len(language), 50)  # some of them twice
        names = [part.labels[number] for number in language[chosen]]
        ids = part.ids(language[chosen], index[chosen])
        found = texts(part, language[chosen], index[chosen])
        wanted = [everyone[name] for name in zip(names, ids, strict=True)]
        assert found == wanted


def test_spans_of_documents_are_what_lies_there(folder):
    part = opened(folder).view("train")
    language, index = everything(part)
    sentences = part.sentences(language, index)
    length = lengths_of(sentences)
    whole = part.tokens(language, index, sentences.starts, length)
    origin = ragged.starts_of(length)
    rng = np.random.default_rng(5)
    for sort in (True, False):
        chosen = rng.integers(0, len(language), 400)
        chosen = np.sort(chosen) if sort else chosen
        start = (rng.random(400) * length[chosen]).astype(np.int64)
        size = (rng.random(400) * (length[chosen] - start + 1)).astype(np.int64)
        found = part.tokens(language[chosen], index[chosen], start, size)
        wanted = [
            whole[origin[one] + a : origin[one] + a + b]
            for one, a, b in zip(chosen, start, size, strict=True)
        ]
        assert np.array_equal(found, np.concatenate(wanted))


@pytest.mark.parametrize("name", PARTS)
def test_a_span_never_leaves_its_part(folder, name):
    shards = opened(folder)
    part = shards.view(name)
    language, index = everything(part)
    sentences = part.sentences(language, index)
    starts, ends = sentences.starts, sentences.starts + lengths_of(sentences)
    for place in range(0, len(language), 3):
        one = slice(place, place + 1)
        for start, length in (
            (starts[one] - 1, np.array([1])),
            (starts[one], ends[one] - starts[one] + 1),
            (starts[one] + 1, np.array([-1])),
        ):
            with pytest.raises(AssertionError, match="span"):
                part.tokens(language[one], index[one], start, length)


def test_a_document_that_is_not_in_the_part_is_refused(folder):
    part = opened(folder).view("train")
    for language, index in ((0, 1), (1, -1), (1, 196), (5, 0)):
        with pytest.raises(AssertionError, match="not in this part"):
            part.sentences(np.array([language], np.int32), np.array([index]))


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.parametrize("sort", [True, False])
def test_drawn_spans_are_whole_sentences_until_there_is_enough(folder, name, sort):
    part = opened(folder).view(name)
    language, index = everything(part)
    rng = np.random.default_rng(8)
    chosen = rng.integers(0, len(language), 600)
    chosen = np.sort(chosen) if sort else chosen
    language, index = language[chosen], index[chosen]
    sentences = part.sentences(language, index)
    u, target = rng.random(600), rng.integers(1, 90, 600)
    u[:3] = (0, 1 - 2.0**-53, 0.5)
    target[-2:] = (1, 10**6)
    start, length = part.draw_spans(language, index, u=u, target=target)
    for place in range(600):
        ends = sentences.ends[sentences.offsets[place] : sentences.offsets[place + 1]].tolist()
        first = int(u[place] * len(ends))
        begin = ends[first - 1] if first else int(sentences.starts[place])
        enough = [end for end in ends[first:] if end - begin >= target[place]]
        assert (start[place], start[place] + length[place]) == (begin, (enough or ends[-1:])[0])


def test_a_request_of_nothing_is_answered_with_nothing(folder):
    part = opened(folder).view("train")
    none, languages = np.zeros(0, np.int64), np.zeros(0, np.int32)
    found = part.sentences(languages, none)
    assert [len(found.starts), len(found.ends), found.offsets.tolist()] == [0, 0, [0]]
    assert part.tokens(languages, none, none, none).shape == (0,)
    start, length = part.draw_spans(languages, none, u=np.zeros(0), target=none)
    assert len(start) == len(length) == 0
    assert part.ids(languages, none) == []


def test_tokens_of_a_large_vocabulary_take_four_bytes(tmp_path):
    own = random_documents(np.random.default_rng(0), 20, num_pieces=90_000)
    shards = opened(write_tokens(tmp_path, {"eng_Latn": own}, num_pieces=90_000))
    assert shards.dtype == shards.view("train").dtype == np.uint32
    both = by_id(shards.view("train")) | by_id(shards.view("held_out"))
    assert both == {("eng_Latn", make_id("eng_Latn", row)): own[row] for row in range(20)}
    assert max(max(map(max, document)) for document in own) > 65_536


def test_some_languages_are_numbered_among_themselves(documents, folder):
    whole, some = opened(folder), opened(folder, labels=["tha_Thai", "eng_Latn", "tha_Thai"])
    assert some.labels == ("eng_Latn", "tha_Thai")
    for number, label in enumerate(some.labels):
        assert some.num_tokens[number] == whole.num_tokens[whole.labels.index(label)]
    for part in PARTS:
        everyone = by_id(whole.view(part))
        wanted = {name: text for name, text in everyone.items() if name[0] in some.labels}
        assert by_id(some.view(part)) == wanted


def test_a_label_without_tokens_is_refused_with_the_one_that_was_meant(folder):
    with pytest.raises(ConfigError) as refused:
        opened(folder, labels=["eng_Latn", "swc_Latn", "xho_Latn"])
    fact, remedy = str(refused.value).split("\n")
    assert fact == f"pretrain.labels: there are no tokens of swc_Latn, xho_Latn in {folder}."
    assert "Did you mean `swh_Latn`?" in remedy and "Known: amh_Ethi, eng_Latn" in remedy
    with pytest.raises(ConfigError, match="names no language"):
        opened(folder, labels=[])


def test_a_language_whose_shards_hold_no_document_is_no_language(tmp_path):
    own = random_documents(np.random.default_rng(0), 3)
    shards = opened(write_tokens(tmp_path / "a", {"eng_Latn": own, "fin_Latn": []}))
    assert shards.labels == ("eng_Latn",)
    with pytest.raises(DataError, match="has no documents"):
        opened(write_tokens(tmp_path / "b", {"fin_Latn": []}))


def test_tokens_of_another_vocabulary_are_refused(tmp_path):
    folder = write_tokens(tmp_path, {"eng_Latn": [[[7]]]}, vocab_hash="a" * 64)
    with pytest.raises(DataError, match=f"encoded with the vocabulary {'a' * 64}"):
        opened(folder)


def test_a_shard_of_another_vocabulary_is_refused_whatever_the_manifest_says(tmp_path):
    folder = write_tokens(tmp_path, {"eng_Latn": [[[7]]]}, vocab_hash="a" * 64)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "vocab_hash": VOCAB_HASH}))
    with pytest.raises(DataError, match=r"part-00000.arrow: encoded with the vocabulary a+, not"):
        opened(folder)


def test_no_tokens_at_all_is_said_with_the_command_that_makes_them(tmp_path):
    with pytest.raises(DataError, match="Run `koine vocab encode`"):
        opened(tmp_path)


def test_files_that_are_not_what_the_manifest_lists_are_named_together(tmp_path, documents):
    folder = write_tokens(tmp_path, documents, documents_per_shard=20)
    names = [f"eng_Latn/part-{number:05d}.arrow" for number in range(5)]
    (folder / names[0]).unlink()
    with (folder / names[1]).open("r+b") as file:
        file.truncate(1000)
    for name in names[2:]:
        with (folder / name).open("ab") as file:
            file.write(b"\0" * 8)
    with pytest.raises(DataError) as refused:
        opened(folder)
    fact, remedy = str(refused.value).split("\n")
    assert f"{names[0]}: missing; " in fact
    assert f"{names[1]}: 1,000 bytes instead of " in fact
    assert fact.endswith(", and 2 more.")
    assert "`koine vocab encode`" in remedy
    assert opened(folder, labels=["tha_Thai"]).labels == ("tha_Thai",)


def overwritten(folder: Path, name: str, *, old: np.ndarray, new: np.ndarray) -> None:
    """Change bytes of a shard in place; its size stays."""
    content = (folder / name).read_bytes()
    assert content.count(old.tobytes()) == 1 and old.nbytes == new.nbytes
    (folder / name).write_bytes(content.replace(old.tobytes(), new.tobytes()))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ([0, 300, 700, 900], [0, 700, 300, 900]),  # tokens of documents that overlap
        ([0, 300, 700, 900], [0, 300, 700, 100_000]),  # beyond the end of the file
        ([0, 300, 700, 900], [-4, 300, 700, 900]),
        ([0, 300, 700, 900], [0, 700, 700, 900]),  # no tokens, but sentences
        ([0, 4, 9, 14], [0, 4, 4, 14]),  # tokens, but no sentences
        ([0, 4, 9, 14], [0, 4, 9, 99_999]),
    ],
)
def test_a_shard_whose_documents_do_not_fit_together_is_refused(tmp_path, old, new):
    sizes = [[100, 100, 50, 50], [80] * 5, [40] * 5]
    folder = write_tokens(tmp_path, {"eng_Latn": [[[7] * n for n in own] for own in sizes]})
    assert opened(folder).num_tokens.tolist() == [900]
    name = "eng_Latn/part-00000.arrow"
    overwritten(folder, name, old=np.array(old, np.int32), new=np.array(new, np.int32))
    with pytest.raises(DataError, match=r"part-00000.arrow: its documents do not fit together"):
        opened(folder)


def test_a_shard_of_the_right_size_that_is_no_arrow_file_is_refused(tmp_path):
    folder = write_tokens(tmp_path, {"eng_Latn": random_documents(np.random.default_rng(0), 3)})
    path = folder / "eng_Latn" / "part-00000.arrow"
    size = path.stat().st_size
    for content in (b"\0" * size, path.read_bytes()[: size // 2].ljust(size, b"\xff")):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"part-00000\.arrow: "):
            opened(folder)


def test_a_shard_with_fewer_documents_than_the_manifest_says_is_refused(tmp_path):
    folder = write_tokens(tmp_path, {"eng_Latn": random_documents(np.random.default_rng(0), 3)})
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][0]["num_rows"] = 4
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DataError, match="has 3 documents, not the 4 of the manifest"):
        opened(folder)


def test_the_fingerprints_are_those_of_the_manifest_and_of_the_corpus(folder):
    shards = opened(folder)
    assert shards.fingerprint == hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()
    assert shards.corpus_hash == "c" * 64


def test_an_object_store_is_read_like_a_folder(folder):
    url = f"memory://{folder.name}-{folder.parent.name}"
    remote = store.Folder(url)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            remote.write_bytes(path.relative_to(folder).as_posix(), path.read_bytes())
    try:
        here, there = opened(folder), opened(url)
        for part in PARTS:
            assert by_id(there.view(part)) == by_id(here.view(part))
        remote.remove("eng_Latn/part-00000.arrow")
        with pytest.raises(DataError, match=r"eng_Latn/part-00000.arrow: missing"):
            opened(url)
    finally:
        remote.remove_all()


def num_open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_many_open_shards_hold_no_file_and_copy_nothing(tmp_path):
    own = random_documents(np.random.default_rng(0), 300, sentences=(3, 5))
    folder = write_tokens(tmp_path, {"eng_Latn": own}, documents_per_shard=1)
    gc.collect()
    files, before = num_open_files(), pa.total_allocated_bytes()
    shards = opened(folder)
    assert len(by_id(shards.view("train"))) == 294
    gc.collect()
    assert num_open_files() <= files
    assert pa.total_allocated_bytes() - before < 10_000
    assert not shards.view("train")._layout.batch(0).tokens.flags.owndata


def test_reading_shards_loads_neither_a_pipeline_nor_torch():
    code = (
        "import json, sys\n"
        "from pretrain import shards, mixture\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    dear = {"torch", "fsspec", "numba", "langcodes", "apache_beam", "datasets", "duckdb", "ftfy"}
    assert set(json.loads(run.stdout)) & (dear | {"sentencepiece", "tokenizers"}) == set()


@given(
    lengths=st.lists(st.integers(0, 40), max_size=60),
    long=st.booleans(),
    with_out=st.booleans(),
)
def test_spans_of_an_array_are_laid_one_after_the_other(lengths, long, with_out):
    rng = np.random.default_rng(len(lengths))
    length = np.array(lengths, np.int64) * (20 if long else 1)
    values = rng.integers(0, 60_000, 2000).astype(np.uint16)
    start = (rng.random(len(length)) * (2000 - length + 1)).astype(np.int64)
    parts = [values[a : a + b] for a, b in zip(start, length, strict=True)]
    wanted = np.concatenate([values[:0], *parts])
    out = np.empty(len(wanted), np.uint16) if with_out else None
    found = ragged.take(values, start, length, out=out)
    assert np.array_equal(found, wanted) and found.dtype == values.dtype
    assert out is None or found is out
    assert found.base is not values


def test_spans_are_gathered_in_chunks_that_end_between_spans(monkeypatch):
    rng = np.random.default_rng(0)
    values = np.arange(10_000)
    start, length = rng.integers(0, 9000, 500), rng.integers(0, 190, 500)
    wanted = np.concatenate([values[a : a + b] for a, b in zip(start, length, strict=True)])
    for chunk in (1, 100, 1000, 10**6):
        monkeypatch.setattr(ragged, "CHUNK", chunk)
        assert np.array_equal(ragged.take(values, start, length), wanted)
