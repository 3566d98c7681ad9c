import re
from dataclasses import asdict

import pytest
import yaml

from pipelines import languages
from pipelines.lid176 import SCRIPTS
from pretrain import card, config

LABELS = ("arb_Arab", "bod_Tibt", "eng_Latn", "nob_Latn", "swh_Latn", "zho_Hans")


def row(**changes):
    return {
        "tokens": 5_000_000, "times_seen": 2.5, "bits_per_byte": 1.5, "mlm_accuracy": 0.25,
        "nsp_accuracy": 0.75, "masked": 900, "documents": 40, "held_by": "documents", **changes,
    }  # fmt: skip


def make_facts(labels=LABELS, *, preset="bert-small", rows=None, settings=None, **changes):
    """Facts as `export` collects them, in which later labels are served worse."""
    own = config.PretrainSettings.model_validate({"preset": preset, **(settings or {})})
    shape = config.shape_of(own)
    found = {
        label: row(bits_per_byte=1 + number / 100, nsp_accuracy=0.75 if shape.nsp else None)
        for number, label in enumerate(labels)
    }
    for label, own_row in (rows or {}).items():
        found[label] = {**found[label], **own_row}
    return {
        "step": 1200,
        "tokens": 157_000_000,
        "parameters": 58_900_000,
        "shape": asdict(shape),
        "settings": config.resolve(own, on_cpu=False).model_dump(mode="json"),
        "vocab": {"pieces": 65_400, "rows": 65_408},
        "labels": found,
        "longest": shape.max_positions,
        "judged_step": 1200,
        "corpus": {
            "documents": 90_000,
            "sources": [
                {"name": "web", "license": "ODC-By-1.0", "documents": 80_000},
                {"name": "books", "license": "CC0-1.0", "documents": 10_000},
            ],
        },
        "corpus_changed": False,
        "lineage": {"corpus (manifest)": "ab" * 32, "weights (model.safetensors)": "cd" * 32},
        "versions": {"torch": "2.13.0"},
        **changes,
    }


def many_labels(number):
    codes = (f"{code}_{script}" for script in ("Latn", "Cyrl", "Arab", "Deva") for code in SCRIPTS)
    return [label for label in dict.fromkeys(codes) if languages.is_label(label)][:number]


def matter_of(text):
    return yaml.safe_load(text.split("---\n")[1])


def table_of(text, heading="Label"):
    """The cells of every row of the tables that have this heading."""
    found, inside = [], False
    for line in text.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if heading in cells:
            inside, width = True, len(cells)
        elif not cells:
            inside = False
        elif inside:
            assert len(cells) == width, line
            found.append(cells)
    return [cells for cells in found if not cells[0].startswith("---")]


def test_the_front_matter_says_what_the_hub_needs_to_find_and_load_it():
    matter = matter_of(card.render(make_facts()))
    assert matter["library_name"] == "transformers"
    assert matter["pipeline_tag"] == "fill-mask"
    assert matter["mask_token"] == "[MASK]"
    assert {"multilingual", "bert", "koine"} <= set(matter["tags"])
    assert matter["language"] == ["ar", "bo", "en", "nb", "sw", "zh"]


def test_the_front_matter_names_no_licence_which_is_the_publishers_to_choose():
    text = card.render(make_facts())
    assert "license" not in matter_of(text)
    assert "This card states no licence of the model." in text
    assert ["web", "ODC-By-1.0", "80,000"] in table_of(text, "Corpus")


@pytest.mark.parametrize(
    ("label", "code"),
    [
        ("swh_Latn", "sw"), ("arb_Arab", "ar"), ("ary_Arab", "ary"), ("heb_Hebr", "he"),
        ("ind_Latn", "id"), ("hbs_Latn", "hbs"), ("nno_Latn", "nn"), ("bho_Deva", "bho"),
        ("zho_Hant", "zh"), ("yue_Hant", "yue"), ("quy_Latn", "quy"), ("ron_Latn", "ro"),
    ],
)  # fmt: skip
def test_a_language_has_its_code_of_two_letters_where_there_is_one(label, code):
    assert card.hub_language(label) == code


def test_a_language_in_two_scripts_is_one_language_of_the_hub():
    assert matter_of(card.render(make_facts(["zho_Hans", "zho_Hant"])))["language"] == ["zh"]


def test_norwegian_is_no_boolean():
    assert card.render(make_facts(["nob_Latn", "nno_Latn"])).count("- nb\n") == 1
    # `no` is what the hub would want of bokmål if it had no code of its own: quoted, it survives.
    assert yaml.safe_load(yaml.safe_dump({"language": ["no"]}))["language"] == ["no"]


@pytest.mark.parametrize("number", [1, 3, 40, 41, 300])
def test_every_language_has_one_row_and_the_worst_served_is_first(number):
    labels = many_labels(number)
    text = card.render(make_facts(labels))
    rows = table_of(text)
    assert [cells[1] for cells in rows] == [f"`{label}`" for label in reversed(labels)]
    bits = [float(cells[2]) for cells in rows]
    assert bits == sorted(bits, reverse=True)
    hidden = text.partition("The other")[2].partition("</details>")[0]
    assert len(table_of(hidden)) == (0 if number <= 40 else number - card.WORST)


def test_with_300_languages_the_card_stays_readable():
    text = card.render(make_facts(many_labels(300)))
    assert len(text) < 60_000
    assert len(matter_of(text)["language"]) > 100
    assert max(map(len, text.split("\n## Limits\n")[1].split("\n"))) < 3000


def test_languages_that_were_not_judged_come_last_and_are_named():
    text = card.render(
        make_facts(
            rows={
                "bod_Tibt": {
                    "bits_per_byte": None, "mlm_accuracy": None, "nsp_accuracy": None,
                    "held_by": None,
                }
            }
        )
    )  # fmt: skip
    assert table_of(text)[-1] == [
        "Tibetan", "`bod_Tibt`", "–", "–", "–", "5,000,000", "2.50", "nothing"
    ]  # fmt: skip
    assert "For want of text it was not judged in Tibetan (`bod_Tibt`)." in text


def test_the_limits_name_languages_whose_figures_mean_little():
    text = card.render(
        make_facts(
            rows={
                "bod_Tibt": {"held_by": "ends"},
                "swh_Latn": {"masked": 120},
                "arb_Arab": {"tokens": 900},
                "nob_Latn": {"tokens": 0},
            }
        )
    )
    limits = text.split("\n## Limits\n")[1]
    assert "the figures flatter it in Tibetan (`bod_Tibt`)." in limits
    assert "so that figures are rough, in Swahili (`swh_Latn`)." in limits
    assert "fewer than a million tokens, of Standard Arabic (`arb_Arab`)." in limits
    assert "has read none of it: Norwegian Bokmål (`nob_Latn`)." in limits
    assert "nb" not in matter_of(text)["language"]
    assert "# A BERT of 5 languages\n" in text


def test_what_holds_for_every_language_names_none():
    text = card.render(make_facts(rows={label: {"masked": 90} for label in LABELS}))
    assert "figures are rough, in all 6 languages." in text


def test_a_demonstration_is_called_one_and_a_real_run_is_not():
    assert "**It has read little**: 157 million tokens." in card.render(make_facts())
    assert "It has read little" not in card.render(make_facts(tokens=40_000_000_000))


def test_without_an_evaluation_the_card_says_so_and_still_lists_the_languages():
    unknown = ("bits_per_byte", "mlm_accuracy", "nsp_accuracy", "masked", "documents", "held_by")
    rows = {label: dict.fromkeys(unknown) for label in LABELS}
    text = card.render(make_facts(rows=rows, judged_step=None))
    assert "No held-out text was judged" in text
    assert len(table_of(text)) == len(LABELS)


def test_figures_of_an_earlier_step_say_that_they_are():
    assert "Judged at step 1,000, 200 before these weights." in card.render(
        make_facts(judged_step=1000)
    )
    assert "before these weights" not in card.render(make_facts())


def test_what_comes_from_outside_is_no_markup():
    nasty = "a|b`c*<script>![x](http://y)\n# d"
    text = card.render(
        make_facts(
            corpus={
                "documents": 1,
                "sources": [{"name": nasty, "license": "<b>own</b>|x", "documents": 1}],
            },
            versions={nasty: nasty},
            lineage={"weights": nasty},
        )
    )
    assert "<script>" not in re.sub(r"`[^`\n]*`", "", text)
    assert "\n# d" not in text
    assert len(table_of(text, "Corpus")) == 1
    assert table_of(text, "Corpus")[0][1] == r"\<b\>own\</b\>\|x"
    assert len(table_of(text, "What")) == 1


@pytest.mark.parametrize("changed", [False, True])
def test_a_corpus_that_is_not_there_is_not_made_up(changed):
    text = card.render(make_facts(corpus=None, corpus_changed=changed))
    assert ("has been built anew since" in text) == changed
    assert ("was not at hand" in text) != changed
    assert table_of(text, "Corpus") == []


@pytest.mark.parametrize(
    ("preset", "settings", "shown", "hidden"),
    [
        ("bert-small", {}, "BertForPreTraining", "nsp_head.safetensors"),
        ("bert-small", {"nsp": False}, "AutoModelForMaskedLM", "BertForPreTraining"),
        ("modern-small", {}, "AutoModelForMaskedLM", "BertForPreTraining"),
        ("modern-small", {"nsp": True}, "nsp_head.safetensors", "BertForPreTraining"),
    ],
)
def test_each_kind_of_model_says_how_it_is_loaded(preset, settings, shown, hidden):
    text = card.render(make_facts(preset=preset, settings=settings))
    assert shown in text
    assert hidden not in text
    assert ("Next passage told" in text) == (settings.get("nsp", preset == "bert-small"))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"tokens": 10_000_000},
        {"preset": "modern-tiny", "optimizer": {"name": "muon"}, "whole_words": True},
        {"sampling": {"by": "weights", "weights": {"swh_Latn": 2}}, "labels": ["swh_Latn"]},
        {"preset": "modern-base", "sampling": {"by": "temperature"}},
        {"schedule": {"kind": "wsd", "shape": "linear"}, "preset": "bert-tiny"},
    ],
)
def test_the_settings_in_the_card_are_a_section_that_koine_takes(settings, tmp_path):
    facts = make_facts(settings=settings)
    text = card.render(facts)
    recipe = text.rpartition("```yaml\n")[2].partition("```")[0]
    path = tmp_path / "corpora.yaml"
    path.write_text(recipe, encoding="utf-8")
    again = config.load(path).pretrain
    assert config.resolve(again, on_cpu=False).model_dump(mode="json") == facts["settings"]
    assert ("replace `budget` by `tokens:" in text) == ("tokens" not in settings)


def test_sequences_that_were_never_as_long_as_the_model_takes_are_a_limit():
    assert "no sequence of more than 128 tokens" in card.render(make_facts(longest=128))
    assert "no sequence of more than" not in card.render(make_facts())


def test_the_same_facts_give_the_same_card():
    assert card.render(make_facts()) == card.render(make_facts())


def test_the_card_has_no_gap_of_two_lines_and_no_space_at_an_end_of_line():
    for facts in (
        make_facts(),
        make_facts(many_labels(60), preset="modern-small", longest=128),
        make_facts(corpus=None, versions={}, settings={"tokens": 10_000_000}),
    ):
        text = card.render(facts)
        assert "\n\n\n" not in text
        assert not re.search(r"[ \t]\n", text)
        # A heading, a table and a list stand free.
        assert not re.search(r"\n[^\n|#`-][^\n]*\n(\||#|- )", text.split("---\n", 2)[2])


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (999, "999"), (999_400, "999,400"), (1_000_000, "1.00 million"),
        (58_900_000, "58.9 million"), (999_600_000, "1.00 billion"), (2.5e12, "2.50 trillion"),
        (345_000_000, "345 million"),
    ],
)  # fmt: skip
def test_large_numbers_have_three_digits(number, words):
    assert card.short(number) == words
