"""Refuse HTML that would take a parser quadratic time, before a parser sees it.

Conforming parsers are quadratic in three places, and a page of 500 kB that uses one keeps
resiliparse busy for more than 30 seconds: deep nesting (each tag looks through the stack of open
elements), formatting elements left open (they are opened again in every paragraph that follows),
and attributes of one tag (each is compared with those before). The scan follows the tags in one
pass with a stack of open elements, as a parser would, and adds up what they will cost.

Promises: linear time; what it lets through has been parsed in under a second (tests/attacks).
Does not promise: the exact tree. Where it differs from a parser it takes an element for open.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .jit import kernel
from .unicode import Integer

MAX_BYTES = 20 << 20
MAX_DEPTH = 512  # what Chromium allows; real pages stay below 100
# Sums over all tags. A page of 100,000 tags, 30 deep, comes to 3,000,000 look-ups.
MAX_LOOKUPS = 50_000_000
MAX_REOPENED = 300_000  # open formatting elements at each tag: nodes that would be made
MAX_COMPARED = 20_000_000  # squares of the number of attributes

OK, TOO_DEEP, TOO_MANY_ATTRIBUTES = range(3)

# How an element counts.
_NESTS, _NEVER, _FORMATTING, _BARRIER, _RAW = range(5)
_KINDS = {
    # Void elements; those whose end tag is implied, so that they close each other; and those that
    # can't nest in themselves.
    _NEVER: """
        area base basefont bgsound br col embed frame hr img input keygen link meta param source
        track wbr image p li dd dt option optgroup tr td th tbody thead tfoot colgroup rb rp rt rtc
        html head body frameset a nobr button form h1 h2 h3 h4 h5 h6 select
    """,
    _FORMATTING: "b big code em font i s small strike strong tt u",
    # An end tag inside doesn't close what was opened outside.
    _BARRIER: "table caption object marquee applet template svg math foreignobject",
    _RAW: "script style xmp iframe noembed noframes textarea title",
}


def _key(name: bytes) -> int:
    """Return a number for a tag name in lower case, as the kernel makes it."""
    key = 14695981039346656037
    for byte in name:
        key = ((key ^ byte) * 1099511628211) & 0xFFFFFFFFFFFFFFFF
    return key


_NAMES = sorted(
    (_key(name.encode()), kind) for kind, names in _KINDS.items() for name in names.split()
)
_KEYS: NDArray[np.uint64] = np.array([key for key, _ in _NAMES], np.uint64)
_KIND_OF_KEY: NDArray[np.int64] = np.array([kind for _, kind in _NAMES], np.int64)
_FOREIGN: NDArray[np.uint64] = np.array([_key(b"svg"), _key(b"math")], np.uint64)
# These end an SVG or MathML island that was not closed: from there on `/>` means nothing.
_BREAKOUT: NDArray[np.uint64] = np.array(
    sorted(
        _key(name)
        for name in b"""
        b big blockquote body br center code dd div dl dt em embed h1 h2 h3 h4 h5 h6 head hr i img
        li listing menu meta nobr ol p pre ruby s small span strong strike sub sup table tt u ul var
        """.split()
    ),
    np.uint64,
)


def check(html: bytes) -> str | None:
    """Return why a page should not be parsed (`html_too_large` ...), None if it may be."""
    if len(html) > MAX_BYTES:
        return "html_too_large"
    stack = np.zeros(MAX_DEPTH, np.uint64)
    stack_kinds = np.zeros(MAX_DEPTH, np.int64)
    data = np.frombuffer(html, np.uint8)
    found = _scan(data, _KEYS, _KIND_OF_KEY, _FOREIGN, _BREAKOUT, stack, stack_kinds)
    return {OK: None, TOO_DEEP: "html_too_deep", TOO_MANY_ATTRIBUTES: "html_attributes"}[found]


@kernel
def _is_space(byte: Integer) -> Integer:
    return byte == 32 or (9 <= byte <= 13 and byte != 11)


@kernel
def _is_letter(byte: Integer) -> Integer:
    return 97 <= byte | 32 <= 122


@kernel
def _find(data: NDArray[np.uint8], position: Integer, byte: Integer) -> Integer:
    """Return where a byte is next, or the length of the data."""
    while position < data.shape[0] and data[position] != byte:
        position += 1
    return position


@kernel
def _read_name(data: NDArray[np.uint8], position: Integer) -> tuple[Integer, Integer]:
    """Return (key, end) of the tag name at `position`."""
    key = np.uint64(14695981039346656037)
    while position < data.shape[0]:
        byte = data[position]
        if _is_space(byte) or byte == 47 or byte == 62:  # / >
            break
        if 65 <= byte <= 90:
            byte |= 32
        key = (key ^ np.uint64(byte)) * np.uint64(1099511628211)
        position += 1
    return key, position


@kernel
def _skip_attributes(
    data: NDArray[np.uint8], position: Integer
) -> tuple[Integer, Integer, Integer]:
    """Return (number of attributes, position after `>`, whether the tag ends with `/>`)."""
    length = data.shape[0]
    count = 0
    while position < length:
        byte = data[position]
        if byte == 62:
            return count, position + 1, data[position - 1] == 47
        if _is_space(byte) or byte == 47:
            position += 1
            continue
        count += 1
        position += 1  # "=" may begin a name
        while position < length:
            byte = data[position]
            if _is_space(byte) or byte == 47 or byte == 62 or byte == 61:
                break
            position += 1
        while position < length and _is_space(data[position]):
            position += 1
        if position < length and data[position] == 61:  # =
            position += 1
            while position < length and _is_space(data[position]):
                position += 1
            if position < length and (data[position] == 34 or data[position] == 39):
                position = _find(data, position + 1, data[position]) + 1
            else:
                while position < length and not _is_space(data[position]) and data[position] != 62:
                    position += 1
    return count, length, False


@kernel
def _skip_comment(data: NDArray[np.uint8], position: Integer) -> Integer:
    """Return the position after the comment whose `--` is at `position`."""
    length = data.shape[0]
    while position + 2 < length:
        if data[position] == 45 and data[position + 1] == 45:
            if data[position + 2] == 62:
                return position + 3
            if data[position + 2] == 33 and position + 3 < length and data[position + 3] == 62:
                return position + 4
        position += 1
    return length


@kernel
def _skip_raw(data: NDArray[np.uint8], position: Integer, key: Integer) -> Integer:
    """Return the position of the end tag of a script or the like."""
    length = data.shape[0]
    while position + 1 < length:
        position = _find(data, position, 60)
        if position + 2 < length and data[position + 1] == 47:
            name, _ = _read_name(data, position + 2)
            if name == key:
                return position
        position += 1
    return length


@kernel
def _scan(
    data: NDArray[np.uint8],
    keys: NDArray[np.uint64],
    kinds: NDArray[np.int64],
    foreign: NDArray[np.uint64],
    breakout: NDArray[np.uint64],
    stack: NDArray[np.uint64],
    stack_kinds: NDArray[np.int64],
) -> Integer:
    """Return OK, TOO_DEEP or TOO_MANY_ATTRIBUTES."""
    length = data.shape[0]
    depth = formatting = num_foreign = 0
    lookups = reopened = compared = 0
    position = 0
    while True:
        position = _find(data, position, 60)  # <
        if position + 1 >= length:
            return OK
        byte = data[position + 1]
        if byte == 33 and position + 3 < length and data[position + 2] == data[position + 3] == 45:
            position = _skip_comment(data, position + 2)
            continue
        closes = byte == 47
        start = position + 1 + closes
        if start >= length or not _is_letter(data[start]):
            # A declaration or bogus comment ends at ">"; any other "<" is text.
            position = _find(data, start, 62) + 1 if closes or byte == 33 or byte == 63 else start
            continue
        key, position = _read_name(data, start)
        count, position, self_closed = _skip_attributes(data, position)
        compared += count * count
        lookups += depth
        reopened += formatting
        if compared > MAX_COMPARED:
            return TOO_MANY_ATTRIBUTES
        if lookups > MAX_LOOKUPS or reopened > MAX_REOPENED:
            return TOO_DEEP
        at = np.searchsorted(keys, key)
        kind = kinds[at] if at < keys.shape[0] and keys[at] == key else _NESTS
        if closes:
            level = depth - 1
            while level >= 0 and stack[level] != key and stack_kinds[level] != _BARRIER:
                level -= 1
            if level < 0 or stack[level] != key:
                continue
            if kind == _FORMATTING:  # what is open inside stays open
                for above in range(level, depth - 1):
                    stack[above] = stack[above + 1]
                    stack_kinds[above] = stack_kinds[above + 1]
                depth -= 1
                formatting -= 1
                continue
            while depth > level:
                depth -= 1
                # Formatting elements that are closed by another's end tag will be opened again,
                # so they go on counting in `formatting`; only barriers make them forgotten.
                if stack[depth] == foreign[0] or stack[depth] == foreign[1]:
                    num_foreign = max(num_foreign - 1, 0)
            if kind == _BARRIER:
                formatting = 0
                for below in range(depth):
                    formatting += stack_kinds[below] == _FORMATTING
            continue
        if num_foreign:
            at = np.searchsorted(breakout, key)
            if at < breakout.shape[0] and breakout[at] == key:
                num_foreign = 0
        if kind == _NEVER or (self_closed and num_foreign):
            continue
        if kind == _RAW:
            if not num_foreign:
                position = _skip_raw(data, position, key)
            continue
        if depth == MAX_DEPTH:
            return TOO_DEEP
        stack[depth] = key
        stack_kinds[depth] = kind
        depth += 1
        formatting += kind == _FORMATTING
        num_foreign += key == foreign[0] or key == foreign[1]
