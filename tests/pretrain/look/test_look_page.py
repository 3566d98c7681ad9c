"""The page: nothing leaves it, nothing acts on it, and it shows what was seen."""

import base64
import hashlib
import json
import re
import zlib
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
from served_models import write_model

from pretrain.look import packing, page
from pretrain.look.inspection import inspect

TEXT = "يقرأ الأطفال [MASK] كل مساء، وَالكِتابُ koine."
HOSTILE = "</script><img src=x onerror=alert(1)> [MASK] \"'&amp; \u202eabc\u2028 {{ 7*7 }}"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_model(tmp_path_factory.mktemp("m") / "<b>model", "bert", "mlm", longest=96)


@pytest.fixture(scope="module")
def arabic(folder):
    return inspect(folder, TEXT, pair="The book", label="urd_Arab", hide_each=True)


class Reading(HTMLParser):
    """What a browser makes of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.ids, self.words, self.scripts = [], [], [], []
        self._in = ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        self.ids += [value for name, value in attributes if name == "id"]
        self._in = tag

    def handle_endtag(self, tag):  # noqa: ARG002
        self._in = ""

    def handle_data(self, data):
        (self.scripts if self._in == "script" else self.words).append(data)


def facts_of(html: str) -> dict:
    found = re.search(r'<script type="application/json" id="facts">(.*?)</script>', html, re.S)
    return json.loads(found[1])


def test_no_request_can_leave_the_page_and_only_its_own_script_runs(arabic):
    html = page.render(arabic)
    read = Reading(html)
    (policy,) = [a["content"] for tag, a in read.tags if "content" in a and "http-equiv" in a]
    _, script = read.scripts
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert policy.startswith("default-src 'none'") and "http" not in policy
    for tag, attributes in read.tags:
        assert tag not in ("link", "iframe", "object", "embed", "base", "form")
        for name, value in attributes.items():
            assert not name.startswith("on")
            if name in ("src", "srcset", "poster"):
                assert value.startswith("data:image/png;base64,")
            if name == "href":
                assert value.startswith("#")
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", html)


def test_what_a_text_says_can_not_act_on_the_page(folder):
    found = inspect(folder, HOSTILE, pair=HOSTILE)
    html = page.render(replace(found, model="<script>x</script>"))
    read = Reading(html)
    assert len(read.scripts) == 2
    assert not [a for tag, a in read.tags if tag == "img" and a.get("src") == "x"]
    assert "\u202e" not in html and "\u2028" not in html
    shown = "".join(piece[3] for piece in facts_of(html)["pieces"])
    assert "<img" in shown or "img" in shown
    assert "{{ 7*7 }}" in "".join(read.words)


def test_the_script_gets_the_weights_that_were_seen(arabic):
    facts = facts_of(page.render(arabic))
    num = len(arabic.looked.pieces)
    assert (facts["layers"], facts["heads"], len(facts["pieces"])) == (2, 2, num)
    assert facts["rtl"] is True
    for number, head in enumerate(facts["weights"]):
        data = zlib.decompress(base64.b64decode(head))
        levels = np.frombuffer(data, np.uint8).reshape(num, num)
        own = arabic.looked.weights_LHQK.reshape(-1, num, num)[number]
        assert np.abs(packing.restored(levels, window=None) - own).max() < 0.005


def test_without_a_script_there_are_heads_pieces_and_guesses(arabic):
    html = page.render(arabic)
    read = Reading(html)
    pictures = [a for tag, a in read.tags if tag == "img"]
    assert len(pictures) == 4 and all(a["alt"].startswith("layer ") for a in pictures)
    for _, attributes in read.tags:
        if attributes.get("href", "").startswith("#h-"):
            assert attributes["href"][1:] in read.ids, "a picture leads to its head's row"
    text = "".join(read.words)
    for guess in arabic.looked.hidden[0].guesses:
        assert page.percent(guess.probability) in text
    assert text.count("layer 2, head 1") == 1
    assert len(read.ids) == len(set(read.ids))


def test_text_stands_whole_and_in_its_own_direction(arabic):
    html = page.render(arabic)
    texts = re.findall(r'<p class="text" dir="auto" lang="ur">(.*?)</p>', html)
    assert len(texts) == 2
    bare = [re.sub(r"<[^>]+>", "", text) for text in texts]
    assert TEXT in bare[0] and "The book" in bare[1]
    numbers = [int(n) for value in re.findall(r'data-p="([\d ]+)"', html) for n in value.split()]
    assert numbers == list(range(len(arabic.looked.pieces))), "every piece is once in the text"
    assert not re.search(r'class="cell special"(?! dir="ltr")', html)


def test_a_guess_stands_in_its_place(arabic):
    (mask,) = [page._filled(arabic.looked, hidden) for hidden in arabic.looked.hidden]
    for guess, before, _ in mask["guesses"]:
        assert before.endswith(" ") == guess.begins
        assert before.rstrip() == "يقرأ الأطفال"


def test_a_page_says_what_is_missing(folder, tmp_path):
    tuned = write_model(tmp_path / "tuned", "bert", "tag")
    html = page.render(inspect(tuned, TEXT))
    assert "tuned to tag" in html and "no head that fills in masks" in html
    assert 'id="masks"' not in html
    html = page.render(inspect(folder, "vitabu " * 300))
    assert "pieces are left out" in html and "The model reads 96 at most" in html
    html = page.render(inspect(folder, "vitabu \U00013000"))
    assert "The vocabulary lacks letters" in html and "<code>[MASK]</code>" in html


def test_the_same_facts_give_the_same_page(arabic, tmp_path):
    assert page.render(arabic) == page.render(arabic)
    page.write(arabic, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == page.render(arabic)


def test_a_page_of_144_heads_over_a_long_text_stays_small(arabic):
    num = len(arabic.looked.pieces)
    pieces = (arabic.looked.pieces * (300 // num + 1))[:300]
    rng = np.random.default_rng(0)
    weights = rng.exponential(size=(12, 12, 300, 300)).astype(np.float32)
    weights /= weights.sum(axis=-1, keepdims=True)
    heads = [
        replace(arabic.heads[0], layer=layer + 1, head=head + 1)
        for layer in range(12)
        for head in range(12)
    ]
    looked = replace(arabic.looked, pieces=pieces, weights_LHQK=weights, hidden=(), each=())
    html = page.render(replace(arabic, looked=looked, heads=heads))
    assert len(html.encode()) < 5_000_000
    assert "the mean of those left out" in html


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "–"),
        (0, "0.0 %"),
        (0.0001, "< 0.1 %"),
        (0.0312, "3.1 %"),
        (0.5, "50 %"),
        (1, "100 %"),
    ],
)
def test_shares_are_said_with_as_many_digits_as_they_need(value, said):
    assert page.percent(value) == said.replace(" ", "\u00a0")
