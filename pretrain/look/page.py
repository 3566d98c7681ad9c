"""The page that shows where a model's heads look: one file that opens without a network.

Promises: no request leaves the page, and text can't act on it (`pipelines.report` promises the
same, and gives style); without JavaScript it shows every head as a picture, what each head does,
the pieces and the predictions; the same facts give the same page.
Does not promise: the exact numbers: `packing` says how far the page's are from them.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import regex
from markupsafe import Markup

from pipelines import store, wording
from pipelines.report import TEMPLATES as HOUSE_TEMPLATES
from pipelines.report import environment_of

from . import packing
from .heads import BROAD, NEAR, PATTERNS, SURE, Head, title_of
from .pieces import Piece, is_right_to_left, stretches

if TYPE_CHECKING:
    from .attention import Guess, Hidden, Looked
    from .inspection import Inspection

TEMPLATES = Path(__file__).parents[1] / "templates"
TITLE_ROOM, AROUND_ROOM = 60, 40
"""Letters of the text in the heading; and on either side of a guess."""
SHORT = {
    "previous": "prev", "next": "next", "self": "self", "word": "word", "cls": "CLS", "sep": "SEP",
    "punctuation": "punct", "rare": "rare", "repeat": "same", "other": "other", "near": "near",
    "broad": "broad", "mixed": "mixed",
}  # fmt: skip
"""What a kind of head is called under a small picture."""
_HIDDEN = regex.compile(r"[[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]--[\u200c\u200d]]", regex.V1)


def write(found: Inspection, path: Path) -> None:
    """Write the page.

    Raises:
        EnvironmentProblem: the file can't be written.
    """
    store.Folder(path.resolve().parent).write_bytes(path.name, render(found).encode())


def render(found: Inspection) -> str:
    """Return the page as HTML."""
    script = (HOUSE_TEMPLATES / "report.js").read_text(encoding="utf-8")
    script = f"{{\n{script}\n}}\n" + (TEMPLATES / "inspect.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = environment_of(TEMPLATES)
    environment.filters |= {"count": wording.count, "title_of": title_of, "percent": percent}
    looked = found.looked
    packed = packing.packed(looked.weights_LHQK)
    layers = _layers(found)
    return environment.get_template("inspect.html.j2").render(
        facts=found,
        looked=looked,
        num_pieces=len(looked.pieces),
        layers=layers,
        kinds=_kinds(found.heads),
        patterns=_patterns(found.heads),
        texts=_texts(looked),
        meanings=PATTERNS,
        windows=[row[0][0].layer for row in layers if row[0][0].window is not None],
        window=next((head.window for head in found.heads if head.window is not None), None),
        title=shortened(looked.sources[0], room=TITLE_ROOM),
        rtl=is_right_to_left(looked.sources),
        masks=[_filled(looked, hidden) for hidden in looked.hidden],
        each=[(looked.pieces[one.place], one, _near_own(one)) for one in looked.each],
        lost=Counter(p.kind for p in looked.pieces if p.kind in ("byte", "unknown")),
        cutoff=packed.cutoff,
        sure=SURE,
        broad=BROAD,
        near=NEAR,
        data=_data(found, packed),
        style=Markup((HOUSE_TEMPLATES / "report.css").read_text(encoding="utf-8")),
        own_style=Markup((TEMPLATES / "inspect.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=Markup(f"sha256-{digest}"),
    )


def percent(value: float | None) -> str:
    """Return a share in percent, with as many digits as tell it from 0; a dash for none."""
    if value is None:
        return "\N{EN DASH}"
    if 0 < value < 0.0005:
        return f"<{wording.NO_BREAK_SPACE}0.1{wording.NO_BREAK_SPACE}%"
    return f"{100 * value:.{0 if value >= 0.0995 else 1}f}{wording.NO_BREAK_SPACE}%"


def shortened(text: str, *, room: int) -> str:
    """Return the beginning of a text in one line."""
    letters = regex.findall(r"\X", " ".join(text.split()))
    return "".join(letters[:room]) + ("\N{HORIZONTAL ELLIPSIS}" if len(letters) > room else "")


def _texts(looked: Looked) -> list[dict[str, Any]]:
    """Return each text as stretches, and the special pieces before and after it."""
    found: list[dict[str, Any]] = [
        {"before": [], "stretches": own, "after": []}
        for own in stretches(looked.pieces, looked.sources)
    ]
    seen = -1
    for number, piece in enumerate(looked.pieces):
        if piece.source is not None:
            seen = piece.source
        elif seen < 0:
            found[0]["before"].append(number)
        else:
            found[seen]["after"].append(number)
    return found


def _layers(found: Inspection) -> list[list[tuple[Head, str, str]]]:
    """Return by layer each head, its picture and its short name."""
    pictures = packing.thumbnails(found.looked.weights_LHQK)
    rows: list[list[tuple[Head, str, str]]] = [[] for _ in pictures]
    for head in found.heads:
        picture = pictures[head.layer - 1][head.head - 1]
        rows[head.layer - 1].append((head, picture, SHORT[head.kind]))
    return rows


def _kinds(heads: Sequence[Head]) -> list[tuple[str, int]]:
    """Return the kinds of heads there are, and how many of each, in the order of the patterns."""
    counts = Counter(head.kind for head in heads)
    return [(kind, counts[kind]) for kind in SHORT if counts[kind]]


def _patterns(heads: Sequence[Head]) -> list[str]:
    """Return the patterns that were measured: a text without a pair has no other text."""
    return [
        name for name in [*PATTERNS, "near"] if any(head.scores[name] is not None for head in heads)
    ]


def _filled(looked: Looked, hidden: Hidden) -> dict[str, Any]:
    """Return a mask as the page shows it: its guesses within the text."""
    piece = looked.pieces[hidden.place]
    text = looked.sources[piece.source or 0]
    before = regex.findall(r"\X", text[: piece.start])[-AROUND_ROOM:]
    after = regex.findall(r"\X", text[piece.end :])[:AROUND_ROOM]
    begin = "".join(before)
    return {
        "place": hidden.place,
        "before": begin,
        "after": "".join(after),
        "is_cut": (piece.start > len(begin), len("".join(after)) < len(text) - piece.end),
        "guesses": [(guess, _between(begin, guess), guess.name) for guess in hidden.guesses],
        "rest": 1 - sum(guess.probability for guess in hidden.guesses),
    }


def _between(before: str, guess: Guess) -> str:
    """Return the text before a guess as it would be with it: apart from a word that it begins."""
    before = before.rstrip()
    return before + " " if guess.begins and before else before


def _near_own(hidden: Hidden) -> list[tuple[str, float]]:
    """Return the three likeliest guesses in words."""
    return [(one.name, one.probability) for one in hidden.guesses[:3]]


def _data(found: Inspection, packed: packing.Packed) -> Markup:
    """Return what the script draws from, as JSON that can stand in a page."""
    looked = found.looked
    facts = {
        "layers": int(looked.weights_LHQK.shape[0]),
        "heads": int(looked.weights_LHQK.shape[1]),
        "windows": [head.window for head in found.heads[:: looked.weights_LHQK.shape[1]]],
        "pieces": [_row(piece) for piece in looked.pieces],
        "kinds": [[title_of(head.kind), round(head.score, 3), head.kind] for head in found.heads],
        "rtl": is_right_to_left(looked.sources),
        "weights": packed.heads,
    }
    text = json.dumps(facts, ensure_ascii=False, separators=(",", ":"))
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)  # no sign of HTML is left in it


def _row(piece: Piece) -> list[Any]:
    """Return a piece as the script has it: kind, source, and how it is shown."""
    source = -1 if piece.source is None else piece.source
    shown = [_seen(part) for part in (piece.before, piece.shown, piece.after, piece.note)]
    return [piece.kind, source, *shown]


def _seen(text: str) -> str:
    """Return text in which what can't be seen is named, so that it can't act on the page."""
    return str(_HIDDEN.sub(lambda match: f"‹U+{ord(match[0]):04X}›", text))
