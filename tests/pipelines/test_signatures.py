"""MinHash signatures, text hashes and URL hashes."""

import math
import random
import unicodedata

import numpy as np
import plain_reference
import pyarrow as pa
import pytest
import regex
import xxhash
from hypothesis import given
from hypothesis import strategies as st
from script_texts import alphabet, documents

from pipelines import scripts, unicode
from pipelines.measure import dominant_scripts, measure
from pipelines.signatures import (
    minhash,
    normalise_url,
    permutations,
    signatures,
    text_hashes,
    url_hashes,
)

SAME_REGEX = pytest.mark.skipif(
    f"regex {regex.__version__}" != unicode.SOURCE, reason="the tables are of another version"
)
M64 = (1 << 64) - 1


def large(*texts):
    return pa.array(texts, pa.large_string())


def fold(character):
    """Fold the case of one code point to one code point."""
    for folded in (character.casefold(), character.lower()):
        if len(folded) == 1:
            return folded
    return character


def shingle_set(text, *, words=5, graphemes=7):
    """Return the shingles of a document, tuples of folded tokens."""
    tokens = ["".join(map(fold, token)) for token, _, _, _ in plain_reference.tokens(text)]
    width = graphemes if plain_reference.dominant_script(text) in scripts.UNSPACED else words
    if not tokens:
        return set()
    width = min(width, len(tokens))
    return {tuple(tokens[at : at + width]) for at in range(len(tokens) - width + 1)}


def mix(value):
    value = ((value ^ (value >> 30)) * 0xBF58476D1CE4E5B9) & M64
    value = ((value ^ (value >> 27)) * 0x94D049BB133111EB) & M64
    return value ^ (value >> 31)


def token_hash(token):
    value = 0x243F6A8885A308D3
    for character in token:
        value = ((value << 5) & M64) | (value >> 59)
        value = ((value ^ ord(character)) * 0x9E3779B97F4A7C15) & M64
    return value


def reference_minima(text):
    factors, offsets = (numbers.tolist() for numbers in permutations(112))
    minima = [0xFFFFFFFF] * 112
    for shingle in shingle_set(text):
        value = 0
        for token in shingle:
            value = (value * 0xD1342543DE82EF95 + token_hash(token)) & M64
        value = mix(value) >> 32
        for row, (factor, offset) in enumerate(zip(factors, offsets, strict=True)):
            minima[row] = min(minima[row], (factor * value + offset) & 0xFFFFFFFF)
    return minima


@SAME_REGEX
@given(documents(max_words=20))
def test_the_minima_agree_with_plain_python(text):
    assert minhash(large(text))[0].tolist() == reference_minima(text)


@given(st.lists(documents(max_words=15), min_size=1, max_size=6), st.data())
def test_a_document_is_signed_alike_alone_in_company_and_in_a_slice(texts, data):
    start = data.draw(st.integers(0, len(texts) - 1))
    together = signatures(large(*texts)).to_pylist()
    assert signatures(large(*texts).slice(start)).to_pylist() == together[start:]
    assert signatures(large(*reversed(texts))).to_pylist() == together[::-1]
    assert signatures(large(texts[start])).to_pylist() == [together[start]]


@given(st.lists(documents(max_words=15), max_size=6))
def test_scripts_that_were_measured_give_the_same_signatures(texts):
    found = dominant_scripts(measure(large(*texts)).letters_by_script)
    assert signatures(large(*texts), scripts=found).equals(signatures(large(*texts)))


def test_the_signature_is_of_the_contracts_type_and_null_without_tokens():
    found = signatures(large("some words", "", " \n…!?", "字"))
    assert found.type == pa.binary(8 * 14)
    assert [value is None for value in found.to_pylist()] == [False, True, True, False]
    assert found.null_count == 2
    assert signatures(large("some words"), bands=20, rows=4).type == pa.binary(160)
    assert len(signatures(large())) == 0


def test_no_two_bands_hash_alike():
    hashes = np.frombuffer(signatures(large("one single shingle"), rows=1).to_pylist()[0], "<u8")
    assert len(set(hashes.tolist())) == 14


def test_the_signature_is_the_same_on_every_machine():
    found = signatures(large("Same input, same bytes; ein Wort, слово, शब्द, 字, คำ."))
    assert xxhash.xxh3_64_hexdigest(found[0].as_py()) == "f47a08a2c7a5b806"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The quick brown fox jumps over", "the QUICK, brown... fox -- jumps\n\nover!"),
        ("don't go", "DON\u2019T go"),
        ("می\u200cخوانم و می\u200cنویسم", "میخوانم و مینویسم"),
        ("ΟΔΟΣ ΚΑΙ ΦΩΣ", "οδος και φως"),
        ("ПРИВЕТ", "привет"),
        ("今天天气很好，我们去看书。", "今天天气很好我们去看书"),
        ("co\u00adoperate", "cooperate"),
        ("short", "Short."),
    ],
)
def test_texts_that_differ_in_case_and_punctuation_are_the_same(one, other):
    assert signatures(large(one)).equals(signatures(large(other)))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("má", "ma"),
        ("कि", "की"),
        ("ดี", "ดา"),
        ("か", "が"),
        ("မာ", "မ"),
        ("ཀི", "ཀུ"),
        ("తె", "తే"),
        ("1984", "1985"),
        ("a b", "ab"),
        ("ទៅ", "ទា"),
    ],
)
def test_texts_that_differ_in_a_mark_or_a_digit_are_not(one, other):
    estimate = (minhash(large(one)) == minhash(large(other))).mean()
    assert estimate < 0.1


@pytest.mark.parametrize("letters", ["กขคงจฉชซ", "漢字山川日月木林"])
def test_an_inserted_cluster_changes_seven_shingles_only(letters):
    draw = random.Random(3)
    text = "".join(draw.choice(letters) for _ in range(2000))
    edited = text[:1000] + letters[0] + text[1000:]
    assert (minhash(large(text)) == minhash(large(edited))).mean() > 0.9


def words_of(script, draw, count):
    letters = [c for c in alphabet(script) if unicodedata.category(c) in ("Ll", "Lo")]
    return ["".join(draw.choices(letters, k=draw.randint(3, 7))) for _ in range(count)]


def edited_pairs(script, num_pairs, rates, seed, length=120):
    """Return pairs of documents; each word of the second is replaced with the pair's rate."""
    draw = random.Random(seed)
    pairs = []
    for number in range(num_pairs):
        words = words_of(script, draw, length)
        rate = rates[number % len(rates)]
        fresh = words_of(script, draw, length)
        changed = [new if draw.random() < rate else old
                   for old, new in zip(words, fresh, strict=True)]  # fmt: skip
        pairs.append((" ".join(words), " ".join(changed)))
    return pairs


def jaccard(one, other):
    one, other = shingles_of_words(one), shingles_of_words(other)
    return len(one & other) / len(one | other)


def shingles_of_words(text):
    words = text.split()
    return {tuple(words[at : at + 5]) for at in range(len(words) - 4)}


def test_the_estimated_jaccard_index_is_as_exact_as_ideal_permutations():
    pairs = edited_pairs("Latn", 600, [0.02, 0.05, 0.1, 0.15, 0.2, 0.3], seed=11)
    exact = np.array([jaccard(*pair) for pair in pairs])
    first = minhash(large(*(one for one, _ in pairs)))
    second = minhash(large(*(other for _, other in pairs)))
    error = np.sqrt((((first == second).mean(axis=1) - exact) ** 2).mean())
    ideal = np.sqrt((exact * (1 - exact) / 112).mean())
    assert error < 1.1 * ideal


@pytest.mark.parametrize("script", ["Latn", "Deva", "Ethi"])
@pytest.mark.parametrize("rate", [0.02, 0.05, 0.08, 0.12, 0.2, 0.4])
def test_near_duplicates_are_found_as_often_as_theory_says(script, rate):
    pairs = edited_pairs(script, 300, [rate], seed=int(rate * 100))
    first = signatures(large(*(one for one, _ in pairs))).to_pylist()
    second = signatures(large(*(other for _, other in pairs))).to_pylist()
    found = sum(
        any(one[at : at + 8] == other[at : at + 8] for at in range(0, 112, 8))
        for one, other in zip(first, second, strict=True)
    )
    chances = [1 - (1 - jaccard(*pair) ** 8) ** 14 for pair in pairs]
    deviation = math.sqrt(sum(p * (1 - p) for p in chances))
    assert abs(found - sum(chances)) <= 4 * deviation + 1


def test_strangers_are_not_taken_for_duplicates():
    draw = random.Random(5)
    texts = [" ".join(words_of("Latn", draw, 60)) for _ in range(2000)]
    hashes = np.frombuffer(b"".join(signatures(large(*texts)).to_pylist()), "<u8")
    assert len(np.unique(hashes)) == hashes.size


def test_a_long_document_is_signed():
    text = "word " * 1_000_000 + "end"
    assert minhash(large(text, "word"))[0].tolist() == reference_minima("word " * 10 + "end")


def test_scripts_for_other_documents_are_refused():
    with pytest.raises(ValueError, match="2 scripts for 1 documents"):
        signatures(large("a"), scripts=np.zeros(2, np.int64))


def test_text_hashes_are_xxh3_of_the_bytes_also_in_a_slice():
    text = large("a", "ไทย", "", "b")
    digests = [xxhash.xxh3_128_digest(value.encode()) for value in ("ไทย", "", "b")]
    assert text_hashes(text.slice(1)).to_pylist() == digests
    assert text_hashes(large()).type == pa.binary(16)


@pytest.mark.parametrize(
    "url",
    [
        "http://Example.org/a/b", "https://example.org:443/a/b/", "HTTP://EXAMPLE.ORG:80/a/b#top",
        "https://example.org/a/b?utm_source=x&UTM_medium=y", "http://example.org/a/b?&fbclid=1",
        "  http://example.org/a/b  ",
    ],
)  # fmt: skip
def test_ways_to_write_the_same_url_are_one(url):
    assert normalise_url(url) == "//example.org/a/b"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("http://a.org/x", "http://a.org/X"),
        ("http://a.org/?q=1", "http://a.org/?q=2"),
        ("http://a.org:8080/", "http://a.org/"),
        ("ftp://a.org/", "http://a.org/"),
        ("http://a.org/x?id=1", "http://a.org/x"),
    ],
)
def test_urls_of_different_pages_differ(one, other):
    assert normalise_url(one) != normalise_url(other)


def test_url_hashes_keep_nulls_and_bear_bad_urls():
    urls = pa.array([None, "", "http://[bad", "http://a.org/", "https://a.org", "http://a:xx/"])
    found = url_hashes(urls)
    assert found.type == pa.uint64()
    assert found.is_null().to_pylist() == [True, True, False, False, False, False]
    assert found[3] == found[4]
