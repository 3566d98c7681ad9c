"""The corpora that come from the web: HTML files, WARC, WET, wiki dumps."""

from __future__ import annotations

from collections import Counter

from samples import dirt, formats
from samples.documents import (
    Corpus,
    Item,
    Text,
    Texts,
    copied,
    damaged,
    planted,
    whole,
)
from samples.formats import Page, Record


def html_of(text: Text, *, charset: str | None = "utf-8") -> str:
    """Return the text as a page of a site."""
    content = "\n".join(f"<p>{paragraph}</p>" for paragraph in text.paragraphs)
    return dirt.page(text.title, content, text.label, charset=charset)


def pages(corpus: Corpus, texts: Texts) -> None:
    """HTML files in folders by language: boilerplate, entities, pages without an article."""
    for text in [*texts["pes_Arab"], *texts["ben_Beng"][:5]]:
        # Persian words need their joiners, which some editors write as entities.
        html = html_of(text).replace("\u200c", "&zwnj;")
        item = Item(html, planted=("boilerplate",))
        corpus.write(f"{text.label}/{text.slug}.html", html.encode(), [item], [""])
    links = "\n".join(f'<li><a href="/a/{n}">www.example.org/a/{n}</a></li>' for n in range(40))
    rows = "\n".join(
        "<tr>" + "".join(f"<td>{cell}</td>" for cell in line.split("\t")) + "</tr>"
        for line in dirt.number_table().splitlines()
    )
    for kind, content in (
        ("link_list", f"<ul>{links}</ul>"),
        ("number_table", f"<table>{rows}</table>"),
    ):
        html = dirt.page("Archive", content, "eng_Latn")
        item = Item(html, planted=(f"{kind}_page",))
        corpus.write(f"other/{kind}.html", html.encode(), [item], [""])


# Who states the charset of a page: its server, itself in a meta element, or nobody.
CRAWLED = (
    ("eng_Latn", slice(5, 7), "utf-8", "header"),
    ("rus_Cyrl", slice(6, 8), "windows-1251", "meta"),
    ("rus_Cyrl", slice(8, 9), "windows-1251", "header"),
    ("zho_Hans", slice(5, 9), "gb18030", "header"),
    ("jpn_Jpan", slice(6, 8), "euc-jp", "meta"),
    ("jpn_Jpan", slice(8, 9), "shift_jis", "header"),
    ("kor_Hang", slice(5, 9), "euc-kr", "header"),
    ("arb_Arab", slice(0, 5), "utf-8", "nobody"),
)


def crawl(corpus: Corpus, texts: Texts) -> None:
    """WARC: pages as they came over HTTP, among the other records that crawlers keep."""
    software = b"software: example\r\nformat: WARC File Format 1.0\r\n"
    records = [Record("warcinfo", "application/warc-fields", software)]
    items = []
    for label, part, charset, stated_by in CRAWLED:
        content_type = "text/html" + (f"; charset={charset}" if stated_by == "header" else "")
        for text in texts[label][part]:
            html = html_of(text, charset=charset if stated_by == "meta" else None)
            timing = Record("metadata", "application/warc-fields", b"fetchTimeMs: 12\r\n", text.url)
            records += [
                formats.request(text.url),
                formats.response(text.url, html.encode(charset), content_type),
                timing,
            ]
            items.append(Item(html, planted=("boilerplate", "no_label", f"charset_by_{stated_by}")))
    site = "https://www.example.org"
    gone = b"<html><body><h1>Not found</h1></body></html>"
    records += [
        formats.response(f"{site}/style.css", b"body { margin: 0 }", "text/css"),
        formats.response(f"{site}/gone", gone, "text/html", status="404 Not Found"),
        Record("revisit", "application/http; msgtype=response", b"", f"{site}/again"),
    ]
    kinds = Counter(record.kind for record in records)
    corpus.skipped.update({kind: kinds[kind] for kind in kinds if kind != "response"})
    corpus.skipped.update({"not_html": 1, "http_status": 1})
    data, origins = formats.warc(records)
    corpus.write("crawl.warc.gz", data, items, origins)


def crawl_text(corpus: Corpus, texts: Texts) -> None:
    """WET: text that somebody else took from pages, with labels that nobody checked."""
    parts = [
        (texts["spa_Latn"][5:], "spa"),
        ([texts["vie_Latn"][2], *texts["vie_Latn"][5:]], "vie"),
    ]
    parts += [(texts["arb_Arab"][5:], "ara,eng")]
    items = [item for part, language in parts for item in whole(part, language)]
    items[1] = damaged(items[1], dirt.double_mojibake)
    items[5] = damaged(items[5], dirt.mojibake)
    # Pages of `crawl` once more, with all that was on them.
    for text in texts["eng_Latn"][5:7]:
        menu = "\n".join(dirt.MENUS["eng_Latn"])
        item = Item(f"{menu}\n{text.body}\n{dirt.RIGHTS}", text.url, "eng")
        items.append(planted("same_page", item))
    first = whole(texts["spa_Latn"][:1], "spa")[0]
    items.append(copied("duplicate_text", first, dirt.carriage_returns(first.text)))
    records = [Record("warcinfo", "application/warc-fields", b"software: example\r\n")]
    for item in items:
        languages = (("WARC-Identified-Content-Language", item.declared or ""),)
        block = item.text.encode()
        records.append(Record("conversion", "text/plain", block, item.url, languages, True))
    corpus.skipped["warcinfo"] += 1
    data, origins = formats.warc(records)
    corpus.write("crawl.warc.wet.gz", data, items, origins)


WIKIS = (
    ("swh_Latn", "sw", 4, "Mwanzo"),
    ("tur_Latn", "tr", 5, "Ana_Sayfa"),
    ("ell_Grek", "el", 4, "Αρχική"),
)


def wiki(corpus: Corpus, texts: Texts) -> None:
    """MediaWiki dumps whose namespaces have the names of their language."""
    for label, code, start, main_page in WIKIS:
        file, category, template, stories = dirt.WIKIS[label]
        articles = texts[label][start:]
        items = [Item(text.body, planted=("markup",)) for text in articles]
        found = [
            Page(text.title, dirt.wikitext(text.title, text.paragraphs, label)) for text in articles
        ]
        target = articles[0].title
        found += [
            Page(articles[0].slug, f"#REDIRECT [[{target}]]", redirect=target),
            Page(f"{category}:{stories}", articles[0].paragraphs[0], namespace=14),
            Page(f"{template}:Box", "{{{name}}} <noinclude>x</noinclude>", namespace=10),
            Page("Data.json", '{"a": 1}', model="json"),
        ]
        corpus.skipped.update({"redirect": 1, "not_article": 2, "not_wikitext": 1})
        data, numbers = formats.wiki_dump(
            found,
            code=code,
            namespaces={0: "", 6: file, 10: template, 14: category},
            main_page=main_page,
        )
        corpus.write(f"{code}wiki-20200101-pages-articles.xml.bz2", data, items, numbers)
