"""The files of a model with fewer pieces: its rows cut, its tokenizer and settings to match.

Promises: every row that stays, and every other tensor, is bit for bit as it was, in its own
precision; what says the same twice (vocab.json, merges.txt) is left out, tokenizer.json stands.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines.errors import DataError

from .. import models
from ..lineage import to_json
from ..models import Model
from . import folder, pieces
from .texts import Texts

if TYPE_CHECKING:
    import tokenizers

_ROWS = re.compile(
    r"(word_embeddings|tok_embeddings|decoder)\.weight$|(decoder|predictions)\.bias$"
)
"""Names of the tensors that have a row for each piece."""


def contents(
    model: Model,
    value: pieces.Value,
    ids: NDArray[np.int64],
    *,
    labels: list[str],
    texts: Texts,
) -> tuple[dict[str, bytes], dict[str, int]]:
    """Return the new files, and the bytes of the rows before and after.

    Args:
        model: the whole one.
        value: the trimmed tokenizer.json.
        ids: (K,), the old number of each new piece.
        labels: languages that are kept.
        texts: what decided it.

    Raises:
        DataError: the weights have no rows of this vocabulary.
    """
    size = int(model.config["vocab_size"])
    place = {old: new for new, old in enumerate(ids.tolist())}
    chosen = torch.from_numpy(ids)
    tensors, before, after = {}, 0, 0
    for name, tensor in folder.tensors_of(model).items():
        if _ROWS.search(name) and tensor.shape[0] == size:
            tensors[name] = tensor[chosen]
            before += tensor.numel() * tensor.element_size()
            after += tensors[name].numel() * tensor.element_size()
        else:
            tensors[name] = tensor
    if not before:
        raise DataError(
            f"{model.folder}: no tensor has a row for each of the {size:,} pieces.\n"
            "  config.json is of another vocabulary; write the folder again."
        )
    config: dict[str, Any] = {**model.config, "vocab_size": len(ids)}
    for key, old in config.items():
        if key.endswith("_token_id") and isinstance(old, int) and old >= 0:
            config[key] = place.get(old)
    weights = folder.weights_bytes(tensors)
    found = {
        models.CONFIG: to_json(config),
        models.WEIGHTS: weights,
        **_tokenizer_files(model, value, ids, place),
        **folder.others(model),
    }
    done = {
        "labels": labels,
        "rows": {"before": size, "after": len(ids)},
        "texts_sha256": texts.sha256,
    }
    found[models.LINEAGE] = folder.lineage(
        model, kind="trimmed", weights=weights, done=done, labels=labels
    )
    return found, {"bytes_before": before, "bytes_after": after}


def _tokenizer_files(
    model: Model, value: pieces.Value, ids: NDArray[np.int64], place: Mapping[int, int]
) -> dict[str, bytes]:
    """Return the tokenizer's files; of what says the same twice, tokenizer.json alone."""
    text = json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False)
    found = {models.TOKENIZER: (text + "\n").encode()}
    if (model.folder / "spm.model").exists():
        found["spm.model"] = pieces.trimmed_model((model.folder / "spm.model").read_bytes(), ids)
    if (model.folder / "vocab.txt").exists():
        names = [piece for piece in pieces.names_of(value) if piece is not None]
        found["vocab.txt"] = "".join(f"{piece}\n" for piece in names).encode()
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        path = model.folder / name
        if not path.exists():
            continue
        settings = json.loads(path.read_bytes())
        added = settings.get("added_tokens_decoder")
        if added:
            settings["added_tokens_decoder"] = {
                str(place[int(old)]): token for old, token in added.items() if int(old) in place
            }
        if "koine" in settings and "spm.model" in found:
            from tokenizer.export import vocab_hash

            settings["koine"] = {
                **settings["koine"],
                "vocab_hash": vocab_hash(found["spm.model"]),
                "trimmed_from": settings["koine"].get("vocab_hash"),
            }
        found[name] = to_json(settings)
    return found


def tokenizer(value: pieces.Value) -> tokenizers.Tokenizer:
    """Return a tokenizer of tokenizer.json; it neither cuts nor pads."""
    import tokenizers

    found = tokenizers.Tokenizer.from_str(json.dumps(value, ensure_ascii=False))
    found.no_truncation()
    found.no_padding()
    return found
