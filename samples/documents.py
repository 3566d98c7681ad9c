"""The sample texts, documents made of them, and the plan of what lies where.

A `Corpus` gathers the files of one corpus and counts what a build should find in them.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

TEXTS = Path(__file__).with_name("texts")


@dataclass(frozen=True)
class Text:
    """A document of samples/texts."""

    label: str
    slug: str
    title: str
    paragraphs: tuple[str, ...]

    @property
    def body(self) -> str:
        """The title and the paragraphs, with blank lines between them."""
        return "\n\n".join((self.title, *self.paragraphs))

    @property
    def url(self) -> str:
        """An address reserved for examples."""
        return f"https://{self.label[:3]}.example.org/{self.slug}"


def read_texts(folder: Path = TEXTS) -> dict[str, list[Text]]:
    """Return the texts by label; a document begins at a line `=== slug`."""
    texts = {}
    for path in sorted(folder.glob("*.txt")):
        documents = path.read_text(encoding="utf-8").split("=== ")[1:]
        texts[path.stem] = [_parsed(path.stem, document) for document in documents]
    return texts


def _parsed(label: str, document: str) -> Text:
    slug, _, body = document.partition("\n")
    title, *paragraphs = body.strip().split("\n\n")
    return Text(label, slug.strip(), title, tuple(paragraphs))


@dataclass(frozen=True)
class Item:
    """One document on its way into a corpus, and the names of what is planted in it."""

    text: str
    url: str | None = None
    declared: str | None = None
    planted: tuple[str, ...] = ()


def whole(texts: Sequence[Text], declared: str | None = None) -> list[Item]:
    """Return the texts as documents."""
    return [Item(text.body, text.url, declared) for text in texts]


def paragraphs(texts: Sequence[Text], declared: str | None = None) -> list[Item]:
    """Return each paragraph of the texts as a document."""
    return [
        Item(paragraph, f"{text.url}/{number}", declared)
        for text in texts
        for number, paragraph in enumerate(text.paragraphs, start=1)
    ]


def planted(kind: str, item: Item, text: str | None = None) -> Item:
    """Return the item marked with what is planted in it, and its text changed so."""
    return replace(item, text=item.text if text is None else text, planted=(*item.planted, kind))


def damaged(item: Item, damage: Callable[[str], str]) -> Item:
    """Return the item with a repairable damage, marked with its name."""
    return planted(damage.__name__, item, damage(item.text))


def copied(kind: str, item: Item, text: str | None = None) -> Item:
    """Return the item as another site has it."""
    url = item.url and item.url.replace("example.org", "example.net")
    return planted(kind, replace(item, url=url), text)


def junk(kind: str, texts: Sequence[str]) -> list[Item]:
    """Return pages that are no prose."""
    return [
        Item(text, f"https://www.example.org/{kind}/{number}", None, (kind,))
        for number, text in enumerate(texts, start=1)
    ]


@dataclass
class Corpus:
    """The files of one corpus, and the plan: what a build should find in them."""

    folder: Path
    num_documents: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    planted: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    files: dict[Path, bytes] = field(default_factory=dict)

    def write(self, name: str, data: bytes, items: Sequence[Item], origins: Sequence[str]) -> None:
        """Add a file with the documents `items`.

        An origin without `#` follows the name of the file; "" is the whole file.
        """
        self.files[self.folder / name] = data
        self.num_documents += len(items)
        for item, origin in zip(items, origins, strict=True):
            for kind in item.planted:
                place = origin if "#" in origin else f"{name}#{origin}" if origin else name
                self.planted[kind].append(place)

    def broken(self, reason: str) -> None:
        """Count a record that cannot be read."""
        self.num_documents += 1
        self.quarantined[reason] += 1

    def plan(self) -> dict[str, Any]:
        """Return the plan; quarantined records are among the documents, skipped ones are not."""
        return {
            "documents": self.num_documents,
            "quarantined": dict(self.quarantined),
            "skipped": dict(self.skipped),
            "planted": dict(self.planted),
            "files": len(self.files),
            "bytes": sum(len(data) for data in self.files.values()),
        }


Texts = dict[str, list[Text]]
