"""Take pieces out of a tokenizer so that the text it is kept for is cut exactly as before.

Which pieces have to stay, beside those that occur in the text:

    all kinds    added tokens, the unknown piece, byte pieces, a lone space mark; single characters
                 of the languages' scripts, so that no text of theirs becomes unreadable
    Unigram      the piece with the lowest score: unknown characters are charged by it. Whatever
                 else is taken away never was on the best path, which stays the best.
    BPE          what a piece is joined from. A piece is joined inside a word as it is alone, since
                 no join ever crossed its border; so its own joins are replayed, and all that
                 appears meanwhile stays. Joins that never happened only ever lost.
    WordPiece    what a word is begun with before it turns out to be unknown: without it a shorter
                 beginning would be tried, which might succeed.

Promises: the order of the pieces stays, so ids that were 0, 1, 2 ... without a gap stay so.
Does not promise: text of other languages: it comes as single characters, bytes or unknown pieces.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import DataError
from pipelines.languages import scripts_of_label

if TYPE_CHECKING:
    import tokenizers

KINDS = ("Unigram", "BPE", "WordPiece")
WORD_START = "\u2581"
SCRIPT_SHARE = 0.01
"""Of a language's letters: a script of its label that has fewer isn't one that it is written in
(Hanja in a Korean text)."""
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
Value = dict[str, Any]


def value_of(tokenizer: tokenizers.Tokenizer, *, place: str) -> Value:
    """Return tokenizer.json of a tokenizer.

    Raises:
        DataError: it is of a kind that can't be trimmed.
    """
    value: Value = json.loads(tokenizer.to_str())
    kind = value["model"].get("type")
    if kind not in KINDS:
        raise DataError(
            f"{place}: the tokenizer is of the kind {kind!r}.\n"
            f"  Only {', '.join(KINDS)} can be trimmed."
        )
    return value


def names_of(value: Value) -> list[str | None]:
    """Return the pieces by id, added tokens among them; None where an id stands for nothing."""
    vocab = value["model"]["vocab"]
    pairs = (
        [(number, piece) for number, (piece, _) in enumerate(vocab)]
        if value["model"]["type"] == "Unigram"
        else [(number, piece) for piece, number in vocab.items()]
    )
    pairs += [(one["id"], one["content"]) for one in value["added_tokens"]]
    names: list[str | None] = [None] * (1 + max(number for number, _ in pairs))
    for number, piece in pairs:
        names[number] = piece
    return names


def kept(
    value: Value,
    counts: Mapping[str, NDArray[np.int64]],
    *,
    also: Iterable[int] = (),
    begun: Iterable[str] = (),
) -> NDArray[np.int64]:
    """Return the ids that have to stay, in order.

    Args:
        value: tokenizer.json.
        counts: by label, how often each id occurs in its text.
        also: other ids that stay: what the model calls its special ones.
        begun: WordPiece: pieces that unknown words were begun with, see `beginnings`.
    """
    names = names_of(value)
    ids = {piece: number for number, piece in enumerate(names) if piece is not None}
    used = np.sum(list(counts.values()), axis=0)[: len(names)] > 0
    stay = {number for number in np.flatnonzero(used).tolist() if names[number] is not None}
    stay |= {number for number in also if number < len(names)}
    stay |= {one["id"] for one in value["added_tokens"]}
    stay |= {number for piece, number in ids.items() if _BYTE.fullmatch(piece)}
    stay |= {ids[piece] for piece in begun if piece in ids}
    model = value["model"]
    prefix = model.get("continuing_subword_prefix") or ""
    for label, own in counts.items():
        for character in characters(names, own[: len(names)], label, prefix=prefix):
            stay |= {ids[piece] for piece in (character, prefix + character) if piece in ids}
    if WORD_START in ids:
        stay.add(ids[WORD_START])
    if model["type"] == "Unigram":
        if model["unk_id"] is not None:
            stay.add(model["unk_id"])
        scores = [score for _, score in model["vocab"]]
        stay.add(int(np.argmin(scores)))
    elif model.get("unk_token") in ids:
        stay.add(ids[model["unk_token"]])
    if model["type"] == "BPE":
        if _uses(value, "ByteLevel"):
            from tokenizers.pre_tokenizers import ByteLevel

            stay |= {ids[one] for one in ByteLevel.alphabet() if one in ids}
        joined = _Joins(model)
        for number in sorted(stay):
            piece = names[number]
            if piece is not None and piece in model["vocab"]:
                stay |= {ids[one] for one in joined.within(piece) if one in ids}
    return np.array(sorted(stay), dtype=np.int64)


def is_byte(piece: str) -> bool:
    """Tell whether a piece stands for a byte."""
    return _BYTE.fullmatch(piece) is not None


def characters(
    names: Sequence[str | None], counts: NDArray[np.int64], label: str, *, prefix: str
) -> set[str]:
    """Return the single characters among the pieces that a language's scripts have.

    A script of the label counts where at least `SCRIPT_SHARE` of the text's letters are of it.
    """
    used = [
        (names[number] or "", int(counts[number])) for number in np.flatnonzero(counts).tolist()
    ]
    letters = _pattern("L")
    total = sum(num * len(letters.findall(piece)) for piece, num in used)
    found: set[str] = set()
    single = {
        bare
        for piece in names
        if piece and len(bare := piece.removeprefix(prefix) if prefix else piece) == 1
    }
    for script in scripts_of_label(label):
        pattern = _pattern(f"Script={script}")
        if pattern is None:
            continue
        own = sum(num * len(pattern.findall(piece)) for piece, num in used)
        if own and own >= SCRIPT_SHARE * total:
            found |= {one for one in single if pattern.fullmatch(one)}
    return found | {one for one in single if one.isascii() and one.isprintable()}


@cache
def _pattern(name: str) -> Any:  # noqa: ANN401
    import regex

    try:
        return regex.compile(rf"\p{{{name}}}")
    except regex.error:  # a script younger than the library's tables
        return None


def beginnings(words: Iterable[str], model: Mapping[str, Any]) -> set[str]:
    """Return the pieces that a WordPiece model begins words with before giving them up.

    Args:
        words: after normalising and splitting.
        model: that of tokenizer.json.
    """
    vocab, prefix = model["vocab"], model["continuing_subword_prefix"]
    found: set[str] = set()
    for word in words:
        begin, pieces = 0, []
        while begin < len(word):
            start = prefix if begin else ""
            ends = range(len(word), begin, -1)
            end = next((end for end in ends if start + word[begin:end] in vocab), None)
            if end is None:
                break
            pieces.append(start + word[begin:end])
            begin = end
        if begin < len(word):
            found.update(pieces)
    return found


class _Joins:
    """Replays how pieces are joined."""

    def __init__(self, model: Mapping[str, Any]) -> None:
        self.prefix: str = model.get("continuing_subword_prefix") or ""
        self.suffix: str = model.get("end_of_word_suffix") or ""
        pairs = (tuple(one) if isinstance(one, list) else one.split(" ") for one in model["merges"])
        self.ranks = {pair: rank for rank, pair in enumerate(map(tuple, pairs))}

    def within(self, piece: str) -> set[str]:
        """Return what appears while a piece is joined, its characters among it."""
        symbols = self._symbols(piece)
        found = set(symbols)
        while len(symbols) > 1:
            ranked = [
                (self.ranks[pair], at)
                for at, pair in enumerate(pairwise(symbols))
                if pair in self.ranks
            ]
            if not ranked:
                break  # it is never made of others: an added token
            _, at = min(ranked)
            symbols[at : at + 2] = [self.joined(symbols[at], symbols[at + 1])]
            found.add(symbols[at])
        return found

    def joined(self, left: str, right: str) -> str:
        """Return the piece that two make."""
        return left + right[len(self.prefix) :]

    def _symbols(self, piece: str) -> list[str]:
        begun = bool(self.prefix) and piece.startswith(self.prefix)
        text = piece[len(self.prefix) :] if begun else piece
        ends = bool(self.suffix) and text.endswith(self.suffix)
        text = text[: -len(self.suffix)] if ends else text
        symbols = [
            (self.prefix if at or begun else "") + character for at, character in enumerate(text)
        ]
        if ends and symbols:
            symbols[-1] += self.suffix
        return symbols


def trimmed(value: Value, ids: NDArray[np.int64]) -> Value:
    """Return tokenizer.json with these pieces alone.

    Args:
        value: the whole one; left as it is.
        ids: what `kept` returned.
    """
    place = {old: new for new, old in enumerate(ids.tolist())}
    found = copy.deepcopy(value)
    model = found["model"]
    if model["type"] == "Unigram":
        size = len(model["vocab"])
        model["vocab"] = [model["vocab"][old] for old in ids.tolist() if old < size]
        if model["unk_id"] is not None:
            model["unk_id"] = place[model["unk_id"]]
    else:
        vocab = {piece: place[old] for piece, old in model["vocab"].items() if old in place}
        model["vocab"] = dict(sorted(vocab.items(), key=lambda one: one[1]))
    if model["type"] == "BPE":
        joins = _Joins(model)
        model["merges"] = [
            list(pair)
            for pair in joins.ranks
            if all(one in vocab for one in (*pair, joins.joined(*pair)))
        ]
    for one in found["added_tokens"]:
        one["id"] = place[one["id"]]
    if found.get("padding"):
        found["padding"]["pad_id"] = place[found["padding"]["pad_id"]]
    _renumber(found.get("post_processor"), place)
    return found


def trimmed_model(data: bytes, ids: NDArray[np.int64]) -> bytes:
    """Return spm.model with these pieces alone, as koine writes such files."""
    from dataclasses import replace

    from tokenizer.spm_format import parse, serialise

    model = parse(data, place="spm.model")
    pieces = [model.pieces[old] for old in ids.tolist() if old < len(model.pieces)]
    # Field 4 of the trainer's settings is the size.
    return serialise(replace(model, pieces=pieces, trainer={**model.trainer, 4: len(pieces)}))


def _renumber(part: Any, place: Mapping[int, int]) -> None:  # noqa: ANN401
    """Put new ids into a post-processor, in place."""
    if not isinstance(part, dict):
        return
    if part.get("type") == "Sequence":
        for inner in part["processors"]:
            _renumber(inner, place)
    for name in ("sep", "cls"):  # of BertProcessing and RobertaProcessing
        if isinstance(part.get(name), list):
            part[name] = [part[name][0], place[part[name][1]]]
    if part.get("type") == "TemplateProcessing":
        for special in part["special_tokens"].values():
            special["ids"] = [place[old] for old in special["ids"]]


def _uses(value: Value, kind: str) -> bool:
    return f'"type": "{kind}"' in json.dumps(value.get("pre_tokenizer"))
