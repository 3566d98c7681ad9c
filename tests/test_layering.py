"""What may import what, and other rules about the shape of the code, read off its syntax."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests_support import ROOT

PACKAGES = ("pipelines", "tokenizer", "pretrain")
UPSTREAM = {"pipelines": (), "tokenizer": ("pipelines",), "pretrain": ("pipelines", "tokenizer")}

OWNERS = {
    "pipelines": {
        "apache_beam": {"work.py", "engines.py"},
        "brotli": {"sources/http.py"},
        "datasets": {"sources/huggingface.py"},
        "duckdb": {"browse.py"},
        "fasttext": {"language_model.py"},
        "fastwarc": {"sources/warc.py"},
        "ftfy": {"mojibake.py"},
        "jinja2": {"report.py", "card.py"},
        "langcodes": {"languages.py", "wording.py"},
        "mwparserfromhell": {"sources/wikitext.py", "sources/wikitext_guard.py"},
        "orjson": {"sources/jsonl.py"},
        "resiliparse": {"extract.py", "sources/text.py", "sources/warc.py"},
        "rich": {"show.py", "progress.py"},
        "typer": {"cli.py"},
    },
    "pretrain": {
        "jinja2": {"card.py"},
        "onnxruntime": {"serve/quantise.py", "serve/runtime.py"},
        "rich": {"show.py", "tasks/show.py"},
        "safetensors": {
            "checkpoint.py",
            "compress/folder.py",
            "export.py",
            "models.py",
            "tasks/folder.py",
            "tasks/seeds.py",
        },
        "tokenizers": {"compress/pieces.py", "compress/rewrite.py", "models.py"},
        "transformers": {"models.py"},
        "typer": {
            "cli.py",
            "compress/cli.py",
            "flow/cli.py",
            "judge/cli.py",
            "look/cli.py",
            "serve/cli.py",
            "tasks/cli.py",
        },
    },
    "tokenizer": {
        "sentencepiece": {"encoder.py", "export.py", "loading.py", "prove.py", "spm_process.py"},
        "tokenizers": {"encoder.py", "loading.py", "parity_bpe.py", "prove.py"},
        "typer": {"cli.py"},
    },
}
"""The library's only importers within a package."""

ON_USE = {
    "apache_beam", "brotli", "datasets", "duckdb", "fasttext", "onnxruntime", "sentencepiece",
    "seqeval", "sklearn", "tokenizers", "transformers",
}  # fmt: skip
"""Imported inside the functions that need them, so that nothing else pays for them."""

OWN_PROCESS = {"work.py", "spm_process.py"}
"""Loaded only where what they are for is run."""

PRINTING = {"koine.py", "cli.py", "show.py"}
MAX_LINES = 400
LONGER: dict[str, str] = {}
"""Files above the ceiling, and why; a file is to be read in one sitting."""


def sources() -> list[Path]:
    folders = [ROOT / name for name in PACKAGES if (ROOT / name).is_dir()]
    return [ROOT / "koine.py", *sorted(path for folder in folders for path in folder.rglob("*.py"))]


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> Iterator[tuple[str, int, ast.AST, bool]]:
    """Yield the module, the level, the node and whether it is run when the file is imported."""

    def walk(node: ast.AST, *, at_import: bool) -> Iterator[tuple[str, int, ast.AST, bool]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from ((alias.name, 0, child, at_import) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                yield child.module or "", child.level, child, at_import
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                for part in child.orelse:
                    yield from walk(part, at_import=at_import)
            else:
                function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                yield from walk(child, at_import=at_import and not function)

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), at_import=True)


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_a_package_imports_only_what_is_upstream_of_it(path):
    package = name_of(path).partition("/")[0]
    for module, level, node, at_import in imports(path):
        top = module.partition(".")[0]
        if level or top not in PACKAGES:
            continue
        if package == "koine.py":
            names = [alias.name for alias in node.names]
            assert not at_import or names == ["cli"], f"{module} is loaded before it is needed"
        else:
            assert top in UPSTREAM[package], f"{package} is upstream of {top}"


@pytest.mark.parametrize("path", sources()[1:], ids=name_of)
def test_imports_within_a_package_are_relative_and_stay_inside(path):
    package, *inner = name_of(path).split("/")
    for module, level, _, _ in imports(path):
        assert level or module.partition(".")[0] != package
        assert level <= len(inner), f"{'.' * level}{module} leaves the package"


@pytest.mark.parametrize("path", sources()[1:], ids=name_of)
def test_a_library_is_imported_by_its_owner_and_the_dear_ones_only_on_use(path):
    package, _, inner = name_of(path).partition("/")
    for module, level, node, at_import in imports(path):
        top = module.partition(".")[0]
        if level or top in PACKAGES:
            continue
        owners = OWNERS.get(package, {})
        if any(top in of_package for of_package in OWNERS.values()):
            assert inner in owners.get(top, ()), f"{top} belongs to {owners.get(top)}"
        if top in ON_USE and inner not in OWN_PROCESS:
            assert not at_import, f"line {node.lineno}: {top} is imported with the module"


def test_a_machine_that_only_reads_a_corpus_loads_no_library_of_a_pipeline():
    code = (
        "import json, sys\n"
        "from pipelines import browse, build, config, engines, plan, store, units, what_if\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    pipeline_only = {"apache_beam", "datasets", "fasttext", "fastwarc", "mwparserfromhell"}
    assert (
        set(json.loads(run.stdout)) & (pipeline_only | {"resiliparse", "duckdb", "ftfy"}) == set()
    )


def test_a_machine_that_only_trains_needs_no_library_of_a_pipeline():
    code = (
        "import json, pkgutil, sys\n"
        "import pretrain\n"
        "for module in pkgutil.iter_modules(pretrain.__path__):\n"
        "    __import__(f'pretrain.{module.name}')\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    extra = {"apache_beam", "brotli", "datasets", "fasttext", "fastwarc", "mwparserfromhell"}
    extra |= {"resiliparse", "duckdb", "ftfy", "re2", "numba", "orjson", "xxhash", "zstandard"}
    assert set(json.loads(run.stdout)) & (extra | {"transformers"}) == set()


def test_every_owner_is_one():
    found = {(top, name_of(path)) for path in sources() for top in tops(path)}
    for package, libraries in OWNERS.items():
        for library, owners in libraries.items():
            for owner in owners:
                assert (library, f"{package}/{owner}") in found, f"{owner} has no {library}"


def tops(path: Path) -> set[str]:
    return {module.partition(".")[0] for module, level, _, _ in imports(path) if not level}


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_only_the_command_line_prints(path):
    if path.name in PRINTING:
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            assert called not in ("print", "pprint", "sys.stdout.write"), f"line {node.lineno}"


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_a_file_can_be_read_in_one_sitting(path):
    num_lines = len(path.read_text(encoding="utf-8").splitlines())
    assert num_lines <= MAX_LINES or name_of(path) in LONGER, f"{num_lines} lines"


@pytest.mark.parametrize("path", sources(), ids=name_of)
def test_every_module_says_what_it_is_for(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_the_exceptions_to_the_ceiling_still_need_it():
    for name in LONGER:
        assert len((ROOT / name).read_text(encoding="utf-8").splitlines()) > MAX_LINES
