"""The dataset card: README.md of the corpus folder, which makes the folder a Hugging Face dataset.

Promises: a pure function of the facts; front matter that any YAML 1.1 or 1.2 reader reads alike
(Norwegian `no` is quoted); a configuration for each label that has documents; no identifier that
the hub refuses.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import regex
import yaml

from . import languages, retention, wording

PRETTY_NAME = "Multilingual corpus"
TEMPLATES = Path(__file__).with_name("templates")

# What the hub takes as `license`: huggingface.co/docs/hub/repositories-licenses.
HUB_LICENSES = {
    "afl-3.0", "agpl-3.0", "apache-2.0", "artistic-2.0", "bsd", "bsd-2-clause", "bsd-3-clause",
    "bsd-3-clause-clear", "bsl-1.0", "c-uda", "cc", "cc-by-2.0", "cc-by-2.5", "cc-by-3.0",
    "cc-by-4.0", "cc-by-nc-2.0", "cc-by-nc-3.0", "cc-by-nc-4.0", "cc-by-nc-nd-3.0",
    "cc-by-nc-nd-4.0", "cc-by-nc-sa-2.0", "cc-by-nc-sa-3.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0",
    "cc-by-sa-3.0", "cc-by-sa-4.0", "cc0-1.0", "cdla-permissive-1.0", "cdla-permissive-2.0",
    "cdla-sharing-1.0", "ecl-2.0", "epl-1.0", "epl-2.0", "etalab-2.0", "eupl-1.1", "gfdl", "gpl",
    "gpl-2.0", "gpl-3.0", "isc", "lgpl", "lgpl-2.1", "lgpl-3.0", "lgpl-lr", "lppl-1.3c", "mit",
    "mpl-2.0", "ms-pl", "ncsa", "odbl", "odc-by", "ofl-1.1", "openrail", "osl-3.0", "pddl",
    "postgresql", "unknown", "unlicense", "wtfpl", "zlib",
}  # fmt: skip
# Families that the hub lists without the version that SPDX has.
_FAMILIES = ("odc-by", "odbl", "pddl", "gfdl")

SIZES = ["n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B"]
SIZES += ["1B<n<10B", "10B<n<100B", "100B<n<1T", "n>1T"]


def render(facts: retention.Facts) -> str:
    """Return the card as Markdown with YAML front matter, from the facts of `summary`."""
    labels = {label: row for label, row in facts["labels"].items() if row["documents"]}
    rates = retention.rates(facts, retention.by_label(facts))
    settings = facts["settings"]
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=False,  # Markdown, not HTML: `md` escapes what comes from outside
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "count": wording.count,
        "size": wording.size,
        "md": markdown,
        "name_of": languages.name_of,
        "bcp47": wording.bcp47,
        "title_of": wording.title_of,
    }
    environment.globals["percent"] = wording.percent
    rules_on = {name for row in facts["thresholds"].values() for name in row}
    return environment.get_template("card.md.j2").render(
        facts=facts,
        front_matter=yaml.safe_dump(
            front_matter(facts), allow_unicode=True, sort_keys=False, width=1000
        ),
        pretty_name=PRETTY_NAME,
        ledger=facts["ledger"],
        labels=labels,
        first_label=next(iter(labels), "swh_Latn"),
        lost=[label for label, row in facts["labels"].items() if not row["documents"]],
        removed=sorted(facts["ledger"]["removed"].items(), key=lambda item: (-item[1], item[0])),
        num_rules=len(rules_on),
        alarms=retention.alarms(rates, retention.expected(facts, rates)),
        small=[
            label for label, row in labels.items() if row["documents"] < retention.ALARM_DOCUMENTS
        ],
        small_documents=retention.ALARM_DOCUMENTS,
        declared=any(corpus["declared"] != "ignore" for corpus in facts["corpora"]),
        **_sentences(settings),
    )


def front_matter(facts: retention.Facts) -> dict[str, Any]:
    """Return what the hub and `load_dataset` read of the card."""
    labels = [label for label, row in facts["labels"].items() if row["documents"]]
    used = [
        corpus["license"]
        for corpus in facts["corpora"]
        if facts["ledger"]["corpora"][corpus["name"]]["kept"]
    ]
    licenses = sorted({hub_license(name) for name in used})
    matter: dict[str, Any] = {
        "pretty_name": PRETTY_NAME,
        "language": sorted({wording.iso_code(label) for label in labels}),
        "language_details": sorted({wording.bcp47(label) for label in labels}),
        "multilinguality": ["multilingual" if len(labels) > 1 else "monolingual"],
    }
    if licenses:
        matter["license"] = licenses[0] if len(licenses) == 1 else licenses
    if licenses == ["other"]:
        matter["license_name"] = _slug(" ".join(sorted(set(used))))
    matter["size_categories"] = [size_category(facts["ledger"]["kept"])]
    matter["task_categories"] = ["text-generation", "fill-mask"]
    matter["tags"] = ["multilingual", "pretraining", "koine"]
    matter["configs"] = [
        {"config_name": label, "data_files": f"{label}/*.arrow"} for label in labels
    ]
    return {key: value for key, value in matter.items() if value != []}


def hub_license(name: str) -> str:
    """Return the hub's identifier of an SPDX licence, `other` where it has none."""
    lower = name.strip().lower()
    for end in ("-only", "-or-later"):
        lower = lower.removesuffix(end)
    for family in _FAMILIES:
        if lower == family or lower.startswith(f"{family}-"):
            return family
    return lower if lower in HUB_LICENSES else "other"


def size_category(documents: int) -> str:
    """Return the hub's size category of a number of documents."""
    steps = 0
    while documents >= 1000 * 10**steps and steps < len(SIZES) - 1:
        steps += 1
    return SIZES[steps]


def markdown(text: str) -> str:
    """Return text as one line of Markdown that has no markup: not in a table, not as HTML."""
    line = " ".join(regex.sub(r"[\p{C}\p{Z}]+", " ", text).split())
    escaped: str = regex.sub(r"([\\`*_{}\[\]<>#|~!&$])", r"\\\1", line)
    return escaped


def _slug(text: str) -> str:
    name: str = regex.sub(r"[^a-z0-9.]+", "-", text.lower())
    return name.strip("-")[:90]


def _sentences(settings: dict[str, Any]) -> dict[str, str]:
    """Return the settings that a reader of the corpus must know, as sentences."""
    kinds = {"emails": "e-mail addresses", "ips": "IP addresses", "phones": "telephone numbers"}
    masked = [name for key, name in kinds.items() if settings["pii"][key]]
    left = [name for key, name in kinds.items() if not settings["pii"][key]]
    if masked:
        pii = f"{_listed(masked)} are replaced by placeholders such as `<email>`."
        pii = pii[0].upper() + pii[1:]
        limits = "Masking of personal data goes by pattern; names and postal addresses stay."
    else:
        pii = "Personal data are not masked."
        limits = "Personal data are not masked."
    if masked and left:
        limits = f"{limits} Not masked: {_listed(left)}."
    model = settings["identify"]["model"].rpartition("/")[2]
    dedupe = settings["dedupe"]
    kinds_off = {"url": "the same URL", "exact": "the same text", "near": "nearly the same text"}
    steps = [name for key, name in kinds_off.items() if dedupe[key]]
    near = f" (MinHash-LSH, {dedupe['bands']} bands of {dedupe['rows']})" if dedupe["near"] else ""
    return {
        "pii": pii,
        "pii_limits": limits,
        "identify": f"The model is `{model}`; whole document and single lines are looked at.",
        "thresholds": (
            "Thresholds are fitted to each language's own documents."
            if settings["thresholds"] == "auto"
            else "Thresholds are the same for all languages"
            + (", with exceptions." if settings["rules_by_label"] else ".")
        ),
        "dedupe": (
            f"Of documents with {_listed(steps, 'or')}{near}, one is kept, across all corpora."
            if steps
            else "Duplicates are not removed."
        ),
    }


def _listed(names: list[str], word: str = "and") -> str:
    return f" {word} ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
