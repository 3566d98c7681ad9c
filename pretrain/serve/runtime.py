"""Run a network on sequences of any length: through ONNX Runtime, or through torch.

Promises: an ONNX file is only used with the weights that it was made of; every sequence comes back
with its number, cut to its own length; neighbours in a batch change an output by rounding only. In
eight bits they would change it by as much as the eight bits do (benchmarks/onnx_latency.py), since
a batch shares its scales, so that there a sequence is always alone.
Does not promise: the same last digits on other machines or with other numbers of threads; the
order in which sequences come back.

Shapes: B sequences of a batch, L pieces of its longest.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from pipelines import store
from pipelines.errors import ConfigError, DataError, EnvironmentProblem

from ..models import ONNX, ONNX_INT8, TASK, WEIGHTS, Head, Model, network
from ..ragged import starts_of
from ..tasks.features import IGNORED, Features, padded, spans

if TYPE_CHECKING:
    import torch

Use = Literal["auto", "onnx", "int8", "torch"]
Outputs = list[NDArray[np.float32]]
OUTPUTS: Mapping[Head, tuple[str, ...]] = {
    "none": ("last_hidden_state",),
    "mlm": ("logits",),
    "classify": ("logits",),
    "tag": ("logits",),
    "answer": ("start_logits", "end_logits"),
}
"""What a network with a head gives, by the names that Optimum's exports have too."""
FILES: Mapping[str, str] = {"onnx": ONNX, "int8": ONNX_INT8}
META = "koine"
"""The key in an ONNX file under which it says what it was made of."""
BATCH_PIECES: Mapping[Head, int] = {"mlm": 512}
"""Pieces of a batch, padding counted; the outputs of `mlm` are as wide as the vocabulary."""
_BATCH_PIECES = 4096
_ENDINGS: tuple[tuple[str, Head], ...] = (
    ("ForSequenceClassification", "classify"),
    ("ForTokenClassification", "tag"),
    ("ForQuestionAnswering", "answer"),
    ("ForMaskedLM", "mlm"),
    ("ForPreTraining", "mlm"),
)


@dataclass(frozen=True)
class Source:
    """What an ONNX file says that it was made of."""

    head: Head
    weights_sha256: str | None


def head_of(model: Model) -> Head:
    """Return the head that a folder has: by task.json, else by the class that config.json names.

    Raises:
        DataError: task.json names none.
    """
    if model.task is not None:
        task = model.task.get("task")
        if task not in ("classify", "tag", "answer"):
            raise DataError(
                f"{model.folder / TASK}: the task is {task!r}, not classify, tag or answer.\n"
                "  Tune the model again; `koine tune` writes this file."
            )
        found: Head = task
        return found
    for name in model.config.get("architectures") or []:
        for ending, head in _ENDINGS:
            if str(name).endswith(ending):
                return head
    return "none"


def weights_hash(model: Model) -> str | None:
    """Return the SHA-256 of the weights, by the manifest if there is one; None without weights."""
    parts = sorted(model.folder.glob("model-*.safetensors")) or [model.folder / WEIGHTS]
    if not parts[0].exists():
        return None
    listed = {}
    if (model.folder / store.MANIFEST).exists():
        manifest = store.Folder(model.folder).read_json(store.MANIFEST)
        listed = {file["name"]: file["sha256"] for file in manifest.get("files") or ()}
    found = [listed.get(part.name) or _sha256(part) for part in parts]
    return found[0] if len(found) == 1 else hashlib.sha256("".join(found).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Onnx:
    """A network in ONNX Runtime."""

    def __init__(
        self, source: Path | bytes, *, int8: bool = False, threads: int | None = None
    ) -> None:
        """Open a file, or its bytes.

        Raises:
            DataError: it is no ONNX file, or one that this version can't run.
        """
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # its warnings are about nodes, and go past Python
        if threads is not None:
            options.intra_op_num_threads = threads
        given = source if isinstance(source, bytes) else str(source)
        try:
            self.session = onnxruntime.InferenceSession(
                given, options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the library's errors have no common base
            place = "the exported model" if isinstance(source, bytes) else str(source)
            raise DataError(
                f"{place}: ONNX Runtime can't open it: {str(error).splitlines()[0]}\n"
                "  Write it again with `koine export --onnx`."
            ) from error
        self.name = "int8" if int8 else "onnx"
        self._names = [entry.name for entry in self.session.get_inputs()]

    @property
    def source(self) -> Source | None:
        """Return what the file says it was made of; None if koine didn't write it."""
        text = self.session.get_modelmeta().custom_metadata_map.get(META)
        if text is None:
            return None
        said: dict[str, Any] = json.loads(text)
        return Source(head=said["head"], weights_sha256=said["weights_sha256"])

    def __call__(self, inputs: Mapping[str, NDArray[np.int64]]) -> Outputs:
        """Return the outputs of a batch, each of B rows."""
        found: Outputs = self.session.run(None, {name: inputs[name] for name in self._names})
        return found


class Torch:
    """A network in torch."""

    name = "torch"

    def __init__(self, net: torch.nn.Module, head: Head, *, takes_types: bool) -> None:
        """Take a network of `models.network`."""
        self._network, self._head, self._takes_types = net, head, takes_types

    def __call__(self, inputs: Mapping[str, NDArray[np.int64]]) -> Outputs:
        """Return the outputs of a batch, each of B rows."""
        import torch

        given = {
            name: torch.from_numpy(value)
            for name, value in inputs.items()
            if name != "token_type_ids" or self._takes_types
        }
        with torch.inference_mode():
            found = self._network(**given)
        return [getattr(found, name).numpy() for name in OUTPUTS[self._head]]


Backend = Onnx | Torch


@dataclass(frozen=True)
class Opened:
    """What runs the network."""

    backend: Backend
    note: str | None
    """Why it isn't the quickest one, in words."""


def open_backend(
    model: Model, head: Head, *, use: Use = "auto", threads: int | None = None
) -> Opened:
    """Open what runs a network.

    Args:
        model: an opened folder.
        head: which one.
        use: `auto` is ONNX where it is there, of these weights, and installed; else torch.
        threads: of one operation; the library's own choice when left out.

    Raises:
        ConfigError: the file that `use` names isn't there.
        DataError: the ONNX file is damaged, or of other weights or another head.
        EnvironmentProblem: onnxruntime isn't installed, and nothing else can run the model.
    """
    own = weights_hash(model)
    has_weights = own is not None
    if use == "torch" and not has_weights:
        raise ConfigError(
            f"{model.folder}: has no {WEIGHTS}, which torch needs.\n"
            "  Leave --torch out, or name the folder that it was exported from."
        )
    kinds = {"torch": (), "auto": ("onnx",) if has_weights else ("onnx", "int8")}.get(use, (use,))
    kind = next((kind for kind in kinds if (model.folder / FILES[kind]).exists()), None)
    if kind is None:
        if use in FILES:
            raise ConfigError(f"{model.folder}: has no {FILES[use]}.\n  {_remedy(model, use)}")
        note = f"torch runs it; quicker by ONNX: {_remedy(model, 'onnx')}"
        return Opened(_torch(model, head, threads), None if use == "torch" else note)
    place = model.folder / FILES[kind]
    problem = None
    if importlib.util.find_spec("onnxruntime") is None:
        problem = "it needs onnxruntime, which isn't installed"
        if use != "auto" or not has_weights:
            raise EnvironmentProblem(f"{place}: {problem}.\n  `pip install onnxruntime`.")
        return Opened(_torch(model, head, threads), f"torch runs it: {problem}")
    opened = Onnx(place, int8=kind == "int8", threads=threads)
    if problem := _mismatch(opened, head, own=own):
        if use != "auto" or not has_weights:
            raise DataError(f"{place}: {problem}.\n  {_remedy(model, kind)}")
        note = f"torch runs it: {place.name} {problem}; {_remedy(model, kind)}"
        return Opened(_torch(model, head, threads), note)
    return Opened(opened, None)


def _torch(model: Model, head: Head, threads: int | None) -> Torch:
    import torch

    if threads is not None:
        torch.set_num_threads(threads)
    return Torch(network(model, head), head, takes_types=model.takes_types)


def _remedy(model: Model, kind: str) -> str:
    option = "--onnx --int8" if kind == "int8" else "--onnx"
    return f"`koine export {model.folder} {option}` writes it"


def _mismatch(opened: Onnx, head: Head, *, own: str | None) -> str | None:
    """Return why an ONNX file doesn't stand for this model, if it doesn't."""
    source = opened.source
    if source is None:
        return "was not written by koine"
    if source.head != head:
        return f"has the head {source.head!r} instead of {head!r}"
    if own is not None and source.weights_sha256 != own:
        return "is of other weights than those beside it"
    return None


def run(
    backend: Backend, head: Head, features: Features, *, pad: int
) -> Iterator[tuple[int, Outputs]]:
    """Run the network on sequences, those of like length together.

    Args:
        backend: what runs it.
        head: which one it has.
        features: sequences, at most as long as the model takes.
        pad: id of [PAD].

    Yields:
        The number of a sequence and its outputs: (L, ...) for each piece, or (targets,) of
        `classify`. They are views of a batch: take what you need before going on.
    """
    lengths = features.lengths
    pieces = 1 if backend.name == "int8" else BATCH_PIECES.get(head, _BATCH_PIECES)
    for chosen in batches(lengths, pieces=pieces):
        found = backend(inputs_of(features, chosen, pad=pad))
        for row, number in enumerate(chosen.tolist()):
            own = int(lengths[number])
            yield number, [out[row] if head == "classify" else out[row, :own] for out in found]


def batches(lengths: NDArray[np.int64], *, pieces: int) -> Iterator[NDArray[np.int64]]:
    """Yield numbers of sequences, short ones first, in batches that padded have so many pieces."""
    order = np.argsort(lengths, kind="stable")
    begin = 0
    for end in range(1, len(order) + 1):
        if end == len(order) or (end - begin + 1) * lengths[order[end]] > pieces:
            yield order[begin:end]
            begin = end


def inputs_of(
    features: Features, chosen: NDArray[np.int64], *, pad: int
) -> dict[str, NDArray[np.int64]]:
    """Return the (B, L) inputs of a batch of sequences."""
    lengths, flat = features.lengths[chosen], spans(features.offsets, chosen)
    types = np.zeros_like(features.ids) if features.types is None else features.types
    return {
        "input_ids": padded(features.ids[flat].astype(np.int64), lengths, fill=pad),
        "attention_mask": padded(np.ones(len(flat), np.int64), lengths, fill=0),
        "token_type_ids": padded(types[flat].astype(np.int64), lengths, fill=0),
    }


def features_of(sequences: Sequence[Sequence[int]]) -> Features:
    """Return sequences of pieces that are of no task: nothing is wanted of them."""
    lengths = np.array([len(one) for one in sequences], dtype=np.int64)
    num = len(sequences)
    return Features(
        ids=np.concatenate([np.zeros(0, np.int32), *(np.array(x, np.int32) for x in sequences)]),
        offsets=starts_of(lengths),
        rows=np.arange(num, dtype=np.int64),
        targets=np.full(num, IGNORED, np.int64),
    )
