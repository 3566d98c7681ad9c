"""Sentences of tagged words, in the columns that people write them in."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.errors import ConfigError, DataError
from pretrain.tasks import conll
from pretrain.tasks.files import Source, sources

CONLL_2003 = """-DOCSTART- -X- -X- O

EU NNP B-NP B-ORG
rejects VBZ B-VP O

Peter NNP B-NP B-PER
Blackburn NNP I-NP I-PER
"""
CONLL_U = """# newdoc
# sent_id = s1
# text = Vámonos al mar
1-2\tVámonos\t_\t_\t_\t_\t_\t_\t_\t_
1\tVamos\tir\tVERB\t_\t_\t0\troot\t_\t_
2\tnos\tnosotros\tPRON\t_\t_\t1\tobj\t_\t_
2.1\tx\tx\tNOUN\t_\t_\t_\t_\t_\t_
3\t#\t#\tSYM\t_\t_\t1\tobl\t_\t_

# sent_id = s2
1\tSí\tsí\tINTJ\t_\t_\t0\troot\t_\t_
"""
UNER = """# sent_id = a-1
# text = Ana i Ivo
1\tAna\tB-PER\t-\tann
2\ti\tO\t-\tann
3\tIvo\tB-PER\t-\tann
"""


def read(tmp_path, text, *, name="a.conll", **columns):
    path = tmp_path / name
    path.write_text(text, encoding="utf-8", newline="")
    return conll.read(path.read_bytes(), sources([path])[0], columns=columns)


def test_conll_2003_gives_the_first_column_and_the_last(tmp_path):
    records = read(tmp_path, CONLL_2003)
    assert records.columns["words"].to_pylist() == [["EU", "rejects"], ["Peter", "Blackburn"]]
    assert records.columns["tags"].to_pylist() == [["B-ORG", "O"], ["B-PER", "I-PER"]]
    assert list(records.places) == [3, 6]


def test_other_columns_are_named_by_number(tmp_path):
    records = read(tmp_path, CONLL_2003, tags="2")
    assert records.columns["tags"].to_pylist()[0] == ["NNP", "VBZ"]
    with pytest.raises(ConfigError, match=r"no column '5'.*\n.*1 to 4"):
        read(tmp_path, CONLL_2003, tags="5")


def test_conll_u_gives_syntactic_words_and_upos_and_the_names_of_sentences(tmp_path):
    records = read(tmp_path, CONLL_U)
    assert records.columns["words"].to_pylist() == [["Vamos", "nos", "#"], ["Sí"]]
    assert records.columns["tags"].to_pylist() == [["VERB", "PRON", "SYM"], ["INTJ"]]
    assert records.columns["id"].to_pylist() == ["s1", "s2"]
    assert not records.broken


def test_a_column_that_counts_words_is_no_word_and_the_tags_are_where_spans_are(tmp_path):
    records = read(tmp_path, UNER, name="hr_set-ud-train.iob2")
    assert records.columns["words"].to_pylist() == [["Ana", "i", "Ivo"]]
    assert records.columns["tags"].to_pylist() == [["B-PER", "O", "B-PER"]]


def test_conll_u_plus_names_its_columns(tmp_path):
    text = "# global.columns = ID FORM UPOS PARSEME:NE\n1\tAna\tPROPN\t_\n\n1\tdođe\tVERB\t_\n"
    assert read(tmp_path, text).columns["tags"].to_pylist() == [["PROPN"], ["VERB"]]
    named = read(tmp_path, text, tags="PARSEME:NE")
    assert named.columns["tags"].to_pylist() == [["_"], ["_"]]


def test_tabs_part_columns_where_there_are_any_so_that_words_may_have_spaces(tmp_path):
    assert read(tmp_path, "quan trọng\tADJ\nlắm\tADV\n").columns["words"].to_pylist() == [
        ["quan trọng", "lắm"]
    ]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_a_line_of_other_columns_costs_its_sentence_alone(tmp_path, ending):
    lines = ["a O", "b O", "", "c O", "d", "", "e O", "", "", "f O"]
    records = read(tmp_path, ending.join(lines))
    assert records.columns["words"].to_pylist() == [["a", "b"], ["e"], ["f"]]
    assert list(records.places) == [1, 7, 10]
    assert list(records.broken) == [("wrong_number_of_columns", 4)]


def test_a_word_that_begins_with_a_hash_is_a_word(tmp_path):
    records = read(tmp_path, "# a comment\n#amani\tB-PER\n#\tO\n\n#\tO\nx\tO\n")
    assert records.columns["words"].to_pylist() == [["#amani", "#"], ["#", "x"]]


def test_words_without_tags_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"a\.conll:1: has one column only"):
        read(tmp_path, "habari\nnjema\n")
    with pytest.raises(DataError, match="has no sentence"):
        read(tmp_path, "# nothing\n")


def test_sentences_and_tables_are_told_apart():
    assert conll.looks_like_conll("a\tO\nb\tB-X\n\nc\tO\n")
    assert conll.looks_like_conll("a NN O\nb NN B-X\n\nc NN O\n")
    assert not conll.looks_like_conll("text\ttarget\na\tx\n\nb\ty\n")
    assert not conll.looks_like_conll("text,target\na,x\n")


WORD = st.text(st.characters(categories=["L", "M", "P", "S", "N"]), min_size=1, max_size=4)
SENTENCES = st.lists(
    st.lists(st.tuples(WORD, st.sampled_from(["O", "B-X", "I-X"])), min_size=1, max_size=4),
    min_size=1,
    max_size=5,
)


@given(SENTENCES, st.integers(0, 2), st.booleans(), st.booleans())
def test_sentences_that_are_written_are_read_back(sentences, num_blank, named, crlf):
    ending = "\r\n" if crlf else "\n"
    lines = []
    for number, one in enumerate(sentences):
        lines += [""] * (num_blank if number else 0)
        if named:
            lines += [f"# sent_id = s{number}", "# text = a b\tc"[: 10 + number]]
        lines += [f"{word}\t{tag}" for word, tag in one] + [""]
    data = ending.join(lines).encode()
    source = Source(path=Path("a.conll"), shown="a", short="a", split=None, code=None)
    records = conll.read(data, source, columns={})
    found = [
        list(zip(words, tags, strict=True))
        for words, tags in zip(
            records.columns["words"].to_pylist(), records.columns["tags"].to_pylist(), strict=True
        )
    ]
    assert found == sentences
    assert [lines[place - 1] for place in records.places] == ["\t".join(s[0]) for s in sentences]
    if named:
        assert records.columns["id"].to_pylist() == [f"s{n}" for n in range(len(sentences))]


def test_a_name_of_a_sentence_stays_with_it_where_another_has_none(tmp_path):
    text = "a\tO\n\n# sent_id = two\nb\tO\n\nc\tO\n"
    assert read(tmp_path, text).columns["id"].to_pylist() == [None, "two", None]
