"""Train one SentencePiece model on a sample of units, as a work unit of the engine.

Promises: the same sample and options give the same bytes, on any machine: the number of threads is
pinned, since Unigram sums in another order with another one; the sample is sorted; a model in the
journal is not trained again.
"""

from __future__ import annotations

import contextlib
import math
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from pipelines import progress, stages, store
from pipelines.errors import ConfigError, DataError, EnvironmentProblem, KoineError

from . import counts, export, parity_bpe, spm_process
from .config import NUM_BYTES, NUM_SPECIAL, VocabSettings

NUM_THREADS = 8
"""Of the trainer, whatever the machine has: part of the recipe."""
BATCH_UNITS = 65536
SHRINK = 0.75
SEED_FACTOR = 2
"""Pieces that Unigram starts from, in sizes of the vocabulary: those of a BPE (`spm_process`)."""
SEED_SHARE = 0.4  # of the time, roughly, that takes


def options(settings: VocabSettings, *, required: str, size: int) -> dict[str, Any]:
    """Return the trainer's options.

    Args:
        settings: the vocabulary's.
        required: characters that become pieces whatever their frequency.
        size: of the vocabulary.
    """
    pad, unknown, begin, end, mask = export.SPECIAL
    return {
        "input_format": "tsv",
        "model_type": settings.algorithm,
        "vocab_size": size,
        # Text is normalised before it is counted; the rules are put into the finished model.
        "normalization_rule_name": "identity",
        "add_dummy_prefix": False,  # units bring their own
        "remove_extra_whitespaces": False,
        "byte_fallback": True,
        "required_chars": required,
        "character_coverage": 0.98,  # its least: coverage is decided for each language
        # A unit is what a piece may not leave; these would split it again, by rules of their own.
        "split_by_unicode_script": False,
        "split_by_number": False,
        "split_digits": False,
        "max_sentencepiece_length": settings.max_piece_chars,
        "max_sentence_length": 1 << 20,  # bytes; longer units would be dropped without a word
        "shrinking_factor": SHRINK,
        "num_threads": NUM_THREADS,
        "pad_id": 0,
        "unk_id": 1,
        "bos_id": 2,
        "eos_id": 3,
        "pad_piece": pad,
        "unk_piece": unknown,
        "bos_piece": begin,
        "eos_piece": end,
        "control_symbols": mask,  # control, not user defined: it is never found in text
        "minloglevel": 0,  # what it says is its progress
    }


def check_size(settings: VocabSettings, num_required: int) -> None:
    """Refuse a vocabulary that its characters alone would fill.

    Raises:
        ConfigError: naming the size it takes.
    """
    least = NUM_SPECIAL + NUM_BYTES + num_required
    if settings.size <= least:
        raise ConfigError(
            f"vocab.size: {settings.size:,} pieces are too few: {num_required:,} characters of the "
            f"corpus, the bytes and the special pieces take {least:,}.\n"
            f"  Set vocab.size to {2 * least:,} or more, or lower vocab.character_coverage "
            f"(now {settings.character_coverage})."
        )


def train_unit(unit: Mapping[str, Any], context: Mapping[str, Any]) -> None:
    """Train a model: `sample` and `options` of the unit, into `<name>.model` of context["models"].

    Raises:
        DataError: the text is too small for the size, or the trainer refuses it.
        EnvironmentProblem: the trainer's process died.
    """
    folder = store.Folder(context["models"])
    if stages.is_done(folder, unit["name"]):
        return
    report = progress.reporter(context.get("progress"))
    total = int(unit["num_bytes"])
    watch = _Watch(total, unit["options"]["vocab_size"], report, seeds=unit["seeds"])
    samples = store.Folder(context["samples"])
    with samples.local(unit["sample"]) as sample:
        spec = {key: unit[key] for key in ("options", "seeds")}
        model = _run({"sample": str(sample.absolute()), **spec}, watch)
    written = folder.write_bytes(f"{unit['name']}.model", export.finished(model))
    folder.write_json(f"{unit['name']}.json", {"files": [asdict(written)]})
    report(0, total, finished=True)


def train_parity_bpe_unit(unit: Mapping[str, Any], context: Mapping[str, Any]) -> None:
    """Train a parity-aware byte BPE from merged counts, into `<name>.model` like `train_unit`.

    Args:
        unit: `name`, `num_bytes`, `size` and `bytes_per_content` by label.
        context: `merged` and `models` (URLs), `progress`.
    """
    folder, merged = store.Folder(context["models"]), store.Folder(context["merged"])
    if stages.is_done(folder, unit["name"]):
        return
    targets = unit["bytes_per_content"]
    tokenizer = parity_bpe.train_parity_bpe(
        {label: _units(merged, label) for label in targets},
        size=unit["size"],
        bytes_per_content=targets,
    )
    written = folder.write_bytes(f"{unit['name']}.model", tokenizer.to_str().encode())
    folder.write_json(f"{unit['name']}.json", {"files": [asdict(written)]})
    progress.reporter(context.get("progress"))(0, int(unit["num_bytes"]), finished=True)


def _units(merged: store.Folder, label: str) -> Iterator[tuple[str, int]]:
    for batch in counts.read_units(merged, label).to_batches(max_chunksize=BATCH_UNITS):
        units, numbers = batch.column("unit").to_pylist(), batch.column("count").to_pylist()
        yield from zip(units, numbers, strict=True)


def _run(spec: Mapping[str, Any], watch: _Watch) -> bytes:
    """Return the model of a training in a process of its own, which ends when this one does."""
    command = [sys.executable, "-m", spm_process.__name__]
    root = Path(__file__).resolve().parents[1]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=root, stdin=pipe, stdout=pipe, stderr=pipe) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        reader = threading.Thread(target=watch.read, args=(process.stderr,), daemon=True)
        reader.start()
        try:
            _hand_over(process.stdin, store.canonical_json(spec).encode() + b"\n")
            model = process.stdout.read()
            process.wait()
        except BaseException:
            process.kill()
            raise
        reader.join()
    if process.returncode == 0:
        return model
    raise _failure(process.returncode, watch.last)


def _hand_over(pipe: IO[bytes], line: bytes) -> None:
    """Write a line to a process's input, and leave it open: the process ends when it is closed."""
    try:
        pipe.write(line)
        pipe.flush()
    except BrokenPipeError:  # it has died already; what it said tells why
        with contextlib.suppress(BrokenPipeError):
            pipe.close()


def _failure(code: int, said: str) -> KoineError:
    if code < 0:
        return EnvironmentProblem(
            f"the trainer's process was killed by signal {-code}.\n  Most often the machine is out "
            "of memory: lower vocab.sample_mb."
        )
    too_large = re.search(r"too high \((\d+)\).*?<= (\d+)", said)
    if too_large:
        return DataError(
            f"vocab.size: the text has not enough different units for {int(too_large[1]):,} "
            f"pieces.\n  Set vocab.size to {int(too_large[2]):,} or less, or add text."
        )
    return DataError(
        f"the SentencePiece trainer failed: {said or f'exit code {code}'}\n"
        "  Look at vocab.size, vocab.character_coverage and the text."
    )


class _Watch:
    """Reads the trainer's log: how far it is, and what it said last when it failed."""

    def __init__(self, total: int, size: int, report: progress.Reporter, *, seeds: int = 0) -> None:
        self._total, self._size, self._report = total, size, report
        self._bpe_size = seeds or size
        self._bpe_share = SEED_SHARE if seeds else 1.0
        self._merges, self._seeds = 1, 0
        self._raised = False
        self.last = ""

    def read(self, log: IO[bytes]) -> None:
        for raw in log:
            line = raw.decode("utf-8", "replace").strip()
            if line.startswith(spm_process.FAILED):
                self.last = line.removeprefix(spm_process.FAILED)
            elif self._raised or line.startswith("Traceback"):
                self._raised, self.last = True, line  # in the end the exception's own line
            elif seeds := re.search(r"Initialized (\d+) seed sentencepieces", line):
                self._seeds = int(seeds[1])
                self._say(SEED_SHARE)
            elif size := re.search(r"EM sub_iter=\d+ size=(\d+)", line):
                self._say(SEED_SHARE + (1 - SEED_SHARE) * self._shrunk(int(size[1])))
            elif alphabet := re.search(r"Alphabet size=(\d+)", line):
                fixed = NUM_SPECIAL + NUM_BYTES + int(alphabet[1])
                self._merges = max(self._bpe_size - fixed, 1)
            elif merged := re.search(r"Merged: freq=\d+ merges=(\d+)", line):  # BPE
                self._say(self._bpe_share * min(int(merged[1]) / self._merges, 1.0))

    def _shrunk(self, size: int) -> float:
        """Return how far it is from the seeds to the size, in rounds."""
        whole = math.log(max(self._seeds, 2 * self._size) / self._size)
        return min(max(1 - math.log(max(size, self._size) / self._size) / whole, 0.0), 1.0)

    def _say(self, share: float) -> None:
        self._report(0, int(self._total * share))
