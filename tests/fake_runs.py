"""Folders of runs that never ran: what a training run leaves behind, drawn from simple laws.

The numbers fall as real ones do (a power law of tokens, noise where little is held out, a jump
where the mask rate changes), so that a page made of them can be looked at. The same arguments give
the same bytes.
"""

import json
import math
from pathlib import Path

import numpy as np

NAMED = {
    "eng_Latn": 60_000_000, "rus_Cyrl": 30_000_000, "deu_Latn": 25_000_000,
    "fra_Latn": 24_000_000, "zho_Hans": 20_000_000, "jpn_Jpan": 15_000_000,
    "arb_Arab": 12_000_000, "hin_Deva": 8_000_000, "tur_Latn": 7_000_000, "fin_Latn": 6_000_000,
    "tha_Thai": 5_000_000, "heb_Hebr": 4_000_000, "kor_Hang": 4_000_000, "ell_Grek": 3_500_000,
    "pes_Arab": 3_000_000, "urd_Arab": 1_200_000, "swh_Latn": 900_000, "kat_Geor": 800_000,
    "amh_Ethi": 500_000, "khm_Khmr": 400_000, "mya_Mymr": 350_000, "yor_Latn": 150_000,
    "bod_Tibt": 120_000, "uig_Arab": 110_000, "lao_Laoo": 90_000, "div_Thaa": 40_000,
    "quy_Latn": 25_000, "chr_Cher": 9_000, "nqo_Nkoo": 4_000, "sat_Olck": 900,
}  # fmt: skip
"""Training tokens by label, from plenty to next to nothing."""

TOKENS_PER_BYTE = {"Latn": 0.25, "Cyrl": 0.14, "Arab": 0.15, "Hans": 0.22, "Jpan": 0.2}
OTHER_SCRIPTS = 0.11  # three bytes a letter


def many(num):
    """Return training tokens of so many labels; the named ones first, then what lid.176 knows."""
    from pipelines.lid176 import SCRIPTS

    labels = dict(NAMED)
    codes = (f"{language}_{script}" for script in ("Latn", "Cyrl", "Arab") for language in SCRIPTS)
    for number, label in enumerate(codes):
        if len(label) == 8:
            labels.setdefault(label, int(2e6 / (number + 1) ** 1.3) + 40)
    return dict(list(labels.items())[:num])


def held_by(tokens):
    return "none" if tokens < 60 else "ends" if tokens < 6000 else "documents"


def write_run(
    folder,
    *,
    labels,
    share=1.0,
    evaluations=10,
    lines=400,
    skipped=(),
    waiting=0.003,
    nsp=True,
    worse=(),
    device="NVIDIA H200",
    planned_tokens=800_000_000,
    seed=0,
):
    """Write a run folder; return its path.

    Args:
        folder: to be made.
        labels: training tokens by label.
        share: of the planned tokens that were reached; below 1 the run has not ended.
        evaluations: over the whole run; 0 for none at all, not even before it.
        lines: of the log, over the whole run.
        skipped: shares of the run at which a step was skipped.
        waiting: share of time in which data was waited for.
        nsp: whether the model has next-sentence prediction; None for one that learns it never.
        worse: labels that get worse from the first third on.
        device: None for a CPU without a known peak.
        planned_tokens: of the whole run.
        seed: of the noise.
    """
    folder = Path(folder)
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    batch = -(-planned_tokens // max(planned_tokens // 131_072, lines))
    steps = -(-planned_tokens // batch)
    rates = (0.15,) if nsp is not False else (0.3, 0.25, 0.2, 0.15)
    write_json(folder / "config.json", config_of(labels, rates, planned_tokens, batch, nsp))
    shares = unimax(labels, planned_tokens)
    seen = {label: int(part * planned_tokens * share) for label, part in shares.items()}
    log = [
        step_record(
            number / lines,
            1 / lines,
            steps,
            planned_tokens,
            rates,
            skipped,
            waiting,
            nsp,
            rng,
            device,
        )
        for number in range(1, lines + 1)
        if number <= share * lines
    ]
    write_lines(folder / "log.jsonl", log)
    told = []
    if evaluations:
        times = [number / evaluations for number in range(evaluations + 1)]
        wobble = {label: np.random.default_rng([seed, n]) for n, label in enumerate(labels)}
        told = [
            evaluation_record(at, steps, planned_tokens, labels, shares, worse, nsp, wobble)
            for at in times
            if at <= share
        ]
        write_lines(folder / "evaluation.jsonl", told)
    if share > 0.1:
        save = folder / "checkpoints" / f"step-{int(share * steps):08d}"
        save.mkdir(parents=True)
        state = {"step": int(share * steps), "tokens": log[-1]["tokens"], "tokens_by_label": seen}
        write_json(save / "state.json", state)
        write_json(save / "manifest.json", {"artefact": "checkpoint", "format_version": 1})
    if share == 1:
        last = told[-1]["labels"] if told else {}
        write_json(
            folder / "result.json",
            {
                "run": str(folder), "preset": "bert-small", "finished": True, "steps": steps,
                "machine": {"device": device or "cpu", "dtype": "bfloat16", "ranks": 1},
                "tokens": log[-1]["tokens"], "tokens_by_label": seen, "loss": log[-1]["loss"],
                "bits_per_byte": {label: row["bits_per_byte"] for label, row in last.items()},
            },
        )  # fmt: skip
    return folder


def config_of(labels, rates, planned_tokens, batch, nsp):
    stages = [
        {"start": n / len(rates), "mask_rate": rate, "max_length": 128}
        for n, rate in enumerate(rates)
    ]
    family = {"nsp": nsp is not False, "layers": 8, "width": 512, "feed_forward": 2048}
    preset = "bert-small" if nsp is not False else "modern-small"
    return {
        "preset": preset, "vocab_rows": 65_536, "vocab_pieces": 65_500, "seed": 0,
        "vocab_hash": "5d41402abc4b2a76b9719d911017c592" * 2,
        "tokens_hash": "7d793037a0760186574b0282f2f435e7" * 2,
        "corpus_hash": "9e107d9d372bb6826bd81d3542a419d6" * 2,
        "shape": {"family": preset.partition("-")[0], "heads": 8, "max_positions": 512, **family},
        "planned_tokens": planned_tokens,
        "settings": {
            **family, "preset": preset, "max_length": 128, "stages": stages,
            "tokens": planned_tokens, "budget": None, "batch_tokens": batch,
            "sampling": {"by": "unimax", "max_repeat": 4.0, "weights": {}}, "seed": 0,
            "optimizer": {"name": "adamw", "learning_rate": 6e-4, "betas": [0.9, 0.98]},
        },
        "labels": {label: {"tokens": tokens} for label, tokens in sorted(labels.items())},
    }  # fmt: skip


def unimax(labels, total, repeat=4):
    left, budget, shares = len(labels), total, {}
    for label, tokens in sorted(labels.items(), key=lambda item: item[1]):
        given = min(tokens * repeat, budget / left)
        shares[label], budget, left = given / total, budget - given, left - 1
    return shares


def step_record(at, gap, steps, planned, rates, skipped, waiting, nsp, rng, device):
    stage = min(int(at * len(rates)), len(rates) - 1)
    tokens = int(at * planned * 0.995)
    mlm = 1.9 + 9.2 * (1 + tokens / 4e5) ** -0.34 + 2.2 * rates[stage] + rng.normal(0, 0.05)
    skipped = [round(when * steps) for when in skipped if math.ceil(when / gap) == round(at / gap)]
    pace = 1.05e6 if device else 9.0e3
    slow = 0.1 if at <= gap else 1  # compiling
    record = {
        "step": round(at * steps), "tokens": tokens, "loss": mlm, "mlm_loss": mlm,
        "mlm_accuracy": max(0.0, 0.62 - 0.055 * mlm + rng.normal(0, 0.004)),
        "learning_rate": 6e-4 * min(at / 0.02, (1 - at) / 0.98 + 1e-4, 1),
        "gradient_norm": 0.6 + 3 * math.exp(-40 * at) + abs(rng.normal(0, 0.12)),
        "tokens_per_s": pace * (1 - waiting) * rng.normal(1, 0.01) * slow,
        "mfu": 0.41 * (1 - waiting) * slow if device else None,
        "wait_share": max(0.0, waiting * rng.normal(1, 0.3)), "seconds": tokens / pace + 40,
        "skipped": skipped,
        "stage": stage, "block": int(at * 40),
    }  # fmt: skip
    if nsp is not False:
        record["nsp_loss"] = 0.69 if nsp is None else 0.2 + 0.49 * math.exp(-6 * at)
        record["nsp_accuracy"] = 0.52 if nsp is None else 0.93 - 0.4 * math.exp(-6 * at)
        record["loss"] = mlm + record["nsp_loss"]
    if skipped:
        record["loss"] = record["mlm_loss"] = record["gradient_norm"] = None
    return record


def evaluation_record(at, steps, planned, labels, shares, worse, nsp, wobble):
    rows = {}
    for label, tokens in labels.items():
        if held_by(tokens) == "none":
            continue
        rng = wobble[label]
        per_byte = TOKENS_PER_BYTE.get(label[4:], OTHER_SCRIPTS)
        learning = min(at, 0.3) if label in worse else at
        seen = learning * planned * shares[label]
        # What is learnt of a language comes from its own text and, less, from the others'.
        known = seen + 0.004 * learning * planned
        nats = 1.1 + 9.99 * (1 + known / 3e4) ** -0.31
        nats *= 1 + 0.4 * (at - learning)
        masked = max(int(min(tokens / 40, 8192) * 0.15), 3)
        nats += rng.normal(0, 0.4 / math.sqrt(masked)) if at else 0
        rows[label] = {
            "bits_per_byte": nats / math.log(2) * per_byte, "masked": masked,
            "mlm_accuracy": max(0.0, 0.78 - 0.07 * nats), "bytes": int(masked / per_byte),
            "nsp_accuracy": None if nsp is False or tokens < 2000
            else 0.51 if nsp is None or not at else 0.93 - 0.4 * math.exp(-seen / 4e5),
            "documents": 64 if tokens > 1e6 else 1, "held_by": held_by(tokens),
            "tokens": masked * 7,
        }  # fmt: skip
    bits = {label: row["bits_per_byte"] for label, row in rows.items()}
    return {
        "step": round(at * steps), "tokens": int(at * planned * 0.995), "final": at == 1,
        "labels": rows, "mean_bits_per_byte": sum(bits.values()) / len(bits),
        "worst": max(bits, key=bits.get),
    }  # fmt: skip


def write_json(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False) + "\n", encoding="utf-8")


def write_lines(path, records):
    path.write_text(
        "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records),
        encoding="utf-8",
    )


def killed_early(folder):
    """Write a run that was killed after its first line: no evaluation, no checkpoint."""
    return write_run(folder, labels=many(30), share=1 / 400, evaluations=0)
