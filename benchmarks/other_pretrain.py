"""The loop that users of transformers write, timed as gpu_parts.py times koine's.

transformers' own BertForPreTraining or ModernBertForMaskedLM at the same sizes, SDPA, bfloat16
autocast, torch.compile, fused AdamW; torch's DataLoader with worker processes and transformers'
collator, sequences padded to the longest there may be. It is given what helps it: the same
sequences as koine's micro-batches, already cut, paired and padded in memory; no dropout; the
largest power of two of sequences that fits into memory, up to the tokens of koine's micro-batch.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import numpy as np
import torch
import transformers
from gpu_data import CASES, Case, opened
from gpu_parts import quiet, say
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from torch.utils.data import DataLoader, Dataset

from pretrain import naming
from pretrain.prepare import Run
from pretrain.source import Begun

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
NAMES = dict(zip(("pad", "unk", "cls", "sep", "mask"), SPECIAL, strict=True))
CLS, SEP = 2, 3


class Examples(Dataset[dict[str, Any]]):
    """The sequences of a block of koine's, padded; over and over."""

    def __init__(self, run: Run, *, longest: int, pairs: bool, most: int) -> None:
        block = run.source.batches(0, [Begun(0, 0)]).block
        lengths = block.lengths[:most]
        num, self.pairs = len(lengths), pairs
        self.ids = np.zeros((num, longest), np.int64)
        self.types = np.zeros((num, longest), np.int64)
        self.special = np.ones((num, longest), np.int64)
        self.real = np.arange(longest) < lengths[:, None]
        self.follows = (block.negative[:most] == 1).astype(np.int64)
        for row in range(num):
            a, n = int(block.a_start[row]), int(block.a_length[row])
            b, m = int(block.b_start[row]), int(block.b_length[row])
            text = [[CLS], block.tokens[a : a + n], [SEP]]
            text += [block.tokens[b : b + m], [SEP]] if m else []
            self.ids[row, : lengths[row]] = np.concatenate(text)
            self.types[row, n + 2 : lengths[row]] = 1
        self.special[self.real] = self.ids[self.real] < len(SPECIAL)

    def __len__(self) -> int:
        return 1 << 30

    def __getitem__(self, number: int) -> dict[str, Any]:
        row = number % len(self.ids)
        found = {
            "input_ids": self.ids[row],
            "attention_mask": self.real[row].astype(np.int64),
            "special_tokens_mask": self.special[row],
        }
        if self.pairs:
            found |= {"token_type_ids": self.types[row], "next_sentence_label": self.follows[row]}
        return found


def model_of(run: Run, case: Case) -> Any:
    """Return transformers' model of the shape of a run."""
    named = naming.config_json(run.shape, vocab_rows=case.rows)
    named |= {key: 0.0 for key in named if "dropout" in key}
    bert = named.pop("model_type") == "bert"
    config = (transformers.BertConfig if bert else transformers.ModernBertConfig)(**named)
    config._attn_implementation = "sdpa"
    kind = transformers.BertForPreTraining if bert else transformers.ModernBertForMaskedLM
    model = kind(config)
    assert model.config._attn_implementation == "sdpa"
    return model.float()


def batches(examples: Examples, case: Case, *, size: int, toy: bool) -> Iterator[Any]:
    """Yield the batches of a data loader."""
    words = {word: number for number, word in enumerate(SPECIAL)}
    words |= {f"piece{n}": n for n in range(len(SPECIAL), case.rows)}
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(WordLevel(words, unk_token=NAMES["unk"])),
        **{f"{name}_token": piece for name, piece in NAMES.items()},
    )
    collate = transformers.DataCollatorForLanguageModeling(
        tokenizer, mlm_probability=case.mask_rate
    )
    more = {"prefetch_factor": 4, "persistent_workers": True} if not toy else {}
    loader = DataLoader(
        examples,
        batch_size=size,
        collate_fn=collate,
        num_workers=0 if toy else max(1, min(8, len(os.sched_getaffinity(0)) - 2)),
        pin_memory=not toy,
        **more,
    )
    return iter(loader)


class Loop:
    """The usual loop."""

    def __init__(self, run: Run, case: Case, *, size: int, given: argparse.Namespace) -> None:
        self.device = torch.device("cpu" if given.toy else "cuda")
        self.accumulation = max(1, case.batch_tokens // (size * case.max_length))
        self.model = model_of(run, case).to(self.device)
        self.parameters = list(self.model.parameters())
        self.optimizer = torch.optim.AdamW(self.parameters, lr=1e-4, weight_decay=0.01, fused=True)
        self.called = self.model if given.toy else torch.compile(self.model)
        examples = Examples(
            run,
            longest=case.max_length,
            pairs=bool(run.settings.nsp),
            most=200 if given.toy else 40_000,
        )
        self.batches = batches(examples, case, size=size, toy=given.toy)
        self.tokens = self.slots = 0
        self.waited_s = 0.0

    def steps(self, num: int) -> float:
        """Take steps; return the loss of the last one, which waits for the device."""
        loss = None
        for _ in range(num):
            for _ in range(self.accumulation):
                before = time.perf_counter()
                batch = next(self.batches)
                self.waited_s += time.perf_counter() - before
                self.tokens += int(batch["attention_mask"].sum())
                self.slots += batch["attention_mask"].numel()
                on = {key: value.to(self.device, non_blocking=True) for key, value in batch.items()}
                with torch.autocast(self.device.type, dtype=torch.bfloat16):
                    loss = self.called(**on).loss
                (loss / self.accumulation).backward()
            torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
            self.optimizer.step()
            self.optimizer.zero_grad()
        assert loss is not None
        return float(loss.detach())


def begun(run: Run, case: Case, given: argparse.Namespace) -> tuple[Loop, int, float]:
    """Return a loop that has taken a step, sequences at a time, and the seconds of compiling."""
    size = 1 << ((case.micro_batch_tokens // case.max_length).bit_length() - 1)
    while True:
        start = time.perf_counter()
        try:
            loop = Loop(run, case, size=size, given=given)
            loop.steps(1)
            return loop, size, time.perf_counter() - start
        except torch.OutOfMemoryError:
            if size == 1:
                raise
            size //= 2
            loop = None  # type: ignore[assignment]
        torch.cuda.empty_cache()
        torch._dynamo.reset()


def main(arguments: list[str] | None = None) -> None:
    """Time a case."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("part", help="usual:CASE")
    parser.add_argument("--tokens", type=Path, required=True, help="build with token shards")
    parser.add_argument("--work", type=Path, required=True, help="folder for what is thrown away")
    parser.add_argument("--out", type=Path, help="unused")
    parser.add_argument("--windows", type=int, default=4, help="how many are timed")
    parser.add_argument("--profile", action="store_true", help="unused")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--toy", action="store_true")
    given = parser.parse_args(arguments)
    case = CASES[given.part.partition(":")[2]]
    case = case.toy() if given.toy else case
    if given.toy:
        torch.set_num_threads(1)
    else:
        torch.set_float32_matmul_precision("high")
    run = opened(given.tokens, case, runs=given.work / given.part, toy=given.toy)
    loop, size, compile_s = begun(run, case, given)
    num = 1 if given.toy else 5 if given.quick else 10
    rates, waits = [], []
    with quiet():
        loop.steps(num)
        if not given.toy:
            torch.cuda.reset_peak_memory_stats()
        for _ in range(given.windows):
            loop.tokens = loop.slots = 0
            loop.waited_s, start = 0.0, time.perf_counter()
            last = loop.steps(num)
            seconds = time.perf_counter() - start
            rates.append(loop.tokens / seconds)
            waits.append(loop.waited_s / seconds)
    counters = torch._dynamo.utils.counters
    say(
        "result",
        {
            "tokens_per_s": statistics.median(rates),
            "windows": rates,
            "wait_share": statistics.fmean(waits),
            "fill": loop.tokens / loop.slots,
            "sequences": size,
            "loss": last,
            "compile_s": compile_s,
            "graphs": counters["stats"]["unique_graphs"],
            "graph_breaks": sum(counters["graph_break"].values()),
            "peak_gb": 0.0 if given.toy else torch.cuda.max_memory_allocated() / 1e9,
            "parameters": sum(weight.numel() for weight in loop.parameters),
            "transformers": transformers.__version__,
        },
    )


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)  # the workers of the loader are not waited for
