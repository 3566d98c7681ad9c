"""Which column is which, and its values as Arrow arrays, with a reason for each that won't do.

Columns are known by the names that data sets use; `--text-column` and its kin name others. Numbers
are names of targets as good as words are, and become their text.

Promises: every record either has all values it needs, of the right type, or one reason why not.
Does not promise: to tell a column of languages called `label` from one of targets where both would
be possible; a column `lang` settles it.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Literal, TypeAlias

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.config_errors import did_you_mean
from pipelines.errors import ConfigError, DataError
from pipelines.languages import parse_label

from .files import BAD
from .readers import Records

Task = Literal["classify", "tag", "answer"]
NEEDED: dict[Task, tuple[str, ...]] = {
    "classify": ("text", "target"),
    "tag": ("words", "tags"),
    "answer": ("context", "question", "answers"),
}
ALIASES: dict[str, tuple[str, ...]] = {
    "text": (
        "text", "sentence", "sentence1", "text1", "premise", "tweet", "content", "review",
        "document", "headline", "utterance",
    ),
    "pair": ("pair", "text_pair", "sentence2", "text2", "hypothesis"),
    "target": (
        "target", "label", "class", "category", "topic", "sentiment", "intent", "gold_label",
        "labels",
    ),
    "words": ("words", "tokens", "word", "token"),
    "tags": ("tags", "ner_tags", "upos", "pos_tags", "upos_tags", "xpos", "labels"),
    "context": ("context", "passage", "paragraph", "document"),
    "question": ("question", "query"),
    "answers": ("answers", "answer"),
    "id": ("id", "idx", "guid", "uid", "sent_id"),
    "label": ("lang", "language", "locale", "lang_code", "language_code"),
}  # fmt: skip
"""Names by which each field is known, in lower case, the surest first."""
KNOWN = frozenset(name for names in ALIASES.values() for name in names)
Values: TypeAlias = "Sequence[Any] | pa.Array"
Reasons = dict[int, str]
"""Row → why it won't do."""


def task_of(records: Records) -> Task | None:
    """Return the task that records are of, by their columns; None where they tell nothing."""
    for task in ("answer", "tag", "classify"):
        if all(_found(records.columns, field) for field in NEEDED[task][:2]):
            return task
    return "classify" if records.headless else None


def choose(records: Records, *, task: Task, columns: Mapping[str, str]) -> dict[str, str]:
    """Return the column of each field that is there.

    Args:
        records: of one file.
        task: what they are for.
        columns: field → column, as the user named them.

    Raises:
        ConfigError: the user names a field or a column that doesn't exist.
        DataError: a column is missing.
    """
    names = list(records.columns)
    fields = (*NEEDED[task], "id", "label", *(("pair",) if task == "classify" else ()))
    found: dict[str, str] = {}
    for field, column in columns.items():
        if field not in ALIASES:
            raise ConfigError(
                f"columns: there is no field {field!r}.\n  {did_you_mean(field, list(ALIASES))}"
            )
        if column in names:
            found[field] = column
        elif field not in records.settled:
            raise ConfigError(
                f"{records.file}: has no column {column!r}.\n  {did_you_mean(column, names)}"
            )
    for field in fields:
        free = {name: None for name in names if name not in found.values()}
        if field not in found and (name := _found(free, field)):
            found[field] = name
    _language_is_label(records, found, given="target" in columns)
    if records.headless and not set(NEEDED[task]) <= set(found):
        found |= _headless(records)
    for field in NEEDED[task]:
        if field not in found:
            rest = [name for name in names if name not in found.values()]
            raise DataError(
                f"{records.file}: has no column for `{field}`; it has: "
                f"{', '.join(names) or 'none'}.\n  {_near(field, rest)}"
                f"Name the column with --{field}-column, or call it "
                f"{' or '.join(f'`{name}`' for name in ALIASES[field][:3])}."
            )
    return found


def _near(field: str, free: Sequence[str]) -> str:
    """Return a question whether a column is the field, misspelt."""
    for name in free:
        if difflib.get_close_matches(name.strip().lower(), ALIASES[field], n=1, cutoff=0.7):
            return f"Is `{name}` meant? "
    return ""


def _language_is_label(records: Records, found: dict[str, str], *, given: bool) -> None:
    """Settle what a column `label` is: languages, where its values are and targets are elsewhere.

    Args:
        records: of one file.
        found: field → column; changed.
        given: whether the user named the column of targets.
    """
    name = next((one for one in records.columns if one.strip().lower() == "label"), None)
    if name is None or "label" in found:
        return
    others = {one: None for one in records.columns if one != name}
    if found.get("target") == name and (given or not _found(others, "target")):
        return
    if name in found.values() and found.get("target") != name:
        return
    if _are_labels(records.columns[name]):
        found["label"] = name
        if "target" in found:
            other = found["target"] if found["target"] != name else _found(others, "target")
            assert other is not None
            found["target"] = other


def _found(columns: Mapping[str, Any], field: str) -> str | None:
    lower = {name.strip().lower(): name for name in reversed(list(columns))}
    return next((lower[alias] for alias in ALIASES[field] if alias in lower), None)


def _are_labels(values: Values) -> bool:
    distinct = set(values.to_pylist() if isinstance(values, pa.Array) else values) - {None, ""}
    return bool(distinct) and all(isinstance(one, str) and parse_label(one) for one in distinct)


def _headless(records: Records) -> dict[str, str]:
    """Return which of two columns has the targets: the one with fewer different values.

    Raises:
        DataError: the first line looks like a header after all.
    """
    first, second = (_listed(column) for column in records.columns.values())
    target = "1" if len(set(first)) < len(set(second)) else "2"
    values = first if target == "1" else second
    if len(values) > 2 and values.count(values[0]) == 1:
        raise DataError(
            f"{records.file}:{records.places[0]}: the first line is a header of other names, or "
            f"the only example of {values[0]!r}; it has: {first[0][:60]}, {second[0][:60]}.\n"
            "  Call the columns `text` and `target`, or name them with --text-column and "
            "--target-column."
        )
    return {"text": "2" if target == "1" else "1", "target": target}


def texts(values: Values, *, reasons: Reasons, empty: str | None = None) -> pa.Array:
    """Return texts as large_string; reasons for those of another type, or empty ones.

    Args:
        values: of a column.
        reasons: grows by what won't do.
        empty: the reason for an empty or absent text; None where it may be so.
    """
    found = _as_strings(values)
    if found is None:
        found = pa.array(
            [_text(value, row, reasons) for row, value in enumerate(_listed(values))],
            pa.large_string(),
        )
    _mark(pc.match_substring(found, BAD), "invalid_utf8", reasons)
    if empty:
        blank = pc.equal(pc.utf8_trim_whitespace(found), "")
        _mark(pc.fill_null(blank, True), empty, reasons)
    return found


def names(
    values: Values, *, classes: Sequence[str] | None, reasons: Reasons, empty: str | None
) -> pa.Array:
    """Return targets, ids or languages: short texts, or numbers and truth values as text.

    Args:
        values: of a column.
        classes: names of numbers, where the file has them.
        reasons: grows by what won't do.
        empty: the reason for an absent one; None where it may be so.
    """
    found = _as_strings(values)
    if found is None:
        found = pa.array(
            [
                value if value is None else _text(_named(value, classes), row, reasons)
                for row, value in enumerate(_listed(values))
            ],
            pa.large_string(),
        )
    found = pc.utf8_trim_whitespace(found)
    _mark(pc.match_substring(found, BAD), "invalid_utf8", reasons)
    if empty:
        _mark(pc.fill_null(pc.equal(found, ""), True), empty, reasons)
    return found


def lists(
    values: Values, *, classes: Sequence[str] | None, reasons: Reasons, empty: str
) -> pa.Array:
    """Return words or tags as list<string>, with reasons for what is no list of them."""
    found: pa.Array | None = None
    if isinstance(values, pa.Array):
        if _is_list(values.type) and _is_string(values.type.value_type):
            found = values.cast(pa.list_(pa.string()))
    elif all(isinstance(one, list) for one in values):  # Arrow makes a list of a text's letters
        with suppress(pa.ArrowException, UnicodeError, TypeError):
            found = pa.array(values, pa.list_(pa.string()))
    if found is None:
        found = pa.array(
            [_words(value, row, classes, reasons) for row, value in enumerate(_listed(values))],
            pa.list_(pa.string()),
        )
    _mark(pc.fill_null(pc.equal(pc.list_value_length(found), 0), True), empty, reasons)
    rows, flat = pc.list_parent_indices(found), pc.list_flatten(found)
    blank = pc.fill_null(pc.equal(pc.utf8_trim_whitespace(flat), ""), True)
    for row in pc.unique(rows.filter(blank)).to_pylist():
        reasons.setdefault(row, empty)
    bad = pc.fill_null(pc.match_substring(flat, BAD), False)
    for row in pc.unique(rows.filter(bad)).to_pylist():
        reasons[row] = "invalid_utf8"
    return found


def _mark(wrong: pa.Array, reason: str, reasons: Reasons) -> None:
    for row in pc.indices_nonzero(pc.fill_null(wrong, False)).to_pylist():
        reasons.setdefault(row, reason)


def _listed(values: Values) -> Sequence[Any]:
    listed: Sequence[Any] = values.to_pylist() if isinstance(values, pa.Array) else values
    return listed


def _as_strings(values: Values) -> pa.Array | None:
    """Return the column if all of it is text, without a look at each value."""
    if isinstance(values, pa.Array):
        kind = values.type
        if pa.types.is_dictionary(kind) and _is_string(kind.value_type):
            values, kind = values.dictionary_decode(), kind.value_type
        return values.cast(pa.large_string()) if _is_string(kind) else None
    try:
        return pa.array(values, pa.large_string())
    except (pa.ArrowException, UnicodeError, TypeError):
        return None


def _is_string(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _text(value: object, row: int, reasons: Reasons) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        reasons[row] = "wrong_type"
        return None
    try:
        value.encode()
    except UnicodeEncodeError:  # a lone surrogate, which JSON can write
        reasons[row] = "invalid_utf8"
        return None
    return value


def _named(value: object, classes: Sequence[str] | None) -> object:
    """Return a number or a truth value as text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, int):
        return classes[value] if classes and 0 <= value < len(classes) else str(value)
    return value


def _words(
    value: object, row: int, classes: Sequence[str] | None, reasons: Reasons
) -> list[str | None] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        reasons[row] = "wrong_type"
        return None
    return [_text(_named(one, classes), row, reasons) for one in value]
