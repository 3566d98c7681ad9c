"""Encode a corpus: each shard of text becomes a shard of tokens with its sentence ends.

    out/corpus/<label>/part-NNNNN.arrow  ->  out/tokens/<label>/part-NNNNN.arrow, manifest.json
    out/work/tokens/                         the journal: what makes a second run short

Promises: documents read = encoded + quarantined, or the run fails; the same corpus and vocabulary
give the same bytes, whatever the engine and the workers; a killed run goes on where it was. A shard
is encoded again when its text, the vocabulary or ENCODE_VERSION changed, and only then. Nothing is
cut or padded: that is for the reader to do, who knows the model.

Quarantined is what can't be encoded as it stands: a document that is not koine's clean text
(`not_normalised`; a corpus that koine built has none) or that shows nothing (`empty`).
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pipelines import engines, jit, store
from pipelines.engines import Engine
from pipelines.errors import DataError
from pipelines.progress import Display

from . import encode_unit, encoder, tokens
from .encode_unit import LONGEST, SUMS

ENCODE_VERSION = 1
"""Raise it when encoding changes what it gives: all shards are encoded again."""

UNIT_BYTES = 16 << 20  # of corpus shards in a unit of work
CORPUS, VOCAB, WORK, JOURNAL = "corpus", "vocab", "work", "tokens"
SHOWN = 20  # ids of quarantined documents in the ledger


@dataclass(frozen=True, slots=True)
class Encoded:
    """What was encoded, and where it is."""

    folder: str
    """The folder `tokens`."""
    vocab_hash: str
    tokens: dict[str, int]
    """Tokens by label."""
    statistics: dict[str, dict[str, int]]
    """By label: documents, tokens, sentences, bytes of text, byte_tokens (of byte fallback),
    moved_ends, longest_document and longest_sentence in tokens."""
    ledger: dict[str, Any]
    """read, encoded, quarantined by reason, examples: ids of some quarantined documents."""
    num_shards: int
    kept_shards: int
    """Shards that an earlier run had encoded."""
    seconds: float


def encode(*, out: str, engine: Engine, display: Display | None = None) -> Encoded:
    """Encode the corpus of a build with its vocabulary.

    Args:
        out: folder or fsspec URL of the build, with `corpus` and `vocab` in it.
        engine: what runs the work units.
        display: shows progress; quiet when left out.

    Raises:
        DataError: there is no corpus or vocabulary, a file of theirs is not what its manifest
            says, or the ledger does not balance.
        EnvironmentProblem: the folder cannot be written, is full, or another run works in it.
    """
    started = time.monotonic()
    display = display or Display(quiet=True)
    folder = store.Folder(out)
    plan = _plan(folder)
    target, journal = folder / tokens.TOKENS, folder / WORK / JOURNAL
    target.create()
    with store.locked(folder):
        target.remove_temporary()
        # From here on the old artefact is gone; what is listed never changes under a reader.
        target.remove(store.MANIFEST)
        wanted = {shard["name"] for shard in plan.shards}
        for name in target.names():
            if name not in wanted:
                target.remove(name)
        known = _read_journal(journal)
        units = list(_units(plan.shards, known))
        if not jit.is_compiled(Path(__file__).parent):
            display.note("compiling koine's kernels first, once for this version: some seconds")
        engines.run_phase(
            engine,
            f"{encode_unit.__name__}:encode_unit",
            units,
            {
                "work": (folder / WORK).url,
                "journal": journal.url,
                "corpus": (folder / CORPUS).url,
                "tokens": target.url,
                "vocab": (folder / VOCAB).url,
                "model": asdict(plan.model),
                "vocab_hash": plan.vocab_hash,
            },
            display=display,
            total=sum(unit["num_bytes"] for unit in units),
            title="encode",
        )
        entries = [
            entry for unit in units for entry in encode_unit.read_entries(journal, unit["name"])
        ]
        ledger, statistics = _add_up(plan, entries)
        _commit(target, plan, entries, ledger=ledger, statistics=statistics)
        used = {f"{unit['name']}.json" for unit in units}
        for name in journal.names():
            if name not in used:
                journal.remove(name)
    return Encoded(
        folder=target.url,
        vocab_hash=plan.vocab_hash,
        tokens={label: row["tokens"] for label, row in statistics.items()},
        statistics=statistics,
        ledger=ledger,
        num_shards=len(plan.shards),
        kept_shards=sum(shard["key"] in known for shard in plan.shards),
        seconds=round(time.monotonic() - started, 3),
    )


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is to be encoded, with what."""

    shards: list[dict[str, Any]]
    """name, num_bytes, sha256, num_rows of each corpus shard, and `key`: what its tokens depend
    on, hashed."""
    model: store.Written
    vocab_hash: str
    corpus: str
    """SHA-256 of the corpus's manifest."""


def _plan(folder: store.Folder) -> _Plan:
    corpus = folder / CORPUS
    manifest = store.read_manifest(corpus, artefact=CORPUS)
    vocab = store.read_manifest(folder / VOCAB, artefact=VOCAB)
    vocab_hash: str = vocab["vocab_hash"]
    shards = []
    for written in store.listed(manifest):
        if not written.name.endswith(".arrow"):
            continue
        code = [ENCODE_VERSION, tokens.SCHEMA_VERSION]
        key = store.fingerprint([code, vocab_hash, written.name, written.sha256])
        shards.append({**asdict(written), "key": key})
    return _Plan(
        shards=shards,
        model=encoder.checked_file(folder / VOCAB, vocab),
        vocab_hash=vocab_hash,
        corpus=hashlib.sha256(corpus.read_bytes(store.MANIFEST)).hexdigest(),
    )


def _read_journal(journal: store.Folder) -> dict[str, dict[str, Any]]:
    """Return what earlier runs encoded, by the key of the shard."""
    known = {}
    for name in journal.names():
        for entry in encode_unit.read_entries(journal, name.removesuffix(".json")):
            known[entry["key"]] = entry
    return known


def _units(
    shards: list[dict[str, Any]], known: Mapping[str, dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Put small shards together to units worth a journal entry.

    What is known of a shard goes with it: whatever units it was in before, it is not encoded again.
    """
    group: list[dict[str, Any]] = []
    for index, shard in enumerate(shards):
        group.append({**shard, "known": known.get(shard["key"])})
        num_bytes = sum(one["num_bytes"] for one in group)
        if num_bytes >= UNIT_BYTES or index == len(shards) - 1:
            name = store.fingerprint([one["key"] for one in group])[:20]
            yield {"name": name, "shards": group, "num_bytes": num_bytes}
            group = []


def _add_up(
    plan: _Plan, entries: list[dict[str, Any]]
) -> tuple[dict[str, Any], dict[str, dict[str, int]]]:
    """Return the ledger, and the statistics by label.

    Raises:
        DataError: the ledger does not balance.
    """
    statistics: dict[str, dict[str, int]] = {}
    quarantined: Counter[str] = Counter()
    examples: list[str] = []
    for entry in entries:
        label = entry["name"].partition("/")[0]
        row = statistics.setdefault(label, dict.fromkeys((*SUMS, *LONGEST), 0))
        for key in SUMS:
            row[key] += entry["counts"][key]
        for key in LONGEST:
            row[key] = max(row[key], entry["counts"][key])
        quarantined.update(entry["quarantined"])
        examples += entry["examples"]
    ledger = {
        "read": sum(shard["num_rows"] for shard in plan.shards),
        "encoded": sum(row["documents"] for row in statistics.values()),
        "quarantined": dict(sorted(quarantined.items())),
        "examples": examples[:SHOWN],
    }
    given = ledger["encoded"] + sum(quarantined.values())
    if ledger["read"] != given:
        raise DataError(
            f"the ledger does not balance: the corpus has {ledger['read']:,} documents, but "
            f"encoded + quarantined = {given:,}.\n  This is a bug of koine; nothing was committed."
        )
    return ledger, dict(sorted(statistics.items()))


def _commit(
    target: store.Folder,
    plan: _Plan,
    entries: list[dict[str, Any]],
    *,
    ledger: dict[str, Any],
    statistics: dict[str, dict[str, int]],
) -> None:
    """Write the manifest."""
    files = [store.Written(**entry["file"]) for entry in entries]
    hashes = sorted([written.name, written.sha256] for written in files)
    code = [ENCODE_VERSION, tokens.SCHEMA_VERSION]
    store.write_manifest(
        target,
        artefact=tokens.TOKENS,
        fingerprint=store.fingerprint([code, hashes, plan.vocab_hash, plan.corpus]),
        counts={"ledger": ledger, "labels": statistics},
        files=files,
        schema_version=tokens.SCHEMA_VERSION,
        vocab_hash=plan.vocab_hash,
        corpus=plan.corpus,
    )


def verify(out: str) -> list[str]:
    """Re-hash the token shards of a build and return what is wrong, in words."""
    return store.verify(store.Folder(out) / tokens.TOKENS, artefact=tokens.TOKENS)
