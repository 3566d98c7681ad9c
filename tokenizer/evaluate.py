"""Judge a tokenizer by text in many languages: what each language pays, and what it gets.

`evaluate` gives plain facts (JSON), the same for the same tokenizer and text; `tokenizer.report`
shows them. Formulas and their sources are in `tokenizer.metrics`.

A language with too little text to tell (`min_content`) is measured too, but marked `thin` and left
out of the summary and of the geometric mean that premiums refer to.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipelines import unicode
from pipelines.bits import ALPHABETIC, BLOCK_BITS, SCRIPT_MASK, SCRIPT_SHIFT

from . import metrics
from .loading import Encoding, Tokenizer
from .metrics import ratio
from .texts import LabelText, Texts

ENGLISH = "eng_Latn"
MIN_CONTENT = 500.0
"""Weighted graphemes below which a language's premium says little: about four sentences."""
MIN_LINES = 5
"""Lines below which resampling them says nothing about certainty."""
SAMPLE_CONTENT = 110.0
"""How long the line is that is shown cut into pieces, where there is one."""
SAMPLE_PIECES = 80
CONTENT_UNIT = 100.0  # mean tokens are told for this much content
OTHER, BYTES, SPECIAL = "other", "bytes", "special"
"""Pieces without letters, that are no whole character, and that stand for no text."""

Facts = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Cost:
    """A language's lines as a tokenizer has them."""

    text: LabelText
    encoding: Encoding
    tokens: NDArray[np.float64]
    """(n,) effective tokens."""
    lost_chars: int
    """Code points that no token says."""
    ids: NDArray[np.int64]
    """Pieces used, each once."""
    counts: NDArray[np.int64]
    """How often."""
    is_thin: bool


@dataclass(frozen=True, slots=True)
class Paid:
    """What each of L languages pays, in the order of its texts."""

    labels: tuple[str, ...]
    mean_tokens: NDArray[np.float64]
    """(L,) effective tokens of a line, or of 100 graphemes' worth of content in held-out text."""
    premium: NDArray[np.float64]
    """(L,) against the geometric mean of those judged."""
    judged: NDArray[np.bool_]
    """(L,) which have enough text to tell."""


def pay(tokenizer: Tokenizer, texts: Texts, *, min_content: float = MIN_CONTENT) -> Paid:
    """Return only what each language pays: for a search over many tokenizers."""
    costs = [_cost(tokenizer, text, min_content) for text in texts.labels.values()]
    return _paid(costs, _judged(costs), texts)


def evaluate(
    tokenizer: Tokenizer,
    texts: Texts,
    *,
    min_content: float = MIN_CONTENT,
    samples: int = metrics.SAMPLES,
    seed: int = 0,
) -> Facts:
    """Return what a tokenizer costs each language.

    Args:
        tokenizer: any, see `tokenizer.loading`.
        texts: parallel or held-out.
        min_content: weighted graphemes of a language below which it is marked thin.
        samples: of the bootstrap.
        seed: of the bootstrap.

    Returns:
        name, pieces, kind; `labels` by label; `summary`; `by_script`; `by_owner`. The keys are
        explained in `tokenizer.meanings`.
    """
    costs = [_cost(tokenizer, text, min_content) for text in texts.labels.values()]
    judged = _judged(costs)
    paid = _paid(costs, judged, texts)
    drawn = _drawn(costs, judged, texts, samples=samples, seed=seed)
    low, high = metrics.interval(drawn)
    position = _shared_position(texts)
    labels: dict[str, Facts] = {}
    english = next((i for i, cost in enumerate(costs) if cost.text.label == ENGLISH), None)
    for index, cost in enumerate(costs):
        certain = len(cost.tokens) >= MIN_LINES
        labels[cost.text.label] = {
            **_counts(tokenizer, cost),
            "thin": not judged[index],
            "premium": float(paid.premium[index]),
            "premium_low": float(low[index]) if certain else None,
            "premium_high": float(high[index]) if certain else None,
            "premium_english": None
            if english is None
            else float(paid.premium[index] / paid.premium[english]),
            "segmentation": [_sample(tokenizer, cost, position)],
        }
    facts: Facts = {
        "name": tokenizer.name,
        "pieces": tokenizer.num_pieces,
        "kind": tokenizer.kind,
        "labels": labels,
        "summary": _summary(labels, paid, drawn[:, judged]),
        **_vocabulary(tokenizer, costs),
    }
    rounded: Facts = _rounded(facts)
    return rounded


def _cost(tokenizer: Tokenizer, text: LabelText, min_content: float) -> _Cost:
    encoding = tokenizer.encode(text.lines.to_pylist())
    # A line without any token was lost whole: a normaliser removed it.
    is_lost = encoding.num_tokens == 0
    lost = np.where(is_lost, text.num_chars, encoding.unknown_chars)
    effective = np.where(
        is_lost,
        text.num_chars,
        metrics.effective_tokens(
            encoding.num_tokens,
            unknown_tokens=encoding.unknown_tokens,
            unknown_chars=encoding.unknown_chars,
        ),
    )
    ids, counts = np.unique(encoding.ids, return_counts=True)
    is_thin = bool(text.content.sum() < min_content)
    return _Cost(
        text,
        encoding,
        effective.astype(np.float64),
        int(lost.sum()),
        ids.astype(np.int64),
        counts,
        is_thin,
    )


def _judged(costs: list[_Cost]) -> NDArray[np.bool_]:
    """Return (L,) which languages have enough text to tell; all, where none has."""
    judged = np.array([not cost.is_thin for cost in costs])
    return judged if judged.any() else np.ones(len(costs), np.bool_)


def _grid(costs: list[_Cost], texts: Texts) -> NDArray[np.float64]:
    """Return (L, N) tokens of each line of a parallel text, nan where a language lacks it."""
    grid = np.full((len(costs), texts.num_lines), np.nan)
    for row, cost in zip(grid, costs, strict=True):
        row[cost.text.positions] = cost.tokens
    used: NDArray[np.float64] = grid[:, ~np.isnan(grid).all(axis=0)]
    return used


def _paid(costs: list[_Cost], judged: NDArray[np.bool_], texts: Texts) -> Paid:
    if texts.kind == "held-out":
        each = [cost.tokens.sum() / cost.text.content.sum() for cost in costs]
        mean_tokens = np.maximum(np.array(each), 1e-9) * CONTENT_UNIT
    elif texts.is_complete:
        mean_tokens = np.maximum(_grid(costs, texts).mean(axis=1), 1e-9)
    else:
        language, line, _ = metrics.additive_fit(_grid(costs, texts))
        mean_tokens = np.exp(language + line.mean())
    # The languages that count set the mean that all are held against.
    premium = mean_tokens / np.exp(np.log(mean_tokens[judged]).mean())
    return Paid(tuple(texts.labels), mean_tokens, premium, judged)


def _drawn(
    costs: list[_Cost], judged: NDArray[np.bool_], texts: Texts, *, samples: int, seed: int
) -> NDArray[np.float64]:
    """Return (B, L) premiums of bootstrap samples."""
    if texts.kind == "held-out":
        tokens, content = [c.tokens for c in costs], [c.text.content for c in costs]
        drawn = metrics.bootstrap_held_out(tokens, content, samples=samples, seed=seed)
    elif texts.is_complete:
        drawn = metrics.bootstrap_complete(_grid(costs, texts), samples=samples, seed=seed)
    else:
        drawn = metrics.bootstrap_additive(_grid(costs, texts), samples=samples, seed=seed)
    means = np.log(drawn[:, judged]).mean(axis=1, keepdims=True)
    return np.asarray(drawn / np.exp(means))


def _rounded(value: Any) -> Any:  # noqa: ANN401
    """Return facts with six digits of each number: the last ones differ between machines."""
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, float):
        return float(f"{value:.6g}")
    return value


def _counts(tokenizer: Tokenizer, cost: _Cost) -> Facts:
    """Return the facts of one language that concern no other."""
    text, encoding = cost.text, cost.encoding
    tokens = int(encoding.ids.size)
    effective = float(cost.tokens.sum())
    facts: Facts = {
        "lines": len(text.lines),
        "bytes": int(text.num_bytes.sum()),
        "chars": int(text.num_chars.sum()),
        "content": float(text.content.sum()),
        "tokens": tokens,
        "effective_tokens": int(effective),
        "tokens_per_content": effective / float(text.content.sum()),
        "bytes_per_token": ratio(int(text.num_bytes.sum()), effective),
        "chars_per_token": ratio(int(text.num_chars.sum()), effective),
        "unknown_rate": ratio(cost.lost_chars, int(text.num_chars.sum())),
        "byte_rate": ratio(int(encoding.byte_tokens.sum()), tokens),
        "renyi": metrics.renyi_efficiency(cost.counts, num_pieces=tokenizer.num_pieces),
        "used_pieces": len(cost.ids),
        "fertility": None,
        "continued": None,
        "single_piece": None,
    }
    if text.words:
        per_word = tokenizer.encode_words(text.words)
        words = int(text.word_counts.sum())
        facts["fertility"] = effective / words
        facts["continued"] = float(text.word_counts[per_word > 1].sum() / words)
        facts["single_piece"] = float((per_word <= 1).mean())
    return facts


def _summary(labels: dict[str, Facts], paid: Paid, drawn: NDArray[np.float64]) -> Facts:
    premium = paid.premium[paid.judged]
    judged = {label: row for label, row in labels.items() if not row["thin"]}
    names = list(judged)
    worst = names[int(premium.argmax())]
    median = float(np.median(premium))
    gini = float(metrics.gini(premium))
    gini_low, gini_high = metrics.spread_around(gini, metrics.gini(drawn))
    lost = max(names, key=lambda label: judged[label]["unknown_rate"] or 0.0)
    in_bytes = max(names, key=lambda label: judged[label]["byte_rate"] or 0.0)
    row = judged[worst]
    return {
        "num_labels": len(judged),
        "num_thin": len(labels) - len(judged),
        "gini": gini,
        "gini_low": gini_low,
        "gini_high": gini_high,
        "median": median,
        "p90": float(np.quantile(premium, 0.9)),
        "best": float(premium.min()),
        "worst": {
            "label": worst,
            "premium": row["premium"],
            "low": row["premium_low"],
            "high": row["premium_high"],
        },
        "worst_over_median": row["premium"] / median,
        "mean_tokens": float(paid.mean_tokens[paid.judged].mean()),
        "unknown_worst": {"label": lost, "rate": judged[lost]["unknown_rate"] or 0.0},
        "byte_worst": {"label": in_bytes, "rate": judged[in_bytes]["byte_rate"] or 0.0},
    }


def _shared_position(texts: Texts) -> int | None:
    """Return the line of a parallel text to show in every language, of a readable length."""
    if texts.kind == "held-out":
        return None
    total, number = np.zeros(texts.num_lines), np.zeros(texts.num_lines)
    for text in texts.labels.values():
        total[text.positions] += text.content
        number[text.positions] += 1
    distance = np.abs(total / np.maximum(number, 1) - SAMPLE_CONTENT)
    distance[number < number.max()] = np.inf
    return int(distance.argmin())


def _sample(tokenizer: Tokenizer, cost: _Cost, position: int | None) -> list[str]:
    """Return a line cut into pieces: the shared one, or one of a readable length."""
    shared = np.flatnonzero(cost.text.positions == position)
    if position is not None and len(shared):
        index = int(shared[0])
    else:
        index = int(np.abs(cost.text.content - SAMPLE_CONTENT).argmin())
    first, last = cost.encoding.offsets[index : index + 2].tolist()
    pieces = tokenizer.pieces()
    return [pieces[i] for i in cost.encoding.ids[first:last][:SAMPLE_PIECES].tolist()]


def _vocabulary(tokenizer: Tokenizer, costs: list[_Cost]) -> Facts:
    """Return whose the pieces are: by script, beside the text's content, and by language."""
    group = _groups(tokenizer)
    names, numbers = np.unique(group, return_counts=True)
    content = sum((cost.text.script_content for cost in costs), np.zeros(unicode.NUM_SCRIPTS))
    content[: unicode.FIRST_SCRIPT] = 0
    shares = content / max(content.sum(), 1e-9)
    by_script: dict[str, Facts] = {
        name: {"pieces": 0, "share": 0.0, "content_share": float(shares[number])}
        for number, name in enumerate(unicode.SCRIPTS)
        if shares[number] > 0
    }
    own = [str(name) for name in names if str(name) not in (BYTES, SPECIAL, OTHER)]
    lettered = int(numbers[np.isin(names, own)].sum())
    for name, number in zip(names.tolist(), numbers.tolist(), strict=True):
        row = by_script.setdefault(name, {"pieces": 0, "share": 0.0, "content_share": 0.0})
        row["pieces"] = number
        row["share"] = number / lettered if name in own else 0.0
    owner, is_shared = metrics.owners(
        [cost.ids for cost in costs],
        [cost.counts for cost in costs],
        num_pieces=tokenizer.num_pieces,
    )
    is_text = ~tokenizer.special() & ~tokenizer.parts()
    owned = np.bincount(owner[is_text & (owner >= 0)], minlength=len(costs))
    return {
        "by_script": dict(sorted(by_script.items())),
        "by_owner": {
            "labels": {
                cost.text.label: {"owned": int(number), "used": len(cost.ids)}
                for cost, number in zip(costs, owned, strict=True)
            },
            "shared": int((is_shared & is_text).sum()),
            "unused": int((is_text & (owner < 0)).sum()),
            "text_pieces": int(is_text.sum()),
        },
    }


def _groups(tokenizer: Tokenizer) -> NDArray[np.str_]:
    """Return (pieces,) the script that most letters and marks of each piece are in."""
    pieces = tokenizer.pieces()
    code_points = np.frombuffer("".join(pieces).encode("utf-32-le", "replace"), np.uint32)
    tables = unicode.TABLES
    block = tables.info_index[code_points >> BLOCK_BITS].astype(np.int64)
    info = tables.info[(block << BLOCK_BITS) | (code_points & unicode.BLOCK_MASK)]
    script = (info >> SCRIPT_SHIFT) & SCRIPT_MASK
    piece = np.repeat(np.arange(len(pieces)), [len(text) for text in pieces])
    counted = ((info & ALPHABETIC) != 0) & (script >= unicode.FIRST_SCRIPT)
    cell = piece[counted] * unicode.NUM_SCRIPTS + script[counted]
    counts = np.bincount(cell, minlength=len(pieces) * unicode.NUM_SCRIPTS)
    counts = counts.reshape(len(pieces), unicode.NUM_SCRIPTS)
    names = np.array([*unicode.SCRIPTS, OTHER, BYTES, SPECIAL])
    best = np.where(counts.any(axis=1), counts.argmax(axis=1), unicode.NUM_SCRIPTS)
    best = np.where(tokenizer.parts(), unicode.NUM_SCRIPTS + 1, best)
    best = np.where(tokenizer.special(), unicode.NUM_SCRIPTS + 2, best)
    return np.asarray(names[best])
