"""Write the finished vocabulary: exported, proved, judged, reported, committed.

Promises: what the manifest lists is whole; spm.model and tokenizer.json gave the same ids and the
same decoded text on every held-out line, or nothing was committed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipelines import store
from pipelines.errors import DataError

from . import export, loading, parity_bpe, prove, report, texts
from .config import VocabSettings

if TYPE_CHECKING:
    from .build import Build
    from .fit import Fitted

VERSION = 1
"""Raise it when counting, sampling or training change what they give."""

ARTEFACT = "vocab"
REPORT_JSON, REPORT_HTML, HELD_OUT = "report.json", "report.html", "held_out.arrow"


@dataclass(frozen=True, slots=True)
class Built:
    """What a training left, and what the languages pay."""

    folder: str
    pieces: int
    vocab_hash: str
    premium: dict[str, float | None]
    """By label; null where there is too little held-out text to tell."""
    summary: dict[str, Any]
    curve: list[dict[str, Any]]
    unjudged: list[str]
    seconds: dict[str, float]
    report: str


def publish(
    run: Build,
    model: str,
    held: pa.Table,
    judged_by: texts.Texts,
    *,
    fitted: Fitted | None,
    labels: Mapping[str, Any],
) -> Built:
    """Export, prove, judge and report; the manifest commits it all.

    Args:
        run: the training.
        model: its name in the folder of models.
        held: the held-out lines, `label` and `text`.
        judged_by: what the languages are judged by.
        fitted: the search of shares, if there was one.
        labels: what each language had in the training.

    Raises:
        DataError: the two exported forms give different ids.
    """
    vocab = run.vocab
    vocab.create()
    vocab.remove_temporary()
    # From here on the old artefact is gone; what is listed never changes under a reader.
    for name in (store.MANIFEST, export.MODEL):
        vocab.remove(name)
    with run.timed("export"):
        files, vocab_hash = _exported(run, model)
        written: list[store.Written] = []
        with vocab.writing(HELD_OUT, committed=written) as file:
            with pa.ipc.new_stream(file, held.schema) as writer:
                writer.write_table(held, max_chunksize=4096)
        files += written
        proof = _proof(vocab, held) if vocab.exists(export.MODEL) else None
    curve = fitted.curve() if fitted else []
    own = export.MODEL if vocab.exists(export.MODEL) else export.TOKENIZER
    with run.timed("judge"), vocab.local(own) as path:
        whole = report.report(
            [loading.load(path, name="koine")],
            texts=judged_by,
            training={
                "settings": _plain(run.settings),
                "curve": curve,
                "labels": dict(labels),
                "proof": {"lines": proof.num_lines, "ties": proof.num_ties} if proof else None,
            },
            min_content=run.settings.parity.min_content,
            seed=run.settings.seed,
        )
    facts = whole["tokenizers"][0]
    with run.timed("report"):
        files.append(vocab.write_json(REPORT_JSON, whole))
        files.append(vocab.write_bytes(REPORT_HTML, report.render(whole).encode()))
    for stale in set(vocab.names()) - {file.name for file in files}:
        vocab.remove(stale)
    store.write_manifest(
        vocab,
        artefact=ARTEFACT,
        fingerprint=store.fingerprint([VERSION, _plain(run.settings), run.corpus_hash, vocab_hash]),
        counts={"pieces": facts["pieces"], "summary": facts["summary"]},
        files=files,
        vocab_hash=vocab_hash,
        corpus=run.corpus_hash,
    )
    premium: dict[str, float | None] = {}
    for label in run.labels:
        own = facts["labels"].get(label)
        premium[label] = None if own is None or own["thin"] else own["premium"]
    return Built(
        folder=vocab.url,
        pieces=facts["pieces"],
        vocab_hash=vocab_hash,
        premium=premium,
        summary=facts["summary"],
        curve=curve,
        unjudged=[label for label, value in premium.items() if value is None],
        seconds={stage: round(seconds, 3) for stage, seconds in run.seconds.items()},
        report=vocab.path(REPORT_HTML),
    )


def _exported(run: Build, model: str) -> tuple[list[store.Written], str]:
    """Write the files that others load; return them and the vocabulary's hash."""
    data = run.models.read_bytes(f"{model}.model")
    meta = {"corpus": run.corpus_hash}
    if run.settings.algorithm == "parity-bpe":
        return parity_bpe.export_model(data, run.vocab, meta=meta)
    return export.export(data, run.vocab, meta=meta), export.vocab_hash(data)


def _proof(vocab: store.Folder, held: pa.Table) -> prove.Proof:
    """Compare the two exported forms on the held-out lines.

    Raises:
        DataError: they differ.
    """
    proof = prove.prove(vocab, held.column("text").to_pylist())
    if not proof.holds:
        raise DataError(
            f"{vocab.url}: {export.TOKENIZER} and {export.MODEL} differ on "
            f"{proof.num_different + proof.num_undecoded:,} of {proof.num_lines:,} lines, "
            f"the first: {proof.examples[0]!r}.\n"
            "  This is a bug of koine; nothing was committed."
        )
    return proof


def _plain(settings: VocabSettings) -> dict[str, Any]:
    """Return the settings without where the parallel text lies."""
    values = settings.model_dump(mode="json")
    values["parallel"] = settings.parallel.name if settings.parallel else None
    return values
