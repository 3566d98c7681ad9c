"""A model before and after it was made smaller, side by side: size, speed, and score of a task.

Speed is that of a CPU, since that is where small models run: the median time of one sequence of 128
pieces, and how many such sequences go through in batches. Both models take turns, and with a single
thread the time that it really ran is counted, so that whatever else the machine does meanwhile
falls on neither.

Promises: both are judged on the same examples, with a paired interval of the difference; threads
and lengths are stated; a tuned model is judged as it is, an encoder is tuned first, like the other.
Does not promise: the same milliseconds on another machine, or the same ratio with other threads.

Shapes: B sequences of a batch, L pieces, n examples.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from pipelines import store

from .. import draws, models
from ..models import Head, Model
from ..serve import runtime
from ..serve.runtime import Backend, head_of
from . import scores
from .scores import Side
from .watcher import SILENT, Watcher

if TYPE_CHECKING:
    from ..tasks.data import TaskData
    from ..tasks.settings import TuneSettings

LENGTH, BATCH = 128, 8
ROUNDS, LONGEST_S = 40, 6.0
"""Turns that each model takes, and seconds after which no more are taken."""
FEWEST = 5
WEIGHTS_OF: Mapping[str, str] = {
    "torch": "model*.safetensors", "onnx": models.ONNX, "int8": models.ONNX_INT8,
}  # fmt: skip
READ = (
    models.CONFIG, models.TOKENIZER, "tokenizer_config.json", "special_tokens_map.json",
    "vocab.txt", "spm.model",
)  # fmt: skip
"""What a folder needs beside its weights."""


@dataclass(frozen=True)
class Figures:
    """What one model takes."""

    name: str
    use: str
    num_bytes: int
    """Of the files that are needed to run it."""
    weights_bytes: int
    parameters: int | None
    """None of eight bits."""
    latency_ms: float
    """Median time of one sequence."""
    sequences_per_s: float
    """In batches."""


@dataclass(frozen=True)
class Comparison:
    """Two models side by side."""

    before: Figures
    after: Figures
    threads: int
    length: int
    batch: int
    head: Head
    speedup: float
    """Time of one sequence before, divided by that after."""
    score: Mapping[str, Any] | None
    """`task`, `metric`, `split`, `seeds`, and rows `labels` by language, the worst first, and
    `mean`: `num`, `before`, `after`, `difference` (after less before, its 95 % interval) and
    `kept` (after as a share of before)."""

    def facts(self) -> dict[str, Any]:
        """Return it as JSON."""
        return asdict(self)


def compare(
    before: Side,
    after: Side,
    *,
    data: TaskData | None = None,
    settings: TuneSettings | None = None,
    work: store.Folder | None = None,
    head: Head | None = None,
    threads: int = 1,
    seed: int = 0,
    watcher: Watcher = SILENT,
) -> Comparison:
    """Measure two models and judge them on a task.

    Args:
        before: the model as it was.
        after: what was made of it.
        data: a task's examples; opened with the model's own targets if it was tuned.
        settings: how an encoder is tuned.
        work: where tuned models are kept meanwhile, so that a killed comparison goes on; needed
            for encoders with `data`.
        head: what is timed; the model's own if it was tuned, else the encoder alone.
        threads: of one operation, for the times.
        seed: of the sequences that are timed, and of the resamples.
        watcher: is told how it goes.

    Raises:
        ConfigError, DataError, EnvironmentProblem: as `open_backend`, `tune` and `load` do.
    """
    head = head or (head_of(before.model) if before.model.task else "none")
    watcher.note("timing both models")
    with _threads(threads):
        backends = [
            runtime.open_backend(side.model, head, use=side.use, threads=threads).backend
            for side in (before, after)
        ]
        length = min(LENGTH, before.model.max_length, after.model.max_length)
        latency = _times(before, after, backends, shape=(1, length), seed=seed)
        throughput = _times(before, after, backends, shape=(BATCH, length), seed=seed)
    figures = [
        _figures(side, head, latency_s=one, batch_s=many)
        for side, one, many in zip((before, after), latency, throughput, strict=True)
    ]
    return Comparison(
        before=figures[0],
        after=figures[1],
        threads=threads,
        length=length,
        batch=BATCH,
        head=head,
        speedup=latency[0] / latency[1],
        score=None
        if data is None
        else scores.score(
            before, after, data, settings=settings, work=work, seed=seed, watcher=watcher
        ),
    )


def folder_bytes(model: Model, use: str = "torch") -> tuple[int, int]:
    """Return the bytes of all files that are needed to run a model, and of its weights alone."""
    weights = sum(path.stat().st_size for path in model.folder.glob(WEIGHTS_OF[use]))
    paths = [model.folder / name for name in READ]
    return weights + sum(path.stat().st_size for path in paths if path.exists()), weights


def _figures(side: Side, head: Head, *, latency_s: float, batch_s: float) -> Figures:
    num_bytes, weights_bytes = folder_bytes(side.model, side.use)
    parameters = None
    if side.use == "torch":
        net = models.network(side.model, head)
        parameters = sum(one.numel() for one in net.parameters())
    return Figures(
        name=side.model.name,
        use=side.use,
        num_bytes=num_bytes,
        weights_bytes=weights_bytes,
        parameters=parameters,
        latency_ms=1000 * latency_s,
        sequences_per_s=BATCH / batch_s,
    )


def _times(
    before: Side, after: Side, backends: Sequence[Backend], *, shape: tuple[int, int], seed: int
) -> list[float]:
    """Return the median seconds of a batch of each model; they take turns."""
    given = [_inputs(side.model, shape, seed=seed) for side in (before, after)]
    found: list[list[float]] = [[], []]
    for inputs, backend in zip(given, backends, strict=True):
        backend(inputs)  # the first one allocates
    began = time.perf_counter()
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    for turn in range(ROUNDS):
        for number in (0, 1) if turn % 2 else (1, 0):
            since = clock()
            backends[number](given[number])
            found[number].append(clock() - since)
        if turn + 1 >= FEWEST and time.perf_counter() - began > LONGEST_S:
            break
    return [median(times) for times in found]


def _inputs(model: Model, shape: tuple[int, int], *, seed: int) -> dict[str, NDArray[np.int64]]:
    rows = model.tokenizer.get_vocab_size()
    ids = draws.generator("compress", "timed", seed).integers(0, rows, size=shape)
    ids[:, 0], ids[:, -1] = model.cls, model.sep
    return {
        "input_ids": ids.astype(np.int64),
        "attention_mask": np.ones(shape, np.int64),
        "token_type_ids": np.zeros(shape, np.int64),
    }


@contextmanager
def _threads(num: int) -> Iterator[None]:
    """Let torch use so many threads while the block runs."""
    was = torch.get_num_threads()
    torch.set_num_threads(num)
    try:
        yield
    finally:
        torch.set_num_threads(was)
