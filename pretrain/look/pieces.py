"""The pieces that a model reads, each where it stands in the text a person wrote.

A piece by itself often can't be read: an Arabic letter outside its word has another form, a vowel
sign needs its consonant, and a byte is no letter at all. So a piece is shown as the letters it is
part of, within its word, and what it adds to that is said in words.

Promises: every piece has its place in the raw text, in code points, whatever the normaliser
composed, dropped or replaced; the stretches of a text, put together, are the text.
Does not promise: words of scripts that write no spaces; a piece of theirs belongs to none.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_right
from collections.abc import Sequence, Set
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Any, Literal

import numpy as np
import regex
from numpy.typing import NDArray

from pipelines.scripts import UNSPACED

from .vocabulary import Vocabulary

Kind = Literal["text", "byte", "unknown", "space", "special"]
SPACED_ROOM, UNSPACED_ROOM = 8, 2
"""Letters of its word shown on either side of a piece."""
_BYTE = regex.compile(r"<0x([0-9A-F]{2})>")
_WORD = regex.compile(r"[\p{L}\p{M}\p{N}](?:[\p{L}\p{M}\p{N}\u200c\u200d]|['’](?=\p{L}))*")
_JOINS_ON = regex.compile(r"[\p{jt=D}\p{jt=C}]\p{jt=T}*\Z")
_JOINS_BACK = regex.compile(r"\A[\p{jt=D}\p{jt=R}\p{jt=C}]")
_ATTACHED = regex.compile(r"[\p{M}\p{Cf}]")
_TAIL, _HEAD = regex.compile(r"\S*\Z"), regex.compile(r"\S*")
_UNSEEN = regex.compile(r"[\p{Z}\p{C}]*")
ELLIPSIS, JOINER, DOTTED = "\N{HORIZONTAL ELLIPSIS}", "\N{ZERO WIDTH JOINER}", "\N{DOTTED CIRCLE}"


def _known(script: str) -> str:
    """Return a script as part of a pattern; nothing where the library is older than the script."""
    try:
        regex.compile(rf"\p{{sc={script}}}")
    except regex.error:
        return ""
    return rf"\p{{sc={script}}}"


_UNSPACED = regex.compile(f"[{''.join(map(_known, sorted(UNSPACED)))}]")


@dataclass(frozen=True)
class Piece:
    """One piece of what a model reads."""

    id: int
    token: str
    """As the vocabulary writes it."""
    kind: Kind
    source: int | None
    """0 of the text, 1 of the pair; None of neither ([CLS], [SEP])."""
    start: int
    """Its place in the source, in code points."""
    end: int
    word: int | None
    """The number of its word; None where it has no letters, or its script writes no spaces."""
    before: str
    """Of the same word, before it, as it is shown."""
    shown: str
    """The letters it is part of."""
    after: str
    note: str
    """What it is of these letters, where it isn't all of them, or what it is instead of letters."""

    @property
    def name(self) -> str:
        """Return it in one line: its letters, or what it is instead, then the note."""
        return f"{self.shown} {self.note}".strip() if self.shown.strip() else self.note


@dataclass(frozen=True)
class Stretch:
    """A stretch of a text that is marked as one; letters are never torn."""

    text: str
    pieces: tuple[int, ...]
    """Numbers of its pieces; none for what lies between them."""


def pieces_of(
    encoding: Any,  # noqa: ANN401
    sources: Sequence[str],
    *,
    special: Set[int],
    vocabulary: Vocabulary,
) -> tuple[Piece, ...]:
    """Return what a model reads of a text, or of a text and its pair.

    Args:
        encoding: of the model's tokenizer.
        sources: the texts.
        special: numbers of [CLS], [SEP], [MASK] and [PAD].
        vocabulary: of the tokenizer.
    """
    tokens, ids, owners = encoding.tokens, encoding.ids, encoding.sequence_ids
    places = _places(tokens, encoding.offsets, owners, sources, vocabulary)
    shares = _shares(places, owners)
    texts = [
        _Text(text, [places[n] for n, of in enumerate(owners) if of == owner and ids[n] in special])
        for owner, text in enumerate(sources)
    ]
    found, num_words = [], len(texts[0].words)
    for number, (token, identity, owner) in enumerate(zip(tokens, ids, owners, strict=True)):
        start, end = places[number]
        bytes_in = vocabulary.bytes_in(token)
        if owner is None or identity in special:
            shown = ("", token.strip(), "", "")
            found.append(Piece(identity, token, "special", owner, start, end, None, *shown))
            continue
        kind: Kind = "byte" if bytes_in else "text"
        if identity == vocabulary.unknown:
            kind = "unknown"
        elif not sources[owner][start:end].strip():
            kind = "space"
        before, letters, after, note = texts[owner].shown(start, end, kind=kind)
        part, of = shares[number]
        notes = [f"byte{'s' if ' ' in bytes_in else ''} {bytes_in}"] if kind == "byte" else []
        if of > 1 and kind != "space":
            notes.append(f"{part} of {of}")
        note = ", ".join(notes) or note
        word = None if kind == "space" else texts[owner].word(start, end)
        word = None if word is None else word + owner * num_words
        found.append(
            Piece(identity, token, kind, owner, start, end, word, before, letters, after, note)
        )
    return tuple(found)


def _borders(text: str) -> NDArray[np.int64]:
    """Return where graphemes begin, and the end."""
    begins = [match.start() for match in regex.finditer(r"\X", text)]
    return np.array([*begins, len(text)], dtype=np.int64)


def _places(
    tokens: Sequence[str],
    offsets: Sequence[tuple[int, int]],
    owners: Sequence[int | None],
    sources: Sequence[str],
    vocabulary: Vocabulary,
) -> list[tuple[int, int]]:
    """Return where each piece stands in its source, mended where the library is not exact.

    The library gives bytes the place of all the bytes around them, the mark of a beginning the
    place of the first letter, and a composed letter that of its base without the marks.
    """
    places = list(offsets)
    for number, (token, owner) in enumerate(zip(tokens, owners, strict=True)):
        start, end = places[number]
        if owner is None:
            places[number] = (0, 0)
        elif vocabulary.is_blank(token) and sources[owner][start:end].strip():
            places[number] = (start, start)
        elif sources[owner][start:end].strip():
            text = sources[owner][start:end]
            inner = text.strip()
            begin = start + text.index(inner)
            places[number] = (begin, begin + len(inner))
    is_byte = [_BYTE.fullmatch(token) is not None for token in tokens]
    for (of, run_is_bytes, _), run in groupby(
        range(len(tokens)), key=lambda n: (owners[n], is_byte[n], offsets[n])
    ):
        if of is not None and run_is_bytes:
            numbers = list(run)
            found = _bytes_of(places[numbers[0]], sources[of], len(numbers))
            places[numbers[0] : numbers[-1] + 1] = found
    for owner in range(len(sources)):
        own = [number for number, of in enumerate(owners) if of == owner]
        for number, follower in pairwise([*own, -1]):
            start, end = places[number]
            limit = len(sources[owner]) if follower < 0 else places[follower][0]
            while start < end < limit and _ATTACHED.fullmatch(sources[owner][end]):
                end += 1
            places[number] = (start, end)
    return places


def _bytes_of(place: tuple[int, int], text: str, num: int) -> list[tuple[int, int]]:
    """Return the place of each of a run's bytes; that of all where the raw text has others."""
    start, end = place
    sizes = [len(letter.encode("utf-8", "surrogatepass")) for letter in text[start:end]]
    if sum(sizes) != num:
        return [place] * num
    return [(at, at + 1) for at, size in enumerate(sizes, start) for _ in range(size)]


def _shares(
    places: Sequence[tuple[int, int]], owners: Sequence[int | None]
) -> list[tuple[int, int]]:
    """Return of each piece which part it is of how many with the same place."""
    found = []
    for (_, place), run in groupby(range(len(places)), key=lambda n: (owners[n], places[n])):
        num = len(list(run))
        alone = num == 1 or place[0] == place[1]
        found += [(1, 1)] * num if alone else [(at + 1, num) for at in range(num)]
    return found


class _Text:
    """A text that pieces are shown in."""

    def __init__(self, text: str, walls: Sequence[tuple[int, int]]) -> None:
        """Find its letters and words; `walls` are places of special pieces, which end a word."""
        self._text, self._walls, self._borders = text, walls, _borders(text)
        self.words = [match.span() for match in _WORD.finditer(text)]

    def word(self, start: int, end: int) -> int | None:
        """Return the number of the word that a piece begins in."""
        at = bisect_right(self.words, (start, len(self._text) + 1)) - 1
        for number in (at, at + 1):  # a piece may begin with a mark that stands before its word
            if 0 <= number < len(self.words):
                first, last = self.words[number]
                if first < max(end, start + 1) and start < last:
                    return None if _UNSPACED.search(self._text[first:last]) else number
        return None

    def shown(self, start: int, end: int, *, kind: Kind) -> tuple[str, str, str, str]:
        """Return a piece's letters within their word, and what it is of them."""
        low = max([last for _, last in self._walls if last <= start], default=0)
        high = min([first for first, _ in self._walls if first >= end], default=len(self._text))
        if kind == "space":
            return "", "", _clipped(self._text[end:high], room=2, at_end=True), "space"
        first, last = _widened(start, end, self._borders)
        first, last = max(first, low), min(last, high)
        left = first - len(_TAIL.search(self._text[low:first])[0])
        right = last + len(_HEAD.match(self._text[last:high])[0])
        room = UNSPACED_ROOM if _UNSPACED.search(self._text[left:right]) else SPACED_ROOM
        before = _clipped(self._text[left:first], room=room, at_end=False)
        after = _clipped(self._text[last:right], room=room, at_end=True)
        raw = self._text[start:end]
        note = ""
        if kind == "unknown":
            note = "unknown"
        elif _UNSEEN.fullmatch(raw):
            note = ", ".join(unicodedata.name(one, f"U+{ord(one):04X}").lower() for one in raw)
        elif (first, last) != (start, end):
            note = (DOTTED if unicodedata.category(raw[0])[0] == "M" else "") + raw
        return before, self._text[first:last], after, note


def _widened(start: int, end: int, borders: NDArray[np.int64]) -> tuple[int, int]:
    """Return the place of the whole letters that a place has a part of."""
    if start == end:
        return start, end
    first = int(borders[np.searchsorted(borders, start, side="right") - 1])
    return first, int(borders[np.searchsorted(borders, end, side="left")])


def _clipped(text: str, *, room: int, at_end: bool) -> str:
    """Return as many letters as there is room for; letters that were joined stay so at the cut."""
    text = text.partition(" ")[0] if at_end else text
    letters = regex.findall(r"\X", text)
    if len(letters) <= room + 1:
        return text
    kept = "".join(letters[:room] if at_end else letters[-room:])
    lost = "".join(letters[room:] if at_end else letters[:-room])
    left, right = (kept, lost) if at_end else (lost, kept)
    joiner = JOINER if _JOINS_ON.search(left) and _JOINS_BACK.search(right) else ""
    return kept + joiner + ELLIPSIS if at_end else ELLIPSIS + joiner + kept


def stretches(pieces: Sequence[Piece], sources: Sequence[str]) -> list[list[Stretch]]:
    """Return each source cut into what can be marked: pieces, or pieces that share letters."""
    found = []
    for owner, text in enumerate(sources):
        borders = _borders(text)
        runs: list[tuple[int, int, list[int]]] = []
        for number, piece in enumerate(pieces):
            if piece.source != owner:
                continue
            first, last = _widened(piece.start, piece.end, borders)
            if runs and first < runs[-1][1]:
                runs[-1] = runs[-1][0], max(last, runs[-1][1]), [*runs[-1][2], number]
            else:
                runs.append((first, last, [number]))
        own, at = [], 0
        for first, last, numbers in runs:
            if first > at:
                own.append(Stretch(text[at:first], ()))
            own.append(Stretch(text[first:last], tuple(numbers)))
            at = last
        if at < len(text):
            own.append(Stretch(text[at:], ()))
        found.append(own)
    return found


def is_right_to_left(texts: Sequence[str]) -> bool:
    """Tell whether most letters of the texts are of scripts written from right to left."""
    kinds = [unicodedata.bidirectional(letter) for text in texts for letter in text]
    return sum(kind in ("R", "AL") for kind in kinds) > sum(kind == "L" for kind in kinds)
