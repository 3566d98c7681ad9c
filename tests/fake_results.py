"""Results of evaluations that never ran, in the form of results.json."""

import random
from collections.abc import Sequence
from typing import Any

from pretrain.judge.results import FORMAT_VERSION, summary

LABELS = (
    "amh_Ethi", "arb_Arab", "ary_Arab", "bam_Latn", "ben_Beng", "bod_Tibt", "ckb_Arab", "cop_Copt",
    "deu_Latn", "div_Thaa", "ell_Grek", "eng_Latn", "fin_Latn", "fra_Latn", "guj_Gujr", "hau_Latn",
    "heb_Hebr", "hin_Deva", "hye_Armn", "ibo_Latn", "ind_Latn", "jpn_Jpan", "kat_Geor", "khm_Khmr",
    "kin_Latn", "kor_Hang", "lao_Laoo", "mal_Mlym", "mar_Deva", "mya_Mymr", "nob_Latn", "nqo_Nkoo",
    "oci_Latn", "ory_Orya", "pes_Arab", "quy_Latn", "rus_Cyrl", "sat_Olck", "sin_Sinh", "snd_Arab",
    "spa_Latn", "swh_Latn", "tam_Taml", "tel_Telu", "tha_Thai", "tir_Ethi", "tzm_Tfng", "uig_Arab",
    "urd_Arab", "vie_Latn", "yor_Latn", "zho_Hans", "zho_Hant", "zul_Latn",
)  # fmt: skip
HOSTILE = "<img src=x onerror=alert(1)>"


def score(draw: random.Random, mean: float, *, half: float, metrics: Sequence[str]) -> dict:
    mean = min(max(mean, 0.0), 1.0)
    return {
        "mean": mean,
        "low": max(mean - half, 0.0),
        "high": min(mean + half, 1.0),
        "deviation": draw.uniform(0.002, 0.02),
        "metrics": {name: min(mean * draw.uniform(0.97, 1.03), 1.0) for name in metrics},
    }


def task_of(
    kind: str,
    labels: Sequence[str],
    *,
    seed: int = 0,
    level: float = 0.75,
    random_level: float = 0.4,
    baselines: bool = True,
    zero_shot: bool = False,
    untrained: Sequence[str] = (),
    rough: Sequence[str] = (),
    hopeless: Sequence[str] = (),
) -> dict[str, Any]:
    """Return a made-up task of results.json.

    Args:
        kind: classify, tag or answer.
        labels: languages with test examples.
        seed: of the figures.
        level, random_level: where the model's scores lie, and those of random weights.
        baselines, zero_shot: whether there are such systems.
        untrained: languages that have no training examples.
        rough: languages with few test examples.
        hopeless: languages where the model does no better than random weights.
    """
    draw = random.Random(seed)
    metrics = {
        "classify": ("macro_f1", "accuracy"),
        "tag": ("f1", "precision", "recall"),
        "answer": ("f1", "exact_match"),
    }[kind]
    rows: dict[str, dict[str, Any]] = {}
    for label in labels:
        num = draw.randint(8, 60) if label in rough else draw.choice([204, 500, 990, 1200])
        half = 0.7 / num**0.5
        own = level + draw.uniform(-0.25, 0.15)
        base = random_level + draw.uniform(-0.08, 0.08)
        own = base + 0.01 if label in hopeless else max(own, base + 2 * half)

        def found(mean: float, half: float = half) -> dict[str, Any]:
            return score(draw, mean, half=half, metrics=metrics)

        row: dict[str, Any] = {"num": num, "examples": 0 if label in untrained else 701}
        row["unknown_rate"] = 0.4 if label == "nqo_Nkoo" else 0.001
        if label not in untrained:
            row["in_language"] = found(own)
        if (zero_shot and label != "eng_Latn") or label in untrained:
            row["zero_shot"] = found(own - draw.uniform(0.05, 0.35))
        if baselines:
            if "in_language" in row:
                row["random"] = found(base)
            if "zero_shot" in row:
                row["random_zero_shot"] = found(base / 2)
            row["majority"] = found(0.06)
            if kind != "classify":
                row["words"] = found(base * 0.8)
            row["difference"] = {}
            for name, own_name in (
                ("random", "in_language"),
                ("random_zero_shot", "zero_shot"),
                ("majority", "in_language" if "in_language" in row else "zero_shot"),
                ("words", "in_language" if "in_language" in row else "zero_shot"),
            ):
                if name in row and own_name in row:
                    gap = row[own_name]["mean"] - row[name]["mean"]
                    row["difference"][name] = [gap, gap - 1.3 * half, gap + 1.3 * half]
        rows[label] = row
    trained = {label: 701 for label in labels if label not in untrained}
    test = sum(row["num"] for row in rows.values())
    return {
        "task": kind,
        "metric": metrics[0],
        "other_metrics": list(metrics[1:]),
        "scheme": "BIO" if kind == "tag" else None,
        "targets": {"classify": 7, "tag": 7, "answer": 0}[kind],
        "trained_on": {"in_language": trained}
        | ({"zero_shot": {"eng_Latn": 701}} if zero_shot else {}),
        "rows": rows,
        **summary(rows),
        "warnings": ["3 tag sequences were repaired, the first at sv-ud-test.iob2:17"]
        if kind == "tag"
        else [],
        "counts": {
            "train": {"read": 701 * len(trained) + 2, "kept": 701 * len(trained), "quarantined": 2,
                      "empty_text": 2},
            "dev": {"read": 99, "kept": 99, "quarantined": 0},
            "test": {"read": test, "kept": test, "quarantined": 0},
        },
        "files": [[f"data.{split}.jsonl.zst", "0123456789abcdef" * 4]
                  for split in ("train", "dev", "test")],
    }  # fmt: skip


def results_of(
    tasks: dict[str, dict[str, Any]], *, name: str = "modern-small", known: Sequence[str] = LABELS
) -> dict[str, Any]:
    """Return made-up results of these tasks."""
    return {
        "format_version": FORMAT_VERSION,
        "model": {
            "name": name,
            "kind": "modernbert",
            "layers": 12,
            "width": 384,
            "weights_sha256": "ab" * 32,
            "tuned_for": None,
            "labels": sorted(known),
        },
        "seeds": 3,
        "zero_shot": [],
        "tasks": tasks,
    }


def many() -> dict[str, Any]:
    """Return results of four tasks over more than fifty languages, some of which fare badly."""
    ner = ("eng_Latn", "swh_Latn", "hau_Latn", "yor_Latn", "zho_Hans", "nob_Latn", "bam_Latn")
    found = results_of(
        {
            "sib200": task_of(
                "classify", LABELS, seed=1, rough=("cop_Copt",), hopeless=("nqo_Nkoo", "sat_Olck")
            ),
            "ud-pos": task_of("tag", LABELS[::3], seed=2, level=0.85, zero_shot=True),
            "أسماء": task_of("tag", ner, seed=3, hopeless=("bam_Latn",), untrained=("bam_Latn",)),
            "xquad": task_of(
                "answer", ("eng_Latn", "arb_Arab", "hin_Deva", "tha_Thai", "zho_Hans", "vie_Latn"),
                seed=4, level=0.5, random_level=0.1, zero_shot=True,
            ),
        },
        known=[label for label in LABELS if label not in ("cop_Copt", "tzm_Tfng")],
    )  # fmt: skip
    return found | {"zero_shot": ["eng_Latn"]}
