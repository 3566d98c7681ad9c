"""The one DoFn of koine: run a phase's function on a work unit.

In its own module so that a worker on any engine imports it by name, and Beam only there.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import apache_beam as beam

from . import engines
from .errors import KoineError

Phase = Callable[[Mapping[str, Any], Mapping[str, Any]], None]


def phase_function(phase: str) -> Phase:
    """Return the function of a phase; its module is imported only where it runs.

    A phase of a package downstream carries its place: "tokenizer.counts:count_unit".
    """
    module, _, name = phase.rpartition(":")
    if module:
        function: Phase = getattr(importlib.import_module(module), name)
        return function
    if phase == "measure":
        from .units import measure_unit

        return measure_unit
    from . import stages

    functions: dict[str, Phase] = {
        "judge": stages.judge_shard,
        "join": stages.join_partition,
        "publish": stages.publish_parts,
    }
    return functions[phase]


class Work(beam.DoFn):  # type: ignore[misc]
    """Runs one phase's function on each unit and emits the names of the finished ones."""

    def __init__(self, phase: str, context: dict[str, Any]) -> None:
        """Name the phase and what all its units share."""
        self._phase, self._context = phase, context

    def process(self, unit: Mapping[str, Any]) -> Iterator[str]:
        """Run a unit; a KoineError is noted where the parent finds it."""
        try:
            phase_function(self._phase)(unit, self._context)
        except KoineError as error:
            engines.note_error(error, self._context)
            raise
        yield str(unit["name"])
