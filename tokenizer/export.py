"""Write a trained vocabulary as the files that SentencePiece and Hugging Face load.

    spm.model                 the pieces with koine's normaliser as SentencePiece rules
    tokenizer.json            the same pieces for tokenizers and transformers
    tokenizer_config.json     what AutoTokenizer needs beside it
    special_tokens_map.json   the special pieces, for older readers

Both forms take raw text and give the same ids; `tokenizer.prove` shows it on text of every
language. Four things make it so. The normalisers have the same effect (`tokenizer.normaliser`).
Metaspace splits before each space, which no piece crosses, so the search finds the same pieces word
by word as SentencePiece does in the whole text. Special and byte pieces, which SentencePiece
keeps out of its search but tokenizers' Unigram matches as text, are cut apart behind their bracket
when text spells them; no piece of koine's crosses that place, since a bracket is a unit of its own.
Their scores stay as they are: tokenizers takes the lowest of all scores to charge an unknown
character, so a prohibitive one would change where such characters are cut out. And scores are
rounded, so that both add them up without error and break ties alike (`finished`).

Does not do: pieces that the user defined (they would be matched before the search), vocabularies
without byte fallback.
"""

from __future__ import annotations

import hashlib
import json
import re
import struct
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pipelines.errors import DataError
from pipelines.store import Folder, Written

from .normaliser import WORD_START, normalizers, rules
from .spm_format import (
    BPE,
    BYTE,
    CONTROL,
    NORMAL,
    UNIGRAM,
    UNKNOWN,
    Model,
    NormalizerSpec,
    parse,
    parse_normalizer,
    serialise,
)

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
"""The special pieces; their ids are their positions."""

NAMES = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))
MODEL, TOKENIZER, CONFIG, SPECIAL_MAP = (
    "spm.model",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
)
MAX_LENGTH = 512
SCORE_STEPS = 256
"""Scores are whole multiples of 1 / this."""


def export(
    model: bytes, folder: Folder, *, meta: Mapping[str, str], max_length: int = MAX_LENGTH
) -> list[Written]:
    """Write the four files of a SentencePiece vocabulary.

    Args:
        model: a model as SentencePiece trains it on clean text, or one that `finished` returned.
        folder: where to write.
        meta: facts to keep in tokenizer_config.json under "koine".
        max_length: the longest sequence, in pieces, that the model to come can take.

    Returns:
        The files, in the order of their names.

    Raises:
        DataError: the model is none, or its special or byte pieces are not where koine has them.
    """
    data = finished(model)
    parsed = parse(data, place=MODEL)
    return [
        folder.write_bytes(MODEL, data),
        *write_config(folder, meta={**meta, "vocab_hash": vocab_hash(data)}, max_length=max_length),
        folder.write_bytes(TOKENIZER, to_json(tokenizer_json(parsed))),
    ]


def finished(model: bytes) -> bytes:
    """Return the model with koine's normaliser, without what depends on where it was trained.

    Scores are rounded to 1/256: two in a thousand lines are cut in another way than before, equally
    well, and sums are exact in float32 and float64, so that no cut hangs on a rounding error.

    Doing it twice changes nothing. Raises DataError like `export`.
    """
    parsed = parse(model, place=MODEL)
    _check(parsed)
    pieces = [p._replace(score=round(p.score * SCORE_STEPS) / SCORE_STEPS) for p in parsed.pieces]
    normalizer = NormalizerSpec("koine", _charsmap())
    return serialise(replace(parsed, pieces=pieces, normalizer=normalizer))


def vocab_hash(model: bytes) -> str:
    """Return the SHA-256 of what decides the ids: kind, pieces, scores, normaliser.

    It is the same whatever trained the model and wherever. The normaliser counts, so hash what
    `finished` returned, or a file spm.model.
    """
    parsed = parse(model, place=MODEL)
    digest = hashlib.sha256(f"koine vocabulary 1\n{parsed.kind}\n".encode())
    for piece in parsed.pieces:
        text = piece.text.encode()
        digest.update(struct.pack("<IfI", len(text), piece.score, piece.kind) + text)
    spec = parsed.normalizer
    flags = (spec.add_dummy_prefix, spec.remove_extra_whitespaces, spec.escape_whitespaces)
    digest.update(struct.pack("<???", *flags) + spec.charsmap)
    return digest.hexdigest()


def write_config(folder: Folder, *, meta: Mapping[str, str], max_length: int) -> list[Written]:
    """Write special_tokens_map.json and tokenizer_config.json, which no vocabulary changes."""
    names = dict(zip(NAMES, SPECIAL, strict=True))
    added = {str(token.pop("id")): token for token in added_tokens()}
    config = {
        **names,
        "mask_token": {"__type": "AddedToken", **added["4"]},
        "added_tokens_decoder": added,
        "clean_up_tokenization_spaces": False,
        "koine": dict(meta),
        "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
        "model_max_length": max_length,
        "padding_side": "right",
        "tokenizer_class": "PreTrainedTokenizerFast",
        "truncation_side": "right",
    }
    return [
        folder.write_json(SPECIAL_MAP, {**names, "mask_token": added["4"]}),
        folder.write_json(CONFIG, config),
    ]


def tokenizer_json(model: Model) -> dict[str, Any]:
    """Return tokenizer.json of a model, as a value."""
    pre_tokenizer: dict[str, Any] = {
        "type": "Metaspace",
        "replacement": WORD_START,
        # "first", not "always": what follows [MASK] without a space goes on with the word.
        "prepend_scheme": "first",
        "split": True,
    }
    described: dict[str, Any]
    if model.kind == UNIGRAM:
        described = {
            "type": "Unigram",
            "unk_id": 1,
            "vocab": [[piece.text, piece.score] for piece in model.pieces],
            "byte_fallback": True,
        }
        pre_tokenizer = {"type": "Sequence", "pretokenizers": [pre_tokenizer, _apart()]}
    else:
        described = {
            "type": "BPE",
            "dropout": None,
            "unk_token": SPECIAL[1],
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": True,
            "byte_fallback": True,
            "ignore_merges": False,
            "vocab": {piece.text: number for number, piece in enumerate(model.pieces)},
            "merges": _merges(model),
        }
    decoders = [
        {"type": "Replace", "pattern": {"String": WORD_START}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": 1, "stop": 0},
    ]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added_tokens(),
        "normalizer": normalizers(),
        "pre_tokenizer": pre_tokenizer,
        "post_processor": template(),
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": described,
    }


def template() -> dict[str, Any]:
    """Return the post-processor: `[CLS] A [SEP]` or `[CLS] A [SEP] B [SEP]`, types 0 and 1."""

    def special(name: str, type_id: int) -> dict[str, Any]:
        return {"SpecialToken": {"id": name, "type_id": type_id}}

    single = [special("[CLS]", 0), {"Sequence": {"id": "A", "type_id": 0}}, special("[SEP]", 0)]
    second = [{"Sequence": {"id": "B", "type_id": 1}}, special("[SEP]", 1)]
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": single + second,
        "special_tokens": {
            name: {"id": name, "ids": [SPECIAL.index(name)], "tokens": [name]}
            for name in ("[CLS]", "[SEP]")
        },
    }


def to_json(value: object) -> bytes:
    """Return JSON in the order of the value; pieces stay readable."""
    return (json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n").encode()


def added_tokens() -> list[dict[str, Any]]:
    """Return the special pieces as tokenizer.json lists them.

    [MASK] takes the space before it: it stands for a piece, and pieces carry their space.
    """
    return [
        {
            "id": number,
            "content": name,
            "single_word": False,
            "lstrip": name == "[MASK]",
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
        for number, name in enumerate(SPECIAL)
    ]


def _apart() -> dict[str, Any]:
    """Return the pre-tokenizer that cuts spelled-out special and byte pieces behind the bracket."""
    names = "|".join(re.escape(name[1:]) for name in SPECIAL)
    pattern = rf"\[(?={names})|<(?=0x[0-9A-F]{{2}}>)"
    return {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "MergedWithPrevious",
        "invert": False,
    }


def _merges(model: Model) -> list[list[str]]:
    """Return the merges of a BPE model: every way to join two pieces into one, best piece first.

    SentencePiece keeps no merges: it joins whatever two neighbours make the best piece.
    """
    scores = {piece.text: piece.score for piece in model.pieces if piece.kind == NORMAL}
    found = [
        (-score, text, cut)
        for text, score in scores.items()
        for cut in range(1, len(text))
        if text[:cut] in scores and text[cut:] in scores
    ]
    return [[text[:cut], text[cut:]] for _, text, cut in sorted(found)]


def _check(model: Model) -> None:
    """Raise DataError unless the model is one of koine's."""
    if model.kind not in (UNIGRAM, BPE):
        raise DataError(f"{MODEL}: is neither a Unigram nor a BPE model.")
    texts = [piece.text for piece in model.pieces]
    kinds = [piece.kind for piece in model.pieces]
    expected = [*SPECIAL, *BYTES]
    wanted = [CONTROL, UNKNOWN, *[CONTROL] * 3, *[BYTE] * 256]
    fact = ""
    for number, (name, found) in enumerate(zip(expected, texts, strict=False)):
        if name != found:
            fact = f"piece {number} is {found!r}, not {name!r}"
            break
    if not fact and len(texts) < len(expected):
        fact = f"it ends at piece {len(texts)}"
    if not fact and (not model.byte_fallback or kinds[: len(wanted)] != wanted):
        fact = "special and byte pieces are of another kind, or byte fallback is off"
    if fact:
        raise DataError(
            f"{MODEL}: {fact}.\n"
            "  koine's vocabularies start with [PAD] [UNK] [CLS] [SEP] [MASK] and 256 byte pieces."
        )
    for number, piece in enumerate(model.pieces[len(wanted) :], len(wanted)):
        if piece.kind != NORMAL:
            raise DataError(f"{MODEL}: piece {number} ({piece.text!r}) is no ordinary piece.")


def _charsmap() -> bytes:
    """Return koine's rules as SentencePiece compiles them."""
    import sentencepiece

    sentencepiece.set_min_log_level(2)
    normalizer = sentencepiece.SentencePieceNormalizer(norm_map=rules())
    return parse_normalizer(normalizer.serialized_normalizer_spec()).charsmap
