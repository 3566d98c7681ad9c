"""What a trimmed vocabulary loses: of text that wasn't there, and of languages that weren't kept.

Promises: nothing of the kept languages' own text is counted here; that is proved (`proof`).
Does not promise: more than estimates from the text at hand.

Shapes: V pieces before, K after.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import pieces, proof
from .texts import Texts
from .watcher import Watcher

if TYPE_CHECKING:
    import tokenizers

OTHERS_BYTES, OTHER_BYTES = 4_000_000, 50_000
"""Of the text of other languages, all together and each, that is looked at."""


def others(
    texts: Texts,
    labels: Sequence[str],
    whole: tokenizers.Tokenizer,
    small: tokenizers.Tokenizer,
    ids: NDArray[np.int64],
    *,
    value: pieces.Value,
    watcher: Watcher,
) -> dict[str, Any]:
    """Return what becomes of text in languages that are not kept, the worst first.

    Args:
        texts: all there is.
        labels: languages that are kept.
        whole: the tokenizer before.
        small: the trimmed one.
        ids: (K,), the old number of each new piece.
        value: tokenizer.json before.
        watcher: is told how it goes.
    """
    names = [label for label in texts.sizes if label not in labels]
    if not names:
        return {}
    limit = min(OTHER_BYTES, max(2000, OTHERS_BYTES // len(names)))
    lost = lost_pieces(pieces.names_of(value))
    found = {}
    for number, label in enumerate(names):
        watcher.update(number, len(names), f"{label}: what is lost of it")
        before = after = num = cut = 0
        for batch in proof.batches(texts, label, max_bytes=limit):
            pairs = zip(proof.encode(whole, batch), proof.encode(small, batch), strict=True)
            for one, other in pairs:
                num, cut = num + len(one), cut + len(other)
                before += int(lost[one].sum())
                after += int(lost[ids[other]].sum())
        if num and cut:
            found[label] = {
                "unknown_before": before / num,
                "unknown_after": after / cut,
                "pieces": cut / num,
            }
    order = sorted(found, key=lambda x: (-found[x]["unknown_after"], -found[x]["pieces"], x))
    return {label: found[label] for label in order}


def lost_pieces(names: Sequence[str | None]) -> NDArray[np.bool_]:
    """Return (V,) which pieces stand for no text of their own: unknown ones and bytes."""
    return np.array(
        [piece in ("[UNK]", "<unk>") or pieces.is_byte(piece or "") for piece in names], bool
    )


def unseen(
    value: pieces.Value,
    counts: Mapping[str, NDArray[np.int64]],
    held: Mapping[str, NDArray[np.int64]],
    *,
    also: Sequence[int],
    labels: Sequence[str],
) -> dict[str, float | None]:
    """Return by language the share of pieces that text which wasn't there would lose.

    As if each tenth chunk had not been there: the share of its pieces that would not have been
    kept. Chunks of one document are alike, so that it is rather too small.

    Args:
        value: tokenizer.json before.
        counts: by label, how often each piece occurs.
        held: the same of the chunks that are set apart.
        also: pieces that stay in any case.
        labels: languages to estimate it of.
    """
    rest = {label: own - held[label] for label, own in counts.items()}
    size = max(len(own) for own in counts.values())
    kept = np.zeros(size, bool)
    kept[pieces.kept(value, rest, also=also)] = True
    found: dict[str, float | None] = {}
    for label in labels:
        own = held[label]
        total = int(own.sum())
        found[label] = float(own[~kept].sum() / total) if total else None
    return found
