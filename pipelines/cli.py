"""`koine corpus ...`: parses, calls the library function of the same name, prints.

Results go to stdout, everything else to stderr. Imports nothing heavy at the top.
"""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from .build import Built
    from .config import Config

app = typer.Typer(
    help="Build, check and read a corpus.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

ConfigPath = Annotated[Path, typer.Argument(help="The configuration file.", metavar="CONFIG")]
Out = Annotated[str, typer.Option(help="Folder (or fsspec URL) of the build.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object to stdout.")]
Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Replace a value of the file, by dotted key."),
]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Worker processes; one a core when left out.")
]
Runner = Annotated[
    str,
    typer.Option(help="local, in-process, flink, spark, dataflow or portable."),
]
EngineOptions = Annotated[
    list[str] | None,
    typer.Argument(help="Options of the engine itself, after `--`.", metavar="[-- OPTIONS]"),
]
DEFAULT_OUT = "build"


def parse_overrides(overrides: list[str] | None) -> dict[str, Any]:
    """Return `--set key=value` options as values; the value is read as YAML.

    Raises:
        ConfigError: one is not `key=value`.
    """
    from . import strict_yaml
    from .errors import ConfigError

    values: dict[str, Any] = {}
    for item in overrides or []:
        key, equals, text = item.partition("=")
        if not equals or not key:
            raise ConfigError(f"--set {item}: write it as key=value (corpus.shard_mb=64).")
        values[key] = strict_yaml.parse(text, path=f"--set {key}").values if text else None
    return values


def print_json(value: object) -> None:
    """Print one JSON object to stdout; what JSON has no form for becomes text, NaN becomes null."""
    import json

    def plain(value: Any) -> Any:  # noqa: ANN401
        if isinstance(value, dict):
            return {str(key): plain(inner) for key, inner in value.items()}
        if isinstance(value, list | tuple):
            return [plain(inner) for inner in value]
        if isinstance(value, bytes):
            return value.hex()
        if isinstance(value, float) and not math.isfinite(value):
            return None
        return value if isinstance(value, str | int | float | None) else str(value)

    text = json.dumps(plain(value), ensure_ascii=False, indent=1, allow_nan=False)
    sys.stdout.write(text + "\n")


def _load(config: Path, overrides: list[str] | None) -> Config:
    from . import config as configuration

    return configuration.load(config, overrides=parse_overrides(overrides))


@app.command("plan", epilog="Example: koine corpus plan corpora.yaml")
def plan_cli(
    config: ConfigPath = Path("corpora.yaml"),
    out: Out = DEFAULT_OUT,
    overrides: Overrides = None,
    *,
    json: AsJson = False,
) -> None:
    """Show what a build would read: files, bytes, formats, units. Writes nothing."""
    from .plan import plan

    found = plan(_load(config, overrides), base=config.resolve().parent, out=out)
    if json:
        print_json(found)
        return
    from .show import table

    table(
        ["corpus", "format", "files", "MB", "units", "measured already"],
        [
            [
                row["corpus"],
                ", ".join(row["formats"]),
                f"{row['files']:,}",
                f"{row['bytes'] / 1e6:,.1f}",
                f"{row['units']:,}",
                f"{row['measured']:,}",
            ]
            for row in [*found["corpora"], found["total"]]
        ],
    )
    sys.stderr.write(f"Nothing was written. Build it: koine corpus build {config} --out {out}\n")


@app.command(
    "build",
    epilog="Example: koine corpus build corpora.yaml --out build. On an engine: "
    "koine corpus build corpora.yaml --out s3://bucket/build --runner flink -- "
    "--flink_master=host:8081",
)
def build_cli(
    config: ConfigPath = Path("corpora.yaml"),
    engine_options: EngineOptions = None,
    out: Out = DEFAULT_OUT,
    workers: Workers = None,
    runner: Runner = "local",
    overrides: Overrides = None,
    *,
    prune: Annotated[
        bool, typer.Option("--prune", help="Delete measurements this configuration doesn't use.")
    ] = False,
    json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")] = False,
) -> None:
    """Build the corpus: measure, judge, deduplicate, publish. A killed build goes on."""
    from .progress import Display

    loaded = _load(config, overrides)
    from .engines import engine

    chosen = engine(runner, workers=workers or _cores(), options=engine_options or ())
    from .build import build

    try:
        built = build(
            loaded,
            out=out,
            base=config.resolve().parent,
            engine=chosen,
            display=Display(quiet=quiet),
            prune=prune,
        )
    finally:
        chosen.close()
    _show_built(built, json=json, quiet=quiet, out=out)


@app.command(
    "judge",
    epilog="Example: koine corpus judge corpora.yaml --out build --what-if "
    "--set corpus.rules.max_digit_share=0.2",
)
def judge_cli(
    config: ConfigPath = Path("corpora.yaml"),
    out: Out = DEFAULT_OUT,
    workers: Workers = None,
    overrides: Overrides = None,
    *,
    what_if: Annotated[
        bool, typer.Option("--what-if", help="Show what would change; write nothing.")
    ] = False,
    json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")] = False,
) -> None:
    """Judge again what is measured, under edited rules; measures nothing."""
    loaded = _load(config, overrides)
    base = config.resolve().parent
    if what_if:
        from .show import show_what_if
        from .what_if import what_if as compare

        found = compare(loaded, out=out, base=base)
        if json:
            print_json(found)
        else:
            show_what_if(found)
        return
    from .build import rejudge
    from .engines import engine
    from .progress import Display

    chosen = engine("local", workers=workers or _cores())
    try:
        built = rejudge(loaded, out=out, base=base, engine=chosen, display=Display(quiet=quiet))
    finally:
        chosen.close()
    _show_built(built, json=json, quiet=quiet, out=out)


def _cores() -> int:
    from .plan import default_workers

    return default_workers()


def _show_built(built: Built, *, json: bool, quiet: bool, out: str) -> None:
    if json:
        print_json(
            {
                "ledger": built.ledger,
                "labels": built.labels,
                "seconds": built.seconds,
                "corpus": built.corpus,
                "report": built.report,
                "units": {"total": built.num_units, "kept": built.kept_units},
                "unused_bytes": built.unused_bytes,
            }
        )
    if not quiet and not json:
        from .show import show_built

        show_built(built, out=out)


@app.command("verify", epilog="Example: koine corpus verify --out build")
def verify_cli(out: Out = DEFAULT_OUT, *, json: AsJson = False) -> None:
    """Re-hash every published file and name what is wrong (exit 3)."""
    from . import store

    root = store.Folder(out)
    wrong: list[str] = []
    num_files = 0
    for kind in ("corpus", "removed"):
        folder = root / kind
        num_files += len(store.read_manifest(folder, artefact=kind)["files"])
        wrong += store.verify(folder, artefact=kind)
    if json:
        print_json({"files": num_files, "wrong": wrong})
    else:
        for line in wrong:
            sys.stdout.write(line + "\n")
        if not wrong:
            sys.stdout.write(f"{num_files:,} files, all as their manifests say.\n")
    if wrong:
        sys.stderr.write(f"koine: {len(wrong)} problems. Build again to repair them.\n")
        raise typer.Exit(3)


@app.command("show", epilog="Example: koine corpus show --label swh_Latn --reason near_duplicate")
def show_cli(
    out: Out = DEFAULT_OUT,
    label: Annotated[str | None, typer.Option(help="Only this language.")] = None,
    reason: Annotated[
        str | None, typer.Option(help="Only documents removed for this reason; `any` for all.")
    ] = None,
    text: Annotated[str | None, typer.Option(help="Only texts that contain this.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="How many documents.")] = 10,
    chars: Annotated[int, typer.Option(min=1, help="Characters shown of each.")] = 300,
    *,
    json: AsJson = False,
) -> None:
    """Show documents, kept or removed, in the terminal."""
    from . import browse, show

    rows = browse.documents(out, label=label, reason=reason, text=text, limit=limit)
    if json:
        print_json({"documents": [row | {"text": row["text"][:chars]} for row in rows]})
    else:
        show.documents(rows, chars=chars)


@app.command("why", epilog="Example: koine corpus why 1f0c3a5b7d9e2468-0badcafe")
def why_cli(
    identity: Annotated[str, typer.Argument(help="A document's id, or its start.", metavar="ID")],
    out: Out = DEFAULT_OUT,
    *,
    json: AsJson = False,
) -> None:
    """Tell one document's story: its origin, what was measured, and what became of it."""
    from . import browse, show

    story = browse.why(out, identity)
    if json:
        print_json(story)
    else:
        show.story(story)


@app.command(
    "sql",
    epilog='Example: koine corpus sql "select label, count(*) from removed group by label"',
)
def sql_cli(
    query: Annotated[str, typer.Argument(help="SQL over the tables `corpus` and `removed`.")],
    out: Out = DEFAULT_OUT,
    *,
    json: AsJson = False,
) -> None:
    """Query the shards with DuckDB: tables `corpus` and `removed`, columns as in the shards."""
    from . import browse, show

    columns, rows = browse.sql(out, query)
    if json:
        shown = [dict(zip(columns, row, strict=True)) for row in rows]
        print_json({"columns": columns, "rows": shown})
    else:
        show.table(columns, [[str(value) for value in row] for row in rows])
