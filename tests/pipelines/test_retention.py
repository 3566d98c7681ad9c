import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_facts import make_facts

from pipelines import retention

RULE = "min_terminal_line_share"


def alarms(facts):
    rates = retention.rates(facts, retention.by_label(facts))
    return retention.alarms(rates, retention.expected(facts, rates))


def everywhere(share, **others):
    labels = make_facts()["labels"]
    return {label: {RULE: others.get(label, share)} for label in labels}


def test_a_rule_that_removes_most_of_one_language_rings_for_it_and_for_no_other():
    (alarm,) = alarms(make_facts(rates=everywhere(0.04, bod_Tibt=0.83)))
    assert (alarm.label, alarm.reason) == ("bod_Tibt", RULE)
    assert alarm.rate.share == pytest.approx(0.83)
    assert alarm.expected == pytest.approx(0.04)


def test_a_rule_that_is_hard_on_every_language_alike_does_not_ring():
    assert alarms(make_facts(rates=everywhere(0.5))) == []


def test_a_language_rings_only_beyond_three_times_the_others_and_five_points():
    assert alarms(make_facts(rates=everywhere(0.2, bod_Tibt=0.5), documents=10_000)) == []
    assert alarms(make_facts(rates=everywhere(0.01, bod_Tibt=0.05), documents=10_000)) == []
    (alarm,) = alarms(make_facts(rates=everywhere(0.01, bod_Tibt=0.08), documents=10_000))
    assert alarm.label == "bod_Tibt"


def test_few_documents_or_few_languages_do_not_ring():
    assert alarms(make_facts(rates=everywhere(0.0, bod_Tibt=1.0), documents=19)) == []
    few = ("bod_Tibt", "eng_Latn", "fin_Latn", "nob_Latn")
    assert alarms(make_facts(few, rates={"bod_Tibt": {RULE: 0.9}})) == []


def test_an_accident_of_small_numbers_does_not_ring():
    # 3 of 25 are 12 %, but the interval of that rate begins at 4 %.
    assert alarms(make_facts(rates=everywhere(0.0, bod_Tibt=0.12), documents=25)) == []


def test_a_rule_hidden_behind_an_earlier_one_still_rings():
    facts = make_facts(rates={"bod_Tibt": {"min_content_chars": 0.1}})
    facts["failed"]["bod_Tibt"][RULE] = facts["failed_by_corpus"]["web"]["bod_Tibt"][RULE] = 150
    assert ("bod_Tibt", RULE) in [(alarm.label, alarm.reason) for alarm in alarms(facts)]


def test_languages_are_compared_within_their_corpora():
    # Snippets lose a quarter in every language, law nothing: no language is treated unlike others.
    snippets = {("snippets", label): {RULE: 0.25} for label in make_facts()["labels"]}
    facts = make_facts(corpora=("law", "snippets"), rates_by_corpus=snippets)
    law_only = {f"x{c}x_Latn": facts["flow"]["law"]["eng_Latn"] for c in "abcdefghijkl"}
    facts["flow"]["law"] |= law_only
    facts["histograms"] |= dict.fromkeys(law_only, facts["histograms"]["eng_Latn"])
    assert alarms(facts) == []
    # ... and one that loses far more than the other snippets still rings.
    facts["flow"]["snippets"]["bod_Tibt"] = {"measured": [200, 1], RULE: [200, 1]}
    facts["failed"]["bod_Tibt"][RULE] = facts["failed_by_corpus"]["snippets"]["bod_Tibt"][RULE] = (
        200
    )
    facts["flow"]["law"].pop("bod_Tibt")
    assert [alarm.label for alarm in alarms(facts)] == ["bod_Tibt"]


def test_near_duplicates_of_one_language_ring_too():
    (alarm,) = alarms(make_facts(rates={"tha_Thai": {"near_duplicate": 0.6}}))
    assert (alarm.label, alarm.reason) == ("tha_Thai", "near_duplicate")


def test_text_in_no_language_does_not_ring():
    languages = (*make_facts()["labels"], "zxx_Zxxx", "und_Latn")
    rates = {"zxx_Zxxx": {RULE: 0.9}, "und_Latn": {RULE: 0.9}}
    assert alarms(make_facts(languages, rates=rates)) == []


def test_a_rule_that_does_not_apply_to_a_language_has_no_rate_there():
    facts = make_facts()
    del facts["histograms"]["tha_Thai"][RULE]
    rates = retention.rates(facts, retention.by_label(facts))
    assert "tha_Thai" not in rates[RULE]
    assert "eng_Latn" in rates[RULE]


def test_languages_come_worst_kept_first_and_small_ones_last():
    facts = make_facts(rates={"fin_Latn": {RULE: 0.5}, "heb_Hebr": {RULE: 0.2}})
    facts["flow"]["web"]["tha_Thai"] = {"measured": [3, 300], RULE: [3, 300]}
    order = list(retention.by_label(facts))
    assert order[:2] == ["fin_Latn", "heb_Hebr"]
    assert order[-1] == "tha_Thai"


def test_the_waterfall_ends_with_what_was_kept():
    rates = {"fin_Latn": {RULE: 0.5, "near_duplicate": 0.1}, "heb_Hebr": {"max_digit_share": 0.2}}
    record = {"corpus": "web", "origin": "a#1", "reason": "bad", "detail": "", "num_bytes": 1}
    facts = make_facts(rates=rates, quarantined=[record])
    steps = retention.waterfall(facts, retention.everything(facts), num_rules=6)
    whole = [step for step in steps if step.reason is None]
    assert [step.kind for step in whole] == ["read", "quarantined", "rules", "duplicates", "kept"]
    read, *out, kept = (step.documents for step in whole)
    assert read - sum(out) == kept == whole[-2].documents_left
    for kind in ("rules", "duplicates"):
        parts = [step for step in steps if step.kind == kind]
        assert parts[0].documents == sum(step.documents for step in parts[1:])
        assert parts[0].documents_left == parts[-1].documents_left


def test_small_rules_share_one_step():
    reasons = make_facts()["reasons"][:9]
    facts = make_facts(rates={"fin_Latn": dict.fromkeys(reasons, 0.1)})
    steps = retention.waterfall(facts, retention.everything(facts), num_rules=6)
    assert [step.num_reasons for step in steps if step.kind == "rules"] == [1] * 7 + [3]


@given(st.integers(0, 500), st.integers(0, 500))
def test_the_lower_bound_lies_below_the_rate(failed, passed):
    rate = retention.Rate(failed, failed + passed)
    assert 0 <= retention.lower_bound(rate) <= rate.share + 1e-12
