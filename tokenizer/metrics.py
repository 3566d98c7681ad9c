"""What a vocabulary costs each language, as pure functions of arrays.

L labels, N lines of a parallel text, B bootstrap samples, V pieces.

* **Effective tokens** of a line: an unknown token counts as one token for each character under it,
  |T| + sum over unknown spans of (chars - 1), so that a language can't look cheap by being lost.
* **Premium** of a language (Petrov et al. 2023, arXiv 2305.15425): its tokens for the same content
  as a share of another's; here against the geometric mean of all languages, so that no language
  is the norm. Without lost characters it is 1 on average (in logarithms), whatever the text.
* **Rényi efficiency** (Zouhar et al. 2023, arXiv 2306.16842): H_a(p) / log V with a = 2.5,
  H_a = log(sum p^a) / (1 - a), over the frequencies p of a language's tokens.
* **Gini** coefficient of the languages' costs: 0 when all pay the same.
  sum_i sum_j |c_i - c_j| / (2 n^2 mean).

Where a parallel text has gaps, costs come from a two-way additive fit,
log tokens = language + line, by least squares: a language that has the long lines pays no more.

Intervals are 95 % bootstrap intervals over lines: lines are drawn with replacement, and what is
drawn weighs as often. In parallel text the draw is the same for all languages (they share the
lines); in held-out text each language is on its own. Long texts are put into at most `GROUPS`
random groups of lines first, which widens the intervals' own error by about 3 %.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ALPHA = 2.5
GROUPS = 512
HELD_OUT_GROUPS = 200
SAMPLES = 1000
SHARED = 0.05
"""A piece is shared by languages that each make this much of its use."""


def effective_tokens(
    num_tokens: NDArray[np.int64],
    *,
    unknown_tokens: NDArray[np.int64],
    unknown_chars: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Return (n,) tokens of each line, with each unknown one charged by character."""
    return np.asarray(num_tokens + np.maximum(unknown_chars - unknown_tokens, 0))


def ratio(part: float, whole: float) -> float | None:
    """Return part / whole, None where the whole is 0."""
    return float(part / whole) if whole else None


def premiums(costs: Floats) -> Floats:
    """Return each cost over the geometric mean of all, along the last axis.

    Args:
        costs: (..., L) tokens for the same content, above 0.
    """
    logs = np.log(costs)
    return np.asarray(np.exp(logs - logs.mean(axis=-1, keepdims=True)))


def gini(costs: Floats) -> Floats:
    """Return the Gini coefficients of (..., L) costs, of shape (...,)."""
    ordered = np.sort(costs, axis=-1)
    num = costs.shape[-1]
    ranks = 2 * np.arange(1, num + 1) - num - 1
    return np.asarray((ordered * ranks).sum(axis=-1) / (num * ordered.sum(axis=-1)))


def renyi_efficiency(counts: NDArray[np.int64], *, num_pieces: int, alpha: float = ALPHA) -> float:
    """Return the Rényi efficiency of (V,) or (used,) counts of tokens; 0 of nothing."""
    total = counts.sum()
    if total == 0 or num_pieces < 2:
        return 0.0
    shares = counts[counts > 0] / total
    return float(np.log((shares**alpha).sum()) / (1 - alpha) / np.log(num_pieces))


def additive_fit(tokens: Floats) -> tuple[Floats, Floats, Floats]:
    """Fit log tokens = language + line by least squares.

    Args:
        tokens: (L, N), nan where a language lacks a line; 0 counts as 1. All languages must be
            connected by lines that they share.

    Returns:
        (L,) effects of languages, that sum to 0; (N,) effects of lines; (L, N) residuals, 0 where
        a line is missing.
    """
    has, logs = _logs(tokens)
    per_line = has.sum(axis=0)
    weight = 1 / np.maximum(per_line, 1)
    line_means = logs.sum(axis=0) * weight
    right = np.where(has, logs - line_means, 0.0).sum(axis=1)
    language = np.linalg.solve(_normal(has, weight), right)
    lines = np.where(has, logs - language[:, None], 0.0).sum(axis=0) * weight
    residuals = np.where(has, logs - language[:, None] - lines, 0.0)
    return language, lines, residuals


def _logs(tokens: Floats) -> tuple[NDArray[np.bool_], Floats]:
    has = ~np.isnan(tokens)
    return has, np.log(np.where(has, np.maximum(tokens, 1.0), 1.0))


def _normal(has: NDArray[np.bool_], weight: Floats) -> Floats:
    """Return (L, L) the normal equations of the languages, lines eliminated.

    They are singular, since a constant can move from the languages to the lines; a 1 in every cell
    makes the solution the one that sums to 0.
    """
    mask = has.astype(np.float64)
    return np.asarray(np.diag(mask.sum(axis=1)) - (mask * weight) @ mask.T + 1.0)


def draws(num: int, *, samples: int, generator: np.random.Generator) -> Floats:
    """Return (samples, num) how often each of `num` lines is drawn in each bootstrap sample."""
    chosen = generator.integers(0, num, (samples, num))
    flat = (chosen + num * np.arange(samples)[:, None]).ravel()
    return np.bincount(flat, minlength=samples * num).reshape(samples, num).astype(np.float64)


def grouped(values: Floats, *, groups: int, generator: np.random.Generator) -> Floats:
    """Return (..., at most `groups`) sums of random groups of lines, of (..., n) values."""
    num = values.shape[-1]
    if num <= groups:
        return values
    order = generator.permutation(num)
    starts = np.arange(groups) * num // groups
    return np.asarray(np.add.reduceat(values[..., order], starts, axis=-1))


def bootstrap_complete(tokens: Floats, *, samples: int = SAMPLES, seed: int = 0) -> Floats:
    """Return (B, L) premiums of bootstrap samples of a parallel text without gaps, (L, N)."""
    generator = np.random.default_rng(seed)
    sums = grouped(tokens, groups=GROUPS, generator=generator)
    weights = draws(sums.shape[1], samples=samples, generator=generator)
    return premiums(np.maximum(weights @ sums.T, 1e-9))


def bootstrap_additive(tokens: Floats, *, samples: int = SAMPLES, seed: int = 0) -> Floats:
    """Return (B, L) premiums of bootstrap samples of a parallel text with gaps, (L, N).

    One Newton step of the weighted fit from the whole text's, which is exact to first order in the
    weights: refitting each sample costs L^3 for every one.
    """
    generator = np.random.default_rng(seed)
    language, _, residuals = additive_fit(tokens)
    has, _ = _logs(tokens)
    scores = grouped(residuals, groups=GROUPS, generator=generator)
    weights = draws(scores.shape[1], samples=samples, generator=generator) - 1
    normal = _normal(has, 1 / np.maximum(has.sum(axis=0), 1))
    steps = np.linalg.solve(normal, scores @ weights.T).T
    return np.asarray(np.exp(language + steps - (language + steps).mean(axis=1, keepdims=True)))


def bootstrap_held_out(
    tokens: list[Floats], content: list[Floats], *, samples: int = SAMPLES, seed: int = 0
) -> Floats:
    """Return (B, L) premiums of bootstrap samples of texts of their own.

    Args:
        tokens: L arrays (n,) of each line's tokens.
        content: L arrays (n,) of each line's content.
        samples: B.
        seed: of the draws.

    Languages with equally many groups share one matrix of draws. Their groups are random and
    unrelated, so that this correlates them by chance alone, about 1 / sqrt(groups).
    """
    generator = np.random.default_rng(seed)
    sums = [
        grouped(np.stack([one, own]), groups=HELD_OUT_GROUPS, generator=generator)
        for one, own in zip(tokens, content, strict=True)
    ]
    costs = np.empty((samples, len(sums)))
    by_size: dict[int, list[int]] = {}
    for index, pair in enumerate(sums):
        by_size.setdefault(pair.shape[1], []).append(index)
    for size in sorted(by_size):
        chosen = by_size[size]
        weights = draws(size, samples=samples, generator=generator)
        drawn = np.stack([sums[index] for index in chosen]) @ weights.T  # (chosen, 2, B)
        costs[:, chosen] = (np.maximum(drawn[:, 0], 1e-9) / np.maximum(drawn[:, 1], 1e-9)).T
    return premiums(costs)


def interval(samples: Floats) -> tuple[Floats, Floats]:
    """Return the bounds of 95 % of (B, ...) bootstrap values."""
    low, high = np.quantile(samples, [0.025, 0.975], axis=0)
    return low, high


def spread_around(value: float, samples: Floats) -> tuple[float, float]:
    """Return the bounds of 95 % of (B,) bootstrap values, moved to lie around the value itself.

    Resampling adds unevenness of its own, so that a coefficient of inequality is higher in every
    sample than in the text; its spread is still right.
    """
    low, middle, high = np.quantile(samples, [0.025, 0.5, 0.975])
    return max(float(value + low - middle), 0.0), float(value + high - middle)


def owners(
    ids: list[NDArray[np.int64]], counts: list[NDArray[np.int64]], *, num_pieces: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return (V,) the label that each piece belongs to, -1 for none, and (V,) whether it is shared.

    Args:
        ids: L arrays of the pieces that a language uses, each once.
        counts: L arrays of how often.
        num_pieces: V.

    A piece belongs to the label of whose tokens it makes the largest share (the first of equals).
    It is shared when at least two labels have `SHARED` of the sum of these shares.
    """
    owner = np.full(num_pieces, -1, np.int64)
    best = np.zeros(num_pieces)
    total = np.zeros(num_pieces)
    shares = [own / max(int(own.sum()), 1) for own in counts]
    for label, (used, share) in enumerate(zip(ids, shares, strict=True)):
        total[used] += share
        more = used[share > best[used]]
        owner[more] = label
        best[used] = np.maximum(best[used], share)
    users = np.zeros(num_pieces, np.int64)
    for used, share in zip(ids, shares, strict=True):
        users[used] += share >= SHARED * total[used]
    return owner, users >= 2
