"""Records of one file → examples of one task: tables of one schema, and what was set aside.

Promises: read = kept + quarantined, for every file; a quarantined record has one reason. Text is as
the file has it: answers and words keep their places; the tokenizer's normaliser does its own.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from . import bio, fields, squad
from .fields import Reasons, Task
from .files import Source
from .labels import LABEL, labels_of
from .readers import Records

ANSWERS = pa.list_(pa.struct([("text", pa.string()), ("start", pa.int32())]))
COLUMNS: dict[Task, pa.Schema] = {
    "classify": pa.schema(
        [("text", pa.large_string()), ("pair", pa.large_string()), ("target", pa.string())]
    ),
    "tag": pa.schema([("words", pa.list_(pa.string())), ("tags", pa.list_(pa.string()))]),
    "answer": pa.schema(
        [("context", pa.large_string()), ("question", pa.large_string()), ("answers", ANSWERS)]
    ),
}


def schema(task: Task) -> pa.Schema:
    """Return the columns of a task's tables."""
    return pa.schema([pa.field("id", pa.string()), pa.field("label", LABEL), *COLUMNS[task]])


def _empty(task: Task) -> pa.Table:
    return schema(task).append(pa.field("code", pa.string())).empty_table()


@dataclass
class Examples:
    """What a file gave."""

    source: Source
    table: pa.Table
    """With the columns of `schema`, and `code`: the language as the source writes it."""
    quarantined: Counter[str] = field(default_factory=Counter)
    """By reason."""
    firsts: dict[str, str] = field(default_factory=dict)
    """Reason or warning → the first place it was met."""
    mended: Counter[str] = field(default_factory=Counter)
    """Kept, but changed or doubtful, by what it is."""
    tags: frozenset[str] = frozenset()
    """Of `tag`: BIO tags that were made of others count as what they were made into."""
    scheme: str | None = None


def examples(
    records: Records,
    source: Source,
    *,
    task: Task,
    columns: Mapping[str, str],
    label: str | None,
) -> Examples:
    """Return the examples in records.

    Args:
        records: of one file.
        source: the file.
        task: what they are for.
        columns: field → column, as the user named them.
        label: the language of all of them, as the user named it.

    Raises:
        ConfigError: a column that the user names isn't there.
        DataError: a column is missing, or tags are of an unknown scheme.
    """
    found = Examples(source=source, table=_empty(task))
    for reason, place in sorted(records.broken, key=lambda one: one[1]):
        found.quarantined[reason] += 1
        found.firsts.setdefault(reason, f"{source.short}:{place}")
    if not records.places:
        return found
    chosen = fields.choose(records, task=task, columns=columns)
    reasons: Reasons = {}
    if task == "answer":
        arrays = _answer(records, chosen, reasons, found)
    else:
        arrays = (_classify if task == "classify" else _tag)(records, chosen, reasons)
    for row in sorted(reasons):
        found.quarantined[reasons[row]] += 1
        found.firsts.setdefault(reasons[row], f"{source.short}:{records.places[row]}")
    kept = np.ones(len(records.places), dtype=bool)
    kept[list(reasons)] = False
    rows = np.flatnonzero(kept)
    table = pa.table([column.take(rows) for column in arrays], schema=COLUMNS[task])
    if task == "tag":
        table = _mended(table, records, rows, found)
    codes = _codes(records, chosen, source, label).take(rows)
    texts = next(table[name] for name in ("text", "words", "context") if name in table.column_names)
    labels, unknown = labels_of(codes, texts)
    for one in unknown:
        what = f"language {one.code}"
        found.mended[what] += one.num
        found.firsts[what] = f"{source.short}:{records.places[int(rows[one.first])]}"
    table = table.append_column("id", _ids(table, _column(records, chosen, "id"), rows))
    table = table.append_column("label", labels).append_column("code", codes.cast(pa.string()))
    found.table = table.select([*schema(task).names, "code"])
    assert len(rows) + len(reasons) == len(records.places)
    return found


def _codes(
    records: Records, chosen: Mapping[str, str], source: Source, label: str | None
) -> pa.Array:
    """Return the language of each record, as the user, its column or the file's name says."""
    stated = pa.scalar(label or source.code, pa.large_string())
    written = None if label else _column(records, chosen, "label")
    if written is None:
        return pa.repeat(stated, len(records.places))
    written = pc.if_else(pc.equal(written, ""), None, written)
    return written if source.code is None else pc.fill_null(written, stated)


def _column(records: Records, chosen: Mapping[str, str], field: str) -> pa.Array | None:
    """Return a column that a record may lack or have wrong."""
    if field not in chosen:
        return None
    column = chosen[field]
    return fields.names(
        records.columns[column], classes=records.classes.get(column), reasons={}, empty=None
    )


def _classify(records: Records, chosen: Mapping[str, str], reasons: Reasons) -> list[pa.Array]:
    pair = pa.nulls(len(records.places), pa.large_string())
    if "pair" in chosen:
        pair = fields.texts(records.columns[chosen["pair"]], reasons=reasons)
    text = fields.texts(records.columns[chosen["text"]], reasons=reasons, empty="empty_text")
    target = fields.names(
        records.columns[chosen["target"]],
        classes=records.classes.get(chosen["target"]),
        reasons=reasons,
        empty="no_target",
    )
    return [text, pair, target]


def _tag(records: Records, chosen: Mapping[str, str], reasons: Reasons) -> list[pa.Array]:
    words, tags = (
        fields.lists(
            records.columns[chosen[field]],
            classes=records.classes.get(chosen[field]) if field == "tags" else None,
            reasons=reasons,
            empty=empty,
        )
        for field, empty in (("words", "empty_word"), ("tags", "no_tag"))
    )
    uneven = pc.not_equal(pc.list_value_length(words), pc.list_value_length(tags))
    for row in pc.indices_nonzero(pc.fill_null(uneven, False)).to_pylist():
        reasons.setdefault(row, "lengths_differ")
    return [words, tags]


def _answer(
    records: Records, chosen: Mapping[str, str], reasons: Reasons, found: Examples
) -> list[pa.Array]:
    context = fields.texts(
        records.columns[chosen["context"]], reasons=reasons, empty="empty_context"
    )
    question = fields.texts(
        records.columns[chosen["question"]], reasons=reasons, empty="empty_question"
    )
    values = records.columns[chosen["answers"]]
    values = values.to_pylist() if isinstance(values, pa.Array) else values
    starts = records.columns.get("answer_start", pa.nulls(len(values)))
    starts = starts.to_pylist() if isinstance(starts, pa.Array) else starts
    listed: list[list[squad.Answer]] = []
    for row, (value, one) in enumerate(zip(values, context.to_pylist(), strict=True)):
        listed.append([])
        if row in reasons:
            continue
        if isinstance(value, str):
            value = {"text": value, "answer_start": starts[row]}
        read = squad.answers(value, one)
        if read is None:
            reasons[row] = "wrong_type"
            continue
        listed[-1] = list(read.answers)
        if read.num_absent and not read.answers:
            reasons[row] = "answer_not_in_context"
            continue
        counts = {"moved": read.num_moved, "dropped": read.num_absent, "placed": read.num_placed}
        for what, num in counts.items():
            if num:
                found.mended[what] += num
                found.firsts.setdefault(what, f"{found.source.short}:{records.places[row]}")
    return [context, question, pa.array(listed, ANSWERS)]


def _mended(
    table: pa.Table, records: Records, rows: NDArray[np.int64], found: Examples
) -> pa.Table:
    """Return the table with tags of spans in BIO."""
    tags = table["tags"].combine_chunks()
    distinct = pc.unique(tags.flatten()).to_pylist()

    def place_of(tag: str) -> str:
        sentence = next(row for row, own in enumerate(tags.to_pylist()) if tag in own)
        return f"{records.file}:{records.places[int(rows[sentence])]}"

    if distinct and bio.is_spans(distinct, place_of=place_of):
        mended = bio.mend(tags)
        found.scheme = "BIO"
        if mended.first:
            what = "broken" if mended.was != "IOB1" else "iob1"
            found.mended[what] += mended.num_broken
            sentence, word = mended.first
            found.firsts[what] = (
                f"{found.source.short}:{records.places[int(rows[sentence])]}, word {word + 1}"
            )
        if mended.was == "BIOES":
            found.mended["bioes"] += len(mended.tags)
        tags = mended.tags
        table = table.set_column(1, "tags", tags)
        distinct = pc.unique(tags.flatten()).to_pylist()
    found.tags = frozenset(distinct)
    return table


def _ids(table: pa.Table, own: pa.Array | None, rows: NDArray[np.int64]) -> pa.Array:
    """Return ids as records have them, or of what an example holds where they have none."""
    own = pa.nulls(len(rows), pa.large_string()) if own is None else own.take(rows)
    own = pc.if_else(pc.equal(own, ""), None, own).cast(pa.string())
    if not own.null_count:
        return own
    columns = []
    for name in table.column_names:
        if name not in ("target", "tags", "answers"):
            column = table[name]
            if pa.types.is_list(column.type):
                column = pc.binary_join(column, " ")
            columns.append(pc.fill_null(column.cast(pa.large_string()), ""))
    held = pc.binary_join_element_wise(*columns, pa.scalar("\0", pa.large_string())).to_pylist()
    digests = [hashlib.blake2b(one.encode(), digest_size=8).hexdigest() for one in held]
    return pc.coalesce(own, pa.array(digests, pa.string()))
