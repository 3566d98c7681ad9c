"""Words that are tagged one by one: a word is judged by its first piece.

A sentence is given as words, and between words of running text there may be a space or none. Where
a vocabulary marks the space before a word (SentencePiece's U+2581), words are encoded as they stand
in text: without it in scripts that have no spaces, before closing punctuation, after opening.

Promises: each word is judged in exactly one sequence, whatever its length; a sentence that is too
long goes on in further sequences, which begin at words; a word that the tokenizer makes nothing of
is an unknown piece. Each different word is encoded one time.
Does not promise: the spaces that the text had; words come without.

Shapes: W words of all sentences, U different ones, S sequences, F pieces of all sequences.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import regex
from numpy.typing import NDArray

from pipelines.scripts import UNSPACED

from ..models import Model
from ..ragged import starts_of, take
from .encode import CHUNK, flatten, numbers_of
from .features import IGNORED, Features

if TYPE_CHECKING:
    import tokenizers

_CLOSING = regex.compile(r"[\p{Pe}\p{Pf}.,;:!?…%。、，．：；！？।॥۔،؛؟։՝።፣፤፥፦፧་།༎၊။។៕๚๛°]+")
_OPENING = regex.compile(r"[\p{Ps}\p{Pi}¿¡#@]+")


@cache
def _unspaced() -> tuple[Any, Any]:
    """Return patterns of a word that begins, and of one that ends, in a script without spaces."""
    scripts = []
    for name in sorted(UNSPACED):
        try:
            regex.compile(rf"\p{{Script={name}}}")
        except regex.error:  # younger than the library's tables
            continue
        scripts.append(rf"\p{{Script={name}}}")
    letters = "".join([*scripts, "ー々〆"])
    return regex.compile(f"[{letters}]"), regex.compile(rf".*[{letters}]\p{{M}}*", regex.DOTALL)


def encode(table: pa.Table, model: Model, *, targets: Sequence[str], max_length: int) -> Features:
    """Return the sequences of sentences.

    Args:
        table: columns `words`, and where there are any `tags`.
        model: whose tokenizer is taken.
        targets: names of the tags; a word of another one is `IGNORED`.
        max_length: pieces of a sequence at the most, special ones counted.
    """
    words, counts = _flat(table["words"])
    first_S = np.zeros(len(words), bool)
    begins = starts_of(counts)[:-1]
    first_S[begins[counts > 0]] = True
    pieces, starts, of_word = _pieces(words, first_S, model)
    room = max_length - 2
    lengths_W = np.minimum(np.diff(starts)[of_word], room)
    sentence_W = np.repeat(np.arange(len(counts)), counts)
    sequence_W, rows = _sequences(sentence_W, lengths_W, num=len(counts), room=room)
    num = len(rows)
    lengths = np.bincount(sequence_W, weights=lengths_W, minlength=num).astype(np.int64) + 2
    offsets = starts_of(lengths)

    # A word's first piece: after those of all words before it, and 2 special ones a sequence.
    at_W = starts_of(lengths_W)[:-1] + 2 * sequence_W + 1
    ids = np.full(offsets[-1], model.sep, np.int32)
    ids[offsets[:-1]] = model.cls
    inner = np.ones(len(ids), bool)
    inner[offsets[:-1]] = inner[offsets[1:] - 1] = False
    ids[inner] = take(pieces, starts[:-1][of_word], lengths_W)
    number_W = np.arange(len(words)) - begins[sentence_W]
    placed = np.full(len(ids), -1, np.int32)
    placed[at_W] = number_W
    wanted = np.full(len(ids), IGNORED, np.int64)
    if "tags" in table.column_names:
        tags, _ = _flat(table["tags"])
        wanted[at_W] = numbers_of(tags, targets, other=IGNORED)
    return Features(
        ids=ids,
        offsets=offsets,
        rows=rows,
        targets=wanted,
        types=np.zeros(len(ids), np.int8) if model.takes_types else None,
        extra={"words": placed, "num_cut": int((np.bincount(rows) > 1).sum()) if num else 0},
    )


def decode(
    logits: NDArray[np.float32], features: Features, *, targets: Sequence[str]
) -> list[list[str]]:
    """Return the likeliest tag of each word of each sentence; logits are (F, tags)."""
    if not len(features):
        return []
    is_first = features.extra["words"] >= 0
    best = logits[is_first].argmax(axis=1)
    rows = np.repeat(features.rows, features.lengths)[is_first]
    counts = np.bincount(rows, minlength=int(features.rows[-1]) + 1)
    tags = np.array(list(targets), dtype=object)[best].tolist()
    ends = np.cumsum(counts).tolist()
    return [tags[end - num : end] for end, num in zip(ends, counts.tolist(), strict=True)]


def _flat(column: pa.ChunkedArray) -> tuple[pa.Array, NDArray[np.int64]]:
    """Return the strings of all lists, and how many each list has."""
    counts = pc.fill_null(pc.list_value_length(column), 0)
    values = pc.cast(pc.list_flatten(column), pa.string())
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], pa.string())
    return values, np.asarray(counts.to_numpy(), dtype=np.int64)


def _pieces(
    words: pa.Array, first_W: NDArray[np.bool_], model: Model
) -> tuple[NDArray[np.int32], NDArray[np.int64], NDArray[np.int64]]:
    """Return the pieces of the different words, where each begins (U + 1), and which each word is.

    A word that stands both with and without a space before it counts as two.
    """
    coded = words.dictionary_encode()
    different = coded.dictionary.to_pylist()
    of_word = np.asarray(coded.indices.to_numpy(zero_copy_only=False), dtype=np.int64)
    plain = _without_space(model.tokenizer)
    if plain is None:
        pieces, starts = flatten(_encoded(different, model.tokenizer))
        return *_never_empty(pieces, starts, model), of_word
    begins, ends = _unspaced()
    closing, opening, from_left, to_right = (
        np.array([bool(found(word)) for word in different], dtype=bool)
        for found in (_CLOSING.fullmatch, _OPENING.fullmatch, begins.match, ends.fullmatch)
    )
    joined = closing[of_word].copy()
    joined[1:] |= opening[of_word[:-1]] | (to_right[of_word[:-1]] & from_left[of_word[1:]])
    joined &= ~first_W
    key, of_word = np.unique(of_word * 2 + joined, return_inverse=True)
    spaced = [different[number] for number in (key[key % 2 == 0] // 2).tolist()]
    bare = [different[number] for number in (key[key % 2 == 1] // 2).tolist()]
    pieces, starts = flatten([*_encoded(spaced, model.tokenizer), *_encoded(bare, plain)])
    # `spaced` words come first in the flat array, and in turn by number within each kind.
    place = np.empty(len(key), np.int64)
    place[key % 2 == 0] = np.arange(len(spaced))
    place[key % 2 == 1] = len(spaced) + np.arange(len(bare))
    return *_never_empty(pieces, starts, model), place[of_word.reshape(-1)]


def _encoded(words: list[str], tokenizer: tokenizers.Tokenizer) -> Iterator[Sequence[Any]]:
    for start in range(0, len(words), CHUNK):
        yield tokenizer.encode_batch_fast(words[start : start + CHUNK], add_special_tokens=False)


def _never_empty(
    pieces: NDArray[np.int32], starts: NDArray[np.int64], model: Model
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Return the same with an unknown piece for each word that has none."""
    lengths = np.diff(starts)
    empty = np.flatnonzero(lengths == 0)
    if not len(empty):
        return pieces, starts
    unknown = model.tokenizer.token_to_id("[UNK]")
    filled = np.insert(pieces, starts[empty], model.pad if unknown is None else unknown)
    lengths[empty] = 1
    return filled.astype(np.int32), starts_of(lengths)


def _without_space(tokenizer: tokenizers.Tokenizer) -> tokenizers.Tokenizer | None:
    """Return the tokenizer with no space put before a text; None where it never puts one."""
    import tokenizers

    whole = json.loads(tokenizer.to_str())
    if not _strip(whole.get("pre_tokenizer")):
        return None
    return tokenizers.Tokenizer.from_str(json.dumps(whole, ensure_ascii=False))


def _strip(part: Any) -> bool:  # noqa: ANN401
    """Take the space off a pre-tokenizer, as tokenizer.json has it; tell whether it had one."""
    if not isinstance(part, dict):
        return False
    if part.get("type") == "Sequence":
        stripped = [_strip(inner) for inner in part["pretokenizers"]]  # all of them, not the first
        return any(stripped)
    if part.get("type") == "Metaspace" and part.get("prepend_scheme") != "never":
        part["prepend_scheme"] = "never"
        return True
    if part.get("type") == "ByteLevel" and part.get("add_prefix_space"):
        part["add_prefix_space"] = False
        return True
    return False


def _sequences(
    sentence_W: NDArray[np.int64], lengths_W: NDArray[np.int64], *, num: int, room: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the sequence of each word, and the sentence of each sequence."""
    total = np.bincount(sentence_W, weights=lengths_W, minlength=num)
    part_W = np.zeros(len(sentence_W), np.int64)  # of its sentence
    for sentence in np.flatnonzero(total > room).tolist():
        first, last = np.searchsorted(sentence_W, [sentence, sentence + 1]).tolist()
        part, used = 0, 0
        for word in range(first, last):
            if used + lengths_W[word] > room:
                part, used = part + 1, 0
            used += int(lengths_W[word])
            part_W[word] = part
    parts = np.ones(num, np.int64)
    np.maximum.at(parts, sentence_W, part_W + 1)
    return starts_of(parts)[sentence_W] + part_W, np.repeat(np.arange(num), parts)
