"""Build a vocabulary: count | sample | fit | train | export | judge.

    out/
      corpus/   what it is made from
      vocab/    spm.model, tokenizer.json and what AutoTokenizer needs; the held-out text it was
                judged by; report.html, report.json; manifest.json
      work/vocab/   unit counts and models: what makes a second run short

Promises: the same corpus and settings give the same bytes in vocab/, whatever the engine, the
workers, the folder or the clock; a killed run, started again, keeps every count and every model
that was finished; the exported forms are proved to give the same ids on the held-out text.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pipelines import jit, store
from pipelines.engines import run_phase
from pipelines.errors import ConfigError, DataError

from . import counts, evaluate, fit, loading, parallel, publish, sample, texts, train
from .config import VocabSettings

if TYPE_CHECKING:
    from pipelines.engines import Engine
    from pipelines.progress import Display


MAX_UNITS = 4_000_000  # different ones kept of a language
PACKAGE = Path(__file__).parent
HELD_OUT_BYTES = 2000  # that a language keeps out at the least ...
MAX_HELD_OUT = 3.0  # ... up to this multiple of the share


class Build:
    """One training in one output folder; each stage is a method, called in order by `build`."""

    def __init__(
        self, settings: VocabSettings, *, out: str, engine: Engine, display: Display
    ) -> None:
        """Name the settings, the folder and the engine; read the corpus's manifest."""
        self.settings, self.engine, self.display = settings, engine, display
        self.folder = store.Folder(out)
        self.corpus = self.folder / "corpus"
        self.vocab = self.folder / publish.ARTEFACT
        self.work = self.folder / "work" / "vocab"
        self.samples, self.models = self.work / "samples", self.work / "models"
        self.manifest = store.read_manifest(self.corpus, artefact="corpus")
        self.corpus_hash = store.fingerprint(self.manifest)
        self.labels = _labels(self.manifest, settings)
        self.seconds: dict[str, float] = {}
        self.languages: list[sample.Language] = []
        self.used: set[str] = set()
        """Models of this run; others are deleted when it has ended."""

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the block's time to a stage."""
        started = time.monotonic()
        try:
            yield
        finally:
            self.seconds[stage] = self.seconds.get(stage, 0) + time.monotonic() - started

    def run_phase(
        self,
        function: str,
        described: Sequence[Mapping[str, Any]],
        *,
        title: str,
        **context: object,
    ) -> None:
        """Run a phase function of this package over work units, shown by the display."""
        run_phase(
            self.engine,
            f"tokenizer.{function}",
            described,
            {"work": self.work.url, **context},
            display=self.display,
            total=sum(int(unit["num_bytes"]) for unit in described),
            title=title,
        )

    def count(self) -> store.Folder:
        """Count the units of each language; return the folder of merged counts."""
        settings = self.settings
        if not jit.is_compiled(PACKAGE):
            self.display.note("compiling koine's kernels first: some seconds")
        held_out_bytes = settings.held_out_kb * 1000
        by_label: dict[str, list[dict[str, Any]]] = {label: [] for label in self.labels}
        for unit in counts.plan_counts(self.manifest):
            label = unit["label"]
            if label in by_label:
                num_bytes = self.manifest["counts"]["labels"][label]["bytes"]
                by_label[label].append({**unit, "held_out": held_out_share(settings, num_bytes)})
        # Counts know what they were made of; other settings only must not take their place.
        key = store.fingerprint([settings.held_out, held_out_bytes])[:12]
        counted, merged = self.work / f"counts-{key}", self.work / f"merged-{key}"
        self.run_phase(
            "counts:count_unit",
            [unit for units in by_label.values() for unit in units],
            title="count",
            corpus=self.corpus.url,
            counts=counted.url,
            held_out_bytes=held_out_bytes,
        )
        self.run_phase(
            "counts:merge_label",
            [
                {
                    "name": label,
                    "parts": [unit["name"] for unit in units],
                    "num_bytes": sum(unit["num_bytes"] for unit in units),
                }
                for label, units in by_label.items()
            ],
            title="merge",
            counts=counted.url,
            merged=merged.url,
            max_units=MAX_UNITS,
            held_out_bytes=held_out_bytes,
        )
        for label in self.labels:
            content = merged.read_json(f"{label}.json")["content_chars"]
            num_bytes = sample.mass(counts.read_units(merged, label))
            if num_bytes:
                self.languages.append(sample.Language(label, num_bytes, content))
        if not self.languages:
            raise DataError(
                f"{self.corpus.url}: no language has text to train a vocabulary on.\n"
                "  Add text, or lower vocab.held_out."
            )
        return merged

    def train_on_sample(
        self,
        merged: store.Folder,
        *,
        required: str,
        weights: fit.Floats | None,
        share: float,
        title: str,
    ) -> str:
        """Train on a sample; return the model's name in the folder of models.

        Args:
            merged: the counts.
            required: characters that become pieces.
            weights: (languages,) of the sampling's shares.
            share: of the whole sample; the languages' shares are those of the whole.
            title: shown with the progress.
        """
        labels = [language.label for language in self.languages]
        with self.timed("sample"):
            units = sample.sample(
                merged, labels, factors=self.factors(weights) * share, seed=self.settings.seed
            )
            options = train.options(self.settings, required=required, size=self.settings.size)
            seeds = train.SEED_FACTOR * self.settings.size
            seeds = seeds if self.settings.algorithm == "unigram" else 0
            written: list[store.Written] = []
            with self.samples.writing(f"{title}.arrow", committed=written) as file:
                with pa.ipc.new_file(file, units.schema) as writer:
                    writer.write_table(units)
        # The sample's bytes and the options are all that the model depends on.
        name = store.fingerprint([publish.VERSION, written[0].sha256, options, seeds])[:20]
        unit = {
            "name": name,
            "sample": f"{title}.arrow",
            "options": options,
            "seeds": seeds,
            "num_bytes": sample.mass(units),
        }
        with self.timed("train"):
            self.run_phase(
                "train:train_unit",
                [unit],
                title=title,
                samples=self.samples.url,
                models=self.models.url,
            )
        self.used.add(name)
        return name

    def judge(self, name: str, judged_by: texts.Texts) -> evaluate.Paid:
        """Return what the languages pay with a model of the folder of models."""
        with self.timed("judge"), self.models.local(f"{name}.model") as path:
            tokenizer = loading.load(path, name="koine")
            least = self.settings.parity.min_content
            return evaluate.pay(tokenizer, judged_by, min_content=least)

    def train_parity_bpe(self, merged: store.Folder) -> str:
        """Train by the parity-aware trainer of `tokenizers`; return the model's name."""
        self.display.note("the parity-bpe trainer shows no progress of its own; it takes its time")
        targets = {
            language.label: language.num_bytes / max(language.content, 1.0)
            for language in self.languages
        }
        inputs = [merged.read_json(f"{language.label}.json") for language in self.languages]
        size = self.settings.size
        unit = {
            "name": store.fingerprint([publish.VERSION, size, targets, inputs])[:20],
            "size": size,
            "bytes_per_content": targets,
            "num_bytes": sum(language.num_bytes for language in self.languages),
        }
        with self.timed("train"):
            self.run_phase(
                "train:train_parity_bpe_unit",
                [unit],
                title="train",
                merged=merged.url,
                models=self.models.url,
            )
        self.used.add(str(unit["name"]))
        return str(unit["name"])

    def search_shares(
        self, merged: store.Folder, judged_by: texts.Texts, *, required: str
    ) -> fit.Fitted | None:
        """Search the languages' shares, where the settings ask for it."""
        settings = self.settings
        if settings.fit == "none":
            return None
        share = min(1.0, settings.parity.sample_mb / settings.sample_mb)

        def attempt(weights: fit.Floats, number: int) -> evaluate.Paid:
            title = f"fit {number}"
            model = self.train_on_sample(
                merged, required=required, weights=weights, share=share, title=title
            )
            return self.judge(model, judged_by)

        def say(one: fit.Round, number: int) -> None:
            worst = self.languages[int(np.nanargmax(one.premium))].label
            self.display.note(
                f"fit {number}: mean {one.mean_tokens:.1f} tokens, worst premium {one.worst:.2f} "
                f"({worst}), Gini {one.gini:.3f}"
            )

        return fit.fit(
            attempt,
            labels=[language.label for language in self.languages],
            parity=settings.parity,
            say=say,
        )

    def factors(self, weights: fit.Floats | None) -> fit.Floats:
        """Return how often each language's text counts in the whole sample."""
        return sample.factors(
            self.languages,
            sampling=self.settings.sampling,
            weights=weights,
            sample_bytes=self.settings.sample_mb * 1_000_000,
        )

    def shares(
        self, weights: fit.Floats | None, required: Mapping[str, Sequence[int]]
    ) -> dict[str, dict[str, float]]:
        """Return what each language had in the training, for the report."""
        factors = self.factors(weights)
        num_bytes = np.array([language.num_bytes for language in self.languages])
        total = float(num_bytes @ factors)
        return {
            language.label: {
                "bytes": language.num_bytes,
                "repeated": round(float(factor), 4),
                "share": float(factor * language.num_bytes / total),
                "required_characters": len(required[language.label]),
            }
            for language, factor in zip(self.languages, factors, strict=True)
        }

    def clean_up(self) -> None:
        """Delete samples, and the models of other runs; counts and this run's models stay."""
        self.samples.remove_all()
        for name in self.models.names():
            if name.partition(".")[0] not in self.used:
                self.models.remove(name)

    def held_out(self, merged: store.Folder) -> pa.Table:
        """Return the held-out lines of all languages: `label`, `text`."""
        tables = []
        for number, label in enumerate(self.labels):
            text = counts.read_held_out(merged, label).column("text")
            codes = pa.array(np.full(len(text), number, np.int32))
            column = pa.DictionaryArray.from_arrays(codes, pa.array(self.labels))
            tables.append(pa.table({"label": column, "text": text.combine_chunks()}))
        return pa.concat_tables(tables)


def build(settings: VocabSettings, *, out: str, engine: Engine, display: Display) -> publish.Built:
    """Train a vocabulary on the corpus in a build folder.

    Args:
        settings: the vocabulary's section of corpora.yaml.
        out: folder or fsspec URL of the build, with a finished corpus.
        engine: what runs the work units.
        display: shows progress.

    Raises:
        ConfigError: a language that the corpus lacks, or a size too small for its characters.
        DataError: there is no finished corpus, or too little text for the size.
        EnvironmentProblem: the folder cannot be written, or another build runs in it.
    """
    run = Build(settings, out=out, engine=engine, display=display)
    run.work.create()
    with store.locked(run.work):
        run.work.remove_temporary()
        with run.timed("count"):
            merged = run.count()
        labels = [language.label for language in run.languages]
        held = run.held_out(merged)
        judged_by = _judged_by(settings, held, labels)
        fitted, training = None, {}
        if settings.algorithm == "parity-bpe":
            name = run.train_parity_bpe(merged)
        else:
            coverage = settings.character_coverage
            required = sample.required_characters(merged, labels, coverage=coverage)
            characters = "".join(map(chr, sorted(set().union(*required.values()))))
            train.check_size(settings, len(characters))
            fitted = run.search_shares(merged, judged_by, required=characters)
            weights = fitted.weights if fitted else None
            name = run.train_on_sample(
                merged, required=characters, weights=weights, share=1.0, title="train"
            )
            training = run.shares(weights, required)
        built = publish.publish(run, name, held, judged_by, fitted=fitted, labels=training)
        run.clean_up()
        return built


def held_out_share(settings: VocabSettings, num_bytes: int) -> float:
    """Return the share of a language's lines to hold out, of `num_bytes` of text.

    A language with little text keeps out more of it, or nothing could be said about it.
    """
    enough = HELD_OUT_BYTES / max(num_bytes, 1)
    return min(max(settings.held_out, enough), MAX_HELD_OUT * settings.held_out)


def _labels(manifest: Mapping[str, Any], settings: VocabSettings) -> list[str]:
    """Return the languages that the vocabulary is for, sorted."""
    found = sorted(
        {
            written.name.partition("/")[0]
            for written in store.listed(dict(manifest))
            if "/" in written.name
        }
    )
    if settings.labels is None:
        return found
    missing = sorted(set(settings.labels) - set(found))
    if missing:
        raise ConfigError(
            f"vocab.labels: the corpus has no text in {', '.join(missing)}.\n"
            f"  It has {len(found)} languages, {', '.join(found[:8])} and so on. Leave these out, "
            "or build the corpus with them."
        )
    return sorted(settings.labels)


def _judged_by(settings: VocabSettings, held: pa.Table, labels: Sequence[str]) -> texts.Texts:
    if settings.parallel is None:
        return texts.held_out_of(held)
    found = parallel.read_parallel(settings.parallel)
    own = {label: text for label, text in found.labels.items() if label in set(labels)}
    if not own:
        raise ConfigError(
            f"vocab.parallel: {settings.parallel} has none of the corpus's languages.\n"
            f"  It has {', '.join(list(found.labels)[:8])}; files are named after labels, "
            "swh_Latn.txt."
        )
    return texts.Texts(found.kind, own, found.num_lines)
