from __future__ import annotations

import pyarrow as pa
import pytest

from pipelines.extract import SCHEMA, extract
from pipelines.records import RAW
from pipelines.sources.base import Tally

PAGE = """<!DOCTYPE html><html><head><title>{title}</title>{head}</head><body>
<nav><ul><li><a href="/">{menu}</a></li><li><a href="/b">{menu} 2</a></li></ul></nav>
<main><h1>{title}</h1><p>{first}</p><p>{second}</p></main>
<script>var x = "<p>not text</p>";</script><footer>{menu} 3</footer></body></html>"""
JAPANESE = PAGE.format(
    title="所有権",
    head="",
    menu="目次",
    first="所有権はRustの最もユニークな機能です。",
    second="次の段落。",
)


def raw(*rows: dict) -> pa.RecordBatch:
    whole = [{"origin": f"file#{number}", **row} for number, row in enumerate(rows)]
    return pa.RecordBatch.from_pylist(whole, schema=RAW)


def texts(*pages: bytes, charset: str | None = None) -> list[str]:
    tally = Tally()
    found = extract(raw(*({"html": page, "charset": charset} for page in pages)), tally)
    assert not tally.quarantined
    return found.column("text").to_pylist()


def reason(page: bytes | None) -> str:
    tally = Tally(num_documents=1)
    found = extract(raw({"html": page}), tally)
    assert len(found) == 0
    assert tally.num_documents == 1  # the source has counted it already
    assert tally.examples[0].origin == "file#0"
    (only,) = tally.quarantined
    return only


def test_the_main_text_comes_without_navigation_and_scripts() -> None:
    (text,) = texts(JAPANESE.encode())
    assert text == "所有権\n\n所有権はRustの最もユニークな機能です。\n\n次の段落。"


def test_text_passes_through_beside_pages_in_order_and_with_its_columns() -> None:
    tally = Tally()
    batch = raw(
        {"text": "plain < text", "url": "https://a.example/", "declared": "sw"},
        {"html": b"<p>Habari ya asubuhi</p>", "license": "CC0-1.0"},
        {"text": ""},
    )
    found = extract(batch, tally)
    assert found.schema == SCHEMA
    assert found.column("text").to_pylist() == ["plain < text", "Habari ya asubuhi", ""]
    assert found.column("origin").to_pylist() == ["file#0", "file#1", "file#2"]
    assert found.column("declared").to_pylist() == ["sw", None, None]
    assert found.column("license").to_pylist() == [None, "CC0-1.0", None]
    only_text = extract(batch.take(pa.array([0, 2])), tally)
    assert only_text.schema == SCHEMA
    assert len(extract(raw(), tally)) == 0


def test_a_page_that_is_one_list_or_bare_text_is_taken_whole() -> None:
    assert texts(b"<ul><li>mwanzo<li>mwisho</ul>") == ["mwanzo\n  mwisho"]
    assert texts(b"just text", b"<p>one</p><p>two</p>") == ["just text", "one\n\ntwo"]
    assert texts(b"") == [""]


def test_ruby_keeps_the_text_and_leaves_out_the_pronunciation() -> None:
    page = "<p><ruby>漢<rp>(</rp><rt>かん</rt><rp>)</rp>字<rt>じ</rt></ruby>です。</p>"
    assert texts(page.encode()) == ["漢字です。"]


@pytest.mark.parametrize(
    "codec", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "shift_jis", "euc_jp", "iso2022_jp"]
)
@pytest.mark.parametrize("header", [None, "the right one", "ISO-8859-1", "nonsense"])
def test_japanese_is_read_whatever_the_header_says(codec: str, header: str | None) -> None:
    charset = codec if header == "the right one" else header
    (text,) = texts(JAPANESE.encode(codec), charset=charset)
    assert "所有権はRustの最もユニークな機能です。" in text


@pytest.mark.parametrize("codec", ["cp1251", "koi8_r", "iso8859_5", "cp866"])
def test_the_meta_element_names_the_charset_where_the_header_does_not(codec: str) -> None:
    text = "Это обычный русский текст, написанный в старой кодировке."
    page = f'<meta charset="{codec}"><p>{text}</p>'.encode(codec)
    assert texts(page) == [text]
    assert texts(page, charset="ISO-8859-1") == [text]
    assert texts(f"<p>{text}</p>".encode(codec), charset=codec) == [text]


def test_latin_text_that_nobody_names_is_read_and_other_bytes_are_not_guessed() -> None:
    text = "Øll menniskju eru fødd fræls og jøvn til virðingar og mannarættindi. " * 3
    assert texts(f"<p>{text}</p>".encode("cp1252")) == [text.strip()]
    assert reason(b"<p>" + bytes(range(0x80, 0x100)) * 9) == "undecodable"


def test_names_of_codecs_that_are_no_charsets_are_not_believed() -> None:
    for name in ("zip", "utf-7", "unicode_escape", "idna", "rot13", "../x", "\0"):
        assert texts("<p>Grüße \\u0041 +AGE-</p>".encode(), charset=name) == ["Grüße \\u0041 +AGE-"]


def test_a_broken_byte_does_not_cost_the_page() -> None:
    (text,) = texts(("<p>" + "日本語の文章です。" * 200 + "</p>").encode()[:-5])
    assert text.startswith("日本語の文章です。")


@pytest.mark.parametrize(
    "page",
    [
        b"\x89PNG\r\n\x1a\n" + bytes(500),
        bytes(range(256)) * 40,
        b"<p>" + b"\xff\xfe\x00\x00" * 50 + b"\x81\x00",
    ],
)
def test_what_is_not_text_is_quarantined(page: bytes) -> None:
    assert reason(page) == "undecodable"


def test_a_record_without_content_is_quarantined() -> None:
    assert reason(None) == "no_content"


def test_hostile_pages_are_quarantined_by_what_is_wrong_with_them() -> None:
    assert reason(b"<div>" * 100_000) == "html_too_deep"
    attributes = b" ".join(b"a%d=1" % number for number in range(200_000))
    assert reason(b"<div " + attributes + b">") == "html_attributes"
    assert reason(b"<p>" + b"x" * (20 << 20)) == "html_too_large"
