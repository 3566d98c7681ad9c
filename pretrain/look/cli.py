"""`koine inspect`: parses, calls the library function of the same name, prints.

Results go to stdout, everything else to stderr. Imports nothing heavy at the top.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from pipelines.cli import AsJson, print_json

PAGE = "inspect.html"
EPILOG = 'Example: koine inspect build/export "Watoto wanapenda [MASK] vitabu." --to page.html'


def inspect_cli(
    model: Annotated[
        str, typer.Argument(help="Folder of a model, exported or tuned.", metavar="MODEL")
    ],
    text: Annotated[
        str | None,
        typer.Argument(
            help="What it reads; [MASK] in it hides a piece; - for stdin.", metavar="[TEXT]"
        ),
    ] = None,
    pair: Annotated[str | None, typer.Option(help="A second text that it reads with it.")] = None,
    texts: Annotated[
        Path | None,
        typer.Option(help="A file with a text on each line: heads are judged by all of them."),
    ] = None,
    to: Annotated[
        Path | None, typer.Option(help=f"Where the page goes; {PAGE} when left out.")
    ] = None,
    top: Annotated[int, typer.Option(min=1, max=100, help="Guesses shown of each mask.")] = 10,
    label: Annotated[
        str | None, typer.Option(help="Language of the text (jpn_Jpan), for the page's fonts.")
    ] = None,
    *,
    hide_each: Annotated[
        bool,
        typer.Option("--hide-each", help="Hide each piece in turn; show what is expected there."),
    ] = False,
    json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Write the page only.")] = False,
) -> None:
    """Look inside an encoder: what its heads attend to, and what it expects under a mask.

    Writes a page that opens without a network; with --json only where --to says.
    """  # fmt: skip
    from . import page, show
    from .inspection import facts, inspect

    found = inspect(
        model,
        sys.stdin.read() if text == "-" else text,
        pair=pair,
        texts=_lines(texts) if texts is not None else (),
        top=top,
        hide_each=hide_each,
        label=label,
        watch=show.Watch(quiet=quiet or json),
    )
    path = to if to is not None or json else Path(PAGE)
    if path is not None:
        page.write(found, path)
    written = None if path is None else str(path)
    if json:
        print_json(facts(found) | {"page": written})
    elif not quiet:
        show.show(found, page=written)


def _lines(path: Path) -> list[str]:
    """Return the texts of a file, one a line."""
    from pipelines.errors import DataError

    try:
        found = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: can't be read as text in UTF-8 ({error}).\n"
            "  Give a file with one text on each line."
        ) from error
    if not any(line.strip() for line in found):
        raise DataError(f"{path}: has no text.\n  Give a file with one text on each line.")
    return found
