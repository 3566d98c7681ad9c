"""What each step makes of the sample texts, by SHA-256: a change of output is a change on purpose.

    KOINE_GOLDEN=write pytest tests/golden

writes stages.json anew. Do that only with a reason for each value that changes, raise
`units.CODE_VERSION` or `build.JUDGE_VERSION` in the same commit, and say why in CHANGELOG.md.
"""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pipelines import judge, records, units
from pipelines.config import Corpus, CorpusSettings
from pipelines.sources.base import Tally
from samples import dirt

GOLDEN = Path(__file__).with_name("stages.json")


def fingerprint(values):
    """Hash plain values; floats have the digits that a float32 holds on every machine."""

    def plain(value):
        if isinstance(value, float):
            return f"{value:.6g}"
        if isinstance(value, bytes):
            return value.hex()
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items()}
        return [plain(inner) for inner in value] if isinstance(value, list | tuple) else value

    text = json.dumps(plain(values), sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.fixture(scope="module")
def stages(texts):
    """Stage -> label of the text -> hash of what the stage gives."""
    labels, bodies = [], []
    for label, own in texts.items():
        damaged = [damage(own[0]) for damage in dirt.REPAIRABLE]
        bodies += own + damaged
        labels += [label] * (len(own) + len(damaged))
    num = len(bodies)
    columns = {
        "text": pa.array(bodies, pa.large_string()),
        "origin": pa.array([f"texts#{row}" for row in range(num)]),
    }
    raw = pa.RecordBatch.from_arrays(
        [columns.get(f.name, pa.nulls(num, f.type)).cast(f.type) for f in records.RAW],
        schema=records.RAW,
    )
    settings = CorpusSettings(thresholds="auto")
    corpus = Corpus(name="golden", files="f", license="CC0-1.0")
    batch = units.measured_batch(raw, corpus, settings, Tally())
    found = {}
    for stage, column in {
        "text": "text",
        "repairs": "repairs",
        "statistics": "stats",
        "label": "label",
        "signature": "bands",
        "text_hash": "text_hash",
        "id": "id",
    }.items():
        values = batch.column(column).to_pylist()
        found[stage] = {
            label: fingerprint([v for v, own in zip(values, labels, strict=True) if own == label])
            for label in texts
        }
    names = sorted(set(batch.column("label").to_pylist()))
    index = np.array([names.index(label) for label in batch.column("label").to_pylist()])
    counted = {}
    part = judge.histograms(pa.Table.from_batches([batch]), index)
    judge.add_histograms(counted, part, names)
    decided = judge.thresholds_to_json(judge.decide_thresholds(settings, names, counted))
    found["automatic_thresholds"] = {label: fingerprint(row) for label, row in decided.items()}
    if os.environ.get("KOINE_GOLDEN") == "write":
        GOLDEN.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    return found


@pytest.mark.parametrize("stage", json.loads(GOLDEN.read_text()) if GOLDEN.exists() else ["text"])
def test_a_stage_gives_what_it_gave(stage, stages):
    golden = json.loads(GOLDEN.read_text())
    assert set(golden) == set(stages)
    changed = sorted(
        label
        for label in golden[stage].keys() | stages[stage].keys()
        if golden[stage].get(label) != stages[stage].get(label)
    )
    assert changed == []
