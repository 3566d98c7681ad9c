"""Judge the encoder on the held-out text of each language, always in the same words and masks.

bits per byte: what the model needs to guess the masked pieces, over the bytes of text under them:
sum of -log2 p / sum of bytes. Pieces of different vocabularies, long ones and short ones, count by
the text they stand for, so that languages and vocabularies can be compared. 15 % of each sequence
are masked, each by [MASK]; which ones depends on the seed and the document alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch

from . import draws
from .batch import Batches
from .feed import inputs_of
from .machine import total
from .model import Inputs, Scores
from .order import Spans
from .plan import Block, Packing, pack, plan_block
from .prepare import Run

MASK_RATE = 0.15
EPOCH = 0
_COLUMNS = 6  # nats, hits, masked, bytes, pairs, pair hits


class Model(Protocol):
    """What scores a micro-batch."""

    def __call__(self, inputs: Inputs, *, max_length: int) -> Scores:
        """Return the scores of each masked slot and each sequence."""


@dataclass(frozen=True)
class Held:
    """The held-out text of a run, as micro-batches."""

    batches: Batches
    packing: Packing
    num_tokens: np.ndarray[Any, np.dtype[np.int64]]
    """Of each language; shape (languages,)."""


def held_out(run: Run) -> Held | None:
    """Return the held-out text of a run, up to `evaluation.tokens` a language, or None."""
    settings, part = run.settings, run.shards.view("held_out")
    language = np.repeat(np.arange(len(part.num_documents), dtype=np.int32), part.num_documents)
    if not len(language):
        return None
    first = np.cumsum(part.num_documents) - part.num_documents
    index = np.arange(len(language), dtype=np.int64) - first[language]
    length, num = settings.max_length or 128, settings.micro_batch_tokens or 4096
    packing = Packing(num_tokens=num, max_length=length, max_sequences=num // 8)
    block = plan_block(
        part,
        Spans.whole(language, index, np.full(len(language), EPOCH, np.int64)),
        seed=settings.seed,
        number=0,
        packing=packing,
        pairs=bool(settings.nsp),
    )
    block, num_tokens = _shortened(
        block, settings.evaluation.tokens or 1, len(part.num_documents), seed=settings.seed
    )
    block = replace(block, micro_starts=pack(block.lengths, packing, mask_rate=MASK_RATE))
    batches = Batches(
        block,
        packing=packing,
        mask_rate=MASK_RATE,
        seed=settings.seed,
        starts=None,
        evaluation=True,
    )
    return Held(batches, packing, num_tokens)


def _shortened(
    block: Block, max_tokens: int, num_languages: int, *, seed: int
) -> tuple[Block, np.ndarray[Any, np.dtype[np.int64]]]:
    """Return a block with so many tokens of each language at the most, and at least one example.

    Which ones depends on the seed and the text, not on how examples were packed.
    """
    key = draws.key(seed, "judged")
    drawn = draws.bits(key, block.language, block.a_index, block.a_place)
    order = np.lexsort((drawn, block.language))
    lengths = block.lengths[order]
    starts = np.searchsorted(block.language[order], np.arange(num_languages))
    before = np.cumsum(lengths) - lengths
    before -= np.concatenate([before, [0]])[starts[block.language[order]]]
    kept = np.sort(order[(before == 0) | (before + lengths <= max_tokens)])
    num_tokens = np.bincount(
        block.language[kept], weights=block.lengths[kept], minlength=num_languages
    )
    return block.taken(kept), num_tokens.astype(np.int64)


def evaluate(model: Model, held: Held, *, run: Run) -> dict[str, Any]:
    """Return what the model makes of the held-out text.

    Args:
        model: scores micro-batches; on the run's device.
        held: the held-out text.
        run: the run; its ranks share the work.

    Returns:
        `labels`: by label `bits_per_byte`, `mlm_accuracy`, `nsp_accuracy` (None without pairs),
        `masked`, `bytes`, `tokens`, `documents`, `held_by`; `mean_bits_per_byte` over the
        languages, and the `worst` one.
    """
    labels, here = run.shards.labels, run.machine
    sums = torch.zeros(len(labels), _COLUMNS, dtype=torch.float64, device=here.device)
    num_bytes = torch.from_numpy(run.vocabulary.num_bytes).to(here.device)
    with torch.no_grad():
        for micro in range(here.rank, held.batches.num_micro, here.num_ranks):
            batch = held.batches.micro_batch(micro)
            inputs = inputs_of(batch, here.device)
            scores = model(inputs, max_length=held.packing.max_length)
            weight = inputs.weights_K.double()
            columns = [scores.ce_K, scores.hit_K, weight, num_bytes[inputs.labels_K]]
            rows = torch.stack([column.double() * weight for column in columns], 1)
            sums[:, :4].index_add_(0, torch.from_numpy(batch.languages_K).to(here.device), rows)
            weight = inputs.nsp_weights_D.double()
            rows = torch.stack([weight, scores.nsp_hit_D.double() * weight], 1)
            where = torch.from_numpy(batch.languages_D).to(here.device)
            sums[:, 4:].index_add_(0, where, rows)
    found = total(here, sums.cpu() if here.num_ranks > 1 else sums).cpu().numpy()
    documents = run.shards.view("held_out").num_documents
    rows_: dict[str, dict[str, Any]] = {}
    for number, label in enumerate(labels):
        nats, hits, masked, size, pairs, pair_hits = found[number].tolist()
        if not masked or not size:
            continue
        rows_[label] = {
            "bits_per_byte": float(nats / np.log(2) / size),
            "mlm_accuracy": hits / masked,
            "nsp_accuracy": pair_hits / pairs if pairs else None,
            "masked": int(masked),
            "bytes": int(size),
            "tokens": int(held.num_tokens[number]),
            "documents": int(documents[number]),
            "held_by": run.shards.held_by[number],
        }
    values = {label: row["bits_per_byte"] for label, row in rows_.items()}
    return {
        "labels": rows_,
        "mean_bits_per_byte": float(np.mean(list(values.values()))) if values else None,
        "worst": max(values, key=lambda label: (values[label], label)) if values else None,
    }
