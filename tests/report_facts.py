"""Facts as `pipelines.summary` collects them, small and consistent, for the report and the card."""

from collections import Counter

from pipelines import judge, stages
from pipelines.config import CorpusSettings

LANGUAGES = ("arb_Arab", "bod_Tibt", "eng_Latn", "fin_Latn", "heb_Hebr", "nob_Latn", "tha_Thai")
TEXT = "A text that was removed, and that somebody should read."


def make_facts(
    languages=LANGUAGES,
    *,
    corpora=("web",),
    documents=200,
    rates=None,
    rates_by_corpus=None,
    text=TEXT,
    quarantined=(),
    licenses=("CC0-1.0",),
    settings=None,
):
    """Return facts in which each label loses `rates[label][reason]` of its documents.

    Every corpus has `documents` documents of each language; one document has 100 bytes of text.
    """
    rates = rates or {}
    flow, failed, by_corpus, examples, histograms = {}, {}, {}, {}, {}
    for corpus in corpora:
        flow[corpus], by_corpus[corpus] = {}, {}
        for label in sorted(languages):
            own = {**rates.get(label, {}), **(rates_by_corpus or {}).get((corpus, label), {})}
            counts = {reason: round(documents * share) for reason, share in own.items()}
            kept = documents - sum(counts.values())
            row = {"measured": [documents, documents * 100]}
            row |= {reason: [count, count * 100] for reason, count in counts.items() if count}
            if kept:
                row["kept"] = [kept, kept * 100]
            flow[corpus][label] = row
            ruled = {r: n for r, n in counts.items() if n and r in judge.REASONS}
            by_corpus[corpus][label] = ruled
            failed.setdefault(label, Counter()).update(ruled)
            for reason, count in counts.items():
                example = {"id": "0f", "origin": f"{corpus}.jsonl#7", "text": text[:400]}
                example |= {"num_chars": len(text), "detail": "letter_share 0.1 < 0.5"}
                examples.setdefault(label, {})[reason] = [example] * min(count, 3)
    for label in languages:
        histograms[label] = {
            rule.name: [[10, documents // 2], [40, documents - documents // 2]]
            for rule in judge.RULES
        }
    ledger = {"corpora": {}}
    for corpus in corpora:
        unreadable = Counter(q["reason"] for q in quarantined if q["corpus"] == corpus)
        removed = Counter()
        for row in flow[corpus].values():
            for reason, pair in row.items():
                if reason not in ("measured", "kept"):
                    removed[reason] += pair[0]
        kept = sum(row.get("kept", [0])[0] for row in flow[corpus].values())
        measured = documents * len(languages)
        ledger["corpora"][corpus] = {
            "read": measured + sum(unreadable.values()),
            "kept": kept,
            "removed": dict(removed),
            "quarantined": dict(unreadable),
            "skipped": {},
            "read_bytes": measured * 30,
            "text_bytes": measured * 100,
            "kept_bytes": kept * 100,
        }
    rows = list(ledger["corpora"].values())
    total = {
        key: sum(row[key] for row in rows)
        for key in ("read", "kept", "read_bytes", "text_bytes", "kept_bytes")
    }
    for key in ("removed", "quarantined", "skipped"):
        total[key] = dict(sum((Counter(row[key]) for row in rows), Counter()))
    chosen = settings or CorpusSettings()
    limits = {
        rule.name: {"value": getattr(chosen.rules, rule.name), "source": "rules"}
        for rule in judge.RULES
        if getattr(chosen.rules, rule.name) is not None
    }
    labels = {}
    for label in sorted(languages):
        pairs = [flow[corpus][label].get("kept", [0, 0]) for corpus in corpora]
        labels[label] = {
            "documents": sum(pair[0] for pair in pairs),
            "bytes": sum(pair[1] for pair in pairs),
            "measured_documents": documents * len(corpora),
            "measured_bytes": documents * len(corpora) * 100,
        }
    return {
        "ledger": {**total, **ledger},
        "labels": labels,
        "flow": flow,
        "rules": [
            {
                "name": rule.name,
                "column": rule.column,
                "is_min": rule.is_min,
                "is_length": rule.is_length,
            }
            for rule in judge.RULES
        ],
        "reasons": list(stages.REASONS),
        "failed": {label: dict(own) for label, own in failed.items()},
        "failed_by_corpus": by_corpus,
        "thresholds": {label: dict(limits) for label in languages},
        "histograms": histograms,
        "examples": examples,
        "duplicates": {"documents_by_copies": {"1": total["kept"]} if total["kept"] else {}},
        "quarantined": list(quarantined),
        "corpora": [
            {
                "name": corpus,
                "license": licenses[i % len(licenses)],
                "label": None,
                "declared": "verify",
            }
            for i, corpus in enumerate(corpora)
        ],
        "settings": chosen.model_dump(mode="json"),
    }
