"""How long a network takes on a CPU: in torch, as ONNX, and as ONNX in eight bits.

Two kinds (`bert`, `modernbert`) in two sizes, tagging with 9 tags, with random weights: time does
not depend on them, how far eight bits are off does, so that the deviation given here only says that
the file is sound (`koine export` states a model's own). A small network says little about a large
one: most of its time goes to what is not matrices.

The three run in turn in one process, shape by shape; medians of the repeats, the first left out.
What else ran on the machine when it began is in the load; in a quiet minute `least` is near them.

`alone` is how far an output in eight bits moves when a sequence stands in a batch instead of alone,
against the outputs' deviation: scales of a batch are shared. `koine predict` runs them alone.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import common
import numpy as np
import torch
import transformers

from pretrain.models import Model
from pretrain.serve import convert, quantise
from pretrain.serve.runtime import Backend, Onnx, Torch, features_of, inputs_of

SIZES = {"tiny": (4, 256, 4), "base": (12, 768, 12)}
"""Layers, width, heads."""
PIECES = 32_000
SHAPES = ((1, 16), (1, 128), (8, 64))
THREADS = (1, 2)
LONGEST = 512


def network(kind: str, size: str) -> torch.nn.Module:
    layers, width, heads = SIZES[size]
    shared = {
        "vocab_size": PIECES, "hidden_size": width, "num_hidden_layers": layers,
        "num_attention_heads": heads, "max_position_embeddings": LONGEST, "num_labels": 9,
        "pad_token_id": 0,
    }  # fmt: skip
    config: transformers.PreTrainedConfig
    if kind == "bert":
        config = transformers.BertConfig(intermediate_size=4 * width, **shared)
    else:
        ends = {"bos_token_id": 2, "cls_token_id": 2, "eos_token_id": 3, "sep_token_id": 3}
        config = transformers.ModernBertConfig(intermediate_size=3 * width // 2, **ends, **shared)
    torch.manual_seed(0)
    net = transformers.AutoModelForTokenClassification.from_config(config)
    return net.float().eval()


def model_of(kind: str) -> Model:
    """Return as much of an opened folder as the exporter looks at."""
    return Model(
        folder=Path(kind), config={"model_type": kind}, tokenizer=None, max_length=LONGEST, pad=0,
        cls=2, sep=3, mask=4, takes_types=kind == "bert", labels=None, task=None,
    )  # fmt: skip


def batch(num: int, length: int, *, seed: int = 0) -> dict[str, Any]:
    draws = np.random.default_rng(seed)
    rows = [draws.integers(5, PIECES, length).tolist() for _ in range(num)]
    return inputs_of(features_of(rows), np.arange(num), pad=0)


def timed(backends: dict[str, Backend], given: dict[str, Any], *, repeats: int) -> dict[str, Any]:
    """Return the milliseconds of each, run in turn."""
    taken: dict[str, list[float]] = {name: [] for name in backends}
    for _ in range(repeats + 1):
        for name, backend in backends.items():
            start = time.perf_counter()
            backend(given)
            taken[name].append(1000 * (time.perf_counter() - start))
    return {name: common.summary(values[1:]) for name, values in taken.items()}


def apart(small: Backend, exact: Backend) -> dict[str, float]:
    """Return how far eight bits are off, and how far a batch moves them, in deviations."""
    given = batch(8, 64)
    wanted = exact(given)[0]
    together = small(given)[0]
    alone = np.concatenate(
        [small({name: value[[row]] for name, value in given.items()})[0] for row in range(8)]
    )
    deviation = float(wanted.std())
    return {
        "int8_from_torch": float(np.abs(alone - wanted).mean()) / deviation,
        "int8_in_a_batch": float(np.abs(alone - together).mean()) / deviation,
    }


def main() -> None:
    parser = common.arguments(__doc__, documents=0, repeats=9)
    parser.add_argument("--sizes", nargs="*", choices=SIZES, default=list(SIZES))
    given = parser.parse_args()
    facts = common.machine()
    results, rows = [], []
    for size in given.sizes:
        for kind in ("bert", "modernbert"):
            net = network(kind, size)
            began = time.perf_counter()
            proto = convert.to_onnx(net, model=model_of(kind), head="tag")
            exported_s = time.perf_counter() - began
            data = proto.SerializeToString(deterministic=True)
            small = quantise.to_int8(proto).SerializeToString(deterministic=True)
            in_torch = Torch(net, "tag", takes_types=kind == "bert")
            megabytes = {
                "torch": sum(x.numel() * 4 for x in net.parameters()) / 1e6,
                "onnx": len(data) / 1e6,
                "int8": len(small) / 1e6,
            }
            off = apart(Onnx(small, int8=True, threads=1), in_torch)
            results.append({
                "kind": kind, "size": size, "export_s": exported_s, "megabytes": megabytes, **off,
                "latency": [],
            })  # fmt: skip
            for threads in THREADS:
                torch.set_num_threads(threads)
                backends: dict[str, Backend] = {
                    "torch": in_torch,
                    "onnx": Onnx(data, threads=threads),
                    "int8": Onnx(small, int8=True, threads=threads),
                }
                for shape in SHAPES:
                    took = timed(backends, batch(*shape), repeats=given.repeats)
                    results[-1]["latency"].append({
                        "threads": threads, "sequences": shape[0], "pieces": shape[1], "ms": took,
                    })  # fmt: skip
                    medians = [took[name]["median"] for name in backends]
                    rows.append([
                        size, kind, threads, f"{shape[0]} x {shape[1]}",
                        *(f"{value:.1f}" for value in medians),
                        f"{medians[0] / medians[1]:.1f}", f"{medians[1] / medians[2]:.1f}",
                    ])  # fmt: skip
    common.table(
        ["", "", "threads", "shape", "torch ms", "ONNX ms", "int8 ms", "torch/ONNX", "ONNX/int8"],
        rows,
    )
    print()
    common.table(
        ["", "", "torch MB", "ONNX MB", "int8 MB", "int8 off", "moved by a batch"],
        [
            [
                one["size"], one["kind"], *(f"{value:.0f}" for value in one["megabytes"].values()),
                f"{one['int8_from_torch']:.3f}", f"{one['int8_in_a_batch']:.3f}",
            ]
            for one in results
        ],
    )  # fmt: skip
    common.write(given.name or "onnx_latency", facts, {"networks": results})


if __name__ == "__main__":
    main()
