"""Where compiled kernels are kept, and when they are compiled anew."""

import re
import shutil
from pathlib import Path

import numba
import pytest

from pipelines import jit


def test_the_digest_changes_with_a_constant_that_kernels_freeze(tmp_path):
    package = shutil.copytree(jit.PACKAGE, tmp_path / "pipelines")
    assert jit.sources_digest(package) == jit.sources_digest()
    for name in ("bits.py", "tokens.py", "unicode.npz"):
        before = jit.sources_digest(package)
        with (package / name).open("ab") as source:
            source.write(b"\n")
        assert jit.sources_digest(package) != before, name


def test_the_digest_ignores_modules_without_kernels(tmp_path):
    package = shutil.copytree(jit.PACKAGE, tmp_path / "pipelines")
    (package / "other.py").write_text("X = 1\n")
    assert jit.sources_digest(package) == jit.sources_digest()


def test_kernels_that_inline_those_of_other_modules_go_through_the_decorator():
    for path in jit.PACKAGE.glob("*.py"):
        source = path.read_text(encoding="utf-8")
        if "import numba" in source and path.name != "jit.py":
            imported = re.findall(r"^from \.(\w+) import", source, re.MULTILINE)
            assert not {"bits", "unicode", "tokens", "graphemes"} & set(imported), path.name


def test_the_folder_of_the_environment_goes_first(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    folder = jit.cache_folder.__wrapped__()
    assert folder.parent == tmp_path
    assert folder.is_dir()


def test_a_kernel_runs_where_nothing_can_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "file"))
    assert jit.cache_folder.__wrapped__() is None
    monkeypatch.setattr(jit, "cache_folder", jit.cache_folder.__wrapped__)

    @jit.kernel
    def double(number):
        return 2 * number

    assert double(21) == 42


def test_the_decorator_leaves_numbas_own_setting_alone():
    before = numba.config.CACHE_DIR
    jit.kernel(lambda number: number)
    assert before == numba.config.CACHE_DIR


@pytest.mark.parametrize("name", ["bits.py", "unicode.py", "walk.py", "minhash.py"])
def test_sources_whose_constants_are_frozen_are_marked(name):
    source = Path(jit.PACKAGE / name).read_bytes()
    assert any(marker in source for marker in jit.MARKERS)
