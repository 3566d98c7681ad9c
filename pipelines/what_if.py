"""Compare the verdicts of edited rules with those of the last build; write nothing."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np

from . import judge, stages, store, units
from .build import Build
from .errors import DataError
from .parts import CORPUS
from .progress import Display

if TYPE_CHECKING:
    from pathlib import Path

    from .config import Config


def what_if(config: Config, *, out: str, base: Path) -> dict[str, Any]:
    """Return, for each label, how many documents the rules would pass, now and then.

    Duplicates are left out: they depend on which documents pass.

    Returns:
        `labels`: label -> documents, passed now, passed then, and for each rule whose count of
        failing documents changes, that count now and then; `rules`: the thresholds that change.

    Raises:
        DataError: there is no finished build with these inputs.
    """
    from .engines import InProcess

    run = Build(config, out=out, base=base, engine=InProcess(), display=Display(quiet=True))
    store.read_manifest(run.folder / CORPUS, artefact=CORPUS)
    before = {name.partition("/")[0] for name in run.work.names() if name.startswith("judged-")}
    if len(before) != 1:
        raise DataError(f"{run.work.url}: holds no finished judgement.\n  Build again first.")
    judged = run.work / before.pop()
    now = judge.thresholds_from_json(judged.read_json(stages.THRESHOLDS))
    run.read_journal(units.plan(config, base=base))
    labels = {label for shard in run.shards for label in shard.labels}
    then = judge.decide_thresholds(config.corpus, labels, run.histograms)

    rows: dict[str, dict[str, Any]] = defaultdict(lambda: {"documents": 0, "now": 0, "then": 0})
    failing: dict[str, dict[str, Counter[str]]] = defaultdict(lambda: defaultdict(Counter))
    for shard in run.shards:
        names = list(shard.labels)
        counts = [shard.labels[name][2] for name in names]
        label_rows = np.repeat(np.arange(len(names)), counts)
        limits = judge.limits_of(then, names)
        masks, row = [], 0
        for batch in stages.read_measured(run.work.url, shard.name):
            part = label_rows[row : row + batch.num_rows]
            masks.append(judge.failed_rules(batch, part, limits))
            row += batch.num_rows
        both = {"now": stages.failed_of(judged.url, shard.name), "then": np.concatenate(masks)}
        for index, name in enumerate(names):
            own = label_rows == index
            rows[name]["documents"] += int(own.sum())
            for when, mask in both.items():
                rows[name][when] += int((mask[own] == 0).sum())
                for bit, rule in enumerate(judge.RULES):
                    failed = int(((mask[own] >> np.uint64(bit)) & np.uint64(1)).sum())
                    failing[name][rule.name][when] += failed
    for name, row_ in rows.items():
        row_["rules"] = {
            rule: {"now": counts["now"], "then": counts["then"]}
            for rule, counts in failing[name].items()
            if counts["now"] != counts["then"]
        }
    return {"labels": dict(sorted(rows.items())), "thresholds": _changed(now, then)}


def _changed(now: judge.Thresholds, then: judge.Thresholds) -> dict[str, dict[str, Any]]:
    changed: dict[str, dict[str, Any]] = defaultdict(dict)
    for label, row in then.items():
        for name, threshold in row.items():
            old = now[label][name].value if label in now else None
            if old != threshold.value:
                changed[label][name] = {"now": old, "then": threshold.value}
    return dict(changed)
