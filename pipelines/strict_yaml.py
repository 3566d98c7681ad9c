"""Load YAML that means what it says, and remember where every value stood.

Promises: no duplicate keys, no anchors, aliases, tags or merges; plain scalars follow the YAML 1.2
JSON rules, so the Norwegian `no` stays "no" and `3.10` written in quotes stays text; every problem
carries a line and a column; hostile files (very deep, very large) end in an error, not in a crash.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from .errors import ConfigError

MAX_BYTES = 4 << 20
MAX_DEPTH = 40

_INT = re.compile(r"[-+]?(0|[1-9][0-9_]*)\Z")
_FLOAT = re.compile(r"[-+]?([0-9]+\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?\Z")
_CONSTANTS = {"true": True, "false": False, "null": None, "~": None, "": None}

Position = tuple[int, int]
Keys = tuple[str | int, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a file: where, what, and what to write instead."""

    line: int
    column: int
    where: str
    fact: str
    remedy: str = ""

    def render(self, path: str) -> str:
        """Return the problem as `file:line:column  where: fact`, the remedy indented below."""
        head = f"{path}:{self.line}:{self.column}  "
        text = head + (f"{self.where}: " if self.where else "") + self.fact
        return text + (f"\n  {self.remedy}" if self.remedy else "")


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML file as plain values, with the position of every key and value."""

    values: Any
    keys: dict[Keys, Position]
    """Where the key (or the list item) stands."""
    nodes: dict[Keys, Position]
    """Where its value stands."""


class ProblemsError(ConfigError):
    """A configuration file has problems; its text lists all of them."""

    def __init__(self, path: str, problems: list[Problem]) -> None:
        """Sort the problems by position and render them."""
        self.path = path
        self.problems = sorted(problems, key=lambda p: (p.line, p.column, p.fact))
        super().__init__("\n".join(problem.render(path) for problem in self.problems))


class _Walker:
    """Turns composed YAML nodes into values, collecting positions and problems."""

    def __init__(self) -> None:
        self.keys: dict[Keys, Position] = {}
        self.nodes: dict[Keys, Position] = {}
        self.problems: list[Problem] = []

    def problem(self, node: yaml.Node, at: Keys, fact: str, remedy: str) -> None:
        line, column = _position(node)
        self.problems.append(Problem(line, column, dotted(at), fact, remedy))

    def walk(self, node: yaml.Node, at: Keys) -> Any:  # noqa: ANN401
        self.nodes[at] = _position(node)
        if isinstance(node, yaml.ScalarNode):
            return _scalar(node)
        if isinstance(node, yaml.SequenceNode):
            values = []
            for index, item in enumerate(node.value):
                self.keys[(*at, index)] = _position(item)
                values.append(self.walk(item, (*at, index)))
            return values
        assert isinstance(node, yaml.MappingNode)
        mapping: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self.problem(key_node, at, "a key must be plain text.", "Write `key: value`.")
                continue
            key = str(key_node.value)
            if key in mapping:
                first = self.keys[(*at, key)]
                self.problem(
                    key_node,
                    (*at, key),
                    f"this key is already set in line {first[0]}.",
                    "Keep one of the two.",
                )
                continue
            self.keys[(*at, key)] = _position(key_node)
            mapping[key] = self.walk(value_node, (*at, key))
        return mapping


def load(path: Path) -> Document:
    """Read a YAML file strictly.

    Raises:
        ConfigError: the file is missing, unreadable, too large or not UTF-8.
        ProblemsError: it is not YAML, or uses what is refused here; with all positions.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        remedy = "Give the path of your corpora.yaml."
        raise ConfigError(f"{path}: there is no such file.\n  {remedy}") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}).") from error
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path}: {len(data):,} bytes is too large for a configuration.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        problem = Problem(line, column, "", "this byte is not UTF-8.", "Save the file as UTF-8.")
        raise ProblemsError(str(path), [problem]) from error
    return parse(text, path=str(path))


def parse(text: str, *, path: str = "<text>") -> Document:
    """Parse YAML text strictly; see `load`."""
    try:
        _refuse(text, path)
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        fact = f"not valid YAML: {error.problem or error.context}."
        problem = Problem(line, column, "", fact, "Check indentation, colons and quotes here.")
        raise ProblemsError(path, [problem]) from error
    except yaml.reader.ReaderError as error:
        before = text[: error.position]
        line = before.count("\n") + 1
        column = len(before) - before.rfind("\n")
        fact = f"the character U+{ord(text[error.position]):04X} is not allowed in YAML."
        raise ProblemsError(path, [Problem(line, column, "", fact, "Remove it.")]) from error
    if root is None:
        problem = Problem(1, 1, "", "the file is empty.", "Start with `corpora:` and a list.")
        raise ProblemsError(path, [problem])
    walker = _Walker()
    values = walker.walk(root, ())
    if walker.problems:
        raise ProblemsError(path, walker.problems)
    return Document(values, walker.keys, walker.nodes)


def dotted(keys: Keys) -> str:
    """Return a position in the values as people write it.

    >>> dotted(("corpora", 2, "label"))
    'corpora[2].label'
    """
    text = ""
    for key in keys:
        text += f"[{key}]" if isinstance(key, int) else f".{key}" if text else str(key)
    return text


def _refuse(text: str, path: str) -> None:
    """Refuse anchors, aliases, tags and deep nesting by their events, before anything is built."""
    problems = []
    depth = 0
    refused = "Write the value out; anchors, aliases and tags are refused."
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        mark = event.start_mark
        assert mark is not None
        anchor, tag = getattr(event, "anchor", None), getattr(event, "tag", None)
        line, column = mark.line + 1, mark.column + 1
        if isinstance(event, yaml.AliasEvent):
            problems.append(Problem(line, column, "", f"alias *{anchor}.", refused))
        elif anchor:
            problems.append(Problem(line, column, "", f"anchor &{anchor}.", refused))
        elif tag:
            problems.append(Problem(line, column, "", f"tag {tag}.", refused))
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH or len(problems) >= 50:
            if depth > MAX_DEPTH:
                problems.append(Problem(line, column, "", "nested too deeply.", "Flatten it."))
            break
    if problems:
        raise ProblemsError(path, problems)


def _position(node: yaml.Node) -> Position:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _scalar(node: yaml.ScalarNode) -> Any:  # noqa: ANN401
    value: str = node.value
    if node.style is not None:  # quoted or block text is always text
        return value
    if value in _CONSTANTS:
        return _CONSTANTS[value]
    if _INT.match(value):
        return int(value.replace("_", ""))
    if _FLOAT.match(value):
        return float(value)
    return value
