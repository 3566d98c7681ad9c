"""WARC and WET records, and the HTTP messages in them."""

import gzip
import zlib

import brotli
import pytest
import zstandard

PAGE = b"<html><body>p\xc3\xa4ge</body></html>" * 20


def record(kind, body, **headers):
    lines = {"WARC-Type": kind, "Content-Length": len(body)} | {
        name.replace("_", "-"): value for name, value in headers.items()
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return b"WARC/1.0\r\n" + head.encode() + b"\r\n" + body + b"\r\n\r\n"


def response(body, content_type="text/html", status="200 OK", **headers):
    lines = {"Content-Type": content_type} | {k.replace("_", "-"): v for k, v in headers.items()}
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    message = f"HTTP/1.1 {status}\r\n{head}\r\n".encode() + body
    return record(
        "response",
        message,
        WARC_Target_URI="https://example.org/ä",
        Content_Type="application/http; msgtype=response",
    )


def test_pages_come_as_bytes_with_their_url_and_the_servers_charset(source):
    data = [record("warcinfo", b"x"), response(PAGE, "Text/HTML; charset='Windows-1251'")]
    source.write("x.warc.gz", b"".join(gzip.compress(part) for part in data))
    (row,) = source.read("x.warc.gz")
    assert row == {
        "text": None,
        "html": PAGE,
        "charset": "windows-1251",
        "origin": "x.warc.gz#2",
        "url": "https://example.org/ä",
        "declared": None,
        "license": "CC0-1.0",
    }
    assert source.tally.num_bytes == (source.folder / "x.warc.gz").stat().st_size


def test_what_is_no_page_is_skipped_by_kind(source):
    data = [
        record("warcinfo", b""),
        record("request", b"GET / HTTP/1.1\r\n\r\n"),
        record("revisit", b""),
        record("metadata", b"x"),
        record("of_the_future", b"x"),
        response(b"\x89PNG", "image/png"),
        response(PAGE, status="404 Not Found"),
        response(PAGE, "application/xhtml+xml; charset=utf-8"),
    ]
    source.write("x.warc", b"".join(data))
    assert len(source.read("x.warc")) == 1
    assert source.tally.skipped == {
        "warcinfo": 1,
        "request": 1,
        "revisit": 1,
        "metadata": 1,
        "other_record": 1,
        "not_html": 1,
        "http_status": 1,
    }


def test_plain_text_responses_are_decoded(source):
    data = [
        response("zwölf".encode("latin-1"), "text/plain; charset=iso-8859-1"),
        response("zwölf".encode(), "text/plain"),
        response(b"\xff", "text/plain"),
        response(b"x", "text/plain; charset=x-unheard-of"),
        response(b"x", "text/plain; charset=zip"),
    ]
    source.write("x.warc", b"".join(data))
    assert source.texts("x.warc") == ["zwölf", "zwölf"]
    assert source.tally.quarantined == {"invalid_utf8": 1, "undecodable": 2}


def test_the_text_of_wet_records_declares_a_language_only_if_there_is_one(source):
    languages = {"WARC_Identified_Content_Language": "swa"}, {}, None
    data = [
        record(
            "conversion",
            b"one",
            Content_Type="text/plain",
            WARC_Target_URI="<http://x>",
            **languages[0],
        ),
        record(
            "conversion",
            b"two",
            Content_Type="text/plain",
            WARC_Identified_Content_Language="swa,eng",
        ),
        record("conversion", b"three", Content_Type="text/plain"),
    ]
    source.write("x.warc.wet", b"".join(data))
    rows = source.read("x.warc.wet")
    assert [(row["text"], row["declared"], row["url"]) for row in rows] == [
        ("one", "swa", "http://x"),
        ("two", None, None),
        ("three", None, None),
    ]


def chunked(body):
    parts = (body[at : at + 100] for at in range(0, len(body), 100))
    return b"".join(b"%x;x=y\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


def raw_deflate(body):
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize(
    ("coding", "pack"),
    [
        ("gzip", gzip.compress),
        ("x-gzip", gzip.compress),
        ("deflate", zlib.compress),
        ("deflate", raw_deflate),
        ("br", brotli.compress),
        ("zstd", zstandard.compress),
        ("identity", bytes),
        ("gzip, br", lambda body: brotli.compress(gzip.compress(body))),
    ],
)
def test_content_codings_are_undone_with_and_without_chunks(source, coding, pack):
    data = [
        response(pack(PAGE), Content_Encoding=coding),
        response(chunked(pack(PAGE)), Content_Encoding=coding, Transfer_Encoding="chunked"),
        response(PAGE, Content_Encoding=coding, Transfer_Encoding="chunked"),  # undone by a crawler
    ]
    source.write("x.warc", b"".join(data))
    assert [row["html"] for row in source.read("x.warc")] == [PAGE] * 3


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "unheard-of"])
def test_a_broken_content_coding_is_quarantined(source, coding):
    pack = {"deflate": zlib.compress, "br": brotli.compress, "zstd": zstandard.compress}
    body = pack.get(coding, gzip.compress)(PAGE)
    data = [response(body[: len(body) // 2], Content_Encoding=coding), response(PAGE)]
    source.write("x.warc", b"".join(data))
    assert len(source.read("x.warc")) == 1
    assert source.tally.quarantined == {"bad_encoding": 1}


@pytest.mark.parametrize(("coding", "pack"), [("gzip", gzip.compress), ("br", brotli.compress)])
def test_a_body_that_unpacks_to_more_than_a_record_is_quarantined(source, coding, pack):
    source.write("x.warc", response(pack(bytes(50 << 20)), Content_Encoding=coding))
    assert source.read("x.warc", max_record_mb=1) == []
    assert source.tally.quarantined == {"record_too_large": 1}


def test_a_large_page_is_quarantined_and_a_large_picture_skipped(source):
    data = [response(bytes(2 << 20)), response(bytes(2 << 20), "image/png"), response(PAGE)]
    source.write("x.warc", b"".join(data))
    assert len(source.read("x.warc", max_record_mb=1)) == 1
    assert source.tally.quarantined == {"record_too_large": 1}
    assert source.tally.skipped == {"not_html": 1}


def test_a_response_that_is_no_http_is_quarantined(source):
    source.write("x.warc", record("response", b"garbage", Content_Type="application/http"))
    assert source.read("x.warc") == []
    assert source.tally.quarantined == {"bad_http": 1}


def test_headers_may_end_in_plain_line_feeds(source):
    data = [record("conversion", b"one", Content_Type="text/plain").replace(b"\r\n", b"\n")]
    data += [response(PAGE).replace(b"\r\n\r\n<html>", b"\n\n<html>", 1)]
    data[1] = data[1].replace(b"Length: %d" % (len(PAGE) + 44), b"Length: %d" % (len(PAGE) + 42))
    source.write("x.warc", b"".join(data))
    assert [row["text"] or row["html"] for row in source.read("x.warc")] == ["one", PAGE]


def test_what_is_no_record_costs_the_records_after_it_nothing(source):
    data = [response(PAGE), b"garbage\r\nmore\r\n\r\n", response(PAGE)]
    data += [record("metadata", b"x").replace(b"Content-Length: 1", b"Content-Length: x")]
    data += [response(PAGE), response(PAGE).replace(b"WARC/1.0", b"WARC 1.0"), response(PAGE)]
    source.write("x.warc", b"".join(data))
    assert [row["origin"] for row in source.read("x.warc")] == [f"x.warc#{n}" for n in (1, 3, 5, 7)]
    assert source.tally.quarantined == {"corrupt_record": 3}
