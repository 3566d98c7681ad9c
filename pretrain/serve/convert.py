"""Turn a network into ONNX by torch's exporter, and compare the outputs of both.

Promises: batch and length are free; the same weights and versions give the same bytes; nothing of
the machine that wrote them is in them. Outputs are compared on shapes that the exporter has not
seen, from one sequence of 3 pieces to five of `LONG`, most of them padded.
Does not promise: more than 2 GB of weights, which is as much as a file holds.

Shapes: B sequences of a batch, L pieces of its longest.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from pipelines.errors import DataError, EnvironmentProblem

from ..models import Head, Model
from ..tasks.features import Features
from .runtime import OUTPUTS, Backend, Torch, features_of, inputs_of

if TYPE_CHECKING:
    import onnx
    import torch

OPSET = 20
"""Of ONNX; what torch 2.11 to 2.13 write, and onnxruntime reads since 1.17."""
SHAPES = ((1, 3), (5, 3), (1, 17), (5, 17))
"""(B, L) on which outputs are compared; and B of 1 and 5 at the greatest length up to `LONG`."""
LONG, LONGEST = 512, 2048
"""The last is compared with a single sequence; attention takes memory by its square."""
LARGEST_BYTES = 2_000_000_000


@dataclass(frozen=True)
class Check:
    """How far the outputs of a file are from torch's, on real pieces (padding left out)."""

    largest: float
    """Largest difference."""
    mean: float
    """Mean difference."""
    deviation: float
    """Standard deviation of torch's outputs: what the differences are to be held against."""
    agreement: float | None
    """How often the highest output is the same one; None without a head."""
    sequences: int
    longest: int
    """Pieces of the longest sequence."""


def to_onnx(net: torch.nn.Module, *, model: Model, head: Head) -> onnx.ModelProto:
    """Return a network as ONNX, batch and length free, by torch's exporter.

    Raises:
        DataError: the weights are too many for a file.
        EnvironmentProblem: the libraries that it takes aren't installed.
    """
    import torch

    num_bytes = sum(tensor.numel() * tensor.element_size() for tensor in net.parameters())
    if num_bytes > LARGEST_BYTES:
        raise DataError(
            f"{model.folder}: has {num_bytes / 1e9:.1f} GB of weights; an ONNX file holds 2 GB.\n"
            "  `koine compress trim` makes the vocabulary smaller, where most of them are."
        )
    names = ["input_ids", "attention_mask", *(["token_type_ids"] if model.takes_types else [])]
    length = min(12, model.max_length)
    example = {name: torch.ones(2, length, dtype=torch.int64) for name in names}
    example["attention_mask"][1, length // 2 :] = 0
    batch = torch.export.Dim("batch", min=1)
    pieces = torch.export.Dim("length", min=1, max=model.max_length)
    with _quiet():
        try:
            program = torch.onnx.export(
                _picked(net, OUTPUTS[head]),
                kwargs=example,
                dynamic_shapes={name: {0: batch, 1: pieces} for name in names},
                output_names=list(OUTPUTS[head]),
                opset_version=OPSET,
                dynamo=True,
                verbose=False,
            )
        except ImportError as error:
            raise EnvironmentProblem(
                f"ONNX can't be written: {error}.\n  `pip install onnx onnxscript onnxruntime`."
            ) from error
    assert program is not None
    proto: onnx.ModelProto = program.model_proto
    _forget_origin(proto.graph)
    return proto


def _picked(net: torch.nn.Module, names: tuple[str, ...]) -> torch.nn.Module:
    """Return a module that gives only these outputs: BERT has a pooler's, which may be drawn."""
    import torch

    class Picked(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(
            self,
            input_ids: torch.Tensor,
            attention_mask: torch.Tensor,
            token_type_ids: torch.Tensor | None = None,
        ) -> tuple[torch.Tensor, ...]:
            given = {"input_ids": input_ids, "attention_mask": attention_mask}
            if token_type_ids is not None:
                given["token_type_ids"] = token_type_ids
            found = self.net(**given)
            return tuple(getattr(found, name) for name in names)

    return Picked().eval()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter from saying what is as it should be; other warnings stay."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = logger.level
    logger.setLevel(logging.ERROR)  # "torchvision is not installed"
    with warnings.catch_warnings():
        # Names of axes that stand for the same number; a class that Python's pytree took back.
        warnings.filterwarnings("ignore", message="# The axis name: ", category=UserWarning)
        warnings.filterwarnings("ignore", message=r"`isinstance\(treespec", category=FutureWarning)
        try:
            yield
        finally:
            logger.setLevel(level)


def _forget_origin(graph: onnx.GraphProto) -> None:
    """Take out what the exporter says of each node: lines of Python, with this machine's paths."""
    del graph.metadata_props[:]
    for part in (*graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _forget_origin(attribute.g)


def probes(model: Model, texts: Iterable[str]) -> Iterator[Features]:
    """Yield batches of sequences to compare outputs on: random pieces, then texts."""
    draws = np.random.default_rng(0)
    num_pieces = model.tokenizer.get_vocab_size()
    long = min(model.max_length, LONG)
    shapes = [*SHAPES, (1, long), (5, long)]
    if model.max_length > LONG:
        shapes.append((1, min(model.max_length, LONGEST)))
    for num, length in shapes:  # the first is whole, the others shorter and shorter
        own = [max(1, min(length, model.max_length) * (num - row) // num) for row in range(num)]
        found = features_of([draws.integers(0, num_pieces, pieces).tolist() for pieces in own])
        types = np.concatenate([np.arange(pieces) >= pieces // 2 for pieces in own])
        yield replace(found, types=types.astype(np.int8))
    for text in texts:
        if ids := model.tokenizer.encode(text).ids[: model.max_length]:
            yield features_of([ids])


def check(
    backend: Backend, reference: Torch, head: Head, probes: Iterable[Features], *, pad: int
) -> Check:
    """Compare the outputs of a file with torch's.

    Args:
        backend: the file, opened.
        reference: the network.
        head: which one both have.
        probes: batches of sequences.
        pad: id of [PAD].
    """
    largest = total = squares = sum_ = 0.0
    count = same = judged = sequences = longest = 0
    for batch in probes:
        inputs = inputs_of(batch, np.arange(len(batch)), pad=pad)
        is_real = inputs["attention_mask"].astype(bool)
        for ours, theirs in zip(backend(inputs), reference(inputs), strict=True):
            # `classify` gives a row for each sequence, everything else one for each piece.
            own, other = (ours, theirs) if head == "classify" else (ours[is_real], theirs[is_real])
            apart = np.abs(own - other)
            largest = max(largest, float(apart.max()))
            total += float(apart.sum())
            squares += float(np.square(other, dtype=np.float64).sum())
            sum_ += float(other.sum())
            count += other.size
            if head in ("classify", "tag", "mlm"):
                same += int((own.argmax(-1) == other.argmax(-1)).sum())
                judged += len(own)
            elif head == "answer":  # which piece of each sequence begins, or ends, the answer
                low = np.where(is_real, 0.0, -np.inf)
                same += int(((ours + low).argmax(-1) == (theirs + low).argmax(-1)).sum())
                judged += len(ours)
        sequences += len(batch)
        longest = max(longest, is_real.shape[1])
    variance = squares / count - (sum_ / count) ** 2
    return Check(
        largest=largest,
        mean=total / count,
        deviation=float(np.sqrt(max(0.0, variance))),
        agreement=same / judged if judged else None,
        sequences=sequences,
        longest=longest,
    )
