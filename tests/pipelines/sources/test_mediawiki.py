"""MediaWiki dumps and their markup."""

import bz2

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.wikitext import plain_text

HIDDEN = frozenset({"file", "category", "picha", "jamii"})
SITE = """<siteinfo><sitename>Wikipedia</sitename><dbname>swwiki</dbname>
<base>https://sw.wikipedia.org/wiki/Mwanzo</base><namespaces>
<namespace key="0" /><namespace key="6">Picha</namespace><namespace key="14">Jamii</namespace>
</namespaces></siteinfo>"""


def page(title, text, *, ns=0, number=1, more="", model="wikitext"):
    return (
        f"<page><title>{title}</title><ns>{ns}</ns><id>{number}</id>{more}"
        f"<revision><id>99</id><contributor><username>x</username><id>7</id></contributor>"
        f"<model>{model}</model><text xml:space='preserve'>{text}</text></revision></page>"
    )


def dump(*pages, site=SITE):
    space = "http://www.mediawiki.org/xml/export-0.11/"
    return f'<mediawiki xmlns="{space}" xml:lang="sw">{site}{"".join(pages)}</mediawiki>'


def test_articles_are_documents_and_the_rest_is_skipped_by_kind(source):
    source.write(
        "x.xml.bz2",
        bz2.compress(
            dump(
                page("Dar es Salaam", "'''Dar''' [[mji|mji]].[[Jamii:Miji]]", number=12),
                page("Mazungumzo", "x", ns=1),
                page("Dar", "#REDIRECT [[Dar es Salaam]]", more='<redirect title="x" />'),
                page("Data", "{}", model="json"),
            ).encode()
        ),
    )
    (row,) = source.read("x.xml.bz2")
    assert row["text"] == "Dar mji."
    assert row["origin"] == "x.xml.bz2#12"
    assert row["url"] == "https://sw.wikipedia.org/wiki/Dar_es_Salaam"
    assert row["declared"] == "sw"
    assert source.tally.skipped == {"not_article": 1, "redirect": 1, "not_wikitext": 1}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_dump_may_be_in_utf16(source, encoding):
    text = f'<?xml version="1.0" encoding="{encoding}"?>' + dump(page("Ä", "ж" * 5000))
    source.write("x.xml", text.encode(encoding))
    assert source.texts("x.xml") == ["ж" * 5000]


def test_a_dump_without_articles_has_no_documents(source):
    source.write("x.xml", dump())
    assert source.texts("x.xml") == []
    assert not source.tally.quarantined


def test_a_header_that_contradicts_the_name_of_the_file_is_not_believed(source):
    source.write("yowiki-20260101-pages-articles.xml", dump(page("Ẹ̀kọ́", "x")))
    (row,) = source.read("*.xml")
    assert (row["declared"], row["url"]) == ("yo", None)


def test_a_page_over_the_limit_is_quarantined(source):
    source.write("x.xml", dump(page("A", "x" * 5000), page("B", "y")))
    assert source.texts("x.xml", max_record_mb=0.001) == ["y"]
    assert source.tally.quarantined == {"record_too_large": 1}


def test_a_page_that_cannot_be_parsed_in_time_is_quarantined(source):
    source.write("x.xml", dump(page("A", "[[a|" * 100 + "]]" * 100), page("B", "y")))
    assert source.texts("x.xml") == ["y"]
    assert source.tally.quarantined == {"markup_too_deep": 1}


def test_what_comes_before_malformed_xml_is_kept(source):
    source.write("x.xml", dump(page("A", "x"), "<page></b>", page("B", "y")))
    assert source.texts("x.xml") == ["x"]
    assert source.tally.quarantined == {"corrupt_xml": 1}


def test_entities_that_a_document_declares_are_refused(source):
    laughs = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    source.write("x.xml", f'<!DOCTYPE x [<!ENTITY l0 "ha">{laughs}]>' + dump(page("A", "&l9;")))
    assert source.texts("x.xml") == []
    assert source.tally.quarantined == {"corrupt_xml": 1}


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        ("'''Bold''' and ''italic'', l''''amour'''", "Bold and italic, l'amour"),
        ("a {{x|{{y}}|z=[[b]]}} c", "a c"),
        ("a\n{| class=x\n|-\n| {{y}} || [[b]]\n{|\n| inner\n|}\n|}\nc", "a\n\nc"),
        ("a<ref>b [[c]]</ref> d<ref name=x /> e<ref name='y'>{{cite}}</ref>.", "a d e."),
        ("a <!-- b --> c <!-- d", "a c"),
        ("[[Berlin]] [[Berlin|the city]] [[a#b]]s", "Berlin the city a#bs"),
        ("[[Picha:x.jpg|thumb|A [[caption]] here]]a [[file:y]]", "a"),
        ("[[Bild:x.jpg|thumb|unlisted name]] a", "a"),
        ("a[[Jamii:Miji|x]]\n\n[[Kategorie:unlisted]]\n[[fr:A]]\n[[zh-min-nan:A]]", "a"),
        ("[[:Jamii:Miji]] and [[Star Wars: One]]", "Jamii:Miji and Star Wars: One"),
        ("[https://x.org a label] [https://x.org] [//y.org z]", "a label z"),
        ("== Heading ==\ntext\n=== Empty ===\n== Also empty ==", "Heading\ntext"),
        ("== A ==\n=== B ===\nx\n== C ==\n[[Jamii:x]]", "A\nB\nx"),
        ("* one\n** two\n# three\n; term\n: said\n----", "one\ntwo\nthree\nterm\nsaid"),
        ("<nowiki>[[a]] ''b''</nowiki> <pre>{{c}}</pre>", "[[a]] ''b'' {{c}}"),
        ("x<br/>y <span style='a'>z</span> <math>\\frac12</math>", "x\ny z"),
        ("a&nbsp;b &lt;c&gt; &amp;amp;", "a\N{NO-BREAK SPACE}b <c> &amp;"),
        ("__NOTOC__ a __init__ __БЕЗ_ОГЛ__", "a __init__"),
        ("A ({{IPA|x}}; {{y}}) b (, {{z}})", "A b"),
        ("the word {{lang|fr|mot|links=no}}, {{nowrap|1=a [[c|b]]}}", "the word mot, a b"),
        ("== A<br />b ==\nx [http://x  y [[z]]]", "A b\nx y z"),
        ("a {{x|[[b}} c {{y|<b>}} d</b> {{z|\n{|\n| e}} f", "a c d f"),
        ("a < b <c d [0, 1[ [http://x", "a < b <c d [0, 1[ [http://x"),
        ("-{zh-hans:a; zh-hant:b}- -{c}- -{H|x:y}-", "a c"),
        ("a }} b ]] c {{ d [[ e", "a b c d e"),
        ("<gallery>\nPicha:x.jpg|b\n</gallery>a<ref>never closed", "anever closed"),
    ],
)
def test_markup_becomes_the_text_that_a_reader_sees(markup, text):
    assert plain_text(markup, hidden=HIDDEN) == text


PIECES = ["{{", "}}", "[[", "]]", "{|", "|}", "\n", "|", "a", "<ref>", "</ref>", "<!--", "-->"]


@given(st.lists(st.sampled_from([*PIECES, "''", "=", ":", "<nowiki>", "</nowiki>"])).map("".join))
def test_no_markup_raises_or_adds_letters(markup):
    text = plain_text(markup, hidden=HIDDEN)
    assert text.count("a") <= markup.count("a")
