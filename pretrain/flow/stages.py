"""The stages of a whole run, each the library function that its own command calls.

Heavy libraries are imported when a stage works, never to find out that it is up to date.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines import store
from pipelines.errors import ConfigError, DataError

from .journal import state_of
from .stage import EVALUATION, EXPORT, TUNED, Run

if TYPE_CHECKING:
    from .. import prepare
    from ..config import PretrainSettings
    from ..tasks.settings import TuneSettings

ONNX = "model.onnx"


class Stopped(Exception):
    """A signal ended the training; everything is saved."""

    def __init__(self, number: int, step: int) -> None:
        """Remember the signal, and the step that was saved."""
        super().__init__(number, step)
        self.number, self.step = number, step


class Corpus:
    """Raw text to a clean corpus."""

    name, title = "corpus", "corpus"

    def key(self, run: Run) -> str:
        """Hash the units of input, which know their files, and what judges them."""
        from pipelines import build, units

        config = run.sections.corpora
        planned = [unit.name for unit in units.plan(config, base=run.base)]
        settings = config.corpus.model_dump(mode="json")
        order = [corpus.name for corpus in config.corpora]
        return store.fingerprint([build.JUDGE_VERSION, planned, order, settings])

    def state(self, run: Run) -> str | None:
        """Return the corpus by its manifest."""
        return state_of(run.folder / "corpus", artefact="corpus")

    def work(self, run: Run) -> None:
        """Build it."""
        from pipelines.build import build

        with run.engine() as engine:
            build(
                run.sections.corpora,
                out=run.folder.url,
                base=run.base,
                engine=engine,
                display=run.watcher.display(),
            )


class Vocabulary:
    """The corpus to a vocabulary."""

    name, title = "vocab", "vocabulary"

    def key(self, run: Run) -> str:
        """Hash the corpus and the settings."""
        from tokenizer.publish import VERSION

        settings = run.sections.vocab.model_dump(mode="json")
        return store.fingerprint([VERSION, CORPUS.state(run), settings])

    def state(self, run: Run) -> str | None:
        """Return the vocabulary by its manifest."""
        return state_of(run.folder / "vocab", artefact="vocab")

    def work(self, run: Run) -> None:
        """Train it."""
        from tokenizer.build import build

        with run.engine() as engine:
            build(
                run.sections.vocab,
                out=run.folder.url,
                engine=engine,
                display=run.watcher.display(),
            )


class Tokens:
    """Corpus and vocabulary to token shards."""

    name, title = "tokens", "token shards"

    def key(self, run: Run) -> str:
        """Hash corpus and vocabulary."""
        from tokenizer.encode import ENCODE_VERSION

        return store.fingerprint([ENCODE_VERSION, CORPUS.state(run), VOCABULARY.state(run)])

    def state(self, run: Run) -> str | None:
        """Return the shards by their manifest."""
        return state_of(run.folder / "tokens", artefact="tokens")

    def work(self, run: Run) -> None:
        """Encode."""
        from tokenizer.encode import encode

        with run.engine() as engine:
            encode(out=run.folder.url, engine=engine, display=run.watcher.display())


class Pretraining:
    """Token shards to a trained encoder, in a run that is gone on with, or a new one beside it."""

    name, title = "pretrain", "pretraining"

    def settings(self, run: Run) -> PretrainSettings:
        """Return the settings, with the time that a budget leaves."""
        settings = run.sections.pretrain
        if run.division is None:
            return settings
        length = {"tokens": None, "budget": f"{run.division.pretrain_s:g}s"}
        return settings.model_copy(update=length)

    def key(self, run: Run) -> str:
        """Hash token shards, vocabulary and settings."""
        settings = self.settings(run).model_dump(mode="json")
        return store.fingerprint([VOCABULARY.state(run), TOKENS.state(run), settings])

    def state(self, run: Run) -> str | None:
        """Return the run by its result, if it has ended and its last checkpoint is there."""
        folder = run.folder / "runs" / run.named()
        if not folder.exists("result.json"):
            return None
        result = folder.read_json("result.json")
        last = folder / f"checkpoints/step-{result.get('steps', 0):08d}"
        if not result.get("finished") or state_of(last, artefact="checkpoint") is None:
            return None
        return store.fingerprint([run.named(), result["steps"], result["tokens_by_label"]])

    def work(self, run: Run) -> None:
        """Train, from the last checkpoint on if there is one.

        Raises:
            Stopped: by a signal.
        """
        from .. import report
        from ..train import train

        own = self._prepared(run)
        run.journal.keep("run", Path(own.folder.url).name)
        with run.watcher.training(own.config) as watcher:
            trained = train(own, watcher=watcher)
        report.write(own.folder)
        if trained.signal is not None:
            raise Stopped(trained.signal, int(trained.result["steps"]))

    def _prepared(self, run: Run) -> prepare.Run:
        """Return a training that is ready: the one that was begun, or one with another name.

        Raises:
            ConfigError, DataError: none of these settings can be had.
        """
        from ..prepare import CONFIG, prepare, run_folder

        settings, refused = self.settings(run), ""
        for number in itertools.count(1):
            name = settings.preset if number == 1 else f"{settings.preset}-{number}"
            is_new = not run_folder(run.folder.url, name).exists(CONFIG)
            try:
                found = prepare(settings, out=run.folder.url, name=name, resume=True)
            except (ConfigError, DataError) as error:
                if is_new:
                    raise
                refused = refused or str(error).partition("\n")[0]
                continue
            if refused:
                run.note(f"{refused.rstrip('.:')}. It is kept; the new one is runs/{name}.")
            return found
        raise AssertionError("there are always more names")


class Export:
    """The last checkpoint to a folder that transformers loads."""

    name, title = "export", "export"

    def key(self, run: Run) -> str:
        """Hash the run's result, and the corpus, whose licences the card lists."""
        return store.fingerprint([PRETRAINING.state(run), CORPUS.state(run)])

    def state(self, run: Run) -> str | None:
        """Return what it was made of: later stages add to its card and manifest."""
        folder = run.folder / EXPORT
        if state_of(folder, artefact="export") is None or not folder.exists("lineage.json"):
            return None
        return store.fingerprint(folder.read_json("lineage.json"))

    def work(self, run: Run) -> None:
        """Export."""
        from .. import models
        from ..export import export

        to = run.folder / EXPORT
        for name in (models.ONNX, models.ONNX_INT8):  # of other weights
            to.remove(name)
        export(
            run.folder / "runs" / run.named(),
            to=to,
            vocab=run.folder / "vocab",
            corpus=run.folder / "corpus",
        )


class Tasks:
    """The encoder, tuned and judged on each task."""

    name, title = "tasks", "tasks"

    def settings(self, run: Run) -> TuneSettings:
        """Return the settings of tuning, with the time that a budget keeps for it."""
        settings = run.sections.tune
        if run.division is None or settings.budget is not None:
            return settings
        return settings.model_copy(update={"budget": f"{run.division.tasks_s:g}s"})

    def key(self, run: Run) -> str:
        """Hash the export, the files of the tasks and the settings."""
        return store.fingerprint(
            [
                EXPORTED.state(run),
                {name: [data.task, *data.files] for name, data in run.tasks.items()},
                self.settings(run).model_dump(mode="json"),
                run.sections.evaluate.model_dump(mode="json"),
            ]
        )

    def state(self, run: Run) -> str | None:
        """Return the evaluation by its manifest."""
        return state_of(run.folder / EVALUATION, artefact="evaluation")

    def work(self, run: Run) -> None:
        """Tune and judge."""
        from ..judge.evaluate import evaluate
        from ..models import open_model

        own = run.sections.evaluate
        with run.watcher.tuning("tasks") as watcher:
            evaluate(
                open_model(run.folder.path(EXPORT)),
                list(run.tasks.values()),
                to=run.folder / EVALUATION,
                zero_shot=own.zero_shot,
                baselines=own.baselines,
                settings=self.settings(run),
                watcher=watcher,
            )


class Onnx:
    """The encoder and the models of the tasks as ONNX, each proved against torch."""

    name, title = "onnx", "ONNX"

    def folders(self, run: Run) -> list[str]:
        """Return what is exported."""
        if not run.tasks:
            return [EXPORT]
        names = sorted({name.partition("/")[0] for name in (run.folder / TUNED).names()})
        return [EXPORT, *(f"{TUNED}/{name}" for name in names if name.endswith("-in-language"))]

    def key(self, run: Run) -> str:
        """Hash the models."""
        return store.fingerprint([EXPORTED.state(run), TASKS.state(run) if run.tasks else None])

    def state(self, run: Run) -> str | None:
        """Return the files by their hashes, as the models' manifests have them."""
        return store.fingerprint(found) if (found := self._written(run)) else None

    def _written(self, run: Run) -> dict[str, str] | None:
        found = {}
        for name in self.folders(run):
            folder = run.folder / name
            manifest = folder.read_json(store.MANIFEST) if folder.exists(store.MANIFEST) else {}
            files = {file.name: file for file in store.listed(manifest)} if manifest else {}
            if ONNX not in files or not folder.exists(ONNX):
                return None
            found[name] = files[ONNX].sha256
        return found

    def work(self, run: Run) -> None:
        """Write the files."""
        from ..models import open_model
        from ..serve.onnx_model import export

        for name in self.folders(run):
            export(open_model(run.folder.path(name)))


CORPUS, VOCABULARY, TOKENS = Corpus(), Vocabulary(), Tokens()
PRETRAINING, EXPORTED, TASKS, ONNX_FILES = Pretraining(), Export(), Tasks(), Onnx()
