"""Make wikitext safe for a parser that goes back and tries again.

mwparserfromhell reads a bracket that is never closed to the end of the page, and then again as
text: 80,000 open references keep it busy for minutes. Some double the time for each that is open
outside: it doesn't finish 550 characters of certain tables and tags. So do, even where all is
closed, tables in each other whose cells have attributes. 200,000 runs of equals signs on one line
overflow its stack, which ends the process (all measured on 0.7.2).

So brackets and tags without a partner go before it sees them, in one pass with a stack, as do
comments and attributes, of which nothing is shown; what remains is refused if it would still take
too long.

Promises: linear time; no recursion; what it lets through is parsed in time linear in its length,
1 MB in 2 seconds (tests). A bracket without a partner costs its own characters, not the page.
Does not promise: to pair brackets that cross each other as MediaWiki does.
"""

from __future__ import annotations

import re
from collections import Counter

from mwparserfromhell.definitions import PARSER_BLACKLIST, SINGLE_ONLY

from .streams import Damaged

MAX_DEPTH = 60  # the parser itself stops looking at 100 of its own levels; articles stay below 20
MAX_OPEN = 10_000  # at once, with a partner or without
MAX_EQUALS_PER_LINE = 200
# What parsing takes, in nanoseconds, as measured on one core: per character, per sign, per pair of
# brackets, per pair of tags.
NS_PER_CHARACTER, NS_PER_TAG = 80, 40_000
NS_PER_SIGN = dict.fromkeys(["|", "!!", "*", "#", ";"], 12_000)
NS_PER_SIGN |= {":": 20_000, "&": 4_000, "=": 4_000}  # a colon may be that of an address
NS_PER_BRACKET = {"{{": 25_000, "{|": 25_000, "[[": 12_000, "[": 12_000}
SHARE_TWICE = 8  # what is in a table is tokenized once more, for an eighth of the whole
MAX_NS = 2_000_000_000
MAX_NS_PER_CHARACTER = 2_000  # an article takes 500

OPAQUE = frozenset(PARSER_BLACKLIST)  # the parser doesn't look inside; any bracket may stand there
CLOSING = {name: re.compile(rf"</{name}\s*>", re.IGNORECASE) for name in OPAQUE}
VOID = frozenset(SINGLE_ONLY)
# Tags that begin a new line, with a partner or without.
BLOCK = {
    *("br", "hr", "p", "div", "li", "dt", "dd", "ul", "ol", "dl", "blockquote", "center"),
    *("h1", "h2", "h3", "h4", "h5", "h6"),
}
# A table's brackets count only at the start of a line; "|}}" ends a template.
TOKEN = re.compile(
    r"\{\{|\}\}|\[\[|\]\]|\[(?=//|[a-zA-Z]{2,12}:)|\]|^[ \t:*#]*\{\||^[ \t]*\|\}(?!\})"
    r"|<!--|<(?P<slash>/?)(?P<name>[a-zA-Z][^\s<>/|\[\]{}]*)(?P<rest>[^<>]*)(?P<end>>?)",
    re.MULTILINE,
)
HEADING_LINE = re.compile("^=.*", re.MULTILINE)


class _Open:
    """A bracket or tag that waits for its partner; `tags` counts those open directly inside."""

    __slots__ = ("again", "at", "height", "kind", "once", "tags")

    def __init__(self, kind: str, at: int) -> None:
        self.kind = kind
        self.at = at
        self.once = self.again = self.height = 0
        self.tags: Counter[str] = Counter()


class _Balance:
    """The markup read so far, as parts, and what is open in it."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.stack = [_Open("page", -1)]
        self.brackets = [self.stack[0]]  # those of the stack that are no tags
        self.num_open: Counter[str] = Counter()

    def text(self, text: str) -> None:
        """Add text without brackets."""
        if not text:
            return
        self.parts.append(text)
        signs = sum(text.count(sign) * cost for sign, cost in NS_PER_SIGN.items())
        self.spend(len(text) * NS_PER_CHARACTER + signs)

    def spend(self, nanoseconds: int) -> None:
        """Count what parsing takes."""
        self.stack[-1].once += nanoseconds
        self.stack[-1].again += nanoseconds // SHARE_TWICE

    def open(self, kind: str, token: str, *, is_tag: bool) -> None:
        """Add an opening bracket or tag."""
        if len(self.stack) > MAX_OPEN:
            raise Damaged("corrupt_markup", f"over {MAX_OPEN:,} brackets and tags are open")
        self.stack.append(_Open(kind, len(self.parts)))
        self.parts.append(token)
        if is_tag:
            self.brackets[-1].tags[kind] += 1
        else:
            self.brackets.append(self.stack[-1])
            self.num_open[kind] += 1

    def close(self, kind: str, token: str) -> None:
        """Close the last open `kind`, dropping what was opened inside and not closed."""
        while self.stack[-1].kind != kind:
            self._pop(is_closed=False)
        self.parts.append(token)
        self._pop(is_closed=True)

    def finish(self) -> tuple[str, int]:
        """Return the markup, without what is still open, and how long it takes to parse."""
        while len(self.stack) > 1:
            self._pop(is_closed=False)
        return "".join(self.parts), self.stack[0].once + self.stack[0].again

    def _pop(self, *, is_closed: bool) -> None:
        self.spend(NS_PER_BRACKET.get(self.stack[-1].kind, NS_PER_TAG))
        top = self.stack.pop()
        parent = self.stack[-1]
        if self.brackets[-1] is top:
            self.brackets.pop()
            self.num_open[top.kind] -= 1
        else:
            self.brackets[-1].tags[top.kind] -= 1
        if not is_closed:
            self.parts[top.at] = "&#91;" if top.kind == "[" else "\n" * (top.kind in BLOCK)
        elif top.height >= MAX_DEPTH:
            raise Damaged("markup_too_deep", f"over {MAX_DEPTH} brackets and tags in each other")
        parent.height = max(parent.height, top.height + is_closed)
        parent.once += top.once
        parent.again += top.again * (2 if top.kind == "{|" and is_closed else 1)


def guarded(markup: str) -> str:
    """Return the markup as a parser may see it.

    Raises:
        Damaged: `markup_too_deep` if it is nested too deeply, `corrupt_markup` if it would take
            too long.
    """
    balance = _Balance()
    at = 0
    never_closed: set[str] = set()
    while match := TOKEN.search(markup, at):
        balance.text(markup[at : match.start()])
        at = match.end()
        if match["name"] is None:
            at = _comment_end(markup, at) if match[0] == "<!--" else _bracket(balance, match)
        elif not match["end"]:  # "a <b" is no tag
            balance.text("&lt;")
            at = match.start() + 1
        elif match["name"].lower() in OPAQUE:
            at = _opaque(balance, match, never_closed)
        else:
            _tag(balance, match)
    balance.text(markup[at:])
    text, nanoseconds = balance.finish()
    if nanoseconds > max(MAX_NS, len(markup) * MAX_NS_PER_CHARACTER):
        raise Damaged("corrupt_markup", "more markup than a page has for its text")
    if any(line[0].count("=") > MAX_EQUALS_PER_LINE for line in HEADING_LINE.finditer(text)):
        raise Damaged("markup_too_deep", f"a heading of {MAX_EQUALS_PER_LINE} equals signs")
    return text


def _comment_end(markup: str, at: int) -> int:
    """Return where a comment ends; unclosed, it hides the rest, as on the wiki."""
    end = markup.find("-->", at)
    return end + 3 if end >= 0 else len(markup)


def _bracket(balance: _Balance, match: re.Match[str]) -> int:
    """Add a bracket; return where it ends."""
    token = match[0]
    kind = token.lstrip(" \t:*#")
    if kind in ("{{", "[[", "{|"):
        balance.open(kind, token, is_tag=False)
    elif kind == "[":
        balance.open(kind, token, is_tag=True)
    elif kind in ("]", "]]") and balance.stack[-1].kind == "[":
        balance.close("[", "]")
        return match.start() + 1
    elif kind == "]":
        balance.text(token)
    elif kind == "]]":  # a link ends before what it is in
        if balance.brackets[-1].kind == "[[":
            balance.close("[[", token)
    else:
        partner = "{{" if kind == "}}" else "{|"
        if balance.num_open[partner]:
            balance.close(partner, token)
    return match.end()


def _opaque(balance: _Balance, match: re.Match[str], never_closed: set[str]) -> int:
    """Add an element whose content is no markup; return where it ends."""
    name = match["name"].lower()
    if match["slash"] or match["rest"].endswith("/") or name in never_closed:
        return match.end()
    closing = CLOSING[name].search(match.string, match.end())
    if closing is None:
        never_closed.add(name)
        return match.end()
    content = match.string[match.end() : closing.start()]
    balance.parts.append(f"<{name}>{content}</{name}>")
    balance.spend(NS_PER_TAG + len(content) * NS_PER_CHARACTER)
    return closing.end()


def _tag(balance: _Balance, match: re.Match[str]) -> None:
    name = match["name"].lower()
    if name in VOID:
        balance.parts.append("<br/>" if name in BLOCK else "")
        balance.spend(NS_PER_TAG)
    elif match["slash"]:
        if balance.brackets[-1].tags[name]:
            balance.close(name, f"</{name}>")
        else:
            balance.parts.append("\n" if name in BLOCK else "")
    elif not match["rest"].endswith("/"):
        balance.open(name, f"<{name}>", is_tag=True)
