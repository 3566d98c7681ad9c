"""The page of a whole run: worst languages first, nothing fetched, nothing that acts on it."""

import re
from html.parser import HTMLParser

import pytest
from flows import facts

from pretrain.flow import headlines, page

HOSTILE = '"><script>alert(1)</script>'


class Read(HTMLParser):
    """Collects tags, links and text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.links, self.ids, self.text = [], [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.append((tag, found))
        self.links += [found[name] for name in ("href", "src") if name in found]
        self.ids += [found["id"]] if "id" in found else []

    def handle_data(self, data):
        self.text.append(data)


def languages_shown(text):
    return re.findall(r'<tr id="([a-zA-Z_-]+)"><th scope="row">', text)


def test_the_worst_served_language_is_the_headline_and_the_first_row():
    found = facts()
    text = page.render(found)
    assert languages_shown(text) == [row["label"] for row in found["languages"]]
    first = found["languages"][0]["label"]
    name = re.search(r"<h1><bdi>([^<]+)</bdi> is served worst of", text)
    assert name and f"{name[1]}" in text.partition(f'id="{first}"')[2][:200]


def test_places_are_means_over_the_measures_that_a_language_has():
    found = facts(3)
    a, b, c = list(found["corpus"]["labels"])
    found["vocab"]["labels"] = {a: 1.0, b: 1.2, c: None}
    found["pretrain"]["labels"] = {
        a: {"bits": 1, "left": 0.5, "is_sure": True},
        b: {"bits": 1, "left": 0.4, "is_sure": True},
        c: {"bits": 1, "left": 0.9, "is_sure": False},
    }
    found["tasks"] = None
    rows = {row.label: row for row in headlines.languages(found)}
    assert rows[a].place == rows[b].place == 0.5
    assert rows[c].place is None  # too little text tells anything of it: it comes last here
    assert [row.label for row in headlines.languages(found)][-1] == c


def test_the_same_figure_is_the_same_place():
    found = facts(4)
    for row in found["pretrain"]["labels"].values():
        row["left"] = 0.5
    found["vocab"]["labels"] = dict.fromkeys(found["vocab"]["labels"], 1.0)
    found["tasks"] = None
    assert {row.place for row in headlines.languages(found)} == {0.5}


def test_it_fetches_nothing_and_links_only_to_what_lies_beside_it():
    text = page.render(facts())
    read = Read(text)
    assert "default-src 'none'" in text
    assert not [link for link in read.links if re.match(r"[a-z]+:|//", link)]
    inside = {link[1:] for link in read.links if link.startswith("#")}
    assert inside <= set(read.ids)
    outside = {link for link in read.links if not link.startswith("#")}
    assert outside == {
        "report.html",
        "corpus/README.md",
        "vocab/report.html",
        "runs/modern-tiny/report.html",
        "evaluation/results.html",
        "export/README.md",
        "export/lineage.json",
    }


def test_it_is_a_pure_function_of_the_facts():
    assert page.render(facts()) == page.render(facts())


@pytest.mark.parametrize("num", [0, 1, 2, 20])
def test_any_number_of_languages_has_a_page(num):
    text = page.render(facts(num))
    assert len(languages_shown(text)) == num
    assert "StrictUndefined" not in text and "None" not in text


def test_without_tasks_it_says_how_to_tune():
    text = page.render(facts(tasks=None, model={**facts()["model"], "tuned": []}))
    assert "evaluation/results.html" not in text
    assert "koine tune classify build/demo/export" in text


def test_names_from_outside_do_not_act_on_the_page():
    found = facts()
    task = found["tasks"].pop("topics")
    text = page.render(
        facts(out=HOSTILE, run=HOSTILE, notes=[HOSTILE], tasks={HOSTILE: task})
        | {"languages": [{**row, "scores": {HOSTILE: 0.5}} for row in facts()["languages"]]}
    )
    assert "<script>alert" not in text
    assert sum(tag == "script" for tag, _ in Read(text).tags) == 1


def test_names_of_languages_and_tasks_are_isolated_in_their_direction():
    text = page.render(facts())
    for name in ("Arabic", "topics"):
        assert re.search(rf"<bdi>[^<]*{name}[^<]*</bdi>", text)


def test_colour_is_never_all_that_tells():
    for cell in re.findall(r'<td class="n h\d">([^<]*)</td>', page.render(facts())):
        assert re.search(r"\d", cell)


def test_the_next_steps_are_commands_of_this_build():
    steps = [command for command, _ in page.next_steps(facts(out="my builds/x"))]
    assert all(command.startswith("koine ") for command in steps)
    assert "koine predict 'my builds/x/evaluation/models/topics-in-language' 'your text'" in steps
