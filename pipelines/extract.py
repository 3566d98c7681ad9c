"""Turn HTML into its main text; documents that are text already pass through.

resiliparse finds the main text: what remains without navigation, headers, footers, forms, scripts
and hidden elements. On 107 pages of a Japanese book it kept the chapter and dropped the table of
contents around it, which is nine tenths of the short pages. So there is no rule that
falls back to the whole page when little is left, only one for when nothing is: a page that is
one list, say, is taken whole. Ruby is undone first: pronunciations cut words, and resiliparse
loses the text they belong to.

The charset: a byte order mark; UTF-8 if the bytes are valid UTF-8, which no other encoding with
such bytes is by accident, whatever is claimed; then the HTTP header; then <meta>; then detection;
at last Windows-1252, if what comes out looks like it. A header that says ISO-8859-1 comes after
<meta> and a detected East Asian encoding: it is what servers say that nobody has told. A few wrong
bytes don't cost a page: up to 1 in 1,000 characters may become U+FFFD.

Promises: each document of the batch comes out, or is quarantined in the tally with a reason.
Hostile pages are refused before they are parsed (`pipelines.html_guard`).
"""

from __future__ import annotations

import codecs
import re

import pyarrow as pa
from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

from . import html_guard
from .records import RAW
from .sources.base import Tally

SCHEMA = pa.schema(
    [
        pa.field("text", pa.large_string(), nullable=False),
        *(field for field in RAW if field.name not in ("text", "html", "charset")),
    ]
)
"""What `extract` returns: RAW without `html` and `charset`, `text` never null."""

MAX_BAD_SHARE = 0.001  # undecodable sequences among the characters
# Controls that no text has; their share in a binary file with an HTML header is near one third.
_CONTROLS = re.compile("[\x00-\x08\x0e-\x1a\x1c-\x1f]")
MAX_CONTROL_SHARE = 0.01
_META_BYTES = 4096
_META_CHARSET = re.compile(
    rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_:.-]{2,40})", re.I
)
_XML_ENCODING = re.compile(rb"^\s*<\?xml[^>]{0,100}?encoding\s*=\s*[\"']([A-Za-z0-9_:.-]{2,40})")
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# Python's codecs for what browsers understand by a name: the larger set that contains it.
_WIDER = {"euc_kr": "cp949", "gb2312": "gb18030", "gbk": "gb18030", "shift_jis": "cp932",
          "big5": "big5hkscs", "iso8859-11": "cp874", "iso8859-1": "cp1252", "ascii": "cp1252",
          "iso8859-9": "cp1254"}  # fmt: skip
# What Python calls codecs and no page is in; UTF-7 was a way to smuggle tags.
_NO_CHARSETS = re.compile("utf-7|idna|punycode|unicode|undefined|mbcs|oem|charmap|escape")
_EAST_ASIAN = frozenset({"cp932", "cp949", "euc_jp", "gb18030", "big5hkscs"})
_SEVEN_BIT = re.compile("iso2022|hz")
_ESCAPES = re.compile(rb"\x1b[$(]")
_RUBY_NOTE = re.compile(r"<r[tp](?:\s[^<>]{0,200})?>[^<]{0,200}(?:</r[tp]\s?>)?", re.IGNORECASE)
_RUBY_TAG = re.compile(r"</?(?:ruby|rb|rtc)(?:\s[^<>]{0,200})?>", re.IGNORECASE)


class _Refused(Exception):
    """A page that can't be read: (reason, detail)."""


def extract(batch: pa.RecordBatch, tally: Tally) -> pa.RecordBatch:
    """Return the batch (`records.RAW`) with text in every row (`SCHEMA`), in the same order.

    Rows that can't be read are left out and quarantined: `html_too_large`, `html_too_deep`,
    `html_attributes`, `undecodable`, `html_unparsable`, or `no_content` where there is neither
    text nor HTML.
    """
    texts = batch.column("text")
    if texts.null_count == 0:
        return batch.select(SCHEMA.names).cast(SCHEMA)
    pages, charsets = batch.column("html"), batch.column("charset")
    found: list[str | None] = []
    kept = []
    for row in range(len(batch)):
        if texts[row].is_valid:
            found.append(texts[row].as_py())
            kept.append(row)
            continue
        page = pages[row].as_py()
        try:
            if page is None:
                raise _Refused("no_content", "neither text nor HTML")
            found.append(html_to_text(page, charset=charsets[row].as_py()))
            kept.append(row)
        except _Refused as refused:
            reason, detail = refused.args
            origin = batch.column("origin")[row].as_py()
            tally.quarantine_read(origin, reason, detail, num_bytes=len(page or b""))
    rest = batch.select(SCHEMA.names[1:]).take(pa.array(kept, pa.int64()))
    columns = [pa.array(found, pa.large_string()), *rest.columns]
    return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


def html_to_text(page: bytes, *, charset: str | None = None) -> str:
    """Return the main text of a page.

    Args:
        page: the bytes as they came.
        charset: from the HTTP header.
    """
    decoded = _decode(page, charset)
    if "<ruby" in decoded.lower():
        decoded = _RUBY_TAG.sub("", _RUBY_NOTE.sub("", decoded))
    # The parser reads UTF-8 whatever the page came in, so that is what has to be safe.
    reason = html_guard.check(decoded.encode("utf-8", "replace"))
    if reason:
        raise _Refused(reason, f"{len(page):,} bytes")
    try:
        return _plain_text(decoded, main_content=True) or _plain_text(decoded, main_content=False)
    except Exception as error:  # whatever the parser raises concerns this page alone
        raise _Refused("html_unparsable", f"{type(error).__name__}: {error}") from error


def _plain_text(html: str, *, main_content: bool) -> str:
    text: str = extract_plain_text(
        html,
        main_content=main_content,
        list_bullets=False,  # they are not in the page
        alt_texts=False,
        links=False,
        form_fields=False,
        noscript=False,
    )
    return text.strip()


def _decode(page: bytes, header: str | None) -> str:
    """Return the page's characters."""
    if len(page) > html_guard.MAX_BYTES:
        raise _Refused("html_too_large", f"{len(page):,} bytes")
    for mark, encoding in _MARKS:
        if page.startswith(mark):
            return _checked(page[len(mark) :].decode(encoding, "replace"))
    stated = [codec for codec in (_codec(header), _codec(_meta_charset(page))) if codec]
    if page.isascii():  # may be escape sequences for something else
        found = next((codec for codec in stated if _SEVEN_BIT.match(codec)), None)
        if found or _ESCAPES.search(page):
            return _checked(page.decode(found or "iso2022_jp", "replace"))
        return _checked(page.decode("ascii"))
    try:
        return _checked(page.decode("utf-8"))
    except UnicodeDecodeError:
        pass
    detected = _codec(detect_encoding(page, max_len=65536, from_html_meta=False))
    if stated and stated[0] == "cp1252":
        stated = [*stated[1:], *([detected] if detected in _EAST_ASIAN else []), stated[0]]
    candidates = list(dict.fromkeys([*stated, *([detected] if detected else [])]))
    for codec in candidates:
        try:
            return _checked(page.decode(codec))
        except (UnicodeDecodeError, _Refused):
            continue
    for codec in candidates:
        decoded = page.decode(codec, "replace")
        if decoded.count("\N{REPLACEMENT CHARACTER}") <= len(decoded) * MAX_BAD_SHARE:
            return _checked(decoded)
    decoded = page.decode("latin-1" if "cp1252" in candidates else "cp1252", "replace")
    if _looks_latin(decoded):
        return _checked(decoded)
    raise _Refused("undecodable", f"not {', not '.join(candidates) or 'a known encoding'}")


def _looks_latin(decoded: str) -> bool:
    """Tell whether bytes that nobody has named make sense as Western European text.

    Only a small part of its letters are beyond ASCII, and next to nothing but letters is. What was
    in another script is almost all beyond it.
    """
    beyond = [character for character in decoded if character > "\x7f"]
    num_letters = sum(map(str.isalpha, beyond))
    return num_letters >= 0.7 * len(beyond) and num_letters <= 0.3 * sum(map(str.isalpha, decoded))


def _checked(decoded: str) -> str:
    """Return decoded text, if it is text and not the bytes of an image."""
    if len(_CONTROLS.findall(decoded)) > len(decoded) * MAX_CONTROL_SHARE:
        raise _Refused("undecodable", "control characters: this is not text")
    if decoded.count("\N{REPLACEMENT CHARACTER}") > max(1.0, len(decoded) * 10 * MAX_BAD_SHARE):
        raise _Refused("undecodable", "replacement characters: the text was lost before")
    return decoded


def _codec(name: str | None) -> str | None:
    """Return Python's name for an encoding as browsers understand it."""
    if not name:
        return None
    name = name.strip("\t\n\f\r \"';").lower()
    try:
        codec = codecs.lookup(map_encoding_to_html5(name, fallback_utf8=False) or name)
    except (LookupError, ValueError):
        return None
    if _NO_CHARSETS.search(codec.name) or not getattr(codec, "_is_text_encoding", True):
        return None
    return _WIDER.get(codec.name, codec.name)


def _meta_charset(page: bytes) -> str | None:
    head = page[:_META_BYTES]
    found = _XML_ENCODING.search(head) or _META_CHARSET.search(head)
    return found[1].decode("ascii") if found else None
