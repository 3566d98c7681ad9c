"""The data of a task: files of any usual format → Arrow tables of train, dev and test.

    data = open_task(["data/sib200"], task="classify")
    data.train.column_names      # id, label, text, pair, target

Promises: read = kept + quarantined, for every split; nothing is changed or doubted in silence: what
was mended, and what the scores will suffer from, is among the warnings with its number and its
first place. The same files give the same tables, whatever machine or order of folders.
Does not promise: data larger than memory; ids that differ from each other.

A split that no file gives is a tenth of the training examples: see `divide`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from pipelines.errors import ConfigError, DataError
from pipelines.languages import parse_label, suggest

from . import conll, fields, readers, squad
from .divide import drawn
from .examples import Examples, examples, schema
from .fields import Task, task_of
from .files import ARROW, CONLL, SPLITS, Source, decode, format_of, name_of, read_bytes, sources
from .readers import Records
from .warn import warnings

__all__ = ["SPLITS", "Task", "TaskData", "open_task"]

_MANY = 100
"""More targets than this, and more than half as many as examples, are no targets."""


@dataclass(frozen=True)
class TaskData:
    """Examples of a task, whole and checked."""

    task: Task
    name: str
    """Of the folder or the files, for reports."""
    train: pa.Table
    dev: pa.Table
    test: pa.Table
    """All three have `id`, `label` (a dictionary: the language, "und" if unknown), and: classify:
    `text`, `pair` (null: there is none), `target`; tag: `words`, `tags`; answer: `context`,
    `question`, `answers` of `text` and `start` in code points, none where there is no answer. Each
    may have no rows."""
    targets: tuple[str, ...]
    """classify: what is told apart, sorted; tag: tags, "O" first; answer: none."""
    scheme: Literal["BIO"] | None
    """tag: None for plain tags, such as parts of speech."""
    counts: Mapping[str, Mapping[str, int]]
    """Split → `read`, `kept`, `quarantined`, and the quarantined by reason."""
    warnings: tuple[str, ...]
    files: tuple[tuple[str, str], ...]
    """Name and SHA-256 of each."""


@dataclass
class _Part:
    """What belongs to one split."""

    tables: list[pa.Table] = field(default_factory=list)
    quarantined: Counter[str] = field(default_factory=Counter)


def open_task(
    paths: str | Path | Sequence[str | Path],
    *,
    task: Task | None = None,
    label: str | None = None,
    columns: Mapping[str, str] | None = None,
    dev: str | Path | None = None,
    test: str | Path | None = None,
    seed: int = 0,
    targets: Sequence[str] | None = None,
) -> TaskData:
    """Read the data of a task.

    Args:
        paths: files, folders, or what the names of the files of all splits begin with.
        task: found out by the columns when left out.
        label: the language of all examples; else that of a column `lang`, or of the file's name.
        columns: field → column: `text`, `pair`, `target`, `label` (the language), `id`, `words`,
            `tags`, `context`, `question`, `answers`. In CoNLL, numbers from 1.
        dev: file or folder of the development split, whatever its name.
        test: the same of the test split.
        seed: of the examples that become a split which no file gives.
        targets: those of a model that was tuned (of `answer`: none), where it is judged and
            nothing is trained; training examples may then be absent.

    Raises:
        ConfigError: a column, field or language that isn't one.
        DataError: files are missing, empty, of another encoding or format; a column is missing;
            nothing is left to train on, or one target only.
        EnvironmentProblem: a file can't be read.
    """
    if label is not None and parse_label(label) is None:
        raise ConfigError(f"label: {label!r} is no language label.\n  {suggest(label)}")
    paths = [paths] if isinstance(paths, str | Path) else list(paths)
    if not paths:
        raise ConfigError("data: none is named.\n  Name files, a folder, or how the files begin.")
    columns = columns or {}
    given = {name: path for name, path in (("dev", dev), ("test", test)) if path is not None}
    apart = [one for split, path in given.items() for one in sources([path], split=split)]
    taken = {one.path.resolve() for one in apart}
    found = [
        one for one in sources(paths) if one.split not in given and one.path.resolve() not in taken
    ] + apart
    read: list[Examples] = []
    files: list[tuple[str, str]] = []
    for source in found:
        data, sha256 = read_bytes(source)
        records = _records(data, source, task=task, columns=columns)
        task = task or task_of(records)
        if task is None:
            if records.broken:
                reason, line = records.broken[0]
                raise DataError(
                    f"{source.shown}:{line}: {reason}, and no record tells what task it is of.\n"
                    "  Mend the file, or say which task it is."
                )
            raise DataError(
                f"{source.shown}: its columns are those of no task: "
                f"{', '.join(map(str, records.columns))}.\n"
                "  Say which task it is, and name the columns: `text` and `target`, `words` and "
                "`tags`, or `context`, `question` and `answers`."
            )
        files.append((_short(source, found), sha256))
        read.append(examples(records, source, task=task, columns=columns, label=label))
    assert task is not None
    parts, undivided = _parts(read, seed=seed)
    tables = {split: _joined(part.tables, task) for split, part in parts.items()}
    if targets is None and not len(tables["train"]):
        _no_training(read, tables)
    if not any(len(table) for table in tables.values()):
        _no_training(read, tables)
    known = tuple(targets) if targets is not None else _targets(tables["train"], task, found)
    return TaskData(
        task=task,
        name=name_of(paths, found),
        **tables,
        targets=known,
        scheme=_scheme(read),
        counts={split: _counts(parts[split], len(tables[split])) for split in SPLITS},
        warnings=tuple(
            warnings(read, tables, task=task, targets=known, undivided=undivided, tuned=targets)
        ),
        files=tuple(sorted(files)),
    )


def _records(
    data: bytes, source: Source, *, task: Task | None, columns: Mapping[str, str]
) -> Records:
    """Read a file by its kind."""
    kind = format_of(source)
    if kind in ARROW:
        return readers.arrow(data, source, kind=kind)
    if kind in CONLL:
        return conll.read(data, source, columns=columns)
    if kind in (".tsv", ".csv", ".txt"):
        sentences = task == "tag" or (
            task is None and conll.looks_like_conll(decode(data, shown=source.shown))
        )
        if sentences:
            return conll.read(data, source, columns=columns)
        named = frozenset(name.lower() for name in columns.values())
        numbered = bool(named) and all(name.isdecimal() for name in named)
        return readers.delimited(data, source, known=fields.KNOWN | named, numbered=numbered)
    whole = readers.json_records(data, source)
    return whole if isinstance(whole, Records) else squad.read(whole, source)


def _short(source: Source, found: Sequence[Source]) -> str:
    """Return the name of a file, with its folder where several files have that name."""
    path = source.path.resolve()
    alone = sum(one.path.name == path.name for one in found) == 1
    return path.name if alone else f"{path.parent.name}/{path.name}"


def _parts(read: Sequence[Examples], *, seed: int) -> tuple[dict[str, _Part], list[str]]:
    """Put each file's examples where they belong, and fill the splits that no file gives.

    Returns:
        The splits, and the names of those that were filled.
    """
    parts = {split: _Part() for split in SPLITS}
    divided: list[pa.Table] = []
    for one in read:
        part = parts[one.source.split or "train"]
        part.quarantined.update(one.quarantined)
        if (one.source.split or "train") == "train":
            divided.append(one.table)
        else:
            part.tables.append(one.table)
    named = {one.source.split for one in read}
    missing = [split for split in ("dev", "test") if split not in named]
    if divided and missing:
        table = pa.concat_tables(divided).unify_dictionaries()
        split_of_row = drawn(table, len(missing), seed=seed)
        for number, split in enumerate(("train", *missing)):
            parts[split].tables.append(table.filter(pa.array(split_of_row == number)))
        return parts, missing
    parts["train"].tables += divided
    return parts, []


def _joined(tables: Sequence[pa.Table], task: Task) -> pa.Table:
    if not tables:
        return schema(task).empty_table()
    joined = pa.concat_tables(tables).drop_columns("code").unify_dictionaries()
    return joined.combine_chunks()


def _scheme(read: Sequence[Examples]) -> Literal["BIO"] | None:
    """Return the scheme of all tags.

    Raises:
        DataError: some files tag spans, others words.
    """
    spans = [one for one in read if one.scheme]
    words = [one for one in read if one.tags and not one.scheme]
    if spans and words:
        raise DataError(
            f"{words[0].source.shown}: has tags of words, such as {sorted(words[0].tags)[0]!r}, and"
            f" {spans[0].source.short} tags of spans.\n  They are two tasks; name one of them."
        )
    return "BIO" if spans else None


def _counts(part: _Part, kept: int) -> dict[str, int]:
    quarantined = sum(part.quarantined.values())
    counts = {"read": kept + quarantined, "kept": kept, "quarantined": quarantined}
    return counts | dict(sorted(part.quarantined.items()))


def _no_training(read: Sequence[Examples], tables: Mapping[str, pa.Table]) -> None:
    """Say why there is nothing to train on."""
    reasons = sum((one.quarantined for one in read), Counter[str]())
    if reasons:
        firsts = {reason: place for one in reversed(read) for reason, place in one.firsts.items()}
        listed = "; ".join(
            f"{num:,} {reason} (the first: {firsts[reason]})"
            for reason, num in reasons.most_common(3)
        )
        raise DataError(
            f"{read[0].source.shown}: no training example is left; quarantined: {listed}.\n"
            "  Look at those places; are the columns the right ones?"
        )
    there = [split for split, table in tables.items() if len(table)]
    raise DataError(
        f"{read[0].source.shown}: there is nothing to train on"
        + (f", only {' and '.join(there)}.\n" if there else ".\n")
        + "  Name the training files as well; a word of their names is `train`."
    )


def _targets(train: pa.Table, task: Task, found: Sequence[Source]) -> tuple[str, ...]:
    """Return what is to be told apart.

    Raises:
        DataError: there is one target only, no answer, or the column is something else.
    """
    place = next(one.shown for one in found if one.split in (None, "train"))
    if task == "answer":
        if not pc.sum(pc.list_value_length(train["answers"])).as_py():
            raise DataError(
                f"{place}: no question has an answer.\n"
                "  There is nothing to learn; is it the right column?"
            )
        return ()
    values = pc.list_flatten(train["tags"]) if task == "tag" else train["target"]
    distinct = sorted(pc.unique(values).to_pylist(), key=lambda one: (one != "O", one))
    word = "target" if task == "classify" else "tag"
    if len(distinct) < 2:
        raise DataError(
            f"{place}: has one {word} only, {distinct[0]!r}.\n"
            "  There is nothing to tell apart; is it the right column?"
        )
    if task == "classify" and len(distinct) > max(_MANY, len(train) // 2):
        raise DataError(
            f"{place}: has {len(distinct):,} different targets in {len(train):,} examples, such as "
            f"{distinct[0][:40]!r}.\n  Targets are few; name the right column with --target-column."
        )
    return tuple(distinct)
