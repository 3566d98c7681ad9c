"""The guard before the parser: what has no partner goes, and time is bounded."""

import time

import mwparserfromhell
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.sources.streams import Damaged
from pipelines.sources.wikitext import plain_text
from pipelines.sources.wikitext_guard import guarded


@pytest.mark.parametrize(
    ("markup", "safe"),
    [
        ("a {{b}} [[c|d]]\n{|\n|-\n|}", "a {{b}} [[c|d]]\n{|\n|-\n|}"),
        ("a }} b ]] c {{ d [[ e {{f}}", "a  b  c  d  e {{f}}"),
        ("{{a|[[b}} ]] {|\n{{c}}", "{{a|b}}  {|\n{{c}}"),
        ("<ref name=x>a</REF><b>c</i><p>", "<ref>a</ref>c\n"),
        ("<b>{{x|</b>}}</b>", "<b>{{x|}}</b>"),
        ("a<!-- {{ -->b<!-- c", "ab"),
        ("<nowiki>{{<b></nowiki><nowiki>[[c", "<nowiki>{{<b></nowiki>c"),
        ("[http://a [[b]]] [http://c", "[http://a [[b]]] &#91;http://c"),
        ("<br class=x><br/></br><hr><wbr>", "<br/><br/><br/><br/>"),
    ],
)
def test_what_has_no_partner_goes(markup, safe):
    assert guarded(markup) == safe


PIECES = ["{{", "}}", "[[", "]]", "]", "|", "||", "!", "!!", "=", "==", "a", "{{{", "}}}", "{", "}"]
PIECES += ["<b>", "</b>", "<i>", "</i>", "<ref>", "</ref>", "<li>", "<b ", "<br>", "<!--", "-->"]
PIECES += ["<nowiki>", "</nowiki>", "&", "[http://x ", "-", "'", "/", "*", ";", ":", "#"]
BLOCKS = ["\n", "\n{|", "\n|}", "\n|", "\n|-", "\n!", "\n==", "\n*"]
UNIT = st.lists(st.sampled_from(PIECES + BLOCKS), max_size=7).map("".join)


@given(UNIT, UNIT, UNIT, st.integers(8, 30))
def test_no_repetition_makes_the_parser_go_back_again_and_again(before, middle, after, times):
    markup = before * times + middle + after * times
    try:
        safe = guarded(markup)
    except Damaged:
        return
    start = time.process_time()
    mwparserfromhell.parse(safe, skip_style_tags=True)
    assert time.process_time() - start < 1


UNITS = ["{{", "{{{", "{{}}", "{{a}", "{{a|", "{{a|b=", "[[a|", "[[a]", "[[a.png:", "[[a|[http://a"]
UNITS += ["<ref>", "<ref>a", "<ref{{", "<b>", "<b", "<b><i>", "</b>", "<br>", "<li>", "<nowiki>"]
UNITS += [
    "<!--",
    "<",
    "&",
    "&#",
    "http://",
    "[http://a",
    "[//a",
    " ",
    "( ",
    "''",
    "-{",
    "(,",
    "*",
    "==",
]
UNITS += ["a''b'''c", "<b>''", "{{a|[[b|<ref>c'''d"]
LINES = ["{|\n", "|-\n| a || b\n", "\n[[a:b]]", "=\n", "\n== a\n", "\n* a", "\n; a", "== a "]
SPACED = ["<b ", "http://a ", "[http://a ", "[//a ", "<ref>" * 30 + " "]
CLOSED = ["{{a|" * 20 + "}}" * 20, "[[" * 20 + "]]" * 20, "<b>" * 20 + "a" + "</b>" * 20]
CLOSED += ["{|\n" + "|-\n! a !! b\n" * 75_000 + "|}", "[[a|" * 150_000 + "]]" * 150_000]
CLOSED += ["\n{|\n| {{t|" * times + "}} | x\n|}" * times for times in (12, 25, 50)]


@pytest.mark.parametrize("unit", UNITS + LINES + SPACED + CLOSED, ids=lambda unit: repr(unit[:12]))
def test_a_megabyte_of_hostile_markup_is_parsed_or_refused_in_time(unit):
    markup = (unit * (1 + (1 << 20) // len(unit)))[: max(len(unit), 1 << 20)]
    start = time.process_time()
    try:
        plain_text(markup, hidden=frozenset())
    except Damaged as damage:
        assert damage.reason in ("markup_too_deep", "corrupt_markup")
    # Twice what is promised: the machine that runs the tests may be busy.
    assert time.process_time() - start < 4
