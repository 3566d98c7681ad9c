"""Tags of spans: which scheme they are in, made BIO, and mended where they can't be.

    BIO    B-PER I-PER O          what koine learns and judges
    IOB1   I-PER I-PER O          B- only where a span follows another of its type
    BIOES  B-PER E-PER S-LOC O    also called IOBES; BILOU writes L and U

An I- that continues nothing begins a span, as conlleval reads it.

Promises: after `mend` every I- follows a B- or I- of its type, in its own sentence; spans are those
that conlleval finds in what was given.
Source of the rule: conlleval.pl of the CoNLL-2000 shared task (Tjong Kim Sang and Buchholz).

Shapes: W words of all sentences.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import DataError

_SPAN = re.compile(r"([BIESLU])-(.+)")
_LIKE_SPAN = re.compile(r"(?i)[biesluodm][-_:|/].+|.+[-_:|/][biesludm]|[bielusd]")
_AS = {"B": "B", "S": "B", "U": "B", "I": "I", "E": "I", "L": "I"}


@dataclass(frozen=True)
class Mended:
    """Tags in BIO, and what was done to them."""

    tags: pa.ListArray
    num_broken: int
    """Tags that could continue nothing and begin a span now."""
    first: tuple[int, int] | None
    """Sentence and word of the first of them."""
    was: str
    """BIO, IOB1 or BIOES."""


def is_spans(distinct: Sequence[str], *, place_of: Callable[[str], str]) -> bool:
    """Tell tags of spans from plain ones, such as parts of speech.

    Args:
        distinct: all tags that there are.
        place_of: tag → where it is first met, for the error.

    Raises:
        DataError: they are of spans, and some of no scheme that koine knows.
    """
    spans = [tag for tag in distinct if _SPAN.fullmatch(tag)]
    others = sorted(tag for tag in distinct if tag != "O" and not _SPAN.fullmatch(tag))
    if "O" in distinct and others and (spans or all(_LIKE_SPAN.fullmatch(tag) for tag in others)):
        raise DataError(
            f"{place_of(others[0])}: there are tags of spans, but "
            f"{', '.join(map(repr, others[:5]))} is of no scheme.\n"
            "  koine reads BIO, IOB1, BIOES (IOBES) and BILOU: a prefix, a hyphen and the type, as"
            " in B-PER; words outside are O."
        )
    return not others and (bool(spans) or set(distinct) == {"O"})


def mend(tags: pa.ListArray) -> Mended:
    """Return tags of spans in BIO."""
    encoded = pc.dictionary_encode(tags.flatten())
    distinct: list[str] = encoded.dictionary.to_pylist()
    prefixes, kinds = [], []
    types: dict[str, int] = {}
    for tag in distinct:
        found = _SPAN.fullmatch(tag)
        prefixes.append(found[1] if found else "O")
        kinds.append(types.setdefault(found[2], len(types)) if found else -1)
    codes_W = encoded.indices.to_numpy(zero_copy_only=False)
    kind_W = np.array([*kinds, -1])[codes_W]
    begins_W = np.array([_AS.get(one) == "B" for one in [*prefixes, "O"]])[codes_W]
    starts = tags.offsets.to_numpy()[:-1] - tags.offsets[0].as_py()
    before_W = np.roll(kind_W, 1)
    lengths = pc.list_value_length(tags).to_numpy(zero_copy_only=False)
    before_W[starts[lengths > 0]] = -1
    lost_W = (kind_W >= 0) & ~begins_W & (before_W != kind_W)
    is_ies = bool(set(prefixes) & set("ESLU"))
    # In IOB1 a B- only parts two spans of one type.
    apart = bool(np.any(begins_W & (before_W != kind_W)))
    was = "BIOES" if is_ies else "IOB1" if lost_W.any() and not apart else "BIO"
    names = list(types)
    table = np.array(["O", *(f"{p}-{name}" for name in names for p in "BI")], dtype=object)
    index_W = np.where(kind_W < 0, 0, 1 + 2 * kind_W + ~(begins_W | lost_W))
    places = np.flatnonzero(lost_W)
    first = None
    if len(places):
        sentence = int(np.searchsorted(starts, places[0], side="right")) - 1
        first = sentence, int(places[0] - starts[sentence])
    flat = pa.DictionaryArray.from_arrays(pa.array(index_W, pa.int32()), pa.array(table.tolist()))
    return Mended(
        tags=pa.ListArray.from_arrays(
            pa.array(np.append(starts, len(codes_W)), pa.int32()), flat.dictionary_decode()
        ),
        num_broken=len(places),
        first=first,
        was=was,
    )
