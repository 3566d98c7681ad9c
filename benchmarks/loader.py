"""The training data: how fast one core makes micro-batches from token shards, and what that takes.

Reads the training part of a build's token shards (`python benchmarks/loader.py OUT`), mapped into
memory, plans blocks and fills micro-batches, as `koine pretrain run` does in its background thread.
Two kinds: BERT's pairs of 128 tokens, and pieces of 512 tokens without pairs, each once with single
tokens masked and once with whole words.

Beside it what users have: BERT's own loop in Python (create_pretraining_data.py; the other document
may be of any language), or cutting documents into 512 tokens; then a torch DataLoader with
transformers' DataCollatorForLanguageModeling, which pads and masks. It has its documents as Python
lists already, which is not counted, is told which tokens are special, and masks the same shares,
though not exactly.

The floor is what moving the bytes takes: two of a token read and the arrays written, at the rate
at which numpy copies arrays that no cache holds.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import common
import numpy as np
import torch
from torch.utils.data import DataLoader
from transformers import DataCollatorForLanguageModeling, PreTrainedTokenizerFast

from pipelines import store
from pretrain import mixture
from pretrain.batch import Batches, num_slots
from pretrain.config import HeldOut, LanguageSampling
from pretrain.order import LENGTHS, Orders
from pretrain.packing import Packing
from pretrain.part import Part
from pretrain.plan import plan_block
from pretrain.shards import Shards
from pretrain.vocabulary import read_vocabulary
from tokenizer import tokens

MICRO_TOKENS, BLOCK = 65_536, 128
ALTERNATIVE_TOKENS = 2_000_000
BATCH = 512
COPIED = 1 << 26


@dataclass(frozen=True)
class Kind:
    name: str
    pairs: bool
    max_length: int
    mask_rate: float
    max_sequences: int


KINDS = (
    Kind("pairs of 128", True, 128, 0.15, 1024),
    Kind("pieces of 512", False, 512, 0.3, 512),
)


class Watched:
    """A part whose reading is timed."""

    def __init__(self, part: Part) -> None:
        self._part, self.seconds = part, 0.0
        self.num_documents = part.num_documents

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._part, name)

        def timed(*arguments: Any, **options: Any) -> Any:
            start = time.perf_counter()
            found = method(*arguments, **options)
            self.seconds += time.perf_counter() - start
            return found

        return timed


def load(shards: Shards, kind: Kind, *, blocks: int, starts: Any) -> dict[str, float]:
    """Make the micro-batches of some blocks; return seconds by phase, tokens and slots."""
    part = shards.view("train")
    packing = Packing(MICRO_TOKENS, kind.max_length, kind.max_sequences)
    sampling = LanguageSampling(by="temperature", temperature=1)  # each document equally often
    shares = mixture.shares(
        sampling, labels=shards.labels, num_tokens=part.num_tokens, total_tokens=1.0
    )
    rates = mixture.rates(shares, block_tokens=BLOCK * MICRO_TOKENS)
    orders = Orders(part, labels=shards.labels, section=LENGTHS * kind.max_length, seed=0)
    found = dict.fromkeys(("choose", "read", "plan", "pack and mask", "tokens", "slots"), 0.0)
    for number in range(blocks):
        begin = time.perf_counter()
        spans = orders.of_block(
            mixture.cursors([(number, rates)]), mixture.cursors([(number + 1, rates)])
        )
        chosen = time.perf_counter()
        watched = Watched(part)
        block = plan_block(
            watched,  # type: ignore[arg-type]
            spans,
            seed=0,
            number=number,
            packing=packing,
            pairs=kind.pairs,
        )
        planned = time.perf_counter()
        batches = Batches(block, packing=packing, mask_rate=kind.mask_rate, seed=0, starts=starts)
        for m in range(batches.num_micro):
            found["tokens"] += batches.micro_batch(m).num_tokens
        found["pack and mask"] += time.perf_counter() - planned
        found["slots"] += batches.num_micro * MICRO_TOKENS
        found["choose"] += chosen - begin
        found["read"] += watched.seconds
        found["plan"] += planned - chosen - watched.seconds
    return found


def written_bytes(kind: Kind) -> float:
    """Return the bytes of a micro-batch's arrays, and of the tokens that they are made from."""
    slots = num_slots(Packing(MICRO_TOKENS, kind.max_length, kind.max_sequences), kind.mask_rate)
    return MICRO_TOKENS * (2 + 3 * 4) + slots * (3 * 8 + 4) + kind.max_sequences * (2 * 8 + 2 * 4)


def copy_rate() -> float:
    """Return how many bytes a second are read and written by copying large arrays."""
    source, target = np.ones(COPIED, np.uint8), np.empty(COPIED, np.uint8)
    rates = []
    for _ in range(5):
        start = time.perf_counter()
        np.copyto(target, source)
        rates.append(2 * COPIED / (time.perf_counter() - start))
    return max(rates)


def documents(part: Part, num_tokens: int) -> list[list[list[int]]]:
    """Return documents as lists of sentences, taken evenly from all languages."""
    language = np.repeat(np.arange(len(part.num_documents)), part.num_documents)
    index = np.concatenate([np.arange(num) for num in part.num_documents])
    step = max(1, int(part.num_tokens.sum() / num_tokens))
    language, index = language[::step].astype(np.int32), index[::step]
    sentences = part.sentences(language, index)
    ends = sentences.ends[sentences.offsets[1:] - 1]
    flat = part.tokens(language, index, sentences.starts, ends - sentences.starts)
    found, at = [], 0
    for row, start in enumerate(sentences.starts.tolist()):
        own = sentences.ends[sentences.offsets[row] : sentences.offsets[row + 1]] - start
        found.append([one.tolist() for one in np.split(flat[at : at + own[-1]], own[:-1])])
        at += int(own[-1])
    return found


def instances(documents: Sequence[list[list[int]]], kind: Kind) -> Iterator[dict[str, list[int]]]:
    """Yield examples as create_pretraining_data.py of google-research/bert makes them."""
    rng = random.Random(0)
    longest = kind.max_length - 3
    for number, document in enumerate(documents):
        target = longest
        if rng.random() < 0.1:
            target = rng.randint(2, longest)
        chunk: list[list[int]] = []
        length = i = 0
        while i < len(document):
            chunk.append(document[i])
            length += len(document[i])
            if i == len(document) - 1 or length >= target:
                a_end = rng.randint(1, len(chunk) - 1) if len(chunk) >= 2 else 1
                a = [token for sentence in chunk[:a_end] for token in sentence]
                b: list[int] = []
                is_random = len(chunk) == 1 or rng.random() < 0.5
                if is_random:
                    for _ in range(10):
                        other = rng.randint(0, len(documents) - 1)
                        if other != number:
                            break
                    start = rng.randint(0, len(documents[other]) - 1)
                    for sentence in documents[other][start:]:
                        b.extend(sentence)
                        if len(b) >= target - len(a):
                            break
                    i -= len(chunk) - a_end
                else:
                    b = [token for sentence in chunk[a_end:] for token in sentence]
                while len(a) + len(b) > longest:
                    longer = a if len(a) > len(b) else b
                    if rng.random() < 0.5:
                        del longer[0]
                    else:
                        longer.pop()
                yield {
                    "input_ids": [2, *a, 3, *b, 3],
                    "token_type_ids": [0] * (len(a) + 2) + [1] * (len(b) + 1),
                    "special_tokens_mask": [1, *[0] * len(a), 1, *[0] * len(b), 1],
                    "next_sentence_label": int(is_random),
                }  # type: ignore[misc]
                chunk, length = [], 0
            i += 1


def cut(documents: Sequence[list[list[int]]], kind: Kind) -> Iterator[dict[str, list[int]]]:
    """Yield pieces of documents."""
    longest = kind.max_length - 2
    for document in documents:
        flat = [token for sentence in document for token in sentence]
        for at in range(0, len(flat), longest):
            piece = flat[at : at + longest]
            mask = [1, *[0] * len(piece), 1]
            yield {"input_ids": [2, *piece, 3], "special_tokens_mask": mask}


def collated(own: list[list[list[int]]], kind: Kind, tokenizer: Any) -> dict[str, float]:
    """Make batches of documents by DataLoader and collator; return seconds by phase and tokens."""
    start = time.perf_counter()
    examples = list((instances if kind.pairs else cut)(own, kind))
    made = time.perf_counter()
    collator = DataCollatorForLanguageModeling(tokenizer, mlm_probability=kind.mask_rate)
    loader = DataLoader(examples, batch_size=BATCH, shuffle=True, collate_fn=collator)  # type: ignore[arg-type]
    num_tokens = slots = 0
    for batch in loader:
        num_tokens += int(batch["attention_mask"].sum())
        slots += batch["input_ids"].numel()
    end = time.perf_counter()
    return {"plan": made - start, "pack and mask": end - made, "tokens": num_tokens, "slots": slots}


def main() -> None:
    """Measure, print, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path, help="a build with vocabulary and token shards")
    parser.add_argument("--blocks", type=int, default=4, help="blocks a run (default: %(default)s)")
    parser.add_argument("--repeats", type=int, default=5, help="runs (default: %(default)s)")
    parser.add_argument("--name", default=None, help="name of the results file")
    given = parser.parse_args()
    facts = common.machine()
    common.pin()
    torch.set_num_threads(1)
    folder = store.Folder(given.out)
    vocabulary = read_vocabulary(folder / "vocab")
    start = time.perf_counter()
    shards = Shards.open(
        folder / tokens.TOKENS,
        vocab_hash=vocabulary.hash,
        labels=None,
        held_out=HeldOut(),
        seed=0,
    )
    opening = time.perf_counter() - start
    tokenizer = PreTrainedTokenizerFast.from_pretrained(str(given.out / "vocab"))
    own = documents(shards.view("train"), ALTERNATIVE_TOKENS)
    rate = copy_rate()
    runs: dict[str, list[dict[str, float]]] = {}
    for repeat in range(given.repeats + 1):  # the first one maps the files
        for kind in KINDS:
            found = {
                f"koine, {kind.name}": load(shards, kind, blocks=given.blocks, starts=None),
                f"koine, {kind.name}, whole words": load(
                    shards, kind, blocks=given.blocks, starts=vocabulary.starts
                ),
            }
            if repeat:
                found[f"DataLoader and collator, {kind.name}"] = collated(own, kind, tokenizer)
                for name, one in found.items():
                    runs.setdefault(name, []).append(one)
    phases = ("choose", "read", "plan", "pack and mask")
    rows, result = [], {}
    for name, ones in runs.items():
        by_phase = {
            phase: common.summary([one.get(phase, 0.0) / one["tokens"] * 1e9 for one in ones])
            for phase in phases
        }
        totals = [sum(one.get(phase, 0.0) for phase in phases) / one["tokens"] for one in ones]
        ns = common.summary([total * 1e9 for total in totals])
        kind = next(kind for kind in KINDS if kind.name in name)
        floor = written_bytes(kind) / MICRO_TOKENS / rate * 1e9
        fill = ones[0]["tokens"] / ones[0]["slots"]
        result[name] = {
            "ns_per_token": ns,
            "phases": by_phase,
            "floor_ns": floor,
            "fill": fill,
            "million_tokens_per_s": 1e3 / ns["median"],
        }
        rows.append([
            name, f"{1e3 / ns['median']:.2f}", f"{ns['median']:.1f}",
            *(f"{by_phase[phase]['median']:.1f}" for phase in phases),
            f"{ns['median'] / floor:.1f}", f"{fill:.1%}",
        ])  # fmt: skip
    total = sum(int(n) for n in shards.num_tokens)
    print(f"{total:,} tokens in {len(shards.labels)} languages, opened in {opening:.2f} s")
    print(f"copying: {rate / 1e9:.1f} GB/s read and written; 1 core; ns a token by phase\n")
    common.table(
        ["", "M tokens/s", "ns", *phases, "times the floor", "slots used"],
        rows,
    )
    common.write(
        given.name or "loader",
        facts,
        {
            "tokens": total,
            "languages": len(shards.labels),
            "opening_s": opening,
            "copy_bytes_per_s": rate,
            "blocks": given.blocks,
            "micro_batch_tokens": MICRO_TOKENS,
            "tools": result,
        },
    )


if __name__ == "__main__":
    main()
