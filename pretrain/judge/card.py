"""What an evaluation adds to a model's card: a section of README.md, between two markers.

Promises: what others wrote in README.md stays, byte for byte; a second evaluation replaces the
section of the first; a manifest goes on listing README.md as it is, and its fingerprint goes on
being what it was made from; the section is a pure function of results.json, and no name in it acts
as markup.
Does not promise: a card with one evaluation's section and another's figures. The last one stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipelines import store, wording
from pipelines.card import markdown

from ..card import MANY, WORST, code
from ..meanings import name_of
from . import results as judged
from .wording import METRICS, SYSTEM_NAMES, interval, points, signed, title_of

README = "README.md"
BEGIN, END = "<!-- koine: tasks -->", "<!-- /koine: tasks -->"
_SECTION = re.compile(
    rf"{re.escape(BEGIN)}(?:(?!{re.escape(BEGIN)}).)*?{re.escape(END)}\n?", re.DOTALL
)
_EITHER_SAID = {
    "in_language": "**In-language**: tuned on examples of the language itself too.",
    "zero_shot": "**Zero-shot**: tuned on other languages only.",
    "random": "**Random weights**: the same network, never pretrained, tuned on the same examples.",
    "majority": "**Majority**: always the commonest answer.",
    "words": "**Words alone**: each word's commonest tag; of a text, the sentence most like the "
    "question.",
}


def append(model: store.Folder, results: judged.Facts) -> None:
    """Write an evaluation into a model's README.md, and README.md into its manifest.

    Raises:
        DataError: the manifest is no JSON.
        EnvironmentProblem: the folder can't be written.
    """
    text = ""
    if model.exists(README):
        # Whatever the bytes are, they come out again as they went in.
        text = model.read_bytes(README).decode("utf-8", "surrogateescape")
    found = section(results)
    if _SECTION.search(text):
        text = _SECTION.sub(lambda _: found, text, count=1)
    else:
        text = f"{text.rstrip()}\n\n{found}" if text.strip() else found
    written = model.write_bytes(README, text.encode("utf-8", "surrogateescape"))
    if model.exists(store.MANIFEST):
        _list(model, written)


def _list(model: store.Folder, written: store.Written) -> None:
    """Put README.md as it is now into the folder's manifest."""
    manifest = model.read_json(store.MANIFEST)
    if not isinstance(manifest, dict) or "files" not in manifest:
        return
    before = store.listed(manifest)
    files = [*(one for one in before if one.name != README), written]

    def of_files(listed: Sequence[store.Written]) -> str:
        return store.fingerprint(sorted([one.name, one.sha256] for one in listed))

    # An export's fingerprint is of its files, a tuned model's of what it was made from.
    fingerprint = manifest.pop("fingerprint")
    if fingerprint == of_files(before):
        fingerprint = of_files(files)
    del manifest["files"], manifest["format_version"]
    store.write_manifest(
        model,
        artefact=manifest.pop("artefact"),
        fingerprint=fingerprint,
        counts=manifest.pop("counts", {}),
        files=files,
        **manifest,
    )


def section(results: judged.Facts) -> str:
    """Return the section of a card that tells of an evaluation, markers and all."""
    return "\n".join([BEGIN, *_lines(results), END, ""])


def _lines(results: judged.Facts) -> Iterator[str]:
    tasks = results["tasks"]
    found = {system for task in tasks.values() for system in judged.systems(task)}
    yield "## How good it is at tasks"
    yield ""
    yield (
        "The worst served language first. Scores go from 0 to 100, on test examples that no tuning "
        "saw; below each is its 95 % interval, by a bootstrap over the examples"
        + (f" and the {results['seeds']} tunings" if (results["seeds"] or 1) > 1 else "")
        + ". "
        + " ".join(said for system, said in _EITHER_SAID.items() if system in found)
    )
    if any(system not in judged.OWN for system in found):
        yield ""
        yield (
            "**Over** a baseline: the paired difference, with its interval; in brackets where "
            "neither is surely better, bold where the baseline is."
        )
    for name, task in tasks.items():
        yield ""
        yield from _task(name, task)
    warned = [one for one in judged.warnings(results) if one.labels or one.title]
    if warned:
        yield ""
        yield "### What to know before using these figures"
        yield ""
    for one in warned:
        labels = ", ".join(
            f"{markdown(name_of(label))} ({code(label)})" for label in one.labels[:8]
        )
        more = len(one.labels) - 8
        said = labels + (f" and {wording.count(more)} more" if more > 0 else "")
        detail = f" {markdown(one.detail)}" if one.detail else ""
        yield (
            f"- In {markdown(one.task or '')}: {markdown(one.title)}"
            + (f": {said}.{detail}" if said else f".{detail}")
        )


def _task(name: str, task: Mapping[str, Any]) -> Iterator[str]:
    """Yield a task's heading and table."""
    rows = judged.worst_first(task)
    found = judged.systems(task)
    title = title_of(task["task"])
    yield f"### {title[0].upper()}{title[1:]}: {markdown(name)}"
    yield ""
    yield (
        f"{METRICS[task['metric']][0].upper()}{METRICS[task['metric']][1:]}. "
        + " ".join(
            f"Mean of {wording.count(mean['num'])} "
            f"{'language' if mean['num'] == 1 else 'languages'}, {SYSTEM_NAMES[system]}: "
            f"{points(mean['mean'])}."
            for system, mean in task["mean"].items()
        )
    )
    yield ""
    own = [system for system in found if system in judged.OWN]
    others = [system for system in found if system not in judged.OWN]
    heads = [SYSTEM_NAMES[one][0].upper() + SYSTEM_NAMES[one][1:] for one in own]
    heads += [f"Over {SYSTEM_NAMES[one]}" for one in others]
    head = [
        "| Language | Label | " + " | ".join(heads) + " | Tested |",
        "|---|---|" + "--:|" * (len(heads) + 1),
    ]
    yield from head
    num_open = WORST if len(rows) > MANY else len(rows)
    for label, row in rows[:num_open]:
        yield _line(label, row, own=own, others=others)
    if len(rows) > num_open:
        yield ""
        yield "<details>"
        yield f"<summary>The other {wording.count(len(rows) - num_open)} languages</summary>"
        yield ""
        yield from head
        for label, row in rows[num_open:]:
            yield _line(label, row, own=own, others=others)
        yield ""
        yield "</details>"


def _line(label: str, row: Mapping[str, Any], *, own: Sequence[str], others: Sequence[str]) -> str:
    """Return a language's line of a task's table."""
    cells = [
        f"{points(row[one]['mean'])}<br>{interval(row[one])}" if one in row else "\N{EN DASH}"
        for one in own
    ]
    for one in others:
        found = row["difference"].get(one)
        if found is None:
            cells.append("\N{EN DASH}")
            continue
        form = {"better": "{}", "unsure": "({})", "worse": "**{}**"}[judged.verdict(found)]
        text = form.format(signed(found[0]))
        cells.append(f"{text}<br>{signed(found[1])} to {signed(found[2])}")
    cells.append(wording.count(row["num"]))
    return f"| {markdown(name_of(label))} | {code(label)} | " + " | ".join(cells) + " |"
