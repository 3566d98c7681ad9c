"""Teach a network of fewer layers, or a narrower one, what a larger one has learnt.

    teacher = open_model("build/export")
    texts   = open_texts(["build/corpus"])
    report  = distil(teacher, layers=6, texts=texts, to=Folder("build/half"), settings=Settings())

The student learns the relations between pieces that one of the teacher's layers has (`relations`)
from unlabelled text. One that is as wide as its teacher also learns its last hidden states, so that
the head it takes over goes on fitting, and keeps its embeddings as they are: pieces that the text
doesn't have stay where they were. One whose teacher was tuned then learns its answers on the
examples of the task (Hinton et al. 2015).

Promises: on a CPU the same arguments give the same bits, but for a budget of time; languages count
about the same; nothing of the task's development and test examples is learnt from.
Does not promise: that a narrower student can fill masks: it is an encoder without a head.

Shapes: B sequences, L pieces, H width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from torch import nn

from pipelines import store
from pipelines.errors import ConfigError, DataError

from .. import models
from ..config import seconds_of
from ..lineage import to_json
from ..models import Head, Model, open_model
from ..serve.runtime import head_of
from ..tasks.features import Features
from ..tasks.folder import TOKENIZER_FILES, weights_sha256
from ..tasks.narrow import narrowed
from ..tasks.place import Place, memory_explained, place_of
from ..tasks.settings import TuneSettings
from . import answers, card, compare, folder, material, relations, scores, students
from .learning import Learnt, Lesson, learn
from .scores import Side
from .settings import Settings
from .texts import Texts, known_labels
from .watcher import SILENT, Watcher

if TYPE_CHECKING:
    from ..tasks.data import TaskData

CODE_VERSION = 1
DEFAULT_TOKENS = 10_000_000
MOST_TOKENS = 60_000_000
"""Of text that is held in memory; more of them means going through it again."""
COPIED_RATE, DRAWN_RATE = 1e-3, 1e-3
"""Highest learning rate at a width of 768, of students that begin with layers and without."""
BASE_WIDTH = 768


@dataclass(frozen=True)
class Distilled:
    """What was done."""

    folder: str
    facts: Mapping[str, Any]
    """As compression.json has it: `teacher` and `student` (shapes), `tokens`, `loss` (the first and
    the last), `texts`, `settings`, `comparison`."""
    is_new: bool = True


def distil(
    teacher: Model,
    *,
    layers: int,
    texts: Texts,
    to: store.Folder,
    width: int | None = None,
    heads: int | None = None,
    labels: Sequence[str] | None = None,
    settings: Settings | None = None,
    data: TaskData | None = None,
    tuning: TuneSettings | None = None,
    threads: int = 1,
    watcher: Watcher = SILENT,
) -> Distilled:
    """Write a student of a model.

    Args:
        teacher: an opened folder; an encoder, or tuned.
        layers: of the student.
        texts: to learn from.
        to: where to write; empty, or an earlier result, which is replaced.
        width: of the student; the teacher's when left out.
        heads: of the student's attention; as wide ones as the teacher's when left out.
        labels: languages to learn from; those of the teacher, or of the text, when left out.
        settings: how it learns.
        data: a task to judge both on; a student of a tuned teacher learns from its training
            examples too.
        tuning: how an encoder is tuned to be judged, and a tuned student taught.
        threads: for the times.
        watcher: is told how it goes.

    Raises:
        ConfigError: the shape is not smaller, a language isn't there, `to` holds something else.
        DataError: there is no text, the teacher is damaged, or a tuned one comes without its task.
        EnvironmentProblem: there is no such device, no memory, or the folder can't be written.
    """
    settings, tuning = settings or Settings(), tuning or TuneSettings()
    folder.check(to, teacher)
    shape = students.shape_of(teacher, layers=layers, width=width, heads=heads)
    labels = _labels(labels, teacher, texts)
    if teacher.task is not None and data is None:
        raise DataError(
            f"{teacher.folder}: was tuned, and its student needs the task's examples to learn from."
            "\n  Name them with --task; or distil the encoder, and tune the student."
        )
    fingerprint = store.fingerprint(
        {
            "code": CODE_VERSION,
            "model": folder.inputs(teacher),
            "shape": asdict(shape),
            "labels": labels,
            "texts": texts.sha256,
            "settings": asdict(settings),
            "data": None if data is None else scores.tables_of(data),
            "tuning": tuning.model_dump(mode="json"),
        }
    )
    done = folder.finished(to, fingerprint=fingerprint)
    if done is not None:
        return Distilled(to.url, done, is_new=False)
    run = _Distilling(teacher, shape, settings, tuning, watcher)
    run.learn(texts, labels)
    answered = None
    if teacher.task is not None:
        assert data is not None
        answered = answers.teach(
            run.student,
            run.teacher,
            data,
            model=teacher,
            settings=tuning,
            place=run.place,
            seed=settings.seed,
            watcher=watcher,
        )
    facts = run.facts(texts, labels) | {"answers": answered}
    files = folder.begin(to, run.contents(facts))
    new = open_model(to.url)
    found = compare.compare(
        Side(teacher),
        Side(new),
        data=data,
        settings=tuning,
        work=to / folder.WORK,
        threads=threads,
        watcher=watcher,
    )
    facts["comparison"] = found.facts()
    folder.commit(
        to,
        files,
        kind="distilled",
        facts=facts,
        card=card.render(facts, teacher, labels=labels),
        fingerprint=fingerprint,
        counts={"tokens": run.learnt.tokens, "parameters": found.after.parameters or 0},
    )
    return Distilled(to.url, facts)


def _labels(labels: Sequence[str] | None, teacher: Model, texts: Texts) -> list[str]:
    """Return the languages to learn from."""
    if labels is not None:
        return known_labels(labels, texts)
    own = [label for label in teacher.labels or () if label in texts.sizes]
    return sorted(own or texts.sizes)


class _Distilling:
    """One student and its teacher."""

    def __init__(
        self,
        teacher: Model,
        shape: students.Shape,
        settings: Settings,
        tuning: TuneSettings,
        watcher: Watcher,
    ) -> None:
        self.model, self.shape, self.settings, self.watcher = teacher, shape, settings, watcher
        self.head: Head = head_of(teacher)
        if self.head == "mlm" and not shape.chosen:
            self.head = "none"
        where = tuning.model_copy(update={"device": settings.device})
        self.place: Place = place_of(where, pad=teacher.pad)
        self.teacher = models.network(teacher, self.head).eval()
        self.config, self.student = students.student(
            teacher, self.teacher, shape, head=self.head, seed=settings.seed
        )
        self.layer = self._layer()
        self.num_heads = relations.heads_for(int(teacher.config["hidden_size"]), shape.width)
        self.pieces: dict[str, int] = {}
        self.learnt = Learnt(0, 0, 0, 0.0, 0.0, 0.0)

    def learn(self, texts: Texts, labels: Sequence[str]) -> None:
        """Learn the teacher's relations from text."""
        own = self.settings
        budget_s = seconds_of(own.budget) if own.budget else None
        goal = own.tokens or (MOST_TOKENS if budget_s else DEFAULT_TOKENS)
        length = min(own.length, self.model.max_length)
        found = material.material(
            self.model,
            texts,
            labels,
            tokens=min(goal, MOST_TOKENS),
            length=length,
            seed=own.seed,
            watcher=self.watcher,
        )
        self.pieces = found.pieces
        self.watcher.note(
            f"learning from {len(found.features):,} sequences in {len(found.pieces)} languages"
        )
        for network in (self.teacher, self.student):
            network.to(self.place.device)
        trunk: Any = self.student
        trunk = trunk.base_model
        lesson = Lesson(
            teacher=self.teacher,
            trunk=trunk,
            layer=self.layer,
            num_heads=self.num_heads,
            hidden=own.hidden if self.shape.chosen else 0.0,
            learning_rate=own.learning_rate or self._rate(),
            goal=goal,
            budget_s=budget_s,
            seed=own.seed,
        )
        if self.shape.chosen:
            embeddings: nn.Module = trunk.embeddings
            embeddings.requires_grad_(False)
            self._learnt(lesson, found.features, found.features, self.place)
            embeddings.requires_grad_(True)
        else:  # rows of pieces that the text doesn't have stay as they are, and cost nothing
            with (
                memory_explained(self.place),
                narrowed(trunk, found.features, pad=self.place.pad) as (narrow, pad),
            ):
                self._learnt(lesson, found.features, narrow[0], replace(self.place, pad=pad))

    def _learnt(self, lesson: Lesson, whole: Features, narrow: Features, own_place: Place) -> None:
        self.learnt = learn(
            lesson, whole, narrow, place=self.place, own_place=own_place, watcher=self.watcher
        )

    def _layer(self) -> int:
        """Return the number of the teacher's layer, from 0.

        Raises:
            ConfigError: there is none of that number.
        """
        deep = int(self.model.config["num_hidden_layers"])
        asked = self.settings.layer or deep
        if not 1 <= asked <= deep:
            raise ConfigError(
                f"--layer {asked}: the teacher's layers are 1 to {deep}.\n"
                "  Leave it out for the last one, which is best but for large teachers."
            )
        return asked - 1

    def _rate(self) -> float:
        rate = COPIED_RATE if self.shape.chosen else DRAWN_RATE
        return min(3e-3, float(rate * (BASE_WIDTH / self.shape.width) ** 0.5))

    def facts(self, texts: Texts, labels: Sequence[str]) -> dict[str, Any]:
        """Return what compression.json says, but for the comparison."""
        config = self.model.config
        return {
            "kind": "distilled",
            "head": self.head,
            "labels": list(labels),
            "base": {"name": self.model.name, "weights_sha256": weights_sha256(self.model)},
            "teacher": {
                "layers": int(config["num_hidden_layers"]),
                "width": int(config["hidden_size"]),
                "layer": self.layer + 1,
            },
            "student": asdict(self.shape),
            "relation_heads": self.num_heads,
            "tokens": self.learnt.tokens,
            "steps": self.learnt.steps,
            "skipped": self.learnt.skipped,
            "seconds": self.learnt.seconds,
            "loss": {"first": self.learnt.first, "last": self.learnt.last},
            "texts": {"name": texts.name, "sha256": texts.sha256, "pieces": self.pieces},
            "settings": asdict(self.settings)
            | {"learning_rate": self.settings.learning_rate or self._rate()},
        }

    def contents(self, facts: Mapping[str, Any]) -> dict[str, bytes]:
        """Return the student's files."""
        saver: Any = self.student.cpu().eval()
        tied = set(getattr(saver, "_tied_weights_keys", None) or ())
        tensors = {name: x for name, x in saver.state_dict().items() if name not in tied}
        weights = folder.weights_bytes(tensors)
        kept = {name: x for name, x in folder.others(self.model).items() if name == models.TASK}
        found = {
            models.CONFIG: to_json(self.config),
            models.WEIGHTS: weights,
            **kept,
            models.LINEAGE: folder.lineage(
                self.model, kind="distilled", weights=weights, done=dict(facts), labels=None
            ),
        }
        for name in TOKENIZER_FILES:
            if (self.model.folder / name).exists():
                found[name] = (self.model.folder / name).read_bytes()
        return found
