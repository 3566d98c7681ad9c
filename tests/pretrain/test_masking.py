import numpy as np
import pytest

from pipelines import bits, scripts
from pipelines.unicode import SCRIPTS, TABLES, flags_of, script_of
from pretrain import draws, masking
from pretrain.masking import CLS, MASK, PAD, SEP

PIECES = [
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "<0x00>", "<0xFF>"),
    *("▁the", "ing", "▁", "▁,", ",", ".", "’", "'s", "-", "7", "▁7", "。", "…"),
    *("ไทย", "▁ไทย", "ก", "ี", "的", "中国", "བོད", "་", "の", "ー"),
    *("한", "अ", "्", "́", "<0xZZ>", "α"),
]  # fmt: skip
STARTING = {
    *("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"),
    *("▁the", "▁", "▁,", ",", ".", "▁7", "。", "…", "ไทย", "▁ไทย", "ก", "ี"),
    *("的", "中国", "བོད", "་", "の", "ー"),
}


def generator(*parts):
    return draws.generator("test", *parts)


def test_words_begin_with_a_space_a_letter_of_an_unspaced_script_or_a_mark():
    starts = masking.starts_word(PIECES)
    assert {piece for piece, start in zip(PIECES, starts, strict=True) if start} == STARTING


def test_letters_of_every_script_without_spaces_are_words_of_their_own():
    letters = [
        (chr(code), SCRIPTS[script_of(flags)])
        for code in range(0x20000)
        if (flags := flags_of(TABLES, code)) & bits.LETTER
    ]
    starts = masking.starts_word([*PIECES[:5], *(letter for letter, _ in letters)])[5:]
    unspaced = [script in scripts.UNSPACED for _, script in letters]
    # U+30FC and a few more belong to no script but count as those they stand among.
    differ = [pair for pair, a, b in zip(letters, starts, unspaced, strict=True) if a != b]
    assert {script for _, script in differ} <= {"Zyyy", "Zinh"}
    assert sum(unspaced) > 40_000


def sequences(rng, *, num_tokens, num_pieces=500, padding=40):
    """Return ids of packed sequences with padding behind them."""
    ids = rng.integers(masking.NUM_SPECIAL, num_pieces, num_tokens).astype(np.int32)
    cuts = np.sort(rng.choice(np.arange(5, num_tokens - padding - 5, 3), 30, replace=False))
    ids[cuts], ids[cuts + 1], ids[0] = SEP, CLS, CLS
    ids[num_tokens - padding - 1], ids[num_tokens - padding :] = SEP, PAD
    return ids


@pytest.mark.parametrize("whole_words", [False, True])
@pytest.mark.parametrize("rate", [0.0, 0.001, 0.15, 0.3, 0.9])
def test_exactly_as_many_tokens_are_chosen_as_asked_for_and_none_is_special(rate, whole_words):
    rng = np.random.default_rng(0)
    starts = rng.random(500) < 0.6 if whole_words else None
    for number in range(20):
        ids = sequences(rng, num_tokens=2000 + number)
        num = round(rate * len(ids))
        places = masking.choose(generator(number), ids_N=ids, num=num, starts=starts)
        assert len(places) == num
        assert (np.diff(places) > 0).all()
        assert (ids[places] >= masking.NUM_SPECIAL).all()


@pytest.mark.parametrize("whole_words", [False, True])
def test_all_are_chosen_where_there_are_no_more(whole_words):
    ids = sequences(np.random.default_rng(0), num_tokens=500)
    starts = np.arange(500) % 2 == 0 if whole_words else None
    places = masking.choose(generator(1), ids_N=ids, num=499, starts=starts)
    assert places.tolist() == np.flatnonzero(ids >= masking.NUM_SPECIAL).tolist()
    ids[:] = PAD
    assert not len(masking.choose(generator(1), ids_N=ids, num=9, starts=starts))


@pytest.mark.parametrize("whole_words", [False, True])
def test_every_token_is_as_likely_to_be_chosen(whole_words):
    rng = np.random.default_rng(1)
    ids = sequences(rng, num_tokens=400)
    starts = rng.random(500) < 0.5 if whole_words else None
    counts, rounds = np.zeros(len(ids)), 3000
    for number in range(rounds):
        counts[masking.choose(generator(number), ids_N=ids, num=60, starts=starts)] += 1
    real = ids >= masking.NUM_SPECIAL
    expected = rounds * 60 / real.sum()
    if not whole_words:  # a chi-square with as many degrees of freedom as tokens
        statistic = ((counts[real] - expected) ** 2 / expected).sum() / (1 - 60 / real.sum())
        assert abs(statistic - real.sum()) < 5 * np.sqrt(2 * real.sum())
    else:  # a word that no longer fits is passed over, for one of a single piece
        assert counts[real].min() > 0.8 * expected
        assert counts[real].max() < 1.25 * expected


class Constant:
    """A generator that draws the same number for every token."""

    class bit_generator:
        @staticmethod
        def random_raw(num):
            return np.full(num, 12345, np.uint64)


def test_ties_do_not_change_how_many_are_chosen():
    ids = sequences(np.random.default_rng(0), num_tokens=500)
    for num in (1, 77, 300):
        assert len(masking.choose(Constant(), ids_N=ids, num=num, starts=None)) == num


def plain_words(ids, starts):
    """Return the words of a micro-batch as lists of places, one by one."""
    found = []
    for place, token in enumerate(ids.tolist()):
        if token < masking.NUM_SPECIAL:
            continue
        goes_on = not starts[token] and place and ids[place - 1] >= masking.NUM_SPECIAL
        if goes_on and len(found[-1]) < masking.MAX_PIECES:
            found[-1].append(place)
        else:
            found.append([place])
    return found


def test_all_pieces_of_a_word_are_chosen_or_none_but_for_the_last_ones():
    rng = np.random.default_rng(2)
    starts = rng.random(500) < 0.3  # some words of more than eight pieces
    for number in range(30):
        ids = sequences(rng, num_tokens=3000)
        words = plain_words(ids, starts)
        first = masking.word_starts(ids, starts=starts)
        assert all((first[word] == word[0]).all() for word in words)
        places = set(masking.choose(generator(number), ids_N=ids, num=450, starts=starts).tolist())
        assert len(places) == 450
        parts = [len(places & set(word)) for word in words]
        assert all(part in (0, len(word)) for part, word in zip(parts, words, strict=True))
    assert max(map(len, words)) == 8


def test_without_words_of_one_piece_the_last_one_is_cut():
    ids = np.tile(np.array([10, 11, 12], np.int32), 100)
    starts = np.arange(500) == 10
    for num in (100, 101, 102):
        places = masking.choose(generator(num), ids_N=ids, num=num, starts=starts)
        counts = np.bincount(places // 3, minlength=100)
        assert counts.sum() == num
        assert np.count_nonzero((counts > 0) & (counts < 3)) == (num % 3 > 0)
        (cut,) = np.flatnonzero((counts > 0) & (counts < 3)) if num % 3 else (None,)
        assert cut is None or 3 * cut in places  # its first pieces


def test_thai_chinese_and_tibetan_pieces_are_chosen_one_by_one():
    pieces = [*PIECES[:5], "ไทย", "ครับ", "的", "中国", "བོད", "▁word", "s"]
    starts = masking.starts_word(pieces)
    ids = np.array([CLS, 5, 6, 7, 8, 9, 10, 11, 11, SEP], np.int32)
    first = masking.word_starts(ids, starts=starts)
    assert first.tolist() == [0, 1, 2, 3, 4, 5, 6, 6, 6, 9]


def replaced(number, ids, languages, pool, pool_starts):
    return masking.replace(
        generator("replace", number),
        ids_K=ids,
        languages_K=languages,
        pool=pool,
        pool_starts=pool_starts,
    )


def test_of_the_chosen_80_percent_are_masked_10_replaced_and_10_kept_to_a_token():
    pool, pool_starts = np.arange(1000, 3000, dtype=np.uint16), np.array([0, 2000])
    for num in (0, 1, 5, 104, 9830):
        ids = np.full(num, 7, np.int32)
        found = replaced(num, ids, np.zeros(num, np.int64), pool, pool_starts)
        assert np.count_nonzero(found == MASK) == round(0.8 * num)
        assert np.count_nonzero(found >= 1000) == round(0.1 * num)
        assert np.count_nonzero(found == 7) == num - round(0.8 * num) - round(0.1 * num)
        assert (ids == 7).all()


def test_what_becomes_of_a_token_does_not_depend_on_its_place():
    pool, pool_starts = np.array([9], np.uint16), np.array([0, 1])
    counts = np.zeros((3, 20))
    for number in range(3000):
        found = replaced(number, np.full(20, 7, np.int32), np.zeros(20, int), pool, pool_starts)
        for row, value in enumerate((MASK, 9, 7)):
            counts[row] += found == value
    expected = np.array([[2400], [300], [300]])
    statistic = ((counts - expected) ** 2 / expected).sum()
    assert statistic < 38 + 5 * np.sqrt(2 * 38)  # 2 x 19 degrees of freedom


def test_replacements_are_of_the_same_language_as_frequent_as_in_its_text_and_never_special():
    pool = np.concatenate([np.repeat([100, 101], [900, 100]), np.full(500, 200), [1, 1, 1, 300]])
    pool_starts = np.array([0, 1000, 1500, 1500, 1504])
    languages = np.repeat([0, 1, 3], 4000)
    ids = (10 + languages).astype(np.int32)
    found = replaced(0, ids, languages, pool.astype(np.uint16), pool_starts)
    new = [found[(languages == language) & (found >= 100)] for language in (0, 1, 3)]
    assert set(new[0].tolist()) == {100, 101}
    assert abs(np.mean(new[0] == 101) - 0.1) < 0.06
    assert set(new[1].tolist()) == {200}
    assert set(new[2].tolist()) == {300}  # the unknown tokens of the pool are passed over
    assert set(found[found < 100].tolist()) == {MASK, 10, 11, 13}


def test_each_sequence_has_its_share_masked_and_one_token_at_least():
    assert masking.num_each(np.array([3, 4, 10, 128]), rate=0.15).tolist() == [1, 1, 2, 19]


def test_the_tokens_of_a_sequence_are_chosen_whatever_is_beside_it():
    rng = np.random.default_rng(4)
    ids, drawn = rng.integers(2, 50, 300).astype(np.int32), rng.integers(0, 1 << 63, 300)
    sequence = np.repeat([0, 1, 2], [100, 150, 50])
    num = np.array([15, 22, 60])
    drawn = drawn.astype(np.uint64)
    places = masking.choose_each(drawn, ids_N=ids, sequence_N=sequence, num_D=num)
    assert (np.diff(places) > 0).all()
    assert (ids[places] >= masking.NUM_SPECIAL).all()
    third = np.count_nonzero(ids[250:] >= masking.NUM_SPECIAL)  # fewer than asked for
    assert np.bincount(sequence[places]).tolist() == [15, 22, third]
    alone = masking.choose_each(
        drawn[100:250], ids_N=ids[100:250], sequence_N=np.zeros(150, int), num_D=num[1:2]
    )
    assert (alone + 100).tolist() == places[(places >= 100) & (places < 250)].tolist()
