"""Tuning: how fast one core goes through an epoch, beside transformers' usual loop.

The same network, examples, batch size and number of steps, twice:

    koine   `pretrain.tasks`: steps of like lengths, only the rows of the vocabulary that the data
            has, the fused AdamW
    usual   the loop of transformers' examples (`run_glue_no_trainer.py`, `run_ner_no_trainer.py`):
            random batches from a torch DataLoader, padded to the longest by the library's collator,
            torch's AdamW, gradients clipped at 1

Encoding isn't counted in the epochs: it is measured by itself (`tokenizer(texts)` for the usual
one, words split with `is_split_into_words`), and koine does it one time for all seeds. Both take
turns, so that what else the machine does hits both; the ratio is of processor time.

    python benchmarks/tuning.py [--model build/demo/export] [--task DATA ...] [--examples 320]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common
import numpy as np
import torch
import transformers
from torch.utils.data import DataLoader

from pretrain import models
from pretrain.tasks import encode, loop
from pretrain.tasks.data import open_task
from pretrain.tasks.place import place_of
from pretrain.tasks.settings import TuneSettings, resolve

DATA = common.REPO.parent / "shared" / "data" / "tasks"
TASKS = ("classification/sib200", "pos/ud_Wolof-WTB")


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Return seconds of the clock and of the processor, and what the work gave."""
    clock, cpu = time.perf_counter(), time.process_time()
    found = work()
    return time.perf_counter() - clock, time.process_time() - cpu, found


def usual_examples(data: Any, tokenizer: Any, *, longest: int) -> list[dict[str, Any]]:
    """Encode as transformers' examples do."""
    numbers = {target: number for number, target in enumerate(data.targets)}
    if data.task == "classify":
        found = tokenizer(data.train["text"].to_pylist(), truncation=True, max_length=longest)
        labels = [numbers[target] for target in data.train["target"].to_pylist()]
    else:
        words, tags = data.train["words"].to_pylist(), data.train["tags"].to_pylist()
        found = tokenizer(words, truncation=True, max_length=longest, is_split_into_words=True)
        labels = []
        for row, own in enumerate(tags):
            before, targets = None, []
            for word in found.word_ids(row):
                begins = word is not None and word != before
                targets.append(numbers[own[word]] if begins else -100)
                before = word
            labels.append(targets)
    return [
        {**{key: values[row] for key, values in found.items()}, "labels": labels[row]}
        for row in range(len(labels))
    ]


def usual_epoch(
    data: Any, model: models.Model, examples: list[dict[str, Any]], settings: TuneSettings
) -> tuple[int, int]:
    """Train for an epoch as transformers' examples do; return pieces, and slots with padding."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(model.folder)
    collator = (
        transformers.DataCollatorWithPadding(tokenizer)
        if data.task == "classify"
        else transformers.DataCollatorForTokenClassification(tokenizer)
    )
    network = models.network(model, data.task, targets=data.targets)
    torch.manual_seed(0)
    batches = DataLoader(
        examples, batch_size=settings.batch_size, shuffle=True, collate_fn=collator
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate)
    schedule = transformers.get_linear_schedule_with_warmup(optimizer, 1, len(batches))
    network.train()
    pieces = slots = 0
    for batch in batches:
        loss = network(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        pieces += int(batch["attention_mask"].sum())
        slots += batch["attention_mask"].numel()
    return pieces, slots


def own_epoch(
    data: Any, model: models.Model, features: Any, settings: TuneSettings
) -> tuple[int, int]:
    """Train for an epoch as koine does; return pieces, and slots with padding."""
    network = models.network(model, data.task, targets=data.targets)
    fitted = loop.fit(
        network,
        features,
        None,
        task=data.task,
        settings=settings,
        place=place_of(settings, pad=model.pad),
        seed=0,
    )
    return fitted.tokens, fitted.slots


def measure(
    path: Path, model: models.Model, *, examples: int, batch: int, repeats: int
) -> dict[str, Any]:
    """Let both take turns on a task."""
    import dataclasses

    data = open_task([path])
    chosen = np.random.default_rng(0).permutation(len(data.train))[:examples]
    data = dataclasses.replace(data, train=data.train.take(np.sort(chosen)))
    asked = TuneSettings(epochs=1, batch_size=batch, device="cpu")
    _, own_encode, features = timed(
        lambda: encode.encode(data.task, data.train, model, targets=data.targets, settings=asked)
    )
    settings = resolve(
        asked,
        task=data.task,
        width=int(model.config["hidden_size"]),
        num_sequences=len(features),
        longest=model.max_length,
        on_gpu=False,
    )
    tokenizer = transformers.AutoTokenizer.from_pretrained(model.folder)
    tokenizer(["warm up"])
    _, usual_encode, rows = timed(
        lambda: usual_examples(data, tokenizer, longest=settings.max_length or 512)
    )
    seconds: dict[str, list[float]] = {"koine": [], "usual": []}
    clocks: dict[str, list[float]] = {"koine": [], "usual": []}
    padding: dict[str, float] = {}
    speed: dict[str, float] = {}
    for _ in range(repeats):
        for name, work in (
            ("koine", lambda: own_epoch(data, model, features, settings)),
            ("usual", lambda: usual_epoch(data, model, rows, settings)),
        ):
            clock, cpu, (pieces, slots) = timed(work)
            seconds[name].append(cpu)
            clocks[name].append(clock)
            padding[name] = 1 - pieces / slots
            speed[name] = pieces / statistics.median(seconds[name])
    ratios = [u / k for u, k in zip(seconds["usual"], seconds["koine"], strict=True)]
    return {
        "task": path.name,
        "examples": len(data.train),
        "batch_size": batch,
        "pieces_per_sequence": float(features.lengths.mean()),
        "rows_used": len(np.unique(features.ids)) / model.config["vocab_size"],
        "cpu_seconds": {name: common.summary(values) for name, values in seconds.items()},
        "clock_seconds": {name: common.summary(values) for name, values in clocks.items()},
        "pieces_per_cpu_second": speed,
        "padding": padding,
        "encode_cpu_seconds": {"koine": own_encode, "usual": usual_encode},
        "ratio": common.summary(ratios),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--model", type=Path, default=common.REPO / "build" / "demo" / "export")
    parser.add_argument("--task", type=Path, action="append", help="a task's data; repeatable")
    parser.add_argument("--examples", type=int, default=320)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--name", default="tuning")
    asked = parser.parse_args()
    tasks = asked.task or [DATA / name for name in TASKS]
    if not asked.task and not DATA.is_dir():
        common.skip(f"there are no tasks in {DATA}; name some with --task")
    if not (asked.model / models.CONFIG).exists():
        common.skip(f"there is no model in {asked.model}; name one with --model")
    common.pin()
    torch.set_num_threads(1)
    facts = common.machine()
    model = models.open_model(asked.model)
    rows = [
        measure(path, model, examples=asked.examples, batch=asked.batch, repeats=asked.repeats)
        for path in tasks
    ]
    common.table(
        [
            "task",
            "pieces",
            "koine s",
            "usual s",
            "ratio",
            "padding",
            "usual's",
            "encode",
            "usual's",
        ],
        [
            [
                row["task"],
                f"{row['pieces_per_sequence']:.0f}",
                f"{row['cpu_seconds']['koine']['median']:.2f}",
                f"{row['cpu_seconds']['usual']['median']:.2f}",
                f"{row['ratio']['median']:.2f}",
                f"{100 * row['padding']['koine']:.0f} %",
                f"{100 * row['padding']['usual']:.0f} %",
                f"{row['encode_cpu_seconds']['koine']:.2f}",
                f"{row['encode_cpu_seconds']['usual']:.2f}",
            ]
            for row in rows
        ],
    )
    shape = {
        "model": model.name,
        "layers": model.config["num_hidden_layers"],
        "width": model.config["hidden_size"],
        "pieces": model.config["vocab_size"],
    }
    versions = {"torch": torch.__version__}
    common.write(asked.name, {**facts, **versions}, {"model": shape, "tasks": rows})


if __name__ == "__main__":
    main()
