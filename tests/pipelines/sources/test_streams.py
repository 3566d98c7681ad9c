"""Decompression: several members, damage, bombs, and the bytes that are counted."""

import bz2
import gzip
import tracemalloc

import pytest
import zstandard

from pipelines.sources import Tally, discover
from pipelines.sources.streams import ByteReader, Damaged, chunks

PACK = {"gz": gzip.compress, "bz2": bz2.compress, "zst": zstandard.compress}


def unpacked(source, name, **options):
    """Return the bytes of a file, the damage it has, and the compressed bytes counted."""
    corpus = source.corpus(name, format="text", **options)
    (split,) = discover(corpus, base=source.folder)
    tally = Tally()
    parts = []
    try:
        parts.extend(chunks(split, corpus, tally))
    except Damaged as damage:
        return b"".join(parts), damage.reason, tally.num_bytes
    return b"".join(parts), None, tally.num_bytes


@pytest.mark.parametrize("suffix", PACK)
@pytest.mark.parametrize("padding", [0, 5000])
def test_all_members_are_read_and_all_bytes_counted(source, suffix, padding):
    data = PACK[suffix](b"one ") + PACK[suffix](b"") + PACK[suffix](b"two" * 100_000)
    data += bytes(padding)
    source.write(f"x.{suffix}", data)
    assert unpacked(source, f"x.{suffix}") == (b"one " + b"two" * 100_000, None, len(data))


def test_skippable_frames_of_zstandard_are_skipped(source):
    skippable = b"\x51\x2a\x4d\x18" + (4).to_bytes(4, "little") + b"meta"
    source.write("x.zst", skippable + zstandard.compress(b"one") + skippable)
    assert unpacked(source, "x.zst")[:2] == (b"one", None)


@pytest.mark.parametrize("suffix", PACK)
def test_garbage_after_a_member_is_corrupt_and_the_member_kept(source, suffix):
    for garbage in (b"garbage", b"\x00\x00x", PACK[suffix](b"two")[:2] + b"garbage" * 20):
        source.write(f"x.{suffix}", PACK[suffix](b"one") + garbage)
        assert unpacked(source, f"x.{suffix}")[:2] == (b"one", "corrupt")


@pytest.mark.parametrize("suffix", PACK)
def test_a_file_that_is_not_compressed_at_all_is_corrupt(source, suffix):
    source.write(f"x.{suffix}", b"plain text")
    assert unpacked(source, f"x.{suffix}")[:2] == (b"", "corrupt")


@pytest.mark.parametrize("suffix", PACK)
def test_a_file_cut_anywhere_gives_a_prefix_and_says_so(source, suffix):
    text = b"".join(b"%d line\n" % number for number in range(3000))
    data = PACK[suffix](text)
    for size in range(1, len(data), max(1, len(data) // 60)):
        source.write(f"x.{suffix}", data[:size])
        found, reason, num_bytes = unpacked(source, f"x.{suffix}")
        assert reason == "truncated"
        assert num_bytes == size
        assert text.startswith(found)


@pytest.mark.parametrize("suffix", PACK)
def test_a_bomb_is_stopped_in_little_memory(source, suffix):
    zeros = bytes(16 << 20)
    if suffix == "gz":
        data = gzip.compress(zeros * 16)
    elif suffix == "bz2":
        data = bz2.compress(zeros * 16)
    else:  # a member again and again: 32,000-fold
        data = zstandard.compress(zeros) * 64
    source.write(f"x.{suffix}", data)
    corpus = source.corpus(f"x.{suffix}", format="text")
    (split,) = discover(corpus, base=source.folder)
    num_bytes = 0

    def count():
        nonlocal num_bytes
        for chunk in chunks(split, corpus, Tally()):
            num_bytes += len(chunk)

    tracemalloc.start()
    with pytest.raises(Damaged, match="decompression_bomb"):
        count()
    assert tracemalloc.get_traced_memory()[1] < 150 << 20
    tracemalloc.stop()
    assert num_bytes < 150 << 20


@pytest.mark.parametrize("suffix", PACK)
def test_what_expands_less_than_the_corpus_allows_is_no_bomb(source, suffix):
    source.write(f"x.{suffix}", PACK[suffix](bytes(70 << 20)))
    assert unpacked(source, f"x.{suffix}", max_expansion=1e6)[1] is None


def test_a_byte_reader_gives_the_same_bytes_however_they_are_cut():
    data = b"first\nsecond\nthird and more"
    for size in range(1, len(data)):
        reader = ByteReader(data[at : at + size] for at in range(0, len(data), size))
        assert reader.readline(100) == b"first\n"
        assert reader.readline(3) == b"sec"
        assert reader.skip(4) == 4
        assert reader.read(5) == b"third"
        assert reader.position == 18
        assert reader.skip(100) == 9
        assert reader.read(1) == reader.readline(1) == b""
