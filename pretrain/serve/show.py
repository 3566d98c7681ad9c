"""Show predictions to people and to pipes, and what was exported. Part of the command line.

Results go to stdout, all the rest to stderr. On a terminal texts are isolated, so that those from
right to left don't reorder what stands beside them; in a pipe columns are parted by tabs. Either
way control characters become escapes; `--json` has the text as it was.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipelines.terminal import isolated, safe

from .predict import EMPTY

if TYPE_CHECKING:
    from .onnx_model import Exported
    from .predict import Answer, Predicted

SHOWN_PROBLEMS = 3
"""Lines with problems that are named one by one."""
NO_ANSWER = "(no answer)"


class Stream:
    """Writes the answers to lines as they come, and counts what went wrong."""

    def __init__(self, head: str, *, as_json: bool, quiet: bool) -> None:
        """Say how to write answers of a head; nothing is written yet."""
        self._head, self._as_json, self._quiet = head, as_json, quiet
        self._problems: Counter[str] = Counter()
        self._num_cut = 0
        self.num_lines = 0

    def write(self, predicted: Predicted) -> None:
        """Write answers to stdout, at once; problems to stderr."""
        for answer in predicted.answers:
            self.num_lines += 1
            if problem := answer.get("problem"):
                self._note(answer["line"], problem)
            if self._as_json:
                sys.stdout.write(json.dumps(plain(answer), ensure_ascii=False) + "\n")
            else:
                for row in _rows(answer, head=self._head):
                    sys.stdout.write("\t".join(row) + "\n")
        sys.stdout.flush()
        self._num_cut += predicted.num_cut

    def _note(self, line: int, problem: str) -> None:
        self._problems[problem] += 1
        if problem != EMPTY and not self._quiet and self.num_failed <= SHOWN_PROBLEMS:
            sys.stderr.write(f"koine: standard input, line {line:,}: {safe(problem)}\n")

    @property
    def num_failed(self) -> int:
        """Return how many lines couldn't be judged; empty ones don't count."""
        return sum(self._problems.values()) - self._problems[EMPTY]

    def end(self) -> None:
        """Say what was counted."""
        if self._quiet:
            return
        if num := self._problems[EMPTY]:
            sys.stderr.write(f"{_lines(num)} empty\n")
        if self.num_failed:
            sys.stderr.write(f"{_lines(self.num_failed)} not judged, of {self.num_lines:,}\n")
        show_cut(self._num_cut)


def _lines(num: int) -> str:
    return "1 line was" if num == 1 else f"{num:,} lines were"


def show_cut(num: int) -> None:
    """Say how many texts were longer than the model takes."""
    if num:
        said = "1 text was" if num == 1 else f"{num:,} texts were"
        sys.stderr.write(f"{said} longer than the model takes: cut, or judged in parts\n")


def plain(answer: Answer) -> dict[str, Any]:
    """Return an answer with scores of six digits."""

    def rounded(value: Any) -> Any:  # noqa: ANN401
        if isinstance(value, float):
            return round(value, 6)
        if isinstance(value, dict):
            return {key: rounded(inner) for key, inner in value.items()}
        return [rounded(inner) for inner in value] if isinstance(value, list) else value

    found: dict[str, Any] = rounded(dict(answer))
    return found


def _text(text: str) -> str:
    """Return text for one cell: on one line, and harmless."""
    shown = isolated if sys.stdout.isatty() else safe
    return shown(text.replace("\n", "\\n"))


def _rows(answer: Mapping[str, Any], *, head: str) -> Iterable[Sequence[str]]:
    """Yield the lines that tell of the answer to a line of input.

    One for each line of input where there is one answer: `target score text`, or
    `answer score start end question`. Else any number, with the number of the input's line in
    front: `start end tag score text`, or `mask piece score`.
    """
    line, is_judged = str(answer["line"]), "problem" not in answer
    if head == "classify":
        said = (answer["target"], f"{answer['score']:.4f}") if is_judged else ("", "")
        yield _text(said[0]), said[1], _text(answer["text"])
    elif head == "answer":
        names = ("start", "end") if is_judged and answer["answer"] else ()
        places = [str(answer[name]) for name in names] or ["", ""]
        said = (answer["answer"], f"{answer['score']:.4f}") if is_judged else ("", "")
        yield _text(said[0]), said[1], *places, _text(answer["question"])
    elif head == "tag":
        for one in answer.get("words", answer.get("entities", ())):
            kind = one["type"] if "type" in one else one["tag"]
            place = str(one["start"]), str(one["end"])
            yield line, *place, _text(kind), f"{one['score']:.4f}", _text(one["text"])
    else:
        for number, pieces in enumerate(answer.get("masks", ()), start=1):
            for one in pieces:
                yield line, str(number), _text(one["piece"]), f"{one['score']:.4f}"


def show_answer(answer: Answer) -> None:
    """Print the answer to a single text."""
    from pipelines.show import table

    if "targets" in answer:
        rows = [[one["target"], f"{one['score']:.4f}"] for one in answer["targets"]]
        table(["target", "score"], rows)
    elif "answer" in answer:
        rows = [
            [
                one["answer"] or NO_ANSWER,
                f"{one['score']:.4f}",
                "" if one["start"] is None else f"{one['start']}-{one['end']}",
            ]
            for one in answer["answers"]
        ]
        table(["answer", "score", "where"], rows)
    elif "masks" in answer:
        rows = [
            [str(number), one["piece"], f"{one['score']:.4f}"]
            for number, pieces in enumerate(answer["masks"], start=1)
            for one in pieces
        ]
        table(["mask", "piece", "score"], rows)
    else:
        key, title = ("words", "tag") if "words" in answer else ("entities", "type")
        rows = [
            [one[title], one["text"], f"{one['start']}-{one['end']}", f"{one['score']:.4f}"]
            for one in answer[key]
        ]
        if rows:
            table([title, "text", "where", "score"], rows)
        else:
            sys.stderr.write("It names nothing that the model was tuned to find.\n")


def show_exported(exported: Exported) -> None:
    """Print what was written as ONNX, how large it is, and how far from torch."""
    from pipelines.show import table

    rows = []
    for name, num_bytes in exported.files.items():
        check = exported.checks[name]
        same = "-" if check.agreement is None else f"{100 * check.agreement:.1f} %"
        rows.append(
            [
                name,
                f"{num_bytes / 1e6:,.1f}",
                f"{num_bytes / exported.weights_bytes:.2f}",
                f"{check.largest:.1e}",
                f"{check.mean:.1e}",
                f"{check.deviation:.2f}",
                same,
            ]
        )
    table(
        ["file", "MB", "of weights", "largest", "mean", "outputs' deviation", "same choice"], rows
    )
    check = next(iter(exported.checks.values()))
    folder = safe(exported.folder)
    sys.stderr.write(
        f"Differences from torch over {check.sequences} sequences of random pieces"
        f"{' and texts' if exported.num_texts else ''}, up to {check.longest:,} pieces long.\n"
        f"\nnext     koine predict {folder} {_example(exported.head)}\n"
        if exported.head != "none"
        else f"\nwrote    {folder}\n"
    )


def _example(head: str) -> str:
    if head == "answer":
        return '"QUESTION" --context "TEXT"'
    return '"TEXT with [MASK]"' if head == "mlm" else '"TEXT"'
