"""The report: where every document went, on one page that opens without a network or a server.

Promises: a pure function of the facts, so that the same build gives the same bytes; no time, host
or path; text from the corpus cannot act on the page (everything is escaped, hidden characters are
named, and the page's policy allows no script but its own).
Does not promise: everything. On a page of many languages each shows fewer distributions and
examples, and the page says how many; report.json and the removed/ shards hold the rest.
"""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from pydantic import BaseModel

from . import drawing, languages, retention, wording
from .config import CorpusSettings

TEMPLATES = Path(__file__).with_name("templates")

# What a page of many languages shares among them, so that 600 stay below 15 MB.
HISTOGRAMS_SHOWN = 6_000
EXAMPLES_SHOWN = 1_800
REASONS_SHOWN = 9_000
QUARANTINED_SHOWN = 300
EXAMPLES_OF_A_REASON = 3
TOP_RULES = 6  # rows of the waterfall
SOURCES = {
    "rules": "configuration",
    "rules_by_label": "configuration, for this language",
    "auto": "fitted to its text",
}
FIRST_HISTOGRAMS = ("min_content_chars", "min_label_score", "min_letter_share")
"""Shown after those that removed something, in this order."""
COPIES = [(2**i + 1, 2 ** (i + 1)) for i in range(1, 31)]
"""Groups of copies after 1 and 2: 3-4, 5-8, ..."""


def render(facts: retention.Facts) -> str:
    """Return the report as one HTML page, from the facts that `summary` collects."""
    page = _Page(facts)
    script = (TEMPLATES / "report.js").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return _template("report.html.j2").render(
        page=page,
        facts=facts,
        style=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
        script=Markup(script),
        script_hash=Markup(f"sha256-{digest}"),
        alarm=retention,
        **page.parts(),
    )


def environment_of(templates: Path) -> jinja2.Environment:
    """Return what renders a report's templates: text of a corpus can't act on the page."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(templates),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        # Whatever is text and not yet HTML has its hidden characters named, wherever it is used.
        finalize=lambda value: wording.visible(value) if type(value) is str else value,
    )


def _template(name: str) -> jinja2.Template:
    environment = environment_of(TEMPLATES)
    environment.filters |= {
        "count": wording.count,
        "size": wording.size,
        "number": wording.number,
        "title_of": wording.title_of,
        "meaning_of": wording.meaning_of,
        "name_of": languages.name_of,
        "lang": lambda label: wording.slug(wording.bcp47(label)),
        "slug": wording.slug,
        "source": lambda source: SOURCES.get(source, source),
        "cell": lambda share: f"{100 * share:.{0 if share >= 0.0995 else 1}f}",
        "short": lambda value: f"{value:.3g}",
    }
    environment.globals |= {"percent": wording.percent, "width": _width}
    return environment.get_template(name)


def _width(part: float, whole: float) -> Markup:
    """Return a share as a CSS length."""
    value = f"{100 * part / whole:.2f}" if whole else "0"
    return Markup(f"{value.rstrip('0').rstrip('.') if '.' in value else value}%")


class _Page:
    """What the template shows, computed once."""

    def __init__(self, facts: retention.Facts) -> None:
        self.facts = facts
        self.total = retention.everything(facts)
        self.corpora = retention.by_corpus(facts)
        self.lefts = retention.by_label(facts)
        self.rates = retention.rates(facts, self.lefts)
        self.medians = retention.medians(self.rates)
        self.expected = retention.expected(facts, self.rates)
        self.alarms = retention.alarms(self.rates, self.expected)
        self.rules = {rule["name"]: rule for rule in facts["rules"]}
        self.axes = self._axes()
        self._ringing: dict[str, list[retention.Alarm]] = {}
        for alarm in self.alarms:
            self._ringing.setdefault(alarm.label, []).append(alarm)
        num = max(len(self.lefts), 1)
        self.num_histograms = min(max(HISTOGRAMS_SHOWN // num, 2), len(self.rules))
        self.num_examples = min(max(EXAMPLES_SHOWN // num, 1), 3 * EXAMPLES_OF_A_REASON)
        self.num_reasons = max(REASONS_SHOWN // num, 3)

    def parts(self) -> dict[str, Any]:
        """Return the sections' contents by name."""
        # The rules have a section of their own.
        settings = {
            k: v for k, v in self.facts["settings"].items() if k not in ("rules", "rules_by_label")
        }
        return {
            "waterfall": retention.waterfall(self.facts, self.total, num_rules=TOP_RULES),
            "lost": [
                label
                for label, left in self.lefts.items()
                if left.kept[0] == 0 and not label.startswith(retention.NO_LANGUAGE)
            ],
            # The loudest alarm of each language, so that one language doesn't fill the headline.
            "loudest": [alarm for alarm in self.alarms if alarm is self._ringing[alarm.label][0]],
            "num_kept": sum(left.kept[0] > 0 for left in self.lefts.values()),
            "alarms_by_reason": self._alarms_by_reason(),
            "matrix": self._matrix(),
            "reasons": self._reasons(),
            "copies": self._copies(),
            "quarantined_by_corpus": self._quarantined(),
            "limits": self._limits(),
            "settings": _flat(settings, CorpusSettings),
            "named": self.facts["quarantined"][:QUARANTINED_SHOWN],
            "by_size": [
                (
                    small,
                    [item for item in self.lefts.items() if retention.is_small(item[1]) == small],
                )
                for small in (False, True)
            ],
            "by_name": sorted(self.lefts, key=lambda label: (languages.name_of(label), label)),
        }

    def ringing(self, label: str, reason: str | None = None) -> list[retention.Alarm]:
        """Return a language's alarms, or the one for a reason."""
        own = self._ringing.get(label, [])
        return own if reason is None else [alarm for alarm in own if alarm.reason == reason]

    def _alarms_by_reason(self) -> list[tuple[str, list[retention.Alarm]]]:
        found: dict[str, list[retention.Alarm]] = {}
        for alarm in self.alarms:
            found.setdefault(alarm.reason, []).append(alarm)
        return sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))

    def _matrix(self) -> list[str]:
        """Return the reasons that removed anything: those with alarms, then the most removing."""
        failed = {
            reason: sum(rate.failed for rate in own.values()) for reason, own in self.rates.items()
        }
        ringing = Counter(alarm.reason for alarm in self.alarms)
        used = [reason for reason, documents in failed.items() if documents]
        return sorted(used, key=lambda reason: (-ringing[reason], -failed[reason], reason))

    def heat(self, rate: retention.Rate) -> int:
        """Return how dark a cell is, 0 to 5; the number beside it says the same."""
        return sum(rate.share >= bound for bound in (0.01, 0.05, 0.15, 0.3, 0.6))

    def _reasons(self) -> list[dict[str, Any]]:
        """Return every reason that removed documents, with examples from different languages."""
        found = []
        for reason, pair in self.total.top_reasons(len(self.total.removed)):
            hit = [(label, left) for label, left in self.lefts.items() if reason in left.removed]
            # The languages it hits hardest speak first; a share of few documents says little.
            hit.sort(
                key=lambda item: (
                    retention.is_small(item[1]),
                    -item[1].removed[reason][0] / item[1].measured[0],
                    item[0],
                )
            )
            found.append(
                {
                    "reason": reason,
                    "documents": pair[0],
                    "bytes": pair[1],
                    "hit": hit,
                    "examples": self._examples_of(reason, [label for label, _ in hit]),
                }
            )
        return found

    def _examples_of(self, reason: str, labels: list[str]) -> list[tuple[str, dict[str, Any]]]:
        """Return three examples, of as many languages as there are."""
        examples = self.facts["examples"]
        found = []
        for turn in range(EXAMPLES_OF_A_REASON):
            for label in labels:
                own = examples.get(label, {}).get(reason, [])
                if turn < len(own):
                    found.append((label, own[turn]))
                if len(found) == EXAMPLES_OF_A_REASON:
                    return found
        return found

    def examples_in(self, label: str) -> list[tuple[str, list[dict[str, Any]]]]:
        """Return a language's examples: of the reasons that removed most, a few of each."""
        own = self.facts["examples"].get(label, {})
        room = self.num_examples
        found = []
        for reason, _ in self.lefts[label].top_reasons(len(own)):
            chosen = own.get(reason, [])[: min(EXAMPLES_OF_A_REASON, room)]
            if chosen:
                found.append((reason, chosen))
                room -= len(chosen)
            if room <= 0:
                break
        return found

    def reasons_in(self, label: str) -> list[dict[str, Any]]:
        """Return the reasons that remove something of a language, the highest rate first."""
        limits = self.facts["thresholds"].get(label, {})
        rows = [
            {
                "reason": reason,
                "rate": own[label],
                "first": self.lefts[label].removed.get(reason, [0])[0],
                "expected": self.expected.get(reason, {}).get(label),
                "limit": limits.get(reason),
                "alarm": bool(self.ringing(label, reason)),
            }
            for reason, own in self.rates.items()
            if label in own and own[label].failed
        ]
        rows.sort(key=lambda row: (-row["rate"].share, row["reason"]))
        return rows

    def _axes(self) -> dict[str, list[int]]:
        histograms, thresholds = self.facts["histograms"], self.facts["thresholds"]
        return {
            name: drawing.extent(
                (own[name] for own in histograms.values() if name in own),
                (own[name]["value"] for own in thresholds.values() if name in own),
                is_length=rule["is_length"],
            )
            for name, rule in self.rules.items()
        }

    def histograms_in(self, label: str) -> list[dict[str, Any]]:
        """Return a language's distributions, those of rules that removed most first."""
        own = self.facts["histograms"].get(label, {})
        limits = self.facts["thresholds"].get(label, {})
        failed = self.facts["failed"].get(label, {})
        order = sorted(failed, key=lambda name: (-failed[name], name))
        order += [name for name in FIRST_HISTOGRAMS if name not in order]
        order += [name for name in self.rules if name not in order]
        chosen = [name for name in order if name in own][: self.num_histograms]
        return [
            self._picture(name, own[name], limits.get(name), failed.get(name, 0)) for name in chosen
        ]

    def histograms_of_all(self) -> list[dict[str, Any]]:
        """Return the distributions over all languages."""
        found = []
        for name in self.rules:
            own = [labels[name] for labels in self.facts["histograms"].values() if name in labels]
            failed = sum(labels.get(name, 0) for labels in self.facts["failed"].values())
            if own:
                found.append(self._picture(name, drawing.pooled(own), self._shared(name), failed))
        return found

    def _shared(self, name: str) -> dict[str, Any] | None:
        """Return a rule's limit if all languages have the same."""
        own = [row[name] for row in self.facts["thresholds"].values() if name in row]
        return own[0] if len({limit["value"] for limit in own}) == 1 else None

    def _picture(
        self, name: str, bins: drawing.Bins, limit: Mapping[str, Any] | None, failed: int
    ) -> dict[str, Any]:
        rule, axis = self.rules[name], self.axes[name]
        return {
            "reason": name,
            "sign": "\N{GREATER-THAN OR EQUAL TO}"
            if rule["is_min"]
            else "\N{LESS-THAN OR EQUAL TO}",
            "limit": limit,
            "failed": failed,
            "documents": sum(pair[1] for pair in bins),
            "svg": drawing.histogram(
                bins, axis=axis, limit=limit["value"] if limit else None, rule=rule
            ),
            "edges": [drawing.edge(index, is_length=rule["is_length"]) for index in axis],
        }

    def _copies(self) -> list[tuple[str, int]]:
        """Return how many kept documents had how many copies, in groups that double."""
        counts = {int(k): n for k, n in self.facts["duplicates"]["documents_by_copies"].items()}
        groups = [(1, 1), (2, 2), *COPIES]
        rows = [
            (
                wording.count(low) if low == high else f"{low:,}\N{EN DASH}{high:,}",
                sum(n for copies, n in counts.items() if low <= copies <= high),
            )
            for low, high in groups
            if low <= max(counts, default=0)
        ]
        return rows

    def _quarantined(self) -> list[tuple[str, str, int]]:
        return [
            (corpus, reason, documents)
            for corpus, row in self.facts["ledger"]["corpora"].items()
            for reason, documents in row["quarantined"].items()
        ]

    def _limits(self) -> list[dict[str, Any]]:
        """Return each rule with its limit, or the range of its limits, and who set them."""
        rows = []
        thresholds = self.facts["thresholds"]
        for name, rule in self.rules.items():
            own = {label: row[name] for label, row in thresholds.items() if name in row}
            special = {
                label: limit for label, limit in own.items() if limit["source"] == "rules_by_label"
            }
            values = sorted(own[label]["value"] for label in own if label not in special)
            rows.append(
                {
                    "reason": name,
                    "sign": "at least" if rule["is_min"] else "at most",
                    "values": values,
                    "varies": len({limit["value"] for limit in own.values()}) > 1,
                    "middle": values[len(values) // 2] if values else None,
                    "sources": sorted(
                        {own[label]["source"] for label in own if label not in special}
                    ),
                    "special": special,
                    "off": len(thresholds) - len(own),
                }
            )
        return rows


def _flat(
    values: Mapping[str, Any], model: type[BaseModel], prefix: str = ""
) -> list[tuple[str, str, str]]:
    """Return settings as (dotted key, value, what it is)."""
    rows = []
    for key, value in values.items():
        field = model.model_fields.get(key)
        inner = field.annotation if field else None
        if isinstance(value, Mapping) and isinstance(inner, type) and issubclass(inner, BaseModel):
            rows += _flat(value, inner, f"{prefix}{key}.")
            continue
        shown = _shown(value)
        about = (field.description or "") if field else ""
        rows.append((prefix + key, shown, about.replace("\n", " ").replace("`", "")))
    return rows


def _shown(value: object) -> str:
    """Return a setting's value; of a model's file its name, not where it lies on one machine."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "\N{EN DASH}"
    return str(value).rpartition("/")[2]
