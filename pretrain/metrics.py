"""Keep what a run measures: a line of JSON for each logged step and each evaluation.

    RUN/log.jsonl          steps: loss, accuracy, learning rate, speed, waiting
    RUN/evaluation.jsonl   evaluations: every language's bits per byte and accuracy
    RUN/tensorboard/       the same for TensorBoard

Promises: a line is in the system's hands when `step` or `evaluation` returns, so a killed process
loses none that was told; a run that goes on from a checkpoint first cuts what came after it, so no
step is told twice; what is no finite number is null, since JSON has none.
Does not promise: the last lines after a power cut (nothing is synced, it would cost a step its
time), or each line at once where the folder is on an object store, which can't append: there the
files are written anew at each evaluation and at the end, and TensorBoard's are left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from io import FileIO
from typing import TYPE_CHECKING, Any

from pipelines.disk import explained
from pipelines.errors import EnvironmentProblem

if TYPE_CHECKING:
    from pipelines import store

Record = Mapping[str, Any]

LOG, EVALUATION, TENSORBOARD = "log.jsonl", "evaluation.jsonl", "tensorboard"
_GROUPS = {"tokens_per_s": "speed", "mfu": "speed", "wait_share": "speed", "tokens": "progress"}
_GROUPS |= {"seconds": "progress", "stage": "progress", "block": "progress"}
_FLUSH_S = 20  # how soon TensorBoard sees a scalar


class Log:
    """Writes down steps and evaluations as they happen."""

    def __init__(self, folder: store.Folder, *, tensorboard: bool, from_step: int = 0) -> None:
        """Open the log of a run, and cut what an earlier attempt wrote after a step.

        Args:
            folder: of the run.
            tensorboard: whether to write for TensorBoard, too.
            from_step: the step of the checkpoint that the run goes on from; 0 for none.

        Raises:
            EnvironmentProblem: the folder can't be written, or TensorBoard is not installed.
        """
        folder.create()
        self._writer = None
        if tensorboard and folder.is_local:
            self._writer = _writer(folder.path(TENSORBOARD), purge_step=from_step + 1)
        self._steps = _Lines(folder, LOG, from_step=from_step)
        self._evaluations = _Lines(folder, EVALUATION, from_step=from_step)

    def __enter__(self) -> Log:
        """Return the log, which the block's end closes."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()

    def step(self, record: Record) -> None:
        """Write a logged step.

        Args:
            record: step; tokens, seconds and skipped steps since the run began; loss, mlm_loss,
                mlm_accuracy, nsp_loss and nsp_accuracy where there are pairs, learning_rate,
                gradient_norm, tokens_per_s, mfu (or None), wait_share, stage, block.
        """
        record = plain(record)
        self._steps.add(record)
        if self._writer is not None:
            for key, value in record.items():
                if key != "step" and _is_number(value):
                    tag = f"{_GROUPS.get(key, 'train')}/{key}"
                    self._writer.add_scalar(tag, value, record["step"])

    def evaluation(self, record: Record) -> None:
        """Write an evaluation.

        Args:
            record: step, tokens, final, mean_bits_per_byte, worst (a label), and labels: by label
                bits_per_byte, mlm_accuracy, nsp_accuracy (or None), masked, bytes, documents,
                held_by.
        """
        record = plain(record)
        self._evaluations.add(record)
        self._evaluations.flush()
        self._steps.flush()
        if self._writer is not None:
            for tag, value in _scalars(record).items():
                if _is_number(value):
                    self._writer.add_scalar(tag, value, record["step"])
            self._writer.flush()

    def close(self) -> None:
        """Finish the files; a second time does nothing."""
        self._steps.close()
        self._evaluations.close()
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _writer(path: str, *, purge_step: int) -> Any:  # noqa: ANN401
    """Return TensorBoard's writer; events of an earlier attempt from `purge_step` on are hidden."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise EnvironmentProblem(
            f"TensorBoard can't be loaded: {error}.\n"
            "  Install it with koine: pip install 'koine-multilingual[pretrain]'."
        ) from error
    make: Any = SummaryWriter
    return make(path, purge_step=purge_step, flush_secs=_FLUSH_S)


def _scalars(record: Record) -> dict[str, Any]:
    """Return an evaluation as TensorBoard's scalars: a group for each measure, all in one more."""
    labels = record.get("labels") or {}
    worst = labels.get(record.get("worst")) or {}
    found = {
        "all/mean_bits_per_byte": record.get("mean_bits_per_byte"),
        "all/worst_bits_per_byte": worst.get("bits_per_byte"),
    }
    for label, row in labels.items():
        for measure in ("bits_per_byte", "mlm_accuracy", "nsp_accuracy"):
            found[f"{measure}/{label}"] = row.get(measure)
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


class _Lines:
    """A file of records: read once, cut after a step, then only added to."""

    def __init__(self, folder: store.Folder, name: str, *, from_step: int) -> None:
        self._folder, self._name = folder, name
        old = folder.read_bytes(name) if folder.exists(name) else b""
        kept = [line for line, record in _parsed(old) if record["step"] <= from_step]
        self._data = b"".join(line + b"\n" for line in kept)
        if old != self._data:
            folder.write_bytes(name, self._data)
        self._file: FileIO | None = None
        self._is_open = True
        if folder.is_local:
            self._data = b""
            self._file = (folder.root / name).open("ab", buffering=0)

    def add(self, record: Record) -> None:
        line = json.dumps(record, ensure_ascii=False, allow_nan=False) + "\n"
        if self._file is None:
            self._data += line.encode()
        else:
            with explained(self._folder.path(self._name)):
                rest = memoryview(line.encode())
                while rest:
                    rest = rest[self._file.write(rest) :]

    def flush(self) -> None:
        if self._file is None and self._is_open:
            self._folder.write_bytes(self._name, self._data)

    def close(self) -> None:
        self.flush()
        self._is_open = False
        if self._file is not None:
            self._file.close()


def _parsed(data: bytes) -> list[tuple[bytes, dict[str, Any]]]:
    """Return the lines that hold a record, and the records; a torn one is none."""
    found = []
    for line in data.split(b"\n")[:-1]:
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict) and isinstance(record.get("step"), int):
            found.append((line, record))
    return found


def records(folder: store.Folder, name: str) -> list[dict[str, Any]]:
    """Return what a log holds, by step; nothing where there is no such file.

    A line that is torn, as the last one of a killed run may be, is left out; where a step was
    written twice, the later line counts.

    Args:
        folder: of the run.
        name: `LOG` or `EVALUATION`.
    """
    if not folder.exists(name):
        return []
    by_step = {record["step"]: record for _, record in _parsed(folder.read_bytes(name))}
    return [by_step[step] for step in sorted(by_step)]


def plain(value: Any) -> Any:  # noqa: ANN401
    """Return a value as JSON can hold it: numbers of numpy and torch as Python's, NaN as None.

    Raises:
        TypeError: it is nothing of that kind.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if callable(getattr(value, "item", None)):  # a number of numpy or torch
        return plain(value.item())
    raise TypeError(f"{type(value).__name__} has no place in a log")
