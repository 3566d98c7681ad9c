"""Train a byte-level BPE that gives each merge to the language that fares worst so far.

This is `trainers.ParityBpeTrainer` of tokenizers (Foroutan et al., Parity-Aware Byte-Pair Encoding,
2025) on koine's units: an alternative to the SentencePiece vocabularies, and the bar that they have
to meet on parity. The trainer takes running text per language, and a target for each: the language
with the lowest (bytes per piece) / target gets the next merge. With the bytes that a language needs
per unit of content as its target, that is the one with the least content per piece. Text that says
the same in every language is the better target, where there is some.

Its pieces are byte strings, spaces included; any character can be cut in the middle. The
pre-tokenizer is a regular expression and no kernel, so pieces keep to koine's units but for this:
letters of two scripts other than Latin, Chinese and Japanese may share one without a space between
them, and the parts of an emoji are units.
Determined by the input; there is no spm.model, and encoding goes through tokenizers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipelines.errors import ConfigError, DataError
from pipelines.store import Folder, Written, fingerprint

from .export import (
    MAX_LENGTH,
    SPECIAL,
    TOKENIZER,
    added_tokens,
    template,
    to_json,
    write_config,
)
from .normaliser import WORD_START, normalizers

if TYPE_CHECKING:
    import tokenizers

FIRST_MERGE = len(SPECIAL) + 256
"""The id of the first piece that is no special piece and no single byte."""

UNITS_PER_LABEL = 200_000
_LINE_UNITS = 10_000  # in one text handed to the trainer
_BREAK = "\n"  # in no unit: white space ends units

# A unit, with the space before it: letters of Latin, of Chinese and Japanese, or of other scripts,
# with their marks and with apostrophes inside; one digit; a run of one other character, with the
# marks and joiners that hang on it; a space alone.
_JOINS = r"\p{M}\p{Lm}\x{200c}\x{200d}\x{0f0b}\x{0f0c}"
_INSIDE = r"['\x{2018}\x{2019}\x{02bc}\x{ff07}\x{00b7}\x{05f3}\x{05f4}]"
_EAST = r"\p{Han}\p{Hiragana}\p{Katakana}\p{Bopomofo}"


def _word(letters: str) -> str:
    run = rf"[{_JOINS}]*{letters}(?:{letters}|[{_JOINS}])*"
    return rf"{run}(?:{_INSIDE}{run})*\x{{200b}}?"


_OTHERS = rf"[\p{{L}}\p{{Nl}}&&[^\p{{Latin}}{_EAST}]]"
_WORDS = "|".join(_word(letters) for letters in (r"\p{Latin}", f"[{_EAST}]", _OTHERS))
UNIT = (
    rf" ?(?:{_WORDS}|[\p{{Nd}}\p{{No}}]\p{{M}}*"
    rf"|([^\s\p{{L}}\p{{M}}\p{{N}}\x{{200c}}\x{{200d}}])\1*[{_JOINS}]*)"
    r"| "
)


def train_parity_bpe(
    units_by_label: Mapping[str, Iterable[tuple[str, int]]],
    *,
    size: int,
    bytes_per_content: Mapping[str, float] | None = None,
    parallel: Mapping[str, Sequence[str]] | None = None,
    units_per_label: int = UNITS_PER_LABEL,
) -> tokenizers.Tokenizer:
    """Return a vocabulary in which languages get equally far with a piece.

    Args:
        units_by_label: units and how often they occur, by label; a leading U+2581 is a space.
        size: how many pieces, special ones and bytes among them.
        bytes_per_content: bytes that a label needs per unit of content (any unit, but one).
        parallel: the same normalised lines in every label, used instead if given.
        units_per_label: how many units of each label are read; more are thinned out evenly, in the
            order given.

    Raises:
        ConfigError: neither or incomplete targets, or a size without room for merges.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    labels = sorted(units_by_label)
    targets = parallel if parallel is not None else bytes_per_content
    missing = [label for label in labels if label not in (targets or {})]
    if missing:
        raise ConfigError(
            f"parity-bpe: {', '.join(missing[:5])} has no target.\n"
            "  Give the bytes per unit of content, or parallel lines, of every label."
        )
    if size <= FIRST_MERGE:
        raise ConfigError(f"parity-bpe: a size of {size} leaves no room beside 256 bytes.")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(_BREAK, "removed"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.ParityBpeTrainer(
        num_merges=size - FIRST_MERGE,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        min_frequency=2,
        show_progress=False,
    )
    texts = [_texts(units_by_label[label], units_per_label) for label in labels]
    if parallel is not None:
        known = _pre_tokenizer_of(UNIT)
        development = [_lines(parallel[label], known) for label in labels]
        trainer.train_from_iterator(tokenizer, texts, dev_iterators=development)
    else:
        assert bytes_per_content is not None
        ratio = [bytes_per_content[label] for label in labels]
        trainer.train_from_iterator(tokenizer, texts, ratio=ratio)
    return tokenizer


def export_tokenizer(
    tokenizer: tokenizers.Tokenizer,
    folder: Folder,
    *,
    meta: Mapping[str, str],
    max_length: int = MAX_LENGTH,
) -> list[Written]:
    """Write a byte-level BPE with koine's normaliser, units and special pieces.

    Args:
        tokenizer: what `train_parity_bpe` returned; only its model is used.
        folder: where to write tokenizer.json, tokenizer_config.json, special_tokens_map.json.
        meta: facts to keep in tokenizer_config.json under "koine".
        max_length: the longest sequence, in pieces, that the model to come can take.

    Raises:
        DataError: the model is no BPE, or its special pieces have other ids than 0 to 4.
    """
    model = json.loads(tokenizer.to_str())["model"]
    vocab = model.get("vocab")
    if model["type"] != "BPE" or [vocab.get(name) for name in SPECIAL] != [*range(len(SPECIAL))]:
        raise DataError(f"{TOKENIZER}: is no BPE whose first pieces are {' '.join(SPECIAL)}.")
    value = tokenizer_json(model)
    facts = {**meta, "vocab_hash": tokenizer_hash(value)}
    return [
        *write_config(folder, meta=facts, max_length=max_length),
        folder.write_bytes(TOKENIZER, to_json(value)),
    ]


def export_model(
    model: bytes, folder: Folder, *, meta: Mapping[str, str]
) -> tuple[list[Written], str]:
    """Write what `export_tokenizer` writes, from a serialised tokenizer; return its hash too."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_str(model.decode())
    files = export_tokenizer(tokenizer, folder, meta=meta)
    return files, tokenizer_hash(tokenizer_json(json.loads(tokenizer.to_str())["model"]))


def tokenizer_hash(value: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what decides the ids in a tokenizer.json, read as a value."""
    deciding = {name: value[name] for name in ("normalizer", "pre_tokenizer", "model")}
    return fingerprint(deciding)


def tokenizer_json(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return tokenizer.json of a byte-level BPE, as a value."""
    by_id = sorted(model["vocab"].items(), key=lambda item: item[1])
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added_tokens(),
        "normalizer": normalizers(),
        "pre_tokenizer": _pre_tokenizer(),
        "post_processor": template(),
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": dict(by_id),
            "merges": model["merges"],
        },
    }


def _pre_tokenizer() -> dict[str, Any]:
    split = {"type": "Split", "pattern": {"Regex": UNIT}, "behavior": "Isolated", "invert": False}
    return {
        "type": "Sequence",
        "pretokenizers": [
            # Only to put a space before the first word, as before all others.
            {"type": "Metaspace", "replacement": " ", "prepend_scheme": "first", "split": False},
            split,
            {
                "type": "ByteLevel",
                "add_prefix_space": False,
                "trim_offsets": False,
                "use_regex": False,
            },
        ],
    }


def _texts(units: Iterable[tuple[str, int]], at_most: int) -> Iterator[str]:
    """Yield texts of units, one a line, each as often as its share of `at_most` allows."""
    counted = [(unit.replace(WORD_START, " "), count) for unit, count in units]
    total = sum(count for _, count in counted)
    line: list[str] = []
    seen = 0
    for unit, count in counted:
        before, seen = seen, seen + count
        if total > at_most:
            # Every (total / at_most)-th occurrence: exact over the whole, no random numbers.
            count = seen * at_most // total - before * at_most // total
        line += [unit] * count
        while len(line) >= _LINE_UNITS:
            yield _BREAK.join(line[:_LINE_UNITS])
            del line[:_LINE_UNITS]
    if line:
        yield _BREAK.join(line)


def _pre_tokenizer_of(pattern: str) -> Any:  # noqa: ANN401
    from tokenizers import Regex, pre_tokenizers

    return pre_tokenizers.Split(Regex(pattern), "isolated")


def _lines(lines: Sequence[str], splitter: Any) -> Iterator[str]:  # noqa: ANN401
    """Yield normalised lines cut into units, one a line of a text."""
    for line in lines:
        yield _BREAK.join(unit for unit, _ in splitter.pre_tokenize_str(" " + line))
