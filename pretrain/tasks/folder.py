"""The folder of a tuned model: what is in it, whether it is done, and how it is written.

    config.json model.safetensors   what AutoModelFor... loads, with the names of the targets
    tokenizer.json ...              the base model's own files
    task.json                       the task, its targets and data, the settings, the base model
    scores.json                     by language, over seeds; each seed by itself
    predictions.arrow               each seed's predictions on the split that it was judged on
    lineage.json                    the base model's, and what was tuned
    README.md                       the model card
    manifest.json                   every file's size and SHA-256; written last

Promises: a folder with a manifest is whole; a folder that holds anything else than an earlier
tuning is left alone.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipelines import store
from pipelines.errors import ConfigError, DataError

from .. import models
from ..lineage import README, to_json
from ..models import Model
from . import card

if TYPE_CHECKING:
    import torch

    from .data import TaskData
    from .settings import TuneSettings

ARTEFACT = "tuned"
CODE_VERSION = 1
"""Counted up when the same inputs give another model."""
SCORES, PREDICTIONS, SEEDS = "scores.json", "predictions.arrow", ".seeds"
TOKENIZER_FILES = (
    models.TOKENIZER, "tokenizer_config.json", "special_tokens_map.json", "spm.model",
    "vocab.txt", "added_tokens.json", "vocab.json", "merges.txt",
)  # fmt: skip
OWN = {
    models.CONFIG, models.WEIGHTS, models.TASK, models.LINEAGE, SCORES, PREDICTIONS, README,
    store.MANIFEST, *TOKENIZER_FILES,
}  # fmt: skip
"""Everything that is written."""


def inputs(model: Model, data: TaskData, settings: TuneSettings, *, random: bool) -> dict[str, Any]:
    """Return what a tuned model is a function of, each by what names it without doubt."""
    return {
        "code": CODE_VERSION,
        "base": weights_sha256(model),
        "config": _sha256(model.folder / models.CONFIG),
        "tokenizer": hashlib.sha256(model.tokenizer.to_str().encode()).hexdigest(),
        "random": random,
        "task": data.task,
        "targets": list(data.targets),
        "scheme": data.scheme,
        "data": {split: table_sha256(getattr(data, split)) for split in ("train", "dev", "test")},
        "settings": settings.model_dump(mode="json"),
    }


def weights_sha256(model: Model) -> str:
    """Return the hash of the weights: that of the manifest, which was checked, or made now."""
    if (model.folder / store.MANIFEST).exists():
        manifest = store.Folder(model.folder).read_json(store.MANIFEST)
        for written in store.listed(manifest) if "files" in manifest else []:
            if written.name == models.WEIGHTS:
                return written.sha256
    digest = hashlib.sha256()
    for path in sorted(model.folder.glob("model*.safetensors")):
        digest.update(bytes.fromhex(_sha256(path)))
    return digest.hexdigest()


def table_sha256(table: pa.Table) -> str:
    """Return a hash of the rows, whatever the chunks they lie in."""
    columns = [
        column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
        for column in table.columns
    ]
    plain = pa.table(columns, names=table.column_names).combine_chunks()
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, plain.schema) as writer:
        writer.write_table(plain)
    return hashlib.sha256(sink.getvalue()).hexdigest()


def finished(to: store.Folder, *, fingerprint: str) -> dict[str, Any] | None:
    """Return scores.json of a folder that is done with the same inputs, and None of another.

    Raises:
        ConfigError: the folder holds something else than an earlier tuning.
    """
    if to.is_local:  # the first level only: it may be somebody's home
        found = [path.name for path in to.root.iterdir()] if to.root.is_dir() else []
    else:
        found = [name.partition("/")[0] for name in to.names()]
    names = {name for name in found if not name.startswith(".")}
    if not names or (store.MANIFEST not in names and models.TASK in names):
        return None
    manifest: Any = {}
    if store.MANIFEST in names:
        try:
            manifest = to.read_json(store.MANIFEST)
        except DataError:
            manifest = {}
    if not isinstance(manifest, dict) or manifest.get("artefact") != ARTEFACT:
        shown = ", ".join(sorted(names)[:3]) + (", ..." if len(names) > 3 else "")
        raise ConfigError(
            f"{to.url}: holds something else than a tuned model ({shown}).\n"
            "  Name an empty folder with --to, or an earlier tuning, which is replaced."
        )
    if manifest["fingerprint"] != fingerprint:
        return None
    if any(to.check(written) for written in store.listed(manifest) if written.name != README):
        return None
    scores: dict[str, Any] = to.read_json(SCORES)
    return scores


def write(
    to: store.Folder,
    *,
    network: torch.nn.Module,
    model: Model,
    task: Mapping[str, Any],
    scores: Mapping[str, Any],
    predictions: pa.Table | None,
    fingerprint: str,
) -> None:
    """Write a tuned model; the manifest last."""
    contents: dict[str, bytes] = {models.TASK: to_json(task)}
    contents |= _saved(network)
    for name in TOKENIZER_FILES:
        if (model.folder / name).exists():
            contents[name] = (model.folder / name).read_bytes()
    weights = hashlib.sha256(contents[models.WEIGHTS]).hexdigest()
    contents[SCORES] = to_json(scores)
    if predictions is not None:
        contents[PREDICTIONS] = _stream(predictions)
    contents[models.LINEAGE] = to_json(_lineage(model, task, weights=weights))
    contents[README] = card.render(task, scores).encode()

    to.create()
    to.remove_temporary()
    to.remove(store.MANIFEST)
    files = [to.write_bytes(name, data) for name, data in contents.items()]
    for stale in (OWN & set(_names(to))) - set(contents) - {store.MANIFEST}:
        to.remove(stale)
    store.write_manifest(
        to,
        artefact=ARTEFACT,
        fingerprint=fingerprint,
        counts={
            "parameters": sum(weight.numel() for weight in network.parameters()),
            "examples": sum(task["labels"].values()),
            "seeds": len(scores["seeds"]),
        },
        files=files,
        task=task["task"],
    )


def versions() -> dict[str, str]:
    """Return those of what a tuned model depends on."""
    names = ("torch", "transformers", "tokenizers", "numpy")
    return {name: importlib.metadata.version(name) for name in names}


def _names(to: store.Folder) -> Sequence[str]:
    return [name for name in to.names() if "/" not in name]


def _saved(network: torch.nn.Module) -> dict[str, bytes]:
    """Return config.json and the weights, as transformers' `save_pretrained` writes them."""
    import safetensors.torch

    config: Any = network.config
    config.architectures = [type(network).__name__]
    tensors = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    return {
        models.CONFIG: (config.to_json_string() + "\n").encode(),
        models.WEIGHTS: safetensors.torch.save(tensors, metadata={"format": "pt"}),
    }


def _lineage(model: Model, task: Mapping[str, Any], *, weights: str) -> dict[str, Any]:
    """Return the base model's lineage with these weights, and what was tuned."""
    path = model.folder / models.LINEAGE
    before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    own = {key: task[key] for key in ("task", "base", "settings", "data", "seed", "version")}
    return {
        **before,
        "weights": {"file": models.WEIGHTS, "sha256": weights},
        "tuned": [*before.get("tuned", []), own],
    }


def _stream(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table.combine_chunks())
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
