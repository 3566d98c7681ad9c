from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import config, config_errors, strict_yaml
from pipelines.errors import ConfigError

GOOD = """\
corpora:
  - name: swahili
    files: texts/*.jsonl
    label: swh_Latn
    license: CC0-1.0
"""


def problems_of(text: str, tmp_path: Path) -> list[str]:
    path = tmp_path / "corpora.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        config.load(path)
    assert caught.value.exit_code == 2
    text = str(caught.value).replace(str(tmp_path) + "/", "")
    return [line for line in text.split("\n") if line.startswith("corpora.yaml:")]


def test_a_good_file_gives_frozen_models_with_defaults(tmp_path):
    path = tmp_path / "corpora.yaml"
    path.write_text(GOOD)
    loaded = config.load(path)
    assert loaded.corpora[0].files == ("texts/*.jsonl",)
    assert loaded.corpus.dedupe.bands == 14
    with pytest.raises(ValueError, match="frozen"):
        loaded.corpora[0].name = "other"


def test_overrides_replace_values_by_dotted_key(tmp_path):
    path = tmp_path / "corpora.yaml"
    path.write_text(GOOD)
    loaded = config.load(path, overrides={"corpus.rules.max_digit_share": 0.5})
    assert loaded.corpus.rules.max_digit_share == 0.5


def test_norwegian_no_stays_a_word(tmp_path):
    lines = problems_of(GOOD.replace("swh_Latn", "no"), tmp_path)
    assert lines == ["corpora.yaml:4:12  corpora[0].label: 'no' is not a language label."]


def test_the_remedy_for_no_is_norwegian_bokmal(tmp_path):
    path = tmp_path / "corpora.yaml"
    path.write_text(GOOD.replace("swh_Latn", "no"))
    with pytest.raises(ConfigError, match="nob_Latn"):
        config.load(path)


def test_all_problems_are_reported_at_once_each_with_its_place(tmp_path):
    text = """\
corpora:
  - name: Swahili
    file: x.jsonl
    license: CC0-1.0
  - name: b
    files: x.jsonl
    declared: verfy
corpus:
  dedup: {}
  rules: {max_digit_share: lots}
"""
    lines = problems_of(text, tmp_path)
    places = [line.split(": ")[0].split("  ") for line in lines]
    assert places == [
        ["corpora.yaml:2:11", "corpora[0].name"],
        ["corpora.yaml:3:5", "corpora[0].file"],
        ["corpora.yaml:5:5", "corpora[1].license"],
        ["corpora.yaml:7:15", "corpora[1].declared"],
        ["corpora.yaml:9:3", "corpus.dedup"],
        ["corpora.yaml:10:28", "corpus.rules.max_digit_share"],
    ]


@pytest.mark.parametrize(
    ("text", "place", "fact"),
    [
        ("a: 1\na: 2\n", "2:1", "already set in line 1"),
        ("a: &x 1\nb: *x\n", "1:4", "anchor"),
        ("a: !!python/object:os.system x\n", "1:4", "tag"),
        ("a: [1\n", "2:1", "not valid YAML"),
        ("a: b: c\n", "1:5", "not valid YAML"),
        ("a:\n\tb: 1\n", "2:1", "not valid YAML"),
        ("? [1]\n: 2\n", "1:3", "plain text"),
        ("", "1:1", "empty"),
        ("a: \x07\n", "1:4", "U+0007"),
        ("[" * 100_000, "1:41", "too deeply"),
        ("<<: {a: 1}\nb: 1\n", "1:1", "no such key"),
        ("- 1\n", "1:1", "not a mapping"),
    ],
)
def test_yaml_that_is_not_plain_is_refused_with_its_place(text, place, fact, tmp_path):
    lines = problems_of(text, tmp_path)
    assert any(line.startswith(f"corpora.yaml:{place} ") and fact in line for line in lines), lines


def test_bytes_that_are_not_utf8_are_refused_with_their_place(tmp_path):
    path = tmp_path / "corpora.yaml"
    path.write_bytes(b"corpora:\n  - name: \xff\n")
    with pytest.raises(ConfigError, match=r"corpora.yaml:2:11  this byte is not UTF-8"):
        config.load(path)


def test_a_missing_file_is_one_clear_error(tmp_path):
    with pytest.raises(ConfigError, match="there is no such file"):
        config.load(tmp_path / "corpora.yaml")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("0o17", "0o17"),
        ("1_000", 1000),
        ("1e3", 1000.0),
        ("3.10", 3.1),
        ("'3.10'", "3.10"),
        ("2024-11-23", "2024-11-23"),
        ("true", True),
        ("null", None),
        ("12:30:45", "12:30:45"),
    ],
)
def test_plain_scalars_follow_the_json_rules(text, value):
    assert strict_yaml.parse(f"a: {text}\n").values == {"a": value}


@given(st.text(max_size=200))
def test_any_text_loads_or_is_refused_with_a_place(text):
    try:
        strict_yaml.parse(text)
    except strict_yaml.ProblemsError as error:
        assert error.problems
        assert all(problem.line >= 1 and problem.column >= 1 for problem in error.problems)


def test_two_corpora_cannot_share_a_name(tmp_path):
    entry = GOOD.partition("\n")[2]
    lines = problems_of("corpora:\n" + entry + entry, tmp_path)
    assert "two corpora are named 'swahili'" in lines[0]


def test_a_rule_for_one_language_must_exist(tmp_path):
    text = GOOD + "corpus:\n  rules_by_label:\n    swh_Latn: {max_digits_share: 1}\n"
    assert "has no rule 'max_digits_share'" in problems_of(text, tmp_path)[0]


def test_a_model_file_must_be_pinned(tmp_path):
    text = GOOD + "corpus:\n  identify: {model: glotlid.bin}\n"
    assert "must be pinned" in problems_of(text, tmp_path)[0]


def test_every_field_has_a_doc_line():
    def walk(model):
        for name, field in model.model_fields.items():
            yield f"{model.__name__}.{name}", field.description
            inner = config_errors.section_of(field.annotation)
            if inner is not None:
                yield from walk(inner)

    assert [name for name, text in walk(config.Config) if not text] == []


def test_the_path_of_a_model_starts_at_the_folder_of_the_file(tmp_path):
    path = tmp_path / "corpora.yaml"
    path.write_text(GOOD + f"corpus:\n  identify: {{model: m/own.bin, sha256: {'0' * 64}}}\n")
    assert config.load(path).corpus.identify.model == str(tmp_path / "m/own.bin")
