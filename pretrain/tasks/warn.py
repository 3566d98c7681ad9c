"""What a user should know of the data before believing the scores: counted, in words.

Promises: every number is of what was read; no warning without one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from .examples import Examples
from .fields import Task
from .labels import UNKNOWN

_OVERLAP = 0.01
"""Of a split: a share of examples that training has, from which on it is said."""
_MENDED = {
    "broken": "tags I- that can continue nothing, read as the beginning of a span",
    "iob1": "tags I- that begin a span, as in IOB1, read as B-",
    "bioes": "sentences in BIOES or BILOU, made BIO",
    "moved": "answers that were not at their offset, found at the nearest place",
    "placed": "answers without an offset, taken at the first place that has their text",
    "dropped": "answers left out that are not in their context; their questions have others",
}


def warnings(
    read: Sequence[Examples],
    tables: Mapping[str, pa.Table],
    *,
    task: Task,
    targets: Sequence[str],
    undivided: Sequence[str],
    tuned: Sequence[str] | None,
) -> Iterator[str]:
    """Yield what is worth a warning.

    Args:
        read: what each file gave.
        tables: the splits.
        task: of the data.
        targets: what is told apart.
        undivided: splits that no file gives.
        tuned: targets of a model that is judged; None where one is tuned.
    """
    firsts = {what: place for one in reversed(read) for what, place in one.firsts.items()}
    quarantined = sum((one.quarantined for one in read), Counter[str]())
    for reason, num in quarantined.most_common():
        yield f"quarantined as {reason}: {num:,}; the first: {firsts[reason]}"
    mended = sum((one.mended for one in read), Counter[str]())
    for what, num in mended.most_common():
        place = f"; the first: {firsts[what]}" if what in firsts else ""
        if what.startswith("language "):
            code = what.partition(" ")[2]
            yield f"examples whose language is {code!r}, which is none: {num:,}{place}"
        else:
            yield f"{_MENDED[what]}: {num:,}{place}"
    if undivided and tuned is None:
        sizes = " and ".join(f"{len(tables[split]):,} ({split})" for split in undivided)
        yield f"no file is named {' or '.join(undivided)}: {sizes} of the examples were set aside"
    yield from _languages(read, tables)
    yield from _unseen(tables, task, targets, tuned=tuned is not None)
    yield from _overlaps(tables, task)
    if task == "classify":
        yield from _confusing(targets)
    yield from _strangers(read, task)


def _languages(read: Sequence[Examples], tables: Mapping[str, pa.Table]) -> Iterator[str]:
    """Yield how many examples have no language, and which languages will not be judged."""
    counts = {split: _by_label(table) for split, table in tables.items()}
    stated = any(what.startswith("language ") for one in read for what in one.mended)
    unknown = sum(own.get(UNKNOWN, 0) for own in counts.values())
    if unknown and not stated:
        yield f"examples without a language, judged together as {UNKNOWN!r}: {unknown:,}"
    absent = {label: num for label, num in counts["train"].items() if label not in counts["test"]}
    if absent and counts["test"]:
        listed = ", ".join(f"{label} ({num:,})" for label, num in sorted(absent.items())[:10])
        yield f"languages of training without a test example, which nothing judges: {listed}"


def _by_label(table: pa.Table) -> dict[str, int]:
    counted = pc.value_counts(table["label"].cast(pa.string()))
    return {one["values"]: one["counts"] for one in counted.to_pylist()}


def _unseen(
    tables: Mapping[str, pa.Table], task: Task, targets: Sequence[str], *, tuned: bool
) -> Iterator[str]:
    """Yield the targets that can only be wrong."""
    if task == "answer":
        return
    for split in ("test",) if tuned else ("dev", "test"):
        column = tables[split]["target" if task == "classify" else "tags"]
        values = column if task == "classify" else pc.list_flatten(column)
        unseen = pc.filter(values, pc.invert(pc.is_in(values, pa.array(targets, values.type))))
        if len(unseen):
            counts = Counter(unseen.to_pylist())
            listed = ", ".join(f"{name} ({num:,})" for name, num in counts.most_common(5))
            what = "targets" if task == "classify" else "tags"
            whose = "the model doesn't know" if tuned else "training doesn't have"
            yield (
                f"{split}: {what} that {whose}, so that they can only be wrong: "
                f"{len(unseen):,} of {len(values):,}, {listed}"
            )


def _overlaps(tables: Mapping[str, pa.Table], task: Task) -> Iterator[str]:
    """Yield how many examples of dev and test the training has as well."""
    train = _texts(tables["train"], task)
    for split in ("dev", "test"):
        own = _texts(tables[split], task)
        num = pc.sum(pc.is_in(own, train)).as_py() or 0
        if num > _OVERLAP * len(own):
            yield (
                f"{split}: examples that training has as well, so that scores measure memory: "
                f"{num:,} of {len(own):,}"
            )


def _texts(table: pa.Table, task: Task) -> pa.ChunkedArray:
    if task == "tag":
        return pc.binary_join(table["words"], " ")
    names = ("text", "pair") if task == "classify" else ("context", "question")
    parts = [pc.fill_null(table[name], "") for name in names]
    return pc.binary_join_element_wise(*parts, pa.scalar("\0", pa.large_string()))


def _confusing(targets: Sequence[str]) -> Iterator[str]:
    """Yield targets that differ by case alone."""
    alike: dict[str, list[str]] = {}
    for one in targets:
        alike.setdefault(one.casefold(), []).append(one)
    for names in alike.values():
        if len(names) > 1:
            yield f"{len(names)} targets differ by case alone: {', '.join(map(repr, names))}"


def _strangers(read: Sequence[Examples], task: Task) -> Iterator[str]:
    """Yield pairs of files that have no target in common: two data sets, most likely."""
    seen: list[tuple[str, frozenset[str]]] = []
    for one in read:
        own = (
            frozenset(pc.unique(one.table["target"]).to_pylist())
            if task == "classify"
            else one.tags - {"O"}
        )
        if len(own) > 1:
            seen.append((one.source.path.name, own))
    for name, own in seen[1:]:
        if not own & seen[0][1]:
            yield (
                f"none of the {len(own)} targets of {name} is in {seen[0][0]}: "
                "are these two data sets?"
            )
            return
