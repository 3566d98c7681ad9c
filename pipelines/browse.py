"""Read a finished build: documents, one document's story, SQL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from . import dedupe, judge, stages, store
from .errors import ConfigError, DataError
from .parts import CORPUS, REMOVED


def _tables(out: str, kind: str, label: str | None) -> Iterator[pa.Table]:
    """Yield the published shards of a kind, memory-mapped, only those the manifest lists."""
    folder = store.Folder(out) / kind
    manifest = store.read_manifest(folder, artefact=kind)
    known = manifest["counts"]["labels"]
    if label is not None and label not in known:
        from .config_errors import did_you_mean

        hint = did_you_mean(label, list(known))
        raise ConfigError(f"--label {label}: the corpus has no such label.\n  {hint}")
    for written in store.listed(manifest):
        if written.name.endswith(".arrow") and label in (None, written.name.partition("/")[0]):
            with folder.open_arrow(written.name) as file:
                yield pa.ipc.open_stream(file).read_all()


def documents(
    out: str,
    *,
    label: str | None = None,
    reason: str | None = None,
    text: str | None = None,
    limit: int = 10,
) -> list[dict[str, Any]]:
    """Return documents of a build as plain values.

    Args:
        out: the build's folder.
        label: only this language.
        reason: documents removed for this reason (`any`: all removed ones); kept ones without it.
        text: only texts that contain this.
        limit: at most so many.

    Raises:
        ConfigError: there is no such label or reason.
    """
    if reason not in (None, "any", *stages.REASONS):
        known = ", ".join(stages.REASONS)
        raise ConfigError(f"--reason {reason}: there is no such reason.\n  Known: {known}, any.")
    found: list[dict[str, Any]] = []
    for table in _tables(out, REMOVED if reason else CORPUS, label):
        chosen = np.ones(table.num_rows, bool)
        if reason not in (None, "any"):
            chosen &= np.asarray(pc.equal(table.column("reason").cast(pa.string()), reason))
        if text is not None:
            chosen &= np.asarray(pc.match_substring(table.column("text"), text))
        rows = np.flatnonzero(chosen)[: limit - len(found)]
        names = ["id", "label", "label_score", "corpus", "url", "origin", "text"]
        names += ["reason", "detail"] if reason else ["num_copies"]
        found += table.select(names).take(pa.array(rows)).to_pylist()
        if len(found) >= limit:
            break
    return found


def why(out: str, identity: str) -> dict[str, Any]:
    """Return one document's whole story.

    Args:
        out: the build's folder.
        identity: its id, or the start of one.

    Raises:
        DataError: there is no such document, or several start so.
    """
    found = [*_matching(out, CORPUS, identity), *_matching(out, REMOVED, identity)]
    if not found:
        raise DataError(
            f"{out}: no document's id starts with {identity!r}.\n"
            "  Ids are in the column `id`: koine corpus show, or koine corpus sql."
        )
    if len(found) > 1:
        names = ", ".join(str(row["id"]) for row in found[:5])
        raise DataError(f"{out}: {len(found)} ids start with {identity!r}: {names} ...")
    row = found[0]
    thresholds = _thresholds(out).get(row["label"], {})
    story: dict[str, Any] = {
        "id": row["id"],
        "outcome": "removed" if "reason" in row else "kept",
        "origin": {key: row[key] for key in ("corpus", "origin", "url", "license")},
        "label": {"label": row["label"], "score": row["label_score"], **row["evidence"]},
        "repairs": row["repairs"],
        "rules": [_compared(rule, row, thresholds) for rule in judge.RULES],
        "text": row["text"],
    }
    if "reason" in row:
        story |= {"reason": row["reason"], "detail": row["detail"]}
        if row["reason"] in dedupe.REASONS:
            story["kept_instead"] = row["detail"].removeprefix("kept ")
    else:
        story["num_copies"] = row["num_copies"]
        story["copies"] = _copies(out, row["id"]) if row["num_copies"] > 1 else []
    return story


def _matching(out: str, kind: str, identity: str) -> Iterator[dict[str, Any]]:
    for table in _tables(out, kind, None):
        chosen = pc.starts_with(table.column("id"), identity)
        yield from table.filter(chosen).to_pylist()


def _copies(out: str, identity: str) -> list[dict[str, Any]]:
    copies = []
    for table in _tables(out, REMOVED, None):
        chosen = pc.equal(table.column("detail"), f"kept {identity}")
        copies += table.filter(chosen).select(["id", "reason", "corpus", "origin"]).to_pylist()
    return copies


def _thresholds(out: str) -> dict[str, Any]:
    report: dict[str, Any] = store.Folder(out).read_json("report.json")
    thresholds: dict[str, Any] = report["thresholds"]
    return thresholds


def _compared(rule: judge.Rule, row: dict[str, Any], thresholds: dict[str, Any]) -> dict[str, Any]:
    """Return one rule's value and threshold for a document, and what came of it."""
    if rule.column == "label_score":
        value = row["label_score"] if row["evidence"]["decided_by"] == "model" else None
    else:
        value = (row["evidence"] if rule.in_evidence else row["stats"])[rule.column]
    limit = thresholds.get(rule.name, {}).get("value")
    if limit is None:
        outcome = "off"
    elif value is None:
        outcome = "does not apply"
    else:
        low, high = np.float32(value), np.float32(limit)
        outcome = "failed" if (low < high if rule.is_min else low > high) else "passed"
    return {"rule": rule.name, "value": value, "threshold": limit, "outcome": outcome}


def sql(out: str, query: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Run one SQL query over the tables `corpus` and `removed`; return column names and rows.

    Raises:
        ConfigError: DuckDB refuses the query.
    """
    import duckdb

    connection = duckdb.connect()
    # The query sees the two tables and nothing else of this machine.
    for kind in (CORPUS, REMOVED):
        tables = list(_tables(out, kind, None))
        if tables:
            connection.register(kind, pa.concat_tables(tables))
    connection.execute("set enable_external_access = false")
    try:
        result = connection.execute(query)
        if result is None:  # nothing but spaces or comments
            raise ConfigError("sql: the query is empty.")
        description = result.description or []
        return _distinct([column[0] for column in description]), result.fetchall()
    except duckdb.Error as error:
        # DuckDB quotes the value it could not read, which may be a whole document.
        message = " ".join(str(error).split())
        shown = message if len(message) <= 500 else f"{message[:300]} ... {message[-200:]}"
        raise ConfigError(f"sql: {shown}") from error


def _distinct(names: list[str]) -> list[str]:
    """Return column names with a number at those that were there before (`id`, `id_1`)."""
    found: list[str] = []
    for name in names:
        candidates = (name, *(f"{name}_{number}" for number in range(1, len(names) + 1)))
        found.append(next(candidate for candidate in candidates if candidate not in found))
    return found
