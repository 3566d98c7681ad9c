"""Add a build up: the ledger, the manifests that commit it, the dataset card and the report.

Everything here is made of the journals of what was really written, not of what was planned; the
ledger is the check of one against the other.
"""

from __future__ import annotations

import platform
import resource
import sys
import time
from collections import Counter, defaultdict
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from . import card, judge, records, report, stages, store
from .errors import DataError
from .parts import CORPUS, REMOVED

if TYPE_CHECKING:
    from .build import Build, Built

REPORT_JSON, REPORT_HTML, RUN_JSON = "report.json", "report.html", "run.json"
REPORT_BINS = 64


def commit(run: Build, parts: list[dict[str, Any]]) -> Built:
    """Check the ledger, write card, report and manifests, and return what was built."""
    from .build import Built

    flow = _flow(run, parts)
    ledger = _ledger(run, flow)
    labels = _labels(flow)
    facts = {
        "ledger": ledger,
        "labels": labels,
        "flow": flow,
        "rules": [
            {
                "name": rule.name,
                "column": rule.column,
                "is_min": rule.is_min,
                "is_length": rule.is_length,
            }
            for rule in judge.RULES
        ],
        "reasons": list(stages.REASONS),
        **_failed(run),
        "thresholds": judge.thresholds_to_json(run.thresholds),
        "histograms": _histograms(run),
        "examples": _examples(parts),
        "duplicates": _duplicates(run),
        "quarantined": [
            {"corpus": entry["corpus"], **example}
            for entry in run.entries
            for example in entry["examples"]
        ],
        "corpora": [
            corpus.model_dump(mode="json", include={"name", "license", "label", "declared"})
            for corpus in run.config.corpora
        ],
        "settings": _settings(run),
    }
    run.folder.write_json(REPORT_JSON, facts)
    run.folder.write_bytes(REPORT_HTML, report.render(facts).encode())
    _write_manifests(run, parts, facts)
    _write_run(run)
    return Built(
        ledger=ledger,
        labels=labels,
        seconds={stage: round(seconds, 3) for stage, seconds in run.seconds.items()},
        corpus=(run.folder / CORPUS).url,
        report=run.folder.path(REPORT_HTML),
        kept_units=0,
        num_units=0,
        unused_bytes=0,
    )


def _settings(run: Build) -> dict[str, Any]:
    """Return the settings without what is the machine's: memory, and where a model file lies."""
    settings = run.settings.model_dump(mode="json")
    del settings["dedupe"]["memory_mb"]
    settings["identify"]["model"] = settings["identify"]["model"].rpartition("/")[2]
    return settings


Flow = dict[str, dict[str, dict[str, list[int]]]]
"""corpus -> label -> "measured" | "kept" | a reason -> [documents, bytes of text]"""


def _flow(run: Build, parts: list[dict[str, Any]]) -> Flow:
    flow: Flow = defaultdict(dict)
    for shard in run.shards:
        for label, (_, _, rows, num_bytes) in shard.labels.items():
            own = flow[shard.corpus].setdefault(label, {"measured": [0, 0]})["measured"]
            own[0] += rows
            own[1] += num_bytes
    for part in parts:
        for corpus, by_reason in part["entry"]["counts"].items():
            for reason, (documents, num_bytes) in by_reason.items():
                own = flow[corpus][part["label"]].setdefault(reason, [0, 0])
                own[0] += documents
                own[1] += num_bytes
    return {corpus: dict(sorted(labels.items())) for corpus, labels in sorted(flow.items())}


def _ledger(run: Build, flow: Flow) -> dict[str, Any]:
    """Return read = kept + removed + quarantined, in total and by corpus.

    Raises:
        DataError: it does not balance.
    """
    corpora = {}
    for corpus in run.config.corpora:
        entries = [entry for entry in run.entries if entry["corpus"] == corpus.name]
        quarantined: Counter[str] = Counter()
        skipped: Counter[str] = Counter()
        for entry in entries:
            quarantined.update(entry["quarantined"])
            skipped.update(entry["skipped"])
        removed: Counter[str] = Counter()
        kept = 0
        text_bytes = kept_bytes = 0
        for counts in flow.get(corpus.name, {}).values():
            for reason, (documents, num_bytes) in counts.items():
                if reason == "measured":
                    text_bytes += num_bytes
                elif reason == "kept":
                    kept += documents
                    kept_bytes += num_bytes
                else:
                    removed[reason] += documents
        corpora[corpus.name] = {
            "read": sum(entry["num_documents"] for entry in entries),
            "kept": kept,
            "removed": dict(sorted(removed.items())),
            "quarantined": dict(sorted(quarantined.items())),
            "skipped": dict(sorted(skipped.items())),
            "read_bytes": sum(entry["num_bytes"] for entry in entries),
            "text_bytes": text_bytes,
            "kept_bytes": kept_bytes,
        }
    total: dict[str, Any] = {}
    for key in ("read", "kept", "read_bytes", "text_bytes", "kept_bytes"):
        total[key] = sum(row[key] for row in corpora.values())
    for key in ("removed", "quarantined", "skipped"):
        merged: Counter[str] = Counter()
        for row in corpora.values():
            merged.update(row[key])
        total[key] = dict(sorted(merged.items()))
    for name, row in [*corpora.items(), ("total", total)]:
        out = row["kept"] + sum(row["removed"].values()) + sum(row["quarantined"].values())
        if out != row["read"]:
            raise DataError(
                f"{name}: the ledger does not balance: read {row['read']:,}, but kept + removed + "
                f"quarantined = {out:,}.\n  This is a bug of koine; nothing was committed."
            )
    return {**total, "corpora": corpora}


def _labels(flow: Flow) -> dict[str, dict[str, int]]:
    """Return documents and bytes that each label keeps and had, by label."""
    labels: dict[str, dict[str, int]] = {}
    for by_label in flow.values():
        for label, counts in by_label.items():
            row = labels.setdefault(
                label, {"documents": 0, "bytes": 0, "measured_documents": 0, "measured_bytes": 0}
            )
            kept = counts.get("kept", [0, 0])
            row["documents"] += kept[0]
            row["bytes"] += kept[1]
            row["measured_documents"] += counts["measured"][0]
            row["measured_bytes"] += counts["measured"][1]
    return dict(sorted(labels.items()))


Counts = dict[str, dict[str, int]]


def _failed(run: Build) -> dict[str, Any]:
    """Return how many documents fail each rule, be it the first rule or not.

    By label (`failed`), and by corpus and label (`failed_by_corpus`): languages compare within a
    corpus only, where the same kind of text was taken for each.
    """
    total: dict[str, Counter[str]] = defaultdict(Counter)
    by_corpus: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for shard in run.shards:
        masks = stages.failed_of((run.work / f"judged-{run.key}").url, shard.name)
        start = 0
        for label, (_, _, rows, _) in shard.labels.items():
            own = masks[start : start + rows]
            start += rows
            if not own.any():
                continue
            for bit, rule in enumerate(judge.RULES):
                count = int(((own >> np.uint64(bit)) & np.uint64(1)).sum())
                if count:
                    total[label][rule.name] += count
                    by_corpus[shard.corpus][label][rule.name] += count

    def plain(counts: dict[str, Counter[str]]) -> Counts:
        return {label: dict(sorted(own.items())) for label, own in sorted(counts.items())}

    return {
        "failed": plain(total),
        "failed_by_corpus": {name: plain(own) for name, own in sorted(by_corpus.items())},
    }


def _histograms(run: Build) -> dict[str, dict[str, list[list[int]]]]:
    """Return label -> rule -> [[bin, count], ...], bins merged to REPORT_BINS over the range."""
    merge = judge.NUM_BINS // REPORT_BINS
    found: dict[str, dict[str, list[list[int]]]] = {}
    for label, counts in sorted(run.histograms.items()):
        merged = counts.reshape(len(judge.RULES), REPORT_BINS, merge).sum(axis=2)
        own = found[label] = {}
        for bit, rule in enumerate(judge.RULES):
            used = np.flatnonzero(merged[bit])
            if len(used):
                own[rule.name] = [[int(i), int(merged[bit, i])] for i in used]
    return found


def _examples(parts: list[dict[str, Any]]) -> dict[str, dict[str, list[dict[str, Any]]]]:
    """Return label -> reason -> the first few removed documents."""
    examples: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(dict)
    for part in parts:
        for reason, shown in part["entry"]["examples"].items():
            own = examples[part["label"]].setdefault(reason, [])
            own += shown[: stages.EXAMPLES - len(own)]
    return {label: dict(sorted(own.items())) for label, own in sorted(examples.items())}


def _duplicates(run: Build) -> dict[str, Any]:
    """Return how many documents have how many copies."""
    sizes: Counter[int] = Counter()
    for shard in run.shards:
        verdicts = run.work / f"verdicts-{run.key}"
        table = stages.read_verdicts(verdicts, shard.name)
        copies = table.column("num_copies").to_numpy()
        kept = table.column("reason").to_numpy() < 0
        values, counts = np.unique(copies[kept], return_counts=True)
        sizes.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))
    return {"documents_by_copies": {str(size): sizes[size] for size in sorted(sizes)}}


def _write_manifests(run: Build, parts: list[dict[str, Any]], facts: dict[str, Any]) -> None:
    """Commit the removed documents, then the corpus: the corpus's manifest is the last word."""
    settings = run.config.model_dump(mode="json") | {"corpus": _settings(run)}
    for corpus in settings["corpora"]:
        # Where files lie is not what they are; the shards' hashes say that.
        corpus.pop("files"), corpus.pop("dataset")
    versions = {"code": [run.version, records.SCHEMA_VERSION], "settings": settings}
    files: dict[str, list[store.Written]] = {CORPUS: [], REMOVED: []}
    for part in parts:
        written = part["entry"]["file"]
        files[part["kind"]].append(
            store.Written(**{**written, "name": written["name"].partition("/")[2]})
        )
    upstream: list[Any] = []
    for kind in (REMOVED, CORPUS):
        if kind == CORPUS:
            text = card.render(facts)
            files[kind].append((run.folder / kind).write_bytes("README.md", text.encode()))
        hashes = sorted([written.name, written.sha256] for written in files[kind])
        manifest = store.write_manifest(
            run.folder / kind,
            artefact=kind,
            fingerprint=store.fingerprint([versions, hashes, upstream]),
            counts={"ledger": facts["ledger"], "labels": facts["labels"]},
            files=files[kind],
            schema_version=records.SCHEMA_VERSION,
            **({"removed": upstream[0]} if upstream else {}),
        )
        upstream.append(manifest.sha256)


def _write_run(run: Build) -> None:
    """Write what is different in every run: times, machine, versions."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    scale = 1 if sys.platform == "darwin" else 1024
    run.folder.write_json(
        RUN_JSON,
        {
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "seconds": run.seconds,
            "host": platform.node(),
            "python": platform.python_version(),
            "versions": {
                name: version(name) for name in ("apache-beam", "pyarrow", "numpy", "numba")
            },
            "peak_rss_bytes": {"parent": peak * scale, "worker": children * scale},
        },
    )
