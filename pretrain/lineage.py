"""What a model is made of, as its run and its corpus tell it: for its card and its lineage.

Promises: nothing is guessed. A corpus that is not the one that was trained on says nothing of its
texts; an evaluation counts for the weights that it judged and for later ones, never for earlier.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pipelines import store

from .checkpoint import Loaded
from .prepare import EVALUATIONS

README = "README.md"


def corpus_facts(
    corpus: store.Folder | None, *, expected: str | None
) -> tuple[dict[str, Any] | None, str]:
    """Return what the corpus says of its texts, and whether it is the one that was trained on.

    Args:
        corpus: its folder, if it is at hand.
        expected: the hash of the manifest of the run's corpus.

    Returns:
        `documents` and `sources` (each with `name`, `license`, `documents`), or None; and `found`,
        `absent` or `changed`.
    """
    if corpus is None or not corpus.exists(store.MANIFEST):
        return None, "absent"
    if sha256(corpus.read_bytes(store.MANIFEST)) != expected:
        return None, "changed"
    manifest = store.read_manifest(corpus, artefact="corpus")
    written = {file.name: file for file in store.listed(manifest)}
    if README not in written or corpus.check(written[README]):
        return None, "changed"
    licenses = dict(_licenses(corpus.read_bytes(README).decode()))
    ledger = manifest["counts"]["ledger"]
    sources = [
        {"name": name, "license": licenses.get(name, "unknown"), "documents": row["kept"]}
        for name, row in ledger["corpora"].items()
        if row["kept"]
    ]
    return {"documents": ledger["kept"], "sources": sources}, "found"


def _licenses(text: str) -> Iterator[tuple[str, str]]:
    """Yield corpus and licence from the table of sources in a corpus's card."""
    section = text.partition("\n## Sources\n")[2].partition("\n## ")[0]
    for line in section.splitlines():
        cells = re.split(r"(?<!\\)\|", line)
        if len(cells) > 3:
            name, license_ = (re.sub(r"\\(.)", r"\1", cell.strip()) for cell in cells[1:3])
            yield name, license_


def evaluation(run: store.Folder, *, step: int) -> dict[str, Any] | None:
    """Return the run's last evaluation up to a step, as evaluation.jsonl has it, or None."""
    if not run.exists(EVALUATIONS):
        return None
    found = None
    for line in run.read_bytes(EVALUATIONS).decode(errors="replace").splitlines():
        try:
            record = json.loads(line, parse_constant=lambda _: None)  # NaN is no figure
        except ValueError:  # the last line of a run that was killed while it wrote
            continue
        if record["step"] <= step and (found is None or record["step"] >= found["step"]):
            found = record
    return found


def labels(
    config: Mapping[str, Any], *, state: Mapping[str, Any], judged: Mapping[str, Any] | None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each language with what was read of it and how it was judged; see `card.Facts`.

    Args:
        config: of the run.
        state: of the checkpoint.
        judged: what `evaluation` returned.
    """
    texts = config["labels"] if isinstance(config["labels"], Mapping) else {}
    keys = ("bits_per_byte", "mlm_accuracy", "nsp_accuracy", "masked", "documents", "held_by")
    for label in config["labels"]:
        row = (judged or {}).get("labels", {}).get(label) or {}
        tokens = state["tokens_by_label"].get(label, 0)
        available = texts.get(label, {}).get("tokens")
        times = tokens / available if available else None
        own = {key: row.get(key) for key in keys}
        yield label, {"tokens": tokens, "times_seen": times, **own}


def origin(
    config: Mapping[str, Any],
    loaded: Loaded,
    *,
    vocabulary: dict[str, Any],
    weights: dict[str, str],
) -> dict[str, Any]:
    """Return everything that went in, each by what names it without doubt.

    Args:
        config: of the run.
        loaded: the checkpoint.
        vocabulary: `hash`, `manifest_sha256`, `pieces`.
        weights: `file` and `sha256` of the exported weights.
    """
    state = loaded.state
    stages = [stage for _, stage in state["begun"]]
    return {
        "corpus": {"manifest_sha256": config["corpus_hash"]},
        "vocabulary": vocabulary,
        "tokens": {"manifest_sha256": config["tokens_hash"], "labels": sorted(config["labels"])},
        "plan": {
            "seed": config["seed"],
            # Of a run measured in time, what it was expected to reach: UniMax shares by it.
            "planned_tokens": config["planned_tokens"],
            # [stage, number of blocks one after the other], from the start of the run.
            "blocks": [[stage, len(list(same))] for stage, same in itertools.groupby(stages)],
            "micro_batches": state["micro"],
            "skipped_steps": state["skipped"],
            "rollbacks": state["rollbacks"],
        },
        "step": loaded.step,
        "tokens_seen": state["tokens"],
        "tokens_by_label": state["tokens_by_label"],
        "weights": weights,
        "shape": config["shape"],
        "settings": config["settings"],
        "versions": config.get("versions") or {},
    }


def to_json(value: object) -> bytes:
    """Return JSON for people, the same for equal values."""
    text = json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode()


def sha256(data: bytes) -> str:
    """Return the SHA-256 of bytes in hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()
