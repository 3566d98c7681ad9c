"""What surrounds the loop: signals, memory, Python's own pauses, and faults on purpose."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import time
from collections.abc import Callable, Iterator

from pipelines.errors import EnvironmentProblem

from .prepare import Run

AGAIN_S = 2.0
"""Signals sooner after the first are the same one: a terminal and torchrun both pass it on."""


@contextlib.contextmanager
def signals(stop: Callable[[int], None]) -> Iterator[None]:
    """Hand the first SIGINT or SIGTERM to a function while the block runs.

    Raises:
        KeyboardInterrupt: another one came later, from somebody who doesn't want to wait.
    """
    first_s: list[float] = []

    def handle(number: int, _frame: object) -> None:
        now = time.monotonic()
        if not first_s:
            first_s.append(now)
            stop(number)
        elif now - first_s[0] > AGAIN_S:
            raise KeyboardInterrupt

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def without_pauses() -> Iterator[None]:
    """Keep Python from looking for garbage, which can hold up a step for half a second."""
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


@contextlib.contextmanager
def memory_explained(run: Run) -> Iterator[None]:
    """Turn a lack of memory into one clear error.

    Raises:
        EnvironmentProblem: with the dial to turn.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:  # torch's own are RuntimeErrors
        if isinstance(error, RuntimeError) and not any(
            said in str(error) for said in ("out of memory", "can't allocate memory")
        ):
            raise
        num = run.settings.micro_batch_tokens or 0
        raise EnvironmentProblem(
            f"{run.machine.device}: out of memory with {num:,} tokens at a time.\n"
            f"  Set pretrain.micro_batch_tokens to {num // 2:,} and start another run with --name;"
            " batch_tokens stays as it is, and so does what is learnt."
        ) from error


def poisoned() -> frozenset[int]:
    """Return the steps whose loss is made NaN, so that tests can see what follows."""
    return frozenset(int(step) for step in os.environ.get("KOINE_POISON", "").split(",") if step)
