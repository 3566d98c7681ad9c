import numpy as np
import pytest
import reference_pairs
from planned import corpus_of, everything, numbered, opened, planned, random_sizes, spans

from pretrain import draws, pairs

LENGTHS = (16, 32, 128)


@pytest.fixture(scope="module")
def part(tmp_path_factory):
    """Languages with many documents, with one, with ends held out, with very long sentences."""
    rng = np.random.default_rng(5)
    sizes = {
        "aaa_Latn": random_sizes(rng, 60, sentences=30, longest=40),
        "bbb_Latn": random_sizes(rng, 40, sentences=4, longest=9),
        "ccc_Thai": [[1], [7], [50_000], [3, 20_000, 5], [2, 2], [1, 4, 3], [5], [6], [7], [4, 4]],
        "ddd_Cyrl": [[12, 30, 5, 61, 17, 4, 9, 22, 40, 11, 8, 3]],
        "eee_Cyrl": [[5], [400]],
        "fff_Latn": random_sizes(rng, 3, sentences=900, longest=45),
        "ggg_Arab": [[1] * 3000, [2] * 500],
        "hhh_Arab": [[9]],
    }  # fmt: skip
    return opened(tmp_path_factory.mktemp("pairs"), numbered(sizes)).view("train")


@pytest.fixture(scope="module")
def corpus(part):
    return corpus_of(part)


def in_order_of_the_text(block):
    return np.argsort(block.a_start).tolist()


@pytest.mark.parametrize("max_length", LENGTHS)
@pytest.mark.parametrize("seed", [0, 1])
def test_examples_are_those_of_berts_own_loop_to_the_last_token(part, corpus, max_length, seed):
    block = planned(part, max_length=max_length, pairs=True, seed=seed, number=7)
    language, index, _ = everything(part)
    expected = reference_pairs.create_instances(
        corpus,
        list(zip(language.tolist(), index.tolist(), strict=True)),
        max_seq_length=max_length,
        key=draws.key(seed, "pairs", 7),
    )
    found = []
    for row in in_order_of_the_text(block):
        a, b = spans(block, row)
        columns = (block.language, block.a_index, block.b_index, block.negative)
        found.append((*(int(column[row]) for column in columns), tuple(a), tuple(b)))
    assert found == [instance.row() for instance in expected]


def test_every_token_is_in_one_example_but_for_what_berts_truncation_takes(part, corpus):
    block = planned(part, max_length=128, pairs=True)
    seen = []
    for row in range(len(block.a_start)):
        a, b = spans(block, row)
        seen += a + (b if block.negative[row] == 0 else [])
    assert len(seen) == len(set(seen))
    there = {t for documents in corpus for d in documents for sentence in d for t in sentence}
    assert set(seen) <= there
    # Chunks reach their target in the middle of a sentence, and A of a random pair is cut where B
    # is long. On the development corpora: 11 % of all text with 128 tokens, 3 % with 512.
    assert 0.02 < 1 - len(seen) / len(there) < 0.25


def test_more_than_half_of_the_pairs_are_random_as_in_bert(part):
    block = planned(part, max_length=128, pairs=True)
    for language in (0, 5):  # with many sentences a document
        own = block.negative[block.language == language]
        share, error = float(np.mean(own == 1)), 0.5 / np.sqrt(len(own))
        assert 0.5 - 2 * error < share < 0.7
    single = block.negative[block.language == 1]
    assert np.mean(single == 1) > 0.6  # few sentences: what is left over is a single one
    assert np.mean(block.negative == 1) > 0.5


def test_random_text_is_of_the_same_language_and_of_another_document(part, corpus):
    block = planned(part, max_length=64, pairs=True)
    home = {
        token: (language, index)
        for language, documents in enumerate(corpus)
        for index, document in enumerate(documents)
        for sentence in document
        for token in sentence
    }
    random = np.flatnonzero(block.negative == 1).tolist()
    assert len(random) > 500
    donors = set()
    for row in random:
        a, b = spans(block, row)
        (own,) = {home[token] for token in a}
        (other,) = {home[token] for token in b}
        assert own[0] == other[0]
        assert own[1] != other[1]
        donors.add(other)
    assert len(donors) > 0.8 * sum(len(documents) for documents in corpus if len(documents) > 1)


def test_a_language_with_one_document_has_true_pairs_and_single_sentences(part):
    block = planned(part, max_length=32, pairs=True)
    assert set(block.negative[block.language == 3].tolist()) <= {0, -1}
    assert 0 in block.negative[block.language == 3]
    assert set(block.negative[block.language == 7].tolist()) == {-1}
    rows = np.flatnonzero(block.negative == -1)
    assert not block.b_length[rows].any()
    assert set(block.language[rows].tolist()) <= {3, 7}
    assert block.b_length[block.negative >= 0].min() > 0


def test_a_sentence_longer_than_an_example_is_cut_into_equal_pieces_and_not_lost():
    text = pairs.lay_out(
        np.array([0, 10]), np.array([5, 305, 12]), np.array([0, 2, 3]), longest=125
    )
    assert text.borders.tolist() == [0, 5, 105, 205, 305, 307]
    assert text.first.tolist() == [0, 4, 5]
    assert text.starts.tolist() == [0, 305, 307]


def test_sections_begin_with_sentences_and_none_is_left_out():
    sizes = np.random.default_rng(0).integers(1, 9, 5000)
    ends = np.concatenate([np.cumsum(sizes[:3000]), np.cumsum(sizes[3000:])])
    text = pairs.lay_out(np.zeros(2, np.int64), ends, np.array([0, 3000, 5000]), longest=99)
    document, first = pairs.sections(text, limits=np.array([500, 10**9]))
    assert first[0] == 0
    assert first[-1] == 5000
    assert (np.diff(first) > 0).all()
    sizes = np.diff(text.borders[first])
    assert (sizes[document == 0] <= 500 + 9).all()
    assert np.count_nonzero(document == 1) == 1


def test_pairs_lose_as_many_tokens_as_by_popping_them_one_by_one():
    a, b = (side.ravel() for side in np.meshgrid(np.arange(1, 45), np.arange(1, 45)))
    for longest in (2, 13, 30):
        lost_a, lost_b = pairs.truncated(a, b, longest=longest)
        for row in range(0, len(a), 7):
            left = [[0] * int(a[row]), [0] * int(b[row])]
            while len(left[0]) + len(left[1]) > longest:
                left[0 if len(left[0]) > len(left[1]) else 1].pop()
            assert [int(a[row] - lost_a[row]), int(b[row] - lost_b[row])] == [*map(len, left)]


def test_tokens_are_lost_in_front_and_at_the_back_by_the_toss_of_a_coin():
    lost = np.concatenate([np.full(4000, 10), np.full(4000, 64), np.full(2000, 200), [0, 1]])
    front = pairs.fronts(lost, sentence=np.arange(len(lost)), key=3)
    assert front[-2] == 0
    assert 0 <= front[-1] <= 1
    for num in (10, 64, 200):
        found = front[lost == num]
        assert abs(found.mean() - num / 2) < 4 * np.sqrt(num / 4 / len(found))
        assert 0.9 < found.var() / (num / 4) < 1.1
    again = pairs.fronts(lost[::-1].copy(), sentence=np.arange(len(lost))[::-1].copy(), key=3)
    assert (again[::-1] == front).all()


def test_a_tenth_of_the_documents_has_a_shorter_target_of_any_length():
    target = pairs.targets(40_000, longest=125, key=9)
    short = target[target < 125]
    assert abs(len(short) / 40_000 - 0.1 * 123 / 124) < 0.006
    assert short.min() == 2
    assert abs(short.mean() - 63) < 2.5


def test_no_document_makes_no_example():
    none = np.zeros(0, np.int64)
    text = pairs.lay_out(none, none, np.zeros(1, np.int64), longest=9)
    assert len(pairs.pair(text, longest=9, alone=np.zeros(0, bool), key=1).begin) == 0
    assert len(pairs.pieces(text, longest=9).begin) == 0
