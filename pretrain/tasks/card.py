"""The model card of a tuned model: short, and the worst-served language first.

Promises: the same facts give the same text; names and figures can't break out of the Markdown.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pipelines import languages, wording

from ..card import code, hub_language

PIPELINES = {
    "classify": "text-classification",
    "tag": "token-classification",
    "answer": "question-answering",
}
AUTO = {
    "classify": "AutoModelForSequenceClassification",
    "tag": "AutoModelForTokenClassification",
    "answer": "AutoModelForQuestionAnswering",
}
TITLES = {"classify": "tells texts apart", "tag": "tags words", "answer": "answers questions"}
METRICS = {
    "macro_f1": "macro-F1",
    "f1": "F1",
    "accuracy": "accuracy",
    "exact_match": "exact match",
    "precision": "precision",
    "recall": "recall",
}
TARGETS_SHOWN = 40


def render(task: Mapping[str, Any], scores: Mapping[str, Any]) -> str:
    """Return README.md.

    Args:
        task: as task.json has it.
        scores: as scores.json has it.
    """
    kind, base = task["task"], task["base"]
    labels = [label for label in task["labels"] if languages.is_label(label)]
    front = ["---"]
    if labels:
        front += ["language:", *(f"- {code_}" for code_ in sorted({*map(hub_language, labels)}))]
    front += ["library_name: transformers", f"pipeline_tag: {PIPELINES[kind]}", "tags:", "- koine"]
    lines = [*front, "---", "", f"# {_plain(base['name'])}, tuned: it {TITLES[kind]}", ""]
    start = "random weights of the same shape as" if base["random"] else "the encoder"
    examples = task["data"]["examples"]
    lines += [
        f"Tuned from {start} {code(base['name'])} (weights {code(base['weights_sha256'][:16])}) on "
        f"{wording.count(examples['train'])} examples of {code(task['data']['name'])}, "
        f"{wording.count(len(task['labels']))} "
        f"{'language' if len(task['labels']) == 1 else 'languages'}.",
        "",
    ]
    if task["targets"]:
        shown = ", ".join(code(target) for target in task["targets"][:TARGETS_SHOWN])
        more = len(task["targets"]) - TARGETS_SHOWN
        name = "Tags" if kind == "tag" else "Targets"
        lines += [f"{name}: {shown}{f' and {more} more' if more > 0 else ''}.", ""]
    lines += _use(kind)
    lines += _scores(scores)
    lines += _limits(task, scores)
    lines += [
        "## Make it again",
        "",
        "`task.json` has the settings, the files of the data with their SHA-256 and the base; "
        "`lineage.json` what that was made of; `scores.json` every seed by itself. The same inputs "
        "give the same weights on the same machine's CPU"
        + (
            ", had it not been given a time budget."
            if task["settings"]["budget"]
            else "; on a GPU, up to rounding."
        ),
        "",
    ]
    return "\n".join(lines)


def _use(kind: str) -> list[str]:
    text = '"a question", "a text with the answer"' if kind == "answer" else '"A text."'
    return [
        "## Use it",
        "",
        "```python",
        f"from transformers import {AUTO[kind]}, AutoTokenizer",
        "",
        'tokenizer = AutoTokenizer.from_pretrained("path/to/model")',
        f'model = {AUTO[kind]}.from_pretrained("path/to/model")',
        f'outputs = model(**tokenizer({text}, return_tensors="pt"))',
        "```",
        "",
    ]


def _scores(scores: Mapping[str, Any]) -> list[str]:
    found = dict(scores["scores"])
    if not found:
        return []
    metric, num = scores["metric"], len(scores["seeds"])
    rows = [key for key in found if key not in ("all", "mean", "worst")]
    rows.sort(key=lambda label: (found[label]["mean"], label))
    lines = [
        "## Scores",
        "",
        f"The worst language first: {METRICS.get(metric, metric)} on the "
        f"{'test' if scores['judged_on'] == 'test' else 'development'} split, in percent, "
        + (
            f"mean and standard deviation of {num} seeds"
            if num > 1
            else "of one seed, so that nothing says how much was luck"
        )
        + "; the interval (95 %) is what another sample of as many examples could give.",
        "",
        "| Language | Label | Examples | Score | 95 % |",
        "|---|---|--:|--:|--:|",
    ]
    for label in [*rows, "mean"]:
        row = found[label]
        name = f"*mean of {len(rows)}*" if label == "mean" else _name(label)
        shown = "" if label == "mean" else code(label)
        spread = "" if row["deviation"] is None else f" ± {100 * row['deviation']:.1f}"
        count = "" if label == "mean" else wording.count(row["num"])
        lines.append(
            f"| {name} | {shown} | {count} | {100 * row['mean']:.1f}{spread} "
            f"| {100 * row['low']:.1f} to {100 * row['high']:.1f} |"
        )
    return [*lines, ""]


def _limits(task: Mapping[str, Any], scores: Mapping[str, Any]) -> list[str]:
    lines = ["## Limits", ""]
    lines += [f"- {_plain(warning)}." for warning in scores["warnings"]]
    lines += [
        "- On other text than that of its data it does worse, and in other languages than these it "
        "was not judged.",
        "- What is wrong or unfair in the examples is in the model.",
        "",
    ]
    if task["base"]["random"]:
        lines.insert(2, "- It was not pretrained: a control, for comparison only.")
    return lines


def _name(label: str) -> str:
    try:
        return _plain(languages.name_of(label))
    except (ValueError, LookupError):
        return _plain(label)


def _plain(text: str) -> str:
    """Return text that Markdown takes for nothing else, in one line."""
    return re.sub(r"([\\`*_{}\[\]<>#|~])", r"\\\1", " ".join(str(text).split()))
