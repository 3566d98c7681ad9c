"""What pretraining is worth: an encoder on tasks in many languages, beside what needs none.

    python benchmarks/tasks.py build/export --device cuda
    python benchmarks/tasks.py build/export --tasks sib200 pos --most 200 --seeds 2 --pretrained

Topics (SIB-200), moods (AfriSenti), names (Universal NER), parts of speech (Universal Dependencies)
and questions (XQuAD) of the development data, each tuned on all its training languages and on
English alone. Beside each the same network from random weights, tuned alike, the commonest answer,
and what words alone tell. A language counts as won where the whole 95 % interval of the paired
difference is above zero.

Writes results/NAME.json (all figures) and results/NAME.md (the tables). Tunings stay in
build/benchmarks/tasks, so that a killed run goes on.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import common
import inputs
import pyarrow as pa
import pyarrow.compute as pc

from pipelines import store
from pretrain.judge import card, results
from pretrain.judge.evaluate import evaluate
from pretrain.judge.wording import METRICS, points
from pretrain.models import open_model
from pretrain.tasks.data import TaskData, open_task
from pretrain.tasks.settings import of_overrides

DATA = {
    "sib200": "classification/sib200",
    "afrisenti": "classification/afrisenti",
    "ner": "ner",
    "pos": "pos",
    "xquad": "qa/xquad",
}
SOURCE = "eng_Latn"


class Watcher:
    """Says what is done now and then."""

    def __init__(self) -> None:
        self._at = 0.0

    def update(self, done: float, total: float, text: str) -> None:
        if time.monotonic() - self._at > 20:
            self._at = time.monotonic()
            print(f"{100 * done / total:3.0f} %  {text}", file=sys.stderr, flush=True)

    def note(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)


def few(table: pa.Table, most: int) -> pa.Table:
    """Return the first examples of each language."""
    seen: dict[str, int] = {}
    rows = []
    for row, label in enumerate(table["label"].to_pylist()):
        seen[label] = seen.get(label, 0) + 1
        if seen[label] <= most:
            rows.append(row)
    return table.take(pa.array(rows, pa.int64()))


def cut(data: TaskData, most: int | None, labels: Sequence[str] | None) -> TaskData:
    """Return the data with so many training examples of each language at the most.

    Args:
        data: of a task.
        most: training examples of a language; a quarter of that to stop by.
        labels: the languages to keep; all when left out.
    """
    if labels is not None:
        own = pa.array(labels)
        splits = {name: getattr(data, name) for name in ("train", "dev", "test")}
        data = replace(
            data,
            **{name: t.filter(pc.is_in(t["label"], value_set=own)) for name, t in splits.items()},
        )
    if most is None:
        return data
    return replace(data, train=few(data.train, most), dev=few(data.dev, max(20, most // 4)))


def won(task: Mapping[str, Any], baseline: str) -> tuple[int, int, int]:
    """Return in how many languages a baseline is surely beaten, surely better, and compared."""
    found = [
        results.verdict(row["difference"][baseline])
        for row in task["rows"].values()
        if baseline in row["difference"]
    ]
    return found.count("better"), found.count("worse"), len(found)


def lines_of(found: Mapping[str, Any]) -> list[list[str]]:
    """Return the rows of the table: a task and one of the model's own systems each."""
    lines = []
    for name, task in found["tasks"].items():
        for system, random in (("in_language", "random"), ("zero_shot", "random_zero_shot")):
            if system not in task["mean"]:
                continue
            own = [(row[system]["mean"], label) for label, row in task["rows"].items()
                   if system in row]  # fmt: skip
            worst = min(own)
            better, worse, num = won(task, random)
            line = [name, system.replace("_", "-"), METRICS[task["metric"]], str(len(own))]
            line += [points(task["mean"][system]["mean"]), f"{points(worst[0])} {worst[1]}"]
            line += [points(task["mean"][random]["mean"]), f"{better} of {num}", str(worse)]
            for baseline in ("majority", "words"):
                if system == "in_language" and baseline in task["mean"]:
                    better, _, num = won(task, baseline)
                    line += [points(task["mean"][baseline]["mean"]), f"{better} of {num}"]
                else:
                    line += ["", ""]
            lines.append(line)
    return lines


HEAD = (
    "task", "tuned", "metric", "languages", "mean", "worst", "random", "surely above", "below",
    "majority", "above", "words", "above",
)  # fmt: skip


def markdown(found: Mapping[str, Any], lines: Sequence[Sequence[str]]) -> str:
    """Return the tables as Markdown, without the markers that a card has."""
    model = found["model"]
    tunings = "one tuning" if found["seeds"] == 1 else f"{found['seeds']} tunings"
    whole = ["# What pretraining is worth", ""]
    whole += [
        f"{model['name']}: {model['kind']}, {model['layers']} layers {model['width']} wide, "
        f"{tunings} of each. `benchmarks/tasks.py` says what is compared; *surely "
        "above* counts the languages where the whole 95 % interval of the paired difference is "
        "above zero, *below* those where it is below.",
        "",
        "| " + " | ".join(HEAD) + " |",
        "|---|---|---|" + "--:|" * (len(HEAD) - 3),
        *("| " + " | ".join(line) + " |" for line in lines),
        "",
    ]
    section = card.section(found).splitlines()[1:-1]
    return "\n".join(whole + section) + "\n"


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", type=Path, help="an encoder, as koine pretrain export writes it")
    parser.add_argument("--data", type=Path, help="folder of the development corpora")
    parser.add_argument("--tasks", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--most", type=int, help="training examples of a language at the most")
    parser.add_argument(
        "--pretrained", action="store_true", help="only languages that the encoder has read"
    )
    parser.add_argument("--device", default="auto")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--name", default="tasks", help="name of the results files")
    given = parser.parse_args()

    folder = inputs.data_folder(given.data).parent / "tasks"
    if not folder.is_dir():
        common.skip(f"no tasks in {folder}")
    values: dict[str, Any] = {"tune.seeds": given.seeds, "tune.device": given.device}
    from pipelines.cli import parse_overrides

    settings = of_overrides(values | parse_overrides(given.set))
    facts = common.machine()
    began = time.monotonic()
    model = open_model(given.model)
    labels = model.labels if given.pretrained else None
    data = [cut(open_task([folder / DATA[name]]), given.most, labels) for name in given.tasks]
    source = any(SOURCE in one.train["label"].to_pylist() for one in data)
    done = evaluate(
        model,
        data,
        to=store.Folder(common.BUILD / "tasks" / given.name),
        zero_shot=[SOURCE] if source else [],
        baselines=True,
        settings=settings,
        watcher=Watcher(),
        into_card=False,
    )
    lines = lines_of(done.results)
    common.table(HEAD, lines)
    took = {"seconds": None if done.was_done else time.monotonic() - began, "most": given.most}
    took |= {"set": given.set, "pretrained": given.pretrained}
    common.write(given.name, facts, took | done.results)
    path = common.HERE / "results" / f"{given.name}.md"
    path.write_text(markdown(done.results, lines), encoding="utf-8")
    print(f"tables: {path.relative_to(common.REPO)}; page: {done.page}")


if __name__ == "__main__":
    main()
