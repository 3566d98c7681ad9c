"""Speed of predicting languages: koine's kernels beside fastText's own C++, on the same pieces.

Pieces are those that `identify` shows the model (samples of 1,000 bytes, pieces of lines of 100)
and whole documents. Models are lid.176, and one with random weights of the size of the large
language identifiers (dimension 256, 2,102 labels, 200,000 rows). The C++ is called once for each
text with a string made beforehand. Labels are compared too.
"""

from __future__ import annotations

import itertools
import statistics
import sys
import time
from pathlib import Path
from typing import Any

import common
import fasttext
import inputs
import numpy as np
import pyarrow as pa

from pipelines import identify, pieces
from pipelines.fasttext_format import read_model
from pipelines.fasttext_kernel import Predictor
from pipelines.language_model import _content, _embedded_path
from pipelines.unicode import buffers

sys.path.append(str(common.REPO / "tests"))
from fasttext_models import SmallModel

Texts = tuple[np.ndarray, np.ndarray]


def large_model(texts: list[str]) -> Path:
    """Return a model with random weights, written once."""
    path = common.BUILD / "large-model.bin"
    if not path.is_file():
        words = sorted({word for text in texts[:2_000] for word in text.replace("\0", " ").split()})
        model = SmallModel(
            ["</s>", *words[:50_000]], dim=256, num_labels=2_102, num_buckets=150_000, longest=5,
            scale=0.1,
        )  # fmt: skip
        path.parent.mkdir(parents=True, exist_ok=True)
        model.write(path)
    return path


def compare(path: Path, texts: Texts, *, count: int, repeats: int) -> list[Any]:
    """Return us a text and MB/s of both, how much faster, and how many labels differ."""
    model = read_model(_content(path), path=path)
    predictor, library = Predictor(model), fasttext.load_model(str(path)).f
    data, offsets = texts
    strings = [
        data[start:end].tobytes().decode() + "\n"
        for start, end in itertools.pairwise(offsets.tolist())
    ]
    predictor.predict(data, offsets[:2], count=count)  # compiled, or taken from the cache
    ours, theirs = [], []
    for _ in range(repeats):
        start = time.perf_counter()
        labels, _ = predictor.predict(data, offsets, count=count)
        ours.append(time.perf_counter() - start)
        start = time.perf_counter()
        found = [library.predict(text, count, 0.0, "strict") for text in strings]
        theirs.append(time.perf_counter() - start)
    expected = [[label.removeprefix("__label__") for _, label in guesses] for guesses in found]
    named = [[model.labels[label] for label in row if label >= 0] for row in labels]
    different = sum(a != b for a, b in zip(named, expected, strict=True))
    our_time, their_time = statistics.median(ours), statistics.median(theirs)
    return [
        len(strings),
        f"{our_time / len(strings) * 1e6:.1f}",
        f"{their_time / len(strings) * 1e6:.1f}",
        f"{len(data) / our_time / 1e6:.1f}",
        f"{len(data) / their_time / 1e6:.1f}",
        f"{their_time / our_time:.1f}",
        different,
    ]


def main() -> None:
    """Measure and print."""
    given = common.arguments(__doc__, documents=4_000).parse_args()
    texts = inputs.read_texts(inputs.documents(given.documents, given.data))
    offsets, data = buffers(pa.array(texts, pa.large_string()))
    lines = pieces.line_pieces(offsets, data, count=8, size=100, least=identify.LEAST_LINE_BYTES)
    whole = pieces.samples(offsets, data, size=int(np.diff(offsets).max()))
    sets = {
        "samples": (pieces.samples(offsets, data, size=1_000), 3),
        "lines": ((lines.data, lines.offsets), 1),
        "documents": (whole, 3),
    }
    rows = []
    for name, path in (("lid.176", _embedded_path()), ("large", large_model(texts))):
        for what, ((content, ends), count) in sets.items():
            if name == "large":  # the library takes milliseconds a text
                ends = ends[: len(ends) // 8 + 1]
                content = content[: ends[-1]]
            row = compare(path, (content, ends), count=count, repeats=given.repeats)
            rows.append([name, what, *row])
    head = ["model", "pieces", "texts", "us a text", "C++", "MB/s", "C++", "faster by", "different"]
    common.table(head, rows)


if __name__ == "__main__":
    main()
