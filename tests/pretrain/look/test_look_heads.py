"""Kinds of heads, on attention made to follow them."""

import numpy as np
import pytest

from pretrain.look.heads import NEAR, PATTERNS, Tally, reach_of, targets
from pretrain.look.pieces import Piece

CLS, SEP = 2, 3
WORDS = ["na", "ba", "ri", ",", "dun", "ia", "ya", "le", "o", "na"]
WORD_OF = [0, 1, 1, None, 2, 2, 3, 4, 4, 5]
RARITY = np.arange(40, dtype=float)


def piece(identity: int, shown: str, *, source: int | None, word: int | None) -> Piece:
    kind = "special" if source is None else "text"
    return Piece(identity, shown, kind, source, 0, 1, word, "", shown, "", "")


def text(*, pair: bool = False) -> list[Piece]:
    """`na bari, dunia ya leo na`, and a pair."""
    identity = {shown: 10 + number for number, shown in enumerate(dict.fromkeys(WORDS))}
    own = [
        piece(identity[shown], shown, source=0, word=word)
        for shown, word in zip(WORDS, WORD_OF, strict=True)
    ]
    end = piece(SEP, "[SEP]", source=None, word=None)
    found = [piece(CLS, "[CLS]", source=None, word=None), *own, end]
    if pair:
        found += [
            *(piece(30 + n, "xyz"[n], source=1, word=9 + n) for n in range(3)), end
        ]  # fmt: skip
    return found


def masks(pieces):
    return targets(pieces, rarity=RARITY, sep=SEP, cls=CLS)


def judged(weights_QK, pieces, *, window=None):
    tally = Tally(layers=1, heads=1, windows=[window])
    tally.add(np.asarray(weights_QK, dtype=np.float32)[None, None], pieces, masks(pieces))
    return tally.heads()[0]


def even(mask, reach=None):
    """Attend evenly to a mask; where it has none, evenly to all that can be reached."""
    reach = np.ones_like(mask) if reach is None else reach
    chosen = np.where(mask.any(axis=1, keepdims=True), mask, reach)
    return chosen / chosen.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("name", list(PATTERNS))
def test_a_head_that_follows_a_pattern_is_called_by_it(name):
    pieces = text(pair=name == "other")
    found = judged(even(masks(pieces)[name]), pieces)
    assert found.scores[name] == pytest.approx(1, abs=1e-6)
    assert found.shares[name] == pytest.approx(1, abs=1e-6)
    assert (found.kind, found.score) == (name, pytest.approx(1, abs=1e-6))


def test_a_head_that_looks_around_is_near():
    pieces = text()
    found = judged(even(masks(pieces)["near"]), pieces)
    assert found.kind == "near" and found.score == pytest.approx(1)
    assert found.distance < NEAR


def test_even_attention_is_chance_for_every_pattern():
    pieces = text(pair=True)
    found = judged(np.full((len(pieces),) * 2, 1 / len(pieces)), pieces)
    assert all(abs(score) < 1e-6 for score in found.scores.values())
    assert found.kind == "broad" and found.evenness == pytest.approx(1)


def test_half_of_it_beside_even_attention_scores_half():
    pieces = text()
    num = len(pieces)
    half = 0.5 * even(masks(pieces)["sep"]) + 0.5 / num
    found = judged(half, pieces)
    assert found.scores["sep"] == pytest.approx(0.5)
    assert found.shares["sep"] == pytest.approx(0.5 + 0.5 / num)


def test_attention_to_pieces_of_no_pattern_is_mixed():
    pieces = text()
    found = judged(np.roll(np.eye(len(pieces)), 6, axis=1), pieces)
    assert found.kind == "mixed" and found.evenness == pytest.approx(0)


def test_within_a_sliding_window_chance_is_what_can_be_reached():
    pieces = text()
    reach = reach_of(len(pieces), 2)
    found = judged(even(reach), pieces, window=2)
    assert found.evenness == pytest.approx(1) and found.window == 2
    assert all(score is None or abs(score) < 1e-6 for score in found.scores.values())
    assert found.scores["near"] is not None


def test_a_pattern_without_a_case_is_not_measured():
    found = judged(np.full((12, 12), 1 / 12), text())
    assert found.scores["other"] is None and found.shares["other"] is None


def test_previous_and_next_stay_within_a_text():
    pieces = text(pair=True)
    found = masks(pieces)
    for name in ("previous", "next"):
        for asking, attended in zip(*np.nonzero(found[name]), strict=True):
            assert pieces[asking].source == pieces[attended].source is not None


def test_the_rarest_tenth_is_one_piece_of_ten():
    rare = masks(text())["rare"]
    assert np.flatnonzero(rare.any(axis=0)).tolist() == [9], "`o` has the highest number"


def test_texts_add_up_by_their_pieces():
    first, second = text(), text(pair=True)
    tally = Tally(layers=1, heads=2, windows=[None])
    for pieces, share in ((first, 1.0), (second, 0.0)):
        own = masks(pieces)
        followed, not_followed = even(own["self"]), even(own["cls"])
        weights = np.stack([share * followed + (1 - share) * not_followed, followed])
        tally.add(weights[None].astype(np.float32), pieces, own)
    assert (tally.num_texts, tally.num_pieces) == (2, 10 + 13)
    mixed, whole = tally.heads()
    assert mixed.shares["self"] == pytest.approx(10 / 23)
    assert whole.shares["self"] == pytest.approx(1)
    assert [(head.layer, head.head) for head in (mixed, whole)] == [(1, 1), (1, 2)]
