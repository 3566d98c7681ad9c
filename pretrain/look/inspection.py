"""A look inside a model: it reads a text, and what was seen is put together for a page.

Promises: what is on the page is what `attention.Reader` returned; heads are judged by all texts
that were given, the one shown among them.
Does not promise: speed. Eager attention over every head costs several times a plain reading.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines import languages, wording
from pipelines.errors import ConfigError, DataError

from .. import models
from .attention import Hidden, Looked, Reader
from .heads import Head, title_of


@dataclass(frozen=True)
class Inspection:
    """What was seen in a model."""

    model: str
    looked: Looked
    heads: Sequence[Head]
    num_texts: int
    """Texts that the heads were judged by."""
    num_pieces: int
    fills: bool
    """Whether the model can say what it expects under a mask."""
    task: str | None
    """What it was tuned for."""
    max_length: int
    """Pieces that are read at most."""
    is_cut_by_room: bool = False
    """Whether that is fewer than the model reads."""
    language: str = ""
    """BCP 47 tag of the text, for its fonts; empty where it isn't known."""


def inspect(
    folder: str | Path,
    text: str | None = None,
    *,
    pair: str | None = None,
    texts: Sequence[str] = (),
    top: int = 10,
    hide_each: bool = False,
    label: str | None = None,
    watch: Callable[[int, int], None] | None = None,
) -> Inspection:
    """Look inside a model that reads a text.

    Args:
        folder: of the model.
        text: what is shown; the first of `texts` when left out.
        pair: a second text.
        texts: more texts that the heads are judged by.
        top: guesses kept of each mask.
        hide_each: say what is expected at each piece when only it is hidden.
        label: language of the text, for its fonts.
        watch: told how many texts are read, and of how many, after each.

    Raises:
        ConfigError: no text, no such language, or `hide_each` of a model that fills in no masks.
        DataError: the folder holds no model that koine knows, or a text has nothing to read.
    """
    more = [one for one in texts if one.strip()]
    if text is None:
        if not more:
            raise ConfigError("There is no text to look at.\n  Give one after the model.")
        text, *more = more
    language = _language(label)
    model = models.open_model(folder)
    reader = Reader(model)
    looked = reader.look(text, pair=pair, top=top, hide_each=hide_each)
    tally = reader.tally()
    reader.count(tally, looked)
    for number, one in enumerate(more, 1):
        try:
            reader.count(tally, reader.look(one))
        except DataError:  # of nothing that is read, such as controls alone
            continue
        finally:
            if watch is not None:
                watch(number, len(more))
    return Inspection(
        model=model.name,
        looked=looked,
        heads=tally.heads(),
        num_texts=tally.num_texts,
        num_pieces=tally.num_pieces,
        fills=reader.fills,
        task=(model.task or {}).get("task"),
        max_length=reader.max_length,
        is_cut_by_room=reader.max_length < model.max_length,
        language=language,
    )


def _language(label: str | None) -> str:
    if label is None:
        return ""
    if (found := languages.parse_label(label)) is None:
        raise ConfigError(
            f"--label {label}: is not a language label.\n"
            "  Labels are ISO 639-3 and script, such as arb_Arab or jpn_Jpan."
        )
    return wording.bcp47(found)


def facts(found: Inspection) -> dict[str, Any]:
    """Return what was seen as plain values, without the weights."""
    looked = found.looked
    return {
        "model": found.model,
        "text": looked.sources[0],
        "pair": looked.sources[1] if len(looked.sources) > 1 else None,
        "pieces": [
            {
                "token": piece.token, "id": piece.id, "kind": piece.kind, "source": piece.source,
                "start": piece.start, "end": piece.end, "word": piece.word,
            }
            for piece in looked.pieces
        ],
        "left_out": looked.cut,
        "measured_over": {"texts": found.num_texts, "pieces": found.num_pieces},
        "heads": [
            {
                "layer": head.layer, "head": head.head, "kind": head.kind, "title":
                title_of(head.kind), "score": head.score, "scores": dict(head.scores),
                "shares": dict(head.shares), "evenness": head.evenness,
                "distance": head.distance, "window": head.window,
            }
            for head in found.heads
        ],
        "masks": [_hidden(one) for one in looked.hidden] if found.fills else None,
        "each": [_hidden(one) for one in looked.each] or None,
        "decision": looked.decision or None,
    }  # fmt: skip


def _hidden(one: Hidden) -> dict[str, Any]:
    found: dict[str, Any] = {
        "place": one.place,
        "guesses": [
            {"token": g.token, "text": g.name, "probability": g.probability} for g in one.guesses
        ],
    }
    return found if one.own is None else found | {"probability": one.own, "rank": one.rank}
