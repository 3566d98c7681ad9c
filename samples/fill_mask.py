"""Fill in masked words with an exported model, by plain transformers and nothing of koine.

    python samples/fill_mask.py build/demo/export
    python samples/fill_mask.py build/demo/export "Samaki hupangwa [MASK] mafungu."

Without sentences of your own it takes one of the sample texts in each of three languages, without
the mark that ends it. What ends a sentence in which script is what a model learns first: one that
has read 90,000 tokens for a few minutes knows that, and hardly a word. Nothing is fetched from a
network.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

SENTENCES = {
    "Maarifa madogo yaliyoandikwa yamekuwa akiba ya watu wote[MASK]": ".",
    "एक कोने में बूढ़े रहमत चाचा ताले सुधारते हैं[MASK]": "।",
    "علت الزغاريد من كل جانب، وعانق المهزوم المنتصر[MASK]": ".",
}
"""Swahili, Hindi, Arabic; and what stands in the text."""

SPACE = "(a space)"
START, END = "\N{FIRST STRONG ISOLATE}", "\N{POP DIRECTIONAL ISOLATE}"


def isolated(text: str) -> str:
    """Return text that does not turn what stands beside it around, whatever way it is read."""
    return f"{START}{text}{END}"


def main() -> None:
    """Print the likeliest pieces for each mask."""
    parser = argparse.ArgumentParser(description="Fill in [MASK] with an exported model.")
    parser.add_argument("folder", type=Path, help="the exported model")
    parser.add_argument("sentence", nargs="*", help="text with one [MASK] in it")
    parser.add_argument("--top", type=int, default=3, help="pieces to show (3)")
    arguments = parser.parse_intermixed_args()
    if not (arguments.folder / "config.json").is_file():
        parser.error(f"{arguments.folder}: there is no exported model here.")
    for sentence in arguments.sentence:
        if sentence.count("[MASK]") != 1:
            parser.error(f"{sentence!r}: write [MASK] once, where a word is missing.")

    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    from transformers import pipeline
    from transformers.utils import logging

    logging.set_verbosity_error()
    logging.disable_progress_bar()
    fill = pipeline("fill-mask", model=str(arguments.folder), top_k=arguments.top)
    texts = dict.fromkeys(arguments.sentence, "") or SENTENCES
    for text, expected in texts.items():
        told = f"   (in the text: {isolated(expected)})" if expected else ""
        print(f"{isolated(text)}{told}")
        for guess in fill(text):
            print(f"  {guess['score']:6.1%}  {isolated(guess['token_str'].strip() or SPACE)}")


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]  # whatever the locale says
    main()
