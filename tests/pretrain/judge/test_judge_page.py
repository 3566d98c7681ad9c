"""The page of an evaluation, of one language or of hundreds, and what it says of them."""

import json
import re
import time
from html.parser import HTMLParser

import fake_results
import pytest

from pretrain.judge import page, results

VOID = {"meta", "input", "br"}


class Reader(HTMLParser):
    """Reads a page as a browser does, and minds that every tag is closed."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.open, self.text, self.attributes = [], [], [], []
        self.feed(text)
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


def text_of(rendered):
    return re.sub(r"\s+", " ", "".join(Reader(rendered).text))


def one_task(*labels, **more):
    task = fake_results.task_of(more.pop("kind", "classify"), labels, **more)
    return fake_results.results_of({"topics": task})


FACTS = {
    "many": fake_results.many,
    "three": lambda: one_task("swh_Latn", "arb_Arab", "yor_Latn"),
    "one": lambda: one_task("swh_Latn", baselines=False),
    "nothing": lambda: fake_results.results_of({}),
}


@pytest.fixture(scope="module")
def pages():
    return {kind: page.render(facts()) for kind, facts in FACTS.items()}


@pytest.mark.parametrize("kind", FACTS)
def test_the_page_is_well_formed_with_unique_ids_and_no_requests(pages, kind):
    reader = Reader(pages[kind])
    assert reader.open == []
    ids = [value for name, value in reader.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    links = {value for name, value in reader.attributes if name == "href"}
    assert links and all(link[0] == "#" and link[1:] in ids for link in links)
    assert not [value for name, value in reader.attributes if name == "src"]
    assert "http" not in pages[kind].replace("http-equiv", "")
    assert "url(" not in pages[kind]
    assert "script-src 'sha256-" in pages[kind]
    assert not re.search(r'(?:\sd|cx|cy)="[^"]*(?:nan|inf)', pages[kind])


@pytest.mark.parametrize("kind", FACTS)
def test_results_that_went_through_json_give_the_same_page(pages, kind):
    assert page.render(json.loads(json.dumps(FACTS[kind]()))) == pages[kind]


def test_536_languages_stay_below_two_megabytes_and_are_drawn_quickly():
    labels = [f"x{chr(97 + i // 26)}{chr(97 + i % 26)}_Latn" for i in range(536)]
    facts = one_task(*labels, zero_shot=True)
    start = time.perf_counter()
    rendered = page.render(facts)
    assert time.perf_counter() - start < 10
    assert len(rendered.encode()) < 2_000_000


def test_the_headline_names_the_language_that_is_furthest_behind(pages):
    said = text_of(pages["many"])
    assert "Bambara is served worst: 17.2 F1 in أسماء" in said
    assert "The best served language of that task, Yoruba, has 88.6: 71.3 points more." in said
    assert "Swahili: " in text_of(pages["one"])


def test_languages_that_do_not_beat_a_baseline_are_warned_of(pages):
    said = text_of(pages["many"])
    assert (
        "sib200: not surely above random weights in 2 of 54 languages: Santali sat_Olck, "
        "N’Ko nqo_Nkoo. There, the same network learns as much without pretraining, or more."
        in said
    )
    assert "letters that the vocabulary doesn't know: N’Ko" in said
    assert "✓ Above every baseline." not in said
    assert "✓ Above every baseline." in text_of(pages["three"])
    assert "No baselines." in text_of(pages["one"])


def test_the_worst_language_stands_first_in_the_map_and_in_its_table(pages):
    facts = FACTS["many"]()
    rows = re.findall(r'<tr id="task-0-([A-Za-z_]+)"', pages["many"])
    assert rows == [label for label, _ in results.worst_first(facts["tasks"]["sib200"])]
    scores = [results.score(facts["tasks"]["sib200"]["rows"][label]) for label in rows]
    assert scores == sorted(scores)


def test_a_cell_tells_its_interval_and_its_baselines(pages):
    title = re.search(r'title="(Hausa, sib200, in-language: [^"]+)"', pages["many"])[1]
    assert re.fullmatch(
        r"Hausa, sib200, in-language: macro F1 [\d.]+, 95 % interval [\d.]+–[\d.]+, [\d,]+ "
        r"examples ±[\d.]+ between tunings; \+[\d.]+ against random weights; "
        r"\+[\d.]+ against majority",
        title,
    )


def test_names_are_isolated_and_cannot_act_on_the_page():
    facts = one_task("arb_Arab", "swh_Latn")
    facts["tasks"] = {fake_results.HOSTILE: facts["tasks"]["topics"]}
    facts["tasks"][fake_results.HOSTILE]["warnings"] = [fake_results.HOSTILE]
    facts["model"]["name"] = fake_results.HOSTILE
    rendered = page.render(facts)
    assert "img" not in Reader(rendered).tags
    assert f"<bdi>{fake_results.HOSTILE[:0]}&lt;img" in rendered
    assert "<bdi>أسماء</bdi>" in page.render(FACTS["many"]())


def test_a_score_is_ranked_in_language_where_there_is_one():
    row = {"num": 5, "zero_shot": {"mean": 0.2}, "in_language": {"mean": 0.7}}
    assert results.score(row) == 0.7
    assert results.primary({"zero_shot": {"mean": 0.2}, "random": {}}) == "zero_shot"
    with pytest.raises(KeyError):
        results.score({"random": {"mean": 0.1}})


@pytest.mark.parametrize(
    ("difference", "verdict"),
    [((0.1, 0.01, 0.2), "better"), ((0.1, 0.0, 0.2), "unsure"), ((-0.1, -0.2, -0.01), "worse")],
)
def test_a_difference_is_sure_where_its_whole_interval_is_on_one_side(difference, verdict):
    assert results.verdict(difference) == verdict


def test_a_languages_lead_on_few_examples_does_not_set_the_mark():
    task = fake_results.task_of("tag", ("swh_Latn", "mar_Deva"), rough=("mar_Deva",))
    task["rows"]["mar_Deva"]["in_language"]["mean"] = 0.999
    assert results.best(task)[0] == "swh_Latn"
