"""What transformers calls the weights and the shape of koine's models.

Promises: `to_transformers` gives exactly the tensors that `save_pretrained` of the architecture
writes, no tied copies; `from_transformers` takes them back, bit for bit, and also what published
BERTs have besides. `config_json` is read alike by transformers 5 and by 4.48 and later.
Does not promise: to read models of other sizes than the shape says, or with weights that koine's
models don't have; it names them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from pipelines.errors import DataError

from .masking import CLS, PAD, SEP
from .presets import Shape

_BERT = {
    "encoder.embeddings.tokens": "bert.embeddings.word_embeddings.weight",
    "encoder.embeddings.positions": "bert.embeddings.position_embeddings.weight",
    "encoder.embeddings.types": "bert.embeddings.token_type_embeddings.weight",
    "encoder.embeddings.norm": "bert.embeddings.LayerNorm",
    "mlm.dense": "cls.predictions.transform.dense",
    "mlm.norm": "cls.predictions.transform.LayerNorm",
    "mlm.bias": "cls.predictions.bias",
}
_BERT_PAIRS = {"nsp.pooler": "bert.pooler.dense", "nsp.out": "cls.seq_relationship"}
_BERT_LAYER = {
    "attention.out": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "feed_in": "intermediate.dense",
    "feed_out": "output.dense",
    "feed_norm": "output.LayerNorm",
}
_BERT_QKV = tuple(f"attention.self.{name}" for name in ("query", "key", "value"))
_MODERN = {
    "encoder.embeddings.tokens": "model.embeddings.tok_embeddings.weight",
    "encoder.embeddings.norm": "model.embeddings.norm",
    "encoder.final_norm": "model.final_norm",
    "mlm.dense": "head.dense",
    "mlm.norm": "head.norm",
    "mlm.bias": "decoder.bias",
}
_MODERN_LAYER = {
    "attention.qkv": "attn.Wqkv",
    "attention.out": "attn.Wo",
    "attention_norm": "attn_norm",
    "feed_in": "mlp.Wi",
    "feed_out": "mlp.Wo",
    "feed_norm": "mlp_norm",
}
_TIED = {
    "cls.predictions.decoder.weight",
    "cls.predictions.decoder.bias",
    "decoder.weight",
    "bert.embeddings.position_ids",
    "bert.embeddings.token_type_ids",
}
"""What older versions save besides: copies, and counts from 0 on."""


def to_transformers(state: Mapping[str, Tensor], shape: Shape) -> dict[str, Tensor]:
    """Return a model's tensors by the names that transformers saves them under.

    `bert` is a BertForPreTraining, or without next-sentence prediction a BertForMaskedLM; `modern`
    a ModernBertForMaskedLM, which has no place for the head of pairs: see `nsp_head`.

    Args:
        state: `Pretrainer.state_dict()`.
        shape: of the model.
    """
    found: dict[str, Tensor] = {}
    for ours, theirs in _names(shape):
        parts = (state[ours],) if len(theirs) == 1 else state[ours].chunk(len(theirs))
        found.update(zip(theirs, parts, strict=True))
    return found


def from_transformers(state: Mapping[str, Tensor], shape: Shape) -> dict[str, Tensor]:
    """Return tensors that transformers saved by the names of `Pretrainer.state_dict()`.

    Args:
        state: tensors of a BertForPreTraining, BertForMaskedLM or ModernBertForMaskedLM.
        shape: what the model to fill is made of. Of `modern` with next-sentence prediction, the
            head of pairs is not in the result.

    Raises:
        DataError: tensors are missing, or there are some that the shape has no place for.
    """
    renamed = {
        name.replace("LayerNorm.gamma", "LayerNorm.weight").replace(
            "LayerNorm.beta", "LayerNorm.bias"
        ): tensor
        for name, tensor in state.items()
    }
    names = list(_names(shape))
    wanted = {their for _, theirs in names for their in theirs}
    missing, unknown = wanted - set(renamed), set(renamed) - wanted - _TIED
    if shape.family == "bert" and not shape.nsp:
        unknown -= {f"{their}.{kind}" for their in _BERT_PAIRS.values() for kind in _KINDS}
    for what, found in (("has no", missing), ("has, and the shape has no place for,", unknown)):
        if found:
            more = f" and {len(found) - 3} more" if len(found) > 3 else ""
            raise DataError(
                f"weights: the model {what} {', '.join(sorted(found)[:3])}{more}.\n"
                "  Set family, layers, width and nsp as its config.json has them."
            )
    return {ours: torch.cat([renamed[their] for their in theirs]) for ours, theirs in names}


def nsp_head(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the pooler and the head of next-sentence prediction, which `modern` saves apart.

    Returns:
        `pooler.weight` (E, E), `pooler.bias` (E,), `out.weight` (2, E), `out.bias` (2,): the scores
        of "follows" and "random" are out(tanh(pooler(hidden state of [CLS]))).
    """
    return {
        name.removeprefix("nsp."): tensor
        for name, tensor in state.items()
        if name.startswith("nsp.")
    }


def config_json(shape: Shape, *, vocab_rows: int) -> dict[str, Any]:
    """Return config.json: what transformers makes the model from.

    Args:
        shape: of the model.
        vocab_rows: V, padding rows included.
    """
    common = {
        "dtype": "float32",
        "hidden_size": shape.width,
        "initializer_range": 0.02,
        "intermediate_size": shape.feed_forward,
        "max_position_embeddings": shape.max_positions,
        "num_attention_heads": shape.heads,
        "num_hidden_layers": shape.layers,
        "pad_token_id": PAD,
        "tie_word_embeddings": True,
        "torch_dtype": "float32",
        "vocab_size": vocab_rows,
    }
    if shape.family == "bert":
        return {
            "architectures": ["BertForPreTraining" if shape.nsp else "BertForMaskedLM"],
            "model_type": "bert",
            **common,
            # Pretraining goes without; fine-tuning on little text is better with it.
            "attention_probs_dropout_prob": 0.1,
            "hidden_act": "gelu",
            "hidden_dropout_prob": 0.1,
            "layer_norm_eps": shape.norm_eps,
            "position_embedding_type": "absolute",
            "type_vocab_size": 2,
        }
    rope = {"rope_type": "default", "rope_theta": shape.rope_theta}
    kinds = {True: "full_attention", False: "sliding_attention"}
    return {
        "architectures": ["ModernBertForMaskedLM"],
        "model_type": "modernbert",
        **common,
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": CLS,
        "classifier_activation": "gelu",
        "classifier_bias": False,
        "classifier_dropout": 0.0,
        "classifier_pooling": "cls",
        "cls_token_id": CLS,
        "decoder_bias": True,
        "embedding_dropout": 0.0,
        "eos_token_id": SEP,
        "hidden_activation": "gelu",
        "local_attention": shape.window,
        "mlp_bias": False,
        "mlp_dropout": 0.0,
        "norm_bias": False,
        "norm_eps": shape.norm_eps,
        "sep_token_id": SEP,
        # Of transformers 5:
        "layer_types": [kinds[shape.is_global(layer)] for layer in range(shape.layers)],
        "rope_parameters": {kind: dict(rope) for kind in kinds.values()},
        # Of transformers 4, whose defaults are others:
        "global_attn_every_n_layers": shape.global_every,
        "global_rope_theta": shape.rope_theta,
        "local_rope_theta": shape.rope_theta,
    }


_KINDS = ("weight", "bias")


def _names(shape: Shape) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield each of koine's names with those that it is saved under, one below the other."""
    bert = shape.family == "bert"
    kinds = _KINDS if bert else ("weight",)

    def both(ours: str, theirs: tuple[str, ...]) -> Iterator[tuple[str, tuple[str, ...]]]:
        for kind in kinds:
            yield f"{ours}.{kind}", tuple(f"{their}.{kind}" for their in theirs)

    table = {**_BERT, **(_BERT_PAIRS if shape.nsp else {})} if bert else _MODERN
    for ours, theirs in table.items():
        if theirs.endswith(_KINDS):
            yield ours, (theirs,)
        else:
            yield from both(ours, (theirs,))
    prefix = "bert.encoder.layer" if bert else "model.layers"
    layer_table = _BERT_LAYER if bert else _MODERN_LAYER
    for layer in range(shape.layers):
        ours_at, theirs_at = f"encoder.layers.{layer}.", f"{prefix}.{layer}."
        if bert:
            yield from both(
                f"{ours_at}attention.qkv", tuple(theirs_at + name for name in _BERT_QKV)
            )
        for ours, theirs in layer_table.items():
            if not bert and layer == 0 and ours == "attention_norm":
                continue  # the embeddings' norm is right before it
            yield from both(ours_at + ours, (theirs_at + theirs,))
