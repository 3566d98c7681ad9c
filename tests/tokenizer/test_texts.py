"""The text that vocabularies are judged by, and how parallel text is read from disk."""

import gzip
import json

import numpy as np
import pyarrow as pa
import pytest

from pipelines.errors import DataError
from pipelines.measure import measure
from tokenizer import texts
from tokenizer.parallel import read_parallel
from tokenizer.words import word_counts


def large(lines):
    return pa.array(lines, pa.large_string())


def held(**lines):
    return texts.held_out({label: pa.table({"text": large(own)}) for label, own in lines.items()})


def words(*lines):
    found, counts = word_counts(large(lines))
    return dict(zip(found.to_pylist(), counts.tolist(), strict=True))


def test_words_have_no_punctuation_and_keep_signs_between_letters():
    assert words("Hello, don't (stop) 42!", "hello stop") == {
        "Hello": 1, "don't": 1, "stop": 2, "42": 1, "hello": 1,
    }  # fmt: skip


def test_joiners_belong_to_the_word_and_scripts_without_spaces_have_none():
    assert words("می\u200cخواهم 日本abc ภาษา") == {"می\u200cخواهم": 1, "abc": 1}
    assert words("അവന്\u200d വന്നു") == {"അവന്\u200d": 1, "വന്നു": 1}  # the joiner ends the word
    assert words("", " ", "...") == {}


def test_words_are_those_that_the_corpus_statistics_count(texts):
    for label, documents in texts.items():
        array = large(documents)
        counted = measure(array).stats.field("num_words")
        if not counted.null_count:
            assert int(word_counts(array)[1].sum()) == sum(counted.to_pylist()), label


def test_a_language_knows_the_bytes_characters_and_content_of_its_lines():
    found = held(zho_Hans=["汉字", "", "abc 汉"], eng_Latn=["Hello you"])
    own = found.labels["zho_Hans"]
    assert list(found.labels) == ["eng_Latn", "zho_Hans"]
    assert own.lines.to_pylist() == ["汉字", "abc 汉"]
    assert own.num_bytes.tolist() == [6, 7]
    assert own.num_chars.tolist() == [2, 5]
    assert own.content.tolist() == [8, 8]  # 4 for a Han character, 1 for a letter or a space
    assert own.words is None or own.words == ["abc"]
    assert found.labels["eng_Latn"].words == ["Hello", "you"]
    assert found.labels["eng_Latn"].word_counts.tolist() == [1, 1]


def test_a_script_without_spaces_has_no_words():
    assert held(tha_Thai=["ภาษาไทย ง่าย OK"]).labels["tha_Thai"].words is None


def test_held_out_text_comes_as_one_table_too():
    table = pa.table(
        {
            "label": pa.array(["yor_Latn", "eng_Latn", "yor_Latn"]).dictionary_encode(),
            "text": large(["ọjọ́", "day", "àlá"]),
        }
    )
    found = texts.held_out_of(table)
    assert {k: v.lines.to_pylist() for k, v in found.labels.items()} == {
        "eng_Latn": ["day"],
        "yor_Latn": ["ọjọ́", "àlá"],
    }
    assert found.kind == "held-out"


def test_held_out_text_without_text_is_refused():
    with pytest.raises(DataError, match="held-out text is empty"):
        held(eng_Latn=["", "  "])


def test_parallel_text_keeps_which_line_is_which():
    found = texts.parallel(
        {"eng_Latn": ["one", "two", "three"], "deu_Latn": ["eins", None, "drei"]}
    )
    assert found.labels["deu_Latn"].positions.tolist() == [0, 2]
    assert found.num_lines == 3
    assert not found.is_complete
    assert texts.parallel({"eng_Latn": ["one"], "deu_Latn": ["eins"]}).is_complete


def test_languages_without_a_line_in_common_cannot_be_compared():
    lines = {
        "eng_Latn": ["one", "two", None, None],
        "deu_Latn": ["eins", None, None, None],
        "fra_Latn": [None, "deux", None, None],  # with German through English
        "yor_Latn": [None, None, "mẹ́ta", "mẹ́rin"],
    }
    with pytest.raises(DataError, match="yor_Latn has no line in common"):
        texts.parallel(lines)
    del lines["yor_Latn"]
    found = texts.parallel(lines)
    own = {label: text for label, text in found.labels.items() if label != "eng_Latn"}
    with pytest.raises(DataError, match="no line in common"):
        texts.Texts("parallel", own, found.num_lines)


def test_a_folder_has_a_file_for_each_language(tmp_path):
    (tmp_path / "swh_Latn.devtest").write_bytes("\ufeffHabari\r\nya leo\r\n".encode())
    (tmp_path / "eng_Latn.devtest").write_text("News\nof today\n")
    (tmp_path / "zho_Hant.devtest").write_text("新聞\n\n")
    (tmp_path / "README.md").write_text("about\n")
    found = read_parallel(tmp_path)
    assert {k: v.lines.to_pylist() for k, v in found.labels.items()} == {
        "eng_Latn": ["News", "of today"],
        "swh_Latn": ["Habari", "ya leo"],
        "zho_Hant": ["新聞"],
    }
    assert found.num_lines == 2


def test_names_may_be_any_spelling_of_a_language(tmp_path):
    (tmp_path / "sw.txt").write_text("Habari\n")
    (tmp_path / "pt-BR.txt").write_text("Notícias\n")
    assert list(read_parallel(tmp_path).labels) == ["por_Latn", "swh_Latn"]


def test_a_folder_without_languages_says_what_is_expected(tmp_path):
    (tmp_path / "notes.txt").write_text("x\n")
    (tmp_path / "devtest").mkdir()
    with pytest.raises(DataError, match=r"(?s)no file is named after a language.*devtest"):
        read_parallel(tmp_path)
    with pytest.raises(DataError, match="there is no such file or folder"):
        read_parallel(tmp_path / "nowhere")


def test_files_of_different_lengths_are_refused_by_name(tmp_path):
    for label, number in (("eng_Latn", 3), ("deu_Latn", 3), ("fra_Latn", 2)):
        (tmp_path / f"{label}.txt").write_text("line\n" * number)
    with pytest.raises(DataError, match="most languages have 3 lines, but fra_Latn has 2"):
        read_parallel(tmp_path)


def test_two_files_of_a_language_are_refused(tmp_path):
    for name in ("swh_Latn.dev", "swh_Latn.devtest", "eng_Latn.dev"):
        (tmp_path / name).write_text("line\n")
    with pytest.raises(DataError, match=r"swh_Latn.dev and swh_Latn.devtest are both swh_Latn"):
        read_parallel(tmp_path)


def test_bytes_that_are_not_utf8_are_refused_with_file_and_line(tmp_path):
    (tmp_path / "fra_Latn.txt").write_bytes(b"bon\n\xe9t\xe9\n")
    with pytest.raises(DataError, match=r"fra_Latn.txt:2: byte 1 is not UTF-8"):
        read_parallel(tmp_path)


def rows(*triples):
    return "".join(
        json.dumps({"id": i, "lang": lang, "text": text}, ensure_ascii=False) + "\n"
        for i, lang, text in triples
    ).encode()


FLORES = rows(
    ("flores:eng_Latn:1", "eng_Latn", "one"),
    ("flores:eng_Latn:2", "eng_Latn", "two"),
    ("flores:deu_Latn:2", "deu_Latn", "zwei"),
    ("flores:deu_Latn:7", "deu_Latn", "sieben"),
    ("flores:fra_Latn:1", "fra_Latn", "un"),
    ("flores:zxx_Zxxx:1", "zxx_Zxxx", "1"),
    ("flores:und:1", "und", "?"),
)


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
def test_jsonl_pairs_lines_by_what_their_ids_have_in_common(tmp_path, suffix):
    path = tmp_path / f"dev.jsonl{suffix}"
    if suffix == ".zst":
        with pa.CompressedOutputStream(str(path), "zstd") as stream:
            stream.write(FLORES)
    else:
        path.write_bytes(gzip.compress(FLORES) if suffix else FLORES)
    found = read_parallel(path)
    assert found.labels["eng_Latn"].positions.tolist() == [0, 1]
    assert found.labels["deu_Latn"].positions.tolist() == [1]  # nothing translates line 7
    assert found.labels["fra_Latn"].positions.tolist() == [0]
    assert found.num_lines == 2


def test_ids_may_be_bare_numbers_and_languages_stand_in_label(tmp_path):
    path = tmp_path / "dev.jsonl"
    path.write_text(
        '{"id": "1", "label": "en", "text": "a"}\n{"id": "1", "label": "de", "text": "b"}\n'
    )
    assert list(read_parallel(path).labels) == ["deu_Latn", "eng_Latn"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b'{"id": "1", broken\n', r"dev.jsonl:1: not JSON"),
        (b'\n["list"]\n', r"dev.jsonl:2: an object with the texts"),
        (b'{"id": 1, "lang": "eng_Latn", "text": "a"}\n', r"dev.jsonl:1: an object with the texts"),
        (b'{"id": "1", "lang": "eng_Latn"}\n', r"dev.jsonl:1: an object with the texts"),
        (b'{"id": "1", "text": "\xff"}\n', r"dev.jsonl:1: byte 22 is not UTF-8"),
        (rows(("1", "eng_Latn", "a"), ("1", "eng_Latn", "b")), r"dev.jsonl:2: eng_Latn has the"),
        (rows(("1", "eng_Latn", "a"), ("2", "deu_Latn", "b")), r"no id occurs in two languages"),
        (b"", r"no id occurs in two languages"),
        (b"[" * 100_000, r"dev.jsonl:1: not JSON"),
        (rows(("1", "eng_Latn", "a"))[:-4] + b'\\ud800"}\n', r"dev.jsonl:1: the text holds half"),
    ],
)
def test_what_is_wrong_with_jsonl_is_said_with_its_line(tmp_path, data, said):
    path = tmp_path / "dev.jsonl"
    path.write_bytes(data)
    with pytest.raises(DataError, match=said):
        read_parallel(path)


def test_a_torn_compressed_file_is_refused(tmp_path):
    path = tmp_path / "dev.jsonl.gz"
    path.write_bytes(gzip.compress(FLORES)[:40])
    with pytest.raises(DataError, match="cannot be read"):
        read_parallel(path)


@pytest.mark.slow
def test_flores_is_read_with_its_gaps(data, tmp_path):
    import zstandard

    path = tmp_path / "flores.jsonl"
    with zstandard.open(data / "lid" / "dev.jsonl.zst", "rt") as opened:
        path.write_text("".join(line for line in opened if '"id": "flores' in line))
    found = read_parallel(path)
    assert len(found.labels) == 205
    assert {len(text.lines) for text in found.labels.values()} == {100}
    assert np.unique(np.concatenate([t.positions for t in found.labels.values()])).size == 997
