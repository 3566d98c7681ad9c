"""`koine export` and `koine predict`: parse, call the library, print.

Results go to stdout, everything else to stderr. Imports nothing heavy at the top.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from pipelines.cli import AsJson, print_json

if TYPE_CHECKING:
    from .predict import Predictor
    from .runtime import Use

ModelFolder = Annotated[
    Path, typer.Argument(help="Folder of a tuned model, or of an encoder.", metavar="MODEL")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Results only.")]


def export_cli(
    model: ModelFolder,
    to: Annotated[
        str | None,
        typer.Option(help="Another folder, that then needs no weights; beside them if left out."),
    ] = None,
    head: Annotated[
        str | None,
        typer.Option(help="none (hidden states), mlm, classify, tag, answer; its own if left out."),
    ] = None,
    texts: Annotated[
        Path | None,
        typer.Option(help="A file of texts, one a line, to compare the outputs on too."),
    ] = None,
    *,
    onnx: Annotated[bool, typer.Option("--onnx", help="Write model.onnx.")] = False,
    int8: Annotated[
        bool, typer.Option("--int8", help="Write model.int8.onnx, its weights in eight bits.")
    ] = False,
    json: AsJson = False,
) -> None:
    """Write a model as ONNX, in 32 and in 8 bits, and say how far it is from torch."""
    from pipelines.errors import ConfigError

    if not onnx and not int8:
        raise ConfigError("Say what to write: --onnx, --int8 or both.")
    from ..models import AUTO, open_model

    if head is not None and head not in AUTO:
        from pipelines.config_errors import did_you_mean

        raise ConfigError(f"--head {head}: there is no such head. {did_you_mean(head, list(AUTO))}")
    from pipelines import store

    from . import onnx_model, show

    exported = onnx_model.export(
        open_model(model),
        head=head,  # type: ignore[arg-type]
        fp32=onnx,
        int8=int8,
        to=None if to is None else store.Folder(to),
        texts=_texts(texts),
    )
    if json:
        import dataclasses

        print_json(dataclasses.asdict(exported))
    else:
        show.show_exported(exported)


def predict_cli(
    model: ModelFolder,
    text: Annotated[
        str | None,
        typer.Argument(help="Text, or a question; lines of standard input if left out."),
    ] = None,
    pair: Annotated[str | None, typer.Option(help="The second text of a pair.")] = None,
    context: Annotated[
        str | None, typer.Option(help="The text that the question is about.")
    ] = None,
    context_file: Annotated[
        Path | None, typer.Option(help="A file with the text that the question is about.")
    ] = None,
    top: Annotated[
        int | None,
        typer.Option(min=1, help="Targets, or pieces for a [MASK]; 5, of lines 1, if left out."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(min=1, help="Threads; as many as there are cores if left out.")
    ] = None,
    *,
    jsonl: Annotated[
        bool,
        typer.Option(
            "--jsonl",
            help="Lines are JSON objects: text and pair, or question and context.",
        ),
    ] = False,
    words: Annotated[
        bool, typer.Option("--words", help="The tag of every word, not only entities.")
    ] = False,
    use_torch: Annotated[
        bool, typer.Option("--torch", help="Run it in torch, not ONNX Runtime.")
    ] = False,
    int8: Annotated[bool, typer.Option("--int8", help="Run model.int8.onnx.")] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print a JSON object, or one for each line.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Judge a text, or each line of standard input: its target, its entities, an answer, [MASK]."""
    from pipelines.errors import ConfigError

    if use_torch and int8:
        raise ConfigError("--torch and --int8: name one; eight bits run in ONNX Runtime.")
    from .predict import open_predictor

    use: Use = "torch" if use_torch else "int8" if int8 else "auto"
    second = _second(pair, context, context_file)
    predictor = open_predictor(model, use=use, threads=threads)
    _check_options(predictor, has_second=second is not None, words=words)
    if predictor.note and not quiet:
        from pipelines.terminal import safe

        sys.stderr.write(f"{safe(predictor.note)}\n")
    if text is None:
        _lines(
            predictor,
            second=second,
            jsonl=jsonl,
            top=top or 1,
            words=words,
            as_json=json,
            quiet=quiet,
        )
    else:
        _one(predictor, text, second, top=top or 5, words=words, as_json=json, quiet=quiet)


EXPORT_EXAMPLE = "Example: koine export build/topics --onnx --int8"
PREDICT_EXAMPLE = 'Example: koine predict build/topics "Mvua kubwa inatarajiwa kesho"'


def _second(pair: str | None, context: str | None, context_file: Path | None) -> str | None:
    """Return the second text."""
    from pipelines.errors import ConfigError, DataError

    given = [one for one in (pair, context, context_file) if one is not None]
    if len(given) > 1:
        raise ConfigError("--pair, --context, --context-file: name one of them.")
    if context_file is None:
        return context if pair is None else pair
    try:
        return context_file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{context_file}: is no UTF-8 text that can be read ({error}).") from error


def _texts(path: Path | None) -> list[str]:
    """Return the lines of a file."""
    from pipelines.errors import DataError

    if path is None:
        return []
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: is no UTF-8 text that can be read ({error}).") from error
    return [line for line in lines if line.strip()]


def _check_options(predictor: Predictor, *, has_second: bool, words: bool) -> None:
    """Refuse options that the model can't make anything of."""
    from pipelines.errors import ConfigError

    does = {
        "classify": "tells texts apart",
        "tag": "tags words",
        "answer": "answers questions",
        "mlm": "guesses [MASK]",
    }[predictor.head]
    if has_second and predictor.head not in ("classify", "answer"):
        raise ConfigError(f"{predictor.model.folder}: {does}, and takes one text, no second one.")
    if words and predictor.head != "tag":
        raise ConfigError(f"--words: {predictor.model.folder} {does}, it tags no words.")


def _one(
    predictor: Predictor,
    text: str,
    second: str | None,
    *,
    top: int,
    words: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Print the answer to one text."""
    from pipelines.errors import ConfigError

    from . import show
    from .lines import Asked

    predicted = predictor.predict([Asked(text, second)], top=top, every_word=words)
    answer = predicted.answers[0]
    if problem := answer.get("problem"):
        remedies = {
            "answer": "Name what it is about: --context TEXT or --context-file FILE.",
            "mlm": f"Write {predictor.mask} where a piece is to be guessed.",
        }
        remedy = remedies.get(predictor.head, "Give a text, or lines on standard input.")
        raise ConfigError(f"The text can't be judged: {problem}.\n  {remedy}")
    if as_json:
        print_json(show.plain(answer))
    else:
        show.show_answer(answer)
    if not quiet:
        show.show_cut(predicted.num_cut)


def _lines(
    predictor: Predictor,
    *,
    second: str | None,
    jsonl: bool,
    top: int,
    words: bool,
    as_json: bool,
    quiet: bool,
) -> None:
    """Answer each line of standard input as it comes."""
    from . import lines, show

    is_question = predictor.head == "answer"
    names = ("question", "context") if is_question else ("text", "pair")
    jsonl = jsonl or (is_question and second is None)
    if sys.stdin.isatty() and not quiet:
        what = f"a JSON object with {' and '.join(names)}" if jsonl else f"a {names[0]}"
        sys.stderr.write(f"Write {what} on each line; Ctrl-D ends.\n")
    stream = show.Stream(predictor.head, as_json=as_json, quiet=quiet)
    try:
        for batch in lines.batches(cast("lines.Bytes", sys.stdin.buffer)):
            asked = [lines.of_json(one, names=names) for one in batch] if jsonl else batch
            if second is not None:
                asked = [
                    one if one.pair is not None else replace(one, pair=second) for one in asked
                ]
            stream.write(predictor.predict(asked, top=top, every_word=words))
    except KeyboardInterrupt:
        sys.stderr.write(f"koine: interrupted after {stream.num_lines:,} lines.\n")
        raise SystemExit(130) from None
    stream.end()
    if stream.num_failed:
        raise typer.Exit(3)
