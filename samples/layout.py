"""Lay the sample texts out as raw corpora: every input format, and the dirt that comes with it.

    python samples/layout.py [--out build/samples]

Reads samples/texts, writes a folder for each corpus of the worked example (corpora.yaml).
`layout` returns what it planted where, by origin, so that a build can be compared with the plan.

Promises: the same texts give the same bytes, whatever the folder, the clock or the hash seed; a
file that is there already with the same bytes is left alone.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from samples import dirt, formats
from samples.documents import (
    Corpus,
    Item,
    Text,
    Texts,
    copied,
    damaged,
    junk,
    paragraphs,
    planted,
    read_texts,
    whole,
)
from samples.web import crawl, crawl_text, pages, wiki


def journal(corpus: Corpus, texts: Texts) -> None:
    """JSON Lines: good records, a page crawled twice, four lines that are broken."""
    english, spanish, korean = texts["eng_Latn"], texts["spa_Latn"], texts["kor_Hang"]
    items = [*whole(english[:5], "en"), *whole(spanish[:5], "es-MX"), *whole(korean[:3])]
    items[3] = planted("personal_data", items[3], dirt.contact_added(items[3].text, "eng_Latn"))
    items[6] = damaged(items[6], dirt.mojibake)
    items[7] = damaged(items[7], dirt.soft_hyphens)
    items[11] = damaged(items[11], dirt.decomposed)
    items[10:] = [planted("no_label", item) for item in items[10:]]
    # One page in two parts: they share their address, and are no copies of each other.
    items += [planted("shared_url", item) for item in _halves(korean[3])]
    # Every language that no corpus below takes.
    for label in sorted(set(texts) - TAKEN):
        items += whole(texts[label], label)
    lines = [_journal_line(item) for item in items]
    broken = {
        "invalid_json": b'{"text": "A line that breaks off, "lang": "en"\n',
        "missing_field": b'{"url": "https://www.example.org/no-text", "lang": "en"}\n',
        "not_an_object": b'["text", "in a list"]\n',
        "invalid_utf8": b'{"text": "caf\xe9 in Latin-1", "lang": "fr"}\n',
    }
    for reason in broken:
        corpus.broken(reason)
    corpus.skipped["blank_line"] += 1
    good, rest = lines[:3], lines[3:]
    every = [*good, *broken.values(), b"\n", *rest]
    offsets = formats.line_offsets(every)
    origins = [*offsets[:3], *offsets[3 + len(broken) + 1 :]]
    corpus.write("journal-0.jsonl", b"".join(every), items, origins)
    # A page of the first file as it was when only its title and its end were there.
    old = planted("duplicate_url", items[5], f"{spanish[0].title}\n\n{spanish[0].paragraphs[-1]}")
    corpus.write("journal-1.jsonl", _journal_line(old), [old], ["0"])


def _halves(text: Text) -> list[Item]:
    middle = len(text.paragraphs) // 2
    parts = ((text.title, *text.paragraphs[:middle]), text.paragraphs[middle:])
    return [Item("\n\n".join(part), text.url) for part in parts]


def _journal_line(item: Item) -> bytes:
    return formats.json_line(
        {"text": item.text, "url": item.url, "lang": item.declared, "license": "CC0-1.0"}
    )


def letters(corpus: Corpus, texts: Texts) -> None:
    """JSON Lines in gzip, with other names for the fields; one file is cut short."""
    english, indonesian, swahili = texts["eng_Latn"], texts["ind_Latn"], texts["swh_Latn"]
    items = [*whole(indonesian[:5], "id"), *whole(swahili[:2], "sw")]
    items += whole(swahili[2:4], "swa_Latn")
    items[1] = damaged(items[1], dirt.carriage_returns)
    items[2] = damaged(items[2], dirt.hard_spaces)
    items[7] = planted("personal_data", items[7], dirt.contact_added(items[7].text, "swh_Latn"))
    items += [planted("wrong_label", item) for item in whole(english[7:9], "swh_Latn")]
    first, second, third = whole(english[:3], "eng")
    items += [copied("duplicate_text", first), copied("duplicate_text", second)]
    items.append(copied("near_duplicate", third, dirt.word_changed(third.text)))

    def lines(part: Sequence[Item]) -> list[bytes]:
        return [
            formats.json_line({"content": item.text, "source": item.url, "language": item.declared})
            for item in part
        ]

    numbers = [str(number) for number in range(1, len(items) + 1)]
    corpus.write("letters-0.jsonl.gz", formats.gz(b"".join(lines(items))), items, numbers)
    # The second file's last record is a copy that is lost.
    cut = whole(indonesian[5:7], "id")
    corpus.write("letters-1.jsonl.gz", formats.cut_gz(lines([*cut, items[0]])), cut, ["1", "2"])
    corpus.broken("truncated")


def forum(corpus: Corpus, texts: Texts) -> None:
    """JSON Lines in Zstandard: short posts, and the junk of forums."""
    vietnamese, chinese = [*texts["vie_Latn"][:2], *texts["vie_Latn"][3:5]], texts["zho_Hans"][:5]
    thai, indonesian, korean = texts["tha_Thai"][:6], texts["ind_Latn"][7:], texts["kor_Hang"][4:5]
    items = [*paragraphs(vietnamese, "vi"), *paragraphs(chinese, "zh-Hans")]
    items += [*paragraphs(thai, "tha"), *paragraphs(indonesian, "id")]
    items += paragraphs(korean, "kor")
    items[0] = damaged(items[0], dirt.double_mojibake)
    items[1] = damaged(items[1], dirt.decomposed)
    items[4] = damaged(items[4], dirt.controls)
    at = next(number for number, item in enumerate(items) if item.declared == "tha")
    items[at] = planted("personal_data", items[at], dirt.contact_added(items[at].text, "tha_Thai"))
    # Below the limit on length, but above the one that corpora.yaml sets for Amharic.
    for text in (texts["amh_Ethi"][0], *texts["amh_Ethi"][2:4]):
        sentence = text.paragraphs[0].partition("\u1362")[0] + "\u1362"
        items.append(Item(sentence, f"{text.url}/quote", "am", ("short_but_kept",)))
    items += junk("short", dirt.SHORT)
    repetitive = [
        dirt.repetitive(sentence, in_lines=number % 2 == 0)
        for number, sentence in enumerate(dirt.REPEATED)
    ]
    items += junk("repetitive", repetitive)
    items += junk("link_list", [dirt.link_list()])
    items += junk("number_table", [dirt.number_table()])
    items += junk("symbols", [dirt.symbols()])
    lines = [
        formats.json_line({"text": item.text, "url": item.url, "lang": item.declared})
        for item in items
    ]
    numbers = [str(number) for number in range(1, len(items) + 1)]
    corpus.write("posts.jsonl.zst", formats.zst(b"".join(lines)), items, numbers)


def archive(corpus: Corpus, texts: Texts) -> None:
    """Parquet, with more columns than are needed; the second file is damaged."""
    hindi, turkish = texts["hin_Deva"], texts["tur_Latn"]
    items = [*whole(hindi[:7], "hin_Deva"), *whole(turkish[:5], "tr-TR")]
    items[2] = damaged(items[2], dirt.hard_spaces)
    items[3] = planted("personal_data", items[3], dirt.contact_added(items[3].text, "hin_Deva"))
    items[8] = damaged(items[8], dirt.mojibake)
    items[9] = planted("personal_data", items[9], dirt.contact_added(items[9].text, "tur_Latn"))
    columns: dict[str, list[Any]] = {
        "title": [item.text.partition("\n")[0] for item in items],
        "body": [item.text for item in items],
        "url": [item.url for item in items],
        "lang": [item.declared for item in items],
    }
    data, rows = formats.parquet(columns, rows_a_group=5)
    corpus.write("archive-0.parquet", data, items, rows)
    corpus.write("archive-1.parquet", data[: len(data) // 2], [], [])
    corpus.broken("corrupt_parquet")


def folklore(corpus: Corpus, texts: Texts) -> None:
    """Arrow, one file in the stream format and one in the file format."""
    for label, name, as_stream in (("kat_Geor", "stream", True), ("amh_Ethi", "file", False)):
        items = whole(texts[label][:9] if as_stream else texts[label][:5], label)
        columns: dict[str, list[Any]] = {
            "text": [item.text for item in items],
            "url": [item.url for item in items],
            "language": [item.declared for item in items],
        }
        data, rows = formats.arrow(columns, as_stream=as_stream, rows_a_batch=4)
        corpus.write(f"{name}.arrow", data, items, rows)


def notes(corpus: Corpus, texts: Texts) -> None:
    """Plain text, a document a file: UTF-8, UTF-16 with its mark, NFD, and a file of nothing."""
    for number, text in enumerate(texts["jpn_Jpan"][:6]):
        item, codec = Item(text.body), "utf-8"
        if number == 1:
            item, codec = planted("byte_order_mark", item), "utf-16"
        elif number in (2, 3):
            item = damaged(item, (dirt.decomposed, dirt.carriage_returns)[number - 2])
        corpus.write(f"{text.slug}.txt", _encoded(item.text, codec), [item], [""])
    corpus.write("empty.txt", b"", [], [])
    corpus.broken("empty_file")


def _encoded(text: str, codec: str) -> bytes:
    if codec == "utf-16":  # Python's own takes the byte order of the machine
        return b"\xff\xfe" + text.encode("utf-16-le")
    return text.encode(codec)


def chronicle(corpus: Corpus, texts: Texts) -> None:
    """Plain text, a document a block; headings become blocks, which are too short to keep."""
    items = []
    for text in texts["tam_Taml"]:
        items += [Item(text.title, planted=("short",)), *map(Item, text.paragraphs)]
    data = "\n\n".join(item.text for item in items).encode() + b"\n"
    numbers = [str(number) for number in range(1, len(items) + 1)]
    corpus.write("tamil.txt", data, items, numbers)


def old_russian(corpus: Corpus, texts: Texts) -> None:
    """Plain text in an encoding from before Unicode, which the configuration names."""
    for text in texts["rus_Cyrl"][:6]:
        item = planted("legacy_encoding", Item(text.body))
        corpus.write(f"{text.slug}.txt", item.text.encode("windows-1251"), [item], [""])


OLD_ENCODINGS = (
    ("ell_Grek", 0, "windows-1253"),
    ("ell_Grek", 2, "windows-1253"),
    ("ell_Grek", 3, "windows-1253"),
    ("heb_Hebr", 0, "windows-1255"),
    ("heb_Hebr", 1, "windows-1255"),
    ("heb_Hebr", 2, "windows-1255"),
    ("tha_Thai", 7, "iso8859-11"),
    ("tha_Thai", 8, "utf-8"),
    ("ell_Grek", 1, "utf-8"),
    ("tha_Thai", 6, "utf-16"),
)


def old_mixed(corpus: Corpus, texts: Texts) -> None:
    """Plain text whose encoding nobody knows; nothing says its language either."""
    for label, number, codec in OLD_ENCODINGS:
        text = texts[label][number]
        item = planted("no_label", Item(text.body))
        if not codec.startswith("utf"):
            item = planted("legacy_encoding", item)
        corpus.write(f"{label[:3]}-{text.slug}.txt", _encoded(text.body, codec), [item], [""])


def hub(corpus: Corpus, texts: Texts) -> None:
    """A data set in the layout of the Hugging Face hub, which repeats what others have."""
    hebrew, bengali, amharic = texts["heb_Hebr"][3:], texts["ben_Beng"][5:], texts["amh_Ethi"][5:]
    items = [*paragraphs(hebrew, "iw"), *paragraphs(bengali, "bn"), *paragraphs(amharic, "amh")]
    items += [planted("wrong_label", item) for item in whole(texts["hin_Deva"][7:], "arb_Arab")]
    copies = [
        ("hin_Deva", dirt.decomposed),
        ("tur_Latn", dirt.decomposed),
        ("kat_Geor", dirt.hard_spaces),
        ("jpn_Jpan", dirt.carriage_returns),
    ]
    for label, damage in copies:
        item = whole(texts[label][:1], label)[0]
        items.append(copied("duplicate_text", item, damage(item.text)))
    labels = ["rus_Cyrl", "jpn_Jpan", "kat_Geor", "amh_Ethi", "hin_Deva", "tur_Latn", "swh_Latn"]
    for label in labels:
        item = whole(texts[label][1:2], label)[0]
        items.append(copied("near_duplicate", item, dirt.sentence_added(item.text, label)))
    middle = len(items) // 2
    for number, part in enumerate((items[:middle], items[middle:])):
        columns: dict[str, list[Any]] = {
            "content": [item.text for item in part],
            "url": [item.url for item in part],
            "lang": [item.declared for item in part],
        }
        data, rows = formats.parquet(columns, rows_a_group=50)
        # The origin is the data set's, which counts its files as shards.
        origins = [f"hub/train#{number}.{row}" for row in rows]
        corpus.write(f"data/train-{number:05d}-of-00002.parquet", data, part, origins)


CORPORA = {
    "journal": ("jsonl", journal),
    "letters": ("jsonl.gz", letters),
    "forum": ("jsonl.zst", forum),
    "archive": ("parquet", archive),
    "folklore": ("arrow", folklore),
    "notes": ("text files", notes),
    "chronicle": ("text blocks", chronicle),
    "old-russian": ("text, windows-1251", old_russian),
    "old-mixed": ("text, detect", old_mixed),
    "pages": ("html", pages),
    "crawl": ("warc.gz", crawl),
    "crawl-text": ("wet.gz", crawl_text),
    "wiki": ("mediawiki xml.bz2", wiki),
    "hub": ("hugging face", hub),
}
TAKEN = {
    "amh_Ethi", "arb_Arab", "ben_Beng", "ell_Grek", "eng_Latn", "heb_Hebr", "hin_Deva", "ind_Latn",
    "jpn_Jpan", "kat_Geor", "kor_Hang", "pes_Arab", "rus_Cyrl", "spa_Latn", "swh_Latn", "tam_Taml",
    "tha_Thai", "tur_Latn", "vie_Latn", "zho_Hans",
}  # fmt: skip
"""Labels that a corpus names; all others go to `journal`."""


def layout(out: Path) -> dict[str, dict[str, Any]]:
    """Write all corpora below `out` and return the plan of each.

    Returns:
        By corpus: `documents` (as the sources count them, with the quarantined ones),
        `quarantined` and `skipped` (counts by reason), `planted` (origins by kind), `files`,
        `bytes`.

    Raises:
        SystemExit: `out` holds something else, which might be lost.
    """
    foreign = {path.name for path in out.iterdir()} - set(CORPORA) if out.is_dir() else set()
    if foreign:
        raise SystemExit(f"{out} holds something else ({min(foreign)}): choose another folder.")
    texts = read_texts()
    plan = {}
    for name, (_, make) in CORPORA.items():
        corpus = Corpus(out / name)
        make(corpus, texts)
        plan[name] = corpus.plan()
        for path in sorted(corpus.folder.rglob("*")):
            if path.is_file() and path not in corpus.files:
                path.unlink()
        for path, data in corpus.files.items():
            # A file that is written again is read again; it would be measured for nothing.
            if not path.is_file() or path.read_bytes() != data:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
    return plan


def main() -> None:
    """Lay the texts out and print one line a format."""
    parser = argparse.ArgumentParser(description="Lay the sample texts out as raw corpora.")
    parser.add_argument("--out", type=Path, default=Path("build/samples"))
    out = parser.parse_args().out
    plan = layout(out)
    for name, (form, _) in CORPORA.items():
        row = plan[name]
        print(f"{name:<12} {form:<20} {row['documents']:>4} documents {row['bytes']:>9,} bytes")
    documents, size = (sum(row[key] for row in plan.values()) for key in ("documents", "bytes"))
    print(f"{'total':<33} {documents:>4} documents {size:>9,} bytes in {out}")


if __name__ == "__main__":
    main()
