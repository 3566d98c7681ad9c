"""One measurement of koine's training on a GPU, in a process of its own; see gpu_pretrain.py.

    koine:CASE[+VARIANT]   the real loop on real micro-batches, without judging and saving
    rates                  products of matrices and copies: what the floor is made of
    attention              both kernels, forward and backward, at the lengths of the cases
    optimizer              clipping and AdamW or Muon on the weights of bert-base

A result is a line `@result {...}`. Around what it times, a part says `@measure`, waits for an
answer, and says `@measured`: the parent keeps everything else still in between.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import signal
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_data import CASES, Case, opened
from torch.profiler import ProfilerActivity, profile

from pretrain import attention, feed, flops, train
from pretrain.config import OptimizerSettings
from pretrain.model import Pretrainer
from pretrain.optim import Optimizer, clip_
from pretrain.prepare import Run
from pretrain.source import Begun

VARIANTS: dict[str, dict[str, Any]] = {
    "": {},
    "tiles": {"attention": "tiles"},
    "muon": {"optimizer": {"name": "muon"}},
    "deterministic": {"deterministic": True},
    "static": {},
}
"""Of the settings; `static` compiles for the mask rate, too."""
KINDS = {
    "pointwise and norms": ("triton_",),
    "attention": ("flash", "fmha", "attention"),
    "optimizer and clipping": ("multi_tensor", "adam"),
    "matrix products": ("gemm", "nvjet", "cutlass", "xmma", "cublas", "splitk"),
    "copies": ("memcpy", "memset"),
}
"""Of kernels, by parts of their names; the first that fits."""


def say(word: str, value: object = "") -> None:
    """Tell the parent something."""
    print(f"@{word} {json.dumps(value)}", flush=True)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Have the machine alone."""
    say("measure")
    sys.stdin.readline()
    yield
    say("measured")


class Watch:
    """Follows the real loop: its lines of the log are the windows that are timed."""

    def __init__(self, run: Run, facts: dict[str, Any], given: argparse.Namespace) -> None:
        self.run, self.facts, self.given = run, facts, given
        self.on_gpu = run.machine.on_gpu
        self.training: _Training | None = None
        self.windows: list[dict[str, Any]] = []
        self.script = self.follow()
        next(self.script)

    def note(self, text: str) -> None:
        """Hear what the loop has to say."""

    def step(self, record: dict[str, Any], *, progress: float, elapsed_s: float) -> None:  # noqa: ARG002
        """Take a line of the log, while the device works on the step after it."""
        with contextlib.suppress(StopIteration):
            self.script.send(record)

    def follow(self) -> Iterator[Any]:
        """Do what there is to do after each line of the log; `send` gives the lines."""
        record = yield
        self.facts["first_window_s"] = record["seconds"]
        with quiet():
            yield  # this window has the wait in it
            if self.on_gpu:
                torch.cuda.reset_peak_memory_stats()
            for _ in range(self.given.windows):
                self.windows.append((yield))
            self.measured()
            if self.given.profile:
                with profiled(on_gpu=self.on_gpu) as found:
                    yield
                self.facts["kernels"] = self.kernels(found[0])
        if self.on_gpu:
            torch.cuda.set_sync_debug_mode("error")
            try:
                yield
                self.facts["waits_in_steps"] = "none"
            finally:
                torch.cuda.set_sync_debug_mode("default")
        assert self.training is not None
        self.training.stop(signal.SIGTERM)
        yield

    def measured(self) -> None:
        """Put the windows together."""
        rates = [window["tokens_per_s"] for window in self.windows]
        middle = statistics.median(rates)
        self.facts |= {
            "tokens_per_s": middle,
            "windows": rates,
            "mfu": [window["mfu"] for window in self.windows],  # as the log has it
            "wait_share": statistics.fmean(window["wait_share"] for window in self.windows),
            "loss": self.windows[-1]["loss"],
        }
        # What the first window took beside ten ordinary steps: compiling, mostly.
        seconds = self.windows[-1]["seconds"] - self.windows[-2]["seconds"]
        self.facts["compile_s"] = max(0.0, self.facts["first_window_s"] - seconds)
        if self.on_gpu:
            self.facts["peak_gb"] = torch.cuda.max_memory_allocated() / 1e9

    def kernels(self, found: profile) -> dict[str, Any]:
        """Write the table of kernels; return the share of the time that each kind takes."""
        averages = found.key_averages()
        key = "self_device_time_total" if self.on_gpu else "self_cpu_time_total"
        table = averages.table(sort_by=key, row_limit=15, max_name_column_width=100)
        name = f"profile-{re.sub('[^a-z0-9-]', '-', self.given.part)}.txt"
        (self.given.out / name).write_text(table, encoding="utf-8")
        kinds: dict[str, float] = dict.fromkeys([*KINDS, "other"], 0.0)
        for one in averages:
            if self.on_gpu and one.device_type != torch.autograd.DeviceType.CUDA:
                continue
            lower = one.key.lower()
            fits = (kind for kind, parts in KINDS.items() if any(part in lower for part in parts))
            kinds[next(fits, "other")] += getattr(one, key) / 1e6
        return {"file": name, "seconds": kinds, "busy_s": sum(kinds.values())}


@contextlib.contextmanager
def profiled(*, on_gpu: bool) -> Iterator[list[profile]]:
    """Profile what is done meanwhile; the list has the profile afterwards."""
    found: list[profile] = []
    activity = ProfilerActivity.CUDA if on_gpu else ProfilerActivity.CPU
    with profile(activities=[activity]) as one:
        yield found
        found.append(one)
        if on_gpu:
            torch.cuda.synchronize()


class _Training(train._Training):
    """The loop as it is, but nothing is judged or saved."""

    def _judge(self, number: int, *, final: bool) -> None:  # noqa: ARG002
        self.place.judged = number

    def _save(self) -> None:
        pass


def koine(case: Case, variant: str, given: argparse.Namespace) -> dict[str, Any]:
    """Measure the loop."""
    more = {"log_every": 2 if given.toy else 5 if given.quick else 10, **VARIANTS[variant]}
    if variant == "static":
        feed.VARYING = ()
    run = opened(given.tokens, case, runs=given.work / given.part, toy=given.toy, **more)
    facts = {"machine": run.machine.facts(), **shape_facts(run)}
    watch = Watch(run, facts, given)
    watch.training = _Training(run, watch)
    facts["parameters"] = sum(weight.numel() for weight in watch.training.model.parameters())
    try:
        watch.training.run_to_end()
    except RuntimeError as error:  # a wait inside a step, in the mode that makes it an error
        if "tokens_per_s" not in facts:
            raise
        torch.cuda.set_sync_debug_mode("default")
        frames = traceback.extract_tb(error.__traceback__)
        own = [one for one in frames if Path(one.filename).parent.name == "pretrain"][-1]
        place = f"{Path(own.filename).name}:{own.lineno}"
        facts["waits_in_steps"] = f"{place}: {str(error).splitlines()[0]}"
    counters = torch._dynamo.utils.counters
    facts["graphs"] = counters["stats"]["unique_graphs"]
    facts["graph_breaks"] = sum(counters["graph_break"].values())
    return facts


def shape_facts(run: Run) -> dict[str, Any]:
    """Return what a token costs, of the first micro-batch."""
    batch = run.source.batches(0, [Begun(0, 0)]).micro_batch(0)
    shape, rows, num = run.shape, run.vocabulary.rows, batch.num_tokens
    given = {"vocab_rows": rows, "num_tokens": num, "num_sequences": batch.num_sequences}
    pairs = {"squares": batch.squares, "local": batch.local, "num_masked": batch.num_masked}
    whole = flops.step_flops(shape, **given, **pairs)
    products = flops.step_flops(shape, **given, squares=0, local=0, num_masked=batch.num_masked)
    return {
        "flop_per_token": whole / num,
        "attention_flop_per_token": (whole - products) / num,
        "fill": num / len(batch.ids_N),
        "sequences": batch.num_sequences,
        "mean_length": num / batch.num_sequences,
        "masked_share": batch.num_masked / num,
        "layers": shape.layers,
        "width": shape.width,
        "family": shape.family,
        "rows": rows,
        "step_tokens": num * run.accumulation,
    }


def seconds_of(work: Callable[[], object], device: torch.device, *, least_s: float) -> float:
    """Return the median seconds of a call, by the device's own clock where it has one."""
    for _ in range(3):
        work()
    times: list[float] = []
    ends = time.perf_counter() + least_s
    while time.perf_counter() < ends or len(times) < 3:
        if device.type == "cuda":
            start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            work()
            end.record()
            end.synchronize()
            times.append(start.elapsed_time(end) / 1e3)
        else:
            before = time.perf_counter()
            work()
            times.append(time.perf_counter() - before)
    return statistics.median(times)


def rates(given: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Measure products and copies: the big ones of the roofline, and the products of the models."""
    dtype = torch.float32 if given.toy else torch.bfloat16
    least = 0.01 if given.toy else 0.2
    num, rows = (256, 512) if given.toy else (65_536, 65_536)
    found: dict[str, Any] = {}
    with quiet():
        found["matmul_flop_per_s"] = flops.measured_matmul(device, dtype=dtype)
        source = torch.randn((1 << 20) if given.toy else (1 << 30), device=device)
        target = torch.empty_like(source)
        seconds = seconds_of(lambda t=target, s=source: t.copy_(s), device, least_s=least)
        found["copy_bytes_per_s"] = 2 * source.nbytes / seconds
        del source, target
        masked = num * 3 // 20 // 8 * 8
        products = {
            "qkv": (num, 768, 2304), "out": (num, 768, 768), "feed in": (num, 768, 3072),
            "feed out": (num, 3072, 768), "gated in": (num, 768, 4096),
            "gated out": (num, 2048, 768), "head": (masked, 768, rows),
        }  # fmt: skip
        for name, (m, k, n) in products.items():
            x, w, y = (torch.randn(*s, device=device).to(dtype) for s in ((m, k), (n, k), (m, n)))
            for way, work in {
                "forward": lambda x=x, w=w: x @ w.t(),
                "to inputs": lambda y=y, w=w: y @ w,
                "to weights": lambda x=x, y=y: y.t() @ x,
            }.items():
                rate = 2 * m * k * n / seconds_of(work, device, least_s=least / 10)
                found.setdefault("products", {}).setdefault(name, {})[way] = rate
    return found


def attention_times(given: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Measure a layer's attention, forward and backward, in both kernels."""
    num, heads = (512, 1) if given.toy else (65_536, 12)
    dtype = torch.float32 if given.toy else torch.bfloat16
    kernels: tuple[attention.Kernel, ...] = ("tiles",) if given.toy else ("varlen", "tiles")
    rng = np.random.default_rng(0)
    found: dict[str, Any] = {}
    with quiet():
        for longest, window in ((128, None), (512, None), (512, 128), (1024, None), (1024, 128)):
            longest = longest // 8 if given.toy else longest
            ends = np.cumsum(rng.integers(longest * 7 // 10, longest + 1, 2 * num // longest))
            cu = torch.tensor([0, *ends[ends < num], num], dtype=torch.int32, device=device)
            qkv = torch.randn(num, 3, heads, 64, device=device).to(dtype).requires_grad_()
            out = torch.randn(num, heads, 64, device=device).to(dtype)
            for kernel in kernels:
                packed = attention.layout(
                    cu, num_tokens=num, max_length=longest, window=window, kernel=kernel,
                    dtype=dtype,
                )  # fmt: skip

                def work(packed: Any = packed, window: Any = window, qkv: Any = qkv) -> None:
                    q, k, v = qkv.unbind(1)
                    attention.attend(q, k, v, layout=packed, window=window).backward(out)  # noqa: B023
                    qkv.grad = None

                least = 0.01 if given.toy else 0.2
                name = f"{longest}{f' window {window}' if window else ''} {kernel}"
                found[name] = seconds_of(work, device, least_s=least) / num
    return {"seconds_per_token": found}


def optimizer_times(given: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Measure what a step does beside forward and backward."""
    case = CASES["bert-base-128"]
    run = opened(given.tokens, case.toy() if given.toy else case, runs=given.work, toy=given.toy)
    model = Pretrainer(run.shape, vocab_rows=run.vocabulary.rows).to(device)
    for weight in model.parameters():
        weight.grad = torch.randn_like(weight)
    skip = torch.zeros((), device=device)
    least = 0.01 if given.toy else 0.5
    found: dict[str, Any] = {"parameters": sum(weight.numel() for weight in model.parameters())}
    with quiet():
        found["clip_s"] = seconds_of(
            lambda: clip_(model.parameters(), max_norm=1e9), device, least_s=least
        )
        for name in ("adamw", "muon"):
            settings = OptimizerSettings(name=name, learning_rate=1e-4, betas=(0.9, 0.98))
            optimizer = Optimizer(
                model.named_parameters(), settings=settings, parts=run.shape.matrices_in
            )
            work = lambda o=optimizer: o.step(0.5, skip=skip)  # noqa: E731
            found[f"{name}_s"] = seconds_of(work, device, least_s=least)
    return found


def main(arguments: list[str] | None = None) -> None:
    """Measure one part."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part")
    parser.add_argument("--tokens", type=Path, required=True, help="build with token shards")
    parser.add_argument("--work", type=Path, required=True, help="folder for what is thrown away")
    parser.add_argument("--out", type=Path, required=True, help="folder for what is kept")
    parser.add_argument("--windows", type=int, default=4, help="lines of the log that are timed")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--toy", action="store_true")
    given = parser.parse_args(arguments)
    device = torch.device("cpu" if given.toy else "cuda")
    if given.toy:
        torch.set_num_threads(1)
    kind, _, rest = given.part.partition(":")
    if kind == "koine":
        name, _, variant = rest.partition("+")
        case = CASES[name].toy() if given.toy else CASES[name]
        say("result", koine(case, variant, given))
        return
    work = {"rates": rates, "attention": attention_times, "optimizer": optimizer_times}[kind]
    say("result", work(given, device))


if __name__ == "__main__":
    main()
