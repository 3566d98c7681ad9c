"""A whole run in little: a corpora.yaml of three languages with everything small, and its facts."""

import json
from pathlib import Path
from typing import Any

import yaml

from conftest import sample_texts
from tests_support import ROOT

LABELS = ("arb_Arab", "eng_Latn", "swh_Latn")
SETTINGS: dict[str, Any] = {
    "corpora": [
        {"name": "letters", "files": "letters.jsonl", "fields": {"label": "lang"},
         "license": "CC0-1.0"}
    ],
    "vocab": {"size": 600, "fit": "none", "held_out": 0.05},
    "pretrain": {
        "preset": "modern-tiny",
        "layers": 1,
        "width": 64,
        "max_length": 64,
        "micro_batch_tokens": 512,
        "batch_tokens": 512,
        "tokens": 20 * 512,
        "evaluation": {"times": 2, "tokens": 256},
        "checkpoint": {"every_steps": 2},
        "log_every": 2,
        "device": "cpu",
    },
    "tune": {"seeds": 1, "epochs": 1, "device": "cpu"},
    "tasks": {"topics": {"data": "topics"}},
}  # fmt: skip
"""20 steps and one tuning of one epoch."""


def write_flow(folder: Path, **changes: Any) -> Path:
    """Write a corpus, a task and a corpora.yaml; return the latter."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = sample_texts()
    lines = [
        json.dumps({"text": text, "lang": label}, ensure_ascii=False)
        for label in LABELS
        for text in texts[label]
    ]
    (folder / "letters.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for split in ("train", "dev", "test"):
        name = f"topics.{split}.tsv"
        head, *rows = (ROOT / "samples" / "tasks" / name).read_text(encoding="utf-8").splitlines()
        own = [row for row in rows if row.startswith(LABELS)]
        (folder / name).write_text("\n".join([head, *own]) + "\n", encoding="utf-8")
    path = folder / "corpora.yaml"
    path.write_text(yaml.safe_dump({**SETTINGS, **changes}), encoding="utf-8")
    return path


def facts(num: int = 12, **changes: Any) -> dict[str, Any]:
    """Return made-up facts of a page, of so many languages."""
    from pretrain.flow import headlines

    labels = list(sample_texts())[:num]
    found: dict[str, Any] = {
        "out": "build/demo",
        "run": "modern-tiny",
        "stages": {
            name: {"title": name, "seconds": 3.0 * number,
                   "state": "done" if number else "up to date"}
            for number, name in enumerate(
                ("corpus", "vocab", "tokens", "pretrain", "export", "tasks", "onnx")
            )
        },
        "division": {"budget": "20min", "told": "of 20min: pretraining gets 15 min"},
        "notes": ["runs/modern-tiny: it is `kept`."],
        "corpus": {
            "read": 400, "kept": 300, "removed": 80, "quarantined": 20, "bytes": 270_000,
            "labels": {
                label: {"kept": 10 + number, "measured": 30} for number, label in enumerate(labels)
            },
        },
        "vocab": {
            "pieces": 4000,
            "gini": 0.076,
            "labels": {x: 1.3 - 0.02 * number for number, x in enumerate(labels)},
        },
        "pretrain": {
            "preset": "modern-tiny", "shape": {}, "steps": 489, "tokens": 986_682, "seconds": 61.0,
            "labels": {
                label: {"bits": 2.5, "left": 0.9 - 0.01 * number, "is_sure": True}
                for number, label in enumerate(labels)
            },
        },
        "tasks": {
            "topics": {
                "task": "classify", "metric": "macro_f1", "mean": 0.6,
                "labels": {
                    label: {"score": 0.4 + 0.02 * number, "low": 0.2, "high": 0.9, "num": 12,
                            "is_zero_shot": number == 1}
                    for number, label in enumerate(labels[:6])
                },
            }
        },
        "model": {
            "parameters": 1_184_768,
            "bytes": 5_000_000,
            "onnx": {"export": {"largest": 5e-6, "bytes": 4_766_099}},
            "tuned": ["evaluation/models/topics-in-language"],
        },
    }  # fmt: skip
    found |= changes
    found["languages"] = [vars(row) for row in headlines.languages(found)]
    return found
