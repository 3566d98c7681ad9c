"""The Unicode tables, the decoder, and grapheme clusters."""

import random
import sys
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st
from script_texts import SCRIPTS, documents

from pipelines import bits, scripts, unicode
from pipelines.graphemes import CLUSTER_BITS, cluster_starts
from pipelines.unicode import flags
from pipelines.unicode_data import flags as make_flags
from pipelines.unicode_data import fold_deltas, script_names, write

SAME_REGEX = pytest.mark.skipif(
    f"regex {regex.__version__}" != unicode.SOURCE,
    reason=f"the tables are of {unicode.SOURCE}; this is {regex.__version__}",
)


def stored(index, blocks):
    """Unfold a two-stage table."""
    rows = blocks.reshape(-1, 1 << bits.BLOCK_BITS)
    return rows[index].reshape(-1)[:0x110000]


@SAME_REGEX
def test_the_stored_tables_are_what_the_generator_makes():
    assert list(unicode.SCRIPTS) == script_names()
    tables = unicode.TABLES
    assert np.array_equal(stored(tables.info_index, tables.info), make_flags(script_names()))
    assert np.array_equal(stored(tables.fold_index, tables.fold), fold_deltas())


@SAME_REGEX
def test_the_generator_writes_the_committed_file(tmp_path):
    write(tmp_path / "unicode.npz")
    with np.load(tmp_path / "unicode.npz") as new:
        assert new["info"].tobytes() == unicode.TABLES.info.tobytes()
        assert new["source"].item() == unicode.SOURCE


def test_categories_agree_with_pythons_where_it_knows_the_code_point():
    category_bits = {
        "L": bits.LETTER, "M": bits.MARK, "P": bits.PUNCTUATION, "S": bits.SYMBOL,
        "Nd": bits.DIGIT, "No": bits.NUMBER, "Nl": bits.LETTER, "Cc": bits.CONTROL,
        "Cf": bits.FORMAT, "Co": bits.PRIVATE,
    }  # fmt: skip
    every = bits.WORD | bits.PUNCTUATION | bits.SYMBOL | bits.CONTROL | bits.FORMAT | bits.PRIVATE
    info = stored(unicode.TABLES.info_index, unicode.TABLES.info)
    wrong = []
    for code in range(sys.maxunicode + 1):
        category = unicodedata.category(chr(code))
        if category in ("Cn", "Cs"):
            continue
        expected = category_bits.get(category) or category_bits.get(category[0]) or 0
        if info[code] & every != expected:
            wrong.append(f"{code:04X}")
    assert len(wrong) < 10, wrong  # a handful changed category between Unicode versions


@pytest.mark.parametrize(
    ("characters", "flag"),
    [
        ("。．！？؟۔।॥།༎።፧։។။...…๏"[:-1], bits.TERMINAL),
        (")]}»«”’“\"'」』）】", bits.CLOSER),
        ("กກកကབ漢かカーㄅꀀ々", bits.UNSPACED),
        ("\u200c\u200d\u00ad\ufe0f\u2060", bits.IGNORABLE),
        ("٣४๓၃３9", bits.DIGIT),
        ("\u0301\u093c\u05b0", bits.COMBINING),
        ("\u0958\u2126", bits.NFC_NO),
        ("\u0301\u3099", bits.NFC_MAYBE),
        (" \t\n\u00a0\u2003\u3000\u2028", bits.SPACE),
        ("-•◦▪·・–჻", bits.BULLET),
        ("©❤☎", bits.PICTOGRAPHIC),
    ],
)
def test_code_points_have_their_flags(characters, flag):
    assert [character for character in characters if not flags(ord(character)) & flag] == []


@pytest.mark.parametrize("characters", ["aжبह한א", ":,،、", "(„"])
def test_other_code_points_have_no_sentence_or_space_flags(characters):
    for character in characters:
        assert not flags(ord(character)) & (bits.TERMINAL | bits.CLOSER | bits.UNSPACED)


def test_every_script_with_a_special_treatment_exists():
    known = set(unicode.SCRIPTS)
    assert known >= scripts.UNSPACED
    assert known >= scripts.NO_TERMINALS
    assert set(scripts.DENSITY) <= known
    assert set(scripts.GRAPHEMES_PER_WORD) <= scripts.UNSPACED
    assert set(SCRIPTS) <= known


def test_letters_without_spaces_take_three_bytes():
    # The memory for tokens is measured by this: see walk.max_units.
    info = stored(unicode.TABLES.info_index, unicode.TABLES.info)
    assert np.flatnonzero(info & bits.UNSPACED).min() >= 0x800


def test_folding_is_that_of_python_where_one_code_point_folds_to_one():
    deltas = stored(unicode.TABLES.fold_index, unicode.TABLES.fold)
    for code in range(0x1E000):
        folded = chr(code).casefold()
        if len(folded) == 1 and folded != chr(code):
            assert code + deltas[code] == ord(folded), f"{code:04X}"
    assert chr(0x130 + deltas[0x130]) == "\u0130"  # the Turkish dotted I has no simple folding


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_the_decoder_reads_what_python_encodes(text):
    data = np.frombuffer(text.encode(), np.uint8)
    position, decoded = 0, []
    while position < len(data):
        code_point, width = unicode.decode(data, position)
        decoded.append(chr(code_point))
        position += width
    assert "".join(decoded) == text


@given(st.binary(min_size=1, max_size=12))
def test_malformed_bytes_neither_stop_the_decoder_nor_leave_the_tables(raw):
    data = np.frombuffer(raw, np.uint8)
    position = 0
    while position < len(data):
        code_point, width = unicode.decode(data, position)
        assert 0 <= code_point < 0x200000
        assert 1 <= width <= len(data) - position
        unicode.flags_of(unicode.TABLES, code_point)
        position += width


def reference_starts(text):
    starts, position = [], 0
    for cluster in regex.findall(r"\X", text):
        starts.append(position)
        position += len(cluster.encode())
    return starts


@SAME_REGEX
@given(documents())
def test_clusters_are_those_of_the_regex_module(text):
    (starts,) = cluster_starts(pa.array([text], pa.large_string()))
    assert starts.tolist() == reference_starts(text)


@SAME_REGEX
def test_clusters_agree_on_random_sequences_of_every_break_class():
    info = stored(unicode.TABLES.info_index, unicode.TABLES.info)
    info[0xD800:0xE000] = -1
    classes = [np.flatnonzero((info >= 0) & (info & CLUSTER_BITS == kind)).tolist()
               for kind in np.unique(info[info >= 0] & CLUSTER_BITS)]  # fmt: skip
    classes.append(np.flatnonzero(info >> bits.INCB_SHIFT & bits.INCB_MASK == 2).tolist())
    draw = random.Random(7)
    texts = [
        "".join(chr(draw.choice(draw.choice(classes))) for _ in range(draw.randrange(12)))
        for _ in range(20_000)
    ]
    found = cluster_starts(pa.array(texts, pa.large_string()))
    assert [starts.tolist() for starts in found] == [reference_starts(text) for text in texts]


@pytest.mark.parametrize(
    ("text", "num_clusters"),
    [("हिन्दी", 2), ("நிறுவனம்", 5), ("မြန်မာ", 4), ("བོད་ཡིག", 5), ("한국어", 3),
     ("👩‍👩‍👧‍👦🇧🇳", 2), ("\r\n", 1), ("e\u0301", 1), ("ภาษาไทย", 7), ("", 0)],
)  # fmt: skip
def test_clusters_of_familiar_words(text, num_clusters):
    (starts,) = cluster_starts(pa.array([text], pa.large_string()))
    assert len(starts) == num_clusters


def test_buffers_of_a_slice_point_into_the_parent():
    text = pa.array(["ab", "cde", "", "f"], pa.large_string())
    offsets, data = unicode.buffers(text.slice(1, 2))
    assert offsets.tolist() == [2, 5, 5]
    assert bytes(data[:6]) == b"abcdef"


def test_buffers_refuse_nulls_and_other_types():
    with pytest.raises(ValueError, match="nulls"):
        unicode.buffers(pa.array(["a", None], pa.large_string()))
    with pytest.raises(TypeError, match="large_string"):
        unicode.buffers(pa.array(["a"]))
