"""The model card: README.md of an export, which the hub shows and people read before they load it.

Promises: a pure function of the facts, without time, host or path; front matter that any YAML 1.1
or 1.2 reader reads alike; a row for each language, the worst served first; no text of a corpus that
acts as markup.

States no licence of the model: what follows from the licences of the texts is for whoever publishes
the weights to decide, and a guess in the front matter would be shown as their word. The card lists
the texts' licences and says that `license` is still to be added; the hub takes a card without it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import jinja2
import yaml

from pipelines import languages, wording
from pipelines.card import markdown

Facts = Mapping[str, Any]
"""What `export` knows:

    step, tokens            of the checkpoint: steps taken, tokens seen (special ones counted)
    parameters              of the exported model
    shape, settings         plain values of `Shape` and of the effective `PretrainSettings`
    planned_tokens          null where the run's length was given as time
    vocab                   pieces, rows
    labels                  by label: tokens, times_seen, bits_per_byte, mlm_accuracy,
                            nsp_accuracy, masked, documents, held_by; null what is not known
    longest                 tokens of the longest sequences up to this step
    judged_step             the step of the evaluation, null where there was none
    corpus                  `export.corpus_facts`, null where the corpus is not at hand
    corpus_changed          whether another corpus lies where the run's was
    lineage                 by name of a thing: its SHA-256
    versions                by library
"""

TEMPLATES = Path(__file__).with_name("templates")
MANY = 40
"""With more languages than this, only the worst served stand in the open."""
WORST = 20
JUDGED_PIECES = 500
"""An accuracy from fewer pieces is uncertain by more than two points (its standard error)."""
LITTLE_TEXT = 1_000_000
"""Tokens of a language below which it has hardly been learned."""
FEW_TOKENS = 1_000_000_000
"""Tokens of a run below which the card calls the model a demonstration."""
SHOWN = 40
"""Languages that a sentence names."""
WITHDRAWN = {"bh", "sh"}
"""Codes of ISO 639-1 that no longer stand, of languages that have no other of two letters."""


def render(facts: Facts) -> str:
    """Return the card as Markdown with YAML front matter."""
    settings = facts["settings"]
    rows = list(worst_first(facts["labels"]))
    judged = [row for row in rows if row["bits_per_byte"] is not None]
    bert = facts["shape"]["family"] == "bert"
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=False,  # Markdown, not HTML: `md` and `code` escape what comes from outside
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "count": wording.count,
        "short": short,
        "md": markdown,
        "code": code,
        "name_of": languages.name_of,
    }
    environment.globals["percent"] = wording.percent
    return environment.get_template("card.md.j2").render(
        facts=facts,
        front_matter=_yaml(front_matter(facts)),
        title=title(facts),
        bert=bert,
        shape=facts["shape"],
        settings=settings,
        stages=list(_stages(settings)),
        recipe=_yaml({"pretrain": _without_null(settings)}),
        rows=rows,
        num_open=WORST if len(rows) > MANY else len(rows),
        has_nsp=any(row["nsp_accuracy"] is not None for row in rows),
        has_times=any(row["times_seen"] is not None for row in rows),
        unjudged=[row["label"] for row in rows if row["bits_per_byte"] is None],
        ends=[row["label"] for row in judged if row["held_by"] == "ends"],
        uncertain=[row["label"] for row in judged if (row["masked"] or 0) < JUDGED_PIECES],
        unseen=[row["label"] for row in rows if not row["tokens"]],
        thin=[row["label"] for row in rows if 0 < row["tokens"] < LITTLE_TEXT],
        judged=judged,
        judged_pieces=JUDGED_PIECES,
        few_tokens=FEW_TOKENS,
        named=lambda labels: named(labels, num_all=len(rows)),
        optimizer=_optimizer(settings),
        schedule=_schedule(settings["schedule"]),
    )


def front_matter(facts: Facts) -> dict[str, Any]:
    """Return what the hub reads of the card; `license` is left to the publisher."""
    family = facts["shape"]["family"]
    labels = _read(facts)
    matter: dict[str, Any] = {
        "language": sorted({hub_language(label) for label in labels}),
        "library_name": "transformers",
        "pipeline_tag": "fill-mask",
        "mask_token": "[MASK]",
        "tags": [
            "bert" if family == "bert" else "modernbert",
            *(["multilingual"] if len(labels) > 1 else []),
            "masked-lm",
            *(["next-sentence-prediction"] if facts["shape"]["nsp"] else []),
            "koine",
        ],
    }
    return {key: value for key, value in matter.items() if value != []}


def title(facts: Facts) -> str:
    """Return the card's heading."""
    family = "BERT" if facts["shape"]["family"] == "bert" else "ModernBERT"
    labels = _read(facts)
    if len(labels) == 1:
        return f"A {family} of {markdown(languages.name_of(labels[0]))}"
    return f"A {family} of {wording.count(len(labels))} languages"


def worst_first(labels: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the languages with their labels, the most bits per byte first, unjudged ones last."""

    def order(label: str) -> tuple[bool, float, str]:
        bits = labels[label]["bits_per_byte"]
        return bits is None, -(bits or 0.0), label

    for label in sorted(labels, key=order):
        yield {"label": label, **labels[label]}


def hub_language(label: str) -> str:
    """Return the code under which the hub lists a label's language: ISO 639-1 where there is one.

    For `swh_Latn` that is `sw`, as people write it, although the code is the macrolanguage's.
    """
    code = wording.iso_code(label)
    return code if len(code) == 2 else _two_letters().get(code, code)


@cache
def _two_letters() -> dict[str, str]:
    """Return the two-letter codes of languages that have one only by way of a macrolanguage."""
    found = {}
    for code in map("".join, product(ascii_lowercase, repeat=2)):
        label = languages.parse_label(code)
        if label and code not in WITHDRAWN:
            found[languages.language_of(label)] = code
    return found


def short(number: float) -> str:
    """Return a large number in words of three digits: 34.5 million."""
    for unit, name in ((10**12, "trillion"), (10**9, "billion"), (10**6, "million")):
        if number >= 0.9995 * unit:
            value = number / unit
            digits = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
            return f"{value:,.{digits}f} {name}"
    return wording.count(number)


def code(text: str) -> str:
    """Return text as code in one cell of a Markdown table."""
    line = " ".join(re.sub(r"[`|\x00-\x1f\x7f\u2028\u2029]", " ", text).split())
    return f"`{line or '?'}`"


def named(labels: Sequence[str], *, num_all: int) -> str:
    """Return languages as they stand in a sentence; the first ones where there are many."""
    if len(labels) == num_all > 1:
        return f"all {wording.count(num_all)} languages"
    shown = ", ".join(f"{markdown(languages.name_of(x))} ({code(x)})" for x in labels[:SHOWN])
    more = len(labels) - SHOWN
    return shown if more <= 0 else f"{shown} and {wording.count(more)} more"


def _read(facts: Facts) -> list[str]:
    """Return the languages that the model has read; all of them before it has read any."""
    return [x for x, row in facts["labels"].items() if row["tokens"]] or list(facts["labels"])


def _stages(settings: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Yield the rows of the table of stages, in words."""
    before = None
    for stage in settings["stages"]:
        sampling = _sampling(stage["sampling"] or settings["sampling"])
        yield {
            "start": wording.percent(stage["start"], 1) if stage["start"] else "the start",
            "masks": wording.percent(stage["mask_rate"], 1),
            "length": f"{wording.count(stage['max_length'])} tokens",
            "sampling": "as before" if sampling == before else sampling,
        }
        before = sampling


def _sampling(sampling: Mapping[str, Any]) -> str:
    if sampling["by"] == "unimax":
        return (
            f"as many tokens of each, none seen more than {sampling['max_repeat']:g} times (UniMax)"
        )
    if sampling["by"] == "temperature":
        return f"by size to the power of {sampling['temperature']:g}"
    return f"by given weights, none seen more than {sampling['max_repeat']:g} times"


def _optimizer(settings: Mapping[str, Any]) -> str:
    own = settings["optimizer"]
    first, second = own["betas"]
    name = "AdamW" if own["name"] == "adamw" else "Muon (AdamW for embeddings, norms and biases)"
    return (
        f"{name}, learning rate up to {own['learning_rate']:g}, betas {first:g} and {second:g}, "
        f"weight decay {own['weight_decay']:g}, gradients clipped at {own['clip']:g}"
    )


def _schedule(own: Mapping[str, Any]) -> str:
    rise = f"it rises over the first {wording.percent(own['warmup'], 1)} of the run"
    if own["kind"] == "linear":
        return f"{rise} and falls to 0 in a straight line"
    form = "as 1 - sqrt" if own["shape"] == "sqrt" else "in a straight line"
    return f"{rise}, stays, and falls to 0 over the last {wording.percent(own['decay'], 1)}, {form}"


def _without_null(value: Any) -> Any:  # noqa: ANN401
    """Return plain values without the keys that are null: what a recipe leaves out."""
    if isinstance(value, Mapping):
        return {key: _without_null(one) for key, one in value.items() if one is not None}
    return [_without_null(one) for one in value] if isinstance(value, list | tuple) else value


def _yaml(value: object) -> str:
    text: str = yaml.safe_dump(value, allow_unicode=True, sort_keys=False, width=1000)
    return text
