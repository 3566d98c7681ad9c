"""The folder of an evaluation: whose it is, what it is a function of, whether it is done.

Promises: a folder with a manifest is whole; one that holds anything else is left alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipelines import store
from pipelines.errors import ConfigError, DataError

from ..models import Model
from . import results
from .checks import some

if TYPE_CHECKING:
    from ..tasks.data import TaskData
    from ..tasks.settings import TuneSettings

CODE_VERSION = 1
"""Counted up when the same inputs give other figures."""
ARTEFACT = "evaluation"
BEGUN = "begun.json"
"""By which a folder that was left half-written is known as ours."""


def check_free(to: store.Folder) -> None:
    """Check that nothing but an evaluation is written over.

    Raises:
        ConfigError: the folder holds something else.
    """
    if to.is_local:
        found = [path.name for path in to.root.iterdir()] if to.root.is_dir() else []
    else:
        found = [name.partition("/")[0] for name in to.names()]
    names = {name for name in found if not name.startswith(".")}
    if store.MANIFEST in names:
        try:
            manifest = to.read_json(store.MANIFEST)
        except DataError:
            manifest = None
        if isinstance(manifest, dict) and manifest.get("artefact") == ARTEFACT:
            return
    elif not names or BEGUN in names:
        return
    raise ConfigError(
        f"{to.url}: holds something else than an evaluation ({some(sorted(names), 3)}).\n"
        "  Name an empty folder with --out, or an earlier evaluation."
    )


def as_json(found: Mapping[str, Any]) -> bytes:
    """Return results.json: keys in the order in which the page shows what they name."""
    return (json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def slugs(names: Mapping[str, object]) -> dict[str, str]:
    """Return names that folders can have; letters of every script stay."""
    found: dict[str, str] = {}
    for name in names:
        slug = re.sub(r"[^\w.]+", "-", name).strip("-.")[:60] or "task"
        found[name] = slug if slug not in found.values() else f"{slug}-{len(found) + 1}"
    return found


def fingerprint(
    model: Model,
    tasks: Mapping[str, TaskData],
    settings: TuneSettings,
    *,
    zero_shot: Sequence[str],
    baselines: bool,
) -> str:
    """Return the fingerprint of all that an evaluation is a function of."""
    from ..tasks.folder import inputs

    return store.fingerprint(
        {
            "code": CODE_VERSION,
            "model": model.name,
            "labels": list(model.labels or ()),
            "tuned_on": model.task
            and {"labels": model.task["labels"], "threshold": model.task["no_answer_threshold"]},
            "tasks": {
                name: inputs(model, data, settings, random=False)
                | {"warnings": list(data.warnings), "files": [list(file) for file in data.files]}
                for name, data in tasks.items()
            },
            "zero_shot": sorted(zero_shot),
            "baselines": baselines,
        }
    )


def done(to: store.Folder, *, fingerprint: str) -> dict[str, Any] | None:
    """Return the results of an evaluation of these inputs that is done and whole."""
    if not to.exists(store.MANIFEST):
        return None
    manifest = to.read_json(store.MANIFEST)
    if manifest["fingerprint"] != fingerprint:
        return None
    if any(to.check(written) for written in store.listed(manifest)):
        return None
    found: dict[str, Any] = to.read_json(results.RESULTS)
    return found
