"""Builds to encode: a corpus with a vocabulary beside it."""

import json
import shutil
from pathlib import Path

from vocabulary_models import small_model

from pipelines import store
from tokenizer import export, parity_bpe


def write_vocabulary(folder: Path, model: bytes | None = None) -> str:
    """Write the folder `vocab` of a build; return the vocabulary's hash."""
    target = store.Folder(folder)
    target.remove_all()
    target.create()
    written = export.export(small_model() if model is None else model, target, meta={})
    vocab_hash = export.vocab_hash(target.read_bytes(export.MODEL))
    commit(target, written, vocab_hash)
    return vocab_hash


def write_byte_level(folder: Path, units: dict[str, int]) -> str:
    """Write a byte-level vocabulary, which has no spm.model."""
    target = store.Folder(folder)
    target.remove_all()
    target.create()
    trained = parity_bpe.train_parity_bpe(
        {"und_Zyyy": sorted(units.items())}, size=2000, bytes_per_content={"und_Zyyy": 1.0}
    )
    written = parity_bpe.export_tokenizer(trained, target, meta={})
    value = json.loads(target.read_bytes(export.TOKENIZER))
    vocab_hash = parity_bpe.tokenizer_hash(value)
    commit(target, written, vocab_hash)
    return vocab_hash


def commit(folder: store.Folder, written: list[store.Written], vocab_hash: str) -> None:
    store.write_manifest(
        folder,
        artefact="vocab",
        fingerprint=store.fingerprint(vocab_hash),
        counts={},
        files=written,
        vocab_hash=vocab_hash,
    )


def with_vocabulary(build: Path, out: Path) -> Path:
    """Copy the corpus of a build to another folder, and put a vocabulary beside it."""
    shutil.copytree(build / "corpus", out / "corpus")
    write_vocabulary(out / "vocab")
    return out
