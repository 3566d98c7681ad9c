"""Show that a trimmed model says what the whole one says, on the text that it is kept for.

Three things are shown, each time: that all text of the kept languages is cut into the same pieces;
that every row of a kept piece, and every other weight, is bit for bit as it was; and that the
outputs of both networks are the same, up to the rounding of sums in another order, on text of every
kept language.

Does not show: anything about text that wasn't there. `unseen` in the report estimates that.

Shapes: B sequences, L pieces, V rows before, K rows after.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.errors import EnvironmentProblem

from .. import models
from ..models import Model
from ..serve.runtime import OUTPUTS, features_of, head_of, inputs_of
from .texts import Texts
from .watcher import Watcher

if TYPE_CHECKING:
    import tokenizers

TOLERANCE = 1e-5
SEQUENCES, LONGEST = 64, 128
"""On which outputs are compared: at least one of each language, of this length at the most."""
BATCH_CHUNKS = 256
"""Chunks that are encoded together: their encodings, some kilobytes each, are held at once."""
BATCH = 4
"""Sequences that go through the network together; an `mlm` head is as wide as the vocabulary."""


@dataclass(frozen=True)
class Proof:
    """What was compared."""

    chunks: int
    """Stretches of text that are cut alike; all there were."""
    num_bytes: int
    pieces: int
    sequences: int
    """On which the outputs were compared."""
    outputs: str
    """Which outputs."""
    largest: float
    """Largest difference of an output."""


def batches(
    texts: Texts, label: str, *, max_bytes: int | None, extra: Iterable[str] = ()
) -> Iterator[list[str]]:
    """Yield the chunks of a language, and further ones, in batches."""
    each = iter(texts.chunks(label, max_bytes=max_bytes)) if label in texts.sizes else iter(())
    while batch := list(islice(each, BATCH_CHUNKS)):
        yield batch
    rest = iter(extra)
    while batch := list(islice(rest, BATCH_CHUNKS)):
        yield batch


def encode(tokenizer: tokenizers.Tokenizer, chunks: Sequence[str]) -> list[NDArray[np.int64]]:
    """Return the pieces of each chunk, special ones left out."""
    found = tokenizer.encode_batch_fast(list(chunks), add_special_tokens=False)
    return [np.array(one.ids, dtype=np.int64) for one in found]


def digest_of(pieces: Sequence[NDArray[np.int64]]) -> bytes:
    """Return a hash of what a batch of chunks was cut into."""
    state = hashlib.blake2b(digest_size=16)
    for one in pieces:
        state.update(len(one).to_bytes(4, "little") + one.tobytes())
    return state.digest()


def same_pieces(
    new: tokenizers.Tokenizer,
    whole: tokenizers.Tokenizer,
    ids: NDArray[np.int64],
    *,
    digests: Mapping[str, Sequence[bytes]],
    batches_of: Mapping[str, Iterable[list[str]]],
    watcher: Watcher,
) -> tuple[int, int, int]:
    """Check that all text is cut as before.

    Args:
        new: the trimmed tokenizer.
        whole: the one before.
        ids: (K,), the old number of each new one.
        digests: by label, `digest_of` of each batch by the whole tokenizer.
        batches_of: by label, the same batches of text.
        watcher: is told how it goes.

    Returns:
        The number of chunks, of bytes and of pieces that were compared.

    Raises:
        EnvironmentProblem: some text is cut otherwise; nothing has been written.
    """
    chunks = num_bytes = pieces = done = 0
    total = sum(len(own) for own in digests.values())
    for label, expected in digests.items():
        for batch, digest in zip(batches_of[label], expected, strict=True):
            found = [ids[one] for one in encode(new, batch)]
            if digest_of(found) != digest:
                _refuse(label, batch, found, whole)
            chunks += len(batch)
            num_bytes += sum(len(chunk.encode("utf-8", "surrogatepass")) for chunk in batch)
            pieces += sum(map(len, found))
            done += 1
            watcher.update(total + done, 2 * total, f"{label}: comparing")
    return chunks, num_bytes, pieces


def _refuse(
    label: str,
    batch: Sequence[str],
    found: Sequence[NDArray[np.int64]],
    whole: tokenizers.Tokenizer,
) -> None:
    for chunk, one, other in zip(batch, found, encode(whole, batch), strict=True):
        if one.tolist() != other.tolist():
            pairs = zip(one.tolist(), other.tolist(), strict=False)
            at = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
            shown = [
                " ".join(str(whole.id_to_token(x)) for x in own[max(0, at - 2) : at + 4].tolist())
                for own in (other, one)
            ]
            raise EnvironmentProblem(
                f"{label}: a text of {len(chunk):,} characters is cut otherwise after trimming: "
                f"{shown[1]!r} instead of {shown[0]!r}.\n"
                "  Nothing was written. This tokenizer has a step that koine doesn't know; please "
                "report it with its tokenizer.json."
            )
    raise AssertionError("the text was another one the second time")


def sequences(
    model: Model, samples: Mapping[str, Sequence[NDArray[np.int64]]]
) -> list[NDArray[np.int64]]:
    """Return sequences to compare outputs on, with [CLS] and [SEP]: of all languages in turn."""
    room = min(LONGEST, model.max_length) - 2
    each = max(1, SEQUENCES // max(1, len(samples)))
    return [
        np.concatenate([[model.cls], one[:room], [model.sep]])
        for own in samples.values()
        for one in own[:each]
    ]


def same_outputs(
    whole: Model, new: Model, ids: NDArray[np.int64], given: Sequence[NDArray[np.int64]]
) -> tuple[str, float]:
    """Compare the outputs of both networks.

    Args:
        whole: the model before.
        new: the trimmed one.
        ids: (K,), the old number of each new one.
        given: sequences in the old numbers, special pieces with them.

    Returns:
        What was compared, and the largest difference.

    Raises:
        EnvironmentProblem: it is above `TOLERANCE`.
    """
    head = head_of(whole)
    place = np.full(int(whole.config["vocab_size"]), -1, np.int64)
    place[ids] = np.arange(len(ids))
    both = [models.network(one, head) for one in (whole, new)]
    largest = 0.0
    for start in range(0, len(given), BATCH):
        batch = given[start : start + BATCH]
        found = []
        for model, network, own in (
            (whole, both[0], batch),
            (new, both[1], [place[one] for one in batch]),
        ):
            features = features_of([one.tolist() for one in own])
            inputs = inputs_of(features, np.arange(len(own)), pad=model.pad)
            found.append(_outputs(network, inputs, head, takes_types=model.takes_types))
        mask = torch.from_numpy(inputs["attention_mask"]).bool()
        for name, one, other in zip(OUTPUTS[head], *found, strict=True):
            before = one[..., torch.from_numpy(ids)] if head == "mlm" else one
            apart = (before - other).abs()
            if head != "classify":
                apart = apart[mask]
            largest = max(largest, float(apart.max()))
            if not largest <= TOLERANCE * max(1.0, float(before.abs().max())):
                raise EnvironmentProblem(
                    f"{name}: differs by {largest:.1e} after trimming, more than {TOLERANCE:g}.\n"
                    "  Nothing was written. Weights that depend on the vocabulary were missed; "
                    "please report the names of the model's tensors."
                )
    return " and ".join(OUTPUTS[head]), largest


def _outputs(
    network: torch.nn.Module, inputs: Mapping[str, Any], head: str, *, takes_types: bool
) -> list[torch.Tensor]:
    given = {
        name: torch.from_numpy(value)
        for name, value in inputs.items()
        if name != "token_type_ids" or takes_types
    }
    with torch.inference_mode():
        found = network(**given)
    return [getattr(found, name) for name in OUTPUTS[head]]  # type: ignore[index]
