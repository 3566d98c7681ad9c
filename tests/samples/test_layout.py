"""The sample texts are fit to show koine with, and laid out as raw corpora in a known way."""

import html
import subprocess
import sys
import unicodedata
from collections import Counter
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

from pipelines import config, languages, sources, unicode  # noqa: E402
from samples import dirt  # noqa: E402
from samples.documents import read_texts  # noqa: E402
from samples.layout import CORPORA, TAKEN, layout  # noqa: E402

TEXTS = read_texts()
LABELS = sorted(TEXTS)


@pytest.fixture(scope="module")
def laid_out(tmp_path_factory):
    """The folder of a configuration, with the corpora it reads, and their plan."""
    base = tmp_path_factory.mktemp("layout")
    return base, layout(base / "build" / "samples")


@pytest.fixture(scope="module")
def read_back(laid_out):
    """By corpus: the tally, and the documents by origin, as the worked example reads them."""
    base, _ = laid_out
    found = {}
    for corpus in config.load(REPOSITORY / "corpora.yaml").corpora:
        tally, rows = sources.Tally(), []
        for split in sources.discover(corpus, base=base):
            for batch in sources.read(split, corpus, tally):
                rows += batch.to_pylist()
        found[corpus.name] = tally, {row["origin"]: row for row in rows}
        assert len(found[corpus.name][1]) == len(rows)
    return found


def letters_by_script(text):
    flags = [unicode.flags_of(unicode.TABLES, ord(character)) for character in text]
    scripts = [
        unicode.SCRIPTS[unicode.script_of(flag)]
        for character, flag in zip(text, flags, strict=True)
        if unicodedata.category(character)[0] == "L"
    ]
    return Counter(scripts)


def test_there_are_many_languages_and_scripts():
    assert len(LABELS) >= 14
    assert len({languages.script_of(label) for label in LABELS}) >= 9
    assert all(languages.is_label(label) for label in LABELS)


@pytest.mark.parametrize("label", LABELS)
def test_a_language_has_eight_documents_on_different_subjects(label):
    texts = TEXTS[label]
    assert len(texts) >= 8
    assert len({text.slug for text in texts}) == len(texts)
    assert len({text.title for text in texts}) == len(texts)
    assert all(len(text.paragraphs) >= 2 for text in texts)


@pytest.mark.parametrize("label", LABELS)
def test_texts_are_clean(label):
    for text in TEXTS[label]:
        assert unicodedata.is_normalized("NFC", text.body)
        kinds = {unicodedata.category(character) for character in text.body.replace("\n", "")}
        joiners = {character for character in text.body if unicodedata.category(character) == "Cf"}
        assert not kinds & {"Cc", "Cn", "Co", "Cs", "Zl", "Zp"}
        assert joiners <= {"\u200c", "\u200d"}


@pytest.mark.parametrize("label", LABELS)
def test_texts_are_in_the_script_of_their_label(label):
    allowed = languages.scripts_of_label(label)
    for text in TEXTS[label]:
        counts = letters_by_script(text.body)
        inside = sum(counts[script] for script in allowed)
        assert inside >= 0.98 * counts.total(), (text.slug, counts)


def test_no_paragraph_is_there_twice():
    paragraphs = [part for texts in TEXTS.values() for text in texts for part in text.paragraphs]
    assert [text for text, count in Counter(paragraphs).items() if count > 1] == []


def test_the_same_texts_give_the_same_bytes_in_any_folder(laid_out, tmp_path):
    base, plan = laid_out
    first = base / "build" / "samples"
    # Another process has another hash seed.
    command = [sys.executable, str(REPOSITORY / "samples" / "layout.py"), "--out", "elsewhere"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    second = tmp_path / "elsewhere"
    names = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert names == sorted(path.relative_to(second) for path in second.rglob("*") if path.is_file())
    assert len(names) == sum(row["files"] for row in plan.values())
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_laying_out_again_touches_nothing_and_removes_what_is_old(tmp_path):
    layout(tmp_path)
    file = tmp_path / "journal" / "journal-0.jsonl"
    before = file.stat().st_mtime_ns
    (tmp_path / "journal" / "old.jsonl").write_text("{}\n")
    layout(tmp_path)
    assert file.stat().st_mtime_ns == before
    assert not (tmp_path / "journal" / "old.jsonl").exists()


def test_a_folder_that_holds_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(SystemExit, match=r"thesis\.txt"):
        layout(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_worked_example_reads_every_corpus(laid_out):
    corpora = config.load(REPOSITORY / "corpora.yaml").corpora
    assert {corpus.name for corpus in corpora} == set(CORPORA)
    _, plan = laid_out
    assert 350 <= sum(row["documents"] for row in plan.values()) <= 600


@pytest.mark.parametrize("name", CORPORA)
def test_a_corpus_reads_back_as_planned(laid_out, read_back, name):
    _, plan = laid_out
    tally, documents = read_back[name]
    assert tally.num_documents == plan[name]["documents"]
    assert dict(tally.quarantined) == plan[name]["quarantined"]
    assert dict(tally.skipped) == plan[name]["skipped"]
    for kind, origins in plan[name]["planted"].items():
        assert set(origins) <= set(documents), kind


def test_every_language_is_read_from_some_corpus(read_back):
    everything = "\n".join(
        row["text"] or html.unescape(row["html"].decode("utf-8", "replace"))
        for _, documents in read_back.values()
        for row in documents.values()
    )
    for label in LABELS:
        assert any(text.paragraphs[1] in everything for text in TEXTS[label]), label
    assert set(LABELS) >= TAKEN


def test_old_encodings_are_read_as_what_was_written(read_back):
    for name, labels in (("old-russian", ["rus_Cyrl"]), ("old-mixed", LABELS)):
        bodies = {text.body for label in labels for text in TEXTS[label]}
        assert {row["text"] for row in read_back[name][1].values()} <= bodies


def test_wiki_articles_come_without_their_markup(read_back):
    for row in read_back["wiki"][1].values():
        assert not set(row["text"]) & set("{}[]<>|=")
        assert row["declared"] in ("sw", "tr", "el")


@pytest.mark.parametrize("damage", dirt.REPAIRABLE)
def test_damage_is_damage(damage):
    text = TEXTS["vie_Latn"][0].body
    if damage is dirt.soft_hyphens:
        text = TEXTS["spa_Latn"][0].body
    assert damage(text) != text
