"""Which characters of the raw text each piece stands for, in every script.

A tokenizer says it, but not so that text can be cut by it: a composed letter (NFC) claims the first
of the characters it was made of; bytes of a run of unknown characters claim the whole run each; a
piece that begins with a space claims the space. Here they are put right.

Promises: spans are in code points of the raw text, in order, and begin and end at no white space; a
mark belongs to the piece of its letter; a byte stands for its own character.
Does not promise: that a piece is a whole character: a letter and its mark may be two pieces.

Shapes: P pieces of a text.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import tokenizers

Spans = tuple[NDArray[np.int32], NDArray[np.int32]]
"""Where pieces begin and end, each (P,); what stands for no text is empty."""
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_SPACE = re.compile(r"[\s\u2581]")  # the latter koine's normaliser makes a space
NO_BYTE = -1


def bytes_of(tokenizer: tokenizers.Tokenizer) -> NDArray[np.int16]:
    """Return by id the byte that a piece stands for, `NO_BYTE` for other pieces."""
    vocab = tokenizer.get_vocab(with_added_tokens=True)
    found = np.full(max(vocab.values(), default=0) + 1, NO_BYTE, np.int16)
    for piece, number in vocab.items():
        if match := _BYTE.fullmatch(piece):
            found[number] = int(match[1], 16)
    return found


def spans_of(encoding: Any, text: str, byte_of: NDArray[np.int16]) -> Spans:  # noqa: ANN401
    """Return the characters that the pieces of a text stand for.

    Args:
        encoding: what the tokenizer made of the text, without special tokens.
        text: as it was given to the tokenizer.
        byte_of: from `bytes_of`.
    """
    claimed = np.array(encoding.offsets, np.int32).reshape(-1, 2)
    begins, ends = np.ascontiguousarray(claimed[:, 0]), np.ascontiguousarray(claimed[:, 1])
    if not len(begins):
        return begins, ends
    _split_runs(begins, ends, byte_of[np.array(encoding.ids, np.int64)])
    begins = np.maximum.accumulate(begins)
    ends = np.maximum.accumulate(np.maximum(ends, begins))
    _take_gaps(begins, ends, text)
    spaces = np.zeros(len(text), bool)
    spaces[[match.start() for match in _SPACE.finditer(text)]] = True
    _trim(begins, ends, spaces)
    return begins, ends


def snapped(text: str, begin: int, end: int) -> tuple[int, int]:
    """Return the span grown to whole letters: none loses a mark that stands on it."""
    while 0 < begin < end and _is_mark(text[begin]):
        begin -= 1
    while begin < end < len(text) and _is_mark(text[end]):
        end += 1
    return begin, end


def _is_mark(character: str) -> bool:
    return unicodedata.category(character)[0] == "M"


def _split_runs(
    begins: NDArray[np.int32], ends: NDArray[np.int32], values: NDArray[np.int16]
) -> None:
    """Give each byte of a run of unknown characters the character that it is of, in place."""
    wide = np.flatnonzero((values != NO_BYTE) & (ends - begins > 1))
    if not len(wide):
        return
    new = (np.diff(wide) > 1) | (np.diff(begins[wide]) != 0)
    for run in np.split(wide, np.flatnonzero(new) + 1):
        begin, end = int(begins[run[0]]), int(ends[run[0]])
        number = np.cumsum((values[run] & 0xC0) != 0x80) - 1  # of the character in the run
        if number[0] == 0 and number[-1] == end - begin - 1:  # else the normaliser changed it
            begins[run] = begin + number
            ends[run] = begins[run] + 1


def _take_gaps(begins: NDArray[np.int32], ends: NDArray[np.int32], text: str) -> None:
    """Let pieces have the characters after them that were composed into them, in place."""
    after = np.append(begins[1:], np.int32(len(text)))
    for piece in np.flatnonzero(after > ends).tolist():
        gap = text[ends[piece] : after[piece]]
        kept = gap.rstrip()
        while kept and unicodedata.category(kept[-1]) in ("Cc", "Cf", "Zs", "Zl", "Zp"):
            kept = kept[:-1]
        if kept and not gap[0].isspace():
            # Pieces that share the same characters share these, too.
            ends[ends == ends[piece]] += len(kept)


def _trim(begins: NDArray[np.int32], ends: NDArray[np.int32], spaces: NDArray[np.bool_]) -> None:
    """Take white space off both sides of each span, in place; one of nothing else is empty."""
    at = np.arange(len(spaces))
    next_text = np.minimum.accumulate(np.where(spaces, len(spaces), at)[::-1])[::-1]
    last_text = np.maximum.accumulate(np.where(spaces, -1, at))
    next_text, last_text = np.append(next_text, len(spaces)), np.append(-1, last_text)
    trimmed = np.minimum(next_text[begins], ends)
    ends[:] = np.maximum(np.minimum(last_text[ends] + 1, ends), trimmed)
    begins[:] = trimmed
