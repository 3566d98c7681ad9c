"""What a network says of sequences, and how wrong that is.

Promises: predictions don't depend on which sequences go through together, up to rounding.

Shapes: B sequences of a part, L pieces of the longest, C targets, F pieces of all sequences, S
sequences.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from . import batches
from .batches import Part
from .features import IGNORED, Features
from .place import Place
from .settings import Task


def predict(network: nn.Module, features: Features, *, place: Place) -> NDArray[np.float32]:
    """Return logits: classify (S, C); tag (F, C) and answer (F, 2), piece by piece.

    The network stays in evaluation mode.
    """
    network.to(place.device).eval()
    found: NDArray[np.float32] | None = None
    # Without gradients four times as much fits; on a CPU larger parts only leave its cache.
    tokens = place.tokens * (4 if place.on_gpu else 1)
    order = batches.ordered(features.lengths)
    waiting: list[tuple[Part, Tensor]] = []
    with torch.inference_mode(), place.precision():
        for numbers in batches.parts(order, features.lengths, tokens=tokens):
            one = batches.part(features, numbers, pad=place.pad)
            logits = logits_of(network, one, place)
            if logits.ndim == 3:
                if one.mask_BL is None:
                    logits = logits.flatten(0, 1)
                else:
                    logits = logits[place.tensor(one.mask_BL)]
            waiting.append((one, logits.float()))
    for one, logits in waiting:
        values = logits.cpu().numpy()
        rows = one.numbers if len(values) == len(one.numbers) else one.places
        if found is None:
            num = len(features) if rows is one.numbers else len(features.ids)
            found = np.zeros((num, values.shape[1]), np.float32)
        found[rows] = values
    return np.zeros((0, 1), np.float32) if found is None else found


def logits_of(network: nn.Module, one: Part, place: Place) -> Tensor:
    """Return (B, C), or (B, L, C)."""
    inputs = {"input_ids": place.tensor(one.ids_BL)}
    if one.mask_BL is not None:
        inputs["attention_mask"] = place.tensor(one.mask_BL)
    if one.types_BL is not None:
        inputs["token_type_ids"] = place.tensor(one.types_BL)
    found = network(**inputs)
    if "start_logits" in found:
        return torch.stack([found.start_logits, found.end_logits], dim=-1)
    logits: Tensor = found.logits
    return logits


def loss_of(logits: Tensor, wanted: Tensor, one: Part, task: Task, *, place: Place) -> Tensor:
    """Return the summed cross-entropy; of answers the mean of that of their start and end."""
    if task == "answer":
        if one.mask_BL is not None:
            outside = place.tensor(~one.mask_BL)
            logits = logits.masked_fill(outside[..., None], -1e9)
        return F.cross_entropy(logits, wanted, reduction="sum") / 2  # classes are the pieces
    return F.cross_entropy(logits.flatten(0, -2), wanted, ignore_index=IGNORED, reduction="sum")
