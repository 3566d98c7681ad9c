"""What is left of each language, and where a rule treats one language unlike the others.

The alarm is the point of the report: thresholds that fit English remove other languages in bulk,
and totals never show it. It compares, for each reason, a language's removal rate with what the
median language loses in the same corpora, and rings when the rate is far above that and no accident
of few documents. Corpora are kept apart because a corpus of snippets in forty languages would else
make forty alarms beside a corpus of law in five hundred.

Pure functions of the facts that `summary` collects.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from statistics import median
from typing import Any

from .config import Rules
from .records import DUPLICATES

Facts = Mapping[str, Any]
RULE_NAMES = frozenset(Rules.model_fields)

ALARM_DOCUMENTS = 20
"""A language with fewer documents neither rings nor counts for the median."""
ALARM_LANGUAGES = 5
"""With fewer languages there is no median worth the name."""
ALARM_FACTOR = 3.0
ALARM_POINTS = 0.05
NO_LANGUAGE = ("und_", "zxx_")  # labels that begin so are nobody's language: no alarm for them
_Z = 1.96  # two-sided 95 %


@dataclass(slots=True)
class Left:
    """Where the documents of one language, or one corpus, or all, went: [documents, bytes]."""

    measured: list[int] = field(default_factory=lambda: [0, 0])
    kept: list[int] = field(default_factory=lambda: [0, 0])
    removed: dict[str, list[int]] = field(default_factory=dict)
    """By reason, each document under the first that it met."""

    def add(self, counts: Mapping[str, Iterable[int]]) -> None:
        """Add the counts of one corpus and label, as `flow` has them."""
        for reason, pair in counts.items():
            if reason == "measured":
                own = self.measured
            elif reason == "kept":
                own = self.kept
            else:
                own = self.removed.setdefault(reason, [0, 0])
            own[:] = [have + more for have, more in zip(own, pair, strict=True)]

    def _sum(self, *, duplicates: bool) -> tuple[int, int]:
        chosen = [
            pair for reason, pair in self.removed.items() if (reason in DUPLICATES) == duplicates
        ]
        return sum(pair[0] for pair in chosen), sum(pair[1] for pair in chosen)

    @property
    def by_rules(self) -> tuple[int, int]:
        """Documents and bytes that fell to a rule."""
        return self._sum(duplicates=False)

    @property
    def as_duplicates(self) -> tuple[int, int]:
        """Documents and bytes that were there already."""
        return self._sum(duplicates=True)

    def top_reasons(self, limit: int) -> list[tuple[str, list[int]]]:
        """Return the reasons that removed most documents, most first."""
        ordered = sorted(self.removed.items(), key=lambda item: (-item[1][0], item[0]))
        return ordered[:limit]


def everything(facts: Facts) -> Left:
    """Return where all readable documents went."""
    left = Left()
    for by_label in facts["flow"].values():
        for counts in by_label.values():
            left.add(counts)
    return left


def by_corpus(facts: Facts) -> dict[str, Left]:
    """Return where the readable documents of each corpus went."""
    found: dict[str, Left] = {}
    for corpus in facts["ledger"]["corpora"]:
        left = found[corpus] = Left()
        for counts in facts["flow"].get(corpus, {}).values():
            left.add(counts)
    return found


def by_label(facts: Facts) -> dict[str, Left]:
    """Return where the documents of each language went, worst kept first.

    Languages below ALARM_DOCUMENTS come last: one short document removed is not a language lost.
    """
    found: dict[str, Left] = {}
    for labels in facts["flow"].values():
        for label, counts in labels.items():
            found.setdefault(label, Left()).add(counts)

    def badness(item: tuple[str, Left]) -> tuple[bool, float, int, str]:
        label, left = item
        documents = left.measured[0]
        return is_small(left), left.kept[0] / max(documents, 1), -documents, label

    return dict(sorted(found.items(), key=badness))


def is_small(left: Left) -> bool:
    """Tell whether a language has too few documents for its shares to mean much."""
    return left.measured[0] < ALARM_DOCUMENTS


@dataclass(frozen=True, slots=True)
class Rate:
    """How many of a language's documents a reason applies to, whether or not it came first."""

    failed: int
    tested: int

    @property
    def share(self) -> float:
        """The removal rate, 0 to 1."""
        return self.failed / self.tested if self.tested else 0.0


Rates = dict[str, dict[str, Rate]]
"""reason -> label -> rate, where the reason can apply to the language at all."""


def _rates_of(
    left: Left, reasons: Iterable[str], *, failed: Mapping[str, int], applies: Iterable[str]
) -> Iterator[tuple[str, Rate]]:
    """Yield the rate of each reason that can apply, of one language (in one corpus, or in all)."""
    measured, passed = left.measured[0], left.measured[0] - left.by_rules[0]
    for reason in reasons:
        removed = left.removed.get(reason, [0])[0]
        if reason in DUPLICATES:
            yield reason, Rate(removed, passed)
        elif reason in failed or reason in applies:
            yield reason, Rate(failed.get(reason, 0), measured)
        elif removed or reason == "empty":
            yield reason, Rate(removed, measured)


def rates(facts: Facts, lefts: Mapping[str, Left]) -> Rates:
    """Return the removal rate of every reason in every language.

    A rule is counted for each document that fails it, so that no rule hides behind another; its
    rate is of all the language's documents. Duplicates are of the documents that passed the rules.
    A language that a rule does not apply to (words in Thai) is left out.
    """
    found: Rates = {}
    for label, left in lefts.items():
        failed, applies = facts["failed"].get(label, {}), facts["histograms"].get(label, {})
        for reason, rate in _rates_of(left, facts["reasons"], failed=failed, applies=applies):
            found.setdefault(reason, {})[label] = rate
    return found


def _median(own: Mapping[str, Rate]) -> float | None:
    """Return the median rate of languages with enough documents, None with too few of them."""
    shares = [
        rate.share
        for label, rate in own.items()
        if rate.tested >= ALARM_DOCUMENTS and not label.startswith(NO_LANGUAGE)
    ]
    return median(shares) if len(shares) >= ALARM_LANGUAGES else None


def medians(found: Rates) -> dict[str, float]:
    """Return each reason's median removal rate; reasons with too few languages are left out."""
    middles = {reason: _median(own) for reason, own in found.items()}
    return {reason: middle for reason, middle in middles.items() if middle is not None}


def expected(facts: Facts, found: Rates) -> dict[str, dict[str, float]]:
    """Return, by reason and label, what a language would lose as the median one of its corpora.

    The mean of the corpora's median rates, weighted by the language's documents in them; a corpus
    with too few languages counts with the median over all corpora. Reasons without that median are
    left out. Rules are told apart by corpus where the facts have `failed_by_corpus`.
    """
    overall = medians(found)
    sums: dict[str, dict[str, list[float]]] = {}
    for corpus, labels in facts["flow"].items():
        own: Rates = {}
        for label, counts in labels.items():
            left = Left()
            left.add(counts)
            failed = facts.get("failed_by_corpus", {}).get(corpus, {}).get(label, {})
            applies = facts["histograms"].get(label, {})
            for reason, rate in _rates_of(left, overall, failed=failed, applies=applies):
                own.setdefault(reason, {})[label] = rate
        for reason, by_label_ in own.items():
            middle = None
            if "failed_by_corpus" in facts or reason not in RULE_NAMES:
                middle = _median(by_label_)
            middle = overall[reason] if middle is None else middle
            for label, rate in by_label_.items():
                total = sums.setdefault(reason, {}).setdefault(label, [0.0, 0.0])
                total[0] += rate.tested * middle
                total[1] += rate.tested
    return {
        reason: {
            label: total / tested if tested else overall[reason]
            for label, (total, tested) in own_sums.items()
        }
        for reason, own_sums in sums.items()
    }


@dataclass(frozen=True, slots=True)
class Alarm:
    """A reason that removes far more of one language than of others in the same corpora."""

    label: str
    reason: str
    rate: Rate
    expected: float
    """What the median language of its corpora loses, 0 to 1."""


def lower_bound(rate: Rate) -> float:
    """Return the lower end of the rate's 95 % interval (Wilson, 1927)."""
    if rate.tested == 0:
        return 0.0
    n, p = rate.tested, rate.share
    spread = _Z * math.sqrt(p * (1 - p) / n + _Z * _Z / (4 * n * n))
    return max(0.0, (p + _Z * _Z / (2 * n) - spread) / (1 + _Z * _Z / n))


def alarms(found: Rates, others: Mapping[str, Mapping[str, float]]) -> list[Alarm]:
    """Return the alarms, the highest excess first, given `rates` and what is `expected`.

    One rings where the lower end of the rate's 95 % interval is above ALARM_FACTOR times the
    expected rate and above it by ALARM_POINTS, in a language of ALARM_DOCUMENTS or more.
    """
    ringing = []
    for reason, expectations in others.items():
        for label, rate in found[reason].items():
            if rate.tested < ALARM_DOCUMENTS or label.startswith(NO_LANGUAGE):
                continue
            other = expectations[label]
            if lower_bound(rate) > max(ALARM_FACTOR * other, other + ALARM_POINTS):
                ringing.append(Alarm(label, reason, rate, other))
    return sorted(ringing, key=lambda a: (a.expected - a.rate.share, a.reason, a.label))


@dataclass(frozen=True, slots=True)
class Step:
    """A bar of the waterfall: what leaves at this step, and what is left after it."""

    kind: str
    """`read`, `quarantined`, `rules`, `duplicates` or `kept`."""
    reason: str | None
    """One reason of the kind above it; None for the whole kind."""
    num_reasons: int
    """1, or how many small ones this step stands for."""
    documents: int
    num_bytes: int
    documents_left: int
    bytes_left: int


def waterfall(facts: Facts, total: Left, *, num_rules: int) -> list[Step]:
    """Return the steps from all documents to those kept.

    The steps of single reasons follow the step of their kind and add up to it; rules after the
    first `num_rules` share one.
    """
    ledger = facts["ledger"]
    documents, num_bytes = ledger["read"], total.measured[1]
    steps = [Step("read", None, 1, documents, num_bytes, 0, 0)]
    unreadable = sum(ledger["quarantined"].values())
    documents -= unreadable
    steps.append(Step("quarantined", None, 1, unreadable, 0, documents, num_bytes))
    for kind, whole in (("rules", total.by_rules), ("duplicates", total.as_duplicates)):
        steps.append(Step(kind, None, 1, *whole, documents - whole[0], num_bytes - whole[1]))
        chosen = [
            (reason, pair)
            for reason, pair in total.top_reasons(len(total.removed))
            if (reason in DUPLICATES) == (kind == "duplicates")
        ]
        # One row that says "1 other rule" would be no shorter than the rule.
        num_shown = len(chosen) if len(chosen) <= num_rules + 1 else num_rules
        groups: list[tuple[str, list[list[int]]]] = [
            (reason, [pair]) for reason, pair in chosen[:num_shown]
        ]
        if chosen[num_shown:]:
            groups.append(("", [pair for _, pair in chosen[num_shown:]]))
        for reason, pairs in groups:
            own = [sum(pair[i] for pair in pairs) for i in (0, 1)]
            documents -= own[0]
            num_bytes -= own[1]
            steps.append(Step(kind, reason, len(pairs), own[0], own[1], documents, num_bytes))
    steps.append(Step("kept", None, 1, total.kept[0], total.kept[1], 0, 0))
    return steps
