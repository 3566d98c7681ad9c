"""MediaWiki XML dumps: the articles, as text.

A page is a document if it lies in namespace 0, is no redirect, and is written in wikitext. Where a
dump has several revisions of a page, the last one in the file counts.

Promises: memory is bounded by the largest page; names of namespaces come from the dump itself.
Entities that a document type declares are refused, for no dump has any. Where the file's name says
that it is another wiki than its header does, the header is not believed: pages have been pasted.
Origin: the page's number in its wiki.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import quote
from xml.parsers import expat

from .documents import Document, gather, max_record_bytes
from .streams import Damaged, chunks
from .wikitext import plain_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from ..config import Corpus
    from .base import Split, Tally

FILE_NAMESPACE, CATEGORY_NAMESPACE, MEDIA_NAMESPACE = "6", "14", "-2"
HIDDEN = frozenset({"file", "image", "media", "category"})
# <base> is the address of the main page; an article's differs in its last part.
LAST_PART = re.compile(r"[^/]*\Z")
WIKI_SUFFIX = re.compile(r"wik(?:i|isource|ibooks|inews|iquote|iversity|ivoyage|tionary)\Z")
WIKI_LABELS = {"simple": "en"}
# Official dumps are named after their wiki.
WIKI_NAME = re.compile(r"([a-z_]+wik[a-z]+)-")


def read(split: Split, corpus: Corpus, tally: Tally) -> Iterator[pa.RecordBatch]:
    """Yield the RAW batches of a split."""
    return gather(_documents(split, corpus, tally), corpus)


def declared_label(dbname: str) -> str | None:
    """Return the language that the name of a wiki's database states.

    >>> declared_label("swwiki"), declared_label("zh_min_nanwiki"), declared_label("simplewiki")
    ('sw', 'zh-min-nan', 'en')
    """
    code = WIKI_SUFFIX.sub("", dbname).replace("_", "-")
    return WIKI_LABELS.get(code, code) or None


class _Dump:
    """What a dump's XML says, gathered by expat; complete pages wait in `pages`."""

    def __init__(self, *, max_bytes: int) -> None:
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._data
        self.parser.EntityDeclHandler = self._entity
        self.pages: list[dict[str, str]] = []
        self.base = self.dbname = ""
        self.hidden: set[str] = set(HIDDEN)
        self._max_bytes = max_bytes
        self._path: list[str] = []
        self._page: dict[str, str] = {}
        self._parts: list[str] = []
        self._num_bytes = 0
        self._key = ""

    def _entity(self, *_: object) -> None:
        raise expat.ExpatError("it declares entities")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._path.append(name)
        self._parts.clear()
        self._num_bytes = 0
        if name == "page":
            self._page = {}
        elif name == "redirect":
            self._page["redirect"] = attributes.get("title", "")
        elif name == "namespace":
            self._key = attributes.get("key", "")

    def _data(self, data: str) -> None:
        self._num_bytes += len(data)
        if self._num_bytes <= self._max_bytes:
            self._parts.append(data)

    def _end(self, name: str) -> None:
        parent = self._path[-2] if len(self._path) > 1 else ""
        self._path.pop()
        if name == "page":
            self.pages.append(self._page)
            return
        value = "".join(self._parts)
        if parent == "page" and name in ("title", "ns", "id"):
            self._page[name] = value
        elif parent == "revision" and name in ("model", "text"):
            self._page[name] = value
            if name == "text":
                self._page["num_chars"] = str(self._num_bytes)
        elif parent == "siteinfo" and name == "base":
            self.base = LAST_PART.sub("", value)
        elif parent == "siteinfo" and name == "dbname":
            self.dbname = value
        elif parent == "namespaces" and self._key in (
            FILE_NAMESPACE,
            CATEGORY_NAMESPACE,
            MEDIA_NAMESPACE,
        ):
            self.hidden.add(value.lower())
        self._parts.clear()


def _documents(split: Split, corpus: Corpus, tally: Tally) -> Iterator[Document]:
    limit = max_record_bytes(corpus)
    dump = _Dump(max_bytes=limit)
    stream = chunks(split, corpus, tally)
    named = WIKI_NAME.match(split.name.rpartition("/")[2])
    is_final = False
    while not is_final:
        chunk = next(stream, None)
        is_final = chunk is None
        error: Exception | None = None
        try:
            dump.parser.Parse(chunk or b"", is_final)
        except (expat.ExpatError, ValueError) as found:
            error = found  # the pages before it come first
        if named and dump.pages and dump.dbname != named[1]:
            dump.base = "" if dump.dbname else dump.base  # old dumps don't name their database
            dump.dbname = named[1]
        hidden = frozenset(dump.hidden)
        for page in dump.pages:
            document = _article(page, dump, hidden, split, tally, limit)
            if document is not None:
                yield document
        dump.pages.clear()
        if error is not None:
            raise Damaged("corrupt_xml", str(error)) from error


def _article(
    page: dict[str, str],
    dump: _Dump,
    hidden: frozenset[str],
    split: Split,
    tally: Tally,
    limit: int,
) -> Document | None:
    """Return a page's document, or count why it has none."""
    if page.get("ns", "0") != "0":
        tally.skip("not_article")
        return None
    markup = page.get("text", "")
    if "redirect" in page:
        tally.skip("redirect")
        return None
    if page.get("model", "wikitext") != "wikitext":
        tally.skip("not_wikitext")
        return None
    title = page.get("title", "")
    origin = f"{split.name}#{page.get('id') or title}"
    num_chars = int(page.get("num_chars", "0"))
    if num_chars > limit:
        tally.quarantine(origin, "record_too_large", f"a page of {num_chars:,} characters")
        return None
    url = dump.base + quote(title.replace(" ", "_"), safe="/:@!$*'(),;") if dump.base else None
    try:
        text = plain_text(markup, hidden=hidden)
    except Damaged as damage:
        tally.quarantine(origin, damage.reason, damage.detail, num_bytes=num_chars)
        return None
    return Document(
        origin,
        len(text.encode()),
        text,
        url=url,
        declared=declared_label(dump.dbname) if dump.dbname else None,
    )
