"""datatrove's part of datatrove_build.py: runs in build/alternatives, prints JSON.

    other_datatrove.py INPUT OUTPUT TASKS WORKERS fineweb|open

The steps and their order are FineWeb's: language, Gopher repetition, Gopher quality, C4 quality,
FineWeb quality, mojibake, personal data, then MinHash deduplication (14 bands of 8, five words) as
datatrove does it, in four jobs. Files are not compressed. `fineweb` takes datatrove's own
thresholds, save that the English stop words are not asked for; `open` lets every document through
every step, which is the work that koine does.

The word tokenizer is datatrove's for English (spacy's blank one) whatever the language: those of
other languages need torch, tensorflow or downloads.
"""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path
from typing import Any

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import MinhashDedupCluster, MinhashDedupFilter, MinhashDedupSignature
from datatrove.pipeline.dedup.minhash import MinhashConfig, MinhashDedupBuckets
from datatrove.pipeline.filters import (
    C4QualityFilter,
    FineWebQualityFilter,
    GopherQualityFilter,
    GopherRepetitionFilter,
    LanguageFilter,
)
from datatrove.pipeline.formatters import FTFYFormatter, PIIFormatter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter


def filters(*, opened: bool) -> list[Any]:
    """Return the five filters."""
    if not opened:
        return [
            LanguageFilter(),
            GopherRepetitionFilter(),
            GopherQualityFilter(min_stop_words=0),
            C4QualityFilter(filter_no_terminal_punct=False),
            FineWebQualityFilter(),
        ]
    # Each limit is one that nothing crosses; None or 0 would leave its measurement out.
    most = math.inf
    return [
        LanguageFilter(language_threshold=-1),
        GopherRepetitionFilter(
            dup_line_frac=most,
            dup_para_frac=most,
            dup_line_char_frac=most,
            dup_para_char_frac=most,
            top_n_grams=tuple((n, most) for n in range(2, 5)),
            dup_n_grams=tuple((n, most) for n in range(5, 11)),
        ),
        GopherQualityFilter(
            min_doc_words=-1,
            max_doc_words=most,
            min_avg_word_length=-1,
            max_avg_word_length=most,
            max_symbol_word_ratio=most,
            max_bullet_lines_ratio=most,
            max_ellipsis_lines_ratio=most,
            max_non_alpha_words_ratio=-1,
            min_stop_words=-1,
        ),
        C4QualityFilter(
            filter_no_terminal_punct=False,
            min_num_sentences=-2,
            min_words_per_line=0,
            filter_lorem_ipsum=False,
            filter_curly_bracket=False,
        ),
        FineWebQualityFilter(
            line_punct_thr=-1,
            short_line_thr=most,
            char_duplicates_ratio=most,
            new_line_ratio=most,
        ),
    ]


def jobs(source: str, out: Path, tasks: int, *, opened: bool) -> dict[str, tuple[list[Any], int]]:
    """Return the steps and the number of tasks of each job."""
    config = MinhashConfig()
    filtered, signatures = str(out / "filtered"), str(out / "signatures")
    buckets, remove = str(out / "buckets"), str(out / "remove")
    return {
        "filters": (
            [
                JsonlReader(source, compression=None),
                *filters(opened=opened),
                FTFYFormatter(),
                PIIFormatter(),
                JsonlWriter(filtered, compression=None),
            ],
            tasks,
        ),
        "signatures": (
            [
                JsonlReader(filtered, compression=None),
                MinhashDedupSignature(signatures, config=config),
            ],
            tasks,
        ),
        "buckets": ([MinhashDedupBuckets(signatures, buckets, config=config)], config.num_buckets),
        "cluster": ([MinhashDedupCluster(buckets, remove, config=config)], 1),
        "remove": (
            [
                JsonlReader(filtered, compression=None),
                MinhashDedupFilter(remove),
                JsonlWriter(str(out / "final"), compression=None),
            ],
            tasks,
        ),
    }


def total(value: Any) -> float:
    """Return a total from what stands in datatrove's statistics: nothing, a number, a summary."""
    return float(value["total"] if isinstance(value, dict) else value or 0)


def main() -> None:
    """Run the jobs; print their wall seconds, and those that datatrove counts for each step."""
    source, out, tasks, workers, thresholds = sys.argv[1:]
    wall, steps = {}, {}
    made = jobs(source, Path(out), int(tasks), opened=thresholds == "open")
    for name, (pipeline, num_tasks) in made.items():
        start = time.perf_counter()
        stats = LocalPipelineExecutor(
            pipeline,
            tasks=num_tasks,
            workers=min(int(workers), num_tasks),
            logging_dir=str(Path(out) / "logs" / name),
        ).run()
        wall[name] = time.perf_counter() - start
        for index, step in enumerate(json.loads(stats.to_json())):
            counts = step["stats"]
            steps[f"{name} {index} {step['name']}"] = {
                "seconds": total(step["time_stats"]),
                "documents": total(counts.get("total") or counts.get("documents")),
                "forwarded": total(counts.get("forwarded")),
            }
    sys.stdout.write(json.dumps({"wall": wall, "steps": steps}) + "\n")


if __name__ == "__main__":
    main()
