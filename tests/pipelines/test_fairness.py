"""The defaults cost no language its good text: the gate that every change of a rule has to pass."""

import sys
from collections import Counter, defaultdict

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipelines import judge, languages, lid176, records, units
from pipelines.config import Corpus, CorpusSettings
from pipelines.sources.base import Tally

MAX_REMOVED_SHARE = 0.02  # of the documents of any script


def judged(texts, declared):
    """Take texts through all steps under the defaults; return each one's script, label, reason."""
    num = len(texts)
    columns = {"text": pa.array(texts, pa.large_string()), "declared": pa.array(declared)}
    columns["origin"] = pa.array([f"file#{row}" for row in range(num)])
    raw = pa.RecordBatch.from_arrays(
        [columns.get(f.name, pa.nulls(num, f.type)).cast(f.type) for f in records.RAW],
        schema=records.RAW,
    )
    corpus, settings = Corpus(name="c", files="f", license="CC0-1.0"), CorpusSettings()
    batch = units.measured_batch(raw, corpus, settings, Tally())
    found = batch.column("label").to_pylist()
    names = sorted(set(found))
    limits = judge.limits_of(judge.decide_thresholds(settings, names, {}), names)
    rows = np.array([names.index(label) for label in found])
    reasons = judge.reason_names(judge.failed_rules(batch, rows, limits))
    scripts = batch.column("stats").field("script").to_pylist()
    named = [judge.REASONS[reason] if reason >= 0 else None for reason in reasons.tolist()]
    return list(zip(scripts, found, named, strict=True))


@pytest.fixture(scope="module")
def samples(texts):
    return [(label, text) for label, own in texts.items() for text in own]


def test_declared_samples_are_all_kept_under_their_own_label(samples):
    labels, bodies = zip(*samples, strict=True)
    for label, (_, found, reason) in zip(labels, judged(bodies, labels), strict=True):
        assert (found, reason) == (label, None)


def test_undeclared_samples_are_all_kept_where_the_model_knows_the_language(samples):
    known = set(lid176.LANGUAGES.values())
    chosen = [(label, text) for label, text in samples if label.partition("_")[0] in known]
    assert len({label for label, _ in chosen}) >= 18
    labels, bodies = zip(*chosen, strict=True)
    for label, (_, found, reason) in zip(labels, judged(bodies, [None] * len(labels)), strict=True):
        assert (found, reason) == (label, None)


def test_paragraphs_of_every_language_are_kept_like_those_of_the_others(samples):
    """Shorter texts: what is removed of one language is removed of all or of none."""
    parts = [(label, part) for label, text in samples for part in text.split("\n\n")[1:]]
    labels, bodies = zip(*parts, strict=True)
    removed, num = Counter(), Counter(labels)
    for label, (_, _, reason) in zip(labels, judged(bodies, labels), strict=True):
        removed[label] += reason is not None
    shares = {label: removed[label] / num[label] for label in num}
    assert max(shares.values()) <= 0.05, sorted(shares.items(), key=lambda item: -item[1])[:5]


@pytest.mark.slow
def test_of_the_universal_declaration_no_script_loses_more_than_two_percent(data, capsys):
    table = pq.read_table(data / "corpus" / "parquet" / "udhr_and_stories.parquet").to_pylist()
    rows = [row for row in table if row["source"] == "eric-muller/udhr"]
    declared = [row["lang"] if languages.is_label(row["lang"] or "") else None for row in rows]
    num, removed, reasons = Counter(), Counter(), defaultdict(Counter)
    results = judged([row["text"] for row in rows], declared)
    for row, (script, label, reason) in zip(rows, results, strict=True):
        num[script] += 1
        removed[script] += reason is not None
        if reason:
            reasons[script][f"{row['lang']} ({label}) {reason}"] += 1
    worst = sorted(num, key=lambda script: (-removed[script] / num[script], script))
    with capsys.disabled():
        sys.stdout.write(f"\n{len(rows)} declarations in {len(num)} scripts\n")
        for script in worst:
            why = ", ".join(reasons[script])
            sys.stdout.write(f"  {script}  {num[script]:>4} {removed[script]:>4} removed  {why}\n")
    above = [script for script in worst if removed[script] > MAX_REMOVED_SHARE * num[script]]
    assert above == [], {script: dict(reasons[script]) for script in above}
