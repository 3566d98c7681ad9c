"""Leave a model the pieces that some languages need, and prove that those lose nothing.

In a small multilingual model most weights are rows of the vocabulary: of mMiniLM's 117 million, 96
million are. Someone who needs five of its languages carries the others along. `trim` keeps the
pieces that the text of those languages is made of, cuts the rows of the others from the embeddings
and the head, and the tokenizer to match. Nothing is trained; the network's layers are not touched.

    model  = open_model("build/export")
    texts  = open_texts(["build/corpus"])
    report = trim(model, labels=["swh_Latn", "amh_Ethi"], texts=texts, to=Folder("build/small"))

Promises: all the text of the kept languages is cut into the same pieces, and outputs are equal to
1e-5 (`proof`, run and stored each time), in units of the largest output if that is above 1; a tuned
model keeps its head, and says the same; the same inputs give the same model, bit for bit.
Does not promise: that text which wasn't there is cut as before. It never becomes unreadable, as all
characters of the languages' scripts stay; `unseen` estimates how much of it is cut finer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pipelines import store
from pipelines.errors import ConfigError, DataError, EnvironmentProblem

from .. import models
from ..models import Model, open_model
from ..tasks.folder import weights_sha256
from . import card, compare, folder, losses, pieces, proof, rewrite, scores
from .scores import Side
from .texts import Texts, known_labels
from .watcher import SILENT, Watcher

if TYPE_CHECKING:
    import tokenizers

    from ..tasks.data import TaskData
    from ..tasks.features import Features
    from ..tasks.settings import TuneSettings

CODE_VERSION = 1
"""Counted up when the same inputs give another folder."""
MAX_BYTES = 256_000_000
"""Of each language's text that is read; the report says where there is more."""
HELD_EACH = 10
"""Every so many chunks one is set apart, to estimate what unseen text loses."""
_NONE = np.zeros(0, np.int64)
EXTRA = "extra"
"""What texts that are of no language are counted as."""


@dataclass(frozen=True)
class Trimmed:
    """What was done."""

    folder: str
    facts: Mapping[str, Any]
    """As compression.json has it: `labels`; `rows` and `bytes`, before and after; `proof`;
    `unseen`, by language the share of pieces that unseen text would lose; `others`, by language
    what text of a language that was not kept has come to; `comparison`."""
    is_new: bool = True
    """False where the folder was finished before."""


def trim(
    model: Model,
    *,
    labels: Sequence[str],
    texts: Texts,
    to: store.Folder,
    keep: Sequence[str] = (),
    data: TaskData | None = None,
    settings: TuneSettings | None = None,
    max_bytes: int = MAX_BYTES,
    threads: int = 1,
    watcher: Watcher = SILENT,
) -> Trimmed:
    """Write a model with the pieces that some languages need.

    Args:
        model: an opened folder; an encoder, or tuned.
        labels: languages to keep.
        texts: what they are written like; their corpus.
        to: where to write; empty, or an earlier result, which is replaced.
        keep: further texts whose pieces stay.
        data: a task to judge both models on, the languages kept alone; the pieces of its training
            and development texts stay.
        settings: how an encoder is tuned for that.
        max_bytes: of each language's text that is read.
        threads: for the times.
        watcher: is told how it goes.

    Raises:
        ConfigError: a language isn't there, or `to` holds something else.
        DataError: the tokenizer is of another kind, or the weights have no rows of this vocabulary.
        EnvironmentProblem: the proof failed, or the folder can't be written.
    """
    folder.check(to, model)
    labels = known_labels(labels, texts)
    if not labels:
        raise ConfigError("--labels: names no language.\n  For example --labels swh_Latn,amh_Ethi.")
    part = None if data is None else _part(data, labels)
    fingerprint = store.fingerprint(
        {
            "code": CODE_VERSION,
            "model": folder.inputs(model),
            "labels": labels,
            "texts": texts.sha256,
            "keep": list(keep),
            "data": None if part is None else scores.tables_of(part),
            "settings": None if settings is None else settings.model_dump(mode="json"),
            "max_bytes": max_bytes,
        }
    )
    done = folder.finished(to, fingerprint=fingerprint)
    if done is not None:
        return Trimmed(to.url, done, is_new=False)
    own = _Trim(model, labels, texts, keep, part, max_bytes, watcher)
    ids, counted = own.choose()
    value = pieces.trimmed(own.value, ids)
    contents, rows = rewrite.contents(model, value, ids, labels=labels, texts=texts)
    small = rewrite.tokenizer(value)
    chunks, num_bytes, num_pieces = own.prove(small, ids, counted)
    files = folder.begin(to, contents)
    new = open_model(to.url)
    try:
        own.prove_task(new, ids)
        given = proof.sequences(model, counted.samples)
        outputs, largest = proof.same_outputs(model, new, ids, given)
        _prove_spm(to, own)
    except BaseException:
        for name in folder.OWN:
            to.remove(name)
        raise
    found = compare.compare(
        Side(model),
        Side(new),
        data=part,
        settings=settings,
        work=to / folder.WORK,
        threads=threads,
        watcher=watcher,
    )
    facts = {
        "kind": "trimmed",
        "labels": labels,
        "base": {"name": model.name, "weights_sha256": weights_sha256(model)},
        "rows": {"before": int(model.config["vocab_size"]), "after": len(ids), **rows},
        "texts": {"name": texts.name, "sha256": texts.sha256, "bytes": counted.num_bytes},
        "cut_short": counted.cut_short,
        "proof": asdict(proof.Proof(chunks, num_bytes, num_pieces, len(given), outputs, largest)),
        "unseen": own.unseen(counted),
        "others": losses.others(
            texts, labels, model.tokenizer, small, ids, value=own.value, watcher=watcher
        ),
        "comparison": found.facts(),
    }
    folder.commit(
        to,
        files,
        kind="trimmed",
        facts=facts,
        card=card.render(facts, model, labels=labels),
        fingerprint=fingerprint,
        counts={"rows": len(ids), "parameters": found.after.parameters or 0},
    )
    return Trimmed(to.url, facts)


@dataclass
class _Counted:
    """What the text of the kept languages is made of, by label."""

    counts: dict[str, NDArray[np.int64]]
    """(V,) of all chunks."""
    held: dict[str, NDArray[np.int64]]
    """(V,) of the chunks that were set apart, which `counts` has too."""
    digests: dict[str, list[bytes]]
    samples: dict[str, list[NDArray[np.int64]]]
    num_bytes: dict[str, int]
    cut_short: list[str]
    """Languages of which not all text was read."""


class _Trim:
    """One trimming: what it reads, and how often."""

    def __init__(
        self,
        model: Model,
        labels: Sequence[str],
        texts: Texts,
        keep: Sequence[str],
        data: TaskData | None,
        max_bytes: int,
        watcher: Watcher,
    ) -> None:
        self.model, self.labels, self.texts = model, labels, texts
        self.keep, self.data, self.max_bytes, self.watcher = keep, data, max_bytes, watcher
        self.value = pieces.value_of(model.tokenizer, place=str(model.folder / models.TOKENIZER))
        self.size = int(model.config["vocab_size"])
        own = (model.pad, model.cls, model.sep, model.mask)
        self.special = [number for number in own if number is not None]

    def batches(self, label: str) -> Iterator[list[str]]:
        """Yield the text of a language, or the further texts."""
        extra: Iterable[str] = ()
        if label == EXTRA:
            extra = [*self.keep, *_raw(self.data)]
        return proof.batches(self.texts, label, max_bytes=self.max_bytes, extra=extra)

    def choose(self) -> tuple[NDArray[np.int64], _Counted]:
        """Read all text; return the ids that stay, and what was counted."""
        names = [*self.labels, *([EXTRA] if self.keep or self.data is not None else [])]
        found = _Counted({}, {}, {}, {}, {}, [])
        begun: set[str] = set()
        total = sum(min(self.texts.sizes.get(x, 0), self.max_bytes) for x in names) or 1
        seen = 0
        for label in names:
            counts, held = np.zeros((2, self.size), np.int64)
            digests: list[bytes] = []
            samples: list[NDArray[np.int64]] = []
            num_bytes = number = 0
            for batch in self.batches(label):
                encoded = proof.encode(self.model.tokenizer, batch)
                digests.append(proof.digest_of(encoded))
                samples += [one for one in encoded if len(one)][
                    : max(0, proof.SEQUENCES - len(samples))
                ]
                counts += np.bincount(np.concatenate(encoded), minlength=self.size)
                apart = [
                    one for at, one in enumerate(encoded, number) if at % HELD_EACH == HELD_EACH - 1
                ]
                held += np.bincount(np.concatenate([_NONE, *apart]), minlength=self.size)
                number += len(encoded)
                begun |= self._begun(batch, encoded)
                num_bytes += sum(len(x.encode("utf-8", "surrogatepass")) for x in batch)
                at = min(seen + num_bytes, total)
                self.watcher.update(at, 2 * total, f"{label}: reading")
            seen += num_bytes
            if label != EXTRA and not counts.any():
                raise DataError(
                    f"--labels {label}: {self.texts.name} has no text of it.\n"
                    "  Name text files of it with --corpus, or leave it out."
                )
            found.counts[label], found.held[label] = counts, held
            found.digests[label], found.samples[label] = digests, samples
            found.num_bytes[label] = num_bytes
            if num_bytes >= self.max_bytes:
                found.cut_short.append(label)
        for features in self._features(self.model):
            found.counts[EXTRA] += np.bincount(features.ids, minlength=self.size)
        return pieces.kept(self.value, found.counts, also=self.special, begun=begun), found

    def unseen(self, counted: _Counted) -> dict[str, float | None]:
        """Return by language the share of pieces that unseen text would lose."""
        return losses.unseen(
            self.value, counted.counts, counted.held, also=self.special, labels=self.labels
        )

    def prove(
        self, small: tokenizers.Tokenizer, ids: NDArray[np.int64], counted: _Counted
    ) -> tuple[int, int, int]:
        """Check that all text is cut as before."""
        return proof.same_pieces(
            small,
            self.model.tokenizer,
            ids,
            digests=counted.digests,
            batches_of={label: self.batches(label) for label in counted.digests},
            watcher=self.watcher,
        )

    def prove_task(self, new: Model, ids: NDArray[np.int64]) -> None:
        """Check that the task's training and development examples are encoded as before."""
        for one, other in zip(self._features(self.model), self._features(new), strict=True):
            assert one.ids.tolist() == ids[other.ids].tolist(), "an example is cut otherwise"

    def _begun(self, batch: Sequence[str], encoded: Sequence[NDArray[np.int64]]) -> set[str]:
        """Return what unknown words were begun with, of a WordPiece model."""
        if self.value["model"]["type"] != "WordPiece":
            return set()
        tokenizer = self.model.tokenizer
        unknown = tokenizer.token_to_id(self.value["model"]["unk_token"])
        words: set[str] = set()
        for chunk, one in zip(batch, encoded, strict=True):
            if (one == unknown).any():
                text = tokenizer.normalizer.normalize_str(chunk) if tokenizer.normalizer else chunk
                words |= {word for word, _ in tokenizer.pre_tokenizer.pre_tokenize_str(text)}
        longest = self.value["model"]["max_input_chars_per_word"]
        return pieces.beginnings((x for x in words if len(x) <= longest), self.value["model"])

    def _features(self, model: Model) -> Iterator[Features]:
        """Yield the training and development examples of the task, encoded."""
        if self.data is None:
            return
        from ..tasks import encode
        from ..tasks.settings import TuneSettings

        own = self.model.task or {}
        settings = TuneSettings(max_length=own.get("max_length"))
        for table in (self.data.train, self.data.dev):
            if len(table):
                yield encode.encode(
                    self.data.task, table, model, targets=self.data.targets, settings=settings
                )


def _part(data: TaskData, labels: Sequence[str]) -> TaskData:
    """Return the examples of the languages that are kept.

    Raises:
        ConfigError: there are none to judge on.
    """
    part = scores.only(data, labels)
    if not len(part.test) and not len(part.dev):
        there = sorted(set(data.test["label"].to_pylist()) | set(data.dev["label"].to_pylist()))
        raise ConfigError(
            f"--task: {data.name} has no examples of the languages that are kept.\n"
            f"  It has: {', '.join(there[:5])}{' ...' if len(there) > 5 else ''}."
        )
    return part


def _raw(data: TaskData | None) -> Iterator[str]:
    """Yield the texts of a task's training and development examples."""
    for table in () if data is None else (data.train, data.dev):
        for name in ("text", "pair", "context", "question"):
            if name in table.column_names:
                yield from (one for one in table[name].to_pylist() if one)
        if "words" in table.column_names:
            yield from (" ".join(words) for words in table["words"].to_pylist())


def _prove_spm(to: store.Folder, own: _Trim) -> None:
    """Check that spm.model, where there is one, gives the same ids as tokenizer.json.

    Raises:
        EnvironmentProblem: it doesn't.
    """
    if not to.exists("spm.model"):
        return
    from tokenizer.prove import prove

    def lines() -> Iterator[str]:
        for label in own.labels:
            for chunk in own.texts.chunks(label, max_bytes=1_000_000):
                yield from chunk.split("\n")

    shown = prove(to, lines())
    if not shown.holds:
        raise EnvironmentProblem(
            f"{to.path('spm.model')}: gives other ids than tokenizer.json on "
            f"{shown.num_different:,} of {shown.num_lines:,} lines.\n"
            f"  Nothing was written. The first: {shown.examples[0].line[:60]!r}."
        )
