"""The card of a model that was made smaller: what it is, what it costs, what it lost.

Promises: the same facts give the same text; names can't break out of the Markdown; the languages
that lost most stand first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines import languages, wording
from pipelines.card import markdown

from ..card import code, hub_language
from ..models import AUTO, Head, Model
from ..serve.runtime import head_of
from ..tasks.card import METRICS, PIPELINES

SHOWN = 40
"""Languages of which a table has a row."""


def render(facts: Mapping[str, Any], model: Model, *, labels: Sequence[str] | None) -> str:
    """Return README.md.

    Args:
        facts: as compression.json has them.
        model: the larger one.
        labels: languages that the model is for; None where nothing says.
    """
    head = facts.get("head") or head_of(model)
    kind = facts["kind"]
    known = [label for label in labels or () if languages.is_label(label)]
    front = ["---"]
    if known:
        front += ["language:", *(f"- {one}" for one in sorted({*map(hub_language, known)}))]
    pipeline = {**PIPELINES, "mlm": "fill-mask"}.get(head, "feature-extraction")
    front += ["library_name: transformers", f"pipeline_tag: {pipeline}"]
    front += ["tags:", "- koine", "---", ""]
    base = facts["base"]
    lines = [
        *front,
        f"# {markdown(base['name'])}, {kind}",
        "",
        f"Made from {code(base['name'])} (weights {code(base['weights_sha256'][:16])}) by "
        f"`koine compress`. {_done(facts)}",
        "",
        *_use(head),
        "## Before and after",
        "",
        *table(facts["comparison"]),
        "",
    ]
    lines += _score(facts["comparison"].get("score"))
    if kind == "trimmed":
        lines += _trimmed(facts)
    lines += [
        "## Make it again",
        "",
        "`compression.json` has all figures and settings, `lineage.json` what the larger model was "
        "made of.",
        "",
    ]
    return "\n".join(lines)


def table(comparison: Mapping[str, Any]) -> list[str]:
    """Return size and speed of both models as a Markdown table."""
    rows = [
        f"| {name} | {before} | {after} | {ratio} |"
        for name, before, after, ratio in figures(comparison)
    ]
    threads = comparison["threads"]
    note = (
        f"Times on {threads} CPU {'thread' if threads == 1 else 'threads'}, sequences of "
        f"{comparison['length']} pieces; throughput in batches of {comparison['batch']}."
    )
    return ["| | Before | After | |", "|---|--:|--:|--:|", *rows, "", note]


def worst_first(rows: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return rows of scores by language, the lowest after it first, however they were read."""
    return sorted(rows.items(), key=lambda one: (one[1]["after"], one[0]))


def most_lost(others: Mapping[str, Mapping[str, Any]]) -> tuple[str, Mapping[str, Any]]:
    """Return the language that lost most of those that were not kept."""
    return max(others.items(), key=lambda one: (one[1]["unknown_after"], one[1]["pieces"]))


def figures(comparison: Mapping[str, Any]) -> list[tuple[str, str, str, str]]:
    """Return what both models take, side by side: name, before, after, and how they compare."""
    before, after = comparison["before"], comparison["after"]
    found = [
        (
            "size on disk",
            wording.size(before["num_bytes"]),
            wording.size(after["num_bytes"]),
            f"{_share(after['num_bytes'], before['num_bytes'])} of it",
        )
    ]
    if before["parameters"] and after["parameters"]:
        found.append(
            (
                "parameters",
                f"{before['parameters']:,}",
                f"{after['parameters']:,}",
                f"{_share(after['parameters'], before['parameters'])} of them",
            )
        )
    found += [
        (
            "one sequence",
            f"{before['latency_ms']:.2f} ms",
            f"{after['latency_ms']:.2f} ms",
            f"{comparison['speedup']:.2f} x as fast",
        ),
        (
            "throughput",
            f"{before['sequences_per_s']:,.1f}/s",
            f"{after['sequences_per_s']:,.1f}/s",
            f"{after['sequences_per_s'] / before['sequences_per_s']:.2f} x as much",
        ),
    ]
    score = comparison.get("score")
    if score:
        mean = score["mean"]
        found.append(
            (
                f"{score['name']}, {METRICS.get(score['metric'], score['metric'])}",
                f"{100 * mean['before']:.1f}",
                f"{100 * mean['after']:.1f}",
                difference(mean),
            )
        )
    return found


def difference(row: Mapping[str, Any]) -> str:
    """Return how far a score changed, with its interval, in points."""
    gap, low, high = (100 * one for one in row["difference"])
    kept = "" if row["kept"] is None else f", {100 * row['kept']:.1f} % of it"
    return f"{gap:+.1f} ({low:+.1f} to {high:+.1f}){kept}"


def _done(facts: Mapping[str, Any]) -> str:
    if facts["kind"] == "trimmed":
        rows, labels = facts["rows"], facts["labels"]
        shown = ", ".join(_language(label) for label in labels[:SHOWN])
        more = len(labels) - SHOWN
        return (
            f"Of its vocabulary of {rows['before']:,} it has the {rows['after']:,} pieces that "
            f"these languages are written with: {shown}{f' and {more} more' if more > 0 else ''}. "
            "Nothing was trained; on their text it gives what the larger model gives."
        )
    if facts["kind"] == "distilled":
        student, teacher = facts["student"], facts["teacher"]
        return (
            f"It has {student['layers']} layers instead of {teacher['layers']}, "
            f"{student['width']} wide instead of {teacher['width']}, and learnt the larger model's "
            f"relations between pieces (MiniLMv2) on {facts['tokens']:,} pieces of text in "
            f"{wording.count(len(facts['texts']['pieces']))} languages."
        )
    return "Its weights are in eight bits."


def _use(head: Head) -> list[str]:
    name = AUTO[head]
    return [
        "```python",
        f"from transformers import {name}, AutoTokenizer",
        "",
        'tokenizer = AutoTokenizer.from_pretrained("path/to/model")',
        f'model = {name}.from_pretrained("path/to/model")',
        "```",
        "",
    ]


def _score(score: Mapping[str, Any] | None) -> list[str]:
    if score is None:
        return []
    lines = [
        f"## {markdown(score['name'])}",
        "",
        f"{METRICS.get(score['metric'], score['metric'])} on the "
        f"{'test' if score['split'] == 'test' else 'development'} split, in percent; the worst "
        "language first. In brackets the 95 % interval of the difference, on the same examples.",
        "",
        "| Language | Label | Examples | Before | After | Difference |",
        "|---|---|--:|--:|--:|--:|",
    ]
    for label, row in [*worst_first(score["labels"])[:SHOWN], ("mean", score["mean"])]:
        name, shown = ("*mean*", "") if label == "mean" else (_language(label), code(label))
        lines.append(
            f"| {name} | {shown} | {row['num']:,} | {100 * row['before']:.1f} "
            f"| {100 * row['after']:.1f} | {difference(row)} |"
        )
    return [*lines, ""]


def _trimmed(facts: Mapping[str, Any]) -> list[str]:
    shown = facts["proof"]
    unseen = {x: rate for x, rate in facts["unseen"].items() if rate is not None}
    lines = [
        "## What was shown",
        "",
        f"- All text of these languages in {code(facts['texts']['name'])} "
        f"({wording.size(shown['num_bytes'])}, {shown['pieces']:,} pieces) is cut into the same "
        "pieces.",
        f"- {markdown(shown['outputs'])} of {shown['sequences']} sequences differ by "
        f"{shown['largest']:.1e} at the most.",
    ]
    if unseen:
        worst = max(unseen, key=lambda x: (unseen[x], x))
        lines.append(
            f"- Of text that wasn't there, up to {100 * unseen[worst]:.2f} % of the pieces "
            f"({_language(worst)}) are cut finer, by estimate."
        )
    if facts["others"]:
        worst, row = most_lost(facts["others"])
        lines.append(
            f"- Other languages are not served any more: of {_language(worst)}, "
            f"{100 * row['unknown_after']:.0f} % of the pieces are single bytes or unknown."
        )
    return [*lines, ""]


def _language(label: str) -> str:
    try:
        return markdown(languages.name_of(label))
    except (ValueError, LookupError):
        return markdown(label)


def _share(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %"
