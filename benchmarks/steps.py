"""Where the time of measuring goes: seconds and MB/s of each step, on one core.

The steps are called as `units.measured_batch` calls them, batch by batch. Three things beside them:
what fastText's own C++ takes for the text that `identify` shows its kernels (no Python around the
loop that could be left out), the same for whole documents, and copying the bytes once.
"""

from __future__ import annotations

import itertools
import json
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import common
import fasttext
import inputs
import numpy as np
import pyarrow as pa

from pipelines import clean, extract, identify, pieces, pii, signatures, sources, store, units
from pipelines.config import Config, Corpus, CorpusSettings
from pipelines.language_model import _embedded_path
from pipelines.measure import dominant_scripts, measure
from pipelines.unicode import buffers

STEPS = (
    "read",
    "extract",
    "clean",
    "pii",
    "measure",
    "identify",
    "signatures",
    "hashes and ids",
    "write",
)


class Clock:
    """Adds up the seconds of named steps."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    def __call__(self, name: str, function: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a function, on the account of a step."""
        start = time.perf_counter()
        result = function(*args, **kwargs)
        self.seconds[name] += time.perf_counter() - start
        return result


def one_pass(
    corpus: Corpus, base: Path, settings: CorpusSettings, model: Any, folder: store.Folder
) -> tuple[dict[str, float], list[pa.LargeStringArray]]:
    """Take all documents through all steps; return the seconds of each, and the clean texts."""
    clock, tally, texts = Clock(), sources.Tally(), []
    writer = units._Writer(folder, "steps", num_bands=settings.dedupe.bands)
    for split in sources.discover(corpus, base=base, split_bytes=units.UNIT_BYTES):
        reader = sources.read(split, corpus, tally)
        while (raw := clock("read", next, reader, None)) is not None:
            batch = clock("extract", extract.extract, raw, tally)
            text, _ = clock("clean", clean.clean, batch.column("text"))
            text, _ = clock("pii", pii.mask, text, emails=True, ips=True, phones=True)
            profile = clock("measure", measure, text)
            clock(
                "identify",
                identify.identify,
                text,
                pa.nulls(len(text), pa.string()),
                profile.letters_by_script,
                model=model,
                policy="verify",
            )
            scripts = dominant_scripts(profile.letters_by_script)
            clock("signatures", signatures.signatures, text, scripts=scripts)
            clock("hashes and ids", signatures.text_hashes, text)
            clock("hashes and ids", signatures.url_hashes, batch.column("url"))
            origin = batch.column("origin")
            clock("hashes and ids", units._ids, batch.column("text"), origin, corpus.name)
            texts.append(text)
            # The writer wants whole batches: made here a second time, off the clock.
            clock("write", writer.add, units.measured_batch(raw, corpus, settings, tally))
    clock("write", writer.flush)
    return dict(clock.seconds), texts


def strings(data: np.ndarray, offsets: np.ndarray) -> list[str]:
    """Return texts as fastText's library takes them."""
    places = itertools.pairwise(offsets.tolist())
    return [data[start:end].tobytes().decode() + "\n" for start, end in places]


def floors(texts: list[pa.LargeStringArray]) -> dict[str, tuple[float, int]]:
    """Return seconds and bytes of what fastText's library and copying alone cost."""
    samples, lines, whole = [], [], []
    for text in texts:
        offsets, data = buffers(text)
        shown, ends = pieces.samples(offsets, data, size=1_000)
        samples += strings(shown, ends)
        least = identify.LEAST_LINE_BYTES
        found_lines = pieces.line_pieces(offsets, data, count=8, size=100, least=least)
        lines += strings(found_lines.data, found_lines.offsets)
        whole += [document.replace("\n", " ") + "\n" for document in text.to_pylist()]
    predictor = fasttext.load_model(str(_embedded_path())).f
    found = {}
    start = time.perf_counter()
    for sample in samples:
        predictor.predict(sample, identify.NUM_GUESSES, 0.0, "strict")
    predictor.multilinePredict(lines, 1, 0.0, "strict")
    seconds = time.perf_counter() - start
    num_bytes = sum(len(line.encode()) for line in itertools.chain(samples, lines))
    found["fastText, the samples that identify shows it"] = (seconds, num_bytes)
    start = time.perf_counter()
    for document in whole:
        predictor.predict(document, identify.NUM_GUESSES, 0.0, "strict")
    seconds = time.perf_counter() - start
    found["fastText, whole documents"] = (seconds, sum(len(line.encode()) for line in whole))
    data = np.concatenate([np.asarray(buffers(text)[1]) for text in texts])
    target = np.empty_like(data)
    np.copyto(target, data)
    start = time.perf_counter()
    np.copyto(target, data)
    found["copying the bytes"] = (time.perf_counter() - start, data.nbytes)
    return found


def main() -> None:
    """Measure, print, and write the results."""
    parser = common.arguments(__doc__, documents=8_000)
    given = parser.parse_args()
    facts = common.machine()
    found = inputs.documents(given.documents, given.data)
    common.pin()
    settings = CorpusSettings()
    model = identify.load_model(settings.identify.model)
    folder = store.Folder(common.BUILD / "steps")
    small = inputs.documents(100, given.data)
    one_pass(_corpus(small), small.folder, settings, model, folder)

    runs: dict[str, list[float]] = defaultdict(list)
    floor_runs: dict[str, list[float]] = defaultdict(list)
    floor_bytes = {}
    for _ in range(given.repeats):
        seconds, texts = one_pass(_corpus(found), found.folder, settings, model, folder)
        for name in STEPS:
            runs[name].append(seconds[name])
        for name, (value, size) in floors(texts).items():
            floor_runs[name].append(value)
            floor_bytes[name] = size

    medians = {name: common.summary(values)["median"] for name, values in runs.items()}
    total = sum(medians.values())
    megabytes = found.num_bytes / 1e6
    print(f"{found.num_documents:,} documents, {megabytes:.1f} MB of text, one core")
    rows = [
        [
            name,
            f"{seconds:.2f}",
            f"{seconds / total:.0%}",
            f"{megabytes / seconds:,.1f}",
            f"{1e3 * seconds / found.num_documents:.3f}",
        ]
        for name, seconds in [*medians.items(), ("all steps", total)]
    ]
    common.table(["step", "seconds", "share", "MB/s", "ms a document"], rows)
    rows = []
    for name, values in floor_runs.items():
        seconds, size = common.summary(values)["median"], floor_bytes[name]
        rows.append([name, f"{seconds:.3f}", f"{size / 1e6:.1f}", f"{size / seconds / 1e6:,.1f}"])
    common.table(["floor", "seconds", "MB seen", "MB/s"], rows)
    common.write(
        given.name or "steps",
        facts,
        {
            "documents": found.num_documents,
            "bytes": found.num_bytes,
            "steps": {name: common.summary(values) for name, values in runs.items()},
            "all_steps_seconds": total,
            "all_steps_mb_per_s": megabytes / total,
            "floors": {
                name: common.summary(values) | {"bytes": floor_bytes[name]}
                for name, values in floor_runs.items()
            },
        },
    )


def _corpus(found: inputs.Documents) -> Corpus:
    value = {"name": "documents", "files": f"{found.folder}/*.jsonl", "license": "unknown"}
    text = json.dumps({"corpora": [value]})
    return Config.model_validate_json(text).corpora[0]


if __name__ == "__main__":
    main()
