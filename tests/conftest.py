"""What tests of several modules share: the sample texts, and a small corpus made of them."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))
from pipelines import config, engines
from pipelines.build import Built, build
from samples.layout import layout
from tests_support import ROOT

DATA = Path(os.environ.get("KOINE_DATA", ROOT.parent / "shared" / "data"))


def sample_texts() -> dict[str, list[str]]:
    """Return the documents of samples/texts by label."""
    found = {}
    for path in sorted((ROOT / "samples" / "texts").glob("*.txt")):
        parts = path.read_text(encoding="utf-8").split("=== ")[1:]
        found[path.stem] = [part.partition("\n")[2].strip() for part in parts]
    return found


@pytest.fixture(scope="session")
def texts() -> dict[str, list[str]]:
    return sample_texts()


@pytest.fixture(scope="session")
def data() -> Path:
    """The development corpora; tests that need them are skipped without them."""
    if not (DATA / "corpus").is_dir():
        pytest.skip("the development corpora are not here")
    return DATA


def write_corpus(folder: Path, texts: dict[str, list[str]]) -> Path:
    """Lay out a small corpus with a known ledger; return its configuration file.

    first (22 records): two documents of ten languages, one line that is no JSON, one short page.
    second (5): a copy of a document of `first`, a near copy, the same URL as one of `first`, an
    English page declared Hindi, and a page that repeats itself.
    """
    folder.mkdir(parents=True, exist_ok=True)
    labels = sorted(texts)[:10]
    lines = []
    for label in labels:
        for number, text in enumerate(texts[label][:2]):
            url = f"https://{label[:3]}.example.org/{number}"
            lines.append(json.dumps({"text": text, "lang": label, "url": url}, ensure_ascii=False))
    lines.insert(7, '{"text": broken')
    lines.append(json.dumps({"text": "Home | About", "lang": "eng_Latn"}))
    (folder / "first.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")

    own = texts[labels[0]]
    words = own[1].split(" ")
    english = texts["eng_Latn"]
    second = [
        {"text": own[0], "lang": labels[0]},
        {"text": " ".join([*words[:-3], "xyz", *words[-2:]]), "lang": labels[0]},
        {
            "text": texts[labels[2]][5],
            "lang": labels[2],
            "url": f"https://{labels[2][:3]}.example.org/0",
        },
        {"text": english[3], "lang": "hin_Deva"},
        {"text": (english[4].split(". ")[1] + ". ") * 40, "lang": "eng_Latn"},
    ]
    (folder / "second.jsonl").write_text(
        "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in second), encoding="utf-8"
    )
    config = folder / "corpora.yaml"
    config.write_text(
        """\
corpora:
  - name: first
    files: first.jsonl
    fields: {label: lang}
    license: CC0-1.0
  - name: second
    files: second.jsonl
    fields: {label: lang}
    license: CC0-1.0
"""
    )
    return config


@pytest.fixture(scope="session")
def small_corpus(tmp_path_factory: pytest.TempPathFactory, texts: dict[str, list[str]]) -> Path:
    """The configuration of a small corpus with a known ledger (see `write_corpus`)."""
    return write_corpus(tmp_path_factory.mktemp("small"), texts)


@dataclass(frozen=True)
class Finished:
    """A finished build: its configuration file, its folder, what `build` returned."""

    config: Path
    out: Path
    built: Built
    plan: dict[str, dict[str, Any]]
    """What the layout of the sample corpora planted; empty for the small corpus."""


def _finished(path: Path, out: Path, plan: dict[str, dict[str, Any]]) -> Finished:
    loaded = config.load(path)
    built = build(loaded, out=str(out), base=path.parent, engine=engines.InProcess())
    return Finished(path, out, built, plan)


@pytest.fixture(scope="session")
def small_build(small_corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The small corpus, built; only to be read."""
    return _finished(small_corpus, tmp_path_factory.mktemp("small-build") / "out", {})


@pytest.fixture(scope="session")
def sample_build(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The worked example, built as a user builds it; only to be read."""
    base = tmp_path_factory.mktemp("samples")
    path = Path(shutil.copy(ROOT / "corpora.yaml", base))
    return _finished(path, base / "build" / "corpus", layout(base / "build" / "samples"))


@dataclass(frozen=True)
class Trained:
    """A finished vocabulary: its build folder and what `build` returned."""

    out: Path
    built: Any


def vocab_settings(**changes: Any) -> Any:
    """Settings for the samples: small, and quick to train."""
    from tokenizer.config import VocabSettings

    values = {"size": 3500, "sample_mb": 2, "parity": {"max_rounds": 2, "sample_mb": 1}}
    return VocabSettings(**{**values, **changes})


def train_vocab(corpus: Path, out: Path, engine: Any = None, **changes: Any) -> Trained:
    """Train a vocabulary in a folder of its own on a built corpus."""
    from pipelines.progress import Display
    from tokenizer.build import build as build_vocab

    if not (out / "corpus").exists():
        shutil.copytree(corpus / "corpus", out / "corpus")
    settings = vocab_settings(**changes)
    engine = engine or engines.InProcess()
    built = build_vocab(settings, out=str(out), engine=engine, display=Display(quiet=True))
    return Trained(out, built)


@pytest.fixture(scope="session")
def sample_vocab(sample_build: Finished, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A vocabulary of the worked example's corpus; only to be read."""
    return train_vocab(sample_build.out, tmp_path_factory.mktemp("vocab") / "out")


@pytest.fixture(scope="session")
def forks() -> Iterator[Any]:
    """Starts `koine` in processes of its own, without importing torch each time."""
    from forks import Forks

    server = Forks()
    yield server
    server.close()


@pytest.fixture(scope="session")
def pretrain_build(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A vocabulary, tokens of five languages, and the settings of a small run; only to be read."""
    from pretraining import write_build, write_config

    out = write_build(tmp_path_factory.mktemp("pretrain") / "out")
    write_config(out)
    return out


@pytest.fixture(scope="session")
def straight_run(
    pretrain_build: Path, forks: Any, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The folder of a small run that nothing disturbed; only to be read."""
    from pretraining import copied

    out = copied(pretrain_build, tmp_path_factory.mktemp("straight") / "out")
    config = pretrain_build / "corpora.yaml"
    ended = forks.run("pretrain", "run", config, "--out", out, "--name", "run", "--quiet")
    assert ended.code == 0, ended.errors
    return out / "runs" / "run"


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Train with one thread: more only wait for each other where models are tiny."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
