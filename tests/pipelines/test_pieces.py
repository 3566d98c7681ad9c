"""What the language model is shown of a document, against a plain reading of the same rule."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipelines.pieces import line_pieces, samples
from pipelines.unicode import buffers

TEXT = st.text(st.sampled_from("ab \n\0éж字\U0001f600"), max_size=60)


def one_line(piece: bytes) -> bytes:
    line = piece.replace(b"\n", b" ").replace(b"\0", b" ")
    return line.decode("utf-8", "ignore").encode()


def plain_sample(document: bytes, size: int) -> bytes:
    length, third = len(document), size // 3
    if length <= size:
        return one_line(document)
    starts = (0, (length - third) // 2, length - third)
    return b" ".join(one_line(document[at : at + third]) for at in starts)


def plain_lines(document: bytes, count: int, size: int, least: int) -> list[tuple[bytes, int]]:
    length, covered, found = len(document), 0, []
    count = min(count, max(1, length // size))
    for i in range(count):
        position = (2 * i + 1) * length // (2 * count)
        low = max(covered, position - size)
        around = document[low : position + size]
        start = around.rfind(b"\n", 0, position - low) + 1
        end = around.find(b"\n", position - low)
        line = around[start : len(around) if end < 0 else end]
        if len(line) > size:
            skip = min(max(position - low - start - size // 2, 0), len(line) - size)
            start, line = start + skip, line[skip : skip + size]
        if len(line) >= least:
            found.append((one_line(line), len(line)))
            covered = low + start + len(line)
    return found


@settings(deadline=None)  # the first call compiles
@given(st.lists(TEXT, max_size=6), st.integers(3, 40))
@example(["x" * 1000], 999)
@example(["x" * 12], 11)
def test_a_sample_is_all_or_beginning_middle_and_end(texts, size):
    offsets, data = buffers(pa.array(texts, pa.large_string()))
    shown, ends = samples(offsets, data, size=size)
    found = [shown[a:b].tobytes() for a, b in pairwise(ends)]
    assert found == [plain_sample(text.encode(), size) for text in texts]


@settings(deadline=None)  # the first call compiles
@given(st.lists(TEXT, max_size=6), st.integers(0, 5), st.integers(4, 20), st.integers(1, 6))
def test_line_pieces_are_within_their_lines_and_do_not_overlap(texts, count, size, least):
    offsets, data = buffers(pa.array(texts, pa.large_string()))
    lines = line_pieces(offsets, data, count=count, size=size, least=least)
    expected = [
        (number, *line)
        for number, text in enumerate(texts)
        for line in plain_lines(text.encode(), count, size, least)
    ]
    found = [
        (document, lines.data[start:end].tobytes(), num_bytes)
        for document, start, end, num_bytes in zip(
            lines.documents.tolist(),
            lines.offsets[:-1],
            lines.offsets[1:],
            lines.num_bytes.tolist(),
            strict=True,
        )
    ]
    assert found == expected


def test_a_slice_of_the_documents_gives_the_pieces_of_its_own():
    text = pa.array(["one line of it\n" * 9, "another\n" * 20, "third " * 50], pa.large_string())
    offsets, data = buffers(text.slice(1))
    whole = buffers(text)
    shown, _ = samples(offsets, data, size=30)
    all_shown, all_ends = samples(*whole, size=30)
    assert shown.tobytes() == all_shown[all_ends[1] :].tobytes()
    lines = line_pieces(offsets, data, count=3, size=10, least=2)
    assert (lines.documents == np.array([0, 0, 0, 1, 1, 1])).all()
