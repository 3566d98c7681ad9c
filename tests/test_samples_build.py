"""The worked example gives what its samples were planted for, and loads everywhere."""

from collections import Counter

import datasets
import duckdb
import pyarrow as pa
import pytest

from pipelines import browse, records, store
from samples.documents import read_texts
from samples.layout import CORPORA

REMOVED_FOR = {
    "duplicate_text": {"duplicate_text"},
    "near_duplicate": {"near_duplicate"},
    "same_page": {"near_duplicate"},
    "duplicate_url": {"duplicate_url"},
    "wrong_label": {"max_disagreement"},
    "short": {"min_content_chars"},
    "symbols": {"min_content_chars"},
    "repetitive": {"max_duplicate_line_share", "max_top_2gram_share"},
    "link_list": {"max_bullet_line_share"},
    "link_list_page": {"min_content_chars"},
    "number_table": {"min_letter_share"},
    "number_table_page": {"min_letter_share"},
}
"""What is planted to be removed, and the reasons that are right for it."""

PLACEHOLDERS = {"emails": "<email>", "ips": "<ip>", "phones": "<phone>"}


def rows_of(build, query):
    columns, rows = browse.sql(str(build.out), query)
    return [dict(zip(columns, row, strict=True)) for row in rows]


@pytest.fixture(scope="module")
def removed(sample_build):
    """(corpus, origin) -> what the removed shards say of a document."""
    rows = rows_of(sample_build, "select corpus, origin, label, reason, detail from removed")
    return {(row["corpus"], row["origin"]): row for row in rows}


@pytest.fixture(scope="module")
def kept(sample_build):
    """(corpus, origin) -> what the corpus's shards hold of a document."""
    rows = rows_of(sample_build, "select * exclude (stats) from corpus")
    return {(row["corpus"], row["origin"]): row for row in rows}


def planted(build, *kinds):
    """(corpus, origin) of the documents in which one of these is planted."""
    return {
        (corpus, origin)
        for corpus, plan in build.plan.items()
        for kind in kinds
        for origin in plan["planted"].get(kind, ())
    }


@pytest.mark.parametrize("name", CORPORA)
def test_the_ledger_of_a_corpus_is_the_plan(sample_build, name):
    ledger, plan = sample_build.built.ledger["corpora"][name], sample_build.plan[name]
    assert ledger["read"] == plan["documents"]
    assert ledger["quarantined"] == plan["quarantined"]
    assert ledger["skipped"] == plan["skipped"]
    expected = sum(len(plan["planted"].get(kind, ())) for kind in REMOVED_FOR)
    assert sum(ledger["removed"].values()) == expected
    assert ledger["kept"] == plan["documents"] - expected - sum(plan["quarantined"].values())


@pytest.mark.parametrize("kind", REMOVED_FOR)
def test_what_is_planted_to_be_removed_is_removed_for_the_right_reason(sample_build, removed, kind):
    places = planted(sample_build, kind)
    assert places
    assert {removed[place]["reason"] for place in places} <= REMOVED_FOR[kind]


def test_nothing_else_is_removed(sample_build, removed):
    assert set(removed) == planted(sample_build, *REMOVED_FOR)


def test_every_language_of_the_samples_is_there_under_its_own_label(sample_build):
    kept_labels = {label for label, row in sample_build.built.labels.items() if row["documents"]}
    assert kept_labels == set(read_texts())


def test_documents_without_a_label_get_the_right_one(sample_build, kept):
    unlabelled = planted(sample_build, "no_label") - planted(sample_build, *REMOVED_FOR)
    texts = {text.title: text.label for texts in read_texts().values() for text in texts}
    found = Counter()
    for place in unlabelled:
        title = kept[place]["text"].partition("\n")[0]
        if title in texts:
            found[kept[place]["label"] == texts[title]] += 1
    assert found[False] == 0
    assert found[True] >= 30


def test_personal_data_is_masked_counted_and_nowhere_in_the_clear(sample_build, kept):
    places = planted(sample_build, "personal_data")
    total = Counter()
    for place in places:
        row = kept[place]
        for kind, placeholder in PLACEHOLDERS.items():
            assert row["text"].count(placeholder) == row["repairs"][kind]
            total[kind] += row["repairs"][kind]
        assert "@" not in row["text"]
    assert all(total[kind] > 0 for kind in PLACEHOLDERS)
    elsewhere = [row["repairs"] for place, row in kept.items() if place not in places]
    assert all(repairs[kind] == 0 for repairs in elsewhere for kind in PLACEHOLDERS)


def test_damage_that_can_be_repaired_is_repaired_and_counted(sample_build, kept):
    bodies = {text.body for texts in read_texts().values() for text in texts}
    parts = bodies | {part for body in bodies for part in body.split("\n\n")}
    kinds = ("decomposed", "hard_spaces", "carriage_returns", "soft_hyphens", "byte_order_mark")
    kinds += ("mojibake", "double_mojibake", "controls")
    places = planted(sample_build, *kinds) - planted(sample_build, *REMOVED_FOR)
    assert len(places) >= 10
    assert [place for place in places if kept[place]["text"] not in parts] == []
    for place in planted(sample_build, "mojibake", "double_mojibake"):
        assert kept[place]["repairs"]["mojibake"]
    for place in planted(sample_build, "controls"):
        assert kept[place]["repairs"]["controls"] > 0


def test_every_shard_loads_with_pyarrow_in_the_published_schema(sample_build):
    num_rows = Counter()
    for kind, schema in (("corpus", records.CORPUS), ("removed", records.REMOVED)):
        for path in sorted((sample_build.out / kind).rglob("*.arrow")):
            with pa.memory_map(str(path)) as file, pa.ipc.open_stream(file) as reader:
                table = reader.read_all()
                table.validate(full=True)
                assert table.schema.equals(schema)
                assert set(table.column("label").to_pylist()) == {path.parent.name}
                num_rows[kind] += table.num_rows
    ledger = sample_build.built.ledger
    assert num_rows == {"corpus": ledger["kept"], "removed": sum(ledger["removed"].values())}


def test_one_language_loads_with_datasets_as_the_card_says(sample_build, tmp_path):
    folder = str(sample_build.out / "corpus")
    loaded = datasets.load_dataset(folder, "swh_Latn", split="train", cache_dir=str(tmp_path))
    assert loaded.num_rows == sample_build.built.labels["swh_Latn"]["documents"]
    assert set(loaded.unique("label")) == {"swh_Latn"}


def test_shards_are_readable_by_duckdb_through_arrow(sample_build):
    path = next((sample_build.out / "corpus" / "tam_Taml").glob("*.arrow"))
    with pa.memory_map(str(path)) as file:
        connection = duckdb.connect().register("tamil", pa.ipc.open_stream(file).read_all())
        query = "select count(*), min(stats.content_chars), max(length(text)) from tamil"
        (row,) = connection.execute(query).fetchall()
    assert row[0] == sample_build.built.labels["tam_Taml"]["documents"]
    assert row[1] >= 100 and row[2] > 200


def test_the_manifests_list_intact_files_and_hold_the_ledger(sample_build):
    out = store.Folder(sample_build.out)
    for kind in ("removed", "corpus"):
        assert store.verify(out / kind, artefact=kind) == []
        manifest = store.read_manifest(out / kind, artefact=kind)
        assert manifest["counts"]["ledger"] == sample_build.built.ledger
        assert manifest["counts"]["labels"] == sample_build.built.labels


def test_card_and_report_are_written_and_name_every_language(sample_build):
    card = (sample_build.out / "corpus" / "README.md").read_text(encoding="utf-8")
    report = (sample_build.out / "report.html").read_text(encoding="utf-8")
    for label, row in sample_build.built.labels.items():
        assert label in report
        assert label in card or not row["documents"]
    assert "CC0-1.0" in card


def test_the_licence_of_every_document_is_known(kept):
    assert {row["license"] for row in kept.values()} == {"CC0-1.0"}
