"""The language of each example: from the user, a column or the file's name, to koine's labels.

Promises: what is no language counts as `und`, and is told with its number and first place. A
language whose script isn't stated gets that of its texts, all that a file has of it together.
Does not promise: that a text is in the language that its source states.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipelines.han import han_script
from pipelines.languages import complete_label, parse_label, script_of

LABEL = pa.dictionary(pa.int32(), pa.string())
UNKNOWN = "und"
"""The label where no language is stated."""
SCRIPTS = {
    "Latn": r"[A-Za-zÀ-ɏḀ-ỿ]", "Cyrl": r"[Ѐ-ԯ]", "Arab": r"[ؠ-ۿݐ-ݿ]", "Deva": r"[ऀ-ॿ]",
    "Hani": r"[一-鿿]", "Grek": r"[Ͱ-Ͽ]", "Hebr": r"[א-ת]", "Guru": r"[਀-੿]", "Tfng": r"[ⴰ-⵿]",
    "Mong": r"[ᠠ-ᡸ]", "Beng": r"[ঀ-৿]",
}  # fmt: skip
"""Scripts that languages of several scripts are written in, and letters of them."""
_CHINESE = ("zho", "yue", "lzh", "wuu")
_SAMPLE = 200
"""Texts that a file's script is told by."""


@dataclass(frozen=True)
class Unknown:
    """What a source states and is no language."""

    code: str
    num: int
    first: int
    """Row of the first."""


def labels_of(codes: pa.Array, texts: pa.ChunkedArray) -> tuple[pa.Array, list[Unknown]]:
    """Return the label of each example, as `LABEL`, and what was no language.

    Args:
        codes: strings as the source writes them, null where it states none.
        texts: of the examples: text, or list of words.
    """
    encoded = pc.dictionary_encode(pc.fill_null(codes, ""))
    index = encoded.indices.to_numpy(zero_copy_only=False)
    known: list[str] = []
    unknown: list[Unknown] = []
    for number, code in enumerate(encoded.dictionary.to_pylist()):
        parsed = parse_label(code) if code else None
        if parsed is None:
            known.append(UNKNOWN)
            if code:
                rows = np.flatnonzero(index == number)
                unknown.append(Unknown(code, len(rows), int(rows[0])))
        elif script_of(parsed) is not None:
            known.append(parsed)
        else:
            rows = np.flatnonzero(index == number)[:_SAMPLE]
            known.append(_completed(code, parsed, texts.take(rows).to_pylist()))
    values = sorted(set(known))
    places = np.array([values.index(one) for one in known], np.int32)
    indices = pa.array(places[index] if len(index) else [], pa.int32())
    return pa.DictionaryArray.from_arrays(indices, pa.array(values, pa.string())), unknown


def _completed(code: str, language: str, texts: Sequence[str | list[str]]) -> str:
    """Return the label of a language whose script is not stated: that of its texts."""
    sample = " ".join(one if isinstance(one, str) else " ".join(one) for one in texts)[:20_000]
    usual = complete_label(language, None)
    if language in _CHINESE:
        script = han_script(sample)
        return f"{language}_{script}" if script else usual
    counts = {script: len(re.findall(letters, sample)) for script, letters in SCRIPTS.items()}
    most = max(counts, key=lambda script: counts[script])
    if script_of(usual) not in SCRIPTS or not counts[most]:
        return usual
    # A script can tell a language: `ku` is kmr_Latn, and ckb_Arab.
    return parse_label(f"{code}_{most}") or f"{language}_{most}"
