"""Make text harmless to a terminal: shown, and not obeyed.

Control characters become escapes. Lines are isolated (U+2068 ... U+2069) where they stand beside
other text, so that right-to-left text does not reorder its surroundings.
"""

from __future__ import annotations

import unicodedata

FIRST_STRONG_ISOLATE, POP_ISOLATE = "\u2068", "\u2069"
_OBEYED = ("Cc", "Cs", "Zl", "Zp")  # controls, lone surrogates, separators that end an isolate
_BIDI_CONTROLS = "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"


def safe(text: str) -> str:
    r"""Return text that a terminal shows and does not obey.

    >>> safe("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    shown = []
    for character in text:
        category = unicodedata.category(character)
        if character != "\n" and (category in _OBEYED or character in _BIDI_CONTROLS):
            shown.append(character.encode("unicode_escape").decode())
        else:
            shown.append(character)
    return "".join(shown)


def isolated(text: str) -> str:
    """Return text made safe, each line isolated from its surroundings."""
    lines = safe(text).split("\n")
    return "\n".join(FIRST_STRONG_ISOLATE + line + POP_ISOLATE for line in lines)
