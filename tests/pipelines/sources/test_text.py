"""Plain text and HTML files, and their encodings."""

import codecs
import gzip

import pytest

GREEK = "Η γλώσσα είναι σύστημα επικοινωνίας. " * 20


def test_a_file_is_a_document_and_its_name_the_origin(source):
    source.write("in/a.txt", "eins\n\nzwei\n")
    source.write("in/b.txt.gz", gzip.compress(b"drei"))
    rows = source.read("in/*")
    assert [(row["origin"], row["text"]) for row in rows] == [
        ("a.txt", "eins\n\nzwei\n"),
        ("b.txt.gz", "drei"),
    ]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_blocks_between_blank_lines_are_documents_in_any_unicode(source, encoding, ending):
    text = "\n\n a\nb\n \t\n\nç\n\n\n".replace("\n", ending)
    source.write("x.txt", text.encode(encoding))
    rows = source.read("x.txt", document="block")
    assert [(row["origin"], row["text"]) for row in rows] == [
        ("x.txt#1", " a\nb"),
        ("x.txt#2", "ç"),
    ]


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", codecs.BOM_UTF8),
        ("utf-16-le", codecs.BOM_UTF16_LE),
        ("utf-16-be", codecs.BOM_UTF16_BE),
        ("utf-32-le", codecs.BOM_UTF32_LE),
        ("utf-32-be", codecs.BOM_UTF32_BE),
    ],
)
@pytest.mark.parametrize("stated", ["utf-8", "detect"])
def test_a_byte_order_mark_is_believed_and_removed(source, encoding, mark, stated):
    source.write("x.txt", mark + GREEK.encode(encoding))
    assert source.texts("x.txt", encoding=stated) == [GREEK]


@pytest.mark.parametrize("encoding", ["iso-8859-7", "cp1253", "cp737"])
def test_a_codec_that_the_corpus_names_is_used(source, encoding):
    source.write("x.txt", GREEK.encode(encoding))
    assert source.texts("x.txt", encoding=encoding) == [GREEK]
    assert source.texts("x.txt") == []
    assert source.tally.quarantined == {"invalid_utf8": 1}


def test_an_encoding_can_be_detected(source):
    source.write("x.txt", GREEK.encode("iso-8859-7"))
    assert source.texts("x.txt", encoding="detect") == [GREEK]


def test_a_detected_text_may_end_inside_a_character_but_a_stated_one_not(source):
    source.write("x.txt", GREEK.strip(". ").encode()[:-1])
    assert source.texts("x.txt", encoding="detect") == [GREEK.strip(". ")[:-1]]
    assert source.texts("x.txt") == []


def test_a_block_that_cannot_be_decoded_costs_only_itself(source):
    source.write("x.txt", b"one\n\n\xff\n\nthree")
    rows = source.read("x.txt", document="block")
    assert [row["origin"] for row in rows] == ["x.txt#1", "x.txt#3"]
    assert source.tally.quarantined == {"invalid_utf8": 1}


def test_a_block_over_the_limit_costs_only_itself(source):
    long = "\n".join(["x" * 600] * 3)
    source.write("x.txt", f"one\n\n{long}\n\nthree\n\n{'x' * 5000}\n\nfive")
    assert source.texts("x.txt", document="block", max_record_mb=0.001) == ["one", "three", "five"]
    assert source.tally.quarantined == {"record_too_large": 2}


def test_an_html_file_is_one_page_of_bytes(source):
    source.write("x.html", b"<p>\xe4")
    (row,) = source.read("x.html")
    assert (row["text"], row["html"], row["charset"]) == (None, b"<p>\xe4", None)
