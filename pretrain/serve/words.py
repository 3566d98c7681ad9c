"""Cut running text into the words that a tagger tags, wherever they are in it.

Words are Unicode's (UAX #29, as `regex` has it). It cuts scripts that are written without spaces
into single letters, which is no word; there the tokenizer's own pieces are taken, as they fall in
the running text, which is what the network has read most. Signs of a kind in a row ("...") are one
word, and so is a possessive 's.

Promises: offsets are in code points of the text as it was given; words don't overlap, have no space
at their ends, hold everything that is visible, and split no grapheme cluster but one of a space.
Does not promise: the words of a treebank: it may part clitics ("don't", "l'homme") that are one
word here. How entities are put together: see `entities`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import regex
from numpy.typing import NDArray

from pipelines.scripts import UNSPACED

from ..tasks.offsets import spans_of

if TYPE_CHECKING:
    import tokenizers

Span = tuple[int, int]
_BORDER = regex.compile(r"\b", regex.WORD | regex.V1)
_CLUSTER = regex.compile(r"\X")
_POSSESSIVE = regex.compile(r"(?<=\p{L})['’][sS]\Z")


@cache
def _unspaced() -> Any:  # noqa: ANN401
    """Return the pattern of a run in scripts without spaces."""
    scripts = []
    for name in sorted(UNSPACED):
        try:
            regex.compile(rf"\p{{Script={name}}}")
        except regex.error:  # younger than the library's tables
            continue
        scripts.append(rf"\p{{Script={name}}}")
    letters = "".join([*scripts, "ー々〆"])
    return regex.compile(rf"[{letters}][{letters}\p{{M}}\u200c\u200d]*")


def words_of(
    text: str, tokenizer: tokenizers.Tokenizer, *, byte_of: NDArray[np.int16]
) -> list[Span]:
    """Return where each word begins and ends.

    Args:
        text: to be cut.
        tokenizer: whose pieces are taken where there are no spaces.
        byte_of: of `tasks.offsets.bytes_of`.
    """
    borders = {0, len(text), *(found.start() for found in _BORDER.finditer(text))}
    clusters = {found.start() for found in _CLUSTER.finditer(text)} | {len(text)}
    borders &= clusters
    for run in _unspaced().finditer(text):
        begin, end = run.span()
        inside = set(range(begin + 1, end))
        starts = _piece_starts(run.group(), tokenizer, byte_of)
        borders -= {at for at in inside if at - begin not in starts}
        borders |= {begin, end} & clusters
    places = sorted(borders)
    found = [
        (begin, end)
        for begin, end in pairwise(places)
        if any(_is_visible(character) for character in text[begin:end])
    ]
    return _mended(text, found)


def _piece_starts(
    run: str, tokenizer: tokenizers.Tokenizer, byte_of: NDArray[np.int16]
) -> set[int]:
    """Return where pieces of a run begin; anywhere in what the tokenizer doesn't know."""
    encoding = tokenizer.encode(run, add_special_tokens=False)
    begins, ends = spans_of(encoding, run, byte_of)
    starts = set(begins[ends > begins].tolist())
    for piece, begin, end in zip(encoding.tokens, begins.tolist(), ends.tolist(), strict=True):
        if piece in ("[UNK]", "<unk>"):
            starts |= set(range(begin, end))
    return starts


def _is_visible(character: str) -> bool:
    return not character.isspace() and unicodedata.category(character) not in ("Cc", "Cf")


def _mended(text: str, spans: Sequence[Span]) -> list[Span]:
    """Return words with signs in a row made one, spaces at ends taken off, and 's set apart."""
    found: list[Span] = []
    for begin, end in spans:
        word = text[begin:end]
        begin, end = begin + len(word) - len(word.lstrip()), end - len(word) + len(word.rstrip())
        word = text[begin:end]
        is_sign = unicodedata.category(word[0])[0] in "PS"
        if is_sign and found and found[-1][1] == begin and len(set(text[found[-1][0] : end])) == 1:
            found[-1] = found[-1][0], end
        elif possessive := _POSSESSIVE.search(word):
            found += [(begin, begin + possessive.start()), (begin + possessive.start(), end)]
        else:
            found.append((begin, end))
    return found


def entities(
    text: str, words: Sequence[Span], tags: Sequence[str], scores: Sequence[float]
) -> list[dict[str, Any]]:
    """Return the entities of a text whose words are tagged in BIO.

    An I- that continues nothing begins an entity, as conlleval reads it. Where two of a type touch,
    without a space, in a script that has none, they are one: the network was tuned on words, of
    which pieces are the parts.

    Args:
        text: as it was given.
        words: where they are.
        tags: of the words.
        scores: of the tags.

    Returns:
        `type`, `text`, `start` and `end` in code points, `score`: the mean of its words'.
    """
    found: list[tuple[str, int, int, list[float]]] = []
    before = "O"
    for (begin, end), tag, score in zip(words, tags, scores, strict=True):
        kind = tag[2:] if tag[:2] in ("B-", "I-") else None
        if kind is None:
            before = "O"
            continue
        last = found[-1] if found and before == kind else None
        if last and (tag[0] == "I" or _touch(text, last[2], begin)):
            found[-1] = kind, last[1], end, [*last[3], score]
        else:
            found.append((kind, begin, end, [score]))
        before = kind
    return [
        {
            "type": kind,
            "text": text[begin:end],
            "start": begin,
            "end": end,
            "score": sum(parts) / len(parts),
        }
        for kind, begin, end, parts in found
    ]


def _touch(text: str, end: int, begin: int) -> bool:
    """Tell whether nothing parts two words, in a script without spaces."""
    return end == begin and bool(_unspaced().fullmatch(text[end - 1 : begin + 1]))
