"""The vocabulary's report: what each language pays, on one page that opens without a network.

`report` gives the facts of one or several tokenizers, `render` the page, `summary_rows` what a
terminal has room for. The page is a pure function of the facts: no time, host or path; text of the
corpus can't act on it (`pipelines.report` promises the same, and gives style and script).
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from pipelines import languages, wording
from pipelines.report import TEMPLATES as HOUSE_TEMPLATES
from pipelines.report import environment_of

from . import evaluate, loading, metrics, pictures
from .meanings import DASH, MEANINGS, advice, figures, fixed
from .texts import Texts

Facts = dict[str, Any]

TEMPLATES = Path(__file__).with_name("templates")
WORST_SHOWN = 12
WORST_IN_TERMINAL = 10
SAMPLES_SHOWN = 30_000
"""Pieces of sample sentences on the page, shared among its languages: 600 stay below 2 MB."""


def report(
    tokenizers: Sequence[str | Path | loading.Tokenizer],
    *,
    texts: Texts,
    names: Sequence[str] | None = None,
    training: Facts | None = None,
    corpus: Facts | None = None,
    min_content: float = evaluate.MIN_CONTENT,
    samples: int = metrics.SAMPLES,
    seed: int = 0,
) -> Facts:
    """Return the facts of one or several tokenizers on the same text.

    Args:
        tokenizers: paths (see `loading.load`) or loaded ones; the first is what the page is about,
            the others are held against it.
        texts: what they are judged by.
        names: what to call them; their own names when left out.
        training: how the first was trained: `settings` (by name), `curve` (rounds of the fit with
            round, mean_tokens, worst, worst_label, gini, chosen), `labels` (by label: `share` of
            the text it was trained on). Each may be missing.
        corpus: facts of the corpus that go to report.json as they are.
        min_content: see `evaluate.evaluate`.
        samples: of the bootstrap.
        seed: of the bootstrap.

    Raises:
        DataError: one can't be loaded.
    """
    loaded = [
        one if isinstance(one, loading.Tokenizer) else loading.load(one) for one in tokenizers
    ]
    found = [
        evaluate.evaluate(one, texts, min_content=min_content, samples=samples, seed=seed)
        for one in loaded
    ]
    seen: dict[str, int] = {}
    for index, facts in enumerate(found):
        name = str(names[index] if names else facts["name"])
        seen[name] = seen.get(name, 0) + 1
        facts["name"] = name if seen[name] == 1 else f"{name} ({seen[name]})"
    return {
        "tokenizers": found,
        "text": texts.kind,
        "complete": texts.is_complete,
        "num_lines": texts.num_lines,
        "min_content": min_content,
        "training": training,
        "corpus": corpus,
    }


def render(facts: Facts) -> str:
    """Return the report as one HTML page, from the facts of `report`."""
    script = (HOUSE_TEMPLATES / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    environment = environment_of(TEMPLATES)
    environment.filters |= {
        "count": wording.count,
        "name_of": languages.name_of,
        "lang": lambda label: wording.slug(wording.bcp47(label)),
        "slug": wording.slug,
        "x": fixed,
        "share": lambda share: DASH if share is None else wording.percent(share, 1),
        "script": _script_name,
        "keyed": _keyed,
    }
    return environment.get_template("vocab.html").render(
        facts=facts,
        style=Markup((HOUSE_TEMPLATES / "report.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=Markup(f"sha256-{digest}"),
        meanings=MEANINGS,
        **_parts(facts),
    )


def _keyed(text: str) -> Markup:
    """Return a sentence as HTML, with the names of settings as code."""
    escaped = str(Markup.escape(text))
    return Markup(re.sub(r"vocab\.[a-z_.]*[a-z](?:: [a-z]+)?", r"<code>\g<0></code>", escaped))


def _script_name(code: str) -> str:
    names = {
        evaluate.OTHER: "No letters (digits, marks, signs)",
        evaluate.BYTES: "Bytes and parts of characters",
        evaluate.SPECIAL: "Special pieces",
        "Zinh": "Marks of several scripts",
        "Zyyy": "Letters of several scripts",
    }
    if code in names:
        return names[code]
    # The script's name stands in brackets where the language is not usually written in it.
    named = languages.name_of(f"{'rus' if code == 'Latn' else 'eng'}_{code}")
    return named.partition("(")[2].removesuffix(")") or code


def by_premium(labels: Mapping[str, Facts], *, thin: bool = False) -> list[tuple[str, Facts]]:
    """Return the languages, the worst premium first; those with enough text, or the others."""
    rows = [(label, row) for label, row in labels.items() if row["thin"] == thin]
    return sorted(rows, key=lambda item: (-item[1]["premium"], item[0]))


def _parts(facts: Facts) -> Facts:
    """Return what the template shows, computed once."""
    main = facts["tokenizers"][0]
    rows, thin = by_premium(main["labels"]), by_premium(main["labels"], thin=True)
    judged = [
        {label: row["premium"] for label, row in one["labels"].items() if not row["thin"]}
        for one in facts["tokenizers"]
    ]
    scale = pictures.scale_of([value for own in judged for value in own.values()])
    training = facts.get("training") or {}
    num_labels = max(len(main["labels"]), 1)
    points = training.get("curve") or []
    return {
        "main": main,
        "others": facts["tokenizers"][1:],
        "rows": rows,
        "thin": thin,
        "worst": [item for item in rows if item[1]["premium"] > 1][:WORST_SHOWN] or rows[:1],
        "scale": scale,
        "whisker": pictures.whisker,
        "dots": [
            (
                pictures.dots(own, scale=scale, width=pictures.WIDE),
                pictures.dots(own, scale=scale, width=pictures.NARROW),
            )
            for own in judged
        ],
        "figures": figures(facts["tokenizers"]),
        "curve": pictures.curve(points) if len(points) > 1 else None,
        "points": points,
        "settings": list(_flat(training.get("settings") or {}, prefix="vocab")),
        "scripts": _scripts(main),
        "advice": lambda label: advice(label, facts),
        "cut": lambda row, room: cut(row["segmentation"][0], room),
        "room": min(max(SAMPLES_SHOWN // num_labels, 24), evaluate.SAMPLE_PIECES),
        "by_name": sorted(main["labels"], key=lambda label: (languages.name_of(label), label)),
        "high": sum(row["premium"] >= pictures.HIGH for _, row in rows),
        "high_limit": pictures.HIGH,
    }


def _flat(settings: Mapping[str, Any], *, prefix: str) -> Iterator[tuple[str, str]]:
    """Yield nested settings as dotted names and values."""
    for key, value in settings.items():
        name = f"{prefix}.{key}" if prefix else key
        if isinstance(value, Mapping) and value:
            yield from _flat(value, prefix=name)
        else:
            yield name, DASH if value in (None, {}, [], ()) else str(value)


def _scripts(tokenizer: Facts) -> list[Facts]:
    """Return the scripts, those with most pieces first; what is no script last."""
    none = (evaluate.OTHER, evaluate.BYTES, evaluate.SPECIAL)
    rows = [{"code": code, **row} for code, row in tokenizer["by_script"].items()]
    rows = [row for row in rows if row["pieces"] or row["content_share"] >= 0.0005]
    return sorted(rows, key=lambda row: (row["code"] in none, -row["pieces"], row["code"]))


def cut(pieces: Sequence[str], room: int) -> Markup:
    """Return a line's pieces as HTML: neighbours differ in shade, bytes are named."""
    parts: list[str] = []
    for piece in pieces[:room]:
        raw = loading.BYTE_PIECE.findall(piece)
        if raw and not loading.BYTE_PIECE.sub("", piece):
            parts.append(Markup('<i class="b">{}</i>').format("\N{THIN SPACE}".join(raw)))
            continue
        text = piece.replace(loading.SPACE, " ")
        if text.startswith(" ") and text != " ":
            parts.append(" ")
            text = text[1:]
        shown = "\N{OPEN BOX}" if text == " " else text
        parts.append(Markup("<i>{}</i>").format(wording.visible(shown)))
    if len(pieces) > room:
        parts.append(" \N{HORIZONTAL ELLIPSIS}")
    return Markup("").join(Markup(part) for part in parts)  # escaped above


def summary_rows(facts: Facts) -> tuple[list[str], list[list[str]]]:
    """Return what a terminal shows: the worst languages, then the totals.

    Returns:
        the header and the rows of `pipelines.show.table`.
    """
    every = facts["tokenizers"]
    main = every[0]
    several = len(every) > 1
    premiums = [f"premium {one['name']}" if several else "premium" for one in every]
    header = ["language", "label", *premiums, "95 %", "tokens/word", "in bytes", "lost"]
    rows = []
    for label, row in by_premium(main["labels"])[:WORST_IN_TERMINAL]:
        low, high = row["premium_low"], row["premium_high"]
        rows.append(
            [
                languages.name_of(label),
                label,
                *(fixed(one["labels"][label]["premium"]) for one in every),
                DASH if low is None else f"{fixed(low)}{DASH}{fixed(high)}",
                fixed(row["fertility"]),
                fixed(100 * (row["byte_rate"] or 0), 1),
                fixed(100 * (row["unknown_rate"] or 0), 1),
            ]
        )
    totals = (
        ("worst", [fixed(one["summary"]["worst"]["premium"]) for one in every]),
        ("90th percentile", [fixed(one["summary"]["p90"]) for one in every]),
        ("median", [fixed(one["summary"]["median"]) for one in every]),
        ("worst / median", [fixed(one["summary"]["worst_over_median"]) for one in every]),
        ("Gini", [fixed(one["summary"]["gini"], 3) for one in every]),
        ("mean tokens", [fixed(one["summary"]["mean_tokens"], 1) for one in every]),
    )
    rows += [[title, f"{_num(main)}", *cells, "", "", "", ""] for title, cells in totals]
    return header, rows


def _num(main: Facts) -> str:
    return f"of {main['summary']['num_labels']:,}"
