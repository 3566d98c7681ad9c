"""The folder of a model that was made smaller: what it holds, and how it is written.

    config.json model.safetensors    what AutoModel loads
    tokenizer.json ...               its tokenizer
    task.json scores.json            of a tuned model, as before
    compression.json                 what was done, and both models side by side
    lineage.json                     the larger model's, and what was done
    README.md                        the model card
    manifest.json                    every file's size and SHA-256; written last

Promises: a folder with a manifest is whole; one that holds anything else than an earlier result of
`koine compress` is left alone; a second call with the same inputs finds that it is done.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from pipelines import store
from pipelines.errors import ConfigError, DataError

from .. import models
from ..lineage import README, to_json
from ..models import Model
from ..tasks.folder import TOKENIZER_FILES, weights_sha256

ARTEFACT = "smaller"
FACTS, SCORES, NSP_HEAD = "compression.json", "scores.json", "nsp_head.safetensors"
WORK = ".compare"
OWN = {
    FACTS, models.CONFIG, models.WEIGHTS, models.TASK, models.LINEAGE, SCORES, NSP_HEAD, README,
    models.ONNX, models.ONNX_INT8, store.MANIFEST, *TOKENIZER_FILES,
}  # fmt: skip
"""Everything that is written."""
Kind = Literal["trimmed", "distilled", "quantised"]


def inputs(model: Model) -> dict[str, Any]:
    """Return what a model is, by what names it without doubt."""
    return {
        "weights": weights_sha256(model),
        "config": _sha256(model.folder / models.CONFIG),
        "tokenizer": hashlib.sha256(model.tokenizer.to_str().encode()).hexdigest(),
        "task": None if model.task is None else _sha256(model.folder / models.TASK),
    }


def check(to: store.Folder, model: Model) -> None:
    """Check that nothing but an earlier result is written over.

    Raises:
        ConfigError: the folder holds something else, or is the model's own.
    """
    if to.is_local and to.root.resolve() == model.folder.resolve():
        raise ConfigError(
            f"--to {to.url}: is the model itself.\n  Name another folder; the model stays as it is."
        )
    if to.is_local:
        found = [path.name for path in to.root.iterdir()] if to.root.is_dir() else []
    else:
        found = [name.partition("/")[0] for name in to.names()]
    names = {name for name in found if not name.startswith(".")}
    if not names or (store.MANIFEST not in names and FACTS in names):
        return
    manifest: Any = {}
    if store.MANIFEST in names:
        try:
            manifest = to.read_json(store.MANIFEST)
        except DataError:
            manifest = {}
    if not isinstance(manifest, dict) or manifest.get("artefact") != ARTEFACT:
        shown = ", ".join(sorted(names)[:3]) + (", ..." if len(names) > 3 else "")
        raise ConfigError(
            f"{to.url}: holds something else than a model made smaller ({shown}).\n"
            "  Name an empty folder with --to, or an earlier result, which is replaced."
        )


def finished(to: store.Folder, *, fingerprint: str) -> dict[str, Any] | None:
    """Return compression.json of a folder that is done with the same inputs, None of others."""
    if not to.exists(store.MANIFEST):
        return None
    manifest = to.read_json(store.MANIFEST)
    if manifest["fingerprint"] != fingerprint:
        return None
    if any(to.check(one) for one in store.listed(manifest) if one.name != README):
        return None
    found: dict[str, Any] = to.read_json(FACTS)
    return found


def begin(to: store.Folder, contents: Mapping[str, bytes]) -> list[store.Written]:
    """Write a model's files, not yet committed; what an earlier result had besides goes."""
    to.create()
    to.remove_temporary()
    to.remove(store.MANIFEST)
    first = [to.write_bytes(FACTS, b"{}\n")]  # by which a half-written folder is known
    files = [to.write_bytes(name, data) for name, data in contents.items()]
    there = {name for name in to.names() if "/" not in name}
    for stale in (OWN & there) - set(contents) - {one.name for one in first}:
        to.remove(stale)
    return files


def commit(
    to: store.Folder,
    files: list[store.Written],
    *,
    kind: Kind,
    facts: Mapping[str, Any],
    card: str,
    fingerprint: str,
    counts: Mapping[str, int],
) -> None:
    """Write what was done and the card, then the manifest, which commits the folder."""
    written = [
        to.write_bytes(FACTS, to_json(facts)),
        to.write_bytes(README, card.encode()),
    ]
    store.write_manifest(
        to,
        artefact=ARTEFACT,
        fingerprint=fingerprint,
        counts=dict(counts),
        files=[*files, *written],
        kind=kind,
    )
    (to / WORK).remove_all()


def lineage(
    model: Model, *, kind: Kind, weights: bytes, done: Mapping[str, Any], labels: list[str] | None
) -> bytes:
    """Return lineage.json: the larger model's with these weights, and what was done.

    Args:
        model: the larger one.
        kind: what was done.
        weights: the new file.
        done: what is to be said of it.
        labels: languages that the model is for from now on; None: those it was for.
    """
    path = model.folder / models.LINEAGE
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    read = before.get("tokens_by_label")
    if read is not None and labels is not None:
        before["tokens_by_label"] = {x: num for x, num in read.items() if x in labels}
    base = {"name": model.name, "weights_sha256": weights_sha256(model)}
    return to_json(
        {
            **before,
            "weights": {
                "file": models.WEIGHTS,
                "sha256": hashlib.sha256(weights).hexdigest(),
            },
            kind: [*before.get(kind, []), {"base": base, **done, "versions": versions()}],
        }
    )


def tensors_of(model: Model) -> dict[str, torch.Tensor]:
    """Return the weights as they are in the file or files.

    Raises:
        DataError: a file is damaged.
    """
    import safetensors.torch

    found: dict[str, torch.Tensor] = {}
    for path in sorted(model.folder.glob("model*.safetensors")):
        try:
            found |= safetensors.torch.load_file(path)
        except Exception as error:  # the library's errors have no common base
            raise DataError(
                f"{path}: holds no whole weights ({error}).\n  Write the folder again."
            ) from error
    return found


def weights_bytes(tensors: Mapping[str, torch.Tensor]) -> bytes:
    """Return model.safetensors."""
    import safetensors.torch

    own = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    data: bytes = safetensors.torch.save(own, metadata={"format": "pt"})
    return data


def others(model: Model) -> dict[str, bytes]:
    """Return the files beside weights, config and tokenizer that go along unchanged."""
    names = (models.TASK, SCORES, NSP_HEAD)
    paths = [model.folder / name for name in names]
    return {path.name: path.read_bytes() for path in paths if path.exists()}


def versions() -> dict[str, str]:
    """Return those of the libraries that decide the bytes."""
    names = ("torch", "transformers", "tokenizers", "numpy")
    return {name: importlib.metadata.version(name) for name in names}


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
