import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines import store
from pipelines.errors import DataError, EnvironmentProblem

ROOT = Path(__file__).parents[2]

COMMIT = """
import sys
from pipelines import store
folder = store.Folder(sys.argv[1])
files = []
for number in range(3):
    with folder.writing(f"part-{number}", committed=files) as file:
        file.write(b"x" * 1000 * (number + 1))
store.write_manifest(folder, artefact="test", fingerprint="f", counts={}, files=files)
"""


def commit(folder: Path, fault: str = "") -> int:
    environment = {**os.environ, "KOINE_FAULT": fault, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-c", COMMIT, str(folder)], env=environment, capture_output=True
    )
    return run.returncode


def contents(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir() if store.TEMPORARY not in p.name}


def test_killed_at_every_step_a_commit_is_whole_or_absent_and_can_be_repeated(tmp_path):
    assert commit(tmp_path / "undisturbed") == 0
    wanted = contents(tmp_path / "undisturbed")
    kills = 0
    for step in range(1, 100):
        folder = tmp_path / f"killed-{step}"
        code = commit(folder, fault=f"kill@{step}")
        if code == 0:
            break
        assert code == -signal.SIGKILL
        kills += 1
        for name, data in contents(folder).items() if folder.exists() else ():
            assert data == wanted[name]  # whole, or not there
        if (folder / store.MANIFEST).exists():
            assert store.verify(store.Folder(folder), artefact="test") == []
        assert commit(folder) == 0
        assert contents(folder) == wanted
    assert kills == 4 * 4  # four files, four points each


def test_a_full_disk_is_one_clear_error_and_leaves_no_file(tmp_path, monkeypatch):
    monkeypatch.setenv("KOINE_FAULT", "enospc@1")
    monkeypatch.setattr(store, "_points", iter([1]))
    folder = store.Folder(tmp_path)
    with pytest.raises(EnvironmentProblem, match="the disk is full"):
        folder.write_bytes("part", b"x")
    assert list(tmp_path.iterdir()) == []


def test_an_error_while_writing_leaves_no_file(tmp_path):
    folder = store.Folder(tmp_path)
    with pytest.raises(TypeError), folder.writing("part") as file:
        file.write(b"half")
        file.write(1)
    assert list(tmp_path.iterdir()) == []


def example(tmp_path: Path) -> store.Folder:
    folder = store.Folder(tmp_path / "artefact")
    files = [folder.write_bytes(f"label/part-{n}", bytes([n]) * 5000) for n in range(3)]
    store.write_manifest(folder, artefact="corpus", fingerprint="f", counts={}, files=files)
    return folder


def test_verify_finds_every_single_flipped_bit(tmp_path):
    folder = example(tmp_path)
    generator = random.Random(1)
    for _ in range(200):
        path = folder.root / "label" / f"part-{generator.randrange(3)}"
        whole = path.read_bytes()
        damaged = bytearray(whole)
        damaged[generator.randrange(len(whole))] ^= 1 << generator.randrange(8)
        path.write_bytes(damaged)
        wrong = store.verify(folder, artefact="corpus")
        assert len(wrong) == 1
        assert wrong[0].startswith(f"{path}: SHA-256 ")
        path.write_bytes(whole)
    assert store.verify(folder, artefact="corpus") == []


def test_verify_names_missing_shortened_and_foreign_files(tmp_path):
    folder = example(tmp_path)
    (folder.root / "label/part-0").unlink()
    (folder.root / "label/part-1").write_bytes(b"\1" * 10)
    (folder.root / "label/part-9").write_bytes(b"stray")
    wrong = [
        line.removeprefix(f"{folder.url}/label/")
        for line in store.verify(folder, artefact="corpus")
    ]
    assert wrong == [
        "part-0: missing",
        "part-1: 10 bytes instead of 5,000",
        "part-9: not listed in the manifest",
    ]


def test_an_artefact_without_manifest_is_not_read(tmp_path):
    with pytest.raises(DataError, match="no corpus has been finished here"):
        store.read_manifest(store.Folder(tmp_path), artefact="corpus")


def test_another_artefact_is_not_taken_for_this_one(tmp_path):
    with pytest.raises(DataError, match="expected 'vocab'"):
        store.read_manifest(example(tmp_path), artefact="vocab")


def test_two_builds_in_one_folder_the_second_says_who_holds_it(tmp_path):
    folder = store.Folder(tmp_path)
    with store.locked(folder), pytest.raises(EnvironmentProblem, match=f"pid {os.getpid()}"):
        with store.locked(folder):
            pass
    with store.locked(folder):
        pass


def test_an_unwritable_folder_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match="cannot be written"):
        store.Folder(tmp_path / "file" / "out").create()


def test_the_same_value_has_the_same_fingerprint_whatever_the_order_of_its_keys():
    assert store.fingerprint({"a": 1, "b": [2]}) == store.fingerprint({"b": [2], "a": 1})
    assert store.fingerprint({"a": 1}) != store.fingerprint({"a": 2})


def test_a_value_without_json_form_has_no_fingerprint():
    with pytest.raises(TypeError):
        store.fingerprint({"a": object()})


def test_any_fsspec_url_is_a_folder():
    folder = store.Folder("memory://store-test/out")
    folder.create()
    files = [folder.write_bytes("a/part", b"12345")]
    store.write_manifest(folder, artefact="corpus", fingerprint="f", counts={}, files=files)
    assert folder.names() == ["a/part", "manifest.json"]
    assert folder.read_range("a/part", offset=1, num_bytes=2) == b"23"
    assert store.verify(folder, artefact="corpus") == []
    folder.write_bytes("a/part", b"1234")
    assert len(store.verify(folder, artefact="corpus")) == 1
    folder.remove_all()
    assert folder.names() == []
