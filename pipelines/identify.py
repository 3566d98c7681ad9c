"""Find the language of each document, and how far that agrees with what its source declares.

The model sees a bounded sample of the text as it stands (lower-casing changes what lid.176 says):
pieces from the beginning, the middle and the end, and separately the text at evenly spread
positions, each piece within one line, whose votes show a document in several languages.

A guess counts only if the document is written in a script that the model knows the language in.
The label's script is the model's own where its labels have one (`swh_Latn`), else the document's;
simplified and traditional Chinese are told apart by their characters (`pipelines.han`).

Promises: the same text gives the same label, whatever batch it is in. All evidence is kept, so
that thresholds can change without asking the model again.
Does not promise: that a model knows a language. Where it doesn't, what was declared stands and
`disagreement` is null, for the model would name some other language with confidence.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from . import languages
from .han import han_script
from .language_model import DEFAULT, Model, ModelLabel, load_model
from .pieces import Pieces, line_pieces, samples
from .records import EVIDENCE
from .unicode import SCRIPTS, buffers

__all__ = ["DEFAULT", "Model", "Policy", "identify", "load_model"]

Policy = Literal["verify", "trust", "ignore"]

NUM_GUESSES = 3
# A guess may be in a script that is not the document's first: Korean pages of code are mostly
# Latin letters. With less than this share of the letters it is taken for noise.
LEAST_SCRIPT_SHARE = 0.25
# With less of `_sureness` a guess names no language: text in one that the model doesn't know is
# spread over many, and would be counted against whichever came first.
LEAST_SCORE = 0.2
ENOUGH_VOTES = 400  # bytes of voting lines
# The declared language is not contradicted if the model gives it this much, of the document or of
# the lines that vote.
ENOUGH_AGREEMENT = 0.2
# Below this many letters (a sentence of Tatoeba) lid.176 is right three times out of four, so it
# contradicts by half at most.
FEW_LETTERS = 50
LEAST_LINE_BYTES = 20
_NO_SCRIPT = frozenset({"Zyyy", "Zinh", "Zzzz"})
_HAN_LANGUAGES = frozenset({"zho", "yue", "wuu", "lzh", "gan", "hak", "hsn", "nan", "cjy", "cdo"})

_Guess = tuple[float, str]


def identify(
    text: pa.LargeStringArray,
    declared: pa.StringArray,
    letters_by_script: NDArray[np.uint32],
    *,
    model: Model,
    policy: Policy,
    script_names: Sequence[str] = SCRIPTS,
    document_bytes: int = 1_000,
    num_lines: int = 8,
    line_bytes: int = 100,
) -> tuple[pa.DictionaryArray, pa.FloatArray, pa.StructArray]:
    """Label each document.

    Args:
        text: (n,) clean documents, no nulls.
        declared: (n,) what the source declares, by `languages.parse_label`: a label, a bare
            language, or null.
        letters_by_script: (n, number of scripts) letters of each document in each script.
        model: from `load_model`.
        policy: `trust` what is declared; `ignore` it; or `verify`: keep it, and say in
            `disagreement` how surely the model contradicts. Without a declaration the model
            decides under any policy.
        script_names: ISO 15924 codes of the columns of `letters_by_script`.
        document_bytes: bytes of a document that the model sees as a whole.
        num_lines: positions at which a piece of a line is taken to vote.
        line_bytes: bytes of such a piece. lid.176 reads 30 to 50 MB a second, so the defaults
            cost 0.02 ms and as much again a document; eight times as many bytes changed the
            label of 8 documents in 1,000.

    Returns:
        (n,) labels, dictionary of strings; (n,) scores, float32 from 0 to 1; (n,) evidence,
        `records.EVIDENCE`. The score of a label that the model gave is the mean of its probability
        and the share of votes for that language (the probability alone if no line voted): of
        clean Swahili lid.176 is sure by 0.29 to 0.59 only, but the lines agree. It is 0 for
        `und_<script>` (no guess fits the script, or none is likely) and for `zxx_Zxxx` (no
        letters). For a declared label it is 1 less the disagreement.

    `disagreement` is 0 where the model gives the declared language, or one it can't tell from
    it, at least 0.2 of the probability in its first three guesses or 0.2 of the votes. Else it
    is the mean of two: the best guess's probability, times the share of votes that were not
    for the declared language; and the largest share of votes for another language. Where no
    line is long enough to vote, it is the probability alone. At most 0.5 below 50 letters.
    """
    offsets, data = buffers(text)
    shown, ends = samples(offsets, data, size=document_bytes)
    guesses = _guesses(shown, ends, model=model)
    lines = line_pieces(offsets, data, count=num_lines, size=line_bytes, least=LEAST_LINE_BYTES)
    votes = _line_votes(lines, len(text), model=model)
    in_script = [i for i, name in enumerate(script_names) if name not in _NO_SCRIPT]
    columns = {script_names[i]: column for column, i in enumerate(in_script)}
    letters = letters_by_script[:, in_script].astype(np.int64)
    totals = letters.sum(axis=1)
    first = letters.argmax(axis=1)
    rows = []
    labels, scores = [], []
    for i, stated in enumerate(declared.to_pylist()):
        document = _Document(
            shown=shown[ends[i] : ends[i + 1]],
            letters=letters[i],
            total=int(totals[i]),
            script=script_names[in_script[first[i]]] if totals[i] else None,
            columns=columns,
        )
        label, score, row = _decide(
            document, guesses[i], votes[i], stated, model=model, policy=policy
        )
        labels.append(label)
        scores.append(score)
        rows.append(row)
    return (
        pa.array(labels, pa.string()).dictionary_encode(),
        pa.array(scores, pa.float32()),
        pa.array(rows, EVIDENCE),
    )


class _Document:
    """What decides about one document beside the model's guesses."""

    __slots__ = ("_columns", "_letters", "_shown", "script", "total")

    def __init__(
        self,
        *,
        shown: NDArray[np.uint8],
        letters: NDArray[np.int64],
        total: int,
        script: str | None,
        columns: dict[str, int],
    ) -> None:
        self.total, self.script = total, script
        self._shown, self._letters, self._columns = shown, letters, columns

    def share(self, scripts: frozenset[str]) -> float:
        """Return the share of the letters that are in one of these scripts."""
        found = sum(int(self._letters[self._columns[s]]) for s in scripts if s in self._columns)
        return found / self.total if self.total else 0.0

    def fits(self, own: ModelLabel) -> bool:
        """Tell whether the document can be in this language, by its script."""
        if own.language == "und":
            return False
        if not own.scripts or self.script in own.scripts:
            return True
        return self.share(own.scripts) >= LEAST_SCRIPT_SHARE

    def label(self, language: str, scripts: frozenset[str] = frozenset()) -> str:
        """Return the label of a bare language, for text in some of these scripts or in any."""
        script = self.script
        if scripts and script not in scripts:  # mostly code or names in another script
            script = max(scripts, key=lambda name: (self.share(frozenset({name})), name))
        return self.refined(languages.complete_label(language, script))

    def refined(self, label: str) -> str:
        """Return the label with Han made simplified or traditional, where the text tells."""
        language, script = languages.language_of(label), languages.script_of(label)
        if script != "Hani" or language not in _HAN_LANGUAGES:
            return label
        text = self._shown.tobytes().decode("utf-8", "ignore")
        return f"{language}_{han_script(text) or languages.likely_script(language)}"


def _decide(
    document: _Document,
    guesses: list[_Guess],
    votes: Counter[str],
    stated: str | None,
    *,
    model: Model,
    policy: Policy,
) -> tuple[str, float, dict[str, object]]:
    """Return (label, score, evidence) of one document."""
    own = model.labels
    fitting = [(score, own[name]) for score, name in guesses if document.fits(own[name])]
    declared = None
    if stated is not None:
        bare = languages.script_of(stated) is None
        declared = document.label(stated) if bare else document.refined(stated)
    disagreement = None
    asked = declared is not None and policy != "trust"  # whom one trusts one does not check
    if declared is not None and asked and document.total and model.knows(declared):
        disagreement = _disagreement(declared, fitting, votes, model=model)
        if document.total < FEW_LETTERS:
            disagreement = min(disagreement, 0.5)
    by_model = declared is None or policy == "ignore"
    if not by_model:
        assert declared is not None
        label, score = declared, 1.0 - (disagreement or 0.0)
    elif document.script is None:
        label, score = languages.NO_LANGUAGE, 0.0
    elif fitting and (score := _sureness(fitting, votes, model=model)) >= LEAST_SCORE:
        best = fitting[0][1]
        label = best.label or document.label(best.language, best.scripts)
        label = document.refined(label)
    else:
        label, score = f"und_{document.script}", 0.0
    num_bytes = sum(votes.values())
    top = votes.most_common(NUM_GUESSES)
    pad = [None] * NUM_GUESSES
    evidence = {
        "labels": ([_name(own[name]) for _, name in guesses] + pad)[:NUM_GUESSES],
        "scores": ([score for score, _ in guesses] + pad)[:NUM_GUESSES],
        "line_labels": ([_name(own[name]) for name, _ in top] + pad)[:NUM_GUESSES],
        "line_shares": ([count / num_bytes for _, count in top] + pad)[:NUM_GUESSES],
        "declared": declared,
        "decided_by": "model" if by_model else "declared",
        "disagreement": disagreement,
        "label_script_share": (
            document.share(languages.scripts_of_label(label)) if document.total else None
        ),
    }
    return label, score, evidence


def _name(own: ModelLabel) -> str:
    """Return what the evidence calls a guess: the label, or the language if it has no script."""
    return own.label or own.language


def _sureness(
    fitting: list[tuple[float, ModelLabel]], votes: Counter[str], *, model: Model
) -> float:
    """Return how sure the model is of its best guess: the mean of probability and votes.

    A few short lines say little that the document didn't: votes of less than ENOUGH_VOTES bytes
    weigh less than half.
    """
    probability, best = fitting[0]
    num_bytes = sum(votes.values())
    if not num_bytes:
        return probability
    same = languages.same_language
    agreeing = (n for name, n in votes.items() if same(best.language, _language(model, name)))
    weight = min(1.0, num_bytes / ENOUGH_VOTES) / 2
    return (1 - weight) * probability + weight * sum(agreeing) / num_bytes


def _disagreement(
    declared: str,
    fitting: list[tuple[float, ModelLabel]],
    votes: Counter[str],
    *,
    model: Model,
) -> float:
    same = languages.same_language
    num_bytes = sum(votes.values())
    agreeing = sum(count for name, count in votes.items() if same(declared, _language(model, name)))
    line_share = agreeing / num_bytes if num_bytes else 0.0
    agreement = sum(score for score, own in fitting if same(declared, own.language))
    if agreement >= ENOUGH_AGREEMENT or line_share >= ENOUGH_AGREEMENT:
        return 0.0
    others = [score for score, own in fitting if not same(declared, own.language)]
    of_document = others[0] * (1.0 - line_share) if others else 0.0
    if not num_bytes:
        return of_document
    other_share = max(
        (count for name, count in votes.items() if not same(declared, _language(model, name))),
        default=0,
    )
    return (of_document + other_share / num_bytes) / 2


def _language(model: Model, name: str) -> str:
    return model.labels[name].language


def _guesses(
    shown: NDArray[np.uint8], ends: NDArray[np.int64], *, model: Model
) -> list[list[_Guess]]:
    """Return what the model takes each sample for, best first."""
    labels, scores = model.predict_bytes(shown, ends, count=NUM_GUESSES)
    return [
        [(score, model.names[label]) for score, label in zip(*row, strict=True) if label >= 0]
        for row in zip(scores.tolist(), labels.tolist(), strict=True)
    ]


def _line_votes(lines: Pieces, num_documents: int, *, model: Model) -> list[Counter[str]]:
    """Return for each document the bytes that voted for each of the model's labels."""
    labels, _ = model.predict_bytes(lines.data, lines.offsets, count=1)
    votes: list[Counter[str]] = [Counter() for _ in range(num_documents)]
    for document, num_bytes, label in zip(
        lines.documents.tolist(), lines.num_bytes.tolist(), labels[:, 0].tolist(), strict=True
    ):
        if label >= 0:
            votes[document][model.names[label]] += num_bytes
    return votes
