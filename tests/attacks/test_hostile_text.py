"""Every pattern and step takes linear time: 1 MB made to be slow, under a generous bound."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pytest

from pipelines import html_guard, pii
from pipelines.clean import clean
from pipelines.extract import extract
from pipelines.identify import identify, load_model
from pipelines.records import RAW
from pipelines.sources.base import Tally
from pipelines.unicode import NUM_SCRIPTS

MB = 1_000_000
# Of processor time. None takes a second; what is not linear takes minutes.
LIMIT_S = 20.0

TEXTS = {
    "marks": "a" + "\u0301\u0323" * 250_000,
    "marks that double": "\u0344" * 250_000,
    "exclusions": "\u0958" * 300_000,
    "jamo": "\u1100\u1161" * 200_000,
    "mojibake": "Ã©" * 250_000,
    "almost mojibake": "Ã" * 500_000,
    "mojibake with controls": "Ã\x81â€\x9d" * 100_000,
    "Cyrillic mojibake": "Рџ" * 250_000,
    "tags": "\U0001f3f4" + "\U000e0067" * 200_000,
    "word boundaries": "\u1780\u200b" * 200_000,
    "spaces": " " * MB,
    "line breaks": "\n" * MB,
    "controls": "\x01" * MB,
    "joiners": "\u200d" * 300_000,
    "flag starts": "\U0001f3f4" * 250_000,
    "local parts": "a!" * (MB // 2),
    "at signs": "@" * MB,
    "addresses": "a@b.cc " * (MB // 7),
    "open addresses": "a@b." * (MB // 4),
    "dotted local part": "a." * (MB // 2) + "@",
    "dotted numbers": "1." * (MB // 2),
    "addresses of machines": "1.2.3.44 " * (MB // 9),
    "colons": "f:" * (MB // 2),
    "numbers": "1 " * (MB // 2),
    "open brackets": "(1" * (MB // 2),
    "zeros": "0 12 " * (MB // 5),
    "digits": "9" * MB,
    "one line": "x" * MB,
    "Han": "日@本." * 110_000,
}


def within(limit_s: float, function: Callable[[], object]) -> object:
    start = time.process_time()
    result = function()
    assert time.process_time() - start < limit_s
    return result


@pytest.fixture(scope="module", autouse=True)
def _compiled() -> None:
    text = pa.array(["Ã© a@b.cc"], pa.large_string())
    pii.mask(clean(text)[0], emails=True, ips=True, phones=True)
    html_guard.check(b"<p>")
    letters = np.full((1, NUM_SCRIPTS), 7, np.uint32)
    identify(text, pa.array(["swh"]), letters, model=load_model("lid.176"), policy="verify")


@pytest.mark.parametrize("name", TEXTS)
def test_cleaning_and_masking_are_linear(name: str) -> None:
    text = pa.array([TEXTS[name]], pa.large_string())
    cleaned, _ = within(LIMIT_S, lambda: clean(text))
    within(LIMIT_S, lambda: pii.mask(text, emails=True, ips=True, phones=True))
    within(LIMIT_S, lambda: clean(cleaned))


@pytest.mark.parametrize("name", TEXTS)
def test_identification_reads_a_bounded_part(name: str) -> None:
    text = pa.array([TEXTS[name]], pa.large_string())
    letters = np.full((1, NUM_SCRIPTS), 7, np.uint32)
    model = load_model("lid.176")
    within(
        LIMIT_S, lambda: identify(text, pa.array(["swh"]), letters, model=model, policy="verify")
    )


@pytest.mark.parametrize("pattern", pii.PATTERNS)
@pytest.mark.parametrize("name", TEXTS)
def test_every_pattern_is_linear(pattern: str, name: str) -> None:
    within(LIMIT_S, lambda: sum(1 for _ in pii.PATTERNS[pattern].finditer(TEXTS[name])))


DEEP, MANY, FINE = "html_too_deep", "html_attributes", None
PAGES = {
    "div": (b"<div>" * 100_000, DEEP),
    "div, closed again and again": ((b"<div>" * 500 + b"x" + b"</div>" * 500) * 100, FINE),
    "ul": (b"<ul><li>" * 50_000, DEEP),
    "table": (b"<table><tr><td>" * 30_000, DEEP),
    "unknown elements": (b"".join(b"<x%d>" % n for n in range(100_000)), DEEP),
    "fonts": (b"<font color=red>x<p>" * 50_000, DEEP),
    "formatting with ids": (b"".join(b"<p><b id=%d>x" % n for n in range(50_000)), DEEP),
    "formatting, then paragraphs": (
        b"<p>" + b"".join(b"<b id=%d>" % n for n in range(100)) + b"</p>" + b"<p>x" * 15_000,
        DEEP,
    ),
    "wrong end tags": (b"<b></div>" * 50_000, DEEP),
    "crossed end tags": (b"<b><div></b>" * 50_000, DEEP),
    "end tags in tables": (b"<div><table><tr><td></div>" * 50_000, DEEP),
    "islands left open": (b"<svg><p>" + b"<div/>" * 100_000, DEEP),
    "scripts in islands": (b"<svg><script>" + b"<div>" * 100_000, DEEP),
    "icons": ((b"<svg><title>t</title>" + b'<path d="x"/>' * 20 + b"</svg>") * 3_000, FINE),
    "attributes": (b"<p " + b" ".join(b"a%d=1" % n for n in range(200_000)) + b">", MANY),
    "attributes by slash": (b"<p/" + b"/".join(b"a%d" % n for n in range(200_000)) + b">", MANY),
    "attributes by quote": (b"<p " + b"".join(b'a%d="1"' % n for n in range(200_000)) + b">", MANY),
    "one long attribute": (b'<img src="data:' + b"A" * MB + b'"><p>x', FINE),
    "paragraphs": (b"<p>x" * 200_000, FINE),
    "list items": (b"<li>x" * 200_000, FINE),
    "links": (b"<a href=x>y" * 90_000, FINE),
    "links and blocks": (b"<a><div></a></div>" * 50_000, FINE),
    "end tags": (b"</div>" * 200_000, FINE),
    "comments": (b"<!--" * 250_000, FINE),
    "less-than signs": (b"<" * MB, FINE),
    "scripts": (b"<script>" * 125_000, FINE),
    "declarations": (b"<!" * 500_000, FINE),
    "entities": (b"&" * MB, FINE),
    "ruby": (b"<ruby><rt" * 100_000, FINE),
    "ruby notes": (b"<ruby>" + b"<rt>x" * 150_000, FINE),
    "meta": (b"<meta " * 150_000 + b"\xe9", MANY),
    "escapes": (b"\x1b$B" * 10_000 + b"<p>" * 100_000, FINE),
}  # fmt: skip


@pytest.mark.parametrize("name", PAGES)
def test_hostile_pages_are_refused_or_read_in_time(name: str) -> None:
    page, reason = PAGES[name]
    tally = Tally()
    batch = pa.RecordBatch.from_pylist([{"html": page, "origin": "page#0"}], schema=RAW)
    found = within(LIMIT_S, lambda: extract(batch, tally))
    assert list(tally.quarantined) == ([reason] if reason else [])
    assert len(found) == (0 if reason else 1)


def test_the_guard_alone_reads_any_of_them_in_one_pass() -> None:
    for page, _ in PAGES.values():
        start = time.perf_counter()
        html_guard.check(page)
        assert time.perf_counter() - start < 0.3  # 10 ms when nothing else runs


def test_deep_pages_do_not_grow_the_recursion_limit() -> None:
    limit = sys.getrecursionlimit()
    html_guard.check(b"<div>" * 100_000)
    assert sys.getrecursionlimit() == limit
