"""The smaller network that is to learn from a larger one of the same kind.

A student as wide as its teacher begins with evenly spaced layers of it, its embeddings and its
head. A narrower one begins with the teacher's embeddings projected on their principal directions,
so that pieces lie as they lay, and with random layers.

Promises: the same arguments and seed give the same weights; a ModernBERT student's layers are
local and global as those of its teacher that they are taken from.
"""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipelines.errors import ConfigError

from .. import models
from ..models import Head, Model

_LAYER = re.compile(r"^(.*?\blayers?\.)(\d+)(\..*)$")
_EMBEDDED = re.compile(r"(word|position|token_type|tok)_embeddings\.weight$")


@dataclass(frozen=True)
class Shape:
    """How large a student is."""

    layers: int
    width: int
    heads: int
    feed_forward: int
    chosen: tuple[int, ...]
    """The teacher's layer that each layer begins with; none of a narrower student."""


def shape_of(
    teacher: Model, *, layers: int, width: int | None = None, heads: int | None = None
) -> Shape:
    """Return a student's shape.

    Args:
        teacher: the larger model.
        layers: of the student.
        width: of its hidden states; the teacher's when left out.
        heads: of its attention; as wide ones as the teacher's when left out.

    Raises:
        ConfigError: it is not smaller, or the width can't be divided into heads.
    """
    config = teacher.config
    deep, wide = int(config["num_hidden_layers"]), int(config["hidden_size"])
    per_head = wide // int(config["num_attention_heads"])
    width = wide if width is None else width
    if layers < 1 or layers > deep or (layers == deep and width == wide):
        raise ConfigError(
            f"--layers {layers}: the teacher has {deep}.\n"
            f"  A student as wide as its teacher has 1 to {deep - 1} layers; half of them, "
            f"{max(1, deep // 2)}, are a good start."
            if deep > 1 or width == wide
            else f"--layers {layers}: the teacher has {deep}.\n  Make it narrower with --width."
        )
    if not 1 <= width <= wide:
        raise ConfigError(
            f"--width {width}: the teacher is {wide} wide.\n  A student is not wider than it."
        )
    if heads is None and width % per_head:
        less = width - width % per_head
        near = [num for num in (less, less + per_head) if num]
        raise ConfigError(
            f"--width {width}: can't be divided into heads of {per_head}, as the teacher has.\n"
            f"  Take {' or '.join(str(x) for x in near if x <= wide)}, or say how many heads with "
            "--heads."
        )
    heads = width // per_head if heads is None else heads
    if heads < 1 or width % heads or (width // heads) % 2:
        # Rotary positions turn pairs of numbers, so that a head has an even width.
        fit = [num for num in range(1, width // 2 + 1) if width % (2 * num) == 0]
        close = sorted(fit, key=lambda num: abs(num - heads))[:3]
        raise ConfigError(
            f"--heads {heads}: a width of {width} can't be divided into them.\n  "
            + (f"Take {', '.join(map(str, sorted(close)))}." if close else "Take an even --width.")
        )
    feed_forward = max(8, round(int(config["intermediate_size"]) * width / wide / 8) * 8)
    same = width == wide
    return Shape(
        layers=layers,
        width=width,
        heads=int(config["num_attention_heads"]) if same and heads == wide // per_head else heads,
        feed_forward=int(config["intermediate_size"]) if same else feed_forward,
        chosen=_chosen(config, layers) if same and heads == wide // per_head else (),
    )


def student(
    teacher: Model, network: nn.Module, shape: Shape, *, head: Head, seed: int
) -> tuple[dict[str, Any], nn.Module]:
    """Return a student's config.json and its network, in float32 on the CPU.

    Args:
        teacher: the larger model.
        network: its network with the same head.
        shape: of the student.
        head: of both.
        seed: of what is drawn.
    """
    config = config_of(teacher.config, shape)
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / models.CONFIG).write_text(json.dumps(config), encoding="utf-8")
        own = replace(teacher, folder=Path(place), config=config)
        found = models.network(own, head, seed=seed, random=True)
    config["architectures"] = [type(found).__name__]
    whole = network.state_dict()
    begun = copied(whole, shape) if shape.chosen else projected(whole, found.state_dict(), shape)
    missing, unexpected = found.load_state_dict(begun, strict=False)
    assert not unexpected, unexpected
    assert not shape.chosen or not missing, missing
    return config, found


def config_of(config: Mapping[str, Any], shape: Shape) -> dict[str, Any]:
    """Return config.json of a student."""
    found = {
        **config,
        "num_hidden_layers": shape.layers,
        "hidden_size": shape.width,
        "num_attention_heads": shape.heads,
        "intermediate_size": shape.feed_forward,
    }
    if config.get("layer_types"):
        taken = shape.chosen or _chosen(config, shape.layers)
        found["layer_types"] = [config["layer_types"][number] for number in taken]
    return found


def copied(whole: Mapping[str, Tensor], shape: Shape) -> dict[str, Tensor]:
    """Return the tensors of a student as wide as its teacher: the chosen layers', and the rest."""
    found = {}
    for name, tensor in whole.items():
        part = _LAYER.match(name)
        if part is None:
            found[name] = tensor.clone()
            continue
        for new, old in enumerate(shape.chosen):
            if old == int(part[2]):
                found[f"{part[1]}{new}{part[3]}"] = tensor.clone()
    return found


def projected(
    whole: Mapping[str, Tensor], own: Mapping[str, Tensor], shape: Shape
) -> dict[str, Tensor]:
    """Return a narrower student's embeddings: the teacher's on their principal directions.

    Args:
        whole: the teacher's tensors.
        own: the student's, as drawn.
        shape: of the student.
    """
    words = next(
        name for name in whole if name.endswith(("word_embeddings.weight", "tok_embeddings.weight"))
    )
    rows_VH = whole[words].double()
    if rows_VH.shape[1] == shape.width:  # as wide, with other heads
        return {name: whole[name].clone() for name in whole if _EMBEDDED.search(name)}
    values, vectors = torch.linalg.eigh(rows_VH.T @ rows_VH)
    basis_HW = vectors[:, values.argsort(descending=True)[: shape.width]]
    # The sign of a direction is the library's choice: the largest part is made positive.
    largest = basis_HW.abs().argmax(dim=0)
    basis_HW = basis_HW * basis_HW[largest, torch.arange(shape.width)].sign()
    scale = rows_VH.std() / (rows_VH @ basis_HW).std()
    return {
        name: (tensor.double() @ basis_HW * scale).to(own[name].dtype)
        for name, tensor in whole.items()
        if _EMBEDDED.search(name) and name in own
    }


def _chosen(config: Mapping[str, Any], layers: int) -> tuple[int, ...]:
    """Return which of the teacher's layers a student begins with: evenly spaced ones.

    The first is the first: a ModernBERT's has no norm before it, the others have one. The last is
    the last, whose relations are learnt.
    """
    deep = int(config["num_hidden_layers"])
    if layers == 1:
        return (0,)
    return tuple(round(number * (deep - 1) / (layers - 1)) for number in range(layers))
