"""`koine vocab ...`: parses, calls the library function of the same name, prints.

Results go to stdout, everything else to stderr. Imports nothing heavy at the top.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli import (
    DEFAULT_OUT,
    AsJson,
    ConfigPath,
    EngineOptions,
    Out,
    Overrides,
    Runner,
    Workers,
    parse_overrides,
    print_json,
)

if TYPE_CHECKING:
    from pipelines.store import Folder

    from .loading import Tokenizer
    from .texts import Texts

app = typer.Typer(
    help="Train a vocabulary, judge any, and encode a corpus with it.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")]
Tokenizers = Annotated[
    list[str] | None,
    typer.Argument(
        help="Vocabulary folders, tokenizer.json or SentencePiece files; the build's own when left "
        "out.",
        metavar="[TOKENIZER]...",
    ),
]
Parallel = Annotated[
    Path | None,
    typer.Option(
        help="The same text in many languages: a folder of LABEL.txt files, lines aligned, or "
        "JSONL. Else the held-out text of the build's vocabulary."
    ),
]


@app.command(
    "train",
    epilog="Example: koine vocab train corpora.yaml --out build --set vocab.size=32768",
)
def train_cli(
    config: ConfigPath = Path("corpora.yaml"),
    engine_options: EngineOptions = None,
    out: Out = DEFAULT_OUT,
    workers: Workers = None,
    runner: Runner = "local",
    overrides: Overrides = None,
    *,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train a vocabulary on a corpus that was built. A killed training goes on."""
    from . import config as configuration

    settings = configuration.load(config, overrides=parse_overrides(overrides)).vocab
    from pipelines import store
    from pipelines.engines import engine
    from pipelines.plan import default_workers
    from pipelines.progress import Display

    from .build import build
    from .publish import ARTEFACT, REPORT_JSON

    chosen = engine(runner, workers=workers or default_workers(), options=engine_options or ())
    try:
        built = build(settings, out=out, engine=chosen, display=Display(quiet=quiet))
    finally:
        chosen.close()
    if json:
        print_json(
            {
                "folder": built.folder,
                "pieces": built.pieces,
                "premium": built.premium,
                "gini": built.summary["gini"],
                "worst": built.summary["worst"],
                "summary": built.summary,
                "curve": built.curve,
                "unjudged": built.unjudged,
                "vocab_hash": built.vocab_hash,
                "report": built.report,
                "seconds": built.seconds,
            }
        )
    elif not quiet:
        from .show import show_trained

        facts = (store.Folder(out) / ARTEFACT).read_json(REPORT_JSON)
        show_trained(built, facts, config=str(config), out=out)


@app.command(
    "report",
    epilog="Example: koine vocab report build/vocab other/tokenizer.json --parallel flores/dev",
)
def report_cli(
    tokenizers: Tokenizers = None,
    out: Out = DEFAULT_OUT,
    parallel: Parallel = None,
    to: Annotated[
        str | None, typer.Option(help="The page to write; OUT/vocab-report.html when left out.")
    ] = None,
    *,
    json: AsJson = False,
) -> None:
    """Show what each language pays with a vocabulary, or with several side by side."""
    from pipelines import show

    from . import report

    loaded, texts = _loaded(tokenizers, out), _texts(parallel, out)
    folder, name, data = _page(to or f"{out}/vocab-report.html")
    facts = report.report(loaded, texts=texts)
    folder.create()
    folder.write_json(data, facts)
    folder.write_bytes(name, report.render(facts).encode())
    if json:
        print_json({**facts, "report": folder.path(name)})
    else:
        show.table(*report.summary_rows(facts))
        sys.stderr.write(f"\nreport   {folder.path(name)}\n")


def _page(to: str) -> tuple[Folder, str, str]:
    """Return the folder of a report, the name of its page and that of its facts.

    Raises:
        ConfigError: it would overwrite what is no report.
    """
    from pipelines import store
    from pipelines.errors import ConfigError

    place, slash, name = to.rpartition("/")
    folder = store.Folder(place or slash or ".")
    if Path(name).suffix not in (".html", ".htm"):
        raise ConfigError(
            f"--to {to}: is no page.\n  Name one, report.html; its facts go beside it, report.json."
        )
    if folder.exists(store.MANIFEST):
        raise ConfigError(
            f"--to {to}: the files of {folder.url} are as its {store.MANIFEST} says, and no others "
            "belong there.\n  Name a page in another folder."
        )
    data = f"{Path(name).stem}.json"
    found = folder.read_json(data) if folder.exists(data) else {"tokenizers": []}
    if not isinstance(found, dict) or "tokenizers" not in found:
        raise ConfigError(
            f"--to {to}: {folder.path(data)} is no report and would be overwritten.\n"
            "  Give the page another name."
        )
    return folder, name, data


def _loaded(tokenizers: list[str] | None, out: str) -> list[Tokenizer]:
    """Return the tokenizers of these paths, or the build's own.

    Raises:
        DataError: there is none, or it can't be read.
    """
    from tempfile import TemporaryDirectory

    from pipelines import store
    from pipelines.errors import DataError

    from . import loading
    from .publish import ARTEFACT

    if tokenizers:
        return [loading.load(path) for path in tokenizers]
    own = store.Folder(out) / ARTEFACT
    if not own.exists(store.MANIFEST):  # killed while it was written, there may be an old file
        raise DataError(
            f"{own.url}: no training has finished here.\n"
            "  Train a vocabulary first, name its build with --out, or give a tokenizer."
        )
    if own.is_local:
        return [loading.load(own.url)]
    with TemporaryDirectory() as place:
        copy = store.Folder(place) / ARTEFACT
        for name in (store.MANIFEST, loading.SPM, loading.JSON):
            if own.exists(name):
                copy.write_bytes(name, own.read_bytes(name))
        return [loading.load(copy.url)]


def _texts(parallel: Path | None, out: str) -> Texts:
    """Return the text to judge by: parallel, or what the build's vocabulary was judged by.

    Raises:
        DataError: there is none, or it is not what was written.
    """
    from pipelines import store
    from pipelines.errors import DataError

    from . import texts
    from .parallel import read_parallel
    from .publish import ARTEFACT, HELD_OUT

    if parallel is not None:
        return read_parallel(parallel)
    folder = store.Folder(out) / ARTEFACT
    place = folder.path(HELD_OUT)
    if not folder.exists(store.MANIFEST):
        raise DataError(
            f"{place}: there is no held-out text to judge by.\n"
            "  Train a vocabulary first, name its build with --out, or give --parallel."
        )
    files = store.listed(store.read_manifest(folder, artefact=ARTEFACT))
    wrong = [problem for file in files if file.name == HELD_OUT and (problem := folder.check(file))]
    if wrong:
        raise DataError(f"{place}: {wrong[0]}.\n  Train again to repair it, or give --parallel.")
    import pyarrow as pa

    with folder.open_arrow(HELD_OUT) as file:
        return texts.held_out_of(pa.ipc.open_stream(file).read_all())


@app.command("encode", epilog="Example: koine vocab encode corpora.yaml --out build")
def encode_cli(
    config: ConfigPath = Path("corpora.yaml"),
    engine_options: EngineOptions = None,
    out: Out = DEFAULT_OUT,
    workers: Workers = None,
    runner: Runner = "local",
    overrides: Overrides = None,
    *,
    json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Turn the corpus into token shards with its vocabulary. A killed run goes on."""
    from . import config as configuration

    configuration.load(config, overrides=parse_overrides(overrides))
    from pipelines.engines import engine
    from pipelines.plan import default_workers
    from pipelines.progress import Display

    from .encode import encode

    chosen = engine(runner, workers=workers or default_workers(), options=engine_options or ())
    try:
        encoded = encode(out=out, engine=chosen, display=Display(quiet=quiet))
    finally:
        chosen.close()
    if json:
        print_json(
            {
                "folder": encoded.folder,
                "tokens": encoded.tokens,
                "statistics": encoded.statistics,
                "ledger": encoded.ledger,
                "vocab_hash": encoded.vocab_hash,
                "shards": {"total": encoded.num_shards, "kept": encoded.kept_shards},
                "seconds": encoded.seconds,
            }
        )
    elif not quiet:
        from .show import show_encoded

        show_encoded(encoded)


@app.command("verify", epilog="Example: koine vocab verify --out build")
def verify_cli(out: Out = DEFAULT_OUT, *, json: AsJson = False) -> None:
    """Re-hash the vocabulary and the token shards and name what is wrong (exit 3)."""
    from pipelines import store
    from pipelines.terminal import safe

    from .publish import ARTEFACT
    from .tokens import TOKENS

    root = store.Folder(out)
    wrong: list[str] = []
    num_files = 0
    hashes: list[str] = []
    for kind in (ARTEFACT, TOKENS):
        folder = root / kind
        if kind == TOKENS and not folder.exists(store.MANIFEST):
            continue  # nothing was encoded yet
        manifest = store.read_manifest(folder, artefact=kind)
        num_files += len(manifest["files"])
        hashes.append(manifest["vocab_hash"])
        wrong += store.verify(folder, artefact=kind)
    if len(set(hashes)) > 1:
        wrong.append(f"{folder.url}: of the vocabulary {hashes[1]}, not of this one, {hashes[0]}")
    if json:
        print_json({"files": num_files, "wrong": wrong})
    else:
        for line in wrong:
            sys.stdout.write(safe(line) + "\n")
        if not wrong:
            sys.stdout.write(f"{num_files:,} files, all as their manifests say.\n")
    if wrong:
        sys.stderr.write(f"koine: {len(wrong)} problems. Train or encode again to repair them.\n")
        raise typer.Exit(3)


@app.command("pieces", epilog="Example: koine vocab pieces 'Habari za asubuhi' build/vocab")
def pieces_cli(
    text: Annotated[str, typer.Argument(help="What to cut into pieces.", metavar="TEXT")],
    tokenizers: Tokenizers = None,
    out: Out = DEFAULT_OUT,
    *,
    json: AsJson = False,
) -> None:
    """Show how a vocabulary, or several, cut a text into pieces."""
    from pipelines.errors import ConfigError

    if any("\ud800" <= character <= "\udfff" for character in text):  # Python's, for other bytes
        raise ConfigError("TEXT: is not UTF-8.\n  Convert it: iconv -f <its encoding> -t UTF-8.")
    rows: list[dict[str, Any]] = []
    for tokenizer in _loaded(tokenizers, out):
        names = tokenizer.pieces()
        ids = tokenizer.encode([text]).ids.tolist()
        rows.append({"name": tokenizer.name, "ids": ids, "pieces": [names[i] for i in ids]})
    if json:
        print_json({"tokenizers": rows})
    else:
        from .show import show_pieces

        show_pieces(rows)
