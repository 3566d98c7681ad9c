"""Make a run ready: its folder, its settings, its data, and what all of that depends on.

    OUT/runs/<name>/
      config.json       settings with everything filled in, the model's shape, hashes of the inputs
      log.jsonl evaluation.jsonl tensorboard/    what happened, as it happens
      checkpoints/step-00000120/                 weights, optimizer, place in the data; two are kept
      result.json report.html                    how it ended, and a page to look at

Promises: a run that is resumed has the data, the masks and the settings that it had; a folder that
holds another run is never written to.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from pipelines import store
from pipelines.errors import ConfigError, DataError
from tokenizer import tokens

from . import flops
from .checkpoint import Checkpoints
from .config import PretrainSettings, resolve, seconds_of, shape_of
from .machine import Machine, agree, device_of, machine, num_ranks
from .presets import Shape
from .shards import Shards
from .source import Source
from .vocabulary import Vocabulary, read_vocabulary

CONFIG, RESULT, LOG, EVALUATIONS = "config.json", "result.json", "log.jsonl", "evaluation.jsonl"
REPORT, CHECKPOINTS = "report.html", "checkpoints"
EXPECTED_MFU = 0.4
"""What a run measured in time is expected to reach; UniMax needs to know its length in tokens."""
MAY_CHANGE = {
    "tokens", "budget", "evaluation", "checkpoint", "log_every", "max_skipped",
    "device", "precision", "compile", "attention", "deterministic",
}  # fmt: skip
"""Settings that a resumed run may have others of; all others decide what it is."""


@dataclass
class Run:
    """A run that is ready to start."""

    folder: store.Folder
    settings: PretrainSettings
    shape: Shape
    machine: Machine
    vocabulary: Vocabulary
    shards: Shards
    source: Source
    config: dict[str, Any]

    @property
    def per_step(self) -> int:
        """Return the micro-batches of a step, over all ranks."""
        return (self.settings.batch_tokens or 1) // (self.settings.micro_batch_tokens or 1)

    @property
    def accumulation(self) -> int:
        """Return the micro-batches of a step that each rank takes, one after the other."""
        return self.per_step // self.machine.num_ranks


def run_folder(out: str, name: str) -> store.Folder:
    """Return the folder of a run.

    Raises:
        ConfigError: the name is no name of a folder.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise ConfigError(f"--name {name}: is no name.\n  Use letters, digits, '.', '_' and '-'.")
    return store.Folder(out) / "runs" / name


def read_config(folder: store.Folder) -> dict[str, Any]:
    """Return what a run is, from its folder.

    Raises:
        DataError: there is no run.
    """
    if not folder.exists(CONFIG):
        raise DataError(
            f"{folder.url}: there is no run here.\n"
            "  Name its folder, OUT/runs/NAME, as `koine pretrain run` prints it."
        )
    config: dict[str, Any] = folder.read_json(CONFIG)
    if not {"settings", "vocab_hash", "tokens_hash"} <= set(config):
        raise DataError(f"{folder.path(CONFIG)}: is not a run's.\n  Run `koine pretrain run`.")
    return config


def prepare(settings: PretrainSettings, *, out: str, name: str | None, resume: bool) -> Run:
    """Return a run that is ready to start, its folder made and its inputs checked.

    Args:
        settings: as configured.
        out: the build that holds the vocabulary and the token shards.
        name: of the run; the preset's when left out.
        resume: go on where a run of this name was, if there is one.

    Raises:
        ConfigError: the folder holds another run; or the settings don't fit each other.
        DataError: vocabulary or shards are missing, damaged, or don't belong together.
        EnvironmentProblem: there is no GPU where one is asked for.
    """
    folder = run_folder(out, name or settings.preset)
    before = read_config(folder) if folder.exists(CONFIG) else None
    if before is None and Checkpoints(folder / CHECKPOINTS, keep=1).steps():
        raise DataError(
            f"{folder.path(CONFIG)}: there is no such file, but there are checkpoints of a run.\n"
            "  Put it back, or start another run with --name."
        )
    if before is not None:
        settings = _as_before(settings, before["settings"])
    resolved = resolve(settings, on_cpu=device_of(settings).type == "cpu")
    _check(resolved)
    if before is not None and not resume:
        raise ConfigError(
            f"{folder.url}: there is a run already.\n"
            "  Go on with it with --resume, or start another with --name."
        )
    vocabulary = read_vocabulary(store.Folder(out) / "vocab")
    shards = open_shards(resolved, out=out, vocab_hash=vocabulary.hash)
    here = machine(resolved)
    run = _run(folder, resolved, here, vocabulary, shards, before=before)
    if before is not None:
        _refuse_others(folder, before, run.config)
    assert run.source.stages  # made here, where what they can't have is refused
    if here.is_first:
        folder.create()  # `train` writes the rest, when nobody else does
    return run


def _as_before(settings: PretrainSettings, before: dict[str, Any]) -> PretrainSettings:
    """Return the settings with what is left out and was decided by the device, maybe another."""
    judged = settings.evaluation
    num, tokens_ = settings.micro_batch_tokens, judged.tokens
    judged = judged.model_copy(update={"tokens": tokens_ or before["evaluation"]["tokens"]})
    update = {"micro_batch_tokens": num or before["micro_batch_tokens"], "evaluation": judged}
    return settings.model_copy(update=update)


def reopen(folder: store.Folder, *, out: str) -> Run:
    """Return a run as it was, to look at its data; nothing is written.

    Raises:
        DataError: its inputs are no longer there, or no longer what they were.
    """
    config = read_config(folder)
    settings = PretrainSettings.model_validate(config["settings"])
    here = {"device": "cpu", "precision": "float32", "attention": "auto"}
    settings = settings.model_copy(update=here)
    vocabulary = read_vocabulary(store.Folder(out) / "vocab")
    shards = open_shards(settings, out=out, vocab_hash=vocabulary.hash)
    run = _run(folder, settings, machine(settings), vocabulary, shards, before=config)
    _refuse_others(folder, config, run.config)
    return run


def open_shards(settings: PretrainSettings, *, out: str, vocab_hash: str) -> Shards:
    """Return the token shards of a build.

    Raises:
        ConfigError: a language that they lack.
        DataError: there are none, or of another vocabulary.
    """
    return Shards.open(
        store.Folder(out) / tokens.TOKENS,
        vocab_hash=vocab_hash,
        labels=settings.labels,
        held_out=settings.held_out,
        seed=settings.seed,
    )


def _run(
    folder: store.Folder,
    settings: PretrainSettings,
    here: Machine,
    vocabulary: Vocabulary,
    shards: Shards,
    *,
    before: dict[str, Any] | None,
) -> Run:
    shape = shape_of(settings)
    planned = (
        int(before["planned_tokens"]) if before else _planned(settings, shape, here, vocabulary)
    )
    source = Source(
        shards,
        settings=settings,
        planned_tokens=planned,
        starts=vocabulary.starts if settings.whole_words else None,
    )
    config = {
        "preset": settings.preset,
        "settings": settings.model_dump(mode="json"),
        "shape": asdict(shape),
        "vocab_rows": vocabulary.rows,
        "vocab_pieces": len(vocabulary.pieces),
        "vocab_hash": vocabulary.hash,
        "tokens_hash": shards.fingerprint,
        "corpus_hash": shards.corpus_hash,
        "labels": _labels(shards),
        "seed": settings.seed,
        "planned_tokens": planned,
        "versions": {"torch": torch.__version__, "numpy": np.__version__},
    }
    return Run(folder, settings, shape, here, vocabulary, shards, source, config)


def _labels(shards: Shards) -> dict[str, dict[str, Any]]:
    """Return what there is of each language, to train on and to judge by."""
    train, held = shards.view("train"), shards.view("held_out")
    return {
        label: {
            "documents": int(train.num_documents[number]),
            "tokens": int(train.num_tokens[number]),
            "held_out_documents": int(held.num_documents[number]),
            "held_by": shards.held_by[number],
        }
        for number, label in enumerate(shards.labels)
    }


def _planned(
    settings: PretrainSettings, shape: Shape, here: Machine, vocabulary: Vocabulary
) -> int:
    """Return the run's length in tokens; an estimate where it is given in time."""
    if settings.tokens:
        return settings.tokens
    row = settings.stages[0]
    length, rate = row.max_length or 1, row.mask_rate or 0
    num = settings.micro_batch_tokens or 1
    one = flops.step_flops(
        shape,
        vocab_rows=vocabulary.rows,
        num_tokens=num,
        squares=float(num * length),
        local=float(num * min(length, shape.window + 1)),
        num_masked=int(rate * num),
        num_sequences=num / length,
    )
    rate_s = here.peak * here.num_ranks * EXPECTED_MFU / (one / num)
    (planned,) = agree(here, rate_s * seconds_of(settings.budget or "1h"))
    return int(planned)  # each rank may have measured another peak


def _check(settings: PretrainSettings) -> None:
    """Refuse a step that the ranks can't share.

    Raises:
        ConfigError: with what to change.
    """
    micro = settings.micro_batch_tokens or 1
    per_step, ranks = (settings.batch_tokens or 0) // micro, num_ranks()
    if per_step % ranks:  # said before the ranks wait for each other
        raise ConfigError(
            f"pretrain.batch_tokens: a step has {per_step} micro-batches, which {ranks} ranks can't"
            " share evenly.\n  Start as many ranks as divide it, or change batch_tokens or"
            " micro_batch_tokens."
        )


def _refuse_others(folder: store.Folder, before: dict[str, Any], now: dict[str, Any]) -> None:
    """Refuse to go on with other data or another model than a run began with.

    Raises:
        ConfigError: naming each setting that differs.
        DataError: naming the input that is another.
    """
    for key, what in (("vocab_hash", "vocabulary"), ("tokens_hash", "token shards")):
        if before[key] != now[key]:
            raise DataError(
                f"{folder.url}: this run was started with the {what} {before[key]}, and these are "
                f"{now[key]}.\n  Start another run with --name, or build what it had again."
            )
    old, new = before["settings"], now["settings"]
    wrong = [
        f"pretrain.{key}: {_short(old.get(key))} before, {_short(new.get(key))} now"
        for key in sorted(set(old) | set(new))
        if key not in MAY_CHANGE and old.get(key) != new.get(key)
    ]
    if wrong:
        raise ConfigError(
            f"{folder.url}: the run there was started with other settings.\n  "
            + "\n  ".join(wrong)
            + "\n  Set them as they were, or start another run with --name."
        )


def _short(value: object) -> str:
    text = store.canonical_json(value)
    return text if len(text) <= 60 else text[:57] + "..."
