import numpy as np
import pyarrow as pa
import pytest

from pipelines import judge, records
from pipelines.config import CorpusSettings, Rules

ON = {rule.name: rule for rule in judge.RULES}


def measured(*rows: dict, label_score: float = 0.9) -> pa.Table:
    """Documents with these statistics; what is not given does not apply."""
    stats, evidence, texts = [], [], []
    for row in rows:
        stats.append({f.name: row.get(f.name) for f in records.STATS})
        evidence.append({f.name: row.get(f.name) for f in records.EVIDENCE})
        texts.append(row.get("text", "text"))
    return pa.table(
        {
            "text": pa.array(texts, pa.large_string()),
            "label_score": pa.array([label_score] * len(rows), pa.float32()),
            "stats": pa.array(stats, records.STATS),
            "evidence": pa.array(evidence, records.EVIDENCE),
        }
    )


def failures(table: pa.Table, settings: CorpusSettings, label: str = "swh_Latn") -> list[list[str]]:
    thresholds = judge.decide_thresholds(settings, [label], {})
    limits = judge.limits_of(thresholds, [label])
    masks = judge.failed_rules(table, np.zeros(table.num_rows, np.int64), limits)
    return [
        [rule.name for bit, rule in enumerate(judge.RULES) if int(mask) >> bit & 1]
        + (["empty"] if mask & judge.EMPTY_BIT else [])
        for mask in masks
    ]


def test_every_rule_names_a_column_that_is_measured():
    known = {f.name for f in records.STATS} | {f.name for f in records.EVIDENCE} | {"label_score"}
    assert {rule.column for rule in judge.RULES} <= known
    assert [rule.name for rule in judge.RULES] == list(Rules.model_fields)


@pytest.mark.parametrize("rule", judge.RULES, ids=lambda rule: rule.name)
def test_each_rule_fails_beyond_its_threshold_and_passes_at_it(rule):
    at = 3 if rule.column == "max_word_graphemes" else 0.3
    settings = CorpusSettings(rules=Rules(**{rule.name: at}))
    beyond = type(at)(at * (0.6 if rule.is_min else 1.4))
    rows = [{rule.column: value, "decided_by": "model"} for value in (beyond, at, None)]
    if rule.column == "label_score":
        found = [
            failures(measured(rows[0], label_score=value), settings)[0] for value in (beyond, at)
        ]
        declared = measured({"decided_by": "declared"}, label_score=beyond)
        found += failures(declared, settings)
    else:
        found = failures(measured(*rows), settings)
    assert [rule.name in failed for failed in found] == [True, False, False]


def test_what_does_not_apply_never_fails():
    assert failures(measured({}), CorpusSettings()) == [[]]


def test_a_rule_that_is_off_never_fails():
    settings = CorpusSettings(rules=Rules(max_digit_share=None))
    assert failures(measured({"digit_share": 1.0}), settings) == [[]]


def test_all_failed_rules_are_kept_and_the_first_is_the_reason():
    table = measured({"content_chars": 5.0, "digit_share": 0.9, "curly_ratio": 0.5})
    settings = CorpusSettings()
    assert failures(table, settings)[0] == [
        "min_content_chars",
        "max_digit_share",
        "max_curly_ratio",
    ]
    thresholds = judge.decide_thresholds(settings, ["swh_Latn"], {})
    limits = judge.limits_of(thresholds, ["swh_Latn"])
    masks = judge.failed_rules(table, np.zeros(1, np.int64), limits)
    assert judge.REASONS[judge.reason_names(masks)[0]] == "min_content_chars"
    detail = judge.describe_failures(table, masks, ["swh_Latn"], thresholds)
    assert detail == ["content_chars 5 < 100; digit_share 0.9 > 0.3; curly_ratio 0.5 > 0.02"]


def test_a_document_without_text_is_removed_under_any_rules():
    off = CorpusSettings(rules=Rules(**dict.fromkeys(Rules.model_fields)))
    assert failures(measured({"text": ""}), off) == [["empty"]]


def test_a_language_may_have_its_own_limit():
    settings = CorpusSettings(rules_by_label={"kal_Latn": {"max_mean_word_graphemes": 30}})
    table = measured({"mean_word_graphemes": 25.0})
    assert failures(table, settings, label="kal_Latn") == [[]]
    assert failures(table, settings, label="swh_Latn") == [["max_mean_word_graphemes"]]


def histograms_of(values: dict[str, np.ndarray], rule: str) -> judge.Histograms:
    bit = [r.name for r in judge.RULES].index(rule)
    counted = {}
    for label, own in values.items():
        counts = np.zeros((len(judge.RULES), judge.NUM_BINS), np.int64)
        bins = judge.histogram(own.astype(np.float32), is_length=ON[rule].is_length)
        counts[bit] = np.bincount(bins[bins >= 0], minlength=judge.NUM_BINS)
        counted[label] = counts
    return counted


AUTO = CorpusSettings(thresholds="auto")


def test_automatic_thresholds_follow_a_language_with_many_documents():
    rng = np.random.default_rng(0)
    counted = histograms_of({"kal_Latn": rng.normal(16, 2, 50_000)}, "max_mean_word_graphemes")
    found = judge.decide_thresholds(AUTO, ["kal_Latn"], counted)["kal_Latn"]
    threshold = found["max_mean_word_graphemes"]
    # median 16, upper quartile 17.35: the fence lies at 16 + 4 x 1.35
    assert threshold.value == pytest.approx(21.4, rel=0.03)
    assert threshold.num_documents == 50_000
    assert threshold.interval[0] <= threshold.value <= threshold.interval[1]


def test_automatic_thresholds_of_few_documents_stay_with_the_script():
    rng = np.random.default_rng(0)
    values = {f"aa{c}_Latn": rng.normal(5, 0.5, 5_000) for c in "abcdefgh"}
    values["kal_Latn"] = np.array([39.0, 39.0])
    counted = histograms_of(values, "max_mean_word_graphemes")
    found = judge.decide_thresholds(AUTO, list(values), counted)
    own = found["kal_Latn"]["max_mean_word_graphemes"]
    others = found["aaa_Latn"]["max_mean_word_graphemes"]
    assert own.num_documents == 2
    assert own.value == pytest.approx(20, abs=1)  # as fixed; the script's fence is 12
    assert others.value == pytest.approx(12, abs=0.01)  # the sane floor
    assert own.interval[1] - own.interval[0] >= others.interval[1] - others.interval[0]


def test_automatic_thresholds_are_not_moved_by_a_tail_of_junk():
    rng = np.random.default_rng(0)
    clean = rng.beta(2, 30, 20_000)
    junk = np.concatenate([clean, np.full(3_000, 0.95)])
    rule = "max_digit_share"
    limit = {
        name: judge.decide_thresholds(AUTO, ["a_Latn"], histograms_of({"a_Latn": v}, rule))[
            "a_Latn"
        ][rule].value
        for name, v in (("clean", clean), ("junk", junk))
    }
    assert limit["junk"] < 0.95
    assert limit["junk"] == pytest.approx(limit["clean"], abs=0.1)


ON_BY_DEFAULT = [
    rule
    for rule in judge.RULES
    if getattr(Rules(), rule.name) is not None and rule.name not in judge._CHOICES
]


@pytest.mark.parametrize("rule", ON_BY_DEFAULT, ids=lambda rule: rule.name)
def test_automatic_thresholds_stay_within_sane_bounds(rule):
    for value in (0.0, 1e6):
        counted = histograms_of({"a_Latn": np.full(10_000, value)}, rule.name)
        limit = judge.decide_thresholds(AUTO, ["a_Latn"], counted)["a_Latn"][rule.name].value
        assert rule.sane[0] <= limit <= rule.sane[1]


def test_automatic_thresholds_leave_what_is_a_choice_as_it_is_set():
    counted = histograms_of({"a_Latn": np.full(10_000, 5_000.0)}, "min_content_chars")
    settings = CorpusSettings(thresholds="auto", rules=Rules(min_content_chars=20))
    found = judge.decide_thresholds(settings, ["a_Latn"], counted)["a_Latn"]["min_content_chars"]
    assert (found.value, found.source) == (20, "rules")


def test_the_bins_of_a_histogram_have_the_edges_they_claim():
    values = np.array([0.0, 0.5, 1.0, np.nan], np.float32)
    assert judge.histogram(values, is_length=False).tolist() == [0, 128, 255, -1]
    values = np.array([0.0, 1.0, 2.0, 1024.0], np.float32)
    bins = judge.histogram(values, is_length=True)
    assert bins.tolist() == [0, 0, 8, 80]
    assert judge.bin_edge(80, is_length=True) == pytest.approx(1024)


def test_thresholds_survive_being_written():
    thresholds = judge.decide_thresholds(CorpusSettings(), ["swh_Latn"], {})
    again = judge.thresholds_from_json(judge.thresholds_to_json(thresholds))
    labels = ["swh_Latn"]
    np.testing.assert_array_equal(
        judge.limits_of(thresholds, labels), judge.limits_of(again, labels)
    )
