"""Say what is wrong with a configuration: where, what, and what to do about it."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import BaseModel

from . import strict_yaml
from .strict_yaml import Keys, Problem


def problem_of(
    model: type[BaseModel],
    document: strict_yaml.Document,
    detail: Any,  # noqa: ANN401
) -> Problem:
    """Return one of pydantic's error details in the user's terms, with its place in the file."""
    at: Keys = tuple(key for key in detail["loc"] if (key != "[key]"))
    kind, context = detail["type"], detail.get("ctx", {})
    where, fact, remedy = at, str(detail["msg"]), str(context.get("remedy", ""))
    table = document.nodes
    if kind == "extra_forbidden":
        table = document.keys
        fact = "there is no such key."
        remedy = did_you_mean(str(at[-1]), _fields_at(model, at[:-1]))
    elif kind == "missing":
        fact, remedy = f"the key `{at[-1]}` is missing.", f"Add `{at[-1]}:`."
        where = at[:-1]
    elif kind == "literal_error":
        fact = f"{detail['input']!r} is not one of {context['expected']}."
        remedy = did_you_mean(str(detail["input"]), str(context["expected"]).split("'")[1::2])
    elif kind == "string_pattern_mismatch" and at[-1] == "name":
        fact = f"{detail['input']!r} is not a name."
        remedy = "Use lower-case letters a-z, digits, `-` and `_`."
    elif "remedy" not in context:
        fact = f"{_plain(detail['msg'])} (found {_short(detail['input'])})."
    line, column = (1, 1)
    for length in range(len(where), -1, -1):
        if where[:length] in table:
            line, column = table[where[:length]]
            break
    return Problem(line, column, strict_yaml.dotted(at), fact, remedy)


def _plain(message: str) -> str:
    return message[:1].lower() + message[1:].rstrip(".")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def did_you_mean(word: str, known: list[str]) -> str:
    """Return the known word that comes closest, and all of them where they are few."""
    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    hint = f"Did you mean `{close[0]}`? " if close else ""
    return hint + ("Known: " + ", ".join(known) + "." if known and len(known) <= 24 else "")


def _fields_at(model: type[BaseModel], at: Keys) -> list[str]:
    """Return the field names of the section at a position of the values."""
    current: Any = model
    for key in at:
        if isinstance(key, int):
            continue
        field = current.model_fields.get(key)
        if field is None:
            return []
        current = section_of(field.annotation)
        if current is None:
            return []
    return list(current.model_fields)


def section_of(annotation: Any) -> Any:  # noqa: ANN401
    """Return the model within a field's annotation (`tuple[Corpus, ...]`, `Dataset | None`)."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        found = section_of(argument)
        if found is not None:
            return found
    return None
