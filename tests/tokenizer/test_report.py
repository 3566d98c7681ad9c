"""The page that shows what a vocabulary costs each language."""

import json
import re
from html.parser import HTMLParser

import pytest
from letter_tokenizer import LATIN, LINES, characters, held

from pipelines.store import canonical_json
from tokenizer import evaluate, pictures, report

VOID = {"meta", "input"}


class Reader(HTMLParser):
    """Reads a page as a browser does; unclosed <td> and <tr> are legal, other tags must match."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.open, self.text, self.attributes = [], [], [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def text_of(page):
    return re.sub(r"\s+", " ", "".join(Reader(page).text))


@pytest.fixture
def tokenizer(tmp_path):
    return characters(tmp_path / "letters.json", alphabet=LATIN, whole=("cat", "dog"))


def test_one_language_has_a_page(tokenizer):
    found = evaluate.evaluate(tokenizer, held(fra_Latn=["chat", "un dog"]), min_content=0)
    assert "French pays 1.00 times" in text_of(report.render(whole(found)))


def test_the_facts_are_plain_json_and_the_same_every_time(tokenizer):
    facts = [
        report.report([tokenizer], texts=held(**LINES), min_content=0, seed=seed)
        for seed in (0, 0, 1)
    ]
    assert canonical_json(facts[0]) == canonical_json(facts[1])
    assert canonical_json(facts[0]) != canonical_json(facts[2])
    again = json.loads(json.dumps(facts[0]))
    assert report.render(again) == report.render(facts[0])


def whole(*tokenizers, **more):
    return {
        "tokenizers": list(tokenizers), "text": "held-out", "complete": False, "num_lines": 0,
        "min_content": 500.0, "training": None, "corpus": None, **more,
    }  # fmt: skip


KEYS = ("round", "mean_tokens", "worst", "worst_label", "gini", "chosen")
CURVE = [
    dict(zip(KEYS, row, strict=True))
    for row in ((0, 50.0, 2.5, "fra_Latn", 0.2, False), (1, 51.0, 1.5, "deu_Latn", 0.1, True))
]


@pytest.fixture
def facts(tokenizer, tmp_path):
    other = characters(tmp_path / "other.json", alphabet="xyz")
    training = {
        "settings": {"size": 60, "sampling": {"by": "content", "weights": {}}, "labels": None},
        "curve": CURVE,
        "labels": {"eng_Latn": {"share": 0.7}, "fra_Latn": {"share": 0.002}},
    }
    lines = {**LINES, "arb_Arab": ["قطة وكلب", "قطة"], "tha_Thai": ["แมวและหมา"]}
    return report.report([tokenizer, other], texts=held(**lines), min_content=6, training=training)


def test_the_page_is_well_formed_with_unique_ids_and_no_requests(facts):
    page = report.render(facts)
    reader = Reader(page)
    assert reader.open == []
    ids = [value for name, value in reader.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    links = {value for name, value in reader.attributes if name == "href"}
    assert links
    assert all(link[0] == "#" and link[1:] in ids for link in links)
    assert not [value for name, value in reader.attributes if name == "src"]
    assert "http" not in re.sub(r"https?://example", "", page.replace("http-equiv", ""))
    assert "script-src 'sha256-" in page


def test_the_headline_names_the_worst_served_language_and_says_what_a_premium_is(facts):
    text = text_of(report.render(facts))
    worst = facts["tokenizers"][0]["summary"]["worst"]
    assert worst["label"] == "deu_Latn"
    assert f"German pays {worst['premium']:.2f} times the tokens of the mean language" in text
    assert "A language’s premium is what it pays: 1 is the mean of all languages here" in text


def test_languages_are_listed_the_worst_first_with_all_tokenizers(facts):
    page = report.render(facts)
    table = page[page.index('<section id="languages">') :]
    order = re.findall(r'<th scope="row"><a href="#(\w+)">', table)
    premium = {k: row["premium"] for k, row in facts["tokenizers"][0]["labels"].items()}
    assert order == sorted(premium, key=lambda label: -premium[label])
    assert "in other" in text_of(page)


def test_the_page_says_why_a_language_pays_and_which_key_helps(facts):
    text = text_of(report.render(facts))
    assert "The corpus has no text of it: add some." in text
    assert "of its characters are lost" in text
    for key in ("vocab.fit", "vocab.sampling", "vocab.size", "vocab.character_coverage"):
        assert key in text


def test_the_settings_and_the_trade_off_are_shown_where_known(facts):
    page = report.render(facts)
    assert "<code>vocab.sampling.by</code></th><td>content</td>" in page
    assert "<code>vocab.labels</code></th><td>–</td>" in page
    text = text_of(page)
    assert "1, chosen" in text
    assert "fairest one within" in text
    without = {**facts, "training": None}
    assert "fairest one within" not in text_of(report.render(without))


def test_right_to_left_samples_run_their_own_way(facts):
    assert '<p class="cut" dir="auto" lang="arb">' in report.render(facts)


HOSTILE = "</style><script>alert(1)</script>\u202e<img src=x onerror=1> &amp;"


def test_text_and_names_cannot_act_on_the_page(tmp_path):
    made = characters(tmp_path / "x.json", alphabet=LATIN + "</>()=&;1 \u202e")
    found = report.report(
        [made], texts=held(eng_Latn=[HOSTILE]), names=[HOSTILE], min_content=0,
        training={"settings": {"size": HOSTILE}},
    )  # fmt: skip
    reader = Reader(report.render(found))
    assert reader.tags.count("script") == 1
    assert "img" not in reader.tags
    assert "\u202e" not in report.render(found)


def test_pieces_are_marked_and_bytes_are_named():
    shown = str(report.cut(["▁The", "▁", "ca", "<0xE1><0x80>", "<0xA0>", "▁<b>"], 5))
    assert shown == (
        ' <i>The</i><i>␣</i><i>ca</i><i class="b">E1\N{THIN SPACE}80</i><i class="b">A0</i> …'
    )


def test_two_tokenizers_of_one_name_are_told_apart(tokenizer):
    found = report.report([tokenizer, tokenizer], texts=held(**LINES), min_content=0)
    assert [one["name"] for one in found["tokenizers"]] == ["letters", "letters (2)"]


def test_the_terminal_gets_the_worst_languages_and_the_totals(facts):
    header, rows = report.summary_rows(facts)
    assert header[:4] == ["language", "label", "premium letters", "premium other"]
    assert all(len(row) == len(header) for row in rows)
    assert all(isinstance(cell, str) for row in rows for cell in row)
    assert [row[0] for row in rows[-6:]] == [
        "worst", "90th percentile", "median", "worst / median", "Gini", "mean tokens",
    ]  # fmt: skip
    assert rows[0][1] == facts["tokenizers"][0]["summary"]["worst"]["label"]


def test_six_hundred_languages_stay_below_two_megabytes(facts):
    from pipelines.lid176 import SCRIPTS

    row = facts["tokenizers"][0]["labels"]["eng_Latn"]
    row = {**row, "segmentation": [["▁абвгд"] * evaluate.SAMPLE_PIECES]}
    codes = [f"{language}_{script}" for language in SCRIPTS for script in ("Latn", "Cyrl", "Arab")]
    many = {
        label: {**row, "premium": 0.5 + (number * 37 % 100) / 50}
        for number, label in enumerate(sorted(set(codes))[:600])
    }
    assert len(many) > 500
    one = {**facts["tokenizers"][0], "labels": many}
    one["by_owner"] = {
        **one["by_owner"], "labels": {label: {"owned": 9, "used": 99} for label in many},
    }  # fmt: skip
    one["summary"] = {
        **one["summary"],
        "worst": {**one["summary"]["worst"], "label": next(iter(many))},
    }
    for key in ("unknown_worst", "byte_worst"):
        one["summary"][key] = {"label": next(iter(many)), "rate": 0.1}
    page = report.render(whole(one))
    assert len(page.encode()) < 2_000_000
    assert Reader(page).open == []


@pytest.mark.parametrize("step", [0.02, 0.2, 0.8])
def test_names_in_the_picture_do_not_touch_each_other_or_a_lead(step):
    rows = {
        f"{code}_Latn": 1.5 + n * step for n, code in enumerate(("deu", "fra", "ita", "fin", "hun"))
    }
    scale = pictures.scale_of(list(rows.values()))
    for width in (pictures.WIDE, pictures.NARROW):
        drawn = str(pictures.dots(rows, scale=scale, width=width))
        leads = [
            tuple(map(float, m))
            for m in re.findall(r'"lead" d="M([\d.]+) ([\d.]+)V([\d.]+)"', drawn)
        ]
        names = re.findall(r'<text x="([\d.]+)" y="(\d+)" text-anchor="end">([^<]+)<', drawn)
        assert len(leads) == len(names) == 5
        boxes = [(float(x) - 6 * len(name), float(x), float(y)) for x, y, name in names]
        for left, right, y in boxes:
            for at, top, bottom in leads:
                assert not (left < at < right and top < y - 5 < bottom)
            others = [box for box in boxes if box != (left, right, y) and box[2] == y]
            assert not [box for box in others if left < box[1] and box[0] < right]


def test_a_picture_of_equal_rounds_or_one_language_can_be_drawn():
    flat = [{**CURVE[0], "round": n} for n in range(3)]
    assert "nan" not in str(pictures.curve(flat))
    drawn = pictures.dots({"eng_Latn": 1.0}, scale=pictures.scale_of([1.0]), width=pictures.WIDE)
    assert "English 1.00" in str(drawn)
