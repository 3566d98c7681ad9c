"""The tables of gpu_pretrain.py.

The floor of a case is what its products would take at the machine's measured rate, plus what norms
and other pointwise work must read and write at its measured bandwidth, plus attention and the
optimizer's weights likewise; attention as measured by itself, where it was. A step of real code
can't be faster, unless several of these are fused into one kernel.
"""

from __future__ import annotations

from typing import Any

Results = dict[str, dict[str, Any]]

POINTWISE_BYTES = {"bert": 84, "modern": 99}
"""Read and written by a layer for a token, forward and backward, per unit of width, by everything
but products and attention: 42 and 49 passes over two bytes, each input and output once.

BERT, forward: two times residual + norm (3 passes each), GELU (4 in, 4 out); backward: norms 4
each, GELU 12, queries, keys and values put together 6, sums for biases 2. ModernBERT: norms and
residuals 8, rotating 4, gate (3 x 8/3) 8; backward 13 + 8 + 6 + 2.
"""
LOGIT_PASSES = 5
ADAMW_BYTES = 28  # for a weight: gradient, weight and two averages read, all but the first written


def floor(facts: dict[str, Any], done: Results, name: str) -> dict[str, float]:
    """Return what a token of a case must take at least, in microseconds, part by part."""
    rates, width, layers = done["rates"], facts["width"], facts["layers"]
    copy = rates["copy_bytes_per_s"]
    products = facts["flop_per_token"] - facts["attention_flop_per_token"]
    seconds = {
        "products": products / rates["matmul_flop_per_s"],
        "pointwise": POINTWISE_BYTES[facts["family"]] * width * layers / copy,
        "cross-entropy": 2 * LOGIT_PASSES * facts["rows"] * facts["masked_share"] / copy,
        "optimizer": ADAMW_BYTES * facts["parameters"] / copy / facts["step_tokens"],
        "attention": facts["attention_flop_per_token"] / rates["matmul_flop_per_s"],
    }
    measured = done.get("attention", {}).get("seconds_per_token", {})
    longest = name.rpartition("-")[2]
    whole, local = (measured.get(f"{longest}{w} varlen") for w in ("", " window 128"))
    if whole and width == 768:
        num_whole = layers if facts["family"] == "bert" else -(-layers // 3)
        seconds["attention"] = num_whole * whole + (layers - num_whole) * (local or whole)
    return {key: value * 1e6 for key, value in seconds.items()}


def tables(done: Results) -> str:
    """Return the results as Markdown."""
    rates = done.get("rates", {})
    matmul = rates.get("matmul_flop_per_s")
    header = (
        "case", "tokens/s", "MFU (data sheet)", "MFU (measured)", "waiting for data", "filled",
        "times the usual", "compiling, s", "graphs", "waits in a step", "GB",
    )  # fmt: skip
    rows: list[list[str]] = []
    for name, found in done.items():
        kind, _, case = name.partition(":")
        if kind not in ("koine", "usual"):
            continue
        if "failed" in found:
            rows.append([name, found["failed"][:60], *[""] * (len(header) - 2)])
            continue
        usual = done.get(f"usual:{case.partition('+')[0]}", {}).get("tokens_per_s")
        gained = found["tokens_per_s"] / usual if usual and kind == "koine" else None
        own = done.get(f"koine:{case}", {})
        work = found["tokens_per_s"] * own.get("flop_per_token", 0)
        sheet = own.get("machine", {}).get("peak_flops")
        rows.append(
            [
                f"{name}, {found['sequences']} sequences" if kind == "usual" else name,
                f"{found['tokens_per_s']:,.0f}",
                f"{work / sheet:.1%}" if sheet else "",
                f"{work / matmul:.1%}" if matmul and work else "",
                f"{found['wait_share']:.1%}",
                f"{found['fill']:.1%}",
                f"{gained:.2f}" if gained else "",
                f"{found['compile_s']:.0f}",
                f"{found['graphs']} ({found['graph_breaks']} breaks)",
                found.get("waits_in_steps", ""),
                f"{found['peak_gb']:.1f}" if found.get("peak_gb") else "",
            ]
        )
    text = markdown(header, rows)
    if matmul:
        text += (
            f"\nMeasured: {matmul / 1e12:.0f} TFLOP/s (8192 x 8192 product), "
            f"{rates['copy_bytes_per_s'] / 1e12:.2f} TB/s (copying).\n\n"
        )
        text += floors(done)
        ways = ("forward", "to inputs", "to weights")
        products = rates["products"].items()
        text += "\nTFLOP/s of the models' products:\n\n" + markdown(
            ("product", *ways),
            [[name, *(f"{own[way] / 1e12:.0f}" for way in ways)] for name, own in products],
        )
    if "seconds_per_token" in done.get("attention", {}):
        text += (
            "\nAttention of a layer, forward and backward, microseconds a token:\n\n"
            + markdown(
                ("longest, kernel", ""),
                [[k, f"{v * 1e6:.4f}"] for k, v in done["attention"]["seconds_per_token"].items()],
            )
        )
    if "clip_s" in done.get("optimizer", {}):
        own = [(key, value) for key, value in done["optimizer"].items() if key.endswith("_s")]
        text += "\nOnce a step, milliseconds:\n\n" + markdown(
            ("", ""), [[key[:-2], f"{value * 1e3:.2f}"] for key, value in own]
        )
    for name, found in done.items():
        if "kernels" in found:
            kinds, busy = found["kernels"]["seconds"], found["kernels"]["busy_s"] or 1.0
            shares = [[kind, f"{value / busy:.1%}"] for kind, value in kinds.items()]
            text += f"\nKernels of {name}, share of their time:\n\n" + markdown(("", ""), shares)
    return text


def floors(done: Results) -> str:
    """Return how far each case is from its floor."""
    rows = []
    for name, found in done.items():
        if name.startswith("koine:") and "tokens_per_s" in found and "+" not in name:
            own = floor(found, done, name)
            total, took = sum(own.values()), 1e6 / found["tokens_per_s"]
            parts = [f"{value:.3f}" for value in own.values()]
            rows.append([name[6:], *parts, f"{total:.3f}", f"{took:.3f}", f"{total / took:.0%}"])
    header = ("products", "pointwise", "cross-entropy", "optimizer", "attention")
    return "Microseconds a token:\n\n" + markdown(
        ("case", *header, "floor", "took", "of the floor's speed"), rows
    )


def markdown(header: tuple[str, ...], rows: list[list[str]]) -> str:
    """Return a table."""
    lines = [header, ["--", *["--:"] * (len(header) - 1)], *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
