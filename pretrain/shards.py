"""Token shards as the trainer sees them: documents by language and number, in two parts.

Promises: every document with tokens is in the training part or in the held-out part, or, where a
language has too few, its end is held out and the rest is for training: no token is in both. What is
held out depends on ids and seed, not on how documents lie in shards. Tokens are read where the
files are mapped; nothing is kept of a document that is neither held out nor empty.
Does not promise: that the bytes are those that were written. Opening compares the existence and
size of each listed file with the manifest and, while it chooses what is held out, the documents of
each; `koine vocab verify` compares every SHA-256, which takes as long as reading all. On an object
store a shard is fetched whole when it is first used and then kept in memory, and sizes are not
compared: copy the folder `tokens` to a local disk where that is too much.

A language is a number, its place among the sorted labels. A document of a part is a number too, 0
to `num_documents[language]` - 1. Requests take arrays of both, and are fastest when sorted by
language and document.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines import store
from pipelines.config_errors import did_you_mean
from pipelines.errors import ConfigError, DataError
from tokenizer import tokens as token_shards

from . import draws, ragged
from .config import HeldOut
from .held_out import Choice, Chooser, HeldBy
from .part import Batch, Integers, Layout, Part, PartName
from .part import Sentences as Sentences

_AGAIN = "Run `koine vocab encode` again: only what is not as it was written is redone."
_SHOWN = 3  # files named in an error


class Shards:
    """The token shards of a build. Made by `open`."""

    labels: tuple[str, ...]
    """The languages, sorted: a language's number is its place here."""
    num_documents: Integers
    """Of the training part by language, shape (L,)."""
    num_tokens: Integers
    """Of the training part by language, shape (L,)."""
    held_documents: Integers
    """Of the held-out part by language, shape (L,)."""
    held_tokens: Integers
    """Of the held-out part by language, shape (L,)."""
    held_by: tuple[HeldBy, ...]
    """How each language's held-out part was made: of whole documents, of their ends, or not at all,
    where there are few documents and the last sentence of each begins before its end."""
    dtype: np.dtype[Any]
    """Of tokens: uint16 or uint32."""
    vocab_hash: str
    fingerprint: str
    """SHA-256 of the tokens' manifest."""
    corpus_hash: str
    """SHA-256 of the manifest of the corpus that was encoded."""

    def __init__(self, folder: store.Folder, *, vocab_hash: str) -> None:
        """Prepare an empty set; `open` fills it."""
        self._folder, self.vocab_hash = folder, vocab_hash
        self._batches: dict[int, Batch] = {}  # by number, as they are opened
        self._places: list[tuple[str, int]] = []  # each batch's file, and its number there

    @classmethod
    def open(
        cls,
        folder: store.Folder,
        *,
        vocab_hash: str,
        labels: Sequence[str] | None,
        held_out: HeldOut,
        seed: int,
    ) -> Shards:
        """Open the token shards of a build and choose what is held out.

        Args:
            folder: the folder `tokens`.
            vocab_hash: the vocabulary that they must be of.
            labels: the languages; all that have documents when left out.
            held_out: how much is held out.
            seed: of what is held out.

        Raises:
            ConfigError: a language of `labels` has no documents.
            DataError: there are no tokens, those of another vocabulary, or a file that is missing,
                torn or no token shard.
        """
        manifest = token_shards.read_manifest(folder, vocab_hash=vocab_hash)
        files: dict[str, list[store.Written]] = {}
        for written in store.listed(manifest):
            if written.name.endswith(".arrow") and written.num_rows:
                files.setdefault(written.name.partition("/")[0], []).append(written)
        self = cls(folder, vocab_hash=vocab_hash)
        self.fingerprint = hashlib.sha256(folder.read_bytes(store.MANIFEST)).hexdigest()
        self.corpus_hash = manifest["corpus"]
        self.labels = _chosen(labels, sorted(files), folder)
        own = [files[label] for label in self.labels]
        _check_sizes(folder, [written for group in own for written in group])
        key, num_rows = draws.key("held out", seed), list[int]()
        choices = [self._choose(group, held_out, key, num_rows) for group in own]
        self.dtype = self.batch(0).tokens.dtype
        self._take_over(choices, own, np.array(num_rows))
        return self

    def _choose(
        self, files: list[store.Written], held_out: HeldOut, key: int, num_rows: list[int]
    ) -> Choice:
        """Number the batches of a language, and choose what of it is held out."""
        chooser = Chooser(held_out, num_rows=_num_rows(files), key=key)
        for written in files:
            batches = self._read(written.name)
            found = sum(len(batch.ids) for batch in batches)
            if found != written.num_rows:
                raise DataError(
                    f"{self._folder.path(written.name)}: has {found:,} documents, not the "
                    f"{written.num_rows:,} of the manifest.\n  {_AGAIN}"
                )
            for place, batch in enumerate(batches):
                chooser.add(batch)
                if self._folder.is_local:  # mapped, which costs nothing
                    self._batches[len(self._places)] = batch
                self._places.append((written.name, place))
                num_rows.append(len(batch.ids))
        return chooser.choice()

    def _take_over(
        self, choices: list[Choice], files: list[list[store.Written]], num_rows: Integers
    ) -> None:
        """Put the choices together; from here on rows are counted through all languages."""
        first = np.cumsum([0, *map(_num_rows, files)])[:-1]
        held = [choice.held + start for choice, start in zip(choices, first, strict=True)]
        empty = [choice.empty + start for choice, start in zip(choices, first, strict=True)]
        kinds = list(zip(held, choices, strict=True))
        whole = [rows for rows, choice in kinds if choice.by == "documents"]
        split = [rows for rows, choice in kinds if choice.by != "documents"]
        self.held_by = tuple(choice.by for choice in choices)
        self.num_documents = np.array([choice.num_documents for choice in choices], np.int64)
        self.num_tokens = np.array([choice.num_tokens for choice in choices], np.int64)
        self.held_documents = np.array([len(choice.held) for choice in choices], np.int64)
        self.held_tokens = np.array([choice.held_tokens for choice in choices], np.int64)
        none = np.zeros(0, np.int64)
        self._layout = Layout(
            self.batch,
            first_rows=ragged.starts_of(num_rows),
            skipped=np.sort(np.concatenate([none, *whole, *empty])),
            held=np.concatenate(held),
            split_rows=np.concatenate([none, *split]),
            split_tokens=np.concatenate([choice.split_tokens for choice in choices]),
            split_sentences=np.concatenate([choice.split_sentences for choice in choices]),
        )

    def view(self, part: PartName) -> Part:
        """Return one of the two parts."""
        is_held = part == "held_out"
        return Part(
            self._layout,
            part,
            labels=self.labels,
            dtype=self.dtype,
            num_documents=self.held_documents if is_held else self.num_documents,
            num_tokens=self.held_tokens if is_held else self.num_tokens,
        )

    def batch(self, number: int) -> Batch:
        """Return a record batch, opened when it is first needed."""
        found = self._batches.get(number)
        if found is None:
            name, own = self._places[number]
            for place, batch in enumerate(self._read(name)):
                self._batches[number - own + place] = batch
            found = self._batches[number]
        return found

    def _read(self, name: str) -> list[Batch]:
        """Return the batches of a shard that have documents."""
        table = token_shards.open_shard(self._folder, name, vocab_hash=self.vocab_hash)
        found = [_columns(batch) for batch in table.to_batches() if batch.num_rows]
        if not all(map(_holds_together, found)):
            raise DataError(
                f"{self._folder.path(name)}: its documents do not fit together.\n  {_AGAIN}"
            )
        return found


def _chosen(
    labels: Sequence[str] | None, found: list[str], folder: store.Folder
) -> tuple[str, ...]:
    """Return the languages to open, sorted."""
    if not found:
        raise DataError(
            f"{folder.url}: has no documents.\n"
            "  Build a corpus that has some, then run `koine vocab encode`."
        )
    if labels is None:
        return tuple(found)
    missing = sorted(set(labels) - set(found))
    if missing:
        hint = did_you_mean(missing[0], found)
        raise ConfigError(
            f"pretrain.labels: there are no tokens of {', '.join(missing)} in {folder.url}.\n"
            f"  {hint + ' ' if hint else ''}Leave out what is not among its {len(found)} "
            "languages, or build the corpus with it and encode again."
        )
    if not labels:
        raise ConfigError(
            "pretrain.labels: names no language.\n"
            f"  Leave it out to train on all {len(found)}, or name some."
        )
    return tuple(sorted(set(labels)))


def _check_sizes(folder: store.Folder, files: list[store.Written]) -> None:
    """Refuse missing files and, where the storage is local, those of another size."""
    wrong = []
    there = set() if folder.is_local else set(folder.names())
    for written in files:
        try:
            size = written.num_bytes
            if folder.is_local:
                size = (folder.root / written.name).stat().st_size
            elif written.name not in there:
                raise FileNotFoundError
        except (FileNotFoundError, NotADirectoryError):
            wrong.append(f"{folder.path(written.name)}: missing")
            continue
        if size != written.num_bytes:
            fact = f"{size:,} bytes instead of {written.num_bytes:,}"
            wrong.append(f"{folder.path(written.name)}: {fact}")
    if wrong:
        more = f", and {len(wrong) - _SHOWN:,} more" if len(wrong) > _SHOWN else ""
        raise DataError(f"{'; '.join(wrong[:_SHOWN])}{more}.\n  {_AGAIN}")


def _num_rows(files: Sequence[store.Written]) -> int:
    return sum(written.num_rows or 0 for written in files)


def _columns(batch: pa.RecordBatch) -> Batch:
    ids, tokens, ends = (batch.column(name) for name in ("id", "tokens", "sentence_ends"))
    return Batch(
        ids,
        tokens.values.to_numpy(),
        tokens.offsets.to_numpy(),
        ends.values.to_numpy(),
        ends.offsets.to_numpy(),
    )


def _holds_together(batch: Batch) -> bool:
    """Tell whether the documents lie one after the other, and those with tokens have sentences."""
    tokens, sentences = np.diff(batch.offsets), np.diff(batch.end_offsets)
    return (
        bool(np.all((tokens >= 0) & (sentences >= 0) & ((tokens > 0) == (sentences > 0))))
        and 0 <= int(batch.offsets[0]) <= int(batch.offsets[-1]) <= len(batch.tokens)
        and 0 <= int(batch.end_offsets[0]) <= int(batch.end_offsets[-1]) <= len(batch.ends)
    )
