"""The encoders that koine trains, over packed sequences, with the heads that they are trained by.

Two families, in the words of `pretrain.presets`: `bert` computes what transformers'
`BertForPreTraining` does, `modern` what its `ModernBertForMaskedLM` does, logits and gradients
alike (without dropout; `pretrain.naming` maps the weights). What is different makes it fast:

* Sequences lie one after the other in N token slots, and attention keeps them apart. Nothing is
  padded to the longest.
* Every shape is fixed by N, K and D, no value is looked at, so the whole model compiles once:
  `torch.compile(model, fullgraph=True, dynamic=False)`.
* Behind the attention of the last layer only the K masked tokens and the first of each sequence
  are wanted, so only these go on. With 15 % masks that saves 5 % of the products of twelve layers,
  8 % of eight, besides the scores over the vocabulary of all other tokens.
* Weights are float32; each product casts its weights to `dtype`. Norms, softmax and losses are
  float32 whatever it is.

Does not promise: dropout (a pass or two over the data do not overfit), the attention weights.

Shapes: N token slots, K slots of masked tokens, D slots of sequences (D1: their borders), R rows
that the heads want, V vocabulary, E width, F feed-forward width, H heads, A width of a head.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .attention import Kernel, layout, suited
from .layers import BertLayer, Embeddings, Linear, ModernLayer, Norm
from .presets import Shape

INIT_STD = 0.02


class Inputs(NamedTuple):
    """A micro-batch on the device."""

    ids_N: Tensor
    """(N,) int32 pieces; padding behind the last sequence."""
    positions_N: Tensor
    """(N,) int32 place in the sequence, from 0."""
    types_N: Tensor
    """(N,) int32: 0 for the first part of a pair, 1 for the second."""
    cu_D1: Tensor
    """(D + 1,) int32 borders of the sequences, those of padding too; then N to fill up."""
    masked_K: Tensor
    """(K,) int64 places to predict; unused slots hold 0."""
    labels_K: Tensor
    """(K,) int64 the pieces that belong there."""
    weights_K: Tensor
    """(K,) float32: 1, or 0 for an unused slot."""
    nsp_D: Tensor
    """(D,) int64: 1 if the second part is a random one, 0 if it follows the first."""
    nsp_weights_D: Tensor
    """(D,) float32: 1, or 0 where there is no pair."""


class Scores(NamedTuple):
    """What the model makes of a micro-batch, slot by slot; unused slots are to be left out."""

    ce_K: Tensor
    """(K,) float32 cross-entropy in nats of each masked token."""
    hit_K: Tensor
    """(K,) bool: the right piece has the highest score."""
    nsp_ce_D: Tensor
    """(D,) float32 cross-entropy in nats of each pair; 0 without next-sentence prediction."""
    nsp_hit_D: Tensor
    """(D,) bool: the right answer has the higher score."""


def loss(scores: Scores, inputs: Inputs) -> Tensor:
    """Return what is minimised: the means over masked slots and over pairs, added up.

    The first is a mean over all K slots, so that every token weighs the same in a batch that is
    not full.
    """
    mlm = (scores.ce_K * inputs.weights_K).sum() / len(inputs.weights_K)
    pairs = inputs.nsp_weights_D.sum().clamp(min=1)
    return mlm + (scores.nsp_ce_D * inputs.nsp_weights_D).sum() / pairs


class Encoder(nn.Module):
    """Packed tokens to hidden states."""

    rotation_2SA: Tensor

    def __init__(
        self, shape: Shape, *, vocab_rows: int, dtype: torch.dtype, kernel: Kernel
    ) -> None:
        super().__init__()
        self.shape, self.dtype, self.kernel = shape, dtype, kernel
        bert, numbers = shape.family == "bert", range(shape.layers)
        self.embeddings = Embeddings(shape, vocab_rows=vocab_rows)
        self.layers = nn.ModuleList(
            BertLayer(shape) if bert else ModernLayer(shape, number=number) for number in numbers
        )
        self.final_norm = (
            nn.Identity() if bert else Norm(shape.width, eps=shape.norm_eps, bias=False)
        )
        self.window = None if all(map(shape.is_global, numbers)) else shape.window
        self.register_buffer("rotation_2SA", _rotation(shape), persistent=False)

    def forward(self, inputs: Inputs, *, max_length: int, rows_R: Tensor | None = None) -> Tensor:
        """Return hidden states in `dtype`.

        Args:
            inputs: the micro-batch.
            max_length: no sequence has more tokens. A new value compiles anew.
            rows_R: (R,) int64 tokens that are wanted; all when left out.

        Returns:
            (R, E), or (N, E).
        """
        hidden = self.embeddings(inputs.ids_N, inputs.positions_N, inputs.types_N).to(self.dtype)
        packed = layout(
            inputs.cu_D1,
            num_tokens=len(inputs.ids_N),
            max_length=max_length,
            window=self.window,
            kernel=suited(self.kernel, inputs.cu_D1.device),
            dtype=self.dtype,
        )
        modern = self.shape.family == "modern"
        rotation = self.rotation_2SA[:, inputs.positions_N] if modern else None
        for layer in self.layers[:-1]:
            hidden = layer(hidden, packed, rotation, None)
        hidden = self.layers[-1](hidden, packed, rotation, rows_R)
        normed: Tensor = self.final_norm(hidden)
        return normed


class MaskedHead(nn.Module):
    """Hidden states to scores over the vocabulary, by the embeddings of the pieces."""

    def __init__(self, shape: Shape, *, vocab_rows: int) -> None:
        super().__init__()
        bert = shape.family == "bert"
        self.dense = Linear(shape.width, shape.width, bias=bert)
        self.norm = Norm(shape.width, eps=shape.norm_eps, bias=bert)
        self.bias = nn.Parameter(torch.zeros(vocab_rows))

    def forward(self, hidden_KE: Tensor, tokens_VE: Tensor) -> Tensor:
        """Return logits (K, V)."""
        hidden_KE = self.norm(F.gelu(self.dense(hidden_KE)))
        return F.linear(hidden_KE, tokens_VE.to(hidden_KE.dtype), self.bias.to(hidden_KE.dtype))


class PairHead(nn.Module):
    """The first token of each sequence to scores of "follows" and "random"."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.pooler = Linear(shape.width, shape.width, bias=True)
        self.out = Linear(2, shape.width, bias=True)

    def forward(self, first_DE: Tensor) -> Tensor:
        """Return logits (D, 2)."""
        logits: Tensor = self.out(torch.tanh(self.pooler(first_DE)))
        return logits


class Pretrainer(nn.Module):
    """An encoder with the heads that it is trained by; also what judges it."""

    def __init__(
        self,
        shape: Shape,
        *,
        vocab_rows: int,
        dtype: torch.dtype = torch.float32,
        kernel: Kernel = "tiles",
        seed: int = 0,
    ) -> None:
        """Make a model on the CPU, with weights that depend on the shape and the seed alone.

        Args:
            shape: what it is made of.
            vocab_rows: V, at least the number of pieces; a multiple of 128 is fastest.
            dtype: of products and hidden states.
            kernel: of attention, as `attention.choose` gives it.
            seed: of the weights.
        """
        super().__init__()
        self.shape = shape
        self.encoder = Encoder(shape, vocab_rows=vocab_rows, dtype=dtype, kernel=kernel)
        self.mlm = MaskedHead(shape, vocab_rows=vocab_rows)
        self.nsp = PairHead(shape) if shape.nsp else None
        initialise(self, shape, seed=seed)

    def forward(self, inputs: Inputs, *, max_length: int) -> Scores:
        """Return cross-entropies and hits of every slot of a micro-batch.

        Args:
            inputs: the micro-batch.
            max_length: no sequence has more tokens. A new value compiles anew.
        """
        rows_R = inputs.masked_K
        if self.nsp is not None:
            rows_R = torch.cat((rows_R, _first(inputs)))
        hidden_RE = self.encoder(inputs, max_length=max_length, rows_R=rows_R)
        num_masked = len(inputs.masked_K)
        ce_K, hit_K = _judge(self.logits(hidden_RE[:num_masked]), inputs.labels_K)
        if self.nsp is None:
            nothing_D = torch.zeros_like(inputs.nsp_weights_D)
            return Scores(ce_K, hit_K, nothing_D, nothing_D > 0)
        nsp_ce_D, nsp_hit_D = _judge(self.nsp(hidden_RE[num_masked:]), inputs.nsp_D)
        return Scores(ce_K, hit_K, nsp_ce_D, nsp_hit_D)

    def encode(self, inputs: Inputs, *, max_length: int) -> Tensor:
        """Return the last hidden states (N, E) of all tokens."""
        hidden_NE: Tensor = self.encoder(inputs, max_length=max_length)
        return hidden_NE

    def logits(self, hidden_KE: Tensor) -> Tensor:
        """Return scores over the vocabulary (K, V) of hidden states."""
        logits_KV: Tensor = self.mlm(hidden_KE, self.encoder.embeddings.tokens)
        return logits_KV

    def pair_logits(self, hidden_NE: Tensor, inputs: Inputs) -> Tensor:
        """Return scores (D, 2) of "follows" and "random" of the sequences in all hidden states."""
        assert self.nsp is not None, "the shape has no next-sentence prediction"
        logits_D2: Tensor = self.nsp(hidden_NE.index_select(0, _first(inputs)))
        return logits_D2


def initialise(model: nn.Module, shape: Shape, *, seed: int) -> None:
    """Draw the weights of a model on the CPU; biases become 0 and norms 1.

    Matrices are normal with deviation 0.02, cut off at twice that, as in BERT; those of `modern`
    that write into the residual stream are divided by sqrt(2 layers), as in ModernBERT.
    """
    generator = torch.Generator().manual_seed(seed)
    narrow = INIT_STD / math.sqrt(2 * shape.layers) if shape.family == "modern" else INIT_STD
    for name, parameter in model.named_parameters():
        if parameter.dim() < 2:
            nn.init.constant_(parameter, float(name.endswith("norm.weight")))
            continue
        out = name.endswith(("attention.out.weight", "feed_out.weight", "mlm.dense.weight"))
        std = narrow if out else INIT_STD
        nn.init.trunc_normal_(parameter, std=std, a=-2 * std, b=2 * std, generator=generator)


def _rotation(shape: Shape) -> Tensor:
    """Return (2, S, A / 2) cosines and sines of every place; nothing for learned positions."""
    if shape.family == "bert":
        return torch.empty(2, 0, 0)
    half = torch.arange(0, shape.head_width, 2, dtype=torch.float32) / shape.head_width
    angles = torch.arange(shape.max_positions)[:, None] * (1 / shape.rope_theta**half)
    return torch.stack((angles.cos(), angles.sin()))


def _first(inputs: Inputs) -> Tensor:
    """Return the place of each sequence's first token, some token for unused slots."""
    return inputs.cu_D1[:-1].clamp(max=len(inputs.ids_N) - 1).long()


def _judge(logits_RV: Tensor, labels_R: Tensor) -> tuple[Tensor, Tensor]:
    """Return the cross-entropy of each row in float32, and whether its label scores highest.

    Compiled, this is one kernel that reads the logits, and one that turns them into their gradient
    where they are: inductor knows torch's cross-entropy. (Less the gathered score of the label,
    logsumexp would have a gradient of zeros as large as the logits.)
    """
    wide_RV = logits_RV.to(torch.promote_types(logits_RV.dtype, torch.float32))
    ce_R = F.cross_entropy(wide_RV, labels_R, reduction="none")
    return ce_R, wide_RV.detach().argmax(-1) == labels_R
