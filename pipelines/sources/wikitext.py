"""Turn MediaWiki markup into the text that a reader of the page reads.

Dropped whole: templates, tables, references, galleries, formulas, code, comments, files,
categories, links to the same page in other languages, magic words, headings with nothing below.
Kept: labels of links, the text of headings, list items and inline tags, the words of `{{lang}}`.

mwparserfromhell parses, once; one walk over its nodes decides. It knows neither the names of a
wiki's namespaces nor what a bracket that it could not pair was meant to be, so that is done here.

Promises: nothing recurses, so no nesting is too deep; `wikitext_guard` bounds the time.
Does not promise: what a template would have written. Expanding them needs the whole wiki.
"""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

import mwparserfromhell
from mwparserfromhell.nodes import (
    ExternalLink,
    Heading,
    HTMLEntity,
    Tag,
    Template,
    Text,
    Wikilink,
)
from mwparserfromhell.parser import ParserError

from .streams import Damaged
from .wikitext_guard import BLOCK, guarded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mwparserfromhell.nodes import Node
    from mwparserfromhell.wikicode import Wikicode

# Elements whose content is no prose, and two whose content is no markup.
DROPPED = {
    *("ref", "references", "math", "chem", "ce", "gallery", "timeline", "graph", "score", "hiero"),
    *("imagemap", "mapframe", "maplink", "syntaxhighlight", "source", "templatedata", "inputbox"),
    *("templatestyles", "categorytree", "indicator", "includeonly", "table", "style", "script"),
    *("section", "charinsert"),
}
LITERAL = frozenset({"nowiki", "pre"})
SIGN = re.compile(r"[\[\]{}<>'|=*#:;_&-]")

# Templates that only mark up their words, which are their last parameter without a name.
TRANSPARENT = re.compile(r"\s*(?:lang(?:-[a-z-]+)?|nowrap|nobr)\s*", re.IGNORECASE)
MEDIA = re.compile(
    r"[^\n]*\.(?:jpe?g|png|svg|gif|tiff?|og[gav]|opus|web[mp]|pdf|djvu|xcf|midi?|wav|mp3|flac|stl)\s*",
    re.IGNORECASE,
)
LANGUAGE_CODE = re.compile(r"[a-z]{2,3}(?:-[a-z]{2,}(?:-[a-z]+)?)?|simple|tokipona")
QUOTES = re.compile(r"'{2,}")
SWITCH = re.compile(r"__([^\W\d_]\w{2,40}?)__")
VARIANT = re.compile(r"-\{(?:([^{}|]{0,40})\|)?([^{}]*)\}-")
UNPAIRED = re.compile(r"\{\{+|\}\}+|\[\[+|\]\]+")
TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
HEADING = re.compile(r"(={1,6})(.+?)\1\s*\Z")
# "( , )" in the three widths of comma and bracket, where the words between were templates.
EMPTY_BRACKETS = re.compile(
    "[ \\t]*(?:[(\uff08][\\s,;:/\u060c\u061b\u3001\uff0c\uff1b]*[)\uff09]|\\[\\s*\\])"
)
SPACES = re.compile(r"[ \t]{2,}")
BLANK_LINES = re.compile(r"\n{3,}")
LEFT_OVER = " \t.,;:()[]/|*" + "\u3001\u3002\uff0c"  # what a line of templates leaves
NUM_LEVELS = 6


def plain_text(markup: str, *, hidden: frozenset[str]) -> str:
    """Return the text of a page.

    Args:
        markup: The page's wikitext.
        hidden: Lower-case names of the namespaces whose links show no text here (files,
            categories), in the wiki's own language and English.

    Raises:
        Damaged: `markup_too_deep` or `corrupt_markup` if it cannot be parsed, or not in time.

    >>> plain_text("'''Bela''' ({{x}}) is [[a|one]].[[Category:X]]", hidden=frozenset({"category"}))
    'Bela is one.'
    """
    try:
        page = mwparserfromhell.parse(guarded(markup), skip_style_tags=True)
    except RecursionError as error:
        raise Damaged("markup_too_deep", "more than the parser can hold") from error
    except ParserError as error:
        raise Damaged("corrupt_markup", str(error)) from error
    text = _shown(page.nodes[: _tail(page.nodes)], hidden)
    text = VARIANT.sub(_variant, text)
    text = UNPAIRED.sub("", text)
    text = SWITCH.sub(lambda match: match[0] if match[1] != match[1].upper() else "", text)
    text = "\n".join(_lines(TAG.sub("", text)))
    return BLANK_LINES.sub("\n\n", html.unescape(text)).strip()


def _shown(nodes: Sequence[Node], hidden: frozenset[str]) -> str:
    """Return the text that these nodes show; headings and lists keep their signs."""
    parts: list[str] = []
    todo: list[Node | str] = list(reversed(nodes))
    while todo:
        node = todo.pop()
        if isinstance(node, str):
            parts.append(node)
        elif isinstance(node, Text):
            # Here, not in the whole: two runs of quotes with a template between are no apostrophe.
            parts.append(QUOTES.sub(_apostrophe, node.value))
        elif isinstance(node, HTMLEntity):
            parts.append(str(node))
        elif isinstance(node, Heading):  # no heading has another one inside
            title = _shown(node.title.nodes, hidden).replace("\n", " ")
            parts.append(f"{'=' * node.level}{title}{'=' * node.level}")
        else:
            todo += reversed(_inside(node, hidden))
    return "".join(parts)


def _apostrophe(quotes: re.Match[str]) -> str:
    return "'" if len(quotes[0]) == 4 else ""


def _inside(node: Node, hidden: frozenset[str]) -> list[Node | str]:
    """Return what of a node is shown, in order."""
    if isinstance(node, Wikilink):
        return _label(node, hidden)
    if isinstance(node, ExternalLink):
        nodes = _nodes(node.title if node.brackets else node.url)
        if nodes and isinstance(nodes[0], Text):
            nodes[0] = Text(nodes[0].value.lstrip())
        return nodes
    if isinstance(node, Template):
        if not TRANSPARENT.fullmatch(str(node.name)):
            return []
        words = [part.value for part in node.params if str(part.name).strip().isdecimal()]
        return _nodes(words[-1]) if words else []
    if not isinstance(node, Tag):  # a comment, or the argument of a template
        return []
    name = str(node.tag).strip().lower()
    if name in DROPPED:
        return []
    if node.wiki_markup:  # a list or a rule
        return [node.wiki_markup]
    if name in LITERAL:
        literal = html.unescape(str(node.contents))
        return [SIGN.sub(lambda found: f"&#{ord(found[0])};", literal)]
    if name == "br":
        return ["\n"]
    contents = _nodes(node.contents)
    return ["\n", *contents, "\n"] if name in BLOCK else contents


def _nodes(code: Wikicode | None) -> list[Node | str]:
    return [] if code is None else list(code.nodes)


def _label(link: Wikilink, hidden: frozenset[str]) -> list[Node | str]:
    title = str(link.title)
    prefix, colon, rest = title.partition(":")
    prefix = prefix.strip().replace("_", " ").lower()
    if colon and (prefix in hidden or LANGUAGE_CODE.fullmatch(prefix) or MEDIA.fullmatch(rest)):
        return []
    if link.text is not None:
        return _nodes(link.text)
    return [Text(rest)] if colon and not prefix else _nodes(link.title)


def _tail(nodes: Sequence[Node]) -> int:
    """Return where the categories and languages at the end of a page begin.

    A wiki has more names for its categories than a dump lists; but only such links stand alone at
    the end of a page with a colon in them.
    """
    end = last = len(nodes)
    while last:
        last -= 1
        node = nodes[last]
        if isinstance(node, Wikilink):
            if ":" not in str(node.title) or not _begins_line(nodes, last):
                break
            end = last
        elif not (
            isinstance(node, Template) or (isinstance(node, Text) and not node.value.strip())
        ):
            break
    return end


def _begins_line(nodes: Sequence[Node], at: int) -> bool:
    """Return whether nothing is shown between a node and a line's start, or another link."""
    while at and isinstance(nodes[at - 1], Template):
        at -= 1
    before = nodes[at - 1] if at else None
    if isinstance(before, Text):
        return before.value.endswith("\n")
    return before is None or isinstance(before, Wikilink)


def _variant(match: re.Match[str]) -> str:
    """Return the first reading of a language converter's mark, as `-{zh-hans:a; zh-hant:b}-`."""
    flags, rules = match[1], match[2]
    if flags and set("THD-") & set(flags.upper().split(";")):
        return ""  # titles and rules without text
    first = rules.split(";")[0]
    head, colon, reading = first.rpartition(":")
    return reading.strip() if colon and head.strip().replace("-", "").isalpha() else rules


def _lines(text: str) -> list[str]:
    """Return the lines without what marks headings, lists and rules, empty sections left out."""
    kept: list[str] = []
    # From below: the text seen belongs to headings of a level smaller than this.
    level_above = 0
    for line in reversed(text.split("\n")):
        line = line.strip()
        if line.startswith("=") and (heading := HEADING.match(line)):
            level = len(heading[1])
            if level < level_above:
                kept.append(heading[2].strip())
                level_above = level
            continue
        if line.startswith(("|", "----")):  # the rest of a table that is not closed; a rule
            line = line.lstrip("-") if line[0] == "-" else ""
        line = line.lstrip("*#:;").lstrip()
        line = EMPTY_BRACKETS.sub("", SPACES.sub(" ", line))
        if not line.strip(LEFT_OVER):
            line = ""
        if line:
            level_above = NUM_LEVELS + 1
        kept.append(line)
    kept.reverse()
    return kept
