import json
from pathlib import Path

import pyarrow as pa
import pytest

from pipelines import browse, config, engines, stages, store, units
from pipelines.build import build, rejudge
from pipelines.sources import documents
from pipelines.what_if import what_if
from tests_support import hashes


def run(path: Path, out: Path, *, engine=None, overrides=None):
    loaded = config.load(path, overrides=overrides)
    return build(loaded, out=str(out), base=path.parent, engine=engine or engines.InProcess())


@pytest.fixture(scope="module")
def built(small_corpus, tmp_path_factory):
    out = tmp_path_factory.mktemp("built") / "out"
    return run(small_corpus, out), out


def test_the_ledger_says_where_every_document_went(built):
    ledger = built[0].ledger
    assert ledger["read"] == 22 + 5
    assert ledger["quarantined"] == {"invalid_json": 1}
    assert ledger["removed"] == {
        "duplicate_text": 1,
        "duplicate_url": 1,
        "max_disagreement": 1,
        "max_top_2gram_share": 1,
        "min_content_chars": 1,
        "near_duplicate": 1,
    }
    assert ledger["kept"] == 20
    assert ledger["corpora"]["first"]["read"] == 22
    assert ledger["corpora"]["first"]["kept"] == 20


def test_every_shard_is_listed_and_as_its_manifest_says(built):
    out = store.Folder(built[1])
    for kind in ("corpus", "removed"):
        assert store.verify(out / kind, artefact=kind) == []
        rows = 0
        for written in store.listed(store.read_manifest(out / kind, artefact=kind)):
            if written.name.endswith(".arrow"):
                with (out / kind).open_arrow(written.name) as file:
                    table = pa.ipc.open_stream(file).read_all()
                table.validate(full=True)
                assert table.num_rows == written.num_rows
                rows += table.num_rows
        assert rows == {"corpus": 20, "removed": 6}[kind]


def test_a_removed_document_carries_every_failed_rule_with_value_and_threshold(built):
    (row,) = browse.documents(str(built[1]), reason="max_top_2gram_share")
    parts = row["detail"].split("; ")
    assert len(parts) > 3
    assert all(" > " in part or " < " in part for part in parts)


def test_of_two_copies_the_corpus_listed_first_keeps_its_own(built):
    (row,) = browse.documents(str(built[1]), reason="duplicate_text")
    assert row["corpus"] == "second"
    story = browse.why(str(built[1]), row["id"])
    kept = browse.why(str(built[1]), story["kept_instead"])
    assert kept["outcome"] == "kept"
    assert kept["num_copies"] == 2
    assert kept["origin"]["corpus"] == "first"
    assert [copy["id"] for copy in kept["copies"]] == [row["id"]]


def test_ids_are_unique_and_copies_share_their_first_half(built):
    _, rows = browse.sql(str(built[1]), "select id from corpus union all select id from removed")
    ids = [row[0] for row in rows]
    assert len(set(ids)) == len(ids) == 26
    (copy,) = browse.documents(str(built[1]), reason="duplicate_text")
    kept = browse.why(str(built[1]), copy["id"])["kept_instead"]
    assert kept[:16] == copy["id"][:16] and kept != copy["id"]


def test_the_corpus_loads_with_datasets(built, tmp_path):
    import datasets

    loaded = datasets.load_dataset(
        built[0].corpus,
        "swh_Latn" if "swh_Latn" in built[0].labels else "eng_Latn",
        cache_dir=str(tmp_path),
    )
    assert loaded["train"].num_rows > 0


def test_the_same_bytes_in_another_folder_and_engine(built, small_corpus, tmp_path):
    engine = engines.Local(2)
    try:
        run(small_corpus, tmp_path / "other" / "place", engine=engine)
    finally:
        engine.close()
    assert hashes(tmp_path / "other" / "place") == hashes(built[1])


def test_the_same_bytes_when_every_bundle_runs_twice(built, small_corpus, tmp_path):
    run(small_corpus, tmp_path / "out", engine=engines.InProcess(bundle_repeat=1))
    assert hashes(tmp_path / "out") == hashes(built[1])


def test_a_second_run_measures_nothing_and_gives_the_same_bytes(small_corpus, tmp_path):
    run(small_corpus, tmp_path / "out")
    before = hashes(tmp_path / "out")
    measured = {p: p.stat().st_mtime_ns for p in (tmp_path / "out/work/measured").iterdir()}
    again = run(small_corpus, tmp_path / "out")
    assert again.kept_units == again.num_units == 2
    assert hashes(tmp_path / "out") == before
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "out/work/measured").iterdir()} == measured


def test_adding_a_source_measures_only_that_source(small_corpus, texts, tmp_path):
    out = tmp_path / "out"
    run(small_corpus, out)
    measured = {p.name for p in (out / "work/measured").iterdir()}
    third = tmp_path / "third.jsonl"
    third.write_text(json.dumps({"text": texts["swh_Latn"][8]}) + "\n", encoding="utf-8")
    longer = small_corpus.parent / "longer.yaml"
    longer.write_text(
        small_corpus.read_text() + f"  - {{name: third, files: {third}, license: CC0-1.0}}\n"
    )
    again = run(longer, out)
    assert (again.kept_units, again.num_units) == (2, 3)
    new = {p.name for p in (out / "work/measured").iterdir()} - measured
    assert new and all(name.startswith("third-") for name in new)
    assert again.ledger["corpora"]["third"]["removed"] == {}
    assert again.ledger["corpora"]["third"]["kept"] == 1


def test_a_damaged_measurement_is_measured_again(small_corpus, tmp_path, built):
    out = tmp_path / "out"
    run(small_corpus, out)
    shard = next((out / "work/measured").glob("*.arrow"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    run(small_corpus, out)
    assert hashes(out) == hashes(built[1])


def test_judging_again_measures_nothing_and_equals_a_fresh_build(small_corpus, tmp_path):
    edited = {"corpus.rules.min_content_chars": 5, "corpus.dedupe.near": False}
    run(small_corpus, tmp_path / "fresh", overrides=edited)
    run(small_corpus, tmp_path / "out")
    loaded = config.load(small_corpus, overrides=edited)
    rejudge(loaded, out=str(tmp_path / "out"), base=small_corpus.parent, engine=engines.InProcess())
    assert hashes(tmp_path / "out") == hashes(tmp_path / "fresh")


def test_what_if_tells_what_a_build_would_do_and_writes_nothing(small_corpus, tmp_path):
    out = tmp_path / "out"
    run(small_corpus, out)
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()}
    loaded = config.load(small_corpus, overrides={"corpus.rules.min_content_chars": 5})
    found = what_if(loaded, out=str(out), base=small_corpus.parent)
    changed = {k: v for k, v in found["labels"].items() if v["now"] != v["then"]}
    assert list(changed) == ["eng_Latn"]
    assert changed["eng_Latn"]["then"] == changed["eng_Latn"]["now"] + 1
    assert changed["eng_Latn"]["rules"] == {"min_content_chars": {"now": 1, "then": 0}}
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()} == before


def test_shards_end_at_the_same_documents_however_they_were_measured(
    small_corpus, tmp_path, monkeypatch
):
    small = {"corpus.shard_mb": 1}
    run(small_corpus, tmp_path / "one", overrides=small)
    monkeypatch.setattr(documents, "BATCH_DOCUMENTS", 3)
    monkeypatch.setattr(units, "BATCH_DOCUMENTS", 3)
    monkeypatch.setattr(units, "SHARD_BYTES", 3000)
    monkeypatch.setattr(units, "ROWS_A_BATCH", 2)
    monkeypatch.setattr(stages, "ROWS_A_BATCH", 2)
    run(small_corpus, tmp_path / "many", overrides=small)
    assert len(list((tmp_path / "many/work/measured").glob("*.arrow"))) > 5
    assert hashes(tmp_path / "many") == hashes(tmp_path / "one")


def test_on_error_fail_ends_at_the_first_bad_record_and_names_it(small_corpus, tmp_path):
    from pipelines.errors import DataError

    with pytest.raises(DataError, match=r"first.jsonl#\d+: invalid_json"):
        run(small_corpus, tmp_path / "out", overrides={"corpus.on_error": "fail"})
    assert not (tmp_path / "out/corpus").exists()


def test_on_error_fail_also_finds_what_an_earlier_run_set_aside(small_corpus, tmp_path):
    from pipelines.errors import DataError

    run(small_corpus, tmp_path / "out")
    with pytest.raises(DataError, match=r"first.jsonl#\d+: invalid_json"):
        run(small_corpus, tmp_path / "out", overrides={"corpus.on_error": "fail"})
