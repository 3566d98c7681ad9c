"""A full disk ends a build with one clear message; with room again it goes on to the same bytes."""

import itertools
import os
import subprocess
from collections.abc import Callable, Iterator

import pytest

from pipelines import store
from tests_support import Answer, call, hashes

BUILD = ("--quiet", "--runner", "in-process")


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Callable[[str], None]]:
    """Gives a disk at tmp_path/disk its size; a file system of its own, where that is allowed."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "tmpfs", str(disk), "-o"]
    if os.geteuid() != 0 or subprocess.run([*mount, "size=64k"], capture_output=True).returncode:
        pytest.skip("mounting a file system is not allowed here")

    def resize(size: str) -> None:
        subprocess.run([*mount, f"remount,size={size}"], check=True)

    yield resize
    subprocess.run(["umount", "--lazy", str(disk)], check=True)  # maps of its files live on


def assert_full(answer: Answer) -> None:
    assert answer.code == 4, answer.errors
    assert "the disk is full" in answer.errors
    assert len(answer.errors.splitlines()) == 2


def test_a_build_on_a_growing_disk_fails_clearly_until_it_fits(
    small_disk, small_corpus, small_build, tmp_path
):
    out = tmp_path / "disk" / "out"
    for size in ("16k", "64k", "128k", "192k", "256k", "320k", "400k", "512k"):
        small_disk(size)
        assert_full(call("corpus", "build", small_corpus, "--out", out, *BUILD))
        assert not (out / "corpus" / "manifest.json").exists()
        assert not list(out.rglob(".tmp-*"))
    small_disk("64m")
    assert call("corpus", "build", small_corpus, "--out", out, *BUILD) == Answer(0, "", "")
    assert hashes(out) == hashes(small_build.out)


def test_any_write_may_find_the_disk_full_and_commits_nothing(
    small_corpus, small_build, tmp_path, monkeypatch
):
    build = ("corpus", "build", small_corpus, *BUILD, "--out")
    for step in itertools.count(1, step=17):
        monkeypatch.setenv("KOINE_FAULT", f"enospc@{step}")
        monkeypatch.setattr(store, "_points", itertools.count(1))
        out = tmp_path / str(step)
        answer = call(*build, out)
        if answer.code == 0:  # there are fewer writes than that
            break
        assert_full(answer)
        assert not (out / "corpus" / "manifest.json").exists()
        monkeypatch.delenv("KOINE_FAULT")
        assert call(*build, out).code == 0
        assert hashes(out) == hashes(small_build.out)
    assert step > 100
