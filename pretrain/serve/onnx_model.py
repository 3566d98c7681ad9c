"""Write a model as ONNX, so that it runs without torch, and prove that it is the same network.

    model.onnx          the network with its head, in 32 bits
    model.int8.onnx     the same, its weights in eight bits (`quantise`)

Promises: nothing is written unless the outputs in 32 bits equal torch's within `TOLERANCE`; how far
eight bits are off is measured the same way; both are kept in the manifest. Beside the weights the
files are added to their manifest, and say which weights they were made of. A folder named by `to`
gets all that predicting needs, without the weights.
Does not promise: how much eight bits cost on a task; `koine compress` measures it on data.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pipelines import store
from pipelines.errors import ConfigError, DataError, EnvironmentProblem

from ..models import (
    CONFIG,
    LINEAGE,
    ONNX,
    ONNX_INT8,
    TASK,
    TOKENIZER,
    WEIGHTS,
    Head,
    Model,
    network,
)
from . import quantise
from .convert import Check, check, probes, to_onnx
from .runtime import META, Onnx, Torch, head_of, weights_hash

if TYPE_CHECKING:
    import onnx

TOLERANCE = 1e-4
"""Largest difference from torch, in units of 1 or of the outputs' deviation if that is larger."""
COPIED = (
    CONFIG, TOKENIZER, TASK, LINEAGE, "README.md", "tokenizer_config.json",
    "special_tokens_map.json", "vocab.txt", "scores.json",
)  # fmt: skip
"""What a folder without weights has of the one that it was made of."""


@dataclass(frozen=True)
class Exported:
    """What was written."""

    folder: str
    head: Head
    files: Mapping[str, int]
    """Bytes of each ONNX file."""
    weights_bytes: int
    """Of the weights that they were made of."""
    checks: Mapping[str, Check]
    """By the name of the file."""
    num_texts: int
    """Texts that were compared on, beside random pieces."""


def export(
    model: Model,
    *,
    head: Head | None = None,
    int8: bool = False,
    fp32: bool = True,
    to: store.Folder | None = None,
    texts: Sequence[str] = (),
) -> Exported:
    """Write a model as ONNX, and check it.

    Args:
        model: an opened folder, with its weights.
        head: which one; the folder's own when left out.
        int8: write `model.int8.onnx` too.
        fp32: write `model.onnx`.
        to: another folder, empty or an earlier export of this kind; beside the weights when
            left out.
        texts: to compare outputs on too; sequences of random pieces are always compared.

    Raises:
        ConfigError: `to` holds something else.
        DataError: weights are missing, or too large for one file.
        EnvironmentProblem: a library is missing or writes something that differs from torch.
    """
    head = head or head_of(model)
    weights = weights_hash(model)
    if weights is None:
        raise DataError(
            f"{model.folder}: has no weights to export.\n"
            "  It is an ONNX model already; name the folder that it was made of."
        )
    if to is not None:
        _refuse_others(to, model)
    net = network(model, head)
    proto = to_onnx(net, model=model, head=head)
    _describe(proto, head=head, weights=weights, file=ONNX)
    data = proto.SerializeToString(deterministic=True)
    compared = list(probes(model, texts))
    reference = Torch(net, head, takes_types=model.takes_types)
    checks = {ONNX: check(Onnx(data), reference, head, compared, pad=model.pad)}
    contents = {ONNX: data}
    _require_equal(checks[ONNX])
    if int8:
        small = quantise.to_int8(proto)
        _describe(small, head=head, weights=weights, file=ONNX_INT8)
        data = small.SerializeToString(deterministic=True)
        checks[ONNX_INT8] = check(Onnx(data, int8=True), reference, head, compared, pad=model.pad)
        contents[ONNX_INT8] = data
    if not fp32:
        del contents[ONNX], checks[ONNX]
    _write(model, contents, checks, to=to)
    parts = list(model.folder.glob("model*.safetensors"))
    return Exported(
        folder=to.url if to else str(model.folder),
        head=head,
        files={name: len(data) for name, data in contents.items()},
        weights_bytes=sum(part.stat().st_size for part in parts),
        checks=checks,
        num_texts=len(texts),
    )


def _describe(proto: onnx.ModelProto, *, head: Head, weights: str, file: str) -> None:
    """Write into a file what it was made of."""
    import onnx

    said = {"head": head, "weights_sha256": weights, "file": file}
    del proto.metadata_props[:]
    onnx.helper.set_model_props(proto, {META: json.dumps(said, sort_keys=True)})


def _require_equal(found: Check) -> None:
    allowed = TOLERANCE * max(1.0, found.deviation)
    if not found.largest <= allowed:  # NaN is no less
        import torch

        raise EnvironmentProblem(
            f"The ONNX model differs from torch by {found.largest:.2g}, more than {allowed:.2g}; "
            f"nothing was written.\n  torch {torch.__version__} may export it wrongly; "
            "constraints.txt names versions that were tried."
        )


def _refuse_others(to: store.Folder, model: Model) -> None:
    """Refuse a folder that holds something else than an earlier export without weights."""
    names = [name for name in to.names() if not name.startswith(".")]
    if to.is_local and to.root.resolve() == model.folder.resolve():
        raise ConfigError(
            f"{to.url}: is the model's own folder.\n  Leave --to out to write beside the weights."
        )
    earlier = to.read_json(store.MANIFEST) if store.MANIFEST in names else {}
    if (names and not earlier.get("onnx")) or WEIGHTS in names:
        raise ConfigError(
            f"{to.url}: holds something else than an ONNX export ({', '.join(names[:3])}).\n"
            "  Name an empty folder with --to, or an earlier one, which is replaced."
        )


def _write(
    model: Model,
    contents: Mapping[str, bytes],
    checks: Mapping[str, Check],
    *,
    to: store.Folder | None,
) -> None:
    """Write the files, and list them in the manifest."""
    source = store.Folder(model.folder)
    manifest = source.read_json(store.MANIFEST) if source.exists(store.MANIFEST) else None
    target = to or source
    target.create()
    facts = {name: asdict(one) for name, one in checks.items()}
    if to is None:
        if manifest is not None:  # nothing is listed while it is replaced
            own = [file for file in manifest["files"] if file["name"] not in contents]
            manifest = {**manifest, "files": own}
            target.write_json(store.MANIFEST, manifest)
        written = [target.write_bytes(name, data) for name, data in contents.items()]
        if manifest is not None:
            _list(target, manifest, written, facts)
        return
    target.remove(store.MANIFEST)
    copied = {name: source.read_bytes(name) for name in COPIED if source.exists(name)}
    for stale in {ONNX, ONNX_INT8, *COPIED} - {*contents, *copied}:
        target.remove(stale)
    written = [target.write_bytes(name, data) for name, data in {**copied, **contents}.items()]
    store.write_manifest(
        target,
        artefact="smaller",
        fingerprint=store.fingerprint(sorted([file.name, file.sha256] for file in written)),
        counts={"bytes": sum(file.num_bytes for file in written)},
        files=written,
        onnx=facts,
    )


def _list(
    folder: store.Folder,
    manifest: Mapping[str, Any],
    written: Iterable[store.Written],
    facts: Mapping[str, Any],
) -> None:
    """Add files to a manifest; all else stays as whoever wrote it has left it."""
    files = {file["name"]: file for file in manifest["files"]}
    for file in written:
        files[file.name] = {
            "name": file.name, "num_bytes": file.num_bytes, "sha256": file.sha256,
        }  # fmt: skip
    folder.write_json(
        store.MANIFEST,
        {
            **manifest,
            "files": [files[name] for name in sorted(files)],
            "onnx": {**manifest.get("onnx", {}), **facts},
        },
    )
