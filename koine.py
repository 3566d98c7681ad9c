"""The front door: `koine run`, and each of its steps by itself.

Imports nothing heavy, so that help answers at once. It puts its own folder first on the import path
and checks that the packages it loads lie beside it: their names are taken by other distributions.
"""

from __future__ import annotations

import io
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

HERE = Path(__file__).resolve().parent
PACKAGES = ("pipelines", "tokenizer", "pretrain")

if TYPE_CHECKING:
    from types import FrameType


def check_packages() -> None:
    """Exit with 4 unless the packages that would be imported are koine's own."""
    import importlib.util

    sys.path.insert(0, str(HERE))
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        found = Path(spec.origin).parent if spec and spec.origin else None
        if found != HERE / name:
            sys.stderr.write(
                f"koine: the package {name!r} is taken from {found}, not from {HERE / name}.\n"
                "  koine runs from its own clone and environment: `make venv` there, then run "
                ".venv/bin/koine.\n"
            )
            raise SystemExit(4)


check_packages()

import typer  # noqa: E402

from pipelines import cli as corpus_cli  # noqa: E402
from pretrain import cli as pretrain_cli  # noqa: E402
from pretrain.compress import cli as compress_cli  # noqa: E402
from pretrain.flow import cli as flow_cli  # noqa: E402
from pretrain.judge import cli as judge_cli  # noqa: E402
from pretrain.look import cli as look_cli  # noqa: E402
from pretrain.serve import cli as serve_cli  # noqa: E402
from pretrain.tasks import cli as tune_cli  # noqa: E402
from tokenizer import cli as vocab_cli  # noqa: E402

INTERRUPTED = "interrupted. Run the same command again: what is finished is kept."

app = typer.Typer(
    name="koine",
    help="From raw text in many languages to a multilingual BERT.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(corpus_cli.app, name="corpus")
app.add_typer(vocab_cli.app, name="vocab")
app.add_typer(pretrain_cli.app, name="pretrain")
app.add_typer(tune_cli.app, name="tune")
app.command("evaluate", epilog=judge_cli.EPILOG)(judge_cli.evaluate_cli)
app.command("inspect", epilog=look_cli.EPILOG)(look_cli.inspect_cli)
app.add_typer(compress_cli.app, name="compress")
app.command("export", epilog=serve_cli.EXPORT_EXAMPLE)(serve_cli.export_cli)
app.command("predict", epilog=serve_cli.PREDICT_EXAMPLE)(serve_cli.predict_cli)
app.command("run", epilog=flow_cli.EXAMPLE)(flow_cli.run_cli)


def composed() -> Any:  # noqa: ANN401
    """Return the model of a whole corpora.yaml, made of each package's own sections."""
    from pydantic import create_model

    from pipelines.config import Config as Corpora
    from pretrain.config import Config as Pretrain
    from pretrain.flow.config import TasksConfig as Tasks
    from tokenizer.config import Config as Vocab

    bases = (Corpora, Vocab, Pretrain, Tasks)
    return create_model("Koine", __base__=bases, __doc__="A corpora.yaml.")


@app.command("check", epilog="Example: koine check corpora.yaml")
def check_cli(
    config: corpus_cli.ConfigPath = Path("corpora.yaml"),
    overrides: corpus_cli.Overrides = None,
    *,
    json: corpus_cli.AsJson = False,
) -> None:
    """Check a configuration, list everything wrong with it, and print it with its defaults."""
    from pipelines import strict_yaml
    from pipelines.config import validate

    document = strict_yaml.load(config)
    model = validate(
        composed(),
        document,
        path=str(config),
        overrides=corpus_cli.parse_overrides(overrides),
    )
    values = model.model_dump(mode="json")
    if json:
        corpus_cli.print_json(values)
    else:
        import yaml

        sys.stderr.write(f"{config}: no problems. The effective configuration:\n")
        sys.stdout.write(yaml.safe_dump(values, sort_keys=False, allow_unicode=True))


@app.command("schema", epilog="Example: koine schema > corpora.schema.json")
def schema_cli(
    out: Annotated[Path | None, typer.Option(help="File to write instead of stdout.")] = None,
) -> None:
    """Print the JSON schema of corpora.yaml, from which editors complete."""
    text = schema()
    if not out:
        sys.stdout.write(text)
        return
    try:
        out.write_text(text, encoding="utf-8")
    except OSError as error:
        from pipelines.errors import EnvironmentProblem

        raise EnvironmentProblem(f"{out}: cannot be written ({error.strerror}).") from error


def schema() -> str:
    """Return the JSON schema of corpora.yaml as text."""
    import json

    value = composed().model_json_schema()
    value = {"$schema": "https://json-schema.org/draft/2020-12/schema", **value}
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def main() -> NoReturn:
    """Run the command line; every KoineError becomes one clear message and its exit code."""
    from pipelines.errors import KoineError

    def terminate(_signal: int, _frame: FrameType | None) -> NoReturn:
        raise SystemExit(143)

    signal.signal(signal.SIGTERM, terminate)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a terminal without Unicode is no reason to fail
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        code = app(standalone_mode=False)  # an Exit's code comes back as the value
    except KoineError as error:
        _fail(str(error), error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        _fail(INTERRUPTED, 130)
    except BrokenPipeError:
        sys.stderr.close()
        raise SystemExit(141) from None
    except Exception as error:
        if hasattr(error, "format_message"):  # a wrong command line, in click's own words
            context = getattr(error, "ctx", None)
            message = str(error.format_message())
            if context and not message.lstrip().startswith("Usage:"):  # a group's help has it
                message = f"{context.get_usage()}\n{message}"
            _fail(message, 2)
        raise
    if code == 130:
        _fail(INTERRUPTED, 130)
    raise SystemExit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> NoReturn:
    from pipelines.terminal import safe

    message = safe(message)  # it may quote input, or the name of a file
    sys.stderr.write(f"{message}\n" if code == 2 else f"koine: {message}\n")
    raise SystemExit(code)


if __name__ == "__main__":
    main()
