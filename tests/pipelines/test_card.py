import re

import datasets
import pyarrow as pa
import pytest
import yaml
from report_facts import make_facts

from pipelines import card, records
from pipelines.config import CorpusSettings, Dedupe, Pii

RULE = "min_terminal_line_share"


def matter_of(text):
    return yaml.safe_load(text.split("---\n")[1])


def filled(kind, value):
    if pa.types.is_struct(kind):
        return {field.name: filled(field.type, value) for field in kind}
    if pa.types.is_dictionary(kind):
        return filled(kind.value_type, value)
    if pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind):
        return [filled(kind.value_type, value)] * 3
    if pa.types.is_boolean(kind):
        return True
    if pa.types.is_floating(kind):
        return 0.5
    return 1 if pa.types.is_integer(kind) else value


def write_corpus(folder, facts):
    for label, row in facts["labels"].items():
        if not row["documents"]:
            continue
        (folder / label).mkdir()
        one = {field.name: filled(field.type, label) for field in records.CORPUS}
        table = pa.Table.from_pylist([one] * 2, schema=records.CORPUS)
        for part in range(2):
            path = folder / label / f"part-{part:05d}.arrow"
            with pa.ipc.new_stream(path, table.schema) as writer:
                writer.write_table(table)
    (folder / "README.md").write_text(card.render(facts), encoding="utf-8")


def test_each_language_loads_by_its_label(tmp_path):
    facts = make_facts(rates={"bod_Tibt": {RULE: 1.0}})
    folder = tmp_path / "corpus"
    folder.mkdir()
    write_corpus(folder, facts)
    names = datasets.get_dataset_config_names(str(folder))
    assert names == [label for label in facts["labels"] if label != "bod_Tibt"]
    for label in ("nob_Latn", "tha_Thai"):
        loaded = datasets.load_dataset(
            str(folder), label, split="train", cache_dir=str(tmp_path / "cache")
        )
        assert loaded.num_rows == 4
        assert set(loaded["label"]) == {label}


def test_the_front_matter_means_the_same_to_every_yaml_reader():
    facts = make_facts(("nob_Latn", "swh_Latn", "zho_Hant", "ory_Orya"))
    facts["labels"]["nor_Latn"] = facts["labels"]["nob_Latn"]
    text = card.render(facts)
    matter = matter_of(text)
    assert all(isinstance(code, str) for code in matter["language"])
    assert matter["language"] == ["nb", "no", "ory", "swh", "zh"]
    assert "- 'no'\n" in text
    assert matter["language_details"] == ["nb", "no", "ory", "swh", "zh-Hant"]
    assert {"config_name": "nob_Latn", "data_files": "nob_Latn/*.arrow"} in matter["configs"]


@pytest.mark.parametrize(
    ("spdx", "hub"),
    [
        ("CC0-1.0", "cc0-1.0"),
        ("CC-BY-SA-4.0", "cc-by-sa-4.0"),
        ("ODC-By-1.0", "odc-by"),
        ("GFDL-1.3-or-later", "gfdl"),
        ("GPL-3.0-only", "gpl-3.0"),
        ("unknown", "unknown"),
        ("LicenseRef-Mine", "other"),
    ],
)
def test_licences_become_the_hub_s_identifiers(spdx, hub):
    assert card.hub_license(spdx) == hub
    assert matter_of(card.render(make_facts(licenses=(spdx,))))["license"] == hub


def test_several_licences_are_a_list_without_those_of_corpora_that_gave_nothing():
    nothing = {("c", label): {RULE: 1.0} for label in make_facts()["labels"]}
    facts = make_facts(
        corpora=("a", "b", "c"),
        licenses=("CC0-1.0", "CC-BY-4.0", "MIT"),
        rates_by_corpus=nothing,
    )
    assert matter_of(card.render(facts))["license"] == ["cc-by-4.0", "cc0-1.0"]


def test_a_licence_of_one_s_own_is_named():
    matter = matter_of(card.render(make_facts(licenses=("Press: all rights | <b>",))))
    assert (matter["license"], matter["license_name"]) == ("other", "press-all-rights-b")


@pytest.mark.parametrize(
    ("documents", "category"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (2_500_000, "1M<n<10M"), (10**13, "n>1T")],
)
def test_sizes_fall_into_the_hub_s_categories(documents, category):
    assert card.size_category(documents) == category


def test_tables_survive_what_people_write_into_licences():
    text = card.render(make_facts(licenses=("a | b\n# <script>`x`",)))
    row = next(line for line in text.splitlines() if line.startswith("| web |"))
    assert len(re.findall(r"(?<!\\)\|", row)) == 6
    assert "<script>" not in text


def test_the_ledger_adds_up_in_the_card():
    record = {"corpus": "web", "origin": "a#1", "reason": "bad_json", "detail": "", "num_bytes": 1}
    facts = make_facts(rates={"fin_Latn": {RULE: 0.5}}, quarantined=[record])
    table = card.render(facts).partition("| Ledger |")[2].partition("\n\n")[0]
    read, *rest = (int(n.replace(",", "")) for n in re.findall(r"\| \**([\d,]+)\** \|", table))
    assert read == sum(rest) == 1401


def test_the_card_says_what_was_masked_and_what_was_not():
    text = card.render(make_facts(settings=CorpusSettings(pii=Pii(phones=False))))
    assert "E-mail addresses and IP addresses are replaced by placeholders" in text
    assert "Not masked: telephone numbers." in text
    off = CorpusSettings(pii=Pii(emails=False, ips=False, phones=False))
    assert "Personal data are not masked." in card.render(make_facts(settings=off))


def test_the_card_says_how_duplicates_were_found():
    settings = CorpusSettings(dedupe=Dedupe(near=False))
    text = card.render(make_facts(settings=settings))
    assert "Of documents with the same URL or the same text, one is kept" in text
    off = CorpusSettings(dedupe=Dedupe(url=False, exact=False, near=False))
    assert "Duplicates are not removed." in card.render(make_facts(settings=off))


def test_a_planted_bias_is_told_among_the_known_limits():
    rates = {label: {RULE: 0.03} for label in make_facts()["labels"]} | {"bod_Tibt": {RULE: 0.8}}
    limits = card.render(make_facts(rates=rates)).partition("## Known limits")[2]
    assert "Tibetan (too few lines end a sentence, 80" in limits


def test_an_empty_corpus_has_a_card():
    text = card.render(make_facts(languages=()))
    assert "configs" not in matter_of(text)
