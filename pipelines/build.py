"""Build a corpus: measure | judge | dedupe | publish, each with its own artefact and journal.

    out/
      corpus/     kept documents by label, README.md (dataset card), manifest.json
      removed/    removed documents by label, each with its reason, manifest.json
      report.html report.json run.json
      work/       measured shards, verdicts and journals: what makes a second run short

Promises: the same input and settings give the same bytes in corpus/, removed/ and report.json,
whatever the engine, the workers, the folder or the clock; documents read = kept + removed +
quarantined, or the run fails; a killed run, started again, keeps every finished unit.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from . import dedupe, engines, jit, judge, stages, store, units, verdict
from .errors import DataError
from .parts import CORPUS, REMOVED, grouped_parts, parts_of
from .progress import Display
from .units import MEASURED, Unit

if TYPE_CHECKING:
    from pathlib import Path

    from .config import Config
    from .engines import Engine

JUDGE_VERSION = 1
"""Raise it when judging, deduplication or publishing change what they give."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A measured shard in the order of all documents."""

    name: str
    corpus: str
    first_document: int
    num_documents: int
    labels: dict[str, list[int]]
    """label -> its first batch, batches, rows, bytes of text; in the order of the rows."""
    licenses: list[str]


@dataclass(slots=True)
class Built:
    """What a build left: where it is, what is in it, and how long the stages took."""

    ledger: dict[str, Any]
    labels: dict[str, dict[str, int]]
    seconds: dict[str, float]
    corpus: str
    report: str
    kept_units: int
    """Units that an earlier run had already measured."""
    num_units: int
    unused_bytes: int
    """Measured shards in the work folder that this configuration does not use."""


class Build:
    """One build of one output folder; each stage is a method, called in order by `build`."""

    def __init__(
        self, config: Config, *, out: str, base: Path, engine: Engine, display: Display
    ) -> None:
        """Name the configuration, the folder, the base of relative paths and the engine."""
        self.config, self.base, self.engine, self.display = config, base, engine, display
        self.version = JUDGE_VERSION
        self.settings = config.corpus
        self.folder = store.Folder(out)
        self.work = self.folder / "work"
        self.measured = self.work / MEASURED
        self.seconds: dict[str, float] = {}
        self.entries: list[dict[str, Any]] = []
        self.shards: list[Shard] = []
        self.histograms: judge.Histograms = {}
        self.thresholds: judge.Thresholds = {}
        self.kept_units = 0
        self.key = ""
        """Names the folders of the stages after measuring: what they depend on, hashed."""

    def context(self, **more: object) -> dict[str, Any]:
        """Return what every worker is sent."""
        return {
            "config": self.config.model_dump(mode="json"),
            "corpora": [corpus.name for corpus in self.config.corpora],
            "work": self.work.url,
            "out": self.folder.url,
            **more,
        }

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the block's time to a stage."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0) + time.monotonic() - started

    def run_phase(
        self,
        phase: str,
        described: list[dict[str, Any]],
        *,
        total: int,
        in_bytes: bool = True,
        **context: object,
    ) -> None:
        """Run a phase over its work units, shown by the display.

        Args:
            phase: its name.
            described: the units.
            total: the work in them, in bytes or documents.
            in_bytes: which of the two.
            context: what all units share, besides what all phases do.
        """
        engines.run_phase(
            self.engine,
            phase,
            described,
            self.context(**context),
            display=self.display,
            total=total,
            in_bytes=in_bytes,
        )

    def measure(self, planned: list[Unit]) -> None:
        """Measure every unit that is not in the journal, then read the whole journal."""
        self.kept_units = sum(
            units.journal_entry(self.measured, unit) is not None for unit in planned
        )
        num_bytes = sum(unit.num_bytes for unit in planned)
        if self.kept_units < len(planned) and not jit.is_compiled():
            self.display.note("compiling koine's kernels first, once for this version: about 20 s")
        described = [
            {
                "name": unit.name,
                "corpus": unit.corpus,
                "key": unit.key,
                "splits": [split.to_json() for split in unit.splits],
                "num_bytes": unit.weight,
            }
            for unit in planned
        ]
        self.run_phase("measure", described, total=num_bytes)
        self.read_journal(planned)

    def read_journal(self, planned: list[Unit]) -> None:
        """Read what was measured: the shards in the order of the input, and their histograms.

        Raises:
            DataError: a unit is not measured.
        """
        first = 0
        for unit in planned:
            entry = units.journal_entry(self.measured, unit)
            if entry is None:
                raise DataError(
                    f"{self.work.url}: {unit.splits[0].name} of {unit.corpus} is not measured yet."
                    "\n  Run `koine corpus build` first."
                )
            # A unit may have been measured when such records were still allowed.
            for example in entry["examples"][:1]:
                units.fail_if_asked(self.settings, example)
            self.entries.append(entry)
            for shard in entry["shards"]:
                self.shards.append(
                    Shard(
                        shard["name"],
                        unit.corpus,
                        first,
                        shard["num_documents"],
                        dict(sorted(shard["labels"].items())),
                        shard["licenses"],
                    )
                )
                first += shard["num_documents"]
        for shard in self.shards:
            with self.measured.open_arrow(f"{shard.name}.histograms") as file:
                table = pa.ipc.open_stream(file).read_all()
            judge.add_histograms(self.histograms, table, list(shard.labels))

    def judge(self) -> store.Folder:
        """Judge every shard under this configuration's rules; return the folder of verdicts."""
        labels = {label for shard in self.shards for label in shard.labels}
        self.thresholds = judge.decide_thresholds(self.settings, labels, self.histograms)
        plain = judge.thresholds_to_json(self.thresholds)
        num = dedupe.num_partitions(sum(s.num_documents for s in self.shards), self.settings.dedupe)
        self.key = store.fingerprint(
            [
                JUDGE_VERSION,
                [[shard.name, shard.corpus] for shard in self.shards],
                [corpus.name for corpus in self.config.corpora],
                plain,
                self.settings.dedupe.model_dump(mode="json", exclude={"memory_mb"}),
                [num, self.settings.shard_mb],
            ]
        )[:20]
        folder = self.work / f"judged-{self.key}"
        if not folder.exists(stages.THRESHOLDS):
            folder.write_json(stages.THRESHOLDS, plain)
        described = [
            {
                "name": shard.name,
                "labels": shard.labels,
                "first_document": shard.first_document,
                "num_bytes": shard.num_documents,
            }
            for shard in self.shards
        ]
        self.run_phase(
            "judge",
            described,
            total=sum(shard.num_documents for shard in self.shards),
            in_bytes=False,
            judged=folder.url,
            num_partitions=num,
        )
        return folder

    def dedupe(self, judged: store.Folder) -> store.Folder:
        """Join the keys and write every document's verdict; return the folder of verdicts."""
        folder = self.work / f"joined-{self.key}"
        slices: dict[int, list[tuple[str, int, int]]] = defaultdict(list)
        for shard in self.shards:
            bounds = judged.read_json(f"{shard.name}.json")["bounds"]
            for partition, (start, end) in enumerate(pairwise(bounds)):
                if end > start:
                    offset, size = start * dedupe.KEY_BYTES, (end - start) * dedupe.KEY_BYTES
                    slices[partition].append((shard.name, offset, size))
        parts: list[dict[str, Any]] = [
            {"name": f"{partition:06d}", "slices": own, "num_bytes": sum(s[2] for s in own)}
            for partition, own in sorted(slices.items())
        ]
        self.run_phase(
            "join",
            parts,
            total=sum(part["num_bytes"] for part in parts),
            judged=judged.url,
            joined=folder.url,
        )
        num = sum(shard.num_documents for shard in self.shards)
        by_text, by_url = dedupe.Groups(num), dedupe.Groups(num)
        for part in parts:
            data = folder.read_bytes(f"{part['name']}.edges")
            text_edges, url_edges = dedupe.split_edges(
                np.frombuffer(data, np.uint64).reshape(-1, 2)
            )
            by_text.add(text_edges)
            by_url.add(url_edges)
        return verdict.write(self, judged, by_text.roots(), by_url.roots())

    def publish(self, verdicts: store.Folder, judged: store.Folder) -> list[dict[str, Any]]:
        """Write the published shards; return their journal entries with their parts."""
        parts = parts_of(self, verdicts)
        journal = self.work / f"published-{self.key}"
        for kind in (CORPUS, REMOVED):
            folder = self.folder / kind
            folder.create()
            # From here on the old artefact is gone; what is listed never changes under a reader.
            folder.remove(store.MANIFEST)
            wanted = {part["name"].partition("/")[2] for part in parts if part["kind"] == kind}
            for name in folder.names():
                if name not in wanted:
                    folder.remove(name)
        grouped = list(grouped_parts(parts))
        self.run_phase(
            "publish",
            grouped,
            total=sum(unit["num_bytes"] for unit in grouped),
            judged=judged.url,
            verdicts=verdicts.url,
            published=journal.url,
            licenses=sorted({name for shard in self.shards for name in shard.licenses}),
        )
        written = []
        for unit in grouped:
            entries = journal.read_json(f"{unit['name']}.json")["parts"]
            for part, entry in zip(unit["parts"], entries, strict=True):
                written.append({**part, "entry": entry})
        return written


def build(
    config: Config,
    *,
    out: str,
    base: Path,
    engine: Engine,
    display: Display | None = None,
    prune: bool = False,
) -> Built:
    """Build the corpus and return what is in it.

    Args:
        config: the corpus part of corpora.yaml.
        out: folder or fsspec URL of the result.
        base: folder that relative input paths start at.
        engine: what runs the work units.
        display: shows progress; quiet when left out.
        prune: delete measured shards that this configuration does not use.

    Raises:
        DataError: input is missing, or the ledger does not balance.
        EnvironmentProblem: the folder cannot be written, is full, or another build runs in it.
    """
    from . import summary

    run = Build(config, out=out, base=base, engine=engine, display=display or Display(quiet=True))
    with run.timed("plan"):
        planned = units.plan(config, base=base)
    run.folder.create()
    with store.locked(run.folder):
        run.folder.remove_temporary()
        with run.timed("measure"):
            run.measure(planned)
        return _finish(run, planned, prune=prune, summary=summary)


def rejudge(
    config: Config, *, out: str, base: Path, engine: Engine, display: Display | None = None
) -> Built:
    """Judge, deduplicate and publish again what is measured already; measure nothing.

    Raises:
        DataError: something is not measured yet.
    """
    from . import summary

    run = Build(config, out=out, base=base, engine=engine, display=display or Display(quiet=True))
    planned = units.plan(config, base=base)
    run.read_journal(planned)
    run.folder.create()
    with store.locked(run.folder):
        run.kept_units = len(planned)
        return _finish(run, planned, prune=False, summary=summary)


def _finish(run: Build, planned: list[Unit], *, prune: bool, summary: Any) -> Built:  # noqa: ANN401
    with run.timed("judge"):
        judged = run.judge()
    with run.timed("dedupe"):
        verdicts = run.dedupe(judged)
    with run.timed("publish"):
        parts = run.publish(verdicts, judged)
    with run.timed("report"):
        built: Built = summary.commit(run, parts)
    built.seconds = {stage: round(seconds, 3) for stage, seconds in run.seconds.items()}
    built.kept_units, built.num_units = run.kept_units, len(planned)
    built.unused_bytes = _clean_up(run, planned, keep=run.key, prune=prune)
    return built


def _clean_up(run: Build, planned: list[Unit], *, keep: str, prune: bool) -> int:
    """Delete what no later run needs; return the bytes of measured shards that are not used."""
    for name in {name.partition("/")[0] for name in run.work.names() if "/" in name}:
        stage, _, key = name.partition("-")
        if stage == "joined" or (stage in ("judged", "verdicts", "published") and key != keep):
            (run.work / name).remove_all()
    used = {unit.name for unit in planned}
    unused = 0
    for name in run.measured.names():
        stem = name.partition(".")[0]
        if stem in used or stem.rpartition("-")[0] in used:
            continue
        if prune:
            run.measured.remove(name)
        elif run.measured.is_local:
            unused += (run.measured.root / name).stat().st_size
    return unused
