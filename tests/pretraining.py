"""Small builds to train on, made in a second, and runs of a few steps."""

import hashlib
import json
import os
import re
import shutil
import signal
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from token_shards import write_tokens
from token_vocabulary import write_vocabulary
from vocabulary_models import SIZE

from conftest import sample_texts
from pretrain.clock import Clock
from pretrain.config import PretrainSettings
from pretrain.feed import Fed, Feed
from pretrain.prepare import Run, prepare
from pretrain.source import Begun
from pretrain.train import Trained, train
from tokenizer import loading

SHORT = "kat_Geor"
"""Has one document of one sentence: nothing can be held out."""
HALVED = "eng_Latn"
"""Has 18 documents, so that whole ones are held out; the others have 9, whose ends are."""
LABELS = ("arb_Arab", HALVED, SHORT, "swh_Latn", "tha_Thai")
STEPS = 20
SMALL = {
    "preset": "bert-tiny",
    "layers": 1,
    "width": 64,
    "max_length": 64,
    "micro_batch_tokens": 512,
    "batch_tokens": 1024,
    "block": 6,
    "tokens": STEPS * 1024,
    "evaluation": {"times": 4, "tokens": 256},
    "checkpoint": {"every_steps": 4},
    "log_every": 3,
    "device": "cpu",
}
"""20 steps of 2 micro-batches, several blocks; lines, checkpoints and evaluations out of step."""


class Watcher:
    """Remembers what it was told; sends itself a signal at the first line from a step on."""

    def __init__(
        self, *, stop_at: int | None = None, number: signal.Signals = signal.SIGTERM
    ) -> None:
        self.notes: list[str] = []
        self.steps: list[dict[str, Any]] = []
        self._stop_at, self._number = stop_at, number

    def note(self, text: str) -> None:
        self.notes.append(text)

    def step(self, record: dict[str, Any], *, progress: float, elapsed_s: float) -> None:
        assert 0 <= progress <= 1 and elapsed_s >= 0
        self.steps.append(record)
        if self._stop_at is not None and record["step"] >= self._stop_at:
            self._stop_at = None
            os.kill(os.getpid(), self._number)


def sentences_of(text: str) -> list[str]:
    return [one.strip() for one in re.split(r"(?<=[.!?।؟])\s|\n|(?<=ๆ)\s", text) if one.strip()]


def write_build(out: Path) -> Path:
    """Write the folders `vocab` and `tokens` of a build of five of the sample languages."""
    vocab_hash = write_vocabulary(out / "vocab")
    tokenizer = loading.load(out / "vocab")
    texts, documents = sample_texts(), {}
    for label in LABELS:
        own = [sentences_of(text) for text in texts[label]]
        if label == HALVED:
            own = [half for one in own for half in (one[: len(one) // 2], one[len(one) // 2 :])]
        if label == SHORT:
            own = [own[0][:1]]
        documents[label] = []
        for sentences in own:
            found = tokenizer.encode(sentences)
            ids, offsets = found.ids.tolist(), found.offsets.tolist()
            documents[label].append([ids[a:b] for a, b in pairwise(offsets)])
    write_tokens(out, documents, vocab_hash=vocab_hash, num_pieces=SIZE)
    return out


def settings_of(**changes: Any) -> PretrainSettings:
    """Return the settings of a small run, with changes; None takes a key away."""
    values = {key: value for key, value in {**SMALL, **changes}.items() if value is not None}
    return PretrainSettings.model_validate(values)


def run_of(out: Path, name: str = "run", *, resume: bool = False, **changes: Any) -> Run:
    return prepare(settings_of(**changes), out=str(out), name=name, resume=resume)


def trained(out: Path, name: str = "run", *, resume: bool = False, **changes: Any) -> Trained:
    return train(run_of(out, name, resume=resume, **changes), watcher=Watcher())


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_config(folder: Path, **changes: Any) -> Path:
    """Write a corpora.yaml with the settings of a small run."""
    values = {key: value for key, value in {**SMALL, **changes}.items() if value is not None}
    path = folder / "corpora.yaml"
    path.write_text(yaml.safe_dump({"pretrain": values}), encoding="utf-8")
    return path


TIMINGS = {"tokens_per_s", "mfu", "wait_share", "seconds"}


def what_it_is(run: Path) -> dict[str, Any]:
    """Return all of a run that does not depend on time or place: two same runs have the same."""
    found: dict[str, Any] = {
        path.relative_to(run).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in [*run.glob("checkpoints/*/*"), run / "config.json"]
    }
    found["evaluation.jsonl"] = lines(run / "evaluation.jsonl")
    found["log.jsonl"] = without_timings(run)
    return found


def without_timings(run: Path) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in line.items() if key not in TIMINGS}
        for line in lines(run / "log.jsonl")
    ]


def copied(build: Path, out: Path) -> Path:
    """Copy a build's vocabulary and tokens to another folder."""
    for name in ("vocab", "tokens"):
        shutil.copytree(build / name, out / name)
    return out


def feed_of(
    run: Run,
    *,
    step: int = 0,
    begun: Sequence[Begun] = (),
    rank: int = 0,
    num_ranks: int = 1,
    **changes: Any,
) -> Feed:
    """Return the feed of a run from a step on."""
    clock = Clock(run.settings, per_step=run.per_step)
    arguments = {"stage_at": clock.stage_at, "progress_of": clock.of_micro, **changes}
    return Feed(
        run.source,
        begun=list(begun),
        first=step * run.per_step,
        per_step=run.per_step,
        rank=rank,
        num_ranks=num_ranks,
        **arguments,
    )


def taken(feed: Feed, num: int) -> list[Fed]:
    """Take so many micro-batches, and close the feed."""
    try:
        return [feed.get() for _ in range(num)]
    finally:
        feed.close()
