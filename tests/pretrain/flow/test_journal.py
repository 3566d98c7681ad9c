"""A stage is up to date only if it was finished, from the same things, and its result is there."""

import time

import pytest

from pipelines import store
from pretrain.flow.journal import NAME, Journal, state_of


@pytest.fixture
def folder(tmp_path):
    return store.Folder(tmp_path)


def test_a_stage_that_was_finished_is_current_for_the_same_key_and_state_only(folder):
    journal = Journal(folder)
    with journal.timed("corpus", key="a"):
        assert not journal.is_current("corpus", key="a", state=None)
    assert not journal.is_current("corpus", key="a", state="x")
    journal.finish("corpus", key="a", state="x")
    again = Journal(folder)
    assert again.is_current("corpus", key="a", state="x")
    assert not again.is_current("corpus", key="b", state="x")
    assert not again.is_current("corpus", key="a", state="y")
    assert not again.is_current("corpus", key="a", state=None)


def test_a_stage_that_was_stopped_is_not_finished_and_its_time_counts(folder):
    journal = Journal(folder)
    with pytest.raises(KeyboardInterrupt), journal.timed("vocab", key="a"):
        raise KeyboardInterrupt
    before = Journal(folder).seconds("vocab")
    assert not Journal(folder).is_current("vocab", key="a", state=None)
    again = Journal(folder)
    with again.timed("vocab", key="a"):
        time.sleep(0.02)
    assert again.seconds("vocab") > before
    with again.timed("vocab", key="b"):
        assert again.seconds("vocab") == 0  # of other inputs


def test_a_file_that_is_no_journal_is_as_none(folder):
    for text in ("", "{", "[1]", '{"stages": 3}', '{"stages": {"corpus": 3}}'):
        folder.write_bytes(NAME, text.encode())
        journal = Journal(folder)
        assert not journal.is_current("corpus", key="a", state="x")
        journal.finish("corpus", key="a", state="x")
        assert Journal(folder).is_current("corpus", key="a", state="x")


def test_an_artefact_is_whole_only_with_all_its_files(folder):
    files = [folder.write_bytes(name, b"text") for name in ("a", "b")]
    assert state_of(folder, artefact="corpus") is None
    store.write_manifest(folder, artefact="corpus", fingerprint="", counts={}, files=files)
    state = state_of(folder, artefact="corpus")
    assert state is not None
    assert state_of(folder, artefact="vocab") is None
    (folder.root / "a").write_bytes(b"tex")
    assert state_of(folder, artefact="corpus") is None
    (folder.root / "a").unlink()
    assert state_of(folder, artefact="corpus") is None
    folder.write_bytes("a", b"text")
    assert state_of(folder, artefact="corpus") == state
