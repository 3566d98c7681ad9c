"""The `corpora:` and `corpus:` sections of corpora.yaml.

Each model documents its fields; `corpora.schema.json` and docs/config.md are generated from them.
Other packages own the models of their own sections; koine.py composes the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from . import strict_yaml
from .config_errors import did_you_mean, problem_of
from .strict_yaml import Problem, ProblemsError

Format = Literal["jsonl", "parquet", "arrow", "text", "html", "warc", "wet", "mediawiki"]


class Section(BaseModel):
    """A part of corpora.yaml: frozen, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


def _as_tuple(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _label(value: str) -> str:
    from . import languages  # langcodes loads its tables on first use

    if not languages.is_label(value):
        suggestion = languages.suggest(value)
        raise PydanticCustomError(
            "label",
            "{value} is not a language label.",
            {
                "value": repr(value),
                "remedy": "Labels are ISO 639-3 + script. " + suggestion,
            },
        )
    return value


Label = Annotated[str, BeforeValidator(_label)]


ModelT = TypeVar("ModelT", bound=Section)

SECTIONS = ("corpora", "corpus", "vocab", "pretrain", "tune", "tasks", "evaluate")
"""All top-level keys of the file; each package reads its own and leaves the others alone."""


class Fields(Section):
    """The names of the columns or keys that hold a document's parts."""

    text: str = "text"
    """The text; required in every record."""
    url: str | None = "url"
    """The address the text came from, where there is one."""
    label: str | None = None
    """The language as the source declares it ("sw", "swh_Latn", "zh-Hant")."""
    license: str | None = None
    """The licence of the single document, where it differs from the corpus."""


class Dataset(Section):
    """A Hugging Face dataset, read in streaming mode."""

    path: str
    """Hub id ("org/name") or a local folder."""
    subset: str | None = None
    """The dataset's configuration name."""
    split: str = "train"
    """Which split to read."""
    revision: str | None = None
    """Branch, tag or commit; pin it for reproducible builds."""


class Corpus(Section):
    """One input: where it is, how it is stored, and what it declares about itself."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    """Short and unique; it stays with every document."""
    files: Annotated[tuple[str, ...], BeforeValidator(_as_tuple)] = ()
    """Paths, globs or fsspec URLs; relative ones start at the folder of this file."""
    dataset: Dataset | None = None
    """A Hugging Face dataset instead of files."""
    format: Format | None = None
    """How the files are stored; taken from the file names when left out."""
    encoding: str = "utf-8"
    """Encoding of plain text: a codec's name, or `detect`."""
    document: Literal["file", "block"] = "file"
    """Plain text: a document is a whole file, or a block between blank lines."""
    fields: Fields = Fields()
    """Names of the columns or keys, where the format has them."""
    label: Label | None = None
    """The language of all documents, as ISO 639-3 + script (`swh_Latn`)."""
    declared: Literal["verify", "trust", "ignore"] = "verify"
    """Declared labels are checked where the model knows the language, believed, or not used."""
    license: str = Field(min_length=1)
    """SPDX identifier of the corpus (`CC-BY-4.0`), or `unknown`."""
    max_record_mb: float = Field(default=64, gt=0)
    """A single record above this many megabytes is quarantined."""
    max_expansion: float = Field(default=200, gt=1)
    """A compressed file that grows by more than this factor is taken for a bomb."""

    @model_validator(mode="after")
    def _one_input(self) -> Corpus:
        if bool(self.files) == (self.dataset is not None):
            raise PydanticCustomError(
                "input",
                "a corpus needs either files or a dataset.",
                {"remedy": "Add `files: path/*.jsonl`, or `dataset: {path: org/name}`."},
            )
        return self

    @field_validator("encoding")
    @classmethod
    def _known_encoding(cls, value: str) -> str:
        import codecs

        if value != "detect":
            try:
                codecs.lookup(value)
            except LookupError:
                raise PydanticCustomError(
                    "encoding",
                    "{value} is not an encoding that Python knows.",
                    {"value": repr(value), "remedy": "Write `utf-8`, `detect` or a codec's name."},
                ) from None
        return value


class Identify(Section):
    """Language identification."""

    model: str = "lid.176"
    """`lid.176`, which is embedded, or the path of any fastText model (GlotLID, OpenLID, ...)."""
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """The model file's SHA-256; required for a path, checked before the model is loaded."""
    document_bytes: int = Field(default=1000, ge=200)
    """How much of a document, taken from its start, middle and end, the model reads."""
    num_lines: int = Field(default=8, ge=0)
    """How many of its lines vote."""

    @model_validator(mode="after")
    def _pinned(self) -> Identify:
        if self.model != "lid.176" and self.sha256 is None:
            raise PydanticCustomError(
                "unpinned",
                "a model that is a file must be pinned.",
                {"remedy": "Add `sha256:` with the output of `sha256sum MODEL`."},
            )
        return self


class Pii(Section):
    """Masking of personal data by typed placeholders (`<email>`, `<ip>`, `<phone>`)."""

    emails: bool = True
    """Mask e-mail addresses."""
    ips: bool = True
    """Mask IPv4 and IPv6 addresses."""
    phones: bool = True
    """Mask what is written like a telephone number."""


class Rules(Section):
    """Limits on what was measured; null switches a rule off.

    A rule that does not apply to a document (words in Thai, sentence ends where the script has
    none) never removes it.
    """

    min_content_chars: float | None = 100
    """Length in graphemes, weighted by how much content one carries in its script."""
    max_content_chars: float | None = None
    """The same from above; long documents are kept by default."""
    min_mean_word_graphemes: float | None = 1.5
    """Mean word length in graphemes (Gopher has 3 code points, for English)."""
    max_mean_word_graphemes: float | None = 20
    """The same from above (Gopher has 10 code points; Greenlandic words average 16)."""
    max_word_graphemes: float | None = 1000
    """The longest word (C4)."""
    min_letter_share: float | None = 0.5
    """Letters and marks among all characters that are not spaces."""
    max_digit_share: float | None = 0.3
    """Decimal digits of any script among the same."""
    min_letter_word_share: float | None = 0.7
    """Words with at least one letter (Gopher has 0.8)."""
    max_hash_ratio: float | None = 0.1
    """'#' for each word (Gopher)."""
    max_ellipsis_ratio: float | None = 0.1
    """Ellipses for each word (Gopher)."""
    max_curly_ratio: float | None = 0.02
    """Curly brackets among all characters (C4 removes a page for one)."""
    max_bullet_line_share: float | None = 0.9
    """Lines that start with a bullet of any kind (Gopher)."""
    max_ellipsis_line_share: float | None = 0.3
    """Lines that end in an ellipsis (Gopher)."""
    min_terminal_line_share: float | None = None
    """Lines that end a sentence by the script's own marks (FineWeb has 0.12).

    Off: verse, scripture and whole traditions write without; it removed all of Syriac."""
    max_short_line_share: float | None = None
    """Lines below 30 characters of content (FineWeb has 0.67); off: verse and drama have them."""
    max_newline_ratio: float | None = 0.5
    """Line breaks for each word (FineWeb has 0.3)."""
    max_duplicate_line_share: float | None = 0.5
    """Lines that repeat an earlier one (Gopher has 0.3, which removes plays for their names)."""
    max_duplicate_line_char_share: float | None = 0.2
    """Characters in such lines (Gopher)."""
    max_duplicate_paragraph_share: float | None = 0.3
    """Paragraphs that repeat an earlier one (Gopher)."""
    max_duplicate_paragraph_char_share: float | None = 0.2
    """Characters in such paragraphs (Gopher)."""
    max_top_2gram_share: float | None = 0.2
    """Characters in the most frequent pair of words (Gopher), or the like in unspaced scripts."""
    max_top_3gram_share: float | None = 0.18
    """The same for three words."""
    max_top_4gram_share: float | None = 0.16
    """The same for four words."""
    max_duplicate_5gram_share: float | None = 0.25
    """Characters in repeated runs of five words (Gopher has 0.15)."""
    max_duplicate_6gram_share: float | None = 0.24
    """The same for six words (Gopher has 0.14)."""
    max_duplicate_7gram_share: float | None = 0.23
    """The same for seven words (Gopher has 0.13)."""
    max_duplicate_8gram_share: float | None = 0.22
    """The same for eight words (Gopher has 0.12)."""
    max_duplicate_9gram_share: float | None = 0.21
    """The same for nine words (Gopher has 0.11)."""
    max_duplicate_10gram_share: float | None = 0.2
    """The same for ten words (Gopher has 0.10)."""
    min_label_score: float | None = 0.3
    """The model's score, where the model alone decided the label."""
    max_disagreement: float | None = 0.6
    """How surely the model may contradict a declared label."""
    min_label_script_share: float | None = 0.3
    """Letters that are in the script of the label."""


class Dedupe(Section):
    """Removal of documents that are there already, across all corpora."""

    url: bool = True
    """One file's documents for each URL; parts of one file that share a URL all stay."""
    exact: bool = True
    """One document for each text."""
    near: bool = True
    """One document for each group of near-duplicates (MinHash-LSH)."""
    bands: int = Field(default=14, ge=1, le=64)
    """Bands of the LSH; two documents with similarity s meet with 1 - (1 - s^rows)^bands."""
    rows: int = Field(default=8, ge=1, le=32)
    """Hashes in a band."""
    shingle_words: int = Field(default=5, ge=1, le=20)
    """Words in a shingle, where the script has spaces."""
    shingle_graphemes: int = Field(default=7, ge=1, le=40)
    """Graphemes in a shingle, where it has none."""
    memory_mb: int = Field(default=256, ge=16)
    """What the join of one partition may hold; more documents make more partitions."""


class CorpusSettings(Section):
    """How the corpus is built (the `corpus:` section)."""

    identify: Identify = Identify()
    """Language identification."""
    pii: Pii = Pii()
    """Masking of personal data."""
    thresholds: Literal["fixed", "auto"] = "fixed"
    """`auto` derives each language's thresholds from its own documents, shrunk to its script's."""
    rules: Rules = Rules()
    """Limits for every language."""
    rules_by_label: dict[Label, dict[str, float | None]] = {}
    """Limits for single languages, over `rules`."""
    dedupe: Dedupe = Dedupe()
    """Duplicates."""
    shard_mb: int = Field(default=256, ge=1)
    """Size of a published shard, in megabytes of text."""
    on_error: Literal["quarantine", "fail"] = "quarantine"
    """What an unreadable record does: it is set aside and counted, or it ends the run."""

    @field_validator("rules_by_label")
    @classmethod
    def _known_rules(cls, value: dict[str, dict[str, float | None]]) -> Any:  # noqa: ANN401
        for label, rules in value.items():
            for name in rules:
                if name not in Rules.model_fields:
                    raise PydanticCustomError(
                        "rule",
                        "{label} has no rule {name}.",
                        {
                            "label": label,
                            "name": repr(name),
                            "remedy": did_you_mean(name, list(Rules.model_fields)),
                        },
                    )
        return value


class Config(Section):
    """The parts of corpora.yaml that belong to `koine corpus`."""

    corpora: tuple[Corpus, ...]
    """The inputs. Of two copies of a document, the corpus listed first keeps its own."""
    corpus: CorpusSettings = CorpusSettings()
    """How the corpus is built."""

    @field_validator("corpora")
    @classmethod
    def _unique_names(cls, value: tuple[Corpus, ...]) -> tuple[Corpus, ...]:
        seen: set[str] = set()
        if not value:
            raise PydanticCustomError(
                "no_corpora", "there is no corpus.", {"remedy": "Add one: `- name: ...`."}
            )
        for corpus in value:
            if corpus.name in seen:
                raise PydanticCustomError(
                    "duplicate_name",
                    "two corpora are named {name}.",
                    {"name": repr(corpus.name), "remedy": "Give each corpus its own name."},
                )
            seen.add(corpus.name)
        return value


def load(path: Path, *, overrides: Mapping[str, Any] | None = None) -> Config:
    """Read and check the corpus part of a corpora.yaml.

    Args:
        path: the file.
        overrides: values by dotted key (`corpus.shard_mb`) that replace what the file says.

    Raises:
        ConfigError: with every problem of the file, each with line and column.
    """
    document = strict_yaml.load(path)
    config = validate(Config, document, path=str(path), overrides=overrides or {})
    model = config.corpus.identify.model
    if model == "lid.176" or Path(model).is_absolute():
        return config
    # Like the files of the corpora, a model's path starts at the folder of the configuration.
    found = str((path.absolute().parent / model).resolve())
    identify = config.corpus.identify.model_copy(update={"model": found})
    corpus = config.corpus.model_copy(update={"identify": identify})
    return config.model_copy(update={"corpus": corpus})


def validate(
    model: type[ModelT],
    document: strict_yaml.Document,
    *,
    path: str,
    overrides: Mapping[str, Any],
) -> ModelT:
    """Check a YAML document against a model and return it, or raise all problems at once."""
    values = document.values
    if isinstance(values, dict):
        # A section of another package is its own to check; `koine check` checks them all.
        for name in set(SECTIONS) - set(model.model_fields):
            values.pop(name, None)
    if not isinstance(values, dict):
        remedy = "Start with `corpora:` and a list."
        raise ProblemsError(path, [Problem(1, 1, "", "the file is not a mapping.", remedy)])
    for dotted, value in overrides.items():
        keys = dotted.split(".")
        if keys[0] in model.model_fields or keys[0] not in SECTIONS:
            _set(values, keys, value)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        problems = [problem_of(model, document, detail) for detail in error.errors()]
        raise ProblemsError(path, problems) from None


def _set(values: dict[str, Any], keys: list[str], value: Any) -> None:  # noqa: ANN401
    for key in keys[:-1]:
        inner = values.setdefault(key, {})
        if not isinstance(inner, dict):
            inner = values[key] = {}
        values = inner
    values[keys[-1]] = value
